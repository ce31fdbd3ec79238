//! The backend `efd_query`: a question to the EFD, its answer as a table.
//!
//! It asks for fields of a topic, or in the words of the rule (Flux for InfluxDB 2, InfluxQL for InfluxDB 1), which may only
//! read: what templates filled in is looked at again before it is sent. Nothing is changed by a question, so it is asked again
//! after a restart. The whole table is kept as CSV; the result holds at most `rows` rows.

use std::sync::Arc;

use async_trait::async_trait;
use salobj::{Clock, Value as Cell};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::service::text;
use super::{Backend, StepHandle};
use crate::outputs::efd::{Efd, EfdError, ErrorClass, SeriesQuery, Table, TextColumn, TextQuery};
use crate::rules::SchemaSource;
use crate::rules::{flux_only_reads, influxql_only_reads};
use crate::tasks::call::{StepCall, StepError, StepOutcome};
use crate::tasks::series::SeriesRequest;
use crate::tasks::shelf::{Content, Shelf};

#[cfg(test)]
mod tests;

/// Questions at a time; the EFD has a limit of its own.
const CONCURRENCY: usize = 4;
/// Rows of a result, if the rule says nothing.
pub(super) const ROWS: usize = 1000;
/// Most values of a result: it is journaled with the run.
pub(super) const MOST_CELLS: usize = 20_000;

/// Parameters of a step.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    #[serde(default)]
    topic: Option<String>,
    #[serde(default)]
    field: Value,
    #[serde(default)]
    fields: Value,
    #[serde(default)]
    range: Value,
    #[serde(default)]
    from: Value,
    #[serde(default)]
    to: Value,
    #[serde(default)]
    flux: Option<String>,
    #[serde(default)]
    influxql: Option<String>,
    /// Columns of the answer: names, or names with `number` or `text`.
    #[serde(default)]
    columns: Value,
    #[serde(default)]
    rows: Option<usize>,
}

/// A question, ready to be asked.
#[derive(Debug, Clone, PartialEq)]
enum Question {
    Topic(SeriesQuery),
    Text(TextQuery),
}

/// Carries out `efd_query` steps.
pub struct EfdQueryBackend {
    efd: Arc<dyn Efd>,
    schemas: Arc<dyn SchemaSource>,
    shelf: Arc<dyn Shelf>,
    clock: Clock,
}

impl EfdQueryBackend {
    /// Asks `efd` for fields as `schemas` knows them.
    pub fn new(
        efd: Arc<dyn Efd>,
        schemas: Arc<dyn SchemaSource>,
        shelf: Arc<dyn Shelf>,
        clock: Clock,
    ) -> EfdQueryBackend {
        EfdQueryBackend { efd, schemas, shelf, clock }
    }

    fn question(&self, call: &StepCall) -> Result<Question, String> {
        let params: Params = serde_json::from_value(call.params.clone())
            .map_err(|e| format!("the parameters of efd_query do not fit: {e}"))?;
        let asked_by = format!("rule {}", call.rule);
        let columns = columns(&params.columns)?;
        let rows = params.rows.unwrap_or(ROWS).max(1);
        if params.topic.is_none() {
            if columns.is_empty() {
                return Err("`columns` is needed with a query: what is read of its answer".to_owned());
            }
            let checks =
                [(&params.flux, flux_only_reads as fn(&str) -> _), (&params.influxql, influxql_only_reads)];
            for (query, only_reads) in checks {
                if let Some(query) = query {
                    only_reads(query).map_err(|why| format!("this query is not asked: {why}"))?;
                }
            }
            let at = self.clock.now();
            let max_rows = rows.min(MOST_CELLS / columns.len()).max(1);
            let (flux, influxql) = (params.flux, params.influxql);
            return Ok(Question::Text(TextQuery { flux, influxql, columns, at, max_rows, asked_by }));
        }
        // The same words as in the `series` of an analysis.
        let mut series = call.params.clone();
        if let Some(keys) = series.as_object_mut() {
            keys.shift_remove("rows");
        }
        let request = SeriesRequest::read(&series, self.schemas.as_ref(), self.clock.now())
            .map_err(|e| e.to_string())?;
        let fields: Vec<String> = (request.columns.iter())
            .map(|c| c.element.map_or_else(|| c.field.clone(), |element| format!("{}{element}", c.field)))
            .collect();
        let max_rows = rows.min(MOST_CELLS / fields.len().max(1)).max(1);
        let range = (request.from, request.to);
        let query = SeriesQuery::sal(&request.component, &request.sal_name, request.index, fields, range);
        Ok(Question::Topic(SeriesQuery { max_rows, ..query.asked_by(asked_by) }))
    }

    async fn ask(&self, call: &StepCall) -> Result<StepOutcome, StepError> {
        let question = self.question(call).map_err(StepError::permanent)?;
        let answer = match &question {
            Question::Topic(query) => self.efd.query(query).await,
            Question::Text(query) => self.efd.ask(query).await,
        };
        let table = answer.map_err(|e| class(&e))?;
        let name = format!("{}.csv", call.id.step);
        let mut files = Vec::new();
        match self.shelf.keep(&call.id, &name, Content::Bytes(csv(&table).as_bytes())).await {
            Ok(file) => files.push(file),
            Err(e) => tracing::warn!("efd_query: {}: {e}", call.id),
        }
        let known: Map<String, Value> = files.iter().map(|f| (f.name.clone(), json!(f.url))).collect();
        let mut result = result(&table);
        result["files"] = Value::Object(known);
        Ok(StepOutcome { result, files, ..StepOutcome::default() })
    }
}

/// Columns of an answer, as rules name them: a list, or a mapping with their kinds.
pub(super) fn columns(value: &Value) -> Result<Vec<TextColumn>, String> {
    let one = |name: &str, kind: &str| TextColumn { name: name.to_owned(), text: kind == "text" };
    let columns: Vec<TextColumn> = match value {
        Value::Null => Vec::new(),
        Value::Array(names) => names.iter().map(|name| one(&text(name), "number")).collect(),
        Value::Object(all) => all.iter().map(|(name, kind)| one(name, &text(kind))).collect(),
        other => return Err(format!("columns {other} is no list of names")),
    };
    if columns.len() > 100 { Err("columns: 100 at most".to_owned()) } else { Ok(columns) }
}

/// A table as a result: `time`, `columns`, `n`, `truncated`.
pub(super) fn result(table: &Table) -> Value {
    let columns: Map<String, Value> = (table.columns.iter())
        .map(|c| (c.name.clone(), c.cells.iter().map(value).collect::<Vec<_>>().into()))
        .collect();
    json!({
        "time": table.times.iter().map(|t| t.0).collect::<Vec<_>>(), "columns": columns, "n": table.times.len(),
        "truncated": table.truncated,
    })
}

fn value(cell: &Cell) -> Value {
    match cell {
        Cell::Bool(b) => json!(b),
        Cell::Int(i) => json!(i),
        // What is not finite is null.
        Cell::Double(d) => json!(d),
        Cell::Text(t) => json!(t),
        _ => Value::Null,
    }
}

/// One line for each row, the first with the names; times in UTC.
fn csv(table: &Table) -> String {
    let quoted = |text: &str| {
        if text.contains(['"', ',', '\n', '\r']) {
            format!("\"{}\"", text.replace('"', "\"\""))
        } else {
            text.to_owned()
        }
    };
    let names: Vec<String> = table.columns.iter().map(|c| quoted(&c.name)).collect();
    let mut lines = vec![format!("time_utc,{}", names.join(","))];
    for (row, time) in table.times.iter().enumerate() {
        let cells = table.columns.iter().map(|c| match &c.cells[row] {
            Cell::Text(text) => quoted(text),
            cell => match value(cell) {
                Value::Null => String::new(),
                other => other.to_string(),
            },
        });
        let cells: Vec<String> = cells.collect();
        lines.push(format!("{}Z,{}", time.utc_iso(), cells.join(",")));
    }
    lines.join("\n") + "\n"
}

/// What an error of the EFD means for a step that only asked.
pub(super) fn class(error: &EfdError) -> StepError {
    match error.class() {
        ErrorClass::Unavailable => StepError::transient(error.to_string()),
        ErrorClass::Refused | ErrorClass::BadRequest => StepError::permanent(error.to_string()),
    }
}

#[async_trait]
impl Backend for EfdQueryBackend {
    fn name(&self) -> &'static str {
        "efd_query"
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    async fn execute(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        tokio::select! {
            outcome = self.ask(call) => outcome,
            stop = step.stop_requested() => Err(stop.error("the EFD had not answered")),
        }
    }
}
