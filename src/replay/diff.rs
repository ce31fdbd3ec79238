//! What two versions of rules make of the same past: which alarms and runs appear, vanish or move.
//!
//! Episodes of one alarm that meet in time belong together; those without a partner have vanished or appeared. A run is
//! known by rule and occurrence: its id has the rule's revision in it, which differs.

use std::collections::{BTreeMap, BTreeSet};

use salobj::Tai;
use serde::Serialize;

use super::episode::{Episode, episodes};
use super::transition::{Transition, What};
use crate::alarms::Severity;

/// Times closer than this are the same, s.
const SAME_S: f64 = 1e-3;

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// An alarm that only the new rules raise.
    AlarmAppears {
        /// The new one.
        new: Episode,
    },
    /// An alarm that only the old rules raise.
    AlarmVanishes {
        /// The old one.
        old: Episode,
    },
    /// An alarm that both raise, at other times or of other severities.
    AlarmMoves {
        /// The old one.
        old: Episode,
        /// The new one.
        new: Episode,
        /// How much later it begins, s.
        begins_later_s: f64,
        /// How much later it ends, s; none if it ends with the data.
        ends_later_s: f64,
    },
    /// A run that only the new rules start.
    RunAppears {
        /// The new one.
        new: RunSeen,
    },
    /// A run that only the old rules start.
    RunVanishes {
        /// The old one.
        old: RunSeen,
    },
    /// A run that both start and that ends otherwise.
    RunChanges {
        /// The old one.
        old: RunSeen,
        /// The new one.
        new: RunSeen,
    },
}

/// One run, as far as it is compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunSeen {
    /// Rule.
    pub rule: String,
    /// What triggered it.
    pub occurrence: String,
    /// Its id.
    pub run_id: String,
    /// When it was started, or skipped.
    pub at: Tai,
    /// How it ended: a state in words; empty if it was going on at the end.
    pub state: String,
    /// What the alarm made of it.
    pub severity: Severity,
    /// Why it was skipped or did not succeed.
    pub why: String,
}

impl Change {
    /// When: of the new one where there is one.
    pub fn at(&self) -> Tai {
        match self {
            Change::AlarmAppears { new } | Change::AlarmMoves { new, .. } => new.from,
            Change::AlarmVanishes { old } => old.from,
            Change::RunAppears { new } | Change::RunChanges { new, .. } => new.at,
            Change::RunVanishes { old } => old.at,
        }
    }

    /// Which rule.
    pub fn rule(&self) -> &str {
        match self {
            Change::AlarmAppears { new } | Change::AlarmMoves { new, .. } => &new.rule,
            Change::AlarmVanishes { old } => &old.rule,
            Change::RunAppears { new } | Change::RunChanges { new, .. } => &new.rule,
            Change::RunVanishes { old } => &old.rule,
        }
    }
}

/// All differences in the order of their times, and how many alarms and runs are the same. `end` is the end of the data.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diff {
    /// The differences.
    pub changes: Vec<Change>,
    /// Episodes that are the same in both.
    pub same_alarms: usize,
    /// Runs that are the same in both.
    pub same_runs: usize,
}

/// Compares what happened.
pub fn diff(old: &[Transition], new: &[Transition], end: Tai) -> Diff {
    let mut diff = Diff { changes: Vec::new(), same_alarms: 0, same_runs: 0 };
    alarms(&episodes(old, end), &episodes(new, end), &mut diff);
    let (old, new) = (runs(old), runs(new));
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    for key in keys {
        match (old.get(key), new.get(key)) {
            (Some(a), Some(b)) if same_run(a, b) => diff.same_runs += 1,
            (Some(a), Some(b)) => {
                diff.changes.push(Change::RunChanges { old: a.clone(), new: b.clone() });
            }
            (Some(a), None) => diff.changes.push(Change::RunVanishes { old: a.clone() }),
            (None, Some(b)) => diff.changes.push(Change::RunAppears { new: b.clone() }),
            (None, None) => {}
        }
    }
    diff.changes.sort_by(|a, b| a.at().0.total_cmp(&b.at().0).then_with(|| a.rule().cmp(b.rule())));
    diff
}

fn same_run(a: &RunSeen, b: &RunSeen) -> bool {
    a.state == b.state && a.severity == b.severity && a.why == b.why
}

fn alarms(old: &[Episode], new: &[Episode], diff: &mut Diff) {
    let mut taken = vec![false; new.len()];
    for episode in old {
        let partner = new
            .iter()
            .enumerate()
            .filter(|(i, other)| !taken[*i] && other.alarm == episode.alarm && other.meets(episode))
            .min_by(|a, b| (a.1.from - episode.from).abs().total_cmp(&(b.1.from - episode.from).abs()));
        let Some((i, partner)) = partner else {
            diff.changes.push(Change::AlarmVanishes { old: episode.clone() });
            continue;
        };
        taken[i] = true;
        if same_alarm(episode, partner) {
            diff.same_alarms += 1;
        } else {
            diff.changes.push(Change::AlarmMoves {
                begins_later_s: partner.from - episode.from,
                ends_later_s: partner.to - episode.to,
                old: episode.clone(),
                new: partner.clone(),
            });
        }
    }
    let appear = new.iter().zip(&taken).filter(|(_, taken)| !**taken);
    diff.changes.extend(appear.map(|(new, _)| Change::AlarmAppears { new: new.clone() }));
}

fn same_alarm(a: &Episode, b: &Episode) -> bool {
    let near = |x: Tai, y: Tai| (x - y).abs() < SAME_S;
    let mut steps = a.steps.iter().zip(&b.steps);
    near(a.from, b.from)
        && near(a.to, b.to)
        && a.open == b.open
        && a.steps.len() == b.steps.len()
        && steps.all(|(x, y)| near(x.0, y.0) && x.1 == y.1)
}

/// The runs by rule and occurrence.
fn runs(transitions: &[Transition]) -> BTreeMap<(String, String), RunSeen> {
    let mut runs: BTreeMap<(String, String), RunSeen> = BTreeMap::new();
    let mut by_id: BTreeMap<&str, (String, String)> = BTreeMap::new();
    for transition in transitions {
        let rule = &transition.rule;
        match &transition.what {
            What::RunStarted { run_id, occurrence } | What::RunSkipped { run_id, occurrence, .. } => {
                let key = (rule.clone(), occurrence.clone());
                by_id.insert(run_id, key.clone());
                let (state, why) = match &transition.what {
                    What::RunSkipped { reason, .. } => ("skipped", reason.as_str()),
                    _ => ("", ""),
                };
                let seen = RunSeen {
                    rule: rule.clone(),
                    occurrence: occurrence.clone(),
                    run_id: run_id.clone(),
                    at: transition.at,
                    state: state.to_owned(),
                    severity: Severity::None,
                    why: why.to_owned(),
                };
                runs.insert(key, seen);
            }
            What::RunEnded { run_id, state, severity, error } => {
                if let Some(run) = by_id.get(run_id.as_str()).and_then(|key| runs.get_mut(key)) {
                    run.state.clone_from(state);
                    run.severity = *severity;
                    run.why.clone_from(error);
                }
            }
            _ => {}
        }
    }
    runs
}
