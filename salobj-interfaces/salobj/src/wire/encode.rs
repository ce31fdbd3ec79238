//! Writing records of our own topics.

use std::sync::Arc;

use apache_avro::Schema;
use apache_avro::types::Value as Avro;
use apache_avro::writer::datum::GenericDatumWriter;
use sal_idl::{Field, SalType, Topic};

use super::{WireError, decode, frame};
use crate::value::Value;

/// Writes records of one topic. Integers are checked against the range of their SAL type, arrays against their
/// length: what does not fit is refused, not cut.
#[derive(Debug, Clone)]
pub struct Encoder {
    topic: Arc<Topic>,
    schema: Schema,
    /// How each field is written.
    shapes: Vec<Shape>,
}

/// How a field is written: the Avro type of its items, and its branch if it is a union with null.
#[derive(Debug, Clone, Copy)]
struct Shape {
    long: bool,
    float: bool,
    array: bool,
    /// Index of the null branch and of the other one.
    union: Option<(u32, u32)>,
}

impl Encoder {
    /// An encoder for a topic; it fails only if the topic's own schema text is not one.
    pub fn new(topic: Arc<Topic>) -> Result<Encoder, WireError> {
        let schema = decode::parse(&topic)?;
        let Schema::Record(record) = &schema else {
            return Err(WireError::Schema(format!("{} is not a record", topic.sal_name)));
        };
        let names = |i: usize| {
            (record.fields.get(i).map(|f| f.name.as_str()), topic.fields.get(i).map(|f| f.name.as_str()))
        };
        if let Some((a, b)) =
            (0..record.fields.len().max(topic.fields.len())).map(names).find(|(a, b)| a != b)
        {
            return Err(WireError::Schema(format!(
                "{}: field {a:?} where {b:?} is expected",
                topic.sal_name
            )));
        }
        let shapes = record.fields.iter().map(|f| shape(&f.schema)).collect();
        Ok(Encoder { topic, schema, shapes })
    }

    /// The topic.
    pub fn topic(&self) -> &Arc<Topic> {
        &self.topic
    }

    /// A record value: frame with the schema id, then the body. One value for each field of the topic, in its order;
    /// an integer is taken for a double field.
    pub fn encode(&self, schema_id: u32, values: &[Value]) -> Result<Vec<u8>, WireError> {
        if values.len() != self.topic.fields.len() {
            let reason = format!("{} values for {} fields", values.len(), self.topic.fields.len());
            return Err(WireError::Field { field: "(all)".to_owned(), reason });
        }
        let mut record = Vec::with_capacity(values.len());
        for ((field, shape), value) in self.topic.fields.iter().zip(&self.shapes).zip(values) {
            let avro = avro(field, *shape, value)
                .map_err(|reason| WireError::Field { field: field.name.clone(), reason })?;
            record.push((field.name.clone(), avro));
        }
        let mut out = frame(schema_id).to_vec();
        GenericDatumWriter::builder(&self.schema)
            .build()
            .and_then(|writer| writer.write_value(&mut out, Avro::Record(record)))
            .map_err(|e| WireError::Schema(format!("{}: {e}", self.topic.sal_name)))?;
        Ok(out)
    }
}

fn shape(schema: &Schema) -> Shape {
    match schema {
        Schema::Union(union) => {
            let null = union.variants().iter().position(|s| matches!(s, Schema::Null));
            let other = union.variants().iter().position(|s| !matches!(s, Schema::Null));
            let inner = other.map_or(Schema::Null, |i| union.variants()[i].clone());
            Shape { union: null.zip(other).map(|(n, o)| (n as u32, o as u32)), ..shape(&inner) }
        }
        Schema::Array(array) => Shape { array: true, ..shape(&array.items) },
        Schema::Int | Schema::Date | Schema::TimeMillis => {
            Shape { long: false, float: false, array: false, union: None }
        }
        Schema::Float => Shape { long: false, float: true, array: false, union: None },
        _ => Shape { long: true, float: false, array: false, union: None },
    }
}

/// The Avro value of a field, or why there is none.
fn avro(field: &Field, shape: Shape, value: &Value) -> Result<Avro, String> {
    let inner = match value {
        Value::Null => match shape.union {
            Some((null, _)) => return Ok(Avro::Union(null, Box::new(Avro::Null))),
            None => return Err("is null, but cannot be".to_owned()),
        },
        _ if shape.array => Avro::Array(items(field, shape, value)?),
        Value::Bool(v) => boolean(field, *v)?,
        Value::Int(v) => integer(field, shape, *v)?,
        Value::Double(v) => double(field, shape, *v)?,
        Value::Text(v) => text(field, v)?,
        other => return Err(format!("is a scalar, got {}", other.kind_name())),
    };
    Ok(match shape.union {
        Some((_, branch)) => Avro::Union(branch, Box::new(inner)),
        None => inner,
    })
}

fn items(field: &Field, shape: Shape, value: &Value) -> Result<Vec<Avro>, String> {
    let items: Vec<Avro> = match value {
        Value::Bools(v) => v.iter().map(|v| boolean(field, *v)).collect::<Result<_, _>>()?,
        Value::Ints(v) => v.iter().map(|v| integer(field, shape, *v)).collect::<Result<_, _>>()?,
        Value::Doubles(v) => v.iter().map(|v| double(field, shape, *v)).collect::<Result<_, _>>()?,
        Value::Texts(v) => v.iter().map(|v| text(field, v)).collect::<Result<_, _>>()?,
        other => return Err(format!("is an array, got {}", other.kind_name())),
    };
    // A count of 1 with an array type comes from a schema of unknown length.
    if field.count > 1 && items.len() != field.count {
        return Err(format!("has {} elements, got {}", field.count, items.len()));
    }
    Ok(items)
}

fn boolean(field: &Field, value: bool) -> Result<Avro, String> {
    match field.sal_type {
        SalType::Boolean => Ok(Avro::Boolean(value)),
        other => Err(format!("is {other:?}, got a boolean")),
    }
}

fn integer(field: &Field, shape: Shape, value: i64) -> Result<Avro, String> {
    let (low, high) = match field.sal_type {
        SalType::Byte => (i64::from(i8::MIN), i64::from(u8::MAX)),
        SalType::Short => (i64::from(i16::MIN), i64::from(i16::MAX)),
        SalType::Int | SalType::Long => (i64::from(i32::MIN), i64::from(i32::MAX)),
        SalType::LongLong => (i64::MIN, i64::MAX),
        SalType::UnsignedShort => (0, i64::from(u16::MAX)),
        SalType::UnsignedInt => (0, i64::from(u32::MAX)),
        SalType::Float | SalType::Double => return double(field, shape, value as f64),
        other => return Err(format!("is {other:?}, got an integer")),
    };
    if !(low..=high).contains(&value) {
        return Err(format!("{value} is outside {low}..={high} ({:?})", field.sal_type));
    }
    match i32::try_from(value) {
        _ if shape.long => Ok(Avro::Long(value)),
        Ok(value) => Ok(Avro::Int(value)),
        Err(_) => Err(format!("{value} does not fit the 32 bits of its schema")),
    }
}

fn double(field: &Field, shape: Shape, value: f64) -> Result<Avro, String> {
    match field.sal_type {
        SalType::Float | SalType::Double if !shape.float => Ok(Avro::Double(value)),
        SalType::Float | SalType::Double => {
            let narrow = value as f32;
            if narrow.is_infinite() && value.is_finite() {
                return Err(format!("{value} is outside the range of a 4-byte float"));
            }
            Ok(Avro::Float(narrow))
        }
        other => Err(format!("is {other:?}, got a floating point number")),
    }
}

fn text(field: &Field, value: &str) -> Result<Avro, String> {
    match field.sal_type {
        SalType::String => Ok(Avro::String(value.to_owned())),
        other => Err(format!("is {other:?}, got a text")),
    }
}
