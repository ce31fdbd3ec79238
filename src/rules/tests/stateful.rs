//! The stateful functions, each by an alarm that is its value.

use proptest::prelude::*;
use salobj::Value;

use super::bench::Bench;

/// An alarm whose severity is `condition ? 2 : 1`, with the wind in m/s and its send stamp.
fn bench(condition: &str) -> Bench {
    Bench::new(&format!(
        "rules:\n  - name: S\n    inputs:\n      wind: {{topic: \"ESS:301.tel_airFlow\", field: speed}}\n      \
         other: {{topic: \"ESS:301.evt_heartbeat\"}}\n    alarm:\n      severity: \"{condition} ? 2 : 1\"\n      reason: x\n"
    ))
}

/// The severity after each value, one a second; `N`, `W`, or `.` for nothing new said.
fn played(condition: &str, values: &[f64]) -> String {
    let mut bench = bench(condition);
    let mut told = String::new();
    for (k, value) in values.iter().enumerate() {
        bench.at(k as f64).wind(*value);
        let severities: Vec<String> = bench.take().into_iter().filter(|t| !t.starts_with("error")).collect();
        told.push(match severities.last().map(String::as_str) {
            Some("NONE") => 'N',
            Some(_) => 'W',
            None => '.',
        });
    }
    told
}

const NAN: f64 = f64::NAN;

#[test]
fn each_function_by_example() {
    for (condition, values, expected) in [
        ("hold(wind > 5.0, 2s)", &[9.0, 9.0, 9.0, 9.0, 1.0][..], "N.W.N"),
        // While it is unknown the clock stands still.
        ("hold(wind > 5.0, 3s)", &[9.0, 9.0, NAN, NAN, 9.0, 9.0, 9.0], "N....W."),
        ("consecutive(wind > 5.0, 3)", &[9.0, 9.0, NAN, 9.0, 9.0, 1.0], "N..W.N"),
        ("count_in(wind > 5.0, 3s) >= 2", &[9.0, 1.0, 9.0, 1.0, 1.0], "N.WN."),
        ("rose(wind > 5.0)", &[9.0, 1.0, 9.0, 9.0, NAN, 9.0], "N.WN.."),
        ("fell(wind > 5.0)", &[9.0, 1.0, 1.0, 9.0, 1.0], "NWN.W"),
        ("changed(wind)", &[1.0, 1.0, 2.0, 2.0, NAN, 3.0], "N.WN.W"),
        ("wind > prev(wind)", &[1.0, 2.0, 2.0, 1.0, 5.0], ".WN.W"),
        ("unchanged_for(wind) >= 2s", &[1.0, 1.0, 1.0, 2.0, 2.0, 2.0], "N.WN.W"),
        ("elapsed(wind > 5.0) >= 2s", &[1.0, 9.0, 9.0, 9.0, 1.0], "N..WN"),
        ("counter(wind > 5.0, wind < 2.0, wind == 3.0) >= 2", &[9.0, 9.0, 1.0, 9.0, 3.0, 9.0], "NWNWN."),
        ("then(wind > 8.0, wind < 2.0, 2s)", &[9.0, 5.0, 1.0, 1.0, 9.0, 5.0, 5.0, 1.0], "N.WN...."),
        ("hold(rose(wind > 5.0) || wind > 5.0, 1s)", &[1.0, 9.0, 9.0, 1.0], "N.WN"),
    ] {
        assert_eq!(played(condition, values), expected, "{condition}");
    }
}

#[test]
fn as_of_looks_back() {
    let text = "rules:\n  - name: S\n    inputs:\n      wind: {topic: \"ESS:301.tel_airFlow\", field: speed}\n      \
                beat: {topic: \"ESS:301.evt_heartbeat\", field: private_sndStamp}\n    alarm:\n      \
                severity: \"as_of(wind, beat) > 5.0 ? 2 : 1\"\n      reason: x\n";
    let mut bench = Bench::new(text);
    for (at, speed) in [(0.0, 9.0), (10.0, 1.0), (20.0, 1.0)] {
        bench.at(at).wind(speed);
    }
    bench.take();
    let stamp = |seconds: f64| [("private_sndStamp", Value::Double(seconds))];
    let start = bench.start.0;
    bench.send("ESS.logevent_heartbeat", 301, &stamp(start + 9.0));
    assert_eq!(bench.take(), ["error: -", "WARNING x"]);
    bench.send("ESS.logevent_heartbeat", 301, &stamp(start + 11.0));
    assert_eq!(bench.take(), ["NONE"]);
    bench.send("ESS.logevent_heartbeat", 301, &stamp(start - 1.0));
    assert_eq!(bench.take(), ["error: not enough was seen yet"]);
}

#[test]
fn what_is_remembered_survives_a_checkpoint() {
    let condition = "consecutive(wind > 5.0, 3) || hold(wind > 8.0, 5s)";
    let values = [6.0, 6.0, 9.0, 9.0, 1.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0];
    let unbroken = played(condition, &values);
    for cut in 0..values.len() {
        let mut bench = bench(condition);
        let mut told = String::new();
        for (k, value) in values.iter().enumerate() {
            if k == cut {
                let saved = bench.engine.checkpoint("S").unwrap().to_string();
                let now = bench.now;
                let mut fresh = self::bench(condition);
                fresh.now = now;
                assert!(fresh.engine.restore("S", &serde_json::from_str(&saved).unwrap()));
                bench = fresh;
            }
            bench.at(k as f64).wind(*value);
            let last = bench.take().into_iter().rfind(|t| !t.starts_with("error"));
            told.push(match last.as_deref() {
                Some("NONE") => 'N',
                Some(_) => 'W',
                None => '.',
            });
        }
        assert_eq!(told, unbroken, "cut before message {cut}");
    }
}

/// Messages: seconds and value.
type Story = [(f64, f64)];

/// What a function says after the last message of a story, by its definition: the whole story is looked at.
type Definition = fn(&Story) -> Option<bool>;

fn above(limit: f64, value: f64) -> Option<bool> {
    (!value.is_nan()).then_some(value > limit)
}

/// The messages since the condition was last known to be false.
fn since_false(story: &Story) -> &Story {
    let last = story.iter().rposition(|(_, v)| above(5.0, *v) == Some(false));
    &story[last.map_or(0, |at| at + 1)..]
}

fn newest(story: &Story) -> (f64, f64) {
    story[story.len() - 1]
}

/// Values that were known before the last message, newest first.
fn known_before(story: &Story) -> impl Iterator<Item = f64> + '_ {
    story[..story.len() - 1].iter().rev().map(|(_, v)| *v).filter(|v| !v.is_nan())
}

fn held(story: &Story) -> Option<bool> {
    let (now, value) = newest(story);
    if !above(5.0, value)? {
        return Some(false);
    }
    let run = since_false(story);
    let first = run.iter().position(|(_, v)| !v.is_nan())?;
    let run = &run[first..];
    // From the first message that is unknown to the next that is known the clock stands still.
    let pauses = run.windows(2).filter(|w| w[0].1.is_nan()).map(|w| w[1].0 - w[0].0).sum::<f64>();
    Some(now - run[0].0 - pauses >= 3.0)
}

fn consecutive(story: &Story) -> Option<bool> {
    above(5.0, newest(story).1)?;
    Some(since_false(story).iter().filter(|(_, v)| !v.is_nan()).count() >= 3)
}

fn counted_in(story: &Story) -> Option<bool> {
    story.iter().find(|(_, v)| !v.is_nan())?;
    let now = newest(story).0;
    Some(story.iter().filter(|(t, v)| *t > now - 4.0 && *v > 5.0).count() >= 2)
}

fn rose(story: &Story) -> Option<bool> {
    let now = above(5.0, newest(story).1)?;
    Some(now && known_before(story).next().is_some_and(|v| v <= 5.0))
}

fn fell(story: &Story) -> Option<bool> {
    let now = above(5.0, newest(story).1)?;
    Some(!now && known_before(story).next().is_some_and(|v| v > 5.0))
}

fn changed(story: &Story) -> Option<bool> {
    let value = newest(story).1;
    above(5.0, value)?;
    Some(known_before(story).next().is_some_and(|v| v != value))
}

fn unchanged_for(story: &Story) -> Option<bool> {
    let (now, value) = newest(story);
    above(5.0, value)?;
    let known: Vec<&(f64, f64)> = story.iter().filter(|(_, v)| !v.is_nan()).collect();
    let since = known.iter().rev().take_while(|(_, v)| *v == value).last()?.0;
    Some(now - since >= 2.0)
}

fn elapsed(story: &Story) -> Option<bool> {
    let (now, value) = newest(story);
    if !above(5.0, value)? {
        return Some(false);
    }
    let since = since_false(story).iter().find(|(_, v)| !v.is_nan())?.0;
    Some(now - since >= 2.0)
}

fn followed(story: &Story) -> Option<bool> {
    let (now, value) = newest(story);
    let second = (!value.is_nan()).then_some(value < 2.0)?;
    let first = story.iter().rfind(|(_, v)| *v > 8.0);
    Some(second && first.is_some_and(|(t, _)| now - t <= 2.0))
}

fn counter(story: &Story) -> Option<bool> {
    let step = |count: i64, (_, value): &(f64, f64)| match *value {
        3.0 => 0,
        v if v > 5.0 => count + 1,
        v if v < 2.0 => (count - 1).max(0),
        _ => count,
    };
    Some(story.iter().fold(0, step) >= 2)
}

/// Condition, definition, and whether it goes on by the clock between two messages.
const DEFINED: &[(&str, Definition, bool)] = &[
    ("hold(wind > 5.0, 3s)", held, true),
    ("consecutive(wind > 5.0, 3)", consecutive, false),
    ("count_in(wind > 5.0, 4s) >= 2", counted_in, true),
    ("rose(wind > 5.0)", rose, false),
    ("fell(wind > 5.0)", fell, false),
    ("changed(wind)", changed, false),
    ("unchanged_for(wind) >= 2s", unchanged_for, true),
    ("elapsed(wind > 5.0) >= 2s", elapsed, true),
    ("then(wind > 8.0, wind < 2.0, 2s)", followed, true),
    ("counter(wind > 5.0, wind < 2.0, wind == 3.0) >= 2", counter, false),
];

fn as_defined(steps: &[(u32, f64)]) -> Result<(), TestCaseError> {
    for (condition, definition, by_clock) in DEFINED {
        let mut bench = bench(condition);
        let (mut story, mut at) = (Vec::new(), 0.0);
        let (mut said, mut expected) = (None, None);
        for (half_seconds, value) in steps {
            at += f64::from(*half_seconds) / 2.0;
            story.push((at, *value));
            bench.at(at).wind(*value);
            for told in bench.take().iter().filter(|t| !t.starts_with("error")) {
                said = Some(told.as_str() != "NONE");
            }
            // What is unknown stays as it was; the clock may have changed that before the message came.
            expected = definition(&story).or(if *by_clock { said } else { expected });
            prop_assert_eq!(said, expected, "{} after {:?}", condition, story);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Gaps, messages at one time, NaN.
    #[test]
    fn each_function_is_what_its_definition_says(
        steps in prop::collection::vec((0_u32..8, prop::sample::select(vec![1.0, 3.0, 6.0, 6.0, 9.0, 9.0, NAN])), 1..25)
    ) {
        as_defined(&steps)?;
    }
}

/// The last of a window expires while nothing is known: the count goes down all the same.
#[test]
fn a_count_goes_down_while_nothing_is_known() {
    let mut bench = bench("count_in(wind > 5.0, 4s) >= 1");
    bench.at(0.0).wind(9.0);
    assert_eq!(bench.take(), ["WARNING x"]);
    bench.at(1.0).wind(NAN);
    bench.at(3.9);
    assert!(bench.take().is_empty());
    bench.at(4.1);
    assert_eq!(bench.take(), ["NONE"]);
}

#[test]
fn what_followed_in_time_is_over_when_the_time_is() {
    let mut bench = bench("then(wind > 8.0, wind < 2.0, 2s)");
    bench.at(0.0).wind(9.0);
    bench.at(1.0).wind(1.0);
    assert_eq!(bench.take(), ["NONE", "WARNING x"]);
    bench.at(2.0);
    assert!(bench.take().is_empty());
    bench.at(2.5);
    assert_eq!(bench.take(), ["NONE"], "without another message");
}
