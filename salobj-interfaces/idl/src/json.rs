//! JSON text laid out as Python's `json.dumps` does, byte for byte: the revision code is a hash of it.

use serde_json::Value;

/// One line, `", "` between items and `": "` after keys: the form that is registered.
pub(crate) fn compact(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value, None);
    out
}

/// Four blanks of indentation, one member or element a line: the form that is hashed.
pub(crate) fn pretty(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value, Some(0));
    out
}

fn write(out: &mut String, value: &Value, depth: Option<usize>) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Number(n) => match n.as_f64() {
            Some(x) if n.is_f64() => out.push_str(&float(x)),
            _ => out.push_str(&n.to_string()),
        },
        Value::String(s) => string(out, s),
        Value::Array(items) => {
            sequence(out, ('[', ']'), items.len(), depth, |out, i, depth| write(out, &items[i], depth));
        }
        Value::Object(members) => {
            let members: Vec<_> = members.iter().collect();
            sequence(out, ('{', '}'), members.len(), depth, |out, i, depth| {
                string(out, members[i].0);
                out.push_str(": ");
                write(out, members[i].1, depth);
            });
        }
    }
}

fn sequence(
    out: &mut String,
    (open, close): (char, char),
    len: usize,
    depth: Option<usize>,
    item: impl Fn(&mut String, usize, Option<usize>),
) {
    out.push(open);
    let inner = depth.map(|d| d + 1);
    for i in 0..len {
        if i > 0 {
            out.push_str(if inner.is_some() { "," } else { ", " });
        }
        new_line(out, inner);
        item(out, i, inner);
    }
    if len > 0 {
        new_line(out, depth);
    }
    out.push(close);
}

fn new_line(out: &mut String, depth: Option<usize>) {
    if let Some(depth) = depth {
        out.push('\n');
        out.extend(std::iter::repeat_n("    ", depth));
    }
}

/// ASCII only: everything else as `\uXXXX`, above U+FFFF as a surrogate pair.
fn string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='\u{7f}' => out.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
}

/// A double as Python prints it: shortest digits, a point or an exponent always, exponent form below 1e-4 and from 1e16.
fn float(x: f64) -> String {
    let scientific = format!("{x:e}");
    let exponent = scientific.split_once('e').and_then(|(_, e)| e.parse::<i32>().ok()).unwrap_or(0);
    if x == 0.0 || (-4..16).contains(&exponent) {
        return format!("{x:?}");
    }
    let (digits, _) = scientific.split_once('e').unwrap_or((&scientific, ""));
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn layout_is_pythons() {
        let value = json!({"a": [1, 0.0, false], "b": {}, "c": [], "d": {"e": null}});
        assert_eq!(compact(&value), r#"{"a": [1, 0.0, false], "b": {}, "c": [], "d": {"e": null}}"#);
        let expected = "{\n    \"a\": [\n        1,\n        0.0,\n        false\n    ],\n    \"b\": {},\n    \"c\": [],\n    \"d\": {\n        \"e\": null\n    }\n}";
        assert_eq!(pretty(&value), expected);
    }

    #[test]
    fn escapes_are_ascii_and_lower_case() {
        let text = "\" \\ / \n \r \t \u{8} \u{c} \u{1} \u{1f} \u{7f} \u{80} é ≤ \u{1f52d}";
        let expected = r#""\" \\ / \n \r \t \b \f \u0001 \u001f "#.to_owned()
            + "\u{7f}"
            + r#" \u0080 \u00e9 \u2264 \ud83d\udd2d""#;
        assert_eq!(compact(&json!(text)), expected);
    }

    #[test]
    fn doubles_are_pythons() {
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.5, "1.5"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.25e22, "1.25e+22"),
            (0.0001, "0.0001"),
            (0.000_01, "1e-05"),
            (-2.5e-7, "-2.5e-07"),
            (1e100, "1e+100"),
            (123_456_789.0, "123456789.0"),
        ];
        for (x, text) in cases {
            assert_eq!(float(x), text);
        }
    }
}
