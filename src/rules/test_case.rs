//! The `tests:` of a rule as data: messages with their times, answers of steps, expectations. Who runs them feeds the
//! messages to an engine in virtual time.

use std::collections::BTreeMap;

use salobj::Value;

use crate::alarms::Severity;

/// One test of a rule.
#[derive(Debug, Clone, PartialEq)]
pub struct TestCase {
    /// Name.
    pub name: String,
    /// Line in the rule file, from 1.
    pub line: usize,
    /// Messages by topic.
    pub topics: Vec<TestTopic>,
    /// What steps answer that are no built-in analyses.
    pub results: BTreeMap<String, TestResult>,
    /// What must be so, in the order of the file.
    pub expect: Vec<Expectation>,
}

/// The messages of one instance of a topic, by increasing time.
#[derive(Debug, Clone, PartialEq)]
pub struct TestTopic {
    /// Component, e.g. `ESS`.
    pub component: String,
    /// SAL name, e.g. `airFlow`.
    pub sal_name: String,
    /// `salIndex`.
    pub sal_index: i64,
    /// The messages.
    pub messages: Vec<TestMessage>,
}

/// One message of a test; fields that are not named are missing.
#[derive(Debug, Clone, PartialEq)]
pub struct TestMessage {
    /// Seconds since the start of the test.
    pub at_s: f64,
    /// Fields by name.
    pub fields: BTreeMap<String, Value>,
}

/// What a step answers in a test.
#[derive(Debug, Clone, PartialEq)]
pub struct TestResult {
    /// Seconds until it answers.
    pub delay_s: f64,
    /// The answer.
    pub answer: TestAnswer,
}

/// See [`TestResult`].
#[derive(Debug, Clone, PartialEq)]
pub enum TestAnswer {
    /// It succeeds with this result.
    Result(serde_json::Value),
    /// It fails.
    Fail,
    /// It never answers.
    Timeout,
}

/// One expectation.
#[derive(Debug, Clone, PartialEq)]
pub struct Expectation {
    /// Seconds since the start of the test.
    pub at_s: f64,
    /// Line in the rule file, from 1.
    pub line: usize,
    /// Severity of the alarm.
    pub severity: Option<Severity>,
    /// The alarm's reason has this in it.
    pub reason: Option<String>,
    /// How many runs were started by then.
    pub runs: Option<u64>,
    /// How many occurrences were skipped by then.
    pub skipped: Option<u64>,
    /// States of steps in the newest run, in lower case.
    pub tasks: BTreeMap<String, String>,
    /// The rule's error has this in it; empty: there is none.
    pub error: Option<String>,
}
