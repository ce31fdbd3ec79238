//! Explanations: every reason why a rule fires or does not is told by its word, and the JSON fits into an event.

use super::*;
use crate::core::selftest::{TestFile, core_at};
use crate::rules::Explanation;

/// One rule with its tests; the series reach to 600 s.
fn explained(rule: &str, at_s: f64) -> Explanation {
    let (core, now, name) = state(rule, at_s);
    core.explain(&name, now).unwrap()
}

fn state(rule: &str, at_s: f64) -> (Core, Tai, String) {
    let source = SourceFile { name: "rule.yaml".into(), text: rule.into() };
    let library = sal_idl::Library::embedded();
    let rules = compile(&source, &library)
        .unwrap_or_else(|all| panic!("{}", all.iter().map(|d| d.render(false)).collect::<String>()));
    let file = TestFile { source, rules: rules.clone() };
    let (core, now) = core_at(&file, &rules[0], None, Some(at_s), &library).unwrap();
    (core, now, rules[0].name.clone())
}

fn wind(rest: &str, series: &str) -> String {
    let results = if rest.contains("job:") { "results: {job: {exit_code: 0, delay: 60s}}, " } else { "" };
    format!(
        "rules:\n  - name: R\n    inputs: {{wind: {{topic: \"ESS:301.tel_airFlow\", field: speed, max_age: 100s}}}}\n{rest}\n    \
         tests: [{{name: t, series: {{wind: \"{series}\"}}, {results}\
         expect: [{{at: 1s, error: \"\"}}]}}]\n"
    )
}

const JOB: &str = "    tasks: {job: {ocps: {index: 1, pipeline: p.yaml}}}";

fn words(notes: &[crate::rules::Note]) -> Vec<&str> {
    notes.iter().map(|n| n.why.as_str()).collect()
}

#[test]
fn a_trigger_says_why_it_does_not_start_a_run() {
    for (trigger, series, at_s, expected) in [
        ("{every: 60s, when: \"wind > 10.0\"}", "3x60 @10s", 90.0, "when_false"),
        ("{every: 60s, when: \"wind > 10.0\"}", "_x60 @10s", 90.0, "when_unknown"),
        ("{every: 60s, when: \"wind > 10.0\"}", "12x5 _x60 @10s", 300.0, "when_unknown"),
        ("{when: \"wind > 10.0\"}", "3x5 12x60 @10s", 200.0, "edge"),
        ("{each: wind, cooldown: 10m}", "12x60 @10s", 90.0, "cooldown"),
        ("{each: wind, overlap: skip}", "12x60 @10s", 30.0, "overlap"),
        ("{each: wind, overlap: queue}", "12x60 @10s", 30.0, "overlap"),
        ("{each: wind, max_event_age: 30s}", "12x2 _x60 @10s", 300.0, "too_old"),
        ("{each: wind}", "_x60 @10s", 300.0, "never_seen"),
    ] {
        let text = wind(&format!("    trigger: {trigger}\n{JOB}"), series);
        let e = explained(&text, at_s);
        let state = e.trigger.as_ref().unwrap();
        assert!(words(&state.notes).contains(&expected), "{trigger}: {state:#?}");
        assert!(state.decision.starts_with("no new run now"), "{}", state.decision);
    }
    let text = wind(&format!("    trigger: {{every: 60s, when: \"wind > 10.0\"}}\n{JOB}"), "12x60 @10s");
    let e = explained(&text, 150.0);
    let state = e.trigger.unwrap();
    assert_eq!(state.last.unwrap().outcome.why, "started");
    let last = explained(&text.replace("> 10.0", "> 50.0"), 150.0).trigger.unwrap().last.unwrap();
    assert_eq!((last.outcome.why.as_str(), last.at), ("when_false", last.at));
}

#[test]
fn the_deciding_term_of_when_is_in_the_decision() {
    let text = wind(
        &format!("    trigger: {{every: 60s, when: \"known(wind) && wind > 10.0\"}}\n{JOB}"),
        "3x60 @10s",
    );
    let e = explained(&text, 90.0);
    assert!(e.decision.contains("wind > 10.0 is false (wind = 3.0)"), "{}", e.decision);
    let when = e.trigger.unwrap().when.unwrap();
    assert_eq!(when.term.deciding()[0].text, "wind > 10.0");
    assert_eq!(when.term.terms[1].terms[0].age_s, Some(0.0));
}

#[test]
fn an_alarm_says_what_holds_it() {
    let hysteresis = "    alarm: {value: wind, levels: {warning: 10.0}, hysteresis: 2.0}";
    let held = "    alarm: {conditions: [{value: wind, levels: {warning: 10.0}, hold: 60s}]}";
    let gate =
        "    alarm: {value: wind, levels: {warning: 10.0}, gate: {when: \"wind < 50.0\", otherwise: hold}}";
    for (alarm, series, at_s, expected, severity) in [
        (hysteresis, "12x5 9x60 @10s", 200.0, "hysteresis", "WARNING"),
        (held, "3x5 12x60 @10s", 80.0, "hold", "NONE"),
        (gate, "12x5 60x60 @10s", 90.0, "gate", "WARNING"),
        (hysteresis, "12x5 _x60 @10s", 400.0, "unknown", "WARNING"),
    ] {
        let state = explained(&wind(alarm, series), at_s).alarm.unwrap();
        let mut all = words(&state.notes);
        all.extend(state.conditions.iter().flat_map(|c| words(&c.notes)));
        assert!(all.contains(&expected), "{alarm}: {state:#?}");
        assert_eq!(state.severity, severity, "{alarm}: {state:#?}");
    }
    let state = explained(&wind(held, "3x5 12x60 @10s"), 80.0).alarm.unwrap();
    let note = state.conditions[0].notes.iter().find(|n| n.why == "hold").unwrap();
    assert_eq!(note.text, "WARNING must last 60 s, it has for 30.0 s; it counts in 30.0 s");
}

#[test]
fn what_commands_did_is_told() {
    let alarm = "    alarm: {value: wind, levels: {warning: 10.0}}";
    let (mut core, now, name) = state(&wind(alarm, "12x60 @10s"), 90.0);
    let mut out = Vec::new();
    let mut command = |core: &mut Core, command| {
        core.step(Input::Command { ticket: 1, command }, now, &mut out);
        std::mem::take(&mut out)
    };
    command(&mut core, Command::Mute { alarm: "R".into(), duration_s: 60.0, severity: 3, user: "me".into() });
    command(&mut core, Command::Acknowledge { alarm: "R".into(), severity: 2, user: "me".into() });
    let state = core.explain(&name, now).unwrap().alarm.unwrap();
    assert_eq!(words(&state.notes), ["muted", "acknowledged"], "{state:#?}");
    assert!(state.decision.contains("R is muted up to SERIOUS by me for another 60 s"), "{}", state.decision);
    command(&mut core, Command::DisableRule { rule: "R".into(), reason: "calibration".into() });
    let e = core.explain(&name, now).unwrap();
    assert_eq!(words(&e.notes), ["disabled"]);
    assert!(e.decision.starts_with("the rule is disabled: calibration"), "{}", e.decision);
    core.step(Input::Disable, now, &mut Vec::new());
    assert_eq!(words(&core.explain(&name, now).unwrap().notes), ["not_enabled", "disabled"]);
    // The command publishes the same, and its answer is the decision.
    let done = command(&mut core, Command::Explain { rule: "R".into() });
    let [Output::Publish(event), Output::Answer { answer, .. }] = done.as_slice() else { panic!("{done:?}") };
    let fields = event.fields();
    assert_eq!(event.topic(), "explanation");
    assert_eq!(answer.as_deref(), Ok(core.explain(&name, now).unwrap().decision.as_str()));
    let Value::Text(json) = &fields[2].1 else { panic!() };
    assert_eq!(serde_json::from_str::<Explanation>(json).unwrap(), core.explain(&name, now).unwrap());
    let done = command(&mut core, Command::Explain { rule: "r".into() });
    assert!(
        matches!(&done[..], [Output::Answer { answer: Err(text), .. }] if text.contains("no rule is named"))
    );
}

#[test]
fn shadow_and_quarantine_are_told() {
    let text = wind(&format!("    mode: shadow\n    trigger: {{each: wind}}\n{JOB}"), "12x60 @10s");
    let e = explained(&text, 90.0);
    assert_eq!(words(&e.notes), ["shadow"]);
    assert_eq!(e.trigger.unwrap().last.unwrap().outcome.why, "shadow");
    let text = wind(
        &format!("    budget: {{runs_per_hour: 2}}\n    trigger: {{each: wind, overlap: queue}}\n{JOB}"),
        "12x60 @10s",
    );
    let e = explained(&text, 90.0);
    assert_eq!(words(&e.notes), ["quarantined"], "{e:#?}");
    assert_eq!(e.trigger.unwrap().last.unwrap().outcome.why, "quarantined");
}

#[test]
fn a_long_explanation_is_shortened_and_stays_whole() {
    let terms: Vec<String> = (0..900).map(|i| format!("wind > {i}.5")).collect();
    let alarm = format!("    alarm: {{levels: {{warning: \"{}\"}}}}", terms.join(" || "));
    let e = explained(&wind(&alarm, "12x60 @10s"), 90.0);
    assert!(serde_json::to_string(&e).unwrap().len() > 60_000);
    let short: Explanation = serde_json::from_str(&e.json(60_000)).unwrap();
    assert!(short.shortened && e.json(60_000).len() <= 60_000);
    let decided: Vec<&str> = short.alarm.as_ref().unwrap().conditions[0].terms[0]
        .term
        .deciding()
        .iter()
        .map(|t| t.text.as_str())
        .collect();
    assert_eq!(decided, ["wind > 0.5"]);
    let tiny: Json = serde_json::from_str(&e.json(300)).unwrap();
    assert_eq!((tiny["rule"].as_str(), tiny["shortened"].as_bool()), (Some("R"), Some(true)));
}
