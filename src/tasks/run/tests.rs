use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::tasks::call::{ErrorClass, StepError, StepOutcome, StepReportKind};
use crate::tasks::plan::{RetryPlan, StepPlan};

/// A plan as tests want it.
#[derive(Debug, Clone, Default)]
pub(crate) struct TestPlan {
    pub(crate) steps: Vec<StepPlan>,
    pub(crate) when: BTreeMap<&'static str, When>,
    pub(crate) bad_template: Option<&'static str>,
    pub(crate) items: BTreeMap<&'static str, Vec<Value>>,
}

mod fan;

use crate::tasks::plan::When;

pub(crate) fn step(name: &str, needs: &[&str]) -> StepPlan {
    StepPlan {
        name: name.to_owned(),
        needs: needs.iter().map(|n| (*n).to_owned()).collect(),
        backend: "sim".to_owned(),
        operation: String::new(),
        resend_if_unknown: false,
        timeout: Duration::from_secs(60),
        retry: RetryPlan { attempts: 2, backoff: Duration::from_secs(5), ..RetryPlan::default() },
        foreach: None,
        on_failure: Default::default(),
        for_failure: false,
        priority: Default::default(),
    }
}

pub(crate) fn plan(steps: &[(&str, &[&str])]) -> TestPlan {
    let steps = steps.iter().map(|(name, needs)| step(name, needs)).collect();
    TestPlan { steps, ..TestPlan::default() }
}

impl Plan for TestPlan {
    fn steps(&self) -> Vec<StepPlan> {
        self.steps.clone()
    }
    fn run_timeout(&self) -> Duration {
        Duration::from_secs(600)
    }
    fn when(&self, step: &str, _: &RunContext) -> When {
        self.when.get(step).cloned().unwrap_or(When::True)
    }
    fn items(&self, step: &str, _: &RunContext) -> Result<Vec<Value>, String> {
        self.items.get(step).cloned().ok_or_else(|| "no list".to_owned())
    }
    fn render(&self, step: &str, context: &RunContext) -> Result<Value, String> {
        if let Some(item) = &context.item {
            return Ok(json!({"step": step, "item": item.value, "index": item.index}));
        }
        if self.bad_template == Some(step) {
            return Err("the template has no value".to_owned());
        }
        Ok(json!({"step": step, "seen": context.tasks.len()}))
    }
}

pub(crate) fn header(id: &str) -> RunHeader {
    RunHeader {
        id: id.to_owned(),
        rule: "Jitter.AuxTel".to_owned(),
        revision: "0011223344556677".to_owned(),
        definition: "rules: []".to_owned(),
        key: None,
        occurrence: "m:topic:0:1".to_owned(),
        at: Tai(1000.0),
        start_before: Tai(1600.0),
        parent: None,
    }
}

struct Bench {
    plan: TestPlan,
    run: Run,
    now: f64,
    out: Vec<RunAction>,
}

impl Bench {
    fn new(plan: TestPlan) -> Self {
        let run = Run::new(header("0123456789abcdef"), RunContext::default(), &plan);
        Self { plan, run, now: 1000.0, out: Vec::new() }
    }

    fn started(plan: TestPlan) -> Self {
        let mut bench = Self::new(plan);
        bench.take(RunEvent::Start).unwrap();
        bench
    }

    fn take(&mut self, event: RunEvent) -> Result<(), IllegalReport> {
        self.out.clear();
        self.run.step(event, Some(&self.plan), Tai(self.now), &mut self.out)
    }

    fn report(&mut self, step: &str, attempt: u32, kind: StepReportKind) -> Result<(), IllegalReport> {
        let id = StepId { run_id: self.run.id().to_owned(), step: step.to_owned(), attempt };
        self.take(RunEvent::Report(Box::new(StepReport { id, kind })))
    }

    fn ok(&mut self, step: &str) {
        let outcome = StepOutcome { result: json!({"of": step}), ..StepOutcome::default() };
        let attempt = self.step(step).attempt;
        self.report(step, attempt, StepReportKind::Ended(Ok(outcome))).unwrap();
    }

    fn err(&mut self, step: &str, error: StepError) {
        let attempt = self.step(step).attempt;
        self.report(step, attempt, StepReportKind::Ended(Err(error))).unwrap();
    }

    fn step(&self, name: &str) -> &StepRun {
        self.run.step_named(name).unwrap()
    }

    fn states(&self) -> Vec<&'static str> {
        self.run.steps.iter().map(|s| s.state.word()).collect()
    }

    fn dispatched(&self) -> Vec<String> {
        let name = |a: &RunAction| match a {
            RunAction::Dispatch(call) => Some(format!("{}/{}", call.id.step, call.id.attempt)),
            _ => None,
        };
        self.out.iter().filter_map(name).collect()
    }

    fn aborted(&self) -> Vec<String> {
        let name = |a: &RunAction| match a {
            RunAction::Abort { id, .. } => Some(id.step.clone()),
            _ => None,
        };
        self.out.iter().filter_map(name).collect()
    }

    fn tick(&mut self, now: f64) {
        self.now = now;
        self.take(RunEvent::Tick).unwrap();
    }

    fn ended(&self) -> bool {
        self.out.contains(&RunAction::RunEnded { run_id: self.run.id().to_owned() })
    }
}

#[test]
fn steps_run_as_their_needs_allow_and_results_feed_later_ones() {
    let mut b = Bench::started(plan(&[("a", &[]), ("b", &[]), ("c", &["a", "b"]), ("d", &["c"])]));
    assert_eq!(b.dispatched(), ["a/1", "b/1"]);
    assert_eq!(b.run.state, TaskState::Running);
    b.report("a", 1, StepReportKind::Started).unwrap();
    assert_eq!(b.states(), ["running", "pending", "pending", "pending"]);
    b.ok("b");
    assert!(b.dispatched().is_empty());
    b.ok("a");
    assert_eq!(b.dispatched(), ["c/1"]);
    assert_eq!(b.step("c").params, json!({"step": "c", "seen": 2}));
    assert_eq!(b.run.context.tasks["a"], json!({"state": "succeeded", "result": {"of": "a"}, "error": ""}));
    b.ok("c");
    b.ok("d");
    assert!(b.ended());
    assert_eq!(b.run.state, TaskState::Succeeded);
    assert_eq!(b.run.finished, Some(Tai(1000.0)));
    assert_eq!(b.run.next_deadline(), None);
}

#[test]
fn a_failed_step_skips_what_needs_it_and_fails_the_run_while_others_go_on() {
    let mut b = Bench::started(plan(&[("a", &[]), ("b", &["a"]), ("c", &["b"]), ("other", &[])]));
    b.err("a", StepError::permanent("exit code 1").with_result(json!({"exit_code": 1})));
    assert_eq!(b.states(), ["failed", "skipped", "skipped", "pending"]);
    assert_eq!(b.step("c").error, "needs b, which is skipped");
    assert_eq!(b.run.context.tasks["a"]["result"]["exit_code"], 1);
    assert_eq!(b.run.state, TaskState::Running);
    b.ok("other");
    assert_eq!(b.run.state, TaskState::Failed);
    assert_eq!(b.run.error, "a: exit code 1");
}

#[test]
fn conditions_decide_and_unknown_is_not_true() {
    let mut p = plan(&[("a", &[]), ("b", &[]), ("c", &["a"]), ("d", &[])]);
    p.when.insert("a", When::False);
    p.when.insert("b", When::Unknown("no such key rms".to_owned()));
    p.bad_template = Some("d");
    let b = Bench::started(p);
    assert_eq!(b.states(), ["skipped", "skipped", "skipped", "failed"]);
    assert_eq!(b.step("b").error, "its condition is unknown: no such key rms");
    assert_eq!(b.step("d").error, "the template has no value");
    assert_eq!(b.run.state, TaskState::Failed);
    let mut p = plan(&[("a", &[]), ("c", &["a"])]);
    p.when.insert("a", When::False);
    assert_eq!(Bench::started(p).run.state, TaskState::Succeeded);
}

#[test]
fn only_transient_errors_are_retried_and_not_for_ever() {
    let mut b = Bench::started(plan(&[("a", &[])]));
    b.err("a", StepError::transient("busy"));
    assert_eq!(b.states(), ["retrying"]);
    assert_eq!(b.run.next_deadline(), Some(Tai(1005.0)));
    assert_eq!(b.out[0], RunAction::StepChanged { run_id: b.run.id().into(), step: "a".into() });
    b.tick(1004.9);
    assert!(b.dispatched().is_empty());
    b.tick(1005.0);
    assert_eq!(b.dispatched(), ["a/2"]);
    let late = b.report("a", 1, StepReportKind::Ended(Ok(StepOutcome::default())));
    assert!(late.unwrap_err().to_string().contains("attempt 1 is not under way"));
    b.report("a", 2, StepReportKind::Started).unwrap();
    assert_eq!(b.step("a").started, Some(Tai(1000.0)), "the start is that of the first attempt");
    b.err("a", StepError::transient("busy"));
    assert_eq!(b.run.state, TaskState::Failed);
    for class in [ErrorClass::Permanent, ErrorClass::UnknownOutcome] {
        let mut b = Bench::started(plan(&[("a", &[])]));
        b.err("a", StepError::new(class, "no"));
        assert_eq!(b.run.state, TaskState::Failed, "{class:?}");
    }
    let mut p = plan(&[("a", &[])]);
    p.steps[0].retry.retry_on = vec!["connection".to_owned()];
    let mut b = Bench::started(p);
    b.err("a", StepError::transient("busy"));
    assert_eq!(b.states(), ["failed"]);
}

#[test]
fn a_cancel_stops_what_runs_and_ends_what_waits() {
    let mut b = Bench::started(plan(&[("a", &[]), ("b", &["a"])]));
    b.report("a", 1, StepReportKind::Started).unwrap();
    b.take(RunEvent::Cancel { reason: "wrong image".to_owned() }).unwrap();
    assert_eq!(b.aborted(), ["a"]);
    assert_eq!(b.states(), ["running", "aborted"]);
    assert_eq!(b.run.state, TaskState::Running);
    assert!(b.take(RunEvent::Cancel { reason: "again".to_owned() }).is_err());
    b.err("a", StepError::aborted("wrong image"));
    assert_eq!(b.run.state, TaskState::Aborted);
    assert_eq!(b.run.error, "wrong image");
    assert!(b.take(RunEvent::Cancel { reason: "late".to_owned() }).is_err());

    let mut b = Bench::new(plan(&[("a", &[])]));
    b.take(RunEvent::Cancel { reason: "not needed".to_owned() }).unwrap();
    assert_eq!((b.run.state, b.states()), (TaskState::Aborted, vec!["aborted"]));
}

#[test]
fn a_step_that_ends_well_in_spite_of_a_cancel_keeps_its_result() {
    let mut b = Bench::started(plan(&[("a", &[])]));
    b.take(RunEvent::Cancel { reason: "stop".to_owned() }).unwrap();
    b.ok("a");
    assert_eq!(b.run.state, TaskState::Succeeded);
    assert_eq!(b.run.error, "");
}

#[test]
fn nothing_outlasts_the_run_nor_a_backend_that_never_answers() {
    let mut b = Bench::started(plan(&[("a", &[]), ("b", &["a"])]));
    assert_eq!(b.run.next_deadline(), Some(Tai(1600.0)));
    b.tick(1600.0);
    assert_eq!(b.aborted(), ["a"]);
    assert_eq!(b.states(), ["pending", "timed_out"]);
    assert_eq!(b.run.next_deadline(), Some(Tai(1720.0)));
    b.tick(1720.0);
    assert_eq!(b.run.state, TaskState::TimedOut);
    assert_eq!(b.run.error, "the run exceeded its limit of 600 s");

    let mut b = Bench::started(plan(&[("a", &[])]));
    b.report("a", 1, StepReportKind::Started).unwrap();
    assert_eq!(b.run.next_deadline(), Some(Tai(1180.0)));
    b.tick(1180.0);
    assert_eq!(b.run.state, TaskState::TimedOut);
    assert_eq!(b.step("a").error, "backend sim never told how the step ended");
}

#[test]
fn a_timed_out_step_makes_a_timed_out_run_and_an_aborted_one_an_aborted_run() {
    let cases =
        [(StepError::timed_out("x"), TaskState::TimedOut), (StepError::aborted("x"), TaskState::Aborted)];
    for (error, state) in cases {
        let mut b = Bench::started(plan(&[("a", &[]), ("b", &["a"])]));
        b.err("a", error);
        assert_eq!(b.run.state, state);
        assert_eq!(b.step("b").state, TaskState::Skipped);
    }
}

#[test]
fn events_that_fit_no_state_change_nothing() {
    let events = || {
        let id = StepId { run_id: "0123456789abcdef".into(), step: "zz".into(), attempt: 1 };
        vec![
            RunEvent::Start,
            RunEvent::Skip { reason: String::new() },
            RunEvent::Cancel { reason: String::new() },
            RunEvent::Report(Box::new(StepReport { id, kind: StepReportKind::Started })),
        ]
    };
    let mut b = Bench::started(plan(&[("a", &[])]));
    b.ok("a");
    let before = b.run.clone();
    for event in events() {
        assert!(b.take(event.clone()).is_err(), "{event:?}");
        assert_eq!((&b.run, b.out.len()), (&before, 0), "{event:?}");
    }
    let mut b = Bench::started(plan(&[("a", &[])]));
    let before = b.run.clone();
    for event in [events().remove(0), events().remove(1), events().remove(3)] {
        assert!(b.take(event.clone()).is_err(), "{event:?}");
        assert_eq!((&b.run, b.out.len()), (&before, 0), "{event:?}");
    }
}

#[test]
fn after_a_restart_steps_under_way_are_resumed_with_the_time_they_had_left() {
    let mut b = Bench::started(plan(&[("a", &[]), ("b", &[])]));
    b.report("a", 1, StepReportKind::Started).unwrap();
    let text = serde_json::to_string(&b.run).unwrap();
    b.run = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&b.run).unwrap(), text);
    b.now = 1050.0;
    b.take(RunEvent::Resume).unwrap();
    let calls: Vec<(String, f64)> = b
        .out
        .iter()
        .filter_map(|a| match a {
            RunAction::Resume(call) => Some((call.id.step.clone(), call.timeout.as_secs_f64())),
            _ => None,
        })
        .collect();
    assert_eq!(calls, [("a".to_owned(), 60.0), ("b".to_owned(), 60.0)], "never less than the grace");
    assert!(b.dispatched().is_empty());
    b.report("a", 1, StepReportKind::Started).unwrap();
    b.ok("a");
    // Down for so long that the run's time is over: it still gets the grace to learn its end.
    b.now = 9000.0;
    b.take(RunEvent::Resume).unwrap();
    assert_eq!(b.run.next_deadline(), Some(Tai(9060.0)));
    b.ok("b");
    assert_eq!(b.run.state, TaskState::Succeeded);
}

#[test]
fn a_restart_while_stopping_asks_again_to_stop() {
    let mut b = Bench::started(plan(&[("a", &[])]));
    b.take(RunEvent::Cancel { reason: "stop".to_owned() }).unwrap();
    b.now = 5000.0;
    b.take(RunEvent::Resume).unwrap();
    assert!(matches!(b.out[0], RunAction::Resume(_)));
    assert_eq!(b.aborted(), ["a"]);
    b.tick(5120.0);
    assert_eq!(b.run.state, TaskState::Aborted);
}

/// A step that would be tried again ends as the stop says; one that failed for good tells that.
#[test]
fn a_passing_error_while_stopping_is_the_end_that_was_asked_for() {
    for (error, state) in [
        (StepError::transient("busy"), TaskState::Aborted),
        (StepError::permanent("wrong"), TaskState::Failed),
    ] {
        let mut b = Bench::started(plan(&[("a", &[])]));
        b.take(RunEvent::Cancel { reason: "stop".to_owned() }).unwrap();
        let text = error.text.clone();
        b.report("a", 1, StepReportKind::Ended(Err(error))).unwrap();
        assert_eq!(b.run.state, state);
        assert!(b.run.steps[0].error.contains(&text), "{}", b.run.steps[0].error);
    }
}

#[test]
fn without_its_rule_a_run_follows_what_runs_and_begins_nothing() {
    let mut b = Bench::started(plan(&[("a", &[]), ("b", &["a"])]));
    let id = StepId { run_id: b.run.id().to_owned(), step: "a".to_owned(), attempt: 1 };
    let kind = StepReportKind::Ended(Ok(StepOutcome::default()));
    b.run.step(RunEvent::Report(Box::new(StepReport { id, kind })), None, Tai(1001.0), &mut b.out).unwrap();
    assert_eq!(b.states(), ["succeeded", "failed"]);
    assert!(b.run.error.contains("revision 0011223344556677 cannot be used any more"), "{}", b.run.error);
}

#[test]
fn notes_are_taken_in_every_state() {
    let mut b = Bench::started(plan(&[("a", &[])]));
    b.ok("a");
    b.take(RunEvent::Judged { severity: 3 }).unwrap();
    b.take(RunEvent::Reported { url: "http://x/1.html".to_owned() }).unwrap();
    assert_eq!((b.run.severity, b.run.report_url.as_str()), (3, "http://x/1.html"));
    assert_eq!(b.run.state, TaskState::Succeeded);
}

#[test]
fn a_plot_with_a_gap_comes_back_from_the_journal() {
    use crate::tasks::analysis::{Line, LineKind, Panel, Plot};
    let line = Line {
        label: "speed".into(),
        kind: LineKind::Data,
        times: vec![1.0, 2.0, 3.0],
        values: vec![5.0, f64::NAN, 6.0],
    };
    let panel = Panel { lines: vec![line], ..Panel::default() };
    let plot = Plot { title: "wind".into(), panels: vec![panel], ..Plot::default() };
    let mut b = Bench::started(plan(&[("a", &[])]));
    let outcome = StepOutcome { plot: Some(plot), ..StepOutcome::default() };
    b.report("a", 1, StepReportKind::Ended(Ok(outcome))).unwrap();
    let back: Run = serde_json::from_value(serde_json::to_value(&b.run).unwrap()).unwrap();
    let line = &back.steps[0].plot.as_ref().unwrap().panels[0].lines[0];
    assert_eq!((line.times.as_slice(), line.values.as_slice()), (&[1.0, 3.0][..], &[5.0, 6.0][..]));
}
