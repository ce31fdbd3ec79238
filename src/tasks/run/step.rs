//! A step of a run, and what it is in the journal.

use salobj::Tai;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plot;
use crate::tasks::plan::{Item, OnFailure, StepPlan};
use crate::tasks::shelf::StepFile;
use crate::tasks::state::TaskState;

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
    pub plot: Option<crate::tasks::analysis::Plot>,
    /// Files that it left behind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<StepFile>,
    /// The item that it is for, if it is one of a `foreach`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<Item>,
    /// Why it did not succeed, or did not at the last attempt.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
}

impl StepRun {
    pub(super) fn new(plan: StepPlan) -> Self {
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
            item: None,
            error: String::new(),
        }
    }

    /// Name of the step.
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// A step with `foreach` whose items are under way: it ends with the last of them.
    pub(super) fn is_group_under_way(&self) -> bool {
        self.plan.foreach.is_some() && self.state == TaskState::Running
    }

    /// It failed, or its time was up, in a way that counts for the run.
    pub(super) fn failed_for_the_run(&self) -> bool {
        let bad = matches!(self.state, TaskState::Failed | TaskState::TimedOut);
        bad && self.item.is_none() && self.plan.on_failure != OnFailure::Continue
    }
}
