//! Messages that came while the process was down.

use super::*;

const EACH: &str = r#"
rules:
  - name: Gust
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    trigger: {each: wind, when: "wind > 10.0", max_event_age: 60s, max_concurrent: 5}
    tasks: {job: {ocps: {index: 1, pipeline: a.yaml, data_query: "wind={{ wind }}"}}}
    alarm: {value: wind, levels: {serious: 25.0}}
  - name: GustBy
    by: "int(wind.speed)"
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    trigger: {each: wind, when: "wind > 28.0"}
    tasks: {job: {ocps: {index: 1, pipeline: b.yaml, data_query: "wind={{ wind }}"}}}
  - name: Mean
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed, filter: "speed > 28.0", window: 10m, reduce: count}}
    trigger: {each: wind}
    tasks: {job: {ocps: {index: 1, pipeline: c.yaml, data_query: "count={{ wind }}"}}}
"#;

impl World {
    /// A restart of a process that was in this state; three messages come before it is back.
    fn missed(state: Option<&str>) -> World {
        let mut world = World::enabled(EACH);
        if let Some(state) = state {
            world.journal.insert("csc".into(), json!({"state": state}));
        }
        world.restart();
        world.wind(20.0);
        world.wait(40.0);
        world.wind(30.0);
        world.wind(12.0);
        world.wind(5.0);
        world.wait(30.0);
        assert!(world.going.is_empty() && world.severity("Gust") <= 1);
        world
    }

    fn asked(&self) -> Vec<String> {
        let query = |call: &StepCall| call.params["data_query"].as_str().unwrap().to_owned();
        let mut all: Vec<String> = self.going.iter().map(query).collect();
        all.sort();
        all
    }
}

#[test]
fn rules_fire_on_what_they_missed_if_it_is_not_too_old_and_alarms_show_what_is_true_now() {
    let mut world = World::missed(Some("ENABLED"));
    assert!(world.core.holds_missed());
    world.step(Input::Enable);
    assert!(!world.core.holds_missed());
    // 20 is 70 s old, 5 is not above the limit.
    // A window has each message once.
    assert_eq!(world.asked(), ["count=1.0", "wind=12.0", "wind=30.0", "wind=30.0"]);
    assert_eq!(world.severity("Gust"), 1, "30 is over");
    // They are journaled: another crash starts nothing a second time.
    world.restart();
    world.step(Input::Enable);
    assert_eq!(world.core.runs().active().count(), 4);
}

#[test]
fn the_rules_do_not_become_others_meanwhile() {
    let mut world = World::missed(Some("ENABLED"));
    let more = EACH.replace("Gust", "More").replace("Mean", "MoreMean");
    assert!(world.add(&more, true).unwrap_err().contains("send the command again"));
    world.step(Input::Enable);
    assert_eq!(world.asked().len(), 4);
    world.add(&more, true).unwrap();
}

#[test]
fn nobody_was_enabled_so_nothing_was_missed() {
    for state in [None, Some("DISABLED")] {
        let mut world = World::missed(state);
        assert!(!world.core.holds_missed());
        world.step(Input::Enable);
        assert_eq!(world.asked(), Vec::<String>::new());
    }
}

#[test]
fn an_operator_who_steps_in_takes_it_back() {
    let mut world = World::missed(Some("ENABLED"));
    world.step(Input::Disable);
    world.step(Input::Enable);
    assert_eq!(world.asked(), Vec::<String>::new());
    let mut world = World::missed(Some("ENABLED"));
    world.configure();
    world.step(Input::Enable);
    assert_eq!(world.asked(), Vec::<String>::new());
}
