//! The engine: `step(input, now)` gives effects.

use std::sync::Arc;

use salobj::Tai;

use super::flow::{Effect, Input, ManualTrigger, Subscriptions, TriggerRefused};
use super::model::Rule;

/// All rules with their state.
#[derive(Debug, Default)]
pub struct Engine {
    subscriptions: Subscriptions,
}

impl Engine {
    /// An engine with these rules, all enabled, knowing nothing yet.
    pub fn new(rules: &[Arc<Rule>], now: Tai) -> Engine {
        let _ = (rules, now);
        Engine::default()
    }

    /// Takes one input and appends what is to be done to `out`.
    pub fn step(&mut self, input: Input<'_>, now: Tai, out: &mut Vec<Effect>) {
        let _ = (input, now, out);
    }

    /// Starts a run by hand; the answer is its id, or why it cannot be.
    pub fn trigger(
        &mut self,
        what: ManualTrigger<'_>,
        now: Tai,
        out: &mut Vec<Effect>,
    ) -> Result<String, TriggerRefused> {
        let _ = (now, out);
        Err(TriggerRefused::UnknownRule(what.rule.to_owned()))
    }

    /// When the next `Input::Tick` is wanted.
    pub fn next_deadline(&self) -> Option<Tai> {
        None
    }

    /// What has to be read.
    pub fn subscriptions(&self) -> &Subscriptions {
        &self.subscriptions
    }

    /// Replaces all rules; those of unchanged revision keep their state. Topic ids change: read `subscriptions` again.
    pub fn replace_rules(&mut self, rules: &[Arc<Rule>], now: Tai, out: &mut Vec<Effect>) {
        let _ = (rules, now, out);
    }

    /// Judges every enabled rule on the latched values and says all severities again (entering ENABLED).
    pub fn reevaluate_all(&mut self, now: Tai, out: &mut Vec<Effect>) {
        let _ = (now, out);
    }

    /// The state of a rule that windows cannot give back, for the journal.
    pub fn checkpoint(&self, rule: &str) -> Option<serde_json::Value> {
        let _ = rule;
        None
    }

    /// Takes such a state back; one of another revision is ignored, and the answer is false.
    pub fn restore(&mut self, rule: &str, state: &serde_json::Value) -> bool {
        let _ = (rule, state);
        false
    }
}
