//! Notices and incidents: what is told, once, and what is closed again.

use proptest::prelude::*;

use super::{all_delays, at};
use crate::alarms::{
    AlarmConfig, Book, Finding, Incident, IncidentAnswer, IncidentCall, Notice, Severity, Told,
};

const OWNER: &str = "Catcher:1";

fn book(config: &AlarmConfig) -> Book {
    let mut book = Book::new();
    book.set_incident_owner(Some(OWNER.into()));
    book.ensure("A", "A", "r", config);
    book
}

fn set(book: &mut Book, severity: Severity, t: f64) {
    book.set_severity("A", Finding::new(severity, format!("{severity}")), at(t)).unwrap();
}

fn told(book: &mut Book) -> Vec<(Told, Severity)> {
    book.take_notices().into_iter().flat_map(|bundle| bundle.0).map(|n| (n.what, n.severity)).collect()
}

/// Critical at 0, escalated at 11: the call to open.
fn escalated(book: &mut Book) -> IncidentCall {
    set(book, Severity::Critical, 0.0);
    book.tick(at(11.0));
    one(book)
}

fn one(book: &mut Book) -> IncidentCall {
    let mut calls = book.take_incident_calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    calls.remove(0)
}

fn failed(doubtful: bool) -> IncidentAnswer {
    IncidentAnswer::NotOpened { text: "Failed: no".into(), doubtful }
}

/// The process ends and begins again with what was saved.
fn restarted(book: &Book, incidents: &[(String, Option<Incident>)]) -> Book {
    let mut new = Book::new();
    new.freeze();
    new.import(book.export());
    new.import_incidents(incidents.iter().filter_map(|(id, i)| Some((id.clone(), i.clone()?))));
    new.set_incident_owner(Some(OWNER.into()));
    new
}

#[test]
fn a_rise_is_told_once_and_its_end_too() {
    use Severity::{Critical, None, Serious, Warning};
    let mut book = book(&AlarmConfig::default());
    for (t, severity) in
        [Warning, Serious, Warning, Serious, None, None, Critical, Warning, None].iter().enumerate()
    {
        set(&mut book, *severity, t as f64);
    }
    let wanted = [
        (Told::Raised, Warning),
        (Told::Raised, Serious),
        (Told::Cleared, Serious),
        (Told::Raised, Critical),
        (Told::Cleared, Critical),
    ];
    assert_eq!(told(&mut book), wanted);
}

#[test]
fn a_mute_keeps_still_up_to_its_severity_and_never_keeps_back_an_end() {
    use Severity::{Critical, None, Serious, Warning};
    let mut book = book(&AlarmConfig::default());
    book.mute("A", 100.0, Serious, "joe", at(0.0)).unwrap();
    set(&mut book, Serious, 1.0);
    assert_eq!(told(&mut book), []);
    set(&mut book, Critical, 2.0);
    assert_eq!(told(&mut book), [(Told::Raised, Critical)], "above what is muted");
    set(&mut book, None, 3.0);
    assert_eq!(told(&mut book), [(Told::Cleared, Critical)]);
    set(&mut book, Warning, 4.0);
    book.tick(at(100.0));
    assert_eq!(told(&mut book), [(Told::Raised, Warning)], "told when the mute ends");
}

#[test]
fn what_was_acknowledged_or_told_is_not_told_again_after_a_disable_or_a_restart() {
    use Severity::{Serious, Warning};
    let mut book = book(&AlarmConfig::default());
    set(&mut book, Warning, 0.0);
    drop(told(&mut book));
    book.freeze();
    set(&mut book, Serious, 1.0);
    assert_eq!(told(&mut book), [], "frozen");
    let mut book = restarted(&book, &[]);
    book.thaw(at(2.0));
    assert_eq!(told(&mut book), [(Told::Raised, Serious)], "only what is new");
    book.freeze();
    book.thaw(at(3.0));
    assert_eq!(told(&mut book), []);
    assert!(book.remove("A").is_some());
    assert_eq!(told(&mut book), [(Told::Cleared, Serious)], "a removed alarm is over");
}

#[test]
fn an_incident_is_opened_shown_and_closed() {
    let mut book = book(&all_delays());
    let open = escalated(&mut book);
    assert_eq!((open.incident.alarm.as_str(), open.incident.responder.as_str()), ("A", "team"));
    assert_eq!((open.incident.description.as_str(), open.incident.closing), ("CRITICAL", false));
    let saved = book.take_unsaved_incidents();
    assert_eq!(saved, [(open.id.clone(), Some(open.incident.clone()))], "saved before the call is made");
    drop(book.take_changed());
    book.incident_answer(&open.id, IncidentAnswer::Opened);
    assert_eq!(book.take_changed()[0].escalated_id, open.id);
    assert_eq!(book.take_unsaved_incidents(), [(open.id.clone(), None)], "the alarm's record has it now");
    book.acknowledge("A", Severity::Critical, "eve", at(20.0)).unwrap();
    assert_eq!(book.take_changed()[0].escalated_id, "", "as the Watcher shows it");
    let close = one(&mut book);
    assert!(close.incident.closing && close.id == open.id);
    assert!(book.take_unsaved_incidents()[0].1.as_ref().unwrap().closing);
    book.incident_answer(&close.id, IncidentAnswer::Closed);
    assert_eq!(book.take_unsaved_incidents(), [(open.id, None)]);
}

/// Defect 4 of the Watcher.
#[test]
fn a_severity_change_while_it_is_being_opened_opens_no_second_one() {
    let mut book = book(&all_delays());
    let open = escalated(&mut book);
    set(&mut book, Severity::Warning, 12.0);
    set(&mut book, Severity::Critical, 13.0);
    set(&mut book, Severity::None, 14.0);
    assert_eq!(book.take_incident_calls(), []);
    book.incident_answer(&open.id, IncidentAnswer::Opened);
    assert_eq!(book.get("A").unwrap().escalated_id, open.id);
}

#[test]
fn one_that_nobody_wants_any_more_when_it_is_open_is_closed() {
    let mut book = book(&all_delays());
    let open = escalated(&mut book);
    book.acknowledge("A", Severity::Critical, "eve", at(12.0)).unwrap();
    assert_eq!(book.take_incident_calls(), [], "it is not known yet whether there is anything to close");
    book.incident_answer(&open.id, IncidentAnswer::Opened);
    assert_eq!(book.get("A").unwrap().escalated_id, "");
    let close = one(&mut book);
    assert!(close.incident.closing && close.id == open.id);
}

#[test]
fn a_failure_is_shown_told_and_not_tried_again_before_an_acknowledgement() {
    for doubtful in [false, true] {
        let mut book = book(&all_delays());
        let open = escalated(&mut book);
        drop(told(&mut book));
        book.incident_answer(&open.id, failed(doubtful));
        assert_eq!(book.get("A").unwrap().escalated_id, "Failed: no");
        assert_eq!(told(&mut book), [(Told::NotEscalated, Severity::Critical)]);
        set(&mut book, Severity::Warning, 12.0);
        book.call_again();
        assert_eq!(book.take_incident_calls(), []);
        book.acknowledge("A", Severity::Critical, "eve", at(13.0)).unwrap();
        assert_eq!(book.get("A").unwrap().escalated_id, "");
        let calls = book.take_incident_calls();
        assert_eq!(calls.len(), usize::from(doubtful), "it may be open all the same: it is closed");
        book.unacknowledge("A", at(14.0)).unwrap();
        book.tick(at(25.0));
        let next = one(&mut book);
        assert!(next.id != open.id, "another escalation is another incident");
    }
}

#[test]
fn after_a_restart_the_same_id_is_called_again_if_it_is_still_wanted() {
    let mut first = book(&all_delays());
    let open = escalated(&mut first);
    let incidents = first.take_unsaved_incidents();

    let mut book = restarted(&first, &incidents);
    book.call_again();
    assert_eq!(book.take_incident_calls(), [], "not before ENABLED");
    book.thaw(at(12.0));
    assert_eq!(one(&mut book), open);
    book.call_again();
    assert_eq!(book.take_incident_calls(), [], "it is on its way");
    book.incident_answer(&open.id, IncidentAnswer::NotTaken);
    book.call_again();
    assert_eq!(one(&mut book), open, "nobody took it up");

    first.acknowledge("A", Severity::Critical, "eve", at(12.0)).unwrap();
    let mut book = restarted(&first, &incidents);
    book.thaw(at(13.0));
    let close = one(&mut book);
    assert!(close.incident.closing && close.id == open.id, "it may have been opened before the crash");
}

#[test]
fn a_close_survives_a_restart_and_the_lack_of_a_service() {
    let mut first = book(&all_delays());
    let open = escalated(&mut first);
    first.incident_answer(&open.id, IncidentAnswer::Opened);
    drop(first.take_unsaved_incidents());
    first.set_incident_owner(None);
    assert!(first.remove("A").is_some());
    assert_eq!(first.take_incident_calls(), []);
    let incidents = first.take_unsaved_incidents();
    let mut book = restarted(&first, &incidents);
    book.call_again();
    let close = one(&mut book);
    assert!(close.incident.closing && close.id == open.id);
}

#[test]
fn without_a_service_nothing_is_opened_until_there_is_one() {
    let mut book = Book::new();
    book.ensure("A", "A", "r", &all_delays());
    set(&mut book, Severity::Critical, 0.0);
    book.tick(at(11.0));
    assert!(book.alarm("A").unwrap().state().do_escalate);
    assert_eq!(book.take_incident_calls(), []);
    book.freeze();
    book.set_incident_owner(Some(OWNER.into()));
    book.thaw(at(12.0));
    assert!(!one(&mut book).incident.closing);
}

#[test]
fn lines_for_people() {
    let notice = |what, reason: &str| Notice {
        alarm: "Wind".into(),
        what,
        severity: Severity::Critical,
        reason: reason.into(),
        report_url: String::new(),
        task_id: String::new(),
        at: None,
        inhibits: 0,
    };
    let line = |what, reason| notice(what, reason).line();
    assert_eq!(line(Told::Raised, "31 m/s\nnow"), "CRITICAL Wind: 31 m/s now");
    assert_eq!(line(Told::Cleared, "31 m/s"), "over: Wind (was CRITICAL)");
    assert_eq!(line(Told::NotEscalated, "Failed: no"), "CRITICAL Wind: nobody was called: Failed: no");
    assert_eq!(
        line(Told::Flapping, "31 m/s"),
        "CRITICAL Wind is flapping: 31 m/s; more when it is calm or worse"
    );
    let root = Notice { inhibits: 12, ..notice(Told::Raised, "31 m/s") };
    assert_eq!(root.line(), "CRITICAL Wind: 31 m/s; it inhibits 12 alarms");
}

#[derive(Debug, Clone)]
enum Op {
    Severity(Severity),
    Acknowledge,
    Unacknowledge,
    Mute,
    Answer(u8),
    Disable,
    Restart,
    Wait,
}

type Saved = std::collections::BTreeMap<String, Incident>;

fn save(book: &mut Book, journal: &mut Saved) {
    for (id, incident) in book.take_unsaved_incidents() {
        match incident {
            Some(incident) => drop(journal.insert(id, incident)),
            None => drop(journal.remove(&id)),
        }
    }
}

proptest! {
    #![proptest_config(super::properties::config_of(512))]

    /// Whatever happens, a crash included: an incident that may be open belongs to an alarm that wants it, or is being
    /// closed; no id is opened after it was closed; at most one is wanted at a time.
    #[test]
    fn no_incident_is_orphaned_or_opened_twice(ops in prop::collection::vec(op(), 1..60)) {
        let mut book = book(&all_delays());
        let mut journal = Saved::default();
        let mut open: std::collections::BTreeSet<String> = Default::default();
        let mut closed: std::collections::BTreeSet<String> = Default::default();
        let mut pending: Vec<IncidentCall> = Vec::new();
        for (n, op) in ops.iter().enumerate() {
            let t = at(n as f64 * 4.0);
            book.tick(t);
            match op {
                Op::Severity(severity) => drop(book.set_severity("A", Finding::new(*severity, ""), t)),
                Op::Acknowledge => drop(book.acknowledge("A", Severity::Critical, "eve", t)),
                Op::Unacknowledge => drop(book.unacknowledge("A", t)),
                Op::Mute => drop(book.mute("A", 20.0, Severity::Critical, "joe", t)),
                Op::Answer(how) if !pending.is_empty() => {
                    let call = pending.remove(0);
                    let answer = match (call.incident.closing, how % 4) {
                        (_, 3) => IncidentAnswer::NotTaken,
                        (true, _) => IncidentAnswer::Closed,
                        (false, 0) => IncidentAnswer::Opened,
                        (false, 1) => failed(false),
                        (false, _) => failed(true),
                    };
                    match (&answer, how % 8 < 4) {
                        (IncidentAnswer::Opened, _) | (IncidentAnswer::NotOpened { doubtful: true, .. }, true) => {
                            prop_assert!(!closed.contains(&call.id), "opened after it was closed");
                            open.insert(call.id.clone());
                        }
                        (IncidentAnswer::Closed, _) => {
                            open.remove(&call.id);
                            closed.insert(call.id.clone());
                        }
                        _ => {}
                    }
                    book.incident_answer(&call.id, answer);
                }
                Op::Disable => {
                    book.freeze();
                    book.thaw(t);
                }
                Op::Restart => {
                    // Alarms and incidents are saved in one append: both are there, or neither.
                    save(&mut book, &mut journal);
                    // What was on its way may have arrived.
                    for call in pending.drain(..).filter(|call| !call.incident.closing) {
                        open.insert(call.id);
                    }
                    let saved: Vec<_> = journal.iter().map(|(id, i)| (id.clone(), Some(i.clone()))).collect();
                    book = restarted(&book, &saved);
                    book.thaw(t);
                }
                Op::Answer(_) | Op::Wait => {}
            }
            book.call_again();
            save(&mut book, &mut journal);
            pending.extend(book.take_incident_calls());
            let record = book.export().remove("A").unwrap();
            let shown = &record.state.escalated_id;
            for id in &open {
                let known = shown == id || record.doubtful.as_ref() == Some(id) || journal.contains_key(id);
                prop_assert!(known, "{id} is open and nobody knows of it");
            }
            let opening = journal.values().filter(|i| !i.closing).count();
            prop_assert!(opening <= 1);
            prop_assert!(opening == 0 || shown.is_empty() || shown.starts_with("Failed"));
            if !record.state.do_escalate {
                prop_assert!(shown.is_empty());
            }
        }
    }
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => prop::sample::select(vec![Severity::None, Severity::Serious, Severity::Critical, Severity::Critical])
            .prop_map(Op::Severity),
        2 => Just(Op::Acknowledge),
        2 => Just(Op::Unacknowledge),
        1 => Just(Op::Mute),
        5 => any::<u8>().prop_map(Op::Answer),
        1 => Just(Op::Disable),
        1 => Just(Op::Restart),
        3 => Just(Op::Wait),
    ]
}
