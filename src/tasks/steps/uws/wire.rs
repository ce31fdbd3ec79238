//! How the OCPS backend service talks. What it does that one would not expect:
//!
//! * The header of a request with a body must be exactly `Content-Type: application/json`; a GET must not have it.
//! * Values of the environment are pasted between double quotes into a YAML document, the command without any: what would
//!   break that is refused here.
//! * An empty job id lists all jobs. The body of a 404 is an empty JSON text. A job that cannot be described is `{}`.
//! * A job may have been created although the answer is 500 ("Job creation timed out.").
//! * `error` comes without an end time when Kubernetes ended the job (its limit is one hour).

use std::time::Duration;

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::service::{Failure, Pauses, Service};
use super::config::UwsJob;
use crate::tasks::call::StepError;

/// Looks at a job of phase `unknown` before that is the last word.
const UNKNOWN_LOOKS: usize = 5;

/// What is to be created.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Request {
    run_id: String,
    body: Value,
}

impl Request {
    pub(super) fn new(
        run_id: &str,
        job: &UwsJob,
        environment: Vec<(String, String)>,
        replicas: u32,
    ) -> Request {
        let environment: Vec<Value> =
            environment.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let mut body = json!({"run_id": run_id, "command": job.command, "environment": environment, "replicas": replicas});
        for (key, text) in [("url", &job.url), ("commit_ref", &job.commit_ref)] {
            if !text.is_empty() {
                body[key] = json!(text);
            }
        }
        Request { run_id: run_id.to_owned(), body }
    }
}

/// What became of a request to create a job.
#[derive(Debug)]
pub(super) enum Created {
    /// It has this id.
    Job(String),
    /// There is none.
    No(StepError),
    /// There may be one; why that is not known.
    Perhaps(String),
}

/// What a job is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    Pending,
    Queued,
    Executing,
    Completed,
    Error,
    Aborted,
    Held,
    Suspended,
    #[serde(other)]
    Unknown,
}

impl Phase {
    /// Nothing changes any more. `unknown` may be the last word or not.
    pub(super) fn is_final(self) -> bool {
        match self {
            Phase::Completed | Phase::Error | Phase::Aborted => true,
            Phase::Pending
            | Phase::Queued
            | Phase::Executing
            | Phase::Held
            | Phase::Suspended
            | Phase::Unknown => false,
        }
    }
}

/// A job as the service shows it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Job {
    #[serde(rename = "jobId")]
    pub(super) id: String,
    #[serde(rename = "runId", default)]
    pub(super) run_id: String,
    pub(super) phase: Phase,
    #[serde(rename = "endTime", default)]
    end_time: Value,
    #[serde(rename = "executionDuration", default)]
    pub(super) duration_s: Option<f64>,
    #[serde(default)]
    pub(super) results: Vec<ResultFile>,
    #[serde(rename = "errorSummary", default)]
    error_summary: Value,
}

/// One of its files.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct ResultFile {
    pub(super) id: u64,
    /// Its path on the server.
    #[serde(default)]
    uri: String,
}

impl ResultFile {
    /// Its path below the job's output folder.
    pub(super) fn name(&self) -> String {
        let name = self
            .uri
            .rsplit_once("/out/")
            .map_or_else(|| self.uri.rsplit('/').next().unwrap_or_default(), |(_, below)| below);
        if name.is_empty() { format!("result_{}", self.id) } else { name.to_owned() }
    }
}

impl Job {
    /// What is wrong if this is not the job that was asked for.
    pub(super) fn stranger(&self, id: &str, run_id: &str) -> Option<String> {
        if self.id != id {
            return Some(format!("asked for job {id}, the service answers with job {}", self.id));
        }
        (self.run_id != run_id)
            .then(|| format!("job {id} has the run id {:?}, ours is {run_id:?}", self.run_id))
    }

    /// Why it failed.
    pub(super) fn failed(&self) -> String {
        let told = self.error_summary.get("message").and_then(Value::as_str).unwrap_or_default().trim();
        let why = match (told.is_empty(), self.end_time.is_null()) {
            (false, _) => format!(": {told}"),
            (true, true) => {
                ": it was ended from outside (its limit is one hour), or its command failed; see its files"
                    .to_owned()
            }
            (true, false) => "; see its files".to_owned(),
        };
        format!("job {} failed{why}", self.id)
    }
}

/// The service.
#[derive(Debug)]
pub(super) struct Uws(Service);

impl Uws {
    pub(super) fn new(service: Service) -> Uws {
        Uws(service)
    }

    pub(super) async fn create(&self, request: &Request) -> Created {
        let put = self.0.request(Method::PUT, &["job"]);
        let put = put
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(request.body.to_string());
        let answer = match self.0.send(put).await {
            Ok(answer) => answer,
            Err(error) if error.doubtful() => return Created::Perhaps(error.to_string()),
            Err(error) if error.transient() => {
                return Created::No(StepError::transient(format!("{error}; nothing was sent")));
            }
            Err(error) => return Created::No(StepError::permanent(error.to_string())),
        };
        match answer.json::<Job>() {
            Ok(job) if job.id.is_empty() => Created::Perhaps("an answer without a job id".to_owned()),
            Ok(job) if job.run_id != request.run_id => {
                Created::Perhaps(format!("an answer about another run ({:?})", job.run_id))
            }
            Ok(job) => Created::Job(job.id),
            Err(failure @ (Failure::Lost(_) | Failure::Garbled(_))) => Created::Perhaps(failure.to_string()),
            Err(failure @ Failure::Refused { status: 500.., .. }) => Created::Perhaps(failure.to_string()),
            Err(failure) => Created::No(StepError::from(failure)),
        }
    }

    pub(super) async fn job(&self, id: &str) -> Result<Job, Failure> {
        self.0.get(&["job", id], &[]).await
    }

    /// The job once it has ended, or once it is clear that the service does not know its phase. `run_id` is what it has to have.
    pub(super) async fn ended(&self, id: &str, run_id: &str, poll: Duration) -> Result<Job, StepError> {
        let mut pauses = Pauses::new(poll);
        let mut unknown = 0;
        let mut phase = None;
        loop {
            pauses.wait().await;
            match self.job(id).await {
                Ok(job) => {
                    if let Some(problem) = job.stranger(id, run_id) {
                        return Err(StepError::unknown(problem).with_backend_id(id));
                    }
                    unknown = if job.phase == Phase::Unknown { unknown + 1 } else { 0 };
                    if job.phase.is_final() || unknown >= UNKNOWN_LOOKS {
                        return Ok(job);
                    }
                    if phase != Some(job.phase) {
                        phase = Some(job.phase);
                        pauses.reset();
                    }
                }
                Err(Failure::Gone(_)) => {
                    let text = format!("job {id} is gone: somebody deleted it, or the service forgot it");
                    return Err(StepError::aborted(text).with_backend_id(id));
                }
                Err(failure) if failure.passes() => tracing::warn!("uws: job {id}: {failure}"),
                Err(failure) => {
                    let text = format!("job {id} cannot be followed: {failure}; it goes on");
                    return Err(StepError::unknown(text).with_backend_id(id));
                }
            }
        }
    }

    /// The id of the job with that run id.
    pub(super) async fn find(&self, run_id: &str) -> Result<Option<String>, Failure> {
        let jobs: Vec<Value> = self.0.get(&["job"], &[]).await?;
        let text =
            |job: &Value, key: &str| job.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(jobs
            .iter()
            .find(|job| text(job, "runId") == run_id)
            .map(|job| text(job, "jobId"))
            .filter(|id| !id.is_empty()))
    }

    pub(super) async fn result(&self, id: &str, n: u64) -> Result<Vec<u8>, Failure> {
        let request = self.0.request(Method::GET, &["job", "result", id, &n.to_string()]);
        self.0.send(request).await.map_err(Failure::Lost)?.file()
    }

    pub(super) async fn delete(&self, id: &str) -> Result<(), Failure> {
        let request = self.0.request(Method::DELETE, &["job", id]);
        match self.0.send(request).await.map_err(Failure::Lost)?.failure() {
            None => Ok(()),
            Some(failure) => Err(failure),
        }
    }
}

/// What is wrong with the environment of a job.
pub(super) fn mistakes(environment: &[(String, String)]) -> Vec<String> {
    let mut mistakes = Vec::new();
    for (name, value) in environment {
        let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !plain {
            mistakes.push(format!("{name:?} is no name of a variable"));
        }
        mistakes.extend(bad_value(value).map(|why| format!("{name}: {why}")));
    }
    mistakes
}

/// Why a value cannot be pasted between double quotes.
pub(super) fn bad_value(value: &str) -> Option<String> {
    let bad = value.chars().find(|c| matches!(c, '"' | '\\') || c.is_control())?;
    Some(format!("it contains {bad:?}, which would break the job (use single quotes)"))
}

/// Why a command cannot be pasted as it is.
pub(super) fn bad_command(command: &str) -> Option<String> {
    let text = command.trim();
    if text.is_empty() {
        return Some("it is empty".to_owned());
    }
    if let Some(bad) = text.chars().find(|c| c.is_control()) {
        return Some(format!("it contains {bad:?}"));
    }
    if text.contains(": ") || text.contains(" #") || text.ends_with(':') {
        return Some("\": \" and \" #\" mean something in the service's document".to_owned());
    }
    let first = text.chars().next().filter(|c| "&*!|>'\"%@`{}[],?:-#".contains(*c))?;
    Some(format!("it begins with {first:?}, which means something in the service's document"))
}
