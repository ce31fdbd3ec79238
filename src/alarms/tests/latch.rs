//! Alarms of what happened once.

use std::time::Duration;

use super::{all_delays, at};
use crate::alarms::{AlarmConfig, Book, Finding, Latch, Severity, Timer};

fn config() -> AlarmConfig {
    AlarmConfig { latch: Latch::OneShot, ..all_delays() }
}

fn book(config: &AlarmConfig) -> Book {
    let mut book = Book::new();
    book.ensure("Image", "Image", "r", config);
    drop(book.take_changed());
    book
}

fn run(book: &mut Book, run: &str, severity: Severity, t: f64) {
    let finding = Finding { task_id: Some(run.into()), ..Finding::new(severity, "jitter") };
    book.set_severity("Image", finding, at(t)).unwrap();
}

fn shown(book: &Book) -> (Severity, Severity, bool) {
    let alarm = book.get("Image").unwrap();
    (alarm.severity, alarm.max_severity, alarm.acknowledged)
}

#[test]
fn a_good_image_does_not_take_a_bad_one_back() {
    use Severity::{None, Serious, Warning};
    let mut book = book(&config());
    run(&mut book, "run1", Serious, 0.0);
    run(&mut book, "run2", Warning, 1.0);
    assert_eq!(shown(&book), (Serious, Serious, false), "a lesser one does not lower it");
    run(&mut book, "run3", None, 2.0);
    assert_eq!(shown(&book), (Serious, Serious, false));
    book.acknowledge("Image", Serious, "eve", at(3.0)).unwrap();
    assert_eq!(shown(&book), (None, None, true), "acknowledged, it is over at once");
    run(&mut book, "run4", Serious, 4.0);
    assert_eq!(shown(&book), (Serious, Serious, false), "the next bad image of the same words is a new one");
}

#[test]
fn a_lasting_condition_is_one_shot_until_it_gets_worse_or_goes_and_comes_back() {
    use Severity::{None, Serious, Warning};
    let mut book = book(&config());
    let set = |book: &mut Book, severity, reason: &str, t: f64| {
        book.set_severity("Image", Finding::new(severity, reason), at(t)).unwrap();
    };
    set(&mut book, Warning, "12.0", 0.0);
    set(&mut book, Warning, "12.1", 1.0);
    assert_eq!(book.get("Image").unwrap().reason, "12.1");
    book.acknowledge("Image", Warning, "eve", at(2.0)).unwrap();
    set(&mut book, Warning, "12.2", 3.0);
    assert_eq!(shown(&book), (None, None, true), "it still lasts: no new shot");
    set(&mut book, Serious, "20", 4.0);
    assert_eq!(shown(&book), (Serious, Serious, false), "it got worse");
    book.acknowledge("Image", Serious, "eve", at(5.0)).unwrap();
    set(&mut book, None, "", 6.0);
    set(&mut book, Warning, "12.2", 7.0);
    assert_eq!(shown(&book), (Warning, Warning, false), "it came back");
}

#[test]
fn the_automatic_acknowledgement_counts_from_when_the_condition_was_gone() {
    let mut book = book(&config());
    run(&mut book, "run1", Severity::Critical, 0.0);
    assert_eq!(book.alarm("Image").unwrap().deadline(Timer::AutoAcknowledge), None);
    run(&mut book, "run2", Severity::None, 5.0);
    assert_eq!(book.alarm("Image").unwrap().deadline(Timer::AutoAcknowledge), Some(at(35.0)));
    assert_eq!(
        book.take_changed().last().unwrap().timestamp_auto_acknowledge,
        at(35.0).0,
        "which is published"
    );
    run(&mut book, "run3", Severity::Warning, 6.0);
    assert_eq!(book.alarm("Image").unwrap().deadline(Timer::AutoAcknowledge), None);
    run(&mut book, "run4", Severity::None, 7.0);
    let fired: Vec<Timer> = book.tick(at(37.0)).into_iter().map(|(_, timer)| timer).collect();
    assert_eq!(
        fired,
        [Timer::Escalate, Timer::AutoAcknowledge],
        "nobody looked at it: it was escalated first"
    );
    assert_eq!(shown(&book), (Severity::None, Severity::None, true));
}

#[test]
fn turned_into_a_level_alarm_it_follows_the_condition_again() {
    let mut book = book(&config());
    run(&mut book, "run1", Severity::Serious, 0.0);
    run(&mut book, "run2", Severity::None, 1.0);
    book.ensure("Image", "Image", "r2", &AlarmConfig { latch: Latch::Level, ..config() });
    assert_eq!(book.alarm("Image").unwrap().deadline(Timer::AutoAcknowledge), None);
    run(&mut book, "run3", Severity::None, 2.0);
    assert_eq!(shown(&book), (Severity::None, Severity::Serious, false), "stale");
    let none = AlarmConfig { auto_acknowledge: Duration::ZERO, ..config() };
    book.ensure("Image", "Image", "r3", &none);
    assert_eq!(book.alarm("Image").unwrap().deadline(Timer::AutoAcknowledge), None);
}
