//! A rule's own text, and its revision.

use std::fmt::Write as _;

use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::rules::yaml::{Node, Problems, Yaml};

/// First 16 hex digits of SHA-256 over the rule as JSON with sorted keys: spaces, comments and the order of keys do not
/// count.
pub(super) fn revision(node: &Node) -> String {
    hash16(&canonical(&node.json()))
}

/// First 16 hex digits of SHA-256.
pub(in crate::rules) fn hash16(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().take(8).fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("a String takes everything");
        hex
    })
}

fn canonical(json: &Json) -> String {
    match json {
        Json::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            let fields: Vec<String> = keys
                .into_iter()
                .map(|k| format!("{}:{}", Json::from(k.as_str()), canonical(&map[k])))
                .collect();
            format!("{{{}}}", fields.join(","))
        }
        Json::Array(all) => format!("[{}]", all.iter().map(canonical).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

/// A rule file with this one rule: its lines as they are in the file, or, where they cannot be cut out (flow style,
/// templates), its JSON, which is YAML as well.
pub(super) fn definition(problems: &Problems<'_>, node: &Node) -> String {
    let source = &problems.source;
    if let Some(text) = lines_of(source, node) {
        let file = crate::rules::SourceFile { name: String::new(), text: text.clone() };
        if let Ok(root) = crate::rules::yaml::parse(&file, &text.as_str().into())
            && let Some(Yaml::List(all)) = root.get("rules").map(|r| &r.value)
            && let [one] = all.as_slice()
            && revision(one) == revision(node)
        {
            return text;
        }
    }
    let rules = serde_json::json!({"rules": [node.json()]});
    serde_json::to_string_pretty(&rules).unwrap_or_else(|_| rules.to_string())
}

fn lines_of(source: &str, node: &Node) -> Option<String> {
    let Yaml::Map(entries) = &node.value else { return None };
    let first = entries.first()?.0.span.0;
    let start = source[..first].rfind('\n').map_or(0, |p| p + 1);
    let lead = &source[start..first];
    let dash = lead.find('-')?;
    if !lead[..dash].trim().is_empty() || !lead[dash + 1..].trim().is_empty() {
        return None;
    }
    let mut text = String::from("rules:\n");
    for (i, line) in source[start..].split_inclusive('\n').enumerate() {
        let indent = line.len() - line.trim_start().len();
        let blank = line.trim().is_empty();
        if i > 0 && !blank && indent <= dash {
            break;
        }
        // The item is indented as in a file of its own.
        let shift = dash.min(indent);
        text.push_str("  ");
        text.push_str(&line[shift..]);
    }
    Some(format!("{}\n", text.trim_end()))
}
