//! Rules that come, change and are promoted while the others go on.

use super::*;

/// A window over `ESS` wind, as `addRule` gives it.
const WINDOW: &str = r#"
rules:
  - name: Mean
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed, window: 10m, reduce: mean, min_count: 3}}
    alarm: {value: wind, levels: {serious: 5.0}}
"#;

const SHADOW: &str = r#"
rules:
  - name: Quiet
    mode: shadow
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed, window: 10m, reduce: mean, min_count: 2}}
    alarm: {value: wind, levels: {serious: 5.0}}
  - name: QuietWork
    mode: shadow
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    trigger: {each: wind, when: "wind > 10.0"}
    tasks: {job: {ocps: {index: 1, pipeline: a.yaml, data_query: "x"}}}
"#;

impl World {
    fn history(&mut self, wind: f64, offset: i64, ago_s: f64) {
        let needs = &self.core.subscriptions().topics;
        let at = needs.iter().position(|t| t.sal_name == "airFlow").unwrap();
        let cells: Vec<Value> = needs[at].fields.iter().map(|_| Value::Double(wind)).collect();
        let sent = Tai(self.now.0 - ago_s);
        let sample = Sample {
            topic: crate::rules::TopicId(at as u32),
            sal_index: 301,
            sent,
            received: self.now,
            partition: 0,
            offset,
            cells: &cells,
        };
        self.step(Input::History(&sample));
    }

    fn state(&self, rule: &str) -> RuleState {
        self.core.rules().get(rule).unwrap().state(true)
    }
}

#[test]
fn a_rule_that_is_added_fills_its_windows_before_it_is_judged() {
    let mut world = World::enabled(RULES);
    world.fills = false;
    world.offset = 100;
    world.add(WINDOW, true).unwrap();
    assert!(world.core.is_filling());
    let topics = &world.core.subscriptions().topics;
    assert!(world.core.filling_topics().iter().any(|id| topics[*id as usize].sal_name == "airFlow"));
    world.history(9.0, 97, 30.0);
    world.wind(9.0);
    assert_eq!(world.severity("Mean"), 1, "not looked at yet");
    assert_eq!(world.severity("Level"), 1, "the others go on");
    // Read again: what it had counts once, what it had not counts.
    world.history(9.0, 97, 30.0);
    world.history(9.0, 98, 20.0);
    world.step(Input::CaughtUp);
    assert_eq!(world.severity("Mean"), 1, "that live record came behind these: it is read again");
    world.add(&WINDOW.replace("serious: 5.0", "serious: 6.0"), true).unwrap();
    for (offset, ago) in [(97, 30.0), (98, 20.0), (99, 10.0)] {
        world.history(9.0, offset, ago);
    }
    assert_eq!(world.severity("Mean"), 1);
    world.step(Input::CaughtUp);
    assert_eq!(world.severity("Mean"), 3, "judged without waiting for a message");
    assert!(!world.core.is_filling());
}

#[test]
fn a_past_full_of_triggers_starts_nothing() {
    let mut world = World::enabled(RULES);
    world.fills = false;
    let work = SHADOW.replace("mode: shadow", "mode: live");
    world.add(&work, true).unwrap();
    for offset in 0..20 {
        world.history(20.0, offset, 300.0 - offset as f64);
    }
    world.step(Input::CaughtUp);
    assert!(world.sent.is_empty());
    world.offset = 20;
    world.wind(20.0);
    assert_eq!(world.sent.len(), 1);
}

#[test]
fn a_rule_added_while_disabled_begins_with_the_others() {
    let mut world = World::new(RULES);
    world.add(WINDOW, true).unwrap();
    for offset in 0..3 {
        world.history(9.0, offset, 30.0);
    }
    world.step(Input::Enable);
    assert_eq!(world.severity("Mean"), 3);
}

#[test]
fn a_promoted_rule_acts_with_what_it_remembers() {
    let mut world = World::enabled(SHADOW);
    for _ in 0..3 {
        world.wind(20.0);
    }
    assert!(world.core.alarms().get("Quiet").is_none() && world.sent.is_empty());
    assert_eq!(world.state("Quiet"), RuleState::Shadow);
    world.take_events();
    let promote = |world: &mut World, rule: &str| world.command(Command::PromoteRule { rule: rule.into() });
    let said = promote(&mut world, "Quiet").unwrap();
    assert!(said.contains("live"), "{said}");
    assert_eq!(
        (world.state("Quiet"), world.severity("Quiet")),
        (RuleState::Enabled, 3),
        "its window is kept"
    );
    assert!(
        world
            .take_events()
            .iter()
            .any(|e| matches!(e, Event::Rule(r) if r.rule_name == "Quiet" && r.state == RuleState::Enabled))
    );
    promote(&mut world, "QuietWork").unwrap();
    world.wind(20.0);
    assert_eq!(world.sent.len(), 1);
    assert!(promote(&mut world, "Quiet").unwrap_err().contains("not in shadow mode"));
    assert!(promote(&mut world, "Nobody").unwrap_err().contains("no rule is named"));

    world.restart();
    world.step(Input::Enable);
    assert_eq!(world.state("Quiet"), RuleState::Enabled, "over a restart");
    world.configured = rules(&SHADOW.replace("5.0", "6.0"));
    world.configure();
    assert_eq!(world.state("Quiet"), RuleState::Shadow, "a new revision has to be promoted anew");
    assert_eq!(world.state("QuietWork"), RuleState::Enabled, "that one is unchanged");
}

#[test]
fn a_rule_that_hurts_the_others_is_stopped_and_told() {
    let text = format!(
        "{RULES}  - name: Busy\n    inputs: {{wind: {{topic: \"ESS:301.tel_airFlow\", field: speed}}}}\n    \
         budget: {{evaluations_per_second: 5}}\n    alarm: {{value: wind, levels: {{serious: 15.0}}}}\n"
    );
    let mut world = World::enabled(&text);
    world.wind(20.0);
    assert_eq!(world.severity("Busy"), 3);
    world.take_events();
    for _ in 0..6 {
        world.wind(20.0);
    }
    let told = world.take_events().into_iter().find_map(|e| match e {
        Event::Rule(r) if r.rule_name == "Busy" => Some((r.state, r.error)),
        _ => None,
    });
    let (state, error) = told.unwrap();
    assert_eq!(state, RuleState::Failed);
    assert!(error.contains("more than 5 evaluations within a second"), "{error}");
    assert_eq!(world.severity("Busy"), 3, "its alarm stays as it was");
    world.wind(30.0);
    assert_eq!(world.severity("Level"), 4, "the others go on");
    world.restart();
    assert_eq!(world.state("Busy"), RuleState::Failed, "over a restart");
    world.step(Input::Enable);
    world.command(Command::EnableRule { rule: "Busy".into() }).unwrap();
    assert_eq!(world.state("Busy"), RuleState::Enabled);
}

#[test]
fn cron_goes_on_over_a_restart() {
    let text = r#"
rules:
  - name: Nightly
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed, initial: 1.0}}
    trigger: {cron: "0 30 * * * *", timezone: America/Santiago, catch_up: all}
    tasks: {job: {ocps: {index: 1, pipeline: a.yaml, data_query: "x"}}}
"#;
    let mut world = World::enabled(text);
    world.wait(2000.0);
    assert_eq!(world.sent.len(), 1);
    world.end_first(0);
    // Down for three hours, then not ENABLED for one more.
    world.now = Tai(world.now.0 + 3.0 * 3600.0);
    world.restart();
    world.wait(3600.0);
    assert_eq!(world.sent.len(), 1, "nothing begins outside ENABLED");
    world.step(Input::Enable);
    for _ in 0..6 {
        world.end_first(0);
    }
    let occurrences: Vec<String> =
        world.core.runs().finished().map(|r| r.header.occurrence[..18].to_owned()).collect();
    let expected: Vec<String> = (0..5).rev().map(|h| format!("t:2026-01-01T0{h}:30")).collect();
    assert_eq!(occurrences, expected, "each once, newest first");
    world.restart();
    world.step(Input::Enable);
    assert!(world.going.is_empty(), "none twice");
}
