//! The points of the simulated EFD.

use std::collections::BTreeMap;

use crate::outputs::efd::{FieldValue, Point};

/// Most points of one measurement; the oldest ones go when more come.
const MAX_POINTS: usize = 200_000;

/// Measurement → UTC ns → field → value. There are no tags.
#[derive(Debug, Default)]
pub(super) struct Store {
    measurements: BTreeMap<String, Measurement>,
}

#[derive(Debug, Default)]
struct Measurement {
    /// The first value of a field fixes its type, as in a shard of InfluxDB.
    types: BTreeMap<String, &'static str>,
    points: BTreeMap<i64, BTreeMap<String, FieldValue>>,
}

impl Store {
    /// Keeps a point; fields of an earlier one with the same stamp are overwritten, others stay.
    /// An error is the server's words on a field of another type than before: then nothing of the point is kept.
    pub(super) fn write(&mut self, point: Point) -> Result<(), String> {
        let measurement = self.measurements.entry(point.measurement.clone()).or_default();
        for (name, value) in &point.fields {
            let have = type_of(value);
            match measurement.types.get(name) {
                Some(&known) if known != have => {
                    return Err(format!(
                        "field type conflict: input field \"{name}\" on measurement \"{}\" is type {have}, already exists as type {known}",
                        point.measurement
                    ));
                }
                _ => {}
            }
        }
        for (name, value) in &point.fields {
            measurement.types.insert(name.clone(), type_of(value));
        }
        measurement.points.entry(point.time_ns).or_default().extend(point.fields);
        if measurement.points.len() > MAX_POINTS {
            measurement.points.pop_first();
        }
        Ok(())
    }

    pub(super) fn points(&self, name: &str) -> Vec<Point> {
        let points = self.measurements.get(name).map(|m| &m.points).into_iter().flatten();
        points
            .map(|(&time_ns, fields)| Point {
                measurement: name.to_owned(),
                fields: fields.clone().into_iter().collect(),
                time_ns,
            })
            .collect()
    }

    pub(super) fn measurements(&self) -> Vec<String> {
        self.measurements.keys().cloned().collect()
    }

    /// (UTC ns, fields) between two times, both inclusive.
    pub(super) fn range(
        &self,
        measurement: &str,
        from_ns: i64,
        to_ns: i64,
    ) -> impl Iterator<Item = (i64, &BTreeMap<String, FieldValue>)> {
        let points = self.measurements.get(measurement).filter(|_| from_ns <= to_ns).map(|m| &m.points);
        points
            .into_iter()
            .flat_map(move |points| points.range(from_ns..=to_ns))
            .map(|(time, fields)| (*time, fields))
    }
}

/// The name that InfluxDB gives a type in messages.
fn type_of(value: &FieldValue) -> &'static str {
    match value {
        FieldValue::Double(_) => "float",
        FieldValue::Int(_) => "integer",
        FieldValue::Bool(_) => "boolean",
        FieldValue::Text(_) => "string",
    }
}
