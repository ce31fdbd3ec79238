//! `every` and `cron`: which times have come, which were missed, and what is made up.
//!
//! A time is *missed* if it came while the rules slept (the process was down, or the CSC was not ENABLED), or if a newer
//! one has come too by the time that the rules are looked at. The newest time that came while they were awake is never
//! missed. `offset` delays the look, not the time: the occurrence and its run id are those of the time itself.

use super::fire::Occurrence;
use super::state::RuleState;
use super::time::{multiple_after, multiple_at};
use crate::rules::flow::{Effect, SkipReason};
use crate::rules::model::{CatchUp, Occasion};

/// Most times that are made up; older ones are counted.
pub(super) const MOST_MADE_UP: usize = 1000;

/// Where a rule stands in its schedule. Times are TAI.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Schedule {
    /// The newest time that was dealt with.
    pub(super) last: f64,
    /// The next time.
    next: f64,
    /// When that is looked at: `offset` later.
    pub(super) due: f64,
    /// Since when the rules have been awake; infinity while they sleep.
    pub(super) awake_since: f64,
}

impl Default for Schedule {
    fn default() -> Schedule {
        let never = f64::INFINITY;
        Schedule { last: f64::NEG_INFINITY, next: never, due: never, awake_since: f64::NEG_INFINITY }
    }
}

/// The times of an occasion.
trait Times {
    fn after(&self, time: f64) -> Option<f64>;
    fn at(&self, time: f64) -> Option<f64>;
    fn before(&self, time: f64) -> Option<f64>;
}

impl Times for Occasion {
    fn after(&self, time: f64) -> Option<f64> {
        match self {
            Occasion::Every(period) => Some(multiple_after(time, period.as_secs_f64())),
            Occasion::Cron(cron) => cron.after(time),
            Occasion::Manual | Occasion::Each(_) | Occasion::Edge => None,
        }
    }

    fn at(&self, time: f64) -> Option<f64> {
        match self {
            Occasion::Every(period) => Some(multiple_at(time, period.as_secs_f64())),
            Occasion::Cron(cron) => cron.at(time),
            Occasion::Manual | Occasion::Each(_) | Occasion::Edge => None,
        }
    }

    fn before(&self, time: f64) -> Option<f64> {
        match self {
            Occasion::Every(period) => {
                let period = period.as_secs_f64();
                Some(multiple_at(time - period / 2.0, period))
            }
            Occasion::Cron(cron) => cron.before(time),
            Occasion::Manual | Occasion::Each(_) | Occasion::Edge => None,
        }
    }
}

impl RuleState {
    /// It has a schedule.
    pub(super) fn is_scheduled(&self) -> bool {
        matches!(self.rule.trigger.on, Occasion::Every(_) | Occasion::Cron(_))
    }

    /// The schedule begins now: nothing before was missed.
    pub(super) fn begin_schedule(&mut self, now: f64) {
        if self.is_scheduled() {
            self.go_on_after(now - self.offset());
        }
    }

    /// The times up to this one have been dealt with.
    pub(super) fn go_on_after(&mut self, last: f64) {
        let next = self.rule.trigger.on.after(last).unwrap_or(f64::INFINITY);
        let due = next + self.offset();
        self.schedule = Schedule { last, next, due, ..self.schedule };
    }

    fn offset(&self) -> f64 {
        self.rule.trigger.offset.as_secs_f64()
    }

    /// The moment as of which an overdue schedule is looked at: that of its newest time, but not before it was awake.
    pub(super) fn schedule_moment(&self, due: f64, now: f64) -> f64 {
        let newest = self.rule.trigger.on.at(now - self.offset()).unwrap_or(due) + self.offset();
        newest.max(self.schedule.awake_since.min(now)).max(due).min(now)
    }

    /// Times have come: occurrences of the rule's trigger.
    pub(super) fn times_have_come(&mut self, now: f64, out: &mut Vec<Effect>) {
        let trigger = &self.rule.trigger;
        let (on, policy, first) = (trigger.on.clone(), trigger.catch_up, self.schedule.next);
        let Some(newest) = on.at(now - self.offset()).filter(|t| *t >= first) else { return };
        self.go_on_after(newest);
        if self.rule.workflow.is_none() {
            return;
        }
        let mut times = vec![newest];
        let mut missed_before = None;
        while let Some(earlier) = times.last().and_then(|t| on.before(*t)).filter(|t| *t >= first) {
            if times.len() == MOST_MADE_UP {
                missed_before = Some(earlier);
                break;
            }
            times.push(earlier);
        }
        let on_time = newest + self.offset() >= self.schedule.awake_since;
        let kind = if matches!(on, Occasion::Cron(_)) { "cron" } else { "every" };
        let (run, missed) = match policy {
            CatchUp::All => (times.as_slice(), &[][..]),
            CatchUp::Once => (&times[..1], &[][..]),
            CatchUp::Skip => times.split_at(usize::from(on_time)),
        };
        let (run, missed) = (run.to_vec(), missed.to_vec());
        // What was not made up is told once, under the newest of these times. A period says nothing: it comes again soon.
        let told = match policy {
            CatchUp::All => missed_before.map(|t| (t, None)),
            CatchUp::Skip if kind == "cron" => {
                missed.first().map(|t| (*t, missed_before.is_none().then_some(missed.len())))
            }
            CatchUp::Skip | CatchUp::Once => None,
        };
        if let Some((time, count)) = told {
            self.skip_occurrence(kind, &Occurrence::scheduled(time), SkipReason::Missed { count }, now, out);
        }
        for time in run.into_iter().rev() {
            self.occasion(kind, None, || Occurrence::scheduled(time), now, out);
        }
    }

    /// What the journal keeps of the schedule; null where nothing is made up after a restart.
    pub(super) fn save_schedule(&self) -> serde_json::Value {
        let keep =
            self.rule.trigger.catch_up != CatchUp::Skip || matches!(self.rule.trigger.on, Occasion::Cron(_));
        if keep && self.schedule.last.is_finite() {
            self.schedule.last.into()
        } else {
            serde_json::Value::Null
        }
    }
}
