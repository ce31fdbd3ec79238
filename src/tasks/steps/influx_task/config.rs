//! What a site says about the InfluxDB 2 in which rules may keep tasks.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::service::{self, Section, Service, TokenAt};
use crate::outputs::efd::{Efd, EfdConfig};

/// An InfluxDB 2 in which rules may keep Flux tasks. The production EFD is an InfluxDB 1, which has none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct InfluxTaskConfig {
    /// Its address, e.g. `http://influxdb2:8086`.
    pub url: String,
    /// The organization.
    pub org: String,
    /// Environment variable that holds a token with the right to read and write tasks. Tasks run with its rights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_env: Option<String>,
    /// File that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Buckets that tasks of rules may write to; none if empty.
    #[serde(default)]
    pub write_buckets: Vec<String>,
    /// First pause between two looks at a task's runs, s; later ones are longer, up to 10 s.
    #[serde(default = "service::default_poll_interval_s")]
    pub poll_interval_s: f64,
    /// Time limit of one request, s.
    #[serde(default = "service::default_timeout_s")]
    pub timeout_s: f64,
}

impl InfluxTaskConfig {
    pub(super) fn service(
        &self,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(Service, Duration), Vec<String>> {
        let mut problems = Vec::new();
        if self.org.trim().is_empty() {
            problems.push("org: it is needed".to_owned());
        }
        if self.token_env.is_none() && self.token_file.is_none() {
            problems.push("token_env: it or token_file is needed".to_owned());
        }
        let token =
            TokenAt { variable: self.token_env.as_deref(), file: self.token_file.as_ref(), scheme: "Token" };
        let section = Section {
            url: &self.url,
            token,
            timeout_s: self.timeout_s,
            poll_interval_s: self.poll_interval_s,
        };
        section.service(problems, lookup)
    }

    /// A client that reads what runs wrote.
    pub(super) fn efd(&self, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Arc<dyn Efd>, Vec<String>> {
        let config = EfdConfig {
            token_env: self.token_env.clone(),
            token_file: self.token_file.clone(),
            timeout_s: self.timeout_s,
            // It writes nothing.
            ..EfdConfig::influxdb2(&self.url, &self.org, "none", "")
        };
        let problems = |all: Vec<crate::outputs::efd::config::ConfigProblem>| {
            all.iter().map(|p| p.to_string().trim_start_matches("efd.").to_owned()).collect()
        };
        config.client(lookup).map_err(problems)
    }
}
