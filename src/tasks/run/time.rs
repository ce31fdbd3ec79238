//! What passing time and a restart of the process do to a run.

use std::time::Duration;

use salobj::Tai;

use super::{RESUME_GRACE, Run, RunAction, STOP_GRACE};
use crate::tasks::call::Stop;
use crate::tasks::state::{Edge, TaskState};

impl Run {
    pub(super) fn resume(&mut self, now: Tai, out: &mut Vec<RunAction>) {
        let least = now + RESUME_GRACE;
        if let Some(deadline) = &mut self.deadline
            && deadline.0 < least.0
            && self.stopping.is_none()
        {
            *deadline = least;
        }
        if self.stopping.is_some() {
            self.stop_by = Some(now + STOP_GRACE);
        }
        for i in 0..self.steps.len() {
            if self.state != TaskState::Running || !self.steps[i].dispatched {
                continue;
            }
            let mut call = self.call(i);
            let step = &mut self.steps[i];
            if let Some(deadline) = step.attempt_deadline {
                let left = Duration::try_from_secs_f64(deadline - (now + STOP_GRACE)).unwrap_or_default();
                call.timeout = left.clamp(RESUME_GRACE, step.plan.timeout.max(RESUME_GRACE));
                step.attempt_deadline = Some(now + call.timeout + STOP_GRACE);
            }
            let id = call.id.clone();
            out.push(RunAction::Resume(Box::new(call)));
            if let Some(stop) = &self.stopping {
                out.push(RunAction::Abort { id, stop: stop.clone() });
            }
        }
    }

    pub(super) fn tick(&mut self, now: Tai, out: &mut Vec<RunAction>) {
        if self.state != TaskState::Running {
            return;
        }
        let due = |at: Option<Tai>| at.is_some_and(|at| at.0 <= now.0);
        if self.stopping.is_none() && due(self.deadline) {
            let text = format!("the run exceeded its limit of {} s", self.run_timeout.as_secs_f64());
            self.stop(Stop::TimeUp(text), now, out);
        }
        let gone = self.stopping.is_some() && due(self.stop_by);
        for i in 0..self.steps.len() {
            let step = &self.steps[i];
            if step.dispatched && (gone || due(step.attempt_deadline)) {
                let edge = match &self.stopping {
                    Some(Stop::Cancelled(_)) => Edge::Abort,
                    Some(Stop::TimeUp(_)) | None => Edge::TimeOut,
                };
                let backend = step.plan.backend.clone();
                let text = format!("backend {backend} never told how the step ended");
                out.push(RunAction::Abort { id: self.step_id(i), stop: Stop::TimeUp(text.clone()) });
                self.end_step(i, edge, &text, now, out);
            }
        }
    }
}
