//! The InfluxQL text of a [`SeriesQuery`], and the JSON that answers it.

use salobj::Value;
use serde::Deserialize;

use super::error::EfdError;
use super::query::{SeriesQuery, Table};
use super::text::{Rows as TextRows, TextQuery};

/// The query as InfluxQL. One row more than wanted is asked for, to see whether there are more.
pub fn text(query: &SeriesQuery, retention_policy: Option<&str>) -> String {
    let fields = query.fields.iter().map(|name| identifier(name)).collect::<Vec<_>>().join(", ");
    let policy = retention_policy.map(|policy| format!("{}.", identifier(policy))).unwrap_or_default();
    let index = query.sal_index.map(|index| format!(" AND \"salIndex\" = {index}")).unwrap_or_default();
    format!(
        "SELECT {fields} FROM {policy}{} WHERE time >= '{}' AND time <= '{}'{index} LIMIT {} /* {} */",
        identifier(&query.measurement),
        SeriesQuery::utc(query.from, 0),
        SeriesQuery::utc(query.to, 0),
        query.limit() + 1,
        query.comment(),
    )
}

/// Dots and all else is allowed in double quotes.
fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\""))
}

/// The whole answer of `/query`.
#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    #[serde(default)]
    results: Vec<Statement>,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Statement {
    #[serde(default)]
    series: Vec<Rows>,
    error: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Rows {
    columns: Vec<String>,
    /// What the rows were grouped by.
    #[serde(default)]
    tags: std::collections::BTreeMap<String, String>,
    #[serde(default)]
    values: Vec<Vec<serde_json::Value>>,
    /// True if the server cut the answer at its own limit.
    #[serde(default)]
    partial: bool,
}

/// Why an answer is no table.
#[derive(Debug, PartialEq)]
pub(super) enum Wrong {
    /// The server says so, inside a status of 200.
    Server(String),
    /// It does not have the form of an answer.
    Form(String),
    /// It is not what the query was said to give.
    Query(EfdError),
}

impl Answer {
    pub(super) fn into_table(self, query: &SeriesQuery) -> Result<Table, Wrong> {
        if let Some(error) = self.error.or_else(|| self.results.iter().find_map(|r| r.error.clone())) {
            return Err(Wrong::Server(error));
        }
        let mut cells = Vec::new();
        let mut partial = false;
        for rows in self.results.into_iter().flat_map(|statement| statement.series) {
            partial |= rows.partial;
            // Column 0 is the time; a field asked for twice comes as `name` and `name_1`, ours are distinct.
            let columns: Vec<Option<usize>> = (rows.columns.iter())
                .map(|name| query.fields.iter().position(|field| field == name))
                .collect();
            for row in rows.values {
                let time = row.first().and_then(serde_json::Value::as_i64);
                let time = time.ok_or_else(|| Wrong::Form("a row without a time".to_owned()))?;
                for (value, column) in row.into_iter().zip(&columns).skip(1) {
                    if let (
                        Some(column),
                        value @ (Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::Text(_)),
                    ) = (column, cell(value))
                    {
                        cells.push((time, *column, value));
                    }
                }
            }
        }
        let mut table = Table::from_cells(&query.fields, cells, query.limit());
        table.truncated |= partial;
        Ok(table)
    }
}

impl Answer {
    /// The rows of a query in the words of its author; tags that it groups by are columns too.
    pub(super) fn into_rows(self, query: &TextQuery) -> Result<Table, Wrong> {
        if let Some(error) = self.error.or_else(|| self.results.iter().find_map(|r| r.error.clone())) {
            return Err(Wrong::Server(error));
        }
        let mut all = TextRows::new(query);
        for rows in self.results.into_iter().flat_map(|statement| statement.series) {
            if rows.partial {
                all.truncated();
            }
            let tags: Vec<(&String, &String)> = rows.tags.iter().collect();
            let names = rows.columns.iter().chain(tags.iter().map(|(name, _)| *name));
            let places = all.table(names.map(String::as_str));
            for row in rows.values {
                // An aggregate of all that there is has the time 0.
                let time = row.first().and_then(serde_json::Value::as_i64).filter(|ns| *ns != 0);
                let cells = places.iter().map(|place| match *place {
                    Some(at) if at < rows.columns.len() => row.get(at).cloned().map_or(Value::Null, cell),
                    Some(at) => Value::Text(tags[at - rows.columns.len()].1.as_str().into()),
                    None => Value::Null,
                });
                all.push(time, cells.collect()).map_err(Wrong::Query)?;
            }
        }
        all.into_table().map_err(Wrong::Query)
    }
}

/// JSON does not tell 5 from 5.0: a whole number may be a float field. Both read as the same number.
fn cell(value: serde_json::Value) -> Value {
    match value {
        serde_json::Value::Bool(b) => Value::Bool(b),
        serde_json::Value::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(i), _) => Value::Int(i),
            (None, Some(d)) => Value::Double(d),
            (None, None) => Value::Null,
        },
        serde_json::Value::String(s) => Value::Text(s.into()),
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use salobj::Tai;

    fn query() -> SeriesQuery {
        let start = Tai::from_utc_unix(1_795_218_000.0);
        SeriesQuery::sal("ESS", "airFlow", Some(301), ["speed", "note"], (start, Tai(start.0 + 1800.0)))
    }

    #[test]
    fn the_text_is_bounded_in_time_and_names_who_asks() {
        assert_eq!(
            text(&query().asked_by("rule Wind.Forecast"), Some("autogen")),
            "SELECT \"speed\", \"note\" FROM \"autogen\".\"lsst.sal.ESS.airFlow\" \
             WHERE time >= '2026-11-20T23:40:00.000000Z' AND time <= '2026-11-21T00:10:00.000000Z' \
             AND \"salIndex\" = 301 LIMIT 333334 /* ts_catcher rule Wind.Forecast */"
        );
        assert!(text(&query(), None).contains("FROM \"lsst.sal.ESS.airFlow\" "));
    }

    fn read(json: &str) -> Result<Table, Wrong> {
        serde_json::from_str::<Answer>(json).unwrap().into_table(&query())
    }

    #[test]
    fn answers_are_read() {
        let table = read(
            r#"{"results":[{"statement_id":0,"series":[{"name":"lsst.sal.ESS.airFlow","columns":["time","speed","note"],
            "values":[[1000000000,5,"a"],[2000000000,5.5,null],[3000000000,null,true]],"partial":true}]}]}"#,
        )
        .unwrap();
        assert_eq!(table.series("speed", "m/s").unwrap().values, [5.0, 5.5]);
        assert_eq!(
            table.column("note").unwrap().cells,
            [Value::Text("a".into()), Value::Null, Value::Bool(true)]
        );
        assert!(table.truncated);
        let none = read(r#"{"results":[{"statement_id":0}]}"#).unwrap();
        assert!(none.times.is_empty() && none.columns.len() == 2 && !none.truncated);
    }

    #[test]
    fn errors_hide_in_answers() {
        let server = |words: &str| Wrong::Server(words.to_owned());
        assert_eq!(
            read(r#"{"results":[{"statement_id":0,"error":"database not found: x"}]}"#),
            Err(server("database not found: x"))
        );
        assert_eq!(read(r#"{"error":"timeout"}"#), Err(server("timeout")));
        assert_eq!(
            read(r#"{"results":[{"series":[{"columns":["time","speed"],"values":[[null,1]]}]}]}"#),
            Err(Wrong::Form("a row without a time".to_owned()))
        );
    }
}
