//! Durable state: a keyed log. The newest value of a key counts, no value deletes the key; the same shape as a compacted
//! Kafka topic.
//!
//! An effect is in the journal before it is carried out: [`Journal::append`] returns when the records are on disk, all
//! of them or none. Keys: `alarm/<name>`, `run/<id>`, `rule/<name>`, `command/<id>`, `engine/<rule>`, `positions`, `csc`,
//! `history`.
//!
//! * [`mod@file`]: a folder of this machine
//! * [`frame`]: how records lie in a file
//! * [`lock`]: one process for a folder
//! * [`history`]: what happened, one entry after the other, in the same folder; `history_read` reads it, also beside a
//!   running process

pub mod file;
pub mod frame;
pub mod history;
mod history_read;
pub mod lock;
#[cfg(test)]
mod tests;

use std::io;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use file::{FileJournal, OpenError, Recovered};
pub use history::{Entry, History, Keep};
pub use history_read::{HistoryRead, read_history};

/// One change: the key has this value now, or is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Which piece of state; see the module's documentation.
    pub key: String,
    /// The whole new value, which may be JSON's null; `None` deletes the key.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub value: Option<Value>,
}

/// A value that is there, null too.
fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

impl Record {
    /// The key has this value now.
    pub fn put(key: impl Into<String>, value: Value) -> Record {
        Record { key: key.into(), value: Some(value) }
    }

    /// The key is gone.
    pub fn delete(key: impl Into<String>) -> Record {
        Record { key: key.into(), value: None }
    }
}

/// Where durable state is kept.
pub trait Journal: Send {
    /// Writes all records, or none; when it returns, they survive a crash of the machine.
    ///
    /// # Errors
    /// If they could not be written or synced. The journal is as it was before, and the next call may succeed. (After
    /// a crash that follows a failed call, the records may nevertheless be there.)
    fn append(&mut self, records: &[Record]) -> io::Result<()>;
}
