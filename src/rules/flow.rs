//! What goes into the engine and what comes out: samples and other inputs, effects, and what the rules want to be read.

use std::sync::Arc;
use std::time::Duration;

use salobj::{Tai, Value};
use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::evidence::Evidence;
use super::model::{Rule, RunContext};
use crate::alarms::Severity;

/// A topic that some rule reads: the index into [`Subscriptions::topics`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId(pub u32);

/// What has to be read from the bus for the rules that are loaded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Subscriptions {
    /// One entry for each component and topic; [`TopicId`] is the position here.
    pub topics: Vec<TopicNeed>,
}

/// One topic and what the rules need of it.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicNeed {
    /// Component, e.g. `ESS`.
    pub component: String,
    /// SAL name without the component: `airFlow`, `logevent_endReadout`.
    pub sal_name: String,
    /// The instances wanted; `None` is all of them.
    pub indices: Option<Vec<i64>>,
    /// The cells of a [`Sample`] of this topic, in this order.
    pub fields: Vec<FieldNeed>,
    /// How much of the past is read at start.
    pub history: History,
}

/// A field, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldNeed {
    /// Name of the field.
    pub name: String,
    /// Which part of an array.
    pub part: Part,
}

/// The part of a field that a cell holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// All of it: a scalar or the whole array.
    Whole,
    /// One element, counted from 0; the cell is a scalar.
    Element(usize),
    /// Elements from the first up to, not with, the second; the cell is an array.
    Slice(usize, usize),
}

impl Part {
    /// This part of a whole field; null if it does not have it.
    pub fn of(self, whole: &Value) -> Value {
        let found = match (self, whole) {
            (Part::Whole, value) => Some(value.clone()),
            (Part::Element(i), Value::Doubles(v)) => v.get(i).map(|v| Value::Double(*v)),
            (Part::Element(i), Value::Ints(v)) => v.get(i).map(|v| Value::Int(*v)),
            (Part::Element(i), Value::Bools(v)) => v.get(i).map(|v| Value::Bool(*v)),
            (Part::Element(i), Value::Texts(v)) => v.get(i).map(|v| Value::Text(v.clone())),
            (Part::Slice(a, b), Value::Doubles(v)) => v.get(a..b).map(|v| Value::Doubles(v.into())),
            (Part::Slice(a, b), Value::Ints(v)) => v.get(a..b).map(|v| Value::Ints(v.into())),
            (Part::Slice(a, b), Value::Bools(v)) => v.get(a..b).map(|v| Value::Bools(v.into())),
            (Part::Slice(a, b), Value::Texts(v)) => v.get(a..b).map(|v| Value::Texts(v.into())),
            _ => None,
        };
        found.unwrap_or_default()
    }
}

/// How much of a topic's past the rules need before they judge. The newest record of each index is always wanted.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct History {
    /// Seconds back from now.
    pub span: Duration,
    /// Records back from the newest, of each index.
    pub count: usize,
}

/// One record of a topic, reduced to the cells that the rules need.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// Which topic.
    pub topic: TopicId,
    /// `salIndex`; 0 for a component without.
    pub sal_index: i64,
    /// `private_sndStamp`.
    pub sent: Tai,
    /// When it came here.
    pub received: Tai,
    /// Kafka partition.
    pub partition: i32,
    /// Kafka offset.
    pub offset: i64,
    /// The cells, in the order of [`TopicNeed::fields`]. [`Value::Null`] counts as missing.
    pub cells: &'a [Value],
}

/// What the engine is told. By-hand triggers go through `Engine::trigger`, because they need an answer.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// A record that has just come.
    Sample(&'a Sample<'a>),
    /// A record that has just come while nothing may happen (outside ENABLED): latched, fires nothing, raises nothing.
    Quiet(&'a Sample<'a>),
    /// A record that came while the process was down, given quietly before: rules with `each` fire on it, as they would have
    /// when it came, if it is not too old. Nothing is judged.
    Missed(&'a Sample<'a>),
    /// A record of the past: fills latched values and windows of the rules that are new since `Engine::history_done`.
    /// Fires nothing, raises nothing.
    History(&'a Sample<'a>),
    /// Time went on. Wanted at `Engine::next_deadline`; harmless at any other time.
    Tick,
    /// A step of a run ended; `ctx.tasks` has its result. Alarms fed by tasks are judged.
    StepEnded {
        /// Name of the rule.
        rule: &'a str,
        /// The run.
        run_id: &'a str,
        /// The run's context with the step's result.
        ctx: &'a RunContext,
    },
    /// A run ended, in whatever state: the next of the queue may start.
    RunEnded {
        /// Name of the rule.
        rule: &'a str,
        /// The run.
        run_id: &'a str,
    },
    /// A rule is switched on or off. Switching on judges it anew on the latched values and lifts a quarantine.
    SetEnabled {
        /// Name of the rule.
        rule: &'a str,
        /// On or off.
        enabled: bool,
    },
}

/// What the engine wants done. The caller journals it first, then does it.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Start this run now.
    StartRun(RunRequest),
    /// The run waits for an earlier one of the same rule: record it as pending. A `StartRun`, `SkipRun` with the same id follows.
    QueueRun(RunRequest),
    /// This occurrence is not run; record it as skipped.
    SkipRun {
        /// Id that the run would have had.
        run_id: String,
        /// The rule.
        rule: Arc<Rule>,
        /// The key, where the rule has `by`.
        key: Option<String>,
        /// What happened (design 3.3).
        occurrence: String,
        /// When it happened.
        at: Tai,
        /// Why it is not run.
        reason: SkipReason,
    },
    /// `overlap: cancel_previous`: this run has to make way.
    CancelRun {
        /// The run.
        run_id: String,
        /// The rule.
        rule: Arc<Rule>,
    },
    /// A rule's opinion about its alarm changed (severity or reason).
    SetSeverity {
        /// The rule.
        rule: Arc<Rule>,
        /// Name of the alarm.
        alarm: String,
        /// The new severity.
        severity: Severity,
        /// Why; empty for `Severity::None`.
        reason: String,
        /// The run whose results said so, for an alarm fed by tasks.
        run_id: Option<String>,
        /// What was behind it, if the severity is another than was said before.
        evidence: Option<Box<Evidence>>,
    },
    /// A rule with `by` has seen a key for the first time, or is asked for all of them: there is such an alarm.
    KeySeen {
        /// The rule.
        rule: Arc<Rule>,
        /// Name of the alarm.
        alarm: String,
    },
    /// A key is forgotten: its alarm ends.
    KeyGone {
        /// The rule.
        rule: Arc<Rule>,
        /// Name of the alarm.
        alarm: String,
    },
    /// The rule's `error` changed: why something is unknown, or `None` if all is known again.
    RuleError {
        /// The rule.
        rule: Arc<Rule>,
        /// The text.
        error: Option<String>,
    },
    /// The rule went over its budget and is stopped until it is enabled again.
    Quarantine {
        /// The rule.
        rule: Arc<Rule>,
        /// Which budget, and the numbers.
        reason: String,
    },
}

/// A run that is to be started.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// First 16 hex digits of SHA-256 over rule name, revision, key and occurrence.
    pub run_id: String,
    /// The rule, in the revision that fired.
    pub rule: Arc<Rule>,
    /// The key, where the rule has `by`.
    pub key: Option<String>,
    /// What happened: `m:<topic>:<partition>:<offset>`, `t:<UTC time>`, `c:<command>`, `e:<occurrence>`.
    pub occurrence: String,
    /// When it happened: the sample's send stamp, or the scheduled time. `max_event_age` counts from here.
    pub at: Tai,
    /// Inputs, parameters and trigger as they were at that moment.
    pub context: RunContext,
}

/// Why an occurrence was not run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "why")]
pub enum SkipReason {
    /// Older than `max_event_age`, in seconds.
    TooOld {
        /// Its age.
        age_s: f64,
        /// What is allowed.
        limit_s: f64,
    },
    /// Within `cooldown` of the last run.
    Cooldown {
        /// Seconds until the next may run.
        remaining_s: f64,
    },
    /// `overlap: skip` and as many runs as `max_concurrent` are going.
    Overlap {
        /// How many are going.
        running: usize,
    },
    /// The queue of waiting runs is full.
    QueueFull {
        /// Its length.
        length: usize,
    },
    /// The rule is quarantined.
    Quarantined,
    /// The rule is in shadow mode.
    Shadow,
    /// The rule was removed, replaced or disabled while the run waited.
    Withdrawn,
    /// Scheduled times were missed and are not made up for.
    Missed {
        /// How many; `None` for more than are counted.
        count: Option<usize>,
    },
}

impl std::fmt::Display for SkipReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SkipReason::TooOld { age_s, limit_s } => {
                write!(f, "the event is {age_s:.1} s old, max_event_age is {limit_s} s")
            }
            SkipReason::Cooldown { remaining_s } => write!(f, "in cooldown for another {remaining_s:.1} s"),
            SkipReason::Overlap { running } => {
                write!(f, "{running} run(s) of this rule are going and overlap is skip")
            }
            SkipReason::QueueFull { length } => write!(f, "{length} runs of this rule are waiting already"),
            SkipReason::Quarantined => f.write_str("the rule is quarantined"),
            SkipReason::Shadow => f.write_str("the rule is in shadow mode"),
            SkipReason::Withdrawn => {
                f.write_str("the rule was removed, replaced or disabled while the run waited")
            }
            SkipReason::Missed { count: Some(count) } => {
                write!(f, "{count} scheduled time(s) up to this one were missed and are not made up for")
            }
            SkipReason::Missed { count: None } => f.write_str(
                "this and all earlier scheduled times were missed and are too many to be made up for",
            ),
        }
    }
}

/// A trigger by hand.
#[derive(Debug, Clone)]
pub struct ManualTrigger<'a> {
    /// Name of the rule.
    pub rule: &'a str,
    /// `c:<identity>:<origin>:<private_seqNum>` of the command.
    pub occurrence: &'a str,
    /// Overrides of the rule's parameters.
    pub parameters: &'a Map<String, serde_json::Value>,
}

/// Why a rule cannot be triggered by hand now.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TriggerRefused {
    /// No such rule.
    #[error("there is no rule \"{0}\"")]
    UnknownRule(String),
    /// It has nothing to run.
    #[error("rule \"{0}\" has no tasks to run")]
    NoTasks(String),
    /// It is switched off.
    #[error("rule \"{0}\" is disabled")]
    Disabled(String),
    /// It has an alarm and runs for each key.
    #[error("rule \"{rule}\" has a state for each key: name one, as in {rule}.<key>; known are: {keys}")]
    NeedsKey {
        /// Name of the rule.
        rule: String,
        /// The first keys that it has.
        keys: String,
    },
    /// It went over its budget.
    #[error("rule \"{rule}\" is quarantined: {reason}; enable it again first")]
    Quarantined {
        /// Name of the rule.
        rule: String,
        /// Why.
        reason: String,
    },
    /// Shadow rules start nothing.
    #[error("rule \"{0}\" is in shadow mode and starts nothing; promote it first")]
    Shadow(String),
    /// An input of `each` was never seen.
    #[error("input \"{input}\" of rule \"{rule}\" was never seen")]
    NeverSeen {
        /// Name of the rule.
        rule: String,
        /// Name of the input.
        input: String,
    },
    /// `when` is false or unknown.
    #[error("`when` of rule \"{rule}\" is {state}")]
    NotTrue {
        /// Name of the rule.
        rule: String,
        /// `false`, or `unknown: ...`.
        state: String,
    },
    /// A parameter that the rule does not have.
    #[error("rule \"{rule}\" has no parameter \"{name}\"")]
    UnknownParameter {
        /// Name of the rule.
        rule: String,
        /// The parameter.
        name: String,
    },
    /// Too many runs of this rule.
    #[error("rule \"{rule}\": {reason}")]
    Busy {
        /// Name of the rule.
        rule: String,
        /// Why.
        reason: SkipReason,
    },
}
