//! From an answer of the EFD to what expressions see of it.

use std::collections::BTreeMap;

use salobj::Value;

use super::expr::lists;
use super::expr::tree::Reduce;
use super::source::REDUCERS;

/// The columns of an answer as lists, and what they can be reduced to: `speed`, `time`, `mean(speed)`. `times` are TAI
/// seconds, one for each row; a cell that is null is left out of its column. A column is one of texts, or of numbers.
pub fn table_message(times: &[f64], columns: Vec<(String, bool, Vec<Value>)>) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for (name, text, cells) in columns {
        let list = list_of(&cells, text);
        if let Value::Doubles(numbers) = &list {
            for reducer in REDUCERS {
                let value = reduced(reducer, &list, numbers);
                all.insert(format!("{reducer}({name})"), value.map_or(Value::Null, Value::Double));
            }
        }
        all.insert(name, list);
    }
    all.insert("time".to_owned(), Value::Doubles(times.into()));
    all
}

fn list_of(cells: &[Value], text: bool) -> Value {
    if text {
        let text = |c: &Value| if let Value::Text(t) = c { Some(t.clone()) } else { None };
        return Value::Texts(cells.iter().filter_map(text).collect());
    }
    let number = |c: &Value| match c {
        Value::Double(v) => Some(*v),
        Value::Int(v) => Some(*v as f64),
        Value::Bool(v) => Some(f64::from(u8::from(*v))),
        _ => None,
    };
    Value::Doubles(cells.iter().filter_map(number).collect())
}

/// `None` where there is nothing to be reduced: unknown.
fn reduced(reducer: &str, list: &Value, numbers: &[f64]) -> Option<f64> {
    let how = match reducer {
        "count" => return Some(numbers.len() as f64),
        "first" => return numbers.first().copied(),
        "last" => return numbers.last().copied(),
        _ if numbers.is_empty() => return None,
        "mean" => Reduce::Mean,
        "median" => Reduce::Median,
        "min" => Reduce::Min,
        "max" => Reduce::Max,
        "ptp" => Reduce::Ptp,
        "std" => Reduce::Std,
        "rms" => Reduce::Rms,
        "sum" => Reduce::Sum,
        _ => return None,
    };
    lists::reduce(how, list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_lists_and_can_be_reduced() {
        let cells = vec![Value::Double(1.0), Value::Null, Value::Int(4), Value::Bool(true)];
        let names = vec![Value::Text("a".into()), Value::Null];
        let all =
            table_message(&[10.0, 20.0], vec![("x".to_owned(), false, cells), ("s".to_owned(), true, names)]);
        assert_eq!(all["x"], Value::Doubles([1.0, 4.0, 1.0].into()));
        assert_eq!(all["s"], Value::Texts(["a".into()].into()));
        assert_eq!(all["time"], Value::Doubles([10.0, 20.0].into()));
        for (reducer, expected) in [
            ("mean", 2.0),
            ("median", 1.0),
            ("max", 4.0),
            ("ptp", 3.0),
            ("sum", 6.0),
            ("count", 3.0),
            ("last", 1.0),
        ] {
            assert_eq!(all[&format!("{reducer}(x)")], Value::Double(expected), "{reducer}");
        }
        assert!(REDUCERS.iter().all(|r| all.contains_key(&format!("{r}(x)"))));
    }

    #[test]
    fn nothing_is_unknown_but_counted() {
        let all = table_message(&[], vec![("x".to_owned(), false, Vec::new())]);
        assert_eq!((&all["mean(x)"], &all["count(x)"]), (&Value::Null, &Value::Double(0.0)));
    }
}
