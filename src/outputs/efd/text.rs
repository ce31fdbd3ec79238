//! A query in the words of its author, and the rows of its answer.

use std::collections::BTreeSet;

use salobj::{Tai, Value};

use super::error::EfdError;
use super::point;
use super::query::{Column, Table};

/// A query in the words of its author. Each kind of server is asked in its own language.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TextQuery {
    /// For InfluxDB 2.
    pub flux: Option<String>,
    /// For InfluxDB 1.
    pub influxql: Option<String>,
    /// What is taken of the answer.
    pub columns: Vec<TextColumn>,
    /// The time of rows that have none.
    pub at: Tai,
    /// Most rows wanted; the answer says if there are more.
    pub max_rows: usize,
    /// Who asks; see [`super::SeriesQuery::asked_by`].
    pub asked_by: String,
}

/// A column of the answer.
#[derive(Debug, Clone, PartialEq)]
pub struct TextColumn {
    /// Name.
    pub name: String,
    /// It has texts; otherwise numbers.
    pub text: bool,
}

/// Most bytes of an answer.
pub(super) const MAX_BYTES: usize = 32 << 20;

impl TextQuery {
    /// The query in the language of a server that knows no other.
    pub(super) fn language<'q>(
        &'q self,
        text: &'q Option<String>,
        server: &str,
        language: &str,
    ) -> Result<&'q str, EfdError> {
        text.as_deref().ok_or_else(|| EfdError::BadQuery {
            detail: format!("{server} understands {language}, and the query is not written in it"),
        })
    }
}

/// Collects the rows of an answer as they come.
pub(super) struct Rows<'q> {
    query: &'q TextQuery,
    rows: Vec<(f64, Vec<Value>)>,
    /// Names of all columns that came.
    came: BTreeSet<String>,
    any: bool,
    truncated: bool,
}

impl<'q> Rows<'q> {
    pub(super) fn new(query: &'q TextQuery) -> Rows<'q> {
        Rows { query, rows: Vec::new(), came: BTreeSet::new(), any: false, truncated: false }
    }

    /// The place of each wanted column among those of a table.
    pub(super) fn table<'n>(&mut self, names: impl Iterator<Item = &'n str>) -> Vec<Option<usize>> {
        let names: Vec<&str> = names.collect();
        self.came.extend(names.iter().map(|name| (*name).to_owned()));
        self.query.columns.iter().map(|c| names.iter().position(|name| *name == c.name)).collect()
    }

    /// A row: its time in UTC ns, and the value of each wanted column.
    ///
    /// # Errors
    /// A value is of another kind than the rule says.
    pub(super) fn push(&mut self, time_ns: Option<i64>, cells: Vec<Value>) -> Result<(), EfdError> {
        self.any = true;
        for (cell, column) in cells.iter().zip(&self.query.columns) {
            let (is, should) = match (cell, column.text) {
                (Value::Null, _) | (Value::Text(_), true) => continue,
                (Value::Text(_), false) => ("text", "a number"),
                (_, true) => ("a number", "text"),
                (_, false) => continue,
            };
            let detail = format!("column \"{}\" is {is}, the rule takes it for {should}", column.name);
            return Err(EfdError::BadQuery { detail });
        }
        if self.rows.len() == self.query.max_rows {
            self.truncated = true;
            return Ok(());
        }
        let time = time_ns.map_or(self.query.at, point::tai_of_ns);
        self.rows.push((time.0, cells));
        Ok(())
    }

    /// The server says that there is more.
    pub(super) fn truncated(&mut self) {
        self.truncated = true;
    }

    /// The rows in order of time.
    ///
    /// # Errors
    /// A wanted column is nowhere in an answer that has rows.
    pub(super) fn into_table(mut self) -> Result<Table, EfdError> {
        let missing = self.query.columns.iter().find(|c| self.any && !self.came.contains(&c.name));
        if let Some(missing) = missing {
            let came = self.came.iter().take(20).map(String::as_str).collect::<Vec<_>>().join(", ");
            let detail = format!("the answer has no column \"{}\"; it has {came}", missing.name);
            return Err(EfdError::BadQuery { detail });
        }
        self.rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut columns: Vec<Column> = (self.query.columns.iter())
            .map(|c| Column { name: c.name.clone(), cells: Vec::with_capacity(self.rows.len()) })
            .collect();
        let mut times = Vec::with_capacity(self.rows.len());
        for (time, cells) in self.rows {
            times.push(Tai(time));
            columns.iter_mut().zip(cells).for_each(|(column, cell)| column.cells.push(cell));
        }
        Ok(Table { times, columns, truncated: self.truncated })
    }
}
