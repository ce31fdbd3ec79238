//! One rule of a file with some of its scalars set to other values, for `catcher rules tune`.

use serde_json::Value as Json;

use super::compile::{expand, rules_of};
use super::diagnose::{SourceFile, suggest};
use super::yaml::{self, Node, Problems, Yaml};

/// A rule file with this one rule, in which each named setting has the given value. A name is a parameter of the rule's
/// template, else one of its `parameters`, else the path of a scalar in the rule (`alarm.levels.warning`,
/// `alarm.conditions[1].hold`, `inputs.wind.window`). The rule's tests are left out.
///
/// # Errors
/// The file is no YAML, there is no such rule, or no such setting, with what there is instead.
pub fn vary(source: &SourceFile, rule: &str, settings: &[(String, Json)]) -> Result<SourceFile, String> {
    let problems = Problems::new(source);
    let root = yaml::parse(source, &problems.source).map_err(|d| d.render(false))?;
    let mut names = Vec::new();
    for node in rules_of(&root, &problems) {
        let name_of =
            |n: &Node| n.get("name").and_then(|n| n.scalar_text(&problems.source)).unwrap_or_default();
        for (place, expanded) in expand::expand(node, &problems).into_iter().enumerate() {
            if name_of(&expanded).trim() != rule {
                names.push(name_of(&expanded));
                continue;
            }
            let templated: Vec<&(String, Json)> =
                settings.iter().filter(|(name, _)| is_parameter(node, name)).collect();
            let mut set = expanded;
            if !templated.is_empty() {
                let mut changed = node.clone();
                for (name, value) in templated {
                    set_instance(&mut changed, place, name, value);
                }
                set = expand::expand(&changed, &problems).into_iter().nth(place).unwrap_or(set);
            }
            for (name, value) in settings.iter().filter(|(name, _)| !is_parameter(node, name)) {
                set_scalar(&mut set, name, value)?;
            }
            let mut json = set.json();
            if let Some(object) = json.as_object_mut() {
                object.shift_remove("tests");
                // Another template value may have changed the name; the list of figures speaks of this rule.
                object.insert("name".to_owned(), Json::from(rule));
            }
            let text = serde_json::json!({"rules": [json]}).to_string();
            return Ok(SourceFile { name: source.name.clone(), text });
        }
    }
    let help = suggest(rule, names.iter().map(String::as_str), "rules of the file");
    Err(format!("{} has no rule \"{rule}\"{}", source.name, with(help)))
}

fn with(help: Option<String>) -> String {
    help.map_or(String::new(), |help| format!("; {help}"))
}

fn is_parameter(node: &Node, name: &str) -> bool {
    node.get("template").is_some_and(|template| template.get(name).is_some())
}

fn set_instance(node: &mut Node, place: usize, name: &str, value: &Json) {
    let Some(instances) = child(node, "instances") else { return };
    let Yaml::List(instances) = &mut instances.value else { return };
    let Some(Node { value: Yaml::Map(entries), span }) = instances.get_mut(place) else { return };
    let span = *span;
    entries.retain(|(key, _)| key.name != name);
    let key = yaml::Key { span, name: name.to_owned() };
    entries.push((key, Node { span, value: yaml_of(value) }));
}

fn child<'n>(node: &'n mut Node, key: &str) -> Option<&'n mut Node> {
    match &mut node.value {
        Yaml::Map(entries) => entries.iter_mut().find(|(k, _)| k.name == key).map(|(_, n)| n),
        _ => None,
    }
}

fn set_scalar(rule: &mut Node, name: &str, value: &Json) -> Result<(), String> {
    let parameter = rule.get("parameters").is_some_and(|p| p.get(name).is_some());
    let path = if parameter { format!("parameters.{name}") } else { name.to_owned() };
    let known = scalars(rule);
    let mut at = &mut *rule;
    for part in path.replace('[', ".[").split('.').filter(|part| !part.is_empty()) {
        let next = match part.strip_prefix('[').and_then(|p| p.strip_suffix(']')) {
            Some(index) => match &mut at.value {
                Yaml::List(all) => index.parse::<usize>().ok().and_then(|i| all.get_mut(i)),
                _ => None,
            },
            None => child(at, part),
        };
        at = next.ok_or_else(|| {
            let help = suggest(&path, known.iter().map(String::as_str), "settings");
            format!("the rule has no setting \"{name}\"{}", with(help))
        })?;
    }
    if matches!(at.value, Yaml::List(_) | Yaml::Map(_)) {
        return Err(format!("\"{name}\" is {}, not a single value", at.kind()));
    }
    at.value = yaml_of(value);
    Ok(())
}

/// The paths of all scalars, for "did you mean".
fn scalars(node: &Node) -> Vec<String> {
    fn walk(node: &Node, path: &str, out: &mut Vec<String>) {
        match &node.value {
            Yaml::Map(entries) => {
                for (key, node) in entries.iter().filter(|(key, _)| key.name != "tests") {
                    let dot = if path.is_empty() { "" } else { "." };
                    walk(node, &format!("{path}{dot}{}", key.name), out);
                }
            }
            Yaml::List(all) => {
                for (i, node) in all.iter().enumerate() {
                    walk(node, &format!("{path}[{i}]"), out);
                }
            }
            _ => out.push(path.to_owned()),
        }
    }
    let mut out = Vec::new();
    walk(node, "", &mut out);
    out
}

fn yaml_of(value: &Json) -> Yaml {
    match value {
        Json::Null => Yaml::Null,
        Json::Bool(v) => Yaml::Bool(*v),
        Json::Number(n) => n.as_i64().map_or(Yaml::Float(n.as_f64().unwrap_or(f64::NAN)), Yaml::Int),
        Json::String(text) => Yaml::Text(text.clone()),
        other => Yaml::Text(other.to_string()),
    }
}
