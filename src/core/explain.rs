//! Explaining a rule: what the engine knows, and what commands and operators did about it.

use salobj::Tai;

use super::Core;
use crate::alarms::{Severity, Why};
use crate::rules::{Explanation, Note};

/// Alarms that a tree lists before it only counts.
const TREE: usize = 200;

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

    /// What operators did to the rule's alarms, and what keeps people from being told of them.
    fn operators(&self, rule: &str, explanation: &mut Explanation, now: Tai) {
        let Some(state) = &mut explanation.alarm else { return };
        let whole = self.book.names_of(rule);
        // Of a key it is its own alarm that counts.
        let names = if whole.is_empty() { vec![rule.to_owned()] } else { whole };
        let mut told = Vec::new();
        let mut listed = TREE;
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
                told.push(Note::new("muted", text));
            }
            if alarm.acknowledged {
                let text =
                    format!("{name} is acknowledged at {}{}", alarm.max_severity, by(&alarm.acknowledged_by));
                told.push(Note::new("acknowledged", text));
            } else if alarm.severity == Severity::None && alarm.max_severity > Severity::None {
                let text = format!("{name} was {} and waits to be acknowledged", alarm.max_severity);
                told.push(Note::new("latched", text));
            }
            told.extend(self.storm_notes(&name));
            if listed > 0
                && let Some(tree) = self.book.tree(&name, listed)
            {
                told.push(Note::new("inhibits", format!("{name} inhibits {} alarms", tree.size() - 1)));
                listed = listed.saturating_sub(tree.size());
                state.inhibits.push(tree);
            }
        }
        if !told.is_empty() {
            let texts: Vec<&str> = told.iter().map(|note| note.text.as_str()).collect();
            state.decision = format!("{}; {}", state.decision, texts.join("; "));
        }
        state.notes.extend(told);
    }

    /// What keeps people from being told of an alarm.
    fn storm_notes(&self, name: &str) -> Vec<Note> {
        let Some(hush) = self.book.hush(name) else { return Vec::new() };
        let mut notes = Vec::new();
        let since = |t: Tai| t.utc_iso().chars().take(19).collect::<String>();
        if let Some((cause, further)) = self.book.causes(name).split_first() {
            let because = further.iter().map(|cause| format!(", that one by {cause}")).collect::<String>();
            notes.push(Note::new("inhibited", format!("{name} is inhibited by {cause}{because}")));
        }
        if let Some(from) = hush.flapping_since {
            notes.push(Note::new("flapping", format!("{name} is flapping since {} UTC", since(from))));
        }
        if let Some(kept) = hush.kept_back.filter(|kept| kept.why != Why::Muted) {
            let text = format!("{name} is not told since {} UTC: {}", since(kept.since), kept.why.text());
            notes.push(Note::new("not_told", text));
        }
        notes
    }
}
