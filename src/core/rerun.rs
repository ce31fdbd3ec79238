//! Runs that are run once more, and runs that end when the CSC leaves ENABLED.

use salobj::Tai;
use serde_json::{Map, Value as Json};

use super::effects::{header_of, plan_of};
use super::{Answer, Core, Output, Sender};
use crate::rules::{Mode, OnDisable, RunContext};

impl Core {
    /// Starts the tasks of a run that has ended again: a new run, which names the old one as its parent, on the inputs and
    /// parameters of the old one and with the rule as it is now. Somebody asked for it, so neither `when` nor the limits of the
    /// trigger count.
    pub(super) fn rerun(
        &mut self,
        id: &str,
        reason: &str,
        sender: &Sender,
        now: Tai,
        out: &mut Vec<Output>,
    ) -> Answer {
        let Some(run) = self.runs.get(id) else {
            return Err(match self.runs.knows(id) {
                true => {
                    format!("run {id:?} ended too long ago: what it ran on is not kept; trigger its rule")
                }
                false => format!("there is no run {id:?}"),
            });
        };
        if !run.state.is_final() {
            return Err(format!("run {id:?} is {}; cancel it first", run.state));
        }
        let entry = self.rules.get(&run.header.rule);
        let Some(rule) = entry.and_then(super::Entry::rule).cloned() else {
            return Err(format!("rule {} of run {id:?} is not there any more", run.header.rule));
        };
        if rule.workflow.is_none() {
            return Err(format!("rule {} has no tasks any more", rule.name));
        }
        if rule.mode == Mode::Shadow || !entry.is_some_and(super::Entry::is_active) {
            return Err(format!("rule {} is disabled or in shadow mode and starts nothing", rule.name));
        }
        let key = run.header.key.clone();
        let occurrence = format!("r:{id}:{}:{}:{}", sender.identity, sender.origin, sender.seq_num);
        let new_id = rule.run_id(key.as_deref(), &occurrence);
        let mut parameters = rule.parameters.clone();
        let given = run.context.parameters.clone();
        parameters.extend(given.into_iter().filter(|(name, _)| rule.parameters.contains_key(name)));
        let context = RunContext { tasks: Map::new(), item: None, parameters, ..run.context.clone() };
        let mut header = header_of(&new_id, &rule, key, &occurrence, now);
        header.parent = Some(id.to_owned());
        let mut actions = Vec::new();
        if self.runs.start(header, with_occurrence(context, &occurrence), plan_of(&rule), now, &mut actions) {
            self.runs.settle(id, &new_id);
            self.rule_of_run.insert(new_id.clone(), rule);
            let why = if reason.is_empty() { String::new() } else { format!(": {reason}") };
            tracing::info!("run {id} is run again as {new_id}{why}");
        }
        self.work_off_actions(actions, now, out);
        Ok(new_id)
    }

    /// The CSC leaves ENABLED: runs of rules with `on_disable: cancel` end.
    pub(super) fn cancel_on_disable(&mut self, now: Tai, out: &mut Vec<Output>) {
        let ids: Vec<String> = self
            .runs
            .active()
            .filter(|run| run.stopping.is_none())
            .filter(|run| {
                self.rule_of_run.get(run.id()).is_some_and(|rule| rule.on_disable == OnDisable::Cancel)
            })
            .map(|run| run.id().to_owned())
            .collect();
        let mut actions = Vec::new();
        for id in ids {
            // It has not ended and is not ending, so it can be cancelled.
            drop(self.runs.cancel(&id, "the Catcher left ENABLED", now, &mut actions));
        }
        self.work_off_actions(actions, now, out);
    }
}

/// The trigger is the command; what it says of time and input is still that of the run before.
fn with_occurrence(mut context: RunContext, occurrence: &str) -> RunContext {
    context.trigger.insert("kind".to_owned(), Json::from("rerun"));
    context.trigger.insert("occurrence".to_owned(), Json::from(occurrence));
    context
}
