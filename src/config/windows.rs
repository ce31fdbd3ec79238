//! Mute windows as a site writes them.

use salobj::Tai;
#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alarms::{MuteWindow, Repeat, Severity};

/// A time in which alarms are muted, e.g. for maintenance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MuteWindowConfig {
    /// Name of an alarm, else a regular expression that must match whole names.
    pub alarms: String,
    /// Begin, UTC, e.g. `2026-12-01T14:00:00`; of the first window, if it comes again.
    pub start: String,
    /// End, UTC.
    pub end: String,
    /// Up to which severity.
    #[serde(default = "critical")]
    pub severity: Severity,
    /// Who mutes, as the alarms show it.
    #[serde(default = "by")]
    pub by: String,
    /// Why.
    pub reason: String,
    /// Whether it comes again.
    #[serde(default)]
    pub repeat: Repeat,
}

fn critical() -> Severity {
    Severity::Critical
}

fn by() -> String {
    "configuration".to_owned()
}

impl MuteWindowConfig {
    /// The window.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn window(&self) -> Result<MuteWindow, Vec<String>> {
        let mut problems = Vec::new();
        let mut time = |key: &str, text: &str| {
            let time = Tai::from_utc_iso(text.trim().trim_end_matches('Z'));
            if time.is_none() {
                problems.push(format!("{key}: '{text}' is not a time such as 2026-12-01T14:00:00"));
            }
            time.unwrap_or_default()
        };
        let (start, end) = (time("start", &self.start), time("end", &self.end));
        if !problems.is_empty() {
            return Err(problems);
        }
        let window = MuteWindow {
            alarms: self.alarms.clone(),
            start,
            end,
            severity: self.severity,
            by: self.by.clone(),
            reason: self.reason.clone(),
            repeat: self.repeat,
        };
        window.check().map_err(|e| vec![e.to_string()])?;
        Ok(window)
    }
}
