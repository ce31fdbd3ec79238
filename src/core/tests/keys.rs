//! Alarms of rules with `by`: they come, go, and survive a restart.

use super::*;

const ALERTS: &str = r#"
rules:
  - name: Wind
    by: wind.salIndex
    retire: 10m
    inputs: {wind: {topic: "ESS:*.tel_airFlow"}}
    alarm: {value: wind.speed, levels: {warning: 15.0}, reason: "{{ trigger.key }}: {{ value }}"}
"#;

fn wind(world: &mut World, index: i64, speed: f64) {
    let needs = &world.core.subscriptions().topics[0];
    let cell = |need: &crate::rules::FieldNeed| match need.name.as_str() {
        "salIndex" => Value::Int(index),
        _ => Value::Double(speed),
    };
    let cells: Vec<Value> = needs.fields.iter().map(cell).collect();
    let sample = Sample {
        topic: crate::rules::TopicId(0),
        sal_index: index,
        sent: world.now,
        received: world.now,
        partition: 0,
        offset: world.offset,
        cells: &cells,
    };
    world.offset += 1;
    world.step(Input::Sample(&sample));
}

fn alarm_events(world: &mut World) -> Vec<(String, i64)> {
    let of = |event: Event| match event {
        Event::Alarm(alarm) => Some((alarm.alarm_name, i64::from(alarm.severity))),
        _ => None,
    };
    world.take_events().into_iter().filter_map(of).collect()
}

#[test]
fn alarms_of_keys_come_and_go() {
    let mut world = World::enabled(ALERTS);
    assert!(alarm_events(&mut world).is_empty(), "there is no alarm before a key");
    wind(&mut world, 301, 3.0);
    assert_eq!(alarm_events(&mut world), [("Wind.301".to_owned(), 1)]);
    wind(&mut world, 302, 20.0);
    assert_eq!(alarm_events(&mut world).last().unwrap(), &("Wind.302".to_owned(), 2));
    let answer =
        world.command(Command::Acknowledge { alarm: "Wind.302".into(), severity: 2, user: "me".into() });
    assert!(answer.is_ok(), "{answer:?}");
    world.take_events();
    world.wait(599.0);
    wind(&mut world, 301, 3.0);
    world.wait(2.0);
    assert_eq!(alarm_events(&mut world), [("Wind.302".to_owned(), 1)], "a last nominal event");
    assert!(world.core.alarms().get("Wind.302").is_none());
    assert!(!world.journal.contains_key("alarm/Wind.302"));
    assert_eq!(world.core.keys("Wind"), 1);
}

#[test]
fn a_key_is_explained_by_its_name() {
    let mut world = World::enabled(ALERTS);
    wind(&mut world, 301, 20.0);
    wind(&mut world, 302, 3.0);
    let of = |name: &str| world.core.explain(name, world.now).unwrap().alarm.unwrap();
    assert_ne!(of("Wind.301").decision, of("Wind.302").decision);
    let whole = world.core.explain("Wind", world.now).unwrap();
    assert!(
        whole.notes.iter().any(|n| n.text.contains("the rule has 2 keys") && n.text.contains("301, 302"))
    );
    assert!(world.core.explain("Wind.303", world.now).is_err());
}

#[test]
fn keys_and_their_alarms_survive_a_restart() {
    let mut world = World::enabled(ALERTS);
    wind(&mut world, 301, 20.0);
    wind(&mut world, 302, 20.0);
    let answer =
        world.command(Command::Acknowledge { alarm: "Wind.301".into(), severity: 2, user: "me".into() });
    assert!(answer.is_ok(), "{answer:?}");
    world.take_events();
    world.restart();
    assert!(alarm_events(&mut world).is_empty(), "nothing is said before it is enabled");
    world.step(Input::Enable);
    let events = alarm_events(&mut world);
    assert!(events.iter().all(|(_, severity)| *severity == 2), "no alarm clears by a restart: {events:?}");
    let of = |world: &World, name: &str| {
        world.core.alarms().get(name).map(|a| (i64::from(a.severity), a.acknowledged))
    };
    assert_eq!(of(&world, "Wind.301"), Some((2, true)));
    assert_eq!(of(&world, "Wind.302"), Some((2, false)));
    world.wait(700.0);
    assert_eq!(world.core.keys("Wind"), 0, "they are as old as they were");
    assert!(world.core.alarms().is_empty());
}

#[test]
fn what_is_added_in_place_of_a_keyed_rule_takes_its_alarms_away() {
    let mut world = World::enabled(ALERTS);
    wind(&mut world, 301, 20.0);
    world.take_events();
    world.add(&ALERTS.replace("15.0", "25.0"), true).unwrap();
    assert_eq!(world.severity("Wind.301"), 2, "the same key: the alarm stays until it is judged anew");
    wind(&mut world, 301, 20.0);
    assert_eq!(world.severity("Wind.301"), 1);
    let plain =
        ALERTS.replace("    by: wind.salIndex\n    retire: 10m\n", "").replace("{{ trigger.key }}", "w");
    world.add(&plain, true).unwrap();
    assert!(world.core.alarms().get("Wind.301").is_none());
    assert!(world.core.alarms().get("Wind").is_some());
    world.command(Command::RemoveRule { rule: "Wind".into() }).unwrap();
    assert!(world.core.alarms().get("Wind").is_none());
}

const CLASH: &str = r#"
rules:
  - name: Wind.302
    inputs: {wind: {topic: "ESS:302.tel_airFlow", field: speed}}
    alarm: {value: wind, levels: {serious: 15.0}}
"#;

#[test]
fn a_rule_that_is_called_as_the_alarm_of_a_key_is_refused() {
    let mut world = World::enabled(ALERTS);
    let refused = world.add(CLASH, true).unwrap_err();
    assert!(refused.contains("that of the key \"302\" has this name too"), "{refused}");
    assert!(world.core.rules().get("Wind.302").is_none(), "nothing has changed");
    let mut world = World::enabled(CLASH);
    let refused = world.add(ALERTS, true).unwrap_err();
    assert!(
        refused.contains("rule \"Wind.302\", its name: rule \"Wind\" has an alarm for each key"),
        "{refused}"
    );
}

/// A rule added at run time, and then a configuration that does not go with it: both live, the key does not.
#[test]
fn a_configuration_that_brings_a_clash_takes_the_key_out_and_says_so() {
    let mut world = World::enabled(ALERTS);
    wind(&mut world, 301, 20.0);
    wind(&mut world, 302, 20.0);
    assert_eq!(world.core.keys("Wind"), 2);
    world.configured.extend(super::rules(CLASH));
    world.configure();
    assert_eq!(world.core.keys("Wind"), 1);
    assert_eq!(world.core.alarms().owner("Wind.302"), Some("Wind.302"));
    let error = |world: &World, rule: &str| world.core.rules().get(rule).unwrap().error();
    assert!(error(&world, "Wind").contains("the key \"302\" is left out"), "{}", error(&world, "Wind"));
    assert!(error(&world, "Wind.302").contains("has this name too"), "{}", error(&world, "Wind.302"));
    world.configured.retain(|rule| rule.name != "Wind.302");
    world.configure();
    assert_eq!(error(&world, "Wind"), "");
    wind(&mut world, 302, 20.0);
    assert_eq!(world.core.alarms().owner("Wind.302"), Some("Wind"));
}
