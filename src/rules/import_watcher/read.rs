//! Values of a Watcher's configuration.

use super::super::yaml::{Node, Problems, Yaml};
use crate::alarms::Severity;

/// The elements of a list.
pub(super) fn list<'n>(node: &'n Node, key: &str, problems: &Problems<'_>) -> &'n [Node] {
    match &node.value {
        Yaml::List(all) => all,
        _ => {
            problems.add(node.span, format!("`{key}` must be a list, this is {}", node.kind()));
            &[]
        }
    }
}

/// A text.
pub(super) fn text(node: &Node, key: &str, problems: &Problems<'_>) -> Option<String> {
    let text = node.scalar_text(&problems.source);
    if text.is_none() {
        problems.add(node.span, format!("`{key}` must be text, this is {}", node.kind()));
    }
    text
}

/// A number. YAML 1.1 readers take `1e-3` for text, so a text that is a number is one.
pub(super) fn number(node: &Node, key: &str, problems: &Problems<'_>) -> Option<f64> {
    let number = match &node.value {
        Yaml::Int(v) => Some(*v as f64),
        Yaml::Float(v) => Some(*v),
        Yaml::Text(text) => text.trim().parse().ok(),
        _ => None,
    };
    if number.is_none() {
        problems.add(node.span, format!("`{key}` must be a number, this is {}", node.kind()));
    }
    number
}

/// A whole number.
pub(super) fn integer(node: &Node, key: &str, problems: &Problems<'_>) -> Option<i64> {
    match node.value {
        Yaml::Int(v) => Some(v),
        _ => {
            problems.add(node.span, format!("`{key}` must be a whole number, this is {}", node.kind()));
            None
        }
    }
}

/// A severity by name or number, as our rule files write it.
pub(super) fn severity(node: &Node, key: &str, problems: &Problems<'_>) -> Option<&'static str> {
    let severity = match &node.value {
        Yaml::Int(v) => Severity::try_from(*v).ok(),
        Yaml::Text(text) => text.parse().ok(),
        _ => None,
    };
    match severity {
        Some(Severity::None) => Some("none"),
        Some(Severity::Warning) => Some("warning"),
        Some(Severity::Serious) => Some("serious"),
        Some(Severity::Critical) => Some("critical"),
        None => {
            problems.add(node.span, format!("`{key}` must be a severity: 1 to 4, or its name"));
            None
        }
    }
}

/// `Name` or `Name:index`; no index is 0.
pub(super) fn csc(node: &Node, problems: &Problems<'_>) -> Option<(String, i64)> {
    let text = text(node, "name", problems)?;
    let parsed = match text.split_once(':') {
        None => Some((text.clone(), 0)),
        Some((name, index)) => index.parse().ok().map(|i| (name.to_owned(), i)),
    };
    if parsed.is_none() {
        problems.add(node.span, format!("\"{text}\" is no component: write Name or Name:index"));
    }
    parsed
}
