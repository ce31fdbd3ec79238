//! Rules that read what other rules find: `task:` and `alarm:` inputs. Whom they name must be there, and nobody may read
//! itself, over whatever detours. The same holds for the causes that alarms name (`inhibit_by`).

mod causes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::diagnose::suggest;
use super::expr::tree::Elem;
use super::keyed::{key_from, usable};
use super::model::Rule;
use super::source::Source;
use super::yaml::Span;

/// An input that reads another rule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Link {
    /// Name of the input.
    pub(crate) input: String,
    /// What it reads.
    pub(crate) to: LinkTo,
    /// Where that is written, in the rule's own file.
    pub(crate) span: Span,
}

/// See [`Link`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum LinkTo {
    Step { rule: String, step: String },
    Alarm(String),
}

impl LinkTo {
    /// The rule that is read: alarms have the names of their rules.
    fn rule(&self) -> &str {
        match self {
            LinkTo::Step { rule, .. } => rule,
            LinkTo::Alarm(name) => name,
        }
    }
}

/// What is wrong with a link.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkProblem {
    /// The rule that has the link.
    pub rule: String,
    /// Where: `input "x"`, `inhibit_by`, or `its name`.
    pub place: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// Where the link is written, in the rule's own file.
    pub span: (usize, usize),
}

impl std::fmt::Display for LinkProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "rule \"{}\", {}: {}", self.rule, self.place, self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

impl Rule {
    /// The rules that it reads, with the inputs by which it does.
    pub fn reads_rules(&self) -> impl Iterator<Item = (&str, &str)> {
        self.links.iter().map(|link| (link.to.rule(), link.input.as_str()))
    }
}

fn input(name: &str) -> String {
    format!("input \"{name}\"")
}

/// Everything that is wrong with the links between these rules.
pub fn check_links(rules: &[Arc<Rule>]) -> Vec<LinkProblem> {
    let mut problems = stamps(rules);
    let by_name: BTreeMap<&str, &Rule> = rules.iter().map(|r| (r.name.as_str(), r.as_ref())).collect();
    problems.extend(causes::check(rules, &by_name));
    problems.extend(names(rules));
    if rules.iter().all(|rule| rule.links.is_empty()) {
        return problems;
    }
    for rule in rules {
        for link in &rule.links {
            if let Some((message, help)) = missing(link, &by_name) {
                problems.push(LinkProblem {
                    rule: rule.name.clone(),
                    place: input(&link.input),
                    message,
                    help,
                    span: link.span,
                });
            }
        }
    }
    problems.extend(cycles(rules, &by_name));
    problems
}

/// A topic is read once for all rules: they must agree where its stamps are.
fn stamps(rules: &[Arc<Rule>]) -> Vec<LinkProblem> {
    let mut first: BTreeMap<&str, (Option<&str>, &str)> = BTreeMap::new();
    let mut problems = Vec::new();
    for rule in rules {
        for input in &rule.code.inputs {
            let Source::Kafka(topic, stamp) = Source::of(&input.component, &input.sal_name) else { continue };
            let (before, by) = *first.entry(topic).or_insert((stamp, rule.name.as_str()));
            if before != stamp {
                let word = |stamp: Option<&str>| {
                    stamp.map_or("the record's timestamp".to_owned(), |s| format!("`{s}`"))
                };
                problems.push(LinkProblem {
                    rule: rule.name.clone(),
                    place: self::input(&input.name),
                    message: format!(
                        "the stamps of topic \"{topic}\" are {} here, and {} in rule \"{by}\"",
                        word(stamp),
                        word(before)
                    ),
                    help: Some("write the same `stamp` in all rules that read it".to_owned()),
                    span: rule.span,
                });
            }
        }
    }
    problems
}

/// The alarm of a key is named behind its rule, `Wind.301`: no other rule may have such a name.
fn names(rules: &[Arc<Rule>]) -> Vec<LinkProblem> {
    let with_alarm = || rules.iter().filter(|rule| rule.alarm.is_some());
    let keyed: BTreeMap<&str, Elem> =
        with_alarm().filter_map(|rule| Some((rule.name.as_str(), rule.code.by.as_ref()?.kind))).collect();
    let mut problems = Vec::new();
    for rule in with_alarm().filter(|_| !keyed.is_empty()) {
        let before_dots = rule.name.match_indices('.').map(|(at, _)| rule.name.split_at(at));
        let clash = before_dots.filter_map(|(owner, rest)| Some((owner, &rest[1..], *keyed.get(owner)?)));
        // Keys of keys: with texts any name is possible.
        let possible = |key: &str, kind: Elem| match &rule.code.by {
            None => key_from(key, kind).is_some_and(|key| usable(&key)),
            Some(_) => kind == Elem::Text,
        };
        for (owner, key, _) in clash.filter(|(_, key, kind)| possible(key, *kind)) {
            problems.push(LinkProblem {
                rule: rule.name.clone(),
                place: "its name".to_owned(),
                message: format!(
                    "rule \"{owner}\" has an alarm for each key, and that of the key \"{key}\" has this name too"
                ),
                help: Some(format!("give one of the two another name: {owner}-{key}")),
                span: rule.span,
            });
        }
    }
    problems
}

fn missing(link: &Link, by_name: &BTreeMap<&str, &Rule>) -> Option<(String, Option<String>)> {
    match (&link.to, owner(&link.to, by_name)) {
        (LinkTo::Step { rule, .. }, None) => {
            let help = suggest(rule, by_name.keys().copied(), "rules");
            Some((format!("there is no rule \"{rule}\""), help))
        }
        (LinkTo::Alarm(name), None) => {
            let alarms = by_name.values().filter(|r| r.alarm.is_some()).map(|r| r.name.as_str());
            Some((format!("there is no alarm \"{name}\""), suggest(name, alarms, "alarms")))
        }
        (LinkTo::Alarm(name), Some(rule)) if rule.code.by.is_some() && rule.name == *name => {
            let help = format!("write the key behind it: {name}.<key>");
            Some((format!("rule \"{name}\" has one alarm for each key"), Some(help)))
        }
        (LinkTo::Alarm(name), Some(rule)) if rule.alarm.is_none() => {
            Some((format!("rule \"{name}\" has no alarm"), None))
        }
        (LinkTo::Step { rule, step }, Some(found)) => {
            let steps = || found.workflow.iter().flat_map(|w| &w.steps).map(|s| s.name.as_str());
            if steps().any(|s| s == step) {
                return None;
            }
            Some((format!("rule \"{rule}\" has no task \"{step}\""), suggest(step, steps(), "its tasks")))
        }
        (LinkTo::Alarm(_), Some(_)) => None,
    }
}

/// The rule that is read; the alarms of a rule with keys are named behind it.
fn owner<'r>(to: &LinkTo, by_name: &BTreeMap<&'r str, &'r Rule>) -> Option<&'r Rule> {
    let of_key = |rule: &&&Rule| {
        let behind = to.rule().strip_prefix(rule.name.as_str()).is_some_and(|rest| rest.starts_with('.'));
        rule.code.by.is_some() && behind
    };
    let exact = by_name.get(to.rule()).copied();
    exact.or_else(|| by_name.values().find(of_key).copied())
}

/// One problem for each cycle, at the first rule of the file that is in it.
fn cycles(rules: &[Arc<Rule>], by_name: &BTreeMap<&str, &Rule>) -> Vec<LinkProblem> {
    let mut problems = Vec::new();
    let mut told: BTreeSet<&str> = BTreeSet::new();
    for rule in rules {
        if told.contains(rule.name.as_str()) {
            continue;
        }
        let mut path = vec![rule.name.as_str()];
        if let Some(first) = way_back(rule, &rule.name, by_name, &mut path, &mut BTreeSet::new()) {
            told.extend(path.iter().copied());
            path.push(&rule.name);
            problems.push(LinkProblem {
                rule: rule.name.clone(),
                place: input(&first.input),
                message: format!("rules read each other in a circle: {}", path.join(" -> ")),
                help: Some("each reads what the next one finds; one of them must not".to_owned()),
                span: first.span,
            });
        }
    }
    problems
}

/// The link of `from` that leads to `target` over whatever detours; `path` gets the rules between.
fn way_back<'r>(
    from: &'r Rule,
    target: &str,
    by_name: &BTreeMap<&'r str, &'r Rule>,
    path: &mut Vec<&'r str>,
    seen: &mut BTreeSet<&'r str>,
) -> Option<&'r Link> {
    for link in &from.links {
        let Some(next) = owner(&link.to, by_name) else { continue };
        if next.name == target {
            return Some(link);
        }
        if !seen.insert(next.name.as_str()) {
            continue;
        }
        path.push(&next.name);
        if way_back(next, target, by_name, path, seen).is_some() {
            return Some(link);
        }
        path.pop();
    }
    None
}
