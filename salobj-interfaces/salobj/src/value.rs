//! One decoded field of a record.

use std::sync::Arc;

/// The value of a field, or of one element of it. Four-byte floats are widened; all integers are 64 bits here.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// Null of a nullable field, or missing.
    #[default]
    Null,
    /// Boolean.
    Bool(bool),
    /// Any integer type.
    Int(i64),
    /// Float or double.
    Double(f64),
    /// String.
    Text(Arc<str>),
    /// Array of boolean.
    Bools(Arc<[bool]>),
    /// Array of an integer type.
    Ints(Arc<[i64]>),
    /// Array of float or double.
    Doubles(Arc<[f64]>),
    /// Array of string (never in SAL, possible in other Avro topics).
    Texts(Arc<[Arc<str>]>),
}

impl Value {
    /// What it is, in words for messages.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "an integer",
            Value::Double(_) => "a floating point number",
            Value::Text(_) => "a text",
            Value::Bools(_) => "an array of booleans",
            Value::Ints(_) => "an array of integers",
            Value::Doubles(_) => "an array of floating point numbers",
            Value::Texts(_) => "an array of texts",
        }
    }
}

macro_rules! from {
    ($($from:ty => $variant:ident, $value:ident => $made:expr;)*) => {
        $(impl From<$from> for Value {
            fn from($value: $from) -> Value {
                Value::$variant($made)
            }
        })*
    };
}

from! {
    bool => Bool, v => v;
    i32 => Int, v => v.into();
    i64 => Int, v => v;
    u32 => Int, v => v.into();
    f32 => Double, v => v.into();
    f64 => Double, v => v;
    &str => Text, v => v.into();
    String => Text, v => v.into();
    Arc<str> => Text, v => v;
    &[bool] => Bools, v => v.into();
    &[i64] => Ints, v => v.into();
    &[f64] => Doubles, v => v.into();
    Vec<bool> => Bools, v => v.into();
    Vec<i64> => Ints, v => v.into();
    Vec<f64> => Doubles, v => v.into();
}
