//! The `tests:` of a rule as written.

#[cfg(test)]
use schemars::JsonSchema;

use super::spec::{At, Free, Seconds, Table};
use super::yaml::Span;

/// A test of the rule.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(JsonSchema))]
#[cfg_attr(test, schemars(deny_unknown_fields))]
pub(crate) struct TestSpec {
    /// Name.
    pub(crate) name: At<String>,
    /// Input name to series: `8x90` (ninety times 8), `8+0.1x90` (ninety values in steps of 0.1), `_` missing, `nan`,
    /// `@20s` the period; or a list of messages `{at: 10s, field: value, ...}`.
    pub(crate) series: Table<Free>,
    /// What steps that are no built-in analyses answer: their result, or `fail` or `timeout`; `{delay: 30s, ...}` comes
    /// later; a list has an answer for each time.
    pub(crate) results: Table<Free>,
    /// What operators do, and when.
    pub(crate) actions: Vec<ActionSpec>,
    /// What must be so, and when.
    pub(crate) expect: Vec<ExpectSpec>,
}

/// One expectation.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(JsonSchema))]
#[cfg_attr(test, schemars(deny_unknown_fields))]
pub(crate) struct ExpectSpec {
    /// Time since the start of the series.
    pub(crate) at: At<Seconds>,
    /// For a rule with `by`: of which key the rest is expected.
    pub(crate) key: Option<At<String>>,
    /// How many keys the rule has.
    pub(crate) keys: Option<At<u64>>,
    /// Severity of the alarm at that time.
    #[cfg_attr(test, schemars(with = "Option<crate::alarms::Severity>"))]
    pub(crate) severity: Option<crate::alarms::Severity>,
    /// Highest severity since the alarm was nominal or acknowledged.
    #[cfg_attr(test, schemars(with = "Option<crate::alarms::Severity>"))]
    pub(crate) max_severity: Option<crate::alarms::Severity>,
    /// Whether the alarm is acknowledged.
    pub(crate) acknowledged: Option<At<bool>>,
    /// The reason has this in it.
    pub(crate) reason: Option<At<String>>,
    /// How many runs were started by then.
    pub(crate) runs: Option<At<u64>>,
    /// How many occurrences were skipped by then.
    pub(crate) skipped: Option<At<u64>>,
    /// State of a step in the newest run.
    #[cfg_attr(test, schemars(with = "Option<std::collections::BTreeMap<String, String>>"))]
    pub(crate) tasks: Table<At<String>>,
    /// The rule's error has this in it; an empty text is no error.
    pub(crate) error: Option<At<String>>,
    #[cfg_attr(test, schemars(skip))]
    pub(crate) span: Span,
}

/// Something that an operator does in a test: one of the commands.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(JsonSchema))]
#[cfg_attr(test, schemars(deny_unknown_fields))]
pub(crate) struct ActionSpec {
    /// Time since the start of the series.
    pub(crate) at: At<Seconds>,
    /// For a rule with `by`: which key is meant.
    pub(crate) key: Option<At<String>>,
    /// Runs the rule by hand, with these parameters.
    pub(crate) trigger: Option<Free>,
    /// Acknowledges the alarm at this severity.
    #[cfg_attr(test, schemars(with = "Option<crate::alarms::Severity>"))]
    pub(crate) acknowledge: Option<crate::alarms::Severity>,
    /// Cancels the newest run; the text is the reason.
    pub(crate) cancel: Option<At<String>>,
    /// The command must fail, and its text have this in it.
    pub(crate) refused: Option<At<String>>,
    #[cfg_attr(test, schemars(skip))]
    pub(crate) span: Span,
}
