//! Inputs with `by`, windows of arrays, and the language of lists, by example and by property.

use proptest::prelude::*;
use salobj::Value;
use serde_json::json;

use super::bench::Bench;
use crate::rules::*;

fn text(value: &str) -> Value {
    Value::Text(value.into())
}

/// A rule whose alarm has these inputs and conditions.
fn rule(inputs: &str, alarm: &str) -> String {
    format!("rules:\n  - name: R\n    inputs:\n{inputs}\n    alarm:\n{alarm}\n")
}

const HUMIDITY: &str = "      rh: {topic: 'ESS:*.tel_relativeHumidity', field: relativeHumidityItem, by: sensorName, \
                        max_age: 2m}";

fn humidity(bench: &mut Bench, index: i64, sensor: &str, value: f64) {
    let fields = [("sensorName", text(sensor)), ("relativeHumidityItem", Value::Double(value))];
    bench.send("ESS.relativeHumidity", index, &fields);
}

#[test]
fn a_value_of_another_input_is_the_key() {
    let inputs = "      queue: {topic: 'ScriptQueue:1.evt_queue'}
      scripts: {topic: 'ScriptQueue:1.evt_script', by: scriptSalIndex}";
    let alarm = "      levels: {warning: 'queue.enabled && !queue.running && scripts[queue.currentSalIndex].scriptState == 10'}";
    let mut bench = Bench::new(&rule(inputs, alarm));
    let queue = |bench: &mut Bench, running: bool, script: i64| {
        let fields = [
            ("enabled", Value::Bool(true)),
            ("running", Value::Bool(running)),
            ("currentSalIndex", Value::Int(script)),
        ];
        bench.send("ScriptQueue.logevent_queue", 1, &fields);
    };
    let script = |bench: &mut Bench, index: i64, state: i64| {
        let fields = [("scriptSalIndex", Value::Int(index)), ("scriptState", Value::Int(state))];
        bench.send("ScriptQueue.logevent_script", 1, &fields);
    };
    queue(&mut bench, false, 100_001);
    assert_eq!(bench.take(), ["error: input \"scripts\" has nothing for this key"]);
    script(&mut bench, 100_002, 10);
    assert!(bench.take().is_empty(), "another script's failure says nothing about this one");
    script(&mut bench, 100_001, 3);
    assert_eq!(bench.take(), ["error: -", "NONE"]);
    queue(&mut bench, false, 100_002);
    assert_eq!(bench.take().len(), 1, "it failed before it was the current one");
    queue(&mut bench, true, 100_002);
    assert_eq!(bench.take(), ["NONE"]);
}

#[test]
fn the_worst_sensor_is_judged_and_named_and_silent_ones_drop_out_by_timer() {
    let alarm = "      value: max_of(rh)
      levels: {warning: 70, serious: 80}
      reason: '{{ rh | argmax }}: {{ value | round(1) }} %'";
    let mut bench = Bench::new(&rule(HUMIDITY, alarm));
    humidity(&mut bench, 1, "dome", 40.0);
    assert_eq!(bench.take(), ["NONE"]);
    humidity(bench.at(10.0), 2, "tower", 75.0);
    assert_eq!(bench.take(), ["WARNING tower: 75.0 %"]);
    humidity(bench.at(20.0), 1, "dome", f64::NAN);
    assert!(bench.take().is_empty(), "NaN is left out");
    humidity(bench.at(100.0), 1, "dome", 50.0);
    assert!(bench.take().is_empty());
    bench.at(130.0);
    assert!(bench.take().is_empty(), "120 s still count");
    bench.at(130.1);
    assert_eq!(bench.take(), ["NONE"], "the tower is silent: the dome is the worst that there is");
    bench.at(300.0);
    assert_eq!(bench.take(), ["error: input \"rh\" is older than its max_age"], "silence clears nothing");
}

#[test]
fn keys_are_looked_over_and_asked_for() {
    let expect = [
        ("count(rh) == 2 && size(rh) == 2", true),
        ("'dome' in rh && !('cellar' in rh)", true),
        ("rh['dome'] == 40.0 && !known(rh['cellar'])", true),
        ("rh.exists(s, rh[s] > 70.0) && !rh.all(s, rh[s] > 70.0)", true),
        ("rh.exists_one(s, s.startsWith('t'))", true),
        ("rh.filter(s, rh[s] > 70.0) == ['tower']", true),
        ("rh.map(s, rh[s] * 2.0) == [80.0, 150.0]", true),
        ("mean(values(rh)) == 57.5 && ptp(values(rh)) == 35.0", true),
        ("argmax(rh) == 'tower' && argmin(rh) == 'dome' && min_of(rh) == 40.0", true),
        ("any_of(values(rh) > 70.0) && !all_of(values(rh) > 70.0) && count(values(rh) > 30.0) == 2", true),
        ("age(rh['dome']) >= 10s && age(rh['tower']) < 10s", true),
        ("known(rh) && max_of(rh) > rh[parameters.here]", true),
        ("rh.exists(s, age(rh[s]) > 1h)", false),
    ];
    for (condition, truth) in expect {
        let rule = rule(HUMIDITY, &format!("      levels: {{warning: \"{condition}\"}}"))
            .replace("    inputs:", "    parameters: {here: dome}\n    inputs:");
        let mut bench = Bench::new(&rule);
        humidity(&mut bench, 1, "dome", 40.0);
        humidity(bench.at(10.0), 2, "tower", 75.0);
        let wanted = if truth { format!("WARNING {condition}") } else { "NONE".to_owned() };
        assert_eq!(bench.take().last(), Some(&wanted), "{condition}");
    }
}

#[test]
fn before_the_first_message_only_what_asks_on_purpose_is_known() {
    for (condition, known) in [
        ("count(rh) == 0", true),
        ("!('dome' in rh)", true),
        ("!known(rh)", true),
        ("!rh.exists(s, rh[s] > 70.0)", false),
        ("rh.all(s, rh[s] > 70.0)", false),
        ("size(values(rh)) == 0", false),
        ("!(max_of(rh) > 3.0)", false),
    ] {
        let mut bench = Bench::new(&rule(HUMIDITY, &format!("      levels: {{warning: \"{condition}\"}}")));
        let now = bench.now;
        bench.engine.reevaluate_all(now, &mut bench.effects);
        assert_eq!(bench.take().iter().any(|t| t.starts_with("WARNING")), known, "{condition}");
    }
}

#[test]
fn k_of_n_and_every_index() {
    let inputs = "      motors: {topic: 'ESS:*.tel_temperature', by: salIndex, max_age: 1m}";
    let alarm = "      levels:
        warning: size(motors.filter(k, motors[k].temperatureItem[0] > 5.0)) < 2
        critical: size(motors.filter(k, motors[k].temperatureItem[0] > 5.0)) < 1";
    let mut bench = Bench::new(&rule(inputs, alarm));
    let send = |bench: &mut Bench, index: i64, value: f64| {
        let fields =
            [("salIndex", Value::Int(index)), ("temperatureItem", Value::Doubles([value; 16].into()))];
        bench.send("ESS.temperature", index, &fields);
    };
    send(&mut bench, 1, 9.0);
    send(&mut bench, 2, 9.0);
    assert_eq!(bench.take().last().unwrap(), "NONE");
    send(&mut bench, 2, 1.0);
    assert!(bench.take().last().unwrap().starts_with("WARNING"));
    send(&mut bench, 1, 1.0);
    assert!(bench.take().last().unwrap().starts_with("CRITICAL"));
}

#[test]
fn keyed_inputs_are_in_the_context_of_runs_that_read_them() {
    let mut bench = Bench::new(
        "rules:
  - name: R
    inputs:
      rh: {topic: 'ESS:*.tel_relativeHumidity', field: relativeHumidityItem, by: sensorName}
      shown: {topic: 'ESS:*.tel_relativeHumidity', fields: [location], by: sensorName}
      unread: {topic: 'ESS:*.tel_relativeHumidity', field: location, by: sensorName}
    trigger: {each: rh}
    tasks:
      go:
        when: \"rh['dome'] > 3.0 && max_of(rh) > 4.0 && unread['x'] == 'y' || 'dome' in rh\"
        ocps: {index: 1, pipeline: \"{{ shown['dome'].location }}\"}\n",
    );
    let fields = [
        ("sensorName", text("dome")),
        ("relativeHumidityItem", Value::Double(4.5)),
        ("location", text("up")),
    ];
    bench.send("ESS.relativeHumidity", 1, &fields);
    let Some(Effect::StartRun(run)) = bench.effects.last().cloned() else { panic!("{:?}", bench.take()) };
    let inputs = json!(run.context.inputs);
    assert_eq!(inputs["rh"], json!({"dome": 4.5}));
    assert_eq!(inputs["shown"], json!({"dome": {"location": "up"}}));
    assert_eq!(run.rule.step_when("go", &run.context), Tri::True);
    assert_eq!(run.rule.render("go", &run.context).unwrap()["pipeline"], "up");
}

#[test]
fn an_array_has_a_window_for_each_element() {
    let inputs = "      t: {topic: 'ESS:1.tel_temperature', field: 'temperatureItem[0:3]', window: 60s, reduce: ptp, \
                  min_count: 2}";
    let alarm = "      levels: {warning: 't.exists(x, x > 5.0)', serious: 'count(t > 5.0) >= 2'}";
    let mut bench = Bench::new(&rule(inputs, alarm));
    let send = |bench: &mut Bench, values: [f64; 3]| {
        bench.send("ESS.temperature", 1, &[("temperatureItem", Value::Doubles(values.into()))]);
    };
    send(&mut bench, [1.0, 2.0, 3.0]);
    bench.take();
    send(bench.at(10.0), [2.0, 8.0, f64::NAN]);
    assert_eq!(bench.take().last().unwrap(), "WARNING t.exists(x, x > 5.0)");
    send(bench.at(20.0), [2.0, 8.0, 9.0]);
    assert_eq!(bench.take().last().unwrap(), "SERIOUS count(t > 5.0) >= 2");
    bench.at(75.0);
    send(&mut bench, [2.0, 8.0, 9.0]);
    assert_eq!(bench.take().last().unwrap(), "NONE");
}

#[test]
fn each_key_may_have_a_window_of_arrays() {
    let inputs = "      t: {topic: 'ESS:*.tel_temperature', field: 'temperatureItem[0:2]', by: sensorName, window: 60s, \
                  reduce: max}";
    let alarm = "      levels: {warning: \"t.exists(k, max(t[k]) > 5.0)\"}";
    let mut bench = Bench::new(&rule(inputs, alarm));
    let send = |bench: &mut Bench, key: &str, values: [f64; 2]| {
        let fields = [("sensorName", text(key)), ("temperatureItem", Value::Doubles(values.into()))];
        bench.send("ESS.temperature", 1, &fields);
    };
    send(&mut bench, "a", [1.0, 6.0]);
    send(bench.at(10.0), "b", [1.0, 2.0]);
    assert_eq!(bench.take().len(), 1);
    bench.at(59.0);
    assert!(bench.take().is_empty());
    bench.at(62.0);
    assert!(bench.take().is_empty(), "the window of \"a\" is empty: unknown, so the alarm stays");
    send(&mut bench, "a", [1.0, 2.0]);
    assert_eq!(bench.take().last().unwrap(), "NONE");
}

const SENSORS: [&str; 3] = ["a", "b", "c"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A keyed input is one plain input for each key, fed with that key's messages.
    #[test]
    fn a_keyed_input_is_a_plain_input_for_each_key(
        messages in prop::collection::vec((0_u32..40, 0_usize..3, prop_oneof![6 => 0.0..100.0_f64, 1 => Just(f64::NAN)]), 1..60),
        window in prop_oneof![Just(""), Just(", window: 90s, reduce: mean"), Just(", window: 3, reduce: max, min_count: 2")],
        max_age in prop_oneof![Just(""), Just(", max_age: 45s")],
    ) {
        let topic = "topic: 'ESS:*.tel_relativeHumidity', field: relativeHumidityItem";
        let keyed = rule(
            &format!("      m: {{{topic}, by: sensorName{window}{max_age}}}"),
            "      conditions:
        - {levels: {warning: \"m['a'] > 50.0\"}}
        - {levels: {serious: \"m['b'] > 50.0\"}}
        - {levels: {critical: \"m['c'] > 50.0\"}}
      join: all",
        );
        let plain = |key: &str| {
            format!("      {key}: {{{topic}, filter: \"sensorName == '{key}'\"{window}{max_age}}}\n")
        };
        let plain = rule(
            SENSORS.map(plain).concat().trim_end_matches('\n'),
            "      conditions:
        - {levels: {warning: 'a > 50.0'}}
        - {levels: {serious: 'b > 50.0'}}
        - {levels: {critical: 'c > 50.0'}}
      join: all",
        );
        let told = |text: &str| {
            let mut bench = Bench::new(text);
            let (mut at, mut all) = (0.0, Vec::new());
            for (step, key, value) in &messages {
                at += f64::from(*step);
                humidity(bench.at(at), 1, SENSORS[*key], *value);
                let mut severities = bench.effects.iter().filter_map(|e| match e {
                    Effect::SetSeverity { severity, .. } => Some(*severity),
                    _ => None,
                });
                all.push((at, severities.next_back()));
                bench.effects.clear();
            }
            // What is said last at each message; the texts differ in the names.
            let mut now = None;
            all.into_iter().map(|(at, said)| { now = said.or(now); (at.to_bits(), now) }).collect::<Vec<_>>()
        };
        prop_assert_eq!(told(&keyed), told(&plain));
    }
}
