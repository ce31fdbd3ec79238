//! The same on Kafka: the embedded broker, or the real one that the environment names. Wall clock.

use std::sync::Arc;
use std::time::Duration;

use salobj::SummaryState as S;
use salobj::csc::{CscOptions, StartError, start};
use salobj::{AckCode, AckError, Remote, RemoteOptions, SentState, Value};
use salobj_testbed::{Bus, CscBench, TestCsc, Testbed};

use crate::support::{config_dir, options, spec, test_component};

const S1: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(30);

struct OnKafka {
    bench: CscBench,
    dir: tempfile::TempDir,
    _testbed: Testbed,
}

async fn setup() -> OnKafka {
    let testbed = Testbed::for_tests().await.unwrap();
    let bus = Bus::kafka(&testbed);
    let dir = config_dir();
    let bench = CscBench::start(&bus, spec(), options(&dir, 7), Arc::new(TestCsc::default())).await;
    OnKafka { bench, dir, _testbed: testbed }
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_state_transitions() {
    let k = setup().await;
    k.bench.check_standard_state_transitions(&["setScalars", "setArrays", "wait"], &["fault"]).await;
    k.bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_events_telemetry_and_late_remotes() {
    let k = setup().await;
    k.bench.go_to(S::Enabled).await;
    let fields: [(&str, Value); 3] =
        [("int0", (-7).into()), ("double0", f64::NAN.into()), ("string0", "grüße".into())];
    k.bench.command_ok("setScalars", &fields).await;
    let event = k.bench.next("scalars", false).await;
    assert_eq!((event.i64("int0"), event.str("string0")), (-7, "grüße"));
    let telemetry = k.bench.remote.telemetry("scalars").unwrap().next(false, Some(LIMIT)).await.unwrap();
    assert!(telemetry.f64("double0").is_nan());

    // In-progress extends; three run in parallel.
    let wait = k.bench.remote.command("wait").unwrap();
    let clock = k.bench.bus.clock.clone();
    let before = clock.now();
    let two = [("duration", Value::from(2.0))];
    let all = futures::future::join_all((0..3).map(|_| wait.start(&two, S1, true))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    assert!(clock.now() - before < 5.0);

    // A late remote of all instances gets history; a command to nobody times out.
    let all =
        Remote::open(&k.bench.bus.domain(2), test_component(), 0, RemoteOptions::default()).await.unwrap();
    let state = all.event("summaryState").unwrap().get().expect("history");
    assert_eq!((state.sal_index(), state.i64("summaryState")), (7, 2));
    let e = all.command("wait").unwrap().start(&[], S1, true).await.unwrap_err();
    assert!(matches!(e, AckError::Timeout(_)), "{e}");
    let ack = all.command("wait").unwrap().start(&[("salIndex", 7.into())], LIMIT, true).await.unwrap();
    assert_eq!(ack.ack, AckCode::Complete);
    all.close().await;
    k.bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_instance_refuses_to_start() {
    let k = setup().await;
    let second = CscOptions { check_duplicate: true, ..options(&k.dir, 7) };
    let outcome = start(&k.bench.bus.domain(9), spec(), second, Arc::new(TestCsc::default())).await;
    assert!(matches!(outcome, Err(StartError::Duplicate { .. })), "{outcome:?}");
    k.bench.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_adopted_by_another_process() {
    let k = setup().await;
    k.bench.go_to(S::Enabled).await;
    let first =
        Remote::open(&k.bench.bus.domain(20), test_component(), 7, RemoteOptions::default()).await.unwrap();
    let wait = first.command("wait").unwrap();
    let prepared = wait.prepare(&[("duration", 1.0.into())]).await.unwrap();
    assert_eq!(wait.find_sent(&prepared).await.unwrap(), SentState::NotSent);
    drop(wait.send(&prepared).await.unwrap());
    first.close().await;
    k.bench.bus.clock.sleep(S1 * 2).await;
    let second =
        Remote::open(&k.bench.bus.domain(21), test_component(), 7, RemoteOptions::default()).await.unwrap();
    assert_eq!(second.command("wait").unwrap().find_sent(&prepared).await.unwrap(), SentState::Sent);
    let mut adopted = second.adopt(&prepared).await.unwrap();
    let ack = adopted.wait(LIMIT, true).await.unwrap();
    assert_eq!((ack.ack, ack.origin), (AckCode::Complete, prepared.origin));
    second.close().await;
    k.bench.close().await;
}
