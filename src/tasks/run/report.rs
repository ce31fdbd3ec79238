//! What a report of the driver does to a run.

use salobj::Tai;

use super::{IllegalReport, Run, RunAction, STOP_GRACE, retry};
use crate::tasks::call::{ErrorClass, StepError, StepOutcome, StepReport, StepReportKind};
use crate::tasks::state::{Edge, step_after};

impl Run {
    pub(super) fn report(
        &mut self,
        report: StepReport,
        now: Tai,
        out: &mut Vec<RunAction>,
    ) -> Result<(), IllegalReport> {
        let found = self.steps.iter().position(|s| s.plan.name == report.id.step);
        let Some(i) =
            found.filter(|i| self.steps[*i].dispatched && self.steps[*i].attempt == report.id.attempt)
        else {
            return Err(self.illegal(format!("{} is not under way: {:?}", report.id, report.kind)));
        };
        match report.kind {
            StepReportKind::Started => self.begin_step(i, now, out),
            StepReportKind::Progress { backend_id } => {
                if self.steps[i].backend_id != backend_id {
                    self.steps[i].backend_id = backend_id;
                    self.step_changed(i, out);
                }
            }
            StepReportKind::Ended(outcome) => {
                self.begin_step(i, now, out);
                match outcome {
                    Ok(outcome) => self.succeeded(i, outcome, now, out),
                    Err(error) => self.failed(i, error, now, out),
                }
            }
        }
        Ok(())
    }

    /// The driver began an attempt; says nothing new where it is running already (after a restart).
    fn begin_step(&mut self, i: usize, now: Tai, out: &mut Vec<RunAction>) {
        let step = &mut self.steps[i];
        let Ok(state) = step_after(step.state, Edge::Start) else { return };
        step.state = state;
        step.started.get_or_insert(now);
        step.attempt_deadline = Some(now + step.plan.timeout + STOP_GRACE);
        self.step_changed(i, out);
    }

    fn succeeded(&mut self, i: usize, outcome: StepOutcome, now: Tai, out: &mut Vec<RunAction>) {
        let step = &mut self.steps[i];
        step.result = outcome.result;
        step.plot = outcome.plot;
        step.files = outcome.files;
        if !outcome.backend_id.is_empty() {
            step.backend_id = outcome.backend_id;
        }
        self.end_step(i, Edge::Succeed, "", now, out);
    }

    fn failed(&mut self, i: usize, error: StepError, now: Tai, out: &mut Vec<RunAction>) {
        let id = self.step_id(i);
        let error = match &self.stopping {
            // Nothing was done, and nothing will be: that is the end which was asked for.
            Some(stop) if error.class == ErrorClass::Transient => {
                stop.error(&error.text).with_result(*error.result).with_backend_id(error.backend_id)
            }
            _ => error,
        };
        let step = &mut self.steps[i];
        if !error.backend_id.is_empty() {
            step.backend_id = error.backend_id;
        }
        let again = error.class == ErrorClass::Transient
            && step.attempt < step.plan.retry.attempts
            && retry::wanted(&step.plan.retry, &error.text);
        if again && let Ok(state) = step_after(step.state, Edge::Retry) {
            step.state = state;
            step.error = error.text;
            step.dispatched = false;
            step.attempt_deadline = None;
            step.retry_at = Some(now + retry::wait(&step.plan.retry, &id));
            out.push(RunAction::Forget(id));
            self.step_changed(i, out);
            return;
        }
        step.result = *error.result;
        let edge = match error.class {
            ErrorClass::Transient | ErrorClass::Permanent | ErrorClass::UnknownOutcome => Edge::Fail,
            ErrorClass::Aborted => Edge::Abort,
            ErrorClass::TimedOut => Edge::TimeOut,
        };
        self.end_step(i, edge, &error.text, now, out);
    }
}
