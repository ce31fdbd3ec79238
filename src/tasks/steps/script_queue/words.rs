//! What a queue and its scripts say, and what of a script is kept. Plain data.

use std::time::Duration;

use salobj::AckCode;
use serde::{Deserialize, Serialize};

/// States of a script (`ScriptState`).
pub(super) mod state {
    pub(crate) const RUNNING: i64 = 3;
    pub(crate) const PAUSED: i64 = 4;
    pub(crate) const FAILING: i64 = 7;
    pub(crate) const DONE: i64 = 8;
    pub(crate) const STOPPED: i64 = 9;
    pub(crate) const FAILED: i64 = 10;
    pub(crate) const CONFIGURE_FAILED: i64 = 11;
}

/// States of its process (`ScriptProcessState`).
pub(super) mod process {
    pub(crate) const DONE: i64 = 4;
    pub(crate) const LOAD_FAILED: i64 = 5;
    pub(crate) const CONFIGURE_FAILED: i64 = 6;
    pub(crate) const TERMINATED: i64 = 7;
}

/// What is heard of a queue and its scripts.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Heard {
    /// An acknowledgement of our `add`.
    Ack {
        /// Code.
        code: AckCode,
        /// Text.
        text: String,
    },
    /// The queue's event `script`.
    Script(OfQueue),
    /// A script's own event `state`.
    State(OfScript),
    /// The queue's event `queue`.
    Queue(Queue),
    /// The queue lives.
    QueueAlive {
        /// Its process.
        origin: i64,
    },
    /// A script lives.
    ScriptAlive {
        /// Its index.
        index: i64,
        /// Its process.
        origin: i64,
    },
    /// Only time has passed.
    Nothing,
}

/// What the queue says about a script.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OfQueue {
    pub(super) cmd_id: i64,
    pub(super) index: i64,
    pub(super) standard: bool,
    pub(super) path: String,
    pub(super) process_state: i64,
    pub(super) script_state: i64,
    /// Stamps of the begin of the run and of the end of the process, TAI; 0 for not yet.
    pub(super) run_start: f64,
    pub(super) process_end: f64,
}

/// What a script says about itself.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OfScript {
    pub(super) index: i64,
    pub(super) origin: i64,
    pub(super) state: i64,
    pub(super) reason: String,
    pub(super) group_id: String,
    pub(super) last_checkpoint: String,
    pub(super) checkpoints: i64,
}

/// What the queue says about itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Queue {
    pub(super) enabled: bool,
    pub(super) running: bool,
    /// 0 for none.
    pub(super) current: i64,
    pub(super) waiting: Vec<i64>,
}

/// How long things are waited for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Patience {
    /// Without any sign of life a queue or a script counts as gone.
    pub(super) silent: Duration,
    /// For the other side's word on something that one side said.
    pub(super) other_side: Duration,
    /// For the queue to pause itself after a failure.
    pub(super) pause: Duration,
    /// For anything after the queue was started anew.
    pub(super) anew: Duration,
}

/// What is ours.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ours {
    pub(super) queue: i32,
    pub(super) seq_num: i64,
    pub(super) path: String,
    pub(super) standard: bool,
}

/// What of it has to survive a restart.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Known {
    /// Process of the queue that the command was sent to.
    #[serde(default)]
    pub(super) queue_origin: Option<i64>,
    /// Index of the script.
    #[serde(default)]
    pub(super) script: Option<i64>,
    /// Its process.
    #[serde(default)]
    pub(super) script_origin: Option<i64>,
}
