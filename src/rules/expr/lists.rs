//! Lists of scalars: elementwise arithmetic, reductions, order, and their way to and from JSON.

use salobj::Value;
use serde_json::Value as Json;

use super::env::{Env, Why};
use super::eval::holds;
use super::tree::{Arith, Cmp, Elem, Reduce};

/// Number of elements; 0 for what is no list.
pub(crate) fn length(list: &Value) -> usize {
    match list {
        Value::Bools(v) => v.len(),
        Value::Ints(v) => v.len(),
        Value::Doubles(v) => v.len(),
        Value::Texts(v) => v.len(),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::Text(_) => 0,
    }
}

/// The element at a position.
pub(crate) fn at(list: &Value, i: usize) -> Option<Value> {
    match list {
        Value::Bools(v) => v.get(i).map(|x| Value::Bool(*x)),
        Value::Ints(v) => v.get(i).map(|x| Value::Int(*x)),
        Value::Doubles(v) => v.get(i).map(|x| Value::Double(*x)),
        Value::Texts(v) => v.get(i).map(|x| Value::Text(x.clone())),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::Text(_) => None,
    }
}

/// The elements one by one.
pub(crate) fn elements(list: &Value) -> impl Iterator<Item = Value> + '_ {
    (0..length(list)).filter_map(|i| at(list, i))
}

/// The element at an index of an expression.
pub(crate) fn index(list: &Value, i: i64, env: &Env<'_>) -> Option<Value> {
    usize::try_from(i).ok().and_then(|i| at(list, i)).or_else(|| env.unknown(Why::NoElement))
}

/// What the elements are.
pub(crate) fn elem_of(list: &Value) -> Option<Elem> {
    match list {
        Value::Bools(_) => Some(Elem::Bool),
        Value::Ints(_) => Some(Elem::Int),
        Value::Doubles(_) => Some(Elem::Double),
        Value::Texts(_) => Some(Elem::Text),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Double(_) | Value::Text(_) => None,
    }
}

/// A list of scalars of one type.
pub(crate) fn collect(elem: Elem, values: Vec<Value>) -> Option<Value> {
    Some(match elem {
        Elem::Bool => Value::Bools(
            values
                .iter()
                .map(|v| if let Value::Bool(b) = v { Some(*b) } else { None })
                .collect::<Option<_>>()?,
        ),
        Elem::Int => Value::Ints(
            values
                .iter()
                .map(|v| if let Value::Int(b) = v { Some(*b) } else { None })
                .collect::<Option<_>>()?,
        ),
        Elem::Double => Value::Doubles(values.iter().map(scalar).collect::<Option<_>>()?),
        Elem::Text => Value::Texts(
            values
                .iter()
                .map(|v| if let Value::Text(b) = v { Some(b.clone()) } else { None })
                .collect::<Option<_>>()?,
        ),
    })
}

fn scalar(value: &Value) -> Option<f64> {
    match value {
        Value::Double(v) => Some(*v),
        Value::Int(v) => Some(*v as f64),
        _ => None,
    }
}

/// The numbers of a list as doubles.
pub(crate) fn doubles(list: &Value) -> Option<Vec<f64>> {
    match list {
        Value::Doubles(v) => Some(v.to_vec()),
        Value::Ints(v) => Some(v.iter().map(|x| *x as f64).collect()),
        _ => None,
    }
}

/// Two scalars are equal, an integer and a double by value.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (scalar(a), scalar(b)) {
        (Some(x), Some(y)) => x == y,
        _ => a == b,
    }
}

/// Two lists are equal; `None` if one has a NaN.
pub(crate) fn equal(a: &Value, b: &Value) -> Option<bool> {
    if length(a) != length(b) {
        return Some(false);
    }
    let nan = |v: &Value| matches!(v, Value::Double(x) if x.is_nan());
    if elements(a).chain(elements(b)).any(|v| nan(&v)) {
        return None;
    }
    Some(elements(a).zip(elements(b)).all(|(x, y)| same(&x, &y)))
}

/// JSON values are equal, numbers by value.
pub(crate) fn json_equal(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(x), Json::Number(y)) => x.as_f64() == y.as_f64(),
        (Json::Array(x), Json::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(p, q)| json_equal(p, q))
        }
        _ => a == b,
    }
}

/// Elementwise arithmetic; a scalar stands for a list of the other's length.
pub(crate) fn arith(op: Arith, a: &Value, b: &Value, elem: Elem) -> Result<Value, Why<'static>> {
    let n = match (elem_of(a), elem_of(b)) {
        (Some(_), Some(_)) if length(a) != length(b) => return Err(Why::NoElement),
        (Some(_), _) => length(a),
        _ => length(b),
    };
    if elem == Elem::Int {
        let ints = |v: &Value, i: usize| match v {
            Value::Int(x) => Some(*x),
            Value::Ints(x) => x.get(i).copied(),
            _ => None,
        };
        let all: Result<Vec<i64>, Why<'static>> = (0..n)
            .map(|i| {
                let (x, y) = (ints(a, i).ok_or(Why::WrongType)?, ints(b, i).ok_or(Why::WrongType)?);
                match op {
                    Arith::Add => x.checked_add(y),
                    Arith::Sub => x.checked_sub(y),
                    Arith::Mul => x.checked_mul(y),
                    Arith::Div | Arith::Rem if y == 0 => return Err(Why::DivisionByZero),
                    Arith::Div => x.checked_div(y),
                    Arith::Rem => x.checked_rem(y),
                }
                .ok_or(Why::Overflow)
            })
            .collect();
        return all.map(|v| Value::Ints(v.into()));
    }
    let nums = |v: &Value, i: usize| at(v, i).as_ref().and_then(scalar).or_else(|| scalar(v));
    let all: Result<Vec<f64>, Why<'static>> = (0..n)
        .map(|i| {
            let (x, y) = (nums(a, i).ok_or(Why::WrongType)?, nums(b, i).ok_or(Why::WrongType)?);
            Ok(match op {
                Arith::Add => x + y,
                Arith::Sub => x - y,
                Arith::Mul => x * y,
                Arith::Div | Arith::Rem if y == 0.0 => return Err(Why::DivisionByZero),
                Arith::Div => x / y,
                Arith::Rem => x % y,
            })
        })
        .collect();
    all.map(|v| Value::Doubles(v.into()))
}

/// Elementwise comparison; an element that is NaN gives false.
pub(crate) fn mask(cmp: Cmp, a: &Value, b: &Value) -> Option<Value> {
    let n = match (elem_of(a), elem_of(b)) {
        (Some(_), Some(_)) if length(a) != length(b) => return None,
        (Some(_), _) => length(a),
        _ => length(b),
    };
    let pick = |v: &Value, i: usize| at(v, i).unwrap_or_else(|| v.clone());
    let all: Vec<bool> = (0..n)
        .map(|i| {
            let (x, y) = (pick(a, i), pick(b, i));
            match (scalar(&x), scalar(&y), &x, &y) {
                (Some(x), Some(y), _, _) => !x.is_nan() && !y.is_nan() && holds(cmp, &x, &y),
                (_, _, Value::Text(x), Value::Text(y)) => holds(cmp, x, y),
                (_, _, Value::Bool(x), Value::Bool(y)) => holds(cmp, x, y),
                _ => false,
            }
        })
        .collect();
    Some(Value::Bools(all.into()))
}

/// A number out of a list; `None` for an empty list (but a sum is 0) or one of other things.
pub(crate) fn reduce(how: Reduce, list: &Value) -> Option<f64> {
    let mut v = doubles(list)?;
    if v.is_empty() {
        return (how == Reduce::Sum).then_some(0.0);
    }
    if v.iter().any(|x| x.is_nan()) {
        return None;
    }
    let n = v.len() as f64;
    let sum: f64 = v.iter().sum();
    let min = v.iter().copied().fold(f64::INFINITY, f64::min);
    let max = v.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some(match how {
        Reduce::Sum => sum,
        Reduce::Mean => sum / n,
        Reduce::Min => min,
        Reduce::Max => max,
        Reduce::Ptp => max - min,
        Reduce::Std => (v.iter().map(|x| (x - sum / n).powi(2)).sum::<f64>() / n).sqrt(),
        Reduce::Rms => (v.iter().map(|x| x * x).sum::<f64>() / n).sqrt(),
        Reduce::Median => {
            v.sort_by(f64::total_cmp);
            let half = v.len() / 2;
            if v.len() % 2 == 1 { v[half] } else { (v[half - 1] + v[half]) / 2.0 }
        }
    })
}

/// Position of the first largest number, or of the first smallest.
pub(crate) fn arg(largest: bool, list: &Value) -> Option<i64> {
    let v = doubles(list)?;
    let mut best: Option<(usize, f64)> = None;
    for (i, x) in v.iter().enumerate() {
        if x.is_nan() {
            return None;
        }
        if best.is_none_or(|(_, b)| if largest { *x > b } else { *x < b }) {
            best = Some((i, *x));
        }
    }
    best.map(|(i, _)| i as i64)
}

/// Absolute values.
pub(crate) fn abs(list: &Value) -> Option<Value> {
    match list {
        Value::Doubles(v) => Some(Value::Doubles(v.iter().map(|x| x.abs()).collect())),
        Value::Ints(v) => v.iter().map(|x| x.checked_abs()).collect::<Option<_>>().map(Value::Ints),
        _ => None,
    }
}

/// In increasing order.
pub(crate) fn sort(list: &Value) -> Option<Value> {
    Some(match list {
        Value::Doubles(v) => {
            let mut v = v.to_vec();
            v.sort_by(f64::total_cmp);
            Value::Doubles(v.into())
        }
        Value::Ints(v) => {
            let mut v = v.to_vec();
            v.sort_unstable();
            Value::Ints(v.into())
        }
        Value::Texts(v) => {
            let mut v = v.to_vec();
            v.sort();
            Value::Texts(v.into())
        }
        _ => return None,
    })
}

/// Elements from the first index up to, not with, the second.
pub(crate) fn slice(list: &Value, from: i64, to: i64) -> Option<Value> {
    let (from, to) = (usize::try_from(from).ok()?, usize::try_from(to).ok()?);
    Some(match list {
        Value::Bools(v) => Value::Bools(v.get(from..to)?.into()),
        Value::Ints(v) => Value::Ints(v.get(from..to)?.into()),
        Value::Doubles(v) => Value::Doubles(v.get(from..to)?.into()),
        Value::Texts(v) => Value::Texts(v.get(from..to)?.into()),
        _ => return None,
    })
}

/// One after the other.
pub(crate) fn concat(a: &Value, b: &Value) -> Option<Value> {
    Some(match (a, b) {
        (Value::Bools(x), Value::Bools(y)) => Value::Bools([&x[..], &y[..]].concat().into()),
        (Value::Ints(x), Value::Ints(y)) => Value::Ints([&x[..], &y[..]].concat().into()),
        (Value::Texts(x), Value::Texts(y)) => Value::Texts([&x[..], &y[..]].concat().into()),
        _ => Value::Doubles([doubles(a)?, doubles(b)?].concat().into()),
    })
}

/// A scalar as text, as CEL's `string()` writes it.
pub(crate) fn text_of(value: &Value) -> String {
    match value {
        Value::Bool(v) => v.to_string(),
        Value::Int(v) => v.to_string(),
        Value::Double(v) => v.to_string(),
        Value::Text(v) => v.to_string(),
        other => to_json(other).to_string(),
    }
}

/// JSON of a value; a number that JSON cannot hold is null.
pub(crate) fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(v) => Json::from(*v),
        Value::Int(v) => Json::from(*v),
        Value::Double(v) => Json::from(*v),
        Value::Text(v) => Json::from(&**v),
        list => elements(list).map(|v| to_json(&v)).collect(),
    }
}

/// A list out of JSON.
pub(crate) fn from_json(elem: Elem, json: &Json) -> Option<Value> {
    let all: Option<Vec<Value>> = json
        .as_array()?
        .iter()
        .map(|x| match (elem, x) {
            (Elem::Bool, Json::Bool(v)) => Some(Value::Bool(*v)),
            (Elem::Int, Json::Number(n)) => n.as_i64().map(Value::Int),
            (Elem::Double, Json::Number(n)) => n.as_f64().map(Value::Double),
            (Elem::Text, Json::String(s)) => Some(Value::Text(s.as_str().into())),
            _ => None,
        })
        .collect();
    collect(elem, all?)
}

/// The value that JSON of unknown type stands for: scalars, and lists of one type.
pub(crate) fn value_of(json: &Json) -> Value {
    match json {
        Json::Null | Json::Object(_) => Value::Null,
        Json::Bool(v) => Value::Bool(*v),
        Json::Number(n) => {
            n.as_i64().map_or_else(|| Value::Double(n.as_f64().unwrap_or(f64::NAN)), Value::Int)
        }
        Json::String(s) => Value::Text(s.as_str().into()),
        Json::Array(_) => [Elem::Int, Elem::Double, Elem::Bool, Elem::Text]
            .into_iter()
            .find_map(|e| from_json(e, json))
            .unwrap_or_default(),
    }
}
