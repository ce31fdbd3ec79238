use salobj::Tai;

use super::super::lives::text_of;
use super::super::testing::{Bench, MemoryShelf, call};
use super::*;
use crate::outputs::efd::Point;
use crate::sim::influx::{Fault, SimInflux};
use crate::tasks::call::ErrorClass as StepClass;

/// When the tests' points are.
const AT: f64 = 1_795_218_000.0;

async fn site() -> (SimInflux, Arc<MemoryShelf>) {
    let sim = SimInflux::start().await.unwrap();
    let point = |s: f64, speed: f64| {
        let mut point = Point::sal("ESS", "airFlow", Tai(AT + s));
        point.push("salIndex", &Cell::Int(301)).push("speed", &Cell::Double(speed));
        if s < 15.0 {
            point.push("direction", &Cell::Double(180.0 + s));
        }
        point
    };
    sim.insert(&[point(0.0, 8.0), point(10.0, 9.5), point(20.0, 11.0)]);
    (sim, Arc::default())
}

fn backends(sim: &SimInflux, shelf: &Arc<MemoryShelf>) -> [EfdQueryBackend; 2] {
    [sim.client1(), sim.client2()].map(|efd| {
        let schemas: Arc<dyn SchemaSource> = Arc::new(sal_idl::Library::embedded());
        let clock = Clock::scaled(Tai(AT + 60.0), 1.0);
        EfdQueryBackend::new(efd, schemas, Arc::clone(shelf) as _, clock)
    })
}

fn wind() -> StepCall {
    call(
        "efd_query",
        json!({"topic": "ESS:301.tel_airFlow", "fields": ["speed", "direction"], "range": "10m"}),
    )
}

#[tokio::test]
async fn fields_of_a_topic_are_a_table() {
    let (sim, shelf) = site().await;
    for backend in backends(&sim, &shelf) {
        let outcome = Bench::new().run(&backend, &wind()).await.unwrap();
        let result = &outcome.result;
        assert_eq!(result["n"], 3);
        let speeds: Vec<f64> =
            result["columns"]["speed"].as_array().unwrap().iter().filter_map(Value::as_f64).collect();
        assert_eq!(speeds, [8.0, 9.5, 11.0]);
        assert_eq!(result["columns"]["direction"][2], Value::Null, "a missing value");
        assert!((result["time"][1].as_f64().unwrap() - AT - 10.0).abs() < 1e-3, "{result}");
        assert_eq!(result["truncated"], false);
        let csv = text_of(&shelf, "a.csv");
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[0], "time_utc,speed,direction");
        assert!(lines[3].ends_with("Z,11,") || lines[3].ends_with("Z,11.0,"), "{csv}");
    }
}

#[tokio::test]
async fn a_span_is_kept_and_rows_are_limited() {
    let (sim, shelf) = site().await;
    for backend in backends(&sim, &shelf) {
        let span =
            json!({"topic": "ESS:301.tel_airFlow", "field": "speed", "from": AT + 5.0, "to": AT + 15.0});
        let outcome = Bench::new().run(&backend, &call("efd_query", span)).await.unwrap();
        assert_eq!(outcome.result["n"], 1);
        let few = json!({"topic": "ESS:301.tel_airFlow", "field": "speed", "range": "10m", "rows": 2});
        let outcome = Bench::new().run(&backend, &call("efd_query", few)).await.unwrap();
        assert_eq!((&outcome.result["n"], &outcome.result["truncated"]), (&json!(2), &json!(true)));
    }
}

#[tokio::test]
async fn a_query_in_the_words_of_the_rule() {
    let (sim, shelf) = site().await;
    let [one, two] = backends(&sim, &shelf);
    let of = "FROM \"lsst.sal.ESS.airFlow\" WHERE time >= '2026-01-01T00:00:00Z' AND time <= '2027-01-01T00:00:00Z'";
    let influxql = format!("SELECT \"speed\" AS _value {of}");
    let flux = "from(bucket: \"efd\")\n  |> range(start: 2026-01-01T00:00:00Z, stop: 2027-01-01T00:00:00Z)\n  \
                |> filter(fn: (r) => r._measurement == \"lsst.sal.ESS.airFlow\" and r._field == \"speed\")";
    let both = json!({"flux": flux, "influxql": influxql, "columns": ["_value"]});
    for backend in [one, two] {
        let outcome = Bench::new().run(&backend, &call("efd_query", both.clone())).await.unwrap();
        assert_eq!(outcome.result["n"], 3, "{}", outcome.result);
    }
}

#[tokio::test]
async fn what_writes_is_not_asked_and_mistakes_are_told() {
    let (sim, shelf) = site().await;
    let [backend, _] = backends(&sim, &shelf);
    let before = sim.requests().len();
    for (params, words) in [
        (json!({"influxql": "DROP DATABASE efd", "columns": ["x"]}), "is not asked"),
        (json!({"flux": "from(bucket: \"efd\") |> to(bucket: \"x\")", "columns": ["x"]}), "is not asked"),
        (json!({"flux": "from(bucket: \"efd\")"}), "`columns` is needed"),
        (json!({"topic": "ESS:301.tel_airFlow", "field": "sped", "range": "1h"}), "no field \"sped\""),
        (json!({"topic": "ESS:301.tel_airFlow", "field": "speed"}), "range"),
        (json!({"topik": "x"}), "topik"),
    ] {
        let error = Bench::new().run(&backend, &call("efd_query", params)).await.unwrap_err();
        assert_eq!(error.class, StepClass::Permanent);
        assert!(error.text.contains(words), "{error}");
    }
    assert_eq!(sim.requests().len(), before, "nothing was asked");
}

#[tokio::test]
async fn an_efd_that_is_away_may_be_asked_later_and_a_restart_asks_again() {
    for client in 0..2 {
        // Of its own: a question that was stopped may leave its fault to the next.
        let (sim, shelf) = site().await;
        let [first, second] = backends(&sim, &shelf);
        let backend = if client == 0 { first } else { second };
        sim.fail(1, Fault::Status(503, "x".into()));
        let error = Bench::new().run(&backend, &wind()).await.unwrap_err();
        assert_eq!(error.class, StepClass::Transient, "{error}");
        Bench::new().resume(&backend, &wind()).await.unwrap();
        let bench = Bench::new();
        sim.fail(1, Fault::Hang);
        bench.stop("enough");
        let error = bench.run(&backend, &wind()).await.unwrap_err();
        assert_eq!(error.class, StepClass::Aborted, "{error}");
        sim.release();
    }
}
