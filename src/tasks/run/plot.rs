//! Reading a plot back from the journal. JSON has no NaN, and a gap in a curve is one: it comes back as null.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::tasks::analysis::Plot;

/// The plot, or none if it cannot be read: a report without a plot is better than a run that is lost.
pub(super) fn or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Plot>, D::Error> {
    let mut value = Value::deserialize(deserializer)?;
    fill_gaps(&mut value);
    Ok(serde_json::from_value(value).ok())
}

/// Leaves out the points of a curve that have no value.
fn fill_gaps(plot: &mut Value) {
    let Some(panels) = plot.get_mut("panels").and_then(Value::as_array_mut) else { return };
    let curves = panels.iter_mut().flat_map(|panel| {
        let panel = panel.as_object_mut();
        let lists =
            panel.into_iter().flat_map(|p| p.iter_mut().filter(|(k, _)| *k == "lines" || *k == "bands"));
        lists.filter_map(|(_, list)| list.as_array_mut()).flatten()
    });
    for curve in curves {
        let Some(curve) = curve.as_object_mut() else { continue };
        let mut columns: Vec<&mut Vec<Value>> =
            curve.iter_mut().filter_map(|(_, column)| column.as_array_mut()).collect();
        let rows = columns.iter().map(|c| c.len()).min().unwrap_or_default();
        let whole: Vec<bool> = (0..rows).map(|row| columns.iter().all(|c| !c[row].is_null())).collect();
        for column in &mut columns {
            let mut row = 0;
            column.retain(|_| {
                row += 1;
                whole.get(row - 1).copied().unwrap_or_default()
            });
        }
    }
}
