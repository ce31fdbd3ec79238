//! Levels with hysteresis against what the Watcher's own handler did, value by value.

use serde::Deserialize;

use super::data;
use crate::alarms::Severity::{self, Critical, None as Nothing, Serious, Warning};
use crate::alarms::levels::{Direction, Levels, LevelsError};

#[derive(Deserialize)]
struct Trace {
    levels: [Option<f64>; 3],
    below: bool,
    hysteresis: f64,
    refused: bool,
    steps: Vec<(f64, i64)>,
}

#[test]
fn recorded_traces_are_met() {
    let (mut refused, mut seen) = (0, [0; 5]);
    for (line, text) in data("threshold_traces.jsonl.gz").lines().enumerate() {
        let trace: Trace = serde_json::from_str(text).unwrap();
        let given = [Warning, Serious, Critical].into_iter().zip(trace.levels);
        let given: Vec<_> = given.filter_map(|(severity, level)| Some((severity, level?))).collect();
        let direction = if trace.below { Direction::Below } else { Direction::Above };
        let levels = Levels::new(&given, direction, trace.hysteresis);
        assert_eq!(
            levels.is_err(),
            trace.refused,
            "trace {line}: {given:?} {direction:?} {}",
            trace.hysteresis
        );
        let Ok(levels) = levels else {
            refused += 1;
            continue;
        };
        let mut severity = Nothing;
        for (step, (value, expected)) in trace.steps.into_iter().enumerate() {
            severity = levels.severity(value, severity);
            assert_eq!(i64::from(severity), expected, "trace {line} step {step}: {value}");
            seen[severity as usize] += 1;
        }
    }
    assert!(refused > 20 && seen[1..].iter().all(|&n| n > 200), "{refused} {seen:?}");
}

#[test]
fn a_fall_passes_over_a_level_within_its_hysteresis() {
    let levels =
        Levels::new(&[(Warning, 15.0), (Serious, 20.0), (Critical, 30.0)], Direction::Above, 1.0).unwrap();
    for (value, current, expected) in [
        (15.0, Nothing, Nothing),
        (15.1, Nothing, Warning),
        (14.1, Warning, Warning),
        (14.0, Warning, Nothing),
        (29.1, Critical, Critical),
        (29.0, Critical, Serious),
        (19.5, Critical, Warning),
        (14.5, Serious, Nothing),
        (f64::NAN, Critical, Nothing),
        (f64::INFINITY, Nothing, Critical),
    ] {
        assert_eq!(levels.severity(value, current), expected, "{value} after {current}");
    }
    assert_eq!(levels.level(Serious), Some(20.0));
    assert_eq!(levels.level(Nothing), None);
}

#[test]
fn all_that_is_wrong_is_told() {
    let errors = |levels: &[(Severity, f64)], direction, hysteresis| {
        Levels::new(levels, direction, hysteresis)
            .unwrap_err()
            .iter()
            .map(LevelsError::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        errors(&[(Nothing, 1.0), (Warning, f64::NAN), (Warning, 2.0)], Direction::Above, f64::INFINITY),
        [
            "there can be one level each of warning, serious and critical, not 1 of NONE",
            "there can be one level each of warning, serious and critical, not 2 of WARNING",
            "the level of WARNING is NaN: it must be finite",
            "the hysteresis is inf: it must be finite and not negative",
        ]
    );
    assert_eq!(
        errors(&[(Warning, 3.0), (Serious, 2.0), (Critical, 2.5)], Direction::Above, 1.0),
        [
            "the levels of SERIOUS (2) and CRITICAL (2.5) must be more than 1.1 times the hysteresis (1) apart",
            "the levels of WARNING (3) and SERIOUS (2) are in the wrong order for this direction",
        ]
    );
    assert_eq!(errors(&[], Direction::Below, 0.0).len(), 1);
    assert!(Levels::new(&[(Warning, 3.0), (Critical, 2.0)], Direction::Below, 0.0).is_ok());
}
