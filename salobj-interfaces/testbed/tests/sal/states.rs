//! Summary states: the standard transitions, refusals, hooks that fail, faults.

use salobj::SummaryState as S;
use salobj::{AckCode, CommandError, Transition as T};
use salobj_testbed::test_csc::{FAULT_REPORT, Failing};

use crate::support::setup;

#[tokio::test(start_paused = true)]
async fn standard_state_transitions() {
    let s = setup().await;
    s.bench.check_standard_state_transitions(&["setScalars", "setArrays", "wait"], &["fault"]).await;
    s.bench.close().await;
    assert!(s.control.groups().is_empty(), "consumer groups are deleted: {:?}", s.control.groups());
}

#[tokio::test(start_paused = true)]
async fn fault_command_and_what_is_refused_then() {
    let s = setup().await;
    s.bench.go_to(S::Enabled).await;
    let text = s.bench.command_fails("enable", &[]).await;
    assert_eq!(text, "Failed: enable not allowed in state <State.ENABLED: 2>");
    s.bench.command_ok("fault", &[]).await;
    for state in [S::Standby, S::Disabled, S::Enabled, S::Fault] {
        s.bench.assert_next_summary_state(state).await;
    }
    let text = s.bench.command_fails("wait", &[]).await;
    assert_eq!(
        text,
        format!("Failed: Not allowed in Fault state: errorCode=1, errorReport='{FAULT_REPORT}'")
    );
    let text = s.bench.command_fails("enable", &[]).await;
    assert_eq!(text, "Failed: enable not allowed in state <State.FAULT: 3>");
    s.bench.command_ok("standby", &[]).await;
    s.bench.assert_next_summary_state(S::Standby).await;
    s.bench.assert_next_sample("errorCode", &[("errorCode", 0.into()), ("errorReport", "".into())]).await;
    s.bench
        .assert_next_sample("errorCode", &[("errorCode", 1.into()), ("errorReport", FAULT_REPORT.into())])
        .await;
    s.bench.assert_next_sample("errorCode", &[("errorCode", 0.into()), ("errorReport", "".into())]).await;
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn refusal_in_disabled_names_the_state() {
    let s = setup().await;
    s.bench.go_to(S::Disabled).await;
    assert_eq!(s.bench.command_fails("wait", &[]).await, "Failed: Not allowed in state=<State.DISABLED: 1>");
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_begin_leaves_the_old_state() {
    let s = setup().await;
    s.bench.go_to(S::Disabled).await;
    for e in [CommandError::expected("no way"), CommandError::Other("broken".into())] {
        s.csc.fail_next(Failing::Begin(T::Enable, e.clone()));
        assert_eq!(s.bench.command_fails("enable", &[]).await, format!("Failed: {e}"));
        assert_eq!(s.bench.csc.context().state(), S::Disabled);
    }
    s.bench.command_ok("enable", &[]).await;
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_end_restores_the_old_state_for_any_error() {
    let s = setup().await;
    s.bench.go_to(S::Enabled).await;
    for e in [CommandError::expected("no way"), CommandError::Other("broken".into())] {
        s.csc.fail_next(Failing::End(T::Disable, e.clone()));
        assert_eq!(s.bench.command_fails("disable", &[]).await, format!("Failed: {e}"));
        assert_eq!(s.bench.csc.context().state(), S::Enabled);
    }
    s.bench.command_ok("disable", &[]).await;
    for state in [S::Standby, S::Disabled, S::Enabled, S::Disabled] {
        s.bench.assert_next_summary_state(state).await;
    }
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_failing_handle_summary_state_fails_the_command() {
    let s = setup().await;
    s.bench.go_to(S::Disabled).await;
    s.csc.fail_next(Failing::Handle(S::Enabled, CommandError::expected("cannot connect")));
    assert_eq!(s.bench.command_fails("enable", &[]).await, "Failed: cannot connect");
    assert_eq!(s.bench.csc.context().state(), S::Enabled, "the state stays, as upstream's");
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_timeout_and_an_abort_have_their_own_codes() {
    let s = setup().await;
    for (e, code, text) in [
        (CommandError::Timeout, AckCode::Timeout, "Timeout"),
        (CommandError::Aborted, AckCode::Aborted, "Aborted"),
        (
            CommandError::Ack { code: AckCode::Stalled, error: 5, result: "stuck".into() },
            AckCode::Stalled,
            "stuck",
        ),
        (CommandError::expected(""), AckCode::Failed, "Failed: "),
    ] {
        s.csc.fail_next(Failing::Begin(T::Start, e.clone()));
        let error = s.bench.command("start", &[]).await.unwrap_err();
        let ack = error.ack().unwrap();
        assert_eq!((ack.ack, ack.result.as_str()), (code, text));
        assert_eq!(ack.error, if code == AckCode::Stalled { 5 } else { 1 });
    }
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_fault_inside_a_hook_wins_over_the_transition() {
    let s = setup().await;
    s.bench.go_to(S::Disabled).await;
    s.csc.fail_next(Failing::FaultInEnd(T::Enable, 42));
    let text = s.bench.command_fails("enable", &[]).await;
    assert_eq!(text, "Failed: enable given up in Fault state: errorCode=42, errorReport='fault in a hook'");
    for state in [S::Standby, S::Disabled, S::Fault] {
        s.bench.assert_next_summary_state(state).await;
    }
    assert_eq!(s.bench.csc.context().state(), S::Fault);
    s.bench.command_ok("standby", &[]).await;
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_second_fault_replaces_the_error_code() {
    let s = setup().await;
    let ctx = s.bench.csc.context().clone();
    ctx.fault(1, "one", "trace").await;
    ctx.fault(2, "two", "").await;
    s.bench.assert_next_summary_state(S::Standby).await;
    s.bench.assert_next_summary_state(S::Fault).await;
    s.bench.assert_next_sample("errorCode", &[("errorCode", 0.into())]).await;
    s.bench.assert_next_sample("errorCode", &[("errorCode", 1.into()), ("traceback", "trace".into())]).await;
    s.bench.assert_next_sample("errorCode", &[("errorCode", 2.into()), ("traceback", "".into())]).await;
    assert_eq!(ctx.snapshot().error_code, 2);
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn set_summary_state_goes_there_and_back() {
    let s = setup().await;
    let passed = s.bench.remote.set_summary_state(S::Enabled, "").await.unwrap();
    assert_eq!(passed, [S::Standby, S::Disabled, S::Enabled]);
    let passed = s.bench.remote.set_summary_state(S::Standby, "").await.unwrap();
    assert_eq!(passed, [S::Enabled, S::Disabled, S::Standby]);
    assert!(s.bench.remote.set_summary_state(S::Fault, "").await.is_err());
    let e = s.bench.remote.set_summary_state(S::Disabled, "no.yaml").await.unwrap_err().to_string();
    assert!(
        e.starts_with("Error on cmd=cmd_start, initial_state=<State.STANDBY: 5>: msg='Command failed'"),
        "{e}"
    );
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_hook_fails_the_command_only() {
    let s = setup().await;
    s.bench.go_to(S::Disabled).await;
    s.csc.fail_next(Failing::PanicInBegin(T::Enable));
    assert_eq!(s.bench.command_fails("enable", &[]).await, "Failed: a hook of the CSC panicked");
    s.bench.command_ok("enable", &[]).await;
    s.bench.close().await;
}
