//! Points as the EFD holds them, and the line protocol that carries them.

use std::borrow::Cow;
use std::fmt::Write as _;

use sal_idl::model::Topic;
use salobj::{Tai, Value};

/// Most bytes of a text field: InfluxDB 1 refuses 64 KiB and more.
pub const MAX_TEXT_BYTES: usize = 60_000;

/// The value of one field.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldValue {
    /// Float or double, finite.
    Double(f64),
    /// Any integer type.
    Int(i64),
    /// Boolean.
    Bool(bool),
    /// String, at most [`MAX_TEXT_BYTES`].
    Text(String),
}

/// One point without tags.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Point {
    /// E.g. `lsst.sal.Catcher.logevent_result`.
    pub measurement: String,
    /// Flattened fields in order.
    pub fields: Vec<(String, FieldValue)>,
    /// Nanoseconds since 1970 UTC, rounded to microseconds as Telegraf does.
    pub time_ns: i64,
}

/// The measurement of a SAL topic: `lsst.sal.<Component>.<topic>` (`airFlow`, `logevent_result`, `command_start`).
pub fn measurement(component: &str, sal_name: &str) -> String {
    format!("lsst.sal.{component}.{sal_name}")
}

/// UTC nanoseconds of a time, rounded to microseconds.
pub fn utc_ns(time: Tai) -> i64 {
    (time.utc_unix() * 1e6).round() as i64 * 1000
}

/// The time of UTC nanoseconds.
pub fn tai_of_ns(utc_ns: i64) -> Tai {
    Tai::from_utc_unix(utc_ns as f64 / 1e9)
}

impl Point {
    /// An empty point of a SAL topic; `efd_stamp` is its `private_efdStamp`, as a TAI time.
    pub fn sal(component: &str, sal_name: &str, efd_stamp: Tai) -> Point {
        Point {
            measurement: measurement(component, sal_name),
            fields: Vec::new(),
            time_ns: utc_ns(efd_stamp),
        }
    }

    /// The point that Telegraf makes of a record: all fields, private ones too, at `private_efdStamp` (UTC seconds).
    /// `values` are in the order of `topic.fields`. None if there is no such stamp.
    pub fn from_record(topic: &Topic, values: &[Value]) -> Option<Point> {
        let stamp =
            topic.fields.iter().position(|f| f.name == "private_efdStamp").and_then(|i| values.get(i));
        let Some(&Value::Double(utc_s)) = stamp else { return None };
        let mut point = Point {
            measurement: measurement(&topic.component, &topic.sal_name),
            fields: Vec::with_capacity(values.len()),
            time_ns: (utc_s * 1e6).round() as i64 * 1000,
        };
        for (field, value) in topic.fields.iter().zip(values) {
            // Only readers fill it; on the wire, and so in the EFD, it is 0.
            let received = field.name == "private_rcvStamp";
            point.push(&field.name, if received { &Value::Double(0.0) } else { value });
        }
        Some(point)
    }

    /// Adds a field; arrays become one field for each element, null and what is not finite is left out, long text is cut.
    pub fn push(&mut self, name: &str, value: &Value) -> &mut Point {
        let mut all = |mut values: Vec<Option<FieldValue>>| {
            for (i, value) in values.drain(..).enumerate() {
                self.fields.extend(value.map(|value| (format!("{name}{i}"), value)));
            }
        };
        let text = |text: &str| FieldValue::Text(cut_text(text, MAX_TEXT_BYTES).into_owned());
        let double = |d: &f64| d.is_finite().then_some(FieldValue::Double(*d));
        let one = match value {
            Value::Null => None,
            Value::Bool(b) => Some(FieldValue::Bool(*b)),
            Value::Int(i) => Some(FieldValue::Int(*i)),
            Value::Double(d) => double(d),
            Value::Text(t) => Some(text(t)),
            Value::Bools(v) => {
                return {
                    all(v.iter().map(|b| Some(FieldValue::Bool(*b))).collect());
                    self
                };
            }
            Value::Ints(v) => {
                return {
                    all(v.iter().map(|i| Some(FieldValue::Int(*i))).collect());
                    self
                };
            }
            Value::Doubles(v) => {
                return {
                    all(v.iter().map(double).collect());
                    self
                };
            }
            Value::Texts(v) => {
                return {
                    all(v.iter().map(|t| Some(text(t))).collect());
                    self
                };
            }
        };
        self.fields.extend(one.map(|value| (name.to_owned(), value)));
        self
    }

    /// The field of that name.
    pub fn get(&self, name: &str) -> Option<&FieldValue> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value)
    }

    /// One line of line protocol with its stamp in ns, without a line end; None if no field is left.
    pub fn line(&self) -> Option<String> {
        let mut line = escaped(&self.measurement, &[',', ' ']);
        let mut separator = ' ';
        for (name, value) in &self.fields {
            line.push(separator);
            line.push_str(&escaped(name, &[',', '=', ' ']));
            let written = match value {
                FieldValue::Double(d) if d.is_finite() => write!(line, "={d:?}"),
                FieldValue::Double(_) => {
                    // Points from elsewhere than `push`: the server refuses NaN, and the whole line with it.
                    let end = line.rfind(separator).expect("the separator was just written");
                    line.truncate(end);
                    continue;
                }
                FieldValue::Int(i) => write!(line, "={i}i"),
                FieldValue::Bool(b) => write!(line, "={b}"),
                FieldValue::Text(t) => {
                    write!(
                        line,
                        "=\"{}\"",
                        cut_text(t, MAX_TEXT_BYTES).replace('\\', "\\\\").replace('"', "\\\"")
                    )
                }
            };
            written.expect("writing to a String cannot fail");
            separator = ',';
        }
        (separator == ',').then(|| format!("{line} {}", self.time_ns))
    }
}

/// Names: `,`, `=` and blanks take a backslash; line ends cannot be carried and become blanks.
fn escaped(name: &str, special: &[char]) -> String {
    let mut out = String::with_capacity(name.len());
    for c in name.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if special.contains(&c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// The text if it has at most `max_bytes`, else its start with a mark that says how long it was; never more than
/// `max_bytes`, which must have room for the mark (40).
pub fn cut_text(text: &str, max_bytes: usize) -> Cow<'_, str> {
    if text.len() <= max_bytes {
        return Cow::Borrowed(text);
    }
    let mark = format!("... [cut, {} bytes in all]", text.len());
    let mut end = max_bytes.saturating_sub(mark.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{}{mark}", &text[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn point() -> Point {
        Point::sal("Catcher", "logevent_result", Tai::from_utc_unix(1_795_218_545.455_385))
    }

    #[test]
    fn a_point_is_one_line_as_telegraf_would_write_it() {
        let mut p = point();
        p.push("salIndex", &Value::Int(1))
            .push("value", &Value::Double(17.25))
            .push("ok", &Value::Bool(true))
            .push("ruleName", &Value::Text("Wind.Forecast".into()))
            .push("a", &Value::Doubles(Arc::from([1.0, f64::NAN, 3e-7])))
            .push("missing", &Value::Null)
            .push("nan", &Value::Double(f64::NAN));
        assert_eq!(
            p.line().unwrap(),
            "lsst.sal.Catcher.logevent_result salIndex=1i,value=17.25,ok=true,ruleName=\"Wind.Forecast\",\
             a0=1.0,a2=3e-7 1795218545455385000"
        );
    }

    #[test]
    fn hostile_text_and_names_are_escaped() {
        let mut p = point();
        p.push("a b,c=d", &Value::Text("quote \" back \\ line\nend\\".into()));
        assert_eq!(
            p.line().unwrap(),
            "lsst.sal.Catcher.logevent_result a\\ b\\,c\\=d=\"quote \\\" back \\\\ line\nend\\\\\" 1795218545455385000"
        );
        p.measurement = "a b\n,c".to_owned();
        assert!(p.line().unwrap().starts_with("a\\ b\\ \\,c "));
    }

    #[test]
    fn a_point_with_no_field_left_is_no_line() {
        let mut p = point();
        p.push("value", &Value::Double(f64::INFINITY));
        assert_eq!(p.line(), None);
        p.fields = vec![("a".into(), FieldValue::Double(f64::NAN)), ("b".into(), FieldValue::Int(2))];
        assert_eq!(p.line().unwrap(), "lsst.sal.Catcher.logevent_result b=2i 1795218545455385000");
        p.fields.reverse();
        assert_eq!(p.line().unwrap(), "lsst.sal.Catcher.logevent_result b=2i 1795218545455385000");
    }

    #[test]
    fn long_text_is_cut_with_a_mark_at_a_character() {
        let long = "é".repeat(40_000);
        let cut = cut_text(&long, MAX_TEXT_BYTES);
        assert!(cut.len() <= MAX_TEXT_BYTES && cut.len() > MAX_TEXT_BYTES - 4);
        assert!(cut.ends_with("é... [cut, 80000 bytes in all]"));
        assert_eq!(cut_text("short", MAX_TEXT_BYTES), "short");
    }

    #[test]
    fn stamps_round_to_microseconds_and_come_back() {
        let time = Tai::from_utc_unix(1_795_218_545.455_385_1);
        assert_eq!(utc_ns(time) % 1000, 0);
        assert!((tai_of_ns(utc_ns(time)).0 - time.0).abs() < 1e-6);
    }
}
