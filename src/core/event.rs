//! What the core wants published: the events of design section 4, field by field in the order of the XML.

use salobj::{Tai, Value};
use serde_json::Value as Json;

use super::rule_table::RuleState;
use crate::alarms::AlarmSnapshot;
use crate::rules::Explanation;

/// InfluxDB 1 refuses longer strings.
pub const MAX_TEXT_BYTES: usize = 60_000;

/// Something to publish.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// `alarm`.
    Alarm(AlarmSnapshot),
    /// `notification`.
    Notification(Notification),
    /// `rule`.
    Rule(RuleEvent),
    /// `task`.
    Task(TaskEvent),
    /// `result`.
    Result(ResultEvent),
    /// `explanation`.
    Explanation(Box<Explanation>),
    /// `summary`.
    Summary(Summary),
}

/// A message to the operators, which has no state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notification {
    /// The alarm that speaks.
    pub alarm_name: String,
    /// Importance, a Python logging level.
    pub level: i64,
    /// One line.
    pub summary: String,
    /// More text.
    pub details: String,
}

/// State of one rule.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleEvent {
    /// Name.
    pub rule_name: String,
    /// State.
    pub state: RuleState,
    /// Hash of the definition.
    pub revision: String,
    /// `configuration` or `command`.
    pub origin: String,
    /// What it is for.
    pub description: String,
    /// YAML text.
    pub definition: String,
    /// When it last started a run, TAI s, 0 for never.
    pub timestamp_last_triggered: f64,
    /// What is wrong with it, or was unknown when it was last evaluated.
    pub error: String,
}

/// State of a run (`step` empty) or of one of its steps.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TaskEvent {
    /// Id of the run.
    pub task_id: String,
    /// Rule.
    pub rule_name: String,
    /// Step, empty for the run itself.
    pub step: String,
    /// `TaskState`.
    pub state: i64,
    /// Attempt, from 1; 0 for the run itself.
    pub attempt: i64,
    /// Backend of the step.
    pub backend: String,
    /// Id that the other side gave the work.
    pub backend_id: String,
    /// The run that this one repeats.
    pub parent_task_id: String,
    /// TAI s, 0 if not yet.
    pub timestamp_started: f64,
    /// TAI s, 0 if not yet.
    pub timestamp_finished: f64,
    /// `AlarmSeverity` that the run's result was judged.
    pub severity: i64,
    /// Result of the step, JSON.
    pub result: String,
    /// Where the report is.
    pub report_url: String,
    /// Why it did not succeed.
    pub error: String,
}

/// Result of a finished run.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultEvent {
    /// Id of the run.
    pub task_id: String,
    /// Rule.
    pub rule_name: String,
    /// `AlarmSeverity` that it was judged.
    pub severity: i64,
    /// The value judged, NaN if there is none.
    pub value: f64,
    /// Results of all steps, JSON.
    pub result: Json,
    /// When the run ended: the time of its point in the EFD, also if it is told twice. Not a field of the event.
    pub finished: Tai,
}

/// Counts for an overview.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Rules that are evaluated.
    pub rules_enabled: i64,
    /// Rules that are not.
    pub rules_disabled: i64,
    /// Rules in quarantine.
    pub rules_failed: i64,
    /// Alarms by present severity.
    pub alarms_warning: i64,
    /// Alarms by present severity.
    pub alarms_serious: i64,
    /// Alarms by present severity.
    pub alarms_critical: i64,
    /// Alarms that wait for an acknowledgement.
    pub alarms_unacknowledged: i64,
    /// Runs under way.
    pub tasks_executing: i64,
    /// Runs that wait for their turn.
    pub tasks_queued: i64,
    /// Runs that ended well since the process began.
    pub tasks_finished: i64,
    /// Runs that ended otherwise.
    pub tasks_failed: i64,
    /// Ids of the runs under way, newest first.
    pub executing_ids: String,
    /// Ids of the last 20 finished, newest first.
    pub finished_ids: String,
}

impl Event {
    /// SAL name of the event without `logevent_`.
    pub fn topic(&self) -> &'static str {
        match self {
            Self::Alarm(_) => "alarm",
            Self::Notification(_) => "notification",
            Self::Rule(_) => "rule",
            Self::Task(_) => "task",
            Self::Result(_) => "result",
            Self::Explanation(_) => "explanation",
            Self::Summary(_) => "summary",
        }
    }

    /// Field names and values.
    pub fn fields(&self) -> Vec<(&'static str, Value)> {
        match self {
            Self::Alarm(e) => e.fields(),
            Self::Notification(e) => vec![
                ("alarmName", text(&e.alarm_name)),
                ("level", Value::Int(e.level)),
                ("summary", text(&e.summary)),
                ("details", text(&e.details)),
            ],
            Self::Rule(e) => vec![
                ("ruleName", text(&e.rule_name)),
                ("state", Value::Int(e.state as i64)),
                ("revision", text(&e.revision)),
                ("origin", text(&e.origin)),
                ("description", text(&e.description)),
                ("definition", text(&e.definition)),
                ("timestampLastTriggered", Value::Double(e.timestamp_last_triggered)),
                ("error", text(&e.error)),
            ],
            Self::Task(e) => vec![
                ("taskId", text(&e.task_id)),
                ("ruleName", text(&e.rule_name)),
                ("step", text(&e.step)),
                ("state", Value::Int(e.state)),
                ("attempt", Value::Int(e.attempt)),
                ("backend", text(&e.backend)),
                ("backendId", text(&e.backend_id)),
                ("parentTaskId", text(&e.parent_task_id)),
                ("timestampStarted", Value::Double(e.timestamp_started)),
                ("timestampFinished", Value::Double(e.timestamp_finished)),
                ("severity", Value::Int(e.severity)),
                ("result", text(&e.result)),
                ("reportUrl", text(&e.report_url)),
                ("error", text(&e.error)),
            ],
            Self::Result(e) => vec![
                ("taskId", text(&e.task_id)),
                ("ruleName", text(&e.rule_name)),
                ("severity", Value::Int(e.severity)),
                ("value", Value::Double(e.value)),
                ("result", text(&e.result.to_string())),
            ],
            Self::Explanation(e) => vec![
                ("ruleName", text(&e.rule)),
                ("decision", text(&e.decision)),
                ("explanation", text(&e.json(MAX_TEXT_BYTES))),
            ],
            Self::Summary(e) => e.fields(),
        }
    }
}

impl Summary {
    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("rulesEnabled", Value::Int(self.rules_enabled)),
            ("rulesDisabled", Value::Int(self.rules_disabled)),
            ("rulesFailed", Value::Int(self.rules_failed)),
            ("alarmsWarning", Value::Int(self.alarms_warning)),
            ("alarmsSerious", Value::Int(self.alarms_serious)),
            ("alarmsCritical", Value::Int(self.alarms_critical)),
            ("alarmsUnacknowledged", Value::Int(self.alarms_unacknowledged)),
            ("tasksExecuting", Value::Int(self.tasks_executing)),
            ("tasksQueued", Value::Int(self.tasks_queued)),
            ("tasksFinished", Value::Int(self.tasks_finished)),
            ("tasksFailed", Value::Int(self.tasks_failed)),
            ("executingIds", text(&self.executing_ids)),
            ("finishedIds", text(&self.finished_ids)),
        ]
    }
}

fn text(full: &str) -> Value {
    Value::Text(cut(full).as_ref().into())
}

/// Text of at most [`MAX_TEXT_BYTES`], with a mark where it was cut.
pub fn cut(full: &str) -> std::borrow::Cow<'_, str> {
    if full.len() <= MAX_TEXT_BYTES {
        return full.into();
    }
    let mark = format!(" ... [cut, {} bytes in all]", full.len());
    let mut end = MAX_TEXT_BYTES - mark.len();
    while !full.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{mark}", &full[..end]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_at_a_character_and_says_so() {
        let long = "\u{e9}".repeat(40_000);
        let cut = cut(&long);
        assert!(cut.len() <= MAX_TEXT_BYTES);
        assert!(cut.ends_with("[cut, 80000 bytes in all]"));
        assert_eq!(super::cut("short"), "short");
    }
}
