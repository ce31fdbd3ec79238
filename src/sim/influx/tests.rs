//! Both clients against the simulator, with every fault that it can play.

use std::time::Duration;

use super::*;
use crate::outputs::efd::{EfdError, ErrorClass, SeriesQuery, Table};
use salobj::{Tai, Value};

const START: f64 = 1_795_218_000.0;

fn at(seconds: f64) -> Tai {
    Tai::from_utc_unix(START + seconds)
}

fn wind(seconds: f64, index: i64, speed: f64) -> Point {
    let mut point = Point::sal("ESS", "airFlow", at(seconds));
    point.push("salIndex", &Value::Int(index)).push("speed", &Value::Double(speed));
    point
}

fn speeds(index: Option<i64>) -> SeriesQuery {
    SeriesQuery::sal("ESS", "airFlow", index, ["speed"], (at(0.0), at(100.0)))
}

/// Each test runs with both clients.
async fn both() -> (SimInflux, [Arc<dyn Efd>; 2]) {
    let sim = SimInflux::start().await.unwrap();
    let clients = [sim.client2(), sim.client1()];
    (sim, clients)
}

fn values(table: &Table) -> Vec<f64> {
    table.series("speed", "m/s").unwrap().values
}

#[tokio::test]
async fn what_is_written_is_read_back() {
    for client in 0..2 {
        let (sim, clients) = both().await;
        let efd = &clients[client];
        efd.write(&[wind(20.0, 301, 9.5), wind(0.0, 301, 8.0), wind(10.5, 302, 99.0)]).await.unwrap();
        let table = efd.query(&speeds(Some(301)).asked_by("rule Wind.Forecast")).await.unwrap();
        assert_eq!(values(&table), [8.0, 9.5]);
        assert!((table.times[1] - at(20.0)).abs() < 1e-6);
        assert_eq!(values(&efd.query(&speeds(None)).await.unwrap()), [8.0, 99.0, 9.5]);
        assert_eq!(sim.points("lsst.sal.ESS.airFlow").len(), 3);
        assert!(sim.requests().iter().any(|r| r.contains("ts_catcher") && r.contains("Wind.Forecast")));
        // The ends of the range belong to it.
        let mut ends = speeds(None);
        (ends.from, ends.to) = (at(10.5), at(20.0));
        assert_eq!(values(&efd.query(&ends).await.unwrap()), [99.0, 9.5]);
    }
}

#[tokio::test]
async fn the_same_point_twice_is_one() {
    for client in 0..2 {
        let (sim, clients) = both().await;
        clients[client].write(&[wind(0.0, 301, 8.0)]).await.unwrap();
        clients[client].write(&[wind(0.0, 301, 8.0)]).await.unwrap();
        assert_eq!(sim.points("lsst.sal.ESS.airFlow").len(), 1);
    }
}

#[tokio::test]
async fn all_types_and_hostile_text_come_back() {
    let hostile = "a \"quoted\" \\ back, comma\nline ${x} é \\";
    for client in 0..2 {
        let (_sim, clients) = both().await;
        let mut point = Point::sal("Catcher", "logevent_result", at(1.0));
        point
            .push("value", &Value::Double(2.5))
            .push("n", &Value::Int(-7))
            .push("ok", &Value::Bool(true))
            .push("result", &Value::Text(hostile.into()))
            .push("a", &Value::Doubles([1.0, f64::NAN, 3.0].into()));
        clients[client].write(&[point]).await.unwrap();
        let fields = ["value", "n", "ok", "result", "a0", "a1", "a2", "nothing"];
        let query = SeriesQuery::sal("Catcher", "logevent_result", None, fields, (at(0.0), at(2.0)));
        let table = clients[client].query(&query).await.unwrap();
        let cells: Vec<Value> = table.columns.iter().map(|column| column.cells[0].clone()).collect();
        let text = Value::Text(hostile.into());
        let (one, three) =
            (table.series("a0", "").unwrap().values[0], table.series("a2", "").unwrap().values[0]);
        assert_eq!(cells[..4], [Value::Double(2.5), Value::Int(-7), Value::Bool(true), text]);
        assert_eq!((one, three, &cells[5], &cells[7]), (1.0, 3.0, &Value::Null, &Value::Null));
        assert!(table.arrays("a", 3).unwrap()[0][1].is_nan());
    }
}

#[tokio::test]
async fn no_data_is_an_empty_table() {
    let (_sim, clients) = both().await;
    for efd in clients {
        let table = efd.query(&speeds(Some(1))).await.unwrap();
        assert!(
            table.times.is_empty() && !table.truncated && table.column("speed").unwrap().cells.is_empty()
        );
    }
}

#[tokio::test]
async fn more_rows_than_asked_for_are_told() {
    let (sim, clients) = both().await;
    sim.insert(&(0..10).map(|i| wind(f64::from(i), 301, f64::from(i))).collect::<Vec<_>>());
    for efd in clients {
        for (max_rows, truncated) in [(9, true), (10, false)] {
            let query = SeriesQuery { max_rows, ..speeds(None) };
            let table = efd.query(&query).await.unwrap();
            assert_eq!((table.times.len(), table.truncated), (max_rows, truncated), "{}", efd.describe());
        }
    }
}

#[tokio::test]
async fn faults_have_their_classes() {
    let (sim, clients) = both().await;
    sim.insert(&(0..50).map(|i| wind(f64::from(i), 301, f64::from(i))).collect::<Vec<_>>());
    let class = async |efd: &Arc<dyn Efd>, fault: Fault| {
        sim.fail(1, fault);
        efd.query(&speeds(None)).await.unwrap_err().class()
    };
    let status = |status, text: &str| Fault::Status(status, text.to_owned());
    for efd in &clients {
        assert_eq!(class(efd, status(401, "{}")).await, ErrorClass::Refused);
        assert_eq!(class(efd, status(400, "{\"error\":\"bad\"}")).await, ErrorClass::BadRequest);
        assert_eq!(class(efd, status(500, "oops")).await, ErrorClass::Unavailable);
        assert_eq!(class(efd, status(503, "")).await, ErrorClass::Unavailable);
        assert_eq!(class(efd, Fault::HalfBody).await, ErrorClass::Unavailable);
        assert_eq!(class(efd, Fault::LostAnswer).await, ErrorClass::Unavailable);
        assert_eq!(class(efd, Fault::Garbage("<html>hello</html>".into())).await, ErrorClass::Unavailable);
        assert_eq!(class(efd, Fault::Garbage("{\"results\":[".into())).await, ErrorClass::Unavailable);
        let bad_number = "#datatype,string,long,string,double,long\r\n#group,false,false,true,false,false\r\n\
            #default,_result,,,,\r\n,result,table,_field,_value,ns\r\n,,0,speed,nonsense,1\r\n";
        assert_eq!(class(efd, Fault::Garbage(bad_number.into())).await, ErrorClass::Unavailable);
        assert_eq!(values(&efd.query(&speeds(None)).await.unwrap()).len(), 50, "and then it works");
    }
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_and_holds_no_place() {
    let (sim, _) = both().await;
    for config in [sim.config2(), sim.config1()] {
        let efd = EfdConfig { timeout_s: 3.0, concurrency: 1, ..config }.client(SimInflux::env).unwrap();
        sim.fail(1, Fault::Hang);
        let error = efd.query(&speeds(None)).await.unwrap_err();
        assert!(error.to_string().contains("no answer within 3 s"), "{error}");
        efd.query(&speeds(None)).await.unwrap();
        sim.fail(1, Fault::Slow(Duration::from_millis(20)));
        efd.query(&speeds(None)).await.unwrap();
    }
}

#[tokio::test]
async fn more_calls_than_allowed_wait() {
    let (sim, _) = both().await;
    for config in [sim.config2(), sim.config1()] {
        let efd = EfdConfig { concurrency: 2, ..config }.client(SimInflux::env).unwrap();
        let before = sim.requests().len();
        sim.fail(2, Fault::Hang);
        let (a, b, c) = (speeds(None), speeds(None), speeds(None));
        let calls = async { tokio::join!(efd.query(&a), efd.query(&b), efd.query(&c)) };
        tokio::pin!(calls);
        // The third call is not sent before one of the two is answered.
        let seen = async {
            while sim.requests().len() < before + 2 {
                tokio::task::yield_now().await;
            }
            for _ in 0..1000 {
                tokio::task::yield_now().await;
            }
            sim.requests().len() - before
        };
        let seen = tokio::select! { n = seen => n, _ = &mut calls => panic!("hanging calls ended") };
        assert_eq!(seen, 2);
        sim.release();
        let (a, b, c) = calls.await;
        assert!(a.is_ok() && b.is_ok() && c.is_ok());
    }
}

#[tokio::test]
async fn away_and_back() {
    let (sim, clients) = both().await;
    for efd in &clients {
        assert!(efd.health().await.unwrap().contains("simulated"));
        sim.go_away();
        let error = efd.write(&[wind(1.0, 1, 1.0)]).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::Unavailable, "{error}");
        assert_eq!(efd.health().await.unwrap_err().class(), ErrorClass::Unavailable);
        sim.come_back().await.unwrap();
        efd.write(&[wind(1.0, 1, 1.0)]).await.unwrap();
    }
}

#[tokio::test]
async fn wrong_credentials_and_names_are_refused() {
    let (sim, _) = both().await;
    let wrong = |_: &str| Some("wrong".to_owned());
    for config in [sim.config2(), sim.config1()] {
        let efd = config.client(wrong).unwrap();
        for error in
            [efd.query(&speeds(None)).await.unwrap_err(), efd.write(&[wind(1.0, 1, 1.0)]).await.unwrap_err()]
        {
            assert!(matches!(error, EfdError::Refused { status: 401, .. }), "{error}");
            assert!(!error.to_string().contains("wrong"), "the secret is not told: {error}");
        }
    }
    let no_bucket = EfdConfig { bucket: Some("other".into()), ..sim.config2() };
    let no_database = EfdConfig { database: Some("other".into()), ..sim.config1() };
    for config in [no_bucket, no_database] {
        let efd = config.client(SimInflux::env).unwrap();
        assert_eq!(efd.query(&speeds(None)).await.unwrap_err().class(), ErrorClass::Refused);
        assert_eq!(efd.write(&[wind(1.0, 1, 1.0)]).await.unwrap_err().class(), ErrorClass::Refused);
    }
}

#[tokio::test]
async fn a_field_that_changes_its_type_is_a_bad_point() {
    for client in 0..2 {
        let (sim, clients) = both().await;
        let mut other = Point::sal("ESS", "airFlow", at(5.0));
        other.push("speed", &Value::Text("fast".into()));
        clients[client].write(&[wind(1.0, 1, 1.0)]).await.unwrap();
        let error = clients[client].write(&[wind(2.0, 1, 2.0), other, wind(3.0, 1, 3.0)]).await.unwrap_err();
        assert!(matches!(error, EfdError::BadPoint { .. }), "{error}");
        assert!(error.to_string().contains("already exists as type float"), "{error}");
        assert_eq!(sim.points("lsst.sal.ESS.airFlow").len(), 3, "the others are written");
    }
}

#[tokio::test]
async fn queries_that_are_wrong_are_not_sent_and_unknown_ones_are_refused() {
    let (sim, clients) = both().await;
    for efd in &clients {
        let error =
            efd.query(&SeriesQuery { measurement: "a\" b".into(), ..speeds(None) }).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::BadRequest);
    }
    assert!(sim.requests().is_empty());
    assert!(shapes::flux("buckets()").unwrap_err().contains("simulated"));
    assert!(shapes::influxql("SHOW DATABASES", DATABASE).is_err());
    assert!(
        shapes::influxql(
            "SELECT \"a\" FROM \"b\" WHERE time >= 'x' AND time <= 'y' LIMIT 1 /* c */",
            DATABASE
        )
        .is_err()
    );
}

#[tokio::test]
async fn no_points_and_empty_points_are_no_request() {
    let (sim, clients) = both().await;
    for efd in &clients {
        efd.write(&[]).await.unwrap();
        let mut nan = Point::sal("ESS", "airFlow", at(0.0));
        nan.push("speed", &Value::Double(f64::NAN));
        efd.write(&[nan]).await.unwrap();
    }
    assert!(sim.requests().is_empty());
}
