//! What a run needs to know of its rule: the steps, and two questions that only the rule can answer. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::run::RunHeader;
pub use crate::rules::RunContext;
pub use crate::rules::{AllowFailures, ForEach, Item, OnFailure, Priority};
use crate::rules::{Rule, RunRequest, Tri};

/// One step as the rule describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepPlan {
    /// Name of the step.
    pub name: String,
    /// Steps that must have succeeded before it begins.
    pub needs: Vec<String>,
    /// Key of its backend.
    pub backend: String,
    /// Which of the things that the backend can do (`trend`); empty where it does only one.
    pub operation: String,
    /// It may be done twice rather than not at all.
    pub resend_if_unknown: bool,
    /// Limit of one attempt.
    pub timeout: Duration,
    /// What happens after a transient error.
    pub retry: RetryPlan,
    /// It is done for each item of a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreach: Option<ForEach>,
    /// What its failure means for the run.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// It is done only after a failure, once all others have ended.
    #[serde(default)]
    pub for_failure: bool,
    /// Which of the steps that wait for a backend comes first.
    #[serde(default)]
    pub priority: Priority,
}

/// How often, and how fast, a step is tried again after a transient error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetryPlan {
    /// Attempts in all; 1 means no second one.
    pub attempts: u32,
    /// Wait before the second attempt; doubled for each further one.
    pub backoff: Duration,
    /// Part of the wait, 0 to 1, by which it is spread to either side.
    pub jitter: f64,
    /// Words of which one must be in the text of the error; empty takes every transient error.
    pub retry_on: Vec<String>,
}

impl Default for RetryPlan {
    fn default() -> Self {
        Self { attempts: 1, backoff: Duration::from_secs(5), jitter: 0.0, retry_on: Vec::new() }
    }
}

/// The answer to a step's `when`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// It is to run.
    True,
    /// It is not.
    False,
    /// It cannot be said, and why.
    Unknown(String),
}

/// The workflow of a rule.
pub trait Plan {
    /// The steps; `needs` form no cycle.
    fn steps(&self) -> Vec<StepPlan>;
    /// Limit of the whole run, from its start.
    fn run_timeout(&self) -> Duration;
    /// Is the step to run, given what is known now?
    fn when(&self, step: &str, context: &RunContext) -> When;
    /// The items of a step with `foreach`.
    ///
    /// # Errors
    /// The text says why there is no list.
    fn items(&self, step: &str, context: &RunContext) -> Result<Vec<Value>, String>;
    /// The parameters of the step, templates filled in; for one of its items, if the context has one.
    ///
    /// # Errors
    /// The text says which template and why.
    fn render(&self, step: &str, context: &RunContext) -> Result<Value, String>;
}

impl Plan for Rule {
    fn steps(&self) -> Vec<StepPlan> {
        let steps = self.workflow.iter().flat_map(|w| &w.steps);
        let plan = |step: &crate::rules::Step| StepPlan {
            name: step.name.clone(),
            needs: step.needs.clone(),
            backend: step.backend.clone(),
            operation: step.operation.clone(),
            resend_if_unknown: step.resend_if_unknown,
            timeout: step.timeout,
            retry: RetryPlan {
                attempts: step.retry.attempts,
                backoff: step.retry.backoff,
                jitter: step.retry.jitter,
                retry_on: step.retry.retry_on.clone(),
            },
            foreach: step.foreach,
            on_failure: step.on_failure,
            for_failure: step.for_failure,
            priority: self.priority,
        };
        steps.map(plan).collect()
    }

    fn run_timeout(&self) -> Duration {
        self.workflow.as_ref().map_or(Duration::ZERO, |w| w.run_timeout)
    }

    fn when(&self, step: &str, context: &RunContext) -> When {
        match self.step_when(step, context) {
            Tri::True => When::True,
            Tri::False => When::False,
            Tri::Unknown(why) => When::Unknown(why),
        }
    }

    fn items(&self, step: &str, context: &RunContext) -> Result<Vec<Value>, String> {
        Rule::items(self, step, context)
    }

    fn render(&self, step: &str, context: &RunContext) -> Result<Value, String> {
        Rule::render(self, step, context).map_err(|e| e.to_string())
    }
}

impl From<&RunRequest> for RunHeader {
    fn from(request: &RunRequest) -> Self {
        Self {
            id: request.run_id.clone(),
            rule: request.rule.name.clone(),
            revision: request.rule.revision.clone(),
            definition: request.rule.definition.clone(),
            key: request.key.clone(),
            occurrence: request.occurrence.clone(),
            at: request.at,
            start_before: request.at + request.rule.trigger.max_event_age,
            parent: None,
        }
    }
}
