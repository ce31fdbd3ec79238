//! Any rules on records.

use salobj::Value;

use super::*;

const WIND: &str = "rules:
  - name: Wind
    description: Wind over the limit
    inputs:
      wind: {topic: \"ESS:301.tel_airFlow\", field: speed}
    alarm:
      value: wind
      levels: {warning: 10.0, serious: 20.0}
      hysteresis: 1.0
  - name: Silent
    description: No wind at all
    inputs:
      wind: {topic: \"ESS:301.tel_airFlow\", field: speed}
    alarm:
      levels: {warning: \"absent(wind, 15s)\"}
      reason: nothing is heard
";

#[test]
fn alarms_come_and_go_at_the_times_of_the_records_and_of_the_clock_between_them() {
    let mut bed = Bed::new();
    bed.wind(-5.0, 25.0);
    for (at, speed) in [(1.0, 5.0), (2.0, 12.0), (3.0, 9.5), (4.0, 21.0), (5.0, 8.0), (60.0, 5.0)] {
        bed.wind(at, speed);
    }
    bed.send("ESS", "airFlow", 61.0, &[("salIndex", Value::Int(302)), ("speed", Value::Double(99.0))]);
    let seen = play(&bed.finish(), rules(WIND), "", (0.0, 70.0));
    let seen: Vec<String> = told(&seen).into_iter().filter(|t| !t.contains("unknown")).collect();
    assert_eq!(
        seen,
        [
            "0.0 Wind alarm: SERIOUS: wind: 25.00 m/s > 20.00",
            "1.0 Wind alarm: none",
            "2.0 Wind alarm: WARNING: wind: 12.00 m/s > 10.00",
            "3.0 Wind reason: wind: 9.50 m/s > 10.00",
            "4.0 Wind alarm: SERIOUS: wind: 21.00 m/s > 20.00",
            "5.0 Wind alarm: none",
            "20.0 Silent alarm: WARNING: nothing is heard",
            "60.0 Silent alarm: none",
        ]
    );
}

const WORK: &str = "rules:
  - name: Job
    description: A job for each long exposure
    inputs:
      image: {topic: \"ATCamera.evt_endReadout\"}
    trigger: {each: image, when: \"image.requestedExposureTime > 1.0\", cooldown: 20s}
    tasks:
      wind:
        analysis: trend
        with: {series: {topic: \"ESS:301.tel_airFlow\", field: speed, from: \"{{ trigger.at - 30 }}\", to: \"{{ trigger.at + 2 }}\"}, ahead: 60s}
      job:
        needs: [wind]
        ocps: {index: 1, pipeline: \"isr.yaml\", data_query: \"x\"}
    alarm:
      value: \"tasks.wind.result.predicted\"
      levels: {warning: 15.0}
";

fn image(bed: &mut Bed, at: f64) {
    bed.send("ATCamera", "logevent_endReadout", at, &[("requestedExposureTime", Value::Double(30.0))]);
}

fn exposures() -> Vec<u8> {
    let mut bed = Bed::new();
    for n in 0..40 {
        let at = f64::from(n);
        bed.wind(at, 10.0 + 0.1 * at);
        if n == 30 || n == 35 {
            image(&mut bed, at + 0.5);
        }
    }
    bed.finish()
}

#[test]
fn analyses_are_computed_on_the_replayed_samples_and_other_steps_answer_from_the_file() {
    let answers = "Job:\n  job: {exit_code: 0, delay: 10s}\n";
    let seen = play(&exposures(), rules(WORK), answers, (0.0, 100.0));
    let seen = told(&seen);
    let ids: Vec<&str> = seen[0].split(' ').collect();
    let id = ids[4];
    assert!(
        seen[0].starts_with("30.5 Job run starts: ")
            && seen[0].ends_with("(m:ATCamera.logevent_endReadout:0:0)")
    );
    let place = |text: &str| {
        seen.iter().position(|s| s.contains(text)).unwrap_or_else(|| panic!("{text}: {seen:#?}"))
    };
    // The sample at 33 is the first that is not before the end of the range, 32.5.
    assert_eq!(seen[place("wind succeeded")], format!("33.0 Job step ends: {id} wind succeeded"));
    assert!(seen[place("alarm: WARNING")].starts_with("33.0 Job alarm: WARNING"));
    assert!(seen[place("run skipped")].starts_with("35.5 Job run skipped"), "within the cooldown: {seen:#?}");
    assert_eq!(seen[place("job succeeded")], format!("43.0 Job step ends: {id} job succeeded"));
    assert_eq!(seen[place("run ends")], format!("43.0 Job run ends: {id} succeeded, severity WARNING"));
}

#[test]
fn a_step_without_an_answer_has_an_unknown_outcome() {
    let seen = told(&play(&exposures(), rules(WORK), "", (0.0, 100.0)));
    let job = seen.iter().find(|s| s.contains("job failed")).unwrap_or_else(|| panic!("{seen:#?}"));
    assert!(job.contains("a replay does not carry out ocps"), "{job}");
    assert_eq!(seen.iter().filter(|s| s.contains("run ends")).count(), 1, "{seen:#?}");
}

#[test]
fn answers_that_are_none_and_strangers_are_told() {
    let text = Answers::read("A:\n  x: 7\n  y: {delay: soon}\n  z: []\n").unwrap_err();
    for part in ["A, x: this is no answer", "A, y: `delay` must be", "A, z: an empty list"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let answers = Answers::read("Job:\n  joob: fail\nJib:\n  x: fail\n").unwrap();
    let rules = rules(WORK);
    let strangers = answers.strangers(rules.iter().map(Arc::as_ref));
    assert_eq!(strangers, ["there is no rule \"Jib\"", "rule Job has no step \"joob\""]);
}

#[test]
fn a_range_makes_what_was_before_it_history() {
    let mut bed = Bed::new();
    for n in 0..30 {
        bed.wind(f64::from(n), if n < 10 { 12.0 } else { 5.0 });
    }
    let bytes = bed.finish();
    let severities = |span| -> Vec<String> {
        let seen = play(&bytes, rules(WIND), "", span);
        told(&seen).into_iter().filter(|t| t.contains("Wind alarm")).collect()
    };
    assert_eq!(
        severities((5.5, 29.0)),
        ["5.5 Wind alarm: WARNING: wind: 12.00 m/s > 10.00", "10.0 Wind alarm: none"]
    );
    assert!(severities((15.0, 29.0)).is_empty());
    assert_eq!(severities((0.0, 9.5)).len(), 1);
}

#[test]
fn a_rule_in_shadow_is_replayed_as_if_it_were_live() {
    let mut bed = Bed::new();
    bed.wind(1.0, 12.0);
    let text = WIND.replace("description: Wind over", "mode: shadow\n    description: Wind over");
    let seen = told(&play(&bed.finish(), rules(&text), "", (0.0, 2.0)));
    assert!(seen.iter().any(|s| s.contains("Wind alarm: WARNING")), "{seen:?}");
}

#[test]
fn records_that_are_cells_give_the_same_as_avro() {
    let speeds = [(1.0, 5.0), (2.0, 12.0), (3.0, 5.0)];
    let mut bed = Bed::new();
    speeds.iter().for_each(|(at, speed)| bed.wind(*at, *speed));
    let avro = play(&bed.finish(), rules(WIND), "", (0.0, 10.0));
    let mut writer = Writer::create(Vec::new(), &Session::default()).unwrap();
    let topic = writer.topic(&TopicDecl {
        name: "efd".into(),
        component: "ESS".into(),
        sal_name: "airFlow".into(),
        fields: vec!["direction".into(), "speed".into()],
        ..TopicDecl::default()
    });
    for (offset, (at, speed)) in (0..).zip(speeds) {
        let sent = Tai(T0 + at);
        let cells = vec![Value::Null, Value::Double(speed)];
        let body = Body::Cells { sal_index: 301, sent, cells };
        let record =
            RecordRef { topic, partition: 0, offset, timestamp_ms: None, received: sent, live: true, body };
        writer.push(&ItemRef::Record(record)).unwrap();
    }
    let cells = play(&writer.finish().unwrap(), rules(WIND), "", (0.0, 10.0));
    assert_eq!(avro, cells);
    assert!(avro.len() >= 2);
}
