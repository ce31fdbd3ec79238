//! The life of one simulated script: what it says, and what its queue says of it.

use std::time::Duration;

use salobj::csc::CscContext;
use salobj::{CommandError, Controller, Value};
use tokio::sync::watch;

use super::{Course, QueueScript, SimQueue, Stop};

/// The real heartbeat of a script.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How a script is to behave.
pub(super) struct Play {
    pub(super) course: Course,
    pub(super) script: QueueScript,
}

/// A script's process.
pub(super) struct Process {
    pub(super) queue: SimQueue,
    pub(super) ctx: CscContext,
    pub(super) index: i64,
    pub(super) controller: Controller,
    pub(super) stopped: watch::Receiver<Stop>,
}

/// Why a wait was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waited {
    TimeUp,
    Stopped,
    Killed,
}

impl Process {
    pub(super) async fn live(self, play: Play) {
        let beats = async {
            loop {
                self.ctx.clock().sleep(HEARTBEAT).await;
                if self.controller.event("heartbeat").and_then(|e| e.set_write_if(&[], true)).is_err() {
                    return std::future::pending::<()>().await;
                }
            }
        };
        let story = async {
            if let Err(e) = self.story(&play).await {
                tracing::warn!("simulated script {}: {e}", self.index);
            }
        };
        tokio::select! {
            () = story => {}
            () = beats => {}
        }
        self.controller.close().await;
    }

    async fn story(&self, play: &Play) -> Result<(), CommandError> {
        let (course, script) = (&play.course, &play.script);
        let load = if *course == Course::StuckLoading { Duration::from_secs(86_400) } else { script.load };
        if self.wait(load, false).await == Waited::Killed || *course == Course::LoadFail {
            return self.leave(5, false);
        }
        self.say(1, "", 0)?;
        if self.wait(script.configure, false).await == Waited::Killed {
            return self.leave(7, false);
        }
        if let Course::BadConfig(reason) = course {
            self.say(11, reason, 0)?;
            return self.leave(6, false);
        }
        self.say(2, "", 0)?;
        self.process(2)?;
        if !self.turn().await? {
            return self.leave(7, false);
        }
        self.say(3, "", 0)?;
        self.process(3)?;
        self.checkpoint()?;
        let hangs = matches!(course, Course::Hang | Course::Deaf);
        let run_time = if hangs { Duration::from_secs(86_400) } else { script.run_time };
        match self.wait(run_time, *course != Course::Deaf).await {
            Waited::Killed => return self.leave(7, false),
            Waited::Stopped => {
                self.say(6, "", 1)?;
                self.say(9, "", 1)?;
                self.wait(script.exit, false).await;
                return self.leave(4, false);
            }
            Waited::TimeUp => {}
        }
        match course {
            Course::Crash => return self.leave(4, true),
            Course::Fail(reason) => {
                self.say(7, reason, 1)?;
                self.say(10, "", 1)?;
                self.wait(script.exit, false).await;
                return self.leave(4, true);
            }
            _ => {}
        }
        self.say(5, "", 1)?;
        self.say(8, "", 1)?;
        // It leaves the queue now, its process later.
        self.queue.control.change(|state| {
            state.past.push_front(self.index);
            state.current = 0;
        });
        SimQueue::publish_queue(&self.queue.control, &self.ctx)?;
        self.wait(script.exit, false).await;
        self.ended(4);
        self.queue.publish_script(&self.ctx, self.index)
    }

    /// What the script says of itself; the queue hears it.
    fn say(&self, state: i64, reason: &str, checkpoints: i64) -> Result<(), CommandError> {
        let group = if state >= 3 { "2026-11-21T03:00:00.000" } else { "" };
        let fields = [
            ("state", Value::Int(state)),
            ("reason", Value::Text(reason.into())),
            ("groupId", Value::Text(group.into())),
            ("lastCheckpoint", Value::Text(if checkpoints > 0 { "begin" } else { "" }.into())),
            ("numCheckpoints", Value::Int(checkpoints)),
        ];
        self.controller.event("state")?.set_write_if(&fields, true)?;
        self.queue.control.change(|all| {
            if let Some(entry) = all.scripts.get_mut(&self.index) {
                entry.script_state = state;
            }
        });
        self.queue.publish_script(&self.ctx, self.index)
    }

    fn checkpoint(&self) -> Result<(), CommandError> {
        self.say(3, "", 1)
    }

    fn process(&self, state: i64) -> Result<(), CommandError> {
        let now = self.ctx.clock().now().0;
        self.queue.control.change(|all| {
            if let Some(entry) = all.scripts.get_mut(&self.index) {
                entry.process_state = state;
                if state == 3 {
                    entry.run_start = now;
                }
            }
        });
        self.queue.publish_script(&self.ctx, self.index)
    }

    /// Waits for its turn; false if it is ended before.
    async fn turn(&self) -> Result<bool, CommandError> {
        let mut changed = self.queue.control.changed.subscribe();
        let mut stopped = self.stopped.clone();
        loop {
            let mine = self.queue.control.change_if(|state| {
                let mine = state.running && state.current == 0 && state.waiting.front() == Some(&self.index);
                if mine {
                    state.waiting.pop_front();
                    state.current = self.index;
                }
                mine
            });
            if mine {
                SimQueue::publish_queue(&self.queue.control, &self.ctx)?;
                return Ok(true);
            }
            tokio::select! {
                Ok(()) = changed.changed() => {}
                _ = stopped.wait_for(|s| *s == Stop::Kill) => return Ok(false),
            }
        }
    }

    async fn wait(&self, time: Duration, heeds_stop: bool) -> Waited {
        let mut stopped = self.stopped.clone();
        let asked = stopped.wait_for(|s| *s == Stop::Kill || (heeds_stop && *s == Stop::Gently));
        tokio::select! {
            () = self.ctx.clock().sleep(time) => Waited::TimeUp,
            // The sender is in the table of the queue for as long as that lives.
            asked = asked => match asked.map(|stop| *stop) {
                Ok(Stop::Gently) => Waited::Stopped,
                _ => Waited::Killed,
            },
        }
    }

    fn ended(&self, process_state: i64) {
        let now = self.ctx.clock().now().0;
        self.queue.control.change(|all| {
            if let Some(entry) = all.scripts.get_mut(&self.index) {
                entry.process_state = process_state;
                entry.process_end = now;
            }
        });
    }

    /// Its process is over. One that failed keeps its place, and the queue pauses.
    fn leave(&self, process_state: i64, failed: bool) -> Result<(), CommandError> {
        self.ended(process_state);
        self.queue.publish_script(&self.ctx, self.index)?;
        self.queue.control.change(|state| {
            state.waiting.retain(|i| *i != self.index);
            if failed && state.current == self.index {
                state.running = false;
                return;
            }
            if state.current == self.index {
                state.current = 0;
            }
            state.past.push_front(self.index);
        });
        SimQueue::publish_queue(&self.queue.control, &self.ctx)
    }
}
