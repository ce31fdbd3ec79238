//! Tests of the alarms: the Watcher's recorded behaviour, the mended defects, random operations, the book.

mod book;
mod defects;
mod golden;
mod health;
mod history;
mod latch;
mod levels;
mod operators;
mod properties;
mod storm;
mod tell;
mod windows;

use std::io::Read;
use std::path::Path;
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

/// A file of `tests/data`.
fn data(name: &str) -> String {
    text_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name))
}

/// The text of a file, which may be packed with gzip.
fn text_of(file: &Path) -> String {
    let bytes = std::fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let mut text = String::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(bytes).unwrap();
    }
    text
}
