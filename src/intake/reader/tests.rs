//! Tests of the intake on the in-memory bus, in virtual time.

use sal_idl::{Library, Topic as SalTopic};
use salobj::Value;
use salobj::transport::memory::{MemoryControl, MemoryTransport};
use salobj::transport::{Writer, WriterKind};
use salobj::wire::Encoder;

use super::*;
use crate::rules::{FieldNeed, History, Part};
use crate::tasks::series::{RecentSamples, SeriesRequest};

mod other_topics;

const SUBNAME: &str = "test";

/// A bus, a writer of ESS airFlow records, and what has been seen.
struct Bench {
    bus: MemoryTransport,
    control: MemoryControl,
    clock: Clock,
    meter: Arc<Meter>,
    writer: Arc<dyn Writer>,
    air_flow: Arc<SalTopic>,
}

/// A sample in short form: `live 301 8.5`.
type Seen = Vec<String>;

impl Bench {
    async fn new() -> Bench {
        let clock = Clock::scaled(Tai::from_utc_unix(1_800_000_000.0), 1.0);
        let bus = MemoryTransport::new(clock.clone());
        let component = Library::embedded().component("ESS").unwrap();
        let air_flow = component.topic("airFlow").unwrap().clone();
        let bench = Bench {
            control: bus.control(),
            writer: bus.writer(WriterKind::Plain).unwrap(),
            bus,
            clock,
            meter: Arc::new(Meter::default()),
            air_flow,
        };
        bench.bus.create_topics(&[TopicSpec { name: bench.topic(), compacted: false }]).await.unwrap();
        bench
    }

    fn topic(&self) -> String {
        sal_idl::names::kafka_topic(SUBNAME, "ESS", "airFlow")
    }

    fn intake(&self) -> Intake {
        let transport: Arc<dyn Transport> = Arc::new(self.bus.clone());
        Intake::new(transport, self.clock.clone(), SUBNAME.into(), "group".into(), Arc::clone(&self.meter))
    }

    async fn register(&self) -> u32 {
        let subject = format!("{}-value", self.topic());
        self.bus.register_schema(&subject, &self.air_flow.schema_compact).await.unwrap()
    }

    fn record(&self, id: u32, index: i64, speed: f64) -> Vec<u8> {
        let values: Vec<Value> = self
            .air_flow
            .fields
            .iter()
            .map(|f| match f.name.as_str() {
                "salIndex" => Value::Int(index),
                "private_sndStamp" => Value::Double(self.clock.now().0),
                "speed" => Value::Double(speed),
                _ => salobj::wire::default_value(f),
            })
            .collect();
        Encoder::new(Arc::clone(&self.air_flow)).unwrap().encode(id, &values).unwrap()
    }

    async fn write(&self, id: u32, index: i64, speed: f64) {
        self.writer.write(&self.topic(), Vec::new(), self.record(id, index, speed)).await.unwrap();
    }

    fn errors(&self) -> u64 {
        self.meter.decode_errors.load(Ordering::Relaxed)
    }
}

fn wanted(indices: Option<Vec<i64>>, span_s: u64) -> Subscriptions {
    Subscriptions {
        topics: vec![TopicNeed {
            component: "ESS".into(),
            sal_name: "airFlow".into(),
            indices,
            fields: vec![FieldNeed { name: "speed".into(), part: Part::Whole }],
            history: History { span: Duration::from_secs(span_s), count: 1 },
        }],
    }
}

/// Everything that comes within a second of virtual time.
async fn drain(intake: &mut Intake) -> Seen {
    let mut seen = Vec::new();
    while tokio::time::timeout(Duration::from_secs(1), intake.wait()).await.is_ok() {
        intake
            .drain(|sample, live| {
                let Value::Double(speed) = sample.cells[0] else { panic!("{sample:?}") };
                let word = if live { "live" } else { "history" };
                seen.push(format!("{word} {} {speed}", sample.sal_index));
            })
            .await;
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn what_is_there_is_history_and_what_comes_is_live() {
    let bench = Bench::new().await;
    let id = bench.register().await;
    bench.write(id, 301, 1.0).await;
    let mut intake = bench.intake();
    assert!(intake.caught_up(), "nothing to read yet");
    intake.subscribe(&wanted(None, 0), &Positions::default()).await.unwrap();
    assert!(!intake.caught_up());
    assert_eq!(drain(&mut intake).await, ["history 301 1"]);
    assert!(intake.caught_up());
    bench.write(id, 302, 2.0).await;
    assert_eq!(drain(&mut intake).await, ["live 302 2"]);
    assert_eq!(intake.positions().next[&bench.topic()], BTreeMap::from([(0, 2)]));
    intake.close().await;
    assert!(bench.control.groups().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_window_is_filled_by_time() {
    let bench = Bench::new().await;
    let id = bench.register().await;
    for speed in 0..10 {
        bench.write(id, 301, f64::from(speed)).await;
        tokio::time::advance(Duration::from_secs(60)).await;
    }
    let mut intake = bench.intake();
    intake.subscribe(&wanted(None, 150), &Positions::default()).await.unwrap();
    assert_eq!(drain(&mut intake).await, ["history 301 8", "history 301 9"]);
}

#[tokio::test(start_paused = true)]
async fn after_a_restart_what_came_meanwhile_is_live() {
    let bench = Bench::new().await;
    let id = bench.register().await;
    bench.write(id, 301, 1.0).await;
    let mut first = bench.intake();
    first.subscribe(&wanted(None, 300), &Positions::default()).await.unwrap();
    drain(&mut first).await;
    let noted = first.positions();
    drop(first);
    bench.write(id, 301, 2.0).await;
    let mut second = bench.intake();
    second.subscribe(&wanted(None, 300), &noted).await.unwrap();
    assert_eq!(second.positions().next, noted.next, "not lost before anything is assigned");
    assert_eq!(drain(&mut second).await, ["history 301 1", "live 301 2"]);

    // Deleted and made anew: all of it is new.
    bench.control.delete_topic(&bench.topic());
    bench.bus.create_topics(&[TopicSpec { name: bench.topic(), compacted: false }]).await.unwrap();
    bench.write(id, 301, 3.0).await;
    let mut third = bench.intake();
    third.subscribe(&wanted(None, 300), &second.positions()).await.unwrap();
    assert_eq!(drain(&mut third).await, ["live 301 3"]);
}

#[tokio::test(start_paused = true)]
async fn a_new_subscription_goes_on_where_it_stands() {
    let bench = Bench::new().await;
    let id = bench.register().await;
    let mut intake = bench.intake();
    intake.subscribe(&wanted(None, 0), &Positions::default()).await.unwrap();
    drain(&mut intake).await;
    bench.write(id, 301, 1.0).await;
    assert_eq!(drain(&mut intake).await, ["live 301 1"]);
    bench.write(id, 301, 2.0).await;
    intake.subscribe(&wanted(None, 0), &Positions::default()).await.unwrap();
    assert_eq!(drain(&mut intake).await, ["live 301 2"]);
    intake.subscribe(&Subscriptions::default(), &Positions::default()).await.unwrap();
    bench.write(id, 301, 3.0).await;
    assert!(drain(&mut intake).await.is_empty());
}

/// A rule that comes later gets the past of a topic that is read already; nothing that was live is live again.
#[tokio::test(start_paused = true)]
async fn the_past_is_read_again_for_a_rule_that_comes_later() {
    let bench = Bench::new().await;
    let id = bench.register().await;
    let mut intake = bench.intake();
    intake.subscribe(&wanted(None, 0), &Positions::default()).await.unwrap();
    drain(&mut intake).await;
    for speed in 0..10 {
        bench.write(id, 301, f64::from(speed)).await;
        tokio::time::advance(Duration::from_secs(60)).await;
    }
    assert_eq!(drain(&mut intake).await.len(), 10);
    let stood = intake.positions().next;
    intake.fill([0].into());
    intake.subscribe(&wanted(None, 150), &Positions::default()).await.unwrap();
    assert!(!intake.caught_up());
    assert_eq!(intake.positions().next, stood, "what was live is behind us, whatever is read again");
    bench.write(id, 301, 10.0).await;
    assert_eq!(drain(&mut intake).await, ["history 301 8", "history 301 9", "live 301 10"]);
    assert!(intake.caught_up());
    intake.subscribe(&wanted(None, 150), &Positions::default()).await.unwrap();
    bench.write(id, 301, 11.0).await;
    assert_eq!(drain(&mut intake).await, ["live 301 11"], "read again only when it is wanted");
}

#[tokio::test(start_paused = true)]
async fn only_the_wanted_instances_are_given() {
    let bench = Bench::new().await;
    let id = bench.register().await;
    let mut intake = bench.intake();
    intake.subscribe(&wanted(Some(vec![302]), 0), &Positions::default()).await.unwrap();
    drain(&mut intake).await;
    for index in [301, 302, 303] {
        bench.write(id, index, 0.5).await;
    }
    assert_eq!(drain(&mut intake).await, ["live 302 0.5"]);
}

#[tokio::test(start_paused = true)]
async fn poison_is_counted_and_skipped() {
    let bench = Bench::new().await;
    let id = bench.register().await;
    let good = bench.record(id, 301, 1.0);
    let mut intake = bench.intake();
    intake.subscribe(&wanted(None, 0), &Positions::default()).await.unwrap();
    assert!(drain(&mut intake).await.is_empty());
    let append = |value: Option<&[u8]>| {
        bench.control.append(&bench.topic(), 0, Some(Vec::new()), value.map(<[u8]>::to_vec)).unwrap();
    };
    append(Some(&good[..good.len() - 1]));
    append(Some(b"{\"json\": true}"));
    append(Some(&[]));
    append(None);
    append(Some(&[&[0, 0, 0, 0, 99][..], &good[5..]].concat()));
    append(Some(&[&good[..], &[0][..]].concat()));
    append(Some(&good));
    assert_eq!(drain(&mut intake).await, ["live 301 1"]);
    assert_eq!(bench.errors(), 5, "all but the tombstone and the last");
    assert!(intake.caught_up());
    assert_eq!(intake.positions().next[&bench.topic()][&0], 7);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_away_holds_up_only_what_needs_it() {
    let bench = Bench::new().await;
    let id = bench.register().await;
    let other = sal_idl::names::kafka_topic(SUBNAME, "ESS", "temperature");
    let schema = r#"{"type": "record", "name": "temperature", "fields": [{"name": "salIndex", "type": "int"},
        {"name": "speed", "type": "double"}]}"#;
    let other_id = bench.bus.register_schema("x", schema).await.unwrap();
    bench.bus.create_topics(&[TopicSpec { name: other.clone(), compacted: false }]).await.unwrap();
    let mut both = wanted(None, 0);
    both.topics.push(TopicNeed { sal_name: "temperature".into(), ..both.topics[0].clone() });
    let mut intake = bench.intake();
    intake.subscribe(&both, &Positions::default()).await.unwrap();
    assert!(drain(&mut intake).await.is_empty());
    bench.write(id, 301, 1.0).await;
    assert_eq!(drain(&mut intake).await, ["live 301 1"]);

    bench.control.set_registry_stopped(true);
    let body = [&[0, 0, 0, 0, other_id as u8, 14][..], &7.5_f64.to_le_bytes()].concat();
    bench.writer.write(&other, Vec::new(), body.clone()).await.unwrap();
    bench.writer.write(&other, Vec::new(), body).await.unwrap();
    bench.write(id, 301, 2.0).await;
    assert_eq!(drain(&mut intake).await, ["live 301 2"]);
    assert!(!intake.caught_up());
    assert_eq!(intake.positions().next[&other], BTreeMap::from([(0, 0)]), "not given yet");
    bench.control.set_registry_stopped(false);
    assert_eq!(drain(&mut intake).await, ["live 7 7.5", "live 7 7.5"]);
    assert!(intake.caught_up());
    assert_eq!(intake.positions().next[&other], BTreeMap::from([(0, 2)]));
    assert_eq!(bench.errors(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_lag_is_what_has_not_been_given() {
    let bench = Bench::new().await;
    let id = bench.register().await;
    let mut intake = bench.intake();
    intake.subscribe(&wanted(None, 0), &Positions::default()).await.unwrap();
    drain(&mut intake).await;
    for _ in 0..3 {
        bench.write(id, 301, 1.0).await;
    }
    intake.wait().await;
    bench.meter.lag.store(-1, Ordering::Relaxed);
    tokio::time::advance(Duration::from_secs(30)).await;
    while bench.meter.lag.load(Ordering::Relaxed) < 0 {
        // What has been fetched is not looked at: only the background questions go on.
        let batch = std::mem::take(&mut intake.batch);
        tokio::time::timeout(Duration::from_secs(60), intake.wait()).await.unwrap();
        intake.batch = batch;
    }
    assert_eq!(bench.meter.lag.load(Ordering::Relaxed), 3);
    assert_eq!(drain(&mut intake).await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_analyses_ask_for_is_kept_also_of_topics_that_no_rule_reads() {
    let bench = Bench::new().await;
    let id = bench.register().await;
    for speed in 0..10 {
        bench.write(id, 301, f64::from(speed)).await;
        tokio::time::advance(Duration::from_secs(60)).await;
    }
    let fields = ["speed".to_owned(), "direction".to_owned()].into();
    let need = SeriesNeed {
        component: "ESS".into(),
        sal_name: "airFlow".into(),
        fields,
        span: Duration::from_secs(200),
    };
    let series = serde_json::json!({"topic": "ESS:301.tel_airFlow", "fields": ["speed", "direction"], "range": "150s"});
    let schemas = Schemas(bench.air_flow.clone());
    let recent = async |intake: &mut Intake| {
        let request = SeriesRequest::read(&series, &schemas, bench.clock.now()).unwrap();
        let asker = intake.recent();
        let answering = async {
            loop {
                intake.wait().await;
                intake.drain(|_, _| {}).await;
            }
        };
        let found = tokio::select! {
            found = asker.recent(&request) => found?,
            () = answering => unreachable!("it goes on for ever"),
        };
        assert!(found.since.0 <= request.from.0, "{found:?}");
        Some(found.rows.len())
    };

    let mut intake = bench.intake();
    intake.keep(vec![need]);
    intake.subscribe(&Subscriptions::default(), &Positions::default()).await.unwrap();
    assert!(drain(&mut intake).await.is_empty(), "no rule reads it");
    assert_eq!(recent(&mut intake).await, Some(3));

    // A rule that reads the topic, added later, leaves what is kept.
    intake.subscribe(&wanted(Some(vec![302]), 0), &Positions::default()).await.unwrap();
    bench.write(id, 301, 10.0).await;
    bench.write(id, 302, 11.0).await;
    assert_eq!(drain(&mut intake).await, ["live 302 11"]);
    assert_eq!(recent(&mut intake).await, Some(4));
    intake.keep(Vec::new());
    intake.subscribe(&wanted(None, 0), &Positions::default()).await.unwrap();
    assert_eq!(recent(&mut intake).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_subscription_in_the_middle_of_history_goes_on_in_it() {
    let bench = Bench::new().await;
    let id = bench.register().await;
    for speed in 0..5 {
        bench.write(id, 301, f64::from(speed)).await;
    }
    let mut intake = bench.intake();
    intake.subscribe(&wanted(None, 300), &Positions::default()).await.unwrap();
    intake.wait().await;
    intake.batch.truncate(3);
    let mut seen = Vec::new();
    // The assignment and the schema's question; then two records.
    intake.drain(|_, _| panic!("the schema is not there yet")).await;
    assert_eq!(intake.positions().next[&bench.topic()][&0], 5, "its history is not to be taken for new");
    intake.subscribe(&wanted(None, 300), &Positions::default()).await.unwrap();
    bench.write(id, 301, 5.0).await;
    seen.append(&mut drain(&mut intake).await);
    assert_eq!(
        seen,
        ["history 301 0", "history 301 1", "history 301 2", "history 301 3", "history 301 4", "live 301 5"]
    );
}

/// The one topic of the tests, for requests of series.
struct Schemas(Arc<SalTopic>);

impl crate::rules::SchemaSource for Schemas {
    fn topic(&self, _: &str, _: &str) -> Result<Arc<crate::rules::TopicSchema>, crate::rules::SchemaError> {
        Ok(Arc::new(crate::rules::TopicSchema::of(&self.0, true)))
    }

    fn enumerations(&self, _: &str) -> Vec<sal_idl::Enumeration> {
        Vec::new()
    }

    fn components(&self) -> Vec<String> {
        vec!["ESS".to_owned()]
    }

    fn topics(&self, _: &str) -> Vec<String> {
        vec![self.0.sal_name.clone()]
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscription_that_fails_changes_nothing() {
    let bench = Bench::new().await;
    let id = bench.register().await;
    let mut intake = bench.intake();
    intake.subscribe(&wanted(None, 300), &Positions::default()).await.unwrap();
    drain(&mut intake).await;
    bench.write(id, 301, 1.0).await;
    assert_eq!(drain(&mut intake).await, ["live 301 1"]);
    let before = intake.positions().next;
    bench.control.set_stopped(true);
    assert!(intake.subscribe(&wanted(None, 300), &Positions::default()).await.unwrap_err().is_transient());
    assert_eq!(intake.positions().next, before);
    bench.control.set_stopped(false);
    bench.write(id, 301, 2.0).await;
    assert_eq!(drain(&mut intake).await, ["live 301 2"]);
    intake.subscribe(&wanted(None, 300), &Positions::default()).await.unwrap();
    bench.write(id, 301, 3.0).await;
    assert_eq!(drain(&mut intake).await, ["live 301 3"]);
    assert_eq!(bench.control.groups().len(), 1, "the old reader has left");
}
