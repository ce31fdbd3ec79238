//! One rule's state: what it knows, and how inputs and time change it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;

use salobj::{Tai, Value};

use super::calm::Calm;
use super::explain::Last;
use super::family::{Family, MemberKey};
use super::fire::{Occurrence, Queued};
use super::guard::Pace;
use super::judge::CondState;
use super::routes::Route;
use super::schedule::Schedule;
use super::{RuleStatus, message_occurrence};
use crate::alarms::Severity;
use crate::rules::expr::{Env, Mark, Memory, NOTHING};
use crate::rules::flow::{Effect, Sample, Subscriptions};
use crate::rules::keyed::{Tables, tables};
use crate::rules::model::{Occasion, Rule, RunContext};
use crate::rules::windowed::Windowed;

/// Shortest time between two looks at a window that only shrinks.
const WINDOW_LOOK_S: f64 = 1.0;

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
    has_windows: bool,
    /// The alarm was judged, is at none, and that was said: with a value of `calm` it stays so.
    pub(super) well: bool,
    pub(super) cells: Vec<Value>,
    pub(super) marks: Vec<Mark>,
    calm: Option<Calm>,
    /// Bits of the inputs of `each`, of those that an edge's `when` reads, of those that the alarm reads.
    each: u64,
    edge_reads: u64,
    alarm_reads: u64,
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

    /// Starts what runs from now on: `every`, `cron`, the grace of `absent`.
    pub(super) fn start_clocks(&mut self, now: f64) {
        if self.family.is_some() {
            return self.family_each(now, &mut Vec::new(), |member, _| member.start_clocks(now));
        }
        if !self.schedule.due.is_finite() {
            self.begin_schedule(now);
        }
        self.update_memory(0, now);
    }

    /// Takes a sample in; the answer is the input's bit if it is for this rule.
    #[inline]
    pub(super) fn accept(&mut self, route: &Route, sample: &Sample<'_>, live: bool) -> u64 {
        if route.filtered && !self.passes(route, sample) {
            return 0;
        }
        if let Some(from) = &route.key
            && !self.accept_keyed(route, from, sample, live)
        {
            return 0;
        }
        let cell = |at: u16| sample.cells.get(usize::from(at)).unwrap_or(&Value::Null);
        let mark = &mut self.marks[usize::from(route.input)];
        let newer = live || sample.sent.0 >= mark.sent;
        let window = if self.has_windows { self.windows[usize::from(route.input)].as_mut() } else { None };
        if let Some(window) = window {
            window.push(sample.sent.0, cell(route.first.0));
        } else if newer && route.key.is_none() {
            self.cells[usize::from(route.first.1)].clone_from(cell(route.first.0));
            for (from, to) in &route.rest {
                self.cells[usize::from(*to)].clone_from(cell(*from));
            }
        }
        if newer {
            *mark = Mark {
                sent: sample.sent.0,
                received: sample.received.0,
                fresh_until: sample.sent.0 + route.max_age,
            };
        }
        1 << route.input
    }

    /// The filter of the input is true for this message.
    pub(super) fn passes(&self, route: &Route, sample: &Sample<'_>) -> bool {
        let rule = &self.rule;
        let Some(filter) = &rule.code.inputs[usize::from(route.input)].filter else { return true };
        let cell = |at: &u16| sample.cells.get(usize::from(*at)).cloned().unwrap_or_default();
        let own: Vec<Value> = route.filter.iter().map(cell).collect();
        let marks = [Mark { sent: sample.sent.0, received: sample.received.0, fresh_until: f64::INFINITY }];
        let env = Env::of_message(&own, &marks, &rule.parameters);
        filter.expr.get(&env) == Some(true)
    }

    /// The environment of an evaluation on the latched values.
    #[inline]
    pub(super) fn env(&self, now: f64) -> Env<'_> {
        let known =
            Known { cells: &self.cells, marks: &self.marks, tables: &self.tables, memory: &self.memory };
        known.env(&self.rule, &self.fed, now)
    }

    /// Windows and stateful functions as of now.
    #[inline]
    pub(super) fn update_memory(&mut self, dirty: u64, now: f64) {
        if self.has_windows {
            let inputs = self.windows.iter_mut().zip(&self.rule.code.inputs);
            for (window, input) in inputs {
                if let (Some(window), Some(cell)) = (window, input.single) {
                    window.refresh(now, &mut self.cells[usize::from(cell)]);
                }
            }
        }
        self.tables.iter_mut().flatten().for_each(|table| table.update(now));
        for i in 0..self.memory.len() {
            let plan = &self.rule.code.stateful[i];
            let (inner, own) = self.memory.split_at_mut(i);
            let known = Known { cells: &self.cells, marks: &self.marks, tables: &self.tables, memory: inner };
            let env = known.env(&self.rule, &self.fed, now);
            own[0].update(&plan.kind, plan.news(dirty), &env);
        }
    }

    /// A message of some of its inputs came.
    #[inline]
    pub(super) fn on_sample(
        &mut self,
        dirty: u64,
        sample: &Sample<'_>,
        subscriptions: &Subscriptions,
        now: f64,
        out: &mut Vec<Effect>,
    ) {
        if self.stays_calm(now) {
            return;
        }
        self.update_memory(dirty, now);
        if self.each & dirty != 0 {
            let input = (self.each & dirty).trailing_zeros() as usize;
            self.occasion("each", Some(input), || message_occurrence(sample, subscriptions), now, out);
        } else if self.edge_reads & dirty != 0 {
            self.edge(|| message_occurrence(sample, subscriptions), now, out);
        }
        if self.alarm_reads & dirty != 0 {
            self.judge_live(now, out);
        }
    }

    /// True if judging would change nothing, and judging is all that it does.
    #[inline]
    fn stays_calm(&self, now: f64) -> bool {
        let Some(calm) = &self.calm else { return false };
        let fresh = now <= self.marks[usize::from(calm.at.input)].fresh_until;
        let Value::Double(value) = self.cells[usize::from(calm.at.cell)] else { return false };
        self.well && fresh && calm.holds(value)
    }

    /// A deadline has come.
    pub(super) fn on_time(&mut self, at: f64, out: &mut Vec<Effect>) {
        self.update_memory(0, at);
        match self.rule.trigger.on {
            Occasion::Every(_) | Occasion::Cron(_) if at >= self.schedule.due => {
                self.times_have_come(at, out)
            }
            Occasion::Edge if self.rule.workflow.is_some() => {
                self.edge(|| Occurrence::scheduled(at), at, out)
            }
            _ => {}
        }
        if self.rule.code.alarm.is_some() {
            self.judge_live(at, out);
        }
    }

    /// Judges anew on the latched values and says the severity again.
    pub(super) fn reevaluate(&mut self, now: f64, out: &mut Vec<Effect>) {
        if !self.enabled {
            return;
        }
        self.well = false;
        if self.family.is_some() {
            return self.family_each(now, out, |member, out| {
                member.say_key(out);
                member.reevaluate(now, out);
            });
        }
        for (memory, plan) in self.memory.iter_mut().zip(&self.rule.code.stateful) {
            memory.begin_anew(&plan.kind);
        }
        self.said = None;
        self.update_memory(0, now);
        if self.rule.workflow.is_some() && self.rule.trigger.on == Occasion::Edge {
            self.edge(|| Occurrence::scheduled(now), now, out);
        }
        if self.rule.code.alarm.as_ref().is_some_and(|a| a.fed_by_tasks) {
            self.judge_fed(now, out);
        } else {
            self.judge_live(now, out);
        }
    }

    pub(super) fn set_enabled(&mut self, enabled: bool, now: f64, out: &mut Vec<Effect>) {
        self.well = false;
        if enabled && std::mem::take(&mut self.broken) {
            self.make_anew();
        }
        if self.family.is_some() {
            self.enabled = enabled;
            if enabled && self.quarantined.take().is_some() {
                self.work.runs.clear();
                self.work.commands.clear();
            }
            return self.family_each(now, out, |member, out| member.set_enabled(enabled, now, out));
        }
        if !enabled {
            self.enabled = false;
            self.withdraw(out);
            if self.said.as_ref().is_some_and(|(s, _)| *s > Severity::None) {
                self.say((Severity::None, String::new()), None, now, out);
            }
            self.said = None;
            return;
        }
        self.enabled = true;
        if self.quarantined.take().is_some() {
            self.work.runs.clear();
            self.work.commands.clear();
            self.tell_error(out);
        }
        self.begin_schedule(now);
        self.reevaluate(now, out);
    }

    /// After a breakdown: nothing of what it remembered is kept but its runs and where its schedule stands.
    fn make_anew(&mut self) {
        let mut fresh = RuleState::root(self.rule.clone());
        fresh.work = std::mem::take(&mut self.work);
        (fresh.filling, fresh.schedule, fresh.quarantined) = (false, self.schedule, self.quarantined.take());
        fresh.error = self.error.take();
        *self = fresh;
    }

    /// What a deadline that is overdue stands for: clocks that tick do so once, not for every tick missed.
    pub(super) fn catch_up(&self, due: f64, now: f64) -> f64 {
        match self.rule.trigger.on {
            Occasion::Every(_) | Occasion::Cron(_) if due >= self.schedule.due => {
                self.schedule_moment(due, now)
            }
            _ if self.rule.code.clocked && now - due > 1.0 => now.floor().max(due),
            _ => due,
        }
    }

    /// When it wants to be looked at without a message.
    pub(super) fn next_deadline(&self, now: f64) -> f64 {
        if !self.enabled || self.waiting {
            return f64::INFINITY;
        }
        if let Some(family) = &self.family {
            return family.next_deadline();
        }
        let mut next = self.schedule.due;
        let judged = self.rule.code.alarm.is_some() || self.rule.trigger.on == Occasion::Edge;
        if self.rule.code.clocked && judged {
            next = next.min(now.floor() + 1.0);
        }
        for memory in &self.memory {
            next = next.min(memory.deadline);
        }
        for condition in &self.conditions {
            next = next.min(condition.deadline);
        }
        if self.has_windows && judged && self.rule.code.alarm.as_ref().is_none_or(|a| a.reads != 0) {
            for window in self.windows.iter().flatten() {
                next = next.min(window.next_change().max(now + WINDOW_LOOK_S));
            }
        }
        if judged {
            for table in self.tables.iter().flatten() {
                next = next.min(table.next_deadline(now, WINDOW_LOOK_S));
            }
        }
        next
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
