//! What both clients promise, against every server there is: the simulated one always, the real ones where the
//! environment names them (`scripts/stack env`). So the simulator is held to what the real servers do.
//!
//! InfluxDB 2: `CATCHER_TEST_INFLUX2_URL`, `_TOKEN`, `_ORG`, `_BUCKET`. InfluxDB 1: `CATCHER_TEST_INFLUX1_URL`,
//! `_DATABASE`, and `_USERNAME`, `_PASSWORD` if it asks for them.

use std::sync::Arc;
use std::time::Duration;

use salobj::{Tai, Value};
use tokio_util::sync::CancellationToken;

use super::outbox::OutboxOptions;
use super::*;
use crate::sim::influx::SimInflux;

const START: f64 = 1_795_218_000.0;

/// A server, and what is needed to misuse it.
struct Server {
    config: EfdConfig,
    secrets: fn(&str) -> Option<String>,
    asks_for_credentials: bool,
    _sim: Arc<SimInflux>,
}

impl Server {
    fn client(&self) -> Arc<dyn Efd> {
        self.config.client(self.secrets).unwrap()
    }
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

async fn servers() -> Vec<Server> {
    let sim = Arc::new(SimInflux::start().await.unwrap());
    let mut servers = Vec::new();
    for config in [sim.config2(), sim.config1()] {
        let secrets = SimInflux::env as fn(&str) -> Option<String>;
        servers.push(Server { config, secrets, asks_for_credentials: true, _sim: Arc::clone(&sim) });
    }
    if let Some(url) = env("CATCHER_TEST_INFLUX2_URL") {
        let [org, bucket] =
            ["ORG", "BUCKET"].map(|name| env(&format!("CATCHER_TEST_INFLUX2_{name}")).unwrap());
        let config = EfdConfig::influxdb2(&url, &org, &bucket, "CATCHER_TEST_INFLUX2_TOKEN");
        servers.push(Server { config, secrets: env, asks_for_credentials: true, _sim: Arc::clone(&sim) });
    } else {
        eprintln!("SKIPPED: InfluxDB 2 is not tested, CATCHER_TEST_INFLUX2_URL is not set");
    }
    if let Some(url) = env("CATCHER_TEST_INFLUX1_URL") {
        let username = env("CATCHER_TEST_INFLUX1_USERNAME");
        let config = EfdConfig {
            password_env: username.is_some().then(|| "CATCHER_TEST_INFLUX1_PASSWORD".to_owned()),
            username: username.clone(),
            ..EfdConfig::influxdb1(&url, &env("CATCHER_TEST_INFLUX1_DATABASE").unwrap())
        };
        let asks_for_credentials = username.is_some();
        servers.push(Server { config, secrets: env, asks_for_credentials, _sim: Arc::clone(&sim) });
    } else {
        eprintln!("SKIPPED: InfluxDB 1 is not tested, CATCHER_TEST_INFLUX1_URL is not set");
    }
    servers
}

/// A component of its own for each test and run: the real servers keep what earlier runs wrote.
fn component() -> String {
    format!("Test{:016x}", rand::random::<u64>())
}

fn at(seconds: f64) -> Tai {
    Tai::from_utc_unix(START + seconds)
}

fn wind(component: &str, seconds: f64, index: i64, speed: f64) -> Point {
    let mut point = Point::sal(component, "airFlow", at(seconds));
    point.push("salIndex", &Value::Int(index)).push("speed", &Value::Double(speed));
    point
}

fn speeds(component: &str, index: Option<i64>) -> SeriesQuery {
    SeriesQuery::sal(component, "airFlow", index, ["speed"], (at(0.0), at(100.0))).asked_by("rule Test.It #1")
}

fn values(table: &Table) -> Vec<f64> {
    table.series("speed", "m/s").unwrap().values
}

#[tokio::test]
async fn what_is_written_is_read_back_by_index_and_range() {
    for server in servers().await {
        let (efd, c) = (server.client(), component());
        let points = [(20.0, 301, 9.5), (0.0, 301, 8.0), (10.5, 302, 99.0), (30.25, 301, 10.0)];
        efd.write(&points.map(|(t, index, speed)| wind(&c, t, index, speed))).await.unwrap();
        let table = efd.query(&speeds(&c, Some(301))).await.unwrap();
        assert_eq!(values(&table), [8.0, 9.5, 10.0], "{}", efd.describe());
        assert!((table.times[1] - at(20.0)).abs() < 1e-6);
        assert_eq!(values(&efd.query(&speeds(&c, None)).await.unwrap()), [8.0, 99.0, 9.5, 10.0]);
        // Both ends of the range belong to it.
        let ends = SeriesQuery { from: at(10.5), to: at(20.0), ..speeds(&c, None) };
        assert_eq!(values(&efd.query(&ends).await.unwrap()), [99.0, 9.5], "{}", efd.describe());
        for (max_rows, truncated) in [(3, true), (4, false)] {
            let table = efd.query(&SeriesQuery { max_rows, ..speeds(&c, None) }).await.unwrap();
            assert_eq!((table.times.len(), table.truncated), (max_rows, truncated), "{}", efd.describe());
        }
        let nothing = efd.query(&speeds(&component(), Some(1))).await.unwrap();
        assert!(nothing.times.is_empty() && nothing.columns.len() == 1 && !nothing.truncated);
    }
}

/// A query in the words of its author, in both languages.
fn said(flux: &str, influxql: &str, columns: &[(&str, bool)]) -> TextQuery {
    let columns = columns.iter().map(|(name, text)| TextColumn { name: (*name).to_owned(), text: *text });
    TextQuery {
        flux: Some(flux.to_owned()),
        influxql: Some(influxql.to_owned()),
        columns: columns.collect(),
        at: at(100.0),
        max_rows: 1000,
        asked_by: "rule Test.It".to_owned(),
    }
}

fn iso(seconds: f64) -> String {
    format!("{}Z", at(seconds).utc_iso())
}

#[tokio::test]
async fn a_query_in_the_words_of_its_author_gives_the_columns_that_it_names() {
    for server in servers().await {
        let (efd, c) = (server.client(), component());
        let points = [(20.0, 301, 9.5), (0.0, 301, 8.0), (30.0, 301, 11.0)];
        efd.write(&points.map(|(t, index, speed)| wind(&c, t, index, speed))).await.unwrap();
        let bucket = server.config.bucket.clone().unwrap_or_default();
        let (from, to) = (iso(0.0), iso(25.0));
        let flux = format!(
            "from(bucket: \"{bucket}\")\n  |> range(start: {from}, stop: {to})\n  \
             |> filter(fn: (r) => r._measurement == \"lsst.sal.{c}.airFlow\" and r._field == \"speed\")"
        );
        let of = format!("FROM \"lsst.sal.{c}.airFlow\" WHERE time >= '{from}' AND time <= '{to}'");
        let rows = said(&flux, &format!("SELECT \"speed\" AS _value {of};\n"), &[("_value", false)]);
        let table = efd.ask(&rows).await.unwrap();
        let numbers = |table: &Table| table.series("_value", "").unwrap().values;
        assert_eq!(numbers(&table), [8.0, 9.5], "{}", efd.describe());
        assert!((table.times[1] - at(20.0)).abs() < 1e-6, "{}", efd.describe());
        let mean = format!("SELECT mean(\"speed\") AS \"_value\" {of}");
        let mean = said(&format!("{flux}\n  |> mean()"), &mean, &[("_value", false)]);
        assert_eq!(numbers(&efd.ask(&mean).await.unwrap()), [8.75], "{}", efd.describe());
        let few = TextQuery { max_rows: 1, ..rows.clone() };
        assert!(efd.ask(&few).await.unwrap().truncated, "{}", efd.describe());
        let other = TextQuery { columns: said("", "", &[("speeed", false)]).columns, ..rows.clone() };
        let told = efd.ask(&other).await.unwrap_err().to_string();
        assert!(told.contains("no column \"speeed\"; it has") && told.contains("_value"), "{told}");
        let nobody = component();
        let none =
            said(&flux.replace(&c, &nobody), &rows.influxql.clone().unwrap().replace(&c, &nobody), &[]);
        assert!(efd.ask(&none).await.unwrap().times.is_empty(), "{}", efd.describe());
    }
}

#[tokio::test]
async fn a_query_that_the_database_refuses_or_does_not_understand_is_told_in_its_words() {
    for server in servers().await {
        let efd = server.client();
        let wrong = said("from(bucket: \"x\" |> rnge(", "SELECT FROM WHERE", &[("_value", false)]);
        let error = efd.ask(&wrong).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::BadRequest, "{error}");
        assert!(error.to_string().len() > 30, "{error}");
        let foreign = TextQuery { flux: None, influxql: None, ..wrong };
        let told = efd.ask(&foreign).await.unwrap_err().to_string();
        let language = if efd.describe().starts_with("influxdb2") { "Flux" } else { "InfluxQL" };
        assert!(told.contains(&format!("understands {language}")), "{told}");
    }
}

#[tokio::test]
async fn what_only_real_servers_understand() {
    for server in servers().await.into_iter().skip(2) {
        let (efd, c) = (server.client(), component());
        let mut second = wind(&c, 20.0, 301, 9.5);
        second.push("note", &Value::Text("gust, \"strong\"".into()));
        efd.write(&[wind(&c, 0.0, 301, 8.0), second, wind(&c, 30.0, 302, 11.0)]).await.unwrap();
        let bucket = server.config.bucket.clone().unwrap_or_default();
        let (from, to) = (iso(0.0), iso(60.0));
        let flux = format!(
            "import \"date\"\nfrom(bucket: \"{bucket}\")\n  |> range(start: {from}, stop: date.add(d: 1s, to: {to}))\n  \
             |> filter(fn: (r) => r._measurement == \"lsst.sal.{c}.airFlow\")\n  \
             |> pivot(rowKey: [\"_time\"], columnKey: [\"_field\"], valueColumn: \"_value\")"
        );
        let influxql = format!(
            "SELECT speed, note, salIndex FROM \"lsst.sal.{c}.airFlow\" WHERE time >= '{from}' AND time <= '{to}' -- all"
        );
        let columns = [("speed", false), ("note", true), ("salIndex", false)];
        let table = efd.ask(&said(&flux, &influxql, &columns)).await.unwrap();
        assert_eq!(table.series("speed", "").unwrap().values, [8.0, 9.5, 11.0], "{}", efd.describe());
        let notes: Vec<&Value> =
            table.column("note").unwrap().cells.iter().filter(|v| **v != Value::Null).collect();
        let strong = Value::Text("gust, \"strong\"".into());
        assert!(notes.contains(&&strong), "{}: {notes:?}", efd.describe());
        let wrong = said(&flux, &influxql, &[("note", false)]);
        let told = efd.ask(&wrong).await.unwrap_err().to_string();
        assert!(told.contains("column \"note\" is text"), "{told}");
    }
}

#[tokio::test]
async fn the_same_point_twice_is_one_and_a_changed_one_replaces_it() {
    for server in servers().await {
        let (efd, c) = (server.client(), component());
        for speed in [1.0, 1.0, 2.0] {
            efd.write(&[wind(&c, 0.123_456, 301, speed)]).await.unwrap();
        }
        assert_eq!(values(&efd.query(&speeds(&c, None)).await.unwrap()), [2.0], "{}", efd.describe());
    }
}

#[tokio::test]
async fn every_type_and_hostile_text_come_back() {
    let hostile = "a \"quoted\" \\ back, comma = sign\nsecond line\t${x} {{y}} é 漢 */ -- ' \\";
    for server in servers().await {
        let (efd, c) = (server.client(), component());
        let long = "0123456789".repeat(7_000);
        let mut point = Point::sal(&c, "logevent_result", at(1.0));
        point
            .push("salIndex", &Value::Int(1))
            .push("value", &Value::Double(2.5))
            .push("whole", &Value::Double(-3.0))
            .push("tiny", &Value::Double(1.25e-300))
            .push("huge", &Value::Double(1.5e300))
            .push("n", &Value::Int(i64::MIN))
            .push("ok", &Value::Bool(true))
            .push("result", &Value::Text(hostile.into()))
            .push("empty", &Value::Text("".into()))
            .push("long", &Value::Text(long.as_str().into()))
            .push("a", &Value::Doubles([1.5, f64::NAN, 3.5].into()));
        efd.write(&[point]).await.unwrap();
        let fields = [
            "value", "whole", "tiny", "huge", "n", "ok", "result", "empty", "long", "a0", "a1", "a2",
            "nothing",
        ];
        let query = SeriesQuery::sal(&c, "logevent_result", Some(1), fields, (at(0.0), at(2.0)));
        let table = efd.query(&query).await.unwrap();
        let cell = |name: &str| table.column(name).unwrap().cells[0].clone();
        let number = |name: &str| table.series(name, "").unwrap().values[0];
        assert_eq!(table.times.len(), 1, "{}", efd.describe());
        assert_eq!((number("value"), number("whole"), number("tiny")), (2.5, -3.0, 1.25e-300));
        assert_eq!(number("huge"), 1.5e300, "{}", efd.describe());
        assert_eq!((cell("n"), cell("ok")), (Value::Int(i64::MIN), Value::Bool(true)), "{}", efd.describe());
        assert_eq!(cell("result"), Value::Text(hostile.into()), "{}", efd.describe());
        assert_eq!(cell("empty"), Value::Text("".into()), "{}", efd.describe());
        let Value::Text(cut) = cell("long") else { panic!("long is no text") };
        assert!(cut.len() <= 60_000 && cut.ends_with("... [cut, 70000 bytes in all]"));
        assert!(table.arrays("a", 3).unwrap()[0][1].is_nan() && number("a2") == 3.5);
        assert_eq!(cell("nothing"), Value::Null);
    }
}

#[tokio::test]
async fn packed_arrays_of_an_exposure_come_back() {
    let (messages, elements) = (40, 100);
    for server in servers().await {
        let (efd, c) = (server.client(), component());
        let angle = |m: usize, j: usize, base: f64| base + (m * elements + j) as f64 / 1000.0;
        let points: Vec<Point> = (0..messages)
            .map(|m| {
                let array = |base| (0..elements).map(|j| angle(m, j, base)).collect::<Vec<f64>>();
                let mut point = Point::sal(&c, "mount_AzEl_Encoders", at(m as f64));
                point
                    .push("azimuthCalculatedAngle", &Value::Doubles(array(100.0).into()))
                    .push("elevationCalculatedAngle", &Value::Doubles(array(60.0).into()))
                    .push("cRIO_timestamp", &Value::Double(at(m as f64).0));
                point
            })
            .collect();
        efd.write(&points).await.unwrap();
        let fields = query::array_fields("azimuthCalculatedAngle", elements)
            .chain(query::array_fields("elevationCalculatedAngle", elements))
            .chain(["cRIO_timestamp".to_owned()]);
        let range = (at(0.0), at(messages as f64));
        let table =
            efd.query(&SeriesQuery::sal(&c, "mount_AzEl_Encoders", None, fields, range)).await.unwrap();
        let arrays = table.arrays("elevationCalculatedAngle", elements).unwrap();
        assert_eq!(arrays.len(), messages, "{}", efd.describe());
        for (m, array) in arrays.iter().enumerate() {
            for (j, value) in array.iter().enumerate() {
                assert_eq!(*value, angle(m, j, 60.0), "{}", efd.describe());
            }
        }
        assert_eq!(table.series("cRIO_timestamp", "s").unwrap().values[7], at(7.0).0);
    }
}

#[tokio::test]
async fn a_field_that_changes_its_type_is_a_bad_point_and_the_others_are_written() {
    for server in servers().await {
        let (efd, c) = (server.client(), component());
        let mut other = Point::sal(&c, "airFlow", at(5.0));
        other.push("speed", &Value::Text("fast".into()));
        efd.write(&[wind(&c, 1.0, 1, 1.0)]).await.unwrap();
        let error = efd.write(&[wind(&c, 2.0, 1, 2.0), other, wind(&c, 3.0, 1, 3.0)]).await.unwrap_err();
        assert!(matches!(error, EfdError::BadPoint { .. }), "{}: {error:?}", efd.describe());
        assert!(error.to_string().contains("speed"), "{error}");
        assert_eq!(
            values(&efd.query(&speeds(&c, None)).await.unwrap()),
            [1.0, 2.0, 3.0],
            "{}",
            efd.describe()
        );
    }
}

#[tokio::test]
async fn wrong_secrets_and_names_are_refused_and_not_told() {
    for server in servers().await {
        let c = component();
        let mut wrong = vec![];
        if server.asks_for_credentials {
            wrong.push((
                server.config.clone(),
                (|_| Some("0a1b2c3d".to_owned())) as fn(&str) -> Option<String>,
            ));
        }
        let mut elsewhere = server.config.clone();
        match elsewhere.kind {
            EfdKind::Influxdb2 => elsewhere.bucket = Some("no_such_bucket".into()),
            EfdKind::Influxdb1 => elsewhere.database = Some("no_such_database".into()),
        }
        wrong.push((elsewhere, server.secrets));
        for (config, secrets) in wrong {
            let efd = config.client(secrets).unwrap();
            for error in [
                efd.query(&speeds(&c, None)).await.unwrap_err(),
                efd.write(&[wind(&c, 1.0, 1, 1.0)]).await.unwrap_err(),
            ] {
                assert_eq!(error.class(), ErrorClass::Refused, "{}: {error:?}", efd.describe());
                assert!(!error.to_string().contains("0a1b2c3d"), "{error}");
            }
        }
    }
}

#[tokio::test]
async fn a_server_tells_its_version_and_one_that_is_not_there_is_not_available() {
    for server in servers().await {
        assert!(!server.client().health().await.unwrap().is_empty());
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let nobody = EfdConfig { url: format!("http://{closed}"), ..server.config.clone() };
        let efd = nobody.client(server.secrets).unwrap();
        let error = efd.health().await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Unavailable, "{error}");
        assert!(error.to_string().contains("refused"), "the cause is told: {error}");
    }
}

#[tokio::test]
async fn the_outbox_delivers_in_full_past_a_bad_point() {
    for server in servers().await {
        let (efd, c) = (server.client(), component());
        let dir = tempfile::tempdir().unwrap();
        let (outbox, _) = Outbox::open(dir.path(), OutboxOptions::default()).unwrap();
        let mut points: Vec<Point> =
            (0..1200).map(|i| wind(&c, f64::from(i) / 20.0, 1, f64::from(i))).collect();
        points[700].fields = vec![("speed".into(), FieldValue::Text("fast".into()))];
        outbox.push(points).await.unwrap();
        let (stop, mut state) = (CancellationToken::new(), outbox.state());
        let drained = async {
            let drained =
                tokio::time::timeout(Duration::from_secs(60), state.wait_for(|s| s.pending == 0)).await;
            stop.cancel();
            drained.expect("it drains in time").unwrap().clone()
        };
        let (ran, state) = tokio::join!(outbox.run(Arc::clone(&efd), stop.clone()), drained);
        ran.unwrap();
        assert_eq!((state.written, state.rejected), (1199, 1), "{}", efd.describe());
        let read = values(&efd.query(&speeds(&c, Some(1))).await.unwrap());
        assert_eq!((read.len(), read[0], read[1198]), (1199, 0.0, 1199.0), "{}", efd.describe());
    }
}
