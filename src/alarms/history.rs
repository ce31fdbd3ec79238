//! What happened to the alarms, one transition after the other, and what was behind each.
//!
//! ```text
//!  Book, every change of an alarm ──before, after──► differs? ──► AlarmTransition ──take_transitions──► core: number,
//!  who caused it (set before the change) ────────────────────────►                                      time, journal
//!  the rule's evidence ──testify──────────────────────────────────►
//! ```
//!
//! A transition is a change of what [`Standing`] shows: severity, highest severity, acknowledgement, mute, escalation, and
//! why people are not told of it. A changed reason alone, a deadline that is set, a report that has been written are none: a standing alarm whose reason
//! has a value in it would have one with every message.
//!
//! The transitions of one alarm are a chain: each begins as the one before has ended. They are numbered in the order in
//! which they happened, over all alarms and for the life of the journal.

use salobj::Tai;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::alarm::{AlarmState, FAILED, Timer};
use super::book::Book;
use super::entry::{Entry, Finding};
use super::severity::Severity;
use super::storm::{Hush, StormConfig, Why};

/// What of an alarm makes a transition when it changes.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Standing {
    /// Present severity.
    pub severity: Severity,
    /// Highest severity since the alarm was nominal, or the one that was acknowledged.
    pub max_severity: Severity,
    /// When the severity last changed. It follows from the rest, and alone makes no transition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Tai>,
    /// Whether it is acknowledged.
    #[serde(skip_serializing_if = "is_false")]
    pub acknowledged: bool,
    /// By whom.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub acknowledged_by: String,
    /// Up to which severity it is muted; none if it is not.
    #[serde(skip_serializing_if = "is_none")]
    pub muted_severity: Severity,
    /// By whom.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub muted_by: String,
    /// Until when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub muted_until: Option<Tai>,
    /// Escalation is asked for.
    #[serde(skip_serializing_if = "is_false")]
    pub escalating: bool,
    /// The incident, or why there is none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub escalated_id: String,
    /// Why people are not told of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_back: Option<Why>,
    /// The alarm that is its cause.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub inhibited_by: String,
    /// It changes all the time.
    #[serde(skip_serializing_if = "is_false")]
    pub flapping: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(value: &bool) -> bool {
    !value
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_none(severity: &Severity) -> bool {
    *severity == Severity::None
}

impl Standing {
    pub(super) fn of(state: &AlarmState, hush: &Hush) -> Standing {
        Standing {
            severity: state.severity,
            max_severity: state.max_severity,
            since: state.timestamp_severity_oldest,
            acknowledged: state.acknowledged,
            acknowledged_by: state.acknowledged_by.clone(),
            muted_severity: state.muted_severity,
            muted_by: state.muted_by.clone(),
            muted_until: state.timestamp_unmute,
            escalating: state.do_escalate,
            escalated_id: state.escalated_id.clone(),
            kept_back: hush.kept_back.map(|kept| kept.why),
            inhibited_by: hush.inhibited_by.as_deref().unwrap_or_default().to_owned(),
            flapping: hush.flapping_since.is_some(),
        }
    }

    /// Nothing that makes a transition differs.
    pub fn same(&self, other: &Standing) -> bool {
        let mut moved = self.clone();
        moved.since = other.since;
        moved == *other
    }

    /// The severity that people are to see: none while it is muted up to there, or kept back for its cause. (A notice that
    /// waits for its turn, or is left out because the alarm flaps, is about an alarm that they see.)
    pub fn seen(&self) -> Severity {
        let for_cause = [Why::Inhibited, Why::MayHaveCause, Why::CauseGone];
        let hidden = self.severity <= self.muted_severity
            || self.kept_back.is_some_and(|why| for_cause.contains(&why));
        if hidden { Severity::None } else { self.severity }
    }
}

/// The same as [`Standing::same`], without making one of either.
fn same(a: &Entry, b: &Entry) -> bool {
    let quiet = |e: &Entry| (e.hush.kept_back.map(|kept| kept.why), e.hush.flapping_since.is_some());
    if quiet(a) != quiet(b) || a.hush.inhibited_by != b.hush.inhibited_by {
        return false;
    }
    let (a, b) = (a.alarm.state(), b.alarm.state());
    a.severity == b.severity
        && a.max_severity == b.max_severity
        && a.acknowledged == b.acknowledged
        && a.acknowledged_by == b.acknowledged_by
        && a.muted_severity == b.muted_severity
        && a.muted_by == b.muted_by
        && a.timestamp_unmute == b.timestamp_unmute
        && a.do_escalate == b.do_escalate
        && a.escalated_id == b.escalated_id
}

/// What a transition did, in a word; one transition may do several things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Move {
    /// The severity rose from none.
    Raised,
    /// The severity rose further.
    Worse,
    /// The severity fell, not to none.
    Better,
    /// The severity fell to none.
    Cleared,
    /// It was acknowledged.
    Acknowledged,
    /// It is not acknowledged any more.
    Unacknowledged,
    /// It was muted, or muted otherwise.
    Muted,
    /// It is not muted any more.
    Unmuted,
    /// Escalation was asked for.
    Escalated,
    /// Nobody needs to be called any more.
    Deescalated,
    /// The escalation service has an incident.
    IncidentOpened,
    /// Nobody could be called.
    NotEscalated,
    /// The incident is to be closed.
    IncidentClosed,
    /// It has a cause, another alarm.
    Inhibited,
    /// It has no cause any more.
    Uninhibited,
    /// It changes all the time.
    Flapping,
    /// It does not flap any more.
    Calm,
    /// People are not told of it, for this reason.
    KeptBack,
    /// Nothing is kept back any more.
    Released,
    /// Nothing but the highest severity changed.
    Highest,
}

impl Move {
    /// The word for tables.
    pub fn word(self) -> &'static str {
        match self {
            Move::Raised => "raised",
            Move::Worse => "worse",
            Move::Better => "better",
            Move::Cleared => "cleared",
            Move::Acknowledged => "acknowledged",
            Move::Unacknowledged => "unacknowledged",
            Move::Muted => "muted",
            Move::Unmuted => "unmuted",
            Move::Escalated => "escalated",
            Move::Deescalated => "deescalated",
            Move::IncidentOpened => "incident opened",
            Move::NotEscalated => "nobody called",
            Move::IncidentClosed => "incident closed",
            Move::Inhibited => "inhibited",
            Move::Uninhibited => "uninhibited",
            Move::Flapping => "flapping",
            Move::Calm => "calm",
            Move::KeptBack => "kept back",
            Move::Released => "released",
            Move::Highest => "highest",
        }
    }

    /// What leads from one standing to another; empty only if they are the same.
    pub fn between(before: &Standing, after: &Standing) -> Vec<Move> {
        let mut moves = Vec::new();
        match (before.severity, after.severity) {
            (old, new) if old == new => {}
            (_, Severity::None) => moves.push(Move::Cleared),
            (Severity::None, _) => moves.push(Move::Raised),
            (old, new) => moves.push(if new > old { Move::Worse } else { Move::Better }),
        }
        let by = |s: &Standing| (s.acknowledged, s.acknowledged_by.clone());
        if by(before) != by(after) {
            moves.push(if after.acknowledged { Move::Acknowledged } else { Move::Unacknowledged });
        }
        let mute = |s: &Standing| (s.muted_severity, s.muted_by.clone(), s.muted_until);
        if mute(before) != mute(after) {
            let muted = after.muted_severity != Severity::None;
            moves.push(if muted { Move::Muted } else { Move::Unmuted });
        }
        if before.escalating != after.escalating {
            moves.push(if after.escalating { Move::Escalated } else { Move::Deescalated });
        }
        if before.escalated_id != after.escalated_id {
            moves.push(match after.escalated_id.as_str() {
                "" => Move::IncidentClosed,
                id if id.starts_with(FAILED) => Move::NotEscalated,
                _ => Move::IncidentOpened,
            });
        }
        if before.inhibited_by != after.inhibited_by {
            let cause = !after.inhibited_by.is_empty();
            moves.push(if cause { Move::Inhibited } else { Move::Uninhibited });
        }
        if before.flapping != after.flapping {
            moves.push(if after.flapping { Move::Flapping } else { Move::Calm });
        }
        if before.kept_back != after.kept_back {
            moves.push(if after.kept_back.is_some() { Move::KeptBack } else { Move::Released });
        }
        if moves.is_empty() && before.max_severity != after.max_severity {
            moves.push(Move::Highest);
        }
        moves
    }
}

/// Who or what caused a transition.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cause {
    /// The rule found something else.
    Finding {
        /// Run whose results said so; empty if none is behind it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        run_id: String,
    },
    /// Somebody gave a command.
    Command {
        /// Which, as the SAL interface has it.
        command: String,
        /// Who, as the command's own field says; empty for a command without.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        user: String,
        /// Who sent it, as the bus says (`private_identity`); empty if that is not known.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        identity: String,
    },
    /// A deadline of the alarm has come.
    Deadline {
        /// Which.
        timer: Timer,
    },
    /// A mute window began or ended.
    MuteWindow {
        /// Who mutes.
        by: String,
    },
    /// The escalation service has answered, or could not.
    Escalation,
    /// Another alarm, which is the cause of this one, or what keeps storms from people: a pause is over, a notice had its turn.
    Storm,
    /// The rule was changed or removed, or its key went.
    #[default]
    Rules,
}

impl Cause {
    pub(super) fn of(finding: &Finding) -> Cause {
        Cause::Finding { run_id: finding.task_id.clone().unwrap_or_default() }
    }

    /// Who, for tables.
    pub fn who(&self) -> String {
        match self {
            Cause::Finding { run_id } if run_id.is_empty() => "rule".to_owned(),
            Cause::Finding { run_id } => format!("run {run_id}"),
            Cause::Command { user, identity, .. } if user.is_empty() => identity.clone(),
            Cause::Command { user, .. } => user.clone(),
            Cause::Deadline { timer } => match timer {
                Timer::AutoAcknowledge => "time: automatic acknowledgement",
                Timer::AutoUnacknowledge => "time: acknowledged for too long",
                Timer::Escalate => "time: not acknowledged in time",
                Timer::Unmute => "time: end of the mute",
            }
            .to_owned(),
            Cause::MuteWindow { by } => format!("mute window of {by}"),
            Cause::Escalation => "escalation service".to_owned(),
            Cause::Storm => "storm".to_owned(),
            Cause::Rules => "change of the rule".to_owned(),
        }
    }
}

impl Entry {
    /// What a deadline that is due will be the cause of.
    pub(super) fn cause_of_deadline(&self, now: Tai, config: &StormConfig) -> Cause {
        if self.hush.due(config).is_some_and(|due| due <= now) {
            return Cause::Storm;
        }
        self.alarm.next_deadline().map_or(Cause::Storm, |(_, timer)| Cause::Deadline { timer })
    }
}

/// One transition of one alarm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlarmTransition {
    /// Its number, from 1; 0 until the core has given it one.
    pub id: u64,
    /// When, TAI s.
    pub at: Tai,
    /// Name of the alarm.
    pub alarm: String,
    /// Rule that owns it.
    pub rule: String,
    /// Revision of that rule.
    pub revision: String,
    /// What it did; never empty.
    pub moves: Vec<Move>,
    /// The alarm's reason after it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// How the alarm stood.
    pub before: Standing,
    /// How it stands.
    pub after: Standing,
    /// Who or what caused it.
    pub cause: Cause,
    /// What the rule knew when it said so: the values and ages of its inputs, the message that decided, its terms.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Json>,
}

impl AlarmTransition {
    /// People had to look: the severity that they are to see rose ([`Standing::seen`]).
    pub fn annunciates(&self) -> bool {
        self.after.seen() > self.before.seen()
    }
}

/// What the book keeps for this.
#[derive(Debug, Default)]
pub(super) struct Chronicle {
    cause: Cause,
    /// Who sent the command that is being carried out.
    identity: String,
    news: Vec<AlarmTransition>,
}

impl Chronicle {
    /// What is done next has this cause.
    pub(super) fn because(&mut self, cause: Cause) {
        self.cause = cause;
    }

    /// What is done next was asked for by a command.
    pub(super) fn commanded(&mut self, command: &str, user: &str) {
        let identity = self.identity.clone();
        self.because(Cause::Command { command: command.to_owned(), user: user.to_owned(), identity });
    }

    /// What follows for other alarms has this cause; gives the one before, for [`Chronicle::because`].
    pub(super) fn aside(&mut self, cause: Cause) -> Cause {
        std::mem::replace(&mut self.cause, cause)
    }

    /// An alarm was changed.
    pub(super) fn note(&mut self, before: &Entry, after: &Entry) {
        if same(before, after) {
            return;
        }
        let old = Standing::of(before.alarm.state(), &before.hush);
        let new = Standing::of(after.alarm.state(), &after.hush);
        self.news.push(AlarmTransition {
            id: 0,
            at: Tai::default(),
            alarm: after.name.to_string(),
            rule: after.rule.clone(),
            revision: after.revision.clone(),
            moves: Move::between(&old, &new),
            reason: after.alarm.state().reason.clone(),
            before: old,
            after: new,
            cause: self.cause.clone(),
            evidence: None,
        });
    }
}

impl Book {
    /// Who sent the command that is carried out next, as the bus says.
    pub fn set_identity(&mut self, identity: &str) {
        identity.clone_into(&mut self.chronicle.identity);
    }

    /// What was behind the last finding: added to the transition that it caused, if it caused one.
    pub fn testify(&mut self, alarm: &str, evidence: impl FnOnce() -> Json) {
        // What followed for other alarms comes behind it.
        if let Some(last) = self.chronicle.news.iter_mut().rev().find(|t| t.alarm == alarm)
            && last.evidence.is_none()
            && matches!(last.cause, Cause::Finding { .. })
        {
            last.evidence = Some(evidence());
        }
    }

    /// Every transition since the last call, in order, without number and time. The caller empties it after each
    /// operation.
    #[must_use]
    pub fn take_transitions(&mut self) -> Vec<AlarmTransition> {
        std::mem::take(&mut self.chronicle.news)
    }
}
