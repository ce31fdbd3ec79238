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

mod calm;
mod explain;
mod family;
mod feed;
mod filling;
mod fire;
mod guard;
mod judge;
mod keyed_rule;
mod keys;
mod names;
mod routes;
mod saved;
mod schedule;
mod state;
mod time;
mod witness;

use std::collections::HashMap;
use std::sync::Arc;

use salobj::Tai;

use super::flow::{Effect, Input, ManualTrigger, Subscriptions, TriggerRefused};
use super::model::Rule;
use feed::{Feed, message_occurrence};
pub use guard::Stopwatch;
use names::Names;
use routes::{TopicRoutes, route};
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

    /// The rule of an exact name, or of `<rule>.<key>` for a rule with `by`.
    pub(super) fn named(&self, name: &str) -> Option<(usize, Option<String>)> {
        if let Some(i) = self.by_name.get(name) {
            return Some((*i, None));
        }
        let keyed = |(at, _): (usize, &str)| {
            let i = *self.by_name.get(&name[..at])?;
            let key = &name[at + 1..];
            self.states[i].keys().contains(&key).then(|| (i, Some(key.to_owned())))
        };
        name.match_indices('.').find_map(keyed)
    }

    /// True if a rule of this name can be triggered: also `<rule>.<key>`, for a key that is known.
    pub fn knows(&self, name: &str) -> bool {
        self.named(name).is_some()
    }

    /// Names of the alarms that a rule has: its own, or those of its keys.
    pub fn alarms(&self, rule: &str) -> Vec<String> {
        let Some(state) = self.by_name.get(rule).map(|i| &self.states[*i]) else { return Vec::new() };
        match (&state.rule.alarm, &state.family) {
            (None, _) => Vec::new(),
            (Some(plan), None) => vec![plan.name.clone()],
            (Some(_), Some(family)) => family.alarms().map(str::to_owned).collect(),
        }
    }

    /// Names of the keys that a rule has, in their order.
    pub fn key_names(&self, rule: &str) -> Vec<&str> {
        self.by_name.get(rule).map_or_else(Vec::new, |i| self.states[*i].keys())
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

    /// When the next [`Input::Tick`] is wanted.
    pub fn next_deadline(&self) -> Option<Tai> {
        self.timers.next()
    }

    /// What has to be read.
    pub fn subscriptions(&self) -> &Subscriptions {
        &self.subscriptions
    }

    /// How many times a rule was evaluated, since the engine is there.
    pub fn evaluations(&self) -> u64 {
        self.evaluations
    }

    /// How a rule stands.
    pub fn status(&self, rule: &str) -> Option<RuleStatus> {
        self.by_name.get(rule).map(|i| &self.states[*i]).map(|state| state.family_status(state.status()))
    }

    /// The rules, in order.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.states.iter().map(|s| &s.rule)
    }

    /// Times some evaluations with this watch from now on, to find slow rules.
    pub fn lend_stopwatch(&mut self, stopwatch: Stopwatch) {
        self.stopwatch = Some(stopwatch);
    }

    /// Replaces all rules. Those of unchanged name and revision keep their state, those of unchanged name their switch;
    /// new ones wait for [`Input::History`], and, once [`Engine::history_done`] was called for others, are not looked at
    /// before it is called again. Topic ids change: read [`Engine::subscriptions`] again.
    pub fn replace_rules(&mut self, rules: &[Arc<Rule>], now: Tai, out: &mut Vec<Effect>) {
        self.now = now.0;
        let names = Arc::new(Names::of(rules));
        let mut old: HashMap<String, RuleState> =
            self.states.drain(..).map(|s| (s.rule.name.clone(), s)).collect();
        for rule in rules {
            let mut state = match old.remove(&rule.name) {
                Some(mut state) if state.rule.revision == rule.revision => {
                    state.take_rule(rule.clone());
                    state
                }
                Some(mut state) => {
                    state.withdraw(out);
                    let mut fresh = RuleState::root(rule.clone());
                    fresh.enabled = state.enabled;
                    fresh.adopt_keys(&state, now.0);
                    fresh.waiting = self.going;
                    fresh
                }
                None => {
                    let mut fresh = RuleState::root(rule.clone());
                    fresh.waiting = self.going;
                    fresh
                }
            };
            state.schedule.awake_since = self.awake_since;
            state.take_names(&names, out);
            state.guarded(None, out, |state, _| state.start_clocks(now.0));
            self.states.push(state);
        }
        let mut gone: Vec<RuleState> = old.into_values().collect();
        gone.sort_by(|a, b| a.rule.name.cmp(&b.rule.name));
        for state in &mut gone {
            state.withdraw(out);
        }
        self.filling = self.states.iter().any(|state| state.filling);
        self.by_name = self.states.iter().enumerate().map(|(i, s)| (s.rule.name.clone(), i)).collect();
        (self.subscriptions, self.routes) = route(&self.states);
        self.timers = Timers::default();
        for (i, state) in self.states.iter_mut().enumerate() {
            state.queued = f64::INFINITY;
            state.touched = true;
            schedule(state, &mut self.timers, i, now.0);
        }
    }

    /// The past has been read: [`Input::History`] no longer changes the rules that are loaded now.
    pub fn history_done(&mut self) {
        self.filling = false;
        self.going = true;
        for state in &mut self.states {
            state.filled();
        }
    }

    /// The same while the rules are going: those that waited are judged for the first time.
    pub fn begin_new(&mut self, now: Tai, out: &mut Vec<Effect>) {
        let new: Vec<usize> = (0..self.states.len()).filter(|i| self.states[*i].waiting).collect();
        self.history_done();
        for i in new {
            self.evaluations += 1;
            self.states[i].touched = true;
            self.states[i].guarded(None, out, |state, out| state.reevaluate(now.0, out));
            self.schedule(i, now.0);
        }
    }

    /// True while some rule still takes samples of the past.
    pub fn is_filling(&self) -> bool {
        self.filling
    }

    /// The topics of which rules still take samples of the past, by [`TopicId`](super::flow::TopicId).
    pub fn filling_topics(&self) -> std::collections::BTreeSet<u32> {
        let filling =
            self.states.iter().filter(|state| state.filling).flat_map(|state| &state.rule.code.inputs);
        let id = |component: &str, sal_name: &str| {
            let same = |t: &super::flow::TopicNeed| t.component == component && t.sal_name == sal_name;
            self.subscriptions.topics.iter().position(same).and_then(|i| u32::try_from(i).ok())
        };
        filling.filter_map(|input| id(&input.component, &input.sal_name)).collect()
    }

    /// Judges every enabled rule on the latched values and says all severities again (entering ENABLED).
    pub fn reevaluate_all(&mut self, now: Tai, out: &mut Vec<Effect>) {
        self.run_timers(now.0, out);
        for i in 0..self.states.len() {
            self.states[i].touched = true;
            self.states[i].guarded(None, out, |state, out| state.reevaluate(now.0, out));
            self.evaluations += 1;
            self.schedule(i, now.0);
        }
    }

    /// The state of a rule that windows cannot give back, for the journal.
    pub fn checkpoint(&self, rule: &str) -> Option<serde_json::Value> {
        self.by_name.get(rule).map(|i| self.states[*i].save())
    }

    /// Takes such a state back; one of another revision is ignored, and the answer is false.
    pub fn restore(&mut self, rule: &str, saved: &serde_json::Value) -> bool {
        let Some(i) = self.by_name.get(rule).copied() else { return false };
        let state = &mut self.states[i];
        state.touched = true;
        let (now, mut done) = (self.now, false);
        state.guarded(None, &mut Vec::new(), |state, _| {
            done = if state.family.is_some() { state.family_load(saved, now) } else { state.load(saved) };
        });
        self.schedule(i, self.now);
        done
    }

    /// Whether the state of a rule may be another than at the last call; true for a rule that is not here.
    pub fn take_touched(&mut self, rule: &str) -> bool {
        match self.by_name.get(rule) {
            Some(i) => std::mem::take(&mut self.states[*i].touched),
            None => true,
        }
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
