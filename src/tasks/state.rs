//! The states of a run and of its steps, and which change is legal. Pure.
//!
//! ```text
//!             start             succeed
//!  PENDING ─────────► RUNNING ────────────► SUCCEEDED
//!   │  │               │ │ │ ▲  fail
//!   │  │ skip          │ │ │ │ ───────────► FAILED
//!   │  └──► SKIPPED    │ │ │ └─────────┐
//!   │                  │ │ │ retry     │ start
//!   │                  │ │ └────► RETRYING          (steps only)
//!   │ abort            │ │ abort    │
//!   ├──────────────────┼─┴──────────┴─────► ABORTED
//!   │ time out         │ time out   │
//!   └──────────────────┴────────────┴─────► TIMED_OUT
//! ```
//!
//! | from | start | retry | succeed | fail | abort | time out | skip |
//! |---|---|---|---|---|---|---|---|
//! | PENDING | RUNNING | - | - | FAILED (steps) | ABORTED | TIMED_OUT (steps) | SKIPPED |
//! | RUNNING | - | RETRYING (steps) | SUCCEEDED | FAILED | ABORTED | TIMED_OUT | - |
//! | RETRYING (steps) | RUNNING | - | - | FAILED | ABORTED | TIMED_OUT | - |
//! | final states | - | - | - | - | - | - | - |
//!
//! A step may fail while it waits (its templates cannot be rendered, a queue is full); a run waits without a time limit
//! of its own, and fails only through its steps.

use std::fmt;

use serde::{Deserialize, Serialize};

/// State of a run or of a step: the SAL enumeration `TaskState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Accepted; waits for what it needs, or for a free place.
    Pending = 1,
    /// Under way.
    Running = 2,
    /// A step failed in a way that may pass; it waits to be tried again.
    Retrying = 3,
    /// Ended well.
    Succeeded = 4,
    /// Ended badly.
    Failed = 5,
    /// Ended because somebody asked for it.
    Aborted = 6,
    /// Ended because its time was up.
    TimedOut = 7,
    /// Never begun, on purpose.
    Skipped = 8,
}

impl TaskState {
    /// All states in the order of their values.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Running,
        Self::Retrying,
        Self::Succeeded,
        Self::Failed,
        Self::Aborted,
        Self::TimedOut,
        Self::Skipped,
    ];

    /// Value on the wire.
    pub fn value(self) -> i64 {
        self as i64
    }

    /// True if nothing changes any more.
    pub fn is_final(self) -> bool {
        match self {
            Self::Pending | Self::Running | Self::Retrying => false,
            Self::Succeeded | Self::Failed | Self::Aborted | Self::TimedOut | Self::Skipped => true,
        }
    }

    /// The word that rule files, expressions (`tasks.x.state`) and logs use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
            Self::TimedOut => "timed_out",
            Self::Skipped => "skipped",
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What happens to a run or a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// It got its place and begins.
    Start,
    /// It failed in a way that may pass, and may be tried again.
    Retry,
    /// It ended well.
    Succeed,
    /// It ended badly.
    Fail,
    /// It ended on request.
    Abort,
    /// Its time was up.
    TimeOut,
    /// It is not to be begun.
    Skip,
}

impl Edge {
    /// All edges.
    pub const ALL: [Self; 7] =
        [Self::Start, Self::Retry, Self::Succeed, Self::Fail, Self::Abort, Self::TimeOut, Self::Skip];
}

/// A change that the table does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{edge:?} is not possible in state {state}")]
pub struct Illegal {
    /// State it is in.
    pub state: TaskState,
    /// What was to happen.
    pub edge: Edge,
}

/// The state of a step after `edge`.
///
/// # Errors
/// [`Illegal`] where the table of the module has no entry.
pub fn step_after(state: TaskState, edge: Edge) -> Result<TaskState, Illegal> {
    use TaskState as S;
    let illegal = Err(Illegal { state, edge });
    match state {
        S::Pending => match edge {
            Edge::Start => Ok(S::Running),
            Edge::Fail => Ok(S::Failed),
            Edge::Abort => Ok(S::Aborted),
            Edge::TimeOut => Ok(S::TimedOut),
            Edge::Skip => Ok(S::Skipped),
            Edge::Retry | Edge::Succeed => illegal,
        },
        S::Running => match edge {
            Edge::Retry => Ok(S::Retrying),
            Edge::Succeed => Ok(S::Succeeded),
            Edge::Fail => Ok(S::Failed),
            Edge::Abort => Ok(S::Aborted),
            Edge::TimeOut => Ok(S::TimedOut),
            Edge::Start | Edge::Skip => illegal,
        },
        S::Retrying => match edge {
            Edge::Start => Ok(S::Running),
            Edge::Fail => Ok(S::Failed),
            Edge::Abort => Ok(S::Aborted),
            Edge::TimeOut => Ok(S::TimedOut),
            Edge::Retry | Edge::Succeed | Edge::Skip => illegal,
        },
        S::Succeeded | S::Failed | S::Aborted | S::TimedOut | S::Skipped => illegal,
    }
}

/// The state of a run after `edge`.
///
/// # Errors
/// [`Illegal`] where the table of the module has no entry.
pub fn run_after(state: TaskState, edge: Edge) -> Result<TaskState, Illegal> {
    use TaskState as S;
    let illegal = Err(Illegal { state, edge });
    match state {
        S::Pending => match edge {
            Edge::Start => Ok(S::Running),
            Edge::Abort => Ok(S::Aborted),
            Edge::Skip => Ok(S::Skipped),
            Edge::Retry | Edge::Succeed | Edge::Fail | Edge::TimeOut => illegal,
        },
        S::Running => match edge {
            Edge::Succeed => Ok(S::Succeeded),
            Edge::Fail => Ok(S::Failed),
            Edge::Abort => Ok(S::Aborted),
            Edge::TimeOut => Ok(S::TimedOut),
            Edge::Start | Edge::Retry | Edge::Skip => illegal,
        },
        S::Retrying | S::Succeeded | S::Failed | S::Aborted | S::TimedOut | S::Skipped => illegal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows and columns as in the module doc; `-` is illegal.
    fn walk(table: [[&str; 7]; 8], after: fn(TaskState, Edge) -> Result<TaskState, Illegal>) {
        for (state, row) in TaskState::ALL.into_iter().zip(table) {
            for (edge, want) in Edge::ALL.into_iter().zip(row) {
                let got = after(state, edge);
                match want {
                    "-" => assert_eq!(got, Err(Illegal { state, edge })),
                    word => assert_eq!(got.map(TaskState::word), Ok(word), "{state} {edge:?}"),
                }
            }
        }
    }

    #[test]
    fn every_edge_of_a_step() {
        let none = ["-"; 7];
        walk(
            [
                ["running", "-", "-", "failed", "aborted", "timed_out", "skipped"],
                ["-", "retrying", "succeeded", "failed", "aborted", "timed_out", "-"],
                ["running", "-", "-", "failed", "aborted", "timed_out", "-"],
                none,
                none,
                none,
                none,
                none,
            ],
            step_after,
        );
    }

    #[test]
    fn every_edge_of_a_run() {
        let none = ["-"; 7];
        walk(
            [
                ["running", "-", "-", "-", "aborted", "-", "skipped"],
                ["-", "-", "succeeded", "failed", "aborted", "timed_out", "-"],
                none,
                none,
                none,
                none,
                none,
                none,
            ],
            run_after,
        );
    }

    #[test]
    fn values_are_those_of_the_xml() {
        let values: Vec<i64> = TaskState::ALL.into_iter().map(TaskState::value).collect();
        assert_eq!(values, [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
