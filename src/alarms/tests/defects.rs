//! Accidents of the original (numbered as in the documentation of `alarm.rs`) that are not repeated, and the options.

use std::time::Duration;

use super::{all_delays, at};
use crate::alarms::{Alarm, AlarmConfig, Book, Finding, IncidentAnswer, Refusal, Severity, Timer};

/// 1: enabling forgot the alarm but not what the rule had said last, so that a lasting condition was never shown again.
#[test]
fn a_standing_alarm_outlives_disable_and_enable() {
    let mut book = Book::new();
    book.ensure("A", "A", "r", &all_delays());
    book.set_severity("A", Finding::new(Severity::Serious, "hot"), at(0.0)).unwrap();
    book.acknowledge("A", Severity::Serious, "eve", at(1.0)).unwrap();
    book.freeze();
    book.thaw(at(2.0));
    // The rules are evaluated again and say the same.
    book.set_severity("A", Finding::new(Severity::Serious, "hot"), at(2.0)).unwrap();
    let alarm = book.get("A").unwrap();
    assert_eq!(
        (alarm.severity, alarm.acknowledged, alarm.acknowledged_by.as_str()),
        (Severity::Serious, true, "eve")
    );
}

/// 1, second half: a rule's memory goes with its alarm, so that a new alarm of the same name shows the condition.
#[test]
fn a_removed_alarm_takes_the_memory_with_it() {
    let mut book = Book::new();
    for _ in 0..2 {
        book.ensure("A", "A", "r", &AlarmConfig::default());
        assert!(book.set_severity("A", Finding::new(Severity::Serious, "hot"), at(0.0)).unwrap());
        assert!(book.remove("A").is_some());
    }
}

/// 2: the automatic acknowledgement of an escalated alarm cancelled itself, was not published and left the incident open.
#[test]
fn automatic_acknowledgement_of_an_escalated_alarm_is_published() {
    let mut alarm = Alarm::new(all_delays());
    alarm.set_severity(Severity::Critical, "hot", at(0.0));
    assert_eq!(alarm.fire(at(11.0)).unwrap().0, Timer::Escalate);
    assert!(alarm.state().do_escalate);
    alarm.set_escalated_id("incident-1");
    assert_eq!(alarm.incident_to_close(), None);
    alarm.set_severity(Severity::None, "", at(12.0));
    let (timer, outcome) = alarm.fire(at(42.0)).unwrap();
    assert_eq!(timer, Timer::AutoAcknowledge);
    assert!(outcome.publish && alarm.nominal());
    assert_eq!(alarm.incident_to_close(), Some("incident-1"));
}

/// 3: none, severity, none at one instant left the automatic acknowledgement unarmed for ever.
#[test]
fn a_flicker_within_one_instant_arms_the_automatic_acknowledgement() {
    let mut alarm = Alarm::new(all_delays());
    alarm.set_severity(Severity::Warning, "hot", at(0.0));
    alarm.set_severity(Severity::None, "", at(1.0));
    alarm.set_severity(Severity::Warning, "hot", at(1.0));
    alarm.set_severity(Severity::None, "", at(1.0));
    assert_eq!(alarm.deadline(Timer::AutoAcknowledge), Some(at(31.0)));
}

/// 4: a severity change while the incident was being opened lost the incident's identifier and opened a second one.
#[test]
fn a_severity_change_does_not_disturb_an_escalation() {
    let mut alarm = Alarm::new(all_delays());
    alarm.set_severity(Severity::Critical, "hot", at(0.0));
    alarm.fire(at(11.0)).unwrap();
    // The request is on its way; the severity moves; the answer comes.
    alarm.set_severity(Severity::Warning, "less hot", at(12.0));
    alarm.set_severity(Severity::Critical, "hot", at(13.0));
    assert!(alarm.state().do_escalate);
    assert!(alarm.set_escalated_id("incident-1").publish);
    assert_eq!(alarm.state().escalated_id, "incident-1");
    assert_eq!(alarm.deadline(Timer::Escalate), None, "no second escalation is under way");
    alarm.acknowledge(Severity::Critical, "eve", at(14.0)).unwrap();
    assert_eq!(alarm.incident_to_close(), Some("incident-1"));
    assert!(alarm.set_escalated_id("").publish);
    assert_eq!(alarm.incident_to_close(), None);
}

/// 5: deadlines went on firing, silently, while the CSC was not enabled.
#[test]
fn nothing_fires_while_the_book_is_frozen() {
    let mut book = Book::new();
    book.ensure("A", "A", "r", &all_delays());
    book.set_severity("A", Finding::new(Severity::Critical, "hot"), at(0.0)).unwrap();
    assert_eq!(book.take_changed().len(), 2);
    book.freeze();
    assert_eq!(book.next_deadline(), None);
    assert!(book.tick(at(100.0)).is_empty());
    assert!(!book.alarm("A").unwrap().state().do_escalate);
    assert!(book.take_changed().is_empty());
    book.thaw(at(101.0));
    assert!(book.alarm("A").unwrap().state().do_escalate, "an overdue deadline fires at the next enable");
    assert_eq!(book.take_changed().len(), 1);
}

/// 6: a reset dropped the identifier of an open incident without closing it.
#[test]
fn a_reset_leaves_no_incident_open() {
    let mut alarm = Alarm::new(all_delays());
    alarm.set_severity(Severity::Critical, "hot", at(0.0));
    alarm.fire(at(11.0)).unwrap();
    alarm.set_escalated_id("incident-1");
    alarm.reset();
    assert!(alarm.nominal() && !alarm.state().do_escalate);
    assert_eq!(alarm.incident_to_close(), Some("incident-1"));

    let mut book = Book::new();
    book.ensure("A", "A", "r", &all_delays());
    book.set_incident_owner(Some("Catcher:1".into()));
    book.set_severity("A", Finding::new(Severity::Critical, "hot"), at(0.0)).unwrap();
    book.tick(at(11.0));
    let opening = book.take_incident_calls().remove(0);
    book.incident_answer(&opening.id, IncidentAnswer::Opened);
    assert_eq!(book.get("A").unwrap().escalated_id, opening.id);
    let removed = book.remove("A").unwrap();
    assert!(removed.snapshot.nominal() && removed.snapshot.escalated_id.is_empty());
    let closing = book.take_incident_calls().remove(0);
    assert!(closing.incident.closing && closing.id == opening.id);
}

/// As with the Watcher: what could not be opened is not closed, and no longer shown once nobody needs to be called.
#[test]
fn a_failed_escalation_is_forgotten_at_the_acknowledgement() {
    let mut alarm = Alarm::new(all_delays());
    alarm.set_severity(Severity::Critical, "hot", at(0.0));
    alarm.fire(at(11.0)).unwrap();
    assert!(alarm.set_escalated_id("Failed: Timed out waiting for SquadCast").publish);
    alarm.set_severity(Severity::Critical, "hotter", at(12.0));
    assert!(
        alarm.state().escalated_id.starts_with("Failed: "),
        "it is not tried again before an acknowledgement"
    );
    alarm.acknowledge(Severity::Critical, "eve", at(13.0)).unwrap();
    assert_eq!((alarm.state().escalated_id.as_str(), alarm.incident_to_close()), ("", None));
}

/// An endless or undefined mute was accepted, and a NaN upset the timers of all alarms.
#[test]
fn a_mute_without_end_is_refused() {
    for duration_s in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, -1.0] {
        let mut alarm = Alarm::new(all_delays());
        let refused = alarm.mute(duration_s, Severity::Critical, "joe", at(0.0));
        assert!(matches!(refused, Err(Refusal::Duration(_))), "{duration_s}");
        assert_eq!(alarm, Alarm::new(all_delays()));
    }
    assert!(Alarm::new(all_delays()).mute(f64::MIN_POSITIVE, Severity::Warning, "joe", at(0.0)).is_ok());
}

/// 7, an option: without it a mute stays whatever the severity.
#[test]
fn a_rising_severity_lifts_a_mute_only_if_asked() {
    for lift_mute in [false, true] {
        let mut alarm = Alarm::new(AlarmConfig { lift_mute, ..all_delays() });
        alarm.mute(100.0, Severity::Serious, "joe", at(0.0)).unwrap();
        alarm.set_severity(Severity::Serious, "hot", at(1.0));
        assert!(alarm.muted(), "the muted severity is not above itself");
        alarm.set_severity(Severity::Critical, "very hot", at(2.0));
        assert_eq!(alarm.muted(), !lift_mute);
        assert_eq!(alarm.deadline(Timer::Unmute).is_none(), lift_mute);
        assert_eq!(alarm.deadline(Timer::Escalate), Some(at(13.0)));
    }
}

/// An option: without it the escalation of an alarm that leaves critical and comes back is cancelled for good.
#[test]
fn coming_back_to_critical_escalates_only_if_asked() {
    for rearm_escalation in [false, true] {
        let mut alarm = Alarm::new(AlarmConfig { rearm_escalation, ..all_delays() });
        alarm.set_severity(Severity::Critical, "hot", at(0.0));
        alarm.set_severity(Severity::Serious, "less hot", at(1.0));
        assert_eq!(alarm.deadline(Timer::Escalate), None);
        alarm.set_severity(Severity::Critical, "hot", at(2.0));
        let again = rearm_escalation.then(|| at(13.0));
        assert_eq!(alarm.deadline(Timer::Escalate), again);
        alarm.set_severity(Severity::Critical, "hotter", at(3.0));
        assert_eq!(alarm.deadline(Timer::Escalate), again, "staying critical does not start the delay again");
    }
}

#[test]
fn other_delays_apply_from_now_on_and_gone_ones_disarm() {
    let mut alarm = Alarm::new(all_delays());
    alarm.set_severity(Severity::Critical, "hot", at(0.0));
    assert!(!alarm.reconfigure(AlarmConfig { auto_acknowledge: Duration::from_secs(1), ..all_delays() }));
    assert_eq!(alarm.deadline(Timer::Escalate), Some(at(11.0)));
    assert!(alarm.reconfigure(AlarmConfig::default()));
    assert_eq!(alarm.next_deadline(), None);
    assert_eq!(alarm.state().timestamp_escalate, None);
}
