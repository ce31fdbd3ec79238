//! Mute windows: maintenance that was announced, by the command `muteWindow` or in the site's configuration.
//!
//! ```text
//!   start ──► every alarm that is meant and not muted as far already is muted until the end
//!             (one that comes up meanwhile, too; one that an operator unmutes stays unmuted)
//!   end ────► those that the window muted, and nobody muted otherwise since, are unmuted; one that is active then is shown
//!             unacknowledged, so that nothing which came up during the maintenance is forgotten
//! ```
//!
//! A window that began while the CSC was not enabled begins with ENABLED, if it is not over by then. Windows and what they
//! muted are in the journal (`mute_window/<id>`): a restart neither mutes again what was unmuted, nor forgets an end.

use std::collections::{BTreeMap, BTreeSet};

use salobj::Tai;
#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::alarm::{Alarm, Outcome, Refusal};
use super::book::Book;
use super::history::Cause;
use super::operators::{Matcher, Refused};
use super::severity::Severity;

/// Most windows that there can be.
pub const MAX_WINDOWS: usize = 1000;

/// Whether a window comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Repeat {
    /// It does not.
    #[default]
    Once,
    /// Every day at the same time, UTC.
    Daily,
    /// Every week at the same time, UTC.
    Weekly,
}

/// What is muted, and when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MuteWindow {
    /// Name of an alarm, else a regular expression for whole names.
    pub alarms: String,
    /// Begin (the first, if it comes again).
    pub start: Tai,
    /// End.
    pub end: Tai,
    /// Up to which severity.
    pub severity: Severity,
    /// Who mutes; becomes `mutedBy`.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Whether it comes again.
    #[serde(default)]
    pub repeat: Repeat,
}

/// A window that makes no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum WindowError {
    /// Neither a name nor a regular expression.
    #[error(transparent)]
    Pattern(#[from] Refused),
    /// The times are no window.
    #[error("the window must end after it begins, and both must be times")]
    Times,
    /// It would begin again before it is over.
    #[error("the window is longer than the period in which it comes again")]
    Long,
    /// Severity none.
    #[error("severity NONE cannot be muted: give WARNING (2), SERIOUS (3) or CRITICAL (4)")]
    MuteNone,
    /// Nobody is named.
    #[error("who mutes is empty")]
    Nobody,
}

impl MuteWindow {
    /// Checks all that does not depend on the alarms there are.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), WindowError> {
        Matcher::new(&self.alarms)?;
        let length = self.end.0 - self.start.0;
        if !(self.start.0.is_finite() && self.end.0.is_finite() && length > 0.0) {
            return Err(WindowError::Times);
        }
        if self.period().is_some_and(|period| length >= period) {
            return Err(WindowError::Long);
        }
        if self.severity == Severity::None {
            return Err(WindowError::MuteNone);
        }
        if self.by.trim().is_empty() { Err(WindowError::Nobody) } else { Ok(()) }
    }

    /// The same window has the same id.
    pub fn id(&self) -> String {
        let text = serde_json::to_string(self).expect("a window is plain data");
        Sha256::digest(text.as_bytes()).iter().take(6).map(|b| format!("{b:02x}")).collect()
    }

    fn period(&self) -> Option<f64> {
        match self.repeat {
            Repeat::Once => None,
            Repeat::Daily => Some(86_400.0),
            Repeat::Weekly => Some(7.0 * 86_400.0),
        }
    }

    /// Begin and end of the occurrence that is now or comes next; `None` if there is none any more.
    pub fn occurrence(&self, now: Tai) -> Option<(Tai, Tai)> {
        let Some(period) = self.period() else {
            return (now < self.end).then_some((self.start, self.end));
        };
        let past = now.utc_unix() - self.end.utc_unix();
        let n = if past < 0.0 { 0.0 } else { (past / period).floor() + 1.0 };
        let later = |t: Tai| Tai::from_utc_unix(t.utc_unix() + n * period);
        Some((later(self.start), later(self.end)))
    }
}

/// A window as it is saved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WindowRecord {
    /// The window.
    pub window: MuteWindow,
    /// From the configuration, not from a command.
    pub configured: bool,
    /// It is under way, until then.
    #[serde(default)]
    pub until: Option<Tai>,
    /// Alarms that it has looked at since it began.
    #[serde(default)]
    pub seen: BTreeSet<String>,
}

/// The windows of a book.
#[derive(Debug, Default)]
pub(super) struct Windows {
    all: BTreeMap<String, WindowRecord>,
    unsaved: BTreeSet<String>,
    /// When there is something to do; `None` if never.
    due: Option<Tai>,
}

impl Windows {
    /// There may be something to do now.
    pub(super) fn look_again(&mut self) {
        if !self.all.is_empty() {
            self.due = Some(Tai(0.0));
        }
    }

    pub(super) fn due(&self) -> Option<Tai> {
        self.due
    }
}

impl Alarm {
    /// A mute that ends at exactly this time; the window was checked, and is not over.
    fn mute_until(&mut self, end: Tai, severity: Severity, by: &str, now: Tai) -> Result<Outcome, Refusal> {
        let outcome = self.mute(end - now, severity, by, now)?;
        self.state.timestamp_unmute = Some(end);
        Ok(outcome)
    }
}

impl Book {
    /// Adds a window by command. Gives the text for the command's result, with the alarms that it would mute now.
    ///
    /// # Errors
    /// The window makes no sense or is over, or there are too many.
    pub fn add_window(&mut self, window: MuteWindow, now: Tai) -> Result<String, String> {
        window.check().map_err(|e| e.to_string())?;
        if window.occurrence(now).is_none() {
            return Err("the window is over already".to_owned());
        }
        let touched = self.preview(&window.alarms).map_err(|e| e.to_string())?;
        let active = touched.iter().filter(|(_, active)| *active).count();
        let id = window.id();
        if !self.windows.all.contains_key(&id) && self.windows.all.len() >= MAX_WINDOWS {
            return Err(format!("there are {MAX_WINDOWS} mute windows already; take some back first"));
        }
        let text = format!(
            "mute window {id} from {} to {} UTC: {} alarms match now, {active} of them active",
            window.start.utc_iso(),
            window.end.utc_iso(),
            touched.len()
        );
        self.put_window(id, window, false);
        if !self.frozen() {
            self.tick_windows(now);
        }
        Ok(text)
    }

    /// Takes back the windows that commands gave for exactly this text; what they have muted is unmuted.
    pub fn drop_windows(&mut self, alarms: &str, now: Tai) -> String {
        let those = |w: &WindowRecord| !w.configured && w.window.alarms == alarms;
        let ids: Vec<String> =
            self.windows.all.iter().filter(|(_, w)| those(w)).map(|(id, _)| id.clone()).collect();
        for id in &ids {
            self.drop_window(id, now);
        }
        format!("{} mute windows for \"{alarms}\" taken back", ids.len())
    }

    /// `start`: the windows of the configuration. Those that are no longer there end now.
    pub fn configure_windows(&mut self, windows: &[MuteWindow], now: Tai) {
        let wanted: BTreeMap<String, &MuteWindow> = windows.iter().map(|w| (w.id(), w)).collect();
        let gone = |(id, w): &(&String, &WindowRecord)| w.configured && !wanted.contains_key(*id);
        let gone: Vec<String> = self.windows.all.iter().filter(gone).map(|(id, _)| id.clone()).collect();
        for id in gone {
            self.drop_window(&id, now);
        }
        for (id, window) in wanted {
            self.put_window(id, window.clone(), true);
        }
    }

    fn put_window(&mut self, id: String, window: MuteWindow, configured: bool) {
        if !self.windows.all.contains_key(&id) {
            let record = WindowRecord { window, configured, until: None, seen: BTreeSet::new() };
            self.windows.all.insert(id.clone(), record);
            self.windows.unsaved.insert(id);
        }
        self.windows.look_again();
    }

    fn drop_window(&mut self, id: &str, now: Tai) {
        if let Some(record) = self.windows.all.remove(id) {
            self.windows.unsaved.insert(id.to_owned());
            self.end_window(&record, now);
        }
    }

    /// Begins and ends windows whose time has come. Not while frozen.
    pub(super) fn tick_windows(&mut self, now: Tai) {
        if self.windows.due.is_none_or(|due| due > now) {
            return;
        }
        let mut due: Option<Tai> = None;
        for id in self.windows.all.keys().cloned().collect::<Vec<_>>() {
            let mut record = self.windows.all.remove(&id).expect("the ids are those of the windows");
            let before = record.clone();
            if record.until.is_some_and(|until| until <= now) {
                self.end_window(&record, now);
                (record.until, record.seen) = (None, BTreeSet::new());
            }
            let next = match record.window.occurrence(now) {
                None => {
                    self.windows.unsaved.insert(id);
                    continue;
                }
                Some((start, end)) if start <= now => {
                    record.until = Some(end);
                    self.mute_for_window(&mut record, end, now);
                    end
                }
                Some((start, _)) => start,
            };
            due = Some(due.map_or(next, |due| if next < due { next } else { due }));
            if record != before {
                self.windows.unsaved.insert(id.clone());
            }
            self.windows.all.insert(id, record);
        }
        self.windows.due = due;
    }

    fn mute_for_window(&mut self, record: &mut WindowRecord, end: Tai, now: Tai) {
        let window = &record.window;
        let Ok(ids) = self.matching(&window.alarms) else { return };
        self.chronicle.because(Cause::MuteWindow { by: window.by.clone() });
        for id in ids {
            if !record.seen.insert(self.entry(id).name.to_string()) {
                continue;
            }
            let s = self.entry(id).alarm.state();
            let muted =
                s.timestamp_unmute.is_some_and(|until| until >= end) && s.muted_severity >= window.severity;
            if !muted {
                self.change(id, |entry| {
                    let outcome = entry.alarm.mute_until(end, window.severity, &window.by, now);
                    (outcome.is_ok_and(|outcome| outcome.publish), ())
                });
            }
        }
    }

    fn end_window(&mut self, record: &WindowRecord, now: Tai) {
        let Some(until) = record.until else { return };
        self.chronicle.because(Cause::MuteWindow { by: record.window.by.clone() });
        for name in &record.seen {
            let Ok(id) = self.id(name) else { continue };
            let by = &record.window.by;
            let own = |alarm: &Alarm| {
                let s = alarm.state();
                s.timestamp_unmute == Some(until) && s.muted_by == *by
            };
            self.change(id, |entry| {
                if !own(&entry.alarm) {
                    return (false, ());
                }
                let mut publish = entry.alarm.unmute(now).publish;
                if entry.alarm.state().severity > Severity::None {
                    publish |= entry.alarm.unacknowledge(now).publish;
                }
                (publish, ())
            });
        }
    }

    /// All windows: those of the configuration and those of commands.
    pub fn windows(&self) -> impl Iterator<Item = (&str, &WindowRecord)> {
        self.windows.all.iter().map(|(id, w)| (id.as_str(), w))
    }

    /// Windows whose record changed, by id; no record means that there is none any more.
    #[must_use]
    pub fn take_unsaved_windows(&mut self) -> Vec<(String, Option<WindowRecord>)> {
        let ids = std::mem::take(&mut self.windows.unsaved);
        ids.into_iter().map(|id| (id.clone(), self.windows.all.get(&id).cloned())).collect()
    }

    /// Takes back what was saved.
    pub fn import_windows(&mut self, records: impl IntoIterator<Item = (String, WindowRecord)>) {
        self.windows.all.extend(records);
        self.windows.look_again();
    }
}
