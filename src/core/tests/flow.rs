//! From a sample to the report, and what stops on the way.

use super::*;
use crate::tasks::state::TaskState;

#[test]
fn a_trigger_runs_raises_the_alarm_and_gets_its_report() {
    let mut world = World::enabled(RULES);
    world.wind(5.0);
    assert!(world.sent.is_empty());
    world.take_events();
    world.wind(11.0);
    assert_eq!(world.sent.len(), 1, "the edge starts one run");
    let id = world.sent[0].run_id.clone();
    assert_eq!(world.going[0].params["data_query"], json!("wind 11.0"));
    assert!(world.journal.contains_key(&format!("run/{id}")), "in the journal before it is sent");
    let topics: Vec<&str> = world.take_events().iter().map(Event::topic).collect();
    assert!(
        topics.contains(&"task") && topics.contains(&"rule") && topics.contains(&"summary"),
        "{topics:?}"
    );
    world.wind(12.0);
    assert_eq!(world.sent.len(), 1, "it stays true: no edge");

    world.end_first(1);
    assert_eq!(world.severity("Edge"), 2);
    let alarm = world.core.alarms().get("Edge").unwrap();
    assert_eq!((alarm.task_id.as_str(), alarm.reason.as_str()), (id.as_str(), "exit 1.0"));
    let events = world.take_events();
    let results: Vec<_> =
        events.iter().filter_map(|e| if let Event::Result(r) = e { Some(r) } else { None }).collect();
    assert_eq!(results.len(), 1);
    assert_eq!((results[0].severity, results[0].value), (2, 1.0), "judged before the result is told");
    assert_eq!(world.reports_wanted, std::slice::from_ref(&id));
    world.step(Input::ReportWritten { run_id: id.clone(), url: Ok("http://r".into()) });
    assert_eq!(world.core.alarms().get("Edge").unwrap().report_url, "http://r");
    assert_eq!(world.core.runs().get(&id).unwrap().report_url, "http://r");
    assert!(world.core.rule_of_run(&id).is_none(), "nothing is kept of a run that is over");
}

#[test]
fn while_one_runs_the_next_waits_its_turn() {
    let mut world = World::enabled(RULES);
    for wind in [5.0, 11.0, 5.0, 12.0] {
        world.wind(wind);
        world.wait(1.0);
    }
    assert_eq!((world.sent.len(), world.core.runs().active().count()), (1, 2));
    world.end_first(0);
    assert_eq!(world.sent.len(), 2);
    assert_eq!(world.going[0].params["data_query"], json!("wind 12.0"), "the wind of its own trigger");
}

#[test]
fn nothing_begins_outside_enabled_but_what_waits_is_not_forgotten() {
    for restarted in [false, true] {
        let mut world = World::enabled(RULES);
        for wind in [5.0, 11.0, 5.0, 12.0] {
            world.wind(wind);
        }
        world.step(Input::Disable);
        world.end_first(0);
        world.wind(5.0);
        world.wind(30.0);
        assert_eq!(world.sent.len(), 1, "disabled");
        assert_eq!(world.severity("Level"), 1, "frozen");
        if restarted {
            world.restart();
        }
        world.step(Input::Enable);
        assert_eq!(world.sent.len(), 2, "restarted: {restarted}");
        assert_eq!(world.core.runs().active().filter(|r| r.state == TaskState::Running).count(), 1);
        if !restarted {
            assert_eq!(world.severity("Level"), 4, "judged anew on what came meanwhile");
        }
    }
}

#[test]
fn unknown_keeps_what_is() {
    let mut world = World::enabled(RULES);
    world.wind(20.0);
    assert_eq!(world.severity("Level"), 2);
    world.wind(f64::NAN);
    assert_eq!(world.severity("Level"), 2);
    let error = world.core.rules().get("Level").unwrap().error();
    assert!(error.contains("wind"), "{error}");
    world.wait(3600.0);
    assert_eq!(world.severity("Level"), 2);
    world.wind(1.0);
    assert_eq!((world.severity("Level"), world.core.rules().get("Level").unwrap().error().as_str()), (1, ""));
}

#[test]
fn entering_enabled_tells_everything() {
    let mut world = World::new(RULES);
    world.take_events();
    world.step(Input::Enable);
    let events = world.take_events();
    let count = |topic: &str| events.iter().filter(|e| e.topic() == topic).count();
    assert_eq!((count("alarm"), count("rule") >= 2), (2, true), "nominal ones too");
}
