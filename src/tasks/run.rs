//! One run of a rule's workflow. Pure: time is an argument, and what is to be done comes out as [`RunAction`]s.
//!
//! The states and their legal changes are those of [`super::state`]. How a step goes through them:
//!
//! ```text
//!  needs ended well, `when` true ──► Dispatch ──► [driver queue] ── Started ──► RUNNING ── Ended ──► final
//!  a need did not succeed, or `when` false or unknown ──► SKIPPED                  │
//!                        ┌── transient error, attempts left ◄──────────────────────┘
//!                        └─► RETRYING ── backoff over ──► Dispatch (attempt + 1)
//!  cancelled, or run time up: waiting steps end at once; those with the driver get Abort and are awaited,
//!  at most STOP_GRACE.
//! ```
//!
//! A step with `foreach` is a group of steps, one for each item: [`fan`]. A step with `for_failure` waits until all others have
//! ended, and is SKIPPED if none of them failed. `on_failure: stop` of a step that failed stops all others but those;
//! `on_failure: continue` makes it count as done.
//!
//! How a run ends, first line that fits, once all its steps have ended (steps with `on_failure: continue` count as SUCCEEDED):
//!
//! | steps | run |
//! |---|---|
//! | ended by the run's own time limit | TIMED_OUT |
//! | ended by a cancel | ABORTED |
//! | one FAILED | FAILED |
//! | one TIMED_OUT | TIMED_OUT |
//! | one ABORTED | ABORTED |
//! | all SUCCEEDED or SKIPPED | SUCCEEDED |
//!
//! A report that fits no state (of an earlier attempt, of a step that has ended) changes nothing and is an
//! [`IllegalReport`], for the core to count.

use std::time::Duration;

use salobj::Tai;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::call::{StepCall, StepId, StepReport, Stop};
use super::plan::{OnFailure, Plan, RunContext};
use super::state::{Edge, TaskState, run_after, step_after};

mod advance;
mod fan;
mod plot;
mod report;
mod retry;
mod step;
#[cfg(test)]
pub(crate) mod tests;
mod time;

pub use step::StepRun;

/// How long steps that were told to stop are awaited before the run ends without them. Longer than the driver's own
/// limit: this one matters only if the driver is broken.
pub const STOP_GRACE: Duration = Duration::from_secs(120);

/// What a step that was under way gets at least after a restart, to learn how it ended meanwhile.
pub const RESUME_GRACE: Duration = Duration::from_secs(60);

/// Everything about a run that is fixed when it begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunHeader {
    /// 16 hex digits (design 3.3).
    pub id: String,
    /// Name of the rule.
    pub rule: String,
    /// Revision of the rule.
    pub revision: String,
    /// Definition of the rule (YAML), so that the run can go on after a restart though its rule has changed since.
    pub definition: String,
    /// Key, for a rule with `by`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What triggered it, in the form that entered the id.
    pub occurrence: String,
    /// When that was.
    pub at: Tai,
    /// After a restart no step is sent out for the first time later than this.
    pub start_before: Tai,
    /// The run that this one repeats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
}

fn without_items<S: serde::Serializer>(steps: &[StepRun], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(steps.iter().filter(|step| step.item.is_none()))
}

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// What is fixed.
    pub header: RunHeader,
    /// What templates and conditions see; grows with each step that ends.
    pub context: RunContext,
    /// State.
    pub state: TaskState,
    /// Limit of the whole run, from its start.
    pub run_timeout: Duration,
    /// When it left PENDING for RUNNING.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Tai>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Tai>,
    /// When its time is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Tai>,
    /// Why it is stopping, once it was cancelled or its time was up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopping: Option<Stop>,
    /// When it ends even if its steps do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_by: Option<Tai>,
    /// The steps, in the order of the rule file; behind them those of the items of `foreach`, which the journal has under keys
    /// of their own.
    #[serde(serialize_with = "without_items")]
    pub steps: Vec<StepRun>,
    /// Severity of the alarm that judged the run (value of `AlarmSeverity`); 0 while nothing has judged it.
    #[serde(default)]
    pub severity: i64,
    /// Where its report is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub report_url: String,
    /// The run that was started in its place, after it had failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub repeated_by: String,
    /// Why it did not succeed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
}

/// What happens to a run.
#[derive(Debug, Clone, PartialEq)]
pub enum RunEvent {
    /// It gets its place and begins.
    Start,
    /// It is not to begin.
    Skip {
        /// Why.
        reason: String,
    },
    /// Somebody ends it.
    Cancel {
        /// Why.
        reason: String,
    },
    /// The driver reports on one of its steps.
    Report(Box<StepReport>),
    /// The process has been started again, and the driver knows nothing of it yet.
    Resume,
    /// Time has passed.
    Tick,
    /// An alarm judged it.
    Judged {
        /// Value of `AlarmSeverity`.
        severity: i64,
    },
    /// Its report has been written.
    Reported {
        /// Where it is.
        url: String,
    },
}

/// What the core has to do, after the run is in the journal.
#[derive(Debug, Clone, PartialEq)]
pub enum RunAction {
    /// The run changed: publish its `task` event.
    RunChanged {
        /// Id of the run.
        run_id: String,
    },
    /// A step changed: publish its `task` event.
    StepChanged {
        /// Id of the run.
        run_id: String,
        /// Name of the step.
        step: String,
    },
    /// Give this to the driver.
    Dispatch(Box<StepCall>),
    /// Give this to the driver with what the journal has under `call.id.key()`, if anything.
    Resume(Box<StepCall>),
    /// Tell the driver to stop a step.
    Abort {
        /// Which.
        id: StepId,
        /// Why.
        stop: Stop,
    },
    /// An attempt ended: delete `id.key()` from the journal.
    Forget(StepId),
    /// A step ended: the engine evaluates what reads it.
    StepEnded {
        /// Id of the run.
        run_id: String,
        /// Name of the step.
        step: String,
    },
    /// The run ended.
    RunEnded {
        /// Id of the run.
        run_id: String,
    },
}

/// An event that fits no state; the run is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("run {run_id} in state {state}: {what}")]
pub struct IllegalReport {
    /// The run.
    pub run_id: String,
    /// Its state.
    pub state: TaskState,
    /// What was reported.
    pub what: String,
}

impl Run {
    /// A new run, PENDING.
    pub fn new(header: RunHeader, context: RunContext, plan: &dyn Plan) -> Self {
        Self {
            header,
            context,
            state: TaskState::Pending,
            run_timeout: plan.run_timeout(),
            started: None,
            finished: None,
            deadline: None,
            stopping: None,
            stop_by: None,
            steps: plan.steps().into_iter().map(StepRun::new).collect(),
            severity: 0,
            report_url: String::new(),
            repeated_by: String::new(),
            error: String::new(),
        }
    }

    /// It failed, or its time was up, and nobody has done anything about it.
    pub fn is_open(&self) -> bool {
        matches!(self.state, TaskState::Failed | TaskState::TimedOut) && self.repeated_by.is_empty()
    }

    /// Id of the run.
    pub fn id(&self) -> &str {
        &self.header.id
    }

    /// The step of that name.
    pub fn step_named(&self, name: &str) -> Option<&StepRun> {
        self.steps.iter().find(|s| s.name() == name)
    }

    /// True if the attempt whose journal key this is ([`StepId::key`]) is under way.
    pub fn awaits(&self, key: &str) -> bool {
        (0..self.steps.len()).any(|i| self.steps[i].dispatched && self.step_id(i).key() == key)
    }

    /// The earliest time at which a [`RunEvent::Tick`] changes something.
    pub fn next_deadline(&self) -> Option<Tai> {
        if self.state != TaskState::Running {
            return None;
        }
        let run = if self.stopping.is_some() { self.stop_by } else { self.deadline };
        let steps =
            self.steps.iter().filter_map(|s| if s.dispatched { s.attempt_deadline } else { s.retry_at });
        steps.chain(run).min_by(|a, b| a.0.total_cmp(&b.0))
    }

    /// Takes one event. `plan` answers for the rule; without it (the rule cannot be compiled any more) steps under way
    /// are followed to their end, and further ones fail.
    ///
    /// # Errors
    /// [`IllegalReport`]: the event fits no state; nothing was changed and nothing is to be done.
    pub fn step(
        &mut self,
        event: RunEvent,
        plan: Option<&dyn Plan>,
        now: Tai,
        out: &mut Vec<RunAction>,
    ) -> Result<(), IllegalReport> {
        match event {
            RunEvent::Start => {
                self.change(Edge::Start, now, out)?;
                self.started = Some(now);
                self.deadline = Some(now + self.run_timeout);
            }
            RunEvent::Skip { reason } => {
                self.change(Edge::Skip, now, out)?;
                self.error = reason;
                for i in 0..self.steps.len() {
                    self.end_step(i, Edge::Skip, "the run was skipped", now, out);
                }
                return Ok(());
            }
            RunEvent::Cancel { reason } => {
                if self.state == TaskState::Pending {
                    self.change(Edge::Abort, now, out)?;
                    self.error.clone_from(&reason);
                    for i in 0..self.steps.len() {
                        self.end_step(i, Edge::Abort, &reason, now, out);
                    }
                    return Ok(());
                }
                if self.state != TaskState::Running || self.stopping.is_some() {
                    return Err(self.illegal("a cancel: it has ended or is stopping already".to_owned()));
                }
                self.stop(Stop::Cancelled(reason), now, out);
            }
            RunEvent::Report(report) => self.report(*report, now, out)?,
            RunEvent::Resume => self.resume(now, out),
            RunEvent::Tick => self.tick(now, out),
            RunEvent::Judged { severity } => {
                if self.severity != severity {
                    self.severity = severity;
                    out.push(RunAction::RunChanged { run_id: self.header.id.clone() });
                }
                return Ok(());
            }
            RunEvent::Reported { url } => {
                self.report_url = url;
                out.push(RunAction::RunChanged { run_id: self.header.id.clone() });
                return Ok(());
            }
        }
        if self.state == TaskState::Running {
            self.advance(plan, now, out);
        }
        Ok(())
    }

    fn illegal(&self, what: String) -> IllegalReport {
        IllegalReport { run_id: self.header.id.clone(), state: self.state, what }
    }

    fn change(&mut self, edge: Edge, now: Tai, out: &mut Vec<RunAction>) -> Result<(), IllegalReport> {
        self.state = run_after(self.state, edge).map_err(|e| self.illegal(e.to_string()))?;
        out.push(RunAction::RunChanged { run_id: self.header.id.clone() });
        if self.state.is_final() {
            self.finished = Some(now);
            out.push(RunAction::RunEnded { run_id: self.header.id.clone() });
        }
        Ok(())
    }

    fn step_id(&self, i: usize) -> StepId {
        let step = &self.steps[i];
        StepId { run_id: self.header.id.clone(), step: step.plan.name.clone(), attempt: step.attempt }
    }

    fn step_changed(&self, i: usize, out: &mut Vec<RunAction>) {
        out.push(RunAction::StepChanged {
            run_id: self.header.id.clone(),
            step: self.steps[i].plan.name.clone(),
        });
    }

    /// Ends a step; nothing if it has ended already.
    fn end_step(&mut self, i: usize, edge: Edge, error: &str, now: Tai, out: &mut Vec<RunAction>) {
        let id = self.step_id(i);
        let step = &mut self.steps[i];
        let Ok(state) = step_after(step.state, edge) else { return };
        step.state = state;
        step.finished = Some(now);
        step.retry_at = None;
        step.attempt_deadline = None;
        error.clone_into(&mut step.error);
        if let Some(item) = &step.item {
            let of = item.of.clone();
            if std::mem::take(&mut self.steps[i].dispatched) {
                out.push(RunAction::Forget(id));
            }
            self.step_changed(i, out);
            if let Some(group) = self.steps.iter().position(|s| s.plan.name == of) {
                self.end_group(group, now, out);
            }
            return;
        }
        let entry = json!({"state": state.word(), "result": step.result, "error": step.error});
        self.context.tasks.insert(step.plan.name.clone(), entry);
        if std::mem::take(&mut self.steps[i].dispatched) {
            out.push(RunAction::Forget(id));
        }
        self.step_changed(i, out);
        out.push(RunAction::StepEnded {
            run_id: self.header.id.clone(),
            step: self.steps[i].plan.name.clone(),
        });
        let bad = matches!(edge, Edge::Fail | Edge::TimeOut) && self.stopping.is_none();
        if bad && self.steps[i].plan.on_failure == OnFailure::Stop {
            self.halt(i, now, out);
        }
    }

    /// `on_failure: stop`: nothing else of the run goes on, but for what is there for failures.
    fn halt(&mut self, failed: usize, now: Tai, out: &mut Vec<RunAction>) {
        let reason = format!("step {} failed", self.steps[failed].plan.name);
        for i in 0..self.steps.len() {
            let step = &self.steps[i];
            if step.state.is_final() || step.plan.for_failure || step.is_group_under_way() {
                continue;
            }
            if step.dispatched {
                out.push(RunAction::Abort { id: self.step_id(i), stop: Stop::Cancelled(reason.clone()) });
            } else {
                self.end_step(i, Edge::Abort, &reason, now, out);
            }
        }
    }

    /// Begins to end the run: waiting steps end now, those with the driver are told to stop.
    fn stop(&mut self, stop: Stop, now: Tai, out: &mut Vec<RunAction>) {
        let (edge, text) = match &stop {
            Stop::Cancelled(reason) => (Edge::Abort, reason.clone()),
            Stop::TimeUp(reason) => (Edge::TimeOut, reason.clone()),
        };
        self.stopping = Some(stop.clone());
        for i in 0..self.steps.len() {
            if self.steps[i].dispatched {
                out.push(RunAction::Abort { id: self.step_id(i), stop: stop.clone() });
            } else if !self.steps[i].is_group_under_way() {
                self.end_step(i, edge, &text, now, out);
            }
        }
        self.error = text;
        self.stop_by = Some(now + STOP_GRACE);
        out.push(RunAction::RunChanged { run_id: self.header.id.clone() });
    }

    fn call(&self, i: usize) -> StepCall {
        let step = &self.steps[i];
        StepCall {
            id: self.step_id(i),
            rule: self.header.rule.clone(),
            backend: step.plan.backend.clone(),
            operation: step.plan.operation.clone(),
            resend_if_unknown: step.plan.resend_if_unknown,
            params: step.params.clone(),
            timeout: step.plan.timeout,
            start_before: self.header.start_before,
            priority: step.plan.priority,
        }
    }
}
