//! `foreach`: one step for each item of a list.
//!
//! ```text
//!  step "isr" (the group): PENDING ─ its turn ─► RUNNING: steps "isr[0]", "isr[1]", ... ─ all ended ─► SUCCEEDED or FAILED
//! ```
//!
//! The items' steps are steps of the run like any other (states, retries, time limits, journal, events), at most `max_parallel`
//! of them with the driver at a time. They stand behind the steps of the rule, in the order of the items. The group succeeds
//! if not more of them failed than `allow_failures` says; its result has those of the items as a list.

use salobj::Tai;
use serde_json::{Map, Value, json};

use super::{Run, RunAction, StepRun};
use crate::tasks::call::Stop;
use crate::tasks::plan::{Item, Plan};
use crate::tasks::state::{Edge, TaskState, step_after};

/// Most items of one step.
pub(super) const MOST_ITEMS: usize = 1000;

/// How many failures a result names.
const TOLD: usize = 10;

/// The name of an item's step.
fn name(group: &str, index: usize) -> String {
    format!("{group}[{index}]")
}

impl Run {
    /// It is a group's turn: its items become steps. The text says why that is not possible.
    pub(super) fn fan_out(
        &mut self,
        group: usize,
        plan: &dyn Plan,
        now: Tai,
        out: &mut Vec<RunAction>,
    ) -> Result<(), String> {
        let of = self.steps[group].plan.name.clone();
        let items = plan.items(&of, &self.context)?;
        if items.len() > MOST_ITEMS {
            return Err(format!("foreach gives {} items, at most {MOST_ITEMS} are run", items.len()));
        }
        let step = &mut self.steps[group];
        step.state = step_after(step.state, Edge::Start).map_err(|e| e.to_string())?;
        step.started = Some(now);
        step.attempt = 1;
        let mut plan = step.plan.clone();
        plan.needs.clear();
        plan.foreach = None;
        self.step_changed(group, out);
        for (index, value) in items.into_iter().enumerate() {
            let plan = crate::tasks::plan::StepPlan { name: name(&of, index), ..plan.clone() };
            let mut step = StepRun::new(plan);
            step.item = Some(Item { of: of.clone(), index, value });
            self.steps.push(step);
            // The journal must have all of them, also those that wait.
            self.step_changed(self.steps.len() - 1, out);
        }
        self.end_group(group, now, out);
        Ok(())
    }

    /// The steps of a group's items.
    pub(super) fn items_of<'a>(&'a self, group: &'a str) -> impl Iterator<Item = &'a StepRun> {
        self.steps.iter().filter(move |s| s.item.as_ref().is_some_and(|item| item.of == group))
    }

    /// True if an item of this group may go to the driver now.
    pub(super) fn may_begin(&self, group: &str) -> bool {
        let most = self.step_named(group).and_then(|g| g.plan.foreach.as_ref()).map_or(1, |f| f.max_parallel);
        self.items_of(group).filter(|s| s.dispatched).count() < most.max(1)
    }

    /// Fills an item's parameters in.
    pub(super) fn render_item(&mut self, i: usize, plan: &dyn Plan) -> Result<Value, String> {
        let Some(item) = self.steps[i].item.clone() else {
            return plan.render(&self.steps[i].plan.name, &self.context);
        };
        let of = item.of.clone();
        self.context.item = Some(item);
        let rendered = plan.render(&of, &self.context);
        self.context.item = None;
        rendered
    }

    /// Ends a group whose items have all ended.
    pub(super) fn end_group(&mut self, group: usize, now: Tai, out: &mut Vec<RunAction>) {
        let step = &self.steps[group];
        let Some(plan) = step.plan.foreach.filter(|_| step.state == TaskState::Running) else {
            return;
        };
        let name = step.plan.name.clone();
        let all: Vec<&StepRun> = self.items_of(&name).collect();
        if all.iter().any(|s| !s.state.is_final()) {
            return;
        }
        let n = all.len();
        let failed: Vec<&&StepRun> = all.iter().filter(|s| s.state != TaskState::Succeeded).collect();
        let errors: Map<String, Value> = failed
            .iter()
            .take(TOLD)
            .filter_map(|s| Some((s.item.as_ref()?.index.to_string(), json!(s.error))))
            .collect();
        let first = failed.first().map(|s| format!("{}: {}", s.plan.name, s.error)).unwrap_or_default();
        let failed = failed.len();
        let results: Vec<Value> = all.iter().map(|s| s.result.clone()).collect();
        let result = json!({
            "n": n,
            "succeeded": n - failed,
            "failed": failed,
            "results": results,
            "errors": errors,
        });
        self.steps[group].result = result;
        let few = failed <= plan.allow_failures.of(n);
        let text = format!("{failed} of {n} failed, {} may; first {first}", plan.allow_failures.of(n));
        match &self.stopping {
            Some(Stop::Cancelled(reason)) if failed > 0 => {
                let text = reason.clone();
                self.end_step(group, Edge::Abort, &text, now, out);
            }
            Some(Stop::TimeUp(reason)) if failed > 0 => {
                let text = reason.clone();
                self.end_step(group, Edge::TimeOut, &text, now, out);
            }
            _ if few => self.end_step(group, Edge::Succeed, if failed > 0 { &text } else { "" }, now, out),
            _ => self.end_step(group, Edge::Fail, &text, now, out),
        }
    }
}
