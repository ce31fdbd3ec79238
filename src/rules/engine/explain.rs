//! Explaining a rule's state. Nothing is changed and nothing is brought up to date: what is told is what the engine acted
//! on, with ages as of now.

use std::panic::{AssertUnwindSafe, catch_unwind};

use salobj::Tai;
use serde_json::{Map, Value as Json};

use super::Engine;
use super::fire::MOST_WAITING;
use super::judge::CondState;
use super::state::RuleState;
use crate::alarms::{Direction, Severity};
use crate::rules::code::{Condition, Frozen, Place, Verdict};
use crate::rules::explain::*;
use crate::rules::expr::lists::to_json;
use crate::rules::expr::{Env, Explainer};
use crate::rules::flow::SkipReason;
use crate::rules::model::{Mode, Occasion, Overlap, RunContext};
use crate::rules::source::origin;
use crate::rules::spec::OnIdle;

/// What came of the last occasion, as the engine keeps it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Last {
    pub(super) at: f64,
    pub(super) outcome: Outcome,
}

/// See [`Last`].
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Outcome {
    /// This run was started.
    Started(String),
    /// This run waits.
    Queued(String),
    /// `when` was false.
    WhenFalse,
    /// `when` was unknown.
    WhenUnknown,
    /// It was skipped.
    Skipped(SkipReason),
}

impl Outcome {
    fn note(&self) -> Note {
        match self {
            Outcome::Started(id) => Note::new("started", format!("run {id} was started")),
            Outcome::Queued(id) => {
                Note::new("queued", format!("run {id} was put into the queue: another run was going"))
            }
            Outcome::WhenFalse => Note::new("when_false", "`when` was false"),
            Outcome::WhenUnknown => Note::new("when_unknown", "`when` was unknown"),
            Outcome::Skipped(reason) => {
                let why = serde_json::to_value(reason).unwrap_or_default();
                let word = why.get("why").and_then(Json::as_str).unwrap_or("skipped").to_owned();
                Note::new(&word, format!("it was skipped: {reason}"))
            }
        }
    }
}

impl Engine {
    /// What a rule makes of what it knows; `newest` is the context of its newest run. None if there is no such rule. Of a rule
    /// with `by` one key is explained: `<rule>.<key>`.
    pub fn explain(&self, rule: &str, newest: Option<&RunContext>, now: Tai) -> Option<Explanation> {
        let (i, key) = self.named(rule)?;
        let state = &self.states[i];
        let own = match &key {
            Some(key) => state.of_key(key)?,
            None => state,
        };
        let explained = catch_unwind(AssertUnwindSafe(|| own.explain(newest, now.0)));
        let mut explanation = explained.unwrap_or_else(|_| own.cannot_explain(now.0));
        if key.is_none() && state.rule.is_keyed() {
            let keys = state.keys();
            let some = keys.iter().take(5).copied().collect::<Vec<_>>().join(", ");
            let text = format!("the rule has {} keys, name one as in {rule}.<key>: {some}", keys.len());
            explanation.notes.push(Note::new("keyed", text));
        }
        Some(explanation)
    }
}

impl RuleState {
    pub(super) fn explain(&self, newest: Option<&RunContext>, now: f64) -> Explanation {
        let rule = &self.rule;
        let mut notes = Vec::new();
        if !self.enabled {
            notes.push(Note::new("disabled", "the rule is disabled"));
        }
        if let Some(reason) = &self.quarantined {
            notes.push(Note::new("quarantined", format!("the rule is quarantined: {reason}")));
        }
        if rule.mode == Mode::Shadow {
            notes.push(Note::new("shadow", "the rule is in shadow mode: it starts and raises nothing"));
        }
        let mut explanation = Explanation {
            rule: rule.name.clone(),
            revision: rule.revision.clone(),
            at: now,
            utc: format!("{}Z", Tai(now).utc_iso()),
            notes,
            inputs: self.inputs(now),
            trigger: rule.workflow.is_some().then(|| self.trigger_state(now)),
            steps: newest.map_or_else(Vec::new, |ctx| self.steps(ctx)),
            alarm: self.alarm_state(now),
            ..Explanation::default()
        };
        explanation.conclude();
        explanation
    }

    /// After a breakdown its state may be of no sense.
    fn cannot_explain(&self, now: f64) -> Explanation {
        let why = self.quarantined.clone().unwrap_or_else(|| "its terms cannot be evaluated".to_owned());
        let mut explanation = Explanation {
            rule: self.rule.name.clone(),
            revision: self.rule.revision.clone(),
            at: now,
            utc: format!("{}Z", Tai(now).utc_iso()),
            notes: vec![Note::new("quarantined", format!("the rule cannot be explained: {why}"))],
            ..Explanation::default()
        };
        explanation.conclude();
        explanation
    }

    fn inputs(&self, now: f64) -> Vec<InputState> {
        let code = &self.rule.code;
        let mut all = Vec::new();
        for (i, (input, mark)) in code.inputs.iter().zip(&self.marks).enumerate() {
            let cells = code.cells.iter().zip(&self.cells).filter(|(plan, _)| usize::from(plan.input) == i);
            let keyed = self.tables.get(i).and_then(Option::as_ref);
            let value = match (keyed, input.single) {
                (Some(table), single) => Json::Object(table.json(&code.names_of(i), single.is_some(), now)),
                (None, Some(cell)) => to_json(&self.cells[usize::from(cell)]),
                (None, None) => {
                    let fields: Map<String, Json> =
                        cells.map(|(plan, value)| (plan.need.name.clone(), to_json(value))).collect();
                    Json::Object(fields)
                }
            };
            let nan = keyed.is_none()
                && input.single.is_some_and(
                    |c| matches!(&self.cells[usize::from(c)], salobj::Value::Double(v) if v.is_nan()),
                );
            let state = if keyed.is_some() {
                if value.as_object().is_some_and(|keys| !keys.is_empty()) { "known" } else { "missing" }
            } else if mark.fresh_until == f64::NEG_INFINITY {
                "missing"
            } else if now > mark.fresh_until {
                "stale"
            } else if nan {
                "nan"
            } else if value.is_null() {
                "missing"
            } else {
                "known"
            };
            let filter = code.outlines.iter().find(|(place, _)| *place == Place::Filter(i));
            all.push(InputState {
                name: input.name.clone(),
                topic: origin(&input.component, &input.sal_name, input.index),
                state: state.to_owned(),
                value,
                age_s: mark.sent.is_finite().then_some(now - mark.sent),
                max_age_s: input.max_age.is_finite().then_some(input.max_age),
                filter: filter.map(|(_, outline)| outline.text.trim().to_owned()),
            });
        }
        all
    }

    /// The expression at a place, explained.
    fn stated<'a>(&'a self, place: &Place, said: &str, env: &Env<'a>) -> Option<Stated> {
        let code = &self.rule.code;
        let (_, outline) = code.outlines.iter().find(|(p, _)| p == place)?;
        let names = code.input_names();
        let explainer = Explainer { env, names: &names, stateful: &code.stateful };
        Some(Stated { place: said.to_owned(), term: explainer.explain(outline) })
    }

    fn steps(&self, ctx: &RunContext) -> Vec<Stated> {
        let code = &self.rule.code;
        let frozen = Frozen::of(code, ctx);
        let env = frozen.env(&[], ctx.at.0);
        let names = code.input_names();
        let mut all = Vec::new();
        for (place, outline) in &code.outlines {
            if let Place::Step(step) = place {
                let explainer = Explainer { env: &env, names: &names, stateful: &[] };
                all.push(Stated { place: format!("when of {step}"), term: explainer.explain(outline) });
            }
        }
        all
    }

    fn trigger_state(&self, now: f64) -> TriggerState {
        let rule = &self.rule;
        let (trigger, code) = (&rule.trigger, &rule.code);
        let when = self.stated(&Place::When, "when", &self.env(now));
        let mut notes = Vec::new();
        if let Some(Stated { term, .. }) = &when {
            match (term.truth(), &term.unknown) {
                (Some(true), _) if trigger.on == Occasion::Edge => {
                    let text = "`when` is true already: a run starts at the moment it becomes true";
                    notes.push(Note::new("edge", text));
                }
                (Some(true), _) => {}
                (Some(false), _) => {
                    notes.push(Note::new("when_false", format!("`when` is false: {}", deciding(term))));
                }
                (None, why) => {
                    let why = why.as_deref().unwrap_or("it has no value");
                    notes.push(Note::new("when_unknown", format!("`when` is unknown: {why}")));
                }
            }
        }
        let cooldown = trigger.cooldown.as_secs_f64();
        if now - self.work.last_run < cooldown {
            let remaining_s = self.work.last_run + cooldown - now;
            notes.push(Note::new("cooldown", SkipReason::Cooldown { remaining_s }.to_string()));
        }
        let running = self.work.running.len();
        if running >= trigger.max_concurrent {
            notes.push(match trigger.overlap {
                Overlap::Skip => Note::new("overlap", SkipReason::Overlap { running }.to_string()),
                Overlap::CancelPrevious => {
                    Note::new("overlap", "the oldest run that is going would be cancelled")
                }
                Overlap::Queue if self.work.queue.len() >= MOST_WAITING => {
                    let length = self.work.queue.len();
                    Note::new("queue_full", SkipReason::QueueFull { length }.to_string())
                }
                Overlap::Queue => {
                    Note::new("overlap", format!("{running} run(s) are going: another would wait"))
                }
            });
        }
        if let Occasion::Each(inputs) = &trigger.on
            && let Some(i) =
                inputs.iter().max_by(|a, b| self.marks[**a].sent.total_cmp(&self.marks[**b].sent))
        {
            let age_s = now - self.marks[*i].sent;
            let limit_s = trigger.max_event_age.as_secs_f64();
            if age_s == f64::INFINITY {
                let name = &code.inputs[*i].name;
                notes.push(Note::new("never_seen", format!("no message of {name} has come yet")));
            } else if age_s > limit_s {
                let reason = SkipReason::TooOld { age_s, limit_s };
                notes.push(Note::new("too_old", format!("of its newest message: {reason}")));
            }
        }
        let decision = match notes.first() {
            _ if !self.enabled || self.quarantined.is_some() || rule.mode == Mode::Shadow => {
                "no run would start".to_owned()
            }
            Some(note) => format!("no new run now: {}", note.text),
            None => "the next occasion starts a run".to_owned(),
        };
        let last = self.work.last.as_ref().map(|last| LastOccasion {
            at: last.at,
            utc: format!("{}Z", Tai(last.at).utc_iso()),
            outcome: last.outcome.note(),
        });
        TriggerState {
            on: self.occasion_words(),
            decision,
            when,
            notes,
            running,
            queued: self.work.queue.len(),
            last,
        }
    }

    fn occasion_words(&self) -> String {
        match &self.rule.trigger.on {
            Occasion::Each(inputs) => {
                let names: Vec<&str> =
                    inputs.iter().map(|i| self.rule.code.inputs[*i].name.as_str()).collect();
                format!("each message of {}", names.join(", "))
            }
            Occasion::Every(period) => format!("every {} s", period.as_secs_f64()),
            Occasion::Cron(cron) => format!("cron \"{}\" in {}", cron.text(), cron.zone()),
            Occasion::Manual => "by hand only".to_owned(),
            Occasion::Edge => "the moment `when` becomes true".to_owned(),
        }
    }

    fn alarm_state(&self, now: f64) -> Option<AlarmState> {
        let alarm = self.rule.code.alarm.as_ref()?;
        let frozen =
            self.fed.as_ref().filter(|_| alarm.fed_by_tasks).map(|f| Frozen::of(&self.rule.code, &f.1));
        let env = match &frozen {
            Some(frozen) => frozen.env(&self.memory, now),
            None => self.env(now),
        };
        let mut state = AlarmState::default();
        if let Some((severity, reason)) = &self.said {
            state.severity = severity.name().to_owned();
            state.reason.clone_from(reason);
        }
        if alarm.fed_by_tasks && self.fed.is_none() {
            let text = "it is judged on the results of a run, and there is none to judge";
            state.notes.push(Note::new("no_run", text));
        }
        state.gate = self.stated(&Place::Gate, "gate", &env);
        if let (Some(gate), Some((_, otherwise))) = (&state.gate, &alarm.gate) {
            let closed = match otherwise {
                OnIdle::Clear => "the alarm is NONE",
                OnIdle::Hold => "the alarm stays as it is",
            };
            match gate.term.truth() {
                Some(true) => {}
                Some(false) => {
                    let text = format!("the gate is closed, {closed}: {}", deciding(&gate.term));
                    state.notes.push(Note::new("gate", text));
                }
                None => {
                    let why = gate.term.unknown.as_deref().unwrap_or("it has no value");
                    let text = format!("the gate is unknown, the alarm stays as it is: {why}");
                    state.notes.push(Note::new("gate", text));
                }
            }
        }
        for (i, (condition, memory)) in alarm.conditions.iter().zip(&self.conditions).enumerate() {
            state.conditions.push(self.judged(i, condition, memory, &env));
        }
        let unknown = state.conditions.iter().flat_map(|c| &c.notes).find(|n| n.why == "unknown");
        let held = state.conditions.iter().flat_map(|c| &c.notes);
        let held = held.filter(|n| ["hold", "hysteresis"].contains(&n.why.as_str()));
        let why = state.notes.iter().chain(unknown).chain(held).next();
        let said = if state.severity.is_empty() { "not judged yet" } else { state.severity.as_str() };
        let because = match (why, state.reason.is_empty()) {
            (Some(note), _) => format!(": {}", note.text),
            (None, false) => format!(": {}", state.reason),
            (None, true) => state.conditions.iter().find_map(short).unwrap_or_default(),
        };
        state.decision = format!("the alarm is {said}{because}");
        Some(state)
    }

    fn judged<'a>(&'a self, i: usize, condition: &'a Condition, memory: &CondState, env: &Env<'a>) -> Judged {
        let mut judged = Judged { severity: memory.held.name().to_owned(), ..Judged::default() };
        match &condition.verdict {
            Verdict::Levels { levels, direction, unit, .. } => {
                judged.terms.extend(self.stated(&Place::Value(i), "value", env));
                let sign = if *direction == Direction::Above { ">" } else { "<" };
                let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
                let limits: Vec<String> = [Severity::Warning, Severity::Serious, Severity::Critical]
                    .into_iter()
                    .filter_map(|s| Some(format!("{s} {sign} {}{unit}", levels.level(s)?)))
                    .collect();
                judged.notes.push(Note::new("levels", limits.join(", ")));
                let value = judged.terms.first().and_then(|s| s.term.value.as_f64());
                if let Some(value) = value
                    && levels.severity(value, Severity::None) != memory.raw
                    && levels.severity(value, memory.raw) == memory.raw
                {
                    let text = format!(
                        "hysteresis keeps {}: {value} has not come back far enough beyond the level",
                        memory.raw
                    );
                    judged.notes.push(Note::new("hysteresis", text));
                }
            }
            Verdict::Each(all) => {
                for (severity, ..) in all {
                    let said = severity.name().to_lowercase();
                    judged.terms.extend(self.stated(&Place::Level(i, *severity), &said, env));
                }
            }
            Verdict::Number(..) => {
                judged.terms.extend(self.stated(&Place::Severity(i), "severity", env));
            }
        }
        if let Some(why) = judged.terms.iter().find_map(|s| s.term.unknown.as_ref()) {
            let text = format!("unknown, so it stays {}: {why}", memory.held);
            judged.notes.push(Note::new("unknown", text));
        }
        if condition.hold > 0.0 && !memory.since.is_nan() {
            let (so_far, left) = (env.now - memory.since, memory.since + condition.hold - env.now);
            let text = format!(
                "{} must last {} s, it has for {so_far:.1} s; it counts in {:.1} s",
                memory.raw,
                condition.hold,
                left.max(0.0)
            );
            judged.notes.push(Note::new("hold", text));
        }
        judged
    }
}

/// A judgement in a few words.
fn short(judged: &Judged) -> Option<String> {
    let stated = judged.terms.first()?;
    let levels = judged.notes.iter().find(|n| n.why == "levels");
    let value = &stated.term.value;
    Some(match levels {
        Some(levels) => format!(": {} is {value} ({})", stated.term.text, levels.text),
        None => format!(": {}", deciding(&stated.term)),
    })
}

/// The terms that decided, in words.
fn deciding(term: &crate::rules::Term) -> String {
    let mut said: Vec<String> = Vec::new();
    for term in term.deciding() {
        let operands: Vec<String> = term
            .terms
            .iter()
            .filter(|t| !t.value.is_null() && !t.is_its_value())
            .map(|t| format!("{} = {}", t.text, t.value))
            .collect();
        let operands =
            if operands.is_empty() { String::new() } else { format!(" ({})", operands.join(", ")) };
        let note = term.note.as_ref().map_or(String::new(), |n| format!(" [{n}]"));
        said.push(format!("{} is {}{operands}{note}", term.text, term.value));
    }
    said.join(", ")
}
