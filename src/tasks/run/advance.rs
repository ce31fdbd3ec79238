//! What a run does next by itself: begin steps whose needs are met, skip those that will never run, end.

use salobj::Tai;

use super::{Run, RunAction, StepRun};
use crate::tasks::call::Stop;
use crate::tasks::plan::{Plan, When};
use crate::tasks::state::{Edge, TaskState};

/// What is to become of a waiting step.
enum Next {
    Wait,
    Dispatch,
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
        for need in &self.steps[i].plan.needs {
            match self.step_named(need).map(|s| s.state) {
                Some(TaskState::Succeeded) => {}
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
        let name = self.steps[i].plan.name.clone();
        match plan.when(&name, &self.context) {
            When::True => {}
            When::False => return Next::End(Edge::Skip, "its condition is false".to_owned()),
            When::Unknown(why) => {
                return Next::End(Edge::Skip, format!("its condition is unknown: {why}"));
            }
        }
        match plan.render(&name, &self.context) {
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
        let any = |state| self.steps.iter().any(|s| s.state == state);
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
                let texts: Vec<String> =
                    self.steps.iter().filter(bad).map(|s| format!("{}: {}", s.name(), s.error)).collect();
                texts.join("; ")
            }
        };
        // A running run may end by any of these edges.
        drop(self.change(edge, now, out));
    }
}
