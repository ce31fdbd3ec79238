//! The book: what is published and saved, in which order, and what freezing and restoring do.

use serde_json::json;

use super::{all_delays, at};
use crate::alarms::{AlarmConfig, AlarmRecord, Book, Finding, Severity, Timer, UnknownAlarm};

fn book(names: &[&str]) -> Book {
    let mut book = Book::new();
    for name in names {
        book.ensure(name, name, "0123456789abcdef", &all_delays());
    }
    assert_eq!(book.take_changed().len(), names.len(), "a new alarm is published");
    book
}

fn set(book: &mut Book, name: &str, severity: Severity, reason: &str, t: f64) -> bool {
    book.set_severity(name, Finding::new(severity, reason), at(t)).unwrap()
}

fn changed(book: &mut Book) -> Vec<(String, Severity)> {
    book.take_changed().into_iter().map(|s| (s.alarm_name, s.severity)).collect()
}

#[test]
fn a_finding_is_published_once() {
    let mut book = book(&["A"]);
    assert!(!set(&mut book, "A", Severity::None, "", 0.0), "still nominal");
    assert!(set(&mut book, "A", Severity::Warning, "hot", 1.0));
    assert!(!set(&mut book, "A", Severity::Warning, "hot", 2.0), "nothing new");
    assert!(set(&mut book, "A", Severity::Warning, "hotter", 3.0), "another reason");
    assert!(set(&mut book, "A", Severity::None, "", 4.0));
    assert!(!set(&mut book, "A", Severity::None, "for another reason", 5.0), "the reason of none is no news");
    assert_eq!(
        changed(&mut book),
        [Severity::Warning, Severity::Warning, Severity::None].map(|s| ("A".to_owned(), s))
    );
    assert!(changed(&mut book).is_empty());
    assert_eq!(book.set_severity("B", Finding::default(), at(6.0)), Err(UnknownAlarm("B".to_owned())));
}

#[test]
fn the_event_has_its_fields_in_order() {
    let mut book = book(&["A"]);
    let finding = Finding { task_id: Some("run1".into()), ..Finding::new(Severity::Critical, "hot") };
    book.set_severity("A", finding, at(1.0)).unwrap();
    book.set_report("A", "run1", "http://reports/run1").unwrap();
    book.set_report("A", "run0", "http://reports/run0").unwrap();
    let published = book.take_changed();
    assert_eq!(published.len(), 2, "the alarm, and then its report");
    let last = &published[1];
    assert_eq!(
        serde_json::to_value(last).unwrap(),
        json!({
            "alarmName": "A", "severity": 4, "reason": "hot", "maxSeverity": 4,
            "acknowledged": false, "acknowledgedBy": "", "escalatedId": "", "escalateTo": "team",
            "mutedSeverity": 1, "mutedBy": "",
            "timestampSeverityOldest": at(1.0).0, "timestampSeverityNewest": 0.0, "timestampMaxSeverity": at(1.0).0,
            "timestampAcknowledged": 0.0, "timestampAutoAcknowledge": 0.0, "timestampAutoUnacknowledge": 0.0,
            "timestampEscalate": at(12.0).0, "timestampUnmute": 0.0,
            "taskId": "run1", "reportUrl": "http://reports/run1", "ruleRevision": "0123456789abcdef",
        })
    );
    let text = serde_json::to_string(last).unwrap();
    let fields = last.fields();
    assert_eq!(fields.len(), 21);
    let places: Vec<_> = fields.iter().map(|(name, _)| text.find(&format!("\"{name}\":")).unwrap()).collect();
    assert!(places.is_sorted(), "an event writer gets the fields in the same order");
    assert_eq!(serde_json::from_str::<crate::alarms::AlarmSnapshot>(&text).unwrap(), *last);
}

#[test]
fn a_new_run_with_the_same_finding_shows_its_own_links() {
    let mut book = book(&["A"]);
    for run in ["run1", "run2"] {
        let finding = Finding { task_id: Some(run.into()), ..Finding::new(Severity::Warning, "jitter") };
        book.set_severity("A", finding, at(0.0)).unwrap();
        assert_eq!(book.take_changed().last().unwrap().task_id, run);
    }
}

#[test]
fn deadlines_fire_in_the_order_of_their_times() {
    let mut book = book(&["A", "B", "C"]);
    for (name, t) in [("C", 1.0), ("A", 2.0), ("B", 3.0)] {
        set(&mut book, name, Severity::Critical, "hot", t);
    }
    assert_eq!(book.next_deadline(), Some(at(12.0)));
    assert!(book.tick(at(11.9)).is_empty());
    let fired = book.tick(at(100.0));
    assert_eq!(fired, ["C", "A", "B"].map(|name| (name.to_owned(), Timer::Escalate)));
    assert_eq!(book.next_deadline(), None);
}

#[test]
fn an_operation_is_saved_also_if_it_is_not_published() {
    let mut book = book(&["A"]);
    assert!(book.take_unsaved().is_empty(), "a nominal alarm needs no record: its rule makes it again");
    set(&mut book, "A", Severity::Warning, "hot", 0.0);
    book.acknowledge("A", Severity::Warning, "eve", at(1.0)).unwrap();
    assert_eq!(book.take_unsaved().len(), 1);
    drop(book.take_changed());
    // Acknowledged again: the deadline moves, silently as with the Watcher.
    book.acknowledge("A", Severity::Warning, "eve", at(2.0)).unwrap();
    assert!(book.take_changed().is_empty());
    let unsaved = book.take_unsaved();
    let record = unsaved[0].1.as_ref().unwrap();
    assert_eq!(record.state.timestamp_auto_unacknowledge, Some(at(9.0)));
    book.remove("A").unwrap();
    assert_eq!(book.take_unsaved(), [("A".to_owned(), None)]);
}

#[test]
fn a_saved_book_goes_on_where_it_stood() {
    let mut book = book(&["A", "B", "C"]);
    set(&mut book, "A", Severity::Critical, "hot", 0.1);
    set(&mut book, "B", Severity::Serious, "wet", 0.2);
    book.acknowledge("B", Severity::Critical, "eve", at(0.7)).unwrap();
    book.mute("C", 1.0 / 3.0, Severity::Warning, "joe", at(0.3)).unwrap();
    let text = serde_json::to_string(&book.export()).unwrap();
    let records: std::collections::BTreeMap<String, AlarmRecord> = serde_json::from_str(&text).unwrap();
    let mut restored = Book::new();
    restored.freeze();
    restored.import(records);
    for name in ["A", "B", "C"] {
        restored.ensure(name, name, "0123456789abcdef", &all_delays());
    }
    assert_eq!(restored.export(), book.export());
    assert_eq!((restored.counts(), restored.show()), (book.counts(), book.show()));
    assert!(restored.take_changed().is_empty() && restored.take_unsaved().is_empty());
    restored.thaw(at(0.65));
    book.tick(at(0.65));
    assert_eq!(restored.next_deadline(), book.next_deadline());
    assert_eq!(restored.export(), book.export());
    assert!(!set(&mut restored, "A", Severity::Critical, "hot", 0.8), "the rule's memory was saved too");
}

#[test]
fn a_finding_that_comes_while_frozen_is_held() {
    let mut book = book(&["A", "B"]);
    book.freeze();
    assert!(!set(&mut book, "A", Severity::Critical, "hot", 0.0));
    assert!(!set(&mut book, "A", Severity::Warning, "warm", 1.0));
    assert!(book.get("A").unwrap().nominal() && changed(&mut book).is_empty());
    let mut restored = Book::new();
    restored.import(book.export());
    restored.thaw(at(2.0));
    assert_eq!(changed(&mut restored), [("A".to_owned(), Severity::Warning)], "the newest counts");
    restored.thaw(at(3.0));
    assert!(changed(&mut restored).is_empty());
}

#[test]
fn removal_ends_with_a_nominal_event_frozen_or_not() {
    for frozen in [false, true] {
        let mut book = book(&["A"]);
        set(&mut book, "A", Severity::Critical, "hot", 0.0);
        book.mute("A", 5.0, Severity::Critical, "joe", at(1.0)).unwrap();
        drop(book.take_changed());
        if frozen {
            book.freeze();
        }
        let last = book.remove("A").unwrap().snapshot;
        assert!(last.nominal() && !last.acknowledged && last.muted_severity == Severity::None);
        assert_eq!((last.alarm_name.as_str(), last.reason.as_str()), ("A", ""));
        assert!(book.is_empty() && book.next_deadline().is_none() && book.take_changed().is_empty());
        assert_eq!(book.counts(), Default::default());
        assert_eq!(book.remove("A"), None);
    }
}

#[test]
fn a_new_revision_keeps_the_state_and_is_told() {
    let mut book = book(&["A"]);
    set(&mut book, "A", Severity::Warning, "hot", 0.0);
    drop(book.take_changed());
    book.ensure("A", "A", "0123456789abcdef", &all_delays());
    assert!(book.take_changed().is_empty(), "nothing is different");
    book.ensure("A", "A", "new", &AlarmConfig::default());
    let published = book.take_changed();
    assert_eq!((published.len(), published[0].rule_revision.as_str()), (1, "new"));
    assert_eq!((published[0].severity, published[0].escalate_to.as_str()), (Severity::Warning, ""));
    assert!(set(&mut book, "A", Severity::Warning, "hot", 1.0), "the new revision's first finding counts");
    assert_eq!(book.names_of("A"), ["A"]);
}

#[test]
fn thousands_of_alarms_are_no_trouble() {
    let mut book = Book::new();
    let names: Vec<String> = (0..5_000).map(|i| format!("Alarm.{i}")).collect();
    for name in &names {
        book.ensure(name, "R", "r", &all_delays());
        set(&mut book, name, Severity::Critical, "storm", 0.0);
    }
    assert_eq!(book.take_changed().len(), 10_000);
    assert_eq!(book.counts().critical, 5_000);
    assert_eq!(book.tick(at(11.0)).len(), 5_000);
    let text = book.acknowledge("Alarm.*", Severity::Critical, "eve", at(12.0)).unwrap();
    assert!(text.ends_with("and 4980 more") && text.len() < 1_000, "{text}");
    assert_eq!(book.counts().unacknowledged, 0);
    let order: Vec<String> = book.show().into_iter().map(|s| s.alarm_name).collect();
    assert_eq!(order, names, "in the order in which they were made");
}
