//! The few queries in the words of an author that the simulator understands: one field of one measurement between two
//! times, as it is or reduced to one number.
//!
//! ```text
//! from(bucket: "efd") |> range(start: T, stop: T) |> filter(fn: (r) => r._measurement == "m" and r._field == "f") |> mean()
//! SELECT mean("f") AS x FROM "m" WHERE time >= 'T' AND time <= 'T'
//! ```

use std::fmt::Write as _;
use std::sync::LazyLock;

use regex::Regex;
use salobj::Tai;
use serde_json::json;

use super::store::Store;
use crate::outputs::efd::FieldValue;
use crate::outputs::efd::point::{tai_of_ns, utc_ns};

/// What is asked, in either language.
#[derive(Debug, PartialEq)]
pub(super) struct Said {
    pub(super) database: String,
    measurement: String,
    field: String,
    /// `mean`, `last`, ...; the rows themselves without one.
    reduce: Option<String>,
    /// Name of the column in InfluxQL.
    name: String,
    from_ns: i64,
    to_ns: i64,
}

const REDUCE: &str = "mean|last|max|min|sum|count";

static FLUX: LazyLock<Regex> = LazyLock::new(|| {
    let reduce = format!(r#"(?:\|>({REDUCE})\(\))?$"#);
    let text = concat!(
        r#"^from\(bucket:"([^"\\]*)"\)\|>range\(start:([^,]+),stop:([^)]+)\)"#,
        r#"\|>filter\(fn:\(r\)=>r\._measurement=="([^"\\]*)"andr\._field=="([^"\\]*)"\)"#,
    );
    Regex::new(&format!("{text}{reduce}")).expect("a constant expression")
});

static INFLUXQL: LazyLock<Regex> = LazyLock::new(|| {
    let text = format!(
        concat!(
            r#"^SELECT (?:({})\("([^"]+)"\)|"([^"]+)")(?: AS "?([A-Za-z_]+)"?)? FROM "([^"]+)" "#,
            r#"WHERE time >= '([^']+)' AND time <= '([^']+)'\s*/\*.*\*/$"#
        ),
        REDUCE
    );
    Regex::new(&text).expect("a constant expression")
});

const REFUSED: &str = "compilation failed: this is a simulated InfluxDB, it knows only queries of one field between two \
                       times, reduced by mean, last, max, min, sum, count or not at all";

/// Reads a Flux query.
pub(super) fn flux(text: &str) -> Result<Said, String> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    // Nothing that it knows has a space that matters.
    let text: String = lines.collect::<Vec<_>>().join(" ").split_whitespace().collect();
    let parts = FLUX.captures(&text).ok_or(REFUSED)?;
    Ok(Said {
        database: parts[1].to_owned(),
        from_ns: nanoseconds(&parts[2])?,
        // Flux excludes the end.
        to_ns: nanoseconds(&parts[3])? - 1,
        measurement: parts[4].to_owned(),
        field: parts[5].to_owned(),
        reduce: parts.get(6).map(|m| m.as_str().to_owned()),
        name: String::new(),
    })
}

/// Reads an InfluxQL query; the database comes beside it.
pub(super) fn influxql(text: &str, database: &str) -> Result<Said, String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let parts = INFLUXQL.captures(&text).ok_or(REFUSED)?;
    let part = |at: usize| parts.get(at).map(|m| m.as_str().to_owned());
    let reduce = part(1);
    let field = part(2).or_else(|| part(3)).unwrap_or_default();
    let name = part(4).or_else(|| reduce.clone()).unwrap_or_else(|| field.clone());
    Ok(Said {
        database: database.to_owned(),
        measurement: parts[5].to_owned(),
        field,
        reduce,
        name,
        from_ns: nanoseconds(&parts[6])?,
        to_ns: nanoseconds(&parts[7])?,
    })
}

fn nanoseconds(text: &str) -> Result<i64, String> {
    Tai::from_utc_iso(text).map(utc_ns).ok_or_else(|| format!("{text}: not a time"))
}

impl Said {
    /// Time, if the row has one, and value.
    fn rows(&self, store: &Store) -> Vec<(Option<i64>, f64)> {
        let number = |value: &FieldValue| match value {
            FieldValue::Double(d) => Some(*d),
            FieldValue::Int(i) => Some(*i as f64),
            FieldValue::Bool(_) | FieldValue::Text(_) => None,
        };
        let all: Vec<(i64, f64)> = store
            .range(&self.measurement, self.from_ns, self.to_ns)
            .filter_map(|(time, fields)| Some((time, number(fields.get(&self.field)?)?)))
            .collect();
        let by_value = |a: &&(i64, f64), b: &&(i64, f64)| a.1.total_cmp(&b.1);
        let sum = all.iter().map(|(_, v)| v).sum::<f64>();
        let one =
            |row: Option<&(i64, f64)>| row.map(|(time, value)| (Some(*time), *value)).into_iter().collect();
        match self.reduce.as_deref() {
            None => all.into_iter().map(|(time, value)| (Some(time), value)).collect(),
            Some(_) if all.is_empty() => Vec::new(),
            Some("last") => one(all.last()),
            Some("max") => one(all.iter().max_by(by_value)),
            Some("min") => one(all.iter().min_by(by_value)),
            Some("sum") => vec![(None, sum)],
            Some("count") => vec![(None, all.len() as f64)],
            Some(_) => vec![(None, sum / all.len() as f64)],
        }
    }

    /// Annotated CSV.
    pub(super) fn csv(&self, store: &Store) -> String {
        let rows = self.rows(store);
        let Some((first, _)) = rows.first() else { return "\r\n".to_owned() };
        let (kind, name) = if first.is_some() { ("dateTime:RFC3339,", "_time,") } else { ("", "") };
        let commas = if first.is_some() { ",," } else { "," };
        let group = if first.is_some() { "false,false" } else { "false" };
        let mut text = format!(
            "#datatype,string,long,{kind}double\r\n#group,false,false,{group}\r\n#default,_result,,{}\r\n\
             ,result,table,{name}_value\r\n",
            &commas[1..]
        );
        for (time, value) in rows {
            let time = time.map_or(String::new(), |ns| format!("{}Z,", tai_of_ns(ns).utc_iso()));
            write!(text, ",,0,{time}{value}\r\n").expect("writing to a String cannot fail");
        }
        text + "\r\n"
    }

    /// The JSON of `/query` with `epoch=ns`.
    pub(super) fn json(&self, store: &Store) -> serde_json::Value {
        let rows = self.rows(store);
        if rows.is_empty() {
            return json!({"results": [{"statement_id": 0}]});
        }
        // As a real server: the time of a number made of many is the begin of the range.
        let values: Vec<_> = rows.iter().map(|(t, v)| json!([t.unwrap_or(self.from_ns), v])).collect();
        let series = json!({"name": self.measurement, "columns": ["time", self.name], "values": values});
        json!({"results": [{"statement_id": 0, "series": [series]}]})
    }
}
