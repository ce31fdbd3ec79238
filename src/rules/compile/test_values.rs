//! One field of a message of a test: from the notation to the value that the bus would bring.

use std::sync::Arc;

use salobj::{Tai, Value};
use serde_json::Value as Json;

use crate::rules::expr::prepass::parse_duration;
use crate::rules::flow::Part;
use crate::rules::schema::{FieldKind, FieldSchema};
use crate::rules::series::{Point, elements};
use crate::rules::source::ANY_LENGTH;

/// How many elements a part of a field has; `None` is a single value.
fn length(field: &FieldSchema, part: Part) -> Option<usize> {
    match part {
        Part::Whole => field.count,
        Part::Element(_) => None,
        Part::Slice(a, b) => Some(b - a),
    }
}

/// A value of a series. `Ok(None)` is a missing one.
pub(super) fn of_point(point: &Point, field: &FieldSchema, part: Part) -> Result<Option<Value>, String> {
    if let Some(n) = length(field, part) {
        return Err(format!(
            "field \"{}\" is an array of {n}: give a list of messages, {{at: 0s, {}: [...]}}",
            field.name, field.name
        ));
    }
    single(point, field)
}

fn single(point: &Point, field: &FieldSchema) -> Result<Option<Value>, String> {
    let wrong = |what: &str| Err(format!("field \"{}\" is {}, not {what}", field.name, word(field.kind)));
    match (point, field.kind) {
        (Point::Missing, _) => Ok(None),
        (Point::Number(v), FieldKind::Double) => Ok(Some(Value::Double(*v))),
        (Point::Number(v), FieldKind::Int) if v.fract() == 0.0 => Ok(Some(Value::Int(*v as i64))),
        (Point::Truth(v), FieldKind::Bool) => Ok(Some(Value::Bool(*v))),
        (Point::Text(v), FieldKind::Text) => Ok(Some(Value::Text(v.as_str().into()))),
        (Point::Number(v), _) => wrong(&v.to_string()),
        (Point::Truth(v), _) => wrong(&v.to_string()),
        (Point::Text(v), _) => wrong(&format!("the text '{v}'")),
    }
}

/// A value of a message that is sent at `at`, in a test that begins at `start`. A number that is a time may be written
/// `at`, `at-15s` or `at+1s` (from when the message is sent) or `10s` (from the start of the test): TAI seconds then.
pub(super) fn of_json(
    json: &Json,
    field: &FieldSchema,
    part: Part,
    at: Tai,
    start: Tai,
) -> Result<Value, String> {
    let value = match length(field, part) {
        None => one(json, field, at, start)?,
        Some(n) => array(json, field, n)?,
    };
    Ok(value.unwrap_or_default())
}

fn one(json: &Json, field: &FieldSchema, at: Tai, start: Tai) -> Result<Option<Value>, String> {
    let point = match json {
        Json::Null => Point::Missing,
        Json::Bool(v) => Point::Truth(*v),
        Json::Number(v) => Point::Number(v.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) if field.kind == FieldKind::Double => match time(text, at, start) {
            Some(v) => Point::Number(v),
            None if text == "nan" => Point::Number(f64::NAN),
            None => Point::Text(text.clone()),
        },
        Json::String(text) => Point::Text(text.clone()),
        Json::Array(_) | Json::Object(_) => {
            return Err(format!("field \"{}\" is {}, a single value", field.name, word(field.kind)));
        }
    };
    single(&point, field)
}

fn time(text: &str, at: Tai, start: Tai) -> Option<f64> {
    let text = text.trim();
    match text.strip_prefix("at") {
        Some("") => Some(at.0),
        Some(rest) => match rest.split_at_checked(1)? {
            ("+", later) => Some(at.0 + parse_duration(later.trim())?),
            ("-", earlier) => Some(at.0 - parse_duration(earlier.trim())?),
            _ => None,
        },
        None => Some(start.0 + parse_duration(text)?),
    }
}

fn array(json: &Json, field: &FieldSchema, count: usize) -> Result<Option<Value>, String> {
    let points: Vec<Point> = match json {
        Json::Null => return Ok(None),
        Json::String(text) => elements(text).map_err(|e| format!("field \"{}\": {e}", field.name))?,
        Json::Array(all) => all
            .iter()
            .map(|v| match v {
                Json::Number(v) => Ok(Point::Number(v.as_f64().unwrap_or(f64::NAN))),
                Json::Bool(v) => Ok(Point::Truth(*v)),
                Json::String(v) if v == "nan" => Ok(Point::Number(f64::NAN)),
                Json::String(v) => Ok(Point::Text(v.clone())),
                other => Err(format!("field \"{}\": {other} is not an element", field.name)),
            })
            .collect::<Result<_, _>>()?,
        _ => return Err(format!("field \"{}\" is an array of {count}", field.name)),
    };
    if points.len() != count && count != ANY_LENGTH {
        return Err(format!("field \"{}\" is an array of {count}, not of {}", field.name, points.len()));
    }
    let cells: Vec<Value> =
        points.iter().map(|p| Ok(single(p, field)?.unwrap_or_default())).collect::<Result<_, String>>()?;
    Ok(Some(match field.kind {
        FieldKind::Double => Value::Doubles(cells.iter().map(number).collect()),
        FieldKind::Int => {
            Value::Ints(cells.iter().map(|c| if let Value::Int(i) = c { *i } else { 0 }).collect())
        }
        FieldKind::Bool => Value::Bools(cells.iter().map(|c| *c == Value::Bool(true)).collect()),
        FieldKind::Text => Value::Texts(
            cells.iter().map(|c| if let Value::Text(t) = c { t.clone() } else { Arc::from("") }).collect(),
        ),
    }))
}

fn number(cell: &Value) -> f64 {
    match cell {
        Value::Double(v) => *v,
        _ => f64::NAN,
    }
}

fn word(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Bool => "true or false",
        FieldKind::Int => "an integer",
        FieldKind::Double => "a number",
        FieldKind::Text => "text",
    }
}
