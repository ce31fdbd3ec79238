//! From a configuration of the Watcher to rule files: `catcher rules import-watcher`.
//!
//! ```text
//!  rules: [{classname, configs}] ─► classes (a shipped example with other values) ─┐
//!                                   ess, dewar, hvac (made of the levels given)    ├─► one rule a configuration
//!  disabled_sal_components ─► left out                                             │
//!  escalation, delays ─► into each alarm                                           └─► equal ones become templates ─► YAML
//! ```
//!
//! Keys that a class does not have, and classes that are not known, are mistakes, told all at once with their places.

mod build;
mod classes;
mod dewar;
mod ess;
pub(super) mod glob;
mod group;
mod hvac;
mod read;
mod taken;
mod write;

use super::diagnose::{Diagnostic, SourceFile, suggest};
use super::schema::SchemaSource;
use super::yaml::{self, Fields, Node, Problems, Span, Yaml};
use build::{Made, seconds_text};

pub use taken::{WatcherAlarm, WatcherAlarms, taken};

/// Top-level keys of a configuration that mean nothing here: where incidents are posted is the site's configuration.
const ELSEWHERE: &[&str] = &["escalation_url", "escalation_timeout", "narrative_server_url"];

/// What came of a configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Imported {
    /// A rule file.
    pub text: String,
    /// Names of the alarms, in the order of the configuration.
    pub alarms: Vec<String>,
    /// Names of alarms that are left out, because a component that they need is disabled there.
    pub disabled: Vec<String>,
}

/// Whom to call for alarms of which names.
struct Escalation {
    globs: Vec<String>,
    responder: String,
    delay: String,
}

/// Makes a rule file of a Watcher's configuration: the files in their order, a later one's top-level keys replace those of
/// an earlier one, as `_init.yaml` and the site's file do.
///
/// # Errors
/// Every mistake of every file.
pub fn import_watcher(files: &[SourceFile], schemas: &dyn SchemaSource) -> Result<Imported, Vec<Diagnostic>> {
    match read_all(files, schemas) {
        (Some(read), mistakes) if mistakes.is_empty() => Ok(Imported {
            alarms: read.made.iter().map(|m| m.alarm.clone()).collect(),
            disabled: read.left_out.into_iter().map(|m| m.alarm).collect(),
            text: write::file(&group::groups(read.made)),
        }),
        (_, mistakes) => Err(mistakes),
    }
}

/// The names of the alarms that a Watcher has, as far as its configuration can be read, and where it says so.
pub fn watcher_alarms(files: &[SourceFile], schemas: &dyn SchemaSource) -> WatcherAlarms {
    let (read, mistakes) = read_all(files, schemas);
    let mut alarms = Vec::new();
    if let Some(Read { made, file, .. }) = read
        && let Some(file) = files.get(file)
    {
        let source = file.text.as_str().into();
        let line = |span| Diagnostic::at(file, &source, span, "").line;
        let of = |m: Made| WatcherAlarm { name: m.alarm, file: file.name.clone(), line: line(m.span) };
        alarms.extend(made.into_iter().map(of));
    }
    WatcherAlarms { alarms, mistakes }
}

/// What a configuration has.
struct Read {
    /// Alarms.
    made: Vec<Made>,
    /// Alarms that need a component that is disabled.
    left_out: Vec<Made>,
    /// Number of the file that holds the rules.
    file: usize,
}

fn read_all(files: &[SourceFile], schemas: &dyn SchemaSource) -> (Option<Read>, Vec<Diagnostic>) {
    let mut mistakes = Vec::new();
    let mut parsed: Vec<(Problems<'_>, Node)> = Vec::new();
    for file in files {
        let problems = Problems::new(file);
        match yaml::parse(file, &problems.source) {
            Ok(node) => parsed.push((problems, node)),
            Err(diagnostic) => mistakes.push(*diagnostic),
        }
    }
    let read = if mistakes.is_empty() { import(&parsed, schemas) } else { None };
    for (problems, _) in parsed {
        mistakes.extend(problems.into_vec());
    }
    (read, mistakes)
}

fn import(files: &[(Problems<'_>, Node)], schemas: &dyn SchemaSource) -> Option<Read> {
    for (problems, node) in files {
        let mut top = Fields::of(node, "a configuration of the Watcher", problems)?;
        for key in [
            "disabled_sal_components",
            "auto_acknowledge_delay",
            "auto_unacknowledge_delay",
            "rules",
            "escalation",
        ] {
            top.entry(key);
        }
        for key in ELSEWHERE {
            top.entry(key);
        }
        top.finish();
    }
    let last = |key: &str| {
        files
            .iter()
            .rev()
            .find_map(|(p, node)| Some((p, node.get(key)?)))
            .filter(|(_, n)| n.value != Yaml::Null)
    };
    let disabled: Vec<(String, i64)> = last("disabled_sal_components")
        .map(|(p, node)| read::list(node, "disabled_sal_components", p))
        .unwrap_or_default()
        .iter()
        .filter_map(|node| read::csc(node, last("disabled_sal_components")?.0))
        .collect();
    let delay = |key: &'static str| {
        let (p, node) = last(key)?;
        read::number(node, key, p).filter(|s| *s > 0.0).map(seconds_text)
    };
    let delays = (delay("auto_acknowledge_delay"), delay("auto_unacknowledge_delay"));
    let escalation: Vec<Escalation> = last("escalation")
        .map(|(p, node)| read::list(node, "escalation", p).iter().filter_map(|n| escalation(n, p)).collect())
        .unwrap_or_default();
    let Some((problems, node)) = last("rules") else {
        let (problems, node) = files.last()?;
        problems.add(node.span, "`rules` is missing");
        return None;
    };
    let mut made = Vec::new();
    for node in read::list(node, "rules", problems) {
        class(node, problems, schemas, &mut made);
    }
    let (left_out, mut made): (Vec<Made>, Vec<Made>) =
        made.into_iter().partition(|m| m.remotes.iter().any(|r| disabled.contains(r)));
    tell_apart(&mut made, problems);
    for one in &mut made {
        let found = escalation.iter().find(|e| e.globs.iter().any(|g| glob::matches(g, &one.alarm)));
        one.finish_alarm(&delays, found.map(|e| (e.responder.as_str(), e.delay.as_str())));
    }
    let file = files.iter().position(|(p, _)| std::ptr::eq(p, problems)).unwrap_or_default();
    Some(Read { made, left_out, file })
}

fn class(node: &Node, problems: &Problems<'_>, schemas: &dyn SchemaSource, made: &mut Vec<Made>) {
    let Some(mut f) = Fields::of(node, "an entry of `rules`", problems) else { return };
    let name = f.get("classname").and_then(|n| read::text(n, "classname", problems));
    let configs = f.get("configs").map(|n| read::list(n, "configs", problems)).unwrap_or_default();
    let span = f.span();
    f.finish();
    let Some(name) = name else {
        problems.add(span, "`classname` is missing");
        return;
    };
    let place = node.get("classname").map_or(span, |n| n.span);
    for config in configs {
        problems.enter(Some(&name));
        let one = match name.as_str() {
            "Humidity" | "OverTemperature" | "UnderPressure" => {
                ess::threshold(&name, config, problems, schemas)
            }
            "DewPointDepression" => ess::dew_point(config, problems, schemas),
            "ATCameraDewar" => dewar::dewar(config, problems),
            "Hvac" => hvac::hvac(config, problems, schemas),
            "GenericBoolean" => hvac::generic_boolean(config, problems),
            _ => match classes::find(&name) {
                Some(class) => class.rule(config, problems),
                None => {
                    let help = suggest(&name, classes::names(), "classes of the Watcher");
                    problems.add_help(place, format!("the Watcher's class {name} is not known"), help);
                    break;
                }
            },
        };
        made.extend(one);
    }
    problems.enter(None);
}

fn escalation(node: &Node, problems: &Problems<'_>) -> Option<Escalation> {
    let mut f = Fields::of(node, "an entry of `escalation`", problems)?;
    let alarms = f.get("alarms").map(|n| read::list(n, "alarms", problems)).unwrap_or_default();
    let globs = alarms.iter().filter_map(|n| read::text(n, "alarms", problems)).collect();
    let responder = f.get("responder").and_then(|n| read::text(n, "responder", problems));
    let delay = f.get("delay").and_then(|n| read::number(n, "delay", problems));
    if responder.is_none() || delay.is_none() {
        problems.add(f.span(), "an escalation needs `alarms`, `responder` and `delay`");
    }
    f.finish();
    Some(Escalation { globs, responder: responder?, delay: seconds_text(delay?) })
}

/// Alarms of one name: the Watcher refuses them, but for those of `Telemetry`, which are called after the topic as well.
fn tell_apart(made: &mut [Made], problems: &Problems<'_>) {
    for i in 0..made.len() {
        if !made[..i].iter().any(|m| m.alarm == made[i].alarm) {
            continue;
        }
        let span: Span = made[i].span;
        if !made[i].rename_by_topic() || made[..i].iter().any(|m| m.alarm == made[i].alarm) {
            problems.add(span, format!("there are two alarms of the name \"{}\"", made[i].alarm));
        }
    }
}
