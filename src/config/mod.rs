//! What a site configures: the types are the manual, `config_schema/Catcher.yaml` is generated from them.
//!
//! Layers (`_init.yaml`, `_<site>.yaml`, an override) are merged by `salobj` before they come here. What instances
//! share lies at the top level; `instances` holds what one index has of its own (lists are replaced by the merge).

mod allowed;
mod backends;
mod check;
#[cfg(test)]
mod schema;
mod storms;
mod windows;

use std::collections::BTreeMap;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::outputs::efd::EfdConfig;
use crate::outputs::lfa::LfaConfig;
use crate::outputs::love::LoveConfig;
use crate::outputs::notify::{NotifyConfig, ReceiverConfig};

pub use allowed::{AllowedCommand, FieldLimit, allows};
pub use backends::BackendsConfig;
pub use check::{ConfigProblems, load};
pub use storms::StormsConfig;
pub use windows::MuteWindowConfig;

/// JSON schema of [`CatcherConfig`], draft 7: `config_schema/Catcher.yaml`.
pub const SCHEMA: &str = include_str!("../../config_schema/Catcher.yaml");

/// Configuration of the Catcher CSC, all instances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, schemars(title = "Catcher v1"))]
pub struct CatcherConfig {
    /// One entry for each SAL index of the site; the CSC takes the one whose `sal_index` is its own.
    pub instances: Vec<Instance>,
    /// After so many seconds a stale alarm (severity back at NONE, not acknowledged) is acknowledged by itself. 0: never.
    #[cfg_attr(test, schemars(range(min = 0.0)))]
    pub auto_acknowledge_delay_s: f64,
    /// After so many seconds an acknowledged alarm that is still active is unacknowledged. 0: never.
    #[cfg_attr(test, schemars(range(min = 0.0)))]
    pub auto_unacknowledge_delay_s: f64,
    /// Commands that rules may send to other components. What is not listed is refused.
    pub allowed_commands: Vec<AllowedCommand>,
    /// The EFD: history for rules, and where results are written. Without it, rules that need history get none.
    #[serde(default)]
    pub efd: Option<EfdConfig>,
    /// Times in which alarms are muted, e.g. for maintenance.
    #[serde(default)]
    pub mute_windows: Vec<MuteWindowConfig>,
    /// How people are kept from being told too much at once.
    #[serde(default)]
    pub storms: StormsConfig,
    /// Base of SquadCast's address, e.g. `https://api.squadcast.com`; its key is in the environment variable ESCALATION_KEY.
    /// Empty: nobody is called.
    #[serde(default)]
    pub escalation_url: String,
    /// Opening an incident fails after so many seconds.
    #[serde(default = "default_escalation_timeout")]
    pub escalation_timeout: f64,
    /// Base of the narrative log's address, for the command makeLogEntry. Empty: the command fails.
    #[serde(default)]
    pub narrative_server_url: String,
    /// Who is told of which alarms, besides the bus.
    #[serde(default)]
    pub receivers: Vec<ReceiverConfig>,
    /// LOVE, the operators' display, to which the Catcher sends its alarms itself. Without it LOVE has what its own producer
    /// reads from the bus.
    #[serde(default)]
    pub love: Option<LoveConfig>,
    /// Base of the links in `reportUrl`, as an operator's browser reaches this process. Empty: the process's own address.
    #[serde(default)]
    pub report_url: String,
    /// The LFA, to which reports and files of steps go. Without it they stay where `report_url` leads.
    #[serde(default)]
    pub lfa: Option<LfaConfig>,
    /// How much of the alarms' history is kept (`catcher alarms history`): every transition with what was behind it.
    #[serde(default)]
    pub alarm_history: AlarmHistoryConfig,
    /// How many steps of one backend may be under way at once; a backend that is not named has a number of its own.
    #[serde(default)]
    pub max_concurrent_steps: BTreeMap<String, usize>,
    /// How many steps of one backend may be begun in any minute; a backend that is not named has no such limit.
    #[serde(default)]
    pub max_steps_per_minute: BTreeMap<String, usize>,
    /// Backends of steps that need to be told something.
    #[serde(default)]
    pub backends: BackendsConfig,
}

fn default_escalation_timeout() -> f64 {
    5.0
}

/// What is older or too much is forgotten, the oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct AlarmHistoryConfig {
    /// Days.
    #[cfg_attr(test, schemars(range(min = 1.0, max = 36500.0)))]
    pub days: f64,
    /// Megabytes (of 2^20 bytes) on disk. A transition takes about 2 kB.
    #[cfg_attr(test, schemars(range(min = 1, max = 1_000_000)))]
    pub megabytes: u64,
}

impl Default for AlarmHistoryConfig {
    fn default() -> AlarmHistoryConfig {
        AlarmHistoryConfig { days: 400.0, megabytes: 256 }
    }
}

/// What one index has of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// SAL index, from 1.
    #[cfg_attr(test, schemars(range(min = 1)))]
    pub sal_index: i32,
    /// Rule files: globs (`*`, `?`) relative to the sub-folder `rules/` of the configuration.
    pub rules: Vec<String>,
    /// Names of rules that are not loaded although a file holds them.
    #[serde(default)]
    pub disabled_rules: Vec<String>,
}

impl CatcherConfig {
    /// The entry of an index.
    pub fn instance(&self, sal_index: i32) -> Option<&Instance> {
        self.instances.iter().find(|i| i.sal_index == sal_index)
    }

    /// What there is on telling people.
    pub fn notify(&self) -> NotifyConfig<'_> {
        NotifyConfig {
            escalation_url: &self.escalation_url,
            escalation_timeout: self.escalation_timeout,
            narrative_server_url: &self.narrative_server_url,
            receivers: &self.receivers,
        }
    }
}
