//! The `tests:` of a rule as data: messages with their times, answers of steps, actions, expectations.
//! `core::selftest` runs them.

use std::collections::BTreeMap;

use salobj::{Tai, Value};
use serde_json::Value as Json;

use super::expr::prepass::parse_duration;
use super::flow::FieldNeed;
use crate::alarms::Severity;

/// One test of a rule. Spans are byte offset and length in the rule file.
#[derive(Debug, Clone, PartialEq)]
pub struct TestCase {
    /// Name.
    pub name: String,
    /// Where the name is.
    pub span: (usize, usize),
    /// Messages by topic and instance.
    pub topics: Vec<TestTopic>,
    /// What steps answer that are no built-in analyses, for each time that they are asked; the last one counts for all
    /// further times. Never empty.
    pub results: BTreeMap<String, Vec<TestResult>>,
    /// What operators do, in the order of the file.
    pub actions: Vec<TestAction>,
    /// What must be so, in the order of the file.
    pub expect: Vec<Expectation>,
}

impl TestCase {
    /// When the series of every test begin: 2026-01-01 at 00:00 UTC, a multiple of every sensible period.
    pub fn start() -> Tai {
        Tai::from_utc_iso("2026-01-01T00:00:00").expect("it is a date")
    }
}

/// The messages of one instance of a topic, by increasing time.
#[derive(Debug, Clone, PartialEq)]
pub struct TestTopic {
    /// Component, e.g. `ESS`.
    pub component: String,
    /// SAL name, e.g. `airFlow`.
    pub sal_name: String,
    /// `salIndex`; 0 for a component without.
    pub sal_index: i64,
    /// The messages.
    pub messages: Vec<TestMessage>,
}

/// One message of a test.
#[derive(Debug, Clone, PartialEq)]
pub struct TestMessage {
    /// Seconds since the start of the test.
    pub at_s: f64,
    /// What it has: whole fields, or the parts that the test speaks of. The rest is missing.
    pub fields: BTreeMap<FieldNeed, Value>,
}

/// What a step answers in a test.
#[derive(Debug, Clone, PartialEq)]
pub struct TestResult {
    /// Seconds until it answers.
    pub delay_s: f64,
    /// The answer.
    pub answer: TestAnswer,
}

impl TestResult {
    /// Reads `fail`, `timeout`, `{fail: text}`, `{timeout: true}` or the fields of a result; `delay` may be among them.
    ///
    /// # Errors
    /// What is wrong, and what to write instead.
    pub fn read(told: Json) -> Result<TestResult, (&'static str, Option<&'static str>)> {
        const FAILS: &str = "the test lets it fail";
        let mut delay_s = 0.0;
        let answer = match told {
            Json::String(word) if word == "fail" => TestAnswer::Fail(FAILS.to_owned()),
            Json::String(word) if word == "timeout" => TestAnswer::Timeout,
            Json::Object(mut fields) => {
                if let Some(delay) = fields.shift_remove("delay") {
                    let seconds = delay.as_str().and_then(parse_duration);
                    delay_s = seconds.ok_or(("`delay` must be a duration, e.g. 10s", None))?;
                }
                match (fields.get("fail"), fields.get("timeout")) {
                    (Some(Json::String(text)), _) => TestAnswer::Fail(text.clone()),
                    (Some(_), _) => TestAnswer::Fail(FAILS.to_owned()),
                    (None, Some(_)) => TestAnswer::Timeout,
                    (None, None) => TestAnswer::Result(Json::Object(fields)),
                }
            }
            _ => {
                let help = "write fail, timeout, or the fields of the result: {exit_code: 0}";
                return Err(("this is no answer of a task", Some(help)));
            }
        };
        Ok(TestResult { delay_s, answer })
    }
}

/// See [`TestResult`].
#[derive(Debug, Clone, PartialEq)]
pub enum TestAnswer {
    /// It succeeds with this result.
    Result(Json),
    /// It fails, with this text.
    Fail(String),
    /// It never answers.
    Timeout,
}

/// Something that an operator does: one of the commands.
#[derive(Debug, Clone, PartialEq)]
pub struct TestAction {
    /// Seconds since the start of the test.
    pub at_s: f64,
    /// Where it is.
    pub span: (usize, usize),
    /// For a rule with `by`: which key is meant.
    pub key: Option<String>,
    /// What is commanded.
    pub command: TestCommand,
    /// The command must fail with a text that has this in it.
    pub refused: Option<String>,
}

/// See [`TestAction`].
#[derive(Debug, Clone, PartialEq)]
pub enum TestCommand {
    /// `trigger` with these parameters.
    Trigger(serde_json::Map<String, Json>),
    /// `acknowledge` at this severity.
    Acknowledge(Severity),
    /// `cancelTask` of the newest run, for this reason.
    Cancel(String),
}

/// One expectation. Each value has the place where it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    /// Seconds since the start of the test.
    pub at_s: f64,
    /// Where it is.
    pub span: (usize, usize),
    /// For a rule with `by`: of which key the rest is expected.
    pub key: Option<String>,
    /// How many keys the rule has.
    pub keys: Option<Expected<u64>>,
    /// Severity of the alarm.
    pub severity: Option<Severity>,
    /// Highest severity since the alarm was nominal or acknowledged.
    pub max_severity: Option<Severity>,
    /// Whether the alarm is acknowledged.
    pub acknowledged: Option<Expected<bool>>,
    /// The alarm's reason has this in it.
    pub reason: Option<Expected<String>>,
    /// How many runs were started by then.
    pub runs: Option<Expected<u64>>,
    /// How many occurrences were skipped by then.
    pub skipped: Option<Expected<u64>>,
    /// States of steps in the newest run, in lower case.
    pub tasks: BTreeMap<String, Expected<String>>,
    /// The rule's error has this in it; empty: there is none.
    pub error: Option<Expected<String>>,
}

/// A value that is expected, and where that is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected<T> {
    /// The value.
    pub value: T,
    /// Its place in the rule file.
    pub span: (usize, usize),
}
