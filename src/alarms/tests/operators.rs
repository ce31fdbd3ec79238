//! Commands: which alarms are meant, all or nothing, and what the operator is told.

use super::{all_delays, at};
use crate::alarms::{Book, Finding, Refused, Severity};

/// `OCPS:1` critical, `OCPS:101` warning, `Wind` nominal.
fn book() -> Book {
    let mut book = Book::new();
    for (name, severity) in
        [("OCPS:1", Severity::Critical), ("OCPS:101", Severity::Warning), ("Wind", Severity::None)]
    {
        book.ensure(name, "R", "r", &all_delays());
        book.set_severity(name, Finding::new(severity, "why"), at(0.0)).unwrap();
    }
    drop((book.take_changed(), book.take_unsaved()));
    book
}

fn touched(book: &mut Book) -> Vec<String> {
    book.take_changed().into_iter().map(|s| s.alarm_name).collect()
}

#[test]
fn a_name_means_itself_and_a_pattern_the_whole_name() {
    for (pattern, meant) in [
        ("OCPS:1", vec!["OCPS:1"]),
        ("OCPS:1.", vec![]),
        ("OCPS:1.*", vec!["OCPS:1", "OCPS:101"]),
        ("OCPS:1|Wind", vec!["OCPS:1", "Wind"]),
        ("OCPS", vec![]),
        (".*", vec!["OCPS:1", "OCPS:101", "Wind"]),
        ("wind", vec![]),
        ("", vec![]),
    ] {
        let names: Vec<_> = book().preview(pattern).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, meant, "{pattern}");
    }
    assert_eq!(book().preview("Wind").unwrap(), [("Wind".to_owned(), false)]);
    assert_eq!(book().preview("OCPS:1").unwrap(), [("OCPS:1".to_owned(), true)]);
}

#[test]
fn an_exact_name_is_not_read_as_a_pattern() {
    let mut book = book();
    book.ensure("A.C", "R", "r", &all_delays());
    book.ensure("ABC", "R", "r", &all_delays());
    book.ensure("A(", "R", "r", &all_delays());
    assert_eq!(book.preview("A.C").unwrap().len(), 1);
    assert_eq!(book.preview("A(").unwrap().len(), 1);
}

#[test]
fn a_bad_pattern_is_refused_with_the_reason() {
    for pattern in ["(", "Wind)|(OCPS", "[z-a]", "*"] {
        let mut book = book();
        let refused = book.unmute(pattern, at(1.0)).unwrap_err();
        assert!(matches!(refused, Refused::Pattern { .. }), "{pattern}");
        assert!(
            refused.to_string().starts_with(&format!("\"{pattern}\" is neither the name of an alarm nor"))
        );
        assert!(touched(&mut book).is_empty());
    }
}

#[test]
fn one_refusal_changes_nothing_and_is_named() {
    let mut book = book();
    let before = book.export();
    let refused = book.acknowledge(".*", Severity::Serious, "eve", at(1.0)).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "nothing was changed, because of OCPS:1 (severity SERIOUS is below the alarm's maxSeverity CRITICAL)"
    );
    assert_eq!(book.export(), before);
    assert!(touched(&mut book).is_empty() && book.take_unsaved().is_empty());
}

#[test]
fn harmless_cases_succeed_and_say_so() {
    let mut book = book();
    let text = book.acknowledge(".*", Severity::Critical, "eve", at(1.0)).unwrap();
    assert_eq!(text, "acknowledged: OCPS:1, OCPS:101; nothing to do for Wind (nominal)");
    assert_eq!(touched(&mut book), ["OCPS:1", "OCPS:101"]);
    let text = book.acknowledge("OCPS:1", Severity::Critical, "bob", at(2.0)).unwrap();
    assert_eq!(text, "nothing to do for OCPS:1 (already acknowledged; stays so for the whole time again)");
    assert_eq!(book.get("OCPS:1").unwrap().acknowledged_by, "eve");
    assert!(touched(&mut book).is_empty());
    let text = book.unacknowledge(".*", at(3.0)).unwrap();
    assert_eq!(text, "unacknowledged: OCPS:1, OCPS:101; nothing to do for Wind (nominal)");
    let text = book.unacknowledge("OCPS:1", at(3.0)).unwrap();
    assert_eq!(text, "nothing to do for OCPS:1 (not acknowledged)");
    let _ = touched(&mut book);
    for text in [
        book.acknowledge("Nobody", Severity::None, "eve", at(4.0)),
        book.unacknowledge("Nobody", at(4.0)),
        book.mute("Nobody", 1.0, Severity::Critical, "eve", at(4.0)),
        book.unmute("Nobody", at(4.0)),
    ] {
        assert_eq!(text.unwrap(), "no alarm matches \"Nobody\": nothing to do");
    }
    assert!(touched(&mut book).is_empty());
}

#[test]
fn mute_and_unmute_touch_every_alarm_meant() {
    let mut book = book();
    let text = book.mute("OCPS.*", 60.0, Severity::Critical, "joe", at(1.0)).unwrap();
    assert_eq!(text, "muted: OCPS:1, OCPS:101");
    assert_eq!(touched(&mut book), ["OCPS:1", "OCPS:101"]);
    assert_eq!(book.get("OCPS:1").unwrap().timestamp_unmute, at(61.0).0);
    let text = book.unmute(".*", at(2.0)).unwrap();
    assert_eq!(text, "unmuted: OCPS:1, OCPS:101; nothing to do for Wind (not muted)");
    assert_eq!(touched(&mut book), ["OCPS:1", "OCPS:101", "Wind"], "the Watcher publishes the last one too");
}

#[test]
fn impossible_mutes_are_refused() {
    for (duration_s, severity, part) in [
        (f64::NAN, Severity::Critical, "a mute of NaN s is not possible"),
        (f64::INFINITY, Severity::Critical, "a mute of inf s is not possible"),
        (0.0, Severity::Critical, "a mute of 0 s is not possible"),
        (1.0, Severity::None, "severity NONE cannot be muted"),
    ] {
        let mut book = book();
        let refused = book.mute(".*", duration_s, severity, "joe", at(1.0)).unwrap_err();
        assert!(refused.to_string().starts_with(part), "{refused}");
        assert!(touched(&mut book).is_empty());
    }
}

#[test]
fn outside_enabled_commands_are_refused() {
    let mut book = book();
    book.freeze();
    assert_eq!(book.acknowledge(".*", Severity::Critical, "eve", at(1.0)), Err(Refused::Frozen));
    assert_eq!(book.unmute("Nobody", at(1.0)), Err(Refused::Frozen));
    assert!(!book.get("OCPS:1").unwrap().acknowledged);
}

#[test]
fn an_acknowledgement_has_a_name() {
    let mut book = book();
    book.acknowledge("OCPS:1", Severity::Critical, "  ", at(1.0)).unwrap();
    book.mute("Wind", 1.0, Severity::Warning, "", at(1.0)).unwrap();
    assert_eq!(book.get("OCPS:1").unwrap().acknowledged_by, "unknown");
    assert_eq!(book.get("Wind").unwrap().muted_by, "unknown");
}
