//! The runs in the journal: what has to be written after a change, and how all is taken back after a restart.

use std::collections::BTreeMap;

use salobj::Tai;
use serde::Serialize;
use serde_json::Value;

use super::{BadEntry, COUNTS, Counts, Ended, Going, KEEP_FAILED, KEEP_FINISHED, Runs, SharedPlan};
use crate::tasks::run::{Run, RunAction, RunEvent, RunHeader, StepRun};
use crate::tasks::state::TaskState;

const RUN: &str = "run/";
const ITEM: &str = "item/";
const COMMAND: &str = "command/";
const COUNTS_KEY: &str = "runs";

impl Runs {
    /// What changed since the last call, as journal records (`None` deletes the key). They must be durable before the
    /// actions that came with the change are carried out.
    pub fn take_records(&mut self) -> Vec<(String, Option<Value>)> {
        let mut records = Vec::with_capacity(self.changed.len() + self.forgotten.len());
        for id in std::mem::take(&mut self.changed) {
            if id == COUNTS {
                records.push((COUNTS_KEY.to_owned(), Some(json(&self.counts))));
            } else {
                let value = self.get(&id).map(json).or_else(|| self.past_states.get(&id).map(json));
                records.push((format!("{RUN}{id}"), value));
            }
        }
        for (id, step) in std::mem::take(&mut self.changed_items) {
            let value = self.get(&id).and_then(|run| run.step_named(&step)).map(json);
            records.push((format!("{ITEM}{id}/{step}"), value));
        }
        records.extend(std::mem::take(&mut self.forgotten).into_iter().map(|key| (key, None)));
        records
    }

    /// Takes all runs back from the newest values of the journal's keys. `plans` finds the workflow of a run by name and
    /// revision, or compiles its definition again. Runs under way go on: their steps come out as
    /// [`RunAction::Resume`]. Runs that had not begun are kept PENDING; those whose time to begin has passed are ABORTED.
    pub fn import(
        &mut self,
        entries: &BTreeMap<String, Value>,
        plans: &dyn Fn(&RunHeader) -> Option<SharedPlan>,
        now: Tai,
        out: &mut Vec<RunAction>,
    ) -> Vec<BadEntry> {
        let mut bad = Vec::new();
        let mut ended: Vec<Run> = Vec::new();
        let mut past: Vec<(String, Ended)> = Vec::new();
        let mut resumed = Vec::new();
        let mut items = items(entries, &mut bad);
        for (key, value) in entries.range(RUN.to_owned()..).take_while(|(key, _)| key.starts_with(RUN)) {
            if value.get("ended").is_some() {
                match serde_json::from_value(value.clone()) {
                    Ok(state) => past.push((key[RUN.len()..].to_owned(), state)),
                    Err(e) => bad.push(BadEntry { key: key.clone(), reason: e.to_string() }),
                }
                continue;
            }
            let read = serde_json::from_value::<Run>(value.clone()).map(|mut run| {
                run.steps.extend(items.remove(run.id()).unwrap_or_default());
                run
            });
            match read {
                Ok(run) if run.state.is_final() => ended.push(run),
                Ok(run) => {
                    resumed.push(run.id().to_owned());
                    let plan = plans(&run.header);
                    self.going.insert(run.id().to_owned(), Going { run, plan });
                }
                Err(e) => bad.push(BadEntry { key: key.clone(), reason: e.to_string() }),
            }
        }
        // A crash came between two writes, or their run cannot be read.
        for (id, steps) in items {
            self.changed_items.extend(steps.into_iter().map(|s| (id.clone(), s.plan.name)));
        }
        self.take_ended(ended, past);
        if let Some(value) = entries.get(COUNTS_KEY) {
            match serde_json::from_value::<Counts>(value.clone()) {
                Ok(counts) => self.counts = counts,
                Err(e) => bad.push(BadEntry { key: COUNTS_KEY.to_owned(), reason: e.to_string() }),
            }
        }
        for id in resumed {
            let waits_too_long = self
                .get(&id)
                .is_some_and(|r| r.state == TaskState::Pending && r.header.start_before.0 < now.0);
            let event = if waits_too_long {
                let reason =
                    "it had not begun before the restart, and its trigger is older than max_event_age";
                RunEvent::Cancel { reason: reason.to_owned() }
            } else {
                RunEvent::Resume
            };
            // Both fit every state of a run that has not ended.
            drop(self.apply(&id, event, now, out));
        }
        self.drop_stray_commands(entries);
        bad
    }

    fn take_ended(&mut self, mut ended: Vec<Run>, mut past: Vec<(String, Ended)>) {
        let when = |run: &Run| run.finished.unwrap_or_default().0;
        ended.sort_by(|a, b| when(b).total_cmp(&when(a)));
        for run in ended.split_off(ended.len().min(KEEP_FINISHED)) {
            if run.is_open() && self.failed.len() < KEEP_FAILED {
                self.failed.push_back(run);
                continue;
            }
            past.push((run.id().to_owned(), Ended { ended: run.state, finished: Tai(when(&run)) }));
        }
        past.sort_by(|a, b| b.1.finished.0.total_cmp(&a.1.finished.0));
        self.finished.extend(ended);
        for (id, state) in past {
            self.past.push_back(id.clone());
            self.past_states.insert(id, state);
        }
    }

    /// Deletes the records of attempts that are not under way any more (a crash came between two writes).
    fn drop_stray_commands(&mut self, entries: &BTreeMap<String, Value>) {
        for (key, _) in entries.range(COMMAND.to_owned()..).take_while(|(key, _)| key.starts_with(COMMAND)) {
            let id = key[COMMAND.len()..].split('/').next().unwrap_or_default();
            let wanted = self.going.get(id).is_some_and(|going| going.run.awaits(key));
            if !wanted {
                self.forgotten.insert(key.clone());
            }
        }
    }
}

/// The steps of the items of each run, in their order.
fn items(entries: &BTreeMap<String, Value>, bad: &mut Vec<BadEntry>) -> BTreeMap<String, Vec<StepRun>> {
    let mut all: BTreeMap<String, Vec<StepRun>> = BTreeMap::new();
    for (key, value) in entries.range(ITEM.to_owned()..).take_while(|(key, _)| key.starts_with(ITEM)) {
        let id = key[ITEM.len()..].split('/').next().unwrap_or_default();
        match serde_json::from_value::<StepRun>(value.clone()) {
            Ok(step) if step.item.is_some() => all.entry(id.to_owned()).or_default().push(step),
            Ok(_) => bad.push(BadEntry { key: key.clone(), reason: "it is for no item".to_owned() }),
            Err(e) => bad.push(BadEntry { key: key.clone(), reason: e.to_string() }),
        }
    }
    for steps in all.values_mut() {
        let place = |s: &StepRun| s.item.as_ref().map(|item| (item.of.clone(), item.index));
        steps.sort_by_key(place);
    }
    all
}

fn json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).expect("maps with text keys, numbers and text always fit JSON")
}
