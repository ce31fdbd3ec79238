//! The line of steps before one backend: who goes next, and when.
//!
//! In the order of priority, then in that in which they came; as many at a time as the backend or the site says, and in a minute
//! as the site says. Steps for a peer (an instance, a service, a program: [`crate::tasks::steps::peer`]) that failed
//! [`BREAKER_AFTER`] times in a row wait while those for others go on; after [`BREAKER_PAUSE`] one of them shows whether it is back.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;

use super::{BREAKER_AFTER, BREAKER_PAUSE, RATE_SPAN};
use crate::outputs::breaker::Breaker;
use crate::tasks::call::StepCall;
use crate::tasks::steps::{self, Backend};

/// A step that waits for its backend.
pub(super) struct Waiting {
    pub(super) call: StepCall,
    /// `Some` for a step that goes on after a restart, with its memo.
    pub(super) resume: Option<Option<Value>>,
    /// Whom it is for.
    pub(super) peer: String,
}

impl Waiting {
    pub(super) fn new(call: StepCall, resume: Option<Option<Value>>) -> Waiting {
        let peer = steps::peer(&call);
        Waiting { call, resume, peer }
    }
}

/// The line before one backend.
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) place: Place,
    /// From the beginning, whatever the site configures.
    pub(super) fixed: bool,
    pub(super) limit: usize,
    pub(super) waiting: VecDeque<Waiting>,
    pub(super) running: usize,
    /// Most that are begun in [`RATE_SPAN`].
    pub(super) rate: Option<usize>,
    /// When the last ones began, as many as `rate`.
    begun: VecDeque<Instant>,
    /// Of the peers whose last step failed in a way that may pass.
    breakers: HashMap<String, Breaker>,
    /// Peers that were left alone and are being tried.
    tried: HashSet<String>,
}

/// Whether there is a backend at the end of the line.
pub(super) enum Place {
    /// Nobody has configured anything yet.
    NotYet,
    /// The site does not have it.
    Missing,
    /// There it is.
    Ready(Arc<dyn Backend>),
}

impl Line {
    pub(super) fn new(name: &'static str, place: Place) -> Line {
        Line {
            name,
            place,
            fixed: false,
            limit: 0,
            waiting: VecDeque::new(),
            running: 0,
            rate: None,
            begun: VecDeque::new(),
            breakers: HashMap::new(),
            tried: HashSet::new(),
        }
    }

    /// The line of a backend that is there from the beginning.
    pub(super) fn ready(backend: Arc<dyn Backend>) -> Line {
        let limit = backend.concurrency();
        Line { fixed: true, limit, ..Line::new(backend.name(), Place::Ready(backend)) }
    }

    /// Most that are begun in a minute, from now on.
    pub(super) fn set_rate(&mut self, rate: Option<usize>) {
        self.rate = rate;
        self.begun.clear();
    }

    /// Some peer is left alone for a while.
    pub(super) fn leaves_alone(&self) -> bool {
        self.breakers.values().any(Breaker::is_open)
    }

    /// Behind all that is at least as urgent. A step that goes on after a restart is under way already and comes first.
    pub(super) fn push(&mut self, step: Waiting) {
        let rank = |s: &Waiting| (s.resume.is_some(), s.call.priority);
        let own = rank(&step);
        let place = self.waiting.iter().rposition(|s| rank(s) >= own).map_or(0, |at| at + 1);
        self.waiting.insert(place, step);
    }

    /// The next step begins.
    ///
    /// # Errors
    /// None may begin now; with the time at which it is worth looking again, if that comes by itself.
    pub(super) fn begin(&mut self, now: Instant) -> Result<Waiting, Option<Instant>> {
        if self.waiting.is_empty() || self.running >= self.limit.max(1) {
            return Err(None);
        }
        let oldest = self.begun.front().filter(|_| self.rate.is_some_and(|rate| self.begun.len() >= rate));
        if let Some(until) = oldest.map(|at| *at + RATE_SPAN).filter(|until| *until > now) {
            return Err(Some(until));
        }
        let mut again: Option<Instant> = None;
        let mut may = |step: &Waiting| {
            let Some(breaker) = self.breakers.get(&step.peer).filter(|b| b.is_open()) else { return true };
            let alone = breaker.wait(now);
            if !alone.is_zero() {
                again = Some(again.map_or(now + alone, |at| at.min(now + alone)));
            }
            alone.is_zero() && !self.tried.contains(&step.peer)
        };
        let found = self.waiting.iter().position(&mut may);
        let Some(step) = found.and_then(|at| self.waiting.remove(at)) else { return Err(again) };
        if self.breakers.get(&step.peer).is_some_and(Breaker::is_open) {
            self.tried.insert(step.peer.clone());
        }
        self.running += 1;
        if let Some(rate) = self.rate {
            self.begun.push_back(now);
            while self.begun.len() > rate {
                self.begun.pop_front();
            }
        }
        Ok(step)
    }

    /// A step for this peer has ended; whether the peer was there, if that is known. True if it is left alone from now on.
    pub(super) fn end(&mut self, peer: &str, there: Option<bool>, now: Instant) -> bool {
        self.running -= 1;
        self.tried.remove(peer);
        match there {
            Some(true) => {
                self.breakers.remove(peer);
                false
            }
            Some(false) => {
                let fresh = || Breaker::new(BREAKER_AFTER, BREAKER_PAUSE);
                self.breakers.entry(peer.to_owned()).or_insert_with(fresh).failed(now)
            }
            None => false,
        }
    }
}
