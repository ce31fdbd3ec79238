//! The `tests:` of a rule: names, words and answers checked with the rest, and made into data.

use serde_json::{Map, Value as Json};

use super::Work;
use super::test_series::topics;
use crate::rules::code::InputCode;
use crate::rules::diagnose::suggest;
use crate::rules::spec::At;
use crate::rules::test_case::{
    Expectation, Expected, TestAction, TestAnswer, TestCase, TestCommand, TestResult,
};
use crate::rules::test_spec::{ActionSpec, ExpectSpec, TestSpec};
use crate::rules::yaml::{Node, Yaml};

/// Step states that a test may expect.
const STATES: &[&str] =
    &["pending", "running", "retrying", "succeeded", "failed", "aborted", "timed_out", "skipped"];

/// Checks the tests; what is wrong is noted.
pub(super) fn tests(work: &Work<'_>, inputs: &[InputCode]) -> Vec<TestCase> {
    work.spec.tests.iter().map(|test| one(work, inputs, test)).collect()
}

fn one(work: &Work<'_>, inputs: &[InputCode], test: &TestSpec) -> TestCase {
    names(work, test);
    TestCase {
        name: test.name.value.clone(),
        span: test.name.span,
        topics: topics(work, inputs, test),
        results: test.results.0.iter().map(|(k, v)| (k.name.clone(), results(work, &v.0))).collect(),
        actions: test.actions.iter().filter_map(|a| action(work, a)).collect(),
        expect: test.expect.iter().map(|e| expectation(work, e)).collect(),
    }
}

/// Steps and their states.
fn names(work: &Work<'_>, test: &TestSpec) {
    let steps: Vec<&str> = work.spec.tasks.0.iter().map(|(k, _)| k.name.as_str()).collect();
    let expected = test.expect.iter().flat_map(|e| e.tasks.0.iter().map(|(k, _)| k));
    for key in test.results.0.iter().map(|(k, _)| k).chain(expected) {
        if !steps.contains(&key.name.as_str()) {
            let help = suggest(&key.name, steps.iter().copied(), "tasks");
            work.problems.add_help(key.span, format!("there is no task \"{}\"", key.name), help);
        }
    }
    for (_, state) in test.expect.iter().flat_map(|e| &e.tasks.0) {
        if !STATES.contains(&state.value.as_str()) {
            let help = suggest(&state.value, STATES.iter().copied(), "states");
            work.problems.add_help(state.span, format!("\"{}\" is no state of a task", state.value), help);
        }
    }
}

fn expectation(work: &Work<'_>, e: &ExpectSpec) -> Expectation {
    let of_alarm =
        e.severity.is_some() || e.max_severity.is_some() || e.acknowledged.is_some() || e.reason.is_some();
    if of_alarm && work.spec.alarm.is_none() {
        work.problems.add(e.span, "the rule has no alarm, so nothing can be expected of it");
    }
    let keyed = !work.spec.by.is_empty();
    if let Some(key) = e.key.as_ref().filter(|_| !keyed) {
        work.problems.add(key.span, "the rule has no `by`, so it has no keys");
    } else if let Some(keys) = e.keys.as_ref().filter(|_| !keyed) {
        work.problems.add(keys.span, "the rule has no `by`, so it has no keys");
    } else if of_alarm && keyed && e.key.is_none() {
        let help = "add `key: ...`".to_owned();
        work.problems.add_help(e.span, "the rule has an alarm for each key: say which", help);
    }
    let of_runs = e.runs.is_some() || e.skipped.is_some() || !e.tasks.0.is_empty();
    if !of_alarm && !of_runs && e.error.is_none() && e.keys.is_none() {
        let help = "add severity, reason, runs, tasks, ...".to_owned();
        work.problems.add_help(e.span, "nothing is expected here", help);
    }
    Expectation {
        at_s: e.at.value.0,
        span: e.span,
        key: e.key.as_ref().map(|key| key.value.clone()),
        keys: expected(&e.keys),
        severity: e.severity,
        max_severity: e.max_severity,
        acknowledged: expected(&e.acknowledged),
        reason: expected(&e.reason),
        runs: expected(&e.runs),
        skipped: expected(&e.skipped),
        tasks: e
            .tasks
            .0
            .iter()
            .map(|(k, v)| (k.name.clone(), Expected { value: v.value.clone(), span: v.span }))
            .collect(),
        error: expected(&e.error),
    }
}

fn expected<T: Clone>(at: &Option<At<T>>) -> Option<Expected<T>> {
    at.as_ref().map(|at| Expected { value: at.value.clone(), span: at.span })
}

/// What was read has exactly one command.
fn action(work: &Work<'_>, spec: &ActionSpec) -> Option<TestAction> {
    if let Some(key) = spec.key.as_ref().filter(|_| work.spec.by.is_empty()) {
        work.problems.add(key.span, "the rule has no `by`, so it has no keys");
    }
    let key = spec.key.as_ref().map(|key| key.value.clone());
    let command = if let Some(parameters) = &spec.trigger {
        TestCommand::Trigger(match parameters.0.json() {
            Json::Object(parameters) => parameters,
            _ => Map::new(),
        })
    } else if let Some(severity) = spec.acknowledge {
        TestCommand::Acknowledge(severity)
    } else {
        TestCommand::Cancel(spec.cancel.as_ref()?.value.clone())
    };
    let refused = spec.refused.as_ref().map(|r| r.value.clone());
    Some(TestAction { at_s: spec.at.value.0, span: spec.span, key, command, refused })
}

/// An answer, or a list with one for each time.
fn results(work: &Work<'_>, node: &Node) -> Vec<TestResult> {
    match &node.value {
        Yaml::List(all) if all.is_empty() => {
            work.problems.add(node.span, "an empty list is no answer");
            vec![TestResult { delay_s: 0.0, answer: TestAnswer::Timeout }]
        }
        Yaml::List(all) => all.iter().map(|node| result(work, node)).collect(),
        _ => vec![result(work, node)],
    }
}

/// `fail`, `timeout`, `{fail: text}`, `{timeout: true}` or the fields of a result; `delay` may be among them.
fn result(work: &Work<'_>, node: &Node) -> TestResult {
    TestResult::read(node.json()).unwrap_or_else(|(message, help)| {
        work.problems.add_help(node.span, message, help.map(str::to_owned));
        TestResult { delay_s: 0.0, answer: TestAnswer::Timeout }
    })
}
