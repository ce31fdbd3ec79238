//! What goes beyond the bus, and what of an alarm survives: acknowledgement, mute, escalation, deadlines.

use super::*;
use crate::alarms::{Severity, Told};

/// `Level` is escalated after 60 s, acknowledged 30 s after it was gone, unacknowledged after 300 s.
const ESCALATED: &str = r#"
rules:
  - name: Level
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    alarm:
      value: wind
      levels: {warning: 15.0, critical: 25.0}
      reason: "wind {{ value }}"
      escalate: {responder: team, delay: 60s}
      auto_acknowledge: 30s
      auto_unacknowledge: 300s
"#;

fn world() -> World {
    let mut world = World::new(ESCALATED);
    world.settings.incident_owner = Some("Catcher:1".into());
    world.configure();
    world.step(Input::Enable);
    world
}

fn answer(world: &mut World, answer: IncidentAnswer) {
    let call = world.calls.remove(0);
    world.step(Input::IncidentAnswer { id: call.id, answer });
}

fn acknowledge(world: &mut World) -> Answer {
    world.command(Command::Acknowledge { alarm: "Level".into(), severity: 4, user: "eve".into() })
}

#[test]
fn a_notice_goes_to_the_bus_and_to_the_receivers() {
    let mut world = world();
    world.wind(20.0);
    world.wind(5.0);
    let told: Vec<Told> = world.notices.iter().map(|n| n.what).collect();
    assert_eq!(told, [Told::Raised, Told::Cleared]);
    let events = world.take_events();
    let shown: Vec<&Notification> =
        events.iter().filter_map(|e| if let Event::Notification(n) = e { Some(n) } else { None }).collect();
    assert_eq!((shown[0].level, shown[0].summary.as_str()), (30, "WARNING Level: wind 20.0"));
    assert_eq!((shown[1].level, shown[1].summary.as_str()), (20, "over: Level (was WARNING)"));
    world.step(Input::NotTold {
        receiver: "ops".into(),
        about: "Level".into(),
        reason: "no connection".into(),
    });
    let events = world.take_events();
    assert!(
        matches!(&events[0], Event::Notification(n) if n.level == 40 && n.summary.contains("ops")),
        "{events:?}"
    );
    assert_eq!(world.notices.len(), 2, "that a receiver could not be told is told to none");
}

#[test]
fn an_incident_is_in_the_journal_before_it_is_called_for() {
    let mut world = world();
    world.wind(30.0);
    world.now = Tai(world.now.0 + 61.0);
    // The process dies after the journal was written, before the call is made.
    world.step_until(Input::Tick, false);
    assert!(world.calls.is_empty());
    let id = world.journal.keys().find_map(|k| k.strip_prefix("incident/")).unwrap().to_owned();
    world.restart();
    assert!(world.calls.is_empty(), "nothing is opened outside ENABLED");
    world.step(Input::Enable);
    assert_eq!(world.calls.len(), 1);
    assert_eq!(world.calls[0].id, id, "the same incident");
    answer(&mut world, IncidentAnswer::Opened);
    assert_eq!(world.core.alarms().get("Level").unwrap().escalated_id, id);
    assert!(!world.journal.keys().any(|k| k.starts_with("incident/")), "the alarm's own record has it");

    world.restart();
    world.step(Input::Enable);
    assert!(world.calls.is_empty(), "an open one is not opened again");
    assert_eq!(world.core.alarms().get("Level").unwrap().escalated_id, id);
    acknowledge(&mut world).unwrap();
    assert!(world.calls[0].incident.closing && world.calls[0].id == id);
    world.restart();
    assert!(world.calls[0].incident.closing && world.calls[0].id == id, "asked for again, at start");
    answer(&mut world, IncidentAnswer::Closed);
    assert!(!world.journal.keys().any(|k| k.starts_with("incident/")));
}

#[test]
fn an_incident_stays_known_over_disable_and_is_closed_with_its_rule() {
    let mut world = world();
    world.wind(30.0);
    world.wait(61.0);
    answer(&mut world, IncidentAnswer::Opened);
    let id = world.core.alarms().get("Level").unwrap().escalated_id;
    world.step(Input::Disable);
    world.wait(100.0);
    world.step(Input::Enable);
    assert_eq!(world.core.alarms().get("Level").unwrap().escalated_id, id);
    assert!(world.calls.is_empty());
    world.configured.clear();
    world.configure();
    assert!(world.calls[0].incident.closing && world.calls[0].id == id);
}

#[test]
fn a_call_that_found_no_room_is_made_again() {
    let mut world = world();
    world.wind(30.0);
    world.wait(61.0);
    let call = world.calls.remove(0);
    world.core.incident_not_taken(&call.id);
    world.step(Input::CallAgain);
    assert_eq!(world.calls, [call]);
    world.step(Input::CallAgain);
    assert_eq!(world.calls.len(), 1, "it is on its way");
}

/// Everything of an alarm but its links.
fn shown(world: &World) -> crate::alarms::AlarmSnapshot {
    world.core.alarms().get("Level").unwrap()
}

/// What happened to an alarm.
type Story = fn(&mut World);

#[test]
fn an_alarm_is_what_it_was_after_a_restart_and_after_disable_and_enable() {
    let mute = Command::Mute { alarm: "Level".into(), duration_s: 1000.0, severity: 3, user: "joe".into() };
    let stories: [(&str, Story); 5] = [
        ("active, to be escalated", |w| w.wind(30.0)),
        ("acknowledged, to be unacknowledged", |w| {
            w.wind(30.0);
            acknowledge(w).unwrap();
        }),
        ("stale, to be acknowledged", |w| {
            w.wind(20.0);
            w.wind(5.0);
        }),
        ("escalation failed", |w| {
            w.wind(30.0);
            w.wait(61.0);
            answer(w, IncidentAnswer::NotOpened { text: "Failed: no".into(), doubtful: false });
        }),
        ("nominal", |_| {}),
    ];
    for (name, story) in stories {
        for restart in [true, false] {
            let mut world = world();
            world.command(mute.clone()).unwrap();
            story(&mut world);
            let before = shown(&world);
            world.notices.clear();
            if restart {
                world.restart();
            } else {
                world.step(Input::Disable);
            }
            world.step(Input::Enable);
            if restart {
                // The latched value comes back with the bus's history.
                let wind = world.wind;
                if wind.is_finite() {
                    world.wind(wind);
                }
            }
            assert_eq!(shown(&world), before, "{name}, restart: {restart}");
            assert_eq!(shown(&world).muted_by, "joe");
            let raised = world.notices.iter().filter(|n| n.what != Told::Cleared).count();
            assert_eq!(raised, 0, "{name}: nothing is told twice");
        }
    }
}

#[test]
fn overdue_deadlines_fire_at_the_next_enable_and_pending_ones_at_their_time() {
    for away in [10.0, 400.0] {
        let mut world = world();
        world.wind(30.0);
        acknowledge(&mut world).unwrap();
        world.step(Input::Disable);
        world.now = Tai(world.now.0 + away);
        world.restart();
        assert!(shown(&world).acknowledged, "nothing fires before ENABLED");
        world.step(Input::Enable);
        assert_eq!(shown(&world).acknowledged, away < 300.0);
        world.wait(300.0);
        assert!(!shown(&world).acknowledged);
        assert_eq!(shown(&world).severity, Severity::Critical);
    }
}
