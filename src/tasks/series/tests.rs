use std::sync::Mutex;

use salobj::Value;
use salobj::transport::memory::{MemoryControl, MemoryTransport};
use salobj::transport::{TopicSpec, Transport, WriterKind};
use salobj::wire::{Encoder, default_value};
use serde_json::json;
use tokio::sync::Notify;

use super::*;
use crate::outputs::efd::{Column, EfdError, Point, SeriesQuery, Table, TextQuery};
use crate::rules::{SchemaError, SchemaSource, TopicSchema};

/// The schemas of the embedded library.
pub(crate) struct Schemas(sal_idl::Library);

impl Schemas {
    pub(crate) fn embedded() -> Self {
        Self(sal_idl::Library::embedded())
    }
}

impl SchemaSource for Schemas {
    fn topic(&self, component: &str, sal_name: &str) -> Result<Arc<TopicSchema>, SchemaError> {
        let found =
            self.0.component(component).map_err(|_| SchemaError::UnknownComponent(component.into()))?;
        let topic = found.topic(sal_name).ok_or_else(|| SchemaError::UnknownTopic {
            component: component.into(),
            topic: sal_name.into(),
        })?;
        Ok(Arc::new(TopicSchema::of(topic, found.indexed)))
    }
    fn enumerations(&self, _: &str) -> Vec<sal_idl::Enumeration> {
        Vec::new()
    }
    fn components(&self) -> Vec<String> {
        Vec::new()
    }
    fn topics(&self, _: &str) -> Vec<String> {
        Vec::new()
    }
}

/// Start of the test's time, UTC 2026.
const T0: f64 = 1_795_000_000.0;

struct Bus {
    clock: Clock,
    transport: Arc<MemoryTransport>,
    control: MemoryControl,
    encoder: Encoder,
    schema: u32,
    topic: String,
}

impl Bus {
    async fn new(component: &str, sal_name: &str) -> Self {
        let clock = Clock::scaled(Tai(T0), 1.0);
        let transport = Arc::new(MemoryTransport::new(clock.clone()));
        let topic =
            sal_idl::Library::embedded().component(component).unwrap().topic(sal_name).unwrap().clone();
        let name = kafka_topic("test", component, sal_name);
        transport.create_topics(&[TopicSpec { name: name.clone(), compacted: false }]).await.unwrap();
        let schema =
            transport.register_schema(&format!("{name}-value"), &topic.schema_compact).await.unwrap();
        let encoder = Encoder::new(topic).unwrap();
        let control = transport.control();
        Self { clock, transport, control, encoder, schema, topic: name }
    }

    /// Sends a record now.
    async fn send(&self, fields: &[(&str, Value)]) {
        let topic = self.encoder.topic();
        let now = Value::Double(self.clock.now().0);
        let value = |name: &str| fields.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
        let values: Vec<Value> = topic
            .fields
            .iter()
            .map(|f| {
                value(&f.name).unwrap_or_else(|| match f.name.as_str() {
                    "private_sndStamp" => now.clone(),
                    _ => default_value(f),
                })
            })
            .collect();
        let bytes = self.encoder.encode(self.schema, &values).unwrap();
        let writer = self.transport.writer(WriterKind::Plain).unwrap();
        writer.write(&self.topic, b"{}".to_vec(), bytes).await.unwrap();
    }

    async fn wind(&self, index: i64, speed: f64) {
        self.send(&[("salIndex", Value::Int(index)), ("speed", Value::Double(speed))]).await;
    }

    fn reader(&self, efd: Option<Arc<dyn Efd>>) -> SeriesReader {
        let kafka = KafkaSeries::new(self.transport.clone(), "test");
        SeriesReader::new(self.clock.clone(), None, Some(kafka), efd)
    }
}

use sal_idl::names::kafka_topic;

fn request(series: serde_json::Value, now: Tai) -> SeriesRequest {
    SeriesRequest::read(&series, &Schemas::embedded(), now).unwrap()
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_range_that_ends_now_comes_from_kafka_by_time_and_instance() {
    let bus = Bus::new("ESS", "airFlow").await;
    for n in 0..100 {
        bus.wind(301, f64::from(n)).await;
        bus.wind(302, -1.0).await;
        pass(10).await;
    }
    let series = json!({"topic": "ESS:301.tel_airFlow", "field": "speed", "range": "5m"});
    let set = bus.reader(None).read(&request(series, bus.clock.now())).await.unwrap();
    assert_eq!((set.source, set.complete), (Source::Kafka, true));
    assert_eq!(set.series[0].values.first(), Some(&70.0));
    assert_eq!(set.series[0].values.last(), Some(&99.0));
    assert_eq!((set.series[0].values.len(), set.series[0].unit.as_str()), (30, "m/s"));
    assert_eq!(bus.control.groups(), Vec::<String>::new(), "no consumer group is left behind");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_range_is_waited_for_but_not_for_ever() {
    let bus = Bus::new("ESS", "airFlow").await;
    for n in 0..10 {
        bus.wind(301, f64::from(n)).await;
        pass(1).await;
    }
    let end = bus.clock.now().0 + 3.5;
    let series = json!({"topic": "ESS:301.tel_airFlow", "field": "speed", "from": T0, "to": end.to_string()});
    let request = request(series, bus.clock.now());
    let begin = tokio::time::Instant::now();
    let reader = bus.reader(None);
    let (set, ()) = tokio::join!(reader.read(&request), async {
        for n in 10..20 {
            bus.wind(301, f64::from(n)).await;
            pass(1).await;
        }
    });
    let set = set.unwrap();
    assert!(set.complete);
    assert_eq!(set.series[0].values.last(), Some(&13.0), "what came after the end is left out");
    assert!(begin.elapsed() < Duration::from_secs(11));
    // Nothing more comes: after `wait` it is told that the end is missing.
    let series = json!({
        "topic": "ESS:301.tel_airFlow", "field": "speed", "from": T0, "to": end + 100.0, "wait": "5s",
    });
    let begin = tokio::time::Instant::now();
    let request = SeriesRequest::read(&series, &Schemas::embedded(), bus.clock.now()).unwrap();
    let set = reader.read(&request).await.unwrap();
    assert!(!set.complete);
    assert_eq!(set.series[0].values.len(), 20);
    assert_eq!(begin.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn packed_arrays_become_samples_by_their_stamp() {
    let bus = Bus::new("ATMCS", "mount_AzEl_Encoders").await;
    for second in 0..5 {
        let stamp = T0 + f64::from(second);
        pass(1).await;
        let angles: Vec<f64> = (0..100).map(|j| f64::from(second * 100 + j)).collect();
        bus.send(&[
            ("cRIO_timestamp", Value::Double(stamp)),
            ("azimuthCalculatedAngle", Value::Doubles(angles.into())),
        ])
        .await;
    }
    let series = json!({
        "topic": "ATMCS.tel_mount_AzEl_Encoders",
        "fields": {"azimuth": "azimuthCalculatedAngle", "elevation": "elevationCalculatedAngle"},
        "packed": {"stamp": "cRIO_timestamp", "scale": "tai", "rate": 100},
        "from": format!("{}", T0 + 1.5), "to": format!("{}", T0 + 3.25), "wait": "10s",
    });
    let set = bus.reader(None).read(&request(series, bus.clock.now())).await.unwrap();
    assert!(set.complete);
    let azimuth = set.get("azimuth").unwrap();
    assert_eq!(azimuth.values.len(), 176);
    assert_eq!((azimuth.values[0], azimuth.times[0]), (150.0, T0 + 1.5));
    assert_eq!(azimuth.values[175], 325.0);
    assert_eq!(set.get("elevation").unwrap().values.len(), 176);
}

/// An EFD with one table.
#[derive(Debug)]
struct OneTable {
    table: Result<Table, ()>,
    asked: Mutex<Vec<SeriesQuery>>,
}

impl OneTable {
    fn new(table: Result<Table, ()>) -> Arc<Self> {
        Arc::new(Self { table, asked: Mutex::default() })
    }
}

#[async_trait]
impl Efd for OneTable {
    async fn query(&self, query: &SeriesQuery) -> Result<Table, EfdError> {
        self.asked.lock().unwrap().push(query.clone());
        self.table.clone().map_err(|()| EfdError::BadQuery { detail: "down".into() })
    }
    async fn ask(&self, _: &TextQuery) -> Result<Table, EfdError> {
        Err(EfdError::BadQuery { detail: "an analysis asks for series".into() })
    }
    async fn write(&self, _: &[Point]) -> Result<(), EfdError> {
        Ok(())
    }
    async fn health(&self) -> Result<String, EfdError> {
        Ok("1".into())
    }
    fn describe(&self) -> String {
        "a table".into()
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_on_the_bus_comes_from_the_efd() {
    let bus = Bus::new("ESS", "airFlow").await;
    for n in 0..60 {
        bus.wind(301, f64::from(n)).await;
        pass(10).await;
    }
    bus.control.expire(&bus.topic, 0, 40);
    let series = json!({"topic": "ESS:301.tel_airFlow", "field": "speed", "range": "10m"});
    let request = request(series, bus.clock.now());
    let times: Vec<Tai> = (0..50).map(|n| Tai(T0 + 10.0 * f64::from(n))).collect();
    let numbers = |f: &dyn Fn(usize) -> f64| (0..50).map(|n| Value::Double(f(n))).collect::<Vec<_>>();
    let columns = vec![
        Column { name: "private_sndStamp".into(), cells: numbers(&|n| times[n].0) },
        Column { name: "speed".into(), cells: numbers(&|n| 1000.0 + n as f64) },
    ];
    let efd = OneTable::new(Ok(Table { times, columns, truncated: false }));
    let set = bus.reader(Some(efd.clone())).read(&request).await.unwrap();
    assert_eq!((set.source, set.complete), (Source::Efd, true));
    let values = &set.series[0].values;
    assert_eq!(values.len(), 60, "forty from the EFD, twenty from the bus");
    assert_eq!((values[0], values[39], values[40], values[59]), (1000.0, 1039.0, 40.0, 59.0));
    let asked = efd.asked.lock().unwrap()[0].clone();
    assert_eq!(
        (asked.sal_index, asked.fields),
        (Some(301), vec!["private_sndStamp".to_owned(), "speed".into()])
    );
    // Without it, what the bus has, and it says that this is not all.
    for efd in [None, Some(OneTable::new(Err(())) as Arc<dyn Efd>)] {
        let set = bus.reader(efd).read(&request).await.unwrap();
        assert_eq!((set.source, set.complete, set.series[0].values.len()), (Source::Kafka, false, 20));
    }
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_is_away_is_told_within_a_limit() {
    let bus = Bus::new("ESS", "airFlow").await;
    bus.control.set_stopped(true);
    let series = json!({"topic": "ESS:301.tel_airFlow", "field": "speed", "range": "10m"});
    let error = bus.reader(None).read(&request(series, bus.clock.now())).await.unwrap_err();
    assert!(
        matches!(&error, SeriesError::Unavailable { reason, .. } if reason.contains("no EFD")),
        "{error}"
    );
}

struct Memory {
    rows: Mutex<RecentRows>,
    notify: Notify,
}

#[async_trait]
impl RecentSamples for Memory {
    async fn recent(&self, _: &SeriesRequest) -> Option<RecentRows> {
        Some(self.rows.lock().unwrap().clone())
    }
    async fn changed(&self) {
        self.notify.notified().await;
    }
}

#[tokio::test(start_paused = true)]
async fn memory_answers_if_it_reaches_back_far_enough() {
    let clock = Clock::scaled(Tai(T0), 1.0);
    let row = |n: f64| SeriesRow { stamp: T0 - 10.0 + n, cells: vec![Value::Double(n)] };
    let rows = RecentRows { rows: (0..10).map(|n| row(f64::from(n))).collect(), since: Tai(T0 - 10.0) };
    let memory = Arc::new(Memory { rows: Mutex::new(rows), notify: Notify::new() });
    let reader = SeriesReader::new(clock.clone(), Some(memory.clone()), None, None);
    let series = |from: f64, to: f64| {
        let series = json!({"topic": "ESS:301.tel_airFlow", "field": "speed", "from": from, "to": to});
        request(series, clock.now())
    };
    let set = reader.read(&series(T0 - 5.0, T0 - 2.0)).await.unwrap();
    assert_eq!((set.source, set.complete), (Source::Memory, true));
    assert_eq!(set.series[0].values, [5.0, 6.0, 7.0, 8.0]);
    assert!(reader.read(&series(T0 - 11.0, T0 - 2.0)).await.is_err(), "it does not reach back so far");
    let waiting = series(T0 - 5.0, T0 + 1.0);
    let (set, ()) = tokio::join!(reader.read(&waiting), async {
        pass(1).await;
        memory.rows.lock().unwrap().rows.push(row(11.5));
        memory.notify.notify_waiters();
    });
    assert!(set.unwrap().complete);
    let begin = tokio::time::Instant::now();
    assert!(!reader.read(&series(T0 - 5.0, T0 + 100.0)).await.unwrap().complete);
    assert_eq!(begin.elapsed().as_secs(), 10);
}

#[test]
fn all_mistakes_of_a_request_are_told_at_once() {
    let read = |series: serde_json::Value| {
        SeriesRequest::read(&series, &Schemas::embedded(), Tai(T0)).unwrap_err().to_string()
    };
    let text = read(json!({
        "topic": "ATMCS.tel_mount_AzEl_Encoders",
        "fields": ["azimuthCalculatedAngle", "nosuch", "azimuthCalculatedAngle[100]"],
        "range": "ten minutes", "wait": "soon", "field_": 1,
    }));
    for part in [
        "azimuthCalculatedAngle is an array of 100",
        "no field \"nosuch\"",
        "100 is not one of them",
        "range \"ten minutes\" is no duration",
        "wait \"soon\" is no duration",
        "unknown key field_",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(read(json!({"topic": "ESS.airFlow", "field": "speed"})).contains("not of the form"));
    assert!(read(json!({"topic": "ESS.tel_nosuch", "field": "speed"})).contains("no topic"));
    let text = read(json!({"topic": "ESS:301.tel_airFlow", "field": "speed", "from": 10, "to": "9.5"}));
    assert!(text.contains("ends before it begins"), "{text}");
    assert!(read(json!({"topic": "ESS:301.tel_airFlow", "field": "speed"})).contains("either range"));
}

#[test]
fn durations_as_people_write_them() {
    for (text, seconds) in
        [("500ms", 0.5), ("90s", 90.0), ("1h30m", 5400.0), ("2d", 172_800.0), ("1.5m", 90.0)]
    {
        assert_eq!(duration(&json!(text)), Some(Duration::from_secs_f64(seconds)), "{text}");
    }
    assert_eq!(duration(&json!(12.5)), Some(Duration::from_secs_f64(12.5)));
    for text in ["", "s", "10 parsecs", "-5s", "m10", "1e400h", "10"] {
        let known = text == "10";
        assert_eq!(duration(&json!(text)).is_some(), known, "{text:?}");
    }
}
