//! Tests of the samples in memory.

use serde_json::json;

use super::*;
use crate::tasks::analysis::packed::Packed;

fn need(fields: &[&str], span_s: u64) -> SeriesNeed {
    SeriesNeed {
        component: "ESS".into(),
        sal_name: "airFlow".into(),
        fields: fields.iter().map(|f| (*f).to_owned()).collect(),
        span: Duration::from_secs(span_s),
    }
}

fn request(columns: &[(&str, Option<usize>)], index: Option<i64>) -> SeriesRequest {
    let column = |(field, element): &(&str, Option<usize>)| SeriesColumn {
        name: (*field).to_owned(),
        field: (*field).to_owned(),
        element: *element,
        unit: String::new(),
        count: 1,
    };
    SeriesRequest {
        component: "ESS".into(),
        sal_name: "airFlow".into(),
        index,
        columns: columns.iter().map(column).collect(),
        packed: None,
        from: Tai(0.0),
        to: Tai(1.0),
        waits: false,
        wait: Duration::ZERO,
    }
}

fn push(kept: &Arc<Mutex<Kept>>, index: i64, sent: f64, cells: Vec<Value>) {
    lock(kept).push(0, index, Tai(sent), cells.into());
}

#[test]
fn rows_of_an_instance_with_elements() {
    let recent = Recent::new();
    let [kept] = &recent.replace(&[(need(&["a", "speed"], 100), Some(Tai(5.0)), false)])[..] else {
        panic!()
    };
    for n in 0..3 {
        let sent = 10.0 + f64::from(n);
        push(kept, 301, sent, vec![Value::Doubles([0.5, sent].into()), Value::Double(sent)]);
        push(kept, 302, sent, vec![Value::Doubles([0.5].into()), Value::Double(-sent)]);
    }
    let read = recent.recent(&request(&[("speed", None), ("a", Some(1))], Some(301))).unwrap();
    assert_eq!(read.since, Tai(5.0));
    assert_eq!(read.rows.len(), 3);
    assert_eq!(read.rows[2].stamp, 12.0);
    assert_eq!(read.rows[2].cells, [Value::Double(12.0), Value::Double(12.0)]);
    let all = recent.recent(&request(&[("a", Some(1))], None)).unwrap();
    assert_eq!(all.rows.iter().filter(|r| r.cells[0] == Value::Null).count(), 3);
    assert_eq!(recent.recent(&request(&[("other", None)], None)), None);
}

#[test]
fn what_is_too_old_falls_out_and_moves_since() {
    let recent = Recent::new();
    let [kept] = &recent.replace(&[(need(&["speed"], 10), None, false)])[..] else { panic!() };
    let speed = request(&[("speed", None)], None);
    assert_eq!(recent.recent(&speed), None, "nothing is known yet");
    for sent in 0..30 {
        push(kept, 301, f64::from(sent), vec![Value::Double(1.0)]);
    }
    let read = recent.recent(&speed).unwrap();
    assert_eq!(read.since, Tai(19.0));
    assert_eq!(read.rows.first().map(|r| r.stamp), Some(19.0));
    let bytes = lock(kept).bytes;
    push(kept, 301, 1000.0, vec![Value::Double(1.0)]);
    assert_eq!(lock(kept).rows.len(), 1);
    assert!(lock(kept).bytes < bytes);
}

#[test]
fn memory_is_bounded() {
    let recent = Recent::new();
    let [kept] = &recent.replace(&[(need(&["a"], 1_000_000), Some(Tai(0.0)), false)])[..] else { panic!() };
    for sent in 0..6000 {
        push(kept, 1, f64::from(sent), vec![Value::Doubles(vec![0.0; 1000].into())]);
    }
    assert!(lock(kept).bytes <= MAX_BYTES);
    let read = recent.recent(&request(&[("a", Some(0))], None)).unwrap();
    assert!(read.rows.len() > 4000 && read.rows.len() < 6000);
    assert_eq!(read.since.0, read.rows[0].stamp);
}

#[test]
fn a_topic_that_is_read_on_keeps_its_rows() {
    let recent = Recent::new();
    let first = recent.replace(&[(need(&["speed"], 100), Some(Tai(0.0)), false)]);
    push(&first[0], 1, 1.0, vec![Value::Double(1.0)]);
    let rows = |recent: &Recent| recent.recent(&request(&[("speed", None)], None)).map(|r| r.rows.len());
    recent.replace(&[(need(&["speed"], 200), None, true)]);
    assert_eq!(rows(&recent), Some(1));
    recent.replace(&[(need(&["speed", "direction"], 200), None, true)]);
    assert_eq!(rows(&recent), None, "other fields: begins anew");
    recent.replace(&[]);
    assert_eq!(rows(&recent), None);
}

#[test]
fn lost_records_and_several_partitions() {
    let recent = Recent::new();
    let stores = recent.replace(&[(need(&["speed"], 100), Some(Tai(0.0)), false)]);
    lock(&stores[0]).expired();
    lock(&stores[0]).push(0, 1, Tai(5.0), [Value::Double(1.0)].into());
    lock(&stores[0]).push(1, 1, Tai(3.0), [Value::Double(2.0)].into());
    lock(&stores[0]).push(1, 1, Tai(4.0), [Value::Double(3.0)].into());
    let read = recent.recent(&request(&[("speed", None)], None)).unwrap();
    assert_eq!(read.since, Tai(5.0), "from when on both partitions are known");
    assert_eq!(read.rows.iter().map(|r| r.stamp).collect::<Vec<_>>(), [3.0, 4.0, 5.0]);
}

#[test]
fn packed_rows_have_the_stamp_of_their_field() {
    let recent = Recent::new();
    let stores = recent.replace(&[(need(&["angle", "cRIO"], 100), Some(Tai(0.0)), false)]);
    push(&stores[0], 0, 10.0, vec![Value::Doubles([1.0, 2.0].into()), Value::Double(8.5)]);
    push(&stores[0], 0, 11.0, vec![Value::Doubles([1.0, 2.0].into()), Value::Null]);
    let packed: Packed =
        serde_json::from_value(json!({"stamp": "cRIO", "scale": "tai", "rate": 100})).unwrap();
    let request = SeriesRequest { packed: Some(packed), ..request(&[("angle", None)], Some(3)) };
    let read = recent.recent(&request).unwrap();
    assert_eq!(read.rows.len(), 1, "a row without a stamp is none");
    assert_eq!((read.rows[0].stamp, &read.rows[0].cells[0]), (8.5, &Value::Doubles([1.0, 2.0].into())));
}

#[test]
fn needs_of_series() {
    let of = |series: Json| SeriesNeed::of_series(&series);
    let wind = of(json!({"topic": "ESS:301.tel_airFlow", "field": "speed", "range": "30m"})).unwrap();
    assert_eq!(wind, need(&["speed"], 1860));
    let jitter = of(json!({"topic": "ATMCS.tel_mount", "fields": {"azimuth": "az[3]", "elevation": "el"},
        "packed": {"stamp": "cRIO_timestamp", "scale": "tai", "rate": 100}, "from": "{{ image.start }}"}))
    .unwrap();
    assert_eq!(jitter.fields.iter().collect::<Vec<_>>(), ["az", "cRIO_timestamp", "el"]);
    assert_eq!(jitter.span, UNKNOWN_RANGE + MARGIN);
    assert_eq!(of(json!({"topic": "{{ x }}.tel_y", "field": "{{ z }}"})), None);
    assert_eq!(of(json!({"topic": "ESS.tel_airFlow"})), None);
    let long = of(json!({"topic": "ESS.tel_airFlow", "field": "speed", "range": "100h"})).unwrap();
    assert_eq!(long.span, LONGEST);
}

#[tokio::test]
async fn a_change_between_the_call_and_the_wait_counts() {
    let recent = Recent::new();
    let changed = recent.changed();
    recent.notify();
    tokio::time::timeout(Duration::from_secs(10), changed).await.expect("already changed");
}
