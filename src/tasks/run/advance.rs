//! What a run does next by itself: begin steps whose needs are met, skip those that will never run, end.

use salobj::Tai;

use super::{Run, RunAction, StepRun};
use crate::tasks::call::Stop;
use crate::tasks::plan::{OnFailure, Plan, When};
use crate::tasks::state::{Edge, TaskState};

/// What is to become of a waiting step.
enum Next {
    Wait,
    Dispatch,
    FanOut,
    End(Edge, String),
}

impl Run {
    /// Moves on as far as possible without further events.
    pub(super) fn advance(&mut self, plan: Option<&dyn Plan>, now: Tai, out: &mut Vec<RunAction>) {
        loop {
            let mut moved = false;
            for i in 0..self.steps.len() {
                match self.next(i, plan, now) {
                    Next::Wait => continue,
                    Next::Dispatch => self.dispatch(i, out),
                    Next::FanOut => {
                        let fanned = plan.map_or(Ok(()), |plan| self.fan_out(i, plan, now, out));
                        if let Err(text) = fanned {
                            self.end_step(i, Edge::Fail, &text, now, out);
                        }
                    }
                    Next::End(edge, text) => self.end_step(i, edge, &text, now, out),
                }
                moved = true;
            }
            if !moved {
                break;
            }
        }
        if self.steps.iter().all(|s| s.state.is_final()) {
            self.finish(now, out);
        }
    }

    fn next(&mut self, i: usize, plan: Option<&dyn Plan>, now: Tai) -> Next {
        if self.steps[i].dispatched || self.stopping.is_some() {
            return Next::Wait;
        }
        if let Some(item) = &self.steps[i].item
            && !self.steps[i].state.is_final()
            && !self.may_begin(&item.of)
        {
            return Next::Wait;
        }
        match self.steps[i].state {
            TaskState::Pending => self.begin(i, plan),
            TaskState::Retrying if self.steps[i].retry_at.is_none_or(|at| at.0 <= now.0) => Next::Dispatch,
            TaskState::Retrying
            | TaskState::Running
            | TaskState::Succeeded
            | TaskState::Failed
            | TaskState::Aborted
            | TaskState::TimedOut
            | TaskState::Skipped => Next::Wait,
        }
    }

    /// Decides on a step that has not been tried yet, and fills its parameters in if it is to run.
    fn begin(&mut self, i: usize, plan: Option<&dyn Plan>) -> Next {
        if self.steps[i].plan.for_failure {
            let others = || self.steps.iter().filter(|s| !s.plan.for_failure);
            if others().any(|s| !s.state.is_final()) {
                return Next::Wait;
            }
            if !others().any(StepRun::failed_for_the_run) {
                return Next::End(Edge::Skip, "nothing failed".to_owned());
            }
        }
        for need in &self.steps[i].plan.needs {
            let needed = self.step_named(need);
            let lenient = needed.is_some_and(|s| {
                s.plan.on_failure == OnFailure::Continue
                    && matches!(s.state, TaskState::Failed | TaskState::TimedOut)
            });
            match needed.map(|s| s.state) {
                Some(TaskState::Succeeded) => {}
                Some(_) if lenient => {}
                Some(state) if state.is_final() => {
                    return Next::End(Edge::Skip, format!("needs {need}, which is {state}"));
                }
                Some(_) => return Next::Wait,
                None => return Next::End(Edge::Fail, format!("needs {need}, which is no step of this rule")),
            }
        }
        let Some(plan) = plan else {
            let text = format!(
                "rule {} revision {} cannot be used any more",
                self.header.rule, self.header.revision
            );
            return Next::End(Edge::Fail, text);
        };
        if self.steps[i].item.is_some() {
            return self.rendered(i, plan);
        }
        let name = self.steps[i].plan.name.clone();
        match plan.when(&name, &self.context) {
            When::True => {}
            When::False => return Next::End(Edge::Skip, "its condition is false".to_owned()),
            When::Unknown(why) => {
                return Next::End(Edge::Skip, format!("its condition is unknown: {why}"));
            }
        }
        if self.steps[i].plan.foreach.is_some() { Next::FanOut } else { self.rendered(i, plan) }
    }

    fn rendered(&mut self, i: usize, plan: &dyn Plan) -> Next {
        match self.render_item(i, plan) {
            Ok(params) => {
                self.steps[i].params = params;
                Next::Dispatch
            }
            Err(text) => Next::End(Edge::Fail, text),
        }
    }

    fn dispatch(&mut self, i: usize, out: &mut Vec<RunAction>) {
        let step = &mut self.steps[i];
        step.attempt += 1;
        step.dispatched = true;
        step.retry_at = None;
        step.backend_id.clear();
        self.step_changed(i, out);
        out.push(RunAction::Dispatch(Box::new(self.call(i))));
    }

    fn finish(&mut self, now: Tai, out: &mut Vec<RunAction>) {
        let counts = |s: &&StepRun| {
            let bad = matches!(s.state, TaskState::Failed | TaskState::TimedOut);
            s.item.is_none() && (!bad || s.failed_for_the_run())
        };
        let any = |state| self.steps.iter().filter(counts).any(|s| s.state == state);
        let edge = match &self.stopping {
            Some(Stop::TimeUp(_)) if any(TaskState::TimedOut) => Edge::TimeOut,
            Some(Stop::Cancelled(_)) if any(TaskState::Aborted) => Edge::Abort,
            _ if any(TaskState::Failed) => Edge::Fail,
            _ if any(TaskState::TimedOut) => Edge::TimeOut,
            _ if any(TaskState::Aborted) => Edge::Abort,
            _ => Edge::Succeed,
        };
        self.error = match (edge, &self.stopping) {
            (Edge::Succeed, _) => String::new(),
            (_, Some(Stop::Cancelled(reason) | Stop::TimeUp(reason))) => reason.clone(),
            (_, None) => {
                let bad = |s: &&StepRun| {
                    matches!(s.state, TaskState::Failed | TaskState::TimedOut | TaskState::Aborted)
                };
                let texts: Vec<String> = self
                    .steps
                    .iter()
                    .filter(counts)
                    .filter(bad)
                    .map(|s| format!("{}: {}", s.name(), s.error))
                    .collect();
                texts.join("; ")
            }
        };
        // A running run may end by any of these edges.
        drop(self.change(edge, now, out));
    }
}
