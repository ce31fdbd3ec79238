//! The notation of test series: `8x90 25x3 8x20 @20s`.
//!
//! Words are separated by blanks: a value (`8`, `-1.5`, `true`, `nan`, `_` for no message, `'text'`), a value so many
//! times (`8x90`), so many values in steps from there (`8+0.1x90`, `17-0.5x24`), and `@20s`, the period, once. The first
//! value comes at 0 s. A list has messages: `{at: 10s, field: value, ...}`, each at its own time; with `every: 1s` and
//! `times: 20` one entry is twenty messages.

use serde_json::{Map, Value as Json};

use super::expr::prepass::parse_duration;
use super::yaml::{Node, Span, Yaml};

/// A test's series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Series {
    /// Values of one field, with their times in seconds.
    Values(Vec<(f64, Point)>),
    /// Messages with some fields.
    Messages(Vec<(f64, Map<String, Json>)>),
}

/// A value of a series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Point {
    /// A number, also NaN.
    Number(f64),
    /// True or false.
    Truth(bool),
    /// Text.
    Text(String),
    /// No value at this time.
    Missing,
}

/// Most values of one series: a test is no archive.
const MOST: usize = 200_000;

/// Reads a series; the error has its place.
pub(crate) fn parse(node: &Node, source: &str) -> Result<Series, (Span, String)> {
    match &node.value {
        Yaml::List(all) => {
            let messages: Vec<_> = all.iter().map(messages).collect::<Result<_, _>>()?;
            let count: usize = messages.iter().map(Vec::len).sum();
            if count > MOST {
                return Err((node.span, format!("a series has at most {MOST} messages")));
            }
            Ok(Series::Messages(messages.into_iter().flatten().collect()))
        }
        _ => {
            let text = node
                .scalar_text(source)
                .ok_or_else(|| (node.span, "a series is text or a list of messages".to_owned()))?;
            values(&text).map(Series::Values).map_err(|m| (node.span, m))
        }
    }
}

/// Messages with their times.
type Messages = Vec<(f64, Map<String, Json>)>;

fn messages(node: &Node) -> Result<Messages, (Span, String)> {
    let wrong = |text: &str| Err((node.span, text.to_owned()));
    let Json::Object(mut fields) = node.json() else {
        return wrong("a message is a mapping: {at: 10s, field: value}");
    };
    let seconds = |value: Option<Json>| value.as_ref().and_then(Json::as_str).and_then(parse_duration);
    let Some(at) = seconds(fields.shift_remove("at")) else {
        return wrong("a message needs `at`, its time: {at: 10s, field: value}");
    };
    match (fields.shift_remove("every"), fields.shift_remove("times")) {
        (None, None) => Ok(vec![(at, fields)]),
        (every, times) => match (seconds(every), times.as_ref().and_then(Json::as_u64)) {
            (Some(every), Some(times)) if every > 0.0 && (1..=MOST as u64).contains(&times) => {
                Ok((0..times).map(|i| (at + i as f64 * every, fields.clone())).collect())
            }
            _ => wrong("`every` and `times` go together: {at: 10s, every: 1s, times: 20, field: value}"),
        },
    }
}

/// The elements of an array, written in the notation of values without a period: `45x50 45.001x50`.
pub(crate) fn elements(text: &str) -> Result<Vec<Point>, String> {
    let mut points = Vec::new();
    for word in words(text)? {
        push(&word, &mut points)?;
    }
    Ok(points)
}

fn values(text: &str) -> Result<Vec<(f64, Point)>, String> {
    let mut points = Vec::new();
    let mut period = None;
    for word in words(text)? {
        if let Some(p) = word.strip_prefix('@') {
            match parse_duration(p) {
                Some(p) if p > 0.0 && period.is_none() => period = Some(p),
                _ => {
                    return Err(format!(
                        "\"{word}\" is not a period, or a second one: write e.g. @20s, once"
                    ));
                }
            }
        } else {
            push(&word, &mut points)?;
        }
        if points.len() > MOST {
            return Err(format!("a series has at most {MOST} values"));
        }
    }
    let Some(period) = period else {
        return Err("the series has no period: end it with e.g. @20s".to_owned());
    };
    if points.is_empty() {
        return Err("the series has no values".to_owned());
    }
    Ok(points.into_iter().enumerate().map(|(i, p)| (i as f64 * period, p)).collect())
}

/// Splits at blanks outside of quotes.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    let mut word = String::new();
    let mut quoted = false;
    for c in text.chars() {
        if c == '\'' {
            quoted = !quoted;
        }
        if c.is_whitespace() && !quoted {
            if !word.is_empty() {
                all.push(std::mem::take(&mut word));
            }
        } else {
            word.push(c);
        }
    }
    if quoted {
        return Err("a quote is not closed".to_owned());
    }
    if !word.is_empty() {
        all.push(word);
    }
    Ok(all)
}

fn push(word: &str, points: &mut Vec<Point>) -> Result<(), String> {
    let (value, times) = match word.rsplit_once('x') {
        Some((value, n)) if n.bytes().all(|b| b.is_ascii_digit()) && !n.is_empty() && !value.is_empty() => {
            (value, n.parse::<usize>().map_err(|_| format!("\"{word}\": too many"))?)
        }
        _ => (word, 1),
    };
    if times > MOST {
        return Err(format!("a series has at most {MOST} values"));
    }
    let fixed = match value {
        "_" => Some(Point::Missing),
        "nan" => Some(Point::Number(f64::NAN)),
        "true" => Some(Point::Truth(true)),
        "false" => Some(Point::Truth(false)),
        _ => match value.strip_prefix('\'').and_then(|v| v.strip_suffix('\'')) {
            Some(text) => Some(Point::Text(text.to_owned())),
            None => value.parse::<f64>().ok().map(Point::Number),
        },
    };
    if let Some(point) = fixed {
        points.extend(std::iter::repeat_n(point, times));
        return Ok(());
    }
    // A start and a step: the sign that parts them is not the first letter, nor that of an exponent.
    let sign = value
        .char_indices()
        .skip(1)
        .find(|(i, c)| matches!(c, '+' | '-') && !value[..*i].ends_with(['e', 'E']))
        .map(|(i, _)| i);
    let parsed = sign.and_then(|i| Some((value[..i].parse::<f64>().ok()?, value[i..].parse::<f64>().ok()?)));
    let Some((start, step)) = parsed else {
        return Err(format!("\"{word}\" is not a value: write 8, 8x90, 8+0.1x90, _, nan, true or 'text'"));
    };
    // Rounded, so that 8 + 0.1 * 3 is the 8.3 that was meant.
    let tidy = |v: f64| format!("{v:.9}").parse().unwrap_or(v);
    points.extend((0..times).map(|i| Point::Number(tidy(start + step * i as f64))));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(text: &str) -> Vec<(f64, f64)> {
        values(text)
            .unwrap()
            .into_iter()
            .filter(|(_, p)| *p != Point::Missing)
            .map(|(t, p)| (t, if let Point::Number(v) = p { v } else { f64::NAN }))
            .collect()
    }

    #[test]
    fn the_notation() {
        assert_eq!(numbers("8x2 25 @20s"), [(0.0, 8.0), (20.0, 8.0), (40.0, 25.0)]);
        assert_eq!(numbers("8+0.1x4 @1s").last(), Some(&(3.0, 8.3)));
        assert_eq!(numbers("17-0.5x3 @1m"), [(0.0, 17.0), (60.0, 16.5), (120.0, 16.0)]);
        assert_eq!(numbers("-1e-3 _x2 -2+1x2 @1s"), [(0.0, -1e-3), (3.0, -2.0), (4.0, -1.0)]);
        assert_eq!(values("'a b'x2 true @1s").unwrap()[1], (1.0, Point::Text("a b".into())));
        assert!(numbers("nan @1s")[0].1.is_nan());
        for wrong in ["8x90", "@20s", "8 @20", "eight @1s", "8 @1s @2s", "'a @1s", "8x999999999 @1s"] {
            assert!(values(wrong).is_err(), "{wrong}");
        }
    }
}
