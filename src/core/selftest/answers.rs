//! How the steps of a test end: built-in analyses are computed on the test's series, other steps answer from `results`.

use std::collections::BTreeMap;

use salobj::{Tai, Value};

use super::messages::Message;
use crate::rules::{FieldNeed, Part, SchemaSource, TestAnswer, TestCase, TestResult};
use crate::tasks::analysis::Source;
use crate::tasks::call::{StepCall, StepError, StepOutcome};
use crate::tasks::series::{self, SeriesRequest, SeriesRow};
use crate::tasks::steps::{self, analysis::Prepared};

/// How a step ends, and when.
pub(crate) struct End {
    pub(crate) at: Tai,
    pub(crate) outcome: Result<StepOutcome, StepError>,
}

/// The test says nothing about a step that asks.
pub(super) struct NoAnswer;

/// What a test says about its steps, and how often it was asked.
pub(super) struct Answers<'a> {
    test: &'a TestCase,
    asked: BTreeMap<String, usize>,
}

impl<'a> Answers<'a> {
    pub(super) fn of(test: &'a TestCase) -> Answers<'a> {
        Answers { test, asked: BTreeMap::new() }
    }

    /// How this call ends. An answer in `results` goes before the analysis itself.
    pub(super) fn end(
        &mut self,
        call: &StepCall,
        messages: &[Message<'_>],
        schemas: &dyn SchemaSource,
        now: Tai,
    ) -> Result<End, NoAnswer> {
        let mut end = match self.test.results.get(call.id.base()) {
            Some(all) => {
                let asked = self.asked.entry(call.id.base().to_owned()).or_default();
                let told = all.get(*asked).or(all.last()).ok_or(NoAnswer)?;
                *asked += 1;
                given(told, call, now)
            }
            None if call.backend == "analysis" => analysed(call, messages, schemas, now),
            None => return Err(NoAnswer),
        };
        let limit = now + call.timeout;
        if end.at.0 > limit.0 {
            let text = format!("not done within {} s", call.timeout.as_secs_f64());
            end = End { at: limit, outcome: Err(StepError::timed_out(text)) };
        }
        Ok(end)
    }
}

/// What `results` says.
pub(crate) fn given(told: &TestResult, call: &StepCall, now: Tai) -> End {
    let at = Tai(now.0 + told.delay_s);
    match &told.answer {
        TestAnswer::Fail(text) => End { at, outcome: Err(StepError::permanent(text)) },
        TestAnswer::Timeout => {
            let text = "the test lets it run out of time";
            End { at: now + call.timeout, outcome: Err(StepError::timed_out(text)) }
        }
        TestAnswer::Result(result) => End { at, outcome: steps::given(&call.backend, result) },
    }
}

/// The analysis on the test's own series, when live it would be done: at once, or when the end of its range was seen.
fn analysed(call: &StepCall, messages: &[Message<'_>], schemas: &dyn SchemaSource, now: Tai) -> End {
    let prepared = match Prepared::read(call, schemas, now) {
        Ok(prepared) => prepared,
        Err(error) => return End { at: now, outcome: Err(error) },
    };
    let latest = now + prepared.wait();
    let of = |request: &SeriesRequest| -> Vec<(Tai, SeriesRow)> {
        messages
            .iter()
            .filter(|m| m.topic.component == request.component && m.topic.sal_name == request.sal_name)
            .filter(|m| request.index.is_none_or(|index| index == m.topic.sal_index))
            .map(|m| (m.at, row(m, request)))
            .collect()
    };
    let read: Vec<(&SeriesRequest, Vec<(Tai, SeriesRow)>)> =
        prepared.requests.iter().map(|request| (request, of(request))).collect();
    // When the end of each range was seen, if in time.
    let seen = |request: &SeriesRequest, rows: &[(Tai, SeriesRow)]| {
        let seen =
            rows.iter().find(|(_, row)| request.end_seen(std::slice::from_ref(row))).map(|(at, _)| *at);
        match seen {
            _ if !request.waits => Some(now),
            Some(seen) if seen.0 <= latest.0 => Some(Tai(seen.0.max(now.0))),
            _ => None,
        }
    };
    let ends: Vec<Option<Tai>> = read.iter().map(|(request, rows)| seen(request, rows)).collect();
    let at = ends.iter().map(|end| end.unwrap_or(latest).0).fold(now.0, f64::max);
    let sets: Result<Vec<_>, _> = read
        .into_iter()
        .zip(&ends)
        .map(|((request, rows), end)| {
            let rows: Vec<SeriesRow> =
                rows.into_iter().filter(|(sent, _)| sent.0 <= at).map(|(_, row)| row).collect();
            series::set(request, &rows, Source::Given, end.is_some())
        })
        .collect();
    let outcome =
        sets.map_err(|e| StepError::permanent(e.to_string())).and_then(|sets| prepared.outcome(sets));
    End { at: Tai(at), outcome }
}

fn row(message: &Message<'_>, request: &SeriesRequest) -> SeriesRow {
    let whole = |name: &str| FieldNeed { name: name.to_owned(), part: Part::Whole };
    let stamp = match message.cell(&whole(request.stamp_field())) {
        Value::Double(stamp) => stamp,
        Value::Int(stamp) => stamp as f64,
        _ => f64::NAN,
    };
    let cells = request.columns.iter().map(|column| {
        message.cell(&FieldNeed {
            name: column.field.clone(),
            part: column.element.map_or(Part::Whole, Part::Element),
        })
    });
    SeriesRow { stamp, cells: cells.collect() }
}
