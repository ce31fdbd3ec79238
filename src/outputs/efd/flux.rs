//! The Flux text of a [`SeriesQuery`].

use std::collections::{HashMap, HashSet};

use salobj::Value;

use super::query::{SeriesQuery, Table};

/// Field that tells the instances of a component apart; it is fetched beside the others to select by it.
pub const SAL_INDEX: &str = "salIndex";

/// A second result of one row. Its presence tells an answer from text that is none: the `influxdb2` crate reads a login
/// page as an empty table.
const SENTINEL: &str =
    "array.from(rows: [{ns: 0, _field: \"answered\", _value: true}]) |> yield(name: \"whole\")";
/// The field of [`SENTINEL`], at the time 0, where the EFD has nothing.
const ANSWERED: &str = "answered";

/// The query as Flux.
///
/// `salIndex` is a field, not a tag: it cannot be selected in the store, so its column is fetched too and rows are
/// selected by the reader (`Answer`). No pivot: it makes nulls, which the `influxdb2` crate cannot read. The time comes
/// as an integer, so that it needs no date library. One row more than wanted is asked for, to see whether there are more;
/// `stop` is exclusive.
pub fn text(query: &SeriesQuery, bucket: &str) -> String {
    let mut fields: Vec<&str> = query.fields.iter().map(String::as_str).collect();
    if query.sal_index.is_some() && !fields.contains(&SAL_INDEX) {
        fields.push(SAL_INDEX);
    }
    // One expression: influxd refuses a chain of 200 comparisons as nested too deep. Names are plain, see `check`.
    let any_field = fields.iter().map(|name| name.replace('.', "\\.")).collect::<Vec<_>>().join("|");
    format!(
        "// {}\nimport \"array\"\nfrom(bucket: \"{}\")\n  |> range(start: {}, stop: {})\n  \
         |> filter(fn: (r) => r._measurement == \"{}\")\n  |> filter(fn: (r) => r._field =~ /^(?:{any_field})$/)\n  \
         |> limit(n: {})\n  |> map(fn: (r) => ({{ns: int(v: r._time), _field: r._field, _value: r._value}}))\n  \
         |> yield(name: \"rows\")\n{SENTINEL}\n",
        query.comment(),
        string(bucket),
        SeriesQuery::utc(query.from, 0),
        SeriesQuery::utc(query.to, 1),
        query.measurement,
        query.limit() + 1,
    )
}

/// Collects the values of an answer as they come.
pub(super) struct Answer<'q> {
    query: &'q SeriesQuery,
    columns: HashMap<&'q str, usize>,
    cells: Vec<(i64, usize, Value)>,
    /// Stamps of the rows of the wanted instance.
    ours: HashSet<i64>,
    whole: bool,
}

impl<'q> Answer<'q> {
    pub(super) fn new(query: &'q SeriesQuery) -> Answer<'q> {
        let columns = query.fields.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
        Answer { query, columns, cells: Vec::new(), ours: HashSet::new(), whole: false }
    }

    pub(super) fn push(&mut self, time_ns: i64, field: &str, value: Value) {
        if time_ns == 0 && field == ANSWERED {
            self.whole = true;
            return;
        }
        if field == SAL_INDEX && self.query.sal_index.is_some_and(|index| value == Value::Int(index)) {
            self.ours.insert(time_ns);
        }
        if let Some(&column) = self.columns.get(field) {
            self.cells.push((time_ns, column, value));
        }
    }

    /// The table: rows of other instances are dropped. None if the answer is not whole.
    pub(super) fn table(mut self) -> Option<Table> {
        if !self.whole {
            return None;
        }
        let limit = self.query.limit();
        // The store cut before the selection: then there may be more rows of the wanted instance, too.
        let rows = self.cells.iter().map(|cell| cell.0).collect::<HashSet<_>>().len();
        if self.query.sal_index.is_some() {
            self.cells.retain(|cell| self.ours.contains(&cell.0));
        }
        let mut table = Table::from_cells(&self.query.fields, self.cells, limit);
        table.truncated |= rows > limit;
        Some(table)
    }
}

/// What a Flux string literal needs escaped.
fn string(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace("${", "\\${")
}

#[cfg(test)]
mod tests {
    use super::*;
    use salobj::Tai;

    #[test]
    fn the_text_is_bounded_in_time_and_names_who_asks() {
        let start = Tai::from_utc_unix(1_795_218_000.0);
        let query =
            SeriesQuery::sal("ESS", "airFlow", None, ["speed", "direction"], (start, Tai(start.0 + 1800.0)));
        assert_eq!(
            text(&query.asked_by("rule Wind.Forecast"), "efd"),
            "// ts_catcher rule Wind.Forecast\n\
             import \"array\"\n\
             from(bucket: \"efd\")\n  \
             |> range(start: 2026-11-20T23:40:00.000000Z, stop: 2026-11-21T00:10:00.000001Z)\n  \
             |> filter(fn: (r) => r._measurement == \"lsst.sal.ESS.airFlow\")\n  \
             |> filter(fn: (r) => r._field =~ /^(?:speed|direction)$/)\n  \
             |> limit(n: 333334)\n  \
             |> map(fn: (r) => ({ns: int(v: r._time), _field: r._field, _value: r._value}))\n  \
             |> yield(name: \"rows\")\n\
             array.from(rows: [{ns: 0, _field: \"answered\", _value: true}]) |> yield(name: \"whole\")\n"
        );
    }

    #[test]
    fn an_index_fetches_its_column() {
        let query = SeriesQuery::sal("ESS", "airFlow", Some(301), ["speed"], (Tai(0.0), Tai(1.0)));
        let text = text(&query, "a\"${b}");
        assert!(text.contains("r._field =~ /^(?:speed|salIndex)$/"), "{text}");
        assert!(text.contains("from(bucket: \"a\\\"\\${b}\")"), "{text}");
    }

    #[test]
    fn rows_of_other_instances_are_dropped() {
        let mut query = SeriesQuery::sal("ESS", "airFlow", Some(301), ["speed"], (Tai(0.0), Tai(1.0)));
        let select = |query: &SeriesQuery, whole: bool| {
            let mut answer = Answer::new(query);
            for (time, index, speed) in [(1, 301, 1.0), (2, 302, 2.0), (3, 301, 3.0)] {
                answer.push(time, "speed", Value::Double(speed));
                answer.push(time, SAL_INDEX, Value::Int(index));
            }
            if whole {
                answer.push(0, ANSWERED, Value::Bool(true));
            }
            answer.table()
        };
        let values = |table: Table| table.series("speed", "").unwrap().values;
        let table = select(&query, true).unwrap();
        assert!(!table.truncated && table.columns.len() == 1);
        assert_eq!(values(table), [1.0, 3.0]);
        query.max_rows = 2;
        assert!(select(&query, true).unwrap().truncated, "the store was cut before the selection");
        query.sal_index = None;
        query.max_rows = 3;
        assert_eq!(values(select(&query, true).unwrap()), [1.0, 2.0, 3.0]);
        assert_eq!(select(&query, false), None, "an answer that is not whole");
    }
}
