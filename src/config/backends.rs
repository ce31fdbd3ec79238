//! What the site says about the backends of steps: one optional section for each.
//!
//! The type of a section stands beside its backend, in `tasks/steps/<name>`. Secrets are never in a section: it names an
//! environment variable or a file that holds them (`<key>_env`, `<key>_file`).

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tasks::steps::batch::BatchConfig;
use crate::tasks::steps::command::CommandConfig;
use crate::tasks::steps::http::HttpConfig;
use crate::tasks::steps::influx_task::InfluxTaskConfig;
use crate::tasks::steps::notebook::NotebookConfig;
use crate::tasks::steps::noteburst::NoteburstConfig;
use crate::tasks::steps::script_queue::ScriptQueueConfig;
use crate::tasks::steps::times_square::TimesSquareConfig;
use crate::tasks::steps::uws::UwsConfig;

/// Backends that need to be told something, by their keys in rule files. Without its section a backend is not there, and
/// rules that use it are refused. How many steps a backend carries out at a time is in `max_concurrent_steps`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BackendsConfig {
    /// `batch`: jobs on HTCondor or SLURM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchConfig>,
    /// `command`: programs of this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandConfig>,
    /// `http`: services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpConfig>,
    /// `influx_task`: Flux tasks of an InfluxDB 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub influx_task: Option<InfluxTaskConfig>,
    /// `script_queue`: queues to which rules may add scripts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script_queue: Option<ScriptQueueConfig>,
    /// `notebook`: notebooks on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notebook: Option<NotebookConfig>,
    /// `noteburst`: notebooks on the science platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noteburst: Option<NoteburstConfig>,
    /// `times_square`: notebooks as pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times_square: Option<TimesSquareConfig>,
    /// `uws`: the OCPS backend service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uws: Option<UwsConfig>,
}
