//! The invariants of `alarm.rs` and of the book, after every one of many random operations.

use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;

use super::at;
use crate::alarms::alarm::AUTOMATIC;
use crate::alarms::{
    Alarm, AlarmConfig, AlarmState, Book, Counts, Escalate, Finding, Latch, Severity, Timer,
};

#[derive(Debug, Clone)]
enum Op {
    Severity(Severity, u8),
    Acknowledge(Severity),
    Unacknowledge,
    Mute(f64, Severity),
    Unmute,
    Reset,
    Incident(bool),
    Fire,
    Reconfigure(AlarmConfig),
}

fn severity() -> impl Strategy<Value = Severity> {
    prop::sample::select(Severity::ALL.to_vec())
}

fn config() -> impl Strategy<Value = AlarmConfig> {
    let latch = prop_oneof![3 => Just(Latch::Level), 1 => Just(Latch::OneShot)];
    (0..3u64, 0..3u64, 0..3u64, any::<bool>(), any::<bool>(), latch).prop_map(
        |(aa, au, esc, lift_mute, rearm, latch)| AlarmConfig {
            auto_acknowledge: Duration::from_secs(aa * 5),
            auto_unacknowledge: Duration::from_secs(au * 4),
            escalate: Escalate::new("team", Duration::from_secs(esc * 3)).ok(),
            lift_mute,
            rearm_escalation: rearm,
            latch,
            ..AlarmConfig::default()
        },
    )
}

fn op() -> impl Strategy<Value = Op> {
    let duration = prop_oneof![Just(f64::NAN), Just(f64::INFINITY), -1.0..20.0f64];
    prop_oneof![
        6 => (severity(), 0..3u8).prop_map(|(s, r)| Op::Severity(s, r)),
        3 => severity().prop_map(Op::Acknowledge),
        1 => Just(Op::Unacknowledge),
        1 => (duration, severity()).prop_map(|(d, s)| Op::Mute(d, s)),
        1 => Just(Op::Unmute),
        1 => any::<bool>().prop_map(Op::Incident),
        4 => Just(Op::Fire),
        1 => prop_oneof![Just(Op::Reset), config().prop_map(Op::Reconfigure)],
    ]
}

/// Each operation comes some tenths of a second after the one before, or at the same instant.
fn history() -> impl Strategy<Value = Vec<(f64, Op)>> {
    let gap = prop_oneof![Just(0.0), 0.1..6.0f64];
    prop::collection::vec((gap, op()), 1..80)
}

fn check_invariants(alarm: &Alarm) -> Result<(), TestCaseError> {
    let s = alarm.state();
    let armed = |timer| alarm.deadline(timer).is_some();
    prop_assert!(s.max_severity >= s.severity);
    if s.acknowledged {
        prop_assert!(s.severity != Severity::None || s.max_severity == Severity::None);
        prop_assert!(!armed(Timer::Escalate) && !armed(Timer::AutoAcknowledge) && !s.do_escalate);
        prop_assert!(!s.acknowledged_by.is_empty());
    } else {
        prop_assert!(s.acknowledged_by.is_empty());
    }
    prop_assert_eq!(alarm.muted(), armed(Timer::Unmute));
    prop_assert_eq!(alarm.muted(), !s.muted_by.is_empty());
    prop_assert_eq!(s.timestamp_auto_acknowledge.is_some(), armed(Timer::AutoAcknowledge));
    prop_assert_eq!(s.timestamp_auto_unacknowledge.is_some(), armed(Timer::AutoUnacknowledge));
    prop_assert_eq!(s.timestamp_unmute.is_some(), armed(Timer::Unmute));
    prop_assert!(s.timestamp_escalate.is_some() || !s.escalate_armed);
    if armed(Timer::AutoAcknowledge) {
        let over = s.severity == Severity::None || alarm.config().latch == Latch::OneShot;
        prop_assert!(over && s.max_severity > Severity::None && !s.acknowledged);
    }
    if armed(Timer::AutoUnacknowledge) {
        prop_assert!(!alarm.nominal());
    }
    if armed(Timer::Escalate) || s.do_escalate {
        prop_assert!(alarm.config().escalate.is_some());
    }
    if armed(Timer::Escalate) || s.do_escalate {
        prop_assert_eq!(s.max_severity, Severity::Critical);
    }
    prop_assert_eq!(alarm.nominal(), s.max_severity == Severity::None);
    if s.severity > Severity::None {
        prop_assert!(s.timestamp_severity_oldest.is_some() && s.timestamp_max_severity.is_some());
    }
    prop_assert!(!s.acknowledged || s.timestamp_acknowledged.is_some());
    Ok(())
}

/// What an operation at `now` may do, whatever the state was.
fn check_step(before: &Alarm, op: &Op, after: &Alarm, now: f64) -> Result<(), TestCaseError> {
    let (old, new, now) = (before.state(), after.state(), at(now));
    // Stamps of what happened: never in the future, never back, and set by what they are of.
    for (was, is) in [
        (old.timestamp_severity_oldest, new.timestamp_severity_oldest),
        (old.timestamp_severity_newest, new.timestamp_severity_newest),
        (old.timestamp_max_severity, new.timestamp_max_severity),
        (old.timestamp_acknowledged, new.timestamp_acknowledged),
    ] {
        prop_assert!(is.is_none_or(|is| is <= now), "a stamp of the future");
        prop_assert!(was == is || is == Some(now), "{:?} became {:?} at {:?}", was, is, now);
    }
    prop_assert!(old.severity == new.severity || new.timestamp_severity_oldest == Some(now));
    prop_assert!(old.acknowledged == new.acknowledged || new.timestamp_acknowledged == Some(now));
    prop_assert!(old.max_severity == new.max_severity || new.timestamp_max_severity == Some(now));
    // Deadlines that are set or moved are a delay of the configuration away.
    let config = after.config();
    let delays = [
        (Timer::AutoAcknowledge, Some(config.auto_acknowledge)),
        (Timer::AutoUnacknowledge, Some(config.auto_unacknowledge)),
        (Timer::Escalate, config.escalate.as_ref().map(Escalate::delay)),
    ];
    for (timer, delay) in delays {
        let moved = after.deadline(timer).filter(|due| before.deadline(timer) != Some(*due));
        prop_assert!(moved.is_none_or(|due| Some(due) == delay.map(|delay| now + delay)), "{:?}", timer);
    }
    let operator =
        matches!(op, Op::Acknowledge(_) | Op::Unacknowledge | Op::Mute(..) | Op::Unmute | Op::Incident(_));
    if operator && config.latch == Latch::Level {
        prop_assert_eq!(
            (old.severity, &old.reason),
            (new.severity, &new.reason),
            "only the rule says how bad it is"
        );
    }
    match op {
        // Orthogonal: a mute changes nothing but the mute, and when somebody is called.
        Op::Mute(..) | Op::Unmute => {
            prop_assert_eq!((old.max_severity, old.acknowledged), (new.max_severity, new.acknowledged));
            prop_assert_eq!((old.do_escalate, &old.escalated_id), (new.do_escalate, &new.escalated_id));
            prop_assert_eq!(old.timestamp_auto_acknowledge, new.timestamp_auto_acknowledge);
            prop_assert_eq!(old.timestamp_auto_unacknowledge, new.timestamp_auto_unacknowledge);
        }
        // A finding never forgets what nobody has acknowledged, and never acknowledges.
        Op::Severity(..) => {
            prop_assert!(
                new.max_severity >= old.max_severity || (old.acknowledged && new.severity == Severity::None)
            );
            prop_assert!(old.acknowledged || !new.acknowledged);
            prop_assert!(new.muted_severity == old.muted_severity || config.lift_mute);
        }
        Op::Acknowledge(_) => prop_assert!(!new.do_escalate || new == old, "nobody is called any more"),
        Op::Unacknowledge => prop_assert!(!new.acknowledged || after.nominal()),
        _ => {}
    }
    Ok(())
}

/// What an `alarm` event shows; AU, quietly restarted, is the one exception that the Watcher makes.
fn shown(state: &AlarmState) -> AlarmState {
    AlarmState {
        do_escalate: false,
        timestamp_severity_newest: None,
        timestamp_auto_acknowledge: None,
        timestamp_auto_unacknowledge: None,
        timestamp_escalate: None,
        escalate_armed: false,
        ..state.clone()
    }
}

/// So many cases; failures that were found are kept beside this file.
pub(super) fn config_of(cases: u32) -> ProptestConfig {
    let kept = FileFailurePersistence::WithSource("proptest-regressions");
    ProptestConfig { cases, failure_persistence: Some(Box::new(kept)), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config_of(512))]

    #[test]
    fn invariants_hold_after_every_operation(config in config(), history in history()) {
        let mut alarm = Alarm::new(config);
        let mut now = 0.0;
        for (gap, op) in history {
            now += gap;
            let before = alarm.clone();
            let t = at(now);
            let outcome = match &op {
                Op::Severity(severity, reason) => Ok(alarm.set_severity(*severity, &format!("r{reason}"), t)),
                Op::Acknowledge(severity) => alarm.acknowledge(*severity, "eve", t),
                Op::Unacknowledge => Ok(alarm.unacknowledge(t)),
                Op::Mute(duration, severity) => alarm.mute(*duration, *severity, "joe", t),
                Op::Unmute => Ok(alarm.unmute(t)),
                Op::Incident(open) => Ok(alarm.set_escalated_id(if *open { "id" } else { "" })),
                Op::Fire => match alarm.fire(t) {
                    Some((_, outcome)) => Ok(outcome),
                    None => {
                        prop_assert!(before.next_deadline().is_none_or(|(due, _)| due > t));
                        prop_assert_eq!(&before, &alarm);
                        continue;
                    }
                },
                Op::Reset => {
                    alarm.reset();
                    check_invariants(&alarm)?;
                    prop_assert!(alarm.nominal() && alarm.next_deadline().is_none());
                    continue;
                }
                Op::Reconfigure(config) => {
                    alarm.reconfigure(config.clone());
                    check_invariants(&alarm)?;
                    continue;
                }
            };
            check_invariants(&alarm)?;
            check_step(&before, &op, &alarm, now)?;
            match outcome {
                Err(_) => prop_assert_eq!(&before, &alarm, "a refusal changes nothing"),
                Ok(outcome) if !outcome.publish => {
                    prop_assert_eq!(shown(before.state()), shown(alarm.state()), "{:?} was not published", op);
                }
                Ok(outcome) => prop_assert!(outcome.updated),
            }
        }
    }

    #[test]
    fn deadlines_fire_in_order_and_come_to_an_end(config in config(), history in history()) {
        let mut book = Book::new();
        book.ensure("A", "A", "r", &config);
        let mut now = 0.0;
        let operate = |book: &mut Book, op: &Op, now: f64| match op {
            Op::Severity(s, r) => drop(book.set_severity("A", Finding::new(*s, format!("r{r}")), at(now))),
            Op::Acknowledge(s) => drop(book.acknowledge("A", *s, "", at(now))),
            Op::Unacknowledge => drop(book.unacknowledge("A", at(now))),
            Op::Mute(d, s) => drop(book.mute("A", *d, *s, "joe", at(now))),
            Op::Unmute => drop(book.unmute("A", at(now))),
            _ => {}
        };
        for (gap, op) in &history {
            now += gap;
            let mut last = f64::NEG_INFINITY;
            while let Some(due) = book.next_deadline().filter(|due| *due <= at(now)) {
                prop_assert!(due.0 >= last);
                last = due.0;
                let fired = book.tick(due);
                prop_assert!(!fired.is_empty());
            }
            operate(&mut book, op, now);
            prop_assert_eq!(book.next_deadline(), book.alarm("A").unwrap().next_deadline().map(|(due, _)| due));
        }
        // Left alone, the alarm comes to rest.
        let mut rounds = 0;
        while let Some(due) = book.next_deadline() {
            book.tick(due);
            rounds += 1;
            prop_assert!(rounds < 10);
        }
        let state = book.alarm("A").unwrap().state();
        prop_assert!(state.acknowledged_by != AUTOMATIC || state.acknowledged);
    }

    #[test]
    fn a_restart_at_any_moment_changes_nothing(config in config(), history in history(), cut in 0..80usize) {
        let run = |restart: Option<usize>| {
            let mut book = Book::new();
            book.ensure("A", "A", "r", &config);
            book.ensure("B", "B", "r", &config);
            let mut journal = std::collections::BTreeMap::new();
            let mut published = Vec::new();
            let mut now = 0.0;
            for (i, (gap, op)) in history.iter().enumerate() {
                now += gap;
                let t = at(now);
                let name = if i % 2 == 0 { "A" } else { "B" };
                book.tick(t);
                match op {
                    Op::Severity(s, r) => drop(book.set_severity(name, Finding::new(*s, format!("r{r}")), t)),
                    Op::Acknowledge(s) => drop(book.acknowledge(".", *s, "eve", t)),
                    Op::Unacknowledge => drop(book.unacknowledge(name, t)),
                    Op::Mute(d, s) => drop(book.mute("[AB]", *d, *s, "joe", t)),
                    Op::Unmute => drop(book.unmute(name, t)),
                    _ => {}
                }
                for (name, record) in book.take_unsaved() {
                    let record = record.expect("nothing was removed");
                    journal.insert(name, serde_json::to_string(&record).expect("a record is JSON"));
                }
                published.append(&mut book.take_changed());
                if restart == Some(i) {
                    let mut restarted = Book::new();
                    let records = journal.iter().map(|(n, r)| (n.clone(), serde_json::from_str(r).expect("was written so")));
                    restarted.import(records);
                    restarted.ensure("A", "A", "r", &config);
                    restarted.ensure("B", "B", "r", &config);
                    drop(restarted.take_changed());
                    book = restarted;
                }
            }
            let mut shown = book.show();
            shown.sort_by(|a, b| a.alarm_name.cmp(&b.alarm_name));
            (published.iter().map(|s| format!("{s:?}")).collect::<std::collections::BTreeSet<_>>(), shown, book.counts())
        };
        prop_assert_eq!(run(None), run(Some(cut)));
    }

    #[test]
    fn counts_are_those_of_the_alarms(history in history()) {
        let mut book = Book::new();
        let names = ["A", "B", "C"];
        for (i, (_, op)) in history.iter().enumerate() {
            let (name, t) = (names[i % 3], at(i as f64));
            match op {
                Op::Severity(s, r) => {
                    book.ensure(name, name, "r", &AlarmConfig::default());
                    book.set_severity(name, Finding::new(*s, format!("r{r}")), t).unwrap();
                }
                Op::Acknowledge(s) => drop(book.acknowledge(name, *s, "eve", t)),
                Op::Unacknowledge => drop(book.unacknowledge(name, t)),
                Op::Reset => drop(book.remove(name)),
                _ => drop(book.tick(t)),
            }
            let shown = book.show();
            let of = |severity| shown.iter().filter(|s| s.severity == severity).count();
            prop_assert_eq!(book.counts(), Counts {
                warning: of(Severity::Warning),
                serious: of(Severity::Serious),
                critical: of(Severity::Critical),
                unacknowledged: shown.iter().filter(|s| !s.nominal() && !s.acknowledged).count(),
            });
        }
    }
}
