//! The process may die after any step: what the journal has gives the same alarms, rules and runs, and nothing is sent
//! twice.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::tasks::run::Run;
use crate::tasks::runs::RunsSummary;
use crate::tasks::state::TaskState;

#[derive(Debug, Clone)]
enum Op {
    Wind(f64),
    Wait(f64),
    End(i64),
    Acknowledge(bool),
    Mute(bool),
    SwitchRule(bool),
    Add(bool),
    Remove,
    Trigger(i64),
    Cancel,
    Csc(bool),
    Report,
    Crash,
    /// A sample whose records were written, and then nothing more.
    CrashAmidst(f64),
}

fn op() -> impl Strategy<Value = Op> {
    let wind = || prop_oneof![Just(3.0), Just(8.0), Just(12.0), Just(20.0), Just(30.0), Just(f64::NAN)];
    prop_oneof![
        6 => wind().prop_map(Op::Wind),
        2 => prop_oneof![Just(1.0), Just(400.0), Just(4000.0)].prop_map(Op::Wait),
        3 => (0..2i64).prop_map(Op::End),
        1 => any::<bool>().prop_map(Op::Acknowledge),
        1 => any::<bool>().prop_map(Op::Mute),
        1 => any::<bool>().prop_map(Op::SwitchRule),
        1 => any::<bool>().prop_map(Op::Add),
        1 => Just(Op::Remove),
        2 => (0..5i64).prop_map(Op::Trigger),
        1 => Just(Op::Cancel),
        1 => any::<bool>().prop_map(Op::Csc),
        1 => Just(Op::Report),
        2 => Just(Op::Crash),
        1 => wind().prop_map(Op::CrashAmidst),
    ]
}

/// What must not be forgotten.
fn remembered(world: &World) -> Json {
    let core = &world.core;
    let alarms = serde_json::to_value(core.alarms().export()).unwrap();
    let rules: BTreeMap<String, Json> = core
        .rules()
        .iter()
        .map(|(name, e)| {
            let memory = serde_json::to_value(e.memory()).unwrap();
            (name.to_owned(), json!([memory, e.origin().to_string(), e.state(true) as i64]))
        })
        .collect();
    let runs = core.runs();
    let runs: BTreeMap<String, Json> = runs
        .active()
        .chain(runs.finished())
        .map(|run| {
            let steps: Vec<Json> = run
                .steps
                .iter()
                .map(|s| json!([s.name(), s.state.word(), s.attempt, s.params, s.result]))
                .collect();
            (run.id().to_owned(), json!([run.state.word(), run.severity, run.report_url, steps]))
        })
        .collect();
    let going: BTreeSet<String> = world.going.iter().map(|call| call.id.to_string()).collect();
    // Which of two that ended at one instant came first is not kept.
    let counts = RunsSummary { finished_ids: String::new(), ..core.runs().summary() };
    json!({"alarms": alarms, "rules": rules, "runs": runs, "going": going, "counts": format!("{:?}", counts)})
}

fn act(world: &mut World, op: &Op) {
    let alarm = || "Level|Edge".to_owned();
    match op.clone() {
        Op::Wind(wind) => world.wind(wind),
        Op::Wait(seconds) => world.wait(seconds),
        Op::End(code) => world.end_first(code),
        Op::Acknowledge(true) => {
            drop(world.command(Command::Acknowledge { alarm: alarm(), severity: 4, user: "me".into() }));
        }
        Op::Acknowledge(false) => drop(world.command(Command::Unacknowledge { alarm: alarm() })),
        Op::Mute(true) => {
            let mute = Command::Mute { alarm: alarm(), duration_s: 600.0, severity: 4, user: "me".into() };
            drop(world.command(mute));
        }
        Op::Mute(false) => drop(world.command(Command::Unmute { alarm: alarm() })),
        Op::SwitchRule(true) => drop(world.command(Command::EnableRule { rule: "Edge".into() })),
        Op::SwitchRule(false) => {
            drop(world.command(Command::DisableRule { rule: "Edge".into(), reason: "why not".into() }));
        }
        Op::Add(enabled) => drop(world.add(LEVEL_2, enabled)),
        Op::Remove => drop(world.command(Command::RemoveRule { rule: "Level".into() })),
        Op::Trigger(n) => {
            if world.core.enabled() {
                drop(world.trigger(n));
            }
        }
        Op::Cancel => {
            let first = world.core.runs().active().next().map(|r| r.id().to_owned());
            if let Some(id) = first {
                drop(world.command(Command::CancelTask { task_id: id, reason: String::new() }));
            }
        }
        Op::Csc(true) => world.step(Input::Enable),
        Op::Csc(false) => world.step(Input::Disable),
        Op::Report => {
            if let Some(run_id) = world.reports_wanted.pop() {
                let url = Ok(format!("http://{run_id}"));
                world.step(Input::ReportWritten { run_id, url });
            }
        }
        Op::Crash => crash(world),
        Op::CrashAmidst(wind) => {
            world.wind_until(wind, false);
            let active: Vec<&str> = world.core.runs().active().map(|r| r.id()).collect();
            let begun: BTreeSet<StepId> = world
                .core
                .runs()
                .active()
                .flat_map(|r| r.steps.iter().filter(|s| s.dispatched).map(|s| (r.id(), s)))
                .map(|(id, s)| StepId {
                    run_id: id.to_owned(),
                    step: s.name().to_owned(),
                    attempt: s.attempt,
                })
                .collect();
            assert!(begun.len() <= active.len());
            let enabled = world.core.enabled();
            world.restart();
            let going: BTreeSet<StepId> = world.going.iter().map(|c| c.id.clone()).collect();
            assert_eq!(going, begun, "what was written down and not sent is gone on with");
            if enabled {
                world.step(Input::Enable);
            }
        }
    }
}

fn crash(world: &mut World) {
    let enabled = world.core.enabled();
    // A run that had not begun and whose trigger is too old by now is aborted, as design section 5 says.
    let now = world.now;
    let overdue = |run: &&Run| run.state == TaskState::Pending && run.header.start_before.0 < now.0;
    let overdue: Vec<String> =
        world.core.runs().active().filter(overdue).map(|run| run.id().to_owned()).collect();
    let mut before = remembered(world);
    super::history::check(world);
    world.restart();
    let mut after = remembered(world);
    for id in &overdue {
        assert_eq!(after["runs"][id][0], "aborted");
    }
    if !overdue.is_empty() {
        for what in ["runs", "counts"] {
            before[what].take();
            after[what].take();
        }
    }
    assert_eq!(after, before);
    if enabled {
        world.step(Input::Enable);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_was_answered_is_forgotten_and_nothing_is_sent_twice(
        ops in proptest::collection::vec(op(), 1..40)
    ) {
        let mut world = World::enabled(RULES);
        for op in &ops {
            act(&mut world, op);
            let once: BTreeSet<&StepId> = world.sent.iter().collect();
            assert_eq!(once.len(), world.sent.len(), "sent twice after {op:?}");
        }
        crash(&mut world);
    }
}

/// A record that comes again after a restart (its position was noted too early) starts nothing.
#[test]
fn a_record_read_again_starts_no_second_run() {
    let mut world = World::enabled(RULES);
    world.wind(5.0);
    world.wind(11.0);
    world.end_first(0);
    assert_eq!(world.sent.len(), 1);
    world.restart();
    world.step(Input::Enable);
    world.offset -= 2;
    world.wind(5.0);
    world.wind(11.0);
    assert_eq!(world.sent.len(), 1, "the same partition and offset is the same occurrence");
    world.wind(5.0);
    world.wind(11.0);
    assert_eq!(world.sent.len(), 2);
}

#[test]
fn a_report_that_the_crash_prevented_is_written_after_it() {
    let mut world = World::enabled(RULES);
    world.wind(5.0);
    world.wind(11.0);
    world.end_first(0);
    let wanted = std::mem::take(&mut world.reports_wanted);
    assert_eq!(wanted.len(), 1);
    world.restart();
    assert_eq!(world.reports_wanted, wanted);
    world.step(Input::ReportWritten { run_id: wanted[0].clone(), url: Ok("http://r".into()) });
    world.reports_wanted.clear();
    world.restart();
    assert!(world.reports_wanted.is_empty());
}

/// Who follows `task` until a final state would wait for ever, and the EFD would lack the result.
#[test]
fn an_end_that_the_crash_kept_from_being_told_is_told_after_it() {
    let mut world = World::enabled(RULES);
    world.wind(5.0);
    world.wind(11.0);
    let id = world.going[0].id.clone();
    world.now = Tai(world.now.0 + 7.0);
    let result = json!({"job_id": "j", "exit_code": 0, "outcome": "", "result": {}});
    let end = StepReportKind::Ended(Ok(StepOutcome { result, ..StepOutcome::default() }));
    world.take_events();
    world.step_until(Input::Report(StepReport { id: id.clone(), kind: end }), false);
    assert_eq!(
        (world.core.runs().active().count(), world.events.len()),
        (0, 0),
        "ended, and nothing was told"
    );
    let ended = world.now;
    world.now = Tai(world.now.0 + 3600.0);
    let told = |world: &mut World| -> Vec<String> {
        let of = |event: Event| match event {
            Event::Task(task) => Some(format!("{} {}", task.step, task.state)),
            Event::Result(result) => {
                assert_eq!((result.task_id.as_str(), result.finished), (id.run_id.as_str(), ended));
                Some("result".to_owned())
            }
            _ => None,
        };
        world.take_events().into_iter().filter_map(of).collect()
    };
    world.restart();
    let succeeded = TaskState::Succeeded.value();
    assert_eq!(
        told(&mut world),
        [format!("{} {succeeded}", id.step), format!(" {succeeded}"), "result".into()]
    );
    // What ended long before the last one is known to everybody.
    world.step(Input::Enable);
    world.wind(5.0);
    world.wind(11.0);
    world.end_first(1);
    told_again(&mut world, 1);
}

/// After a restart so many results are told again.
fn told_again(world: &mut World, results: usize) {
    world.take_events();
    world.restart();
    let again = world.take_events().into_iter().filter(|event| matches!(event, Event::Result(_)));
    assert_eq!(again.count(), results);
}

#[test]
fn a_run_that_waited_too_long_is_aborted_after_a_crash() {
    let mut world = World::enabled(RULES);
    for op in [Op::Wind(3.0), Op::Csc(false), Op::Wind(12.0), Op::SwitchRule(true), Op::Wait(4000.0)] {
        act(&mut world, &op);
    }
    crash(&mut world);
    assert!(world.sent.is_empty(), "nothing is sent so late");
}
