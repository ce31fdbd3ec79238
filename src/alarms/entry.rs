//! What the book keeps of one alarm: the alarm, whose it is, what its rule said last; and the same as it is saved.

use std::sync::Arc;

use salobj::Tai;
use serde::{Deserialize, Serialize};

use super::alarm::{Alarm, AlarmState};
use super::config::AlarmConfig;
use super::severity::Severity;
use super::snapshot::AlarmSnapshot;
use super::storm::Hush;

/// What a rule found out about its alarm.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Why; ignored for severity none.
    pub reason: String,
    /// Run that found it, if a run did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
    /// Report of that run, if there is one already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report_url: Option<String>,
}

impl Finding {
    /// A finding that no run is behind.
    pub fn new(severity: Severity, reason: impl Into<String>) -> Finding {
        Finding { severity, reason: reason.into(), task_id: None, report_url: None }
    }

    pub(super) fn says_as(&self, other: &Finding) -> bool {
        self.severity == other.severity && (self.severity == Severity::None || self.reason == other.reason)
    }
}

/// One alarm as it is saved: enough to go on without its rule. Deadlines are absolute.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlarmRecord {
    /// Rule that owns the alarm.
    pub rule: String,
    /// Revision of that rule.
    pub revision: String,
    /// Delays and options.
    pub config: AlarmConfig,
    /// State.
    pub state: AlarmState,
    /// Last run that set the severity.
    #[serde(default)]
    pub task_id: String,
    /// Report of that run.
    #[serde(default)]
    pub report_url: String,
    /// Last finding that took effect.
    #[serde(default)]
    pub last: Option<Finding>,
    /// Finding that waits for the book to thaw.
    #[serde(default)]
    pub held: Option<Finding>,
    /// Worst severity that people were told of since it was last none.
    #[serde(default)]
    pub told: Severity,
    /// Incident that is being opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opening: Option<String>,
    /// Incident that may be open although opening it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubtful: Option<String>,
    /// What keeps people from being told.
    #[serde(default, skip_serializing_if = "Hush::is_nothing")]
    pub hush: Hush,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) name: Arc<str>,
    pub(super) alarm: Alarm,
    pub(super) rule: String,
    pub(super) revision: String,
    pub(super) task_id: String,
    pub(super) report_url: String,
    pub(super) last: Option<Finding>,
    pub(super) held: Option<Finding>,
    pub(super) told: Severity,
    pub(super) opening: Option<String>,
    pub(super) doubtful: Option<String>,
    pub(super) hush: Hush,
    /// Escalation has failed, and nobody was told of that yet.
    pub(super) not_escalated: bool,
}

impl Entry {
    pub(super) fn new(name: &str, rule: &str, revision: &str, config: &AlarmConfig) -> Entry {
        Entry {
            name: name.into(),
            alarm: Alarm::new(config.clone()),
            rule: rule.to_owned(),
            revision: revision.to_owned(),
            task_id: String::new(),
            report_url: String::new(),
            last: None,
            held: None,
            told: Severity::None,
            opening: None,
            doubtful: None,
            hush: Hush::default(),
            not_escalated: false,
        }
    }

    /// A finding, if it says something new. Gives whether to publish, and whether the alarm took it up.
    pub(super) fn take_up(&mut self, finding: Finding, now: Tai) -> (bool, bool) {
        let mut updated = false;
        let mut publish = false;
        if self.is_news(&finding) {
            let outcome = self.alarm.set_severity(finding.severity, &finding.reason, now);
            (updated, publish) = (outcome.updated, outcome.publish);
        }
        if let Some(task_id) = finding.task_id.as_ref().filter(|_| updated || !self.alarm.nominal()) {
            let report_url = finding.report_url.as_deref().unwrap_or_default();
            publish |= self.task_id != *task_id || self.report_url != report_url;
            task_id.clone_into(&mut self.task_id);
            report_url.clone_into(&mut self.report_url);
        }
        self.last = Some(finding);
        (publish, updated)
    }

    pub(super) fn snapshot(&self) -> AlarmSnapshot {
        let s = self.alarm.state();
        let stamp = |at: Option<Tai>| at.map_or(0.0, |at| at.0);
        AlarmSnapshot {
            alarm_name: self.name.to_string(),
            severity: s.severity,
            reason: s.reason.clone(),
            max_severity: s.max_severity,
            acknowledged: s.acknowledged,
            acknowledged_by: s.acknowledged_by.clone(),
            escalated_id: s.escalated_id.clone(),
            escalate_to: self.alarm.escalate_to().to_owned(),
            muted_severity: s.muted_severity,
            muted_by: s.muted_by.clone(),
            timestamp_severity_oldest: stamp(s.timestamp_severity_oldest),
            timestamp_severity_newest: 0.0,
            timestamp_max_severity: stamp(s.timestamp_max_severity),
            timestamp_acknowledged: stamp(s.timestamp_acknowledged),
            timestamp_auto_acknowledge: stamp(s.timestamp_auto_acknowledge),
            timestamp_auto_unacknowledge: stamp(s.timestamp_auto_unacknowledge),
            timestamp_escalate: stamp(s.timestamp_escalate),
            timestamp_unmute: stamp(s.timestamp_unmute),
            task_id: self.task_id.clone(),
            report_url: self.report_url.clone(),
            rule_revision: self.revision.clone(),
            inhibited_by: self.hush.inhibited_by.clone(),
            flapping: self.hush.flapping_since.is_some(),
        }
    }

    pub(super) fn record(&self) -> AlarmRecord {
        AlarmRecord {
            rule: self.rule.clone(),
            revision: self.revision.clone(),
            config: self.alarm.config().clone(),
            state: self.alarm.state().clone(),
            task_id: self.task_id.clone(),
            report_url: self.report_url.clone(),
            last: self.last.clone(),
            held: self.held.clone(),
            told: self.told,
            opening: self.opening.clone(),
            doubtful: self.doubtful.clone(),
            hush: self.hush.clone(),
        }
    }

    pub(super) fn from_record(name: &str, record: AlarmRecord) -> Entry {
        Entry {
            name: name.into(),
            alarm: Alarm::from_state(record.config, record.state),
            rule: record.rule,
            revision: record.revision,
            task_id: record.task_id,
            report_url: record.report_url,
            last: record.last,
            held: record.held,
            told: record.told,
            opening: record.opening,
            doubtful: record.doubtful,
            hush: record.hush,
            not_escalated: false,
        }
    }
}
