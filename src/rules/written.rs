//! Values as a rule writes them, for the fields of a command, and to be compared with the fields of an event. Used when a rule
//! is compiled, and again when its templates are filled in.
//!
//! ```yaml
//! fields: {position: 120.0, severity: AlarmSeverity.CRITICAL, offsets: [0.1, 0.2]}
//! where:  {inPosition: true, state: [MotionState.STOPPED, MotionState.PARKED], speed: "< 0.01"}
//! ```

use std::sync::Arc;

use sal_idl::Enumeration;
use salobj::Value;
use serde_json::Value as Json;

use super::diagnose::suggest;
use super::schema::{FieldKind, FieldSchema};

/// Why a value does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Misfit {
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Misfit {
    fn new(message: String) -> Self {
        Self { message, help: None }
    }
}

/// The value of a field of a message, as a rule writes it. A text stands for a number, a boolean or a constant of one of the
/// component's enumerations (`Location.LAST`), as templates give it.
///
/// # Errors
/// The type, the length of an array, or the name of the constant is wrong.
pub fn field_value(field: &FieldSchema, enums: &[Enumeration], written: &Json) -> Result<Value, Misfit> {
    let Some(count) = field.count else { return scalar(field, enums, written) };
    let Json::Array(all) = written else {
        return Err(Misfit::new(format!("field \"{}\" is a list of {count}", field.name)));
    };
    if all.len() != count {
        let message = format!("field \"{}\" has {count} elements, these are {}", field.name, all.len());
        return Err(Misfit::new(message));
    }
    let all: Vec<Value> = all.iter().map(|w| scalar(field, enums, w)).collect::<Result<_, _>>()?;
    Ok(match field.kind {
        FieldKind::Bool => Value::Bools(all.iter().map(|v| *v == Value::Bool(true)).collect()),
        FieldKind::Int => Value::Ints(all.iter().map(|v| number(v) as i64).collect()),
        FieldKind::Double => Value::Doubles(all.iter().map(number).collect()),
        FieldKind::Text => {
            let text = |v: &Value| if let Value::Text(t) = v { Arc::clone(t) } else { "".into() };
            Value::Texts(all.iter().map(text).collect())
        }
    })
}

fn number(value: &Value) -> f64 {
    match value {
        Value::Double(v) => *v,
        Value::Int(v) => *v as f64,
        _ => f64::NAN,
    }
}

fn scalar(field: &FieldSchema, enums: &[Enumeration], written: &Json) -> Result<Value, Misfit> {
    let text = written.as_str().map(str::trim);
    let found = match field.kind {
        FieldKind::Bool => match (written, text) {
            (Json::Bool(v), _) => Some(Value::Bool(*v)),
            (_, Some("true")) => Some(Value::Bool(true)),
            (_, Some("false")) => Some(Value::Bool(false)),
            _ => None,
        },
        FieldKind::Int => {
            if let Some(constant) = text.filter(|t| names_constant(t)) {
                return constant_of(enums, constant).map(Value::Int);
            }
            whole(written).map(Value::Int)
        }
        FieldKind::Double => written.as_f64().or_else(|| text?.parse().ok()).map(Value::Double),
        FieldKind::Text => match written {
            Json::String(text) => Some(Value::Text(text.as_str().into())),
            Json::Number(_) | Json::Bool(_) => Some(Value::Text(written.to_string().into())),
            Json::Null | Json::Array(_) | Json::Object(_) => None,
        },
    };
    found.ok_or_else(|| {
        let wanted = match field.kind {
            FieldKind::Bool => "true or false",
            FieldKind::Int => "a whole number or a constant such as Enumeration.NAME",
            FieldKind::Double => "a number",
            FieldKind::Text => "text",
        };
        Misfit::new(format!("field \"{}\" is {wanted}, not {written}", field.name))
    })
}

/// A whole number, also as a text or with `.0`.
fn whole(written: &Json) -> Option<i64> {
    if let Some(value) = written.as_i64() {
        return Some(value);
    }
    let value: f64 = match written {
        Json::String(text) => match text.trim().parse::<i64>() {
            Ok(value) => return Some(value),
            Err(_) => text.trim().parse().ok()?,
        },
        _ => written.as_f64()?,
    };
    (value.fract() == 0.0 && value.abs() < 9e15).then_some(value as i64)
}

/// `Location.LAST`, and nothing that is a number.
fn names_constant(text: &str) -> bool {
    let word = |w: &str| {
        w.starts_with(|c: char| c.is_ascii_alphabetic())
            && w.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    text.split_once('.').is_some_and(|(enumeration, item)| word(enumeration) && word(item))
}

fn constant_of(enums: &[Enumeration], text: &str) -> Result<i64, Misfit> {
    let (name, item) = text.split_once('.').unwrap_or((text, ""));
    let Some(found) = enums.iter().find(|e| e.name == name) else {
        let help = suggest(name, enums.iter().map(|e| e.name.as_str()), "enumerations of the component");
        return Err(Misfit { message: format!("there is no enumeration \"{name}\""), help });
    };
    found.value(item).ok_or_else(|| {
        let help = suggest(item, found.items.iter().map(|i| i.name.as_str()), "its constants");
        Misfit { message: format!("enumeration {name} has no constant \"{item}\""), help }
    })
}

/// What a field of an event must be.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// One of these.
    OneOf(Vec<Value>),
    /// Another.
    Not(Value),
    /// Below this, or equal to it if so said.
    Below(f64, bool),
    /// Above this, or equal to it if so said.
    Above(f64, bool),
}

/// Float fields have four bytes: what is written with a point is meant as exactly as that.
const FLOAT_DIGITS: f64 = 1e-6;

impl Wanted {
    /// Reads what a rule says: a value, a list of values, or for numbers a text with `<`, `<=`, `>`, `>=` or `!=`.
    ///
    /// # Errors
    /// It does not fit the field.
    pub fn read(field: &FieldSchema, enums: &[Enumeration], written: &Json) -> Result<Wanted, Misfit> {
        if field.count.is_some() {
            let message = format!("field \"{}\" is a list, which cannot be compared here", field.name);
            return Err(Misfit::new(message));
        }
        if let Json::Array(all) = written {
            let all = all.iter().map(|w| field_value(field, enums, w)).collect::<Result<Vec<_>, _>>()?;
            return Ok(Wanted::OneOf(all));
        }
        if let (Some(text), FieldKind::Int | FieldKind::Double) = (written.as_str(), field.kind) {
            let text = text.trim();
            for sign in ["<=", ">=", "!=", "<", ">"] {
                let Some(rest) = text.strip_prefix(sign) else { continue };
                let value = field_value(field, enums, &Json::from(rest.trim()))?;
                return Ok(match sign {
                    "!=" => Wanted::Not(value),
                    "<" | "<=" => Wanted::Below(number(&value), sign == "<="),
                    _ => Wanted::Above(number(&value), sign == ">="),
                });
            }
        }
        Ok(Wanted::OneOf(vec![field_value(field, enums, written)?]))
    }

    /// Whether a value is that. What is missing is not.
    pub fn holds(&self, value: &Value) -> bool {
        let v = number(value);
        match self {
            Wanted::OneOf(all) => all.iter().any(|w| same(w, value)),
            Wanted::Not(other) => *value != Value::Null && !v.is_nan() && !same(other, value),
            Wanted::Below(limit, equal) => v < *limit || (*equal && v == *limit),
            Wanted::Above(limit, equal) => v > *limit || (*equal && v == *limit),
        }
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Double(_), _) | (_, Value::Double(_)) => {
            let (a, b) = (number(a), number(b));
            (a - b).abs() <= FLOAT_DIGITS * a.abs().max(b.abs())
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(kind: FieldKind, count: Option<usize>) -> FieldSchema {
        FieldSchema { name: "x".into(), kind, count, unit: None }
    }

    fn enums() -> Vec<Enumeration> {
        sal_idl::Library::embedded().component("ScriptQueue").unwrap().enums.clone()
    }

    #[test]
    fn values_fit_their_fields_or_say_why_not() {
        let value = |kind, written: Json| field_value(&field(kind, None), &enums(), &written);
        assert_eq!(value(FieldKind::Int, json!("Location.LAST")), Ok(Value::Int(2)));
        assert_eq!(value(FieldKind::Int, json!(" 7 ")), Ok(Value::Int(7)));
        assert_eq!(value(FieldKind::Int, json!(3.0)), Ok(Value::Int(3)));
        assert_eq!(value(FieldKind::Double, json!("2.5")), Ok(Value::Double(2.5)));
        assert_eq!(value(FieldKind::Double, json!(2)), Ok(Value::Double(2.0)));
        assert_eq!(value(FieldKind::Bool, json!("true")), Ok(Value::Bool(true)));
        assert_eq!(value(FieldKind::Text, json!(15)), Ok(Value::Text("15".into())));
        for (kind, written) in [
            (FieldKind::Int, json!(2.5)),
            (FieldKind::Int, json!("LAST")),
            (FieldKind::Double, json!(true)),
            (FieldKind::Double, json!("fast")),
            (FieldKind::Bool, json!(1)),
            (FieldKind::Text, json!([1])),
        ] {
            assert!(value(kind, written.clone()).is_err(), "{kind:?} {written}");
        }
        let wrong = value(FieldKind::Int, json!("Location.LASST")).unwrap_err();
        assert_eq!(wrong.help.as_deref(), Some("did you mean \"LAST\"?"));
        let wrong = value(FieldKind::Int, json!("Locaton.LAST")).unwrap_err();
        assert_eq!(wrong.help.as_deref(), Some("did you mean \"Location\"?"));
    }

    #[test]
    fn lists_have_their_length() {
        let of = |written: Json| field_value(&field(FieldKind::Double, Some(2)), &[], &written);
        assert_eq!(of(json!([1, "2.5"])), Ok(Value::Doubles([1.0, 2.5].into())));
        assert!(of(json!([1])).unwrap_err().message.contains("has 2 elements, these are 1"));
        assert!(of(json!(1)).is_err());
    }

    #[test]
    fn comparisons() {
        let wanted = |kind, w: Json| Wanted::read(&field(kind, None), &enums(), &w).unwrap();
        let number = |w: Json, v: f64| wanted(FieldKind::Double, w).holds(&Value::Double(v));
        assert!(number(json!("< 1"), 0.9) && !number(json!("< 1"), 1.0) && number(json!("<= 1"), 1.0));
        assert!(number(json!(">= 0.1"), 0.1) && !number(json!("> 0.1"), 0.1));
        assert!(number(json!(0.1), f64::from(0.1_f32)) && !number(json!(0.1), 0.101));
        assert!(!number(json!("< 1"), f64::NAN) && !number(json!("!= 1"), f64::NAN));
        let int = |w: Json, v: i64| wanted(FieldKind::Int, w).holds(&Value::Int(v));
        assert!(int(json!(["Location.LAST", 7]), 7) && int(json!(["Location.LAST", 7]), 2));
        assert!(int(json!("!= Location.LAST"), 1) && !int(json!("!= Location.LAST"), 2));
        assert!(!wanted(FieldKind::Text, json!("<a")).holds(&Value::Text("b".into())));
        assert!(!wanted(FieldKind::Int, json!(0)).holds(&Value::Null));
        assert!(Wanted::read(&field(FieldKind::Double, Some(3)), &[], &json!(1)).is_err());
    }
}
