//! Rules come, are replaced and get their past.

use std::collections::HashMap;
use std::sync::Arc;

use salobj::Tai;

use super::names::Names;
use super::routes::route;
use super::state::RuleState;
use super::time::Timers;
use super::{Engine, schedule};
use crate::rules::flow::{Effect, TopicNeed};
use crate::rules::model::Rule;

impl Engine {
    /// Replaces all rules. Those of unchanged name and revision keep their state, those of unchanged name their switch;
    /// new ones wait for [`Input::History`](crate::rules::flow::Input::History), and, once [`Engine::history_done`] was called for others, are not looked at
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

    /// The past has been read: [`super::Input::History`] no longer changes the rules that are loaded now.
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

    /// The topics of which rules still take samples of the past, by [`TopicId`](crate::rules::flow::TopicId).
    pub fn filling_topics(&self) -> std::collections::BTreeSet<u32> {
        let filling =
            self.states.iter().filter(|state| state.filling).flat_map(|state| &state.rule.code.inputs);
        let id = |component: &str, sal_name: &str| {
            let same = |t: &TopicNeed| t.component == component && t.sal_name == sal_name;
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
}
