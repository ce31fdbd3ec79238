//! What a site says about notebooks that are executed on the Catcher's machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::command::work_folder::Limits;
use super::super::command::{environment, is_executable};

/// Notebooks that are executed on this machine by papermill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NotebookConfig {
    /// papermill: the absolute path of the program, and its first arguments.
    pub program: Vec<String>,
    /// Folder of the notebooks that rules may use.
    pub notebooks: PathBuf,
    /// Kernel of those whose step names none; the notebook's own if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernel_name: Option<String>,
    /// Address space that a process may have, MB.
    #[serde(default = "default_memory_mb")]
    #[cfg_attr(test, schemars(range(min = 16)))]
    pub memory_mb: u64,
    /// Size of the largest file that may be written, MB.
    #[serde(default = "default_file_mb")]
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub file_mb: u64,
    /// Variables of the environment besides PATH, HOME, LANG and TMPDIR.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Names of variables that are passed on from the Catcher's own environment.
    #[serde(default)]
    pub pass_environment: Vec<String>,
}

fn default_memory_mb() -> u64 {
    8192
}

fn default_file_mb() -> u64 {
    100
}

impl NotebookConfig {
    pub(super) fn limits(&self) -> Limits {
        Limits {
            memory_kb: self.memory_mb.saturating_mul(1024),
            file_bytes: self.file_mb.saturating_mul(1 << 20),
        }
    }

    /// The environment of the program, if all else is right, too.
    pub(super) fn checked(
        &self,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Vec<(String, String)>, Vec<String>> {
        let mut problems = Vec::new();
        match self.program.first().map(Path::new) {
            None => problems.push("program: it is missing".to_owned()),
            Some(file) if !file.is_absolute() => {
                problems.push(format!("program: {} is not an absolute path", file.display()));
            }
            Some(file) if !is_executable(file) => {
                problems.push(format!("program: {} is no executable file", file.display()));
            }
            Some(_) => {}
        }
        if !self.notebooks.is_dir() {
            problems.push(format!("notebooks: {} is no folder", self.notebooks.display()));
        }
        match environment(&self.environment, &self.pass_environment, lookup) {
            Ok(environment) if problems.is_empty() => Ok(environment),
            Ok(_) => Err(problems),
            Err(wrong) => Err(problems.into_iter().chain(wrong).collect()),
        }
    }
}
