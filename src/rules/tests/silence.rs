//! What other alarm systems got wrong about sources that fall silent, by the numbers of their issues.

use salobj::Value;

use super::bench::Bench;

fn level(extra: &str, condition: &str) -> Bench {
    Bench::new(&format!(
        "rules:\n  - name: Wind\n    inputs: {{wind: {{topic: \"ESS:301.tel_airFlow\", field: speed{extra}}}}}\n    \
         alarm: {{levels: {{warning: \"{condition}\"}}}}\n"
    ))
}

/// prometheus#17482, grafana#105571: data that are missing do not resolve an alarm, and do not raise one.
#[test]
fn missing_data_neither_resolve_nor_raise() {
    let mut bench = level(", max_age: 1m", "wind > 10.0");
    bench.at(1.0).wind(12.0);
    assert_eq!(bench.take(), ["WARNING wind > 10.0"]);
    bench.at(3600.0);
    assert!(bench.take().iter().all(|t| t.starts_with("error")), "an hour of silence");
    bench.at(3601.0).wind(f64::NAN);
    bench.send("ESS.airFlow", 301, &[("speed", Value::Null)]);
    assert!(bench.take().iter().all(|t| t.starts_with("error")), "nor do NaN and null");
    bench.at(3602.0).wind(5.0);
    assert!(bench.take().contains(&"NONE".to_owned()), "only a value does");
    bench.at(7200.0).wind(f64::NAN);
    assert!(bench.take().iter().all(|t| t.starts_with("error")));
}

/// The same with a window that has run empty, and with one that has too few values.
#[test]
fn an_empty_window_is_unknown() {
    let mut bench = level(", window: 1m, reduce: mean, min_count: 3", "wind > 10.0");
    for k in 0..3 {
        bench.at(f64::from(k)).wind(12.0);
    }
    assert_eq!(bench.take().last().unwrap(), "WARNING wind > 10.0");
    bench.at(600.0);
    bench.wind(1.0).wind(1.0);
    assert!(!bench.take().contains(&"NONE".to_owned()), "two of three values are not known yet");
    bench.wind(1.0);
    assert!(bench.take().contains(&"NONE".to_owned()));
}

/// A window of the last values, whenever they came.
#[test]
fn a_window_by_count_holds_what_came_last() {
    let mut bench = level(", window: 3, reduce: max, min_count: 3", "wind > 10.0");
    bench.at(1.0).wind(12.0).wind(1.0);
    assert!(!bench.take().contains(&"WARNING wind > 10.0".to_owned()));
    bench.at(100_000.0).wind(1.0);
    assert!(bench.take().contains(&"WARNING wind > 10.0".to_owned()), "a day later it is still there");
    bench.wind(1.0);
    assert!(bench.take().contains(&"NONE".to_owned()));
}

/// flux#3807, influxdb#21191, ksql#9760: a source that falls silent, or was never seen, alarms on the wall clock, whatever
/// others send, and once.
#[test]
fn a_silent_source_alarms_on_the_wall_clock() {
    let mut bench = level("", "absent(wind, 15s)");
    bench.at(14.9);
    assert!(!bench.take().iter().any(|t| t.starts_with("WARNING")), "start grace");
    bench.at(15.1);
    assert_eq!(bench.take(), ["WARNING absent(wind, 15s)"], "never seen");
    bench.at(20.0).wind(1.0);
    assert_eq!(bench.take(), ["NONE"]);
    bench.at(34.9);
    assert!(bench.take().is_empty());
    bench.at(86_400.0);
    assert_eq!(bench.take(), ["WARNING absent(wind, 15s)"], "once");
}

/// A message with an old stamp is a sign of life all the same; one that is received late does not move the clock back.
#[test]
fn absence_is_about_what_comes_and_not_about_stamps() {
    let mut bench = level("", "absent(wind, 15s)");
    bench.at(10.0);
    let old = salobj::Tai(bench.start.0 - 3600.0);
    bench.send_as("ESS.airFlow", 301, &[("speed", Value::Double(1.0))], old);
    bench.at(24.9);
    assert!(!bench.take().iter().any(|t| t.starts_with("WARNING")));
    bench.at(25.1);
    assert_eq!(bench.take(), ["WARNING absent(wind, 15s)"]);
}

/// A rule that asks whether a value is known is looked at when the value goes out of date, at that instant, and not before.
#[test]
fn what_asks_whether_a_value_is_known_is_looked_at_when_it_ends() {
    for (condition, extra) in [
        ("!known(wind)", ", max_age: 90s"),
        ("stale(wind)", ", max_age: 90s"),
        ("!known(wind + 1.0)", ", max_age: 90s"),
        ("!known(wind)", ", max_age: 90s, by: sensorName"),
        ("!known(wind['mast'])", ", max_age: 90s, by: sensorName"),
    ] {
        let mut bench = level(extra, condition);
        let blow = |bench: &mut Bench| {
            let fields = [("speed", Value::Double(5.0)), ("sensorName", Value::Text("mast".into()))];
            bench.send("ESS.airFlow", 301, &fields);
        };
        blow(bench.at(10.0));
        bench.take();
        let before = bench.engine.evaluations();
        bench.at(100.0);
        assert_eq!(
            (bench.take(), bench.engine.evaluations() - before),
            (vec![], 0),
            "{condition}: at its end it still counts"
        );
        bench.at(100.001);
        assert_eq!(bench.take(), [format!("WARNING {condition}")]);
        bench.at(86_400.0);
        assert_eq!((bench.take(), bench.engine.evaluations() - before), (vec![], 1), "{condition}");
        blow(&mut bench);
        assert_eq!(bench.take(), ["NONE"], "{condition}");
    }
}

/// Without `max_age` nothing ends: an hour of silence costs nothing.
#[test]
fn a_value_that_does_not_end_is_not_looked_at() {
    let mut bench = level("", "known(wind) && wind > 10.0");
    bench.at(1.0).wind(12.0);
    let before = bench.engine.evaluations();
    bench.at(3600.0);
    assert_eq!(bench.engine.evaluations(), before);
}

/// A reason without a value is written when a severity changes, and again only if one does.
#[test]
fn a_reason_that_cannot_change_follows_the_severities() {
    let mut bench = Bench::new(
        "rules:\n  - name: Wind\n    inputs: {wind: {topic: \"ESS:301.tel_airFlow\", field: speed}}\n    \
         alarm:\n      join: all\n      conditions:\n        - {levels: {warning: \"wind > 10.0\"}, reason: strong}\n        \
         - {levels: {warning: \"wind > 11.0\"}, hold: 5s}\n",
    );
    bench.at(1.0).wind(12.0);
    assert_eq!(bench.take(), ["WARNING strong"]);
    bench.at(3.0).wind(13.0);
    assert!(bench.take().is_empty());
    bench.at(6.5);
    assert_eq!(bench.take(), ["WARNING strong; wind > 11.0"]);
    bench.wind(10.5);
    assert_eq!(bench.take(), ["WARNING strong"]);
    bench.wind(9.0);
    assert_eq!(bench.take(), ["NONE"]);
}
