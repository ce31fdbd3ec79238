//! Episodes, diff, tune, on a wind whose alarms can be counted by hand.

use serde_json::json;

use super::*;
use crate::alarms::Severity;
use crate::replay::diff::{Change, diff};
use crate::replay::episode::episodes;
use crate::replay::tune::{Vary, figures};
use crate::rules::vary;

const RULE: &str = "rules:
  - name: Wind.$(place)
    description: Wind over the limit
    template: {place: null, limit: 10.0, index: 301}
    instances: [{place: East}, {place: West, limit: 12.5, index: 302}]
    parameters: {factor: 1.0}
    inputs:
      wind: {topic: \"ESS:$(index).tel_airFlow\", field: speed}
    alarm:
      value: \"wind * parameters.factor\"
      levels: {warning: $(limit), critical: 100.0}
      reason: \"wind {{ value }}\"
    tests:
      - name: over the limit
        series: {wind: \"20x3 @1s\"}
        expect: [{at: 2s, severity: warning}]
";

/// Ten peaks of ten seconds, each a minute after the last: 11, 12, ... 20 m/s, and 5 m/s between them.
fn peaks() -> Vec<u8> {
    let mut bed = Bed::new();
    for n in 0..600 {
        let (minute, second) = (n / 60, n % 60);
        let speed = if (20..30).contains(&second) { 11 + minute } else { 5 };
        bed.wind(f64::from(n), f64::from(speed));
    }
    bed.finish()
}

fn source(text: &str) -> SourceFile {
    SourceFile { name: "wind.yaml".into(), text: text.into() }
}

fn varied(settings: &[(&str, serde_json::Value)]) -> Vec<Arc<Rule>> {
    let settings: Vec<_> = settings.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect();
    rules(&vary(&source(RULE), "Wind.East", &settings).unwrap().text)
}

fn played(bytes: &[u8], rules: Vec<Arc<Rule>>) -> Vec<Transition> {
    play(bytes, rules, "", (0.0, 3600.0))
}

#[test]
fn an_episode_lasts_from_the_rise_to_none() {
    let seen = played(&peaks(), varied(&[("alarm.levels.critical", json!(18.0))]));
    let all = episodes(&seen, Tai(T0 + 3600.0));
    assert_eq!(all.len(), 10);
    assert!(all.iter().all(|e| e.length_s() == 10.0 && !e.open && e.rule == "Wind.East"));
    assert_eq!(all.iter().filter(|e| e.worst == Severity::Critical).count(), 2);
    assert_eq!(all[0].from, Tai(T0 + 20.0));
    // What is not over at the end is open.
    let is_rise = |t: &&Transition| matches!(t.what, What::Severity { .. });
    let first: Vec<Transition> = seen.iter().filter(is_rise).take(1).cloned().collect();
    let cut = episodes(&first, Tai(T0 + 25.0));
    assert_eq!((cut.len(), cut[0].open, cut[0].length_s()), (1, true, 5.0));
}

#[test]
fn the_figures_of_each_threshold_are_those_counted_by_hand() {
    let bytes = peaks();
    for limit in 10..=20 {
        let seen = played(&bytes, varied(&[("limit", json!(limit))]));
        let found = figures(&seen, (Tai(T0), Tai(T0 + 3600.0)));
        let expected = (20 - limit) as usize;
        assert_eq!(found.alarms, expected, "{limit}");
        assert_eq!(found.time_s, [10.0 * expected as f64, 0.0, 0.0]);
        assert_eq!((found.nights, found.alarms_per_night), (1, expected as f64));
        assert_eq!(found.chatter_per_hour, 2.0 * expected as f64);
        assert!((found.time_part - expected as f64 / 360.0).abs() < 1e-12);
    }
    let week = figures(&[], (Tai(T0), Tai(T0 + 7.0 * 86_400.0)));
    assert_eq!((week.nights, week.alarms, week.longest_s), (8, 0, 0.0));
}

#[test]
fn a_setting_is_a_template_parameter_a_parameter_or_a_path() {
    let bytes = peaks();
    let alarms = |settings: &[(&str, serde_json::Value)]| {
        episodes(&played(&bytes, varied(settings)), Tai(T0 + 3600.0)).len()
    };
    assert_eq!(alarms(&[]), 10);
    assert_eq!(alarms(&[("limit", json!(15))]), 5);
    assert_eq!(alarms(&[("alarm.levels.warning", json!(15.0))]), 5);
    assert_eq!(alarms(&[("factor", json!(0.5))]), 0, "half of 20 is not over 10");
    assert_eq!(alarms(&[("limit", json!(8)), ("parameters.factor", json!(0.5))]), 4, "17, 18, 19, 20");
    assert_eq!(alarms(&[("inputs.wind.topic", json!("ESS:302.tel_airFlow"))]), 0);
    let wrong =
        |rule: &str, name: &str| vary(&source(RULE), rule, &[(name.to_owned(), json!(1))]).unwrap_err();
    let text = wrong("Wind.East", "alarm.levels.warnin");
    assert!(
        text.contains("no setting \"alarm.levels.warnin\"") && text.contains("alarm.levels.warning"),
        "{text}"
    );
    assert!(wrong("Wind.East", "alarm.levels").contains("a mapping, not a single value"));
    let text = wrong("Wind.Eats", "limit");
    assert!(text.contains("no rule \"Wind.Eats\"") && text.contains("Wind.East"), "{text}");
}

#[test]
fn values_are_ranges_or_lists() {
    let values = |text: &str| Vary::read(text).map(|v| v.values);
    assert_eq!(values("a=10..12/1").unwrap(), [json!(10), json!(11), json!(12)]);
    assert_eq!(values("a=0..0.3/0.1").unwrap(), [json!(0.0), json!(0.1), json!(0.2), json!(0.3)]);
    assert_eq!(values("a=30s..1m/15s").unwrap(), [json!("30000ms"), json!("45000ms"), json!("60000ms")]);
    assert_eq!(values("a=1,true,5m").unwrap(), [json!(1), json!(true), json!("5m")]);
    assert_eq!(values("a.b[0]=-1..1/1").unwrap().len(), 3);
    for wrong in ["a", "=1", "a=", "a=1..2", "a=2..1/1", "a=1..2/0", "a=1..1e9/1", "a=x..y/z"] {
        assert!(values(wrong).is_err(), "{wrong}");
    }
    let two = [Vary::read("a=1,2").unwrap(), Vary::read("b=3,4").unwrap()];
    let all = Vary::combinations(&two);
    assert_eq!(all.len(), 4);
    assert_eq!(all[1], [("a".to_owned(), json!(1)), ("b".to_owned(), json!(4))]);
}

#[test]
fn a_diff_says_what_appears_vanishes_and_moves() {
    let bytes = peaks();
    let end = Tai(T0 + 3600.0);
    let old = played(&bytes, varied(&[]));
    let same = diff(&old, &played(&bytes, varied(&[("alarm.levels.critical", json!(99))])), end);
    assert_eq!((same.changes.len(), same.same_alarms), (0, 10));
    let fewer = diff(&old, &played(&bytes, varied(&[("limit", json!(17))])), end);
    assert_eq!((fewer.changes.len(), fewer.same_alarms), (7, 3));
    assert!(fewer.changes.iter().all(|c| matches!(c, Change::AlarmVanishes { .. })));
    let more = diff(&played(&bytes, varied(&[("limit", json!(17))])), &old, end);
    assert!(more.changes.iter().all(|c| matches!(c, Change::AlarmAppears { .. })));
    // A severity that is reached and was not; the times are the same.
    let worse = diff(&old, &played(&bytes, varied(&[("alarm.levels.critical", json!(19.5))])), end);
    assert_eq!(worse.same_alarms, 9);
    let [Change::AlarmMoves { old: before, new, begins_later_s, ends_later_s }] = worse.changes.as_slice()
    else {
        panic!("{worse:#?}")
    };
    assert_eq!((before.worst, new.worst), (Severity::Warning, Severity::Critical));
    assert_eq!((*begins_later_s, *ends_later_s), (0.0, 0.0));
    // A hold makes it begin later.
    let held = RULE.replace(
        "value: \"wind * parameters.factor\"\n      levels: {warning: $(limit), critical: 100.0}",
        "conditions: [{value: \"wind * parameters.factor\", levels: {warning: $(limit)}, hold: 4s}]",
    );
    let held = vary(&source(&held), "Wind.East", &[]).unwrap();
    let moved = diff(&old, &played(&bytes, rules(&held.text)), end);
    assert_eq!(moved.changes.len(), 10);
    for change in &moved.changes {
        let Change::AlarmMoves { begins_later_s, ends_later_s, .. } = change else { panic!("{change:?}") };
        assert_eq!((*begins_later_s, *ends_later_s), (4.0, 0.0));
    }
}

#[test]
fn runs_are_compared_by_what_triggered_them() {
    let mut bed = Bed::new();
    for n in 0..10 {
        let fields = [("requestedExposureTime", salobj::Value::Double(f64::from(n)))];
        bed.send("ATCamera", "logevent_endReadout", f64::from(n) * 60.0, &fields);
    }
    let bytes = bed.finish();
    let rule = |over: f64| {
        rules(&format!(
            "rules:\n  - name: Job\n    description: A job\n    inputs:\n      image: {{topic: \"ATCamera.evt_endReadout\"}}\n    trigger: {{each: image, when: \"image.requestedExposureTime > {over:.1}\"}}\n    tasks:\n      job:\n        ocps: {{index: 1, pipeline: \"isr.yaml\", data_query: \"x\"}}\n"
        ))
    };
    let (old, new) = (played(&bytes, rule(4.5)), played(&bytes, rule(6.5)));
    let found = diff(&old, &new, Tai(T0 + 3600.0));
    assert_eq!(found.same_runs, 3, "7, 8, 9");
    let vanished: Vec<&str> = found
        .changes
        .iter()
        .map(|c| match c {
            Change::RunVanishes { old } => old.occurrence.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(vanished, ["m:ATCamera.logevent_endReadout:0:5", "m:ATCamera.logevent_endReadout:0:6"]);
}
