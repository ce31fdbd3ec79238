//! What noteburst answers, and what it means.
//!
//! | status | success | ipynb | error | meaning |
//! |---|---|---|---|---|
//! | complete | true | there | - | it ran; with `ipynb_error` a cell raised, and the notebook is whole up to there |
//! | complete | false | - | there | the platform failed: `timeout`, `jupyter_error`, `unknown` |
//! | complete | not there | - | - | the result is kept no longer (about an hour) |
//! | complete | true | not there | - | cannot be |
//!
//! What is null is left out of an answer.

use serde::Deserialize;

use super::super::service::{Answer, Failure};
use crate::outputs::notify::SendError;
use crate::tasks::call::StepError;

/// A job.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Job {
    #[serde(default)]
    pub(super) job_id: String,
    pub(super) status: String,
    #[serde(default)]
    success: Option<bool>,
    #[serde(default)]
    ipynb: Option<String>,
    #[serde(default)]
    ipynb_error: Option<Cell>,
    #[serde(default)]
    error: Option<Platform>,
    #[serde(default)]
    pub(super) start_time: Option<String>,
    #[serde(default)]
    pub(super) finish_time: Option<String>,
}

/// What a cell raised.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Cell {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) message: String,
}

/// How the platform failed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Platform {
    code: String,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    exception_type: Option<String>,
}

/// What became of a request to execute a notebook.
#[derive(Debug)]
pub(super) enum Submitted {
    /// It has this id.
    Job(String),
    /// It is not going to be, or that is not known.
    No(StepError),
}

/// How a job ended.
#[derive(Debug)]
pub(super) enum End {
    /// The executed notebook, and what a cell raised.
    Ran(String, Option<Cell>),
    /// It did not, or what came of it is not known.
    Not(StepError),
}

/// What the answer to a request means; `again`: the rule accepts that the notebook runs twice.
pub(super) fn submitted(answer: Result<Answer, SendError>, again: bool) -> Submitted {
    let doubtful = |why: String| {
        let text = format!("{why}; it is not known whether noteburst took the notebook");
        if again {
            return StepError::transient(text);
        }
        StepError::unknown(format!("{text}, and it is not sent again"))
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) if error.doubtful() => return Submitted::No(doubtful(error.to_string())),
        Err(error) if error.transient() => {
            return Submitted::No(StepError::transient(format!("{error}; nothing was sent")));
        }
        Err(error) => return Submitted::No(StepError::permanent(error.to_string())),
    };
    Submitted::No(match answer.json::<Job>() {
        Ok(job) if !job.job_id.is_empty() => return Submitted::Job(job.job_id),
        Ok(_) => doubtful("an answer without a job id".to_owned()),
        Err(failure @ (Failure::Lost(_) | Failure::Garbled(_) | Failure::Refused { status: 500.., .. })) => {
            doubtful(failure.to_string())
        }
        Err(failure) => StepError::from(failure),
    })
}

impl Job {
    /// See the table of the module.
    pub(super) fn end(self, id: &str) -> End {
        let error = match (self.success, self.ipynb, self.error) {
            (Some(true), Some(ipynb), _) => return End::Ran(ipynb, self.ipynb_error),
            (Some(true), None, _) => {
                StepError::permanent(format!("noteburst says that job {id} succeeded, and gives no notebook"))
            }
            (Some(false), _, None) => {
                StepError::permanent(format!("job {id} failed, and noteburst does not say why"))
            }
            (Some(false), _, Some(error)) => error.class(id),
            (None, ..) => StepError::unknown(format!(
                "job {id} has ended, but noteburst keeps its result no longer: what came of it is not known"
            )),
        };
        End::Not(error)
    }
}

impl Platform {
    fn class(self, id: &str) -> StepError {
        let kind = self.exception_type.map(|kind| format!(" ({kind})")).unwrap_or_default();
        let words = self.message.filter(|m| !m.is_empty()).map(|m| format!(": {m}")).unwrap_or_default();
        let text = format!("job {id}, {}{kind}{words}", self.code);
        match self.code.as_str() {
            "timeout" => {
                StepError::timed_out(format!("the notebook took longer than noteburst allows: {text}"))
            }
            // The notebook was not executed to its end by anybody's fault but the platform's.
            "jupyter_error" => StepError::transient(format!("the science platform failed: {text}")),
            _ => StepError::permanent(format!("noteburst failed: {text}")),
        }
    }
}
