//! What a rule says about its alarm, apart from when it is raised.

use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::glob::Glob;
use super::severity::Severity;

/// Delays and options of one alarm. The default is the Watcher's: nothing happens by itself, nobody is called.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AlarmConfig {
    /// A stale alarm (its severity went back to none, nobody acknowledged it) is acknowledged after this. Zero: never.
    pub auto_acknowledge: Duration,
    /// An acknowledged alarm that lasts becomes unacknowledged again after this. Zero: never.
    pub auto_unacknowledge: Duration,
    /// Whom to call if a critical alarm is not acknowledged.
    pub escalate: Option<Escalate>,
    /// Lift a mute when the severity rises above the one that was muted. The Watcher's documents say so, the Watcher
    /// does not do it.
    pub lift_mute: bool,
    /// Start the escalation clock again when an alarm that had left critical comes back to it. The Watcher does not.
    pub rearm_escalation: bool,
    /// How long the severity lasts.
    pub latch: Latch,
    /// Alarms of other rules that may be the cause of this one: while one of them is active, nobody is told of this one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inhibit_by: Vec<Inhibit>,
    /// Most notices about the rule's alarms in a minute; 0 for no limit, `None` for the site's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notices_per_minute: Option<u32>,
}

/// What may be the cause of an alarm.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Inhibit {
    /// The alarms.
    pub alarms: Glob,
    /// From which severity on.
    pub from: Severity,
}

/// How long a severity lasts once it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Latch {
    /// As long as the rule says so: it follows the condition, as in the Watcher.
    #[default]
    Level,
    /// Until somebody acknowledges it, which ends it at once: for what happened once, such as a bad image, where no later
    /// good value takes anything back.
    OneShot,
}

/// Whom to call, and how long to wait for an acknowledgement first. Both are there, or there is no escalation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawEscalate")]
pub struct Escalate {
    responder: String,
    delay: Duration,
}

/// Escalation with only one of its two halves.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EscalateError {
    /// No responder.
    #[error("escalate: the responder is empty; name who is to be called, or leave escalation out")]
    NoResponder,
    /// No delay.
    #[error("escalate: the delay is zero; it must be longer than 0 s, or leave escalation out")]
    NoDelay,
}

#[derive(Deserialize)]
struct RawEscalate {
    responder: String,
    delay: Duration,
}

impl Escalate {
    /// Escalation to `responder` after `delay` without acknowledgement.
    ///
    /// # Errors
    /// If the responder is empty or the delay zero.
    pub fn new(responder: impl Into<String>, delay: Duration) -> Result<Escalate, EscalateError> {
        let responder = responder.into();
        if responder.is_empty() {
            return Err(EscalateError::NoResponder);
        }
        if delay.is_zero() {
            return Err(EscalateError::NoDelay);
        }
        Ok(Escalate { responder, delay })
    }

    /// Who or what is called, e.g. a team of the notification service.
    pub fn responder(&self) -> &str {
        &self.responder
    }

    /// How long a critical alarm may stay unacknowledged.
    pub fn delay(&self) -> Duration {
        self.delay
    }
}

impl TryFrom<RawEscalate> for Escalate {
    type Error = EscalateError;

    fn try_from(raw: RawEscalate) -> Result<Escalate, EscalateError> {
        Escalate::new(raw.responder, raw.delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escalation_needs_both_halves() {
        assert_eq!(Escalate::new("", Duration::from_secs(1)), Err(EscalateError::NoResponder));
        assert_eq!(Escalate::new("team", Duration::ZERO), Err(EscalateError::NoDelay));
        let half = serde_json::json!({"responder": "", "delay": {"secs": 1, "nanos": 0}});
        assert!(serde_json::from_value::<Escalate>(half).is_err());
    }
}
