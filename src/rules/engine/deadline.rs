//! What time alone does to a rule, and when it wants to be looked at next.

use super::fire::Occurrence;
use super::state::RuleState;
use crate::rules::flow::Effect;
use crate::rules::model::Occasion;

/// Shortest time between two looks at a window that only shrinks.
const WINDOW_LOOK_S: f64 = 1.0;

impl RuleState {
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
        if self.rule.code.expires && judged {
            // At its end a value still counts.
            let ends = self.marks.iter().map(|mark| mark.fresh_until).filter(|end| *end >= now);
            next = ends.fold(next, |next, end| next.min(end.next_up()));
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
}
