//! What a site says about noteburst.

use std::path::PathBuf;
use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::service::{self, Section, Service, TokenAt};

/// noteburst: executes notebooks on the science platform. It is not at the summit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NoteburstConfig {
    /// Its address with the version, e.g. `https://usdf-rsp.example.org/noteburst/v1`.
    pub url: String,
    /// Environment variable that holds a token of the science platform with the scope `exec:notebook`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_env: Option<String>,
    /// File that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Folder of the notebooks that rules may use. They must be self-contained: they run elsewhere.
    pub notebooks: PathBuf,
    /// First pause between two looks at a job, s; later ones are longer, up to 10 s.
    #[serde(default = "service::default_poll_interval_s")]
    pub poll_interval_s: f64,
    /// Time limit of one request, s.
    #[serde(default = "service::default_timeout_s")]
    pub timeout_s: f64,
}

impl NoteburstConfig {
    pub(super) fn service(
        &self,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(Service, Duration), Vec<String>> {
        let mut problems = Vec::new();
        if !self.notebooks.is_dir() {
            problems.push(format!("notebooks: {} is no folder", self.notebooks.display()));
        }
        let token =
            TokenAt { variable: self.token_env.as_deref(), file: self.token_file.as_ref(), scheme: "Bearer" };
        let section = Section {
            url: &self.url,
            token,
            timeout_s: self.timeout_s,
            poll_interval_s: self.poll_interval_s,
        };
        section.service(problems, lookup)
    }
}
