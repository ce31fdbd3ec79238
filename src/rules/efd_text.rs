//! Queries of the EFD as a rule writes them, in Flux or InfluxQL: which words stand for times, and that they only read; and
//! what a Flux task may do beyond that.
//!
//! `{{ from }}` and `{{ to }}` stand for the ends of the range, in UTC as `2026-11-21T03:00:00.000Z`.

use std::collections::BTreeSet;

use salobj::Tai;

/// What may stand between `{{` and `}}`.
pub(crate) const TIMES: [&str; 2] = ["from", "to"];

/// Packages of Flux that only compute. What writes, and what talks to others, is in none of them.
const PACKAGES: &[&str] = &[
    "array",
    "date",
    "dict",
    "experimental/aggregate",
    "experimental/array",
    "experimental/query",
    "experimental/record",
    "influxdata/influxdb/schema",
    "interpolate",
    "join",
    "math",
    "regexp",
    "strings",
    "timezone",
    "types",
];

/// Functions of Flux that write and need no package.
const WRITES: [&str; 2] = ["to", "wideTo"];

/// Each `{{ name }}`: its place and the name.
fn places(text: &str) -> impl Iterator<Item = (std::ops::Range<usize>, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let from = at + text[at..].find("{{")?;
        let to = from + text[from..].find("}}")? + 2;
        at = to;
        Some((from..to, text[from + 2..to - 2].trim()))
    })
}

/// The names that the text uses, those among them that are unknown.
pub(crate) fn names(text: &str) -> impl Iterator<Item = &str> {
    places(text).map(|(_, name)| name)
}

/// True if the text says up to when it looks.
pub(crate) fn says_when(text: &str) -> bool {
    names(text).any(|name| name == "to")
}

/// The text with the times filled in.
pub(crate) fn filled(text: &str, from: Tai, to: Tai) -> String {
    let mut all = String::with_capacity(text.len() + 48);
    let mut at = 0;
    for (place, name) in places(text) {
        let time = if name == "from" { from } else { to };
        all.push_str(&text[at..place.start]);
        all.push_str(&format!("{}Z", time.utc_iso()));
        at = place.end;
    }
    all.push_str(&text[at..]);
    all
}

/// A word of a query outside of strings and comments, what is written in quotes, or any other character.
#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Quoted(String),
    Other(char),
}

/// What the two languages tell apart.
#[derive(Clone, Copy, PartialEq)]
enum Language {
    Flux,
    InfluxQl,
}

fn tokens(text: &str, language: Language) -> Result<Vec<Token>, String> {
    let mut all = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let line_comment = match language {
            Language::Flux => rest.starts_with("//"),
            Language::InfluxQl => rest.starts_with("--"),
        };
        if line_comment {
            rest = rest.find('\n').map_or("", |end| &rest[end..]);
        } else if language == Language::InfluxQl && rest.starts_with("/*") {
            let end = rest.find("*/").ok_or("a comment does not end")?;
            rest = &rest[end + 2..];
        } else if c == '"' || (c == '\'' && language == Language::InfluxQl) {
            let (inside, behind) = until(after, c).ok_or("a string does not end")?;
            // What is filled into a string of Flux is code again.
            if language == Language::Flux && inside.contains("${") {
                all.extend(words(inside));
            }
            all.push(Token::Quoted(inside.to_owned()));
            rest = behind;
        } else if c == '/' && before_pattern(&all) {
            let (_, behind) = until(after, '/').ok_or("a pattern does not end")?;
            all.push(Token::Quoted(String::new()));
            rest = behind;
        } else if c.is_alphanumeric() || c == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            all.push(Token::Word(rest[..end].to_owned()));
            rest = &rest[end..];
        } else {
            if !c.is_whitespace() {
                all.push(Token::Other(c));
            }
            rest = after;
        }
    }
    Ok(all)
}

/// What stands before an unescaped `end`, and what behind it.
fn until(text: &str, end: char) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == end {
            return Some((&text[..at], &text[at + c.len_utf8()..]));
        }
    }
    None
}

/// A slash is no division where no value stands before it.
fn before_pattern(all: &[Token]) -> bool {
    matches!(all.last(), None | Some(Token::Other('~' | '(' | ',' | ':' | '=' | '[')))
}

fn words(text: &str) -> impl Iterator<Item = Token> {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.filter(|word| !word.is_empty()).map(|word| Token::Word(word.to_owned()))
}

/// Why a Flux query may not be asked: it does more than read.
pub(crate) fn flux_only_reads(text: &str) -> Result<(), String> {
    flux(text, |word, _| Err(format!("it writes (`{word}`): an input only reads")))
}

/// The buckets that the Flux text of a task writes to; each is named in the text itself.
///
/// # Errors
/// It does more than read and write to buckets of its own server, or says itself what the Catcher says of a task.
pub(crate) fn flux_task_buckets(text: &str) -> Result<BTreeSet<String>, String> {
    let mut buckets = BTreeSet::new();
    flux(text, |word, behind| {
        let bucket = (word == "to").then(|| bucket(behind)).flatten();
        let wanted = || format!("`{word}` is written as to(bucket: \"name\"), without host, org and token");
        buckets.insert(bucket.ok_or_else(wanted)?.to_owned());
        Ok(())
    })?;
    let is = |token: &Token, word: &str| matches!(token, Token::Word(w) if w == word);
    if tokens(text, Language::Flux)?.windows(2).any(|two| is(&two[0], "option") && is(&two[1], "task")) {
        return Err("`option task` is the Catcher's: use `every` or `cron`, and `offset`".to_owned());
    }
    Ok(buckets)
}

/// A schedule as InfluxDB takes it. Nothing in it ends the text that it is written into.
pub(crate) fn is_influx_cron(text: &str) -> bool {
    let fields = text.split_whitespace().count();
    (5..=6).contains(&fields) && text.chars().all(|c| c.is_ascii_alphanumeric() || "*/,-? ".contains(c))
}

/// The bucket in the arguments of `to`, which stand at the beginning, if it is a plain text and the server is that of the task.
fn bucket(arguments: &[Token]) -> Option<&str> {
    let mut depth = 0;
    let mut found = None;
    for (at, token) in arguments.iter().enumerate() {
        match token {
            Token::Other('(' | '[' | '{') => depth += 1,
            Token::Other(')' | ']' | '}') => depth -= 1,
            Token::Word(name) if depth == 1 && arguments.get(at + 1) == Some(&Token::Other(':')) => {
                match (name.as_str(), arguments.get(at + 2), arguments.get(at + 3)) {
                    ("bucket", Some(Token::Quoted(text)), Some(Token::Other(',' | ')'))) => {
                        found = Some(text.as_str())
                    }
                    ("bucket" | "bucketID" | "host" | "org" | "orgID" | "token", ..) => return None,
                    _ => {}
                }
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    found
}

/// Looks through a Flux text: it may use packages that compute. What a word that writes means, with what stands behind it, is
/// for `writes` to say.
fn flux(text: &str, mut writes: impl FnMut(&str, &[Token]) -> Result<(), String>) -> Result<(), String> {
    let all = tokens(text, Language::Flux)?;
    if !all.iter().any(|token| matches!(token, Token::Word(_))) {
        return Err("it is empty".to_owned());
    }
    for (at, token) in all.iter().enumerate() {
        let Token::Word(word) = token else { continue };
        match all.get(at + 1) {
            // The name of an argument or of a field.
            Some(Token::Other(':')) => continue,
            // With a name of its own: `import x "package"`.
            Some(next) if word == "import" => {
                let package = if let Token::Word(_) = next { all.get(at + 2) } else { Some(next) };
                if let Some(Token::Quoted(package)) = package
                    && !PACKAGES.contains(&package.as_str())
                {
                    return Err(format!("it imports \"{package}\"; allowed are {}", PACKAGES.join(", ")));
                }
            }
            _ => {}
        }
        if WRITES.contains(&word.as_str()) {
            writes(word, &all[at + 1..])?;
        }
    }
    Ok(())
}

/// The same of an InfluxQL query.
pub(crate) fn influxql_only_reads(text: &str) -> Result<(), String> {
    let all = tokens(text, Language::InfluxQl)?;
    let is = |token: &Token, word: &str| matches!(token, Token::Word(w) if w.eq_ignore_ascii_case(word));
    match all.first() {
        None => return Err("it is empty".to_owned()),
        Some(first) if !is(first, "select") => return Err("it does not begin with SELECT".to_owned()),
        Some(_) => {}
    }
    if all.iter().any(|token| is(token, "into")) {
        return Err("it writes (`INTO`): an input only reads".to_owned());
    }
    let end = all.iter().position(|token| *token == Token::Other(';'));
    if end.is_some_and(|at| at + 1 < all.len()) {
        return Err("it is more than one statement".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_filled_in() {
        let at = Tai::from_utc_iso("2026-11-21T03:00:00").unwrap();
        let text = "range(start: {{from}}, stop: {{ to }}) {x: 1}";
        assert_eq!(
            filled(text, Tai(at.0 - 60.0), at),
            "range(start: 2026-11-21T02:59:00.000Z, stop: 2026-11-21T03:00:00.000Z) {x: 1}"
        );
        assert!(says_when(text) && !says_when("range(start: -1h)"));
        assert_eq!(names("{{ a }} {{b}} {{").collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn flux_that_only_reads_is_let_through() {
        for text in [
            "from(bucket: \"efd\") |> range(start: -1h) |> mean()",
            "import \"date\"\nfrom(bucket: \"a\") |> range(start: date.add(d: -1h, to: now()))",
            "// to(bucket: \"x\")\nfrom(bucket: \"to\") |> filter(fn: (r) => r._field =~ /^\"to\"$/)",
            "import a \"array\"\na.from(rows: [{total: 1.0 / 2.0, to: 3}])",
        ] {
            assert_eq!(flux_only_reads(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn flux_that_writes_or_calls_others_is_refused() {
        for (text, why) in [
            ("from(bucket: \"a\") |> to(bucket: \"b\")", "it writes (`to`)"),
            ("x = to\nfrom(bucket: \"a\") |> x(bucket: \"b\")", "it writes (`to`)"),
            ("from(bucket: \"a\") |> wideTo(bucket: \"b\")", "it writes (`wideTo`)"),
            ("x = \"${to(tables: y)}\"", "it writes (`to`)"),
            ("import \"http\"\nhttp.post(url: \"x\")", "it imports \"http\""),
            ("import e \"experimental\"\ne.to()", "it imports \"experimental\""),
            ("import \"influxdata/influxdb/secrets\"", "it imports \"influxdata/influxdb/secrets\""),
            ("// nothing", "it is empty"),
            ("from(bucket: \"a)", "a string does not end"),
        ] {
            let told = flux_only_reads(text).unwrap_err();
            assert!(told.starts_with(why), "{text}: {told}");
        }
    }

    #[test]
    fn a_task_writes_to_buckets_that_it_names() {
        let of = |text: &str| flux_task_buckets(text).map(|b| b.into_iter().collect::<Vec<_>>().join(" "));
        for (text, buckets) in [
            ("from(bucket: \"efd\") |> range(start: -1h) |> mean()", ""),
            (
                "import \"math\"\na |> to(bucket: \"x\")\nb |> to(fieldFn: (r) => ({to: r._value}), bucket: \"y\")",
                "x y",
            ),
            ("// option task = {}\na |> to(bucket: \"x\", timeColumn: \"_time\")", "x"),
        ] {
            assert_eq!(of(text).as_deref(), Ok(buckets), "{text}");
        }
        for (text, why) in [
            ("a |> to(bucket: \"x\", host: \"http://elsewhere\")", "`to` is written as"),
            ("a |> to(bucket: \"x\", token: \"t\")", "`to` is written as"),
            ("a |> to(bucketID: \"x\")", "`to` is written as"),
            ("a |> to(bucket: \"x\" + y)", "`to` is written as"),
            ("a |> to(bucket: \"${y}\")", "`to` is written as"),
            ("a |> to(bucket)", "`to` is written as"),
            ("f = to\na |> f(bucket: \"x\")", "`to` is written as"),
            ("a |> wideTo(bucket: \"x\")", "`wideTo` is written as"),
            ("option task = {name: \"x\", every: 1m}\na", "`option task` is the Catcher's"),
            ("import \"http\"\nhttp.post(url: \"x\")", "it imports \"http\""),
            ("", "it is empty"),
        ] {
            let told = of(text).unwrap_err();
            assert!(told.starts_with(why), "{text}: {told}");
        }
    }

    #[test]
    fn influxql_is_one_select() {
        for text in [
            "SELECT mean(\"speed\") FROM \"lsst.sal.ESS.airFlow\" WHERE time > now() - 1h; ",
            "select \"into\" from x where note = 'a; drop into' and y =~ /a'b/ -- into\n/* ; drop */",
        ] {
            assert_eq!(influxql_only_reads(text), Ok(()), "{text}");
        }
        for (text, why) in [
            ("DROP MEASUREMENT x", "it does not begin with SELECT"),
            ("SELECT * INTO y FROM x", "it writes"),
            ("select 1 from x; drop measurement x", "it is more than one statement"),
            (" /* SELECT */ ", "it is empty"),
            ("select 'a from x", "a string does not end"),
        ] {
            let told = influxql_only_reads(text).unwrap_err();
            assert!(told.starts_with(why), "{text}: {told}");
        }
    }
}
