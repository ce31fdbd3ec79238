//! One alarm: the state machine that operators know from the Watcher. Pure.
//!
//! ```text
//!                 severity > none                    acknowledge
//!   ┌─────────┐ ────────────────► ┌────────┐ ─────────────────────────► ┌──────────────┐
//!   │ nominal │                   │ active │ ◄───────────────────────── │ acknowledged │
//!   └─────────┘ ◄─┐               └────────┘  unacknowledge, AU, or     └──────────────┘
//!      ▲  ▲       │ acknowledge,   │      ▲   severity above the max       │
//!      │  │       │ AA         none│      │> none                          │ none
//!      │  │       │                ▼      │                                │
//!      │  │       └───────────── ┌─────────┐                               │
//!      │  │                      │  stale  │                               │
//!      │  │                      └─────────┘                               │
//!      │  └────────────────────────────────────────────────────────────────┘
//!    reset (from anywhere)
//! ```
//!
//! nominal: severity and max are none. active: severity above none, not acknowledged. stale: severity none, max above.
//! Muting is orthogonal: it changes none of the arrows, and no severity lifts it unless [`AlarmConfig::lift_mute`].
//! What is different for an alarm of [`AlarmConfig::latch`] `one_shot` says `latch.rs`.
//!
//! Four deadlines, absolute, so that they survive a restart: AA acknowledges a stale alarm, AU unacknowledges a lasting
//! one, ESC asks for escalation, UNMUTE ends a mute. Whoever owns the alarm calls [`Alarm::fire`] when one is due.
//!
//! Source: `Alarm` of ts_watcher 1.24, of which these accidents are not repeated:
//! 1. there is no reset on enable, so acknowledgements, mutes and standing alarms stay;
//! 2. an automatic acknowledgement is published also if the alarm was escalated;
//! 3. none, severity, none at one instant leaves AA armed;
//! 4. a severity change does not disturb an escalation: only acknowledgement, or none while acknowledged, takes the
//!    request back;
//! 5. the owner lets no deadline fire while the CSC is not enabled ([`super::Book::freeze`]);
//! 6. [`Alarm::reset`] keeps the identifier of an open incident until it was closed ([`Alarm::incident_to_close`]);
//!
//! and a mute of endless or undefined duration is refused.
//!
//! Invariants, after every operation (property tests: `tests/properties.rs`):
//! * `max_severity >= severity`
//! * acknowledged with severity none implies max none (the alarm is nominal)
//! * acknowledged implies that neither ESC nor AA is armed, and that no escalation is asked for
//! * `acknowledged_by` is empty unless acknowledged; `muted_by` is empty unless muted
//! * muted exactly if UNMUTE is armed
//! * a deadline's stamp is set exactly while it is armed, but for `timestamp_escalate`, which stays after ESC fired
//! * AA armed implies stale (or a one-shot alarm, not acknowledged); AU armed implies not nominal
//! * ESC armed, or escalation asked for, implies that escalation is configured and that max is critical
//! * a stamp of what happened is never in the future; an operation leaves it or sets it to now, and sets the one of what
//!   it changes; a deadline that it sets is a configured delay from now
//! * a mute changes nothing but the mute and ESC; a finding never lowers max unless it is acknowledged, and never
//!   acknowledges; no operator changes the severity or the reason (but the one who ends a one-shot alarm)
//! * a refused operation changes nothing; only an operation that publishes, or says so, changes what is published

use salobj::Tai;
use serde::{Deserialize, Serialize};

use super::config::{AlarmConfig, Escalate, Latch};
use super::severity::Severity;

/// Who acknowledged, if nobody did but time.
pub const AUTOMATIC: &str = "automatic";

/// How `escalated_id` begins if the incident could not be opened.
pub const FAILED: &str = "Failed";

/// One alarm without its name: what is configured, and its state.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Alarm {
    pub(super) config: AlarmConfig,
    pub(super) state: AlarmState,
}

/// Everything that changes in an alarm. Field names are the Watcher's; times are TAI, `None` is "not set".
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AlarmState {
    /// Present severity.
    pub severity: Severity,
    /// Highest severity since the alarm was nominal, or the severity that was acknowledged.
    pub max_severity: Severity,
    /// Why; kept when the severity goes to none.
    pub reason: String,
    /// Whether the alarm is acknowledged. A stale alarm that is acknowledged becomes nominal and keeps this set.
    pub acknowledged: bool,
    /// Who acknowledged.
    pub acknowledged_by: String,
    /// Escalation is asked for: ESC fired, and nobody acknowledged since.
    pub do_escalate: bool,
    /// Identifier of the incident at the notification service, or why it could not be opened.
    pub escalated_id: String,
    /// Severity that is muted; none if the alarm is not muted.
    pub muted_severity: Severity,
    /// Who muted.
    pub muted_by: String,
    /// When `severity` last changed.
    pub timestamp_severity_oldest: Option<Tai>,
    /// When `severity` was last set. Never published.
    pub timestamp_severity_newest: Option<Tai>,
    /// When `max_severity` was last set.
    pub timestamp_max_severity: Option<Tai>,
    /// When `acknowledged` last changed.
    pub timestamp_acknowledged: Option<Tai>,
    /// Deadline AA.
    pub timestamp_auto_acknowledge: Option<Tai>,
    /// Deadline AU.
    pub timestamp_auto_unacknowledge: Option<Tai>,
    /// Deadline ESC; stays after it fired.
    pub timestamp_escalate: Option<Tai>,
    /// Deadline UNMUTE.
    pub timestamp_unmute: Option<Tai>,
    /// Whether ESC is still to fire.
    pub escalate_armed: bool,
}

/// The four deadlines. Those due at the same instant fire in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Timer {
    /// AA: acknowledge a stale alarm.
    AutoAcknowledge,
    /// AU: unacknowledge a lasting alarm.
    AutoUnacknowledge,
    /// ESC: ask for escalation.
    Escalate,
    /// UNMUTE: end a mute.
    Unmute,
}

impl Timer {
    /// All four, in the order in which they fire if due at the same instant.
    pub const ALL: [Timer; 4] =
        [Timer::AutoAcknowledge, Timer::AutoUnacknowledge, Timer::Escalate, Timer::Unmute];
}

/// What an operation did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// The operation took effect (what the Watcher's methods return).
    pub updated: bool,
    /// The alarm is to be published.
    pub publish: bool,
}

impl Outcome {
    const NOTHING: Outcome = Outcome { updated: false, publish: false };
    const PUBLISH: Outcome = Outcome { updated: true, publish: true };
    const QUIET: Outcome = Outcome { updated: true, publish: false };
}

/// Why an operation was refused. Nothing changed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The alarm got worse than what the operator saw.
    #[error("severity {severity} is below the alarm's maxSeverity {max_severity}")]
    SeverityTooLow {
        /// Severity that the operator wants to acknowledge.
        severity: Severity,
        /// Severity that the alarm has reached.
        max_severity: Severity,
    },
    /// A mute needs a finite duration above zero.
    #[error("a mute of {0} s is not possible: the duration must be finite and above 0")]
    Duration(f64),
    /// A mute needs a severity.
    #[error("severity NONE cannot be muted: give WARNING (2), SERIOUS (3) or CRITICAL (4)")]
    MuteNone,
}

impl Alarm {
    /// A nominal alarm.
    pub fn new(config: AlarmConfig) -> Alarm {
        Alarm { config, state: AlarmState::default() }
    }

    /// An alarm as it was saved.
    pub fn from_state(config: AlarmConfig, state: AlarmState) -> Alarm {
        let mut alarm = Alarm { config: AlarmConfig::default(), state };
        alarm.reconfigure(config);
        alarm
    }

    /// What is configured.
    pub fn config(&self) -> &AlarmConfig {
        &self.config
    }

    /// The whole state.
    pub fn state(&self) -> &AlarmState {
        &self.state
    }

    /// Severity and highest severity are both none, whether acknowledged or muted or not.
    pub fn nominal(&self) -> bool {
        self.state.severity == Severity::None && self.state.max_severity == Severity::None
    }

    /// Is the alarm muted?
    pub fn muted(&self) -> bool {
        self.state.muted_severity != Severity::None
    }

    /// When `timer` fires; `None` if it is not armed.
    pub fn deadline(&self, timer: Timer) -> Option<Tai> {
        match timer {
            Timer::AutoAcknowledge => self.state.timestamp_auto_acknowledge,
            Timer::AutoUnacknowledge => self.state.timestamp_auto_unacknowledge,
            Timer::Escalate => self.state.timestamp_escalate.filter(|_| self.state.escalate_armed),
            Timer::Unmute => self.state.timestamp_unmute,
        }
    }

    /// The earliest deadline.
    pub fn next_deadline(&self) -> Option<(Tai, Timer)> {
        let armed = Timer::ALL.into_iter().filter_map(|timer| self.deadline(timer).map(|at| (at, timer)));
        armed.min_by(|(a, _), (b, _)| a.0.total_cmp(&b.0))
    }

    /// Identifier of an incident that is open at the notification service and no longer wanted there.
    pub fn incident_to_close(&self) -> Option<&str> {
        let open = !self.state.escalated_id.is_empty() && !self.state.do_escalate;
        open.then_some(self.state.escalated_id.as_str())
    }

    /// The rule's opinion. `reason` is ignored for severity none. Everything but "still nominal" publishes: repeated
    /// opinions are sorted out before, by [`super::Book::set_severity`].
    pub fn set_severity(&mut self, severity: Severity, reason: &str, now: Tai) -> Outcome {
        if severity == Severity::None && self.nominal() {
            return Outcome::NOTHING;
        }
        if let Some(outcome) = self.hold_shot(severity, now) {
            return outcome;
        }
        let before = self.state.severity;
        let s = &mut self.state;
        if severity != before {
            s.timestamp_severity_oldest = Some(now);
            s.severity = severity;
        }
        if severity != Severity::None && s.reason != reason {
            s.reason = reason.to_owned();
        }
        if severity != Severity::Critical && s.escalate_armed {
            self.cancel_escalate();
        }
        self.state.timestamp_severity_newest = Some(now);
        if severity == Severity::None {
            self.condition_gone(now);
        } else {
            self.condition_holds(severity, before, now);
        }
        Outcome::PUBLISH
    }

    fn condition_gone(&mut self, now: Tai) {
        let s = &mut self.state;
        if s.acknowledged {
            s.reason.clear();
            s.acknowledged = false;
            s.acknowledged_by.clear();
            s.max_severity = Severity::None;
            s.timestamp_acknowledged = Some(now);
            s.timestamp_max_severity = Some(now);
            s.timestamp_auto_acknowledge = None;
            s.timestamp_auto_unacknowledge = None;
            self.withdraw_escalation();
        } else if s.timestamp_auto_acknowledge.is_none() && !self.config.auto_acknowledge.is_zero() {
            s.timestamp_auto_acknowledge = Some(now + self.config.auto_acknowledge);
        }
    }

    fn condition_holds(&mut self, severity: Severity, before: Severity, now: Tai) {
        let s = &mut self.state;
        s.timestamp_auto_acknowledge = None;
        let higher = severity > s.max_severity;
        if higher {
            if s.acknowledged {
                s.acknowledged = false;
                s.acknowledged_by.clear();
                s.timestamp_acknowledged = Some(now);
            }
            s.max_severity = severity;
            s.timestamp_max_severity = Some(now);
        }
        let lifted = self.config.lift_mute && self.muted() && severity > self.state.muted_severity;
        if lifted {
            self.cancel_unmute();
        }
        let s = &self.state;
        let back = self.config.rearm_escalation && before != Severity::Critical;
        let wanted = higher || ((lifted || back) && !s.acknowledged && !s.do_escalate && !s.escalate_armed);
        if severity == Severity::Critical && wanted {
            self.arm_escalate(now);
        }
    }

    /// An operator has seen the alarm, at `severity` or below.
    ///
    /// # Errors
    /// If the alarm has been worse than `severity`; see also [`Alarm::check_acknowledge`].
    pub fn acknowledge(&mut self, severity: Severity, user: &str, now: Tai) -> Result<Outcome, Refusal> {
        self.check_acknowledge(severity)?;
        let s = &mut self.state;
        s.timestamp_auto_acknowledge = None;
        s.timestamp_auto_unacknowledge = None;
        self.withdraw_escalation();
        self.cancel_escalate();
        if self.nominal() {
            return Ok(Outcome::NOTHING);
        }
        self.end_shot(now);
        let lasts = self.state.severity != Severity::None;
        let rearm = (lasts && !self.config.auto_unacknowledge.is_zero())
            .then(|| now + self.config.auto_unacknowledge);
        let s = &mut self.state;
        s.timestamp_auto_unacknowledge = rearm;
        if s.acknowledged {
            return Ok(if rearm.is_some() { Outcome::QUIET } else { Outcome::NOTHING });
        }
        s.max_severity = if lasts { severity } else { Severity::None };
        s.acknowledged = true;
        user.clone_into(&mut s.acknowledged_by);
        s.timestamp_acknowledged = Some(now);
        s.timestamp_max_severity = Some(now);
        Ok(Outcome::PUBLISH)
    }

    /// Would [`Alarm::acknowledge`] be accepted?
    ///
    /// # Errors
    /// The refusal that it would give.
    pub fn check_acknowledge(&self, severity: Severity) -> Result<(), Refusal> {
        let max_severity = self.state.max_severity;
        if severity < max_severity {
            return Err(Refusal::SeverityTooLow { severity, max_severity });
        }
        Ok(())
    }

    /// Take an acknowledgement back; an alarm that was critical gets its whole escalation delay again.
    pub fn unacknowledge(&mut self, now: Tai) -> Outcome {
        self.unacknowledge_with(true, now)
    }

    fn unacknowledge_with(&mut self, escalate: bool, now: Tai) -> Outcome {
        self.state.timestamp_auto_unacknowledge = None;
        if self.nominal() || !self.state.acknowledged {
            return Outcome::NOTHING;
        }
        let s = &mut self.state;
        s.acknowledged = false;
        s.acknowledged_by.clear();
        s.timestamp_acknowledged = Some(now);
        if escalate && s.max_severity == Severity::Critical {
            self.arm_escalate(now);
        }
        Outcome::PUBLISH
    }

    /// Silence the alarm for `duration_s` seconds; replaces an earlier mute.
    ///
    /// # Errors
    /// See [`Alarm::check_mute`].
    pub fn mute(
        &mut self,
        duration_s: f64,
        severity: Severity,
        user: &str,
        now: Tai,
    ) -> Result<Outcome, Refusal> {
        Alarm::check_mute(duration_s, severity)?;
        self.cancel_escalate();
        let s = &mut self.state;
        user.clone_into(&mut s.muted_by);
        s.muted_severity = severity;
        s.timestamp_unmute = Some(Tai(now.0 + duration_s));
        Ok(Outcome::PUBLISH)
    }

    /// Would [`Alarm::mute`] be accepted? That depends on no alarm's state.
    ///
    /// # Errors
    /// If the duration is not finite and above zero, or the severity is none.
    pub fn check_mute(duration_s: f64, severity: Severity) -> Result<(), Refusal> {
        if !(duration_s.is_finite() && duration_s > 0.0) {
            return Err(Refusal::Duration(duration_s));
        }
        if severity == Severity::None {
            return Err(Refusal::MuteNone);
        }
        Ok(())
    }

    /// End a mute. An alarm that was critical and is not acknowledged gets its whole escalation delay, muted or not.
    pub fn unmute(&mut self, now: Tai) -> Outcome {
        self.cancel_unmute();
        if self.state.max_severity == Severity::Critical && !self.state.acknowledged {
            self.arm_escalate(now);
        }
        Outcome::PUBLISH
    }

    /// Back to the initial state, silently; mutes are lost too. Only the identifier of an open incident stays, until
    /// it was closed.
    pub fn reset(&mut self) {
        self.withdraw_escalation();
        let escalated_id = std::mem::take(&mut self.state.escalated_id);
        self.state = AlarmState { escalated_id, ..AlarmState::default() };
    }

    /// Lets the earliest deadline fire if it is due at `now`; to be called until it gives `None`. An overdue one acts as
    /// of `now`.
    pub fn fire(&mut self, now: Tai) -> Option<(Timer, Outcome)> {
        let (at, timer) = self.next_deadline()?;
        if at > now {
            return None;
        }
        let outcome = match timer {
            Timer::AutoAcknowledge => {
                let max_severity = self.state.max_severity;
                self.acknowledge(max_severity, AUTOMATIC, now).expect("maxSeverity is never below itself")
            }
            Timer::AutoUnacknowledge => self.unacknowledge_with(false, now),
            Timer::Escalate => {
                self.state.escalate_armed = false;
                self.state.do_escalate = true;
                Outcome::PUBLISH
            }
            Timer::Unmute => self.unmute(now),
        };
        Some((timer, outcome))
    }

    /// The notification service has an incident `id` for this alarm, "Failed: ..." if it could not open one, or none
    /// (empty) because it was closed.
    pub fn set_escalated_id(&mut self, id: &str) -> Outcome {
        if self.state.escalated_id == id {
            return Outcome::NOTHING;
        }
        id.clone_into(&mut self.state.escalated_id);
        Outcome::PUBLISH
    }

    /// Other delays. Deadlines that are armed stay as they are, unless their delay is gone; true if what is published
    /// changed.
    pub fn reconfigure(&mut self, config: AlarmConfig) -> bool {
        let before = (self.escalate_to().to_owned(), self.state.clone());
        self.config = config;
        let shot = self.config.latch == Latch::OneShot || self.state.severity == Severity::None;
        if self.config.auto_acknowledge.is_zero() || !shot {
            self.state.timestamp_auto_acknowledge = None;
        }
        if self.config.auto_unacknowledge.is_zero() {
            self.state.timestamp_auto_unacknowledge = None;
        }
        if self.config.escalate.is_none() {
            self.cancel_escalate();
            self.withdraw_escalation();
        }
        before.0 != self.escalate_to() || before.1 != self.state
    }

    /// Who is called; empty if nobody.
    pub fn escalate_to(&self) -> &str {
        self.config.escalate.as_ref().map_or("", Escalate::responder)
    }

    fn arm_escalate(&mut self, now: Tai) {
        if let Some(escalate) = &self.config.escalate {
            self.state.timestamp_escalate = Some(now + escalate.delay());
            self.state.escalate_armed = true;
        }
    }

    fn cancel_escalate(&mut self) {
        self.state.timestamp_escalate = None;
        self.state.escalate_armed = false;
    }

    /// Nobody needs to be called any more. An incident that could not be opened has no identifier to keep.
    fn withdraw_escalation(&mut self) {
        self.state.do_escalate = false;
        if self.state.escalated_id.starts_with(FAILED) {
            self.state.escalated_id.clear();
        }
    }

    fn cancel_unmute(&mut self) {
        self.state.muted_by.clear();
        self.state.muted_severity = Severity::None;
        self.state.timestamp_unmute = None;
    }
}
