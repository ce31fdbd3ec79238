//! Carrying out commands. The CSC has checked the summary state before.

use std::collections::BTreeSet;
use std::sync::Arc;

use salobj::Tai;
use serde_json::Map;

use super::{Answer, Command, Core, Event, Output, Sender, Settings};
use crate::alarms::{AlarmConfig, MuteWindow, Repeat, Severity};
use crate::journal::Record;
use crate::rules::{Input as RuleInput, ManualTrigger, Mode, Rule};
use crate::tasks::state::TaskState;

impl Core {
    pub(super) fn command(&mut self, command: Command, now: Tai, out: &mut Vec<Output>) -> Answer {
        let other_rules = matches!(
            command,
            Command::AddRule { .. } | Command::RemoveRule { .. } | Command::PromoteRule { .. }
        );
        if other_rules && self.holds_missed() {
            return Err(super::missed::BUSY.to_owned());
        }
        match command {
            Command::AddRule { rules, enabled } => {
                self.refuse_links(&rules)?;
                Ok(self.add_rules(rules, enabled, now, out))
            }
            Command::RemoveRule { rule } => self.remove_rule(&rule, now, out),
            Command::EnableRule { rule } => self.set_enabled(&rule, true, "", now, out),
            Command::DisableRule { rule, reason } => self.set_enabled(&rule, false, &reason, now, out),
            Command::Explain { rule } => {
                let explanation = self.explain(&rule, now)?;
                let decision = explanation.decision.clone();
                out.push(Output::Publish(Event::Explanation(Box::new(explanation))));
                Ok(decision)
            }
            Command::PromoteRule { rule } => self.promote(&rule, now, out),
            Command::Trigger { rule, parameters, sender } => {
                self.trigger(&rule, &parameters, &sender, now, out)
            }
            Command::CancelTask { task_id, reason } => {
                if self.runs.settle(&task_id, "") {
                    return Ok(format!("run {task_id} had failed; it is taken off the list of failed runs"));
                }
                let reason = if reason.is_empty() { "cancelled by command" } else { &reason };
                let mut actions = Vec::new();
                self.runs.cancel(&task_id, reason, now, &mut actions).map_err(|e| e.to_string())?;
                self.work_off_actions(actions, now, out);
                Ok(format!("run {task_id} is being cancelled"))
            }
            Command::RerunTask { task_id, reason, sender } => {
                self.rerun(&task_id, &reason, &sender, now, out)
            }
            Command::Acknowledge { alarm, severity, user } => {
                let severity = severity_of(severity)?;
                self.book.acknowledge(&alarm, severity, &user, now).map_err(|e| e.to_string())
            }
            Command::Unacknowledge { alarm } => {
                self.book.unacknowledge(&alarm, now).map_err(|e| e.to_string())
            }
            Command::Mute { alarm, duration_s, severity, user } => {
                let severity = severity_of(severity)?;
                self.book.mute(&alarm, duration_s, severity, &user, now).map_err(|e| e.to_string())
            }
            Command::MuteWindow { alarm, start, end, .. } if start == end => {
                Ok(self.book.drop_windows(&alarm, now))
            }
            Command::MuteWindow { alarm: alarms, start, end, severity, user, reason } => {
                let severity = severity_of(severity)?;
                let by = if user.trim().is_empty() { "unknown".to_owned() } else { user };
                let window = MuteWindow { alarms, start, end, severity, by, reason, repeat: Repeat::Once };
                self.book.add_window(window, now)
            }
            Command::Unmute { alarm } => self.book.unmute(&alarm, now).map_err(|e| e.to_string()),
            Command::From { identity, command } => {
                self.book.set_identity(&identity);
                let answer = self.command(*command, now, out);
                self.book.set_identity("");
                answer
            }
            Command::ShowAlarms => Ok(format!("{} alarms shown", self.show_alarms(out))),
            Command::ShowRules => Ok(format!("{} rules shown", self.show_rules(out))),
            Command::ShowTasks => Ok(format!("{} runs shown", self.show_tasks(true, out))),
        }
    }

    fn add_rules(&mut self, rules: Vec<Arc<Rule>>, enabled: bool, now: Tai, out: &mut Vec<Output>) -> String {
        let mut said = Vec::new();
        for rule in rules {
            let verb = if self.rules.get(&rule.name).is_some() { "replaced" } else { "added" };
            let state = if enabled { "enabled" } else { "disabled" };
            said.push(format!("rule {} {verb}, revision {}, {state}", rule.name, rule.revision));
            self.unsaved_rules.insert(rule.name.clone());
            self.changed_rules.insert(rule.name.clone());
            self.rules.add(rule, enabled);
        }
        self.apply_rules(now, out);
        said.join("; ")
    }

    fn remove_rule(&mut self, name: &str, now: Tai, out: &mut Vec<Output>) -> Answer {
        if !self.rules.get(name).is_some_and(super::Entry::covers) {
            self.refuse_removal(name)?;
        }
        let uncovered = self.rules.remove(name)?;
        self.unsaved_rules.insert(name.to_owned());
        if uncovered {
            self.changed_rules.insert(name.to_owned());
        } else {
            self.drop_rule(name, out);
        }
        self.apply_rules(now, out);
        Ok(if uncovered {
            format!("rule {name} removed; the configured rule of that name is in force again")
        } else {
            format!("rule {name} removed")
        })
    }

    fn set_enabled(
        &mut self,
        name: &str,
        enabled: bool,
        reason: &str,
        now: Tai,
        out: &mut Vec<Output>,
    ) -> Answer {
        let was = self.rules.get(name).is_some_and(super::Entry::is_active);
        self.rules.set_enabled(name, enabled, reason)?;
        self.unsaved_rules.insert(name.to_owned());
        self.changed_rules.insert(name.to_owned());
        self.engine_step(RuleInput::SetEnabled { rule: name, enabled }, now, out);
        let word = if enabled { "enabled" } else { "disabled" };
        Ok(if was == enabled {
            format!("rule {name} was {word} already")
        } else {
            format!("rule {name} {word}")
        })
    }

    fn trigger(
        &mut self,
        rule: &str,
        parameters: &str,
        sender: &Sender,
        now: Tai,
        out: &mut Vec<Output>,
    ) -> Answer {
        if !self.engine.knows(rule) {
            self.rules.rule(rule)?;
        }
        let parameters: Map<String, serde_json::Value> = if parameters.trim().is_empty() {
            Map::new()
        } else {
            serde_json::from_str(parameters).map_err(|e| {
                format!("parameters: {e}; give a JSON object such as {{\"pipeline\": \"x.yaml\"}}")
            })?
        };
        let occurrence = format!("c:{}:{}:{}", sender.identity, sender.origin, sender.seq_num);
        let mut effects = Vec::new();
        let what = ManualTrigger { rule, occurrence: &occurrence, parameters: &parameters };
        let id = self.engine.trigger(what, now, &mut effects).map_err(|refused| refused.to_string())?;
        self.work_off(&mut effects, now, out);
        Ok(id)
    }

    pub(super) fn configure(
        &mut self,
        rules: &[Arc<Rule>],
        settings: Settings,
        now: Tai,
        out: &mut Vec<Output>,
    ) {
        self.settings = settings;
        // What was said of it before the CSC had started was heard by nobody.
        self.summary = None;
        if self.restored {
            // Somebody has given the command again: nothing goes on by itself any more.
            self.missed = None;
        }
        self.book.set_incident_owner(self.settings.incident_owner.clone());
        self.book.configure_storms(self.settings.storms);
        self.book.configure_windows(&self.settings.mute_windows, now);
        for gone in self.rules.configure(rules) {
            self.drop_rule(&gone, out);
        }
        self.apply_rules(now, out);
        if !std::mem::replace(&mut self.restored, true) {
            self.restore_states();
            self.reconcile(now, out);
        }
        self.sync_quarantine();
        self.book.call_again();
    }

    /// After a restart: what the journal kept for rules that are gone or changed is let go.
    fn reconcile(&mut self, now: Tai, out: &mut Vec<Output>) {
        for owner in self.book.owners() {
            if self.rules.get(&owner).is_none() {
                self.drop_rule(&owner, out);
            }
        }
        let gone: Vec<String> =
            self.saved_states.keys().filter(|name| self.rules.get(name).is_none()).cloned().collect();
        for name in gone {
            self.saved_states.remove(&name);
            out.push(Output::Record(Record::delete(format!("engine/{name}"))));
        }
        let keyed: Vec<Arc<Rule>> =
            self.rules.iter().filter_map(|(_, e)| e.rule()).filter(|rule| rule.is_keyed()).cloned().collect();
        for rule in keyed {
            self.fit_alarms(&rule, out);
        }
        let mut actions = Vec::new();
        let mut effects = Vec::new();
        let waiting: Vec<(String, String)> = self
            .runs
            .active()
            .filter(|run| run.state == TaskState::Pending)
            .map(|run| (run.id().to_owned(), run.header.rule.clone()))
            .collect();
        for (id, rule) in waiting {
            let known = ["queue", "running"].iter().any(|list| self.engine_lists(&rule, list).contains(&id));
            if !known {
                let reason = format!("rule {rule} was changed or removed before the run began");
                drop(self.runs.cancel(&id, &reason, now, &mut actions));
            }
        }
        let names: Vec<String> = self.rules.iter().map(|(name, _)| name.to_owned()).collect();
        for rule in names {
            for id in self.engine_lists(&rule, "running") {
                if self.runs.active().all(|run| run.id() != id) {
                    self.engine.step(RuleInput::RunEnded { rule: &rule, run_id: &id }, now, &mut effects);
                }
            }
        }
        self.work_off(&mut effects, now, out);
        self.work_off_actions(actions, now, out);
    }

    /// Quarantine is the engine's to say: it goes with the revision, and lasts over a restart.
    fn sync_quarantine(&mut self) {
        let names: Vec<String> = self.rules.iter().map(|(name, _)| name.to_owned()).collect();
        for name in names {
            let reason = self.engine.status(&name).and_then(|status| status.quarantined);
            self.rules.quarantine(&name, reason);
        }
    }

    /// A name has no rule any more: its alarms end, its event says so, its state is forgotten.
    fn drop_rule(&mut self, name: &str, out: &mut Vec<Output>) {
        for alarm in self.book.names_of(name) {
            self.remove_alarm(&alarm, out);
        }
        self.publish_removed_rule(name, out);
        self.rules.forget(name);
        self.saved_states.remove(name);
        out.push(Output::Record(Record::delete(format!("engine/{name}"))));
        self.unsaved_rules.insert(name.to_owned());
    }

    pub(super) fn remove_alarm(&mut self, alarm: &str, out: &mut Vec<Output>) {
        if let Some(removed) = self.book.remove(alarm) {
            out.push(Output::Publish(Event::Alarm(removed.snapshot)));
        }
    }

    /// Brings engine and alarms in line with the rule table.
    pub(super) fn apply_rules(&mut self, now: Tai, out: &mut Vec<Output>) {
        let all: Vec<Arc<Rule>> = self.rules.iter().filter_map(|(_, e)| e.rule().cloned()).collect();
        let inactive: Vec<String> =
            self.rules.iter().filter(|(_, e)| !e.is_active()).map(|(n, _)| n.to_owned()).collect();
        let mut effects = Vec::new();
        self.engine.replace_rules(&all, now, &mut effects);
        for name in &inactive {
            self.engine.step(RuleInput::SetEnabled { rule: name, enabled: false }, now, &mut effects);
        }
        for rule in &all {
            self.fit_alarms(rule, out);
        }
        self.work_off(&mut effects, now, out);
        self.link(now, out);
        out.push(Output::Resubscribe);
        self.checkpoint_due = true;
    }

    /// The rule has its alarms and no others.
    fn fit_alarms(&mut self, rule: &Rule, out: &mut Vec<Output>) {
        // A rule that went into shadow has no alarm any more.
        let live = rule.mode == Mode::Live;
        let keep: BTreeSet<String> =
            if live { self.engine.alarms(&rule.name).into_iter().collect() } else { BTreeSet::new() };
        // After a restart the keys are known only when the rule's state has been taken up.
        if self.restored || !live || !rule.is_keyed() {
            for stale in self.book.names_of(&rule.name).iter().filter(|name| !keep.contains(*name)) {
                self.remove_alarm(stale, out);
            }
        }
        for alarm in &keep {
            self.ensure_alarm(rule, alarm);
        }
    }

    /// Makes an alarm of the rule if it has any. A delay that the rule leaves at zero is the site's.
    pub(super) fn ensure_alarm(&mut self, rule: &Rule, alarm: &str) {
        let Some(plan) = rule.alarm.as_ref().filter(|_| rule.mode != Mode::Shadow) else { return };
        let site = &self.settings.alarm;
        let or = |own: std::time::Duration, site: std::time::Duration| if own.is_zero() { site } else { own };
        let config = AlarmConfig {
            auto_acknowledge: or(plan.config.auto_acknowledge, site.auto_acknowledge),
            auto_unacknowledge: or(plan.config.auto_unacknowledge, site.auto_unacknowledge),
            ..plan.config.clone()
        };
        self.book.ensure(alarm, &rule.name, &rule.revision, &config);
    }

    /// A shadow rule acts from now on, with all that it remembers.
    fn promote(&mut self, name: &str, now: Tai, out: &mut Vec<Output>) -> Answer {
        self.rules.promote(name)?;
        self.unsaved_rules.insert(name.to_owned());
        self.changed_rules.insert(name.to_owned());
        self.apply_rules(now, out);
        let active = self.rules.get(name).is_some_and(super::Entry::is_active);
        if active {
            // What it knows already is said now.
            self.engine_step(RuleInput::SetEnabled { rule: name, enabled: true }, now, out);
        }
        let state = if active { "live" } else { "live, and disabled" };
        Ok(format!("rule {name} is {state}"))
    }

    pub(super) fn caught_up(&mut self, now: Tai, out: &mut Vec<Output>) {
        let mut effects = Vec::new();
        if self.enabled {
            self.engine.begin_new(now, &mut effects);
        } else {
            self.engine.history_done();
        }
        self.work_off(&mut effects, now, out);
    }

    pub(super) fn enable(&mut self, now: Tai, out: &mut Vec<Output>) {
        self.enabled = true;
        self.engine.history_done();
        // Before the deadlines: they look at what is true by now.
        self.make_up(now, out);
        self.engine.wake(now);
        self.book.thaw(now);
        self.begin_waiting(now, out);
        let mut effects = Vec::new();
        self.engine.reevaluate_all(now, &mut effects);
        self.work_off(&mut effects, now, out);
        self.settle(now, out);
        self.show_alarms(out);
        self.show_rules(out);
        self.show_tasks(false, out);
    }

    pub(super) fn disable(&mut self, now: Tai, out: &mut Vec<Output>) {
        self.cancel_on_disable(now, out);
        self.enabled = false;
        self.missed = None;
        self.engine.sleep();
        self.book.freeze();
        self.checkpoint_due = true;
    }
}

fn severity_of(number: i64) -> Result<Severity, String> {
    Severity::try_from(number).map_err(|e| e.to_string())
}
