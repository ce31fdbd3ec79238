//! What is known of one `execute` command and the job behind it, and when it is over. Pure.
//!
//! ```text
//!   sent ── CMD_INPROGRESS {job_id} ──► under way ── job_result of that id ──► over: by its exit_code
//!    │                                    │  ▲
//!    │                                    │  └ job_result seen before the ack is kept
//!    │                                    ├─ CMD_COMPLETE ──► still waits for job_result (other topic, any order)
//!    │                                    ├─ final ack that fails ──► a moment for a job_result, then failed
//!    │                                    └─ FAULT, STANDBY, OFFLINE, restart ──► a moment, then failed
//!    ├─ job_result whose runId is our number (the ack was lost) ──► over: by its exit_code
//!    ├─ final ack that fails ──► refused
//!    ├─ CMD_COMPLETE ──► handed over (rapid analysis only)
//!    └─ OCPS silent: no heartbeat for a while ──► outcome unknown
//! ```
//!
//! No acknowledgement for a long time means nothing as long as the heartbeat goes on: OCPS waits for `prereq_jobs`
//! before it acknowledges. The step's own time limit bounds it.

use std::collections::VecDeque;
use std::time::Duration;

use salobj::{AckCode, SummaryState, Tai};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::tasks::call::{ErrorClass, StepError, StepOutcome};

/// Most `job_result` events kept while the id of the own job is not known.
const MAX_EARLY: usize = 256;

/// What is heard of an OCPS.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Heard {
    /// An acknowledgement of our command.
    Ack {
        /// Code.
        code: AckCode,
        /// Text.
        text: String,
    },
    /// An event `job_result`, of whatever job.
    JobResult(JobResult),
    /// It lives: a heartbeat, or anything else that it sent now.
    Alive {
        /// Its process.
        origin: i64,
    },
    /// Its summary state, as it was told now.
    State {
        /// The state.
        state: SummaryState,
        /// What `errorCode` said last, for FAULT.
        report: String,
    },
    /// Only time has passed.
    Nothing,
}

/// The fields of the event `job_result`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JobResult {
    /// Id of the job.
    pub(super) job_id: String,
    /// 0 done, 1 failed, 255 aborted.
    pub(super) exit_code: i64,
    /// JSON text: the reply of the batch service to the request, or `{"result": bool}` of a simulated OCPS. What it
    /// says about `phase` is of the time of the request.
    pub(super) result: String,
}

/// How long things are waited for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Patience {
    /// Without any sign of life, OCPS counts as gone. It is silent for up to 9 s while it makes an HTTP request.
    pub(super) silent: Duration,
    /// For a `job_result` that may still come after the final acknowledgement said that it failed.
    pub(super) after_ack: Duration,
    /// For anything that may still come after OCPS left its working states or was started anew.
    pub(super) after_state: Duration,
}

/// What of it has to survive a restart.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct Known {
    /// Process of the OCPS that the command was sent to.
    #[serde(default)]
    pub(super) origin: Option<i64>,
    /// Id of the job.
    #[serde(default)]
    pub(super) job_id: Option<String>,
}

/// One command and its job.
#[derive(Debug)]
pub(super) struct Job {
    index: i64,
    hands_over: bool,
    seq_num: i64,
    patience: Patience,
    pub(super) known: Known,
    early: VecDeque<JobResult>,
    completed: bool,
    heard_at: Tai,
    /// When it is given up, and the error then.
    give_up: Option<(Tai, StepError)>,
}

type Over = Result<StepOutcome, StepError>;

impl Job {
    /// Begins to follow a command that was just sent (or is adopted now).
    pub(super) fn new(
        index: i64,
        hands_over: bool,
        seq_num: i64,
        known: Known,
        patience: Patience,
        now: Tai,
    ) -> Self {
        Self {
            index,
            hands_over,
            seq_num,
            patience,
            known,
            early: VecDeque::new(),
            completed: false,
            heard_at: now,
            give_up: None,
        }
    }

    /// The instance.
    pub(super) fn index(&self) -> i64 {
        self.index
    }

    /// When [`Heard::Nothing`] is wanted at the latest.
    pub(super) fn next_deadline(&self) -> Tai {
        let silent = self.heard_at + self.patience.silent;
        match &self.give_up {
            Some((at, _)) if at.0 < silent.0 => *at,
            Some(_) | None => silent,
        }
    }

    /// Takes what was heard; the end, once it is known.
    pub(super) fn hear(&mut self, heard: Heard, now: Tai) -> Option<Over> {
        match heard {
            Heard::Ack { code, text } => {
                self.heard_at = now;
                if let Some(over) = self.ack(code, &text, now) {
                    return Some(over);
                }
            }
            Heard::JobResult(result) => {
                self.heard_at = now;
                if let Some(over) = self.job_result(result) {
                    return Some(over);
                }
            }
            Heard::Alive { origin } => {
                self.heard_at = now;
                if self.known.origin.replace(origin).is_some_and(|before| before != origin) {
                    let text = format!("OCPS:{} was started anew {}", self.index, self.meanwhile());
                    self.settle(self.error(text), now + self.patience.after_state);
                }
            }
            Heard::State { state, report } => {
                self.heard_at = now;
                self.state(state, &report, now);
            }
            Heard::Nothing => {}
        }
        self.time_is_up(now)
    }

    /// What to say when the step is stopped before the end.
    pub(super) fn so_far(&self) -> String {
        match &self.known.job_id {
            Some(id) if self.completed => {
                format!("OCPS:{} completed job {id} but published no job_result", self.index)
            }
            Some(id) => format!("job {id} of OCPS:{} was under way", self.index),
            None => format!("OCPS:{} never acknowledged execute: it is not known whether it ran", self.index),
        }
    }

    fn ack(&mut self, code: AckCode, text: &str, now: Tai) -> Option<Over> {
        match code {
            AckCode::Ack | AckCode::NoAck | AckCode::Other(_) => None,
            AckCode::InProgress => {
                let said = serde_json::from_str::<Value>(text).unwrap_or_default();
                let id = said.get("job_id").and_then(Value::as_str).filter(|id| !id.is_empty())?;
                if self.known.job_id.is_none() {
                    self.known.job_id = Some(id.to_owned());
                }
                let at = self.early.iter().position(|r| r.job_id == id)?;
                let result = self.early.remove(at)?;
                self.early.clear();
                Some(conclude(&result))
            }
            AckCode::Complete if self.hands_over => {
                let result = json!({"job_id": "", "exit_code": 0, "outcome": "handed_over", "result": text});
                Some(Ok(StepOutcome { result, ..StepOutcome::default() }))
            }
            AckCode::Complete if self.known.job_id.is_none() => Some(Err(StepError::permanent(format!(
                "OCPS:{} completed execute without naming a job: {text}",
                self.index
            )))),
            AckCode::Complete => {
                // The result comes in another topic, before or after this.
                self.completed = true;
                None
            }
            AckCode::Stalled | AckCode::NoPerm | AckCode::Failed | AckCode::Aborted | AckCode::Timeout => {
                let Some(id) = &self.known.job_id else {
                    return Some(Err(refusal(self.index, code, text)));
                };
                let text = format!("OCPS:{} lost job {id}: {} {text}", self.index, code.name());
                self.settle(self.permanent("lost", text), now + self.patience.after_ack);
                None
            }
        }
    }

    fn job_result(&mut self, result: JobResult) -> Option<Over> {
        match &self.known.job_id {
            Some(id) => (*id == result.job_id).then(|| conclude(&result)),
            None if self.names_our_command(&result) => {
                self.known.job_id = Some(result.job_id.clone());
                Some(conclude(&result))
            }
            None => {
                if self.early.len() >= MAX_EARLY {
                    self.early.pop_front();
                }
                self.early.push_back(result);
                None
            }
        }
    }

    /// OCPS gives the batch service the number of the command as `runId`, and passes its reply on.
    fn names_our_command(&self, result: &JobResult) -> bool {
        let reply = serde_json::from_str::<Value>(&result.result).unwrap_or_default();
        reply.get("runId").and_then(Value::as_str).is_some_and(|id| id == self.seq_num.to_string())
    }

    fn state(&mut self, state: SummaryState, report: &str, now: Tai) {
        let text = match state {
            SummaryState::Enabled | SummaryState::Disabled => return,
            SummaryState::Fault if report.is_empty() => format!("OCPS:{} went to FAULT", self.index),
            SummaryState::Fault => format!("OCPS:{} went to FAULT ({report})", self.index),
            SummaryState::Standby => format!("OCPS:{} went to STANDBY", self.index),
            SummaryState::Offline => format!("OCPS:{} went to OFFLINE", self.index),
        };
        let text = format!("{text} {}", self.meanwhile());
        self.settle(self.error(text), now + self.patience.after_state);
    }

    fn meanwhile(&self) -> String {
        match &self.known.job_id {
            Some(id) => format!("while job {id} was under way; the job may still run"),
            None => "before it acknowledged execute".to_owned(),
        }
    }

    /// Gives up at that time, unless something better is heard. Several reasons join; what OCPS itself answered counts
    /// most.
    fn settle(&mut self, error: StepError, at: Tai) {
        let (at, error) = match self.give_up.take() {
            None => (at, error),
            // Said before (a state is told again): nothing new, and no more time.
            Some((before_at, before)) if before.text.contains(&error.text) => (before_at, before),
            Some((before_at, before)) => {
                let text = format!("{}; {}", before.text, error.text);
                let main = if before.class == ErrorClass::Permanent { before } else { error };
                (Tai(before_at.0.min(at.0)), StepError { text, ..main })
            }
        };
        self.give_up = Some((at, error));
    }

    fn time_is_up(&mut self, now: Tai) -> Option<Over> {
        if let Some((at, error)) = &self.give_up
            && at.0 <= now.0
        {
            return Some(Err(error.clone()));
        }
        if (self.heard_at + self.patience.silent).0 <= now.0 {
            let silent = now - self.heard_at;
            let text =
                format!("nothing was heard of OCPS:{} for {silent:.0} s {}", self.index, self.meanwhile());
            return Some(Err(self.error(text)));
        }
        None
    }

    fn error(&self, text: String) -> StepError {
        StepError::unknown(text).with_backend_id(self.known.job_id.clone().unwrap_or_default())
    }

    fn permanent(&self, outcome: &str, text: String) -> StepError {
        let id = self.known.job_id.clone().unwrap_or_default();
        let result = json!({"job_id": id, "exit_code": null, "outcome": outcome, "result": null});
        StepError::permanent(text).with_result(result).with_backend_id(id)
    }
}

/// How a job ended, by its exit code and the result that it gave.
pub(super) fn conclude(job: &JobResult) -> Over {
    let inner =
        serde_json::from_str::<Value>(&job.result).unwrap_or_else(|_| Value::from(job.result.clone()));
    let said_false = inner.get("result") == Some(&Value::Bool(false));
    let id = &job.job_id;
    let result = |outcome: &str| json!({"job_id": id, "exit_code": job.exit_code, "outcome": outcome, "result": inner.clone()});
    let failed =
        |outcome: &str, error: StepError| Err(error.with_result(result(outcome)).with_backend_id(id));
    match job.exit_code {
        0 if said_false => {
            failed("failed", StepError::permanent(format!("job {id} ended with result false")))
        }
        0 => {
            Ok(StepOutcome { result: result("succeeded"), backend_id: id.clone(), ..StepOutcome::default() })
        }
        1 => failed("failed", StepError::permanent(format!("job {id}: the pipeline failed (exit code 1)"))),
        255 => failed("aborted", StepError::aborted(format!("job {id} was aborted (exit code 255)"))),
        code => failed("failed", StepError::permanent(format!("job {id} ended with exit code {code}"))),
    }
}

/// The command failed before there was a job. Refused because of the summary state, it may be tried again.
fn refusal(index: i64, code: AckCode, text: &str) -> StepError {
    let what = format!("OCPS:{index} did not accept execute: {} {text}", code.name());
    if code == AckCode::Failed && text.to_ascii_lowercase().contains("not allowed in") {
        StepError::transient(what)
    } else {
        StepError::permanent(what)
    }
}

#[cfg(test)]
mod tests;
