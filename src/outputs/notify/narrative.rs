//! The narrative log: one entry for an alarm, as the Watcher's `makeLogEntry` writes it.

use std::time::Duration;

use reqwest::{Client, Url};
use salobj::Tai;
use serde_json::{Value as Json, json};

use super::error::SendError;
use super::http;
use crate::alarms::Severity;

/// The log server.
#[derive(Debug)]
pub struct Narrative {
    pub(super) client: Client,
    pub(super) url: Url,
    pub(super) timeout: Duration,
}

/// What is logged of an alarm.
#[derive(Debug, Clone, PartialEq)]
pub struct LogEntry<'a> {
    /// Its name.
    pub alarm: &'a str,
    /// Its severity.
    pub severity: Severity,
    /// Its reason.
    pub reason: &'a str,
    /// `user@host` of this process.
    pub user_id: &'a str,
    /// Now.
    pub at: Tai,
}

impl LogEntry<'_> {
    /// The request's body. Levels are the Watcher's, also that of SERIOUS; times are TAI.
    fn body(&self) -> Json {
        let severity = i64::from(self.severity);
        let level = match self.severity {
            Severity::None => 10,
            Severity::Warning => 30,
            Severity::Serious => 20,
            Severity::Critical => 50,
        };
        json!({
            "message_text": format!("alarm:{} severity={severity} {}", self.alarm, self.reason),
            "level": level,
            "user_id": self.user_id,
            "user_agent": "Catcher",
            "is_human": false,
            "tags": ["catcher", "alarm", "make_log_entry"],
            "date_begin": self.at.tai_iso(),
            "date_end": self.at.tai_iso(),
        })
    }
}

impl Narrative {
    /// Time limit of one entry.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Adds one entry. It is sent once: an entry whose fate is unknown would else stand there twice.
    ///
    /// # Errors
    /// The server did not take it, or it is not known whether it did.
    pub async fn log(&self, entry: &LogEntry<'_>) -> Result<(), SendError> {
        let request = self.client.post(self.url.clone()).json(&entry.body());
        match tokio::time::timeout(self.timeout, http::send(request)).await {
            Ok(answer) => answer?.success(),
            Err(_) => Err(SendError::Timeout(self.timeout.as_secs_f64())),
        }
    }
}
