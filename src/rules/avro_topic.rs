//! Topics of the bus that are not SAL: what rules can read of a registered Avro schema.
//!
//! Numbers, texts, truths, enumerations (as text) and arrays of these are fields; so is a union of one of them with null.
//! Fields of a record inside are `outer.inner` for `field:`. Maps, bytes and other unions are left out.

use serde_json::{Map, Value as Json};

use super::schema::{FieldKind, FieldSchema, TopicSchema, Untyped};
use super::source::KAFKA;

/// Length of arrays: whatever a record has.
const ANY_LENGTH: usize = usize::MAX;
/// Records inside records that are followed.
const MAX_DEPTH: usize = 8;
/// Fields that are taken.
const MAX_FIELDS: usize = 10_000;

/// The fields of the schema (Avro JSON text) that is registered for a topic of this name.
///
/// # Errors
/// It is no record.
pub fn kafka_topic_schema(name: &str, text: &str) -> Result<TopicSchema, String> {
    let json: Json = serde_json::from_str(text).map_err(|e| format!("it is not JSON: {e}"))?;
    let record = json.as_object().filter(|o| o.get("type").and_then(Json::as_str) == Some("record"));
    let Some(record) = record else { return Err("it is not a record".to_owned()) };
    let mut fields = Vec::new();
    collect(record, "", 0, &mut fields);
    Ok(TopicSchema {
        component: KAFKA.to_owned(),
        sal_name: name.to_owned(),
        indexed: false,
        fields,
        untyped: Untyped::None,
    })
}

fn collect(record: &Map<String, Json>, prefix: &str, depth: usize, out: &mut Vec<FieldSchema>) {
    let fields = record.get("fields").and_then(Json::as_array);
    for field in fields.into_iter().flatten().filter_map(Json::as_object) {
        let (Some(name), Some(of)) = (field.get("name").and_then(Json::as_str), field.get("type")) else {
            continue;
        };
        let path = format!("{prefix}{name}");
        let unit = field.get("units").and_then(Json::as_str).filter(|u| !["", "unitless"].contains(u));
        match read(of) {
            Some(Read::One(kind, list)) if out.len() < MAX_FIELDS => out.push(FieldSchema {
                name: path,
                kind,
                count: list.then_some(ANY_LENGTH),
                unit: unit.map(str::to_owned),
            }),
            Some(Read::Record(inner)) if depth < MAX_DEPTH => {
                collect(inner, &format!("{path}."), depth + 1, out)
            }
            Some(_) | None => {}
        }
    }
}

enum Read<'a> {
    /// Its kind, and whether it is an array.
    One(FieldKind, bool),
    Record(&'a Map<String, Json>),
}

fn read(of: &Json) -> Option<Read<'_>> {
    match of {
        Json::String(name) => Some(Read::One(kind(name)?, false)),
        Json::Array(union) => {
            let mut some = union.iter().filter(|t| t.as_str() != Some("null"));
            let first = some.next()?;
            if some.next().is_some() { None } else { read(first) }
        }
        Json::Object(object) => match object.get("type")? {
            Json::String(name) if name == "array" => match read(object.get("items")?)? {
                Read::One(kind, false) => Some(Read::One(kind, true)),
                Read::One(..) | Read::Record(_) => None,
            },
            Json::String(name) if name == "record" => Some(Read::Record(object)),
            Json::String(name) if name == "enum" => Some(Read::One(FieldKind::Text, false)),
            inner => read(inner),
        },
        _ => None,
    }
}

fn kind(name: &str) -> Option<FieldKind> {
    Some(match name {
        "boolean" => FieldKind::Bool,
        "int" | "long" => FieldKind::Int,
        "float" | "double" => FieldKind::Double,
        "string" => FieldKind::Text,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const METRIC: &str = r#"{"type": "record", "name": "metric", "fields": [
        {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "value", "type": ["null", "double"], "default": null, "units": "arcsec"},
        {"name": "band", "type": {"type": "enum", "name": "band", "symbols": ["g", "r"]}},
        {"name": "all", "type": {"type": "array", "items": "float"}},
        {"name": "run", "type": {"type": "record", "name": "run", "fields": [
            {"name": "visit", "type": "long"}, {"name": "tags", "type": {"type": "map", "values": "string"}}]}},
        {"name": "raw", "type": "bytes"},
        {"name": "either", "type": ["string", "long"]}]}"#;

    #[test]
    fn flat_fields_are_taken_and_the_rest_is_left_out() {
        let schema = kafka_topic_schema("lsst.square.metric", METRIC).unwrap();
        let fields: Vec<_> =
            schema.fields.iter().map(|f| (f.name.as_str(), f.kind, f.count.is_some())).collect();
        assert_eq!(
            fields,
            [
                ("timestamp", FieldKind::Int, false),
                ("value", FieldKind::Double, false),
                ("band", FieldKind::Text, false),
                ("all", FieldKind::Double, true),
                ("run.visit", FieldKind::Int, false),
            ]
        );
        assert_eq!(schema.field("value").unwrap().unit.as_deref(), Some("arcsec"));
        assert!(kafka_topic_schema("x", "\"int\"").unwrap_err().contains("not a record"));
    }
}
