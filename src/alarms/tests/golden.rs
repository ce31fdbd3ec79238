//! The state machine against what the Watcher's own alarm did: every return, every publication with its time and whole
//! state, every deadline. `CATCHER_ALARM_TRACES` names further trace files (separated by colons; gzip or plain), e.g.
//! fresh ones made by `tests/interop/alarm_traces.py`.

use std::path::Path;
use std::time::Duration;

use salobj::Tai;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{data, text_of};
use crate::alarms::{Alarm, AlarmConfig, AlarmState, Escalate, Outcome, Refusal, Severity, Timer};

/// Times in the files are rounded to 1e-4 s, and so are the times that they were reckoned from.
const TOLERANCE_S: f64 = 1.5e-4;

/// Start of each trace.
const START: f64 = 1_000.0;

#[derive(Deserialize)]
struct Trace {
    config: Config,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
struct Config {
    aa: f64,
    au: f64,
    ed: f64,
    er: String,
}

#[derive(Deserialize)]
struct Step {
    op: String,
    args: Vec<Value>,
    t: f64,
    ret: Option<bool>,
    err: Option<String>,
    cb: Vec<Publication>,
    state: Map<String, Value>,
    nominal: bool,
    esc_timer: bool,
    aa_timer: bool,
    au_timer: bool,
    mute_timer: bool,
}

#[derive(Deserialize)]
struct Publication {
    t: f64,
    state: Map<String, Value>,
}

#[derive(Default, Debug, PartialEq)]
struct Seen {
    traces: usize,
    steps: usize,
    publications: usize,
    fired: usize,
    refused: usize,
}

#[test]
fn recorded_traces_are_met() {
    let seen = run_text("alarm_traces.jsonl.gz", &data("alarm_traces.jsonl.gz"));
    assert_eq!((seen.traces, seen.steps), (300, 4203), "the file is whole");
    assert!(seen.publications > 1000 && seen.fired > 50 && seen.refused > 50, "{seen:?}");
}

#[test]
fn further_traces_are_met() {
    let Ok(files) = std::env::var("CATCHER_ALARM_TRACES") else {
        println!("SKIPPED: CATCHER_ALARM_TRACES names no further trace files");
        return;
    };
    for file in files.split(':').filter(|file| !file.is_empty()) {
        let seen = run_text(file, &text_of(Path::new(file)));
        assert!(seen.steps > 0, "{file} holds no steps");
        println!("{file}: {seen:?}");
    }
}

#[test]
fn a_wrong_trace_is_noticed() {
    let text = data("alarm_traces.jsonl.gz");
    for (right, wrong) in [
        ("\"timestamp_unmute\":101.0085", "\"timestamp_unmute\":101.0185"),
        ("\"aa_timer\":true", "\"aa_timer\":false"),
        ("\"err\":\"ValueError\"", "\"err\":null"),
    ] {
        let line = text.lines().find(|line| line.contains(right)).unwrap();
        run_text("unchanged", line);
        let changed = line.replacen(right, wrong, 1);
        assert!(
            std::panic::catch_unwind(|| run_text("changed", &changed)).is_err(),
            "{wrong} was not noticed"
        );
    }
}

fn run_text(file: &str, text: &str) -> Seen {
    let mut seen = Seen::default();
    for (line, text) in text.lines().enumerate() {
        let trace: Trace = serde_json::from_str(text).unwrap_or_else(|e| panic!("{file}:{}: {e}", line + 1));
        run_trace(&format!("{file}:{}", line + 1), &trace, &mut seen);
        seen.traces += 1;
    }
    seen
}

fn run_trace(place: &str, trace: &Trace, seen: &mut Seen) {
    let c = &trace.config;
    let mut alarm = Alarm::new(AlarmConfig {
        auto_acknowledge: Duration::from_secs_f64(c.aa),
        auto_unacknowledge: Duration::from_secs_f64(c.au),
        escalate: (!c.er.is_empty()).then(|| Escalate::new(&*c.er, Duration::from_secs_f64(c.ed)).unwrap()),
        ..AlarmConfig::default()
    });
    for (number, step) in trace.steps.iter().enumerate() {
        let place = format!("{place} step {number} ({} {:?} at {})", step.op, step.args, step.t);
        let mut published = Vec::new();
        let now = Tai(START + step.t);
        let result = operate(&mut alarm, step, now);
        if let Ok(outcome) = result
            && outcome.publish
        {
            published.push((now, alarm.state().clone()));
        }
        let returns = matches!(step.op.as_str(), "sev" | "ack" | "unack");
        let ret = result.as_ref().ok().filter(|_| returns).map(|outcome| outcome.updated);
        assert_eq!(ret, step.ret, "{place}: returned");
        assert_eq!(result.is_err(), step.err.is_some(), "{place}: refused");
        seen.refused += usize::from(result.is_err());

        let wait = if step.op == "wait" { step.args[0].as_f64().unwrap() } else { 0.0 };
        let end = trace.steps.get(number + 1).map_or(step.t + wait, |next| next.t);
        while let Some((due, _)) = alarm.next_deadline().filter(|(due, _)| due.0 <= START + end) {
            let (_, outcome) = alarm.fire(due).unwrap();
            seen.fired += 1;
            if outcome.publish {
                published.push((due, alarm.state().clone()));
            }
        }

        assert_eq!(published.len(), step.cb.len(), "{place}: publications");
        for ((when, state), expected) in published.iter().zip(&step.cb) {
            assert!((when.0 - START - expected.t).abs() < TOLERANCE_S, "{place}: published at {when:?}");
            compare(&format!("{place} publication"), state, &expected.state);
        }
        compare(&place, alarm.state(), &step.state);
        assert_eq!(alarm.nominal(), step.nominal, "{place}: nominal");
        for (timer, armed) in [
            (Timer::AutoAcknowledge, step.aa_timer),
            (Timer::AutoUnacknowledge, step.au_timer),
            (Timer::Escalate, step.esc_timer),
            (Timer::Unmute, step.mute_timer),
        ] {
            assert_eq!(alarm.deadline(timer).is_some(), armed, "{place}: {timer:?} armed");
        }
        seen.steps += 1;
        seen.publications += published.len();
    }
}

fn operate(alarm: &mut Alarm, step: &Step, now: Tai) -> Result<Outcome, Option<Refusal>> {
    let number = |i: usize| step.args[i].as_f64().unwrap();
    let severity = |i: usize| Severity::try_from(step.args[i].as_i64().unwrap()).map_err(|_| None);
    let text = |i: usize| step.args[i].as_str().unwrap();
    let quiet = Outcome { updated: false, publish: false };
    Ok(match step.op.as_str() {
        "sev" => alarm.set_severity(severity(0)?, text(1), now),
        "ack" => alarm.acknowledge(severity(0)?, text(1), now)?,
        "unack" => alarm.unacknowledge(now),
        "mute" => alarm.mute(number(0), severity(1)?, text(2), now)?,
        "unmute" => alarm.unmute(now),
        "reset" => {
            alarm.reset();
            quiet
        }
        "wait" => quiet,
        other => panic!("unknown operation {other}"),
    })
}

fn compare(place: &str, state: &AlarmState, expected: &Map<String, Value>) {
    let ours = as_recorded(state);
    for (field, theirs) in expected {
        let ours = ours.get(field).unwrap_or_else(|| panic!("{place}: unknown field {field}"));
        let equal = match (ours.as_f64(), theirs.as_f64()) {
            // The integer 0 stands for "not set", as opposed to 0.0, the start of the trace.
            (Some(a), Some(b)) => ours.is_i64() == theirs.is_i64() && (a - b).abs() < TOLERANCE_S,
            _ => ours == theirs,
        };
        assert!(equal, "{place}: {field} is {ours}, the Watcher has {theirs}");
    }
    assert_eq!(ours.len(), expected.len(), "{place}: fields");
}

fn as_recorded(s: &AlarmState) -> Map<String, Value> {
    let stamp = |at: Option<Tai>| at.map_or(json!(0), |at| json!(at.0 - START));
    let fields = json!({
        "severity": i64::from(s.severity),
        "max_severity": i64::from(s.max_severity),
        "reason": s.reason,
        "acknowledged": s.acknowledged,
        "acknowledged_by": s.acknowledged_by,
        "do_escalate": s.do_escalate,
        "escalated_id": s.escalated_id,
        "muted_severity": i64::from(s.muted_severity),
        "muted_by": s.muted_by,
        "timestamp_severity_oldest": stamp(s.timestamp_severity_oldest),
        "timestamp_severity_newest": stamp(s.timestamp_severity_newest),
        "timestamp_max_severity": stamp(s.timestamp_max_severity),
        "timestamp_acknowledged": stamp(s.timestamp_acknowledged),
        "timestamp_auto_acknowledge": stamp(s.timestamp_auto_acknowledge),
        "timestamp_auto_unacknowledge": stamp(s.timestamp_auto_unacknowledge),
        "timestamp_escalate": stamp(s.timestamp_escalate),
        "timestamp_unmute": stamp(s.timestamp_unmute),
    });
    match fields {
        Value::Object(map) => map,
        _ => unreachable!("it was written as an object"),
    }
}
