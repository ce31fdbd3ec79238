//! Events that say how things stand, rather than what changed.

use salobj::Tai;

use super::effects::task_event;
use super::{Core, Event, Output, RuleEvent, RuleState, Summary};

impl Core {
    pub(super) fn show_alarms(&self, out: &mut Vec<Output>) -> usize {
        let all = self.book.show();
        let count = all.len();
        out.extend(all.into_iter().map(|snapshot| Output::Publish(Event::Alarm(snapshot))));
        count
    }

    pub(super) fn show_rules(&self, out: &mut Vec<Output>) -> usize {
        let names: Vec<&str> = self.rules.iter().map(|(name, _)| name).collect();
        for name in &names {
            self.publish_rule(name, out);
        }
        names.len()
    }

    /// Runs that wait or are under way; with `finished` also the last ones that ended, oldest first.
    pub(super) fn show_tasks(&self, finished: bool, out: &mut Vec<Output>) -> usize {
        let ended = self.runs.finished().chain(self.runs.failed());
        let mut runs: Vec<_> = if finished { ended.collect() } else { Vec::new() };
        runs.reverse();
        runs.extend(self.runs.active());
        for run in &runs {
            out.push(Output::Publish(Event::Task(task_event(run, ""))));
            for step in &run.steps {
                out.push(Output::Publish(Event::Task(task_event(run, step.name()))));
            }
        }
        runs.len()
    }

    pub(super) fn publish_rule(&self, name: &str, out: &mut Vec<Output>) {
        let Some(entry) = self.rules.get(name) else { return };
        let Some(rule) = entry.rule() else { return };
        out.push(Output::Publish(Event::Rule(RuleEvent {
            rule_name: name.to_owned(),
            state: entry.state(self.enabled),
            revision: rule.revision.clone(),
            origin: entry.origin().to_string(),
            description: rule.description.clone(),
            definition: rule.definition.clone(),
            timestamp_last_triggered: entry.memory().last_triggered,
            error: entry.error(),
        })));
    }

    pub(super) fn publish_removed_rule(&self, name: &str, out: &mut Vec<Output>) {
        out.push(Output::Publish(Event::Rule(RuleEvent {
            rule_name: name.to_owned(),
            state: RuleState::Removed,
            revision: String::new(),
            origin: String::new(),
            description: String::new(),
            definition: String::new(),
            timestamp_last_triggered: 0.0,
            error: String::new(),
        })));
    }

    pub(super) fn publish_summary(&mut self, _now: Tai, out: &mut Vec<Output>) {
        let alarms = self.book.counts();
        let runs = self.runs.summary();
        let mut summary = Summary {
            alarms_warning: count(alarms.warning),
            alarms_serious: count(alarms.serious),
            alarms_critical: count(alarms.critical),
            alarms_unacknowledged: count(alarms.unacknowledged),
            tasks_executing: count(runs.executing),
            tasks_queued: count(runs.queued),
            tasks_finished: runs.finished.saturating_sub(runs.failed).try_into().unwrap_or(i64::MAX),
            tasks_failed: runs.failed.try_into().unwrap_or(i64::MAX),
            executing_ids: runs.executing_ids,
            finished_ids: runs.finished_ids,
            ..Summary::default()
        };
        for (_, entry) in self.rules.iter() {
            match entry.state(self.enabled) {
                RuleState::Enabled | RuleState::Shadow | RuleState::Loaded => summary.rules_enabled += 1,
                RuleState::Failed => summary.rules_failed += 1,
                RuleState::Disabled | RuleState::Removed => summary.rules_disabled += 1,
            }
        }
        if self.summary.as_ref() != Some(&summary) {
            out.push(Output::Publish(Event::Summary(summary.clone())));
            self.summary = Some(summary);
        }
    }
}

fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
