//! The short way of alarms that compare one value against the long way, on the same values.

use proptest::prelude::*;
use salobj::{Tai, Value};

use super::bench::Bench;

/// An alarm of the short kind, and the same written so that it takes the long way.
const PAIRS: [(&str, &str); 7] = [
    (
        "levels: {warning: \"wind > 10.0\", serious: \"wind > 20.0\"}",
        "levels: {warning: \"wind + 0.0 > 10.0\", serious: \"wind + 0.0 > 20.0\"}",
    ),
    ("levels: {warning: \"wind >= 10.0\"}", "levels: {warning: \"wind + 0.0 >= 10.0\"}"),
    (
        "levels: {warning: \"wind < -5.0\", critical: \"wind > 20.0\"}",
        "levels: {warning: \"wind + 0.0 < -5.0\", critical: \"wind + 0.0 > 20.0\"}",
    ),
    ("levels: {warning: \"wind <= -5.0\"}", "levels: {warning: \"wind + 0.0 <= -5.0\"}"),
    ("levels: {warning: \"wind == 10.0\"}", "levels: {warning: \"wind + 0.0 == 10.0\"}"),
    (
        "{value: wind, levels: {warning: 10.0, critical: 20.0}, hysteresis: 3.0}",
        "{value: \"wind + 0.0\", levels: {warning: 10.0, critical: 20.0}, hysteresis: 3.0}",
    ),
    (
        "{value: wind, levels: {warning: -5.0, critical: -20.0}, direction: below}",
        "{value: \"wind + 0.0\", levels: {warning: -5.0, critical: -20.0}, direction: below}",
    ),
];

fn bench(alarm: &str, max_age: &str) -> Bench {
    let alarm = if alarm.starts_with('{') { alarm.to_owned() } else { format!("{{{alarm}}}") };
    Bench::new(&format!(
        "rules:\n  - name: S\n    inputs:\n      wind: {{topic: \"ESS:301.tel_airFlow\", field: speed{max_age}}}\n    alarm: {alarm}\n"
    ))
}

/// One step: a value that comes so many seconds late (none: it is null), or the rule is switched off and on.
type Step = (Option<f64>, f64, bool);

/// What was said of severities and errors; not the texts, which differ.
fn played(bench: &mut Bench, steps: &[Step]) -> Vec<String> {
    let mut told = Vec::new();
    for (n, (value, late, switched)) in steps.iter().enumerate() {
        bench.at(n as f64);
        if *switched {
            for enabled in [false, true] {
                let input = crate::rules::Input::SetEnabled { rule: "S", enabled };
                bench.engine.step(input, bench.now, &mut bench.effects);
            }
        }
        let sent = Tai(bench.now.0 - late);
        bench.send_as("ESS.airFlow", 301, &[("speed", value.map_or(Value::Null, Value::Double))], sent);
        let words = bench.take().into_iter().map(|text| match text.split_once(' ') {
            Some(("error:", _)) | None => text,
            Some((severity, _)) => severity.to_owned(),
        });
        told.push(format!("{n}: {}", words.collect::<Vec<_>>().join(", ")));
    }
    told
}

proptest! {
    #[test]
    fn the_short_way_says_what_the_long_way_says(
        pair in 0..PAIRS.len(),
        aged in any::<bool>(),
        steps in prop::collection::vec(
            (
                prop_oneof![
                    4 => (-30.0..30.0_f64).prop_map(Some),
                    4 => prop::sample::select(vec![-20.0, -5.0, 0.0, 7.0, 7.1, 10.0, 20.0]).prop_map(Some),
                    1 => Just(Some(f64::NAN)),
                    1 => Just(None),
                ],
                prop_oneof![4 => Just(0.0), 1 => Just(5.0)],
                prop::bool::weighted(0.05),
            ),
            1..60,
        ),
    ) {
        let max_age = if aged { ", max_age: 2s" } else { "" };
        let (short, long) = PAIRS[pair];
        let (short, long) = (played(&mut bench(short, max_age), &steps), played(&mut bench(long, max_age), &steps));
        prop_assert_eq!(short, long);
    }
}
