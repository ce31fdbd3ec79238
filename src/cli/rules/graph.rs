//! `catcher rules graph`: which topics feed which rules, which of their steps go to which backend, which alarms come of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;

use serde_json::{Value as Json, json};

use super::files::Files;
use super::{colour, show};
use crate::alarms::Severity;
use crate::reports::{Graph, GraphBox};
use crate::rules::Rule;

/// So many rules that differ in their names and components only are drawn as one.
const GROUP_FROM: usize = 3;
/// Names that are told of a group.
const TOLD: usize = 3;

/// Arguments of `catcher rules graph`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    files: Files,
    /// Also write a drawing to this file.
    #[arg(long, value_name = "OUT")]
    svg: Option<PathBuf>,
    /// Every rule by itself: do not draw those of one template as one.
    #[arg(long)]
    all: bool,
}

/// A rule, or several of one form.
struct Row<'a> {
    title: String,
    rules: Vec<&'a Rule>,
    topics: BTreeSet<String>,
}

/// True if the files have no mistakes.
pub(super) fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<bool> {
    let (checked, _) = args.files.open()?;
    if !checked.mistakes.is_empty() {
        show::mistakes(&checked.mistakes, colour(), out)?;
        return Ok(false);
    }
    let rules: Vec<&Rule> = checked.files.iter().flat_map(|f| f.rules.iter().map(AsRef::as_ref)).collect();
    let rows = rows(&rules, args.all);
    if let Some(path) = &args.svg {
        let mut graph = graph(&rows);
        graph.arrange(1);
        std::fs::write(path, graph.svg("What feeds what"))
            .map_err(|e| anyhow::anyhow!("cannot write {}: {e}", path.display()))?;
    }
    if args.files.json {
        let all: Vec<Json> =
            rows.iter().flat_map(|row| row.rules.iter().map(|r| rule_json(r, row))).collect();
        writeln!(out, "{:#}", json!({"rules": all}))?;
    } else {
        rows.iter().try_for_each(|row| tell(row, out))?;
        writeln!(
            out,
            "{} rules, {} topics",
            rules.len(),
            rules.iter().flat_map(|r| topics(r)).collect::<BTreeSet<_>>().len()
        )?;
    }
    Ok(true)
}

/// The topics that a rule reads: its inputs', and those of its steps' series.
fn topics(rule: &Rule) -> BTreeSet<String> {
    let of_input = rule.code.inputs.iter().filter(|i| !i.component.is_empty()).map(|input| {
        let index = input.index.map_or(String::new(), |i| format!(":{i}"));
        format!("{}{index}.{}", input.component, input.sal_name)
    });
    let of_steps = rule.workflow.iter().flat_map(|w| &w.steps);
    let of_steps = of_steps.filter_map(|s| s.params.pointer("/series/topic")?.as_str().map(attribute));
    of_input.chain(of_steps).collect()
}

/// `ESS:301.tel_airFlow` as inputs are told.
fn attribute(topic: &str) -> String {
    let (component, name) = topic.split_once('.').unwrap_or((topic, ""));
    let name = match name.split_once('_') {
        Some(("tel", n)) => n.to_owned(),
        Some(("evt", n)) => format!("logevent_{n}"),
        Some(("cmd", n)) => format!("command_{n}"),
        _ => name.to_owned(),
    };
    format!("{component}.{name}")
}

/// What rules of one template have in common.
fn form(rule: &Rule) -> String {
    let first = rule.name.split(['.', ':']).next().unwrap_or_default();
    let inputs: Vec<&str> = rule.code.inputs.iter().map(|i| i.sal_name.as_str()).collect();
    let steps = rule.workflow.iter().flat_map(|w| &w.steps);
    let steps: Vec<String> = steps.map(|s| format!("{}:{}", s.name, s.backend)).collect();
    format!("{first}|{}|{}|{}", inputs.join(","), steps.join(","), rule.alarm.is_some())
}

fn rows<'a>(rules: &[&'a Rule], all: bool) -> Vec<Row<'a>> {
    let mut groups: Vec<(String, Vec<&'a Rule>)> = Vec::new();
    for rule in rules {
        let key = form(rule);
        match groups.iter_mut().find(|(k, _)| *k == key) {
            Some((_, group)) => group.push(rule),
            None => groups.push((key, vec![rule])),
        }
    }
    let mut rows = Vec::new();
    for (_, group) in groups {
        if all || group.len() < GROUP_FROM {
            rows.extend(group.into_iter().map(|rule| Row {
                title: rule.name.clone(),
                topics: topics(rule),
                rules: vec![rule],
            }));
            continue;
        }
        let first = group[0].name.split(['.', ':']).next().unwrap_or_default();
        let mut by_name: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for topic in group.iter().flat_map(|r| topics(r)) {
            let (component, name) = topic.split_once('.').unwrap_or((&topic, ""));
            by_name.entry(name.to_owned()).or_default().insert(component.to_owned());
        }
        let topics = by_name.into_iter().map(|(name, components)| match components.len() {
            1..=TOLD => format!("{}.{name}", components.into_iter().collect::<Vec<_>>().join(", ")),
            n => format!("{n} components.{name}"),
        });
        let topics = topics.collect();
        rows.push(Row { title: format!("{first}.* ({} rules)", group.len()), rules: group, topics });
    }
    rows
}

fn trigger(rule: &Rule) -> String {
    use crate::rules::Occasion;
    match &rule.trigger.on {
        _ if rule.workflow.is_none() => "judged as its inputs change".to_owned(),
        Occasion::Each(inputs) => {
            let names: Vec<&str> = inputs.iter().map(|i| rule.code.inputs[*i].name.as_str()).collect();
            format!("each message of {}", names.join(", "))
        }
        Occasion::Every(period) => format!("every {} s", period.as_secs_f64()),
        Occasion::Cron(cron) => format!("cron \"{}\" in {}", cron.text(), cron.zone()),
        Occasion::Manual => "by hand".to_owned(),
        Occasion::Edge => "when its condition becomes true".to_owned(),
    }
}

fn backend(step: &crate::rules::Step) -> String {
    if step.operation.is_empty() {
        step.backend.clone()
    } else {
        format!("{}: {}", step.backend, step.operation)
    }
}

fn tell(row: &Row<'_>, out: &mut impl Write) -> std::io::Result<()> {
    let rule = row.rules[0];
    writeln!(out, "{}  ({})", row.title, trigger(rule))?;
    let mut lines: Vec<String> = row.topics.iter().map(|t| format!("reads  {t}")).collect();
    for step in rule.workflow.iter().flat_map(|w| &w.steps) {
        let needs =
            if step.needs.is_empty() { String::new() } else { format!(", after {}", step.needs.join(", ")) };
        let when = if step.conditional { ", on a condition" } else { "" };
        lines.push(format!("step   {} ({}{needs}{when})", step.name, backend(step)));
    }
    if let Some(alarm) = &rule.alarm {
        let fed = if alarm.fed_by_tasks { " of the results" } else { "" };
        let name = if row.rules.len() > 1 { "one each" } else { alarm.name.as_str() };
        lines.push(format!("alarm  {name}{fed}"));
        lines.extend(inhibits(rule).map(|cause| format!("cause  {cause}")));
    }
    if row.rules.len() > 1 {
        let names: Vec<&str> = row.rules.iter().take(TOLD).map(|r| r.name.as_str()).collect();
        let more = row.rules.len().saturating_sub(TOLD);
        let more = if more > 0 { format!(", ... {more} more") } else { String::new() };
        lines.push(format!("rules  {}{more}", names.join(", ")));
    }
    for (i, line) in lines.iter().enumerate() {
        let branch = if i + 1 == lines.len() { "└─" } else { "├─" };
        writeln!(out, "{branch} {line}")?;
    }
    writeln!(out)
}

/// The causes that its alarm names.
fn inhibits(rule: &Rule) -> impl Iterator<Item = String> {
    rule.inhibits().iter().map(|inhibit| match inhibit.from {
        Severity::None | Severity::Warning => inhibit.alarms.text().to_owned(),
        from => format!("{} from {from}", inhibit.alarms.text()),
    })
}

fn rule_json(rule: &Rule, row: &Row<'_>) -> Json {
    let steps: Vec<Json> = rule
        .workflow
        .iter()
        .flat_map(|w| &w.steps)
        .map(|s| json!({"name": s.name, "backend": s.backend, "analysis": s.operation, "needs": s.needs}))
        .collect();
    json!({
        "name": rule.name,
        "group": if row.rules.len() > 1 { Some(&row.title) } else { None },
        "trigger": trigger(rule),
        "topics": topics(rule),
        "steps": steps,
        "alarm": rule.alarm.as_ref().map(|a| &a.name),
        "inhibit_by": inhibits(rule).collect::<Vec<_>>(),
        "fed_by_tasks": rule.alarm.as_ref().is_some_and(|a| a.fed_by_tasks),
    })
}

fn graph(rows: &[Row<'_>]) -> Graph {
    let mut graph = Graph {
        columns: ["topics", "rules", "steps", "alarms"].map(str::to_owned).into(),
        ..Graph::default()
    };
    let mut add = |id: &str, title: &str, lines: Vec<String>, column: usize| {
        if !graph.boxes.iter().any(|b| b.id == id) {
            graph.boxes.push(GraphBox { id: id.to_owned(), title: title.to_owned(), lines, column });
        }
    };
    let mut edges = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        let rule = row.rules[0];
        let own = format!("rule {i}");
        add(&own, &row.title, vec![trigger(rule)], 1);
        for topic in &row.topics {
            let id = format!("topic {topic}");
            add(&id, topic, Vec::new(), 0);
            edges.push((id, own.clone()));
        }
        let mut last = own.clone();
        for step in rule.workflow.iter().flat_map(|w| &w.steps) {
            let id = format!("step {i} {}", step.name);
            add(&id, &step.name, vec![backend(step)], 2);
            let needs = step.needs.iter().map(|n| format!("step {i} {n}"));
            let mut from: Vec<String> = needs.collect();
            if from.is_empty() {
                from.push(own.clone());
            }
            edges.extend(from.into_iter().map(|from| (from, id.clone())));
            last = id;
        }
        if let Some(alarm) = &rule.alarm {
            let id = format!("alarm {i}");
            let name =
                if row.rules.len() > 1 { row.title.replace("rules", "alarms") } else { alarm.name.clone() };
            add(&id, &name, inhibits(rule).map(|cause| format!("cause: {cause}")).collect(), 3);
            edges.push((if alarm.fed_by_tasks { last } else { own }, id));
        }
    }
    graph.edges = edges;
    graph
}
