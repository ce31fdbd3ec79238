//! Rules as YAML: as much on a line as fits, in flow style; read alike by YAML 1.1 and 1.2.

use super::super::yaml::{Node, Yaml};

/// Longest line, but for a text that has no blank.
const WIDTH: usize = 160;

/// Words that YAML 1.1 takes for something else.
const NO_TEXT: &[&str] = &["on", "off", "yes", "no", "y", "n", "null", "true", "false", "~"];

/// A rule file. A long list of instances that comes again is an alias of the first.
pub(super) fn file(rules: &[Node]) -> String {
    let mut out = String::from("rules:\n");
    let instances: Vec<Option<String>> =
        rules.iter().map(|r| r.get("instances").map(flow).filter(|text| text.len() > 2 * WIDTH)).collect();
    let mut names = 0;
    let mut anchors: Vec<Option<usize>> = vec![None; rules.len()];
    for (i, rule) in rules.iter().enumerate() {
        let same = |at: usize| instances[i].is_some() && instances[at] == instances[i];
        let sign = match (0..i).find(|at| same(*at)).and_then(|at| anchors[at]) {
            Some(number) => format!("*same{number}"),
            None if (i + 1..rules.len()).any(same) => {
                names += 1;
                anchors[i] = Some(names);
                format!("&same{names} ")
            }
            None => String::new(),
        };
        let Yaml::Map(entries) = &rule.value else { continue };
        for (at, (key, node)) in entries.iter().enumerate() {
            out.push_str(if at == 0 { "  - " } else { "    " });
            match (&node.value, key.name.as_str()) {
                (_, "instances") if sign.starts_with('*') => out.push_str(&format!("instances: {sign}\n")),
                (_, "instances") => entry("instances", node, &sign, &mut out),
                (_, name) => entry(name, node, "", &mut out),
            }
        }
    }
    out
}

/// `key: value` on as few lines as it takes, without the indentation before it.
fn entry(name: &str, node: &Node, sign: &str, out: &mut String) {
    out.push_str(&format!("{}: {sign}", scalar(name)));
    spread(node, 6, out);
    out.push('\n');
}

/// How far the last line goes.
fn column(out: &str) -> usize {
    out.len() - out.rfind('\n').map_or(0, |at| at + 1)
}

fn new_line(indent: usize, out: &mut String) {
    out.truncate(out.trim_end_matches(' ').len());
    out.push('\n');
    out.push_str(&" ".repeat(indent));
}

/// A value in flow style, on this line if it fits, else on several.
fn spread(node: &Node, indent: usize, out: &mut String) {
    let text = flow(node);
    if column(out) + text.len() < WIDTH {
        out.push_str(&text);
        return;
    }
    match &node.value {
        Yaml::Map(entries) => {
            let all = entries.iter().map(|(k, n)| (format!("{}: ", scalar(&k.name)), n)).collect();
            parts('{', all, '}', indent, out);
        }
        Yaml::List(all) => parts('[', all.iter().map(|n| (String::new(), n)).collect(), ']', indent, out),
        Yaml::Text(text) => folded(&serde_json::Value::from(text.as_str()).to_string(), indent, out),
        _ => out.push_str(&text),
    }
}

/// The entries of a mapping or list that does not fit on a line. Mappings in a list have lines of their own.
fn parts(open: char, all: Vec<(String, &Node)>, close: char, indent: usize, out: &mut String) {
    let apart = open == '[' && all.iter().any(|(_, n)| matches!(n.value, Yaml::Map(_)) && flow(n).len() > 60);
    out.push(open);
    for (i, (key, node)) in all.into_iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        let length = key.len() + flow(node).len();
        if (apart && i > 0) || column(out) + length >= WIDTH && (i > 0 || indent + length < WIDTH) {
            new_line(indent, out);
        }
        out.push_str(&key);
        spread(node, indent + 2, out);
    }
    out.push(close);
}

/// A text in quotes, broken where a single blank is: the line break is read as that blank.
fn folded(quoted: &str, indent: usize, out: &mut String) {
    let mut rest = quoted;
    loop {
        let room = WIDTH.saturating_sub(column(out)).max(20);
        if rest.len() < room {
            out.push_str(rest);
            return;
        }
        let bytes = rest.as_bytes();
        let blank = |at: usize| {
            bytes[at] == b' '
                && at > 1
                && at + 1 < bytes.len()
                && bytes[at - 1] != b' '
                && bytes[at + 1] != b' '
                && bytes[at - 1] != b'\\'
        };
        let before = (2..bytes.len().min(room)).rev().find(|at| blank(*at));
        let Some(at) = before.or_else(|| (room..bytes.len()).find(|at| blank(*at))) else {
            out.push_str(rest);
            return;
        };
        out.push_str(&rest[..at]);
        out.push('\n');
        out.push_str(&" ".repeat(indent));
        rest = &rest[at + 1..];
    }
}

/// On one line.
fn flow(node: &Node) -> String {
    match &node.value {
        Yaml::Null => "null".to_owned(),
        Yaml::Bool(v) => v.to_string(),
        Yaml::Int(v) => v.to_string(),
        Yaml::Float(v) => float(*v),
        Yaml::Text(text) => scalar(text),
        Yaml::List(all) => format!("[{}]", all.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Yaml::Map(entries) => {
            let entries: Vec<String> =
                entries.iter().map(|(k, n)| format!("{}: {}", scalar(&k.name), flow(n))).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}

/// YAML 1.1 wants a point before an exponent.
fn float(v: f64) -> String {
    let text = format!("{v:?}");
    match text.split_once('e') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0e{exponent}"),
        _ => text,
    }
}

/// A text that is plain where nothing can take it for something else, else in quotes.
fn scalar(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_. -/()'><=+*".contains(c))
        && !text.ends_with(' ')
        && !NO_TEXT.contains(&text.to_lowercase().as_str());
    let duration = text.len() < 12
        && text.starts_with(|c: char| c.is_ascii_digit())
        && text.ends_with(['s', 'm', 'h'])
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
    if plain || duration { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::rules::SourceFile;
    use crate::rules::yaml::parse;

    fn tree(json: &Json) -> Node {
        let value = match json {
            Json::Null => Yaml::Null,
            Json::Bool(v) => Yaml::Bool(*v),
            Json::Number(n) => n.as_i64().map_or_else(|| Yaml::Float(n.as_f64().unwrap()), Yaml::Int),
            Json::String(s) => Yaml::Text(s.clone()),
            Json::Array(all) => Yaml::List(all.iter().map(tree).collect()),
            Json::Object(all) => {
                Yaml::Map(all.iter().map(|(k, v)| (super::super::build::key(k), tree(v))).collect())
            }
        };
        Node { span: (0, 0), value }
    }

    fn again(rules: &[Json]) -> Json {
        let text = file(&rules.iter().map(tree).collect::<Vec<_>>());
        let source = SourceFile { name: "t".into(), text: text.clone() };
        parse(&source, &text.as_str().into()).unwrap_or_else(|e| panic!("{e}\n{text}")).json()["rules"]
            .clone()
    }

    #[test]
    fn long_lists_and_texts_are_wrapped_and_read_the_same() {
        let long = "abc > 1.5 && defg == 'x' || ".repeat(20) + "true";
        let rules = [json!({
            "name": "A.$(csc)", "template": {"csc": null}, "weird: key": ["on", "12", "1e5", "", " a", "a: b", "#", "x\ny"],
            "instances": (0..40).map(|i| json!({"csc": format!("ESS:{i}")})).collect::<Vec<_>>(),
            "inputs": {"x": {"topic": "ESS:1.tel_x", "max_age": "30s", "level": 1e-6, "filter": long}},
            "alarm": {"conditions": [{"levels": {"warning": long}}, {"hold": "1m"}]},
        })];
        assert_eq!(again(&rules), json!(rules));
        let text = file(&rules.iter().map(tree).collect::<Vec<_>>());
        assert!(text.lines().all(|l| l.len() <= WIDTH), "{text}");
        assert!(text.contains("1.0e-6"), "YAML 1.1 reads 1e-6 as text: {text}");
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in "\\PC{0,60}", key in "[a-z]{1,8}") {
            let rules = [json!({"name": text, key: {"a": [text, text.repeat(5)]}})];
            prop_assert_eq!(again(&rules), json!(rules));
        }
    }
}
