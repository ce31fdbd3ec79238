use std::io::Cursor;

use proptest::prelude::*;
use salobj::{Tai, Value};

use super::*;

fn session(began: f64) -> Session {
    Session { version: "1".into(), source: "bus".into(), subname: "test".into(), site: String::new(), began }
}

fn decl(name: &str, fields: &[&str]) -> TopicDecl {
    TopicDecl {
        name: name.into(),
        component: "ESS".into(),
        sal_name: "airFlow".into(),
        fields: fields.iter().map(|f| (*f).to_owned()).collect(),
        ..TopicDecl::default()
    }
}

fn record(topic: u32, offset: i64, at: f64, body: Body<'_>) -> ItemRef<'_> {
    ItemRef::Record(RecordRef {
        topic,
        partition: 0,
        offset,
        timestamp_ms: Some(offset.saturating_mul(1000) - 5),
        received: Tai(at),
        live: offset % 2 == 0,
        body,
    })
}

/// A recording of so many records, flushed after every tenth.
fn recording(records: i64) -> Vec<u8> {
    let mut writer = Writer::create(Vec::new(), &session(1000.0)).unwrap();
    writer.schema(7, "{\"a schema\": true}");
    let topic = writer.topic(&decl("lsst.test.ESS.airFlow", &[]));
    for n in 0..records {
        let body = vec![n as u8; 100];
        writer.push(&record(topic, n, 1000.0 + n as f64, Body::Avro(&body))).unwrap();
        if n % 10 == 9 {
            writer.flush().unwrap();
        }
    }
    writer.finish().unwrap()
}

/// Offsets of the records, and what the end looked like.
fn read(bytes: &[u8]) -> Result<(Vec<i64>, Option<Torn>), ReadError> {
    let mut reader = Reader::open(Cursor::new(bytes))?;
    let mut offsets = Vec::new();
    while let Some(item) = reader.next_item()? {
        if let ItemRef::Record(record) = item {
            offsets.push(record.offset);
        }
    }
    Ok((offsets, reader.torn()))
}

#[test]
fn what_is_written_is_read() {
    let cells = vec![
        Value::Null,
        Value::Bool(true),
        Value::Int(-3),
        Value::Double(0.1),
        Value::Text("\u{b0}C".into()),
        Value::Bools([true, false].into()),
        Value::Ints([i64::MIN, i64::MAX].into()),
        Value::Doubles([f64::INFINITY, -0.0].into()),
        Value::Texts(["a".into(), "".into()].into()),
    ];
    let items = [
        record(0, i64::MAX, 1.5, Body::Cells { sal_index: -1, sent: Tai(1.25), cells }),
        record(1, 2, 1.75, Body::Avro(&[0, 0, 0, 0, 7, 1, 2, 3])),
        record(1, 3, 1.875, Body::None),
        ItemRef::Control { at: Tai(2.0), json: "{}" },
        ItemRef::Tick { at: Tai(2.5) },
        ItemRef::Transition { at: Tai(3.0), json: "[1]" },
        ItemRef::Gap { at: Tai(4.0), lost: 300 },
    ];
    let mut writer = Writer::create(Vec::new(), &session(1.0)).unwrap();
    assert_eq!((writer.topic(&decl("a", &["x", "y"])), writer.topic(&decl("b", &[]))), (0, 1));
    assert_eq!(writer.topic(&decl("a", &[])), 0, "a topic is declared once");
    for item in &items {
        writer.push(item).unwrap();
    }
    let bytes = writer.finish().unwrap();
    let mut reader = Reader::open(Cursor::new(&bytes)).unwrap();
    let mut seen = 0;
    let mut topics = Vec::new();
    while let Some(item) = reader.next_item().unwrap() {
        match item {
            ItemRef::Session => {}
            ItemRef::Topic(topic) => topics.push(topic),
            item => {
                assert_eq!(item, items[seen]);
                seen += 1;
            }
        }
    }
    assert_eq!(seen, items.len());
    assert_eq!(topics[0], TopicDecl { number: 0, ..decl("a", &["x", "y"]) });
    assert_eq!(reader.sessions(), [session(1.0)]);
}

#[test]
fn a_torn_tail_is_readable_up_to_the_last_whole_block() {
    let whole = recording(40);
    let (offsets, torn) = read(&whole).unwrap();
    assert_eq!((offsets.len(), torn), (40, None));
    for cut in MAGIC.len()..whole.len() {
        let (offsets, torn) = read(&whole[..cut]).unwrap();
        assert!(offsets.iter().copied().eq(0..offsets.len() as i64) && offsets.len() % 10 == 0, "{cut}");
        let good = torn.map_or(cut as u64, |t| t.good);
        assert_eq!(good + torn.map_or(0, |t| t.bytes), cut as u64);
        let summary = scan(Cursor::new(&whole[..cut])).unwrap();
        assert_eq!((summary.good, summary.torn), (good, torn), "{cut}");
    }
}

#[test]
fn a_recording_is_continued_behind_its_last_whole_block() {
    let mut bytes = recording(20);
    bytes.truncate(bytes.len() - 3);
    let summary = scan(Cursor::new(&bytes)).unwrap();
    bytes.truncate(summary.good as usize);
    let mut writer = Writer::append(&mut bytes, &session(5000.0)).unwrap();
    let topic = writer.topic(&decl("lsst.test.ESS.other", &[]));
    assert_eq!(topic, 0, "numbers begin anew");
    writer.push(&record(topic, 77, 5001.0, Body::None)).unwrap();
    writer.finish().unwrap();
    let (offsets, torn) = read(&bytes).unwrap();
    assert_eq!((offsets, torn), ((0..10).chain([77]).collect(), None));
    let summary = scan(Cursor::new(&bytes)).unwrap();
    assert_eq!(summary.sessions, [session(1000.0), session(5000.0)]);
    assert_eq!(summary.topics.len(), 2);
    assert_eq!(summary.schemas[&7], "{\"a schema\": true}");
    assert_eq!((summary.items, summary.span), (11, Some((Tai(1000.0), Tai(5001.0)))));
}

#[test]
fn damage_in_the_middle_is_told_with_its_place_and_time() {
    let whole = recording(40);
    let second = whole.windows(4).enumerate().filter(|(_, w)| *w == BLOCK).nth(3).unwrap().0;
    let mut damaged = whole.clone();
    damaged[second + HEAD + 5] ^= 0x40;
    let error = read(&damaged).unwrap_err();
    let ReadError::Damage(damage) = &error else { panic!("{error}") };
    assert_eq!((damage.at, damage.until), (second as u64, Tai(1009.0)));
    assert!(error.to_string().contains("checksum"), "{error}");
    assert!(scan(Cursor::new(&damaged)).is_err());
    // A length that cannot be is not believed.
    damaged = whole.clone();
    damaged[second + 8..second + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(read(&damaged), Err(ReadError::Damage(_))));
    assert!(matches!(read(b"something else that is longer"), Err(ReadError::NoRecording)));
    assert!(matches!(read(b""), Err(ReadError::NoRecording)));
}

#[test]
fn blocks_outside_a_range_are_passed_over() {
    let bytes = recording(40);
    let mut reader = Reader::open(Cursor::new(&bytes)).unwrap().within(Tai(1015.0), Tai(1025.0));
    let mut offsets = Vec::new();
    while let Some(item) = reader.next_item().unwrap() {
        if let ItemRef::Record(record) = item {
            offsets.push(record.offset);
        }
    }
    assert_eq!(offsets, (10..30).collect::<Vec<_>>(), "whole blocks");
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), at in 0usize..2000) {
        let mut whole = recording(20);
        let at = at % whole.len();
        let end = (at + bytes.len()).min(whole.len());
        whole[at..end].copy_from_slice(&bytes[..end - at]);
        drop(read(&whole));
        drop(scan(Cursor::new(&whole)));
        let mut cursor = super::item::Cursor(&bytes);
        while cursor.item().is_ok() {}
    }
}
