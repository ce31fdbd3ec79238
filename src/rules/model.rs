//! A compiled rule, and what travels with a run of it.

use std::collections::BTreeMap;
use std::time::Duration;

use salobj::Tai;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::code::Code;
use super::compile::hash16;
use super::cron::Cron;
use super::links::Link;
use super::test_case::TestCase;
use crate::alarms::{AlarmConfig, Severity};

/// True, false, or not known.
#[derive(Debug, Clone, PartialEq)]
pub enum Tri {
    /// Known to be true.
    True,
    /// Known to be false.
    False,
    /// Not known, and why.
    Unknown(String),
}

/// A rule that has passed every check and is ready to run.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Name.
    pub name: String,
    /// First 16 hex digits of SHA-256 over the canonical definition.
    pub revision: String,
    /// What it is for.
    pub description: String,
    /// Its own YAML text: a rule file with this one rule.
    pub definition: String,
    /// Live, or only watched.
    pub mode: Mode,
    /// Parameters with their default values.
    pub parameters: Map<String, Json>,
    /// What starts a run.
    pub trigger: Trigger,
    /// What a run does.
    pub workflow: Option<Workflow>,
    /// The alarm.
    pub alarm: Option<AlarmPlan>,
    /// From which severity on a run gets a report.
    pub report: FromLevel,
    /// How much it may do.
    pub budget: Budget,
    /// Its steps' place where several wait for a backend.
    pub priority: Priority,
    /// What happens to its runs when the CSC leaves ENABLED.
    pub on_disable: OnDisable,
    /// Its tests.
    pub tests: Vec<TestCase>,
    /// Where its name stands in the file that it was read from.
    pub(crate) span: (usize, usize),
    /// What it reads of other rules.
    pub(crate) links: Vec<Link>,
    /// Where each of the alarm's `inhibit_by` is written.
    pub(crate) causes: Vec<(usize, usize)>,
    pub(crate) code: Code,
}

impl Rule {
    /// True if it has an alarm for each key.
    pub fn is_keyed(&self) -> bool {
        self.code.by.is_some()
    }

    /// The id of the run that an occurrence starts: the first 16 hex digits of SHA-256 over name, revision, key and occurrence.
    pub fn run_id(&self, key: Option<&str>, occurrence: &str) -> String {
        // A rule without `by` has an empty key.
        let key = key.unwrap_or_default();
        hash16(&format!("{}\n{}\n{key}\n{occurrence}", self.name, self.revision))
    }

    /// The name of its alarm; for a rule with `by`, of that of a key: `<rule>.<key>`.
    pub fn alarm_name(&self, key: Option<&str>) -> String {
        match key {
            Some(key) => format!("{}.{key}", self.name),
            None => self.name.clone(),
        }
    }
}

/// Whether a rule acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It acts.
    #[default]
    Live,
    /// It is evaluated and recorded, publishes nothing else and starts nothing.
    Shadow,
}

/// From which severity on something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromLevel {
    /// In any case.
    Always,
    /// Not at all.
    #[default]
    Never,
    /// From this severity on (`none` is the same as always).
    #[serde(untagged)]
    Severity(Severity),
}

impl FromLevel {
    /// True if it is to be done at this severity.
    pub fn includes(self, severity: Severity) -> bool {
        match self {
            FromLevel::Always => true,
            FromLevel::Severity(from) => severity >= from,
            FromLevel::Never => false,
        }
    }
}

/// Limits against floods; above them the rule is quarantined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Runs in any hour.
    pub runs_per_hour: u32,
    /// Steps that command another component, in any minute.
    pub commands_per_minute: u32,
    /// Evaluations in any second, by the stamps of what is read.
    pub evaluations_per_second: u32,
    /// Longest time of one evaluation.
    pub evaluation_time: Duration,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget {
            runs_per_hour: 1000,
            commands_per_minute: 60,
            evaluations_per_second: 10_000,
            evaluation_time: Duration::from_millis(100),
        }
    }
}

/// What starts a run, and what holds it back.
#[derive(Debug, Clone, PartialEq)]
pub struct Trigger {
    /// The occasion.
    pub on: Occasion,
    /// Shortest time between two runs.
    pub cooldown: Duration,
    /// Older events are recorded as skipped.
    pub max_event_age: Duration,
    /// Runs of this rule at a time.
    pub max_concurrent: usize,
    /// What happens to an occurrence while as many are going.
    pub overlap: Overlap,
    /// How long after its time an occurrence of `every` or `cron` is looked at.
    pub offset: Duration,
    /// What happens to the times of `every` or `cron` that were missed.
    pub catch_up: CatchUp,
}

/// The occasion at which `when` is looked at.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Occasion {
    /// Only by hand.
    #[default]
    Manual,
    /// Each message of these inputs (positions in the rule's inputs).
    Each(Vec<usize>),
    /// Multiples of this period since 1970 UTC.
    Every(Duration),
    /// By the clock of a time zone.
    Cron(Box<Cron>),
    /// The moment `when` goes from false to true.
    Edge,
}

/// What happens to the times of a schedule that came while the rule could not be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// They are left out.
    #[default]
    Skip,
    /// The newest one stands for all of them.
    Once,
    /// Each one is made up for, the oldest first; at most 1000.
    All,
}

/// See [`Trigger::overlap`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// It waits.
    #[default]
    Queue,
    /// It is skipped.
    Skip,
    /// The oldest run is cancelled.
    CancelPrevious,
}

/// What a run does.
#[derive(Debug, Clone, PartialEq)]
pub struct Workflow {
    /// The steps, in an order in which every step comes after those that it needs.
    pub steps: Vec<Step>,
    /// Longest time for all of them.
    pub run_timeout: Duration,
}

impl Workflow {
    /// The step of that name.
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|s| s.name == name)
    }
}

/// One step of a workflow.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Name, unique in the rule.
    pub name: String,
    /// Steps that must have succeeded before.
    pub needs: Vec<String>,
    /// Key of its backend: `analysis`, `ocps`, ...
    pub backend: String,
    /// Which of the things that the backend can do (`trend`, `jitter`); empty where it does only one.
    pub operation: String,
    /// What the backend gets, before templates are filled in: see `Rule::render`.
    pub params: Json,
    /// Longest time of one attempt.
    pub timeout: Duration,
    /// What happens after a transient error.
    pub retry: Retry,
    /// Send again even if it is not known whether the command arrived.
    pub resend_if_unknown: bool,
    /// True if the rule has a condition for this step: see `Rule::step_when`.
    pub conditional: bool,
    /// It is done for each item of a list: see `Rule::items`.
    pub foreach: Option<ForEach>,
    /// What its failure means for the run.
    pub on_failure: OnFailure,
    /// It is done only after a failure, once all others have ended.
    pub for_failure: bool,
}

/// A step for each item of a list.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ForEach {
    /// Items under way at a time.
    pub max_parallel: usize,
    /// How many may fail.
    pub allow_failures: AllowFailures,
}

/// How many items of a `foreach` may fail.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AllowFailures {
    /// So many.
    Number(usize),
    /// This part of them, 0 to 1.
    Part(f64),
}

impl AllowFailures {
    /// Of `n` items.
    pub fn of(self, n: usize) -> usize {
        match self {
            AllowFailures::Number(most) => most,
            // Rounded down: 10 % of 9 is none.
            AllowFailures::Part(part) => (part.clamp(0.0, 1.0) * n as f64 + 1e-9) as usize,
        }
    }
}

/// One item of a `foreach`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Item {
    /// Name of the step with `foreach`.
    pub of: String,
    /// Its place in the list, from 0.
    pub index: usize,
    /// What it is.
    pub value: Json,
}

/// What a step's failure (or its end by its time limit) means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// Steps that need it are skipped, others go on, the run fails.
    #[default]
    Fail,
    /// It counts as done: steps that need it go on, the run does not fail for it.
    Continue,
    /// As `fail`, and everything else of the run is stopped.
    Stop,
}

/// What happens to a rule's runs when the CSC leaves ENABLED.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnDisable {
    /// They go on to their end.
    #[default]
    Finish,
    /// They are cancelled.
    Cancel,
}

/// Which steps come first where several wait for a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// After all others.
    Low,
    /// In the order in which they came.
    #[default]
    Normal,
    /// Before normal ones.
    High,
    /// Before all others.
    Urgent,
}

/// Repeats after errors classed as transient.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// Attempts in all; 1 is no repeat.
    pub attempts: u32,
    /// Wait before the second attempt; doubled for each further one.
    pub backoff: Duration,
    /// Random part of the wait, 0 to 1.
    pub jitter: f64,
    /// Kinds of error that are repeated; empty is every transient one.
    pub retry_on: Vec<String>,
}

impl Default for Retry {
    fn default() -> Retry {
        Retry { attempts: 1, backoff: Duration::from_secs(5), jitter: 0.1, retry_on: Vec::new() }
    }
}

/// The alarm of a rule, as far as others need to know it.
#[derive(Debug, Clone, PartialEq)]
pub struct AlarmPlan {
    /// Name: that of the rule.
    pub name: String,
    /// Delays and escalation.
    pub config: AlarmConfig,
    /// True if it is judged on the results of a run.
    pub fed_by_tasks: bool,
    /// Lower severities count as none.
    pub from: FromLevel,
}

/// What a run knows: kept with it in the journal.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunContext {
    /// The rule's inputs by name at the moment of the trigger: a value, or an object for a whole message. Missing or
    /// stale ones are left out.
    pub inputs: Map<String, Json>,
    /// Send stamp of each input, TAI seconds.
    pub stamps: BTreeMap<String, f64>,
    /// Parameters, with overrides.
    pub parameters: Map<String, Json>,
    /// Step name to `{"state": "succeeded", "result": {..}}`, filled as the run goes.
    pub tasks: Map<String, Json>,
    /// `kind` (each, every, manual, edge), `occurrence`, `at` (TAI s), `input` for `each`.
    pub trigger: Map<String, Json>,
    /// When the run was triggered.
    pub at: Tai,
    /// The item of `foreach` that is being filled in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<Item>,
}
