//! The tests inside rule files, run in virtual time: the same [`Core`](super::Core), the same analyses, the same alarms
//! as live, only that samples come from the test's series and nothing is sent to anybody. Pure.
//!
//! ```text
//!  test case: messages ──┐
//!             actions ───┼─ in the order of time ─► Core ──► Dispatch ──► analyses, computed for real
//!    the core's deadlines ┘                          ▲             └────► `results` of the test
//!                                                    └── step reports ─────┘
//!             expect ──► compared when everything up to that time has happened ──► Failure: place, expected, seen
//! ```
//!
//! The series begins at [`TestCase::start`]. What happens at one instant happens in this order: deadlines, messages, ends of steps,
//! actions, expectations. Messages arrive when they are sent. A test has its rule for itself.
//!
//! * `answers`: how steps end
//! * `messages`: the test's messages in the order of their times
//! * `play`: one test
//! * `expect`: what was expected, and what is seen

mod answers;
mod expect;
mod messages;
mod play;
#[cfg(test)]
mod tests;

pub(crate) use answers::{End, given};

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::rules::{Diagnostic, Rule, SchemaSource, SourceFile, TestCase};

/// A rule file with its compiled rules.
#[derive(Debug, Clone)]
pub struct TestFile {
    /// The file, for the places of failures.
    pub source: SourceFile,
    /// Its rules, as `compile` gave them.
    pub rules: Vec<Arc<Rule>>,
}

/// What came of one test.
#[derive(Debug, Clone, Serialize)]
pub struct TestOutcome {
    /// Name of the file.
    pub file: String,
    /// Line of the test, from 1.
    pub line: usize,
    /// Rule.
    pub rule: String,
    /// Name of the test.
    pub test: String,
    /// True if everything was as expected.
    pub passed: bool,
    /// Virtual time that it took, seconds.
    pub virtual_s: f64,
    /// Expectations that were compared.
    pub checks: usize,
    /// What was otherwise.
    pub failures: Vec<Failure>,
}

/// An expectation that was not met, or a reason why the test cannot be run.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// Line of the expectation, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// Seconds since the start of the series.
    pub at_s: Option<f64>,
    /// What was looked at: `severity`, `runs`; empty if the test could not go on.
    pub what: String,
    /// What was expected.
    pub expected: String,
    /// What is seen.
    pub seen: String,
    /// The same in a sentence.
    pub message: String,
    /// What went before, to understand it.
    pub history: Vec<String>,
    /// The place, to be shown with a caret.
    #[serde(skip)]
    pub diagnostic: Diagnostic,
}

/// One test to be run.
#[derive(Clone, Copy)]
struct Job<'a> {
    file: &'a TestFile,
    rule: &'a Arc<Rule>,
    test: &'a TestCase,
}

/// Runs every test of these files on all cores; the outcomes are in the order of the files.
pub fn run_tests(files: &[TestFile], schemas: &dyn SchemaSource) -> Vec<TestOutcome> {
    let jobs: Vec<Job<'_>> = jobs(files).collect();
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(jobs.len());
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, TestOutcome)>> = Mutex::new(Vec::with_capacity(jobs.len()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(job) = jobs.get(at) else { break };
                    let outcome = job.run(schemas);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((at, outcome));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Runs a test of a rule up to a time (seconds since its start; without one, to its last expectation), to look at what
/// the core then knows.
///
/// # Errors
/// The rule has no such test.
pub fn core_at(
    file: &TestFile,
    rule: &Arc<Rule>,
    test: Option<&str>,
    at_s: Option<f64>,
    schemas: &dyn SchemaSource,
) -> Result<(super::Core, salobj::Tai), String> {
    let found = match test {
        Some(name) => rule.tests.iter().find(|t| t.name == name),
        None => rule.tests.first(),
    };
    let Some(found) = found else {
        let names: Vec<&str> = rule.tests.iter().map(|t| t.name.as_str()).collect();
        return Err(match names.as_slice() {
            [] => format!("rule {} has no tests, so there is no past to explain", rule.name),
            names => format!("rule {} has no such test; its tests: {}", rule.name, names.join(", ")),
        });
    };
    let job = Job { file, rule, test: found };
    let mut outcome = job.outcome();
    Ok(play::play_until(&job, schemas, at_s, &mut outcome))
}

fn jobs(files: &[TestFile]) -> impl Iterator<Item = Job<'_>> {
    files
        .iter()
        .flat_map(|file| file.rules.iter().map(move |rule| (file, rule)))
        .flat_map(|(file, rule)| rule.tests.iter().map(move |test| Job { file, rule, test }))
}

impl Job<'_> {
    fn diagnostic(&self, span: (usize, usize), message: impl Into<String>) -> Diagnostic {
        let text: Arc<str> = self.file.source.text.as_str().into();
        let mut diagnostic = Diagnostic::at(&self.file.source, &text, span, message);
        diagnostic.rule = Some(self.rule.name.clone());
        diagnostic
    }

    fn run(&self, schemas: &dyn SchemaSource) -> TestOutcome {
        let mut outcome = self.outcome();
        play::play(self, schemas, &mut outcome);
        outcome.passed = outcome.failures.is_empty();
        outcome
    }

    /// Nothing found yet.
    fn outcome(&self) -> TestOutcome {
        let place = self.diagnostic(self.test.span, "");
        TestOutcome {
            file: self.file.source.name.clone(),
            line: place.line,
            rule: self.rule.name.clone(),
            test: self.test.name.clone(),
            passed: true,
            virtual_s: 0.0,
            checks: 0,
            failures: Vec::new(),
        }
    }
}

/// Seconds as a rule file writes them: `1h2m`, `90s` as `1m30s`, `0.5s`.
pub(crate) fn moment(seconds: f64) -> String {
    let whole = seconds.abs().floor();
    let (hours, minutes) = ((whole / 3600.0).floor(), (whole % 3600.0 / 60.0).floor());
    let rest = seconds.abs() - hours * 3600.0 - minutes * 60.0;
    let mut text = if seconds < 0.0 { "-".to_owned() } else { String::new() };
    for (number, unit) in [(hours, "h"), (minutes, "m")] {
        if number > 0.0 {
            text += &format!("{number}{unit}");
        }
    }
    if rest > 1e-6 || hours + minutes == 0.0 {
        text += &format!("{}s", (rest * 1000.0).round() / 1000.0);
    }
    text
}
