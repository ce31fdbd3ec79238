//! A rule's state in the journal, and back from it.

use serde_json::{Value as Json, json};

use super::Engine;
use super::judge::CondState;
use super::state::RuleState;
use crate::rules::expr::Memory;

impl Engine {
    /// The state of a rule that windows cannot give back, for the journal.
    pub fn checkpoint(&self, rule: &str) -> Option<Json> {
        self.by_name.get(rule).map(|i| self.states[*i].save())
    }

    /// Takes such a state back; one of another revision is ignored, and the answer is false.
    pub fn restore(&mut self, rule: &str, saved: &Json) -> bool {
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
}

impl RuleState {
    /// For the journal: all but latched values and windows.
    pub(super) fn save(&self) -> Json {
        if let Some(saved) = self.family_save() {
            return saved;
        }
        json!({
            "revision": self.rule.revision,
            "enabled": self.enabled,
            "memory": self.memory.iter().map(Memory::save).collect::<Vec<_>>(),
            "when_last": self.when_last,
            "conditions": self.conditions.iter().map(CondState::save).collect::<Vec<_>>(),
            "said": self.said,
            "fed": self.fed,
            "running": self.work.running,
            "queue": self.work.queue,
            "recent": self.work.recent,
            "last_run": self.work.last_run,
            "runs": self.work.runs,
            "commands": self.work.commands,
            "quarantined": self.quarantined,
            "scheduled": self.save_schedule(),
        })
    }

    /// From the journal; false if it is another revision's.
    pub(super) fn load(&mut self, saved: &Json) -> bool {
        let memory: Option<Vec<Memory>> = saved
            .get("memory")
            .and_then(Json::as_array)
            .and_then(|all| all.iter().map(Memory::load).collect());
        let conditions: Option<Vec<CondState>> = saved
            .get("conditions")
            .and_then(Json::as_array)
            .and_then(|all| all.iter().map(CondState::load).collect());
        let (Some(memory), Some(conditions)) = (memory, conditions) else { return false };
        if saved.get("revision").and_then(Json::as_str) != Some(&self.rule.revision)
            || memory.len() != self.memory.len()
            || conditions.len() != self.conditions.len()
        {
            return false;
        }
        fn part<T: serde::de::DeserializeOwned>(saved: &Json, key: &str) -> Option<T> {
            serde_json::from_value(saved.get(key)?.clone()).ok()
        }
        self.memory = memory;
        self.conditions = conditions;
        self.well = false;
        self.enabled = part(saved, "enabled").unwrap_or(true);
        self.when_last = part(saved, "when_last").unwrap_or_default();
        self.said = part(saved, "said").unwrap_or_default();
        self.fed = part(saved, "fed").unwrap_or_default();
        self.work.running = part(saved, "running").unwrap_or_default();
        self.work.queue = part(saved, "queue").unwrap_or_default();
        self.work.recent = part(saved, "recent").unwrap_or_default();
        self.work.last_run = part(saved, "last_run").unwrap_or(f64::NEG_INFINITY);
        self.work.runs = part(saved, "runs").unwrap_or_default();
        self.work.commands = part(saved, "commands").unwrap_or_default();
        self.quarantined = part(saved, "quarantined").unwrap_or_default();
        if let Some(last) = part::<f64>(saved, "scheduled").filter(|_| self.is_scheduled()) {
            self.go_on_after(last);
        }
        true
    }
}
