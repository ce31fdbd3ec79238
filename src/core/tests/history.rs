//! The history of the alarms: every transition once, in a chain, with what was behind it.

use super::*;
use crate::alarms::{Cause, Move, Standing, Timer};

/// Numbers without gaps, and for each alarm every transition begins as the one before ended, and the last as it stands.
pub(super) fn check(world: &World) {
    let mut ends: BTreeMap<&str, &Standing> = BTreeMap::new();
    for (n, t) in world.history.iter().enumerate() {
        assert_eq!(t.id, n as u64 + 1, "numbers without gaps");
        assert!(!t.moves.is_empty() && !t.before.same(&t.after), "{t:?}");
        assert_eq!(t.moves, Move::between(&t.before, &t.after));
        let begin = ends.insert(&t.alarm, &t.after).cloned().unwrap_or_default();
        assert!(begin.same(&t.before), "{t:?} does not begin as {begin:?} ended");
        if matches!(t.cause, Cause::Finding { .. }) {
            assert!(t.evidence.is_some(), "a finding without evidence: {t:?}");
        }
    }
    for alarm in world.core.alarms().show() {
        let end = ends.get(&*alarm.alarm_name).copied().cloned().unwrap_or_default();
        assert_eq!((end.severity, end.max_severity), (alarm.severity, alarm.max_severity), "{alarm:?}");
        assert_eq!((end.acknowledged, end.muted_severity), (alarm.acknowledged, alarm.muted_severity));
        assert_eq!((end.acknowledged_by, end.muted_by), (alarm.acknowledged_by, alarm.muted_by));
        assert_eq!(end.escalated_id, alarm.escalated_id);
    }
    let next = world.journal.get(HISTORY).map_or(1, |entry| entry["next"].as_u64().unwrap());
    assert_eq!(next, world.history.len() as u64 + 1, "the journal confirms all of them");
}

fn moves(world: &World) -> Vec<String> {
    let words = |t: &AlarmTransition| {
        let words: Vec<&str> = t.moves.iter().map(|m| m.word()).collect();
        format!("{} {} by {}", t.alarm, words.join("+"), t.cause.who())
    };
    world.history.iter().map(words).collect()
}

#[test]
fn every_transition_is_told_with_its_cause() {
    let mut world = World::enabled(RULES);
    for wind in [3.0, 20.0, 21.0, 30.0, 3.0] {
        world.wind(wind);
    }
    let from = |command| Command::From { identity: "joe@console".into(), command: Box::new(command) };
    let alarm = || "Level".to_owned();
    world
        .command(from(Command::Mute { alarm: alarm(), duration_s: 60.0, severity: 4, user: "joe".into() }))
        .unwrap();
    world.wait(100.0);
    world.command(Command::Acknowledge { alarm: alarm(), severity: 4, user: "eve".into() }).unwrap();
    world.wind(20.0);
    world.command(Command::Acknowledge { alarm: alarm(), severity: 4, user: "eve".into() }).unwrap();
    world.command(from(Command::Unacknowledge { alarm: alarm() })).unwrap();
    assert_eq!(
        moves(&world),
        [
            "Level raised by rule",
            "Level worse by rule",
            "Level cleared by rule",
            "Level muted by joe",
            "Level unmuted by time: end of the mute",
            "Level acknowledged by eve",
            "Level raised+unacknowledged by rule",
            "Level acknowledged by eve",
            "Level unacknowledged by joe@console",
        ],
        "a changed reason alone (20, 21) is none"
    );
    assert_eq!(world.history[4].cause, Cause::Deadline { timer: Timer::Unmute });
    let Cause::Command { command, user, identity } = &world.history[3].cause else { panic!() };
    assert_eq!((&**command, &**user, &**identity), ("mute", "joe", "joe@console"));
    check(&world);
}

#[test]
fn the_evidence_names_the_message_and_what_was_known() {
    let mut world = World::enabled(RULES);
    world.wind(3.0);
    world.now = world.now + std::time::Duration::from_secs(5);
    world.wind(20.0);
    let evidence = world.history[0].evidence.clone().unwrap();
    assert_eq!(
        (&evidence["message"]["topic"], &evidence["message"]["offset"], &evidence["message"]["partition"]),
        (&json!("ESS.airFlow"), &json!(1), &json!(0))
    );
    assert_eq!(evidence["message"]["sal_index"], 301);
    let explanation: crate::rules::Explanation =
        serde_json::from_value(evidence["explanation"].clone()).unwrap();
    assert_eq!(explanation.revision, world.history[0].revision);
    assert_eq!((&explanation.inputs[0].value, explanation.inputs[0].age_s), (&json!(20.0), Some(0.0)));
    let alarm = explanation.alarm.unwrap();
    assert_eq!((&*alarm.severity, &*alarm.reason), ("WARNING", "wind 20.0"));
    assert_eq!(alarm.conditions[0].terms[0].term.text, "wind");
    assert!(explanation.decision.contains("WARNING"), "{}", explanation.decision);
}

/// Time decides, and then a message comes within the same step: the evidence is that of the decision.
#[test]
fn the_evidence_is_of_the_moment_of_the_decision() {
    const HELD: &str = r#"
rules:
  - name: Held
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    alarm: {conditions: [{value: wind, levels: {warning: 15.0}, hold: 30s}]}
"#;
    let mut world = World::enabled(HELD);
    world.wind(20.0);
    world.now = world.now + std::time::Duration::from_secs(31);
    world.wind(3.0);
    // Raised by time and cleared by the message within one step of the core.
    assert_eq!(moves(&world), ["Held raised by rule", "Held cleared by rule"]);
    let evidence = |n: usize| world.history[n].evidence.clone().unwrap();
    assert!(evidence(0).get("message").is_none(), "no message: time has raised it");
    assert_eq!(evidence(0)["explanation"]["inputs"][0]["value"], json!(20.0));
    assert_eq!(evidence(0)["explanation"]["inputs"][0]["age_s"], json!(30.0));
    assert_eq!(evidence(1)["message"]["offset"], 1);
    assert_eq!(evidence(1)["explanation"]["inputs"][0]["value"], json!(3.0));
}

#[test]
fn a_run_is_named_and_a_held_finding_has_evidence_too() {
    let mut world = World::enabled(RULES);
    world.wind(3.0);
    world.wind(12.0);
    let run = world.going[0].id.run_id.clone();
    world.step(Input::Disable);
    world.end_first(1);
    assert!(world.history.is_empty(), "nothing happens to an alarm outside ENABLED");
    world.step(Input::Enable);
    assert_eq!(moves(&world), [format!("Edge raised by run {run}")]);
    check(&world);
}

#[test]
fn a_key_that_goes_and_a_rule_that_goes_end_their_alarms() {
    let mut world = World::enabled(RULES);
    world.add(&LEVEL_2.replace("Level", "Added"), true).unwrap();
    world.wind(20.0);
    world.command(Command::RemoveRule { rule: "Added".into() }).unwrap();
    let last = world.history.last().unwrap();
    assert_eq!((&*last.alarm, &last.moves[..], &last.cause), ("Added", &[Move::Cleared][..], &Cause::Rules));
    assert_eq!(last.after, Standing::default());
    check(&world);
}

#[test]
fn the_evidence_of_a_large_input_is_cut() {
    let rules = (0..400).map(|i| format!("wind > {i}.25")).collect::<Vec<_>>().join(" || ");
    let text = format!(
        "rules:\n  - name: Long\n    inputs: {{wind: {{topic: \"ESS:301.tel_airFlow\", field: speed}}}}\n    alarm: {{levels: {{warning: \"{rules}\"}}}}\n"
    );
    let mut world = World::enabled(&text);
    world.wind(20.0);
    let evidence = world.history[0].evidence.clone().unwrap();
    assert_eq!(evidence["explanation"]["shortened"], true);
    assert!(evidence.to_string().len() < 9000, "{}", evidence.to_string().len());
}
