//! Storms: what keeps people from being told of too much at once. Alerting is kept back (notices, escalation), never
//! monitoring: the alarm, its event and what operators may do with it are as ever.
//!
//! ```text
//!                     a cause is active: inhibited ─┐                    ┌─► the notice, now
//!  to be told ───────► a cause may come: a moment ──┼─► nothing          │
//!  (`tell.rs`)         the cause went: a moment ────┘   (looked at again)│ there is a token of
//!        │             changes all the time: flapping, told once ────────┤ the rule and of all
//!        └───────────────────────────────────────────────────────────────┤
//!                                                                        └─► waits; all that wait are one notice
//! ```
//!
//! * `causes`: which alarm is the cause of which ([`AlarmConfig::inhibit_by`](super::AlarmConfig))
//! * `flap`: alarms that change all the time
//! * `limits`: how many notices there may be in a minute
//! * `tree`: what hangs on what
//! * `step`: what is to be told of an alarm as it is
//! * `log`: what is not told, in sums
//! * `watch`: all of it, in the book
//!
//! Nothing is lost by it, because nothing is queued: what people were told of an alarm is part of its record, and what is to be
//! told follows from that and from the alarm as it is. Hence (property tests: `tests/storm.rs`):
//! * of everything that was told the end is told, once, in whatever way the alarm ended; only of a flapping alarm it waits until
//!   the alarm is calm
//! * an alarm that outlives its cause is told
//! * of alarms in which each would be the cause of the next one, one is told (no rules that are checked together do that)
//! * why something is not told is in the alarm's record, is counted, and is logged in sums

mod causes;
mod flap;
mod limits;
mod log;
mod step;
mod tree;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use salobj::Tai;
use serde::{Deserialize, Serialize};

use causes::Causes;
pub use flap::Flaps;
use limits::Limits;
pub use tree::Tree;

/// What a site says about storms. The default is that nothing is kept back but what rules inhibit.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StormConfig {
    /// Most notices in a minute, of all alarms; 0 for no limit.
    pub notices_per_minute: u32,
    /// Most notices in a minute of the alarms of one rule; 0 for no limit.
    pub notices_per_minute_of_rule: u32,
    /// An alarm flaps if its severity changes so often within `flap_window`; 0: none ever does.
    pub flap_changes: usize,
    /// See `flap_changes`.
    pub flap_window: Duration,
    /// It is calm again when its severity has not changed for so long.
    pub calm_after: Duration,
    /// How long an alarm that others may be the cause of waits for one to come up.
    pub wait_for_cause: Duration,
    /// How long an alarm that outlives its cause waits before it is told.
    pub settle_after_cause: Duration,
}

/// Why people are not told of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Its cause is active.
    Inhibited,
    /// Its cause may come up any moment.
    MayHaveCause,
    /// Its cause has just gone.
    CauseGone,
    /// It changes all the time.
    Flapping,
    /// There were too many notices; it will be in a sum.
    TooMany,
    /// An operator or a mute window muted it.
    Muted,
}

impl Why {
    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Why::Inhibited => "inhibited",
            Why::MayHaveCause => "it is waited for a cause",
            Why::CauseGone => "the cause has just gone",
            Why::Flapping => "flapping",
            Why::TooMany => "too many notices",
            Why::Muted => "muted",
        }
    }
}

/// That something is not told, and why.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct KeptBack {
    /// Why.
    pub why: Why,
    /// Since when.
    pub since: Tai,
}

/// A time in which nothing is told of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pause {
    /// How long.
    pub until: Tai,
    /// [`Why::MayHaveCause`] or [`Why::CauseGone`].
    pub why: Why,
}

/// What keeps people from being told of an alarm, as it is saved with it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Hush {
    /// Its cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inhibited_by: Option<Arc<str>>,
    /// A cause may come up, or what stays without its cause may go too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// When its severity changed lately.
    #[serde(skip_serializing_if = "Flaps::is_empty")]
    pub changes: Flaps,
    /// It flaps since then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flapping_since: Option<Tai>,
    /// That it flaps was told, and not yet that it does not any more.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub flapping_told: bool,
    /// What is not told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_back: Option<KeptBack>,
}

impl Hush {
    /// Nothing to save?
    pub fn is_nothing(&self) -> bool {
        *self == Hush::default()
    }

    /// Why neither a notice nor an escalation may go out; `None` if it may.
    pub(super) fn quiet(&self) -> Option<Why> {
        let inhibited = self.inhibited_by.as_ref().map(|_| Why::Inhibited);
        inhibited.or(self.pause.map(|pause| pause.why))
    }

    /// When there is something to do.
    pub(super) fn due(&self, config: &StormConfig) -> Option<Tai> {
        match (self.pause.map(|pause| pause.until), self.calm_at(config)) {
            (Some(a), Some(b)) => Some(if a <= b { a } else { b }),
            (a, b) => a.or(b),
        }
    }

    /// Does what is due; false if nothing was.
    pub(super) fn fire(&mut self, now: Tai, config: &StormConfig) -> bool {
        if self.pause.take_if(|pause| pause.until <= now).is_some() {
            return true;
        }
        let calm = self.calm_at(config).is_some_and(|at| at <= now);
        if calm {
            self.calm();
        }
        calm
    }
}

/// How often people were not told, by why, since the Catcher first ran; and how many notices were sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct KeptBackCounts {
    /// See [`Why::Inhibited`].
    pub inhibited: u64,
    /// See [`Why::MayHaveCause`].
    pub may_have_cause: u64,
    /// See [`Why::CauseGone`].
    pub cause_gone: u64,
    /// See [`Why::Flapping`].
    pub flapping: u64,
    /// See [`Why::TooMany`].
    pub too_many: u64,
    /// See [`Why::Muted`].
    pub muted: u64,
    /// Notices that went out.
    pub told: u64,
    /// Messages that they went out in.
    pub messages: u64,
}

impl KeptBackCounts {
    fn count(&mut self, why: Why) -> u64 {
        let n = match why {
            Why::Inhibited => &mut self.inhibited,
            Why::MayHaveCause => &mut self.may_have_cause,
            Why::CauseGone => &mut self.cause_gone,
            Why::Flapping => &mut self.flapping,
            Why::TooMany => &mut self.too_many,
            Why::Muted => &mut self.muted,
        };
        *n += 1;
        *n
    }
}

/// What a book keeps of storms beside its alarms, as it is saved: the journal's entry `storm`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StormRecord {
    limits: Limits,
    counts: KeptBackCounts,
}

pub(super) use watch::Storm;
