//! What happened, one thing after the other: made from the core's outputs, live and in a replay by the same code.

use std::collections::{HashMap, HashSet, VecDeque};

use salobj::Tai;
use serde::{Deserialize, Serialize};

use crate::alarms::{AlarmSnapshot, Severity};
use crate::core::{Core, Event, Output, RuleEvent, RuleState, TaskEvent};
use crate::tasks::state::TaskState;

/// Ended runs that are remembered, so that a later event of one is no news.
const ENDED: usize = 10_000;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transition {
    /// When, TAI s.
    pub at: Tai,
    /// Name of the rule.
    pub rule: String,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum What {
    /// The present severity of an alarm changed.
    Severity {
        /// Alarm.
        alarm: String,
        /// New severity.
        severity: Severity,
        /// Why; for none the last reason.
        reason: String,
        /// Run whose result said so.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        run_id: String,
    },
    /// Only the reason of a standing alarm changed.
    Reason {
        /// Alarm.
        alarm: String,
        /// New reason.
        reason: String,
    },
    /// An alarm was acknowledged, or is not any more.
    Acknowledged {
        /// Alarm.
        alarm: String,
        /// Which of the two.
        acknowledged: bool,
        /// By whom.
        by: String,
    },
    /// An alarm was muted (up to this severity), or is not any more (none).
    Muted {
        /// Alarm.
        alarm: String,
        /// Severity that is muted.
        severity: Severity,
    },
    /// A run waits for its turn.
    RunQueued {
        /// Its id.
        run_id: String,
        /// What triggered it.
        occurrence: String,
    },
    /// A run was started; in a replay: it would have been.
    RunStarted {
        /// Its id.
        run_id: String,
        /// What triggered it.
        occurrence: String,
    },
    /// An occurrence was not run.
    RunSkipped {
        /// Id that the run would have had.
        run_id: String,
        /// What happened.
        occurrence: String,
        /// Why it was not run.
        reason: String,
    },
    /// A run ended.
    RunEnded {
        /// Its id.
        run_id: String,
        /// How.
        state: String,
        /// What the alarm made of it.
        severity: Severity,
        /// Why it did not succeed.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        error: String,
    },
    /// A step of a run ended.
    StepEnded {
        /// Id of the run.
        run_id: String,
        /// Step.
        step: String,
        /// How.
        state: String,
        /// Why it did not succeed.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        error: String,
    },
    /// The rule's error changed; empty: all is known again.
    Error {
        /// Why something is unknown.
        error: String,
    },
    /// The rule was quarantined.
    Quarantined {
        /// Why.
        reason: String,
    },
}

/// Takes the core's outputs and says what is new. It remembers no more than it needs to tell.
#[derive(Debug, Default)]
pub struct Collector {
    alarms: HashMap<String, Standing>,
    going: HashMap<String, Going>,
    ended: HashSet<String>,
    ended_order: VecDeque<String>,
    rules: HashMap<String, (RuleState, String)>,
}

#[derive(Debug, Default, PartialEq)]
struct Standing {
    severity: Severity,
    reason: String,
    acknowledged: bool,
    muted: Severity,
}

#[derive(Debug, Default)]
struct Going {
    queued: bool,
    started: bool,
    steps: HashSet<String>,
}

impl Collector {
    /// Adds what is new in one output of one step of the core at `now`. The core is as it is after that step.
    pub fn take(&mut self, output: &Output, core: &Core, now: Tai, out: &mut Vec<Transition>) {
        match output {
            Output::Publish(Event::Alarm(alarm)) => self.alarm(alarm, core, now, out),
            Output::Publish(Event::Task(task)) => self.task(task, core, now, out),
            Output::Publish(Event::Rule(rule)) => self.rule(rule, now, out),
            Output::Publish(
                Event::Result(_) | Event::Explanation(_) | Event::Summary(_) | Event::Notification(_),
            )
            | Output::Notify(_)
            | Output::Incident(_)
            | Output::Record(_)
            | Output::History(_)
            | Output::Answer { .. }
            | Output::Dispatch(_)
            | Output::Resume(_)
            | Output::Abort { .. }
            | Output::WriteReport { .. }
            | Output::Resubscribe
            | Output::Warn(_)
            | Output::Note(_) => {}
        }
    }

    fn alarm(&mut self, event: &AlarmSnapshot, core: &Core, now: Tai, out: &mut Vec<Transition>) {
        let alarm = &event.alarm_name;
        let rule = core.alarms().owner(alarm).unwrap_or(alarm).to_owned();
        let mut tell = |what: What| out.push(Transition { at: now, rule: rule.clone(), what });
        let known = self.alarms.entry(alarm.clone()).or_default();
        if known.severity != event.severity {
            tell(What::Severity {
                alarm: alarm.clone(),
                severity: event.severity,
                reason: event.reason.clone(),
                run_id: event.task_id.clone(),
            });
        } else if known.reason != event.reason && event.severity != Severity::None {
            tell(What::Reason { alarm: alarm.clone(), reason: event.reason.clone() });
        }
        if known.acknowledged != event.acknowledged {
            let by = event.acknowledged_by.clone();
            tell(What::Acknowledged { alarm: alarm.clone(), acknowledged: event.acknowledged, by });
        }
        if known.muted != event.muted_severity {
            tell(What::Muted { alarm: alarm.clone(), severity: event.muted_severity });
        }
        *known = Standing {
            severity: event.severity,
            reason: event.reason.clone(),
            acknowledged: event.acknowledged,
            muted: event.muted_severity,
        };
    }

    fn task(&mut self, event: &TaskEvent, core: &Core, now: Tai, out: &mut Vec<Transition>) {
        let run_id = &event.task_id;
        if self.ended.contains(run_id) {
            return;
        }
        let mut tell = |what: What| out.push(Transition { at: now, rule: event.rule_name.clone(), what });
        let occurrence =
            || core.runs().get(run_id).map(|run| run.header.occurrence.clone()).unwrap_or_default();
        let final_state = is_final(event.state);
        let going = self.going.entry(run_id.clone()).or_default();
        // Within one step of the core a run may begin and end: only its last event is there.
        if event.timestamp_started > 0.0 && event.step.is_empty() && !going.started {
            going.started = true;
            tell(What::RunStarted { run_id: run_id.clone(), occurrence: occurrence() });
        }
        if !event.step.is_empty() {
            if final_state && going.steps.insert(event.step.clone()) {
                tell(What::StepEnded {
                    run_id: run_id.clone(),
                    step: event.step.clone(),
                    state: word(event.state),
                    error: event.error.clone(),
                });
            }
            return;
        }
        if event.state == TaskState::Skipped.value() {
            let reason = event.error.clone();
            tell(What::RunSkipped { run_id: run_id.clone(), occurrence: occurrence(), reason });
        } else if final_state {
            let severity = Severity::try_from(event.severity).unwrap_or_default();
            let error = event.error.clone();
            tell(What::RunEnded { run_id: run_id.clone(), state: word(event.state), severity, error });
        } else if event.state == TaskState::Pending.value() && !going.queued {
            going.queued = true;
            tell(What::RunQueued { run_id: run_id.clone(), occurrence: occurrence() });
        }
        if final_state {
            self.going.remove(run_id);
            self.ended.insert(run_id.clone());
            self.ended_order.push_back(run_id.clone());
            if self.ended_order.len() > ENDED
                && let Some(old) = self.ended_order.pop_front()
            {
                self.ended.remove(&old);
            }
        }
    }

    fn rule(&mut self, event: &RuleEvent, now: Tai, out: &mut Vec<Transition>) {
        let before = self.rules.insert(event.rule_name.clone(), (event.state, event.error.clone()));
        let (state, error) = before.unwrap_or((RuleState::Loaded, String::new()));
        let what = if event.state == RuleState::Failed && state != RuleState::Failed {
            What::Quarantined { reason: event.error.clone() }
        } else if event.error != error {
            What::Error { error: event.error.clone() }
        } else {
            return;
        };
        out.push(Transition { at: now, rule: event.rule_name.clone(), what });
    }
}

fn is_final(state: i64) -> bool {
    state >= TaskState::Succeeded.value()
}

fn word(state: i64) -> String {
    TaskState::ALL.iter().find(|s| s.value() == state).map_or_else(String::new, |s| s.word().to_owned())
}

impl What {
    /// The kind in a word, for tables.
    pub fn word(&self) -> &'static str {
        match self {
            What::Severity { .. } => "alarm",
            What::Reason { .. } => "reason",
            What::Acknowledged { .. } => "acknowledged",
            What::Muted { .. } => "muted",
            What::RunQueued { .. } => "run queued",
            What::RunStarted { .. } => "run starts",
            What::RunSkipped { .. } => "run skipped",
            What::RunEnded { .. } => "run ends",
            What::StepEnded { .. } => "step ends",
            What::Error { .. } => "unknown",
            What::Quarantined { .. } => "quarantined",
        }
    }

    /// The rest in a sentence, for tables.
    pub fn text(&self) -> String {
        let with = |text: String, why: &str| if why.is_empty() { text } else { format!("{text}: {why}") };
        match self {
            What::Severity { severity: Severity::None, .. } => "none".to_owned(),
            What::Severity { severity, reason, .. } => with(severity.to_string(), reason),
            What::Reason { reason, .. } => reason.clone(),
            What::Acknowledged { acknowledged: true, by, .. } => format!("by {by}"),
            What::Acknowledged { acknowledged: false, .. } => "not any more".to_owned(),
            What::Muted { severity: Severity::None, .. } => "not any more".to_owned(),
            What::Muted { severity, .. } => format!("up to {severity}"),
            What::RunQueued { run_id, occurrence } | What::RunStarted { run_id, occurrence } => {
                format!("{run_id} ({occurrence})")
            }
            What::RunSkipped { occurrence, reason, .. } => with(occurrence.clone(), reason),
            What::RunEnded { run_id, state, severity, error } => {
                with(format!("{run_id} {state}, severity {severity}"), error)
            }
            What::StepEnded { run_id, step, state, error } => with(format!("{run_id} {step} {state}"), error),
            What::Error { error } if error.is_empty() => "all is known again".to_owned(),
            What::Error { error } => error.clone(),
            What::Quarantined { reason } => reason.clone(),
        }
    }
}
