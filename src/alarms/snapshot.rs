//! An alarm as the world sees it.

use std::sync::Arc;

use salobj::Value;
use serde::{Deserialize, Serialize};

use super::severity::Severity;

/// All fields of the `alarm` event, in the event's order: the Watcher's, with `alarmName` in the place of its `name`,
/// then those of the Catcher. Serialized it has the event's field names. Times are TAI unix seconds; 0 is "not set".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlarmSnapshot {
    /// Name of the alarm, unique in this Catcher.
    pub alarm_name: String,
    /// Present severity, a number of `AlarmSeverity`.
    #[serde(with = "number")]
    pub severity: Severity,
    /// Why the severity is what it is, or was before it went to none.
    pub reason: String,
    /// Highest severity seen since the alarm was last nominal or acknowledged; at least `severity`.
    #[serde(with = "number")]
    pub max_severity: Severity,
    /// Whether the alarm is acknowledged.
    pub acknowledged: bool,
    /// Who acknowledged it; empty if nobody.
    pub acknowledged_by: String,
    /// Identifier of the incident opened at the notification service, "Failed: ..." if that failed, empty if none.
    pub escalated_id: String,
    /// Who is called if the alarm is escalated; empty if it never is.
    pub escalate_to: String,
    /// Severity up to which the alarm is muted; none if it is not muted.
    #[serde(with = "number")]
    pub muted_severity: Severity,
    /// Who muted it; empty if nobody.
    pub muted_by: String,
    /// When the severity last changed.
    pub timestamp_severity_oldest: f64,
    /// Always 0, as the Watcher sends it: filled in, every evaluation would be an event.
    pub timestamp_severity_newest: f64,
    /// When the highest severity was last set.
    pub timestamp_max_severity: f64,
    /// When the alarm was last acknowledged or unacknowledged.
    pub timestamp_acknowledged: f64,
    /// When it will be acknowledged automatically.
    pub timestamp_auto_acknowledge: f64,
    /// When it will be unacknowledged automatically.
    pub timestamp_auto_unacknowledge: f64,
    /// When it will be, or was, escalated.
    pub timestamp_escalate: f64,
    /// When the mute ends.
    pub timestamp_unmute: f64,
    /// Run whose result set the severity last; empty if none did.
    pub task_id: String,
    /// Report of that run; empty if there is none.
    pub report_url: String,
    /// Revision of the rule that owns the alarm.
    pub rule_revision: String,
    /// The alarm that is this one's cause, while there is one; no field of the event: it stands behind the reason there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inhibited_by: Option<Arc<str>>,
    /// It changes so often that people are not told of it; behind the reason of the event, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub flapping: bool,
}

/// What stands behind a reason.
const INHIBITED: &str = "[inhibited by ";
const FLAPPING: &str = "[flapping]";

impl AlarmSnapshot {
    /// Names and values for an event writer, in the event's order.
    pub fn fields(&self) -> Vec<(&'static str, Value)> {
        let text = |s: &str| Value::Text(s.into());
        let number = |s: Severity| Value::Int(i64::from(s));
        vec![
            ("alarmName", text(&self.alarm_name)),
            ("severity", number(self.severity)),
            ("reason", text(&self.shown_reason())),
            ("maxSeverity", number(self.max_severity)),
            ("acknowledged", Value::Bool(self.acknowledged)),
            ("acknowledgedBy", text(&self.acknowledged_by)),
            ("escalatedId", text(&self.escalated_id)),
            ("escalateTo", text(&self.escalate_to)),
            ("mutedSeverity", number(self.muted_severity)),
            ("mutedBy", text(&self.muted_by)),
            ("timestampSeverityOldest", Value::Double(self.timestamp_severity_oldest)),
            ("timestampSeverityNewest", Value::Double(self.timestamp_severity_newest)),
            ("timestampMaxSeverity", Value::Double(self.timestamp_max_severity)),
            ("timestampAcknowledged", Value::Double(self.timestamp_acknowledged)),
            ("timestampAutoAcknowledge", Value::Double(self.timestamp_auto_acknowledge)),
            ("timestampAutoUnacknowledge", Value::Double(self.timestamp_auto_unacknowledge)),
            ("timestampEscalate", Value::Double(self.timestamp_escalate)),
            ("timestampUnmute", Value::Double(self.timestamp_unmute)),
            ("taskId", text(&self.task_id)),
            ("reportUrl", text(&self.report_url)),
            ("ruleRevision", text(&self.rule_revision)),
        ]
    }

    /// The reason as the event shows it: with what keeps people from being told of the alarm.
    pub fn shown_reason(&self) -> String {
        let mut parts = vec![self.reason.clone()];
        if let Some(cause) = &self.inhibited_by {
            parts.push(format!("{INHIBITED}{cause}]"));
        }
        if self.flapping {
            parts.push(FLAPPING.to_owned());
        }
        parts.retain(|part| !part.is_empty());
        parts.join(" ")
    }

    /// The alarm that is the cause, out of a reason that an event has shown.
    pub fn cause_of(shown_reason: &str) -> Option<&str> {
        let text = shown_reason.strip_suffix(FLAPPING).unwrap_or(shown_reason).trim_end();
        let at = text.rfind(INHIBITED)?;
        text[at + INHIBITED.len()..].strip_suffix(']')
    }

    /// Severity and highest severity are both none: nothing to show.
    pub fn nominal(&self) -> bool {
        self.severity == Severity::None && self.max_severity == Severity::None
    }
}

/// A severity as its number.
mod number {
    use super::Severity;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(severity: &Severity, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_i64(i64::from(*severity))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Severity, D::Error> {
        Severity::try_from(i64::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}
