//! The outbox against the simulated EFD: away, lost answers, bad points, wrong credentials, full.

use super::*;
use crate::sim::influx::{Fault, SimInflux};
use salobj::{Tai, Value};

pub(super) const RESULT: &str = "lsst.sal.Catcher.logevent_result";

pub(super) fn point(i: i64) -> Point {
    let mut point = Point::sal("Catcher", "logevent_result", Tai::from_utc_unix(1_795_218_000.0 + i as f64));
    point.push("value", &Value::Int(i));
    point
}

fn options() -> OutboxOptions {
    OutboxOptions {
        first_delay: Duration::from_millis(5),
        longest_delay: Duration::from_millis(20),
        ..OutboxOptions::default()
    }
}

/// Runs the outbox until its state is as wanted, at most 20 s.
async fn run_until(
    outbox: &Outbox,
    efd: Arc<dyn Efd>,
    wanted: impl FnMut(&OutboxState) -> bool,
) -> OutboxState {
    let stop = CancellationToken::new();
    let mut state = outbox.state();
    let reached = async {
        let reached = tokio::time::timeout(Duration::from_secs(20), state.wait_for(wanted)).await;
        stop.cancel();
        reached.expect("the state is reached in time").unwrap().clone()
    };
    let (ran, state) = tokio::join!(outbox.run(efd, stop.clone()), reached);
    ran.unwrap();
    state
}

fn values(sim: &SimInflux) -> Vec<String> {
    sim.points(RESULT).iter().map(|p| format!("{:?}", p.get("value").unwrap())).collect()
}

#[tokio::test]
async fn results_wait_while_the_efd_is_down_and_go_out_in_order_over_a_restart() {
    let sim = SimInflux::start().await.unwrap();
    for efd in [sim.client2(), sim.client1()] {
        let dir = tempfile::tempdir().unwrap();
        sim.go_away();
        let (outbox, _) = Outbox::open(dir.path(), options()).unwrap();
        for i in 0..3 {
            outbox.push(vec![point(i)]).await.unwrap();
        }
        let state = run_until(&outbox, Arc::clone(&efd), |state| state.failures >= 3).await;
        assert_eq!((state.pending, state.written), (3, 0));
        assert_eq!(state.last_error.unwrap().0, ErrorClass::Unavailable);
        drop(outbox);

        let (outbox, recovered) = Outbox::open(dir.path(), options()).unwrap();
        assert_eq!(recovered.pending, 3);
        outbox.push(vec![point(3)]).await.unwrap();
        sim.come_back().await.unwrap();
        let state = run_until(&outbox, efd, |state| state.pending == 0).await;
        assert_eq!((state.written, state.failures, state.last_error), (4, 0, None));
        assert_eq!(values(&sim), ["Int(0)", "Int(1)", "Int(2)", "Int(3)"]);
    }
}

#[tokio::test]
async fn a_lost_answer_writes_twice_and_leaves_one() {
    let sim = SimInflux::start().await.unwrap();
    for efd in [sim.client2(), sim.client1()] {
        let dir = tempfile::tempdir().unwrap();
        let (outbox, _) = Outbox::open(dir.path(), options()).unwrap();
        outbox.push(vec![point(0), point(1)]).await.unwrap();
        sim.fail(1, Fault::LostAnswer);
        sim.fail(2, Fault::Status(503, String::new()));
        let state = run_until(&outbox, efd, |state| state.pending == 0).await;
        assert_eq!(state.written, 2);
        assert_eq!(sim.points(RESULT).len(), 2);
    }
}

#[tokio::test]
async fn a_bad_point_is_put_aside_and_the_others_go_on() {
    for kind in 0..2 {
        let sim = SimInflux::start().await.unwrap();
        let efd = [sim.client2(), sim.client1()][kind].clone();
        let dir = tempfile::tempdir().unwrap();
        let (outbox, _) = Outbox::open(dir.path(), options()).unwrap();
        let mut points: Vec<Point> = (0..9).map(point).collect();
        points[5].fields = vec![("value".into(), crate::outputs::efd::FieldValue::Text("five".into()))];
        outbox.push(points).await.unwrap();
        let state = run_until(&outbox, efd, |state| state.pending == 0).await;
        assert_eq!((state.written, state.rejected, state.lost), (8, 1, 0));
        assert_eq!(values(&sim).len(), 8);
        let aside = std::fs::read_to_string(dir.path().join("rejected.jsonl")).unwrap();
        assert!(aside.contains("five") && aside.contains("type conflict"), "{aside}");
    }
}

#[tokio::test]
async fn refused_credentials_keep_everything_until_they_are_right() {
    let sim = SimInflux::start().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (outbox, _) = Outbox::open(dir.path(), options()).unwrap();
    outbox.push(vec![point(0)]).await.unwrap();
    let wrong = sim.config2().client(|_| Some("wrong".into())).unwrap();
    let state = run_until(&outbox, wrong, |state| state.failures > 0).await;
    assert_eq!((state.pending, state.last_error.unwrap().0), (1, ErrorClass::Refused));
    assert_eq!(run_until(&outbox, sim.client2(), |state| state.pending == 0).await.written, 1);
}

#[tokio::test]
async fn what_does_not_fit_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let limits = SpoolLimits { max_bytes: 400, segment_bytes: 100 };
    let (outbox, _) = Outbox::open(dir.path(), OutboxOptions { limits, ..options() }).unwrap();
    outbox.push(vec![point(0)]).await.unwrap();
    let error = outbox.push((0..50).map(point).collect()).await.unwrap_err();
    assert!(matches!(error, SpoolError::Full { .. }));
    let state = outbox.state().borrow().clone();
    assert_eq!((state.pending, state.lost), (1, 50));
}
