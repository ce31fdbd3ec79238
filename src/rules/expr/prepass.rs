//! The one lexical addition to CEL: a duration literal (`30s`, `1h30m`, `500ms`) becomes `duration('30s')` before the
//! parser sees the text. Places in the new text can be led back to the original one.

/// The text for the parser, and how its places belong to the original text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Prepared {
    pub(crate) text: String,
    /// (start, end) in the new text and (start, end) in the original, of each replaced literal; bytes.
    replaced: Vec<[usize; 4]>,
}

const UNITS: [(&str, f64); 6] =
    [("ms", 1e-3), ("us", 1e-6), ("h", 3600.0), ("m", 60.0), ("s", 1.0), ("d", 86_400.0)];

/// Replaces duration literals outside of strings.
pub(crate) fn prepare(text: &str) -> Prepared {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len() + 16);
    let mut replaced = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        match bytes[at] {
            b'"' | b'\'' => at = skip_string(bytes, at),
            b if is_name(b) || !b.is_ascii() => {
                while at < bytes.len() && (is_name(bytes[at]) || !bytes[at].is_ascii()) {
                    at += 1;
                }
                // A number may go on after a point: `1.5h`.
                if bytes[start].is_ascii_digit()
                    && at + 1 < bytes.len()
                    && bytes[at] == b'.'
                    && bytes[at + 1].is_ascii_digit()
                    && bytes[start..at].iter().all(u8::is_ascii_digit)
                {
                    at += 1;
                    while at < bytes.len() && is_name(bytes[at]) {
                        at += 1;
                    }
                }
                let word = &text[start..at];
                let after_dot = start > 0 && bytes[start - 1] == b'.';
                if bytes[start].is_ascii_digit() && !after_dot && parse_duration(word).is_some() {
                    let new_start = out.len();
                    out.push_str("duration('");
                    out.push_str(word);
                    out.push_str("')");
                    replaced.push([new_start, out.len(), start, at]);
                    continue;
                }
            }
            _ => at += 1,
        }
        out.push_str(&text[start..at]);
    }
    Prepared { text: out, replaced }
}

fn is_name(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}

fn skip_string(bytes: &[u8], start: usize) -> usize {
    let quote = bytes[start];
    let raw = start > 0 && matches!(bytes[start - 1], b'r' | b'R');
    let triple = bytes[start..].starts_with(&[quote; 3]);
    let mut at = start + if triple { 3 } else { 1 };
    while at < bytes.len() {
        if bytes[at] == b'\\' && !raw {
            at += 2;
        } else if triple && bytes[at..].starts_with(&[quote; 3]) {
            return at + 3;
        } else if !triple && bytes[at] == quote {
            return at + 1;
        } else {
            at += 1;
        }
    }
    bytes.len()
}

impl Prepared {
    /// The byte range of the original text that a byte range of the new text came from.
    pub(crate) fn original(&self, start: usize, end: usize) -> (usize, usize) {
        (self.back(start, false), self.back(end, true))
    }

    fn back(&self, at: usize, is_end: bool) -> usize {
        let mut shift = 0;
        for [new_start, new_end, old_start, old_end] in &self.replaced {
            if at > *new_start && at < *new_end {
                return if is_end { *old_end } else { *old_start };
            }
            if at <= *new_start {
                break;
            }
            shift = new_end - old_end;
        }
        at - shift
    }
}

/// Seconds of a duration as rule files write it: numbers with `d`, `h`, `m`, `s`, `ms`, `us`, largest unit first.
pub fn parse_duration(text: &str) -> Option<f64> {
    let mut rest = text;
    let mut total = 0.0;
    let mut last = f64::INFINITY;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (unit, factor) = UNITS.iter().find(|(u, _)| {
            rest.strip_prefix(u).is_some_and(|r| r.is_empty() || r.starts_with(|c: char| c.is_ascii_digit()))
        })?;
        if *factor >= last {
            return None;
        }
        last = *factor;
        total += number * factor;
        rest = &rest[unit.len()..];
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tokens_of_their_own_are_durations() {
        assert_eq!(prepare("hold(wind_5m > 3, 30s)").text, "hold(wind_5m > 3, duration('30s'))");
        assert_eq!(prepare("a == '30s' || b5s").text, "a == '30s' || b5s");
        assert_eq!(prepare("age(x)>1h30m&&y.z10s").text, "age(x)>duration('1h30m')&&y.z10s");
        assert_eq!(prepare("r'\\' + \"\\\"5s\" + 5s").text, "r'\\' + \"\\\"5s\" + duration('5s')");
        assert_eq!(prepare("1.5h").text, "duration('1.5h')");
        assert_eq!(prepare("0x5d + 5u + 1e3").text, "0x5d + 5u + 1e3");
    }

    #[test]
    fn places_lead_back() {
        let text = "hold(a > 1, 30s) && b";
        let p = prepare(text);
        let b = p.text.find(" b").unwrap() + 1;
        assert_eq!(p.original(b, b + 1), (text.len() - 1, text.len()));
        let d = p.text.find("'30s'").unwrap();
        assert_eq!(p.original(d, d + 5), (12, 15));
        let all = p.text.find("duration").unwrap();
        assert_eq!(p.original(all, all + "duration('30s')".len()), (12, 15));
    }

    #[test]
    fn durations_have_their_seconds() {
        for (text, seconds) in
            [("30s", 30.0), ("1h30m", 5400.0), ("500ms", 0.5), ("2d", 172_800.0), ("0.5s", 0.5)]
        {
            assert_eq!(parse_duration(text), Some(seconds), "{text}");
        }
        for text in ["", "s", "30", "30m1h", "1h1h", "5 m", "-5s", "1..5s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
