//! The backend `batch`: one job for each detector, submitted to HTCondor or SLURM by their own commands.
//!
//! All jobs of a step are one submission (a cluster of HTCondor, an array of SLURM), which its system takes whole or not at
//! all. What makes that happen once, though we may die at any moment: the submission carries a *batch name* that follows from
//! run and step, and the submitting command runs in a working folder that says whether it was started and how it ended
//! ([`super::command`] does the same), because it goes on when we die.
//!
//! ```text
//!  folder ─► journal ABOUT TO SUBMIT ─► condor_submit / sbatch ─► cluster id ─► journal SUBMITTED ─► look every poll_interval_s
//!  after a restart: SUBMITTED ─► go on looking
//!                   the command never started ─► submit, unless it is too late;  it runs ─► wait for it
//!                   it ended ─► its answer, or a look-up by batch name: there ─► ours; not there ─► submit, unless too late
//! ```
//!
//! When the step is stopped, its jobs are removed. It succeeds if no more than `tolerate` jobs fail. The arguments of a job are
//! those of DMTN-092, as options: [`jobs`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use salobj::{Clock, Tai};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::command::work_folder::{Found, Limits, WorkFolder};
use super::service::{Pauses, certain, run_id};
use super::{Backend, StepHandle, in_time};
use crate::tasks::call::{StepCall, StepError, StepOutcome, Stop};
use config::System;
use jobs::{Params, SubmittedJob};
use scheduler::{JobState, Scheduler};

mod config;
mod htcondor;
pub mod jobs;
mod programs;
mod scheduler;
mod slurm;
#[cfg(test)]
mod tests;

pub use config::{BatchConfig, BatchJob};

/// Submissions followed at a time.
const CONCURRENCY: usize = 16;
/// Looks in a row that do not show a job before it counts as lost: it may be on its way from the queue to the history.
const MISSING_LOOKS: usize = 5;
/// How far back the systems are asked by batch name.
const FORGOTTEN_S: f64 = 6.0 * 86_400.0;
/// For what is done when a step is stopped.
const STOPPING: Duration = Duration::from_secs(25);
/// Between two looks at a submitting command of an earlier process.
const LOOK: Duration = Duration::from_millis(100);
/// What the submitting command may use.
const LIMITS: Limits = Limits { memory_kb: 4 << 20, file_bytes: 64 << 20 };

/// What is journaled of a submission.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Memo {
    /// Working folder of the submitting command.
    folder: String,
    /// When it was about to be started.
    at: Tai,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cluster: Option<String>,
}

/// Carries out `batch` steps.
pub struct BatchBackend {
    scheduler: Box<dyn Scheduler>,
    environment: Vec<(String, String)>,
    jobs: BTreeMap<String, BatchJob>,
    poll: Duration,
    work: PathBuf,
    clock: Clock,
}

impl BatchBackend {
    /// The batch system and the jobs that a site lists. Working folders are below `work`.
    ///
    /// # Errors
    /// Everything that is wrong with the section.
    pub fn new(
        config: &BatchConfig,
        work: PathBuf,
        lookup: &dyn Fn(&str) -> Option<String>,
        clock: Clock,
    ) -> Result<BatchBackend, Vec<String>> {
        let (programs, poll) = config.programs(lookup)?;
        let environment = programs.environment.clone();
        let scheduler: Box<dyn Scheduler> = match config.system {
            System::Htcondor => Box::new(htcondor::HtCondor::new(programs, config.logs.clone())),
            System::Slurm => Box::new(slurm::Slurm::new(programs, config.logs.clone())),
        };
        Ok(BatchBackend { scheduler, environment, jobs: config.jobs.clone(), poll, work, clock })
    }

    fn job(&self, name: &str) -> Result<&BatchJob, String> {
        self.jobs.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.jobs.keys().map(String::as_str).collect();
            format!("this site has no batch job \"{name}\" (backends.batch.jobs lists: {})", known.join(", "))
        })
    }

    async fn begin(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        let nothing = |e: String| StepError::permanent(format!("{e}; nothing was submitted"));
        let params = Params::read(&call.params).map_err(nothing)?;
        let job = self.job(&params.job).map_err(nothing)?;
        let jobs = params.jobs(job).map_err(nothing)?;
        let name = run_id(&call.id);
        if call.id.attempt > 1 {
            // An earlier attempt may have got through after all.
            let found = tokio::select! {
                found = self.certain(&name) => found,
                stop = step.stop_requested() => return Err(stop.error("nothing was submitted in this attempt")),
            };
            if let Some(cluster) = found {
                return self.adopt(call, None, cluster, step).await;
            }
        }
        let (argv, input) = self.scheduler.submission(&name, job, &jobs);
        let local = |e: std::io::Error| StepError::transient(format!("{e}; nothing was submitted"));
        let folder = WorkFolder::make(&self.work, &call.id).map_err(local)?;
        folder.write_input(&input).map_err(local)?;
        let memo = Memo { folder: folder.name(), at: self.clock.now(), cluster: None };
        step.record(&json!(memo)).await?;
        if let Some(stop) = step.stopped() {
            return Err(stop.error("nothing was submitted"));
        }
        let mut child = folder
            .start(&argv, &self.environment, &LIMITS)
            .map_err(|e| StepError::permanent(format!("{}: {e}; nothing was submitted", argv[0])))?;
        tokio::select! {
            // What it left behind says how it ended.
            _ = child.wait() => {}
            stop = step.stop_requested() => {
                folder.stop().await;
                return Err(self.stop_unseen(&name, &stop).await);
            }
        }
        self.submitted(call, memo, &folder, step).await
    }

    /// What the end of the submitting command means.
    async fn submitted(
        &self,
        call: &StepCall,
        memo: Memo,
        folder: &WorkFolder,
        step: &StepHandle,
    ) -> Result<StepOutcome, StepError> {
        let name = run_id(&call.id);
        let answer = folder.answer().unwrap_or_default();
        if folder.exit() == Some(0)
            && let Some(cluster) = self.scheduler.cluster(&answer)
        {
            return self.adopt(call, Some(memo), cluster, step).await;
        }
        let found = tokio::select! {
            found = self.certain(&name) => found,
            stop = step.stop_requested() => return Err(self.stop_unseen(&name, &stop).await),
        };
        match found {
            Some(cluster) => self.adopt(call, Some(memo), cluster, step).await,
            None => Err(StepError::transient(format!(
                "the jobs were not submitted: {} {}",
                folder.log(),
                answer.trim()
            ))),
        }
    }

    /// The submission of that name, asked for until the system answers, several times if it knows none.
    async fn certain(&self, name: &str) -> Option<String> {
        certain(self.poll, "batch", || self.scheduler.find(name)).await
    }

    /// The submission is ours: from here on it is followed, also after a restart.
    async fn adopt(
        &self,
        call: &StepCall,
        memo: Option<Memo>,
        cluster: String,
        step: &StepHandle,
    ) -> Result<StepOutcome, StepError> {
        step.progress(&cluster).await;
        let (folder, at) =
            memo.map_or_else(|| (String::new(), self.clock.now()), |memo| (memo.folder, memo.at));
        if let Err(e) = step.record(&json!(Memo { folder, at, cluster: Some(cluster.clone()) })).await {
            // After a restart it is found by its name.
            tracing::warn!("batch: {}: {e}", call.id);
        }
        self.follow(call, &cluster, step).await
    }

    async fn follow(
        &self,
        call: &StepCall,
        cluster: &str,
        step: &StepHandle,
    ) -> Result<StepOutcome, StepError> {
        let params = Params::read(&call.params).map_err(StepError::permanent)?;
        let job = self.job(&params.job).map_err(StepError::permanent)?;
        let jobs = params.jobs(job).map_err(StepError::permanent)?;
        let mut states = vec![JobState::Waiting; jobs.len()];
        let mut missing = vec![0; jobs.len()];
        let mut pauses = Pauses::new(self.poll);
        loop {
            let look = async {
                pauses.wait().await;
                self.scheduler.look(cluster).await
            };
            let seen = tokio::select! {
                seen = look => seen,
                stop = step.stop_requested() => return self.stop(cluster, &jobs, &states, &stop).await,
            };
            let seen = match seen {
                Ok(seen) => seen,
                Err(error) => {
                    tracing::warn!("batch: cluster {cluster}: {error}");
                    continue;
                }
            };
            let before = states.clone();
            for n in 0..jobs.len() {
                match seen.get(&n) {
                    Some(state) => {
                        missing[n] = 0;
                        states[n] = state.clone();
                    }
                    None if states[n].is_final() => {}
                    None => {
                        missing[n] += 1;
                        if missing[n] >= MISSING_LOOKS {
                            states[n] = JobState::Lost;
                        }
                    }
                }
            }
            if states.iter().all(JobState::is_final) {
                return self.conclude(cluster, &params, &jobs, &states).await;
            }
            if states != before {
                pauses.reset();
            }
        }
    }

    /// What the ends of all jobs mean.
    async fn conclude(
        &self,
        cluster: &str,
        params: &Params,
        jobs: &[SubmittedJob],
        states: &[JobState],
    ) -> Result<StepOutcome, StepError> {
        if states.iter().any(|state| matches!(state, JobState::Held(_)))
            && let Err(error) = self.scheduler.remove_cluster(cluster).await
        {
            tracing::warn!("batch: held jobs of cluster {cluster} could not be removed: {error}");
        }
        let result = result(cluster, jobs, states);
        let failed = states.iter().filter(|state| !state.is_good()).count();
        let lost = states.iter().filter(|state| **state == JobState::Lost).count();
        if failed <= params.tolerate {
            return Ok(StepOutcome { result, backend_id: cluster.to_owned(), ..StepOutcome::default() });
        }
        let first: Vec<String> = (jobs.iter().zip(states))
            .filter(|(_, state)| !state.is_good())
            .take(5)
            .map(|(job, state)| format!("{} {state}", job.detector))
            .collect();
        let more = if failed > first.len() { ", ..." } else { "" };
        let text = format!(
            "{failed} of {} jobs failed, {} may: {}{more}",
            jobs.len(),
            params.tolerate,
            first.join(", ")
        );
        // What was lost may have done its work.
        let error = if lost > 0 && failed - lost <= params.tolerate {
            StepError::unknown(text)
        } else {
            StepError::permanent(text)
        };
        Err(error.with_result(result).with_backend_id(cluster))
    }

    /// Removes jobs that nobody waits for any more.
    async fn stop(
        &self,
        cluster: &str,
        jobs: &[SubmittedJob],
        states: &[JobState],
        stop: &Stop,
    ) -> Result<StepOutcome, StepError> {
        let ended = states.iter().filter(|state| state.is_final()).count();
        let told = match tokio::time::timeout(STOPPING, self.scheduler.remove_cluster(cluster)).await {
            Ok(Ok(())) => "the others were removed".to_owned(),
            Ok(Err(error)) => format!("the others could not be removed: {error}; they go on"),
            Err(_) => "the others could not be removed in time; they may go on".to_owned(),
        };
        let text = format!("{ended} of {} jobs of cluster {cluster} had ended, {told}", jobs.len());
        Err(stop.error(&text).with_result(result(cluster, jobs, states)).with_backend_id(cluster))
    }

    /// The same for a submission that may or may not have taken effect.
    async fn stop_unseen(&self, name: &str, stop: &Stop) -> StepError {
        let end = async {
            match self.certain(name).await {
                Some(cluster) => match self.scheduler.remove_cluster(&cluster).await {
                    Ok(()) => stop
                        .error(&format!("the jobs of cluster {cluster} were removed"))
                        .with_backend_id(cluster),
                    Err(e) => stop.error(&format!("the jobs of cluster {cluster} could not be removed: {e}")),
                },
                None => stop.error("no jobs had been submitted"),
            }
        };
        let late = || {
            stop.error(&format!(
                "it is not known whether jobs were submitted; their batch name would be {name}"
            ))
        };
        tokio::time::timeout(STOPPING, end).await.unwrap_or_else(|_| late())
    }

    /// Goes on with what an earlier process was about to submit.
    async fn look_back(
        &self,
        call: &StepCall,
        memo: Memo,
        step: &StepHandle,
    ) -> Result<StepOutcome, StepError> {
        let name = run_id(&call.id);
        let folder = WorkFolder::of(&self.work, &memo.folder)
            .ok_or_else(|| StepError::unknown("the journal names no working folder of ours"))?;
        loop {
            match folder.settled().await {
                Found::NeverStarted => return self.begin_late(call, step).await,
                Found::Lives => tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    stop = step.stop_requested() => {
                        folder.stop().await;
                        return Err(self.stop_unseen(&name, &stop).await);
                    }
                },
                Found::Ended if folder.exit() == Some(0) => {
                    return self.submitted(call, memo, &folder, step).await;
                }
                Found::Ended | Found::Gone => break,
            }
        }
        let found = tokio::select! {
            found = self.certain(&name) => found,
            stop = step.stop_requested() => return Err(self.stop_unseen(&name, &stop).await),
        };
        if let Some(cluster) = found {
            return self.adopt(call, Some(memo), cluster, step).await;
        }
        if self.clock.now() - memo.at > FORGOTTEN_S && !call.resend_if_unknown {
            return Err(StepError::unknown(
                "the restart came while the jobs were being submitted, too long ago for the batch system to know; they are not \
                 submitted again",
            ));
        }
        self.begin_late(call, step).await
    }

    /// After a restart nothing is begun for triggers that are too old.
    async fn begin_late(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        if let Some(stop) = step.stopped() {
            return Err(stop.error("nothing was submitted"));
        }
        in_time(call, self.clock.now())?;
        self.begin(call, step).await
    }
}

fn result(cluster: &str, jobs: &[SubmittedJob], states: &[JobState]) -> Value {
    let good: Vec<&str> =
        jobs.iter().zip(states).filter(|(_, s)| s.is_good()).map(|(job, _)| job.detector.as_str()).collect();
    let failed: Map<String, Value> = (jobs.iter().zip(states))
        .filter(|(_, state)| !state.is_good())
        .map(|(job, state)| (job.detector.clone(), json!(state.to_string())))
        .collect();
    json!({
        "cluster": cluster, "jobs": jobs.len(), "succeeded": good.len(), "failed": failed.len(), "detectors": good,
        "failures": failed,
    })
}

#[async_trait]
impl Backend for BatchBackend {
    fn name(&self) -> &'static str {
        "batch"
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        self.job(params.get("job").and_then(Value::as_str).unwrap_or_default()).map(drop)
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
        match super::recalled::<Memo>(memo, "jobs")? {
            None => self.begin_late(call, step).await,
            Some(Memo { cluster: Some(cluster), .. }) => {
                step.progress(&cluster).await;
                self.follow(call, &cluster, step).await
            }
            Some(memo) => self.look_back(call, memo, step).await,
        }
    }
}
