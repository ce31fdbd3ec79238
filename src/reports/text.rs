//! Text for the page: escaping, numbers, times.

use salobj::Tai;

/// Text as it may stand in HTML, in an element or in an attribute. Control characters other than line feed and tab become
/// U+FFFD.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            // Also those that turn the direction of text: they can make a name look like another.
            c if c.is_control()
                || ('\u{fffe}'..='\u{ffff}').contains(&c)
                || ('\u{202a}'..='\u{202e}').contains(&c)
                || ('\u{2066}'..='\u{2069}').contains(&c) =>
            {
                out.push('\u{fffd}');
            }
            c => out.push(c),
        }
    }
    out
}

/// The same in one line, for an attribute of XML, where a reader would make a blank of a line feed.
pub fn escape_line(text: &str) -> String {
    escape(text).replace('\n', "&#10;").replace('\t', " ")
}

/// A number for people: five significant digits, no needless zeros, a power of ten only where it is shorter.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() { "NaN".to_owned() } else { format!("{value}").replace('-', "\u{2212}") };
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let magnitude = value.abs().log10().floor() as i32;
    let text = if (-4..9).contains(&magnitude) {
        let decimals = (4 - magnitude).clamp(0, 9) as usize;
        trimmed(&format!("{value:.decimals$}"))
    } else {
        let (mantissa, exponent) = (value / 10f64.powi(magnitude), magnitude);
        format!("{}e{exponent}", trimmed(&format!("{mantissa:.4}")))
    };
    text.replace('-', "\u{2212}")
}

fn trimmed(text: &str) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text.to_owned()
    }
}

/// `2026-11-21 07:30:00.250 UTC`.
pub(super) fn utc(time: Tai) -> String {
    format!("{} UTC", time.utc_iso().replace('T', " "))
}

/// `0.25 s`, `12.3 s`, `4 min 10 s`, `2 h 05 min`.
pub(super) fn seconds(duration_s: f64) -> String {
    if duration_s < 100.0 {
        return format!("{} s", trimmed(&format!("{duration_s:.2}")));
    }
    let whole = duration_s.round() as u64;
    match whole {
        ..6000 => format!("{} min {:02} s", whole / 60, whole % 60),
        _ => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
    }
}
