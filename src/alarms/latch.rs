//! Alarms of what happened once: `latch: one_shot`.
//!
//! ```text
//!              a shot: another run's finding, or a       acknowledge, AA
//!  ┌─────────┐ severity above the last finding's ┌────────┐
//!  │ nominal │ ────────────────────────────────► │ active │ ──► nominal at once, whatever the rule says now
//!  └─────────┘                                   └────────┘
//!                              a lower severity, or none, lowers nothing; none arms AA
//! ```
//!
//! The Watcher has no such alarm: there a bad image is shown until the next good one, and no longer. All else (mute,
//! escalation, what operators may do) is as for any alarm.

use salobj::Tai;

use super::alarm::{Alarm, Outcome};
use super::config::Latch;
use super::entry::Entry;
use super::entry::Finding;
use super::severity::Severity;

impl Alarm {
    /// A finding below what a one-shot alarm shows: it stays as it is, but none arms AA and anything else disarms it.
    /// `None` if the ordinary rules apply.
    pub(super) fn hold_shot(&mut self, severity: Severity, now: Tai) -> Option<Outcome> {
        let one_shot = self.config.latch == Latch::OneShot;
        if !one_shot || self.state.acknowledged || severity >= self.state.severity {
            return None;
        }
        let before = self.state.timestamp_auto_acknowledge;
        if severity > Severity::None {
            self.state.timestamp_auto_acknowledge = None;
        } else if before.is_none() && !self.config.auto_acknowledge.is_zero() {
            self.state.timestamp_auto_acknowledge = Some(now + self.config.auto_acknowledge);
        }
        let changed = before != self.state.timestamp_auto_acknowledge;
        Some(Outcome { updated: changed, publish: changed })
    }

    /// The acknowledgement of a one-shot alarm ends what it shows.
    pub(super) fn end_shot(&mut self, now: Tai) {
        let s = &mut self.state;
        if self.config.latch == Latch::OneShot && !s.acknowledged && s.severity > Severity::None {
            s.severity = Severity::None;
            s.timestamp_severity_oldest = Some(now);
        }
    }
}

impl Entry {
    /// Does a finding say anything that the alarm has not taken up?
    pub(super) fn is_news(&self, finding: &Finding) -> bool {
        let Some(last) = &self.last else { return true };
        if self.alarm.config().latch == Latch::Level || finding.severity == Severity::None {
            return !last.says_as(finding);
        }
        let other_run = finding.task_id.is_some() && finding.task_id != last.task_id;
        let shot = other_run || finding.severity > last.severity;
        // What was acknowledged is over, though the condition may last and its reason change.
        shot || (!self.alarm.nominal() && !last.says_as(finding))
    }
}
