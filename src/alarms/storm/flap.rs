//! Alarms that change all the time. One notice says so; the next is given when the alarm has not changed for a while.

use std::collections::VecDeque;

use salobj::Tai;
use serde::{Deserialize, Serialize};

use super::{Hush, StormConfig};

/// The last changes of a severity, at most as many as make an alarm flap.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Flaps(VecDeque<Tai>);

impl Flaps {
    /// None is remembered.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

impl Hush {
    /// The severity changed.
    pub(super) fn changed(&mut self, at: Tai, config: &StormConfig) {
        if config.flap_changes == 0 {
            return;
        }
        let changes = &mut self.changes.0;
        changes.push_back(at);
        while changes.len() > config.flap_changes {
            changes.pop_front();
        }
        let many = changes.len() == config.flap_changes;
        let soon = changes.front().is_some_and(|first| at - *first <= config.flap_window.as_secs_f64());
        if self.flapping_since.is_none() && many && soon {
            self.flapping_since = Some(at);
        }
    }

    /// When it counts as calm, if it does not change before.
    pub(super) fn calm_at(&self, config: &StormConfig) -> Option<Tai> {
        let since = self.flapping_since?;
        if config.flap_changes == 0 {
            return Some(since);
        }
        Some(*self.changes.0.back().unwrap_or(&since) + config.calm_after)
    }

    /// It is calm.
    pub(super) fn calm(&mut self) {
        self.flapping_since = None;
        self.changes.0.clear();
    }
}
