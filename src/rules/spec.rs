//! A rule file as written: what its keys are, with the place of every value. `config_schema/rules.yaml` is made of these
//! types; `read` fills them.

#[cfg(test)]
use schemars::JsonSchema;

use super::model::{Budget, CatchUp, FromLevel, Mode, OnDisable, Overlap, Priority};
pub(crate) use super::spec_task::{RetrySpec, TaskSpec, Used};
pub(crate) use super::test_spec::{ActionSpec, ExpectSpec, TestSpec};
use super::yaml::{Key, Node, Span};
use crate::alarms::Direction;

/// A value and its place.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

/// A mapping with names chosen by the author, in the order of the file.
#[derive(Debug, Clone)]
pub(crate) struct Table<T>(pub(crate) Vec<(Key, T)>);

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table(Vec::new())
    }
}

/// Seconds, written as `30s`, `10m`, `1h30m`, `500ms`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Seconds(pub(crate) f64);

/// A CEL expression.
#[derive(Debug, Clone)]
pub(crate) struct Cel(pub(crate) String);

/// A value of any form.
#[derive(Debug, Clone)]
pub(crate) struct Free(pub(crate) Node);

/// One rule.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(JsonSchema))]
#[cfg_attr(test, schemars(deny_unknown_fields))]
pub(crate) struct RuleSpec {
    /// Name, unique in the Catcher; also that of its alarm.
    pub(crate) name: At<String>,
    /// What it is for.
    pub(crate) description: Option<At<String>>,
    /// `live`, or `shadow`: evaluated and recorded, nothing published, nothing started.
    pub(crate) mode: Option<Mode>,
    /// Parameters of a template; `$(name)` stands for them anywhere in the rule. The value is the default, `null` none.
    #[cfg_attr(test, schemars(with = "Option<std::collections::BTreeMap<String, serde_json::Value>>"))]
    #[expect(
        dead_code,
        reason = "templates are expanded before the rule is read; this is here for the schema"
    )]
    pub(crate) template: Option<()>,
    /// One rule for each of these sets of parameters.
    #[cfg_attr(test, schemars(with = "Option<Vec<std::collections::BTreeMap<String, serde_json::Value>>>"))]
    #[expect(dead_code, reason = "as `template`")]
    pub(crate) instances: Option<()>,
    /// Values with defaults that `trigger` may override.
    #[cfg_attr(test, schemars(with = "std::collections::BTreeMap<String, serde_json::Value>"))]
    pub(crate) parameters: serde_json::Map<String, serde_json::Value>,
    /// The key: `input.field`, or any expression on the message of one input; one for each input that has it. There is
    /// an alarm, and a state, for each key. Inputs that it does not read are the same for all keys.
    #[cfg_attr(test, schemars(with = "Option<CelOrMany>"))]
    pub(crate) by: Vec<At<Cel>>,
    /// With `by`: a key goes when it was silent for so long (a day, and only if its alarm is at none).
    pub(crate) retire: Option<At<Seconds>>,
    /// What it reads.
    pub(crate) inputs: Table<InputSpec>,
    /// What starts a run.
    pub(crate) trigger: Option<TriggerSpec>,
    /// The steps of a run.
    pub(crate) tasks: Table<TaskSpec>,
    /// Longest time for a run (30 m).
    pub(crate) run_timeout: Option<At<Seconds>>,
    /// The alarm.
    pub(crate) alarm: Option<AlarmSpec>,
    /// Reports.
    pub(crate) report: Option<ReportSpec>,
    /// Which steps come first where several wait for a backend (normal).
    pub(crate) priority: Option<Priority>,
    /// What happens to its runs when the Catcher leaves ENABLED (finish).
    pub(crate) on_disable: Option<OnDisable>,
    /// Limits against floods.
    #[cfg_attr(test, schemars(with = "Option<BudgetSchema>"))]
    pub(crate) budget: Option<Budget>,
    /// Tests: series in, expectations out.
    pub(crate) tests: Vec<TestSpec>,
    #[cfg_attr(test, schemars(skip))]
    pub(crate) span: Span,
}

#[cfg_attr(test, derive(JsonSchema))]
#[cfg_attr(test, schemars(untagged))]
#[expect(dead_code, reason = "only for the schema")]
enum CelOrMany {
    One(Cel),
    Many(Vec<Cel>),
}

/// Limits against floods; above them the rule is quarantined.
#[cfg_attr(test, derive(JsonSchema))]
#[cfg_attr(test, schemars(deny_unknown_fields))]
#[expect(dead_code, reason = "only for the schema")]
struct BudgetSchema {
    /// Runs in any hour (1000).
    runs_per_hour: Option<u32>,
    /// Steps that command another component, in any minute (60).
    commands_per_minute: Option<u32>,
    /// Evaluations in any second, by the stamps of what the rule reads (10000).
    evaluations_per_second: Option<u32>,
    /// Longest time of one evaluation (100ms).
    evaluation_time: Option<Seconds>,
}

/// One input.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(JsonSchema))]
#[cfg_attr(test, schemars(deny_unknown_fields))]
pub(crate) struct InputSpec {
    /// `Component[:index].tel_x`, `.evt_x`, `.cmd_x` or `.ackcmd`; `*` as the index for all.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub(crate) topic: At<String>,
    /// Instead of `topic`: a topic of the bus that is not SAL, with a registered schema.
    pub(crate) kafka: Option<At<String>>,
    /// With `kafka`: the field that has the stamps (the record's own timestamp).
    pub(crate) stamp: Option<At<String>>,
    /// Instead of `topic`: what the EFD has of some fields, `{topic, field or fields, range}`; or a query of your own,
    /// `{flux or influxql or both, columns, range}`.
    pub(crate) efd: Option<Free>,
    /// With `efd`: how often it is asked (60s).
    pub(crate) every: Option<At<Seconds>>,
    /// Instead of `topic`: the last result of a step of another rule, `Rule.step`.
    pub(crate) task: Option<At<String>>,
    /// Instead of `topic`: the alarm of another rule.
    pub(crate) alarm: Option<At<String>>,
    /// A field, an element `a[3]`, a slice `a[0:4]`; without it the input is the whole message.
    pub(crate) field: Option<At<String>>,
    /// Some fields of the message.
    pub(crate) fields: Option<Vec<At<String>>>,
    /// Condition on the message itself: its fields by name.
    pub(crate) filter: Option<At<Cel>>,
    /// Expression on the message itself, whose value is a key: the newest (or a window) of each key is kept, and
    /// `input[key]` looks it up.
    pub(crate) by: Option<At<Cel>>,
    /// Value before the first message.
    pub(crate) initial: Option<Free>,
    /// Older values count as missing.
    pub(crate) max_age: Option<At<Seconds>>,
    /// Sliding window: a duration, or a number of values.
    #[cfg_attr(test, schemars(with = "Option<WindowSchema>"))]
    pub(crate) window: Option<At<WindowSpec>>,
    /// What is made of the window: mean, median, min, max, ptp, std, rms, sum, count, first, last, rate, slope, quantile(q).
    pub(crate) reduce: Option<At<String>>,
    /// Fewer values are unknown (1).
    pub(crate) min_count: Option<At<u64>>,
}

/// Length of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum WindowSpec {
    Seconds(f64),
    Count(u64),
}

#[cfg_attr(test, derive(JsonSchema))]
#[cfg_attr(test, schemars(untagged))]
#[expect(dead_code, reason = "only for the schema")]
enum WindowSchema {
    Duration(Seconds),
    Values(u64),
}

/// What starts a run.
#[derive(Debug, Clone, Default)]
#[cfg_attr(test, derive(JsonSchema))]
#[cfg_attr(test, schemars(deny_unknown_fields))]
pub(crate) struct TriggerSpec {
    /// Some occasion is written, even if it is wrong.
    #[cfg_attr(test, schemars(skip))]
    pub(crate) written: bool,
    /// Each message of this input, or of one of these.
    #[cfg_attr(test, schemars(with = "Option<super::schema_file::OneOrMany>"))]
    pub(crate) each: Option<Vec<At<String>>>,
    /// Multiples of this period since 1970 UTC.
    pub(crate) every: Option<At<Seconds>>,
    /// By the clock: second, minute, hour, day of month, month, day of week; the second may be left out.
    pub(crate) cron: Option<At<String>>,
    /// The clock's time zone, e.g. `America/Santiago` (UTC).
    pub(crate) timezone: Option<At<String>>,
    /// How long after its time an occurrence of `every` or `cron` is looked at (0).
    pub(crate) offset: Option<At<Seconds>>,
    /// What happens to times of `every` or `cron` that came while the Catcher was down or not ENABLED (skip).
    #[cfg_attr(test, schemars(with = "Option<CatchUp>"))]
    pub(crate) catch_up: Option<At<CatchUp>>,
    /// Only by the command `trigger`.
    pub(crate) manual: Option<At<bool>>,
    /// Only if this is true; alone: the moment it becomes true.
    pub(crate) when: Option<At<Cel>>,
    /// Shortest time between two runs (none).
    pub(crate) cooldown: Option<At<Seconds>>,
    /// Older events are recorded as skipped (10 m).
    pub(crate) max_event_age: Option<At<Seconds>>,
    /// Runs of this rule at a time (1).
    pub(crate) max_concurrent: Option<At<u64>>,
    /// What happens to an occurrence while as many are going (queue).
    pub(crate) overlap: Option<Overlap>,
    #[cfg_attr(test, schemars(skip))]
    pub(crate) span: Span,
}

/// The alarm.
#[derive(Debug, Clone, Default)]
#[cfg_attr(test, derive(JsonSchema))]
#[cfg_attr(test, schemars(deny_unknown_fields))]
pub(crate) struct AlarmSpec {
    /// The value judged by `levels`.
    pub(crate) value: Option<At<Cel>>,
    /// With `value`: limits; without: a condition for each severity.
    #[cfg_attr(test, schemars(with = "Option<LevelsSchema>"))]
    pub(crate) levels: Option<LevelsSpec>,
    /// On which side of the limits it gets worse (above).
    pub(crate) direction: Option<Direction>,
    /// How far the value must come back before a severity is left (0).
    pub(crate) hysteresis: Option<At<f64>>,
    /// An expression giving 1 to 4, or `AlarmSeverity.X`.
    pub(crate) severity: Option<At<Cel>>,
    /// Several judgements, the worst counts.
    pub(crate) conditions: Vec<ConditionSpec>,
    /// Whose reasons are told: those of the worst, or all (worst).
    pub(crate) join: Option<Join>,
    /// Between reasons ("; ").
    pub(crate) separator: Option<At<String>>,
    /// When the alarm is judged at all.
    pub(crate) gate: Option<GateSpec>,
    /// What happens when `when` of the trigger is known to be false.
    pub(crate) on_idle: Option<At<OnIdle>>,
    /// Text template; `value` is the value judged.
    pub(crate) reason: Option<At<String>>,
    /// Lower severities count as none.
    #[cfg_attr(test, schemars(with = "Option<FromSchema>"))]
    pub(crate) from: Option<FromLevel>,
    /// Whom to call, if a critical alarm is not acknowledged.
    pub(crate) escalate: Option<super::spec_alarm::EscalateSpec>,
    /// A stale alarm is acknowledged after this.
    pub(crate) auto_acknowledge: Option<At<Seconds>>,
    /// An acknowledged alarm becomes unacknowledged after this.
    pub(crate) auto_unacknowledge: Option<At<Seconds>>,
    /// A severity above the one that is muted ends the mute (false).
    pub(crate) lift_mute: Option<At<bool>>,
    /// An alarm that comes back to critical is escalated after the whole delay again (false).
    pub(crate) rearm_escalation: Option<At<bool>>,
    /// Whether the severity follows the condition, or stays until it is acknowledged (level).
    pub(crate) latch: Option<At<crate::alarms::Latch>>,
    /// Alarms of other rules that may be the cause of this one: while one of them is active, nobody is told of this one and
    /// nobody is called.
    #[cfg_attr(test, schemars(with = "Option<super::spec_alarm::InhibitsSchema>"))]
    pub(crate) inhibit_by: Vec<super::spec_alarm::InhibitSpec>,
    /// Most messages about this rule's alarms in a minute; 0 for no limit (the site's `notices_per_minute_of_rule`).
    pub(crate) notices_per_minute: Option<At<u64>>,
    #[cfg_attr(test, schemars(skip))]
    pub(crate) span: Span,
}

/// Limits or conditions, by severity.
#[derive(Debug, Clone)]
pub(crate) struct LevelsSpec {
    pub(crate) entries: Vec<(crate::alarms::Severity, Node)>,
    pub(crate) span: Span,
}

#[cfg_attr(test, derive(JsonSchema))]
#[cfg_attr(test, schemars(deny_unknown_fields))]
#[expect(dead_code, reason = "only for the schema")]
struct LevelsSchema {
    /// Limit or condition of WARNING.
    warning: Option<Cel>,
    /// Limit or condition of SERIOUS.
    serious: Option<Cel>,
    /// Limit or condition of CRITICAL.
    critical: Option<Cel>,
}

/// One of several judgements.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(JsonSchema))]
#[cfg_attr(test, schemars(deny_unknown_fields))]
pub(crate) struct ConditionSpec {
    /// As in `alarm`.
    pub(crate) value: Option<At<Cel>>,
    /// As in `alarm`.
    #[cfg_attr(test, schemars(with = "Option<LevelsSchema>"))]
    pub(crate) levels: Option<LevelsSpec>,
    /// As in `alarm`.
    pub(crate) direction: Option<Direction>,
    /// As in `alarm`.
    pub(crate) hysteresis: Option<At<f64>>,
    /// As in `alarm`.
    pub(crate) severity: Option<At<Cel>>,
    /// It must last so long before it counts.
    pub(crate) hold: Option<At<Seconds>>,
    /// As in `alarm`.
    pub(crate) reason: Option<At<String>>,
    #[cfg_attr(test, schemars(skip))]
    pub(crate) span: Span,
}

/// See [`AlarmSpec::gate`].
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(JsonSchema))]
#[cfg_attr(test, schemars(deny_unknown_fields))]
pub(crate) struct GateSpec {
    /// The alarm is judged while this is true.
    pub(crate) when: Option<At<Cel>>,
    /// While it is false: the alarm goes to none, or stays as it is (clear).
    pub(crate) otherwise: Option<OnIdle>,
}

/// To none, or as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnIdle {
    /// To none.
    Clear,
    /// As it is.
    Hold,
}

/// Whose reasons are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(crate) enum Join {
    /// Those of the worst severity.
    #[default]
    Worst,
    /// All that are not none.
    All,
}

/// Reports of runs.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(JsonSchema))]
#[cfg_attr(test, schemars(deny_unknown_fields))]
pub(crate) struct ReportSpec {
    /// From which severity on a run gets one (never).
    #[cfg_attr(test, schemars(with = "Option<FromSchema>"))]
    pub(crate) from: Option<FromLevel>,
}

#[cfg_attr(test, derive(JsonSchema))]
#[cfg_attr(test, schemars(rename_all = "snake_case"))]
#[expect(dead_code, reason = "only for the schema")]
enum FromSchema {
    None,
    Warning,
    Serious,
    Critical,
    Always,
    Never,
}
