//! What a site says about its batch system and the jobs that rules may submit.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::command;
use super::super::service::seconds;
use super::jobs::bad_value;
use super::programs::Programs;

/// A batch system, used by its commands. Rules can submit only the jobs that are listed here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BatchConfig {
    /// Which one.
    pub system: System,
    /// Folder of its commands: `condor_submit`, `condor_q`, `condor_history`, `condor_rm`, or `sbatch`, `sacct`, `scancel`.
    #[serde(default = "default_folder")]
    pub folder: PathBuf,
    /// Jobs by name.
    pub jobs: BTreeMap<String, BatchJob>,
    /// Folder for what the jobs write; it must be there on the machines where they run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<PathBuf>,
    /// Variables of the commands' environment besides PATH and LANG.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Names of variables that the commands get from the Catcher's own environment.
    #[serde(default)]
    pub pass_environment: Vec<String>,
    /// First pause between two looks, s; later ones are longer, up to 10 s.
    #[serde(default = "default_poll_interval_s")]
    pub poll_interval_s: f64,
    /// Time limit of one command that asks or removes, s.
    #[serde(default = "default_timeout_s")]
    pub timeout_s: f64,
}

/// A batch system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum System {
    /// HTCondor.
    Htcondor,
    /// SLURM, with its accounting database.
    Slurm,
}

/// One kind of job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BatchJob {
    /// Absolute path of the program where the jobs run.
    pub program: PathBuf,
    /// Its first arguments; those of the detector follow.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Further lines of the submit description (HTCondor: `request_memory = 4 GB`) or options of `sbatch` (`--mem=4G`).
    #[serde(default)]
    pub submit: Vec<String>,
}

fn default_folder() -> PathBuf {
    PathBuf::from("/usr/bin")
}

fn default_poll_interval_s() -> f64 {
    5.0
}

fn default_timeout_s() -> f64 {
    60.0
}

impl BatchConfig {
    pub(super) fn programs(
        &self,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(Programs, Duration), Vec<String>> {
        let mut problems = Vec::new();
        let poll = seconds("poll_interval_s", self.poll_interval_s, 0.01, 600.0, &mut problems);
        let timeout = seconds("timeout_s", self.timeout_s, 0.1, 600.0, &mut problems);
        let needed: &[&str] = match self.system {
            System::Htcondor => &["condor_submit", "condor_q", "condor_history", "condor_rm"],
            System::Slurm => &["sbatch", "sacct", "scancel"],
        };
        let missing: Vec<&str> =
            needed.iter().copied().filter(|name| !self.folder.join(name).is_file()).collect();
        if !self.folder.is_absolute() {
            problems.push(format!("folder: {} is not an absolute path", self.folder.display()));
        } else if !missing.is_empty() {
            problems.push(format!("folder: {} has no {}", self.folder.display(), missing.join(", ")));
        }
        if self.jobs.is_empty() {
            problems.push("jobs: none is listed, so no rule could submit one".to_owned());
        }
        for (name, job) in &self.jobs {
            let place = format!("jobs.{name}");
            if !job.program.is_absolute() {
                problems.push(format!("{place}.program: {} is not an absolute path", job.program.display()));
            }
            let program = job.program.to_string_lossy();
            problems.extend(bad_value(&program).map(|why| format!("{place}.program: {why}")));
            problems.extend(
                job.arguments.iter().filter_map(|a| bad_value(a)).map(|w| format!("{place}.arguments: {w}")),
            );
            let lines =
                job.submit.iter().filter(|line| line.contains(char::is_control) || line.trim().is_empty());
            problems.extend(lines.map(|line| format!("{place}.submit: {line:?} is not one line")));
        }
        let environment = command::environment(&self.environment, &self.pass_environment, lookup);
        match environment {
            Ok(environment) if problems.is_empty() => {
                Ok((Programs { folder: self.folder.clone(), environment, timeout }, poll))
            }
            Ok(_) => Err(problems),
            Err(wrong) => Err(problems.into_iter().chain(wrong).collect()),
        }
    }
}
