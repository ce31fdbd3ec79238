//! Which rules there are: those of the configuration, those added at run time (they outrank), and what commands said
//! about them.

use std::collections::BTreeMap;
use std::sync::Arc;

use salobj::Tai;
use serde::{Deserialize, Serialize};

use crate::rules::{Mode, Rule};

/// `RuleState` of the SAL interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleState {
    /// Read, and enabled as soon as the CSC is.
    Loaded = 1,
    /// Evaluated.
    Enabled = 2,
    /// Disabled by command or by its definition.
    Disabled = 3,
    /// Evaluated and recorded only.
    Shadow = 4,
    /// Quarantined; the reason is in `error`.
    Failed = 5,
    /// Gone.
    Removed = 6,
}

/// Where a rule comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// A file of the configuration.
    Configuration,
    /// `addRule`.
    Command,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Configuration => "configuration",
            Self::Command => "command",
        })
    }
}

/// What is known of one name.
#[derive(Debug, Clone, Default)]
pub struct Entry {
    configured: Option<Arc<Rule>>,
    added: Option<Arc<Rule>>,
    memory: Memory,
    quarantine: Option<String>,
    error: Option<String>,
    /// What is wrong outside the rule: whom it reads is not there, the EFD does not answer.
    note: Option<String>,
}

/// What the journal keeps of a rule (`rule/<name>`).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Definition given by `addRule`, if any.
    pub definition: Option<String>,
    /// What the last `enableRule`, `disableRule` or `addRule` said; `None` if no command spoke.
    pub enabled: Option<bool>,
    /// Why it was disabled.
    #[serde(default)]
    pub reason: String,
    /// When it last started a run, TAI seconds, 0 for never.
    #[serde(default)]
    pub last_triggered: f64,
    /// The revision that `promoteRule` let act, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promoted: Option<String>,
}

impl Entry {
    /// The rule that counts: the one added at run time, else the configured one.
    pub fn rule(&self) -> Option<&Arc<Rule>> {
        self.added.as_ref().or(self.configured.as_ref())
    }

    /// A shadow rule that was promoted acts; a new revision of it has to be promoted anew.
    fn take_promotion(&mut self) {
        for rule in [&mut self.configured, &mut self.added].into_iter().flatten() {
            if rule.mode == Mode::Shadow && self.memory.promoted.as_ref() == Some(&rule.revision) {
                *rule = Arc::new(Rule { mode: Mode::Live, ..(**rule).clone() });
            }
        }
    }

    /// Where that one comes from.
    pub fn origin(&self) -> Origin {
        if self.added.is_some() { Origin::Command } else { Origin::Configuration }
    }

    /// True for a rule added at run time over a configured one.
    pub fn covers(&self) -> bool {
        self.added.is_some() && self.configured.is_some()
    }

    /// What the journal keeps.
    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// True if it is to be evaluated while the CSC is enabled.
    pub fn is_active(&self) -> bool {
        self.memory.enabled.unwrap_or(true) && self.quarantine.is_none() && self.rule().is_some()
    }

    /// State as published; `csc_enabled` tells LOADED from ENABLED.
    pub fn state(&self, csc_enabled: bool) -> RuleState {
        match self.rule() {
            None => RuleState::Removed,
            Some(_) if self.quarantine.is_some() => RuleState::Failed,
            Some(_) if !self.is_active() => RuleState::Disabled,
            Some(_) if !csc_enabled => RuleState::Loaded,
            Some(rule) if rule.mode == Mode::Shadow => RuleState::Shadow,
            Some(_) => RuleState::Enabled,
        }
    }

    /// Why it cannot be evaluated, or what was unknown when it last was; empty if nothing.
    pub fn error(&self) -> String {
        let disabled = (!self.memory.reason.is_empty() && !self.is_active()).then_some(&self.memory.reason);
        self.quarantine
            .as_ref()
            .or(disabled)
            .or(self.note.as_ref())
            .or(self.error.as_ref())
            .cloned()
            .unwrap_or_default()
    }
}

/// All rules by name.
#[derive(Debug, Clone, Default)]
pub struct RuleTable {
    entries: BTreeMap<String, Entry>,
}

impl RuleTable {
    /// Takes what the journal kept; the caller has compiled the definitions given at run time.
    pub fn recover(&mut self, name: &str, memory: Memory, added: Option<Arc<Rule>>) {
        let entry = self.entries.entry(name.to_owned()).or_default();
        entry.memory = memory;
        entry.added = added;
        entry.take_promotion();
    }

    /// Replaces the configured rules; the names that are no longer there at all.
    pub fn configure(&mut self, rules: &[Arc<Rule>]) -> Vec<String> {
        for entry in self.entries.values_mut() {
            entry.configured = None;
        }
        for rule in rules {
            let entry = self.entries.entry(rule.name.clone()).or_default();
            entry.configured = Some(rule.clone());
            entry.take_promotion();
        }
        // One that was added at run time and does not compile any more is kept: its author may mend it.
        let gone = |e: &Entry| e.rule().is_none() && e.memory.definition.is_none();
        self.entries.iter().filter(|(_, e)| gone(e)).map(|(n, _)| n.clone()).collect()
    }

    /// Adds or replaces a rule at run time.
    pub fn add(&mut self, rule: Arc<Rule>, enabled: bool) {
        let entry = self.entries.entry(rule.name.clone()).or_default();
        entry.memory.definition = Some(rule.definition.clone());
        entry.memory.enabled = Some(enabled);
        entry.memory.reason = String::new();
        entry.quarantine = None;
        entry.error = None;
        entry.added = Some(rule);
        entry.take_promotion();
    }

    /// Lets a shadow rule act.
    pub fn promote(&mut self, name: &str) -> Result<(), String> {
        let entry = self.entries.get_mut(name).ok_or_else(|| unknown(name))?;
        let rule = entry.rule().ok_or_else(|| unknown(name))?;
        if rule.mode != Mode::Shadow {
            return Err(format!("rule '{name}' is not in shadow mode"));
        }
        entry.memory.promoted = Some(rule.revision.clone());
        entry.take_promotion();
        Ok(())
    }

    /// Removes a rule that was added at run time. True if a configured one of the same name comes up again.
    pub fn remove(&mut self, name: &str) -> Result<bool, String> {
        let entry = self.entries.get_mut(name).ok_or_else(|| unknown(name))?;
        if entry.added.take().is_none() {
            return Err(match entry.configured {
                Some(_) => format!(
                    "rule '{name}' is configured; use disableRule, or take it out of the configuration"
                ),
                None => unknown(name),
            });
        }
        entry.memory = Memory::default();
        entry.quarantine = None;
        entry.error = None;
        Ok(entry.configured.is_some())
    }

    /// Forgets a name that has no rule any more.
    pub fn forget(&mut self, name: &str) {
        self.entries.remove(name);
    }

    /// Enables or disables; enabling also lifts a quarantine.
    pub fn set_enabled(&mut self, name: &str, enabled: bool, reason: &str) -> Result<(), String> {
        let entry = self.entries.get_mut(name).filter(|e| e.rule().is_some()).ok_or_else(|| unknown(name))?;
        entry.memory.enabled = Some(enabled);
        entry.memory.reason = reason.to_owned();
        if enabled {
            entry.quarantine = None;
        }
        Ok(())
    }

    /// Takes a rule out of evaluation because it misbehaves, or, without a reason, puts it back.
    pub fn quarantine(&mut self, name: &str, reason: Option<String>) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.quarantine = reason;
        }
    }

    /// Notes what was unknown at the last evaluation. True if that is news.
    pub fn set_error(&mut self, name: &str, error: Option<String>) -> bool {
        match self.entries.get_mut(name) {
            Some(entry) if entry.error != error => {
                entry.error = error;
                true
            }
            _ => false,
        }
    }

    /// Notes what is wrong outside the rule. True if that is news.
    pub fn set_note(&mut self, name: &str, note: Option<String>) -> bool {
        match self.entries.get_mut(name) {
            Some(entry) if entry.note != note => {
                entry.note = note;
                true
            }
            _ => false,
        }
    }

    /// Notes that a run was started.
    pub fn set_triggered(&mut self, name: &str, at: Tai) {
        if let Some(entry) = self.entries.get_mut(name) {
            entry.memory.last_triggered = at.0;
        }
    }

    /// The entry of an exact name.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.entries.get(name).filter(|e| e.rule().is_some())
    }

    /// The rule of an exact name, or the text of a failed command.
    pub fn rule(&self, name: &str) -> Result<&Arc<Rule>, String> {
        self.get(name).and_then(Entry::rule).ok_or_else(|| unknown(name))
    }

    /// All rules that there are, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().filter(|(_, e)| e.rule().is_some()).map(|(n, e)| (n.as_str(), e))
    }

    /// The rules to evaluate.
    pub fn active(&self) -> Vec<Arc<Rule>> {
        self.entries.values().filter(|e| e.is_active()).filter_map(|e| e.rule().cloned()).collect()
    }
}

fn unknown(name: &str) -> String {
    format!("no rule is named '{name}'")
}
