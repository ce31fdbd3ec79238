//! A live run, recorded as the core loop does it, and replayed input by input: over a restart, with what operators did.

use serde_json::Value as Json;

use super::*;
use crate::core::{Command, Core, Input, Output, Recovery, Sender};
use crate::rules::Sample;
use crate::tasks::call::{StepCall, StepOutcome, StepReport, StepReportKind};

const RULES: &str = r#"rules:
  - name: Wind
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed, max_age: 30s}}
    alarm:
      levels: {warning: "hold(wind > 10.0, 3s)", critical: "wind > 20.0"}
      latch: level
      reason: "wind {{ wind }}"
  - name: Job
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    parameters: {pipeline: a.yaml}
    trigger: {when: "wind > 15.0", cooldown: 20s}
    tasks: {job: {ocps: {index: 1, pipeline: "{{ parameters.pipeline }}", data_query: "x"}}}
    alarm: {value: tasks.job.result.exit_code, levels: {serious: 0.5}}
  - name: Try
    mode: shadow
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    alarm: {value: wind, levels: {warning: 12.0}}
"#;

const ADDED: &str = r#"rules:
  - name: Added
    by: string(wind.salIndex)
    inputs: {wind: {topic: "ESS:*.tel_airFlow"}}
    alarm: {value: wind.speed, levels: {serious: 8.0}}
"#;

/// A process and what it leaves behind.
struct Live {
    bed: Bed,
    core: Core,
    collector: Collector,
    journal: BTreeMap<String, Json>,
    configured: Vec<Arc<Rule>>,
    now: Tai,
    going: Vec<StepCall>,
    offset: i64,
    answers: Vec<Result<String, String>>,
}

impl Live {
    fn new() -> Live {
        let mut live = Live {
            bed: Bed::new(),
            core: Core::new(Tai(T0)),
            collector: Collector::default(),
            journal: BTreeMap::new(),
            configured: rules(RULES),
            now: Tai(T0),
            going: Vec::new(),
            offset: 0,
            answers: Vec::new(),
        };
        live.begin();
        live
    }

    fn begin(&mut self) {
        self.core = Core::new(self.now);
        self.collector = Collector::default();
        self.going.clear();
        self.control(&Control::Begin { entries: self.journal.clone() });
        let one = |name: &str, text: &str| {
            rules(text).into_iter().find(|r| r.name == name).ok_or_else(|| "no such rule".to_owned())
        };
        let mut out = Vec::new();
        let recovery = Recovery { entries: &self.journal, compile: &one };
        assert_eq!(self.core.recover(&recovery, self.now, &mut out), Vec::<String>::new());
        self.carry_out(out);
        let (rules, settings) = (self.configured.clone(), Settings::default());
        self.input(Input::Configure { rules, settings });
        self.input(Input::Resume);
        self.input(Input::Enable);
    }

    /// The process dies; another one goes on after some time.
    fn restart(&mut self, down_s: f64) {
        self.now = Tai(self.now.0 + down_s);
        let bed = std::mem::replace(&mut self.bed, Bed::new());
        self.bed = bed.restart(self.now.0 - T0);
        self.begin();
    }

    fn control(&mut self, control: &Control) {
        let json = serde_json::to_string(control).unwrap();
        self.bed.item(&ItemRef::Control { at: self.now, json: &json });
    }

    fn input(&mut self, input: Input<'_>) {
        if matches!(input, Input::Tick) {
            self.bed.item(&ItemRef::Tick { at: self.now });
        } else if let Some(control) = Control::of(&input) {
            self.control(&control);
        }
        let mut out = Vec::new();
        self.core.step(input, self.now, &mut out);
        self.carry_out(out);
    }

    fn carry_out(&mut self, mut out: Vec<Output>) {
        if self.core.checkpoint_due() {
            self.core.step(Input::Checkpoint, self.now, &mut out);
        }
        let mut news = Vec::new();
        for output in &out {
            self.collector.take(output, &self.core, self.now, &mut news);
        }
        for transition in &news {
            let json = serde_json::to_string(transition).unwrap();
            self.bed.item(&ItemRef::Transition { at: transition.at, json: &json });
        }
        for output in out {
            match output {
                Output::Record(record) => match record.value {
                    Some(value) => drop(self.journal.insert(record.key, value)),
                    None => drop(self.journal.remove(&record.key)),
                },
                Output::Dispatch(call) | Output::Resume(call) => self.going.push(*call),
                Output::Answer { answer, .. } => self.answers.push(answer),
                Output::Resubscribe if self.core.enabled() && self.core.is_filling() => {
                    self.input(Input::CaughtUp);
                }
                _ => {}
            }
        }
    }

    fn to(&mut self, at: f64) {
        let until = Tai(T0 + at);
        while let Some(due) = self.core.next_deadline().filter(|due| due.0 <= until.0) {
            self.now = Tai(due.0.max(self.now.0));
            self.input(Input::Tick);
        }
        self.now = until;
    }

    fn wind(&mut self, at: f64, speed: f64) {
        self.to(at);
        self.bed.wind(at, speed);
        let needs = &self.core.subscriptions().topics[0];
        let cell = |need: &crate::rules::FieldNeed| match need.name.as_str() {
            "salIndex" => Value::Int(301),
            "private_sndStamp" => Value::Double(self.now.0),
            _ => Value::Double(speed),
        };
        let cells: Vec<Value> = needs.fields.iter().map(cell).collect();
        let sample = Sample {
            topic: crate::rules::TopicId(0),
            sal_index: 301,
            sent: self.now,
            received: self.now,
            partition: 0,
            offset: self.offset,
            cells: &cells,
        };
        self.offset += 1;
        let mut out = Vec::new();
        self.core.step(Input::Sample(&sample), self.now, &mut out);
        self.carry_out(out);
    }

    fn command(&mut self, command: Command) {
        self.input(Input::Command { ticket: 7, command });
        let answer = self.answers.pop().expect("a command is answered");
        assert!(answer.is_ok(), "{answer:?}");
    }

    fn end_step(&mut self, exit_code: i64) {
        let call = self.going.remove(0);
        let result = serde_json::json!({"job_id": "j", "exit_code": exit_code, "outcome": "", "result": {}});
        let outcome = StepOutcome { result, ..StepOutcome::default() };
        let kind = StepReportKind::Ended(Ok(outcome));
        self.input(Input::Report(StepReport { id: call.id, kind }));
    }
}

fn again(bytes: &[u8]) -> (Vec<Transition>, Vec<Transition>, Option<String>) {
    let library = Library::embedded();
    let mut exact = Exact::new(&library);
    let mut reader = Reader::open(Cursor::new(bytes)).unwrap();
    while let Some(item) = reader.next_item().unwrap() {
        exact.item(&item).unwrap();
    }
    let difference = exact.difference().map(|d| format!("{d:?}"));
    (exact.live().to_vec(), exact.transitions().to_vec(), difference)
}

fn acknowledge(alarm: &str) -> Command {
    Command::Acknowledge { alarm: alarm.into(), severity: 4, user: "observer".into() }
}

#[test]
fn a_live_run_with_operators_and_a_restart_is_replayed_bit_by_bit() {
    let mut live = Live::new();
    let sender = || Sender { identity: "me@here".into(), origin: 4711, seq_num: 99 };
    live.wind(1.0, 5.0);
    live.wind(2.0, 12.125);
    live.wind(8.0, 13.0);
    let mute = Command::Mute { alarm: "Wind".into(), duration_s: 12.3, severity: 2, user: "observer".into() };
    live.command(mute);
    live.wind(9.0, 25.0);
    live.end_step(1);
    live.command(acknowledge("Wind|Job"));
    live.command(Command::AddRule { rules: rules(ADDED), enabled: true });
    live.wind(10.0, 9.0);
    live.command(acknowledge("Added\\..*"));
    live.command(Command::PromoteRule { rule: "Try".into() });
    live.wind(30.0, 25.0);
    live.command(Command::DisableRule { rule: "Try".into(), reason: "noisy".into() });
    live.restart(7.5);
    assert!(live.core.alarms().get("Added.301").is_some(), "what was added is there again");
    live.end_step(0);
    live.wind(45.0, 26.0);
    live.command(Command::EnableRule { rule: "Try".into() });
    live.command(Command::Unacknowledge { alarm: "Wind".into() });
    live.command(Command::MuteWindow {
        alarm: "Added.*".into(),
        start: Tai(T0 + 50.0),
        end: Tai(T0 + 60.1),
        severity: 3,
        user: "observer".into(),
        reason: "tests".into(),
    });
    live.wind(55.0, 1.0);
    live.wind(56.0, 16.0);
    let parameters = r#"{"pipeline": "b.yaml"}"#.to_owned();
    live.command(Command::Trigger { rule: "Job".into(), parameters, sender: sender() });
    let queued = live.core.runs().active().last().map(|run| run.id().to_owned()).unwrap();
    live.command(Command::CancelTask { task_id: queued, reason: "enough".into() });
    live.wind(70.0, 30.0);
    live.command(Command::RemoveRule { rule: "Added".into() });
    live.wind(120.0, 2.0);
    live.to(200.0);
    let (live, replayed, difference) = again(&live.bed.finish());
    assert_eq!(difference, None);
    assert_eq!(live, replayed);
    let kinds: Vec<&str> = live.iter().map(|t| t.what.word()).collect();
    for kind in ["alarm", "acknowledged", "muted", "run starts", "run ends", "step ends"] {
        assert!(kinds.contains(&kind), "{kind}: {:#?}", told(&live));
    }
    let of = |rule: &str| live.iter().filter(|t| t.rule == rule).count();
    assert!(of("Added") > 2 && of("Try") > 1, "{:#?}", told(&live));
    let after = live.iter().filter(|t| t.at.0 > T0 + 37.5).count();
    assert!(after > 5, "things happen after the restart: {:#?}", told(&live));
}

#[test]
fn a_recording_that_lacks_what_an_operator_did_does_not_agree() {
    let mut live = Live::new();
    live.wind(1.0, 25.0);
    // Not recorded.
    let mut out = Vec::new();
    let command = Command::Acknowledge { alarm: "Wind".into(), severity: 4, user: "observer".into() };
    live.core.step(Input::Command { ticket: 1, command }, live.now, &mut out);
    live.carry_out(out);
    let (.., difference) = again(&live.bed.finish());
    let difference = difference.expect("the acknowledgement is missing");
    assert!(difference.contains("Acknowledged"), "{difference}");
}
