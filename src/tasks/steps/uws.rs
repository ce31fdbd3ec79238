//! The backend `uws`: a job of the OCPS backend service, asked for over its REST interface.
//!
//! What makes a job run once, though we or the service may die at any moment: creating a job (PUT) is not idempotent, but a
//! job carries a *run id* that the service shows in its list. Ours is the same for all attempts of a step.
//!
//! ```text
//!  journal ABOUT TO SEND ─► PUT ─► job id ─► journal SENT ─► look every poll_interval_s ─► files ─► result
//!        no answer, 5xx, an answer that is not ours: the list decides: there ─► it is ours; not there ─► transient error
//!  after a restart: SENT ─► go on looking
//!                   ABOUT TO SEND ─► the list: there ─► it is ours; not there ─► PUT, unless it is too late; too long ago for
//!                   the list (the service forgets a job a day after its end) ─► outcome unknown
//! ```
//!
//! A further attempt begins with the list, too. When the step is stopped, the job is deleted, its log is kept. A job that is
//! gone (404) was deleted by somebody, or forgotten. How the service talks, and what it cannot take: [`wire`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use salobj::{Clock, Tai};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::service::{Failure, certain, matches, run_id, texts};
use super::{Backend, StepHandle, in_time};
use crate::tasks::call::{StepCall, StepError, StepOutcome, Stop};
use crate::tasks::shelf::{Content, Shelf, plain_name};
use wire::{Created, Job, Phase, Request, Uws};

mod config;
mod of_ocps;
#[cfg(test)]
mod tests;
mod wire;

pub use config::{UwsConfig, UwsJob};
pub use of_ocps::OcpsJobs;

/// Jobs followed at a time.
const CONCURRENCY: usize = 16;
/// The service forgets a job a day after its end: what is older may have run and be gone from the list.
const FORGOTTEN_S: f64 = 23.0 * 3600.0;
/// For what is done when a step is stopped.
const STOPPING: Duration = Duration::from_secs(20);
/// Files of one job that are kept.
const MOST_FILES: usize = 100;

/// Parameters of a step.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    /// Name in the site's list; may be left out where there is one only.
    #[serde(default)]
    job: Option<String>,
    /// Further environment of the job.
    #[serde(default)]
    environment: Map<String, Value>,
    /// Containers that run the same.
    #[serde(default = "one")]
    replicas: u32,
    /// Patterns of the result files that are kept.
    #[serde(default)]
    outputs: Value,
    /// The result file that is read, JSON.
    #[serde(default)]
    read: Option<String>,
}

fn one() -> u32 {
    1
}

/// What is journaled of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Memo {
    phase: Sending,
    /// When it was about to be sent.
    at: Tai,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job_id: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Sending {
    AboutToSend,
    Sent,
}

/// Carries out `uws` steps.
pub struct UwsBackend {
    uws: Uws,
    jobs: BTreeMap<String, UwsJob>,
    poll: Duration,
    shelf: Arc<dyn Shelf>,
    clock: Clock,
}

impl UwsBackend {
    /// The service and the jobs that a site lists.
    ///
    /// # Errors
    /// Everything that is wrong with the section.
    pub fn new(
        config: &UwsConfig,
        shelf: Arc<dyn Shelf>,
        lookup: &dyn Fn(&str) -> Option<String>,
        clock: Clock,
    ) -> Result<UwsBackend, Vec<String>> {
        let (service, poll) = config.service(lookup)?;
        Ok(UwsBackend { uws: Uws::new(service), jobs: config.jobs.clone(), poll, shelf, clock })
    }

    fn job(&self, name: Option<&str>) -> Result<&UwsJob, String> {
        let known = || self.jobs.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        match name {
            Some(name) => self.jobs.get(name).ok_or_else(|| {
                format!("this site has no job \"{name}\" (backends.uws.jobs lists: {})", known())
            }),
            None if self.jobs.len() == 1 => Ok(&self.jobs[self.jobs.keys().next().map_or("", |k| k)]),
            None => Err(format!("say which `job`: this site has {}", known())),
        }
    }

    fn request(&self, params: &Params, run_id: &str) -> Result<Request, String> {
        let job = self.job(params.job.as_deref())?;
        let mut environment: Vec<(String, String)> =
            job.environment.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        for (name, value) in &params.environment {
            environment.retain(|(known, _)| known != name);
            environment.push((name.clone(), super::service::text(value)));
        }
        let mistakes = wire::mistakes(&environment);
        if !mistakes.is_empty() {
            return Err(mistakes.join("; "));
        }
        Ok(Request::new(run_id, job, environment, params.replicas))
    }

    async fn begin(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        let nothing = |e: String| StepError::permanent(format!("{e}; nothing was sent"));
        let params = read(&call.params).map_err(nothing)?;
        let key = run_id(&call.id);
        let request = self.request(&params, &key).map_err(nothing)?;
        if call.id.attempt > 1 {
            // An earlier attempt may have got through after all.
            let found = tokio::select! {
                found = self.uws.find(&key) => found?,
                stop = step.stop_requested() => return Err(stop.error("nothing was sent in this attempt")),
            };
            if let Some(id) = found {
                return self.adopt(call, id, step).await;
            }
        }
        let memo = Memo { phase: Sending::AboutToSend, at: self.clock.now(), job_id: None };
        step.record(&json!(memo)).await?;
        if let Some(stop) = step.stopped() {
            return Err(stop.error("nothing was sent"));
        }
        let created = tokio::select! {
            created = self.uws.create(&request) => created,
            stop = step.stop_requested() => return Err(self.stop_unseen(&key, &stop).await),
        };
        match created {
            Created::Job(id) => self.adopt(call, id, step).await,
            Created::No(error) => Err(error),
            Created::Perhaps(why) => {
                tracing::warn!("uws: {}: {why}; looking for it", call.id);
                tokio::select! {
                    found = self.certain(&key) => match found {
                        Some(id) => self.adopt(call, id, step).await,
                        None => Err(StepError::transient(format!("{why}; the service does not list the job: it was not created"))),
                    },
                    stop = step.stop_requested() => Err(self.stop_unseen(&key, &stop).await),
                }
            }
        }
    }

    /// Whether the job was created, asked until the service answers.
    async fn certain(&self, key: &str) -> Option<String> {
        certain(self.poll, "uws: the list of jobs", || self.uws.find(key)).await
    }

    /// The job is ours: from here on it is followed, also after a restart.
    async fn adopt(&self, call: &StepCall, id: String, step: &StepHandle) -> Result<StepOutcome, StepError> {
        step.progress(&id).await;
        let memo = Memo { phase: Sending::Sent, at: self.clock.now(), job_id: Some(id.clone()) };
        if let Err(e) = step.record(&json!(memo)).await {
            // After a restart the list has it.
            tracing::warn!("uws: {}: {e}", call.id);
        }
        self.follow(call, &id, step).await
    }

    async fn follow(&self, call: &StepCall, id: &str, step: &StepHandle) -> Result<StepOutcome, StepError> {
        let run_id = run_id(&call.id);
        tokio::select! {
            job = self.uws.ended(id, &run_id, self.poll) => self.conclude(call, &job?).await,
            stop = step.stop_requested() => self.stop(call, id, &stop).await,
        }
    }

    /// What the end of a job means; its files are kept.
    async fn conclude(&self, call: &StepCall, job: &Job) -> Result<StepOutcome, StepError> {
        let params = read(&call.params).map_err(StepError::permanent)?;
        let wanted = texts(&params.outputs);
        let (mut files, mut left_out, mut values) = (Vec::new(), Vec::new(), Value::Null);
        for result in &job.results {
            let name = result.name();
            let kept = wanted.is_empty() || wanted.iter().any(|pattern| matches(pattern, &name));
            let reads = params.read.as_deref() == Some(name.as_str());
            if !kept && !reads {
                continue;
            }
            if files.len() >= MOST_FILES {
                left_out.push(format!("{name}: more than {MOST_FILES} files"));
                continue;
            }
            let bytes = match self.uws.result(&job.id, result.id).await {
                Ok(bytes) => bytes,
                Err(failure) => {
                    left_out.push(format!("{name}: {failure}"));
                    continue;
                }
            };
            if reads {
                match serde_json::from_slice(&bytes) {
                    Ok(read) => values = read,
                    Err(e) => left_out.push(format!("{name}: it is no JSON: {e}")),
                }
            }
            match self.shelf.keep(&call.id, &plain_name(&name), Content::Bytes(&bytes)).await {
                Ok(file) => files.push(file),
                Err(error) => left_out.push(error.to_string()),
            }
        }
        let known: Map<String, Value> = files.iter().map(|f| (f.name.clone(), json!(f.url))).collect();
        let outcome = if job.phase == Phase::Completed { "succeeded" } else { "failed" };
        let result = json!({
            "job_id": job.id, "run_id": job.run_id, "phase": job.phase, "outcome": outcome,
            "duration_s": job.duration_s, "files": known, "left_out": left_out, "values": values,
        });
        let missing = params.read.filter(|_| values.is_null());
        let error = match (job.phase, missing) {
            (Phase::Completed, None) => {
                return Ok(StepOutcome {
                    result,
                    backend_id: job.id.clone(),
                    files,
                    ..StepOutcome::default()
                });
            }
            (Phase::Completed, Some(name)) => {
                let why =
                    if left_out.is_empty() { String::new() } else { format!(" ({})", left_out.join("; ")) };
                StepError::permanent(format!("job {} succeeded, but {name} could not be read{why}", job.id))
            }
            (Phase::Aborted, _) => StepError::aborted(format!("job {} was aborted", job.id)),
            (Phase::Unknown, _) => {
                StepError::unknown(format!("the service does not know the phase of job {}", job.id))
            }
            (_, _) => StepError::permanent(job.failed()),
        };
        Err(error.with_result(result).with_backend_id(&job.id))
    }

    /// Ends a job that nobody waits for any more. Its own end counts if it comes first.
    async fn stop(&self, call: &StepCall, id: &str, stop: &Stop) -> Result<StepOutcome, StepError> {
        let end = async {
            if let Ok(job) = self.uws.job(id).await {
                if job.phase.is_final() {
                    return self.conclude(call, &job).await;
                }
                // Deleting a job deletes its files.
                for result in job.results.iter().filter(|r| r.name().ends_with(".log")) {
                    if let Ok(bytes) = self.uws.result(id, result.id).await {
                        // The step ends without it, if need be.
                        self.shelf
                            .keep(&call.id, &plain_name(&result.name()), Content::Bytes(&bytes))
                            .await
                            .ok();
                    }
                }
            }
            Err(stop.error(&self.delete(id).await).with_backend_id(id))
        };
        let late = || {
            stop.error(&format!("job {id} could not be deleted in time; it may go on")).with_backend_id(id)
        };
        tokio::time::timeout(STOPPING, end).await.unwrap_or_else(|_| Err(late()))
    }

    /// The same for a job that may or may not have been created.
    async fn stop_unseen(&self, key: &str, stop: &Stop) -> StepError {
        let end = async {
            match self.uws.find(key).await {
                Ok(Some(id)) => stop.error(&self.delete(&id).await).with_backend_id(id),
                Ok(None) => stop.error("no job had been created"),
                Err(failure) => stop.error(&format!("it is not known whether a job was created ({failure})")),
            }
        };
        let late = || stop.error("it is not known whether a job was created: the service does not answer");
        tokio::time::timeout(STOPPING, end).await.unwrap_or_else(|_| late())
    }

    async fn delete(&self, id: &str) -> String {
        match self.uws.delete(id).await {
            Ok(()) => format!("job {id} was deleted"),
            Err(Failure::Gone(_)) => format!("job {id} was gone already"),
            Err(failure) => format!("job {id} could not be deleted: {failure}; it goes on"),
        }
    }

    /// Goes on with what an earlier process was about to send.
    async fn look_back(
        &self,
        call: &StepCall,
        memo: &Memo,
        step: &StepHandle,
    ) -> Result<StepOutcome, StepError> {
        let key = run_id(&call.id);
        let found = tokio::select! {
            found = self.certain(&key) => found,
            stop = step.stop_requested() => return Err(self.stop_unseen(&key, &stop).await),
        };
        if let Some(id) = found {
            return self.adopt(call, id, step).await;
        }
        if self.clock.now() - memo.at > FORGOTTEN_S && !call.resend_if_unknown {
            return Err(StepError::unknown(
                "the restart came while the job was being created, more than 23 h ago: the service's list does not reach \
                 back so far, and the job is not created again",
            ));
        }
        in_time(call, self.clock.now())?;
        self.begin(call, step).await
    }
}

fn read(params: &Value) -> Result<Params, String> {
    serde_json::from_value(params.clone()).map_err(|e| format!("the parameters of uws do not fit: {e}"))
}

#[async_trait]
impl Backend for UwsBackend {
    fn name(&self) -> &'static str {
        "uws"
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        self.job(params.get("job").and_then(Value::as_str)).map(|_| ())
    }

    async fn execute(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        self.begin(call, step).await
    }

    async fn resume(
        &self,
        call: &StepCall,
        memo: Option<Value>,
        step: &StepHandle,
    ) -> Result<StepOutcome, StepError> {
        match super::recalled::<Memo>(memo, "job")? {
            None => {
                super::in_time(call, self.clock.now())?;
                self.begin(call, step).await
            }
            Some(Memo { job_id: Some(id), .. }) => {
                step.progress(&id).await;
                self.follow(call, &id, step).await
            }
            Some(memo) => self.look_back(call, &memo, step).await,
        }
    }
}
