//! The core with compiled rules, a journal in memory and steps that end when the test says so.

mod commands;
mod crash;
mod explain;
mod fan;
mod flow;
mod history;
mod keys;
mod links;
mod live;
mod missed;
mod storm;
mod tell;
mod watcher;

use std::collections::BTreeMap;
use std::sync::Arc;

use salobj::{Tai, Value};
use serde_json::{Value as Json, json};

use super::*;
use crate::rules::{SourceFile, compile};
use crate::tasks::call::{StepError, StepOutcome, StepReportKind};

const RULES: &str = r#"
rules:
  - name: Level
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    alarm: {value: wind, levels: {warning: 15.0, critical: 25.0}, reason: "wind {{ value }}"}
  - name: Edge
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    parameters: {pipeline: a.yaml}
    trigger: {when: "wind > 10.0"}
    tasks:
      job: {ocps: {index: 1, pipeline: "{{ parameters.pipeline }}", data_query: "wind {{ wind }}"}, timeout: 5m}
    alarm: {value: "tasks.job.result.exit_code", levels: {warning: 0.5}, reason: "exit {{ value }}"}
    report: {from: always}
"#;

/// `Level` with other limits, as `addRule` gives it.
const LEVEL_2: &str = r#"
rules:
  - name: Level
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    alarm: {value: wind, levels: {serious: 5.0}}
"#;

fn rules(text: &str) -> Vec<Arc<Rule>> {
    let source = SourceFile { name: "rules.yaml".into(), text: text.into() };
    compile(&source, &sal_idl::Library::embedded()).unwrap()
}

/// A core and all around it.
struct World {
    core: Core,
    configured: Vec<Arc<Rule>>,
    journal: BTreeMap<String, Json>,
    now: Tai,
    events: Vec<Event>,
    answer: Option<Answer>,
    /// Steps that the driver has.
    going: Vec<StepCall>,
    /// Every step that was ever sent out for the first time.
    sent: Vec<StepId>,
    reports_wanted: Vec<String>,
    notices: Vec<crate::alarms::Notice>,
    /// Messages that they came in.
    messages: usize,
    history: Vec<AlarmTransition>,
    calls: Vec<crate::alarms::IncidentCall>,
    settings: Settings,
    offset: i64,
    wind: f64,
    /// The past is there as soon as it is wanted.
    fills: bool,
}

impl World {
    /// Configured, not enabled.
    fn new(text: &str) -> World {
        let now = Tai::from_utc_iso("2026-01-01T00:00:00").unwrap();
        let mut world = World {
            core: Core::new(now),
            configured: rules(text),
            journal: BTreeMap::new(),
            now,
            events: Vec::new(),
            answer: None,
            going: Vec::new(),
            sent: Vec::new(),
            reports_wanted: Vec::new(),
            notices: Vec::new(),
            messages: 0,
            history: Vec::new(),
            calls: Vec::new(),
            settings: Settings::default(),
            offset: 0,
            wind: f64::NAN,
            fills: true,
        };
        world.configure();
        world
    }

    fn enabled(text: &str) -> World {
        let mut world = World::new(text);
        world.step(Input::Enable);
        world
    }

    fn configure(&mut self) {
        let rules = self.configured.clone();
        let settings = self.settings.clone();
        self.step(Input::Configure { rules, settings });
    }

    fn step(&mut self, input: Input<'_>) {
        self.step_until(input, true);
    }

    /// As the core loop does it: records with the rules' states first, then the rest, unless the process dies between.
    fn step_until(&mut self, input: Input<'_>, carry_out: bool) {
        let mut out = Vec::new();
        self.core.step(input, self.now, &mut out);
        self.carry_out(out, carry_out);
    }

    fn carry_out(&mut self, mut out: Vec<Output>, all: bool) {
        if self.core.checkpoint_due() || out.iter().any(|o| matches!(o, Output::Record(_))) {
            self.core.step(Input::Checkpoint, self.now, &mut out);
        }
        for output in &out {
            if let Output::History(transition) = output {
                self.history.push((**transition).clone());
            }
            if let Output::Record(record) = output {
                match &record.value {
                    Some(value) => drop(self.journal.insert(record.key.clone(), value.clone())),
                    None => drop(self.journal.remove(&record.key)),
                }
            }
        }
        for output in out.into_iter().filter(|_| all) {
            match output {
                Output::Dispatch(call) => {
                    self.sent.push(call.id.clone());
                    self.going.push(*call);
                }
                Output::Resume(call) => self.going.push(*call),
                Output::Abort { id, stop } => {
                    if self.going.iter().any(|call| call.id == id) {
                        self.end(&id, Err(stop.error("")));
                    }
                }
                Output::Publish(event) => self.events.push(event),
                Output::Answer { answer, .. } => self.answer = Some(answer),
                Output::WriteReport { run_id } => self.reports_wanted.push(run_id),
                Output::Notify(bundle) => {
                    self.messages += 1;
                    self.notices.extend(bundle.0);
                }
                Output::Incident(call) => self.calls.push(call),
                Output::Resubscribe if self.fills && self.core.enabled() && self.core.is_filling() => {
                    self.step(Input::CaughtUp);
                }
                Output::Record(_)
                | Output::History(_)
                | Output::Resubscribe
                | Output::Warn(_)
                | Output::Note(_) => {}
            }
        }
    }

    fn end(&mut self, id: &StepId, outcome: Result<StepOutcome, StepError>) {
        self.going.retain(|call| call.id != *id);
        self.step(Input::Report(StepReport { id: id.clone(), kind: StepReportKind::Ended(outcome) }));
    }

    /// The oldest step that is going ends with this exit code as its result.
    fn end_first(&mut self, exit_code: i64) {
        let Some(call) = self.going.first() else { return };
        let id = call.id.clone();
        let result = json!({"job_id": "j", "exit_code": exit_code, "outcome": "", "result": {}});
        self.end(&id, Ok(StepOutcome { result, ..StepOutcome::default() }));
    }

    fn wind(&mut self, wind: f64) {
        self.wind_until(wind, true);
    }

    fn wind_until(&mut self, wind: f64, carry_out: bool) {
        self.wind = wind;
        let needs = &self.core.subscriptions().topics;
        let Some(at) = needs.iter().position(|t| t.sal_name == "airFlow") else { return };
        let cells: Vec<Value> = needs[at].fields.iter().map(|_| Value::Double(wind)).collect();
        let sample = Sample {
            topic: crate::rules::TopicId(at as u32),
            sal_index: 301,
            sent: self.now,
            received: self.now,
            partition: 0,
            offset: self.offset,
            cells: &cells,
        };
        self.offset += 1;
        self.step_until(Input::Sample(&sample), carry_out);
    }

    fn wait(&mut self, seconds: f64) {
        let until = Tai(self.now.0 + seconds);
        while let Some(due) = self.core.next_deadline().filter(|due| due.0 <= until.0) {
            self.now = Tai(due.0.max(self.now.0));
            self.step(Input::Tick);
        }
        self.now = until;
    }

    fn command(&mut self, command: Command) -> Answer {
        self.answer = None;
        self.step(Input::Command { ticket: 1, command });
        self.answer.take().expect("every command is answered")
    }

    fn trigger(&mut self, seq_num: i64) -> Answer {
        let sender = Sender { identity: "me".into(), origin: 7, seq_num };
        self.command(Command::Trigger { rule: "Edge".into(), parameters: String::new(), sender })
    }

    fn add(&mut self, text: &str, enabled: bool) -> Answer {
        self.command(Command::AddRule { rules: rules(text), enabled })
    }

    /// The process dies and starts again, up to `start`: what is not in the journal is forgotten.
    fn restart(&mut self) {
        self.core = Core::new(self.now);
        self.going.clear();
        self.calls.clear();
        let compiled = |name: &str, text: &str| {
            let all = rules(text);
            all.into_iter().find(|r| r.name == name).ok_or_else(|| format!("no {name}"))
        };
        let entries = self.journal.clone();
        let mut out = Vec::new();
        let problems =
            self.core.recover(&Recovery { entries: &entries, compile: &compiled }, self.now, &mut out);
        assert!(problems.is_empty(), "{problems:?}");
        self.carry_out(out, true);
        self.configure();
        self.step(Input::Resume);
    }

    fn severity(&self, alarm: &str) -> i64 {
        self.core.alarms().get(alarm).map_or(0, |a| a.severity.into())
    }

    fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }
}
