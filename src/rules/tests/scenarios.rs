//! The engine by example.

use salobj::Value;
use serde_json::{Map, json};

use super::bench::Bench;
use super::files::shipped;
use crate::rules::*;

#[test]
fn a_rising_wind_starts_the_forecast_and_calm_clears_it() {
    let mut bench = Bench::new(&shipped().text);
    for k in 0..10 {
        bench.at(20.0 * f64::from(k)).wind(8.0);
    }
    assert_eq!(bench.take(), ["NONE"], "calm");
    for k in 10..40 {
        bench.at(20.0 * f64::from(k)).wind(14.0);
    }
    let told = bench.take();
    assert_eq!(told[0], "start t");
    assert!(told[1..].iter().all(|t| t == "queue t"), "one at a time: {told:?}");
    bench.step_ended("Wind.Forecast", "forecast", json!({"predicted": 16.25, "at": bench_time()}));
    assert_eq!(bench.take()[0], "WARNING Wind 16.2 m/s expected at 2026-01-01T00:20:00.000Z");
    for k in 40..80 {
        bench.at(20.0 * f64::from(k)).wind(3.0);
    }
    assert!(bench.take().contains(&"NONE".to_owned()), "calm clears");
}

fn bench_time() -> f64 {
    salobj::Tai::from_utc_iso("2026-01-01T00:20:00").unwrap().0
}

#[test]
fn a_long_exposure_starts_the_jitter_run() {
    let mut bench = Bench::new(&shipped().text);
    let image = |time: f64| {
        [
            ("imageName", Value::Text("AT_O_20260101_000001".into())),
            ("requestedExposureTime", Value::Double(time)),
            ("timestampAcquisitionStart", Value::Double(1000.0)),
        ]
    };
    bench.at(10.0).send("ATCamera.logevent_endReadout", 0, &image(1.0));
    assert!(bench.take().iter().all(|t| t.starts_with("error")), "short exposures do nothing");
    bench.at(20.0).send("ATCamera.logevent_endReadout", 0, &image(30.0));
    let Some(Effect::StartRun(run)) = bench.effects.last().cloned() else { panic!("{:?}", bench.take()) };
    assert!(run.occurrence.starts_with("m:ATCamera.logevent_endReadout:0:"));
    let rule = &run.rule;
    let params = rule.render("jitter", &run.context).unwrap();
    assert_eq!((&params["series"]["from"], &params["series"]["to"]), (&json!(1000.0), &json!(1030.0)));
    let params = rule.render("isr", &run.context).unwrap();
    assert_eq!(params["pipeline"], "${CP_PIPE_DIR}/pipelines/isr.yaml");
    assert_eq!(params["data_query"], "instrument='LATISS' AND exposure.obs_id='AT_O_20260101_000001'");
    let mut ctx = run.context.clone();
    ctx.tasks.insert("jitter".into(), json!({"state": "succeeded", "result": {"rms": 0.4}}));
    assert_eq!(rule.step_when("isr", &ctx), Tri::False);
    ctx.tasks.insert("jitter".into(), json!({"state": "succeeded", "result": {"rms": 1.4}}));
    assert_eq!(rule.step_when("isr", &ctx), Tri::True);
    assert_eq!(rule.judged_value(&ctx), Some(1.4));
    ctx.tasks.clear();
    assert_eq!(rule.step_when("isr", &ctx), Tri::Unknown("there is no \"jitter\"".into()));
    bench.take();
    bench.effects.push(Effect::StartRun(run));
    bench.step_ended("Jitter.AuxTel", "jitter", json!({"rms": 1.4}));
    assert!(bench.take().contains(&"SERIOUS Mount jitter 1.40 arcsec in AT_O_20260101_000001".to_owned()));
}

const LEVELS: &str = r#"
rules:
  - name: Wind.Level
    inputs:
      wind: {topic: "ESS:301.tel_airFlow", field: speed, max_age: 1m}
    alarm:
      value: wind
      levels: {warning: 10, serious: 15}
      hysteresis: 1.0
"#;

#[test]
fn levels_follow_the_value_and_silence_changes_nothing() {
    let mut bench = Bench::new(LEVELS);
    bench.wind(5.0);
    assert_eq!(bench.take(), ["NONE"]);
    bench.at(1.0).wind(11.0).at(2.0).wind(11.0).at(3.0).wind(9.5).at(4.0).wind(f64::NAN);
    assert_eq!(
        bench.take(),
        [
            "WARNING wind: 11.00 m/s > 10.00",
            "WARNING wind: 9.50 m/s > 10.00",
            "error: input \"wind\" is not a number (NaN)"
        ]
    );
    bench.at(500.0);
    assert_eq!(bench.take(), Vec::<String>::new(), "silence neither raises nor clears");
    bench.wind(8.0);
    assert_eq!(bench.take(), ["error: -", "NONE"]);
}

#[test]
fn enabling_says_every_severity_again() {
    let mut bench = Bench::new(LEVELS);
    bench.wind(12.0);
    bench.take();
    let now = bench.now;
    bench.engine.reevaluate_all(now, &mut bench.effects);
    assert_eq!(bench.take(), ["WARNING wind: 12.00 m/s > 10.00"], "the Watcher loses it (its defect 1)");
    bench.engine.step(Input::SetEnabled { rule: "Wind.Level", enabled: false }, now, &mut bench.effects);
    assert_eq!(bench.take(), ["NONE"]);
    bench.wind(16.0);
    assert_eq!(bench.take(), Vec::<String>::new(), "switched off");
    bench.engine.step(Input::SetEnabled { rule: "Wind.Level", enabled: true }, now, &mut bench.effects);
    assert_eq!(bench.take(), ["SERIOUS wind: 16.00 m/s > 15.00"], "the value was latched meanwhile");
}

#[test]
fn stateful_conditions_are_judged_by_timer() {
    let mut bench = Bench::new(
        r#"
rules:
  - name: Held
    inputs:
      wind: {topic: "ESS:301.tel_airFlow", field: speed}
    alarm:
      levels:
        warning: hold(wind > 10.0, 30s)
        critical: absent(wind, 100s)
"#,
    );
    bench.wind(12.0).at(29.0);
    assert_eq!(bench.take(), ["NONE"]);
    bench.at(31.0);
    assert_eq!(bench.take(), ["WARNING hold(wind > 10.0, 30s)"], "no message was needed");
    bench.at(99.0).wind(3.0);
    assert_eq!(bench.take(), ["NONE"]);
    bench.at(198.0);
    assert!(bench.take().is_empty());
    bench.at(200.0);
    assert_eq!(bench.take(), ["CRITICAL absent(wind, 100s)"]);
}

#[test]
fn a_source_that_never_sent_is_absent_too() {
    let mut bench = Bench::new(
        r#"
rules:
  - name: Heartbeat
    inputs: {beat: {topic: "ESS:1.evt_heartbeat"}}
    alarm: {levels: {critical: "absent(beat, 15s)"}}
"#,
    );
    bench.at(14.0);
    assert_eq!(bench.take(), Vec::<String>::new());
    bench.at(15.5);
    assert_eq!(bench.take(), ["CRITICAL absent(beat, 15s)"]);
    bench.send("ESS.logevent_heartbeat", 1, &[]);
    assert_eq!(bench.take(), ["NONE"]);
}

const EDGE: &str = r#"
rules:
  - name: Edge
    inputs:
      wind: {topic: "ESS:301.tel_airFlow", field: speed}
    trigger: {when: "wind > 10.0", cooldown: 60s, overlap: OVERLAP}
    tasks:
      t: {analysis: trend, with: {series: {topic: "ESS:301.tel_airFlow", field: speed, range: 10m}, ahead: 1m}}
"#;

#[test]
fn an_edge_is_false_to_true_and_unknown_is_not_false() {
    let mut bench = Bench::new(&EDGE.replace("OVERLAP", "skip"));
    bench.wind(12.0);
    assert_eq!(bench.take(), Vec::<String>::new(), "the first known value only sets the memory");
    bench.at(1.0).wind(f64::NAN).at(2.0).wind(12.0);
    assert_eq!(bench.take(), ["error: input \"wind\" is not a number (NaN)", "error: -"]);
    bench.at(3.0).wind(5.0).at(4.0).wind(12.0);
    assert_eq!(bench.take(), ["start e"]);
    bench.at(5.0).wind(5.0).at(6.0).wind(12.0);
    assert_eq!(bench.take(), ["skip: in cooldown for another 58.0 s"]);
    bench.at(100.0).wind(5.0).at(101.0).wind(12.0);
    assert_eq!(bench.take(), ["skip: 1 run(s) of this rule are going and overlap is skip"]);
}

#[test]
fn waiting_runs_start_as_others_end() {
    let text = EDGE
        .replace("OVERLAP", "queue")
        .replace("when: \"wind > 10.0\", cooldown: 60s", "each: wind, max_event_age: 30s");
    let mut bench = Bench::new(&text);
    bench.wind(1.0).at(1.0).wind(1.0).at(2.0).wind(1.0);
    let first = match &bench.effects[0] {
        Effect::StartRun(r) => r.run_id.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(bench.take(), ["start m", "queue m", "queue m"]);
    bench.at(31.5);
    let now = bench.now;
    bench.engine.step(Input::RunEnded { rule: "Edge", run_id: &first }, now, &mut bench.effects);
    assert_eq!(bench.take(), ["skip: the event is 30.5 s old, max_event_age is 30 s", "start m"]);
    let sent = bench.start;
    bench.send_as("ESS.airFlow", 301, &[("speed", Value::Double(1.0))], sent);
    assert_eq!(bench.take(), ["skip: the event is 31.5 s old, max_event_age is 30 s"]);
}

#[test]
fn a_flood_is_quarantined() {
    let text = EDGE
        .replace("OVERLAP", "queue")
        .replace("when: \"wind > 10.0\", cooldown: 60s", "each: wind, max_concurrent: 100")
        .replace("    tasks:", "    budget: {runs_per_hour: 3}\n    tasks:");
    let mut bench = Bench::new(&text);
    for k in 0..5 {
        bench.at(f64::from(k)).wind(1.0);
    }
    let told = bench.take();
    assert_eq!(
        told[..4],
        ["start m", "start m", "start m", "quarantine: 4 runs within an hour, the budget allows 3"]
    );
    assert_eq!(told[6], "skip: the rule is quarantined");
    assert!(bench.engine.status("Edge").unwrap().quarantined.is_some());
    let now = bench.now;
    bench.engine.step(Input::SetEnabled { rule: "Edge", enabled: true }, now, &mut bench.effects);
    bench.wind(1.0);
    assert_eq!(bench.take(), ["error: -", "start m"]);
}

#[test]
fn by_hand() {
    let mut bench = Bench::new(&shipped().text);
    let (none, mut other) = (Map::new(), Map::new());
    let by_hand = |bench: &mut Bench, rule: &str, parameters: &Map<String, serde_json::Value>| {
        let what = ManualTrigger { rule, occurrence: "c:LOVE:1:7", parameters };
        let now = bench.now;
        bench.engine.trigger(what, now, &mut bench.effects).map_err(|e| e.to_string())
    };
    assert_eq!(by_hand(&mut bench, "No.Such", &none).unwrap_err(), "there is no rule \"No.Such\"");
    assert_eq!(
        by_hand(&mut bench, "Jitter.AuxTel", &none).unwrap_err(),
        "input \"image\" of rule \"Jitter.AuxTel\" was never seen"
    );
    assert_eq!(
        by_hand(&mut bench, "Wind.Forecast", &none).unwrap_err(),
        "`when` of rule \"Wind.Forecast\" is unknown: input \"wind_5m\" has no value"
    );
    for k in 0..4 {
        bench.at(f64::from(k)).wind(12.0);
    }
    bench.take();
    other.insert("x".into(), json!(1));
    assert_eq!(
        by_hand(&mut bench, "Wind.Forecast", &other).unwrap_err(),
        "rule \"Wind.Forecast\" has no parameter \"x\""
    );
    let id = by_hand(&mut bench, "Wind.Forecast", &none).unwrap();
    assert_eq!(id.len(), 16);
    assert_eq!(bench.take(), ["start c"]);
}

#[test]
fn state_survives_a_checkpoint_and_a_replacement() {
    let mut bench = Bench::new(&EDGE.replace("OVERLAP", "queue"));
    bench.wind(5.0);
    let saved = bench.engine.checkpoint("Edge").unwrap();
    let text = serde_json::to_string(&saved).unwrap();
    // A new process: the state comes back, the edge is not lost.
    let mut other = Bench::new(&EDGE.replace("OVERLAP", "queue"));
    assert!(other.engine.restore("Edge", &serde_json::from_str(&text).unwrap()));
    other.at(10.0).wind(12.0);
    assert_eq!(other.take(), ["start e"]);
    // Another revision's state is not taken.
    let mut changed = Bench::new(&EDGE.replace("OVERLAP", "skip"));
    assert!(!changed.engine.restore("Edge", &saved));
    // Replaced by the same: nothing is forgotten.
    let (rules, now) = (bench.rules.clone(), bench.now);
    bench.engine.replace_rules(&rules, now, &mut bench.effects);
    bench.at(10.0).wind(12.0);
    assert_eq!(bench.take(), ["start e"]);
}

#[test]
fn history_fills_and_fires_nothing() {
    let mut bench = Bench::new(&shipped().text);
    let topic = bench.engine.subscriptions().topics.iter().position(|t| t.sal_name == "airFlow").unwrap();
    for k in 0..10 {
        let cells = [Value::Double(12.0)];
        let sent = salobj::Tai(bench.start.0 - 200.0 + 20.0 * f64::from(k));
        let sample = Sample {
            topic: TopicId(topic as u32),
            sal_index: 301,
            sent,
            received: sent,
            partition: 0,
            offset: k.into(),
            cells: &cells,
        };
        let now = bench.now;
        bench.engine.step(Input::History(&sample), now, &mut bench.effects);
    }
    assert!(bench.effects.is_empty());
    bench.engine.history_done();
    bench.at(61.0);
    assert_eq!(bench.take(), ["start t"], "the window was filled by the past");
}

#[test]
fn other_instances_and_filtered_messages_cost_nothing() {
    let text = LEVELS.replace("max_age: 1m", "filter: \"location == 'dome' && speed > 0.0\"");
    let mut bench = Bench::new(&text);
    bench.send(
        "ESS.airFlow",
        302,
        &[("speed", Value::Double(20.0)), ("location", Value::Text("dome".into()))],
    );
    bench.send(
        "ESS.airFlow",
        301,
        &[("speed", Value::Double(20.0)), ("location", Value::Text("roof".into()))],
    );
    assert_eq!(bench.engine.evaluations(), 0);
    bench.send(
        "ESS.airFlow",
        301,
        &[("speed", Value::Double(20.0)), ("location", Value::Text("dome".into()))],
    );
    assert_eq!(bench.engine.evaluations(), 1);
    assert_eq!(bench.take(), ["SERIOUS wind: 20.00 m/s > 15.00"]);
}

#[test]
fn a_message_costs_what_its_instance_costs() {
    let one = |name: &str, index: &str| {
        LEVELS.replace("rules:\n", "").replace("Wind.Level", name).replace("ESS:301", &format!("ESS:{index}"))
    };
    let text = format!("rules:{}{}{}", one("A", "301"), one("All", "*"), one("B", "302"));
    let mut bench = Bench::new(&text);
    let speed = [("speed", Value::Double(12.0))];
    for (index, expected) in [(301, 2), (302, 2), (303, 1)] {
        let before = bench.engine.evaluations();
        bench.send("ESS.airFlow", index, &speed);
        assert_eq!(bench.engine.evaluations() - before, expected, "index {index}");
    }
    let said: Vec<String> = bench
        .effects
        .iter()
        .filter_map(|e| match e {
            Effect::SetSeverity { alarm, .. } => Some(alarm.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(said, ["A", "All", "B"], "in the order of the rules, repeats dropped");
}
