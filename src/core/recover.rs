//! Taking up what the journal kept, before anything else is done.

use std::collections::BTreeMap;
use std::sync::Arc;

use salobj::Tai;
use serde_json::Value as Json;

use super::effects::{result_event, task_event};
use super::event::Event;
use super::{Core, HISTORY, Memory, Output};
use crate::alarms::AlarmRecord;
use crate::rules::Rule;
use crate::tasks::run::RunHeader;
use crate::tasks::runs::SharedPlan;
use crate::tasks::state::TaskState;

/// The ends of runs are told again that came at most so long before the last one, seconds: as long as a broker may be away.
const TOLD_AGAIN_S: f64 = 600.0;

/// What recovery needs from outside: definitions are compiled by the caller, who has the schemas.
pub struct Recovery<'a> {
    /// The newest value of every key of the journal.
    pub entries: &'a BTreeMap<String, Json>,
    /// Compiles the definition of one rule (the rule of that name in it).
    pub compile: &'a Compile<'a>,
}

/// Name and definition to the rule of that name.
pub type Compile<'a> = dyn Fn(&str, &str) -> Result<Arc<Rule>, String> + 'a;

impl Core {
    /// Takes back rules added at run time, what commands said about rules, alarms and runs. Nothing is published. The
    /// problems found are returned as sentences; what is sound is taken up all the same.
    pub fn recover(&mut self, recovery: &Recovery<'_>, now: Tai, out: &mut Vec<Output>) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, value) in with_prefix(recovery.entries, "rule/") {
            match serde_json::from_value::<Memory>(value.clone()) {
                Ok(memory) => {
                    let added = memory.definition.as_ref().and_then(|text| {
                        let compiled = (recovery.compile)(name, text);
                        compiled
                            .map_err(|e| {
                                problems.push(format!(
                                    "rule {name}, added at run time, does not compile any more: {e}"
                                ))
                            })
                            .ok()
                    });
                    self.rules.recover(name, memory, added);
                }
                Err(e) => problems.push(format!("journal entry rule/{name}: {e}")),
            }
        }
        let mut alarms = Vec::new();
        for (name, value) in with_prefix(recovery.entries, "alarm/") {
            match serde_json::from_value::<AlarmRecord>(value.clone()) {
                Ok(record) => alarms.push((name.to_owned(), record)),
                Err(e) => problems.push(format!("journal entry alarm/{name}: {e}")),
            }
        }
        self.book.import(alarms);
        let mut incidents = Vec::new();
        for (id, value) in with_prefix(recovery.entries, "incident/") {
            match serde_json::from_value(value.clone()) {
                Ok(incident) => incidents.push((id.to_owned(), incident)),
                Err(e) => problems.push(format!("journal entry incident/{id}: {e}")),
            }
        }
        self.book.import_incidents(incidents);
        let mut windows = Vec::new();
        for (id, value) in with_prefix(recovery.entries, "mute_window/") {
            match serde_json::from_value(value.clone()) {
                Ok(window) => windows.push((id.to_owned(), window)),
                Err(e) => problems.push(format!("journal entry mute_window/{id}: {e}")),
            }
        }
        self.book.import_windows(windows);
        match recovery.entries.get(super::tell::STORM).map(|value| serde_json::from_value(value.clone())) {
            None => {}
            Some(Ok(storm)) => self.book.import_storm(storm),
            Some(Err(e)) => problems.push(format!("journal entry {}: {e}", super::tell::STORM)),
        }
        self.recover_history(recovery.entries.get(HISTORY));
        if recovery.entries.get("csc").and_then(|csc| csc.get("state")?.as_str()) == Some("ENABLED") {
            self.expect_missed();
        }
        for (name, value) in with_prefix(recovery.entries, "engine/") {
            self.saved_states.insert(name.to_owned(), value.clone());
        }
        for (name, value) in with_prefix(recovery.entries, "result/") {
            if let Err(e) = self.recover_result(name, value) {
                problems.push(format!("journal entry result/{name}: {e}"));
            }
        }
        let mut actions = Vec::new();
        let rules = std::cell::RefCell::new(BTreeMap::new());
        let plans = |header: &RunHeader| -> Option<SharedPlan> {
            let rule = (recovery.compile)(&header.rule, &header.definition).ok()?;
            rules.borrow_mut().insert(header.id.clone(), rule.clone());
            Some(rule)
        };
        let bad = self.runs.import(recovery.entries, &plans, now, &mut actions);
        problems.extend(bad.into_iter().map(|entry| entry.to_string()));
        let mut rules = rules.into_inner();
        self.untold = self.last_ends(recovery);
        // Ended, but the process died before the report was there.
        for run in self.runs.finished().filter(|run| run.started.is_some() && run.report_url.is_empty()) {
            let severity = crate::alarms::Severity::try_from(run.severity).unwrap_or_default();
            if let Ok(rule) = (recovery.compile)(&run.header.rule, &run.header.definition)
                && rule.report.includes(severity)
            {
                rules.insert(run.id().to_owned(), rule);
                self.unreported.push(run.id().to_owned());
            }
        }
        self.rule_of_run = rules;
        self.resumed = actions;
        self.settle(now, out);
        problems
    }

    /// What was told of the runs that ended last may not have left before the process died.
    fn last_ends(&self, recovery: &Recovery<'_>) -> Vec<Event> {
        let last =
            self.runs.finished().filter_map(|run| run.finished).map(|at| at.0).fold(f64::NAN, f64::max);
        let mut ends = Vec::new();
        // Oldest first.
        for run in self.runs.finished().collect::<Vec<_>>().into_iter().rev() {
            if run.finished.is_none_or(|at| last - at.0 > TOLD_AGAIN_S) {
                continue;
            }
            ends.extend(run.steps.iter().map(|step| Event::Task(task_event(run, step.name()))));
            ends.push(Event::Task(task_event(run, "")));
            if run.started.is_some() && run.state != TaskState::Skipped {
                let rule = (recovery.compile)(&run.header.rule, &run.header.definition).ok();
                ends.push(Event::Result(result_event(run, rule.as_deref())));
            }
        }
        ends
    }

    /// The configured rules are there: the rules' states are taken up.
    pub(super) fn restore_states(&mut self) {
        for (name, state) in &self.saved_states {
            self.engine.restore(name, state);
        }
    }

    /// Goes on with the runs that were going when the process ended.
    pub(super) fn resume(&mut self, now: Tai, out: &mut Vec<Output>) {
        out.extend(std::mem::take(&mut self.untold).into_iter().map(Output::Publish));
        let actions = std::mem::take(&mut self.resumed);
        self.work_off_actions(actions, now, out);
        for run_id in std::mem::take(&mut self.unreported) {
            out.push(Output::WriteReport { run_id });
        }
    }
}

fn with_prefix<'a>(
    entries: &'a BTreeMap<String, Json>,
    prefix: &'static str,
) -> impl Iterator<Item = (&'a str, &'a Json)> {
    entries
        .range(prefix.to_owned()..)
        .take_while(move |(key, _)| key.starts_with(prefix))
        .map(move |(key, value)| (&key[prefix.len()..], value))
}
