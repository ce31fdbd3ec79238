//! YAML as a tree in which every key and value knows its place, so that all mistakes of a file can be told at once.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;
use serde_saphyr::{Location, Spanned};

use super::diagnose::{Diagnostic, SourceFile, suggest};

/// Byte offset and length in the file.
pub(crate) type Span = (usize, usize);

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Yaml,
}

/// A key and its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Key {
    pub(crate) span: Span,
    pub(crate) name: String,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Yaml {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// Reads a file; the error is the parser's, at its place.
pub(crate) fn parse(file: &SourceFile, source: &Arc<str>) -> Result<Node, Box<Diagnostic>> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    match serde_saphyr::from_str_with_options::<Node>(&file.text, options) {
        Ok(node) => Ok(node),
        Err(error) => {
            let span = error.location().map_or((0, 0), |l| line_start(source, l.line(), l.column()));
            let text = error.to_string();
            let text = text.lines().next().unwrap_or("not YAML");
            let text = text.split(", set ").next().unwrap_or(text);
            Err(Box::new(Diagnostic::at(file, source, span, format!("not readable as YAML: {text}"))))
        }
    }
}

fn place(location: &Location) -> Span {
    let span = location.span();
    let start = span.byte_offset().unwrap_or(0);
    (usize::try_from(start).unwrap_or(0), span.byte_len().and_then(|l| usize::try_from(l).ok()).unwrap_or(0))
}

/// The byte place of a line and column, both from 1.
fn line_start(source: &str, line: u64, column: u64) -> Span {
    let (line, column) = (line.saturating_sub(1) as usize, column.saturating_sub(1) as usize);
    let start: usize = source.split_inclusive('\n').take(line).map(str::len).sum();
    let text = source[start.min(source.len())..].lines().next().unwrap_or("");
    (start + text.chars().take(column).map(char::len_utf8).sum::<usize>(), 1)
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Node, D::Error> {
        let spanned: Spanned<Yaml> = Spanned::deserialize(deserializer)?;
        Ok(Node { span: place(&spanned.defined), value: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Key, D::Error> {
        let spanned: Spanned<String> = Spanned::deserialize(deserializer)?;
        Ok(Key { span: place(&spanned.defined), name: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Yaml {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Yaml, D::Error> {
        deserializer.deserialize_any(YamlVisitor)
    }
}

struct YamlVisitor;

impl<'de> Visitor<'de> for YamlVisitor {
    type Value = Yaml;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any YAML value")
    }
    fn visit_unit<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }
    fn visit_none<E>(self) -> Result<Yaml, E> {
        Ok(Yaml::Null)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Yaml, D::Error> {
        Yaml::deserialize(deserializer)
    }
    fn visit_bool<E>(self, v: bool) -> Result<Yaml, E> {
        Ok(Yaml::Bool(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Yaml, E> {
        Ok(Yaml::Int(v))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Yaml, E> {
        Ok(i64::try_from(v).map_or(Yaml::Float(v as f64), Yaml::Int))
    }
    fn visit_f64<E>(self, v: f64) -> Result<Yaml, E> {
        Ok(Yaml::Float(v))
    }
    fn visit_str<E>(self, v: &str) -> Result<Yaml, E> {
        Ok(Yaml::Text(v.to_owned()))
    }
    fn visit_string<E>(self, v: String) -> Result<Yaml, E> {
        Ok(Yaml::Text(v))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Yaml, A::Error> {
        let mut list = Vec::new();
        while let Some(node) = seq.next_element()? {
            list.push(node);
        }
        Ok(Yaml::List(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Yaml, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry::<Key, Node>()? {
            entries.push(entry);
        }
        Ok(Yaml::Map(entries))
    }
}

impl Node {
    /// The value as JSON: for parameters that are passed on, for the revision, for comparison.
    pub(crate) fn json(&self) -> Json {
        match &self.value {
            Yaml::Null => Json::Null,
            Yaml::Bool(v) => Json::from(*v),
            Yaml::Int(v) => Json::from(*v),
            Yaml::Float(v) => Json::from(*v),
            Yaml::Text(v) => Json::from(v.as_str()),
            Yaml::List(v) => v.iter().map(Node::json).collect(),
            Yaml::Map(v) => Json::Object(v.iter().map(|(k, n)| (k.name.clone(), n.json())).collect()),
        }
    }

    /// What it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Yaml::Null => "nothing",
            Yaml::Bool(_) => "true or false",
            Yaml::Int(_) => "an integer",
            Yaml::Float(_) => "a number",
            Yaml::Text(_) => "text",
            Yaml::List(_) => "a list",
            Yaml::Map(_) => "a mapping",
        }
    }

    /// The text of a scalar as it should be read where text is wanted: `true` and `15.0` are texts there too.
    pub(crate) fn scalar_text(&self, source: &str) -> Option<String> {
        match &self.value {
            Yaml::Text(v) => Some(v.clone()),
            Yaml::Bool(v) => Some(v.to_string()),
            Yaml::Int(_) | Yaml::Float(_) => {
                source.get(self.span.0..self.span.0 + self.span.1).map(str::to_owned)
            }
            Yaml::Null | Yaml::List(_) | Yaml::Map(_) => None,
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Yaml::Map(entries) => entries.iter().find(|(k, _)| k.name == key).map(|(_, n)| n),
            _ => None,
        }
    }
}

/// The file that is being read, and the mistakes found so far.
pub(crate) struct Problems<'a> {
    pub(crate) file: &'a SourceFile,
    pub(crate) source: Arc<str>,
    rule: RefCell<Option<String>>,
    found: RefCell<Vec<Diagnostic>>,
}

impl<'a> Problems<'a> {
    pub(crate) fn new(file: &'a SourceFile) -> Problems<'a> {
        let source = file.text.as_str().into();
        Problems { file, source, rule: RefCell::default(), found: RefCell::default() }
    }

    /// Names the rule for the mistakes that follow.
    pub(crate) fn enter(&self, rule: Option<&str>) {
        *self.rule.borrow_mut() = rule.map(str::to_owned);
    }

    pub(crate) fn add(&self, span: Span, message: impl Into<String>) {
        self.push(span, message.into(), None);
    }

    pub(crate) fn add_help(&self, span: Span, message: impl Into<String>, help: impl Into<Option<String>>) {
        self.push(span, message.into(), help.into());
    }

    fn push(&self, span: Span, message: String, help: Option<String>) {
        let mut diagnostic = Diagnostic::at(self.file, &self.source, span, message);
        diagnostic.help = help;
        diagnostic.rule.clone_from(&self.rule.borrow());
        self.found.borrow_mut().push(diagnostic);
    }

    pub(crate) fn count(&self) -> usize {
        self.found.borrow().len()
    }

    /// All mistakes in the order of the file.
    pub(crate) fn into_vec(self) -> Vec<Diagnostic> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|d| d.span);
        found.dedup_by(|a, b| a.span == b.span && a.message == b.message);
        found
    }
}

/// A mapping that is being read key by key; what nobody asked for is a mistake.
pub(crate) struct Fields<'n, 'p> {
    node: &'n Node,
    entries: &'n [(Key, Node)],
    asked: BTreeSet<&'static str>,
    later: BTreeSet<&'static str>,
    what: Cow<'static, str>,
    pub(crate) problems: &'p Problems<'p>,
}

impl<'n, 'p> Fields<'n, 'p> {
    /// Begins to read `node`, which is said to be `what` ("an input") in messages.
    pub(crate) fn of(
        node: &'n Node,
        what: impl Into<Cow<'static, str>>,
        problems: &'p Problems<'p>,
    ) -> Option<Fields<'n, 'p>> {
        let what = what.into();
        let Yaml::Map(entries) = &node.value else {
            problems.add(node.span, format!("{what} must be a mapping, this is {}", node.kind()));
            return None;
        };
        Some(Fields { node, entries, asked: BTreeSet::new(), later: BTreeSet::new(), what, problems })
    }

    pub(crate) fn span(&self) -> Span {
        self.entries.first().map_or(self.node.span, |(k, _)| k.span)
    }

    pub(crate) fn entry(&mut self, key: &'static str) -> Option<(&'n Key, &'n Node)> {
        self.asked.insert(key);
        self.entries.iter().find(|(k, _)| k.name == key).map(|(k, n)| (k, n))
    }

    pub(crate) fn get(&mut self, key: &'static str) -> Option<&'n Node> {
        self.entry(key).map(|(_, n)| n).filter(|n| n.value != Yaml::Null)
    }

    /// Keys that the language has and this version does not build.
    pub(crate) fn refuse(&mut self, keys: &[&'static str]) {
        for (key, _) in self.entries {
            if let Some(known) = keys.iter().find(|k| **k == key.name) {
                self.later.insert(known);
                self.problems.add(key.span, format!("`{known}` is not in this version"));
            }
        }
    }

    /// Reports the keys that nobody asked for.
    pub(crate) fn finish(self) {
        for (key, _) in self.entries {
            let name = key.name.as_str();
            if !self.asked.contains(name) && !self.later.contains(name) {
                let help = suggest(name, self.asked.iter().copied(), "known keys");
                self.problems.add_help(key.span, format!("{} has no key `{name}`", self.what), help);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_knows_its_bytes() {
        let file = SourceFile { name: "f".into(), text: "a: {b: \"x > 1\", °C: [1, 2.5, on]}\n".into() };
        let problems = Problems::new(&file);
        let node = parse(&file, &problems.source).unwrap();
        let text = |s: Span| &file.text[s.0..s.0 + s.1];
        let a = node.get("a").unwrap();
        assert_eq!(text(a.get("b").unwrap().span), "\"x > 1\"");
        let Yaml::List(list) = &a.get("°C").unwrap().value else { panic!() };
        assert_eq!(text(list[1].span), "2.5");
        assert_eq!(list[2].value, Yaml::Text("on".into()));
    }

    #[test]
    fn broken_yaml_has_a_place() {
        let file = SourceFile { name: "f".into(), text: "a: 1\nb: [1,\n".into() };
        let d = parse(&file, &file.text.as_str().into()).unwrap_err();
        assert!(d.line >= 2, "{d}");
        let file = SourceFile { name: "f".into(), text: "a: 1\na: 2\n".into() };
        assert!(parse(&file, &file.text.as_str().into()).unwrap_err().message.contains("duplicate"));
    }
}
