//! Start, duplicate check, signals' close, exitControl, several CSCs and remotes in one process.

use std::sync::Arc;
use std::time::Duration;

use salobj::SummaryState as S;
use salobj::csc::{CscOptions, StartError, start};
use salobj::{Remote, RemoteOptions};
use salobj_testbed::test_csc::Failing;
use salobj_testbed::{Bus, CscBench, TestCsc};

use crate::support::{config_dir, options, setup, spec, test_component};

#[tokio::test(start_paused = true)]
async fn a_second_instance_refuses_to_start() {
    let s = setup().await;
    let second = CscOptions { check_duplicate: true, ..options(&s.dir, 7) };
    let clock = s.bench.bus.clock.clone();
    let before = clock.now();
    let e = start(&s.bench.bus.domain(9), spec(), second.clone(), Arc::new(TestCsc::default()))
        .await
        .unwrap_err();
    assert!(clock.now() - before <= 1.1, "the first heartbeat is enough");
    let StartError::Duplicate { own, other, .. } = &e else { panic!("{e}") };
    assert_eq!(
        e.to_string(),
        format!("Test:7 with origin={own} quitting: found another instance with origin={other}.")
    );
    assert_eq!((*own, *other), (i64::from(std::process::id()) + 9, i64::from(std::process::id())));
    // Another index is no duplicate, nor is the predecessor that a fail-over names.
    let other_index = CscOptions { index: 8, ..second.clone() };
    let csc =
        start(&s.bench.bus.domain(10), spec(), other_index, Arc::new(TestCsc::default())).await.unwrap();
    csc.close().await;
    let successor = CscOptions { predecessor: Some(*other), ..second };
    let csc = start(&s.bench.bus.domain(11), spec(), successor, Arc::new(TestCsc::default())).await.unwrap();
    csc.close().await;
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn exit_control_is_acknowledged_and_offline_published_before_the_end() {
    let s = setup().await;
    s.bench.assert_next_summary_state(S::Standby).await;
    let clock = s.bench.bus.clock.clone();
    let before = clock.now();
    s.bench.command_ok("exitControl", &[]).await;
    assert!(clock.now() - before < 0.1);
    s.bench.assert_next_summary_state(S::Offline).await;
    s.bench.csc.wait_done().await;
    let took = clock.now() - before;
    assert!((0.9..1.6).contains(&took), "one second for the last messages: {took}");
    let heartbeats = s.bench.remote.event("heartbeat").unwrap();
    heartbeats.flush().unwrap();
    assert!(heartbeats.next(true, Some(Duration::from_secs(5))).await.is_err(), "no heartbeat any more");
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn closing_publishes_no_transition() {
    let s = setup().await;
    s.bench.go_to(S::Enabled).await;
    s.bench.csc.close().await;
    assert_eq!(s.bench.remote.event("summaryState").unwrap().get().unwrap().i64("summaryState"), 2);
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_late_remote_sees_the_state_of_a_csc_that_has_gone() {
    let s = setup().await;
    s.bench.go_to(S::Disabled).await;
    s.bench.csc.close().await;
    let late =
        Remote::open(&s.bench.bus.domain(5), test_component(), 7, RemoteOptions::default()).await.unwrap();
    let state = late.event("summaryState").unwrap().aget(Some(Duration::from_secs(1))).await.unwrap();
    assert_eq!(state.i64("summaryState"), 1);
    late.close().await;
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_csc_starts_the_remotes_of_its_domain_which_write_in_its_name() {
    let (bus, _control) = Bus::memory();
    let dir = config_dir();
    let domain = bus.domain(3);
    let csc = start(&domain, spec(), options(&dir, 1), Arc::new(TestCsc::default())).await.unwrap();
    let other = CscBench::start(&bus, spec(), options(&dir, 2), Arc::new(TestCsc::default())).await;
    let remote = Remote::open(&domain, test_component(), 2, RemoteOptions::default()).await.unwrap();
    assert_eq!(remote.identity(), "Test:1");
    remote.set_summary_state(S::Enabled, "").await.unwrap();
    other.close().await;
    csc.close().await;
    let e = remote.command("standby").unwrap().start(&[], Duration::from_secs(1), true).await.unwrap_err();
    assert!(e.to_string().starts_with("No longer open"), "the domain is closed with its CSC: {e}");
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_is_away_fails_the_start_with_its_reason() {
    let (bus, control) = Bus::memory();
    control.set_stopped(true);
    let dir = config_dir();
    let e = start(&bus.domain(3), spec(), options(&dir, 1), Arc::new(TestCsc::default())).await.unwrap_err();
    assert!(e.to_string().contains("stopped"), "{e}");
    control.set_stopped(false);
    control.set_registry_stopped(true);
    let e = start(&bus.domain(3), spec(), options(&dir, 1), Arc::new(TestCsc::default())).await.unwrap_err();
    assert!(e.to_string().contains("registry"), "{e}");
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_goes_away_and_comes_back_is_survived() {
    let s = setup().await;
    s.bench.go_to(S::Enabled).await;
    s.control.set_stopped(true);
    s.bench.bus.clock.sleep(Duration::from_secs(10)).await;
    assert!(s.bench.command("wait", &[]).await.is_err());
    s.control.set_stopped(false);
    s.bench.command_ok("wait", &[]).await;
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_component_without_xml_is_read_off_the_bus() {
    let s = setup().await;
    let domain = s.bench.bus.domain(30);
    let found = domain.component_on_bus("Test").await.unwrap();
    let known = test_component();
    assert!(found.indexed);
    assert_eq!(found.topics.len(), known.topics.len());
    for topic in &known.topics {
        let other = found.topic(&topic.sal_name).unwrap();
        // Avro does not tell SAL's int from its long; all else comes back.
        let names =
            |t: &sal_idl::Topic| t.fields.iter().map(|f| (f.name.clone(), f.count)).collect::<Vec<_>>();
        assert_eq!(names(other), names(topic), "{}", topic.sal_name);
        assert_eq!(other.rev_code, topic.rev_code, "{}", topic.sal_name);
    }
    let remote = Remote::open(&domain, found, 7, RemoteOptions::default()).await.unwrap();
    remote.set_summary_state(S::Enabled, "").await.unwrap();
    let e = domain.component_on_bus("Nobody").await.unwrap_err().to_string();
    assert_eq!(e, "Nobody has no topic with a registered schema under subname test_bench");
    remote.close().await;
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_fault_in_start_ends_it_and_one_in_close_does_not_hang() {
    let (bus, control) = Bus::memory();
    let dir = config_dir();
    let csc = Arc::new(TestCsc::default());
    csc.fail_next(Failing::FaultInStart(5));
    let e = start(&bus.domain(3), spec(), options(&dir, 1), csc.clone()).await.unwrap_err();
    assert_eq!(e.to_string(), "start failed: Fault in start: errorCode=5, errorReport='fault in start'");
    let running = start(&bus.domain(3), spec(), options(&dir, 1), csc.clone()).await.unwrap();
    csc.fail_next(Failing::FaultInClose(6));
    bus.clock.timeout(Duration::from_secs(10), running.close()).await.unwrap();
    assert!(control.groups().is_empty());
}
