//! Topics that an Avro schema defines: the camera telemetry (`.avsc` files), and topics known only by the schema
//! that is registered for them.

use serde_json::{Map, Value, json};

use crate::error::{IdlError, Problems};
use crate::model::{Field, SalType, Topic};
use crate::schema;

impl Topic {
    /// A topic known only by its registered schema, e.g. of a component whose XML is not at hand.
    ///
    /// `sal_name` is the last part of the Kafka topic name. Units and descriptions are kept if the schema has them as
    /// SAL schemas do; a union with null makes the field nullable. The count of an array is the length of its
    /// default, 0 if the schema does not say.
    ///
    /// # Errors
    /// [`IdlError::Invalid`] if the text is not an Avro record, or a field has a type that SAL does not know; all of
    /// them are named.
    pub fn from_avro(component: &str, sal_name: &str, schema_text: &str) -> Result<Self, IdlError> {
        let mut problems = Problems::new(&format!("registered schema of {component} {sal_name}"));
        let topic = parse(schema_text, &mut problems).map(|record| {
            let fields = fields(&record, &mut problems);
            let description = description(&record).to_owned();
            schema::from_schema(component, sal_name, &description, fields, &Value::Object(record))
        });
        match (topic, problems.into_inner()) {
            (Some(topic), found) if found.is_empty() => Ok(topic),
            (_, problems) => Err(IdlError::Invalid { problems }),
        }
    }
}

/// The telemetry topic that a camera's `.avsc` file defines; the stem of the file is its name.
///
/// The record is the file's own, with the private fields after its fields and the keys in the order in which the
/// Python tools write them. Returns `None`, with the reason in `problems`, if the file cannot be used.
pub(crate) fn camera_topic(
    component: &str,
    stem: &str,
    text: &str,
    indexed: bool,
    problems: &mut Problems,
) -> Option<Topic> {
    let record = parse(text, problems)?;
    let mut own = fields(&record, problems);
    let private = schema::private_fields(indexed);
    for field in own.iter().filter(|f| private.iter().any(|p| p.name == f.name)) {
        problems.push(0, format!("field {}", field.name), "this name belongs to the private fields");
    }
    let mut items: Vec<Value> = Vec::new();
    if let Some(Value::Array(list)) = record.get("fields") {
        items.extend(list.iter().filter_map(Value::as_object).map(canonical_field));
    }
    items.extend(private.iter().map(schema::field_schema));
    own.extend(private);

    let named = ["type", "name", "namespace", "fields", "doc"];
    let mut out: Map<String, Value> = record
        .iter()
        .filter(|(k, _)| !named.contains(&k.as_str()))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    out.insert("type".to_owned(), json!("record"));
    if let Some(doc) = record.get("doc") {
        out.insert("doc".to_owned(), doc.clone());
    }
    out.insert("name".to_owned(), json!(stem));
    out.insert("fields".to_owned(), Value::Array(items));
    out.insert("namespace".to_owned(), record.get("namespace").cloned().unwrap_or_else(|| json!("")));
    let text = match description(&record) {
        "" => "No description given",
        text => text,
    };
    Some(schema::from_schema(component, stem, text, own, &Value::Object(out)))
}

/// A field with its keys in the order of the Python tools: free attributes, default, name, type.
fn canonical_field(field: &Map<String, Value>) -> Value {
    let last = ["doc", "aliases", "default", "name", "type"];
    let mut out: Map<String, Value> = field
        .iter()
        .filter(|(k, _)| !last.contains(&k.as_str()))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    for key in last {
        if let Some(value) = field.get(key) {
            out.insert(key.to_owned(), value.clone());
        }
    }
    Value::Object(out)
}

fn parse(text: &str, problems: &mut Problems) -> Option<Map<String, Value>> {
    match serde_json::from_str(text) {
        Ok(Value::Object(record)) if record.get("type").and_then(Value::as_str) == Some("record") => {
            Some(record)
        }
        Ok(_) => {
            problems.push(0, "", "not an Avro record");
            None
        }
        Err(e) => {
            problems.push(e.line(), "", format!("not JSON: {e}"));
            None
        }
    }
}

fn description(object: &Map<String, Value>) -> &str {
    ["description", "doc"].iter().find_map(|k| object.get(*k).and_then(Value::as_str)).unwrap_or("")
}

fn fields(record: &Map<String, Value>, problems: &mut Problems) -> Vec<Field> {
    let Some(Value::Array(list)) = record.get("fields") else {
        problems.push(0, "", "the record has no fields");
        return Vec::new();
    };
    let mut out: Vec<Field> = Vec::with_capacity(list.len());
    for (i, item) in list.iter().enumerate() {
        let name = item.get("name").and_then(Value::as_str);
        let (Some(item), Some(name)) = (item.as_object(), name) else {
            problems.push(0, format!("field number {}", i + 1), "has no name");
            continue;
        };
        let element = format!("field {name}");
        if out.iter().any(|f| f.name == name) {
            problems.push(0, element, "appears twice");
            continue;
        }
        let Some(kind) = item.get("type") else {
            problems.push(0, element, "has no type");
            continue;
        };
        match field_type(kind, item.get("default")) {
            Some((sal_type, count, nullable)) => out.push(Field {
                name: name.to_owned(),
                sal_type,
                count,
                units: item.get("units").and_then(Value::as_str).unwrap_or("unitless").to_owned(),
                description: description(item).to_owned(),
                nullable,
            }),
            None => problems.push(
                0,
                element,
                format!("Avro type {kind} is none of boolean, int, long, float, double, string, an array of these, or a union of one with null"),
            ),
        }
    }
    out
}

/// SAL type, count (0: an array of unknown length), nullable.
fn field_type(kind: &Value, default: Option<&Value>) -> Option<(SalType, usize, bool)> {
    match kind {
        Value::String(name) => Some((SalType::from_avro_name(name)?, 1, false)),
        Value::Object(complex) => match complex.get("type")? {
            Value::String(t) if t == "array" => {
                let (element, 1, false) = field_type(complex.get("items")?, None)? else { return None };
                // A one-element default cannot be told from a scalar in the model, and SAL has no such arrays.
                let known = default.and_then(Value::as_array).map(Vec::len).filter(|n| *n > 1);
                Some((element, known.unwrap_or(0), false))
            }
            // A logical type, or a primitive in its long form: what counts is what is on the wire.
            Value::String(t) => Some((SalType::from_avro_name(t)?, 1, false)),
            _ => None,
        },
        Value::Array(branches) => {
            let mut others = branches.iter().filter(|b| b.as_str() != Some("null"));
            let (only, None) = (others.next()?, others.next()) else { return None };
            let (sal_type, count, false) = field_type(only, default)? else { return None };
            Some((sal_type, count, branches.len() > 1))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TopicKind;

    const CAMERA: &str = r#"{
        "type": "record", "name": "vacuum", "namespace": "lsst.sal.ATCamera",
        "fields": [
            {"name": "timestamp", "type": "long", "description": "when", "units": "millisecond"},
            {"name": "pressure", "type": ["null", "double"], "default": null, "description": "cryostat", "units": "torr"},
            {"name": "agent", "type": "string", "description": "who"}
        ]
    }"#;

    #[test]
    fn camera_file_keeps_its_fields_and_gets_the_private_ones() {
        let mut problems = Problems::new("vacuum.avsc");
        let topic = camera_topic("ATCamera", "vacuum", CAMERA, false, &mut problems).expect("valid");
        assert!(problems.into_inner().is_empty());
        let names: Vec<_> = topic.fields.iter().map(|f| f.name.as_str()).take(5).collect();
        assert_eq!(names, ["timestamp", "pressure", "agent", "private_sndStamp", "private_rcvStamp"]);
        let pressure = topic.field("pressure").expect("there");
        assert_eq!(
            (pressure.sal_type, pressure.nullable, pressure.units.as_str()),
            (SalType::Double, true, "torr")
        );
        assert_eq!(topic.field("agent").expect("there").units, "unitless");
        let start = r#"{"type": "record", "name": "vacuum", "fields": [{"description": "when", "units": "millisecond", "name": "timestamp", "type": "long"}, {"description": "cryostat", "units": "torr", "default": null, "name": "pressure", "type": ["null", "double"]}, {"description": "who", "name": "agent", "type": "string"}, {"name": "private_sndStamp""#;
        assert!(topic.schema_compact.starts_with(start), "{}", topic.schema_compact);
        assert!(topic.schema_compact.ends_with(r#"], "namespace": "lsst.sal.ATCamera"}"#));
    }

    #[test]
    fn registered_schema_of_a_sal_topic_gives_the_same_topic() {
        let original = schema::ackcmd("Anything", true);
        let again = Topic::from_avro("Anything", "ackcmd", &original.schema_compact).expect("valid");
        assert_eq!(again.schema_pretty, original.schema_pretty);
        assert_eq!((again.kind, again.rev_code.as_str()), (TopicKind::AckCmd, original.rev_code.as_str()));
        assert_eq!(again.field("timeout").expect("there").units, "second");
    }

    #[test]
    fn registered_schema_types() {
        let text = r#"{"type": "record", "name": "m", "fields": [
            {"name": "a", "type": {"type": "array", "items": "double"}, "default": [0.0, 0.0, 0.0]},
            {"name": "b", "type": {"type": "array", "items": "int"}},
            {"name": "c", "type": ["double", "null"], "doc": "late null"},
            {"name": "d", "type": {"type": "long", "logicalType": "timestamp-millis"}}]}"#;
        let topic = Topic::from_avro("lsst.square", "m", text).expect("valid");
        let found: Vec<_> = topic.fields.iter().map(|f| (f.sal_type, f.count, f.nullable)).collect();
        let expected = [
            (SalType::Double, 3, false),
            (SalType::Int, 0, false),
            (SalType::Double, 1, true),
            (SalType::LongLong, 1, false),
        ];
        assert_eq!(found, expected);
        assert_eq!(topic.fields[2].description, "late null");
    }

    #[test]
    fn every_unusable_field_is_named() {
        let text = r#"{"type": "record", "name": "m", "fields": [
            {"name": "a", "type": "bytes"}, {"type": "int"}, {"name": "c", "type": ["int", "string"]},
            {"name": "d", "type": "int"}, {"name": "d", "type": "int"}, {"name": "e"}]}"#;
        let error = Topic::from_avro("X", "m", text).expect_err("must fail");
        let elements: Vec<_> = error.problems().iter().map(|p| p.element.as_str()).collect();
        assert_eq!(elements, ["field a", "field number 2", "field c", "field d", "field e"]);
        assert!(Topic::from_avro("X", "m", "{").expect_err("must fail").to_string().contains("not JSON"));
        assert!(
            Topic::from_avro("X", "m", "\"int\"")
                .expect_err("must fail")
                .to_string()
                .contains("not an Avro record")
        );
    }
}
