//! What a site says about the OCPS backend service and the jobs that rules may start there.

use std::collections::BTreeMap;
use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::service::{self, Section, Service, TokenAt};
use super::wire;

/// The OCPS backend service. It runs whatever it is told and asks for no credentials, so rules can start only the jobs that
/// are listed here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UwsConfig {
    /// Its address with the base path, e.g. `http://uws-server/api/v1`.
    pub url: String,
    /// Jobs by name.
    #[serde(default)]
    pub jobs: BTreeMap<String, UwsJob>,
    /// Indices of the OCPS CSCs whose jobs this service runs. What became of a job is asked here when its OCPS tells nothing more:
    /// an acknowledgement is lost, OCPS is gone, started anew, or in FAULT.
    #[serde(default)]
    pub ocps: Vec<i64>,
    /// First pause between two looks at a job, s; later ones are longer, up to 10 s.
    #[serde(default = "default_poll_interval_s")]
    pub poll_interval_s: f64,
    /// Time limit of one request, s. The service may hold a request for 9 s.
    #[serde(default = "service::default_timeout_s")]
    pub timeout_s: f64,
}

/// What one kind of job runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UwsJob {
    /// Command for bash, e.g. `cd $JOB_SOURCE_DIR && bash bin/pipetask.sh`.
    pub command: String,
    /// Git repository that is cloned into the job.
    #[serde(default)]
    pub url: String,
    /// What of it is checked out.
    #[serde(default)]
    pub commit_ref: String,
    /// Variables that every such job gets; a rule may add others and replace these.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

fn default_poll_interval_s() -> f64 {
    0.5
}

impl UwsConfig {
    pub(super) fn service(
        &self,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(Service, Duration), Vec<String>> {
        let mut problems = Vec::new();
        if self.jobs.is_empty() && self.ocps.is_empty() {
            problems
                .push("jobs: none is listed, so no rule could start one, and `ocps` names no CSC".to_owned());
        }
        for (name, job) in &self.jobs {
            let place = format!("jobs.{name}");
            problems.extend(wire::bad_command(&job.command).map(|why| format!("{place}.command: {why}")));
            for (key, text) in [("url", &job.url), ("commit_ref", &job.commit_ref)] {
                problems.extend(wire::bad_value(text).map(|why| format!("{place}.{key}: {why}")));
            }
            let environment: Vec<(String, String)> =
                job.environment.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
            problems.extend(
                wire::mistakes(&environment).into_iter().map(|p| format!("{place}.environment: {p}")),
            );
        }
        let section = Section {
            url: &self.url,
            token: TokenAt::default(),
            timeout_s: self.timeout_s,
            poll_interval_s: self.poll_interval_s,
        };
        section.service(problems, lookup)
    }
}
