//! Figures of a rule's alarms over some nights, for one setting of it: what a threshold costs and what it catches.

use std::collections::BTreeSet;

use salobj::Tai;
use serde::Serialize;

use super::episode::episodes;
use super::transition::{Transition, What};
use crate::alarms::Severity;

/// The figures of one setting.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Observing days that the data touch.
    pub nights: usize,
    /// Hours of data.
    pub hours: f64,
    /// Times that an alarm rose.
    pub alarms: usize,
    /// Alarms of a night, on average.
    pub alarms_per_night: f64,
    /// Seconds with the alarm at warning, serious, critical; of all alarms of the rule together.
    pub time_s: [f64; 3],
    /// Part of the time with any alarm, 0 to 1 (with several alarms at once it may be more).
    pub time_part: f64,
    /// Changes of severity in an hour.
    pub chatter_per_hour: f64,
    /// Longest stand, s.
    pub longest_s: f64,
    /// Worst severity.
    pub worst: Severity,
    /// Runs started.
    pub runs: usize,
}

/// The figures of what happened between two times.
pub fn figures(transitions: &[Transition], (from, to): (Tai, Tai)) -> Figures {
    let all = episodes(transitions, to);
    let mut time_s = [0.0; 3];
    for episode in &all {
        let ends = episode.steps.iter().skip(1).map(|step| step.0).chain([episode.to]);
        for ((begin, severity), end) in episode.steps.iter().zip(ends) {
            let place = match severity {
                Severity::None => continue,
                Severity::Warning => 0,
                Severity::Serious => 1,
                Severity::Critical => 2,
            };
            time_s[place] += end - *begin;
        }
    }
    let changes = transitions.iter().filter(|t| matches!(t.what, What::Severity { .. })).count();
    let runs = transitions.iter().filter(|t| matches!(t.what, What::RunStarted { .. })).count();
    let length_s = (to - from).max(0.0);
    let hours = length_s / 3600.0;
    let per_hour = |n: usize| if hours > 0.0 { n as f64 / hours } else { 0.0 };
    let nights = nights(from, to);
    Figures {
        nights,
        hours,
        alarms: all.len(),
        alarms_per_night: all.len() as f64 / nights as f64,
        time_part: if length_s > 0.0 { time_s.iter().sum::<f64>() / length_s } else { 0.0 },
        time_s,
        chatter_per_hour: per_hour(changes),
        longest_s: all.iter().map(super::episode::Episode::length_s).fold(0.0, f64::max),
        worst: all.iter().map(|e| e.worst).max().unwrap_or_default(),
        runs,
    }
}

/// Observing days from the first to the last that are touched.
fn nights(from: Tai, to: Tai) -> usize {
    let mut days = BTreeSet::new();
    let mut at = from.0;
    while at < to.0 && days.len() < 100_000 {
        days.insert(Tai(at).day_obs());
        at += 43_200.0;
    }
    days.insert(Tai(to.0.max(from.0)).day_obs());
    days.len()
}

/// Values of one setting that are tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Vary {
    /// What is set: a parameter of the template or of the rule, or a path such as `alarm.levels.warning`.
    pub name: String,
    /// The values, as they stand in the rule file.
    pub values: Vec<serde_json::Value>,
}

/// Most values of one setting.
const MOST_VALUES: usize = 1000;

impl Vary {
    /// Reads `name=10..20/2`, `name=30s..5m/30s` or `name=1,2,5`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &str) -> Result<Vary, String> {
        let shape = || format!("'{text}' is not of the form name=10..20/1, name=30s..5m/30s or name=1,2,5");
        let (name, values) = text.split_once('=').ok_or_else(shape)?;
        let (name, values) = (name.trim(), values.trim());
        if name.is_empty() || values.is_empty() {
            return Err(shape());
        }
        let values = match values.split_once("..") {
            None => values.split(',').map(|v| scalar(v.trim())).collect(),
            Some((from, rest)) => {
                let (to, step) = rest.split_once('/').ok_or_else(shape)?;
                range(from.trim(), to.trim(), step.trim()).ok_or_else(shape)??
            }
        };
        Ok(Vary { name: name.to_owned(), values })
    }

    /// Every combination of the values of all settings, the last setting changing fastest.
    pub fn combinations(all: &[Vary]) -> Vec<Vec<(String, serde_json::Value)>> {
        let mut combinations = vec![Vec::new()];
        for vary in all {
            combinations = combinations
                .into_iter()
                .flat_map(|before| {
                    vary.values.iter().map(move |value| {
                        let mut with = before.clone();
                        with.push((vary.name.clone(), value.clone()));
                        with
                    })
                })
                .collect();
        }
        combinations
    }
}

/// A value as YAML would read it: a number, true or false, or text.
fn scalar(text: &str) -> serde_json::Value {
    serde_json::from_str(text)
        .ok()
        .filter(|v: &serde_json::Value| !v.is_object() && !v.is_array())
        .unwrap_or_else(|| text.into())
}

fn range(from: &str, to: &str, step: &str) -> Option<Result<Vec<serde_json::Value>, String>> {
    let plain = |text: &str| text.parse::<f64>().ok().filter(|v| v.is_finite());
    let (first, last, by, duration) = match (plain(from), plain(to), plain(step)) {
        (Some(first), Some(last), Some(by)) => (first, last, by, false),
        _ => {
            let seconds = |t: &str| {
                crate::tasks::series::duration(&serde_json::Value::from(t)).map(|d| d.as_secs_f64())
            };
            (seconds(from)?, seconds(to)?, seconds(step)?, true)
        }
    };
    if by <= 0.0 || last < first {
        return Some(Err("a range goes upwards, by a step above 0".to_owned()));
    }
    let count = ((last - first) / by + 1e-9).floor() as usize + 1;
    if count > MOST_VALUES {
        return Some(Err(format!("{count} values are too many, {MOST_VALUES} are allowed")));
    }
    let whole = !duration && [first, by].iter().all(|v| v.fract() == 0.0);
    let decimals = |text: &str| text.split_once('.').map_or(0, |(_, d)| d.len());
    let places = decimals(from).max(decimals(step));
    let value = |i: usize| {
        let value = first + i as f64 * by;
        if duration {
            serde_json::Value::from(format!("{}ms", (value * 1000.0).round()))
        } else if whole {
            serde_json::Value::from(value as i64)
        } else {
            // 0.1 + 0.2 is written 0.3.
            let text = format!("{value:.places$}");
            serde_json::Value::from(text.parse::<f64>().unwrap_or(value))
        }
    };
    Some(Ok((0..count).map(value).collect()))
}
