//! Whole records: the writer's schema resolved to our topic.

use std::sync::Arc;

use apache_avro::Schema;
use apache_avro::schema_compatibility::SchemaCompatibility;
use sal_idl::{Field, SalType, Topic};

use super::plan::{Kind, Plan, Want};
use super::{WireError, unframe};
use crate::value::Value;

/// Reads records of one writer's schema as values of our topic: fields by name, those that the writer does not have
/// with their default, integers widened to double where we have double.
#[derive(Debug, Clone)]
pub struct Decoder {
    topic: Arc<Topic>,
    plan: Plan,
}

impl Decoder {
    /// A decoder for records of the writer's schema (its JSON text).
    ///
    /// # Errors
    /// [`WireError::Schema`] if the text is no schema, [`WireError::Incompatible`] if the two do not resolve by the
    /// rules of Avro (another record name, a type that cannot be widened).
    pub fn new(topic: Arc<Topic>, writer_schema: &str) -> Result<Decoder, WireError> {
        let wrong = |reason: String| WireError::Incompatible {
            topic: format!("{}.{}", topic.component, topic.sal_name),
            reason,
        };
        let writer = Schema::parse_str(writer_schema).map_err(|e| WireError::Schema(e.to_string()))?;
        let reader = parse(&topic)?;
        SchemaCompatibility::can_read(&writer, &reader).map_err(|e| wrong(e.to_string()))?;
        let wants: Vec<Want> = topic.fields.iter().map(want).collect();
        let plan = Plan::of_schema(&writer, &wants).map_err(|e| wrong(e.to_string()))?;
        Ok(Decoder { topic, plan })
    }

    /// The reader's topic.
    pub fn topic(&self) -> &Arc<Topic> {
        &self.topic
    }

    /// The values of an Avro body, one for each field of the topic.
    pub fn decode(&self, body: &[u8]) -> Result<Vec<Value>, WireError> {
        let mut values = vec![Value::Null; self.plan.cells()];
        self.plan.decode(body, &mut values)?;
        for (field, value) in self.topic.fields.iter().zip(&values) {
            if *value == Value::Null && !field.nullable {
                let reason = "is null, but cannot be".to_owned();
                return Err(WireError::Field { field: field.name.clone(), reason });
            }
        }
        Ok(values)
    }

    /// As [`Decoder::decode`], for a framed value of the schema id that this decoder is for.
    pub fn decode_framed(&self, value: &[u8]) -> Result<Vec<Value>, WireError> {
        self.decode(unframe(value)?.1)
    }
}

/// The value of a field that nobody has set: 0, 0.0, false, an empty text, an array of these, null where it is
/// allowed. A count of 0 is an array of a length that the schema does not tell.
pub fn default_value(field: &Field) -> Value {
    let n = field.count;
    match (field.sal_type, n != 1) {
        _ if field.nullable => Value::Null,
        (SalType::String, _) => Value::Text("".into()),
        (SalType::Boolean, false) => Value::Bool(false),
        (SalType::Boolean, true) => Value::Bools(vec![false; n].into()),
        (SalType::Float | SalType::Double, false) => Value::Double(0.0),
        (SalType::Float | SalType::Double, true) => Value::Doubles(vec![0.0; n].into()),
        (_, false) => Value::Int(0),
        (_, true) => Value::Ints(vec![0; n].into()),
    }
}

fn want(field: &Field) -> Want {
    let kind = match field.sal_type {
        SalType::Boolean => Kind::Bool,
        SalType::Float | SalType::Double => Kind::Double,
        SalType::String => Kind::Text,
        _ => Kind::Int,
    };
    Want { kind: Some(kind), default: default_value(field), ..Want::field(&field.name) }
}

pub(super) fn parse(topic: &Topic) -> Result<Schema, WireError> {
    Schema::parse_str(&topic.schema_compact)
        .map_err(|e| WireError::Schema(format!("{}.{}: {e}", topic.component, topic.sal_name)))
}
