//! In which state each kill fell, and what became of the runs.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::kinds::{KINDS, Kind};

/// What a step is at when the Catcher dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// Before the record in the journal.
    Unrecorded,
    /// Between the record and the submission.
    Recorded,
    /// Submitted, and the Catcher does not know it for certain.
    Unanswered,
    /// It waits on the other side.
    Queued,
    /// It runs there.
    Running,
    /// It has ended there, and the Catcher has not written that down.
    Finishing,
    /// It is being cancelled.
    Stopping,
    /// An attempt failed, the next has not been submitted.
    Retrying,
}

impl State {
    pub(crate) const ALL: [State; 8] = [
        State::Unrecorded,
        State::Recorded,
        State::Unanswered,
        State::Queued,
        State::Running,
        State::Finishing,
        State::Stopping,
        State::Retrying,
    ];

    fn words(self) -> &'static str {
        match self {
            State::Unrecorded => "before the record",
            State::Recorded => "record, not submitted",
            State::Unanswered => "submitted, unanswered",
            State::Queued => "queued",
            State::Running => "running",
            State::Finishing => "finishing",
            State::Stopping => "cancel under way",
            State::Retrying => "retrying",
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Succeeded,
    Cancelled,
    Unknown,
    /// Something else: the test fails.
    Wrong,
}

/// Of all kills in one state of one kind.
#[derive(Debug, Clone, Default)]
struct Cell {
    kills: u32,
    /// Runs that were submitted 0, 1, more times.
    submitted: [u32; 3],
    succeeded: u32,
    cancelled: u32,
    unknown: u32,
    wrong: u32,
}

/// All cells.
#[derive(Default)]
pub(crate) struct Table {
    kills: Vec<(&'static str, State, String)>,
    cells: BTreeMap<(&'static str, State), Cell>,
}

impl Table {
    /// A kill fell while that run was in that state.
    pub(crate) fn note(&mut self, kind: &'static Kind, state: State, run: &str) {
        self.kills.push((kind.name, state, run.to_owned()));
        self.cells.entry((kind.name, state)).or_default().kills += 1;
    }

    /// How often a kill fell so.
    pub(crate) fn kills(&self, kind: &Kind, state: State) -> u32 {
        self.cells.get(&(kind.name, state)).map_or(0, |cell| cell.kills)
    }

    /// The cells that have fewer kills than that.
    pub(crate) fn lacking(&self, goal: u32) -> Vec<(&'static Kind, State)> {
        let all = KINDS.iter().flat_map(|kind| kind.states.iter().map(move |state| (kind, *state)));
        all.filter(|(kind, state)| self.kills(kind, *state) < goal).collect()
    }

    /// Fills in what became of the runs: how often each was submitted, how it ended.
    pub(crate) fn fill(&mut self, became: impl Fn(&str) -> Option<(usize, Outcome)>) {
        for (kind, state, run) in &self.kills {
            let Some((submitted, outcome)) = became(run) else { continue };
            let cell = self.cells.entry((kind, *state)).or_default();
            cell.submitted[submitted.min(2)] += 1;
            match outcome {
                Outcome::Succeeded => cell.succeeded += 1,
                Outcome::Cancelled => cell.cancelled += 1,
                Outcome::Unknown => cell.unknown += 1,
                Outcome::Wrong => cell.wrong += 1,
            }
        }
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "{:13} {:22} {:>5} | submitted {:>4} {:>4} {:>4} | {:>9} {:>9} {:>7} {:>5}\n",
            "backend", "killed while", "kills", "0", "1", "2+", "succeeded", "cancelled", "unknown", "wrong"
        );
        for (kind, state, cell) in self.rows() {
            let Cell { kills, submitted, succeeded, cancelled, unknown, wrong } = cell;
            let counts =
                if kind.acts { submitted.map(|n| n.to_string()) } else { ["-", "-", "-"].map(str::to_owned) };
            text += &format!(
                "{:13} {:22} {kills:>5} |           {:>4} {:>4} {:>4} | {succeeded:>9} {cancelled:>9} {unknown:>7} {wrong:>5}\n",
                kind.name,
                state.words(),
                counts[0],
                counts[1],
                counts[2]
            );
        }
        text
    }

    /// For programs.
    pub(crate) fn write(&self, path: &Path) {
        let row = |(kind, state, cell): (&'static Kind, State, Cell)| {
            json!({
                "backend": kind.name, "state": state.words(), "kills": cell.kills, "looks_up": kind.looks_up,
                "submitted": if kind.acts { json!(cell.submitted) } else { json!(null) },
                "succeeded": cell.succeeded, "cancelled": cell.cancelled, "unknown": cell.unknown, "wrong": cell.wrong,
            })
        };
        let rows: Vec<_> = self.rows().into_iter().map(row).collect();
        let text = serde_json::to_string_pretty(&rows).expect("names and numbers fit JSON");
        std::fs::write(path, text + "\n").expect("the table can be written");
    }

    fn rows(&self) -> Vec<(&'static Kind, State, Cell)> {
        let mut rows = Vec::new();
        for kind in KINDS {
            for state in State::ALL {
                let cell = self.cells.get(&(kind.name, state));
                if kind.states.contains(&state) || cell.is_some() {
                    rows.push((kind, state, cell.cloned().unwrap_or_default()));
                }
            }
        }
        rows
    }
}
