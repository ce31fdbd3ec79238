//! One test from its first message to its last expectation.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use salobj::{Tai, Value};
use serde_json::Value as Json;

use super::answers::{Answers, End, NoAnswer};
use super::messages::{Message, messages};
use super::{Failure, Job, TestOutcome, expect, moment};
use crate::alarms::{AlarmSnapshot, Severity};
use crate::core::{Answer, Command, Core, Event, Input, Output, Sender, Settings};
use crate::rules::{Expectation, Sample, SchemaSource, TestAction, TestCase, TestCommand, TopicId};
use crate::tasks::call::{StepCall, StepError, StepId, StepReport, StepReportKind};
use crate::tasks::run::Run;
use crate::tasks::state::TaskState;

/// Deadlines at one instant after which something is wrong with the rule engine.
const RESTLESS: usize = 10_000;
/// How a note that a run began ends.
const BEGINS: &str = "begins";
/// Transitions shown with a failure.
const SHOWN: usize = 8;
/// Two times closer than this are the same instant, seconds: less than any period, more than the rounding of a `Tai`.
const SAME_S: f64 = 1e-5;

/// What there is to be compared with expectations.
pub(super) struct Seen<'a> {
    pub(super) alarm: Option<AlarmSnapshot>,
    /// Keys of a rule with `by`.
    pub(super) keys: usize,
    pub(super) runs: usize,
    pub(super) skipped: usize,
    pub(super) newest: Option<&'a Run>,
    pub(super) error: String,
}

/// Runs a test; what it found goes to `outcome`.
pub(super) fn play(job: &Job<'_>, schemas: &dyn SchemaSource, outcome: &mut TestOutcome) {
    play_until(job, schemas, None, outcome);
}

/// Runs a test up to a time, seconds since its start, or to its last expectation; the core as it then is, and when.
pub(super) fn play_until(
    job: &Job<'_>,
    schemas: &dyn SchemaSource,
    until_s: Option<f64>,
    outcome: &mut TestOutcome,
) -> (Core, Tai) {
    let messages = messages(job.test);
    let mut player = Player {
        job,
        schemas,
        core: Core::new(TestCase::start()),
        topics: BTreeMap::new(),
        answers: Answers::of(job.test),
        messages: &messages,
        now: TestCase::start(),
        ends: BTreeMap::new(),
        acted: 0,
        out: Vec::new(),
        answer: None,
        started: Vec::new(),
        skipped: BTreeSet::new(),
        severity: Severity::None,
        history: VecDeque::new(),
        outcome,
    };
    player.play(until_s);
    player.outcome.virtual_s = player.now - TestCase::start();
    (player.core, player.now)
}

struct Player<'a> {
    job: &'a Job<'a>,
    schemas: &'a dyn SchemaSource,
    core: Core,
    topics: BTreeMap<(String, String), TopicId>,
    answers: Answers<'a>,
    messages: &'a [Message<'a>],
    now: Tai,
    /// Steps that have not ended, by order of dispatch.
    ends: BTreeMap<usize, (StepId, End)>,
    acted: i64,
    out: Vec<Output>,
    answer: Option<Answer>,
    /// Ids of the runs that began.
    started: Vec<String>,
    skipped: BTreeSet<String>,
    severity: Severity,
    history: VecDeque<String>,
    outcome: &'a mut TestOutcome,
}

/// What happens next.
enum Next<'a> {
    Tick,
    Message(&'a Message<'a>),
    End(usize),
    Action(&'a TestAction),
    Expect(&'a Expectation),
    Stop,
}

impl<'a> Player<'a> {
    fn play(&mut self, until_s: Option<f64>) {
        let rules = vec![self.job.rule.clone()];
        self.core.play_links();
        self.step(Input::Configure { rules, settings: Settings::default() });
        self.step(Input::Enable);
        let topics = &self.core.subscriptions().topics;
        self.topics = (0u32..)
            .zip(topics)
            .map(|(i, t)| ((t.component.clone(), t.sal_name.clone()), TopicId(i)))
            .collect();
        let test = self.job.test;
        let mut messages = self.messages.iter().peekable();
        let mut actions: Vec<&TestAction> = test.actions.iter().collect();
        actions.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
        let mut actions = actions.into_iter().peekable();
        let mut expects: Vec<&Expectation> = test.expect.iter().collect();
        expects.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
        let mut expects = expects.into_iter().peekable();
        let mut restless = 0;
        loop {
            let (end, place) = match (until_s, expects.peek().copied()) {
                (Some(_), Some(expect)) if until_s.is_some_and(|until| expect.at_s <= until) => {
                    ((Some(at(expect.at_s)), Next::Expect(expect)), expect.span)
                }
                (Some(until), _) => ((Some(at(until)), Next::Stop), test.span),
                (None, Some(expect)) => ((Some(at(expect.at_s)), Next::Expect(expect)), expect.span),
                (None, None) => return,
            };
            let mut first = (self.core.next_deadline(), Next::Tick);
            let mut offer = |at: Option<Tai>, next: Next<'a>| {
                if at.is_some_and(|at| first.0.is_none_or(|before| at.0 < before.0 - SAME_S)) {
                    first = (at, next);
                }
            };
            if let Some(message) = messages.peek().copied() {
                offer(Some(message.at), Next::Message(message));
            }
            let ended = self.ends.iter().min_by(|a, b| a.1.1.at.0.total_cmp(&b.1.1.at.0));
            if let Some((key, (_, end))) = ended {
                offer(Some(end.at), Next::End(*key));
            }
            if let Some(action) = actions.peek().copied() {
                offer(Some(at(action.at_s)), Next::Action(action));
            }
            offer(end.0, end.1);
            let (Some(due), next) = first else { return };
            restless = if due.0 > self.now.0 { 0 } else { restless + 1 };
            if restless > RESTLESS {
                let text =
                    "the rule never comes to rest: it wants to be looked at again and again at one time";
                self.fail(place, text.to_owned());
                return;
            }
            self.now = Tai(due.0.max(self.now.0));
            match next {
                Next::Tick => self.step(Input::Tick),
                Next::Message(message) => {
                    messages.next();
                    self.message(message);
                }
                Next::End(key) => {
                    if let Some((id, end)) = self.ends.remove(&key) {
                        self.report(id, StepReportKind::Ended(end.outcome));
                    }
                }
                Next::Action(action) => {
                    actions.next();
                    self.act(action);
                }
                Next::Expect(expect) => {
                    expects.next();
                    self.compare(expect);
                }
                Next::Stop => return,
            }
        }
    }

    fn message(&mut self, message: &Message<'_>) {
        let key = (message.topic.component.clone(), message.topic.sal_name.clone());
        // A topic that only analyses read is no input of the rule.
        let Some(topic) = self.topics.get(&key).copied() else { return };
        let needs = &self.core.subscriptions().topics[topic.0 as usize];
        if needs.indices.as_ref().is_some_and(|wanted| !wanted.contains(&message.topic.sal_index)) {
            return;
        }
        let cells: Vec<Value> = needs.fields.iter().map(|need| message.cell(need)).collect();
        let sample = Sample {
            topic,
            sal_index: message.topic.sal_index,
            sent: message.at,
            received: message.at,
            partition: 0,
            offset: message.offset,
            cells: &cells,
        };
        self.step(Input::Sample(&sample));
    }

    fn act(&mut self, action: &TestAction) {
        // The alarm of a key has the name by which it is triggered by hand, too.
        let alarm = self.job.rule.alarm_name(action.key.as_deref());
        let rule = alarm.clone();
        let command = match &action.command {
            TestCommand::Trigger(parameters) => {
                let parameters = Json::Object(parameters.clone()).to_string();
                let seq_num = self.acted + 1;
                let sender = Sender { identity: "test".to_owned(), origin: 1, seq_num };
                Command::Trigger { rule, parameters, sender }
            }
            TestCommand::Acknowledge(severity) => {
                Command::Acknowledge { alarm, severity: (*severity).into(), user: "test".to_owned() }
            }
            TestCommand::Cancel(reason) => {
                let task_id =
                    self.of_key(action.key.as_deref()).last().map_or_else(String::new, |id| (*id).clone());
                Command::CancelTask { task_id, reason: reason.clone() }
            }
        };
        self.acted += 1;
        self.step(Input::Command { ticket: 0, command });
        let answer = self.answer.take().unwrap_or_else(|| Err("there was no answer".to_owned()));
        match (answer, &action.refused) {
            (Ok(_), None) => {}
            (Err(text), None) => self.fail(action.span, format!("refused: {text}")),
            (Err(text), Some(wanted)) if text.contains(wanted) => {}
            (Err(text), Some(wanted)) => {
                self.otherwise(action.span, "refused", format!("a text with \"{wanted}\""), text);
            }
            (Ok(text), Some(_)) => {
                self.otherwise(action.span, "refused", "a refusal".to_owned(), format!("done: {text}"));
            }
        }
    }

    fn report(&mut self, id: StepId, kind: StepReportKind) {
        self.step(Input::Report(StepReport { id, kind }));
    }

    /// One step of the core, and everything that it wants done.
    fn step(&mut self, input: Input<'_>) {
        let mut out = std::mem::take(&mut self.out);
        self.core.step(input, self.now, &mut out);
        for output in out.drain(..) {
            match output {
                Output::Dispatch(call) | Output::Resume(call) => self.dispatch(&call),
                Output::Abort { id, stop } => {
                    let going = self.ends.values_mut().find(|(other, _)| *other == id);
                    if let Some((_, end)) = going {
                        *end = End { at: self.now, outcome: Err(stop.error("")) };
                    }
                }
                Output::WriteReport { run_id } => {
                    let url = Ok(format!("test:{run_id}"));
                    self.step(Input::ReportWritten { run_id, url });
                }
                Output::Publish(event) => self.note(&event),
                Output::Answer { answer, .. } => self.answer = Some(answer),
                Output::Warn(text) => self.remember(text),
                Output::Record(_)
                | Output::History(_)
                | Output::Resubscribe
                | Output::Notify(_)
                | Output::Note(_)
                | Output::Incident(_) => {}
            }
        }
        self.out = out;
    }

    fn dispatch(&mut self, call: &StepCall) {
        let end = match self.answers.end(call, self.messages, self.schemas, self.now) {
            Ok(end) => end,
            Err(NoAnswer) => {
                let step = &call.id.step;
                let text = format!(
                    "step \"{step}\" ({}) is started at {} and the test has no answer for it: add \
                     `results: {{{step}: ...}}`, or `fail`, or `timeout`",
                    call.backend,
                    moment(self.now - TestCase::start())
                );
                self.fail(self.job.test.span, text);
                End { at: self.now, outcome: Err(StepError::permanent("the test has no answer")) }
            }
        };
        let key = self.ends.last_key_value().map_or(0, |(key, _)| key + 1);
        self.ends.insert(key, (call.id.clone(), end));
        self.report(call.id.clone(), StepReportKind::Started);
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Task(task) if task.step.is_empty() => {
                if task.state == TaskState::Skipped.value() {
                    if self.skipped.insert(task.task_id.clone()) {
                        self.remember(format!("an occurrence is skipped: {}", task.error));
                    }
                } else if task.timestamp_started > 0.0 && !self.started.contains(&task.task_id) {
                    self.started.push(task.task_id.clone());
                    // Of runs that follow each other the last is enough.
                    if self.history.back().is_some_and(|text| text.ends_with(BEGINS)) {
                        self.history.pop_back();
                    }
                    self.remember(format!("run {} {BEGINS}", self.started.len()));
                }
            }
            Event::Task(task) if task.state >= TaskState::Failed.value() && !task.error.is_empty() => {
                self.remember(format!("step \"{}\" ends: {}", task.step, task.error));
            }
            Event::Alarm(alarm) if alarm.severity != self.severity => {
                self.severity = alarm.severity;
                self.remember(format!("{} {}", alarm.severity, alarm.reason));
            }
            Event::Rule(rule) if !rule.error.is_empty() => self.remember(format!("unknown: {}", rule.error)),
            _ => {}
        }
    }

    fn remember(&mut self, text: String) {
        let text = format!("{} {text}", moment(self.now - TestCase::start()));
        if self.history.back() != Some(&text) {
            self.history.push_back(text);
        }
        if self.history.len() > SHOWN {
            self.history.pop_front();
        }
    }

    fn compare(&mut self, expect: &Expectation) {
        let rule = &self.job.rule;
        let key = expect.key.as_deref();
        let runs = self.of_key(key);
        let skipped = self.skipped.iter().filter(|id| self.has_key(id, key)).count();
        let seen = Seen {
            alarm: self.core.alarms().get(&rule.alarm_name(key)),
            keys: self.core.keys(&rule.name),
            runs: runs.len(),
            skipped,
            newest: runs.last().and_then(|id| self.core.runs().get(id)),
            error: self.core.rules().get(&rule.name).map(|entry| entry.error()).unwrap_or_default(),
        };
        let (checks, otherwise) = expect::compare(expect, &seen);
        self.outcome.checks += checks;
        for one in otherwise {
            self.otherwise(one.span, &one.what, one.expected, one.seen);
        }
    }

    /// The runs that were started, of a key if one is given.
    fn of_key(&self, key: Option<&str>) -> Vec<&String> {
        self.started.iter().filter(|id| self.has_key(id, key)).collect()
    }

    fn has_key(&self, run_id: &str, key: Option<&str>) -> bool {
        let of_run = |id: &str| self.core.runs().get(id).and_then(|run| run.header.key.as_deref());
        key.is_none() || of_run(run_id) == key
    }

    fn otherwise(&mut self, span: (usize, usize), what: &str, expected: String, seen: String) {
        let at_s = self.now - TestCase::start();
        let message = format!("at {}: {what} should be {expected}, but is {seen}", moment(at_s));
        self.push(span, what, expected, seen, message);
    }

    fn fail(&mut self, span: (usize, usize), message: String) {
        self.push(span, "", String::new(), String::new(), message);
    }

    fn push(&mut self, span: (usize, usize), what: &str, expected: String, seen: String, message: String) {
        let history: Vec<String> = self.history.iter().cloned().collect();
        let mut diagnostic = self.job.diagnostic(span, message.clone());
        if !history.is_empty() {
            diagnostic.help = Some(format!("before that:\n{}", history.join("\n")));
        }
        self.outcome.failures.push(Failure {
            line: diagnostic.line,
            column: diagnostic.column,
            at_s: Some(self.now - TestCase::start()),
            what: what.to_owned(),
            expected,
            seen,
            message,
            history,
            diagnostic,
        });
    }
}

/// A time of the test.
fn at(seconds: f64) -> Tai {
    Tai(TestCase::start().0 + seconds)
}
