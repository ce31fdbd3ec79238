//! Transitions of a book: words, causes, chains.

use std::collections::HashMap;
use std::time::Duration;

use proptest::prelude::*;

use super::properties::config_of;
use super::{all_delays, at};
use crate::alarms::{
    AlarmConfig, AlarmTransition, Book, Cause, Finding, Glob, IncidentAnswer, Inhibit, Move, MuteWindow,
    Repeat, Severity, Standing, StormConfig, Timer,
};

fn told(book: &mut Book) -> Vec<(String, String)> {
    let words =
        |t: AlarmTransition| (t.moves.iter().map(|m| m.word()).collect::<Vec<_>>().join("+"), t.cause.who());
    book.take_transitions().into_iter().map(words).collect()
}

fn say(book: &mut Book, severity: Severity, when: f64) {
    book.set_severity("A", Finding::new(severity, "why"), at(when)).unwrap();
}

fn pairs(told: &[(String, String)]) -> Vec<(&str, &str)> {
    told.iter().map(|(what, who)| (&**what, &**who)).collect()
}

#[test]
fn each_deadline_is_a_cause() {
    let mut book = Book::new();
    book.ensure("A", "R", "r", &all_delays());
    assert!(book.take_transitions().is_empty(), "an alarm that is made has no transition");
    say(&mut book, Severity::Critical, 0.0);
    assert_eq!(book.tick(at(11.0)), [("A".to_owned(), Timer::Escalate)]);
    book.acknowledge("A", Severity::Critical, "eve", at(12.0)).unwrap();
    book.acknowledge("A", Severity::Critical, "joe", at(13.0)).unwrap();
    book.tick(at(20.0));
    say(&mut book, Severity::None, 21.0);
    book.tick(at(51.0));
    assert_eq!(
        pairs(&told(&mut book)),
        [
            ("raised", "rule"),
            ("escalated", "time: not acknowledged in time"),
            ("acknowledged+deescalated", "eve"),
            ("unacknowledged", "time: acknowledged for too long"),
            ("cleared", "rule"),
            ("acknowledged", "time: automatic acknowledgement"),
        ],
        "acknowledging twice only sets a deadline anew"
    );
}

#[test]
fn incidents_and_windows_are_causes() {
    let mut book = Book::new();
    book.set_incident_owner(Some("Catcher:1".to_owned()));
    book.ensure("A", "R", "r", &all_delays());
    say(&mut book, Severity::Critical, 0.0);
    book.tick(at(11.0));
    let call = book.take_incident_calls().remove(0);
    book.incident_answer(&call.id, IncidentAnswer::Opened);
    book.acknowledge("A", Severity::Critical, "", at(12.0)).unwrap();
    let window = MuteWindow {
        alarms: "A".into(),
        start: at(20.0),
        end: at(30.0),
        severity: Severity::Critical,
        by: "night".into(),
        reason: "x".into(),
        repeat: Repeat::Once,
    };
    book.add_window(window, at(13.0)).unwrap();
    book.tick(at(21.0));
    book.tick(at(31.0));
    book.remove("A");
    assert_eq!(
        pairs(&told(&mut book)),
        [
            ("raised", "rule"),
            ("escalated", "time: not acknowledged in time"),
            ("incident opened", "escalation service"),
            ("acknowledged+deescalated+incident closed", "unknown"),
            ("muted", "mute window of night"),
            ("unacknowledged", "time: acknowledged for too long"),
            ("unmuted", "mute window of night"),
            ("cleared", "change of the rule"),
        ]
    );
}

#[test]
fn a_failed_escalation_is_told() {
    let mut book = Book::new();
    book.set_incident_owner(Some("Catcher:1".to_owned()));
    book.ensure("A", "R", "r", &all_delays());
    say(&mut book, Severity::Critical, 0.0);
    book.tick(at(11.0));
    drop(book.take_transitions());
    let call = book.take_incident_calls().remove(0);
    book.incident_answer(&call.id, IncidentAnswer::NotOpened { text: "no route".into(), doubtful: false });
    let failed = book.take_transitions().remove(0);
    assert_eq!(
        (&failed.moves[..], &*failed.after.escalated_id),
        (&[Move::NotEscalated][..], "Failed: no route")
    );
}

/// A cause and what hangs on it: why nobody is told is part of the story, and who is to blame for it.
#[test]
fn what_is_kept_back_is_told_with_its_reason() {
    let mut book = Book::new();
    book.configure_storms(StormConfig {
        settle_after_cause: Duration::from_secs(5),
        ..StormConfig::default()
    });
    book.ensure("Root", "Root", "r", &AlarmConfig::default());
    book.ensure("Leaf", "Leaf", "r", &hanging_on("Root", AlarmConfig::default()));
    let say = |book: &mut Book, name: &str, severity, when| {
        book.set_severity(name, Finding::new(severity, "x"), at(when)).unwrap();
    };
    say(&mut book, "Root", Severity::Serious, 0.0);
    say(&mut book, "Leaf", Severity::Warning, 1.0);
    book.testify("Leaf", || 1.into());
    say(&mut book, "Root", Severity::None, 2.0);
    book.testify("Root", || 2.into());
    book.tick(at(8.0));
    let all = book.take_transitions();
    let words = |t: &AlarmTransition| {
        let moves: Vec<&str> = t.moves.iter().map(|m| m.word()).collect();
        format!("{} {} by {}: {:?}", t.alarm, moves.join("+"), t.cause.who(), t.after.kept_back)
    };
    assert_eq!(
        all.iter().map(words).collect::<Vec<_>>(),
        [
            "Root raised by rule: None",
            "Leaf raised+inhibited+kept back by rule: Some(Inhibited)",
            "Root cleared by rule: None",
            "Leaf uninhibited+kept back by storm: Some(CauseGone)",
            "Leaf released by storm: None",
        ]
    );
    assert_eq!(all[1].after.inhibited_by, "Root");
    let seen: Vec<bool> = all.iter().map(AlarmTransition::annunciates).collect();
    assert_eq!(seen, [true, false, false, false, true]);
    let evidence: Vec<_> = all.iter().map(|t| t.evidence.clone()).collect();
    assert_eq!(evidence, [None, Some(1.into()), Some(2.into()), None, None], "what followed comes between");
}

fn hanging_on(cause: &str, config: AlarmConfig) -> AlarmConfig {
    let inhibit = Inhibit { alarms: Glob::new(cause), from: Severity::Warning };
    AlarmConfig { inhibit_by: vec![inhibit], ..config }
}

#[test]
fn commands_carry_who_sent_them() {
    let mut book = Book::new();
    book.ensure("A", "R", "r", &all_delays());
    say(&mut book, Severity::Warning, 0.0);
    drop(book.take_transitions());
    book.set_identity("love@console");
    book.mute("A", 5.0, Severity::Critical, "joe", at(1.0)).unwrap();
    book.mute("A", 9.0, Severity::Warning, "eve", at(2.0)).unwrap();
    book.unmute("A", at(3.0)).unwrap();
    book.unmute("A", at(4.0)).unwrap();
    book.set_identity("");
    let all = book.take_transitions();
    let commands: Vec<_> = all.iter().map(|t| serde_json::to_string(&t.cause).unwrap()).collect();
    assert_eq!(
        commands,
        [
            r#"{"kind":"command","command":"mute","user":"joe","identity":"love@console"}"#,
            r#"{"kind":"command","command":"mute","user":"eve","identity":"love@console"}"#,
            r#"{"kind":"command","command":"unmute","identity":"love@console"}"#,
        ],
        "what changes nothing is no transition"
    );
    assert_eq!(all[0].after.muted_until, Some(at(6.0)));
    assert!(!all[0].annunciates() && all[1].moves == [Move::Muted]);
}

#[test]
fn evidence_goes_to_the_transition_that_it_caused_and_to_no_other() {
    let mut book = Book::new();
    book.ensure("A", "R", "r", &all_delays());
    book.ensure("B", "R", "r", &all_delays());
    say(&mut book, Severity::Warning, 0.0);
    book.testify("B", || unreachable!("it is of another alarm"));
    book.testify("A", || 1.into());
    book.testify("A", || unreachable!("it has some"));
    book.mute("A", 5.0, Severity::Critical, "joe", at(1.0)).unwrap();
    book.testify("A", || unreachable!("a command needs none"));
    let all = book.take_transitions();
    assert_eq!((all[0].evidence.clone(), all[1].evidence.clone()), (Some(1.into()), None));
    book.testify("A", || unreachable!("there is nothing to testify to"));
}

#[test]
fn a_transition_is_written_and_read_as_it_was() {
    let mut book = Book::new();
    book.ensure("A", "R", "r", &all_delays());
    say(&mut book, Severity::Critical, 0.0);
    book.tick(at(11.0));
    book.mute("A", 5.0, Severity::Critical, "joe", at(12.0)).unwrap();
    for transition in book.take_transitions() {
        let text = serde_json::to_string(&transition).unwrap();
        assert_eq!(serde_json::from_str::<AlarmTransition>(&text).unwrap(), transition, "{text}");
    }
}

#[derive(Debug, Clone)]
enum Op {
    Severity(Severity),
    Acknowledge(Severity),
    Unacknowledge,
    Mute(f64, Severity),
    Unmute,
    Remove,
    Freeze(bool),
    Answer(bool),
    Restart,
    Wait,
}

fn op() -> impl Strategy<Value = Op> {
    let severity = || prop::sample::select(Severity::ALL.to_vec());
    prop_oneof![
        6 => severity().prop_map(Op::Severity),
        3 => severity().prop_map(Op::Acknowledge),
        1 => Just(Op::Unacknowledge),
        2 => ((1.0..30.0f64), severity()).prop_map(|(d, s)| Op::Mute(d, s)),
        1 => Just(Op::Unmute),
        1 => Just(Op::Remove),
        1 => any::<bool>().prop_map(Op::Freeze),
        1 => any::<bool>().prop_map(Op::Answer),
        1 => Just(Op::Restart),
        4 => Just(Op::Wait),
    ]
}

proptest! {
    #![proptest_config(config_of(256))]

    /// Of each alarm every transition begins as the one before has ended, the last has ended as the alarm stands, and
    /// what is no transition has changed nothing of it. Over restarts, too.
    #[test]
    fn transitions_are_a_chain(ops in prop::collection::vec((0.1..8.0f64, 0..2usize, op()), 1..80)) {
        let mut book = Book::new();
        let storms = StormConfig {
            notices_per_minute: 4,
            flap_changes: 3,
            flap_window: Duration::from_secs(30),
            calm_after: Duration::from_secs(20),
            wait_for_cause: Duration::from_secs(1),
            settle_after_cause: Duration::from_secs(3),
            ..StormConfig::default()
        };
        book.configure_storms(storms);
        let configs = [all_delays(), hanging_on("A", all_delays())];
        book.set_incident_owner(Some("Catcher:1".into()));
        let mut ends: HashMap<String, Standing> = HashMap::new();
        let mut now = 0.0;
        for (gap, which, op) in ops {
            now += gap;
            let mut news = Vec::new();
            let (name, t) = (["A", "B"][which], at(now));
            book.ensure(name, name, "r", &configs[which]);
            book.tick(t);
            match op {
                Op::Severity(s) => drop(book.set_severity(name, Finding::new(s, "r"), t)),
                Op::Acknowledge(s) => drop(book.acknowledge(name, s, "eve", t)),
                Op::Unacknowledge => drop(book.unacknowledge(".", t)),
                Op::Mute(d, s) => drop(book.mute(name, d, s, "joe", t)),
                Op::Unmute => drop(book.unmute(name, t)),
                Op::Remove => drop(book.remove(name)),
                Op::Freeze(true) => book.freeze(),
                Op::Freeze(false) => book.thaw(t),
                Op::Answer(good) => {
                    for call in book.take_incident_calls() {
                        let answer = match (call.incident.closing, good) {
                            (true, _) => IncidentAnswer::Closed,
                            (_, true) => IncidentAnswer::Opened,
                            (_, false) => IncidentAnswer::NotOpened { text: "no".into(), doubtful: true },
                        };
                        book.incident_answer(&call.id, answer);
                    }
                }
                Op::Restart => {
                    let (records, frozen) = (book.export(), book.frozen());
                    news.append(&mut book.take_transitions());
                    let mut again = Book::new();
                    again.set_incident_owner(Some("Catcher:1".into()));
                    again.configure_storms(storms);
                    if frozen {
                        again.freeze();
                    }
                    again.import(records);
                    prop_assert!(again.take_transitions().is_empty(), "taking up what was saved is no transition");
                    book = again;
                }
                Op::Wait => drop(book.tick(t)),
            }
            news.append(&mut book.take_transitions());
            for transition in news {
                let begin = ends.remove(&transition.alarm).unwrap_or_default();
                prop_assert!(begin.same(&transition.before), "{:?} after {:?}", transition, begin);
                prop_assert!(!transition.before.same(&transition.after) && !transition.moves.is_empty());
                prop_assert!(transition.after.max_severity >= transition.after.severity);
                if transition.moves.contains(&Move::Acknowledged) {
                    let by = matches!(&transition.cause, Cause::Command { .. } | Cause::Deadline { .. });
                    prop_assert!(by, "nothing else acknowledges: {:?}", transition);
                }
                ends.insert(transition.alarm.clone(), transition.after);
            }
            for (name, end) in &ends {
                let stands = book.alarm(name).zip(book.hush(name)).map(|(a, h)| Standing::of(a.state(), h)).unwrap_or_default();
                prop_assert!(end.same(&stands), "{} ended as {:?} and stands as {:?}", name, end, stands);
            }
        }
    }
}
