mod sources;

use super::*;
use crate::rules::compile;

/// A rule file whose text is given here, compiled with the interfaces that are built in.
fn file(text: &str) -> TestFile {
    let source = SourceFile { name: "rules.yaml".into(), text: text.into() };
    let rules = compile(&source, &sal_idl::Library::embedded()).unwrap_or_else(|mistakes| {
        panic!("{}", mistakes.iter().map(|m| m.render(false)).collect::<String>());
    });
    TestFile { source, rules }
}

fn run(text: &str) -> Vec<TestOutcome> {
    run_tests(&[file(text)], &sal_idl::Library::embedded())
}

fn say(outcomes: &[TestOutcome]) -> String {
    let failures = outcomes.iter().flat_map(|o| &o.failures);
    failures.map(|f| f.diagnostic.render(false)).collect()
}

/// The tests given here, each with a name of its own, all pass.
fn passes(text: &str) {
    let outcomes = run(text);
    assert!(!outcomes.is_empty());
    assert!(outcomes.iter().all(|o| o.passed && o.checks > 0), "{}", say(&outcomes));
}

/// The only test given here fails; gives what it says.
fn fails(text: &str) -> Failure {
    let outcomes = run(text);
    assert_eq!(outcomes.len(), 1);
    assert!(!outcomes[0].passed);
    assert_eq!(outcomes[0].failures.len(), 1, "{}", say(&outcomes));
    outcomes[0].failures[0].clone()
}

const WIND: &str = r#"
rules:
  - name: Wind
    inputs:
      wind: {topic: "ESS:301.tel_airFlow", field: speed}
    alarm:
      value: wind
      levels: {warning: 10.0, critical: 20.0}
      hysteresis: 1.0
      reason: "wind is {{ value | round(1) }}"
      auto_unacknowledge: 1h
    tests:
"#;

const MANUAL: &str = r#"
rules:
  - name: By.Hand
    parameters: {pipeline: a.yaml}
    inputs:
      wind: {topic: "ESS:301.tel_airFlow", field: speed}
    trigger: {manual: true, when: "wind > 1.0"}
    tasks:
      job:
        ocps: {index: 1, pipeline: "{{ parameters.pipeline }}", data_query: "x"}
        timeout: 1m
      after:
        needs: [job]
        ocps: {index: 1, pipeline: "second.yaml", data_query: "{{ tasks.job.result.job_id }}"}
    tests:
"#;

#[test]
fn every_shipped_example_passes_its_own_tests() {
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/config_schema/examples"));
    let mut files = Vec::new();
    for below in ["", "images", "observatory", "systems", "watcher"] {
        for entry in std::fs::read_dir(folder.join(below)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "yaml") {
                files.push(file(&std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    let outcomes = run_tests(&files, &sal_idl::Library::embedded());
    assert!(outcomes.len() >= 60, "{}", outcomes.len());
    assert!(outcomes.iter().all(|o| o.passed && o.checks > 0), "{}", say(&outcomes));
}

#[test]
fn an_alarm_follows_its_series() {
    passes(
        &(WIND.to_owned()
            + r#"
      - name: up and down
        series: {wind: "8x3 12x3 25 12 9.5 8x3 @10s"}
        expect:
          - {at: 0s, severity: none, max_severity: none}
          - {at: 29s, severity: none}
          - {at: 30s, severity: warning, reason: "wind is 12.0", acknowledged: false, error: ""}
          - {at: 1m, severity: critical}
          - {at: 80s, severity: warning, max_severity: critical}
          - {at: 90s, severity: none, max_severity: critical}
      - name: silence and NaN change nothing
        series: {wind: "12 _x10 nan 12 8 @10s"}
        expect: [{at: 111s, severity: warning, error: wind}, {at: 2m, severity: warning, error: ""}, {at: 130s, severity: none}]
      - name: acknowledged, and not for ever
        series: {wind: "12x500 @10s"}
        actions: [{at: 20s, acknowledge: warning}]
        expect:
          - {at: 19s, acknowledged: false}
          - {at: 20s, acknowledged: true, severity: warning}
          - {at: 1h19s, acknowledged: true}
          - {at: 1h20s, acknowledged: false}
"#),
    );
}

#[test]
fn a_failure_says_where_what_and_why() {
    let text = WIND.to_owned()
        + r#"
      - name: wrong
        series: {wind: "8x3 12x3 @10s"}
        expect: [{at: 40s, severity: serious}]
"#;
    let failure = fails(&text);
    let line = text.lines().nth(failure.line - 1).unwrap();
    assert!(
        line[failure.column - 1..].starts_with("{at: 40s")
            || line[failure.column - 1..].starts_with("at: 40s")
    );
    assert_eq!((failure.what.as_str(), failure.expected.as_str()), ("severity", "SERIOUS"));
    assert_eq!((failure.seen.as_str(), failure.at_s), ("WARNING (wind is 12.0)", Some(40.0)));
    assert_eq!(failure.history, ["0s unknown: input \"wind\" has no value", "30s WARNING wind is 12.0"]);
    assert!(
        failure.message.contains("at 40s: severity should be SERIOUS, but is WARNING"),
        "{}",
        failure.message
    );
    assert!(failure.diagnostic.render(false).contains("30s WARNING"));
}

#[test]
fn runs_by_hand_answer_from_results() {
    passes(
        &(MANUAL.to_owned()
            + r#"
      - name: both steps, the second one late
        series: {wind: "5x9 @10s"}
        results: {job: {exit_code: 0, job_id: j1}, after: {exit_code: 0, delay: 30s}}
        actions:
          - {at: 10s, trigger: {pipeline: b.yaml}}
          - {at: 11s, trigger: {nothing: 1}, refused: "no parameter"}
        expect:
          - {at: 9s, runs: 0}
          - {at: 10s, runs: 1, tasks: {job: succeeded, after: running}}
          - {at: 40s, tasks: {after: succeeded}}
      - name: no trigger while the condition is false
        series: {wind: "0x9 @10s"}
        actions: [{at: 10s, trigger: {}, refused: "is false"}]
        expect: [{at: 1m, runs: 0}]
      - name: exit codes count as they do live, and each answer once
        series: {wind: "5x9 @10s"}
        results: {job: [{exit_code: 1}, fail, {fail: no disk}], after: timeout}
        actions: [{at: 10s, trigger: {}}, {at: 20s, trigger: {}}, {at: 30s, trigger: {}}]
        expect:
          - {at: 15s, tasks: {job: failed, after: skipped}}
          - {at: 25s, tasks: {job: failed}, runs: 2}
          - {at: 35s, tasks: {job: failed}, runs: 3}
      - name: a cancelled run, and one that takes too long
        series: {wind: "5x99 @10s"}
        results: {job: {exit_code: 0, delay: 2m}, after: fail}
        actions: [{at: 10s, trigger: {}}, {at: 20s, cancel: enough}, {at: 30s, trigger: {}}]
        expect:
          - {at: 15s, tasks: {job: running}}
          - {at: 25s, tasks: {job: aborted, after: aborted}}
          - {at: 89s, tasks: {job: running}}
          - {at: 91s, tasks: {job: timed_out, after: skipped}}
"#),
    );
}

#[test]
fn a_step_without_an_answer_fails_the_test() {
    let failure = fails(
        &(MANUAL.to_owned()
            + r#"
      - name: no answer
        series: {wind: "5x9 @10s"}
        actions: [{at: 10s, trigger: {}}]
        expect: [{at: 15s, runs: 1}]
"#),
    );
    assert!(failure.message.contains("step \"job\" (ocps)"), "{}", failure.message);
    assert!(failure.message.contains("results: {job: ...}"), "{}", failure.message);
}

#[test]
fn a_refused_action_fails_the_test() {
    let failure = fails(
        &(MANUAL.to_owned()
            + r#"
      - name: refused
        series: {wind: "0x9 @10s"}
        actions: [{at: 10s, trigger: {}}]
        expect: [{at: 15s, runs: 0}]
"#),
    );
    assert!(failure.message.contains("refused: `when` of rule"), "{}", failure.message);
}

/// The shipped jitter rule, with tests: packed arrays, times from the message, the wait for the end of the range.
#[test]
fn packed_series_are_waited_for_and_analysed() {
    let shipped = include_str!("../../../config_schema/examples/jitter_auxtel.yaml");
    passes(
        &(shipped.trim_end().to_owned()
            + r#"
    tests:
      - name: a quiet mount, then one that shakes
        series:
          image:
            - {at: 40s, imageName: A1, requestedExposureTime: 15, timestampAcquisitionStart: at-20s}
            - {at: 44s, imageName: A2, requestedExposureTime: 0.5}
            - {at: 100s, imageName: A3, requestedExposureTime: 15, timestampAcquisitionStart: at-10s}
          ATMCS.tel_mount_AzEl_Encoders:
            - {at: 1s, every: 1s, times: 60, cRIO_timestamp: at-1s, azimuthCalculatedAngle: "10x100", elevationCalculatedAngle: "60x100"}
            - {at: 61s, every: 1s, times: 80, cRIO_timestamp: at-1s, azimuthCalculatedAngle: "10x50 10.001x50", elevationCalculatedAngle: "60x100"}
        results: {isr: {exit_code: 0, delay: 1m}}
        expect:
          - {at: 40s, runs: 1, severity: none, tasks: {jitter: succeeded, isr: skipped}}
          - {at: 50s, runs: 1}
          - {at: 104s, runs: 2, severity: none, tasks: {jitter: running}}
          - {at: 107s, severity: warning, reason: "in A3", tasks: {jitter: succeeded, isr: running}}
          - {at: 170s, tasks: {isr: succeeded}, severity: warning}
"#),
    );
}

/// Many tests at once: the order of the outcomes is that of the file.
#[test]
fn outcomes_are_in_the_order_of_the_file() {
    let mut text = WIND.to_owned();
    for i in 0..60 {
        text += &format!(
            "\n      - name: t{i}\n        series: {{wind: \"8x{} 12x9 @10s\"}}\n        expect: [{{at: {}s, severity: none}}, {{at: {}s, severity: warning}}]",
            i + 1,
            i * 10,
            (i + 1) * 10
        );
    }
    let outcomes = run(&text);
    assert!(outcomes.iter().all(|o| o.passed), "{}", say(&outcomes));
    let names: Vec<String> = outcomes.into_iter().map(|o| o.test).collect();
    assert_eq!(names, (0..60).map(|i| format!("t{i}")).collect::<Vec<_>>());
}

#[test]
fn moments_are_written_as_in_rule_files() {
    let texts: Vec<String> = [0.0, 0.5, 90.0, 3600.0, 3725.25].into_iter().map(moment).collect();
    assert_eq!(texts, ["0s", "0.5s", "1m30s", "1h", "1h2m5.25s"]);
}
