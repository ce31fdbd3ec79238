//! From records to series.

use salobj::Value;

use super::{SeriesError, SeriesRequest};
use crate::tasks::analysis::packed::expand;
use crate::tasks::analysis::{Series, SeriesSet, Source};

/// Most records that one request may bring.
pub const MAX_ROWS: usize = 500_000;

/// One record, as far as a request needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesRow {
    /// Value of [`SeriesRequest::stamp_field`]: when it was sent (TAI s), or the stamp of its first packed sample in the
    /// scale of the request.
    pub stamp: f64,
    /// One cell for each column of the request.
    pub cells: Vec<Value>,
}

/// The series of a request from its rows: only samples within its range.
pub(crate) fn set(
    request: &SeriesRequest,
    rows: &[SeriesRow],
    source: Source,
    complete: bool,
) -> Result<SeriesSet, SeriesError> {
    let mut series = Vec::with_capacity(request.columns.len());
    for (at, column) in request.columns.iter().enumerate() {
        let (times, values) = match &request.packed {
            None => rows.iter().map(|row| (row.stamp, number(&row.cells[at]))).unzip(),
            Some(packed) => {
                let stamps: Vec<f64> = rows.iter().map(|row| row.stamp).collect();
                let arrays: Vec<Vec<f64>> = rows.iter().map(|row| numbers(&row.cells[at])).collect();
                let slices: Vec<&[f64]> = arrays.iter().map(Vec::as_slice).collect();
                expand(&column.name, &stamps, &slices, packed)
                    .map_err(|e| SeriesError::Bad { topic: request.topic_name(), reason: e.to_string() })?
            }
        };
        let times: Vec<f64> = times;
        let values: Vec<f64> = values;
        let (times, values) = times
            .into_iter()
            .zip(values)
            .filter(|(t, _)| (request.from.0..=request.to.0).contains(t))
            .unzip();
        series.push(Series::new(&column.name, &column.unit, times, values));
    }
    Ok(SeriesSet { series, from: request.from, to: request.to, source, complete })
}

/// A scalar cell as a number; NaN if it is none.
fn number(cell: &Value) -> f64 {
    match cell {
        Value::Double(d) => *d,
        Value::Int(i) => *i as f64,
        Value::Bool(b) => f64::from(u8::from(*b)),
        Value::Null
        | Value::Text(_)
        | Value::Bools(_)
        | Value::Ints(_)
        | Value::Doubles(_)
        | Value::Texts(_) => f64::NAN,
    }
}

/// A cell as numbers: an array, or a scalar as an array of one.
fn numbers(cell: &Value) -> Vec<f64> {
    match cell {
        Value::Doubles(d) => d.to_vec(),
        Value::Ints(i) => i.iter().map(|i| *i as f64).collect(),
        Value::Bools(b) => b.iter().map(|b| f64::from(u8::from(*b))).collect(),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Double(_)
        | Value::Text(_)
        | Value::Texts(_) => {
            vec![number(cell)]
        }
    }
}
