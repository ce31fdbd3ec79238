//! What people are told: notices, and several of them as one.

use std::cmp::Reverse;

use salobj::Tai;
use serde::{Deserialize, Serialize};

use super::severity::Severity;

/// Something to tell people.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// The alarm.
    pub alarm: String,
    /// What happened.
    pub what: Told,
    /// Raised, calm: the severity now. Cleared, flapping: the worst that was told. Not escalated: the worst since the alarm was
    /// nominal.
    pub severity: Severity,
    /// The alarm's reason; not escalated: why nobody could be called.
    pub reason: String,
    /// Report behind it; empty if none.
    pub report_url: String,
    /// Run behind it; empty if none.
    pub task_id: String,
    /// When the severity changed.
    pub at: Option<Tai>,
    /// How many alarms it inhibits.
    pub inhibits: usize,
}

/// What a notice is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// The severity rose.
    Raised,
    /// The severity went to none.
    Cleared,
    /// Escalation was due, and nobody could be called.
    NotEscalated,
    /// The severity changes all the time; nothing more is told until it is calm, unless it gets worse.
    Flapping,
    /// It does not flap any more, and lasts.
    Calm,
}

impl Notice {
    /// One line for people.
    pub fn line(&self) -> String {
        let Notice { alarm, severity, reason, .. } = self;
        let behind = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        let mut text = match self.what {
            Told::Raised => format!("{severity} {alarm}{behind}"),
            Told::Cleared => format!("over: {alarm} (was {severity})"),
            Told::NotEscalated => format!("{severity} {alarm}: nobody was called: {reason}"),
            Told::Flapping => {
                format!("{severity} {alarm} is flapping{behind}; more when it is calm or worse")
            }
            Told::Calm => format!("{severity} {alarm} lasts, it is not flapping any more{behind}"),
        };
        match (self.inhibits, self.what) {
            (0, _) => {}
            (n, Told::Cleared) => text.push_str(&format!("; {n} alarms that it inhibited go on")),
            (n, _) => text.push_str(&format!("; it inhibits {n} alarms")),
        }
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Importance as a Python logging level, for the `notification` event.
    pub fn level(&self) -> i64 {
        match (self.what, self.severity) {
            (Told::Cleared, _) => 20,
            (Told::NotEscalated, _) => 40,
            (_, Severity::None | Severity::Warning) => 30,
            _ => 40,
        }
    }

    fn weight(&self) -> (bool, Severity) {
        (self.what != Told::Cleared, self.severity)
    }
}

/// Notices that go out as one; there is at least one.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle(pub Vec<Notice>);

impl Bundle {
    /// The notice that counts most: the worst that is not an end, the first of those.
    pub fn worst(&self) -> Option<&Notice> {
        self.0.iter().rev().max_by_key(|notice| notice.weight())
    }

    /// One line: the worst, and how many more there are.
    pub fn summary(&self) -> String {
        let line = self.worst().map(Notice::line).unwrap_or_default();
        match self.0.len() {
            0 | 1 => line,
            all => format!("{line} and {} more", all - 1),
        }
    }

    /// A line for each notice, the worst first; behind `most` of them the number of the others.
    pub fn lines(&self, most: usize, line: impl Fn(&Notice) -> String) -> String {
        let mut sorted: Vec<&Notice> = self.0.iter().collect();
        sorted.sort_by_key(|notice| Reverse(notice.weight()));
        let mut lines: Vec<String> = sorted.iter().take(most).map(|notice| line(notice)).collect();
        let more = sorted.len().saturating_sub(most);
        if more > 0 {
            lines.push(format!("{more} more"));
        }
        lines.join("\n")
    }
}
