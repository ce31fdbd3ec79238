//! What a site says about alarm storms.

use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::alarms::StormConfig;

/// Longest time of any of these, s.
const MOST_S: f64 = 86_400.0;

/// Most changes that can be asked for before an alarm flaps; so many are remembered.
const MOST_CHANGES: u32 = 100;

/// How people are kept from being told too much at once. The alarms themselves, and their events, are as ever.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct StormsConfig {
    /// Most messages about alarms in a minute; what comes beyond goes out as one message as soon as there is room. 0: no limit.
    pub notices_per_minute: u32,
    /// The same for the alarms of one rule, unless the rule has its own `notices_per_minute`. 0: no limit.
    pub notices_per_minute_of_rule: u32,
    /// An alarm whose severity changes so often within `flap_window_s` is flapping: that is told once, and nothing more until
    /// it is calm or worse. 0: no alarm flaps.
    #[cfg_attr(test, schemars(range(max = 100)))]
    pub flap_changes: u32,
    /// See `flap_changes`, s.
    pub flap_window_s: f64,
    /// A flapping alarm is calm when its severity has not changed for so long, s.
    pub calm_after_s: f64,
    /// An alarm with `inhibit_by` waits so long for its cause to come up before it is told, s.
    pub wait_for_cause_s: f64,
    /// An alarm that outlives its cause is told after so long, s: most go soon after it.
    pub settle_after_cause_s: f64,
}

impl Default for StormsConfig {
    fn default() -> StormsConfig {
        StormsConfig {
            notices_per_minute: 20,
            notices_per_minute_of_rule: 10,
            flap_changes: 8,
            flap_window_s: 600.0,
            calm_after_s: 600.0,
            wait_for_cause_s: 5.0,
            settle_after_cause_s: 60.0,
        }
    }
}

impl StormsConfig {
    /// What the alarms are to do.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn storms(&self) -> Result<StormConfig, Vec<String>> {
        let mut problems = Vec::new();
        let mut seconds = |key: &str, value: f64| {
            if !(0.0..=MOST_S).contains(&value) {
                problems.push(format!("{key}: {value} is not between 0 and {MOST_S}"));
                return Duration::ZERO;
            }
            Duration::from_secs_f64(value)
        };
        let config = StormConfig {
            notices_per_minute: self.notices_per_minute,
            notices_per_minute_of_rule: self.notices_per_minute_of_rule,
            flap_changes: self.flap_changes as usize,
            flap_window: seconds("flap_window_s", self.flap_window_s),
            calm_after: seconds("calm_after_s", self.calm_after_s),
            wait_for_cause: seconds("wait_for_cause_s", self.wait_for_cause_s),
            settle_after_cause: seconds("settle_after_cause_s", self.settle_after_cause_s),
        };
        if self.flap_changes == 1 || self.flap_changes > MOST_CHANGES {
            let what = format!("{} is neither 0 nor between 2 and {MOST_CHANGES}", self.flap_changes);
            problems.push(format!("flap_changes: {what}"));
        }
        if problems.is_empty() { Ok(config) } else { Err(problems) }
    }
}
