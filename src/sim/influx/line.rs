//! Reads line protocol, as much of it as the server needs to check what it is sent.

use crate::outputs::efd::{FieldValue, Point};

/// All lines of a body: points, and the server's words on the lines that are none.
pub(super) fn parse(body: &str) -> (Vec<Point>, Vec<String>) {
    let (mut points, mut errors) = (Vec::new(), Vec::new());
    for line in lines(body) {
        match (Reader { rest: line }).point() {
            Ok(point) => points.push(point),
            Err(reason) => errors.push(format!("unable to parse '{line}': {reason}")),
        }
    }
    (points, errors)
}

/// Lines end at a line feed outside of a string.
fn lines(body: &str) -> Vec<&str> {
    let (mut lines, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in body.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '\n' if !quoted => {
                lines.push(&body[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    lines.push(&body[start..]);
    lines.retain(|line| !line.trim().is_empty());
    lines
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn point(mut self) -> Result<Point, &'static str> {
        let measurement = self.name(&[',', ' ']);
        if measurement.is_empty() {
            return Err("missing measurement");
        }
        if self.rest.starts_with(',') {
            return Err("this simulator takes no tags");
        }
        let mut fields = Vec::new();
        loop {
            self.rest = self.rest.get(1..).ok_or("missing fields")?;
            let name = self.name(&['=']);
            self.rest = self.rest.strip_prefix('=').ok_or("missing field value")?;
            fields.push((name, self.value()?));
            if !self.rest.starts_with(',') {
                break;
            }
        }
        let stamp = self.rest.strip_prefix(' ').ok_or("this simulator wants a stamp")?;
        let time_ns = stamp.trim_end().parse().map_err(|_| "bad timestamp")?;
        Ok(Point { measurement, fields, time_ns })
    }

    /// Up to one of `ends`, without its backslashes.
    fn name(&mut self, ends: &[char]) -> String {
        let mut name = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => match chars.next() {
                    Some((_, next)) if [',', ' ', '='].contains(&next) => name.push(next),
                    Some((_, next)) => name.extend(['\\', next]),
                    None => name.push('\\'),
                },
                _ if ends.contains(&c) => {
                    self.rest = &self.rest[at..];
                    return name;
                }
                _ => name.push(c),
            }
        }
        self.rest = "";
        name
    }

    fn value(&mut self) -> Result<FieldValue, &'static str> {
        if let Some(text) = self.rest.strip_prefix('"') {
            return self.text(text);
        }
        let end = self.rest.find([',', ' ']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        match word {
            "true" | "t" | "T" | "True" | "TRUE" => Ok(FieldValue::Bool(true)),
            "false" | "f" | "F" | "False" | "FALSE" => Ok(FieldValue::Bool(false)),
            _ => match word.strip_suffix('i') {
                Some(whole) => whole.parse().map(FieldValue::Int).map_err(|_| "invalid number"),
                // Rust would take `NaN` and `inf`, InfluxDB does not.
                None if word.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) => {
                    let number = word.parse::<f64>().map_err(|_| "invalid number")?;
                    if number.is_finite() { Ok(FieldValue::Double(number)) } else { Err("invalid number") }
                }
                None => Err("invalid number"),
            },
        }
    }

    fn text(&mut self, start: &str) -> Result<FieldValue, &'static str> {
        let mut text = String::new();
        let mut chars = start.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = self.rest.get(at + 2..).unwrap_or_default();
                    // InfluxDB 1 refuses the point.
                    return if text.len() < 65_536 {
                        Ok(FieldValue::Text(text))
                    } else {
                        Err("string too long")
                    };
                }
                '\\' => match chars.next() {
                    Some((_, next @ ('"' | '\\'))) => text.push(next),
                    Some((_, next)) => text.extend(['\\', next]),
                    None => {}
                },
                _ => text.push(c),
            }
        }
        Err("unbalanced quotes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = FieldValue> {
        prop_oneof![
            any::<f64>().prop_filter("finite", |d| d.is_finite()).prop_map(FieldValue::Double),
            any::<i64>().prop_map(FieldValue::Int),
            any::<bool>().prop_map(FieldValue::Bool),
            "[ -~\n\\\\\"é]{0,40}".prop_map(FieldValue::Text),
        ]
    }

    proptest! {
        #[test]
        fn what_we_write_is_what_is_read(
            points in proptest::collection::vec(
                ("[a-zA-Z.,= ]{1,20}", proptest::collection::vec(("[a-z,= 0-9]{1,12}", value()), 1..5), any::<i64>()),
                1..5,
            )
        ) {
            let points: Vec<Point> = (points.into_iter())
                .map(|(measurement, fields, time_ns)| Point { measurement, fields, time_ns })
                .collect();
            let body: Vec<String> = points.iter().map(|p| p.line().unwrap()).collect();
            let (read, errors) = parse(&body.join("\n"));
            prop_assert_eq!(errors, Vec::<String>::new());
            prop_assert_eq!(read, points);
        }
    }

    #[test]
    fn bad_lines_are_told_and_the_others_read() {
        let (points, errors) = parse("a b=1 1\na b=NaN 2\na b=\"x 3\n\n ,b=1 4");
        assert_eq!(points.len(), 1);
        assert_eq!(errors.len(), 2, "{errors:?}");
        assert_eq!(errors[0], "unable to parse 'a b=NaN 2': invalid number");
        assert!(errors[1].ends_with("unbalanced quotes"), "{errors:?}");
        for bad in ["a", "a b", "a b=", "a b=1", "a b=1 x", "a,t=1 b=1 1", " b=1 1", "a b=1i2 1"] {
            assert_eq!(parse(bad).1.len(), 1, "{bad}");
        }
    }
}
