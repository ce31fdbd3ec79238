//! Commands on rules, runs and alarms.

use super::*;
use crate::tasks::state::TaskState;

#[test]
fn a_rule_added_outranks_the_configured_one_until_it_is_removed() {
    let mut world = World::enabled(RULES);
    world.wind(8.0);
    assert_eq!(world.severity("Level"), 1);
    let said = world.add(LEVEL_2, true).unwrap();
    assert!(said.contains("Level replaced"), "{said}");
    world.wind(8.0);
    assert_eq!(world.severity("Level"), 3);
    assert_eq!(world.core.rules().get("Level").unwrap().origin(), Origin::Command);

    world.restart();
    world.step(Input::Enable);
    assert_eq!(world.severity("Level"), 3, "survives a restart");
    assert_eq!(world.core.rules().get("Level").unwrap().origin(), Origin::Command);
    world.configure();
    assert_eq!(world.core.rules().get("Level").unwrap().origin(), Origin::Command, "and start");

    let said = world.command(Command::RemoveRule { rule: "Level".into() }).unwrap();
    assert!(said.contains("in force again"), "{said}");
    world.wind(8.0);
    assert_eq!(world.severity("Level"), 1);
    let refused = world.command(Command::RemoveRule { rule: "Level".into() }).unwrap_err();
    assert!(refused.contains("disableRule"), "{refused}");
    assert!(world.command(Command::RemoveRule { rule: "Nobody".into() }).is_err());
}

#[test]
fn a_removed_rule_ends_its_alarm_and_is_gone_from_the_journal() {
    let mut world = World::enabled(RULES);
    world.add(&LEVEL_2.replace("name: Level", "name: Mine"), true).unwrap();
    world.wind(8.0);
    assert_eq!(world.severity("Mine"), 3);
    world.take_events();
    world.command(Command::RemoveRule { rule: "Mine".into() }).unwrap();
    let events = world.take_events();
    assert!(events.iter().any(|e| matches!(e, Event::Alarm(a) if a.alarm_name == "Mine" && a.nominal())));
    assert!(events.iter().any(|e| matches!(e, Event::Rule(r) if r.state == RuleState::Removed)));
    let left: Vec<&String> = world.journal.keys().filter(|k| k.contains("Mine")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_rule_that_is_no_longer_configured_leaves_nothing_behind() {
    let mut world = World::enabled(RULES);
    world.wind(20.0);
    assert_eq!(world.severity("Level"), 2);
    world.configured.retain(|r| r.name != "Level");
    world.restart();
    assert!(world.core.alarms().get("Level").is_none());
    let left: Vec<&String> = world.journal.keys().filter(|k| k.contains("Level")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn disabled_is_silent_and_lasts() {
    let mut world = World::enabled(RULES);
    world.wind(20.0);
    let disable = Command::DisableRule { rule: "Level".into(), reason: "tests".into() };
    assert!(world.command(disable).unwrap().contains("disabled"));
    world.wind(30.0);
    assert_eq!(world.severity("Level"), 1);
    world.restart();
    world.step(Input::Enable);
    world.wind(30.0);
    assert_eq!(world.severity("Level"), 1, "over a restart");
    let entry = world.core.rules().get("Level").unwrap();
    assert_eq!((entry.state(true), entry.error().as_str()), (RuleState::Disabled, "tests"));
    world.command(Command::EnableRule { rule: "Level".into() }).unwrap();
    assert_eq!(world.severity("Level"), 4, "judged at once on the latched wind");
}

#[test]
fn by_hand_and_cancelled() {
    let mut world = World::enabled(RULES);
    let refused = world.trigger(1).unwrap_err();
    assert!(refused.contains("unknown"), "{refused}");
    world.wind(11.0);
    assert!(world.sent.is_empty(), "the first known value only sets the memory");
    let id = world.trigger(2).unwrap();
    assert_eq!(world.sent[0].run_id, id);
    assert_eq!(world.trigger(2).unwrap(), id, "the same command once more");
    assert_eq!(world.sent.len(), 1);
    let waiting = world.trigger(3).unwrap();
    let cancel = |task_id: &str| Command::CancelTask { task_id: task_id.into(), reason: "enough".into() };
    world.command(cancel(&waiting)).unwrap();
    world.command(cancel(&id)).unwrap();
    for id in [&id, &waiting] {
        assert_eq!(world.core.runs().get(id).unwrap().state, TaskState::Aborted);
        assert!(world.command(cancel(id)).is_err());
    }
    assert_eq!(world.sent.len(), 1, "what waited was never sent");
    assert_eq!(world.reports_wanted, [id], "nothing to report of a run that never began");
}

#[test]
fn a_quarantine_lasts_until_the_rule_is_enabled() {
    let text = RULES.replace("    report:", "    budget: {runs_per_hour: 1}\n    report:");
    let mut world = World::enabled(&text);
    for wind in [5.0, 11.0, 5.0, 12.0] {
        world.wind(wind);
        world.end_first(0);
    }
    let state = |world: &World| world.core.rules().get("Edge").unwrap().state(true);
    assert_eq!((world.sent.len(), state(&world)), (1, RuleState::Failed));
    world.restart();
    assert_eq!(state(&world), RuleState::Failed, "over a restart");
    world.step(Input::Enable);
    assert!(world.trigger(1).unwrap_err().contains("quarantine"));
    world.command(Command::EnableRule { rule: "Edge".into() }).unwrap();
    assert_eq!(state(&world), RuleState::Enabled);
}

#[test]
fn a_definition_that_does_not_compile_any_more_is_kept() {
    let mut world = World::enabled(RULES);
    world.add(&LEVEL_2.replace("name: Level", "name: Mine"), true).unwrap();
    let entries = world.journal.clone();
    let mut core = Core::new(world.now);
    let mut out = Vec::new();
    let refuse = |_: &str, _: &str| Err("no such field".to_owned());
    let problems = core.recover(&Recovery { entries: &entries, compile: &refuse }, world.now, &mut out);
    assert!(problems.iter().any(|p| p.contains("Mine") && p.contains("no such field")), "{problems:?}");
    core.step(Input::Configure { rules: rules(RULES), settings: Settings::default() }, world.now, &mut out);
    let deleted = |o: &Output| matches!(o, Output::Record(r) if r.key == "rule/Mine" && r.value.is_none());
    assert!(!out.iter().any(deleted), "what a command added is never thrown away");
}

#[test]
fn the_summary_is_told_with_each_configuration_also_if_it_is_the_same() {
    let mut world = World::new(RULES);
    for _ in 0..2 {
        let (rules, settings) = (world.configured.clone(), world.settings.clone());
        let mut out = Vec::new();
        world.core.step(Input::Configure { rules, settings }, world.now, &mut out);
        assert!(out.iter().any(|o| matches!(o, Output::Publish(Event::Summary(_)))), "{out:?}");
    }
}
