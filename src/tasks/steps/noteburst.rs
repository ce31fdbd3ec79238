//! The backend `noteburst`: a notebook of the site, executed on the science platform, kept with a page made of it.
//!
//! noteburst has no parameters: they are written into the notebook ([`crate::tasks::notebook::inject`]) before it is sent. How a
//! job ends is told apart by more than its state ([`wire::End`]): a cell that raised is still a success of noteburst.
//!
//! What makes a notebook run once: nothing but our own care. noteburst has no list of jobs and no key by which it would
//! recognise a repeat. A request is journaled as about to go; if the connection breaks after it went out, or we die before
//! it is answered, its outcome is unknown, and it is not sent again unless the rule says `resend_if_unknown`. Once the job's
//! id is journaled, a restart goes on looking. A job cannot be stopped: when the step is, it goes on to its own limit.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Method;
use salobj::Clock;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::notebooks::{self, Notebooks};
use super::service::{Failure, Pauses, Service};
use super::{Backend, StepHandle, in_time};
use crate::tasks::call::{StepCall, StepError, StepOutcome};
use crate::tasks::notebook;
use crate::tasks::shelf::Shelf;
use wire::{Cell, End, Job, Submitted};

mod config;
#[cfg(test)]
mod tests;
mod wire;

pub use config::NoteburstConfig;

/// Notebooks at a time; the service has a few workers only.
const CONCURRENCY: usize = 4;

/// Parameters of a step.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    /// Path of the notebook below the site's folder.
    notebook: String,
    /// Values that replace the notebook's own.
    #[serde(default)]
    parameters: Map<String, Value>,
    /// Kernel.
    #[serde(default = "default_kernel")]
    kernel_name: String,
    /// Whether noteburst tries again after an error of the platform.
    #[serde(default = "yes")]
    enable_retry: bool,
}

fn default_kernel() -> String {
    "lsst".to_owned()
}

fn yes() -> bool {
    true
}

/// What is journaled: without an id the request was about to go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Memo {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job_id: Option<String>,
}

/// Carries out `noteburst` steps.
pub struct NoteburstBackend {
    service: Service,
    notebooks: Notebooks,
    poll: Duration,
    shelf: Arc<dyn Shelf>,
    clock: Clock,
}

impl NoteburstBackend {
    /// The service, and the folder of notebooks, of a site.
    ///
    /// # Errors
    /// Everything that is wrong with the section.
    pub fn new(
        config: &NoteburstConfig,
        shelf: Arc<dyn Shelf>,
        lookup: &dyn Fn(&str) -> Option<String>,
        clock: Clock,
    ) -> Result<NoteburstBackend, Vec<String>> {
        let (service, poll) = config.service(lookup)?;
        Ok(NoteburstBackend { service, notebooks: Notebooks(config.notebooks.clone()), poll, shelf, clock })
    }

    async fn begin(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        let nothing = |e: String| StepError::permanent(format!("{e}; nothing was sent"));
        let params = read(&call.params).map_err(nothing)?;
        let body = json!({
            "ipynb": self.notebooks.source(&params.notebook, &params.parameters, call).map_err(nothing)?,
            "kernel_name": params.kernel_name,
            "timeout": call.timeout.as_secs_f64(),
            "enable_retry": params.enable_retry,
        });
        step.record(&json!(Memo { job_id: None })).await?;
        if let Some(stop) = step.stopped() {
            return Err(stop.error("nothing was sent"));
        }
        let request = self.service.request(Method::POST, &["notebooks", ""]).json(&body);
        let answer = tokio::select! {
            answer = self.service.send(request) => answer,
            stop = step.stop_requested() => {
                return Err(stop.error("there was no answer yet; the notebook may be executed all the same"));
            }
        };
        let id = match wire::submitted(answer, call.resend_if_unknown) {
            Submitted::Job(id) => id,
            Submitted::No(error) => return Err(error),
        };
        step.progress(&id).await;
        if let Err(e) = step.record(&json!(Memo { job_id: Some(id.clone()) })).await {
            tracing::warn!("noteburst: {}: {e}; after a restart its outcome would be unknown", call.id);
        }
        self.follow(call, &id, step).await
    }

    async fn follow(&self, call: &StepCall, id: &str, step: &StepHandle) -> Result<StepOutcome, StepError> {
        let mut pauses = Pauses::new(self.poll);
        loop {
            let look = async {
                pauses.wait().await;
                self.look(id).await
            };
            let job = tokio::select! {
                job = look => job,
                stop = step.stop_requested() => {
                    let text = format!("notebook job {id} cannot be stopped; it goes on to its own limit");
                    return Err(stop.error(&text).with_backend_id(id));
                }
            };
            match job {
                Ok(Some(job)) => return self.conclude(call, id, job).await,
                Ok(None) => {}
                Err(Failure::Gone(words)) => {
                    let text = format!(
                        "noteburst does not know notebook job {id} any more ({words}): it may have run"
                    );
                    return Err(StepError::unknown(text).with_backend_id(id));
                }
                Err(failure) if failure.passes() => tracing::warn!("noteburst: job {id}: {failure}"),
                Err(failure) => {
                    let text = format!("notebook job {id} cannot be followed: {failure}; it goes on");
                    return Err(StepError::unknown(text).with_backend_id(id));
                }
            }
        }
    }

    /// The job with its result, once it is complete. Before that the result is not asked for: it holds the whole notebook.
    async fn look(&self, id: &str) -> Result<Option<Job>, Failure> {
        let with = |result: bool| {
            [("source".to_owned(), "false".to_owned()), ("result".to_owned(), result.to_string())]
        };
        let job: Job = self.service.get(&["notebooks", id], &with(false)).await?;
        match job.status.as_str() {
            "deferred" | "queued" | "in_progress" => Ok(None),
            "complete" => self.service.get(&["notebooks", id], &with(true)).await.map(Some),
            "not_found" => Err(Failure::Gone("not_found".to_owned())),
            other => Err(Failure::Garbled(format!("status {other:?}"))),
        }
    }

    /// What the end of a job means; the notebook and a page made of it are kept, also of one that failed in the middle.
    async fn conclude(&self, call: &StepCall, id: &str, job: Job) -> Result<StepOutcome, StepError> {
        let mut result = json!({
            "job_id": id, "started": job.start_time, "finished": job.finish_time, "files": {}, "values": null,
        });
        let (ipynb, raised) = match job.end(id) {
            End::Ran(ipynb, raised) => (ipynb, raised),
            End::Not(error) => {
                result["outcome"] = json!("failed");
                return Err(error.with_result(result).with_backend_id(id));
            }
        };
        let name = call.params["notebook"].as_str().unwrap_or_default();
        let files = notebooks::keep(self.shelf.as_ref(), &call.id, name, &ipynb).await;
        result["files"] = files.iter().map(|f| (f.name.clone(), json!(f.url))).collect::<Map<_, _>>().into();
        result["values"] = notebook::parse(&ipynb).map(|nb| notebook::values(&nb)).unwrap_or_default();
        match raised {
            None => {
                result["outcome"] = json!("succeeded");
                Ok(StepOutcome { result, backend_id: id.to_owned(), files, ..StepOutcome::default() })
            }
            Some(Cell { name, message }) => {
                result["outcome"] = json!("cell_error");
                result["error"] = json!({"name": name, "message": message});
                let text = format!("a cell of the notebook raised {name}: {message}");
                Err(StepError::permanent(text).with_result(result).with_backend_id(id))
            }
        }
    }
}

fn read(params: &Value) -> Result<Params, String> {
    serde_json::from_value(params.clone()).map_err(|e| format!("the parameters of noteburst do not fit: {e}"))
}

#[async_trait]
impl Backend for NoteburstBackend {
    fn name(&self) -> &'static str {
        "noteburst"
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        self.notebooks.check(params)
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
        match super::recalled::<Memo>(memo, "notebook")? {
            Some(Memo { job_id: Some(id) }) => {
                step.progress(&id).await;
                self.follow(call, &id, step).await
            }
            Some(Memo { job_id: None }) if !call.resend_if_unknown => Err(StepError::unknown(
                "the restart came while the notebook was on its way to noteburst, which has no list of jobs: it is not known \
                 whether it was sent, and it is not sent again",
            )),
            _ => {
                in_time(call, self.clock.now())?;
                self.begin(call, step).await
            }
        }
    }
}
