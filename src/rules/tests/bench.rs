//! A small bench: rules, a virtual clock, messages by field, effects as text.

use std::sync::Arc;

use salobj::{Tai, Value};
use serde_json::json;

use crate::rules::*;

pub(super) struct Bench {
    pub(super) engine: Engine,
    pub(super) rules: Vec<Arc<Rule>>,
    pub(super) now: Tai,
    pub(super) start: Tai,
    pub(super) effects: Vec<Effect>,
    offset: i64,
    /// Messages are of the past.
    pub(super) past: bool,
    /// The newest run: its rule, id and context.
    run: Option<(String, String, RunContext)>,
}

pub(super) fn compiled(text: &str) -> Vec<Arc<Rule>> {
    let file = SourceFile { name: "test.yaml".into(), text: text.into() };
    compile(&file, &sal_idl::Library::embedded())
        .unwrap_or_else(|all| panic!("{}", all.iter().map(|d| d.render(false)).collect::<String>()))
}

impl Bench {
    pub(super) fn new(text: &str) -> Bench {
        let rules = compiled(text);
        let start = Tai::from_utc_iso("2026-01-01T00:00:00").unwrap();
        Bench {
            engine: Engine::new(&rules, start),
            rules,
            now: start,
            start,
            effects: Vec::new(),
            offset: 0,
            past: false,
            run: None,
        }
    }

    /// Seconds since the start.
    pub(super) fn at(&mut self, seconds: f64) -> &mut Bench {
        let target = Tai(self.start.0 + seconds);
        while let Some(due) = self.engine.next_deadline().filter(|d| d.0 <= target.0) {
            self.now = due;
            self.engine.step(Input::Tick, due, &mut self.effects);
        }
        self.now = target;
        self
    }

    /// A message now; fields that are not named are null.
    pub(super) fn send(&mut self, topic: &str, index: i64, fields: &[(&str, Value)]) -> &mut Bench {
        self.send_as(topic, index, fields, self.now)
    }

    pub(super) fn send_as(
        &mut self,
        topic: &str,
        index: i64,
        fields: &[(&str, Value)],
        sent: Tai,
    ) -> &mut Bench {
        let (component, sal_name) = topic.split_once('.').unwrap();
        let needs = &self.engine.subscriptions().topics;
        let id = needs.iter().position(|t| t.component == component && t.sal_name == sal_name).expect(topic);
        let cells: Vec<Value> = needs[id]
            .fields
            .iter()
            .map(|need| fields.iter().find(|(n, _)| *n == need.name).map_or(Value::Null, |(_, v)| v.clone()))
            .collect();
        self.offset += 1;
        let sample = Sample {
            topic: TopicId(id as u32),
            sal_index: index,
            sent,
            received: self.now,
            partition: 0,
            offset: self.offset,
            cells: &cells,
        };
        let input = if self.past { Input::History(&sample) } else { Input::Sample(&sample) };
        self.engine.step(input, self.now, &mut self.effects);
        self
    }

    pub(super) fn wind(&mut self, speed: f64) -> &mut Bench {
        self.send("ESS.airFlow", 301, &[("speed", Value::Double(speed))])
    }

    pub(super) fn step_ended(&mut self, rule: &str, step: &str, result: serde_json::Value) -> &mut Bench {
        self.take_runs();
        let (_, run_id, mut ctx) = self.run.clone().filter(|r| r.0 == rule).expect("a run was started");
        ctx.tasks.insert(step.into(), json!({"state": "succeeded", "result": result}));
        let input = Input::StepEnded { rule, run_id: &run_id, ctx: &ctx };
        self.engine.step(input, self.now, &mut self.effects);
        self.engine.step(Input::RunEnded { rule, run_id: &run_id }, self.now, &mut self.effects);
        self
    }

    fn take_runs(&mut self) {
        for effect in &self.effects {
            if let Effect::StartRun(r) = effect {
                self.run = Some((r.rule.name.clone(), r.run_id.clone(), r.context.clone()));
            }
        }
    }

    /// What happened since the last call, one word or line each.
    pub(super) fn take(&mut self) -> Vec<String> {
        self.take_runs();
        let told = self.effects.iter().map(|e| match e {
            Effect::StartRun(r) => format!("start {}", r.occurrence.split(':').next().unwrap_or("")),
            Effect::QueueRun(r) => format!("queue {}", r.occurrence.split(':').next().unwrap_or("")),
            Effect::SkipRun { reason, .. } => format!("skip: {reason}"),
            Effect::KeySeen { alarm, .. } => format!("key {alarm}"),
            Effect::KeyGone { alarm, .. } => format!("gone {alarm}"),
            Effect::CancelRun { .. } => "cancel".to_owned(),
            Effect::SetSeverity { severity, reason, .. } => format!("{severity} {reason}").trim().to_owned(),
            Effect::RuleError { error, .. } => format!("error: {}", error.as_deref().unwrap_or("-")),
            Effect::Quarantine { reason, .. } => format!("quarantine: {reason}"),
        });
        let told = told.collect();
        self.effects.clear();
        told
    }
}
