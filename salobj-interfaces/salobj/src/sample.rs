//! One message as a reader sees it, and the record that a writer fills.

use std::sync::Arc;

use sal_idl::{Field, SalType, Topic};

use crate::error::SalError;
use crate::tai::Tai;
use crate::value::Value;
use crate::wire;

/// One decoded message of a topic. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The topic it belongs to.
    pub topic: Arc<Topic>,
    /// Field values in the order of `topic.fields`.
    pub values: Arc<[Value]>,
    /// When it was received (`private_rcvStamp`).
    pub received: Tai,
    /// Partition it came from, -1 for a sample that was not read from the bus.
    pub partition: i32,
    /// Offset in that partition, -1 for a sample that was not read from the bus.
    pub offset: i64,
}

impl Sample {
    /// The value of a field; `None` if the topic has no such field.
    pub fn get(&self, field: &str) -> Option<&Value> {
        let at = self.topic.fields.iter().position(|f| f.name == field)?;
        self.values.get(at)
    }

    /// A number as f64 (integers are converted); NaN if there is no such number.
    pub fn f64(&self, field: &str) -> f64 {
        match self.get(field) {
            Some(Value::Double(x)) => *x,
            Some(Value::Int(i)) => *i as f64,
            _ => f64::NAN,
        }
    }

    /// An integer; 0 if there is no such integer.
    pub fn i64(&self, field: &str) -> i64 {
        match self.get(field) {
            Some(Value::Int(i)) => *i,
            _ => 0,
        }
    }

    /// A string; empty if there is no such string.
    pub fn str(&self, field: &str) -> &str {
        match self.get(field) {
            Some(Value::Text(s)) => s,
            _ => "",
        }
    }

    /// A boolean; false if there is no such boolean.
    pub fn bool(&self, field: &str) -> bool {
        matches!(self.get(field), Some(Value::Bool(true)))
    }

    /// `salIndex`, 0 for a component that is not indexed.
    pub fn sal_index(&self) -> i64 {
        self.i64("salIndex")
    }

    /// When it was sent (`private_sndStamp`, TAI).
    pub fn sent(&self) -> Tai {
        Tai(self.f64("private_sndStamp"))
    }

    /// `private_seqNum`.
    pub fn seq_num(&self) -> i64 {
        self.i64("private_seqNum")
    }

    /// `private_identity`: `Test:7` for a CSC, `user@host` for a person.
    pub fn identity(&self) -> &str {
        self.str("private_identity")
    }

    /// `private_origin`: process id of the sender.
    pub fn origin(&self) -> i64 {
        self.i64("private_origin")
    }

    /// The fields that belong to the topic itself: no private fields, no `salIndex`.
    pub fn public_fields(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.topic
            .fields
            .iter()
            .zip(self.values.iter())
            .filter(|(f, _)| !is_private(&f.name))
            .map(|(f, v)| (f.name.as_str(), v))
    }
}

/// True for `salIndex` and the `private_` fields.
pub fn is_private(field: &str) -> bool {
    field == "salIndex" || field.starts_with("private_")
}

/// Where the private fields of a topic are; `None` for what the topic does not have.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PrivateAt {
    pub(crate) sal_index: Option<usize>,
    pub(crate) snd_stamp: Option<usize>,
    pub(crate) rcv_stamp: Option<usize>,
    pub(crate) efd_stamp: Option<usize>,
    pub(crate) kafka_stamp: Option<usize>,
    pub(crate) seq_num: Option<usize>,
    pub(crate) rev_code: Option<usize>,
    pub(crate) identity: Option<usize>,
    pub(crate) origin: Option<usize>,
}

impl PrivateAt {
    pub(crate) fn of(topic: &Topic) -> PrivateAt {
        let at = |name: &str| topic.fields.iter().position(|f| f.name == name);
        PrivateAt {
            sal_index: at("salIndex"),
            snd_stamp: at("private_sndStamp"),
            rcv_stamp: at("private_rcvStamp"),
            efd_stamp: at("private_efdStamp"),
            kafka_stamp: at("private_kafkaStamp"),
            seq_num: at("private_seqNum"),
            rev_code: at("private_revCode"),
            identity: at("private_identity"),
            origin: at("private_origin"),
        }
    }
}

/// The record a writer holds: all fields of a topic, at their defaults until set.
#[derive(Debug, Clone)]
pub struct Data {
    topic: Arc<Topic>,
    values: Vec<Value>,
}

impl Data {
    /// A record with every field at its default (0, false, "", arrays of those).
    pub fn new(topic: Arc<Topic>) -> Data {
        let values = topic.fields.iter().map(wire::default_value).collect();
        Data { topic, values }
    }

    /// The values in wire order.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    pub(crate) fn put(&mut self, at: Option<usize>, value: Value) {
        if let Some(cell) = at.and_then(|i| self.values.get_mut(i)) {
            *cell = value;
        }
    }

    /// Sets fields; true if any of them changed. `Value::Null` keeps the old value. Nothing is set if any name is
    /// unknown or any value does not fit (type, integer range, array length).
    pub fn set(&mut self, fields: &[(&str, Value)]) -> Result<bool, SalError> {
        let mut unknown = Vec::new();
        let mut todo = Vec::with_capacity(fields.len());
        for (name, value) in fields {
            match self.topic.fields.iter().position(|f| f.name == *name && !f.name.starts_with("private_")) {
                None => unknown.push(format!("'{name}'")),
                Some(_) if matches!(value, Value::Null) => {}
                Some(at) => {
                    let field = &self.topic.fields[at];
                    let fitted = fit(field, value).map_err(|reason| SalError::BadValue {
                        attr: self.topic.attr_name(),
                        field: field.name.clone(),
                        reason,
                    })?;
                    todo.push((at, fitted));
                }
            }
        }
        if !unknown.is_empty() {
            return Err(SalError::NoFields { attr: self.topic.attr_name(), fields: unknown.join(", ") });
        }
        let mut changed = false;
        for (at, value) in todo {
            if !same(&self.values[at], &value) {
                self.values[at] = value;
                changed = true;
            }
        }
        Ok(changed)
    }
}

/// Equality as SAL means it for "changed": NaN equals NaN.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    let eq = |x: f64, y: f64| x == y || (x.is_nan() && y.is_nan());
    match (a, b) {
        (Value::Double(x), Value::Double(y)) => eq(*x, *y),
        (Value::Doubles(x), Value::Doubles(y)) => {
            x.len() == y.len() && x.iter().zip(y.iter()).all(|(x, y)| eq(*x, *y))
        }
        _ => a == b,
    }
}

/// Smallest and largest value of an integer type.
fn range(sal_type: SalType) -> (i64, i64) {
    match sal_type {
        // Signed for some writers, unsigned for others; both fit the Avro int.
        SalType::Byte => (-128, 255),
        SalType::Short => (i64::from(i16::MIN), i64::from(i16::MAX)),
        SalType::UnsignedShort => (0, i64::from(u16::MAX)),
        SalType::UnsignedInt => (0, i64::from(u32::MAX)),
        SalType::LongLong => (i64::MIN, i64::MAX),
        _ => (i64::from(i32::MIN), i64::from(i32::MAX)),
    }
}

/// The value as the field holds it, or why it cannot.
fn fit(field: &Field, value: &Value) -> Result<Value, String> {
    let int = |i: i64| {
        let (low, high) = range(field.sal_type);
        if (low..=high).contains(&i) { Ok(i) } else { Err(format!("{i} is not in {low}..={high}")) }
    };
    // A float field holds what goes on the wire, so that "changed" is about what readers see.
    let float = |x: f64| if field.sal_type == SalType::Float { f64::from(x as f32) } else { x };
    let length = |n: usize| {
        if n == field.count { Ok(()) } else { Err(format!("{n} elements given, {} needed", field.count)) }
    };
    match (field.sal_type, field.count, value) {
        (SalType::Boolean, 1, Value::Bool(_)) | (SalType::String, 1, Value::Text(_)) => Ok(value.clone()),
        (SalType::Boolean, _, Value::Bools(b)) => length(b.len()).map(|()| value.clone()),
        (SalType::String, _, Value::Texts(t)) => length(t.len()).map(|()| value.clone()),
        (SalType::Float | SalType::Double, 1, Value::Double(x)) => Ok(Value::Double(float(*x))),
        (SalType::Float | SalType::Double, 1, Value::Int(i)) => Ok(Value::Double(float(*i as f64))),
        (SalType::Float | SalType::Double, n, Value::Doubles(x)) if n != 1 => {
            length(x.len())?;
            Ok(Value::Doubles(x.iter().map(|x| float(*x)).collect()))
        }
        (SalType::Float | SalType::Double, n, Value::Ints(x)) if n != 1 => {
            length(x.len())?;
            Ok(Value::Doubles(x.iter().map(|i| float(*i as f64)).collect()))
        }
        (SalType::Float | SalType::Double | SalType::Boolean | SalType::String, ..) => {
            Err(format!("{value:?} does not fit type {:?}[{}]", field.sal_type, field.count))
        }
        (_, 1, Value::Int(i)) => int(*i).map(Value::Int),
        (_, n, Value::Ints(x)) if n != 1 => {
            length(x.len())?;
            for i in x.iter() {
                int(*i)?;
            }
            Ok(value.clone())
        }
        _ => Err(format!("{value:?} does not fit type {:?}[{}]", field.sal_type, field.count)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(sal_type: SalType, count: usize) -> Field {
        Field {
            name: "x".into(),
            sal_type,
            count,
            units: "unitless".into(),
            description: String::new(),
            nullable: false,
        }
    }

    #[test]
    fn integers_are_checked_against_their_type() {
        assert!(fit(&field(SalType::Int, 1), &Value::Int(1 << 40)).is_err());
        assert_eq!(fit(&field(SalType::LongLong, 1), &Value::Int(1 << 40)), Ok(Value::Int(1 << 40)));
        assert!(fit(&field(SalType::UnsignedShort, 1), &Value::Int(-1)).is_err());
        assert_eq!(
            fit(&field(SalType::UnsignedInt, 1), &Value::Int(4_000_000_000)),
            Ok(Value::Int(4_000_000_000))
        );
    }

    #[test]
    fn arrays_need_their_exact_length() {
        assert!(fit(&field(SalType::Double, 3), &Value::Doubles(vec![0.0; 2].into())).is_err());
        assert!(fit(&field(SalType::Double, 3), &Value::Ints(vec![1; 3].into())).is_ok());
    }

    #[test]
    fn nan_equals_nan_and_floats_are_compared_as_sent() {
        assert!(same(&Value::Double(f64::NAN), &Value::Double(f64::NAN)));
        assert!(!same(&Value::Double(1.0), &Value::Double(f64::NAN)));
        let a = fit(&field(SalType::Float, 1), &Value::Double(0.1)).unwrap();
        assert_eq!(a, Value::Double(f64::from(0.1_f32)));
    }
}
