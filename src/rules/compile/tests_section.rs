//! The `tests:` of a rule: names and notation, checked with the rest.

use super::Work;
use crate::rules::diagnose::suggest;
use crate::rules::series;

/// Notes every mistake in the tests.
pub(super) fn check(work: &Work<'_>) {
    for test in &work.spec.tests {
        for (key, node) in &test.series.0 {
            if !work.spec.inputs.0.iter().any(|(k, _)| k.name == key.name) && !key.name.contains('.') {
                let help =
                    suggest(&key.name, work.spec.inputs.0.iter().map(|(k, _)| k.name.as_str()), "inputs");
                work.problems.add_help(key.span, format!("there is no input \"{}\"", key.name), help);
            }
            if let Err((span, message)) = series::parse(&node.0, &work.problems.source) {
                work.problems.add(span, message);
            }
        }
        let steps: Vec<&str> = work.spec.tasks.0.iter().map(|(k, _)| k.name.as_str()).collect();
        let named = test
            .results
            .0
            .iter()
            .map(|(k, _)| k)
            .chain(test.expect.iter().flat_map(|e| e.tasks.0.iter().map(|(k, _)| k)));
        for key in named {
            if !steps.contains(&key.name.as_str()) {
                let help = suggest(&key.name, steps.iter().copied(), "tasks");
                work.problems.add_help(key.span, format!("there is no task \"{}\"", key.name), help);
            }
        }
        if work.spec.alarm.is_none() {
            for expect in test.expect.iter().filter(|e| e.severity.is_some() || e.reason.is_some()) {
                work.problems.add(expect.span, "the rule has no alarm, so nothing can be expected of it");
            }
        }
    }
}
