//! Telling people: receivers (Slack, a webhook, e-mail), the escalation service (SquadCast), the narrative log.
//!
//! ```text
//!  core ── Notice ──► route: which receivers ──► lane of each receiver: queue ─► message ─► retry, breaker ─► channel
//!       ── IncidentCall ──► squadcast: trigger, resolve ──► IncidentAnswer back to the core
//!  command makeLogEntry ──► narrative
//! ```
//!
//! Nothing here is waited for by the core. Every request has a time limit. What may go well later is tried again with
//! growing pauses ([`lane`]); after some failures in a row a receiver is left alone for a while ([`super::breaker`]); what waited
//! meanwhile goes out as one message. Secrets come from the environment or from files, and are in no log and no error.
//!
//! * [`config`]: what a site says; every mistake at once
//! * [`message`]: what a receiver gets to read
//! * [`http`], [`error`]: one request, and what can go wrong
//! * [`slack`], [`webhook`], [`email`]: the channels
//! * [`squadcast`], [`narrative`]: the two services that the Watcher uses, used in the same way

pub mod config;
pub mod email;
pub mod error;
pub mod http;
pub mod lane;
pub mod message;
pub mod narrative;
pub mod slack;
pub mod squadcast;
pub mod webhook;

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use regex::Regex;

use crate::alarms::{Notice, Severity, Told};

pub use config::{NotifyConfig, ReceiverConfig};
pub use error::SendError;
pub use lane::{Lane, LaneOptions, NotTold};
pub use message::Message;
pub use narrative::{LogEntry, Narrative};
pub use squadcast::SquadCast;

pub use super::secret::Lookup;

/// A way to people.
#[async_trait::async_trait]
pub trait Channel: Send + Sync + Debug {
    /// Sends one message. The caller sets the time limit and decides on repeats.
    async fn send(&self, message: &Message) -> Result<(), SendError>;

    /// True if [`Self::say`] can be used.
    fn takes_text(&self) -> bool {
        false
    }

    /// Sends a plain text that is about no alarm.
    async fn say(&self, _text: &str) -> Result<(), SendError> {
        Err(SendError::Unsendable("this channel takes messages about alarms only".to_owned()))
    }
}

/// Everything that a site configured for telling people, ready for use.
#[derive(Debug, Default)]
pub struct Notify {
    /// The escalation service, if there is one.
    pub escalation: Option<SquadCast>,
    /// The narrative log, if there is one.
    pub narrative: Option<Narrative>,
    /// The receivers.
    pub receivers: Vec<Arc<Receiver>>,
}

/// Somebody to be told, and of what.
#[derive(Debug)]
pub struct Receiver {
    /// Its name.
    pub name: String,
    /// Alarms by whole name.
    pub(super) alarms: Vec<Regex>,
    /// Least severity.
    pub(super) from: Severity,
    /// Whether it is told when an alarm is over.
    pub(super) cleared: bool,
    /// Time limit of one attempt.
    pub(super) timeout: Duration,
    /// How long it is tried.
    pub(super) give_up_after: Duration,
    /// The way.
    pub(super) channel: Arc<dyn Channel>,
}

impl Receiver {
    /// The way to it.
    pub fn channel(&self) -> &Arc<dyn Channel> {
        &self.channel
    }

    /// Is this notice for it?
    pub fn wants(&self, notice: &Notice) -> bool {
        let what = match notice.what {
            Told::Raised | Told::NotEscalated | Told::Flapping | Told::Calm => true,
            Told::Cleared => self.cleared,
        };
        what && notice.severity >= self.from && self.alarms.iter().any(|name| name.is_match(&notice.alarm))
    }
}

#[cfg(test)]
pub(crate) mod tests;
