//! What a message does to a rule: values are latched, windows and memory go on, and only then anything is evaluated.

use salobj::Value;

use super::feed::message_occurrence;
use super::routes::Route;
use super::state::{Known, RuleState};
use crate::rules::expr::{Env, Mark};
use crate::rules::flow::{Effect, Sample, Subscriptions};

impl RuleState {
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
            self.on_each(dirty, sample, subscriptions, now, out);
        } else if self.edge_reads & dirty != 0 {
            self.edge(|| message_occurrence(sample, subscriptions), now, out);
        }
        if self.alarm_reads & dirty != 0 {
            self.judge_live(now, out);
        }
    }

    fn on_each(
        &mut self,
        dirty: u64,
        sample: &Sample<'_>,
        subscriptions: &Subscriptions,
        now: f64,
        out: &mut Vec<Effect>,
    ) {
        let input = (self.each & dirty).trailing_zeros() as usize;
        self.occasion("each", Some(input), || message_occurrence(sample, subscriptions), now, out);
    }

    /// A message came while the process was down.
    pub(super) fn on_missed(
        &mut self,
        dirty: u64,
        sample: &Sample<'_>,
        subscriptions: &Subscriptions,
        now: f64,
        out: &mut Vec<Effect>,
    ) {
        if self.each & dirty != 0 {
            self.update_memory(dirty, now);
            self.on_each(dirty, sample, subscriptions, now, out);
        }
    }

    /// Messages on one of these ways fire.
    pub(super) fn fires_on(&self, routes: &[Route]) -> bool {
        routes.iter().any(|route| self.each >> route.input & 1 == 1)
    }

    /// [`RuleState::accept`] for a message that was taken in quietly before: it is the newest once more, but windows and keys
    /// have it already.
    pub(super) fn accept_again(&mut self, route: &Route, sample: &Sample<'_>) -> u64 {
        let window = self.has_windows && self.windows[usize::from(route.input)].is_some();
        if !window && route.key.is_none() {
            return self.accept(route, sample, true);
        }
        let passes = !route.filtered || self.passes(route, sample);
        u64::from(passes) << route.input
    }

    /// True if judging would change nothing, and judging is all that it does.
    #[inline]
    fn stays_calm(&self, now: f64) -> bool {
        let Some(calm) = &self.calm else { return false };
        let fresh = now <= self.marks[usize::from(calm.at.input)].fresh_until;
        let Value::Double(value) = self.cells[usize::from(calm.at.cell)] else { return false };
        self.well && fresh && calm.holds(value)
    }
}
