//! A rule is switched on and off, and judged anew on what is known.

use super::fire::Occurrence;
use super::state::RuleState;
use crate::alarms::Severity;
use crate::rules::flow::Effect;
use crate::rules::model::Occasion;

impl RuleState {
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

    /// After a breakdown: nothing of what it remembered is kept but its runs and where its schedule stands.
    fn make_anew(&mut self) {
        let mut fresh = RuleState::root(self.rule.clone());
        fresh.work = std::mem::take(&mut self.work);
        (fresh.filling, fresh.schedule, fresh.quarantined) = (false, self.schedule, self.quarantined.take());
        fresh.error = self.error.take();
        *self = fresh;
    }
}
