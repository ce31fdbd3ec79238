//! What can be asked of the engine: which rules, keys and alarms there are, how they stand, what they read.

use std::sync::Arc;

use salobj::Tai;

use super::{Engine, RuleStatus};
use crate::rules::flow::{Sample, Subscriptions};
use crate::rules::model::Rule;

impl Engine {
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

    /// True if a rule fires on messages such as this one.
    pub fn fires_on(&self, sample: &Sample<'_>) -> bool {
        let routes = self.routes.get(sample.topic.0 as usize).map_or(&[][..], |all| all.at(sample.sal_index));
        routes.iter().any(|route| self.states[route.rule as usize].fires_on(std::slice::from_ref(route)))
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

    /// When the next [`Input::Tick`](crate::rules::flow::Input::Tick) is wanted.
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
}
