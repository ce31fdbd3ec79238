//! Tests of the in-memory bus, in virtual time.

use std::collections::BTreeMap;

use super::*;
use crate::tai::Tai;
use crate::transport::{Batch, BatchItem, ReadEvent};

fn bus() -> (MemoryTransport, MemoryControl) {
    let bus = MemoryTransport::new(Clock::scaled(Tai::from_utc_unix(1_000_000.0), 1.0));
    let control = bus.control();
    (bus, control)
}

async fn topics(bus: &MemoryTransport, names: &[&str]) {
    let specs: Vec<_> =
        names.iter().map(|n| TopicSpec { name: (*n).to_owned(), compacted: n.contains("event") }).collect();
    bus.create_topics(&specs).await.unwrap();
}

async fn write(bus: &MemoryTransport, topic: &str, key: &str, value: &str) -> Delivery {
    let writer = bus.writer(WriterKind::Plain).unwrap();
    writer.write(topic, key.into(), value.into()).await.unwrap()
}

/// Everything that can be read without waiting, in short form.
async fn drain(reader: &mut dyn Reader) -> Vec<String> {
    let mut out = Vec::new();
    while let Ok(event) = tokio::time::timeout(Duration::from_millis(1), reader.next()).await {
        out.push(match event {
            ReadEvent::Assigned { topic, partition, low, high, start } => {
                format!("assigned {topic}[{partition}] {low}..{high} from {start}")
            }
            ReadEvent::Record(r) => {
                format!("{}[{}]@{} {}", r.topic, r.partition, r.offset, text(r.value.as_deref()))
            }
            ReadEvent::CaughtUp { topic, partition } => format!("caught up {topic}[{partition}]"),
            ReadEvent::Trouble(e) => format!("trouble {e}"),
        });
    }
    out
}

fn text(value: Option<&[u8]>) -> String {
    value.map_or("tombstone".to_owned(), |v| String::from_utf8_lossy(v).into_owned())
}

async fn read(bus: &MemoryTransport, topics: &[(&str, StartAt)]) -> Box<dyn Reader> {
    let topics: Vec<_> = topics.iter().map(|(t, s)| ((*t).to_owned(), s.clone())).collect();
    bus.reader("group", &topics).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn history_then_new_records_in_the_order_written() {
    let (bus, _) = bus();
    topics(&bus, &["event", "tel"]).await;
    for n in 0..3 {
        write(&bus, "event", "k", &format!("e{n}")).await;
        write(&bus, "tel", "", &format!("t{n}")).await;
    }
    let mut reader = read(&bus, &[("event", StartAt::Back(2)), ("tel", StartAt::End)]).await;
    assert_eq!(
        drain(&mut *reader).await,
        [
            "assigned event[0] 0..3 from 1",
            "assigned tel[0] 0..3 from 3",
            "caught up tel[0]",
            "event[0]@1 e1",
            "event[0]@2 e2",
            "caught up event[0]"
        ]
    );
    write(&bus, "tel", "", "t3").await;
    write(&bus, "event", "k", "e3").await;
    write(&bus, "tel", "", "t4").await;
    assert_eq!(drain(&mut *reader).await, ["tel[0]@3 t3", "event[0]@3 e3", "tel[0]@4 t4"]);
}

#[tokio::test(start_paused = true)]
async fn history_ends_by_position_where_the_last_offsets_hold_nothing() {
    let (bus, control) = bus();
    topics(&bus, &["event"]).await;
    write(&bus, "event", "a", "1").await;
    write(&bus, "event", "a", "2").await;
    control.append("event", 0, Some(b"a".to_vec()), None);
    control.marker("event", 0);
    let mut reader = read(&bus, &[("event", StartAt::Beginning)]).await;
    assert_eq!(
        drain(&mut *reader).await,
        [
            "assigned event[0] 0..4 from 0",
            "event[0]@0 1",
            "event[0]@1 2",
            "event[0]@2 tombstone",
            "caught up event[0]"
        ]
    );
    control.compact("event");
    let mut reader = read(&bus, &[("event", StartAt::Beginning)]).await;
    assert_eq!(drain(&mut *reader).await, ["assigned event[0] 0..4 from 0", "caught up event[0]"]);
}

#[tokio::test(start_paused = true)]
async fn compaction_keeps_the_newest_of_each_key_with_its_offset() {
    let (bus, control) = bus();
    topics(&bus, &["event"]).await;
    for (key, value) in [("a", "a1"), ("b", "b1"), ("a", "a2")] {
        write(&bus, "event", key, value).await;
    }
    control.compact("event");
    let kept: Vec<_> =
        control.records("event").iter().map(|r| (r.offset, text(r.value.as_deref()))).collect();
    assert_eq!(kept, [(1, "b1".to_owned()), (2, "a2".to_owned())]);
    assert_eq!(control.is_compacted("event"), Some(true));
}

#[tokio::test(start_paused = true)]
async fn starts_by_time_and_by_positions_with_several_partitions() {
    let (bus, control) = bus();
    control.set_partitions("tel", 2);
    for n in 0..4 {
        control.append("tel", n % 2, None, Some(format!("{n}").into_bytes()));
        tokio::time::advance(Duration::from_secs(10)).await;
    }
    let since = 1_000_000_000 + 15_000;
    let mut reader = read(&bus, &[("tel", StartAt::Time(since))]).await;
    let seen = drain(&mut *reader).await;
    assert!(seen.contains(&"assigned tel[0] 0..2 from 1".to_owned()), "{seen:?}");
    assert!(seen.contains(&"assigned tel[1] 0..2 from 1".to_owned()), "{seen:?}");
    assert!(seen.contains(&"tel[0]@1 2".to_owned()) && seen.contains(&"tel[1]@1 3".to_owned()), "{seen:?}");
    let mut reader = read(&bus, &[("tel", StartAt::Positions(BTreeMap::from([(0, 2)])))]).await;
    let seen = drain(&mut *reader).await;
    assert!(seen.contains(&"assigned tel[0] 0..2 from 2".to_owned()), "{seen:?}");
    assert!(seen.contains(&"assigned tel[1] 0..2 from 0".to_owned()), "{seen:?}");
    control.set_partitions("tel", 3);
    assert_eq!(drain(&mut *reader).await, ["assigned tel[2] 0..0 from 0", "caught up tel[2]"]);
}

#[tokio::test(start_paused = true)]
async fn a_topic_made_later_or_made_anew_is_read_from_its_beginning() {
    let (bus, control) = bus();
    let mut reader = read(&bus, &[("tel", StartAt::End)]).await;
    assert!(drain(&mut *reader).await.is_empty());
    topics(&bus, &["tel"]).await;
    write(&bus, "tel", "", "x").await;
    let seen = drain(&mut *reader).await;
    // The record may have been written before the reader looked: then it is history that End does not want.
    assert_eq!(seen, ["assigned tel[0] 0..1 from 1", "caught up tel[0]"]);
    control.delete_topic("tel");
    topics(&bus, &["tel"]).await;
    assert_eq!(drain(&mut *reader).await, ["assigned tel[0] 0..0 from 0", "caught up tel[0]"]);
    write(&bus, "tel", "", "y").await;
    assert_eq!(drain(&mut *reader).await, ["tel[0]@0 y"]);
}

#[tokio::test(start_paused = true)]
async fn expired_positions_go_on_at_the_oldest_record() {
    let (bus, control) = bus();
    topics(&bus, &["tel"]).await;
    for n in 0..5 {
        write(&bus, "tel", "", &n.to_string()).await;
    }
    let mut reader = read(&bus, &[("tel", StartAt::Beginning)]).await;
    reader.pause(true);
    assert_eq!(drain(&mut *reader).await, ["assigned tel[0] 0..5 from 0"]);
    control.expire("tel", 0, 4);
    reader.pause(false);
    assert_eq!(drain(&mut *reader).await, ["tel[0]@4 4", "caught up tel[0]"]);
    control.set_retention(2);
    write(&bus, "tel", "", "5").await;
    write(&bus, "tel", "", "6").await;
    assert_eq!(bus.watermarks("tel", 0).await.unwrap(), (5, 7));
}

#[tokio::test(start_paused = true)]
async fn broker_and_registry_away_and_back() {
    let (bus, control) = bus();
    topics(&bus, &["tel"]).await;
    let mut reader = read(&bus, &[("tel", StartAt::End)]).await;
    assert_eq!(drain(&mut *reader).await.len(), 2);
    control.set_stopped(true);
    let writer = bus.writer(WriterKind::Durable).unwrap();
    let error = writer.write("tel", vec![], vec![1]).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("tel"), "{error}");
    assert_eq!(drain(&mut *reader).await, ["trouble read: the in-memory bus is stopped"]);
    assert!(bus.watermarks("tel", 0).await.unwrap_err().is_transient());
    control.set_stopped(false);
    control.fail_writes(1);
    assert!(writer.send("tel", vec![], b"a".to_vec()).is_err());
    assert!(writer.send("tel", vec![], b"b".to_vec()).is_ok());
    assert_eq!(drain(&mut *reader).await, ["tel[0]@0 b"]);
    let unknown = writer.write("nope", vec![], vec![]).await.unwrap_err();
    assert!(!unknown.is_transient(), "{unknown}");
    assert_eq!(writer.warm_up(&["tel".to_owned(), "nope".to_owned()]).await, ["nope"]);

    control.set_registry_stopped(true);
    assert!(bus.register_schema("s", r#""int""#).await.unwrap_err().is_transient());
    control.set_registry_stopped(false);
    let id = bus.register_schema("s", r#""int""#).await.unwrap();
    assert_eq!(&*bus.schema_by_id(id).await.unwrap(), r#""int""#);
    assert_eq!(bus.latest_schema("s").await.unwrap().unwrap().0, id);
    assert_eq!(bus.latest_schema("t").await.unwrap(), None);
    assert!(!bus.schema_by_id(99).await.unwrap_err().is_transient());
}

#[tokio::test(start_paused = true)]
async fn close_deletes_the_group_and_batches_are_bounded() {
    let (bus, control) = bus();
    topics(&bus, &["tel"]).await;
    topics(&bus, &["other"]).await;
    for n in 0..600 {
        write(&bus, "tel", "", &n.to_string()).await;
    }
    let mut reader = read(&bus, &[("other", StartAt::End), ("tel", StartAt::Beginning)]).await;
    let mut batch = Batch::default();
    let mut sizes = Vec::new();
    let mut records = Vec::new();
    while records.len() < 600 {
        reader.next_batch(&mut batch).await;
        sizes.push(batch.len());
        while let Some(item) = batch.pop() {
            if let BatchItem::Record(record) = item {
                assert_eq!(record.topic, 1, "the second of those that were asked for");
                records.push(String::from_utf8(record.value.unwrap().to_vec()).unwrap());
            }
        }
    }
    // Two assignments, 600 records, twice caught up.
    assert_eq!((sizes[0], sizes.iter().sum::<usize>()), (512, 604), "{sizes:?}");
    assert!(records.iter().enumerate().all(|(n, text)| *text == n.to_string()));
    assert_eq!(control.groups(), ["group"]);
    reader.close().await;
    assert!(control.groups().is_empty());
    write(&bus, "tel", "", "late").await;
    assert!(drain(&mut *reader).await.is_empty());
}
