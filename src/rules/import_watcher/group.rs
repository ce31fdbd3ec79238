//! Rules that are alike but for some values become one template.

use serde_json::Value as Json;

use super::super::yaml::{Node, Yaml};
use super::build::{Made, fill, key, list, map, value};

/// The rules to be written, in the order in which each first came up.
pub(super) fn groups(made: Vec<Made>) -> Vec<Node> {
    let mut groups: Vec<(Json, Vec<Made>)> = Vec::new();
    for one in made {
        let names: Vec<&str> = one.values.iter().map(|(k, _)| k.as_str()).collect();
        let like = serde_json::json!([one.rule.json(), names, one.parts]);
        match groups.iter_mut().find(|(other, _)| *other == like) {
            Some((_, all)) => all.push(one),
            None => groups.push((like, vec![one])),
        }
    }
    groups.into_iter().map(|(_, all)| rule(&all)).collect()
}

fn rule(all: &[Made]) -> Node {
    let first = &all[0];
    let same = |at: usize| all.iter().all(|m| m.values[at].1 == first.values[at].1);
    let (common, different): (Vec<usize>, Vec<usize>) = (0..first.values.len()).partition(|at| same(*at));
    let common: Vec<(String, Json)> = common.into_iter().map(|at| first.values[at].clone()).collect();
    let mut rule = fill(&first.rule, &common);
    if different.is_empty() && first.parts.is_empty() {
        return rule;
    }
    let parameters = different.iter().map(|at| (first.values[*at].0.as_str(), value(&Json::Null)));
    let template = map(parameters.chain(first.parts.iter().map(|(name, part)| (name.as_str(), value(part)))));
    let instance =
        |m: &Made| map(different.iter().map(|at| (m.values[*at].0.as_str(), value(&m.values[*at].1))));
    let instances = list(all.iter().map(instance).collect());
    if let Yaml::Map(entries) = &mut rule.value {
        // After the name and what the rule is for.
        let at =
            entries.iter().take_while(|(k, _)| matches!(k.name.as_str(), "name" | "description")).count();
        entries.insert(at, (key("template"), template));
        entries.insert(at + 1, (key("instances"), instances));
    }
    rule
}
