//! Calls of functions in a template, and what is wrong with them as far as it can be said before it is filled in.
//!
//! The library looks a function up only when it fills in, and shows nothing of a template's structure; so calls are found in
//! the text, as filters are.

use minijinja::Value as Jinja;

use super::constant;
use super::functions::{BUILT_IN, FUNCTIONS, Function, Takes, named, values};
use crate::rules::diagnose::{did_you_mean, suggest};
use crate::rules::images::fits;

/// A call: where its name stands, and its arguments.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::rules) struct Call<'t> {
    pub(in crate::rules) name: &'t str,
    /// Start of the name.
    at: usize,
    /// End of the whole call.
    end: usize,
    args: Vec<Arg<'t>>,
}

/// An argument: its name, if it has one, and where its value stands.
#[derive(Debug, Clone, PartialEq)]
struct Arg<'t> {
    key: Option<(usize, &'t str)>,
    at: usize,
    text: &'t str,
}

/// What is known of a value before it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rules) enum Known {
    Text,
    Number,
    /// Neither, in words.
    Other(&'static str),
}

/// A mistake: byte range in the template, what it is, and advice.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::rules) struct Mistake {
    pub(in crate::rules) span: (usize, usize),
    pub(in crate::rules) message: String,
    pub(in crate::rules) help: Option<String>,
}

/// Words before a bracket that are no functions.
const WORDS: &[&str] =
    &["if", "elif", "else", "and", "or", "not", "in", "is", "for", "set", "recursive", "do", "filter"];

/// All calls of functions by name, outer ones first.
pub(in crate::rules) fn calls(text: &str) -> Vec<Call<'_>> {
    let bytes = text.as_bytes();
    let (mut found, mut inside, mut at) = (Vec::new(), false, 0);
    // The last word before this place, and the sign right before it.
    let (mut word, mut sign) = ("", b' ');
    while at < bytes.len() {
        let c = bytes[at];
        match c {
            b'{' if text[at..].starts_with("{#") => {
                at += text[at..].find("#}").unwrap_or(text.len() - at);
            }
            b'{' if !inside && matches!(bytes.get(at + 1), Some(b'{' | b'%')) => {
                (inside, word, sign) = (true, "", b' ');
                at += 1;
            }
            b'}' | b'%' if inside && bytes.get(at + 1) == Some(&b'}') && ends(text, at) => {
                inside = false;
                at += 1;
            }
            b'\'' | b'"' if inside => {
                at = after_text(bytes, at) - 1;
                (word, sign) = ("", c);
            }
            _ if inside && (c.is_ascii_alphabetic() || c == b'_') => {
                let len = text[at..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
                let end = len.map_or(text.len(), |len| at + len);
                let name = &text[at..end];
                let open = end + (text[end..].len() - text[end..].trim_start().len());
                let test = word == "is" || matches!(word, "macro" | "call" | "filter");
                if bytes.get(open) == Some(&b'(')
                    && !matches!(sign, b'.' | b'|')
                    && !test
                    && !WORDS.contains(&name)
                {
                    let (args, close) = arguments(text, open + 1);
                    found.push(Call { name, at, end: close, args });
                }
                // `is not divisibleby(3)` is a test as well.
                if !(word == "is" && name == "not") {
                    word = name;
                }
                sign = b'a';
                at = end - 1;
            }
            _ if !c.is_ascii_whitespace() => (word, sign) = ("", c),
            _ => {}
        }
        at += 1;
    }
    found
}

/// The two signs at `at` end a tag, and not two mappings.
fn ends(text: &str, at: usize) -> bool {
    let start = text[..at].rfind("{{").max(text[..at].rfind("{%")).map_or(0, |start| start + 2);
    let within = &text[start..at];
    within.matches('{').count() <= within.matches('}').count()
}

/// The place behind a text in quotes.
fn after_text(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() && bytes[at] != bytes[start] {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// The arguments from behind the bracket on, and the place behind the closing one.
fn arguments(text: &str, start: usize) -> (Vec<Arg<'_>>, usize) {
    let bytes = text.as_bytes();
    let (mut args, mut depth, mut begin, mut at) = (Vec::new(), 0_usize, start, start);
    while at < bytes.len() {
        match bytes[at] {
            b'\'' | b'"' => {
                at = after_text(bytes, at);
                continue;
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' if depth == 0 => break,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                args.extend(argument(text, begin, at));
                begin = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    let end = at.min(text.len());
    args.extend(argument(text, begin.min(end), end));
    (args, (end + 1).min(text.len()))
}

fn argument(text: &str, begin: usize, end: usize) -> Option<Arg<'_>> {
    let whole = &text[begin..end];
    if whole.trim().is_empty() {
        return None;
    }
    let place = |part: &str, from: usize| from + (part.len() - part.trim_start().len());
    if let Some((key, value)) = whole.split_once('=')
        && key.trim().chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !value.starts_with('=')
    {
        let at = begin + key.len() + 1;
        return Some(Arg {
            key: Some((place(key, begin), key.trim())),
            at: place(value, at),
            text: value.trim(),
        });
    }
    Some(Arg { key: None, at: place(whole, begin), text: whole.trim() })
}

/// What is wrong with the calls of a template; `known` says what a dotted name will be.
pub(in crate::rules) fn mistakes(text: &str, known: &dyn Fn(&str) -> Option<Known>) -> Vec<Mistake> {
    let mut found = Vec::new();
    for call in calls(text) {
        let span = (call.at, call.name.len());
        match named(call.name) {
            Some(function) => of_call(text, &call, function, known, &mut found),
            None if BUILT_IN.contains(&call.name) || text.contains(&format!("macro {}", call.name)) => {}
            None => {
                let all = || BUILT_IN.iter().copied().chain(FUNCTIONS.iter().map(|f| f.name));
                let help = suggest(call.name, all().filter(|name| *name != "caller"), "functions");
                found.push(Mistake {
                    span,
                    message: format!("there is no function \"{}\"", call.name),
                    help,
                });
            }
        }
    }
    found
}

fn of_call(
    text: &str,
    call: &Call<'_>,
    function: &'static Function,
    known: &dyn Fn(&str) -> Option<Known>,
    found: &mut Vec<Mistake>,
) {
    let (before, name) = (found.len(), function.name);
    let mut wrong = |span, message: String, help: Option<String>| found.push(Mistake { span, message, help });
    let form = || Some(format!("write {}", function.form));
    let by_place = call.args.iter().filter(|arg| arg.key.is_none());
    match by_place.clone().count() {
        n if n < function.least => {
            wrong((call.at, name.len()), format!("{name} needs {}", function.args[n].0), form());
        }
        n if n > function.args.len() => {
            let most = function.args.len();
            let text = format!("{name} takes {most} argument{}, not {n}", if most == 1 { "" } else { "s" });
            wrong((call.at, name.len()), text, form());
        }
        _ => {}
    }
    for (arg, (what, takes)) in by_place.zip(function.args) {
        let other = match (takes, kind(arg.text, known)) {
            (Takes::Text, Some(Known::Number)) => "a number",
            (Takes::Number, Some(Known::Text)) => "a text",
            (_, Some(Known::Other(other))) => other,
            _ => continue,
        };
        wrong((arg.at, arg.text.len()), format!("{what} of {name} cannot be {other}"), form());
    }
    for arg in &call.args {
        let Some((at, key)) = arg.key else { continue };
        if !function.keys.contains(&key) {
            let help = match function.keys {
                [] => form(),
                keys => did_you_mean(key, keys.iter().copied())
                    .map(|name| format!("did you mean \"{name}\"?"))
                    .or_else(|| Some(format!("its arguments: {}", keys.join(", ")))),
            };
            wrong((at, key.len()), format!("{name} has no argument \"{key}\""), help);
            continue;
        }
        let told = match (constant(arg.text), kind(arg.text, known)) {
            (Some(Ok(value)), _) => key_fits(key, &value),
            (None, Some(Known::Other(other))) => Err(format!("{key} cannot be {other}")),
            _ => Ok(()),
        };
        if let Err(message) = told {
            wrong((arg.at, arg.text.len()), format!("{name}: {message}"), None);
        }
    }
    if found.len() == before
        && let Some(Err(message)) = constant(&text[call.at..call.end])
    {
        found.push(Mistake { span: (call.at, call.end - call.at), message, help: form() });
    }
}

fn key_fits(key: &str, given: &Jinja) -> Result<(), String> {
    values(key, given)?.all.iter().try_for_each(|value| fits(key, value))
}

fn kind(text: &str, known: &dyn Fn(&str) -> Option<Known>) -> Option<Known> {
    if let Some(Ok(value)) = constant(text) {
        return match value.kind() {
            minijinja::value::ValueKind::String => Some(Known::Text),
            minijinja::value::ValueKind::Number => Some(Known::Number),
            _ => Some(Known::Other("a list, a mapping, or true or false")),
        };
    }
    known(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<String> {
        let known = |name: &str| match name {
            "image.imageName" => Some(Known::Text),
            "image.imageNumber" => Some(Known::Number),
            "image.list" => Some(Known::Other("a list")),
            _ => None,
        };
        let place = |m: Mistake| format!("{} | {}", &text[m.span.0..m.span.0 + m.span.1], m.message);
        mistakes(text, &known).into_iter().map(place).collect()
    }

    #[test]
    fn calls_are_found_where_they_are() {
        let names = |text: &'static str| calls(text).into_iter().map(|c| c.name).collect::<Vec<_>>();
        assert_eq!(
            names("a(1) {{ b(1) }} c(2) {% if d(x) and not e (y) %}{{ f(g(1), [h(2)]) }}"),
            ["b", "d", "e", "f", "g", "h"]
        );
        assert_eq!(names("{{ 'a(1)' ~ b(\"c(\\\"2)\") }}{# d(3) #}{{ x.e(1) | f(2) }}"), ["b"]);
        assert_eq!(
            names("{{ x is divisibleby(3) }}{{ x is not divisibleby(3) }}{{ (x) }}"),
            Vec::<&str>::new()
        );
        assert_eq!(names("{{ {'a': {'b': c(1)}}.a }} d(2)"), ["c"]);
        assert_eq!(names("{% macro m(x) %}{{ x }}{% endmacro %}{{ m(1) }}"), ["m"]);
        let call = &calls("{{ data_id( a.b , detector = [1, 2], band='x,y=z') }}")[0];
        let args: Vec<_> = call.args.iter().map(|a| (a.key.map(|k| k.1), a.text)).collect();
        assert_eq!(args, [(None, "a.b"), (Some("detector"), "[1, 2]"), (Some("band"), "'x,y=z'")]);
    }

    #[test]
    fn good_calls_are_left_alone() {
        for good in [
            "{{ data_id(image.imageName, detector=item, band='r') }}",
            "{{ data_id(instrument='LSSTCam', day_obs=day_obs(trigger.at), seq_num=[1, 2]) }}",
            "{{ detectors('LSSTCam', 'R22') | length }} {{ range(3) | list }}",
            "{{ detector_id(stored.raft ~ '_' ~ stored.sensor) }}",
            "{{ image_name('MTCamera', exposure_id('MC_O_20261120_000123')) }}",
            "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(1) }}",
        ] {
            assert_eq!(told(good), Vec::<String>::new(), "{good}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_at_its_place() {
        for (text, expected) in [
            ("{{ data_idd(image.imageName) }}", "data_idd | there is no function \"data_idd\""),
            ("{{ seq_num() }}", "seq_num | seq_num needs the image"),
            (
                "{{ seq_num(image.imageNumber) }}",
                "image.imageNumber | the image of seq_num cannot be a number",
            ),
            ("{{ seq_num(image.list) }}", "image.list | the image of seq_num cannot be a list"),
            ("{{ seq_num(image.imageName, 2) }}", "seq_num | seq_num takes 1 argument, not 2"),
            ("{{ data_id(image.imageName, detektor=3) }}", "detektor | data_id has no argument \"detektor\""),
            ("{{ data_id(image.imageName, detector=205) }}", "205 | data_id: detector: 205 is not possible"),
            (
                "{{ data_id(x, band=\"r' OR\") }}",
                "\"r' OR\" | data_id: band: \"r' OR\" contains '\\'', which a data query cannot have",
            ),
            (
                "{{ detectors('LSSTCam', 'R99') }}",
                "detectors('LSSTCam', 'R99') | detectors: this camera has no detectors",
            ),
            ("{{ instrument('Guider') }}", "instrument('Guider') | instrument: \"Guider\" is no instrument"),
        ] {
            let found = told(text);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{text}: {found:?}");
        }
    }
}
