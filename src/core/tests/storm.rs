//! Storms in the whole core: one cause, its tree, what the journal and the log have of it.

use super::*;
use crate::alarms::{Severity, Told};

/// `Power` is the cause of the others; wind stands for all of it.
const STORM: &str = r#"
rules:
  - name: Power
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    alarm: {value: wind, levels: {critical: 25.0}, reason: "no power"}
  - name: Dome
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    alarm:
      value: wind
      levels: {warning: 15.0, critical: 25.0}
      reason: "wind {{ value }}"
      inhibit_by: [{alarm: "Pow*", from: serious}]
  - name: Shutter
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    alarm: {value: wind, levels: {warning: 20.0}, inhibit_by: Dome, notices_per_minute: 4}
"#;

fn world() -> World {
    let mut world = World::new(STORM);
    world.settings.storms = crate::config::StormsConfig::default().storms().unwrap();
    world.configure();
    world.step(Input::Enable);
    world
}

fn told(world: &mut World) -> Vec<(String, Told)> {
    std::mem::take(&mut world.notices).into_iter().map(|n| (n.alarm, n.what)).collect()
}

#[test]
fn one_cause_is_one_notice_and_the_tree_is_explained_over_a_restart() {
    let mut world = world();
    world.wind(30.0);
    world.wait(600.0);
    assert_eq!(told(&mut world), [("Power".to_owned(), Told::Raised)]);
    let events = world.take_events();
    let shown = events.iter().filter(|e| matches!(e, Event::Notification(_))).count();
    assert_eq!(shown, 1, "one notification on the bus, too");
    let shutter = events.iter().rev().find_map(|e| match e {
        Event::Alarm(a) if a.alarm_name == "Shutter" => Some(e.fields()),
        _ => None,
    });
    let reason = shutter.unwrap().into_iter().find(|(name, _)| *name == "reason").unwrap().1;
    assert_eq!(reason, Value::Text("wind: 30.00 m/s > 20.00 [inhibited by Dome]".into()));
    for restarted in [false, true] {
        if restarted {
            world.restart();
            world.step(Input::Enable);
            world.wait(600.0);
            assert_eq!(told(&mut world), []);
        }
        let power = world.core.explain("Power", world.now).unwrap().alarm.unwrap();
        let tree = power.inhibits[0].to_string();
        assert_eq!(tree, "CRITICAL Power\n└─ CRITICAL Dome\n   └─ WARNING Shutter");
        assert!(power.notes.iter().any(|n| n.why == "inhibits" && n.text == "Power inhibits 2 alarms"));
        let shutter = world.core.explain("Shutter", world.now).unwrap();
        assert!(
            shutter.decision.contains("Shutter is inhibited by Dome, that one by Power"),
            "{}",
            shutter.decision
        );
        let why = shutter.alarm.unwrap().notes.into_iter().map(|n| n.why).collect::<Vec<_>>();
        assert_eq!(why, ["inhibited", "not_told"]);
    }
    assert_eq!(
        world.journal["alarm/Dome"]["hush"]["kept_back"]["why"], "inhibited",
        "the reason is on record"
    );
    assert_eq!(world.journal["storm"]["counts"]["inhibited"], 2);
}

#[test]
fn what_stays_when_the_cause_has_gone_is_told() {
    let mut world = world();
    world.wind(30.0);
    world.wait(10.0);
    drop(told(&mut world));
    world.wind(22.0);
    assert_eq!(world.severity("Power"), 1);
    assert_eq!(told(&mut world), [("Power".to_owned(), Told::Cleared)]);
    world.restart();
    world.step(Input::Enable);
    world.wait(59.0);
    assert_eq!(told(&mut world), []);
    world.wait(2.0);
    assert_eq!(told(&mut world), [("Dome".to_owned(), Told::Raised)], "Shutter has Dome as its cause");
    world.wind(5.0);
    assert_eq!(told(&mut world), [("Dome".to_owned(), Told::Cleared)]);
}

#[test]
fn a_circle_at_run_time_is_refused_and_so_is_a_cause_that_is_not_there() {
    let mut world = world();
    let power = |by: &str| {
        format!(
            "rules:\n  - name: Power\n    inputs: {{wind: {{topic: \"ESS:301.tel_airFlow\", field: speed}}}}\n    alarm: {{value: wind, levels: {{critical: 25.0}}, inhibit_by: {by}}}\n"
        )
    };
    let circle = world.add(&power("Shutter"), true).unwrap_err();
    assert!(circle.contains("in a circle: Dome -> Power -> Shutter -> Dome"), "{circle}");
    let nobody = world.add(&power("Dom"), true).unwrap_err();
    assert!(nobody.contains("there is no alarm \"Dom\" (did you mean \"Dome\"?)"), "{nobody}");
    assert_eq!(world.severity("Power"), 1);
    world.wind(30.0);
    let dome = world.core.alarms().get("Dome").unwrap();
    assert_eq!((dome.severity, dome.inhibited_by.as_deref()), (Severity::Critical, Some("Power")));
}

#[test]
fn a_storm_without_a_cause_is_told_in_sums_and_logged_in_sums() {
    use std::fmt::Write as _;
    let mut text = String::from("rules:\n");
    for n in 0..300 {
        writeln!(
            text,
            "  - name: Wind.{n:03}\n    inputs: {{wind: {{topic: \"ESS:301.tel_airFlow\", field: speed}}}}\n    alarm: {{value: wind, levels: {{warning: 15.0}}, reason: windy}}"
        )
        .unwrap();
    }
    let mut world = World::new(&text);
    world.settings.storms = crate::config::StormsConfig::default().storms().unwrap();
    world.configure();
    world.step(Input::Enable);
    drop(world.take_events());
    world.wind(20.0);
    assert_eq!((world.messages, world.notices.len()), (20, 20));
    world.wait(3.0);
    assert_eq!((world.messages, world.notices.len()), (21, 300));
    let last = world.take_events().into_iter().rev().find_map(|e| match e {
        Event::Notification(n) => Some(n),
        _ => None,
    });
    let last = last.unwrap();
    assert_eq!(last.summary, "WARNING Wind.020: windy and 279 more");
    assert_eq!(last.details.lines().count(), 201, "{}", last.details);
    assert!(last.details.ends_with("\n80 more"));
}
