//! Explaining a rule: what the engine knows, and what commands and operators did about it.

use salobj::Tai;

use super::Core;
use crate::alarms::Severity;
use crate::rules::{Explanation, Note};

impl Core {
    /// What a rule makes of what it knows at this instant, and why.
    ///
    /// # Errors
    /// There is no rule of that exact name.
    pub fn explain(&self, name: &str, now: Tai) -> Result<Explanation, String> {
        if !self.engine.knows(name) {
            self.rules.rule(name)?;
        }
        // For a rule with `by`, `<rule>.<key>` is one of its keys.
        let of_rule = |run: &&crate::tasks::run::Run| {
            let of_key = |key: &String| format!("{}.{key}", run.header.rule) == name;
            run.header.rule == name || run.header.key.as_ref().is_some_and(of_key)
        };
        let newest = self.runs.active().chain(self.runs.finished()).filter(of_rule);
        let newest = newest.max_by(|a, b| a.header.at.0.total_cmp(&b.header.at.0));
        let context = newest.map(|run| &run.context);
        let mut explanation =
            self.engine.explain(name, context, now).ok_or_else(|| format!("rule '{name}' is not loaded"))?;
        if !self.enabled {
            let text = "the CSC is not ENABLED: inputs are read, nothing is started or raised";
            explanation.notes.insert(0, Note::new("not_enabled", text));
        }
        if let Some(entry) = self.rules.get(&explanation.rule)
            && let Some(note) = explanation.notes.iter_mut().find(|n| n.why == "disabled")
            && !entry.memory().reason.is_empty()
        {
            note.text = format!("the rule is disabled: {}", entry.memory().reason);
        }
        self.operators(name, &mut explanation, now);
        explanation.conclude();
        Ok(explanation)
    }

    /// What operators did to the rule's alarms.
    fn operators(&self, rule: &str, explanation: &mut Explanation, now: Tai) {
        let Some(state) = &mut explanation.alarm else { return };
        let whole = self.book.names_of(rule);
        // Of a key it is its own alarm that counts.
        let names = if whole.is_empty() { vec![rule.to_owned()] } else { whole };
        for name in names {
            let Some(alarm) = self.book.get(&name) else { continue };
            let by = |who: &str| if who.is_empty() { String::new() } else { format!(" by {who}") };
            if alarm.muted_severity > Severity::None {
                let left = alarm.timestamp_unmute - now.0;
                let text = format!(
                    "{name} is muted up to {}{} for another {left:.0} s",
                    alarm.muted_severity,
                    by(&alarm.muted_by)
                );
                state.notes.push(Note::new("muted", text));
            }
            if alarm.acknowledged {
                let text =
                    format!("{name} is acknowledged at {}{}", alarm.max_severity, by(&alarm.acknowledged_by));
                state.notes.push(Note::new("acknowledged", text));
            } else if alarm.severity == Severity::None && alarm.max_severity > Severity::None {
                let text = format!("{name} was {} and waits to be acknowledged", alarm.max_severity);
                state.notes.push(Note::new("latched", text));
            }
        }
        let told: Vec<&str> = state
            .notes
            .iter()
            .filter(|n| ["muted", "acknowledged", "latched"].contains(&n.why.as_str()))
            .map(|n| n.text.as_str())
            .collect();
        if !told.is_empty() {
            state.decision = format!("{}; {}", state.decision, told.join("; "));
        }
    }
}
