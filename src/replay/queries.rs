//! The `efd` inputs of rules in a replay: each query is answered at multiples of its period from what the EFD had for the
//! whole range, or as a live run was answered that was recorded.
//!
//! An answer has what was in the EFD by the time of the question, judged by the stamps of the points: live, points come some
//! seconds later, and so does the answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use salobj::{Tai, Value};

use super::exact::Control;
use crate::rules::{EfdOf, EfdQuery, json_value, table_message};

/// Most rows of one answer, as live.
const MOST_ROWS: usize = 10_000;

/// What the EFD had for one query, from its range before the begin to the end.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryRows {
    /// The query as the rules know it.
    pub text: String,
    /// The same.
    pub query: EfdQuery,
    /// Times of the rows, in order.
    pub times: Vec<Tai>,
    /// Cells of each column, one for each row.
    pub columns: Vec<(String, Vec<Value>)>,
    /// What it said to a query in the words of the rule, each time that it was asked; in the order of time.
    pub said: Vec<(Tai, Answer)>,
}

/// The columns of an answer, or why there is none.
pub(super) type Answer = Result<BTreeMap<String, Value>, String>;

/// The questions that are open.
#[derive(Debug, Default)]
pub(super) struct Queries {
    all: Vec<(Arc<QueryRows>, f64)>,
}

impl Queries {
    pub(super) fn new(rows: &[Arc<QueryRows>]) -> Queries {
        Queries { all: rows.iter().map(|rows| (Arc::clone(rows), f64::INFINITY)).collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// True if it is one of them.
    pub(super) fn has(&self, text: &str) -> bool {
        self.all.iter().any(|(rows, _)| rows.text == text)
    }

    /// The rules are enabled: everything is asked for the first time.
    pub(super) fn begin(&mut self, now: Tai) {
        self.all.iter_mut().for_each(|(_, due)| *due = now.0);
    }

    /// When something is asked next; infinite if nothing is.
    pub(super) fn next_due(&self) -> f64 {
        self.all.iter().map(|(_, due)| *due).fold(f64::INFINITY, f64::min)
    }

    /// The answers to what is due.
    pub(super) fn due(&mut self, now: Tai) -> Vec<(String, Answer)> {
        let mut answers = Vec::new();
        for (rows, due) in self.all.iter_mut().filter(|(_, due)| *due <= now.0) {
            *due = rows.query.after(now).0;
            answers.push((rows.text.clone(), rows.answer(now)));
        }
        answers
    }
}

impl QueryRows {
    fn answer(&self, now: Tai) -> Answer {
        if let Some(why) = self.query.only_now() {
            return Err(why.to_owned());
        }
        if matches!(self.query.of, EfdOf::Text { .. }) {
            let before = self.said.partition_point(|(at, _)| at.0 <= now.0 + 1e-6);
            let newest = before.checked_sub(1).and_then(|at| self.said.get(at));
            return newest.map_or_else(|| Err("it was not asked".to_owned()), |(_, answer)| answer.clone());
        }
        let first = self.times.partition_point(|t| t.0 < now.0 - self.query.range_s);
        let end = self.times.partition_point(|t| t.0 <= now.0).max(first);
        if end - first > MOST_ROWS {
            return Err(format!("there are more than {MOST_ROWS} rows in the range; make it shorter"));
        }
        let times: Vec<f64> = self.times[first..end].iter().map(|t| t.0).collect();
        let text = |name: &str| self.query.columns.iter().any(|c| c.text && c.name == name);
        let cells =
            |(name, cells): &(String, Vec<Value>)| (name.clone(), text(name), cells[first..end].to_vec());
        Ok(table_message(&times, self.columns.iter().map(cells).collect()))
    }
}

/// An answer that a live run got, if this input of a recording is one.
pub(super) fn recorded(json: &str) -> Option<(String, Answer)> {
    // Other inputs are many and long: rules, checkpoints.
    if !json.starts_with("{\"input\":\"table") {
        return None;
    }
    match serde_json::from_str(json).ok()? {
        Control::Table { query, columns } => {
            let columns = columns.iter().map(|(name, json)| (name.clone(), json_value(json))).collect();
            Some((query, Ok(columns)))
        }
        Control::TableFailed { query, reason } => Some((query, Err(reason))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_rows_of_its_range() {
        let query = EfdQuery {
            of: EfdOf::Topic { component: "ESS".into(), sal_name: "airFlow".into(), index: None },
            columns: Vec::new(),
            range_s: 10.0,
            every_s: 5.0,
        };
        let times: Vec<Tai> = (0..40).map(|n| Tai(1_795_219_237.0 + f64::from(n))).collect();
        let cells = (0..40).map(|n| Value::Double(f64::from(n))).collect();
        let columns = vec![("speed".into(), cells)];
        let rows = QueryRows { text: "q".into(), query, times, columns, said: Vec::new() };
        let mut queries = Queries::new(&[Arc::new(rows)]);
        assert_eq!(queries.next_due(), f64::INFINITY, "not before the begin");
        let now = Tai(1_795_219_237.0 + 22.5);
        queries.begin(now);
        let [(text, answer)] = &queries.due(now)[..] else { panic!() };
        assert_eq!(text, "q");
        let answer = answer.as_ref().unwrap();
        assert_eq!(answer["speed"], Value::Doubles((13..=22).map(f64::from).collect()));
        assert_eq!(answer["mean(speed)"], Value::Double(17.5));
        // 2026-11-21T00:00:00 UTC is a multiple of 5 s.
        assert_eq!(queries.next_due(), 1_795_219_237.0 + 25.0);
        assert!(queries.due(now).is_empty());
    }

    #[test]
    fn answers_of_a_live_run_are_found() {
        let mut columns = BTreeMap::new();
        columns.insert("mean(speed)".to_owned(), serde_json::json!(8.5));
        let json = serde_json::to_string(&Control::Table { query: "q".into(), columns }).unwrap();
        let (query, answer) = recorded(&json).unwrap();
        assert_eq!((query.as_str(), &answer.unwrap()["mean(speed)"]), ("q", &Value::Double(8.5)));
        let failed = Control::TableFailed { query: "q".into(), reason: "away".into() };
        assert_eq!(recorded(&serde_json::to_string(&failed).unwrap()).unwrap().1, Err("away".to_owned()));
        assert!(recorded(&serde_json::to_string(&Control::Enable).unwrap()).is_none());
    }
}
