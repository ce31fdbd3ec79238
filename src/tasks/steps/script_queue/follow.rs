//! What is known of one script that was added, and when and how it is over. Pure.
//!
//! ```text
//!  add ─► queue: script LOADING (its cmdId is our number) ─┬─► CMD_COMPLETE with the script's index: the process runs, no more
//!   │                                                      └─ the acknowledgement was lost: the index is known all the same
//!   ├─ final acknowledgement that fails ──► refused
//!   ▼
//!  script UNCONFIGURED ─► CONFIGURED ─► its turn ─► RUNNING, checkpoints ─► ENDING ─► DONE           ──► done
//!   │                      │                         ├─ stopped ──► STOPPING ─► STOPPED               ──► stopped
//!   │                      │                         ├─ FAILING ─► FAILED; the queue pauses itself    ──► failed; resume it
//!   │                      │                         └─ the process ends in between; the queue pauses ──► failed; resume it
//!   ├─ CONFIGURE_FAILED ───┼──► configure_failed       └─ killed                                     ──► terminated
//!   └─ the process ends ───┴──► load_failed
//! ```
//!
//! A queue that is started anew gives its old numbers again and knows nothing of its old scripts: one that had not begun never
//! will; one that runs is followed by its own events.

use std::collections::VecDeque;

use salobj::{AckCode, Tai};
use serde_json::{Value, json};

use super::words::{Heard, Known, OfQueue, OfScript, Ours, Patience, Queue, process, state};
use crate::tasks::call::{ErrorClass, StepError, StepOutcome};

/// Most events of scripts kept while the index of the own one is not known.
const MAX_EARLY: usize = 256;

/// A queue that was paused longer than this before the script failed was paused by somebody, seconds. The failure and the
/// pause are told in two topics, which have no order.
const BY_ITSELF: f64 = 3.0;

/// The process of a script that had said nothing when its queue was started anew: nobody.
const NOBODY: i64 = -1;

/// The end, and whether the queue stays paused because of it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Over {
    pub(super) end: Result<StepOutcome, StepError>,
    pub(super) resume: bool,
}

/// How a script ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Done,
    Failed,
    Stopped,
    Terminated,
    ConfigureFailed,
    LoadFailed,
}

impl End {
    fn word(self) -> &'static str {
        match self {
            End::Done => "done",
            End::Failed => "failed",
            End::Stopped => "stopped",
            End::Terminated => "terminated",
            End::ConfigureFailed => "configure_failed",
            End::LoadFailed => "load_failed",
        }
    }
}

/// One script.
#[derive(Debug)]
pub(super) struct Script {
    ours: Ours,
    patience: Patience,
    pub(super) known: Known,
    early: VecDeque<OfScript>,
    acked: bool,
    latest: Option<OfScript>,
    of_queue: Option<OfQueue>,
    queue: Option<Queue>,
    /// Since when the queue is paused.
    paused_at: Option<Tai>,
    /// How it ended, since when that is known, and whether the queue has said so.
    end: Option<(End, Tai)>,
    queue_heard: Tai,
    script_heard: Tai,
    /// When it is given up, and the error then.
    give_up: Option<(Tai, StepError)>,
}

impl Script {
    /// Begins to follow a script that was just added (or is adopted now).
    pub(super) fn new(ours: Ours, known: Known, patience: Patience, now: Tai) -> Self {
        Self {
            ours,
            patience,
            known,
            early: VecDeque::new(),
            acked: false,
            latest: None,
            of_queue: None,
            queue: None,
            paused_at: None,
            end: None,
            queue_heard: now,
            script_heard: now,
            give_up: None,
        }
    }

    /// When [`Heard::Nothing`] is wanted at the latest.
    pub(super) fn next_deadline(&self) -> Tai {
        let heard =
            if self.runs() { self.queue_heard.0.max(self.script_heard.0) } else { self.queue_heard.0 };
        let silent = heard + self.patience.silent.as_secs_f64();
        Tai(self.give_up.as_ref().map_or(silent, |(at, _)| at.0.min(silent)))
    }

    /// Takes what was heard; the end, once it is known.
    pub(super) fn hear(&mut self, heard: Heard, now: Tai) -> Option<Over> {
        let over = match heard {
            Heard::Ack { code, text } => {
                self.queue_heard = now;
                self.ack(code, &text, now)
            }
            Heard::Script(news) => {
                self.queue_heard = now;
                self.of_queue(news, now)
            }
            Heard::State(news) => self.of_script(news, now),
            Heard::Queue(queue) => {
                self.queue_heard = now;
                self.queue(queue, now)
            }
            Heard::QueueAlive { origin } => {
                self.queue_heard = now;
                let before = self.known.queue_origin.replace(origin);
                if before.is_some_and(|before| before != origin) && self.end.is_none() {
                    self.started_anew(now);
                }
                None
            }
            Heard::ScriptAlive { index, origin } => {
                if self.is_ours(index, origin) {
                    self.script_heard = now;
                }
                None
            }
            Heard::Nothing => None,
        };
        over.or_else(|| self.time_is_up(now))
    }

    /// The past has been told, at its own time; from now on the limits count.
    pub(super) fn awake(&mut self, now: Tai) {
        (self.queue_heard, self.script_heard) = (now, now);
        if let Some((at, _)) = &mut self.give_up {
            at.0 = at.0.max((now + self.patience.other_side).0);
        }
    }

    /// What to say when the step is stopped before the end.
    pub(super) fn so_far(&self) -> String {
        let name = self.name();
        match (&self.latest, self.known.script) {
            (Some(s), _) if s.state == state::PAUSED => format!("{name} was paused"),
            (Some(_), _) if self.runs() => format!("{name} was running"),
            (_, Some(_)) if self.queue.as_ref().is_some_and(|q| !q.running) => {
                format!("{name} was waiting, the queue is paused")
            }
            (_, Some(_)) if self.queue.as_ref().is_some_and(|q| !q.enabled) => {
                format!("{name} was waiting, the queue is not enabled")
            }
            (_, Some(_)) => format!("{name} had not begun"),
            (_, None) => format!(
                "ScriptQueue:{} did not acknowledge add: it is not known whether {} was added",
                self.ours.queue, self.ours.path
            ),
        }
    }

    /// What is known of the result.
    pub(super) fn result(&self, outcome: &str) -> Value {
        let latest = self.latest.as_ref();
        let of_queue = self.of_queue.as_ref();
        let run_time = of_queue.filter(|q| q.run_start > 0.0 && q.process_end > 0.0);
        json!({
            "script_index": self.known.script,
            "outcome": outcome,
            "reason": latest.map_or("", |s| &s.reason),
            "group_id": latest.map_or("", |s| &s.group_id),
            "last_checkpoint": latest.map_or("", |s| &s.last_checkpoint),
            "checkpoints": latest.map_or(0, |s| s.checkpoints),
            "run_time": run_time.map(|q| q.process_end - q.run_start),
        })
    }

    fn name(&self) -> String {
        match self.known.script {
            Some(index) => format!("script {index} ({}) of ScriptQueue:{}", self.ours.path, self.ours.queue),
            None => format!("{} on ScriptQueue:{}", self.ours.path, self.ours.queue),
        }
    }

    fn id(&self) -> String {
        self.known.script.map_or_else(String::new, |index| index.to_string())
    }

    /// Whether it began, and by what is known has not ended.
    fn runs(&self) -> bool {
        let began = |s: &OfScript| s.state >= state::RUNNING && s.state < state::DONE;
        self.latest.as_ref().is_some_and(began) || self.of_queue.as_ref().is_some_and(|q| q.run_start > 0.0)
    }

    fn is_ours(&self, index: i64, origin: i64) -> bool {
        self.known.script == Some(index) && self.known.script_origin.is_none_or(|known| known == origin)
    }

    fn ack(&mut self, code: AckCode, text: &str, now: Tai) -> Option<Over> {
        match code {
            AckCode::Ack | AckCode::NoAck | AckCode::InProgress | AckCode::Other(_) => None,
            AckCode::Complete => {
                self.acked = true;
                match text.trim().parse() {
                    Ok(index) => self.found(index, now),
                    Err(_) if self.known.script.is_none() => {
                        let error = format!("ScriptQueue:{} named no script: {text}", self.ours.queue);
                        self.settle(StepError::unknown(error), now + self.patience.other_side);
                        None
                    }
                    Err(_) => None,
                }
            }
            AckCode::Stalled | AckCode::NoPerm | AckCode::Failed | AckCode::Aborted | AckCode::Timeout => {
                let what = format!(
                    "ScriptQueue:{} did not add {}: {} {text}",
                    self.ours.queue,
                    self.ours.path,
                    code.name()
                );
                // It is in the queue all the same: loading took too long, say.
                if self.known.script.is_some() {
                    self.settle(self.class(ErrorClass::Permanent, what), now + self.patience.other_side);
                    return None;
                }
                let refused = code == AckCode::Failed && text.to_ascii_lowercase().contains("not allowed in");
                let class = if refused { ErrorClass::Transient } else { ErrorClass::Permanent };
                Some(Over { end: Err(StepError::new(class, what)), resume: false })
            }
        }
    }

    /// Its index is known; what was heard of it before counts.
    fn found(&mut self, index: i64, now: Tai) -> Option<Over> {
        if self.known.script.is_some() {
            return None;
        }
        self.known.script = Some(index);
        self.script_heard = now;
        let early = std::mem::take(&mut self.early);
        let mut over = None;
        for news in early {
            over = over.or(self.of_script(news, now));
        }
        over
    }

    fn of_queue(&mut self, news: OfQueue, now: Tai) -> Option<Over> {
        let ours = news.cmd_id == self.ours.seq_num
            && news.path == self.ours.path
            && news.standard == self.ours.standard
            && self.known.script.is_none_or(|index| index == news.index);
        if !ours {
            return None;
        }
        let over = self.found(news.index, now);
        let (process_state, script_state) = (news.process_state, news.script_state);
        self.of_queue = Some(news);
        if over.is_some() {
            return over;
        }
        let end = match (process_state, script_state) {
            (process::LOAD_FAILED, _) => End::LoadFailed,
            (process::CONFIGURE_FAILED, _) => End::ConfigureFailed,
            (process::TERMINATED, state::DONE) => End::Done,
            (process::TERMINATED, _) => End::Terminated,
            (process::DONE, state::DONE) => End::Done,
            (process::DONE, state::STOPPED) => End::Stopped,
            // Died with any other state: its last words may come yet, and change the reason, not the outcome.
            (process::DONE, _) => End::Failed,
            _ => return None,
        };
        self.ended(end, now)
    }

    fn of_script(&mut self, news: OfScript, now: Tai) -> Option<Over> {
        if self.known.script.is_none() {
            if self.early.len() >= MAX_EARLY {
                self.early.pop_front();
            }
            self.early.push_back(news);
            return None;
        }
        if !self.is_ours(news.index, news.origin) {
            return None;
        }
        self.known.script_origin = Some(news.origin);
        self.script_heard = now;
        let now_is = news.state;
        // The reason of FAILING stays where FAILED has none.
        let reason = self.latest.take().map(|l| l.reason).filter(|_| news.reason.is_empty());
        self.latest = Some(OfScript { reason: reason.unwrap_or(news.reason.clone()), ..news });
        let end = match now_is {
            state::DONE => End::Done,
            state::STOPPED => End::Stopped,
            state::FAILED => End::Failed,
            state::CONFIGURE_FAILED => End::ConfigureFailed,
            _ => {
                // It goes on without its queue: only its own silence ends that.
                if now_is >= state::RUNNING && self.end.is_none() {
                    self.give_up = None;
                }
                return None;
            }
        };
        self.ended(end, now)
    }

    fn queue(&mut self, queue: Queue, now: Tai) -> Option<Over> {
        match queue.running {
            true => self.paused_at = None,
            false if self.paused_at.is_none() => self.paused_at = Some(now),
            false => {}
        }
        self.queue = Some(queue);
        self.after_failure()
    }

    /// It is over; of a failure the queue has to say what it makes of it.
    fn ended(&mut self, end: End, now: Tai) -> Option<Over> {
        match self.end {
            None => {
                self.end = Some((end, now));
                if end != End::Failed {
                    return Some(self.over(false));
                }
                let error = self.over(false).end.err();
                self.give_up = None;
                if let Some(error) = error {
                    self.settle(error, now + self.patience.pause);
                }
                self.after_failure()
            }
            // Its last words came after the queue's.
            Some((End::Failed, _)) if end == End::Stopped || end == End::Done => {
                self.end = Some((end, now));
                Some(self.over(false))
            }
            Some(_) => self.after_failure(),
        }
    }

    /// Whether the queue has gone on after a failure, or has paused itself.
    fn after_failure(&self) -> Option<Over> {
        let (Some((End::Failed, since)), Some(queue)) = (self.end, &self.queue) else { return None };
        let process_over = self.of_queue.as_ref().is_some_and(|q| q.process_state >= process::DONE);
        if self.known.script != Some(queue.current) {
            return process_over.then(|| self.over(false));
        }
        let paused_at = self.paused_at?;
        process_over.then(|| self.over(since - paused_at < BY_ITSELF))
    }

    fn over(&self, resume: bool) -> Over {
        let Some((end, _)) = self.end else {
            return Over { end: Err(StepError::unknown(self.so_far())), resume };
        };
        let result = self.result(end.word());
        let reason = match self.latest.as_ref().map(|s| s.reason.as_str()) {
            Some(reason) if !reason.is_empty() => format!(": {reason}"),
            _ => String::new(),
        };
        let name = self.name();
        let died = self.latest.as_ref().is_none_or(|s| s.state < state::FAILING);
        let error = match end {
            End::Done => {
                return Over {
                    end: Ok(StepOutcome { result, backend_id: self.id(), ..StepOutcome::default() }),
                    resume,
                };
            }
            End::Failed if died => {
                StepError::permanent(format!("{name} failed: its process ended before it did{reason}"))
            }
            End::Failed => StepError::permanent(format!("{name} failed{reason}")),
            End::Stopped => StepError::aborted(format!("{name} was stopped{reason}")),
            End::Terminated => StepError::aborted(format!("{name} was terminated{reason}")),
            End::ConfigureFailed => {
                StepError::permanent(format!("{name} does not take its configuration{reason}"))
            }
            End::LoadFailed => StepError::permanent(format!("{name} could not be loaded{reason}")),
        };
        Over { end: Err(error.with_result(result).with_backend_id(self.id())), resume }
    }

    fn started_anew(&mut self, now: Tai) {
        if self.runs() {
            // Followed by its own events; without any it is lost.
            self.script_heard = now;
            let text = format!(
                "{} was lost: its queue was started anew, and nothing more was heard of it",
                self.name()
            );
            self.settle(self.class(ErrorClass::UnknownOutcome, text), now + self.patience.silent);
        } else {
            // Its number is given to another one now.
            self.known.script_origin.get_or_insert(NOBODY);
            let text =
                format!("{} had not begun when its queue was started anew, and never will", self.name());
            // Without an index it may not even have been read: then nobody knows.
            let class =
                if self.known.script.is_some() { ErrorClass::Transient } else { ErrorClass::UnknownOutcome };
            self.settle(self.class(class, text), now + self.patience.anew);
        }
    }

    /// Gives up at that time, unless something better is heard. What was told first counts.
    fn settle(&mut self, error: StepError, at: Tai) {
        if self.give_up.is_none() {
            self.give_up = Some((at, error));
        }
    }

    fn class(&self, class: ErrorClass, text: String) -> StepError {
        StepError::new(class, text).with_result(self.result("lost")).with_backend_id(self.id())
    }

    fn time_is_up(&mut self, now: Tai) -> Option<Over> {
        if let Some((at, error)) = &self.give_up
            && at.0 <= now.0
        {
            return Some(Over { end: Err(error.clone()), resume: false });
        }
        if self.next_deadline().0 <= now.0 {
            let text =
                format!("nothing was heard of ScriptQueue:{} any more; {}", self.ours.queue, self.so_far());
            let error = self.class(ErrorClass::UnknownOutcome, text);
            return Some(Over { end: Err(error), resume: false });
        }
        None
    }
}
