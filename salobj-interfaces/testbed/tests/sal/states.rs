//! Summary states: the standard transitions, refusals, hooks that fail, faults.

use std::sync::Arc;

use salobj::SummaryState as S;
use salobj::csc::CscOptions;
use salobj_testbed::test_csc::{FAULT_REPORT, INIT_YAML};
use salobj_testbed::{Bus, CscBench, TestCsc};

/// A Test CSC with a configuration directory of its own.
pub(crate) async fn bench() -> (CscBench, Arc<TestCsc>, tempfile::TempDir) {
    let (bus, _) = Bus::memory();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("_init.yaml"), INIT_YAML).unwrap();
    let csc = Arc::new(TestCsc::default());
    let options = CscOptions { config_dir: Some(dir.path().to_owned()), ..CscOptions::new(7) };
    let bench = CscBench::start(&bus, TestCsc::spec().unwrap(), options, csc.clone()).await;
    (bench, csc, dir)
}

#[tokio::test(start_paused = true)]
async fn standard_state_transitions() {
    let (bench, _, _dir) = bench().await;
    bench.check_standard_state_transitions(&["setScalars", "setArrays", "wait"], &["fault"]).await;
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn fault_command_and_what_is_refused_then() {
    let (bench, _, _dir) = bench().await;
    bench.go_to(S::Enabled).await;
    bench.command_ok("fault", &[]).await;
    for state in [S::Standby, S::Disabled, S::Enabled, S::Fault] {
        bench.assert_next_summary_state(state).await;
    }
    let text = bench.command_fails("wait", &[]).await;
    assert_eq!(
        text,
        format!("Failed: Not allowed in Fault state: errorCode=1, errorReport='{FAULT_REPORT}'")
    );
    let text = bench.command_fails("enable", &[]).await;
    assert_eq!(text, "Failed: enable not allowed in state <State.FAULT: 3>");
    bench.command_ok("standby", &[]).await;
    bench.assert_next_summary_state(S::Standby).await;
    let codes: Vec<i64> = [
        bench.next("errorCode", false).await,
        bench.next("errorCode", false).await,
        bench.next("errorCode", false).await,
    ]
    .iter()
    .map(|s| s.i64("errorCode"))
    .collect();
    assert_eq!(codes, [0, 1, 0]);
    bench.close().await;
}
