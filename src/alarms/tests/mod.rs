//! Tests of the alarms: the Watcher's recorded behaviour, the mended defects, random operations, the book.

mod book;
mod defects;
mod golden;
mod operators;
mod properties;

use std::time::Duration;

use salobj::Tai;

use super::{AlarmConfig, Escalate};

/// A time like those on the bus, `seconds` after the start of the test.
fn at(seconds: f64) -> Tai {
    Tai(1_900_000_000.0 + seconds)
}

/// Acknowledges after 30 s, unacknowledges after 7 s, calls "team" after 11 s.
fn all_delays() -> AlarmConfig {
    AlarmConfig {
        auto_acknowledge: Duration::from_secs(30),
        auto_unacknowledge: Duration::from_secs(7),
        escalate: Some(Escalate::new("team", Duration::from_secs(11)).unwrap()),
        ..AlarmConfig::default()
    }
}
