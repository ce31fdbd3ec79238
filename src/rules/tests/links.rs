//! Rules that read other rules, and files that belong together.

use crate::alarms::Severity;
use crate::rules::*;

const TWO: &str = r#"
rules:
  - name: Wind.Trend
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    trigger: {every: 60s}
    tasks:
      forecast: {analysis: trend, with: {series: {topic: "ESS:301.tel_airFlow", field: speed, range: 30m}, ahead: 10m}}
    alarm: {value: tasks.forecast.result.predicted, levels: {warning: 10.0}}
  - name: Reader
    inputs:
      forecast: {task: Wind.Trend.forecast, max_age: 5m}
      high: {task: Wind.Trend.forecast, field: high}
      trend: {alarm: Wind.Trend}
    alarm:
      levels:
        warning: "forecast.predicted > 10.0"
        serious: "high > 20.0 || trend.severity >= AlarmSeverity.SERIOUS && !trend.acknowledged"
      reason: "{{ forecast.predicted }} {{ trend.reason }}"
"#;

fn file(name: &str, text: &str) -> SourceFile {
    SourceFile { name: name.into(), text: text.into() }
}

fn mistakes(files: &[(&str, &str)]) -> Vec<String> {
    let files: Vec<SourceFile> = files.iter().map(|(name, text)| file(name, text)).collect();
    compile_files(&files, &sal_idl::Library::embedded()).mistakes.iter().map(|d| d.to_string()).collect()
}

#[test]
fn results_of_known_analyses_have_their_types() {
    assert_eq!(mistakes(&[("a.yaml", TWO)]), Vec::<String>::new());
    let wrong = |from: &str, to: &str| mistakes(&[("a.yaml", &TWO.replace(from, to))]).join("\n");
    let text = wrong("forecast.predicted > 10.0", "forecast.predictd > 10.0");
    assert!(text.contains("the result of Wind.Trend.forecast") && text.contains("\"predicted\""), "{text}");
    let text = wrong("forecast.predicted > 10.0", "forecast.predicted > \\\"x\\\"");
    assert!(text.contains("a.yaml:16:"), "{text}");
    let text = wrong("field: high", "field: hight");
    assert!(text.contains("has no field \"hight\""), "{text}");
}

#[test]
fn a_rule_may_read_one_of_another_file() {
    let (first, second) = TWO.split_once("  - name: Reader").unwrap();
    let second = format!("rules:\n  - name: Reader{second}");
    assert_eq!(mistakes(&[("b.yaml", &second), ("a.yaml", first)]), Vec::<String>::new());
    let untyped = second
        .replace("      high: {task: Wind.Trend.forecast, field: high}\n", "")
        .replace("high >", "forecast.high >");
    let alone = mistakes(&[("b.yaml", &untyped)]).join("\n");
    assert!(alone.contains("b.yaml:4:24: rule \"Reader\": there is no rule \"Wind.Trend\""), "{alone}");
}

#[test]
fn whom_a_rule_reads_must_be_there() {
    let wrong = |from: &str, to: &str| mistakes(&[("a.yaml", &TWO.replace(from, to))]).join("\n");
    let text = wrong("alarm: Wind.Trend}", "alarm: Wind.Trand}");
    assert!(text.contains("there is no alarm \"Wind.Trand\"") && text.contains("\"Wind.Trend\""), "{text}");
    let text = wrong("task: Wind.Trend.forecast, field", "task: Wind.Trend.forcast, field");
    assert!(text.contains("there is no") || text.contains("not known beforehand"), "{text}");
    let text = wrong("task: Wind.Trend.forecast, max_age", "task: Wind.Trend.forcast, max_age");
    assert!(text.contains("has no task \"forcast\"") && text.contains("\"forecast\""), "{text}");
    let silent =
        TWO.replace("    alarm: {value: tasks.forecast.result.predicted, levels: {warning: 10.0}}\n", "");
    let text = mistakes(&[("a.yaml", &silent)]).join("\n");
    assert!(text.contains("rule \"Wind.Trend\" has no alarm"), "{text}");
}

#[test]
fn a_circle_is_told_with_all_that_are_in_it() {
    let rule = |name: &str, reads: &str| {
        format!(
            "  - name: {name}\n    inputs: {{x: {{alarm: {reads}}}}}\n    alarm: {{levels: {{warning: \"x.severity > 1\"}}}}\n"
        )
    };
    let text = format!("rules:\n{}{}{}", rule("A", "B"), rule("B", "C"), rule("C", "A"));
    let told = mistakes(&[("a.yaml", &text)]);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].starts_with("a.yaml:3:25: rule \"A\": rules read each other in a circle: A -> B -> C -> A"),
        "{told:?}"
    );
    let own = format!("rules:\n{}", rule("A", "A"));
    assert!(mistakes(&[("a.yaml", &own)])[0].contains("A -> A"));
}

#[test]
fn a_name_stands_in_one_file_only() {
    let one = "rules:\n  - name: Same\n    inputs: {wind: {topic: \"ESS:301.tel_airFlow\", field: speed}}\n    alarm: {value: wind, levels: {warning: 10.0}}\n";
    let told = mistakes(&[("a.yaml", one), ("b.yaml", one)]);
    assert_eq!(told, ["b.yaml:2:11: rule \"Same\": there is a rule of the name \"Same\" in a.yaml already"]);
}

const CAUSES: &str = r#"
rules:
  - name: Power.Main
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    alarm: {value: wind, levels: {critical: 25.0}}
  - name: Dome
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    alarm: {value: wind, levels: {warning: 15.0}, inhibit_by: Power.Main}
  - name: Camera.Alert
    by: alert.alertId
    inputs: {alert: {topic: "MTCamera.evt_alertRaised"}}
    alarm:
      severity: alert.currentSeverity + 1
      inhibit_by: [Power.*, {alarm: Dome, from: critical}]
  - name: Shutter
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    alarm: {value: wind, levels: {warning: 20.0}, inhibit_by: [Camera.Alert.REB7, "Camera.*"]}
  - name: Report
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    trigger: {when: "wind > 10.0"}
    tasks: {job: {ocps: {index: 1, pipeline: a.yaml, data_query: x}}}
"#;

#[test]
fn causes_are_alarms_of_other_rules() {
    assert_eq!(mistakes(&[("a.yaml", CAUSES)]), Vec::<String>::new());
    let file = file("a.yaml", CAUSES);
    let rules = compile_files(&[file], &sal_idl::Library::embedded()).rules.remove(0);
    let camera = &rules[2].alarm.as_ref().unwrap().config;
    let written: Vec<(&str, Severity)> =
        camera.inhibit_by.iter().map(|i| (i.alarms.text(), i.from)).collect();
    assert_eq!(written, [("Power.*", Severity::Warning), ("Dome", Severity::Critical)]);

    let wrong = |from: &str, to: &str| mistakes(&[("a.yaml", &CAUSES.replace(from, to))]).join("\n");
    let dome = "inhibit_by: Power.Main";
    for (to, said) in [
        (
            "inhibit_by: Power.Mian",
            "a.yaml:8:63: rule \"Dome\": there is no alarm \"Power.Mian\" (did you mean \"Power.Main\"?)",
        ),
        ("inhibit_by: [Pwr.*]", "no alarm of another rule has a name of the pattern \"Pwr.*\""),
        ("inhibit_by: Report", "rule \"Report\" has no alarm"),
        ("inhibit_by: Camera.Alert", "one alarm for each key (write the key behind it, or Camera.Alert.*)"),
        ("inhibit_by: [Power.Main, Dome]", "an alarm is not its own cause"),
        ("inhibit_by: \"D*\"", "an alarm is not its own cause"),
    ] {
        let text = wrong(dome, to);
        assert!(text.contains(said), "{to}: {text}");
    }
}

#[test]
fn causes_in_a_circle_are_told_once_with_the_way_round() {
    let wrong = |to: &str| mistakes(&[("a.yaml", &CAUSES.replace("inhibit_by: Power.Main", to))]);
    let text = wrong("inhibit_by: [Power.Main, Shutter]");
    assert_eq!(text.len(), 1, "{text:#?}");
    assert!(
        text[0].starts_with("a.yaml:8:76: rule \"Dome\": alarms are each other's cause in a circle: Dome -> Shutter -> Camera.Alert -> Dome"),
        "{text:#?}"
    );
    // By patterns, too.
    let text = wrong("inhibit_by: \"*\"");
    assert!(text[0].contains("in a circle"), "{text:#?}");
}

#[test]
fn no_rule_is_called_as_the_alarm_of_a_key_may_be() {
    let keyed = |by: &str| {
        format!(
            "rules:\n  - name: Wind\n    by: {by}\n    inputs: {{wind: {{topic: \"ESS:*.tel_airFlow\"}}}}\n    \
             alarm: {{value: wind.speed, levels: {{warning: 10.0}}}}\n"
        )
    };
    let other = |name: &str, alarm: &str| {
        format!(
            "rules:\n  - name: {name}\n    inputs: {{wind: {{topic: \"ESS:301.tel_airFlow\", field: speed}}}}\n    {alarm}\n"
        )
    };
    let alarm = "alarm: {value: wind, levels: {warning: 10.0}}";
    let told = mistakes(&[("a.yaml", &keyed("wind.salIndex")), ("b.yaml", &other("Wind.301", alarm))]);
    assert_eq!(
        told,
        [
            "b.yaml:2:11: rule \"Wind.301\": rule \"Wind\" has an alarm for each key, and that of the key \"301\" has \
          this name too (give one of the two another name: Wind-301)"
        ]
    );
    let none = Vec::<String>::new();
    let fine = |by: &str, name: &str, alarm: &str| {
        mistakes(&[("a.yaml", &keyed(by)), ("b.yaml", &other(name, alarm))])
    };
    assert_eq!(fine("wind.salIndex", "Wind.High", alarm), none, "a number is never High");
    assert_eq!(fine("string(wind.salIndex)", "Wind.High", alarm).len(), 1);
    assert_eq!(fine("wind.salIndex", "Wind-301", alarm), none);
    assert_eq!(fine("wind.salIndex", "Windy.301", alarm), none);
    let work = "trigger: {every: 60s}\n    tasks: {job: {ocps: {index: 1, pipeline: a.yaml, data_query: x}}}";
    assert_eq!(fine("wind.salIndex", "Wind.301", work), none, "it has no alarm");
}
