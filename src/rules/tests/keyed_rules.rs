//! Rules with `by`: one alarm, one set of runs, one memory for each key.

use proptest::prelude::*;
use salobj::Value;
use serde_json::{Map, json};

use super::bench::{Bench, compiled};
use crate::alarms::Severity;
use crate::rules::*;

const ALERTS: &str = "rules:
  - name: Alert
    by: alert.alertId
    inputs:
      alert: {topic: 'ATCamera.evt_alertRaised'}
    alarm:
      levels:
        warning: '!alert.isCleared && alert.currentSeverity == 2'
        serious: '!alert.isCleared && alert.currentSeverity == 3'
      reason: '{{ trigger.key }} is at {{ alert.currentSeverity }}'
";

fn text(value: &str) -> Value {
    Value::Text(value.into())
}

fn alert(bench: &mut Bench, id: &str, severity: i64, cleared: bool) {
    let fields = [
        ("alertId", text(id)),
        ("currentSeverity", Value::Int(severity)),
        ("isCleared", Value::Bool(cleared)),
    ];
    bench.send("ATCamera.logevent_alertRaised", 0, &fields);
}

fn named(bench: &mut Bench) -> Vec<String> {
    let alarm = |e: &Effect| match e {
        Effect::SetSeverity { alarm, severity, .. } => format!("{alarm} {severity}"),
        Effect::KeySeen { alarm, .. } => format!("{alarm} seen"),
        Effect::KeyGone { alarm, .. } => format!("{alarm} gone"),
        Effect::RuleError { error, .. } => format!("error {}", error.as_deref().unwrap_or("-")),
        other => panic!("{other:?}"),
    };
    let told = bench.effects.iter().map(alarm).collect();
    bench.effects.clear();
    told
}

#[test]
fn each_alert_has_its_alarm() {
    let mut bench = Bench::new(ALERTS);
    alert(&mut bench, "pump", 2, false);
    assert_eq!(bench.take(), ["key Alert.pump", "WARNING pump is at 2"]);
    alert(&mut bench, "valve", 3, false);
    assert_eq!(named(&mut bench), ["Alert.valve seen", "Alert.valve SERIOUS"]);
    alert(&mut bench, "valve", 3, true);
    assert_eq!(named(&mut bench), ["Alert.valve NONE"], "another's clearing leaves the pump as it is");
    alert(&mut bench, "pump", 3, false);
    assert_eq!(bench.take(), ["SERIOUS pump is at 3"]);
    alert(&mut bench, "", 3, false);
    assert!(bench.take().is_empty(), "an empty text is no key");
    let status = bench.engine.status("Alert").unwrap();
    assert_eq!((status.keys, status.dropped_keys), (2, 1));
    assert_eq!(bench.engine.alarms("Alert"), ["Alert.pump", "Alert.valve"]);
}

#[test]
fn a_silent_key_goes_after_a_day_unless_its_alarm_is_raised() {
    let mut bench = Bench::new(ALERTS);
    alert(&mut bench, "pump", 2, false);
    alert(&mut bench, "valve", 3, true);
    alert(bench.at(80_000.0), "pump", 2, false);
    bench.take();
    bench.at(86_399.0);
    assert!(bench.take().is_empty());
    bench.at(86_401.0);
    assert_eq!(named(&mut bench), ["Alert.valve gone"]);
    bench.at(400_000.0);
    assert!(bench.take().is_empty(), "the pump is still raised");
    alert(&mut bench, "pump", 2, true);
    bench.at(500_000.0);
    assert_eq!(named(&mut bench), ["Alert.pump NONE", "Alert.pump gone"]);
    alert(&mut bench, "pump", 2, false);
    assert_eq!(named(&mut bench), ["Alert.pump seen", "Alert.pump WARNING"]);
}

#[test]
fn a_rule_may_say_when_keys_go() {
    let mut bench = Bench::new(&ALERTS.replace("    by:", "    retire: 10m\n    by:"));
    alert(&mut bench, "pump", 2, false);
    alert(bench.at(300.0), "pump", 2, false);
    bench.take();
    bench.at(899.0);
    assert!(bench.take().is_empty());
    bench.at(901.0);
    assert_eq!(named(&mut bench), ["Alert.pump gone"], "raised or not");
    assert_eq!(bench.engine.next_deadline(), None);
}

#[test]
fn keys_are_bounded_and_quiet_ones_go_first() {
    let mut bench = Bench::new(ALERTS);
    for i in 0..1000 {
        alert(bench.at(f64::from(i)), &format!("{i:04}"), 2, i != 0);
    }
    bench.take();
    alert(bench.at(2000.0), "new", 2, true);
    assert_eq!(named(&mut bench), ["Alert.0001 gone", "Alert.new seen", "Alert.new NONE"], "0000 is raised");
    let status = bench.engine.status("Alert").unwrap();
    assert_eq!((status.keys, status.dropped_keys), (1000, 1));
}

const SHARED: &str = "rules:
  - name: Rh
    by: rh.sensorName
    inputs:
      rh: {topic: 'ESS:*.tel_relativeHumidity', field: relativeHumidityItem}
      wind: {topic: 'ESS:301.tel_airFlow', field: speed}
    alarm:
      levels: {warning: 'rh > 50.0 && wind < 5.0'}
";

fn humidity(bench: &mut Bench, sensor: &str, value: f64) {
    let fields = [("sensorName", text(sensor)), ("relativeHumidityItem", Value::Double(value))];
    bench.send("ESS.relativeHumidity", 1, &fields);
}

#[test]
fn inputs_without_a_part_in_the_key_are_for_all() {
    let mut bench = Bench::new(SHARED);
    humidity(&mut bench, "b", 60.0);
    assert_eq!(named(&mut bench), ["Rh.b seen", "error b: input \"wind\" has no value"]);
    bench.wind(3.0);
    assert_eq!(named(&mut bench), ["Rh.b WARNING", "error -"]);
    humidity(&mut bench, "a", 60.0);
    assert_eq!(named(&mut bench), ["Rh.a seen", "Rh.a WARNING"], "it knows the wind that was before it");
    bench.wind(8.0);
    assert_eq!(named(&mut bench), ["Rh.a NONE", "Rh.b NONE"], "in the order of the keys");
    let now = bench.now;
    bench.engine.reevaluate_all(now, &mut bench.effects);
    assert_eq!(named(&mut bench), ["Rh.a seen", "Rh.a NONE", "Rh.b seen", "Rh.b NONE"]);
    bench.engine.step(Input::SetEnabled { rule: "Rh", enabled: false }, now, &mut bench.effects);
    bench.wind(1.0);
    humidity(&mut bench, "c", 60.0);
    assert!(named(&mut bench).is_empty());
    bench.engine.step(Input::SetEnabled { rule: "Rh", enabled: true }, now, &mut bench.effects);
    let told = named(&mut bench);
    assert_eq!(told.iter().filter(|t| t.ends_with("WARNING")).count(), 3, "{told:?}");
}

const RUNS: &str = "rules:
  - name: Job
    by: alert.alertId
    inputs:
      alert: {topic: 'ATCamera.evt_alertRaised'}
    trigger: {each: alert, cooldown: 1m, overlap: skip}
    tasks:
      go: {ocps: {index: 1, pipeline: '{{ trigger.key }}.yaml'}}
    alarm: {value: tasks.go.result.exit_code, levels: {warning: 0.5}}
    budget: {runs_per_hour: 3}
";

#[test]
fn runs_and_what_holds_them_back_are_those_of_the_key() {
    let mut bench = Bench::new(RUNS);
    alert(&mut bench, "a", 1, false);
    let Some(Effect::StartRun(run)) = bench.effects.last().cloned() else { panic!("{:?}", bench.take()) };
    assert_eq!(run.key.as_deref(), Some("a"));
    let id = compile::hash16(&format!("Job\n{}\na\n{}", run.rule.revision, run.occurrence));
    assert_eq!(run.run_id, id, "as design 3.3 says");
    assert_eq!(run.rule.render("go", &run.context).unwrap()["pipeline"], "a.yaml");
    alert(bench.at(1.0), "a", 1, false);
    alert(bench.at(2.0), "b", 1, false);
    let told = bench.take();
    assert_eq!(
        told,
        ["key Job.a", "start m", "skip: in cooldown for another 59.0 s", "key Job.b", "start m"]
    );
    let mut ctx = run.context.clone();
    ctx.tasks.insert("go".into(), json!({"state": "succeeded", "result": {"exit_code": 1}}));
    let input = Input::StepEnded { rule: "Job", run_id: &run.run_id, ctx: &ctx };
    bench.engine.step(input, bench.now, &mut bench.effects);
    assert_eq!(named(&mut bench), ["Job.a WARNING"]);
    bench.engine.step(Input::RunEnded { rule: "Job", run_id: &run.run_id }, bench.now, &mut bench.effects);
    assert_eq!(bench.engine.status("Job").unwrap().running, 1);
    alert(bench.at(3.0), "c", 1, false);
    alert(bench.at(4.0), "d", 1, false);
    let told = bench.take();
    assert!(told.contains(&"quarantine: 4 runs within an hour, the budget allows 3".to_owned()), "{told:?}");
    assert!(bench.engine.status("Job").unwrap().quarantined.is_some(), "the budget is the rule's");
    alert(bench.at(70.0), "a", 1, false);
    assert_eq!(bench.take(), ["skip: the rule is quarantined"]);
}

#[test]
fn by_hand_the_key_is_named() {
    let mut bench = Bench::new(RUNS);
    alert(&mut bench, "pump.7", 1, false);
    bench.take();
    let mut trigger = |rule: &str| {
        let what = ManualTrigger { rule, occurrence: "c:me:1:1", parameters: &Map::new() };
        bench.engine.trigger(what, bench.now, &mut bench.effects).map_err(|e| e.to_string())
    };
    assert!(trigger("Job").unwrap_err().contains("known are: pump.7"));
    assert!(trigger("Job.valve").unwrap_err().contains("there is no rule"));
    assert!(trigger("Job.pump.7").unwrap_err().contains("1 run(s) of this rule are going"));
    assert!(bench.engine.knows("Job.pump.7") && !bench.engine.knows("Job.x"));
}

#[test]
fn another_revision_with_the_same_key_keeps_the_keys() {
    let mut bench = Bench::new(ALERTS);
    alert(&mut bench, "pump", 2, false);
    bench.take();
    let now = bench.now;
    let mended = compiled(&ALERTS.replace("is at", "stands at"));
    bench.engine.replace_rules(&mended, now, &mut bench.effects);
    assert_eq!(bench.engine.alarms("Alert"), ["Alert.pump"]);
    alert(&mut bench, "pump", 2, false);
    assert_eq!(bench.take(), ["WARNING pump stands at 2"], "its state begins anew");
    let other = compiled(&ALERTS.replace("by: alert.alertId", "by: alert.alertId + '!'"));
    bench.engine.replace_rules(&other, now, &mut bench.effects);
    assert!(bench.engine.alarms("Alert").is_empty());
}

const KEYS: [&str; 3] = ["a", "b", "c"];

/// Conditions that remember, and some that do not.
const ALARM: &str = "    alarm:
      conditions:
        - {value: x, levels: {warning: 50, serious: 70}, hysteresis: 5}
        - {levels: {critical: 'consecutive(x > 80.0, 2) && wind < 5.0'}}
        - {levels: {serious: 'hold(x > 60.0, 90s) || count_in(x < 5.0, 2m) >= 2'}}
        - {levels: {warning: 'mean_x > 40.0'}, hold: 45s}
      join: all
";

fn keyed() -> String {
    let x = "topic: 'ESS:*.tel_relativeHumidity', field: relativeHumidityItem";
    format!(
        "rules:\n  - name: P\n    by: [x.sensorName, mean_x.sensorName]\n    inputs:\n      x: {{{x}}}
      mean_x: {{{x}, window: 5m, reduce: mean}}
      wind: {{topic: 'ESS:301.tel_airFlow', field: speed}}\n{ALARM}"
    )
}

fn plain() -> String {
    let rule = |key: &str| {
        let x = format!(
            "topic: 'ESS:*.tel_relativeHumidity', field: relativeHumidityItem, filter: \"sensorName == '{key}'\""
        );
        format!(
            "  - name: P.{key}\n    inputs:\n      x: {{{x}}}\n      mean_x: {{{x}, window: 5m, reduce: mean}}
      wind: {{topic: 'ESS:301.tel_airFlow', field: speed}}\n{ALARM}"
        )
    };
    format!("rules:\n{}", KEYS.map(rule).concat())
}

/// A message: seconds since the one before, the key (or the wind), the value.
type Message = (u32, Option<usize>, f64);

fn messages() -> impl Strategy<Value = Vec<Message>> {
    let value = prop_oneof![8 => 0.0..100.0_f64, 1 => Just(f64::NAN)];
    prop::collection::vec(
        (0_u32..50, prop_oneof![1 => Just(None), 4 => (0_usize..3).prop_map(Some)], value),
        1..70,
    )
}

fn send(bench: &mut Bench, message: &Message) {
    match message.1 {
        Some(key) => humidity(bench, KEYS[key], message.2),
        None => drop(bench.wind(message.2 / 10.0)),
    }
}

/// The severities of all keys as far as they were said; what was never said is none.
#[derive(Debug, Clone, PartialEq)]
struct Said([Severity; 3]);

impl Said {
    fn take(&mut self, bench: &mut Bench) {
        for effect in bench.effects.drain(..) {
            if let Effect::SetSeverity { alarm, severity, .. } = effect {
                let key = KEYS.iter().position(|k| alarm == format!("P.{k}")).unwrap();
                self.0[key] = severity;
            }
        }
    }
}

fn run(text: &str, all: &[Message]) -> Vec<Said> {
    let mut bench = Bench::new(text);
    let (mut at, mut said) = (0.0, Said([Severity::None; 3]));
    let step = |message: &Message| {
        at += f64::from(message.0);
        send(bench.at(at), message);
        said.take(&mut bench);
        said.clone()
    };
    all.iter().map(step).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A rule with `by` is one rule for each key, fed with that key's messages.
    #[test]
    fn a_keyed_rule_is_a_plain_rule_for_each_key(all in messages()) {
        prop_assert_eq!(run(&keyed(), &all), run(&plain(), &all));
    }

    /// What was saved, and the messages of the past, give the same as going on without a break.
    #[test]
    fn a_restart_changes_nothing(all in messages(), part in 0.0..1.0_f64) {
        let cut = (part * all.len() as f64) as usize;
        let tail = |interrupted: bool| {
            let mut bench = Bench::new(&keyed());
            let mut at = 0.0;
            for message in &all[..cut] {
                at += f64::from(message.0);
                send(bench.at(at), message);
            }
            if interrupted {
                let saved = bench.engine.checkpoint("P").unwrap().to_string();
                let mut again = Bench::new(&keyed());
                // As a process does that is started anew: the rules are there before their past is read.
                again.now = bench.now;
                again.engine = Engine::new(&again.rules, again.now);
                assert!(again.engine.restore("P", &serde_json::from_str(&saved).unwrap()));
                again.past = true;
                let mut sent = again.start;
                for message in &all[..cut] {
                    sent.0 += f64::from(message.0);
                    let (topic, index, fields) = match message.1 {
                        Some(key) => (
                            "ESS.relativeHumidity",
                            1,
                            vec![
                                ("sensorName", text(KEYS[key])),
                                ("relativeHumidityItem", Value::Double(message.2)),
                            ],
                        ),
                        None => ("ESS.airFlow", 301, vec![("speed", Value::Double(message.2 / 10.0))]),
                    };
                    again.send_as(topic, index, &fields, sent);
                }
                again.past = false;
                again.engine.history_done();
                bench = again;
            }
            bench.effects.clear();
            let now = bench.now;
            bench.engine.reevaluate_all(now, &mut bench.effects);
            let mut said = Said([Severity::None; 3]);
            said.take(&mut bench);
            let mut told = vec![said.clone()];
            for message in &all[cut..] {
                at += f64::from(message.0);
                send(bench.at(at), message);
                said.take(&mut bench);
                told.push(said.clone());
            }
            told
        };
        prop_assert_eq!(tail(true), tail(false));
    }
}

/// Two alarms of one name would overwrite each other.
#[test]
fn a_key_whose_alarm_would_have_the_name_of_another_is_left_out_and_told() {
    let other = "  - name: Job.a
    inputs: {wind: {topic: 'ESS:301.tel_airFlow', field: speed}}
    alarm: {value: wind, levels: {warning: 10.0}}
  - name: Job.b
    by: alert.alertId
    inputs: {alert: {topic: 'ATCamera.evt_alertRaised'}}
    alarm: {severity: alert.currentSeverity}
";
    let mut bench = Bench::new(&format!("{RUNS}{other}"));
    alert(&mut bench, "a", 1, false);
    let told = bench.take();
    let text =
        "error: the key \"a\" is left out: the name of its alarm, \"Job.a\", is that of rule \"Job.a\"";
    assert!(told.contains(&text.to_owned()), "{told:?}");
    assert!(!told.iter().any(|t| t.starts_with("start") || t == "key Job.a"), "{told:?}");
    alert(&mut bench, "c", 1, false);
    let told = bench.take();
    assert!(told.contains(&"key Job.c".to_owned()), "the others are there: {told:?}");
    let status = bench.engine.status("Job").unwrap();
    assert!(status.error.unwrap().contains("\"a\" is left out"), "it is still told");
    assert_eq!((status.keys, status.dropped_keys), (1, 1));
    alert(&mut bench, "b.x", 1, false);
    let error = bench.engine.status("Job").unwrap().error.unwrap();
    assert!(error.contains("\"Job.b.x\", is that of rule \"Job.b\""), "{error}");
    assert_eq!(bench.engine.alarms("Job.b"), ["Job.b.a", "Job.b.b.x", "Job.b.c"]);
    // The other has gone: the key may come.
    let alone = compiled(RUNS);
    bench.engine.replace_rules(&alone, bench.now, &mut bench.effects);
    assert!(bench.take().contains(&"error: -".to_owned()));
    bench.engine.history_done();
    alert(bench.at(1.0), "a", 1, false);
    assert!(bench.take().contains(&"key Job.a".to_owned()));
    // It comes back: the key goes.
    let both = compiled(&format!("{RUNS}{other}"));
    bench.engine.replace_rules(&both, bench.now, &mut bench.effects);
    let told = bench.take();
    assert!(
        told.contains(&"gone Job.a".to_owned()) && told.iter().any(|t| t.contains("\"a\" is left out")),
        "{told:?}"
    );
}
