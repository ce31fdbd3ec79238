//! What only a real broker and a real registry show: look-up by time, topic settings, SCRAM, consumer groups and their
//! deletion, offsets without records. Skipped, and said so, where the environment names no servers.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests may panic, and say that they are skipped"
)]

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use salobj::transport::kafka::{KafkaOptions, KafkaTransport};
use salobj::transport::{ReadEvent, Reader, StartAt, TopicSpec, Transport, TransportError, WriterKind};
use salobj::{Clock, Env, Tai};
use salobj_testbed::{REAL_BROKER, REAL_REGISTRY, Testbed};

const LIMIT: Duration = Duration::from_secs(30);

/// The real servers; `None`, with a word, where there are none.
async fn real() -> Option<(Testbed, Arc<KafkaTransport>, String)> {
    if std::env::var_os(REAL_BROKER).is_none() || std::env::var_os(REAL_REGISTRY).is_none() {
        println!("SKIPPED: {REAL_BROKER} and {REAL_REGISTRY} name no real servers");
        return None;
    }
    let bed = Testbed::for_tests().await.unwrap();
    let (bus, subname) = (bed.transport(), bed.env().topic_subname.clone());
    Some((bed, bus, subname))
}

fn spec(name: &str, compacted: bool) -> TopicSpec {
    TopicSpec { name: name.to_owned(), compacted }
}

fn settings(bed: &Testbed) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bed.broker_address());
    config
}

async fn read_until_caught_up(reader: &mut dyn Reader) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        match tokio::time::timeout(LIMIT, reader.next()).await.expect("history ends") {
            ReadEvent::Record(r) => seen.push(String::from_utf8(r.value.unwrap()).unwrap()),
            ReadEvent::CaughtUp { .. } => return seen,
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_have_the_settings_of_their_category() {
    let Some((bed, bus, name)) = real().await else { return };
    let (event, tel) = (format!("{name}.event"), format!("{name}.tel"));
    // Two at once: that the other was faster is no error.
    let other = KafkaTransport::new(bed.env(), KafkaOptions::default()).unwrap();
    let specs = [spec(&event, true), spec(&tel, false)];
    let (a, b) = tokio::join!(bus.create_topics(&specs), other.create_topics(&specs));
    a.unwrap();
    b.unwrap();
    let admin: AdminClient<DefaultClientContext> = settings(&bed).create().unwrap();
    for (topic, policy) in [(&event, "compact"), (&tel, "delete")] {
        let what = [ResourceSpecifier::Topic(topic)];
        let answer = admin.describe_configs(&what, &AdminOptions::new()).await.unwrap().remove(0).unwrap();
        assert_eq!(answer.get("cleanup.policy").unwrap().value.as_deref(), Some(policy), "{topic}");
        let metadata = admin.inner().fetch_metadata(Some(topic), LIMIT).unwrap();
        assert_eq!(metadata.topics()[0].partitions().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_by_time() {
    let Some((bed, _, name)) = real().await else { return };
    let now = Clock::System.now();
    let topic = format!("{name}.tel");
    // One record an hour, the last one now.
    let records = 5;
    for hour in (0..records).rev() {
        let clock = Clock::scaled(now - Duration::from_secs(3600 * hour), 1.0);
        let bus = KafkaTransport::new(bed.env(), KafkaOptions { clock, ..bed.options() }).unwrap();
        bus.create_topics(&[spec(&topic, false)]).await.unwrap();
        let writer = bus.writer(WriterKind::Plain).unwrap();
        writer.write(&topic, Vec::new(), format!("-{hour}h").into_bytes()).await.unwrap();
    }
    let read = async |since: Tai| {
        let start = [(topic.clone(), StartAt::Time(since.utc_ms()))];
        let mut reader = bed.transport().reader(&format!("{name}-time"), &start).await.unwrap();
        let seen = read_until_caught_up(&mut *reader).await;
        reader.close().await;
        seen
    };
    assert_eq!(read(now - Duration::from_secs(9000)).await, ["-2h", "-1h", "-0h"]);
    assert_eq!(read(now + Duration::from_secs(3600)).await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_group_is_there_and_then_gone() {
    let Some((bed, bus, name)) = real().await else { return };
    let (topic, group) = (format!("{name}.event"), format!("{name}-Test:7-group"));
    bus.create_topics(&[spec(&topic, true)]).await.unwrap();
    let look: BaseConsumer = settings(&bed).create().unwrap();
    let exists = || {
        let groups = look.fetch_group_list(None, LIMIT).unwrap();
        groups.groups().iter().any(|g| g.name() == group)
    };
    let mut reader = bus.reader(&group, &[(topic, StartAt::End)]).await.unwrap();
    read_until_caught_up(&mut *reader).await;
    assert!(exists());
    reader.close().await;
    assert!(!exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn history_ends_where_the_last_offsets_are_transaction_markers() {
    let Some((bed, bus, name)) = real().await else { return };
    let topics: Vec<String> = ["a", "b", "c"].iter().map(|t| format!("{name}.{t}")).collect();
    let specs: Vec<TopicSpec> = topics.iter().map(|t| spec(t, false)).collect();
    bus.create_topics(&specs).await.unwrap();
    let producer: BaseProducer =
        settings(&bed).set("transactional.id", format!("{name}-transaction")).create().unwrap();
    producer.init_transactions(LIMIT).unwrap();
    producer.begin_transaction().unwrap();
    for topic in &topics {
        producer.send(BaseRecord::to(topic).key("k").payload("in a transaction")).unwrap();
    }
    producer.commit_transaction(LIMIT).unwrap();
    bus.writer(WriterKind::Plain).unwrap().write(&topics[2], vec![], b"after".to_vec()).await.unwrap();
    assert_eq!(bus.watermarks(&topics[0], 0).await.unwrap(), (0, 2), "a record and a marker");

    let wanted: Vec<_> = topics.iter().map(|t| (t.clone(), StartAt::Back(500))).collect();
    let mut reader = bus.reader(&format!("{name}-markers"), &wanted).await.unwrap();
    let mut seen = Vec::new();
    for _ in &topics {
        seen.append(&mut read_until_caught_up(&mut *reader).await);
    }
    seen.sort();
    assert_eq!(seen, ["after", "in a transaction", "in a transaction", "in a transaction"]);
    reader.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scram_lets_in_who_knows_the_password() {
    let Some((bed, _, name)) = real().await else { return };
    let var = |name: &str| std::env::var(format!("CATCHER_TEST_SASL_{name}"));
    let (Ok(broker), Ok(user), Ok(password)) = (var("BROKER"), var("USERNAME"), var("PASSWORD")) else {
        println!("SKIPPED: CATCHER_TEST_SASL_BROKER, _USERNAME and _PASSWORD name no listener");
        return;
    };
    let bus = |password: &str| {
        let env = Env::from_vars(
            [
                ("LSST_TOPIC_SUBNAME", name.as_str()),
                ("LSST_KAFKA_BROKER_ADDR", &broker),
                ("LSST_SCHEMA_REGISTRY_URL", bed.registry_url()),
                ("LSST_KAFKA_SECURITY_USERNAME", &user),
                ("LSST_KAFKA_SECURITY_PASSWORD", password),
            ]
            .map(|(k, v)| (k.to_owned(), v.to_owned())),
        );
        KafkaTransport::new(&env.unwrap(), KafkaOptions::default()).unwrap()
    };
    let good = bus(&password);
    let topic = format!("{name}.tel");
    good.create_topics(&[spec(&topic, false)]).await.unwrap();
    let writer = good.writer(WriterKind::Durable).unwrap();
    writer.write(&topic, Vec::new(), b"x".to_vec()).await.unwrap();
    let mut reader = good.reader(&format!("{name}-sasl"), &[(topic, StartAt::Beginning)]).await.unwrap();
    assert_eq!(read_until_caught_up(&mut *reader).await, ["x"]);
    reader.close().await;
    let wrong = bus("wrong").list_topics().await.unwrap_err();
    assert!(matches!(wrong, TransportError::Unavailable { .. }), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_registry_answers_like_ours() {
    let Some((_bed, bus, name)) = real().await else { return };
    let subject = format!("{name}.event-value");
    let schema = |t: &str, default: &str| {
        format!(
            r#"{{"type": "record", "name": "x", "fields": [{{"name": "a", "type": "{t}", "default": {default}}}]}}"#
        )
    };
    assert_eq!(bus.latest_schema(&subject).await.unwrap(), None);
    let id = bus.register_schema(&subject, &schema("int", "0")).await.unwrap();
    assert_eq!(bus.register_schema(&subject, &schema("int", "0")).await.unwrap(), id);
    assert_eq!(bus.registry().lookup(&subject, &schema("double", "0.0")).await.unwrap(), None);
    assert_eq!(bus.registry().lookup(&format!("{subject}-none"), &schema("int", "0")).await.unwrap(), None);
    let other = KafkaTransport::new(_bed.env(), KafkaOptions::default()).unwrap();
    let text = other.schema_by_id(id).await.unwrap();
    let same = |a: &str, b: &str| {
        serde_json::from_str::<serde_json::Value>(a).unwrap()
            == serde_json::from_str::<serde_json::Value>(b).unwrap()
    };
    assert!(same(&text, &schema("int", "0")), "{text}");
    let (latest, text) = other.latest_schema(&subject).await.unwrap().unwrap();
    assert!(latest == id && same(&text, &schema("int", "0")), "{latest} {text}");
    let unknown = other.schema_by_id(2_000_000_000).await.unwrap_err();
    assert!(!unknown.is_transient(), "{unknown}");
}
