//! The Kafka transport on the mock broker and the embedded registry, or on real servers where the environment names
//! them: the wire, with real sockets and real time. Every wait is for a condition, with a limit that is only reached
//! when something is broken. What the mock broker cannot do is in `real.rs`.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::sync::Arc;
use std::time::Duration;

use salobj::transport::kafka::{KafkaOptions, KafkaTransport, Membership};
use salobj::transport::{ReadEvent, Reader, Record, StartAt, TopicSpec, Transport, WriterKind};
use salobj::{Clock, Env, Tai};
use salobj_testbed::Testbed;

const LIMIT: Duration = Duration::from_secs(30);

/// Servers, and a name that is this test's own in place of each `{name}`.
async fn bed() -> (Testbed, Arc<KafkaTransport>, impl Fn(&str) -> String) {
    let bed = Testbed::for_tests().await.unwrap();
    let subname = bed.env().topic_subname.clone();
    let bus = bed.transport();
    (bed, bus, move |name| format!("{subname}.{name}"))
}

fn spec(name: &str) -> TopicSpec {
    TopicSpec { name: name.to_owned(), compacted: false }
}

async fn write(transport: &dyn Transport, topic: &str, values: &[&str]) {
    let writer = transport.writer(WriterKind::Plain).unwrap();
    for value in values {
        writer.write(topic, Vec::new(), value.as_bytes().to_vec()).await.unwrap();
    }
}

async fn reader(transport: &dyn Transport, topics: &[(&str, StartAt)]) -> Box<dyn Reader> {
    let topics: Vec<_> = topics.iter().map(|(t, s)| ((*t).to_owned(), s.clone())).collect();
    transport.reader("group", &topics).await.unwrap()
}

/// Events until one satisfies the condition; panics with what was seen if that does not come.
async fn until(reader: &mut dyn Reader, mut stop: impl FnMut(&ReadEvent) -> bool) -> Vec<ReadEvent> {
    let mut seen = Vec::new();
    loop {
        match tokio::time::timeout(LIMIT, reader.next()).await {
            Ok(event) => {
                seen.push(event);
                if stop(&seen[seen.len() - 1]) {
                    return seen;
                }
            }
            Err(_) => panic!("waited in vain; seen: {seen:#?}"),
        }
    }
}

fn text(record: &Record) -> String {
    String::from_utf8(record.value.clone().unwrap()).unwrap()
}

fn texts(events: &[ReadEvent]) -> Vec<String> {
    let of = |e: &ReadEvent| if let ReadEvent::Record(r) = e { Some(text(r)) } else { None };
    events.iter().filter_map(of).collect()
}

fn is_caught_up(event: &ReadEvent) -> bool {
    matches!(event, ReadEvent::CaughtUp { .. })
}

fn is_text(wanted: &str) -> impl FnMut(&ReadEvent) -> bool + '_ {
    move |e| matches!(e, ReadEvent::Record(r) if text(r) == wanted)
}

#[tokio::test(flavor = "multi_thread")]
async fn history_then_new_records_with_keys_and_offsets() {
    let (_bed, bus, name) = bed().await;
    let (event, tel) = (&*name("event"), &*name("tel"));
    bus.create_topics(&[spec(event), spec(tel)]).await.unwrap();
    bus.create_topics(&[spec(event)]).await.unwrap();
    let topics = bus.list_topics().await.unwrap();
    assert!(topics.is_sorted() && [event, tel].iter().all(|t| topics.iter().any(|n| n == t)), "{topics:?}");
    write(&*bus, event, &["e0", "e1", "e2"]).await;
    write(&*bus, tel, &["t0"]).await;
    assert_eq!(bus.watermarks(event, 0).await.unwrap(), (0, 3));

    let mut reader = reader(&*bus, &[(event, StartAt::Back(2)), (tel, StartAt::End)]).await;
    let mut ends = 0;
    let seen = until(&mut *reader, |e| {
        ends += usize::from(is_caught_up(e));
        ends == 2
    })
    .await;
    assert_eq!(texts(&seen), ["e1", "e2"]);
    let start = |name: &str| {
        seen.iter().find_map(|e| match e {
            ReadEvent::Assigned { topic, low, high, start, .. } if &**topic == name => {
                Some((*low, *high, *start))
            }
            _ => None,
        })
    };
    assert_eq!((start(event), start(tel)), (Some((0, 3, 1)), Some((0, 1, 1))));

    let writer = bus.writer(WriterKind::Durable).unwrap();
    assert!(writer.warm_up(&[event.to_owned(), tel.to_owned()]).await.is_empty());
    let delivery = writer.write(event, b"the key".to_vec(), b"e3".to_vec()).await.unwrap();
    assert_eq!((delivery.partition, delivery.offset), (0, 3));
    let seen = until(&mut *reader, is_text("e3")).await;
    let Some(ReadEvent::Record(record)) = seen.last() else { panic!("{seen:?}") };
    assert_eq!((record.key.as_deref(), record.offset), (Some(&b"the key"[..]), 3));
    writer.send(tel, Vec::new(), b"t1".to_vec()).unwrap();
    writer.flush(LIMIT).await.unwrap();
    let seen = until(&mut *reader, is_text("t1")).await;
    let Some(ReadEvent::Record(record)) = seen.last() else { panic!("{seen:?}") };
    assert_eq!(record.key.as_deref(), Some(&b""[..]), "empty, not absent");
    reader.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn order_is_kept_and_a_slow_reader_loses_nothing() {
    let (_bed, bus, name) = bed().await;
    let tel = &*name("tel");
    bus.create_topics(&[spec(tel)]).await.unwrap();
    let mut reader = reader(&*bus, &[(tel, StartAt::Beginning)]).await;
    let writer = bus.writer(WriterKind::Plain).unwrap();
    const COUNT: usize = 20_000;
    for n in 0..COUNT {
        writer.send(tel, Vec::new(), n.to_string().into_bytes()).unwrap();
    }
    writer.flush(LIMIT).await.unwrap();
    // More than fits into the channel has been fetched by now; the rest waits in the consumer.
    reader.pause(true);
    reader.pause(false);
    let last = (COUNT - 1).to_string();
    let seen = texts(&until(&mut *reader, is_text(&last)).await);
    let expected: Vec<String> = (0..COUNT).map(|n| n.to_string()).collect();
    assert_eq!(seen.len(), expected.len());
    assert_eq!(seen, expected);
    reader.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_partitions_positions_and_time() {
    let clock = Clock::scaled(Tai::from_utc_unix(1_000_000.0), 1.0);
    let bed = Testbed::start_with(clock).await.unwrap();
    let bus = bed.transport();
    bed.broker().unwrap().create_topic("tel", 2).unwrap();
    write(&*bus, "tel", &["a", "b", "c", "d"]).await;
    let mut all = reader(&*bus, &[("tel", StartAt::Beginning)]).await;
    let mut count = 0;
    let seen = until(&mut *all, |e| {
        count += usize::from(matches!(e, ReadEvent::Record(_)));
        count == 4
    })
    .await;
    all.close().await;
    let records: Vec<&Record> =
        seen.iter().filter_map(|e| if let ReadEvent::Record(r) = e { Some(r) } else { None }).collect();
    let last = records[3];
    assert!(
        last.timestamp_ms.is_some_and(|t| (1_000_000_000..1_000_100_000).contains(&t)),
        "the clock's stamp"
    );

    // Everything of the other partition, nothing of this one.
    let high = bus.watermarks("tel", last.partition).await.unwrap().1;
    let positions = StartAt::Positions([(last.partition, high)].into());
    let mut rest = reader(&*bus, &[("tel", positions)]).await;
    let mut ends = 0;
    let seen = until(&mut *rest, |e| {
        ends += usize::from(is_caught_up(e));
        ends == 2
    })
    .await;
    let expected: Vec<String> =
        records.iter().filter(|r| r.partition != last.partition).map(|r| text(r)).collect();
    assert_eq!(texts(&seen), expected);
    rest.close().await;

    // Without look-up by time, older records are skipped.
    let since = records.iter().filter_map(|r| r.timestamp_ms).max().unwrap() + 1;
    let mut timed = reader(&*bus, &[("tel", StartAt::Time(since))]).await;
    let mut ends = 0;
    let seen = until(&mut *timed, |e| {
        ends += usize::from(is_caught_up(e));
        ends == 2
    })
    .await;
    assert!(texts(&seen).is_empty(), "{seen:?}");
    timed.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_made_later_is_found() {
    let (_bed, bus, name) = bed().await;
    let (here, later) = (&*name("here"), &*name("later"));
    bus.create_topics(&[spec(here)]).await.unwrap();
    let mut reader = reader(&*bus, &[(here, StartAt::End), (later, StartAt::Beginning)]).await;
    until(&mut *reader, is_caught_up).await;
    bus.create_topics(&[spec(later)]).await.unwrap();
    write(&*bus, later, &["x"]).await;
    until(&mut *reader, is_text("x")).await;
    reader.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_away_in_the_middle_and_back() {
    let bed = Testbed::start().await.unwrap();
    let bus = bed.transport();
    bus.create_topics(&[spec("tel")]).await.unwrap();
    let mut reader = reader(&*bus, &[("tel", StartAt::End)]).await;
    until(&mut *reader, is_caught_up).await;
    bed.broker().unwrap().set_down(true).unwrap();
    let seen = until(&mut *reader, |e| matches!(e, ReadEvent::Trouble(_))).await;
    let Some(ReadEvent::Trouble(error)) = seen.last() else { panic!("{seen:?}") };
    assert!(error.is_transient(), "{error}");
    let writer = bus.writer(WriterKind::Plain).unwrap();
    writer.send("tel", Vec::new(), b"kept".to_vec()).unwrap();
    bed.broker().unwrap().set_down(false).unwrap();
    until(&mut *reader, is_text("kept")).await;
    reader.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broker_away_at_the_start() {
    let env = Env::from_vars([
        ("LSST_TOPIC_SUBNAME".to_owned(), "test".to_owned()),
        ("LSST_KAFKA_BROKER_ADDR".to_owned(), "127.0.0.1:1".to_owned()),
        ("LSST_SCHEMA_REGISTRY_URL".to_owned(), "http://127.0.0.1:1".to_owned()),
    ])
    .unwrap();
    let options = KafkaOptions { membership: Membership::Assigned, ..KafkaOptions::default() };
    let bus = KafkaTransport::new(&env, options).unwrap();
    let mut reader = reader(&bus, &[("tel", StartAt::End)]).await;
    until(&mut *reader, |e| matches!(e, ReadEvent::Trouble(t) if t.is_transient())).await;
    reader.close().await;
    let error = bus.register_schema("s", "\"int\"").await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("127.0.0.1:1"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_property_is_refused_by_name() {
    let mut env = Env::for_subname("test");
    env.broker_config.insert("no.such.property".to_owned(), "1".to_owned());
    let error = KafkaTransport::new(&env, KafkaOptions::default()).unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("no.such.property"), "{error}");
    let sasl = Env::from_vars([
        ("LSST_TOPIC_SUBNAME".to_owned(), "test".to_owned()),
        ("LSST_KAFKA_SECURITY_USERNAME".to_owned(), "me".to_owned()),
        ("LSST_KAFKA_SECURITY_PASSWORD".to_owned(), "hunter2".to_owned()),
    ])
    .unwrap();
    let bus = KafkaTransport::new(&sasl, KafkaOptions::default()).unwrap();
    assert!(!format!("{bus:?}").contains("hunter2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_in_a_group() {
    let (bed, _, name) = bed().await;
    let options = KafkaOptions { membership: Membership::Group, ..bed.options() };
    let bus = KafkaTransport::new(bed.env(), options).unwrap();
    let event = &*name("event");
    bus.create_topics(&[spec(event)]).await.unwrap();
    write(&bus, event, &["a", "b"]).await;
    let mut reader = reader(&bus, &[(event, StartAt::Back(1))]).await;
    let seen = until(&mut *reader, is_caught_up).await;
    assert_eq!(texts(&seen), ["b"]);
    write(&bus, event, &["c"]).await;
    until(&mut *reader, is_text("c")).await;
    reader.close().await;
}
