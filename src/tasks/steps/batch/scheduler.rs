//! What a batch system is to a step.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;

use super::config::BatchJob;
use super::jobs::SubmittedJob;

/// What a job is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum JobState {
    /// It waits or runs.
    Waiting,
    /// It ended with this code.
    Ended(i64),
    /// It was ended; by what.
    Killed(String),
    /// The system holds it back until somebody does something; why.
    Held(String),
    /// The system does not know it any more.
    Lost,
}

impl JobState {
    /// Nothing will change any more.
    pub(super) fn is_final(&self) -> bool {
        *self != JobState::Waiting
    }

    /// It did its work.
    pub(super) fn is_good(&self) -> bool {
        *self == JobState::Ended(0)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JobState::Waiting => write!(f, "has not ended"),
            JobState::Ended(code) => write!(f, "ended with code {code}"),
            JobState::Killed(why) => write!(f, "was ended ({why})"),
            JobState::Held(why) => write!(f, "is held ({why})"),
            JobState::Lost => write!(f, "is lost: the batch system does not know it"),
        }
    }
}

/// A batch system.
#[async_trait]
pub(super) trait Scheduler: Send + Sync {
    /// The command that submits all these jobs at once under a batch name, and what it gets on its standard input.
    fn submission(&self, name: &str, job: &BatchJob, jobs: &[SubmittedJob]) -> (Vec<String>, String);

    /// The id of the submission, of the command's answer.
    fn cluster(&self, answer: &str) -> Option<String>;

    /// The id of a submission by its batch name.
    async fn find(&self, name: &str) -> Result<Option<String>, String>;

    /// The jobs of a submission by their numbers, as far as the system knows them.
    async fn look(&self, cluster: &str) -> Result<BTreeMap<usize, JobState>, String>;

    /// Removes the jobs of a submission that have not ended.
    async fn remove_cluster(&self, cluster: &str) -> Result<(), String>;
}
