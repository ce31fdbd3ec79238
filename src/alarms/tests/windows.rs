//! Mute windows: begin, end, restart, and what operators do meanwhile.

use super::{all_delays, at};
use crate::alarms::{Book, Finding, MuteWindow, Repeat, Severity, WindowRecord};

const DAY: f64 = 86_400.0;

fn window(from: f64, to: f64) -> MuteWindow {
    MuteWindow {
        alarms: "Dome\\..*".into(),
        start: at(from),
        end: at(to),
        severity: Severity::Serious,
        by: "maintenance".into(),
        reason: "the dome is greased".into(),
        repeat: Repeat::Once,
    }
}

fn book() -> Book {
    let mut book = Book::new();
    for name in ["Dome.Door", "Dome.Motor", "Wind"] {
        book.ensure(name, name, "r", &all_delays());
    }
    drop(book.take_changed());
    book
}

fn muted(book: &Book) -> Vec<String> {
    let shown = book.show().into_iter().filter(|a| a.muted_severity != Severity::None);
    shown.map(|a| format!("{} {}", a.alarm_name, a.muted_by)).collect()
}

fn set(book: &mut Book, name: &str, severity: Severity, t: f64) {
    book.set_severity(name, Finding::new(severity, "bad"), at(t)).unwrap();
}

#[test]
fn it_mutes_what_is_meant_from_its_begin_to_its_end() {
    let mut book = book();
    set(&mut book, "Dome.Door", Severity::Warning, 0.0);
    let said = book.add_window(window(10.0, 100.0), at(1.0)).unwrap();
    assert!(said.contains("2 alarms match now, 1 of them active"), "{said}");
    assert!(muted(&book).is_empty());
    assert_eq!(book.next_deadline(), Some(at(10.0)));
    book.tick(at(10.0));
    assert_eq!(muted(&book), ["Dome.Door maintenance", "Dome.Motor maintenance"]);
    assert_eq!(book.get("Dome.Door").unwrap().timestamp_unmute, at(100.0).0);
    book.tick(at(100.0));
    assert!(muted(&book).is_empty());
    assert_eq!(book.windows().count(), 0, "over and gone");
}

#[test]
fn what_is_active_at_its_end_is_shown_unacknowledged() {
    let mut book = book();
    book.add_window(window(0.0, 5.0), at(0.0)).unwrap();
    set(&mut book, "Dome.Door", Severity::Warning, 1.0);
    book.acknowledge("Dome.Door", Severity::Warning, "eve", at(2.0)).unwrap();
    drop(book.take_changed());
    book.tick(at(5.0));
    let alarm = book.take_changed().into_iter().rfind(|a| a.alarm_name == "Dome.Door").unwrap();
    assert_eq!((alarm.acknowledged, alarm.muted_severity), (false, Severity::None));
}

#[test]
fn operators_outrank_it() {
    let mut book = book();
    book.mute("Dome.Motor", 500.0, Severity::Critical, "joe", at(0.0)).unwrap();
    book.add_window(window(0.0, 100.0), at(1.0)).unwrap();
    assert_eq!(muted(&book), ["Dome.Door maintenance", "Dome.Motor joe"], "muted further already");
    book.unmute("Dome.Door", at(2.0)).unwrap();
    book.ensure("Dome.Light", "Dome.Light", "r", &all_delays());
    book.tick(at(3.0));
    assert_eq!(
        muted(&book),
        ["Dome.Motor joe", "Dome.Light maintenance"],
        "unmuted stays so, a new one is muted"
    );
    book.tick(at(100.0));
    assert_eq!(muted(&book), ["Dome.Motor joe"]);
}

#[test]
fn it_can_be_taken_back() {
    let mut book = book();
    book.add_window(window(0.0, 100.0), at(0.0)).unwrap();
    book.add_window(window(0.0, 100.0), at(0.0)).unwrap();
    assert_eq!(book.windows().count(), 1, "the same window");
    book.add_window(window(200.0, 300.0), at(0.0)).unwrap();
    assert!(book.drop_windows("Dome\\..*", at(1.0)).starts_with("2 "));
    assert!(muted(&book).is_empty());
    assert!(book.drop_windows("Dome\\..*", at(1.0)).starts_with("0 "));
}

#[test]
fn it_comes_again() {
    let mut book = book();
    let weekly = MuteWindow { repeat: Repeat::Weekly, ..window(10.0, 20.0) };
    book.configure_windows(std::slice::from_ref(&weekly), at(0.0));
    for week in [0.0, 1.0, 5.0] {
        let begin = week * 7.0 * DAY;
        book.tick(at(begin + 10.0));
        assert_eq!(muted(&book).len(), 2, "week {week}");
        book.tick(at(begin + 20.0));
        assert!(muted(&book).is_empty(), "week {week}");
    }
    assert_eq!(book.next_deadline(), Some(at(6.0 * 7.0 * DAY + 10.0)));
    book.configure_windows(&[], at(0.0));
    assert_eq!(book.windows().count(), 0, "no longer configured");
}

#[test]
fn it_survives_a_restart_and_a_disable() {
    let mut first = book();
    first.add_window(window(0.0, 100.0), at(0.0)).unwrap();
    first.unmute("Dome.Door", at(1.0)).unwrap();
    let saved: Vec<(String, WindowRecord)> = first
        .take_unsaved_windows()
        .into_iter()
        .map(|(id, record)| {
            (id, serde_json::from_value(serde_json::to_value(record.unwrap()).unwrap()).unwrap())
        })
        .collect();
    for (enabled_at, wanted) in [(50.0, vec!["Dome.Motor maintenance"]), (150.0, vec![])] {
        let mut book = Book::new();
        book.freeze();
        book.import(first.export());
        book.import_windows(saved.clone());
        assert_eq!(book.next_deadline(), None, "frozen");
        book.thaw(at(enabled_at));
        let mut names = muted(&book);
        names.sort();
        assert_eq!(names, wanted);
        assert_eq!(book.windows().count(), wanted.len());
    }
}

#[test]
fn one_that_makes_no_sense_is_refused() {
    let mut book = book();
    let refused = |book: &mut Book, window: MuteWindow| book.add_window(window, at(500.0)).unwrap_err();
    assert!(refused(&mut book, window(0.0, 100.0)).contains("over already"));
    assert!(refused(&mut book, window(600.0, 600.0)).contains("end after"));
    assert!(refused(&mut book, window(600.0, f64::NAN)).contains("end after"));
    assert!(
        refused(&mut book, MuteWindow { alarms: "(".into(), ..window(600.0, 700.0) })
            .contains("regular expression")
    );
    assert!(
        refused(&mut book, MuteWindow { severity: Severity::None, ..window(600.0, 700.0) }).contains("NONE")
    );
    assert!(refused(&mut book, MuteWindow { by: " ".into(), ..window(600.0, 700.0) }).contains("who"));
    let long = MuteWindow { repeat: Repeat::Daily, ..window(600.0, 600.0 + DAY) };
    assert!(refused(&mut book, long).contains("longer"));
    assert_eq!(book.windows().count(), 0);
}
