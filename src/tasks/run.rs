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
//! How a run ends, first line that fits, once all its steps have ended:
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
use serde_json::{Value, json};

use super::call::{StepCall, StepId, StepReport, Stop};
use super::plan::{Plan, RunContext, StepPlan};
use super::shelf::StepFile;
use super::state::{Edge, TaskState, run_after, step_after};

mod advance;
mod plot;
mod report;
mod retry;
#[cfg(test)]
pub(crate) mod tests;
mod time;

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

/// A step of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRun {
    /// As the rule described it when the run began.
    pub plan: StepPlan,
    /// State.
    pub state: TaskState,
    /// Attempts so far; 0 before the first.
    pub attempt: u32,
    /// True while the driver has it: an end will be reported.
    pub dispatched: bool,
    /// Parameters with templates filled in; null before the first attempt. All attempts get the same.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub params: Value,
    /// Id that the other side gave the work.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub backend_id: String,
    /// When the first attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Tai>,
    /// When it ended for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Tai>,
    /// When the driver must have ended the attempt under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_deadline: Option<Tai>,
    /// When the next attempt begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Tai>,
    /// Result; null if there is none.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub result: Value,
    /// Plot for the report.
    #[serde(default, deserialize_with = "plot::or_none", skip_serializing_if = "Option::is_none")]
    pub plot: Option<super::analysis::Plot>,
    /// Files that it left behind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<StepFile>,
    /// Why it did not succeed, or did not at the last attempt.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
}

impl StepRun {
    fn new(plan: StepPlan) -> Self {
        Self {
            plan,
            state: TaskState::Pending,
            attempt: 0,
            dispatched: false,
            params: Value::Null,
            backend_id: String::new(),
            started: None,
            finished: None,
            attempt_deadline: None,
            retry_at: None,
            result: Value::Null,
            plot: None,
            files: Vec::new(),
            error: String::new(),
        }
    }

    /// Name of the step.
    pub fn name(&self) -> &str {
        &self.plan.name
    }
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
    /// The steps, in the order of the rule file.
    pub steps: Vec<StepRun>,
    /// Severity of the alarm that judged the run (value of `AlarmSeverity`); 0 while nothing has judged it.
    #[serde(default)]
    pub severity: i64,
    /// Where its report is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub report_url: String,
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
            error: String::new(),
        }
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
    }

    /// Begins to end the run: waiting steps end now, those with the driver are told to stop.
    fn stop(&mut self, stop: Stop, now: Tai, out: &mut Vec<RunAction>) {
        let (edge, text) = match &stop {
            Stop::Cancelled(reason) => (Edge::Abort, reason.clone()),
            Stop::TimeUp(reason) => (Edge::TimeOut, reason.clone()),
        };
        for i in 0..self.steps.len() {
            if self.steps[i].dispatched {
                out.push(RunAction::Abort { id: self.step_id(i), stop: stop.clone() });
            } else {
                self.end_step(i, edge, &text, now, out);
            }
        }
        self.error = text;
        self.stopping = Some(stop);
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
        }
    }
}
