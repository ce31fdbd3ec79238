//! One rule's state: what it knows, and how it is made. Messages ([`super::message`]), time ([`super::deadline`]) and people
//! ([`super::switch`]) change it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;

use salobj::{Tai, Value};

use super::RuleStatus;
use super::calm::Calm;
use super::explain::Last;
use super::family::{Family, MemberKey};
use super::fire::Queued;
use super::guard::Pace;
use super::judge::CondState;
use super::schedule::Schedule;
use crate::alarms::Severity;
use crate::rules::expr::{Env, Mark, Memory, NOTHING};
use crate::rules::flow::Effect;
use crate::rules::keyed::{Tables, tables};
use crate::rules::model::{Occasion, Rule, RunContext};
use crate::rules::windowed::Windowed;

/// A rule and what it remembers. What every message touches comes first and lies together.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct RuleState {
    pub(super) enabled: bool,
    /// It still takes samples of the past.
    pub(super) filling: bool,
    /// Its saved state may have changed since it was last looked at.
    pub(super) touched: bool,
    /// It has anything that time changes.
    pub(super) timed: bool,
    /// Its evaluation broke down: its state cannot be relied on, and is left alone until it is enabled.
    pub(super) broken: bool,
    pub(super) has_windows: bool,
    /// The alarm was judged, is at none, and that was said: with a value of `calm` it stays so.
    pub(super) well: bool,
    pub(super) cells: Vec<Value>,
    pub(super) marks: Vec<Mark>,
    pub(super) calm: Option<Calm>,
    /// Bits of the inputs of `each`, of those that an edge's `when` reads, of those that the alarm reads.
    pub(super) each: u64,
    pub(super) edge_reads: u64,
    pub(super) alarm_reads: u64,
    pub(super) rule: Arc<Rule>,
    pub(super) memory: Vec<Memory>,
    pub(super) windows: Vec<Option<Windowed>>,
    /// The inputs with `by`.
    pub(super) tables: Tables,
    /// For a rule with `by`: its keys; all else but what they share is theirs.
    pub(super) family: Option<Box<Family>>,
    /// For one of these: its key.
    pub(super) key: Option<Box<MemberKey>>,
    /// What `when` was when it was last known.
    pub(super) when_last: Option<bool>,
    pub(super) conditions: Vec<CondState>,
    /// The severity and reason that were last said.
    pub(super) said: Option<(Severity, String)>,
    /// Why `when` is unknown.
    pub(super) when_error: Option<String>,
    /// Why the alarm is unknown, or a part of it.
    pub(super) alarm_error: Option<String>,
    /// What was told of these and of a quarantine.
    pub(super) error: Option<String>,
    /// The run whose results the alarm was last judged on.
    pub(super) fed: Fed,
    /// It came while the others were going, and is not looked at before its past has been read.
    pub(super) waiting: bool,
    /// While it is filling: the newest record of each input and partition, so that one that is read again counts once.
    pub(super) filled: Vec<(u16, i32, i64)>,
    pub(super) pace: Pace,
    /// Its next deadline, and its earliest entry in the queue of deadlines, which may be before it.
    pub(super) scheduled: f64,
    pub(super) queued: f64,
    pub(super) schedule: Schedule,
    /// Apart, so that what every message touches lies close together.
    pub(super) work: Box<Work>,
    pub(super) quarantined: Option<String>,
}

/// What an evaluation sees of a rule's state.
pub(super) struct Known<'a> {
    pub(super) cells: &'a [Value],
    pub(super) marks: &'a [Mark],
    pub(super) tables: &'a Tables,
    pub(super) memory: &'a [Memory],
}

/// The run whose results the alarm was last judged on, and its context.
pub(super) type Fed = Option<Box<(String, RunContext)>>;

impl<'a> Known<'a> {
    #[inline]
    pub(super) fn env(self, rule: &'a Rule, fed: &'a Fed, now: f64) -> Env<'a> {
        Env {
            cells: self.cells,
            marks: self.marks,
            tables: self.tables,
            memory: self.memory,
            now,
            parameters: &rule.parameters,
            tasks: fed.as_ref().map_or(&*NOTHING, |f| &f.1.tasks),
            trigger: &NOTHING,
            locals: RefCell::default(),
            why: Cell::new(None),
        }
    }
}

/// The runs of a rule: going, waiting, counted.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) running: Vec<String>,
    pub(super) queue: VecDeque<Queued>,
    pub(super) recent: VecDeque<String>,
    pub(super) last_run: f64,
    /// What came of the last occasion, to explain it.
    pub(super) last: Option<Last>,
    pub(super) runs: VecDeque<f64>,
    pub(super) commands: VecDeque<f64>,
}

impl RuleState {
    pub(super) fn new(rule: Arc<Rule>) -> RuleState {
        let code = &rule.code;
        let mut cells = vec![Value::Null; code.cells.len()];
        let mut marks = vec![Mark::NEVER; code.inputs.len()];
        for (mark, input) in marks.iter_mut().zip(&code.inputs) {
            for (cell, value) in &input.initial {
                cells[usize::from(*cell)] = value.clone();
                mark.fresh_until = f64::INFINITY;
            }
        }
        // A keyed input has its windows in its table.
        let windows: Vec<Option<Windowed>> = code
            .inputs
            .iter()
            .map(|i| i.window.as_ref().filter(|_| i.by.is_none()).map(Windowed::new))
            .collect();
        let tables = tables(code);
        let has_windows = windows.iter().any(Option::is_some);
        let conditions =
            code.alarm.iter().flat_map(|a| &a.conditions).map(|_| CondState::default()).collect();
        let each = match &rule.trigger.on {
            Occasion::Each(inputs) => inputs.iter().fold(0, |bits, i| bits | 1 << i),
            Occasion::Every(_) | Occasion::Cron(_) | Occasion::Manual | Occasion::Edge => 0,
        };
        let holds = code.alarm.iter().flat_map(|a| &a.conditions).any(|c| c.hold > 0.0);
        let works = rule.workflow.is_some();
        let every = matches!(rule.trigger.on, Occasion::Every(_) | Occasion::Cron(_));
        RuleState {
            enabled: true,
            touched: true,
            timed: code.clocked
                || code.expires
                || has_windows
                || !tables.is_empty()
                || holds
                || every
                || !code.stateful.is_empty(),
            each: if works { each } else { 0 },
            edge_reads: if works && rule.trigger.on == Occasion::Edge { code.when_reads } else { 0 },
            alarm_reads: code.alarm.as_ref().map_or(0, |a| a.reads),
            has_windows,
            well: false,
            // One that starts runs has more to do than to judge.
            calm: if works && (each | code.when_reads) != 0 || !tables.is_empty() {
                None
            } else {
                Calm::of(code)
            },
            cells,
            marks,
            memory: vec![Memory::default(); code.stateful.len()],
            windows,
            tables,
            family: None,
            key: None,
            when_last: None,
            conditions,
            said: None,
            when_error: None,
            alarm_error: None,
            error: None,
            fed: None,
            filling: true,
            waiting: false,
            filled: Vec::new(),
            pace: Pace::default(),
            broken: false,
            scheduled: f64::INFINITY,
            queued: f64::INFINITY,
            schedule: Schedule::default(),
            work: Box::new(Work { last_run: f64::NEG_INFINITY, ..Work::default() }),
            quarantined: None,
            rule,
        }
    }

    /// The state of a rule, with the keys of one with `by`.
    pub(super) fn root(rule: Arc<Rule>) -> RuleState {
        let family = rule.code.by.as_ref().map(|_| Box::default());
        RuleState { family, ..RuleState::new(rule) }
    }

    /// The same definition, read again.
    pub(super) fn take_rule(&mut self, rule: Arc<Rule>) {
        if let Some(family) = &mut self.family {
            family.in_order(|member| member.rule = rule.clone());
        }
        self.rule = rule;
    }

    /// The environment of an evaluation on the latched values.
    #[inline]
    pub(super) fn env(&self, now: f64) -> Env<'_> {
        let known =
            Known { cells: &self.cells, marks: &self.marks, tables: &self.tables, memory: &self.memory };
        known.env(&self.rule, &self.fed, now)
    }

    /// Tells the rule's error if it changed.
    pub(super) fn tell_error(&mut self, out: &mut Vec<Effect>) {
        let error = match &self.quarantined {
            Some(reason) => Some(format!("quarantined: {reason}")),
            None => self.when_error.clone().or_else(|| self.alarm_error.clone()),
        };
        if self.error != error {
            self.error.clone_from(&error);
            out.push(Effect::RuleError { rule: self.rule.clone(), error });
        }
    }

    pub(super) fn status(&self) -> RuleStatus {
        RuleStatus {
            enabled: self.enabled,
            quarantined: self.quarantined.clone(),
            error: self.error.clone(),
            running: self.work.running.len(),
            queued: self.work.queue.len(),
            last_triggered: self.work.last_run.is_finite().then_some(Tai(self.work.last_run)),
            dropped: self.windows.iter().flatten().map(Windowed::dropped).sum::<u64>()
                + self.tables.iter().flatten().map(|t| t.dropped_values()).sum::<u64>(),
            keys: 0,
            dropped_keys: self.tables.iter().flatten().map(|t| t.dropped).sum(),
        }
    }
}
