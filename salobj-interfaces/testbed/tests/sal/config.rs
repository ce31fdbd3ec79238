//! Configuration of a CSC, from `configurationsAvailable` to the failures of `start`.

use std::sync::Arc;
use std::time::Duration;

use salobj::SummaryState as S;
use salobj::csc::{CscOptions, start};
use salobj_testbed::{Bus, CscBench, TestCsc};

use crate::support::{config_dir, options, setup, spec};

#[tokio::test(start_paused = true)]
async fn start_applies_init_site_and_override() {
    let s = setup().await;
    std::fs::write(s.dir.path().join("_test.yaml"), "int0: 6\nmetadata: {a: b}\n").unwrap();
    std::fs::write(s.dir.path().join("more.yaml"), "string0: mine\n").unwrap();
    s.bench.command_ok("start", &[("configurationOverride", "more.yaml".into())]).await;
    let applied =
        [("configurations", "_init.yaml,_test.yaml,more.yaml".into()), ("schemaVersion", "v2".into())];
    s.bench.assert_next_sample("configurationApplied", &applied).await;
    let config = s.csc.config().unwrap();
    assert_eq!(config.value["int0"], 6);
    assert_eq!(config.value["string0"], "mine");
    assert!(config.value.get("metadata").is_none());
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_bad_configuration_fails_start_with_all_errors_and_polling_goes_on() {
    let s = setup().await;
    s.bench.next("configurationsAvailable", false).await;
    let text = "int0: five\nfloat0: x\nbool0: 3\nintarr0: [1, a]\nunknown: 1\n";
    std::fs::write(s.dir.path().join("bad.yaml"), text).unwrap();
    s.bench.assert_next_sample("configurationsAvailable", &[("overrides", "bad.yaml".into())]).await;
    let text = s.bench.command_fails("start", &[("configurationOverride", "bad.yaml".into())]).await;
    assert!(text.starts_with("Failed: Configuration failed validation: "), "{text}");
    for part in ["/int0", "/float0", "/bool0", "/intarr0/1", "unknown"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let text = s.bench.command_fails("start", &[("configurationOverride", "_init.yaml".into())]).await;
    assert_eq!(text, "Failed: configurationOverride filename='_init.yaml' must not start with '_'");
    assert_eq!(s.bench.csc.context().state(), S::Standby);
    // Polling goes on after a failed start.
    std::fs::write(s.dir.path().join("good.yaml"), "int0: 9\n").unwrap();
    s.bench
        .assert_next_sample("configurationsAvailable", &[("overrides", "bad.yaml,good.yaml".into())])
        .await;
    s.bench.command_ok("start", &[("configurationOverride", "good.yaml".into())]).await;
    // No polling outside STANDBY; once more when it is entered.
    std::fs::remove_file(s.dir.path().join("bad.yaml")).unwrap();
    s.bench.bus.clock.sleep(Duration::from_secs(5)).await;
    let available = s.bench.remote.event("configurationsAvailable").unwrap();
    assert_eq!(available.nqueued(), 0);
    s.bench.command_ok("standby", &[]).await;
    s.bench.assert_next_sample("configurationsAvailable", &[("overrides", "good.yaml".into())]).await;
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn initial_state_with_an_override() {
    let (bus, _control) = Bus::memory();
    let dir = config_dir();
    std::fs::write(dir.path().join("more.yaml"), "string0: mine\n").unwrap();
    let options = CscOptions {
        initial_state: Some(S::Enabled),
        configuration_override: "more.yaml".into(),
        ..options(&dir, 7)
    };
    let bench = CscBench::start(&bus, spec(), options, Arc::new(TestCsc::default())).await;
    for state in [S::Standby, S::Disabled, S::Enabled] {
        bench.assert_next_summary_state(state).await;
    }
    let applied = bench.next("configurationApplied", false).await;
    assert!(applied.str("configurations").contains("more.yaml"));
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_initial_state_leaves_the_csc_up() {
    let (bus, _control) = Bus::memory();
    let dir = config_dir();
    let options = CscOptions {
        initial_state: Some(S::Enabled),
        configuration_override: "no.yaml".into(),
        ..options(&dir, 7)
    };
    let bench = CscBench::start(&bus, spec(), options, Arc::new(TestCsc::default())).await;
    assert_eq!(bench.csc.context().state(), S::Standby);
    bench.command_ok("start", &[]).await;
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn options_that_make_no_sense_are_refused() {
    let (bus, _control) = Bus::memory();
    let dir = config_dir();
    let refused = async |options: CscOptions| {
        let csc = Arc::new(TestCsc::default());
        start(&bus.domain(1), spec().simulation_modes(&[0, 1]), options, csc).await.unwrap_err().to_string()
    };
    let fault = CscOptions { initial_state: Some(S::Fault), ..options(&dir, 7) };
    assert_eq!(refused(fault).await, "initial_state cannot be FAULT");
    let mode = CscOptions { simulation_mode: 3, ..options(&dir, 7) };
    assert_eq!(refused(mode).await, "simulation_mode=3 not in valid_simulation_modes=(0, 1)");
    assert_eq!(refused(CscOptions::new(7)).await, "Environment variable TS_CONFIG_OCS_DIR not defined");
}
