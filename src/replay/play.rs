//! Free replay: any rules on the records of a recording; what a live Catcher that was enabled at the begin would have done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use salobj::Tai;

use super::Answers;
use super::archive::{ItemRef, RecordRef};
use super::bound::Bound;
use super::queries::{self, Answer, Queries, QueryRows};
use super::series::Analyses;
use super::transition::{Collector, Transition};
use crate::core::selftest::{End, given};
use crate::core::{Core, Input, Output, Settings};
use crate::intake::SeriesNeed;
use crate::rules::{Mode, Rule, SchemaSource};
use crate::tasks::call::{StepCall, StepError, StepId, StepReport, StepReportKind};

/// Deadlines at one instant after which something is wrong with the rule engine.
const RESTLESS: usize = 100_000;

/// Transitions that one replay may give; a rule that makes more is of no use, and memory is bounded.
const MOST: usize = 2_000_000;

/// Nobody can be asked what a rule asks the EFD.
const NOBODY: &str = "this replay has no EFD to ask, and the recording has no answer of one";

/// Which part of a recording is replayed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// The rules are enabled here; what came before is history.
    pub from: Tai,
    /// Nothing after this; the end of the recording if it is infinite.
    pub to: Tai,
}

/// What went through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Counts {
    /// Records of the recording.
    pub records: u64,
    /// Those that the rules read.
    pub samples: u64,
    /// Those that could not be read.
    pub errors: u64,
    /// Times that time went on between two records.
    pub ticks: u64,
}

/// Why a replay cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// A rule wants to be looked at again and again at one time.
    #[error("the rules never come to rest at {0}")]
    Restless(String),
    /// Too much happens.
    #[error("more than {MOST} transitions until {0}: give a shorter range, or fewer rules")]
    TooMany(String),
}

/// See the module's documentation.
pub struct Replay<'a> {
    core: Core,
    schemas: &'a dyn SchemaSource,
    bound: Bound,
    analyses: Analyses,
    answers: Answers,
    /// Steps whose answer comes later.
    ends: BTreeMap<u64, (StepId, End)>,
    next_end: u64,
    queries: Queries,
    /// Queries of which the recording has answers.
    told: BTreeSet<String>,
    span: Span,
    enabled: bool,
    now: Tai,
    collector: Collector,
    transitions: Vec<Transition>,
    warnings: Vec<String>,
    counts: Counts,
    out: Vec<Output>,
}

impl<'a> Replay<'a> {
    /// Rules before the first record. A rule in shadow is replayed as if it were live: a replay carries nothing out.
    pub fn new(
        rules: Vec<Arc<Rule>>,
        settings: Settings,
        answers: Answers,
        schemas: &'a dyn SchemaSource,
        span: Span,
    ) -> Replay<'a> {
        let rules: Vec<Arc<Rule>> = rules.into_iter().map(live).collect();
        let needs = SeriesNeed::of_rules(rules.iter().map(Arc::as_ref));
        let mut replay = Replay {
            core: Core::new(span.from),
            schemas,
            bound: Bound::default(),
            analyses: Analyses::new(needs),
            answers,
            ends: BTreeMap::new(),
            next_end: 0,
            queries: Queries::default(),
            told: BTreeSet::new(),
            span,
            enabled: false,
            now: span.from,
            collector: Collector::default(),
            transitions: Vec::new(),
            warnings: Vec::new(),
            counts: Counts::default(),
            out: Vec::new(),
        };
        replay.step(Input::Configure { rules, settings });
        replay.bound.bind(replay.core.subscriptions(), replay.analyses.needs());
        replay
    }

    /// What the EFD had for the `efd` inputs of the rules, in place of what a recorded live run was answered. Before the
    /// first record.
    pub fn answer_queries(&mut self, rows: &[Arc<QueryRows>]) {
        self.queries = Queries::new(rows);
    }

    /// Takes the next item of the recording; false once it lies behind the end. Only records count here, and what the EFD answered a live
    /// run.
    ///
    /// # Errors
    /// See [`ReplayError`].
    #[inline]
    pub fn item(&mut self, item: &ItemRef<'_>) -> Result<bool, ReplayError> {
        match item {
            ItemRef::Record(record) => return self.record(record),
            ItemRef::Session => {
                self.bound.session();
                self.analyses.interrupted();
            }
            ItemRef::Schema { id, text } => self.bound.schema(*id, text),
            ItemRef::Topic(decl) => self.bound.topic(decl.clone()),
            ItemRef::Gap { at, lost } => {
                self.warn(format!("{}: the recording lacks {lost} items", at.utc_iso()));
                self.analyses.interrupted();
            }
            ItemRef::Control { at, json } => return self.recorded_answer(*at, json),
            ItemRef::Tick { .. } | ItemRef::Transition { .. } => {}
        }
        Ok(true)
    }

    fn recorded_answer(&mut self, at: Tai, json: &str) -> Result<bool, ReplayError> {
        if at.0 > self.span.to.0 {
            return Ok(false);
        }
        if self.queries.is_empty()
            && self.core.queries().next().is_some()
            && let Some((query, answer)) = queries::recorded(json)
        {
            self.told.insert(query.clone());
            if at.0 >= self.span.from.0 {
                self.enable();
                self.advance(at)?;
            }
            self.answered(query, answer);
        }
        Ok(true)
    }

    fn answered(&mut self, query: String, answer: Answer) {
        self.step(match answer {
            Ok(columns) => Input::Table { query, columns },
            Err(reason) => Input::TableFailed { query, reason },
        });
    }

    fn record(&mut self, record: &RecordRef<'_>) -> Result<bool, ReplayError> {
        if record.received.0 > self.span.to.0 {
            return Ok(false);
        }
        self.counts.records += 1;
        if !self.bound.wants(record.topic) {
            return Ok(true);
        }
        let live = record.live && record.received.0 >= self.span.from.0;
        if live {
            self.enable();
            self.advance(record.received)?;
        }
        let taken = match self.bound.take(record, self.now) {
            Ok(Some(taken)) => taken,
            Ok(None) => return Ok(true),
            Err(reason) => {
                self.counts.errors += 1;
                if self.bound.count_error(record.topic) {
                    let name = self.bound.name(record.topic).to_owned();
                    self.warn(format!("record {} of {name} cannot be read: {reason}", record.offset));
                }
                return Ok(true);
            }
        };
        let row = taken.row;
        let mut which = None;
        if let Some(sample) = &taken.sample {
            self.counts.samples += 1;
            let input = if live { Input::Sample(sample) } else { Input::History(sample) };
            self.core.step(input, self.now, &mut self.out);
        }
        if let Some((store, sal_index, sent, cells)) = row {
            self.analyses.push(store, (record.partition, record.offset), sal_index, sent, cells);
            which = self.analyses.any_waiting().then_some(store);
        }
        if !self.out.is_empty() {
            self.work_off();
        }
        if which.is_some() {
            self.end_analyses(which);
        }
        if self.transitions.len() > MOST {
            return Err(ReplayError::TooMany(self.now.utc_iso()));
        }
        Ok(true)
    }

    /// The begin has come: what was fed so far is history.
    pub fn enable(&mut self) {
        if !std::mem::replace(&mut self.enabled, true) {
            self.now = Tai(self.now.0.max(self.span.from.0));
            self.step(Input::Enable);
            self.queries.begin(self.now);
            let asked = |text: &&str| !self.queries.has(text) && !self.told.contains(*text);
            let nobody: Vec<String> = self.core.queries().filter(asked).map(str::to_owned).collect();
            for query in nobody {
                self.answered(query, Err(NOBODY.to_owned()));
            }
        }
    }

    /// Goes on to a time: everything that is due until then happens at its own time.
    ///
    /// # Errors
    /// See [`ReplayError`].
    #[inline]
    pub fn advance(&mut self, to: Tai) -> Result<(), ReplayError> {
        let mut restless = 0;
        loop {
            let core = self.core.next_deadline().map_or(f64::INFINITY, |at| at.0);
            let others = if self.ends.is_empty() && !self.analyses.any_waiting() {
                f64::INFINITY
            } else {
                self.next_end_at()
            };
            let asked = self.queries.next_due();
            let due = core.min(others).min(asked);
            if due > to.0 || due == f64::INFINITY {
                break;
            }
            restless = if due > self.now.0 { 0 } else { restless + 1 };
            if restless > RESTLESS {
                return Err(ReplayError::Restless(self.now.utc_iso()));
            }
            self.now = Tai(due.max(self.now.0));
            if asked <= core.min(others) {
                for (query, answer) in self.queries.due(self.now) {
                    self.answered(query, answer);
                }
            } else if core <= others {
                self.counts.ticks += 1;
                self.core.step(Input::Tick, self.now, &mut self.out);
                if !self.out.is_empty() {
                    self.work_off();
                }
            } else {
                self.end_due();
            }
        }
        self.now = Tai(to.0.max(self.now.0));
        Ok(())
    }

    /// The recording is over: time goes on to `end` (the end of the span, if that is known), without records.
    ///
    /// # Errors
    /// See [`ReplayError`].
    pub fn finish(&mut self, end: Tai) -> Result<(), ReplayError> {
        self.enable();
        let end = if self.span.to.0.is_finite() { self.span.to } else { end };
        if end.0.is_finite() { self.advance(end) } else { Ok(()) }
    }

    /// What happened so far.
    pub fn transitions(&self) -> &[Transition] {
        &self.transitions
    }

    /// What happened so far, taken out.
    pub fn take_transitions(&mut self) -> Vec<Transition> {
        std::mem::take(&mut self.transitions)
    }

    /// What went through.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What was odd, as sentences.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The time of the replay.
    pub fn now(&self) -> Tai {
        self.now
    }

    /// The core, to look at.
    pub fn core(&self) -> &Core {
        &self.core
    }

    fn warn(&mut self, text: String) {
        if self.warnings.len() < 100 {
            self.warnings.push(text);
        }
    }

    fn next_end_at(&self) -> f64 {
        let later = self.ends.values().map(|(_, end)| end.at.0).fold(f64::INFINITY, f64::min);
        later.min(self.analyses.next_deadline().map_or(f64::INFINITY, |at| at.0))
    }

    fn end_due(&mut self) {
        let due: Vec<u64> =
            self.ends.iter().filter(|(_, (_, end))| end.at.0 <= self.now.0).map(|(key, _)| *key).collect();
        for key in due {
            if let Some((id, end)) = self.ends.remove(&key) {
                self.report(id, StepReportKind::Ended(end.outcome));
            }
        }
        self.end_analyses(None);
    }

    fn end_analyses(&mut self, which: Option<usize>) {
        for (id, outcome) in self.analyses.ended(self.now, which) {
            self.report(id, StepReportKind::Ended(outcome));
        }
    }

    fn report(&mut self, id: StepId, kind: StepReportKind) {
        self.step(Input::Report(StepReport { id, kind }));
    }

    fn step(&mut self, input: Input<'_>) {
        self.core.step(input, self.now, &mut self.out);
        self.work_off();
    }

    fn work_off(&mut self) {
        let mut out = std::mem::take(&mut self.out);
        for output in out.drain(..) {
            self.collector.take(&output, &self.core, self.now, &mut self.transitions);
            match output {
                Output::Dispatch(call) | Output::Resume(call) => self.dispatch(&call),
                Output::Abort { id, stop } => {
                    let key = self.ends.iter().find(|(_, (other, _))| *other == id).map(|(key, _)| *key);
                    let here = key.is_some_and(|key| self.ends.remove(&key).is_some());
                    if self.analyses.abort(&id) || here {
                        self.report(id, StepReportKind::Ended(Err(stop.error(""))));
                    }
                }
                Output::WriteReport { run_id } => {
                    let url = Ok(format!("replay:{run_id}"));
                    self.step(Input::ReportWritten { run_id, url });
                }
                Output::Warn(text) => self.warn(format!("{}: {text}", self.now.utc_iso())),
                Output::Publish(_)
                | Output::Record(_)
                | Output::History(_)
                | Output::Answer { .. }
                | Output::Notify(_)
                | Output::Note(_)
                | Output::Incident(_)
                | Output::Resubscribe => {}
            }
        }
        if self.out.is_empty() {
            self.out = out;
        }
    }

    fn dispatch(&mut self, call: &StepCall) {
        self.report(call.id.clone(), StepReportKind::Started);
        let told = self.answers.next(&call.rule, call.id.base()).map(|told| given(told, call, self.now));
        let outcome = match told {
            Some(end) if end.at.0 > self.now.0 => {
                self.ends.insert(self.next_end, (call.id.clone(), end));
                self.next_end += 1;
                return;
            }
            Some(end) => end.outcome,
            None if call.backend == "analysis" => match self.analyses.begin(call, self.schemas, self.now) {
                Some(outcome) => outcome,
                None => return,
            },
            None => Err(StepError::unknown(format!("a replay does not carry out {}", call.backend))),
        };
        self.report(call.id.clone(), StepReportKind::Ended(outcome));
    }
}

/// The rule itself, live: what is shared is left as it is.
fn live(mut rule: Arc<Rule>) -> Arc<Rule> {
    if rule.mode == Mode::Shadow
        && let Some(own) = Arc::get_mut(&mut rule)
    {
        own.mode = Mode::Live;
    }
    rule
}
