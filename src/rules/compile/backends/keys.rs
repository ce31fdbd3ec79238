//! The keys of a mapping by table: each is checked at its place, with advice, and described in the schema.

#[cfg(test)]
use serde_json::{Map, Value as Json, json};

use super::super::Work;
use crate::rules::expr::prepass::parse_duration;
use crate::rules::template::Template;
use crate::rules::yaml::{Fields, Node, Yaml};

/// One key.
#[derive(Debug)]
pub(in crate::rules) struct KeySpec {
    name: &'static str,
    kind: Kind,
    needed: bool,
    /// What it is: for the schema, and as advice where it is wrong or missing.
    about: &'static str,
}

impl KeySpec {
    /// A key that must be there.
    pub(super) const fn needed(name: &'static str, kind: Kind, about: &'static str) -> KeySpec {
        KeySpec { name, kind, needed: true, about }
    }

    /// A key that may be left out.
    pub(super) const fn may(name: &'static str, kind: Kind, about: &'static str) -> KeySpec {
        KeySpec { name, kind, needed: false, about }
    }
}

/// What a key may hold. Where it does not say otherwise, a template stands for any value and is looked at when it is filled
/// in.
#[derive(Debug)]
pub(in crate::rules) enum Kind {
    /// Text; numbers count as text.
    Text,
    /// Text that is no template, because it is looked up before anything runs.
    Name,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number between these, both included.
    Whole(i64, i64),
    /// True or false.
    Flag,
    /// `30s`, `10m`.
    Duration,
    /// A text or a list of texts.
    Texts,
    /// A mapping with keys that the author chooses.
    Map,
    /// Anything.
    Any,
}

impl Kind {
    fn words(&self) -> String {
        match self {
            Kind::Text => "text".to_owned(),
            Kind::Name => "text without anything to fill in".to_owned(),
            Kind::Word(words) => format!("one of: {}", words.join(", ")),
            Kind::Whole(from, to) => between(from, to),
            Kind::Flag => "true or false".to_owned(),
            Kind::Duration => "a duration, with its unit: 30s, 10m, 1h30m".to_owned(),
            Kind::Texts => "a text or a list of texts".to_owned(),
            Kind::Map => "a mapping".to_owned(),
            Kind::Any => "a value".to_owned(),
        }
    }

    pub(super) fn takes(&self, node: &Node, source: &str) -> bool {
        let template = matches!(&node.value, Yaml::Text(t) if Template::is_one(t));
        match self {
            Kind::Name => !template && node.scalar_text(source).is_some_and(|t| !t.trim().is_empty()),
            Kind::Any => true,
            _ if template => true,
            Kind::Text => node.scalar_text(source).is_some(),
            Kind::Word(words) => node.scalar_text(source).is_some_and(|t| words.contains(&t.trim())),
            Kind::Whole(from, to) => matches!(node.value, Yaml::Int(v) if (*from..=*to).contains(&v)),
            Kind::Flag => matches!(node.value, Yaml::Bool(_)),
            Kind::Duration => matches!(&node.value, Yaml::Text(t) if parse_duration(t.trim()).is_some()),
            Kind::Texts => match &node.value {
                Yaml::List(all) => all.iter().all(|n| n.scalar_text(source).is_some()),
                _ => node.scalar_text(source).is_some(),
            },
            Kind::Map => matches!(node.value, Yaml::Map(_)),
        }
    }

    #[cfg(test)]
    fn schema(&self) -> Json {
        match self {
            Kind::Text => json!({"type": ["string", "number", "boolean"]}),
            Kind::Name => json!({"type": "string"}),
            // A template may stand for the word.
            Kind::Word(words) => json!({"type": "string", "examples": words}),
            Kind::Whole(..) => json!({"type": ["integer", "string"]}),
            Kind::Flag => json!({"type": ["boolean", "string"]}),
            Kind::Duration => json!({"type": "string", "examples": ["30s", "10m"]}),
            Kind::Texts => {
                json!({"type": ["string", "number", "array"], "items": {"type": ["string", "number"]}})
            }
            Kind::Map => json!({"type": ["object", "string"]}),
            Kind::Any => json!({}),
        }
    }
}

fn between(from: &i64, to: &i64) -> String {
    match *to {
        i64::MAX => format!("a whole number, at least {from}"),
        to => format!("a whole number, {from} to {to}"),
    }
}

/// Checks a mapping; every mistake is told at its place. `what` names it in messages.
pub(in crate::rules) fn check(work: &Work<'_>, what: &str, node: &Node, keys: &'static [KeySpec]) {
    let problems = work.problems;
    let Some(mut fields) = Fields::of(node, what.to_owned(), problems) else { return };
    for key in keys {
        match fields.get(key.name) {
            Some(value) if !key.kind.takes(value, &problems.source) => {
                let message = format!("`{}` must be {}", key.name, key.kind.words());
                problems.add_help(value.span, message, key.about.to_owned());
            }
            None if key.needed => {
                let message = format!("{what} needs `{}`", key.name);
                problems.add_help(node.span, message, key.about.to_owned());
            }
            _ => {}
        }
    }
    fields.finish();
}

/// The schema of such a mapping.
#[cfg(test)]
pub(in crate::rules) fn schema(keys: &[KeySpec]) -> Json {
    let mut properties = Map::new();
    for key in keys {
        let mut schema = key.kind.schema();
        schema["description"] = json!(key.about);
        properties.insert(key.name.to_owned(), schema);
    }
    let needed: Vec<&str> = keys.iter().filter(|k| k.needed).map(|k| k.name).collect();
    json!({"type": "object", "properties": properties, "required": needed, "additionalProperties": false})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::SourceFile;
    use crate::rules::yaml::{Problems, parse};

    #[test]
    fn each_kind_takes_what_it_says() {
        let file = SourceFile {
            name: "f".into(),
            text: "[a, '{{ x }}', 3, 2.5, true, 30s, [a, 1], {a: b}, ' ']".into(),
        };
        let problems = Problems::new(&file);
        let node = parse(&file, &problems.source).unwrap();
        let Yaml::List(all) = &node.value else { panic!() };
        let table: [(Kind, [u8; 9]); 9] = [
            (Kind::Text, [1, 1, 1, 1, 1, 1, 0, 0, 1]),
            (Kind::Name, [1, 0, 1, 1, 1, 1, 0, 0, 0]),
            (Kind::Word(&["a", "b"]), [1, 1, 0, 0, 0, 0, 0, 0, 0]),
            (Kind::Whole(1, i64::MAX), [0, 1, 1, 0, 0, 0, 0, 0, 0]),
            (Kind::Flag, [0, 1, 0, 0, 1, 0, 0, 0, 0]),
            (Kind::Duration, [0, 1, 0, 0, 0, 1, 0, 0, 0]),
            (Kind::Texts, [1, 1, 1, 1, 1, 1, 1, 0, 1]),
            (Kind::Map, [0, 1, 0, 0, 0, 0, 0, 1, 0]),
            (Kind::Any, [1; 9]),
        ];
        for (kind, row) in table {
            for (node, want) in all.iter().zip(row) {
                assert_eq!(kind.takes(node, &problems.source), want == 1, "{kind:?} {node:?}");
            }
        }
        assert_eq!(Kind::Whole(1, i64::MAX).words(), "a whole number, at least 1");
    }
}
