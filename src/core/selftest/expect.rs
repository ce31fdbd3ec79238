//! What a test expects at a time, and what is seen then.

use super::play::Seen;
use crate::alarms::Severity;
use crate::rules::Expectation;

/// One thing that is otherwise than expected.
pub(super) struct Otherwise {
    pub(super) span: (usize, usize),
    pub(super) what: String,
    pub(super) expected: String,
    pub(super) seen: String,
}

/// Compares; the number is how many things were looked at.
pub(super) fn compare(expect: &Expectation, seen: &Seen<'_>) -> (usize, Vec<Otherwise>) {
    let mut checks = 0;
    let mut otherwise = Vec::new();
    let mut check = |what: &str, span: (usize, usize), right: bool, expected: String, seen: String| {
        checks += 1;
        if !right {
            otherwise.push(Otherwise { span, what: what.to_owned(), expected, seen });
        }
    };
    let alarm = seen.alarm.as_ref();
    let with_reason = |severity: Severity| match alarm.map(|a| a.reason.as_str()) {
        Some(reason) if severity > Severity::None && !reason.is_empty() => format!("{severity} ({reason})"),
        _ => severity.to_string(),
    };
    if let Some(expected) = expect.severity {
        let now = alarm.map_or(Severity::None, |a| a.severity);
        check("severity", expect.span, now == expected, expected.to_string(), with_reason(now));
    }
    if let Some(expected) = expect.max_severity {
        let now = alarm.map_or(Severity::None, |a| a.max_severity);
        check("max_severity", expect.span, now == expected, expected.to_string(), now.to_string());
    }
    if let Some(expected) = &expect.acknowledged {
        let now = alarm.is_some_and(|a| a.acknowledged);
        check(
            "acknowledged",
            expected.span,
            now == expected.value,
            expected.value.to_string(),
            now.to_string(),
        );
    }
    if let Some(expected) = &expect.reason {
        let now = alarm.map_or("", |a| a.reason.as_str());
        let wanted = format!("a text with \"{}\"", expected.value);
        check("reason", expected.span, now.contains(&expected.value), wanted, format!("\"{now}\""));
    }
    for (what, expected, now) in [
        ("keys", &expect.keys, seen.keys),
        ("runs", &expect.runs, seen.runs),
        ("skipped", &expect.skipped, seen.skipped),
    ] {
        if let Some(expected) = expected {
            let now = now as u64;
            check(what, expected.span, now == expected.value, expected.value.to_string(), now.to_string());
        }
    }
    for (name, expected) in &expect.tasks {
        let step = seen.newest.and_then(|run| run.step_named(name));
        let now = step.map_or("no run", |s| s.state.word());
        let error = step.map(|s| s.error.as_str()).filter(|e| !e.is_empty());
        let text = error.map_or_else(|| now.to_owned(), |error| format!("{now}: {error}"));
        let what = format!("task {name}");
        check(&what, expected.span, now == expected.value, expected.value.clone(), text);
    }
    if let Some(expected) = &expect.error {
        let right = match expected.value.as_str() {
            "" => seen.error.is_empty(),
            part => seen.error.contains(part),
        };
        let wanted = match expected.value.as_str() {
            "" => "none".to_owned(),
            part => format!("a text with \"{part}\""),
        };
        check("error", expected.span, right, wanted, format!("\"{}\"", seen.error));
    }
    (checks, otherwise)
}
