//! The causes that alarms name: each pattern must stand for alarms of other rules, and no alarm may be its own cause over whatever
//! detours.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::LinkProblem;
use crate::alarms::{Glob, Inhibit};
use crate::rules::diagnose::suggest;
use crate::rules::model::Rule;

const PLACE: &str = "inhibit_by";

/// The rules whose alarms a rule's alarm names, with the places where it does.
type Edges<'r> = BTreeMap<&'r str, Vec<(&'r str, (usize, usize))>>;

impl Rule {
    /// True if its alarm names causes.
    pub fn has_causes(&self) -> bool {
        !self.inhibits().is_empty()
    }

    /// The causes that its alarm names.
    pub fn inhibits(&self) -> &[Inhibit] {
        self.alarm.as_ref().map_or(&[], |alarm| &alarm.config.inhibit_by)
    }

    /// May an alarm of this rule have a name of this pattern?
    pub fn has_alarm_of(&self, pattern: &Glob) -> bool {
        let keyed = self.is_keyed();
        self.alarm.is_some()
            && if keyed {
                pattern.matches_beginning(&format!("{}.", self.name))
            } else {
                pattern.matches(&self.name)
            }
    }
}

/// Everything that is wrong with the causes.
pub(super) fn check(rules: &[Arc<Rule>], by_name: &BTreeMap<&str, &Rule>) -> Vec<LinkProblem> {
    if !rules.iter().any(|rule| rule.has_causes()) {
        return Vec::new();
    }
    let mut problems = Vec::new();
    let mut edges = Edges::new();
    for rule in rules {
        for (inhibit, span) in rule.inhibits().iter().zip(&rule.causes) {
            let others = rules.iter().filter(|other| other.name != rule.name);
            let found: Vec<&str> =
                others.filter(|other| other.has_alarm_of(&inhibit.alarms)).map(|r| r.name.as_str()).collect();
            if found.is_empty() {
                let (message, help) = missing(rule, &inhibit.alarms, by_name);
                problems.push(problem(rule, *span, message, help));
            }
            edges.entry(&rule.name).or_default().extend(found.into_iter().map(|name| (name, *span)));
        }
    }
    problems.extend(circles(rules, &edges));
    problems
}

fn problem(rule: &Rule, span: (usize, usize), message: String, help: Option<String>) -> LinkProblem {
    LinkProblem { rule: rule.name.clone(), place: PLACE.to_owned(), message, help, span }
}

fn missing(rule: &Rule, pattern: &Glob, by_name: &BTreeMap<&str, &Rule>) -> (String, Option<String>) {
    let text = pattern.text();
    if rule.has_alarm_of(pattern) {
        return ("an alarm is not its own cause".to_owned(), Some("name alarms of other rules".to_owned()));
    }
    match by_name.get(text) {
        Some(other) if other.alarm.is_none() => (format!("rule \"{text}\" has no alarm"), None),
        Some(_) => {
            let help = format!("write the key behind it, or {text}.*");
            (format!("rule \"{text}\" has one alarm for each key"), Some(help))
        }
        None => {
            let alarms = by_name.values().filter(|r| r.alarm.is_some() && r.name != rule.name);
            let help = suggest(text, alarms.map(|r| r.name.as_str()), "alarms");
            match pattern.name() {
                Some(_) => (format!("there is no alarm \"{text}\""), help),
                None => (format!("no alarm of another rule has a name of the pattern \"{text}\""), help),
            }
        }
    }
}

/// One problem for each circle, at the first rule of the files that is in it.
fn circles(rules: &[Arc<Rule>], edges: &Edges<'_>) -> Vec<LinkProblem> {
    let mut problems = Vec::new();
    let mut told: BTreeSet<&str> = BTreeSet::new();
    for rule in rules {
        if told.contains(rule.name.as_str()) {
            continue;
        }
        let Some((path, span)) = way_back(&rule.name, edges) else { continue };
        let mut names = vec![rule.name.as_str()];
        names.extend(&path);
        told.extend(names.iter().copied());
        names.push(&rule.name);
        let message = format!("alarms are each other's cause in a circle: {}", names.join(" -> "));
        let help = "each is inhibited by the next one; one of them must not be".to_owned();
        problems.push(problem(rule, span, message, Some(help)));
    }
    problems
}

/// The shortest way from a rule over its causes back to itself: the rules between, and where its own step is written.
fn way_back<'r>(start: &str, edges: &Edges<'r>) -> Option<(Vec<&'r str>, (usize, usize))> {
    let mut from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut open: std::collections::VecDeque<&str> = [start].into();
    while let Some(at) = open.pop_front() {
        for (next, _) in edges.get(at).into_iter().flatten() {
            if *next == start {
                let mut path = Vec::new();
                let mut back = at;
                while back != start {
                    let (name, _) = from.get_key_value(back)?;
                    path.push(edges_name(edges, name)?);
                    back = from.get(back)?;
                }
                path.reverse();
                let first = path.first().copied().unwrap_or(start);
                let span = edges.get(start)?.iter().find(|(name, _)| *name == first)?.1;
                return Some((path, span));
            }
            if !from.contains_key(next) {
                from.insert(next, at);
                open.push_back(next);
            }
        }
    }
    None
}

/// The name as the edges hold it.
fn edges_name<'r>(edges: &Edges<'r>, name: &str) -> Option<&'r str> {
    edges.get_key_value(name).map(|(name, _)| *name)
}
