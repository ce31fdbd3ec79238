//! What rules ask the EFD, and how much of a series a recording has.

use serde_json::json;

use super::*;
use crate::replay::{Control, QueryRows};
use crate::rules::{EfdQuery, table_message};

const DRIFT: &str = r#"rules:
  - name: Drift
    inputs:
      avg:
        efd: {flux: "from(bucket: \"efd\") |> range(start: {{ from }}, stop: {{ to }})", range: 1h}
        every: 60s
        reduce: mean
    alarm: {value: avg, levels: {warning: 10.0}}
  - name: Now
    inputs:
      x: {efd: {influxql: "SELECT x FROM y WHERE time > now() - 1h", columns: [x]}, every: 60s, reduce: last}
    alarm: {value: x, levels: {warning: 10.0}}
"#;

/// What an EFD would have said in which the value is the minute.
fn minutes(text: &str) -> QueryRows {
    let query = EfdQuery::parse(text).unwrap();
    let said = (0..=15).map(f64::from).map(|minute| {
        let at = Tai(T0 + 60.0 * minute);
        let cells = vec![Value::Double(minute)];
        let answer = table_message(&[at.0], vec![("_value".to_owned(), false, cells)]);
        (at, if minute == 8.0 { Err("connection refused".to_owned()) } else { Ok(answer) })
    });
    let (times, columns, said) = (Vec::new(), Vec::new(), said.collect());
    QueryRows { text: text.to_owned(), query, times, columns, said }
}

fn run(mut replay: Replay<'_>, bytes: &[u8], end: f64) -> Vec<String> {
    let mut reader = Reader::open(Cursor::new(bytes)).unwrap();
    while let Some(item) = reader.next_item().unwrap() {
        replay.item(&item).unwrap();
    }
    replay.finish(Tai(T0 + end)).unwrap();
    told(replay.transitions())
}

fn replay<'a>(library: &'a Library, end: f64) -> Replay<'a> {
    let span = Span { from: Tai(T0), to: Tai(T0 + end) };
    Replay::new(rules(DRIFT), Settings::default(), Answers::default(), library, span)
}

#[test]
fn an_efd_is_asked_as_of_each_past_time() {
    let library = Library::embedded();
    let mut replay = replay(&library, 900.0);
    let rows: Vec<Arc<QueryRows>> = replay.core().queries().map(|text| Arc::new(minutes(text))).collect();
    replay.answer_queries(&rows);
    let seen = run(replay, &Bed::new().finish(), 900.0);
    let of = |rule: &str| -> Vec<&String> { seen.iter().filter(|t| t.contains(rule)).collect() };
    // It is enabled first, then it asks: at the begin nothing is known for no time at all.
    let drift: Vec<&String> = of("Drift").into_iter().filter(|t| !t.starts_with("0.0 ")).collect();
    assert_eq!(
        drift,
        [
            "480.0 Drift unknown: input \"avg\": the EFD does not answer: connection refused",
            "540.0 Drift unknown: all is known again",
            "660.0 Drift alarm: WARNING: avg: 11.00 > 10.00",
            "720.0 Drift reason: avg: 12.00 > 10.00",
            "780.0 Drift reason: avg: 13.00 > 10.00",
            "840.0 Drift reason: avg: 14.00 > 10.00",
            "900.0 Drift reason: avg: 15.00 > 10.00",
        ]
    );
    let now = of("Now");
    assert!(now.iter().any(|t| t.contains("cannot be asked as of a past time")), "{now:?}");
}

#[test]
fn without_an_efd_the_input_is_unknown_and_says_why() {
    let library = Library::embedded();
    let seen = run(replay(&library, 60.0), &Bed::new().finish(), 60.0);
    let text = "input \"avg\": the EFD does not answer: this replay has no EFD to ask";
    assert!(seen.iter().any(|t| t.starts_with("0.0 Drift unknown") && t.contains(text)), "{seen:?}");
    assert!(!seen.iter().any(|t| t.contains("alarm")), "{seen:?}");
}

#[test]
fn what_a_live_run_was_told_by_the_efd_counts_without_one() {
    let library = Library::embedded();
    let replay = replay(&library, 300.0);
    let query = replay.core().queries().find(|text| text.contains("flux\":\"from")).unwrap().to_owned();
    let mut bed = Bed::new();
    let mut answer = |at: f64, control: Control| {
        let json = serde_json::to_string(&control).unwrap();
        bed.item(&ItemRef::Control { at: Tai(T0 + at), json: &json });
    };
    for (at, mean) in [(-10.0, 12.0), (60.0, 5.0)] {
        let columns = [("mean(_value)".to_owned(), json!(mean))].into();
        answer(at, Control::Table { query: query.clone(), columns });
    }
    answer(120.0, Control::TableFailed { query: query.clone(), reason: "away".into() });
    answer(180.0, Control::Table { query: "another".into(), columns: BTreeMap::new() });
    let seen = run(replay, &bed.finish(), 300.0);
    let drift: Vec<&String> = seen.iter().filter(|t| t.contains("Drift")).collect();
    assert_eq!(
        drift[..3],
        [
            "0.0 Drift alarm: WARNING: avg: 12.00 > 10.00",
            "60.0 Drift alarm: none",
            "120.0 Drift unknown: input \"avg\": the EFD does not answer: away",
        ]
    );
}

const TREND: &str = r#"rules:
  - name: Trend
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    trigger: {every: 60s}
    tasks:
      fit: {analysis: trend, with: {series: {topic: "ESS:301.tel_airFlow", field: speed, range: 5m}, ahead: 60s}}
"#;

/// Which of the runs had all of their range.
fn complete(bytes: &[u8], end: f64) -> Vec<bool> {
    let library = Library::embedded();
    let span = Span { from: Tai(T0), to: Tai(T0 + end) };
    let mut replay = Replay::new(rules(TREND), Settings::default(), Answers::default(), &library, span);
    let mut reader = Reader::open(Cursor::new(bytes)).unwrap();
    while let Some(item) = reader.next_item().unwrap() {
        replay.item(&item).unwrap();
    }
    replay.finish(span.to).unwrap();
    let mut runs: Vec<_> = replay.core().runs().finished().collect();
    runs.reverse();
    let of = |run: &&crate::tasks::run::Run| run.context.tasks["fit"]["result"]["complete"].as_bool();
    runs.iter().filter_map(of).collect()
}

#[test]
fn a_series_that_is_not_wholly_in_the_recording_is_not_complete() {
    let mut bed = Bed::new();
    (0..600).for_each(|at| bed.wind(f64::from(at), 5.0));
    let seen = complete(&bed.finish(), 599.0);
    // The ranges of the runs up to 240 s begin before the recording does; that of 300 s begins with it.
    assert_eq!(seen, [false, false, false, false, true, true, true, true, true]);
}

#[test]
fn what_two_processes_recorded_is_one_series_if_nothing_is_missing_between_them() {
    let session = |lost: bool| {
        let mut bed = Bed::new();
        (-300..300).for_each(|at| bed.wind(f64::from(at), 5.0));
        if lost {
            *bed.offsets.get_mut(&0).unwrap() += 10;
        }
        let mut bed = bed.restart(300.0);
        (300..600).for_each(|at| bed.wind(f64::from(at), 5.0));
        complete(&bed.finish(), 599.0)
    };
    assert_eq!(session(false), [true; 9]);
    assert_eq!(session(true), [true, true, true, true, true, false, false, false, false]);
}
