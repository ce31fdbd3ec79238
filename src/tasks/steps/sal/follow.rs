//! What is known of one command that was sent, and when the step is over. Pure.
//!
//! ```text
//!  sent ─► CMD_ACK, CMD_INPROGRESS * (each adds its estimate to `ack_timeout`) ─► CMD_COMPLETE ─┬─► over
//!   │                                                                                            └─► event (may be there already) ─► over
//!   ├─ final acknowledgement that fails ──► failed; refused because of the summary state: may be tried again
//!   ├─ FAULT, or its process is another one ──► a moment for the acknowledgement, then outcome unknown
//!   └─ no acknowledgement in time, or no sign of life ──► outcome unknown
//! ```

use std::time::Duration;

use salobj::{AckCode, SummaryState, Tai};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::params::Awaited;
use crate::tasks::call::{ErrorClass, StepError, StepOutcome};
use crate::tasks::peers::{News, Told};

/// A CSC may estimate anything; a day at once is enough.
const LONGEST_ESTIMATE: f64 = 86_400.0;

/// How long things are waited for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Patience {
    /// Without any sign of life it counts as gone; `None` for a component without a heartbeat.
    pub(super) silent: Option<Duration>,
    /// For anything that may still come after FAULT or a new start.
    pub(super) after_state: Duration,
}

/// An acknowledgement.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ack {
    /// Code.
    pub(super) code: AckCode,
    /// Error code of the component.
    pub(super) error: i64,
    /// Text.
    pub(super) text: String,
    /// Of CMD_INPROGRESS: how long it will still take, seconds.
    pub(super) estimate: f64,
}

/// What of it has to survive a restart.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Known {
    /// Process that the command was sent to, 0 if that is not known.
    #[serde(default)]
    pub(super) origin: i64,
    /// When it was sent; the limit of the acknowledgement counts from there.
    #[serde(default)]
    pub(super) sent: Tai,
}

/// One command.
#[derive(Debug)]
pub(super) struct Errand {
    name: String,
    command: String,
    known: Known,
    then: Option<Awaited>,
    patience: Patience,
    ack_until: Option<Tai>,
    done: Option<Ack>,
    last: Option<Ack>,
    event: Option<Value>,
    event_until: Option<Tai>,
    heard_at: Tai,
    give_up: Option<(Tai, StepError)>,
}

type Over = Result<StepOutcome, StepError>;

impl Errand {
    /// Begins to follow a command that was just sent, or is adopted now.
    pub(super) fn new(
        name: &str,
        command: &str,
        known: Known,
        ack_timeout: Option<Duration>,
        then: Option<Awaited>,
        patience: Patience,
        now: Tai,
    ) -> Self {
        Self {
            name: name.to_owned(),
            command: command.to_owned(),
            ack_until: ack_timeout.map(|limit| known.sent + limit),
            known,
            then,
            patience,
            done: None,
            last: None,
            event: None,
            event_until: None,
            heard_at: now,
            give_up: None,
        }
    }

    /// When [`Self::time`] is wanted at the latest.
    pub(super) fn next_deadline(&self) -> Tai {
        let silent = self.patience.silent.map(|limit| self.heard_at + limit);
        let ack = self.ack_until.filter(|_| self.done.is_none());
        let give_up = self.give_up.as_ref().map(|(at, _)| *at);
        let all = [silent, ack, self.event_until, give_up];
        let first = all.into_iter().flatten().map(|t| t.0).fold(f64::INFINITY, f64::min);
        // A day is as good as never: the step's own limit comes first.
        Tai(first.min(self.heard_at.0 + LONGEST_ESTIMATE))
    }

    /// Takes an acknowledgement; the end, once it is known.
    pub(super) fn ack(&mut self, ack: Ack, now: Tai) -> Option<Over> {
        self.heard_at = now;
        self.last = Some(ack.clone());
        match ack.code {
            AckCode::Ack | AckCode::NoAck | AckCode::Other(_) => None,
            AckCode::InProgress => {
                if let Some(until) = &mut self.ack_until
                    && ack.estimate.is_finite()
                    && ack.estimate > 0.0
                {
                    *until = *until + Duration::from_secs_f64(ack.estimate.min(LONGEST_ESTIMATE));
                }
                None
            }
            AckCode::Complete => {
                self.done = Some(ack);
                self.event_until = self.then.as_ref().map(|then| now + then.timeout);
                self.over()
            }
            AckCode::Stalled | AckCode::NoPerm | AckCode::Failed | AckCode::Aborted | AckCode::Timeout => {
                Some(Err(self.refusal(&ack)))
            }
        }
    }

    /// Takes an event that was sent after the command, or counts all the same.
    pub(super) fn event(&mut self, news: &News) -> Option<Over> {
        let then = self.then.as_ref()?;
        if *news.event != *then.event {
            return None;
        }
        match then.judge(&news.values)? {
            true => {
                self.event = Some(then.shown(&news.values));
                self.over()
            }
            false => {
                let shown = then.shown(&news.values);
                let text = format!("{}: {} says that it went wrong: {shown}", self.name, then.event);
                self.event = Some(shown);
                Some(Err(StepError::permanent(text).with_result(self.result())))
            }
        }
    }

    /// Takes what else was heard.
    pub(super) fn told(&mut self, told: &Told, now: Tai) -> Option<Over> {
        self.heard_at = now;
        match told {
            Told::News(news) => return self.event(news),
            Told::Alive { origin } => {
                let before = std::mem::replace(&mut self.known.origin, *origin);
                if before != 0 && before != *origin {
                    self.settle(format!("{} was started anew {}", self.name, self.meanwhile()), now);
                }
            }
            // Other states may be what the command is for.
            Told::State { state: SummaryState::Fault, report } => {
                let report = if report.is_empty() { String::new() } else { format!(" ({report})") };
                self.settle(format!("{} went to FAULT{report} {}", self.name, self.meanwhile()), now);
            }
            Told::State { .. } => {}
        }
        None
    }

    /// Time has passed.
    pub(super) fn time(&self, now: Tai) -> Option<Over> {
        if let Some((at, error)) = &self.give_up
            && at.0 <= now.0
        {
            return Some(Err(error.clone()));
        }
        if let (Some(until), Some(then)) = (self.event_until, &self.then)
            && until.0 <= now.0
        {
            let text = format!(
                "{} of {} was done, but {} did not come as wanted within {} s",
                self.command,
                self.name,
                then.event,
                then.timeout.as_secs_f64()
            );
            return Some(Err(StepError::timed_out(text).with_result(self.result())));
        }
        if let Some(until) = self.ack_until.filter(|_| self.done.is_none())
            && until.0 <= now.0
        {
            let text = format!("{} did not acknowledge the end of {} in time", self.name, self.command);
            return Some(Err(self.unknown(text)));
        }
        if let Some(limit) = self.patience.silent
            && (self.heard_at + limit).0 <= now.0
        {
            let silent = now - self.heard_at;
            let text = format!("nothing was heard of {} for {silent:.0} s {}", self.name, self.meanwhile());
            return Some(Err(self.unknown(text)));
        }
        None
    }

    /// What to say when the step is stopped before the end.
    pub(super) fn so_far(&self) -> String {
        let (name, command) = (&self.name, &self.command);
        match (&self.done, &self.last) {
            (Some(_), _) => format!("{command} of {name} was done, its event had not come"),
            (None, Some(_)) => format!("{command} of {name} was under way, and goes on"),
            (None, None) => {
                format!("{name} never acknowledged {command}: it is not known whether it was carried out")
            }
        }
    }

    /// What is known of the result.
    pub(super) fn result(&self) -> Value {
        let ack = self.done.as_ref().or(self.last.as_ref());
        json!({
            "ack": ack.map(|a| a.code.name()),
            "result": ack.map(|a| &a.text),
            "error": ack.map(|a| a.error),
            "event": self.event,
        })
    }

    fn over(&self) -> Option<Over> {
        let event = self.then.is_none() || self.event.is_some();
        (self.done.is_some() && event)
            .then(|| Ok(StepOutcome { result: self.result(), ..StepOutcome::default() }))
    }

    fn refusal(&self, ack: &Ack) -> StepError {
        let what = format!("{} did not do {}: {} {}", self.name, self.command, ack.code.name(), ack.text);
        let class = match ack.code {
            AckCode::Aborted => ErrorClass::Aborted,
            AckCode::Failed if ack.text.to_ascii_lowercase().contains("not allowed in") => {
                ErrorClass::Transient
            }
            _ => ErrorClass::Permanent,
        };
        StepError::new(class, what).with_result(self.result())
    }

    fn meanwhile(&self) -> &'static str {
        if self.done.is_some() { "before its event came" } else { "before it acknowledged the end" }
    }

    /// Gives up a moment later, unless something better is heard; what was told first counts.
    fn settle(&mut self, text: String, now: Tai) {
        if self.give_up.is_none() {
            self.give_up = Some((now + self.patience.after_state, self.unknown(text)));
        }
    }

    fn unknown(&self, text: String) -> StepError {
        let seen = match (&self.event, &self.then) {
            (Some(_), Some(then)) if self.done.is_none() => format!("; {} came as wanted", then.event),
            _ => String::new(),
        };
        StepError::unknown(format!("{text}{seen}")).with_result(self.result())
    }
}
