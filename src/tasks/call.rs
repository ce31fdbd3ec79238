//! What passes between a run, the driver and a backend: calls, outcomes, errors, reports. Plain data.

use std::fmt;
use std::time::Duration;

use salobj::Tai;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plan::Priority;
use super::shelf::StepFile;

/// Which attempt of which step of which run.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StepId {
    /// Id of the run, 16 hex digits.
    pub run_id: String,
    /// Name of the step.
    pub step: String,
    /// Counted from 1.
    pub attempt: u32,
}

impl StepId {
    /// The step of the rule: that of all items for an item of a `foreach` (`isr` for `isr[3]`).
    pub fn base(&self) -> &str {
        self.step.split('[').next().unwrap_or_default()
    }

    /// The key of its record in the journal, `command/<run>/<step>/<attempt>`.
    pub fn key(&self) -> String {
        format!("command/{}/{}/{}", self.run_id, self.step, self.attempt)
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} attempt {}", self.run_id, self.step, self.attempt)
    }
}

/// What a backend is asked to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepCall {
    /// Which attempt.
    pub id: StepId,
    /// Name of the rule.
    pub rule: String,
    /// Key of the backend in the rule file: `analysis`, `ocps`.
    pub backend: String,
    /// Which of the things that the backend can do, where it can do several (`trend`); else empty.
    pub operation: String,
    /// The rule's author accepts that it is done twice rather than not at all.
    pub resend_if_unknown: bool,
    /// Parameters of the backend, templates filled in.
    pub params: Value,
    /// Limit of this attempt, counted from when the backend begins.
    pub timeout: Duration,
    /// After a restart, nothing is started for the first time later than this (trigger time plus `max_event_age`).
    pub start_before: Tai,
    /// Its place where several wait for the backend.
    #[serde(default)]
    pub priority: Priority,
}

/// A step that ended well.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StepOutcome {
    /// What later steps and the alarm see as `tasks.<step>.result`.
    pub result: Value,
    /// A plot for the report, in the form of [`super::analysis::Plot`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plot: Option<super::analysis::Plot>,
    /// The id that the other side gave the work; empty if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub backend_id: String,
    /// Files that it left behind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<StepFile>,
}

/// What an error means for the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// Nothing was done, and trying again may help. The only class that is retried.
    Transient,
    /// It failed, and would again.
    Permanent,
    /// It may or may not have been done: never repeated by itself.
    UnknownOutcome,
    /// Somebody ended it.
    Aborted,
    /// Its time was up.
    TimedOut,
}

/// A step that did not end well.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
pub struct StepError {
    /// What it means.
    pub class: ErrorClass,
    /// What was attempted, what was seen, what to do.
    pub text: String,
    /// What is known of the result all the same (an exit code, for example).
    #[serde(default, skip_serializing_if = "is_null")]
    pub result: Box<Value>,
    /// The id that the other side gave the work; empty if there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub backend_id: String,
}

impl StepError {
    /// An error of that class.
    pub fn new(class: ErrorClass, text: impl Into<String>) -> Self {
        Self { class, text: text.into(), result: Box::default(), backend_id: String::new() }
    }

    /// Nothing was done, and trying again may help.
    pub fn transient(text: impl Into<String>) -> Self {
        Self::new(ErrorClass::Transient, text)
    }

    /// It failed, and would again.
    pub fn permanent(text: impl Into<String>) -> Self {
        Self::new(ErrorClass::Permanent, text)
    }

    /// It may or may not have been done.
    pub fn unknown(text: impl Into<String>) -> Self {
        Self::new(ErrorClass::UnknownOutcome, text)
    }

    /// Somebody ended it.
    pub fn aborted(text: impl Into<String>) -> Self {
        Self::new(ErrorClass::Aborted, text)
    }

    /// Its time was up.
    pub fn timed_out(text: impl Into<String>) -> Self {
        Self::new(ErrorClass::TimedOut, text)
    }

    /// The same with what is known of the result.
    #[must_use]
    pub fn with_result(mut self, result: Value) -> Self {
        self.result = Box::new(result);
        self
    }

    /// The same with the other side's id.
    #[must_use]
    pub fn with_backend_id(mut self, id: impl Into<String>) -> Self {
        self.backend_id = id.into();
        self
    }
}

#[expect(clippy::borrowed_box, reason = "serde passes the field by reference")]
fn is_null(value: &Box<Value>) -> bool {
    value.is_null()
}

/// Why a step is to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stop {
    /// Somebody asked for it; the reason as given.
    Cancelled(String),
    /// The time of the attempt or of the run is up.
    TimeUp(String),
}

impl Stop {
    /// The error a step ends with when it stopped for this reason.
    pub fn error(&self, detail: &str) -> StepError {
        let (class, reason) = match self {
            Self::Cancelled(reason) => (ErrorClass::Aborted, reason),
            Self::TimeUp(reason) => (ErrorClass::TimedOut, reason),
        };
        let text = if detail.is_empty() { reason.clone() } else { format!("{reason}; {detail}") };
        StepError::new(class, text)
    }
}

/// What the driver tells the core about a step that it was given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Which attempt.
    pub id: StepId,
    /// What happened.
    pub kind: StepReportKind,
}

/// What happened to a step. For each call: at most one `Started`, any number of `Progress`, exactly one `Ended`, last.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepReportKind {
    /// It got its place with the backend.
    Started,
    /// The other side gave it an id.
    Progress {
        /// The id.
        backend_id: String,
    },
    /// It ended.
    Ended(Result<StepOutcome, StepError>),
}
