//! Tests of rules that read what is not a SAL topic, and of schedules: the test plays whatever they read.

use super::passes;

#[test]
fn alarms_results_and_tables_are_played_by_the_test() {
    passes(
        r#"
rules:
  - name: Wind.Trend
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    trigger: {every: 60s}
    tasks:
      forecast: {analysis: trend, with: {series: {topic: "ESS:301.tel_airFlow", field: speed, range: 30m}, ahead: 10m}}
  - name: Reader
    inputs:
      high: {alarm: Wind.High}
      forecast: {task: Wind.Trend.forecast, max_age: 5m}
      job: {task: Other.job}
    alarm:
      levels:
        warning: "forecast.predicted > 10.0"
        serious: "high.severity >= AlarmSeverity.SERIOUS && !high.acknowledged"
        critical: "job.exit_code != 0 && job.outcome == 'bad'"
      reason: "{{ high.reason }}"
    tests:
      - name: each of them is heard
        series:
          forecast: [{at: 10s, predicted: 12.0}, {at: 30s, predicted: 2.0}]
          high: [{at: 20s, severity: 3, acknowledged: false, reason: it blows}, {at: 40s, severity: 3, acknowledged: true}]
          job: [{at: 5s, exit_code: 0, outcome: good}, {at: 50s, exit_code: 1, outcome: bad}]
        expect:
          - {at: 15s, severity: warning}
          - {at: 25s, severity: serious, reason: it blows}
          - {at: 45s, severity: none, error: ""}
          - {at: 55s, severity: critical}
  - name: Drift
    inputs:
      avg: {efd: {topic: "ESS:301.tel_airFlow", field: speed, range: 1h}, every: 5m, reduce: mean}
      table: {efd: {topic: "ESS:301.tel_airFlow", field: speed, range: 1h}, every: 5m}
    alarm:
      levels: {warning: "avg > 10.0", serious: "size(table.speed) > 0 && table.speed[size(table.speed) - 1] - table.speed[0] > 5.0"}
    tests:
      - name: a number and a table
        series:
          avg: "5x2 12x2 @5m"
          table: [{at: 0s, speed: [1, 2, 3]}, {at: 16m, speed: [1, 9]}]
        expect: [{at: 9m, severity: none}, {at: 11m, severity: warning}, {at: 17m, severity: serious}, {at: 40m, severity: serious}]
"#,
    );
}

#[test]
fn a_query_in_the_words_of_a_rule_is_played_by_the_test() {
    passes(
        r#"
rules:
  - name: Seeing
    inputs:
      seeing:
        efd:
          flux: |
            from(bucket: "efd")
              |> range(start: {{ from }}, stop: {{ to }})
              |> filter(fn: (r) => r._measurement == "lsst.dm.seeing" and r._field == "fwhm")
          influxql: |
            SELECT "fwhm" AS "_value" FROM "lsst.dm.seeing" WHERE time >= '{{ from }}' AND time <= '{{ to }}'
          range: 1h
        every: 5m
        reduce: median
      bands:
        efd: {influxql: "SELECT band, fwhm AS f FROM seeing WHERE time >= now() - 1h", columns: {band: text, f: arcsec}}
        every: 5m
    alarm:
      levels:
        warning: "seeing > 1.5"
        serious: "size(bands.band) > 1 && bands.band[1] == 'r' && mean(bands.f) > 2.0"
    tests:
      - name: a number and a table
        series:
          seeing: "1.0x2 1.8x2 @5m"
          bands: [{at: 0s, band: [g], f: [1.0]}, {at: 16m, band: [g, r], f: [2.0, 2.5]}]
        expect: [{at: 9m, severity: none}, {at: 11m, severity: warning}, {at: 17m, severity: serious}, {at: 40m, severity: serious}]
"#,
    );
}

#[test]
fn schedules_run_in_virtual_time() {
    passes(
        r#"
rules:
  - name: Nightly
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed, initial: 1.0}}
    trigger: {cron: "0 0 21 * * *", timezone: America/Santiago, offset: 5m, when: "wind < 5.0"}
    tasks:
      job: {ocps: {index: 1, pipeline: a.yaml, data_query: "day {{ trigger.at | utc_iso }}"}}
    tests:
      - name: nine in the evening is midnight UTC
        series: {wind: "1x10 9x2 @2h"}
        results: {job: {exit_code: 0}}
        expect: [{at: 1m, runs: 0}, {at: 6m, runs: 1}, {at: 23h, runs: 1}, {at: 25h, runs: 1}]
"#,
    );
}
