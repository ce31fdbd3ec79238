//! What rules read of each other and of the EFD, brought to the engine as samples: alarms when they change, results when
//! a step succeeds, tables when they were asked for.
//!
//! Every change is worked off before the step of the core ends. Rules cannot read each other in a circle (that is
//! refused when they come), so this comes to an end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use salobj::{Tai, Value};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{Core, Output};
use crate::alarms::AlarmSnapshot;
use crate::journal::Record;
use crate::rules::{
    Effect, FieldNeed, Input as RuleInput, LinkProblem, Part, Rule, Sample, Source, TopicId, TopicNeed,
    check_links, json_value,
};

/// Prefix of the journal entries with results that rules read.
const RESULT: &str = "result/";

/// The last result of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct StepResult {
    at: Tai,
    result: Json,
}

/// What is read that is not on the bus.
#[derive(Debug, Default)]
pub(super) struct Links {
    alarms: BTreeMap<String, u32>,
    steps: BTreeMap<String, u32>,
    queries: BTreeMap<String, u32>,
    /// Those of them that the EFD could not answer when it was last asked, and why.
    failures: BTreeMap<String, String>,
    /// Last results of the steps that are read, by `Rule.step`.
    results: BTreeMap<String, StepResult>,
    /// Rules that say that something is wrong with what they read or are called.
    told: BTreeSet<String>,
    /// A test plays what rules read: that the others are not there is no mistake.
    alone: bool,
    /// Counts what was brought, so that each has a place of its own.
    offset: i64,
}

/// What a rule's input gets at a time: a value for each field of the message.
type Message<'a> = &'a dyn Fn(&str) -> Value;

impl Core {
    /// The rules have changed: what they read that is not on the bus. New ones get what is known.
    pub(super) fn link(&mut self, now: Tai, out: &mut Vec<Output>) {
        let (mut alarms, mut steps, mut queries) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for (id, topic) in (0u32..).zip(&self.engine.subscriptions().topics) {
            match topic.source() {
                Source::Sal | Source::Kafka(..) => {}
                Source::Alarm(name) => drop(alarms.insert(name.to_owned(), id)),
                Source::Task(name) => drop(steps.insert(name.to_owned(), id)),
                Source::Efd(text) => drop(queries.insert(text.to_owned(), id)),
            }
        }
        for name in self.links.results.keys().filter(|name| !steps.contains_key(*name)) {
            out.push(Output::Record(Record::delete(format!("{RESULT}{name}"))));
        }
        self.links.results.retain(|name, _| steps.contains_key(name));
        self.links.failures.retain(|query, _| queries.contains_key(query));
        (self.links.alarms, self.links.steps, self.links.queries) = (alarms, steps, queries);
        self.fill_links(now, out);
        self.tell_broken_links();
    }

    /// What is known of alarms and results, as the past of the rules that are new.
    fn fill_links(&mut self, now: Tai, out: &mut Vec<Output>) {
        let mut effects = Vec::new();
        for (name, id) in self.links.alarms.clone() {
            if let Some(alarm) = self.book.get(&name) {
                self.bring(id, now, true, &|field| of_alarm(&alarm, field), now, &mut effects);
            }
        }
        for (name, id) in self.links.steps.clone() {
            if !self.links.results.contains_key(&name)
                && let Some(found) = self.newest_result(&name)
            {
                self.keep_result(&name, found, out);
            }
            if let Some(known) = self.links.results.get(&name).cloned() {
                self.bring(id, known.at, true, &|field| of_result(&known.result, field), now, &mut effects);
            }
        }
        self.work_off(&mut effects, now, out);
    }

    /// Of a step that ran before anybody read it.
    fn newest_result(&self, name: &str) -> Option<StepResult> {
        let (rule, step) = name.rsplit_once('.')?;
        self.runs.finished().filter(|run| run.header.rule == rule).find_map(|run| {
            let ended = run.context.tasks.get(step).filter(|t| succeeded(t))?;
            Some(StepResult { at: run.finished?, result: ended.get("result")?.clone() })
        })
    }

    fn keep_result(&mut self, name: &str, result: StepResult, out: &mut Vec<Output>) {
        let value = serde_json::to_value(&result).expect("plain data");
        out.push(Output::Record(Record::put(format!("{RESULT}{name}"), value)));
        self.links.results.insert(name.to_owned(), result);
    }

    /// From the journal.
    pub(super) fn recover_result(&mut self, name: &str, value: &Json) -> Result<(), serde_json::Error> {
        let result = serde_json::from_value(value.clone())?;
        self.links.results.insert(name.to_owned(), result);
        Ok(())
    }

    /// A step ended: those who read it hear of it if it succeeded.
    pub(super) fn step_result(
        &mut self,
        run_id: &str,
        step: &str,
        now: Tai,
        effects: &mut Vec<Effect>,
        out: &mut Vec<Output>,
    ) {
        if self.links.steps.is_empty() {
            return;
        }
        let Some(run) = self.runs.get(run_id) else { return };
        let name = format!("{}.{step}", run.header.rule);
        let Some(id) = self.links.steps.get(&name).copied() else { return };
        let Some(ended) = run.context.tasks.get(step).filter(|t| succeeded(t)) else { return };
        let result = ended.get("result").cloned().unwrap_or_default();
        self.keep_result(&name, StepResult { at: now, result: result.clone() }, out);
        self.bring(id, now, false, &|field| of_result(&result, field), now, effects);
    }

    /// Alarms changed: those who read them hear of it; what follows from that is worked off, and further alarms that
    /// change are given back too, each in the order in which it changed.
    pub(super) fn changed_alarms(&mut self, now: Tai, out: &mut Vec<Output>) -> Vec<AlarmSnapshot> {
        let mut all = Vec::new();
        loop {
            let changed = self.book.take_changed();
            if changed.is_empty() {
                return all;
            }
            let mut effects = Vec::new();
            for alarm in &changed {
                if let Some(id) = self.links.alarms.get(&alarm.alarm_name).copied() {
                    self.bring(id, now, false, &|field| of_alarm(alarm, field), now, &mut effects);
                }
            }
            all.extend(changed);
            self.work_off(&mut effects, now, out);
        }
    }

    /// The EFD answered a query.
    pub(super) fn table(
        &mut self,
        query: &str,
        columns: &BTreeMap<String, Value>,
        now: Tai,
        out: &mut Vec<Output>,
    ) {
        self.query_failed(query, None);
        let Some(id) = self.links.queries.get(query).copied() else { return };
        let mut effects = Vec::new();
        self.bring(
            id,
            now,
            false,
            &|field| columns.get(field).cloned().unwrap_or_default(),
            now,
            &mut effects,
        );
        self.work_off(&mut effects, now, out);
    }

    /// The EFD could not answer, or can again: the rules that ask say so.
    pub(super) fn query_failed(&mut self, query: &str, reason: Option<&str>) {
        let failures = &mut self.links.failures;
        match reason {
            Some(reason) => drop(failures.insert(query.to_owned(), reason.to_owned())),
            None if failures.remove(query).is_none() => return,
            None => {}
        }
        let mut told = Vec::new();
        for (name, entry) in self.rules.iter() {
            let Some(rule) = entry.rule() else { continue };
            if rule.input_on(Source::Efd(query)).is_some() {
                let failed = self.links.failures.iter().find_map(|(query, reason)| {
                    let input = rule.input_on(Source::Efd(query))?;
                    Some(format!("input \"{input}\": the EFD does not answer: {reason}"))
                });
                told.push((name.to_owned(), failed));
            }
        }
        for (name, text) in told {
            if self.rules.set_note(&name, text) {
                self.changed_rules.insert(name);
            }
        }
    }

    /// The queries to be asked.
    pub fn queries(&self) -> impl Iterator<Item = &str> {
        self.links.queries.keys().map(String::as_str)
    }

    /// A sample for those who read it.
    fn bring(
        &mut self,
        id: u32,
        sent: Tai,
        past: bool,
        message: Message<'_>,
        now: Tai,
        effects: &mut Vec<Effect>,
    ) {
        let Some(topic) = self.engine.subscriptions().topics.get(id as usize) else { return };
        let cells = cells(topic, message, sent);
        // Later ones have later places, over a restart too.
        self.links.offset = ((now.0 * 1e6) as i64).max(self.links.offset + 1);
        let sample = Sample {
            topic: TopicId(id),
            sal_index: 0,
            sent,
            received: now,
            partition: 0,
            offset: self.links.offset,
            cells: &cells,
        };
        let input = match (past, self.enabled) {
            (true, _) => RuleInput::History(&sample),
            (false, true) => RuleInput::Sample(&sample),
            (false, false) => RuleInput::Quiet(&sample),
        };
        self.engine.step(input, now, effects);
    }

    /// Why these rules cannot be added beside the others; what was wrong before does not count.
    pub(super) fn refuse_links(&self, new: &[Arc<Rule>]) -> Result<(), String> {
        let now: Vec<Arc<Rule>> = self.rules.iter().filter_map(|(_, e)| e.rule().cloned()).collect();
        let mut then: Vec<Arc<Rule>> =
            now.iter().filter(|rule| new.iter().all(|n| n.name != rule.name)).cloned().collect();
        then.extend(new.iter().cloned());
        let before: Vec<LinkProblem> = check_links(&now);
        let known = |p: &LinkProblem| before.iter().any(|b| (&b.rule, &b.message) == (&p.rule, &p.message));
        let problems: Vec<String> =
            check_links(&then).iter().filter(|p| !known(p)).map(LinkProblem::to_string).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
    }

    /// Who reads a rule: the text of a refusal to remove it.
    pub(super) fn refuse_removal(&self, name: &str) -> Result<(), String> {
        let reader = self.rules.iter().filter(|(other, _)| *other != name).find_map(|(other, entry)| {
            let (_, input) = entry.rule()?.reads_rules().find(|(read, _)| {
                *read == name || read.strip_prefix(name).is_some_and(|key| key.starts_with('.'))
            })?;
            Some(format!(
                "rule '{name}' is read by rule '{other}' (input '{input}'); remove or change that first"
            ))
        });
        reader.map_or(Ok(()), Err)
    }

    /// In a test a rule has the core for itself, and whom it reads is played.
    pub fn play_links(&mut self) {
        self.links.alone = true;
    }

    /// A rule whose link leads nowhere (the configuration changed) says so.
    fn tell_broken_links(&mut self) {
        if self.links.alone {
            return;
        }
        let all: Vec<Arc<Rule>> = self.rules.iter().filter_map(|(_, e)| e.rule().cloned()).collect();
        let mut broken: BTreeMap<String, String> = BTreeMap::new();
        for problem in check_links(&all) {
            broken.entry(problem.rule).or_insert(format!("{}: {}", problem.place, problem.message));
        }
        let told = std::mem::take(&mut self.links.told);
        for rule in &all {
            let looks = rule.reads_rules().next().is_some() || rule.has_causes();
            if !(looks || broken.contains_key(&rule.name) || told.contains(&rule.name)) {
                continue;
            }
            let note = broken.remove(&rule.name);
            if note.is_some() {
                self.links.told.insert(rule.name.clone());
            }
            if self.rules.set_note(&rule.name, note) {
                self.changed_rules.insert(rule.name.clone());
            }
        }
    }
}

fn succeeded(step: &Json) -> bool {
    step.get("state").and_then(Json::as_str) == Some("succeeded")
}

fn cells(topic: &TopicNeed, message: Message<'_>, sent: Tai) -> Vec<Value> {
    let cell = |need: &FieldNeed| {
        if need.name == "private_sndStamp" {
            return Value::Double(sent.0);
        }
        match (message(&need.name), need.part) {
            (value, Part::Whole) => value,
            (Value::Doubles(v), Part::Element(i)) => v.get(i).map(|x| Value::Double(*x)).unwrap_or_default(),
            (Value::Texts(v), Part::Element(i)) => {
                v.get(i).map(|x| Value::Text(x.clone())).unwrap_or_default()
            }
            (Value::Doubles(v), Part::Slice(a, b)) => {
                v.get(a..b).map(|x| Value::Doubles(x.into())).unwrap_or_default()
            }
            (Value::Texts(v), Part::Slice(a, b)) => {
                v.get(a..b).map(|x| Value::Texts(x.into())).unwrap_or_default()
            }
            _ => Value::Null,
        }
    };
    topic.fields.iter().map(cell).collect()
}

fn of_alarm(alarm: &AlarmSnapshot, field: &str) -> Value {
    match field {
        "severity" => Value::Int(alarm.severity.into()),
        "maxSeverity" => Value::Int(alarm.max_severity.into()),
        "mutedSeverity" => Value::Int(alarm.muted_severity.into()),
        "acknowledged" => Value::Bool(alarm.acknowledged),
        "reason" => Value::Text(alarm.reason.as_str().into()),
        _ => Value::Null,
    }
}

fn of_result(result: &Json, field: &str) -> Value {
    result.get(field).map(json_value).unwrap_or_default()
}
