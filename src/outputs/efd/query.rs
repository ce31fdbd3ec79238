//! What is asked of the EFD and what it answers, the same for both kinds of server.

use salobj::{Tai, Value};

use super::error::EfdError;
use super::point;
use crate::tasks::analysis::Series;

/// Most rows of one answer, unless the query says less.
pub const MAX_ROWS: usize = 500_000;
/// Most values of one answer: with many fields fewer rows are asked for, so that memory is bounded.
pub const MAX_CELLS: usize = 1_000_000;
/// Longest range of one query, s: 31 days.
pub const MAX_RANGE_S: f64 = 31.0 * 86_400.0;

/// The fields of one topic over a bounded range of time.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesQuery {
    /// See [`point::measurement`].
    pub measurement: String,
    /// Flattened names: scalars as they are, arrays as `name0`, `name1`, ... ([`array_fields`]).
    pub fields: Vec<String>,
    /// Only points with this `salIndex`.
    pub sal_index: Option<i64>,
    /// First time, inclusive. Compared with `private_efdStamp`.
    pub from: Tai,
    /// Last time, inclusive.
    pub to: Tai,
    /// Most rows wanted, the earliest ones; at most [`MAX_CELLS`] values come in all.
    pub max_rows: usize,
    /// Who asks, e.g. the rule; it goes into the query as a comment, for those who watch the server.
    pub asked_by: String,
}

/// The flattened names of an array field.
pub fn array_fields(name: &str, count: usize) -> impl Iterator<Item = String> + '_ {
    (0..count).map(move |i| format!("{name}{i}"))
}

impl SeriesQuery {
    /// The fields of a SAL topic (`airFlow`, `logevent_endReadout`) between two times.
    pub fn sal(
        component: &str,
        sal_name: &str,
        sal_index: Option<i64>,
        fields: impl IntoIterator<Item = impl Into<String>>,
        (from, to): (Tai, Tai),
    ) -> SeriesQuery {
        SeriesQuery {
            measurement: point::measurement(component, sal_name),
            fields: fields.into_iter().map(Into::into).collect(),
            sal_index,
            from,
            to,
            max_rows: MAX_ROWS,
            asked_by: String::new(),
        }
    }

    /// The same, naming who asks.
    #[must_use]
    pub fn asked_by(mut self, who: impl Into<String>) -> SeriesQuery {
        self.asked_by = who.into();
        self
    }

    /// Rows that are asked for: `max_rows`, or fewer where there are many fields.
    pub(super) fn limit(&self) -> usize {
        self.max_rows.min(MAX_CELLS / (self.fields.len() + 1)).max(1)
    }

    /// Everything that is wrong with it, before it is sent.
    pub(super) fn check(&self) -> Result<(), EfdError> {
        let mut wrong = Vec::new();
        let plain = |name: &str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-:".contains(c))
        };
        if !plain(&self.measurement) {
            wrong.push(format!("measurement {:?} is not a plain name", self.measurement));
        }
        if self.fields.is_empty() {
            wrong.push("no field is asked for".to_owned());
        }
        wrong.extend(
            self.fields.iter().filter(|f| !plain(f)).map(|f| format!("field {f:?} is not a plain name")),
        );
        let range_s = self.to - self.from;
        if !(range_s.is_finite() && range_s >= 0.0) {
            wrong.push(format!("the range from {} to {} TAI s is not one", self.from.0, self.to.0));
        } else if range_s > MAX_RANGE_S {
            wrong.push(format!("the range is {:.1} days, at most 31 are allowed", range_s / 86_400.0));
        }
        if self.fields.len() > 10_000 {
            wrong.push(format!("{} fields are asked for, at most 10000 are allowed", self.fields.len()));
        }
        if self.max_rows == 0 || self.max_rows > MAX_ROWS {
            wrong.push(format!("max_rows is {}, it must lie between 1 and {MAX_ROWS}", self.max_rows));
        }
        if wrong.is_empty() { Ok(()) } else { Err(EfdError::BadQuery { detail: wrong.join("; ") }) }
    }

    /// [`SeriesQuery::asked_by`] as it may stand in a comment.
    pub(super) fn comment(&self) -> String {
        comment(&self.asked_by)
    }

    /// `YYYY-MM-DDTHH:MM:SS.ffffffZ` of a time, `later_us` microseconds later.
    pub(super) fn utc(time: Tai, later_us: i64) -> String {
        let us = point::utc_ns(time) / 1000 + later_us;
        let whole = Tai::from_utc_unix(us.div_euclid(1_000_000) as f64).utc_iso();
        let seconds = whole.split('.').next().unwrap_or_default();
        format!("{seconds}.{:06}Z", us.rem_euclid(1_000_000))
    }
}

/// Who asks, as it may stand in a comment.
pub(super) fn comment(asked_by: &str) -> String {
    let who: String = (asked_by.chars())
        .map(|c| if c.is_ascii_alphanumeric() || " _.-:#".contains(c) { c } else { '_' })
        .take(100)
        .collect();
    if who.is_empty() { "ts_catcher".to_owned() } else { format!("ts_catcher {who}") }
}

/// One column of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Flattened field name.
    pub name: String,
    /// One cell a row; null where the point does not have the field.
    pub cells: Vec<Value>,
}

/// An answer: rows in order of time.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// Time of each row (`private_efdStamp`, as TAI).
    pub times: Vec<Tai>,
    /// In the order of the query's fields, all of them, also those without a value.
    pub columns: Vec<Column>,
    /// True if there were more rows than asked for: the later ones are missing.
    pub truncated: bool,
}

impl Table {
    /// From points (UTC ns, column, value) in any order.
    pub(super) fn from_cells(
        fields: &[String],
        mut cells: Vec<(i64, usize, Value)>,
        max_rows: usize,
    ) -> Table {
        cells.sort_by_key(|(time, column, _)| (*time, *column));
        let mut stamps: Vec<i64> = cells.iter().map(|cell| cell.0).collect();
        stamps.dedup();
        let truncated = stamps.len() > max_rows;
        stamps.truncate(max_rows);
        let mut columns: Vec<Column> = (fields.iter())
            .map(|name| Column { name: name.clone(), cells: vec![Value::Null; stamps.len()] })
            .collect();
        let mut row = 0;
        for (time, column, value) in cells {
            while row < stamps.len() && stamps[row] < time {
                row += 1;
            }
            if row == stamps.len() {
                break;
            }
            columns[column].cells[row] = value;
        }
        Table { times: stamps.into_iter().map(point::tai_of_ns).collect(), columns, truncated }
    }

    /// The column of that name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// A scalar field as a series; rows without it are left out, a boolean is 0 or 1, a text NaN.
    pub fn series(&self, field: &str, unit: &str) -> Option<Series> {
        let cells = &self.column(field)?.cells;
        let (times, values) = (self.times.iter().zip(cells))
            .filter(|(_, cell)| **cell != Value::Null)
            .map(|(time, cell)| (time.0, number(cell)))
            .unzip();
        Some(Series::new(field, unit, times, values))
    }

    /// An array field of `count` elements: one array a row, NaN for an element that is missing. None unless all its
    /// columns were asked for.
    pub fn arrays(&self, field: &str, count: usize) -> Option<Vec<Vec<f64>>> {
        let columns: Vec<&Column> =
            array_fields(field, count).map(|name| self.column(&name)).collect::<Option<_>>()?;
        Some(
            (0..self.times.len())
                .map(|row| columns.iter().map(|column| number(&column.cells[row])).collect())
                .collect(),
        )
    }
}

fn number(cell: &Value) -> f64 {
    match cell {
        Value::Double(d) => *d,
        Value::Int(i) => *i as f64,
        Value::Bool(b) => f64::from(u8::from(*b)),
        _ => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_wrong_is_told_at_once() {
        let mut query =
            SeriesQuery::sal("ESS", "airFlow\" OR 1", None, ["speed", "a b", ""], (Tai(2000.0), Tai(1000.0)));
        query.max_rows = 0;
        let EfdError::BadQuery { detail } = query.check().unwrap_err() else { panic!() };
        for part in ["airFlow\\\" OR 1", "\"a b\"", "\"\"", "from 2000 to 1000", "max_rows is 0"] {
            assert!(detail.contains(part), "{part}: {detail}");
        }
        let endless = SeriesQuery::sal("ESS", "airFlow", None, ["speed"], (Tai(0.0), Tai(f64::INFINITY)));
        assert!(endless.check().is_err());
        let long = SeriesQuery::sal("ESS", "airFlow", None, ["speed"], (Tai(0.0), Tai(40.0 * 86_400.0)));
        assert!(long.check().unwrap_err().to_string().contains("40.0 days"));
    }

    #[test]
    fn a_comment_cannot_end_itself() {
        let query = SeriesQuery::sal("ESS", "airFlow", None, ["speed"], (Tai(0.0), Tai(1.0)));
        assert_eq!(query.comment(), "ts_catcher");
        assert_eq!(query.asked_by("x */ DROP\n--").comment(), "ts_catcher x __ DROP_--");
    }

    #[test]
    fn times_are_utc_with_microseconds() {
        let time = Tai::from_utc_unix(1_795_218_545.455_385);
        assert_eq!(SeriesQuery::utc(time, 0), "2026-11-20T23:49:05.455385Z".to_owned());
        assert_eq!(SeriesQuery::utc(Tai::from_utc_unix(59.999_999_5), 1), "1970-01-01T00:01:00.000001Z");
    }

    #[test]
    fn cells_become_rows_in_order_of_time() {
        let fields = ["a0".to_owned(), "a1".to_owned(), "s".to_owned()];
        let cells = vec![
            (2_000_000_000, 0, Value::Double(20.0)),
            (1_000_000_000, 1, Value::Double(11.0)),
            (1_000_000_000, 0, Value::Int(10)),
            (3_000_000_000, 2, Value::Text("x".into())),
        ];
        let table = Table::from_cells(&fields, cells.clone(), 10);
        assert_eq!(table.times.iter().map(|t| t.utc_unix()).collect::<Vec<_>>(), [1.0, 2.0, 3.0]);
        assert_eq!(table.series("a0", "m").unwrap().values, [10.0, 20.0]);
        let arrays = table.arrays("a", 2).unwrap();
        assert_eq!(arrays[0], [10.0, 11.0]);
        assert!(arrays[1][1].is_nan() && table.arrays("a", 3).is_none());
        assert!(table.series("s", "").unwrap().values[0].is_nan());
        assert!(!table.truncated);
        let cut = Table::from_cells(&fields, cells, 2);
        assert!(
            cut.truncated && cut.times.len() == 2 && cut.column("s").unwrap().cells == vec![Value::Null; 2]
        );
    }
}
