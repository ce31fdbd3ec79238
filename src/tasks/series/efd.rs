//! Series from the EFD. It lags by some ten seconds, and knows nothing of a topic whose connector does not list it.

use salobj::Value;

use super::{SeriesRequest, SeriesRow};
use crate::outputs::efd::query::array_fields;
use crate::outputs::efd::{Efd, EfdError, SeriesQuery};

/// The rows of a request, and whether the EFD had more of them than one answer may hold.
pub(super) async fn read(efd: &dyn Efd, request: &SeriesRequest) -> Result<(Vec<SeriesRow>, bool), EfdError> {
    let mut fields = vec![request.stamp_field().to_owned()];
    for column in &request.columns {
        match column.element {
            Some(element) => fields.push(format!("{}{element}", column.field)),
            None if column.count > 1 => fields.extend(array_fields(&column.field, column.count)),
            None => fields.push(column.field.clone()),
        }
    }
    let range = (request.from - request.margin(), request.to + request.margin());
    let query = SeriesQuery::sal(&request.component, &request.sal_name, request.index, fields, range);
    let table = efd.query(&query).await?;
    let cell = |name: &str, row: usize| table.column(name).map_or(Value::Null, |c| c.cells[row].clone());
    let mut rows = Vec::with_capacity(table.times.len());
    for row in 0..table.times.len() {
        let stamp = match cell(request.stamp_field(), row) {
            Value::Double(stamp) => stamp,
            Value::Int(stamp) => stamp as f64,
            // Without it the time of the point is the best there is, but only where rows have their own times.
            _ if request.packed.is_none() => table.times[row].0,
            _ => continue,
        };
        let cells = request.columns.iter().map(|column| match column.element {
            Some(element) => cell(&format!("{}{element}", column.field), row),
            None if column.count > 1 => {
                let number = |name: String| match cell(&name, row) {
                    Value::Double(d) => d,
                    Value::Int(i) => i as f64,
                    _ => f64::NAN,
                };
                Value::Doubles(array_fields(&column.field, column.count).map(number).collect())
            }
            None => cell(&column.field, row),
        });
        rows.push(SeriesRow { stamp, cells: cells.collect() });
    }
    Ok((rows, table.truncated))
}
