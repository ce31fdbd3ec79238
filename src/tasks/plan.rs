//! What a run needs to know of its rule: the steps, and two questions that only the rule can answer. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What a run knows: filled by its rule at the trigger, and by its steps as they end. JSON throughout, so that it is
/// journaled with the run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct RunContext {
    /// Name of an input to its value at the trigger.
    pub inputs: serde_json::Map<String, Value>,
    /// The rule's parameters, overridden by those of a trigger by hand.
    pub parameters: serde_json::Map<String, Value>,
    /// Name of a step to `{state, result, error}`, once it ended.
    pub tasks: serde_json::Map<String, Value>,
    /// About the trigger itself.
    pub trigger: serde_json::Map<String, Value>,
}

/// One step as the rule describes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepPlan {
    /// Name of the step.
    pub name: String,
    /// Steps that must have succeeded before it begins.
    pub needs: Vec<String>,
    /// Key of its backend.
    pub backend: String,
    /// Limit of one attempt.
    pub timeout: Duration,
    /// What happens after a transient error.
    pub retry: RetryPlan,
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
}

impl Default for RetryPlan {
    fn default() -> Self {
        Self { attempts: 1, backoff: Duration::from_secs(5), jitter: 0.0 }
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
    /// The parameters of the step, templates filled in.
    ///
    /// # Errors
    /// The text says which template and why.
    fn render(&self, step: &str, context: &RunContext) -> Result<Value, String>;
}
