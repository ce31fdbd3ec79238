//! Annotated CSV, as InfluxDB 2 answers: tables one after the other, each with lines that say what its columns are.
//!
//! The `influxdb2` crate reads it too, but stops at cells that are empty, which any query with a pivot has.

use std::borrow::Cow;

use salobj::{Tai, Value};

use super::error::EfdError;
use super::point;
use super::query::Table;
use super::text::{Rows, TextQuery};

/// Why an answer is no table.
#[derive(Debug, PartialEq)]
pub(super) enum Wrong {
    /// It does not have the form of an answer.
    Form(String),
    /// The server or the query is at fault.
    Query(EfdError),
}

/// The rows of an answer that came whole.
pub(super) fn read(text: &str, query: &TextQuery) -> Result<Table, Wrong> {
    let mut rows = Rows::new(query);
    let mut table = Head::default();
    let mut rest = text.trim_start_matches(['\r', '\n']);
    if !rest.is_empty() && !rest.starts_with('#') {
        return Err(Wrong::Form("it is not annotated CSV".to_owned()));
    }
    while !rest.is_empty() {
        let (record, behind) = record(rest)?;
        rest = behind;
        let first: &str = record.first().map_or("", AsRef::as_ref);
        match first {
            _ if record.len() <= 1 && first.is_empty() => continue,
            "#datatype" => {
                let types = record.iter().skip(1).map(ToString::to_string).collect();
                table = Head { types, open: true, ..Head::default() };
            }
            "#default" => table.defaults = record.iter().skip(1).map(ToString::to_string).collect(),
            _ if first.starts_with('#') => {}
            _ if table.open => {
                table.open = false;
                table.of(&record, &mut rows);
            }
            _ => table.row(&record, &mut rows)?,
        }
    }
    rows.into_table().map_err(Wrong::Query)
}

/// What is known of the table that is being read.
#[derive(Default)]
struct Head {
    types: Vec<String>,
    defaults: Vec<String>,
    /// Its names come next.
    open: bool,
    /// Where the wanted columns are.
    places: Vec<Option<usize>>,
    time: Option<usize>,
    error: Option<usize>,
}

impl Head {
    fn of(&mut self, names: &[Cow<'_, str>], rows: &mut Rows<'_>) {
        let names: Vec<&str> = names.iter().skip(1).map(AsRef::as_ref).collect();
        self.error = names.iter().position(|name| *name == "error").filter(|at| *at == 0);
        if self.error.is_none() {
            let find = |wanted: &str| names.iter().position(|name| *name == wanted);
            self.time = find("_time").or_else(|| find("_stop"));
            // The first two are of the answer itself: which result, which table.
            self.places = rows.table(names.iter().copied());
        }
    }

    fn row(&self, record: &[Cow<'_, str>], rows: &mut Rows<'_>) -> Result<(), Wrong> {
        if record.len() != self.types.len() + 1 {
            let text = format!("a row has {} columns, its table {}", record.len() - 1, self.types.len());
            return Err(Wrong::Form(text));
        }
        let text = |at: usize| {
            let own: &str = &record[at + 1];
            if own.is_empty() { self.defaults.get(at).map_or("", String::as_str) } else { own }
        };
        if let Some(at) = self.error {
            return Err(Wrong::Query(EfdError::BadQuery { detail: text(at).to_owned() }));
        }
        let time = match self.time.filter(|at| is_time(&self.types[*at])).map(text) {
            None | Some("") => None,
            Some(time) => Some(nanoseconds(time)?),
        };
        let cells = self.places.iter().map(|place| match place {
            Some(at) => value(text(*at), &self.types[*at]),
            None => Ok(Value::Null),
        });
        let cells = cells.collect::<Result<Vec<_>, _>>()?;
        rows.push(time, cells).map_err(Wrong::Query)
    }
}

fn is_time(kind: &str) -> bool {
    kind.starts_with("dateTime")
}

fn nanoseconds(text: &str) -> Result<i64, Wrong> {
    let time = chrono::DateTime::parse_from_rfc3339(text).ok().and_then(|t| t.timestamp_nanos_opt());
    time.ok_or_else(|| Wrong::Form(format!("{text} is not a time")))
}

/// A cell; an empty one is missing, also of a text: it looks like one that is empty.
fn value(text: &str, kind: &str) -> Result<Value, Wrong> {
    let bad = || Wrong::Form(format!("{text} is no {kind}"));
    Ok(match kind {
        _ if text.is_empty() => Value::Null,
        // influxd turns each line end inside of a text into CR LF.
        "string" => Value::Text(text.replace("\r\n", "\n").into()),
        // What is no number is missing, as everywhere.
        "double" if ["NaN", "+Inf", "-Inf"].contains(&text) => Value::Null,
        "double" => Value::Double(text.parse().map_err(|_| bad())?),
        "long" => Value::Int(text.parse().map_err(|_| bad())?),
        "unsignedLong" => Value::Double(text.parse::<u64>().map_err(|_| bad())? as f64),
        "boolean" => Value::Bool(text == "true"),
        _ if is_time(kind) => {
            let time: Tai = point::tai_of_ns(nanoseconds(text)?);
            Value::Double(time.0)
        }
        _ => Value::Text(text.into()),
    })
}

/// The cells of the first line, and what follows it. Quotes may hold commas, line ends and doubled quotes.
fn record(text: &str) -> Result<(Vec<Cow<'_, str>>, &str), Wrong> {
    let mut cells = Vec::new();
    let mut rest = text;
    loop {
        let (cell, behind) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let mut end = 0;
                loop {
                    end += quoted[end..]
                        .find('"')
                        .ok_or_else(|| Wrong::Form("a cell does not end".to_owned()))?;
                    if !quoted[end + 1..].starts_with('"') {
                        break;
                    }
                    end += 2;
                }
                (Cow::from(quoted[..end].replace("\"\"", "\"")), &quoted[end + 1..])
            }
            None => {
                let end = rest.find([',', '\r', '\n']).unwrap_or(rest.len());
                (Cow::from(&rest[..end]), &rest[end..])
            }
        };
        cells.push(cell);
        match behind.chars().next() {
            Some(',') => rest = &behind[1..],
            None => return Ok((cells, "")),
            Some('\r' | '\n') => {
                let after = behind.strip_prefix('\r').unwrap_or(behind);
                return Ok((cells, after.strip_prefix('\n').unwrap_or(after)));
            }
            Some(_) => return Err(Wrong::Form("something follows a quoted cell".to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::text::TextColumn;
    use super::*;

    fn query(columns: &[(&str, bool)]) -> TextQuery {
        let columns = columns.iter().map(|(name, text)| TextColumn { name: (*name).to_owned(), text: *text });
        TextQuery { columns: columns.collect(), at: Tai(7.0), max_rows: 3, ..TextQuery::default() }
    }

    const TWO: &str = "#datatype,string,long,dateTime:RFC3339,double,string\r\n#group,false,false,false,false,true\r\n\
        #default,rows,,,,\r\n,result,table,_time,speed,note\r\n\
        ,,0,2026-11-21T00:00:02Z,1.5,\"a, \"\"b\"\"\r\nc\"\r\n,,0,2026-11-21T00:00:01.5Z,,\r\n\r\n\
        #datatype,string,long,dateTime:RFC3339,long\r\n#group,false,false,false,false\r\n#default,_result,,,\r\n\
        ,result,table,_time,n\r\n,,1,2026-11-21T00:00:01Z,7\r\n\r\n";

    #[test]
    fn tables_become_rows_in_order_of_time_and_empty_cells_are_missing() {
        let table = read(TWO, &query(&[("speed", false), ("note", true), ("n", false)])).unwrap();
        let second = |t: &Tai| t.0 - Tai::from_utc_iso("2026-11-21T00:00:00").unwrap().0;
        assert_eq!(table.times.iter().map(second).collect::<Vec<_>>(), [1.0, 1.5, 2.0]);
        let of = |name: &str| table.column(name).unwrap().cells.clone();
        assert_eq!(of("speed"), [Value::Null, Value::Null, Value::Double(1.5)]);
        assert_eq!(of("n"), [Value::Int(7), Value::Null, Value::Null]);
        assert_eq!(of("note"), [Value::Null, Value::Null, Value::Text("a, \"b\"\nc".into())]);
        assert!(!table.truncated);
    }

    #[test]
    fn a_row_without_a_time_has_that_of_the_question_and_more_rows_than_wanted_are_told() {
        let text = "#datatype,string,long,double\n#group,false,false,false\n#default,_result,,\n,result,table,_value\n\
                    ,,0,1\n,,0,-Inf\n,,0,3\n,,0,4\n";
        let table = read(text, &query(&[("_value", false)])).unwrap();
        assert_eq!(table.times, [Tai(7.0), Tai(7.0), Tai(7.0)]);
        assert_eq!(table.columns[0].cells[1], Value::Null, "it is no number");
        assert!(table.truncated);
    }

    #[test]
    fn what_is_wrong_with_an_answer_is_told() {
        let told = |text: &str, columns: &[(&str, bool)]| match read(text, &query(columns)).unwrap_err() {
            Wrong::Form(words) => words,
            Wrong::Query(error) => error.to_string(),
        };
        assert_eq!(told("<html>", &[]), "it is not annotated CSV");
        let text = told(TWO, &[("sped", false)]);
        assert!(text.contains("no column \"sped\"; it has _time, n, note"), "{text}");
        let text = told(TWO, &[("note", false)]);
        assert!(text.contains("column \"note\" is text, the rule takes it for a number"), "{text}");
        let text = told(TWO, &[("n", true)]);
        assert!(text.contains("column \"n\" is a number"), "{text}");
        let failed =
            "#datatype,string,string\n#group,true,true\n#default,,\n,error,reference\n,no such thing,897\n";
        assert_eq!(told(failed, &[]), "EFD query: no such thing");
        assert!(told("#datatype,string,long\n,a,b\n,1\n", &[]).contains("a row has 1 columns"));
        assert!(told("#datatype,long\n,n\n,x\n", &[("n", false)]).contains("x is no long"));
        assert!(told("#datatype,long\n,n\n,\"x\n", &[("n", false)]).contains("does not end"));
    }

    #[test]
    fn nothing_is_an_empty_table() {
        let table = read("\r\n", &query(&[("n", false)])).unwrap();
        assert!(table.times.is_empty() && table.columns.len() == 1);
    }
}
