//! The engine: `step(input, now)` gives effects. Pure and deterministic: the same rules and inputs give the same effects.
//!
//! ```text
//!            topic ──routes──► only the rules bound to it
//!  Sample ─► filter ─► cells, windows ─► memory (stateful functions) ─┬─► trigger: each, edge ─► fire ─► StartRun ...
//!  time   ─► timers: every, hold, absent, clocks ─────────────────────┴─► judge the alarm ─────────────► SetSeverity
//!  StepEnded ─► judge the alarm on the run's results      RunEnded ─► next of the queue
//! ```
//!
//! Timers that are due are worked off at their own time before any input, so that it does not matter how exactly the
//! caller ticks.

mod ask;
mod calm;
mod deadline;
mod explain;
mod family;
mod feed;
mod filling;
mod fire;
mod guard;
mod judge;
mod keyed_rule;
mod keys;
mod load;
mod message;
mod names;
mod routes;
mod saved;
mod schedule;
mod state;
mod switch;
mod time;
mod witness;

use std::collections::HashMap;
use std::sync::Arc;

use salobj::Tai;

use super::flow::{Effect, Input, ManualTrigger, Subscriptions, TriggerRefused};
use super::model::Rule;
use feed::Feed;
pub use guard::Stopwatch;
use routes::TopicRoutes;
use state::RuleState;
use time::Timers;

/// Whether a rule acts, and why it does not.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleStatus {
    /// It is switched on.
    pub enabled: bool,
    /// Why it is quarantined.
    pub quarantined: Option<String>,
    /// Why something of it is unknown.
    pub error: Option<String>,
    /// Runs going.
    pub running: usize,
    /// Runs waiting.
    pub queued: usize,
    /// When a run was last started.
    pub last_triggered: Option<Tai>,
    /// Values dropped because a window was full.
    pub dropped: u64,
    /// Keys that a rule with `by` has.
    pub keys: usize,
    /// Keys dropped because there were too many, and messages whose key is not fit to be one.
    pub dropped_keys: u64,
}

/// All rules with their state.
#[derive(Debug, Default)]
pub struct Engine {
    states: Vec<RuleState>,
    by_name: HashMap<String, usize>,
    subscriptions: Subscriptions,
    routes: Vec<TopicRoutes>,
    timers: Timers,
    evaluations: u64,
    /// The time of the newest input.
    now: f64,
    /// See [`Engine::sleep`]; zero, before all times, unless somebody let it sleep.
    awake_since: f64,
    /// Some rule still takes samples of the past.
    filling: bool,
    /// The past of a first set of rules has been read: rules that come later wait for theirs.
    going: bool,
    stopwatch: Option<Stopwatch>,
}

impl Engine {
    /// An engine with these rules, all enabled, knowing nothing yet.
    pub fn new(rules: &[Arc<Rule>], now: Tai) -> Engine {
        let mut engine = Engine::default();
        engine.replace_rules(rules, now, &mut Vec::new());
        engine
    }

    /// Takes one input and appends what is to be done to `out`.
    pub fn step(&mut self, input: Input<'_>, now: Tai, out: &mut Vec<Effect>) {
        self.run_timers(now.0, out);
        match input {
            Input::Sample(sample) => self.sample(sample, now.0, Feed::Live, out),
            Input::Quiet(sample) => self.sample(sample, now.0, Feed::Quiet, out),
            Input::Missed(sample) => self.sample(sample, now.0, Feed::Missed, out),
            Input::History(sample) => self.sample(sample, now.0, Feed::History, out),
            Input::Tick => {}
            Input::StepEnded { rule, run_id, ctx } => {
                if let Some(i) = self.by_name.get(rule).copied() {
                    self.states[i].touched = true;
                    self.states[i].guarded(None, out, |state, out| {
                        state.step_of_run(run_id, ctx, now.0, out);
                    });
                    self.schedule(i, now.0);
                }
            }
            Input::RunEnded { rule, run_id } => {
                if let Some(i) = self.by_name.get(rule).copied() {
                    self.states[i].touched = true;
                    self.states[i].guarded(None, out, |state, out| {
                        state.for_run(run_id, now.0, out, |state, out| state.run_ended(run_id, now.0, out));
                    });
                    self.schedule(i, now.0);
                }
            }
            Input::SetEnabled { rule, enabled } => {
                if let Some(i) = self.by_name.get(rule).copied() {
                    self.states[i].touched = true;
                    self.states[i].guarded(None, out, |state, out| state.set_enabled(enabled, now.0, out));
                    self.schedule(i, now.0);
                }
            }
        }
    }

    /// Starts a run by hand; the answer is its id, or why it cannot be.
    ///
    /// # Errors
    /// See [`TriggerRefused`].
    pub fn trigger(
        &mut self,
        what: ManualTrigger<'_>,
        now: Tai,
        out: &mut Vec<Effect>,
    ) -> Result<String, TriggerRefused> {
        self.run_timers(now.0, out);
        let Some((i, key)) = self.named(what.rule) else {
            return Err(TriggerRefused::UnknownRule(what.rule.to_owned()));
        };
        let state = &mut self.states[i];
        state.touched = true;
        let mut answer = None;
        state.guarded(None, out, |state, out| {
            answer = Some(match key {
                _ if state.family.is_none() => state.by_hand(&what, now.0, out),
                None => {
                    let keys = state.keys().iter().take(5).copied().collect::<Vec<_>>().join(", ");
                    Err(TriggerRefused::NeedsKey { rule: what.rule.to_owned(), keys })
                }
                Some(key) => {
                    let known =
                        state.for_key(&key, now.0, out, |state, out| state.by_hand(&what, now.0, out));
                    known.unwrap_or_else(|| Err(TriggerRefused::UnknownRule(what.rule.to_owned())))
                }
            });
        });
        let reason = state.quarantined.clone().unwrap_or_default();
        self.schedule(i, now.0);
        answer.unwrap_or_else(|| Err(TriggerRefused::Quarantined { rule: what.rule.to_owned(), reason }))
    }

    /// Deadlines are left alone until [`Engine::wake`]: the CSC is not ENABLED.
    pub fn sleep(&mut self) {
        self.set_awake_since(f64::INFINITY);
    }

    /// Deadlines count again; what is overdue is worked off with the next input, and times of a schedule that came
    /// meanwhile were missed.
    pub fn wake(&mut self, now: Tai) {
        if self.awake_since == f64::INFINITY {
            self.set_awake_since(now.0);
        }
    }

    fn set_awake_since(&mut self, time: f64) {
        self.awake_since = time;
        for state in &mut self.states {
            state.schedule.awake_since = time;
            if let Some(family) = &mut state.family {
                family.in_order(|member| member.schedule.awake_since = time);
            }
        }
    }

    /// Times some evaluations with this watch from now on, to find slow rules.
    pub fn lend_stopwatch(&mut self, stopwatch: Stopwatch) {
        self.stopwatch = Some(stopwatch);
    }

    fn schedule(&mut self, i: usize, now: f64) {
        schedule(&mut self.states[i], &mut self.timers, i, now);
    }
}

/// Notes when a rule is to be looked at next. A deadline that is put off, as most are at every message, costs nothing: the
/// entry in the queue stays, and is looked at when it comes up.
fn schedule(state: &mut RuleState, timers: &mut Timers, i: usize, now: f64) {
    state.scheduled = state.next_deadline(now);
    requeue(state, timers, i);
}

fn requeue(state: &mut RuleState, timers: &mut Timers, i: usize) {
    if state.scheduled < state.queued {
        state.queued = state.scheduled;
        timers.push(state.scheduled, i);
    }
}
