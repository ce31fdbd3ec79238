//! `template` and `instances`: one rule text, many rules.
//!
//! `template: {csc: null, index: 0}` names the parameters and their defaults (null: must be given), `instances` gives one
//! mapping for each rule. `$(csc)` stands for the value anywhere in the rule's texts; a text that is nothing but
//! `$(index)` becomes the value with its type.

use serde_json::{Map, Value as Json};

use crate::rules::diagnose::suggest;
use crate::rules::yaml::{Key, Node, Problems, Yaml};

/// The rules that a node of `rules` stands for.
pub(in crate::rules) fn expand(node: &Node, problems: &Problems<'_>) -> Vec<Node> {
    let (template, instances) = (node.get("template"), node.get("instances"));
    let (Some(template), Some(instances)) = (template, instances) else {
        match template.or(instances) {
            None => return vec![node.clone()],
            Some(one) => {
                problems.add(one.span, "`template` and `instances` go together");
                return Vec::new();
            }
        }
    };
    problems.enter(node.get("name").and_then(|n| n.scalar_text(&problems.source)).as_deref());
    let Json::Object(defaults) = template.json() else {
        problems.add(template.span, "`template` must be a mapping of parameters to defaults");
        return Vec::new();
    };
    let Yaml::List(instances) = &instances.value else {
        problems.add(instances.span, "`instances` must be a list of mappings");
        return Vec::new();
    };
    let mut rules = Vec::new();
    for instance in instances {
        let Yaml::Map(given) = &instance.value else {
            problems.add(instance.span, "an instance must be a mapping of parameters to values");
            continue;
        };
        let mut values = defaults.clone();
        for (key, value) in given {
            if !defaults.contains_key(&key.name) {
                let help = suggest(&key.name, defaults.keys().map(String::as_str), "parameters");
                problems.add_help(key.span, format!("the template has no parameter \"{}\"", key.name), help);
            }
            values.insert(key.name.clone(), value.json());
        }
        let missing: Vec<&str> =
            values.iter().filter(|(_, v)| v.is_null()).map(|(k, _)| k.as_str()).collect();
        if !missing.is_empty() {
            problems.add(instance.span, format!("missing in this instance: {}", missing.join(", ")));
            continue;
        }
        rules.push(fill(node, &values, problems, true));
    }
    rules
}

fn fill(node: &Node, values: &Map<String, Json>, problems: &Problems<'_>, top: bool) -> Node {
    let value = match &node.value {
        Yaml::Text(text) => fill_text(text, node, values, problems),
        Yaml::List(all) => Yaml::List(all.iter().map(|n| fill(n, values, problems, false)).collect()),
        Yaml::Map(entries) => Yaml::Map(
            entries
                .iter()
                .filter(|(k, _)| !(top && matches!(k.name.as_str(), "template" | "instances")))
                .map(|(k, n)| {
                    let name = match fill_text(&k.name, node, values, problems) {
                        Yaml::Text(name) => name,
                        _ => k.name.clone(),
                    };
                    (Key { name, span: k.span }, fill(n, values, problems, false))
                })
                .collect(),
        ),
        other => other.clone(),
    };
    Node { span: node.span, value }
}

fn fill_text(text: &str, node: &Node, values: &Map<String, Json>, problems: &Problems<'_>) -> Yaml {
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find("$(") {
        let Some(len) = rest[start..].find(')') else { break };
        let name = &rest[start + 2..start + len];
        let Some(value) = values.get(name) else {
            let help = suggest(name, values.keys().map(String::as_str), "parameters");
            problems.add_help(node.span, format!("the template has no parameter \"{name}\""), help);
            return Yaml::Text(text.to_owned());
        };
        if start == 0 && len + 1 == text.len() {
            match value {
                Json::Bool(v) => return Yaml::Bool(*v),
                Json::Number(n) => {
                    return n.as_i64().map_or(Yaml::Float(n.as_f64().unwrap_or(f64::NAN)), Yaml::Int);
                }
                _ => {}
            }
        }
        out.push_str(&rest[..start]);
        match value {
            Json::String(s) => out.push_str(s),
            other => out.push_str(&other.to_string()),
        }
        rest = &rest[start + len + 1..];
    }
    out.push_str(rest);
    Yaml::Text(out)
}
