//! Triggers: from an occurrence to a run, or to the reason why there is none.

use std::collections::{BTreeMap, VecDeque};

use salobj::Tai;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::explain::{Last, Outcome};
use super::state::RuleState;
use crate::rules::flow::{Effect, ManualTrigger, RunRequest, SkipReason, TriggerRefused};
use crate::rules::model::{Mode, Occasion, Overlap, RunContext};

/// Most runs of a rule that wait.
pub(super) const MOST_WAITING: usize = 1000;
/// So many run ids are remembered against messages that come twice.
const RECENT: usize = 256;
const HOUR_S: f64 = 3600.0;
const MINUTE_S: f64 = 60.0;

/// Something that happened, by which a run is named.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Occurrence {
    pub(super) text: String,
    pub(super) at: Tai,
}

impl Occurrence {
    /// `t:<scheduled UTC time>`.
    pub(super) fn scheduled(at: f64) -> Occurrence {
        Occurrence { text: format!("t:{}Z", Tai(at).utc_iso()), at: Tai(at) }
    }
}

/// A run that waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Queued {
    run_id: String,
    occurrence: String,
    at: Tai,
    context: RunContext,
}

impl RuleState {
    /// An occasion of `each` or `every`: a trigger if `when` is true.
    pub(super) fn occasion(
        &mut self,
        kind: &str,
        input: Option<usize>,
        occurrence: impl FnOnce() -> Occurrence,
        now: f64,
        out: &mut Vec<Effect>,
    ) {
        match self.when(now, out) {
            Some(true) => self.fire(kind, input, &occurrence(), now, out),
            Some(false) => {
                self.work.last = Some(Last { at: now, outcome: Outcome::WhenFalse });
                self.idle(now, out);
            }
            None => self.work.last = Some(Last { at: now, outcome: Outcome::WhenUnknown }),
        }
    }

    /// An occurrence that is recorded and not run.
    pub(super) fn skip_occurrence(
        &mut self,
        kind: &str,
        occurrence: &Occurrence,
        reason: SkipReason,
        now: f64,
        out: &mut Vec<Effect>,
    ) {
        let queued = self.queued(kind, None, occurrence, now, &self.rule.parameters);
        if !self.work.recent.contains(&queued.run_id) {
            self.remember(&queued.run_id);
            self.skip(&queued, reason, out);
        }
    }

    /// `when` alone: a trigger at the moment it goes from false to true.
    pub(super) fn edge(&mut self, occurrence: impl Fn() -> Occurrence, now: f64, out: &mut Vec<Effect>) {
        let Some(truth) = self.when(now, out) else { return };
        let before = self.when_last.replace(truth);
        if !truth {
            self.idle(now, out);
        } else if before == Some(false) {
            let made = occurrence();
            let occurrence = Occurrence { text: format!("e:{}", made.text), at: made.at };
            self.fire("edge", None, &occurrence, now, out);
        }
    }

    /// `when` now; true without one.
    fn when(&mut self, now: f64, out: &mut Vec<Effect>) -> Option<bool> {
        let Some(when) = &self.rule.code.when else { return Some(true) };
        let (truth, why) = {
            let env = self.env(now);
            let truth = when.get(&env);
            let why = if truth.is_none() { env.why.get() } else { None };
            (truth, why.map(|w| w.say(&self.rule.code.input_names())))
        };
        if truth.is_none() || self.when_error.is_some() {
            self.when_error = why;
            self.tell_error(out);
        }
        truth
    }

    /// The context of a run that starts now.
    pub(super) fn context(&self, now: f64, parameters: &Map<String, Json>) -> RunContext {
        let code = &self.rule.code;
        let stamps: BTreeMap<String, f64> = code
            .inputs
            .iter()
            .zip(&self.marks)
            .filter(|(_, m)| m.sent.is_finite())
            .map(|(i, m)| (i.name.clone(), m.sent))
            .collect();
        let key = self.key.as_ref().map(|key| ("key".to_owned(), Json::from(key.text.as_str())));
        RunContext {
            inputs: code.inputs_as_json(&self.cells, &self.marks, &self.tables, now),
            stamps,
            parameters: parameters.clone(),
            tasks: Map::new(),
            trigger: key.into_iter().collect(),
            at: Tai(now),
            item: None,
        }
    }

    fn run_id(&self, occurrence: &str) -> String {
        self.rule.run_id(self.key.as_ref().map(|key| key.text.as_str()), occurrence)
    }

    fn queued(
        &self,
        kind: &str,
        input: Option<usize>,
        occurrence: &Occurrence,
        now: f64,
        parameters: &Map<String, Json>,
    ) -> Queued {
        let mut context = self.context(now, parameters);
        let trigger = &mut context.trigger;
        trigger.insert("kind".to_owned(), Json::from(kind));
        trigger.insert("occurrence".to_owned(), Json::from(occurrence.text.as_str()));
        trigger.insert("at".to_owned(), Json::from(occurrence.at.0));
        if let Some(input) = input {
            trigger.insert("input".to_owned(), Json::from(self.rule.code.inputs[input].name.as_str()));
        }
        Queued {
            run_id: self.run_id(&occurrence.text),
            occurrence: occurrence.text.clone(),
            at: occurrence.at,
            context,
        }
    }

    fn skip(&self, queued: &Queued, reason: SkipReason, out: &mut Vec<Effect>) {
        out.push(Effect::SkipRun {
            run_id: queued.run_id.clone(),
            rule: self.rule.clone(),
            key: self.key.as_ref().map(|key| key.text.clone()),
            occurrence: queued.occurrence.clone(),
            at: queued.at,
            reason,
        });
    }

    fn fire(
        &mut self,
        kind: &str,
        input: Option<usize>,
        occurrence: &Occurrence,
        now: f64,
        out: &mut Vec<Effect>,
    ) {
        let queued = self.queued(kind, input, occurrence, now, &self.rule.parameters);
        if self.work.recent.contains(&queued.run_id) {
            return;
        }
        self.remember(&queued.run_id);
        let trigger = &self.rule.trigger;
        let limit = trigger.max_event_age.as_secs_f64();
        let cooldown = trigger.cooldown.as_secs_f64();
        let reason = if self.rule.mode == Mode::Shadow {
            SkipReason::Shadow
        } else if self.quarantined.is_some() {
            SkipReason::Quarantined
        } else if now - occurrence.at.0 > limit {
            SkipReason::TooOld { age_s: now - occurrence.at.0, limit_s: limit }
        } else if now - self.work.last_run < cooldown {
            SkipReason::Cooldown { remaining_s: self.work.last_run + cooldown - now }
        } else {
            match self.admit(queued.clone(), now, out) {
                Ok(()) => return,
                Err(reason) => reason,
            }
        };
        self.work.last = Some(Last { at: now, outcome: Outcome::Skipped(reason.clone()) });
        self.skip(&queued, reason, out);
    }

    /// Keeps the ids of the newest runs, so that an occurrence seen twice starts one.
    fn remember(&mut self, run_id: &str) {
        self.work.recent.push_back(run_id.to_owned());
        if self.work.recent.len() > RECENT {
            self.work.recent.pop_front();
        }
    }

    /// Budget and concurrency; starts or queues the run.
    fn admit(&mut self, queued: Queued, now: f64, out: &mut Vec<Effect>) -> Result<(), SkipReason> {
        let trigger = &self.rule.trigger;
        let most = trigger.max_concurrent;
        if self.work.running.len() >= most {
            match trigger.overlap {
                Overlap::Skip => return Err(SkipReason::Overlap { running: self.work.running.len() }),
                Overlap::CancelPrevious => {
                    let run_id = self.work.running.remove(0);
                    out.push(Effect::CancelRun { run_id, rule: self.rule.clone() });
                }
                Overlap::Queue if self.work.queue.len() >= MOST_WAITING => {
                    return Err(SkipReason::QueueFull { length: self.work.queue.len() });
                }
                Overlap::Queue => {
                    self.count_run(now, out)?;
                    let outcome = Outcome::Queued(queued.run_id.clone());
                    self.work.last = Some(Last { at: now, outcome });
                    out.push(Effect::QueueRun(self.request(queued.clone())));
                    self.work.queue.push_back(queued);
                    return Ok(());
                }
            }
        }
        self.count_run(now, out)?;
        self.start(queued, now, out)
    }

    /// Counts a run, when its turn comes or it is put into the queue.
    fn count_run(&mut self, now: f64, out: &mut Vec<Effect>) -> Result<(), SkipReason> {
        drop_old(&mut self.work.runs, now - HOUR_S);
        let (count, most) = (self.work.runs.len() + 1, self.rule.budget.runs_per_hour);
        if count > most as usize {
            let reason = format!("{count} runs within an hour, the budget allows {most}");
            return Err(self.over_budget(reason, out));
        }
        self.work.runs.push_back(now);
        Ok(())
    }

    /// Counts the commands of a run that begins: one that waits has not commanded anything.
    fn count_commands(&mut self, now: f64, out: &mut Vec<Effect>) -> Result<(), SkipReason> {
        let commands = self.rule.code.steps.values().filter(|s| s.commands).count();
        if commands == 0 {
            return Ok(());
        }
        drop_old(&mut self.work.commands, now - MINUTE_S);
        let (count, most) = (self.work.commands.len() + commands, self.rule.budget.commands_per_minute);
        if count > most as usize {
            let reason = format!("{count} commands within a minute, the budget allows {most}");
            return Err(self.over_budget(reason, out));
        }
        self.work.commands.extend(std::iter::repeat_n(now, commands));
        Ok(())
    }

    /// The rule is quarantined, and what waits is skipped with it.
    fn over_budget(&mut self, reason: String, out: &mut Vec<Effect>) -> SkipReason {
        self.quarantined = Some(reason.clone());
        out.push(Effect::Quarantine { rule: self.rule.clone(), reason });
        self.tell_error(out);
        self.skip_waiting(&SkipReason::Quarantined, out);
        SkipReason::Quarantined
    }

    fn skip_waiting(&mut self, reason: &SkipReason, out: &mut Vec<Effect>) {
        for queued in std::mem::take(&mut self.work.queue) {
            self.skip(&queued, reason.clone(), out);
        }
    }

    fn request(&self, queued: Queued) -> RunRequest {
        RunRequest {
            run_id: queued.run_id,
            rule: self.rule.clone(),
            key: self.key.as_ref().map(|key| key.text.clone()),
            occurrence: queued.occurrence,
            at: queued.at,
            context: queued.context,
        }
    }

    fn start(&mut self, queued: Queued, now: f64, out: &mut Vec<Effect>) -> Result<(), SkipReason> {
        self.count_commands(now, out)?;
        self.work.running.push(queued.run_id.clone());
        self.work.last_run = now;
        self.work.last = Some(Last { at: now, outcome: Outcome::Started(queued.run_id.clone()) });
        out.push(Effect::StartRun(self.request(queued)));
        Ok(())
    }

    /// A run ended: the next of the queue starts.
    pub(super) fn run_ended(&mut self, run_id: &str, now: f64, out: &mut Vec<Effect>) {
        self.work.running.retain(|r| r != run_id);
        if self.quarantined.is_some() {
            return self.skip_waiting(&SkipReason::Quarantined, out);
        }
        while self.work.running.len() < self.rule.trigger.max_concurrent {
            let Some(next) = self.work.queue.pop_front() else { return };
            let (age_s, limit_s) = (now - next.at.0, self.rule.trigger.max_event_age.as_secs_f64());
            if age_s > limit_s {
                self.skip(&next, SkipReason::TooOld { age_s, limit_s }, out);
            } else if let Err(reason) = self.start(next.clone(), now, out) {
                self.skip(&next, reason, out);
            }
        }
    }

    /// What waits will not run.
    pub(super) fn withdraw(&mut self, out: &mut Vec<Effect>) {
        if let Some(family) = &mut self.family {
            family.in_order(|member| member.withdraw(out));
        }
        self.skip_waiting(&SkipReason::Withdrawn, out);
    }

    /// The command `trigger`: `cooldown` and `max_event_age` do not apply.
    pub(super) fn by_hand(
        &mut self,
        what: &ManualTrigger<'_>,
        now: f64,
        out: &mut Vec<Effect>,
    ) -> Result<String, TriggerRefused> {
        let name = self.rule.name.clone();
        if self.rule.workflow.is_none() {
            return Err(TriggerRefused::NoTasks(name));
        }
        if !self.enabled {
            return Err(TriggerRefused::Disabled(name));
        }
        if self.rule.mode == Mode::Shadow {
            return Err(TriggerRefused::Shadow(name));
        }
        if let Some(reason) = self.quarantined.clone() {
            return Err(TriggerRefused::Quarantined { rule: name, reason });
        }
        let mut parameters = self.rule.parameters.clone();
        for (key, value) in what.parameters {
            if parameters.insert(key.clone(), value.clone()).is_none() {
                return Err(TriggerRefused::UnknownParameter { rule: name, name: key.clone() });
            }
        }
        if let Occasion::Each(inputs) = &self.rule.trigger.on {
            let never = |i: &&usize| !self.marks[**i].sent.is_finite();
            if inputs.iter().all(|i| never(&i))
                && let Some(input) = inputs.first()
            {
                let input = self.rule.code.inputs[*input].name.clone();
                return Err(TriggerRefused::NeverSeen { rule: name, input });
            }
        }
        self.update_memory(0, now);
        let rule = self.rule.clone();
        if let Some(when) = &rule.code.when {
            let mut env = self.env(now);
            env.parameters = &parameters;
            let state = match when.get(&env) {
                Some(true) => None,
                Some(false) => Some("false".to_owned()),
                None => {
                    let why = env.why.get().map_or(String::new(), |w| w.say(&rule.code.input_names()));
                    Some(format!("unknown: {why}"))
                }
            };
            if let Some(state) = state {
                return Err(TriggerRefused::NotTrue { rule: name, state });
            }
        }
        let occurrence = Occurrence { text: what.occurrence.to_owned(), at: Tai(now) };
        let queued = self.queued("manual", None, &occurrence, now, &parameters);
        let run_id = queued.run_id.clone();
        if self.work.recent.contains(&run_id) {
            return Ok(run_id);
        }
        match self.admit(queued, now, out) {
            Ok(()) => {
                self.remember(&run_id);
                Ok(run_id)
            }
            Err(reason) => Err(TriggerRefused::Busy { rule: name, reason }),
        }
    }
}

fn drop_old(times: &mut VecDeque<f64>, until: f64) {
    while times.front().is_some_and(|t| *t <= until) {
        times.pop_front();
    }
}
