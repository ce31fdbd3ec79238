//! Names of alarms that a site's Watcher has already: operators could not tell ours from its.

use std::sync::Arc;

use super::super::diagnose::{Diagnostic, SourceFile};
use super::super::model::{Mode, Rule};

/// Names that one mistake tells.
const TOLD: usize = 5;

/// An alarm of a Watcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatcherAlarm {
    /// Its name.
    pub name: String,
    /// The file that configures it.
    pub file: String,
    /// The line there, from 1.
    pub line: usize,
}

/// The alarms of a Watcher.
#[derive(Debug, Clone, Default)]
pub struct WatcherAlarms {
    /// Those whose names are known.
    pub alarms: Vec<WatcherAlarm>,
    /// What could not be read of its configuration: there may be more alarms.
    pub mistakes: Vec<Diagnostic>,
}

/// The rules of a file whose alarms are called as alarms of the Watcher are, or may be (`by`: an alarm for each key), one
/// mistake for each place in the file. A rule in shadow publishes no alarm: it may be called so.
pub fn taken(file: &SourceFile, rules: &[Arc<Rule>], watcher: &[WatcherAlarm]) -> Vec<Diagnostic> {
    let source: Arc<str> = file.text.as_str().into();
    let mut places: Vec<((usize, usize), &Rule, Vec<&WatcherAlarm>)> = Vec::new();
    for rule in rules.iter().filter(|rule| rule.alarm.is_some() && rule.mode == Mode::Live) {
        let below = rule.alarm_name(Some(""));
        let same = |alarm: &&WatcherAlarm| match rule.is_keyed() {
            true => alarm.name.starts_with(&below),
            false => alarm.name == rule.name,
        };
        let found = watcher.iter().filter(same);
        match places.iter_mut().find(|(span, ..)| *span == rule.span) {
            Some((_, _, all)) => all.extend(found),
            None => places.push((rule.span, rule, found.collect())),
        }
    }
    places.retain(|(_, _, all)| !all.is_empty());
    places.into_iter().map(|(span, rule, all)| mistake(file, &source, span, rule, &all)).collect()
}

fn mistake(
    file: &SourceFile,
    source: &Arc<str>,
    span: (usize, usize),
    rule: &Rule,
    all: &[&WatcherAlarm],
) -> Diagnostic {
    let told = all.iter().take(TOLD).map(|a| format!("\"{}\" ({}:{})", a.name, a.file, a.line));
    let mut told = told.collect::<Vec<_>>().join(", ");
    if all.len() > TOLD {
        told = format!("{told} and {} more", all.len() - TOLD);
    }
    let verb = if rule.is_keyed() { "may be called as one of its keys" } else { "is called so already" };
    let message = match all.len() {
        1 => format!("an alarm of the site's Watcher {verb}: {told}"),
        n => format!("{n} alarms of the site's Watcher {}: {told}", verb.replacen("is ", "are ", 1)),
    };
    let mut mistake = Diagnostic::at(file, source, span, message)
        .help("rename the rule, leave it in `mode: shadow`, or take the alarm out of the Watcher");
    mistake.rule = Some(rule.name.clone());
    mistake
}
