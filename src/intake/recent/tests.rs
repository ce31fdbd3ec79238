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

fn push(kept: &mut Kept, index: i64, sent: f64, cells: Vec<Value>) {
    kept.push(0, index, Tai(sent), cells.into_iter());
}

fn rows_of(kept: &Kept, request: &SeriesRequest) -> Option<RecentRows> {
    kept.snapshot().read(request)
}

#[test]
fn rows_of_an_instance_with_elements() {
    let kept = &mut Kept::of(&need(&["a", "speed"], 100), Some(Tai(5.0)), None);
    for n in 0..3 {
        let sent = 10.0 + f64::from(n);
        push(kept, 301, sent, vec![Value::Doubles([0.5, sent].into()), Value::Double(sent)]);
        push(kept, 302, sent, vec![Value::Doubles([0.5].into()), Value::Double(-sent)]);
    }
    let read = rows_of(kept, &request(&[("speed", None), ("a", Some(1))], Some(301))).unwrap();
    assert_eq!(read.since, Tai(5.0));
    assert_eq!(read.rows.len(), 3);
    assert_eq!(read.rows[2].stamp, 12.0);
    assert_eq!(read.rows[2].cells, [Value::Double(12.0), Value::Double(12.0)]);
    let all = rows_of(kept, &request(&[("a", Some(1))], None)).unwrap();
    assert_eq!(all.rows.iter().filter(|r| r.cells[0] == Value::Null).count(), 3);
    assert_eq!(rows_of(kept, &request(&[("other", None)], None)), None);
}

#[test]
fn what_is_too_old_falls_out_and_moves_since() {
    let kept = &mut Kept::of(&need(&["speed"], 10), None, None);
    let speed = request(&[("speed", None)], None);
    assert_eq!(rows_of(kept, &speed), None, "nothing is known yet");
    for sent in 0..30 {
        push(kept, 301, f64::from(sent), vec![Value::Double(1.0)]);
    }
    let read = rows_of(kept, &speed).unwrap();
    assert_eq!(read.since, Tai(19.0));
    assert_eq!(read.rows.first().map(|r| r.stamp), Some(19.0));
    push(kept, 301, 1000.0, vec![Value::Double(1.0)]);
    assert_eq!(kept.rows, 1);
    assert_eq!(rows_of(kept, &speed).unwrap().rows.len(), 1);
}

#[test]
fn memory_is_bounded() {
    let kept = &mut Kept::of(&need(&["a"], 1_000_000), Some(Tai(0.0)), None);
    for sent in 0..6000 {
        push(kept, 1, f64::from(sent), vec![Value::Doubles(vec![0.0; 1000].into())]);
    }
    assert!(kept.bytes <= MAX_BYTES);
    let read = rows_of(kept, &request(&[("a", Some(0))], None)).unwrap();
    assert!(read.rows.len() > 4000 && read.rows.len() < 6000);
    assert_eq!(read.since.0, read.rows[0].stamp);
}

#[test]
fn a_topic_that_is_read_on_keeps_its_rows() {
    let mut kept = Kept::of(&need(&["speed"], 100), Some(Tai(0.0)), None);
    push(&mut kept, 1, 1.0, vec![Value::Double(1.0)]);
    let rows = |kept: &Kept| rows_of(kept, &request(&[("speed", None)], None)).map(|r| r.rows.len());
    let kept = Kept::of(&need(&["speed"], 200), None, Some(kept));
    assert_eq!((rows(&kept), kept.span_s), (Some(1), 200.0));
    let kept = Kept::of(&need(&["speed", "direction"], 200), None, Some(kept));
    assert_eq!(rows(&kept), None, "other fields: begins anew");
}

#[test]
fn lost_records_and_several_partitions() {
    let kept = &mut Kept::of(&need(&["speed"], 100), Some(Tai(0.0)), None);
    kept.expired();
    kept.push(0, 1, Tai(5.0), [Value::Double(1.0)].into_iter());
    kept.push(1, 1, Tai(3.0), [Value::Double(2.0)].into_iter());
    kept.push(1, 1, Tai(4.0), [Value::Double(3.0)].into_iter());
    let found = rows_of(kept, &request(&[("speed", None)], None)).unwrap();
    assert_eq!(found.since, Tai(5.0), "from when on both partitions are known");
    assert_eq!(found.rows.iter().map(|r| r.stamp).collect::<Vec<_>>(), [3.0, 4.0, 5.0]);
}

#[test]
fn packed_rows_have_the_stamp_of_their_field() {
    let kept = &mut Kept::of(&need(&["angle", "cRIO"], 100), Some(Tai(0.0)), None);
    // The need's fields are in alphabetical order: cRIO is the second.
    push(kept, 0, 10.0, vec![Value::Doubles([1.0, 2.0].into()), Value::Double(8.5)]);
    push(kept, 0, 11.0, vec![Value::Doubles([1.0, 2.0].into()), Value::Null]);
    let packed: Packed =
        serde_json::from_value(json!({"stamp": "cRIO", "scale": "tai", "rate": 100})).unwrap();
    let request = SeriesRequest { packed: Some(packed), ..request(&[("angle", None)], Some(3)) };
    let found = rows_of(kept, &request).unwrap();
    assert_eq!(found.rows.len(), 1, "a row without a stamp is none");
    assert_eq!((found.rows[0].stamp, &found.rows[0].cells[0]), (8.5, &Value::Doubles([1.0, 2.0].into())));
}

#[test]
fn a_snapshot_stays_as_it_was_and_chunks_that_fell_out_are_given_back() {
    let kept = &mut Kept::of(&need(&["speed"], 500), Some(Tai(0.0)), None);
    let speed = request(&[("speed", None)], None);
    let all = |snapshot: &Snapshot| {
        let rows = snapshot.read(&speed).unwrap().rows;
        rows.iter().map(|r| (r.stamp, r.cells[0].clone())).collect::<Vec<_>>()
    };
    for sent in 0..200 {
        push(kept, 1, f64::from(sent), vec![Value::Int(sent.into())]);
    }
    let (before, bytes) = (kept.snapshot(), kept.bytes);
    for sent in 200..3000 {
        push(kept, 1, f64::from(sent), vec![Value::Int(sent.into())]);
    }
    let wanted =
        |range: std::ops::Range<i32>| range.map(|n| (f64::from(n), Value::Int(n.into()))).collect::<Vec<_>>();
    assert_eq!(all(&before), wanted(0..200));
    assert_eq!(all(&kept.snapshot()), wanted(2499..3000));
    assert_eq!((kept.rows, kept.since), (501, Some(2499.0)));
    assert!(kept.full.len() <= 501 / CHUNK + 1 && kept.bytes < bytes * 3, "{}", kept.full.len());
    push(kept, 1, 1e9, vec![Value::Int(0)]);
    assert_eq!((kept.rows, kept.full.len(), kept.gone < CHUNK), (1, 0, true));
}

#[tokio::test(start_paused = true)]
async fn who_asks_is_answered_by_the_owner_or_goes_on_without() {
    let (recent, mut asked, _more) = Recent::new();
    let mut kept = Kept::of(&need(&["speed"], 100), Some(Tai(0.0)), None);
    push(&mut kept, 1, 1.0, vec![Value::Double(1.0)]);
    let speed = request(&[("speed", None)], None);
    let owner = async { asked.recv().await.unwrap().answer([&kept].into_iter()) };
    let (found, ()) = tokio::join!(recent.recent(&speed), owner);
    assert_eq!(found.map(|f| f.rows.len()), Some(1));
    let other = SeriesRequest { sal_name: "other".to_owned(), ..speed.clone() };
    let owner = async { asked.recv().await.unwrap().answer([&kept].into_iter()) };
    assert_eq!(tokio::join!(recent.recent(&other), owner).0, None);
    assert_eq!(recent.recent(&speed).await, None, "nobody answers in time");
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

#[test]
fn the_second_of_two_series_has_the_span_of_the_first() {
    let all = series_of(&json!({"series": [
        {"topic": "ESS:301.tel_airFlow", "field": "speed", "range": "30m"},
        {"topic": "ESS:302.tel_airFlow", "field": "speed"},
        {"topic": "ESS:303.tel_airFlow", "field": "speed", "from": 3},
    ]}));
    assert_eq!(SeriesNeed::of_series(&all[1]), Some(need(&["speed"], 1860)));
    assert_eq!(all[2], json!({"topic": "ESS:303.tel_airFlow", "field": "speed", "from": 3}));
    assert_eq!((series_of(&json!({"series": {"field": "x"}})).len(), series_of(&json!({})).len()), (1, 0));
}

#[tokio::test]
async fn a_change_between_the_call_and_the_wait_counts() {
    let (recent, _asked, more) = Recent::new();
    let changed = recent.changed();
    more.send_modify(|n| *n += 1);
    tokio::time::timeout(Duration::from_secs(10), changed).await.expect("already changed");
}
