//! What the tasks API of InfluxDB 2 says, as far as it is read.

use salobj::Tai;
use serde::Deserialize;

/// Tasks that are listed at a time.
pub(super) const PAGE: usize = 100;

#[derive(Debug, Deserialize)]
pub(super) struct Tasks {
    pub(super) tasks: Vec<Task>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Task {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) flux: String,
    /// `active`, `inactive`.
    pub(super) status: String,
    #[serde(default, rename = "latestCompleted")]
    pub(super) latest_completed: Option<String>,
    #[serde(default, rename = "createdAt")]
    pub(super) created_at: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Runs {
    pub(super) runs: Vec<Run>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Run {
    pub(super) id: String,
    /// `scheduled`, `started`, `success`, `failed`, `canceled`.
    pub(super) status: String,
    #[serde(default)]
    pub(super) scheduled_for: String,
    #[serde(default)]
    pub(super) started_at: Option<String>,
    #[serde(default)]
    pub(super) finished_at: Option<String>,
    #[serde(default)]
    log: Vec<Line>,
}

#[derive(Debug, Clone, Deserialize)]
struct Line {
    message: String,
}

impl Run {
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.status.as_str(), "success" | "failed" | "canceled")
    }

    /// What it says, without what every run says.
    pub(super) fn words(&self) -> String {
        let usual = |m: &str| m.starts_with("Started task from script") || m.starts_with("Completed(");
        let lines = self.log.iter().map(|line| line.message.as_str()).filter(|m| !usual(m));
        let text = lines.collect::<Vec<_>>().join("; ");
        if text.is_empty() { self.status.clone() } else { text }
    }
}

/// TAI seconds of a time of the server.
pub(super) fn tai(utc: &str) -> Option<f64> {
    Tai::from_utc_iso(utc).map(|at| at.0)
}

/// Whether an error that is called internal is one of the text: it says where.
pub(super) fn is_mistake(words: &str) -> bool {
    words.contains("loc ") || words.contains("invalid options")
}
