//! Alarms as spans of time: from the moment a severity rises above none to the moment it is none again.

use std::collections::BTreeMap;

use salobj::Tai;
use serde::Serialize;

use super::transition::{Transition, What};
use crate::alarms::Severity;

/// One stand of an alarm.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Episode {
    /// Rule.
    pub rule: String,
    /// Alarm.
    pub alarm: String,
    /// When it rose, TAI s.
    pub from: Tai,
    /// When it was none again; the end of the data if it never was.
    pub to: Tai,
    /// True if the data ended before the alarm did.
    pub open: bool,
    /// Worst severity.
    pub worst: Severity,
    /// Why, at the worst.
    pub reason: String,
    /// Each severity with its begin.
    pub steps: Vec<(Tai, Severity)>,
}

impl Episode {
    /// Seconds that it stood.
    pub fn length_s(&self) -> f64 {
        self.to - self.from
    }

    /// True if both were there at some time.
    pub fn meets(&self, other: &Episode) -> bool {
        self.from.0 <= other.to.0 && other.from.0 <= self.to.0
    }
}

/// The episodes of all alarms, by the time of their begin. `end` is the end of the data.
pub fn episodes(transitions: &[Transition], end: Tai) -> Vec<Episode> {
    let mut done = Vec::new();
    let mut open: BTreeMap<&str, Episode> = BTreeMap::new();
    for transition in transitions {
        let What::Severity { alarm, severity, reason, .. } = &transition.what else { continue };
        if *severity == Severity::None {
            if let Some(mut episode) = open.remove(alarm.as_str()) {
                episode.to = transition.at;
                done.push(episode);
            }
            continue;
        }
        let episode = open.entry(alarm).or_insert_with(|| Episode {
            rule: transition.rule.clone(),
            alarm: alarm.clone(),
            from: transition.at,
            to: transition.at,
            open: false,
            worst: Severity::None,
            reason: String::new(),
            steps: Vec::new(),
        });
        episode.steps.push((transition.at, *severity));
        if *severity > episode.worst {
            episode.worst = *severity;
            episode.reason.clone_from(reason);
        }
    }
    for mut episode in open.into_values() {
        episode.to = Tai(end.0.max(episode.from.0));
        episode.open = true;
        done.push(episode);
    }
    done.sort_by(|a, b| a.from.0.total_cmp(&b.from.0).then_with(|| a.alarm.cmp(&b.alarm)));
    done
}
