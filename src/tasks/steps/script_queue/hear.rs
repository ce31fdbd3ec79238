//! What is listened to on the bus for a script: the queue's events, the scripts' own, and the acknowledgements of `add`.

use salobj::{Tracked, Value};
use tokio::sync::watch;

use super::words::{Heard, OfQueue, OfScript, Queue};
use crate::tasks::peers::{Cursor, News, Peer, Told, Watch};

/// The queue's events, with the fields in the order in which they are read below.
pub(super) fn watched_queue() -> Vec<Watch> {
    vec![
        Watch::new(
            "script",
            [
                "cmdId",
                "scriptSalIndex",
                "isStandard",
                "path",
                "processState",
                "scriptState",
                "timestampRunStart",
                "timestampProcessEnd",
            ],
        ),
        Watch::new("queue", ["enabled", "running", "currentSalIndex", "length", "salIndices"]),
    ]
}

/// The scripts' own events.
pub(super) fn watched_scripts() -> Vec<Watch> {
    let state = ["state", "reason", "groupId", "lastCheckpoint", "numCheckpoints"];
    vec![Watch::new("state", state), Watch::new::<String>("heartbeat", [])]
}

/// The event `queue`.
pub(super) fn queue(news: &News) -> Queue {
    let length = usize::try_from(news.int(3)).unwrap_or(0);
    let waiting = match news.values.get(4) {
        Some(Value::Ints(all)) => all.iter().take(length).copied().collect(),
        _ => Vec::new(),
    };
    Queue { enabled: news.flag(0), running: news.flag(1), current: news.int(2), waiting }
}

fn script(news: &News) -> OfQueue {
    OfQueue {
        cmd_id: news.int(0),
        index: news.int(1),
        standard: news.flag(2),
        path: news.text(3).to_owned(),
        process_state: news.int(4),
        script_state: news.int(5),
        run_start: news.number(6),
        process_end: news.number(7),
    }
}

fn state(news: &News) -> OfScript {
    OfScript {
        index: news.index,
        origin: news.origin,
        state: news.int(0),
        reason: news.text(1).to_owned(),
        group_id: news.text(2).to_owned(),
        last_checkpoint: news.text(3).to_owned(),
        checkpoints: news.int(4),
    }
}

/// An event, live or of the past; heartbeats of the past say nothing.
pub(super) fn past(news: &News) -> Option<Heard> {
    match &*news.event {
        "script" => Some(Heard::Script(script(news))),
        "queue" => Some(Heard::Queue(queue(news))),
        "state" => Some(Heard::State(state(news))),
        _ => None,
    }
}

/// All that is listened to for one script.
pub(super) struct Ears<'p> {
    queue: &'p Peer,
    scripts: &'p Peer,
    of_queue: (Cursor, watch::Receiver<()>),
    of_scripts: (Cursor, watch::Receiver<()>),
    acks: bool,
}

impl<'p> Ears<'p> {
    /// Hears what comes from now on.
    pub(super) fn now(queue: &'p Peer, scripts: &'p Peer) -> Self {
        Self {
            queue,
            scripts,
            of_queue: (queue.now(), queue.subscribe()),
            of_scripts: (scripts.now(), scripts.subscribe()),
            acks: true,
        }
    }

    /// How the queue is now.
    pub(super) fn queue_now(&self) -> Option<Heard> {
        Some(Heard::Queue(queue(&self.queue.latest("queue")?)))
    }

    /// What comes next. Safe to use in `select!`.
    pub(super) async fn next(&mut self, tracked: &mut Tracked) -> Vec<Heard> {
        tokio::select! {
            ack = tracked.next(), if self.acks => match ack {
                Some(ack) => vec![Heard::Ack { code: ack.ack, text: ack.result }],
                None => {
                    self.acks = false;
                    Vec::new()
                }
            },
            Ok(()) = self.of_queue.1.changed() => {
                self.queue.take(&mut self.of_queue.0).into_iter().filter_map(of_queue).collect()
            }
            Ok(()) = self.of_scripts.1.changed() => {
                self.scripts.take(&mut self.of_scripts.0).into_iter().filter_map(of_script).collect()
            }
        }
    }
}

fn of_queue(told: Told) -> Option<Heard> {
    match told {
        Told::News(news) => past(&news),
        Told::Alive { origin } => Some(Heard::QueueAlive { origin }),
        Told::State { .. } => None,
    }
}

fn of_script(told: Told) -> Option<Heard> {
    match told {
        Told::News(news) if &*news.event == "heartbeat" => {
            Some(Heard::ScriptAlive { index: news.index, origin: news.origin })
        }
        Told::News(news) => past(&news),
        // Of some script; which one is in its heartbeat.
        Told::Alive { .. } | Told::State { .. } => None,
    }
}
