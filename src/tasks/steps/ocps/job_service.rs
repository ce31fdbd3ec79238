//! The service that runs the jobs of an OCPS, asked only when OCPS itself tells nothing more of one: an acknowledgement is lost, OCPS is
//! gone, was started anew, or is in FAULT while its job goes on.

use async_trait::async_trait;
use serde_json::Value;

use super::follow::JobResult;
use crate::tasks::steps::StepHandle;

/// How the service says that a job ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// As OCPS would have told it: 0 done, 1 failed, 255 aborted.
    pub exit_code: i64,
    /// What the service says of the job.
    pub said: Value,
}

/// A service that runs jobs of OCPS.
#[async_trait]
pub trait JobService: Send + Sync {
    /// Whether it has the jobs of that instance.
    fn serves(&self, index: i64) -> bool;

    /// The id of the job of a command, by the number of the command; asked until the service answers, nothing if it lists none.
    async fn find(&self, seq_num: i64) -> Option<String>;

    /// Waits for the end of the job of that command.
    ///
    /// # Errors
    /// Why the service cannot tell how it ended.
    async fn ended(&self, job_id: &str, seq_num: i64) -> Result<Told, String>;
}

/// How the job of a command ended, whose id may be known or not; or why the service does not know.
pub(super) async fn ask(
    service: &dyn JobService,
    job_id: Option<String>,
    seq_num: i64,
    step: &StepHandle,
) -> Result<JobResult, String> {
    let job_id = match job_id {
        Some(id) => id,
        None => service
            .find(seq_num)
            .await
            .ok_or_else(|| format!("the batch service lists no job of this command (run id {seq_num})"))?,
    };
    step.progress(&job_id).await;
    let told = service.ended(&job_id, seq_num).await?;
    Ok(JobResult { job_id, exit_code: told.exit_code, result: told.said.to_string() })
}
