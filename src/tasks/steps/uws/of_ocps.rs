//! What the service knows of the jobs of an OCPS, for the backend `ocps` when OCPS itself tells nothing more of one.
//!
//! OCPS gives the service the number of its command (`private_seqNum`) as run id, so a job is found also if the acknowledgement that
//! named it was lost. Nothing is changed here: the job is OCPS's.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::UwsConfig;
use super::wire::{Phase, Uws};
use crate::tasks::steps::ocps::{JobService, Told};
use crate::tasks::steps::service::certain;

/// The jobs of some OCPS instances.
#[derive(Debug)]
pub struct OcpsJobs {
    uws: Uws,
    poll: Duration,
    indices: Vec<i64>,
}

impl OcpsJobs {
    /// The service of a site, for the instances that its section names.
    ///
    /// # Errors
    /// Everything that is wrong with the section.
    pub fn new(config: &UwsConfig, lookup: &dyn Fn(&str) -> Option<String>) -> Result<OcpsJobs, Vec<String>> {
        let (service, poll) = config.service(lookup)?;
        Ok(OcpsJobs { uws: Uws::new(service), poll, indices: config.ocps.clone() })
    }
}

#[async_trait]
impl JobService for OcpsJobs {
    fn serves(&self, index: i64) -> bool {
        self.indices.contains(&index)
    }

    async fn find(&self, seq_num: i64) -> Option<String> {
        let run_id = seq_num.to_string();
        certain(self.poll, "ocps: the list of jobs", || self.uws.find(&run_id)).await
    }

    async fn ended(&self, job_id: &str, seq_num: i64) -> Result<Told, String> {
        let job = self.uws.ended(job_id, &seq_num.to_string(), self.poll).await.map_err(|e| e.text)?;
        let exit_code = match job.phase {
            Phase::Completed => 0,
            Phase::Error => 1,
            Phase::Aborted => 255,
            Phase::Pending
            | Phase::Queued
            | Phase::Executing
            | Phase::Held
            | Phase::Suspended
            | Phase::Unknown => {
                return Err(format!("the batch service does not know the phase of job {job_id}"));
            }
        };
        let said = json!({
            "jobId": job.id, "runId": job.run_id, "phase": job.phase, "executionDuration": job.duration_s,
        });
        Ok(Told { exit_code, said })
    }
}
