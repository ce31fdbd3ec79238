//! The two query shapes that our clients emit, read back, and their answers as real servers write them.

use std::fmt::Write as _;
use std::sync::LazyLock;

use regex::Regex;
use salobj::Tai;
use serde_json::json;

use super::store::Store;
use crate::outputs::efd::FieldValue;
use crate::outputs::efd::point::utc_ns;

/// What is asked, in either language.
#[derive(Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) database: String,
    measurement: String,
    fields: Vec<String>,
    index: Option<i64>,
    from_ns: i64,
    to_ns: i64,
    limit: usize,
}

static FLUX: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r#"^// [^\n]*\nimport "array"\nfrom\(bucket: "([^"\\]*)"\)\n"#,
        r#"  \|> range\(start: ([^ ,]+), stop: ([^ )]+)\)\n"#,
        r#"  \|> filter\(fn: \(r\) => r\._measurement == "([^"\\]*)"\)\n"#,
        r#"  \|> filter\(fn: \(r\) => r\._field =~ /\^\(\?:([^()/]+)\)\$/\)\n"#,
        r#"  \|> limit\(n: (\d+)\)\n"#,
        r#"  \|> map\(fn: \(r\) => \(\{ns: int\(v: r\._time\), _field: r\._field, _value: r\._value\}\)\)\n"#,
        r#"  \|> yield\(name: "rows"\)\n"#,
        r#"array\.from\(rows: \[\{ns: 0, _field: "answered", _value: true\}\]\) \|> yield\(name: "whole"\)\n$"#,
    ))
    .expect("a constant expression")
});

static INFLUXQL: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r#"^SELECT ("[^"\\]*"(?:, "[^"\\]*")*) FROM (?:"[^"\\]*"\.)?"([^"\\]*)" "#,
        r#"WHERE time >= '([^']+)' AND time <= '([^']+)'(?: AND "salIndex" = (-?\d+))? LIMIT (\d+) /\* .* \*/$"#,
    ))
    .expect("a constant expression")
});

static QUOTED: LazyLock<Regex> = LazyLock::new(|| Regex::new(r#""([^"]*)""#).expect("a constant expression"));

const REFUSED: &str =
    "this is a simulated InfluxDB: it knows only the queries that the Catcher's EFD clients send";

/// Reads a Flux query.
pub(super) fn flux(text: &str) -> Result<Asked, String> {
    let parts = FLUX.captures(text).ok_or(REFUSED)?;
    Ok(Asked {
        database: parts[1].to_owned(),
        measurement: parts[4].to_owned(),
        fields: parts[5].split('|').map(|name| name.replace("\\.", ".")).collect(),
        index: None,
        from_ns: nanoseconds(&parts[2])?,
        // Flux excludes the end.
        to_ns: nanoseconds(&parts[3])? - 1,
        limit: parts[6].parse().map_err(|_| REFUSED)?,
    })
}

/// Reads an InfluxQL query; the database comes beside it.
pub(super) fn influxql(text: &str, database: &str) -> Result<Asked, String> {
    let parts = INFLUXQL.captures(text).ok_or(REFUSED)?;
    Ok(Asked {
        database: database.to_owned(),
        measurement: parts[2].to_owned(),
        fields: quoted(&parts[1]),
        index: parts.get(5).map(|index| index.as_str().parse().map_err(|_| REFUSED)).transpose()?,
        from_ns: nanoseconds(&parts[3])?,
        to_ns: nanoseconds(&parts[4])?,
        limit: parts[6].parse().map_err(|_| REFUSED)?,
    })
}

fn quoted(text: &str) -> Vec<String> {
    QUOTED.captures_iter(text).map(|name| name[1].to_owned()).collect()
}

/// `YYYY-MM-DDTHH:MM:SS.ffffffZ` to UTC nanoseconds.
fn nanoseconds(text: &str) -> Result<i64, String> {
    let (whole, fraction) = (text.split_once('.'))
        .and_then(|(whole, rest)| Some((whole, rest.strip_suffix('Z').filter(|f| f.len() == 6)?)))
        .ok_or_else(|| format!("{text}: a time with microseconds and Z is wanted"))?;
    let seconds = Tai::from_utc_iso(whole).ok_or_else(|| format!("{text}: not a time"))?;
    let micros: i64 = fraction.parse().map_err(|_| format!("{text}: not a time"))?;
    Ok(utc_ns(seconds) + micros * 1000)
}

impl Asked {
    /// Annotated CSV, one table a field.
    pub(super) fn csv(&self, store: &Store) -> String {
        let mut text = String::new();
        for (table, name) in self.fields.iter().enumerate() {
            let rows: Vec<(i64, &FieldValue)> = (store.range(&self.measurement, self.from_ns, self.to_ns))
                .filter_map(|(time, fields)| Some((time, fields.get(name)?)))
                .take(self.limit)
                .collect();
            let Some((_, first)) = rows.first() else { continue };
            let kind = match first {
                FieldValue::Double(_) => "double",
                FieldValue::Int(_) => "long",
                FieldValue::Bool(_) => "boolean",
                FieldValue::Text(_) => "string",
            };
            let head = format!(
                "#datatype,string,long,string,{kind},long\r\n#group,false,false,true,false,false\r\n\
                 #default,rows,,,,\r\n,result,table,_field,_value,ns\r\n"
            );
            text.push_str(&head);
            for (time, value) in rows {
                let cell = match value {
                    FieldValue::Double(d) => d.to_string(),
                    FieldValue::Int(i) => i.to_string(),
                    FieldValue::Bool(b) => b.to_string(),
                    FieldValue::Text(t) => csv_cell(t),
                };
                write!(text, ",,{table},{name},{cell},{time}\r\n").expect("writing to a String cannot fail");
            }
            text.push_str("\r\n");
        }
        text.push_str(
            "#datatype,string,long,string,boolean,long\r\n#group,false,false,false,false,false\r\n\
             #default,whole,,,,\r\n,result,table,_field,_value,ns\r\n,,0,answered,true,0\r\n\r\n",
        );
        text
    }

    /// The JSON of `/query` with `epoch=ns`.
    pub(super) fn json(&self, store: &Store) -> serde_json::Value {
        let rows: Vec<serde_json::Value> = (store.range(&self.measurement, self.from_ns, self.to_ns))
            .filter(|(_, fields)| {
                self.index.is_none_or(|index| fields.get("salIndex") == Some(&FieldValue::Int(index)))
            })
            .filter(|(_, fields)| self.fields.iter().any(|name| fields.contains_key(name)))
            .take(self.limit)
            .map(|(time, fields)| {
                let mut row = vec![json!(time)];
                row.extend(self.fields.iter().map(|name| match fields.get(name) {
                    None => serde_json::Value::Null,
                    Some(FieldValue::Double(d)) => json!(d),
                    Some(FieldValue::Int(i)) => json!(i),
                    Some(FieldValue::Bool(b)) => json!(b),
                    Some(FieldValue::Text(t)) => json!(t),
                }));
                row.into()
            })
            .collect();
        if rows.is_empty() {
            return json!({"results": [{"statement_id": 0}]});
        }
        let mut columns = vec!["time".to_owned()];
        columns.extend_from_slice(&self.fields);
        let series = json!({"name": self.measurement, "columns": columns, "values": rows});
        json!({"results": [{"statement_id": 0, "series": [series]}]})
    }
}

/// influxd writes line ends inside of a cell as it writes those between rows.
fn csv_cell(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\"").replace('\r', "").replace('\n', "\r\n"))
    } else {
        text.to_owned()
    }
}
