//! Tasks: order, backends and their keys, templates, conditions, the types of results.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::Work;
use super::inputs::{field, topic};
use super::names::{MayUse, template};
use crate::rules::code::{Place, StepCode};
use crate::rules::diagnose::suggest;
use crate::rules::expr::prepass::parse_duration;
use crate::rules::expr::scope::{Allowed, ResultType, TaskScope};
use crate::rules::model::{Retry, Step, Workflow};
use crate::rules::schema::{FieldKind, SchemaSource};
use crate::rules::source::StepTypes;
use crate::rules::spec::{At, RuleSpec, TaskSpec};
use crate::rules::template::Template;
use crate::rules::yaml::{Fields, Key, Node, Span, Yaml};

const ANALYSES: &[&str] = &["trend", "jitter"];
const LATER_ANALYSES: &[&str] = &["statistics", "spectrum", "compare"];

/// Compiles all tasks; fills `work.tasks`.
pub(super) fn workflow(work: &mut Work<'_>) -> (Option<Workflow>, BTreeMap<String, StepCode>) {
    let spec = work.spec;
    if spec.tasks.0.is_empty() {
        return (None, BTreeMap::new());
    }
    work.tasks = spec.tasks.0.iter().map(|(key, task)| scope(work.schemas, &key.name, task)).collect();
    let order = order(work);
    let mut steps = Vec::new();
    let mut code = BTreeMap::new();
    for position in order {
        let (key, task) = &spec.tasks.0[position];
        let good = key.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !key.name.is_empty();
        if !good {
            work.problems.add(
                key.span,
                format!("\"{}\" cannot be a task's name: letters, digits and _ only", key.name),
            );
        }
        if let Some((step, c)) = step(work, &key.name, key.span, task) {
            steps.push(step);
            code.insert(key.name.clone(), c);
        }
    }
    let run_timeout = spec.run_timeout.as_ref().map_or(1800.0, |s| s.value.0);
    (Some(Workflow { steps, run_timeout: Duration::from_secs_f64(run_timeout) }), code)
}

/// What is known of the results of a rule's steps before it is compiled, for rules that read them.
pub(super) fn types(spec: &RuleSpec, schemas: &dyn SchemaSource) -> StepTypes {
    let of = |(key, task): &(Key, TaskSpec)| {
        let result = scope(schemas, &key.name, task).result.map(Arc::from);
        (format!("{}.{}", spec.name.value.trim(), key.name), result)
    };
    spec.tasks.0.iter().map(of).collect()
}

/// What expressions know of a step's result.
fn scope(schemas: &dyn SchemaSource, name: &str, task: &TaskSpec) -> TaskScope {
    let unit = || -> Option<Arc<str>> {
        let series = task.with.as_ref()?.0.get("series")?;
        let text = |key: &str| series.get(key)?.scalar_text("").map(|value| At { value, span: series.span });
        let (topic_text, field_text) = (text("topic")?, text("field")?);
        // Mistakes here are told when the step itself is compiled.
        let (component, attribute) = topic_text.value.split_once('.')?;
        let component = component.split(':').next()?;
        let sal_name = match attribute.split_once('_')? {
            ("evt", n) => format!("logevent_{n}"),
            (_, n) => n.to_owned(),
        };
        let schema = schemas.topic(component, &sal_name).ok()?;
        schema.field(field_text.value.split('[').next()?)?.unit.as_deref().map(Arc::from)
    };
    let number = |unit: Option<&str>| ResultType::Number(unit.map(Arc::from));
    let result = match task.analysis.as_ref().map(|a| a.value.as_str()) {
        Some("trend") => {
            let own = unit();
            Some(vec![
                ("predicted", ResultType::Number(own.clone())),
                ("low", ResultType::Number(own.clone())),
                ("high", ResultType::Number(own.clone())),
                ("at", number(Some("s"))),
                ("slope", ResultType::Number(None)),
                ("crosses_at", number(Some("s"))),
                ("n", ResultType::Int),
                ("residual_rms", ResultType::Number(own)),
            ])
        }
        Some("jitter") => Some(vec![
            ("rms", number(Some("arcsec"))),
            ("rms_by_axis", ResultType::Dyn),
            ("ptp_by_axis", ResultType::Dyn),
            ("n", ResultType::Int),
            ("gaps", ResultType::Int),
        ]),
        _ if task.ocps.is_some() => Some(vec![
            ("job_id", ResultType::Text),
            ("exit_code", ResultType::Int),
            ("outcome", ResultType::Text),
            ("result", ResultType::Dyn),
        ]),
        _ => None,
    };
    TaskScope { name: name.to_owned(), result }
}

/// Positions of the tasks, each after those that it needs; cycles are told.
fn order(work: &Work<'_>) -> Vec<usize> {
    let tasks = &work.spec.tasks.0;
    let find = |name: &str| tasks.iter().position(|(k, _)| k.name == name);
    for (_, task) in tasks {
        for need in &task.needs {
            if find(&need.value).is_none() {
                let help = suggest(&need.value, tasks.iter().map(|(k, _)| k.name.as_str()), "tasks");
                work.problems.add_help(need.span, format!("there is no task \"{}\"", need.value), help);
            }
        }
    }
    let mut done: Vec<usize> = Vec::new();
    loop {
        let ready = (0..tasks.len()).find(|i| {
            !done.contains(i)
                && tasks[*i].1.needs.iter().all(|n| find(&n.value).is_none_or(|j| done.contains(&j)))
        });
        match ready {
            Some(i) => done.push(i),
            None => break,
        }
    }
    if done.len() < tasks.len() {
        // Walk along the needs of one that is left until a task comes again.
        let left: Vec<usize> = (0..tasks.len()).filter(|i| !done.contains(i)).collect();
        let mut path = vec![left[0]];
        let cycle = loop {
            let here = path[path.len() - 1];
            let next = tasks[here].1.needs.iter().filter_map(|n| find(&n.value)).find(|j| left.contains(j));
            match next {
                Some(j) => match path.iter().position(|p| *p == j) {
                    Some(start) => break path.split_off(start),
                    None => path.push(j),
                },
                None => break path,
            }
        };
        let mut names: Vec<&str> = cycle.iter().map(|i| tasks[*i].0.name.as_str()).collect();
        names.push(names[0]);
        let span = tasks[cycle[0]].1.needs.first().map_or(tasks[cycle[0]].0.span, |n| n.span);
        work.problems.add(span, format!("the tasks wait for each other: {}", names.join(" needs ")));
        done.extend(left);
    }
    done
}

/// All steps that come before one.
fn before(work: &Work<'_>, name: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut open = vec![name.to_owned()];
    while let Some(name) = open.pop() {
        if let Some((_, task)) = work.spec.tasks.0.iter().find(|(k, _)| k.name == name) {
            for need in &task.needs {
                if all.insert(need.value.clone()) {
                    open.push(need.value.clone());
                }
            }
        }
    }
    all
}

fn step(work: &Work<'_>, name: &str, span: Span, task: &TaskSpec) -> Option<(Step, StepCode)> {
    let problems = work.problems;
    let mut code = StepCode::default();
    let earlier = before(work, name);
    let (backend, analysis, params) = match (&task.analysis, &task.ocps) {
        (Some(_), Some(ocps)) => {
            problems.add(ocps.0.span, "a task has one backend, not `analysis` and `ocps`");
            return None;
        }
        (Some(analysis), None) => {
            let name = analysis.value.trim();
            if LATER_ANALYSES.contains(&name) {
                problems.add(analysis.span, format!("`analysis: {name}` is not in this version"));
                return None;
            }
            if !ANALYSES.contains(&name) {
                let help = suggest(name, ANALYSES.iter().copied(), "analyses");
                problems.add_help(analysis.span, format!("there is no analysis \"{name}\""), help);
                return None;
            }
            match &task.with {
                Some(with) => analysis_keys(work, name, &with.0),
                None => {
                    problems.add(analysis.span, format!("`analysis: {name}` needs `with: {{series: ...}}`"))
                }
            }
            ("analysis", name.to_owned(), task.with.as_ref().map(|w| &w.0))
        }
        (None, Some(ocps)) => {
            if let Some(with) = &task.with {
                problems.add(with.0.span, "`with` belongs to `analysis`; the keys of `ocps` go under it");
            }
            ocps_keys(work, &ocps.0);
            code.commands = true;
            ("ocps", String::new(), Some(&ocps.0))
        }
        (None, None) => {
            if !task.refused {
                problems.add_help(
                    task.span,
                    "the task has no backend",
                    "give it `analysis` or `ocps`".to_owned(),
                );
            }
            return None;
        }
    };
    if let Some(node) = params {
        templates(work, node, "", &earlier, &mut code.params);
    }
    if let Some(when) = &task.when {
        let allowed = Allowed { tasks: true, trigger: true, ..Allowed::default() };
        code.when = work.condition(when, allowed, "when").map(|(c, checked)| {
            work.keep(Place::Step(name.to_owned()), &checked);
            c
        });
        for step in &work.tasks {
            let mentioned = when.value.0.contains(&format!("tasks.{}", step.name));
            if mentioned && !earlier.contains(&step.name) {
                not_before(work, when.span, name, &step.name);
            }
        }
    }
    let retry = task.retry.as_ref().map_or_else(Retry::default, |r| {
        let default = Retry::default();
        if let Some(j) = r.jitter.as_ref().filter(|j| !(0.0..=1.0).contains(&j.value)) {
            problems.add(j.span, "`jitter` is between 0 and 1");
        }
        if let Some(a) = r.attempts.as_ref().filter(|a| !(1..=100).contains(&a.value)) {
            problems.add(a.span, "`attempts` is between 1 and 100");
        }
        Retry {
            attempts: r.attempts.as_ref().map_or(default.attempts, |a| a.value.clamp(1, 100) as u32),
            backoff: r.backoff.as_ref().map_or(default.backoff, |s| Duration::from_secs_f64(s.value.0)),
            jitter: r.jitter.as_ref().map_or(default.jitter, |j| j.value),
            retry_on: r.retry_on.iter().map(|t| t.value.clone()).collect(),
        }
    });
    let timeout = task.timeout.as_ref().map_or(300.0, |t| t.value.0);
    if timeout <= 0.0 {
        problems.add(task.timeout.as_ref().map_or(span, |t| t.span), "`timeout` must be longer than nothing");
    }
    let step = Step {
        name: name.to_owned(),
        needs: task.needs.iter().map(|n| n.value.clone()).collect(),
        backend: backend.to_owned(),
        analysis,
        params: params.map_or_else(|| json!({}), Node::json),
        timeout: Duration::from_secs_f64(timeout),
        retry,
        resend_if_unknown: task.resend_if_unknown.unwrap_or(false),
        conditional: code.when.is_some(),
    };
    Some((step, code))
}

fn not_before(work: &Work<'_>, span: Span, task: &str, read: &str) {
    let message = format!("task \"{task}\" reads the result of \"{read}\", which does not come before it");
    work.problems.add_help(span, message, format!("add needs: [{read}]"));
}

/// Every text in the parameters that has something to fill in.
fn templates(
    work: &Work<'_>,
    node: &Node,
    pointer: &str,
    earlier: &BTreeSet<String>,
    out: &mut Vec<(String, Template)>,
) {
    match &node.value {
        Yaml::Text(text) if Template::is_one(text) => {
            let may = MayUse { tasks: true, value: false };
            if let Some((template, reads)) = template(work, node.span, text, may) {
                for step in reads.difference(earlier) {
                    not_before(work, node.span, "this", step);
                }
                out.push((pointer.to_owned(), template));
            }
        }
        Yaml::List(all) => {
            for (i, n) in all.iter().enumerate() {
                templates(work, n, &format!("{pointer}/{i}"), earlier, out);
            }
        }
        Yaml::Map(entries) => {
            for (key, n) in entries {
                let name = key.name.replace('~', "~0").replace('/', "~1");
                templates(work, n, &format!("{pointer}/{name}"), earlier, out);
            }
        }
        _ => {}
    }
}

fn analysis_keys(work: &Work<'_>, analysis: &str, with: &Node) {
    let Some(mut f) = Fields::of(with, "`with`", work.problems) else { return };
    match f.get("series") {
        Some(node) => series_keys(work, analysis, node),
        None => work.problems.add(with.span, format!("`analysis: {analysis}` needs `series`")),
    }
    if analysis == "trend" {
        if let Some(n) = f.get("ahead") {
            check_duration(work, n, "ahead");
        }
        if let Some(n) = f.get("direction")
            && !matches!(n.json().as_str(), Some("above" | "below"))
        {
            work.problems.add(n.span, "`direction` is above or below");
        }
        for key in ["limit", "confidence"] {
            if let Some(n) = f.get(key)
                && !matches!(n.value, Yaml::Int(_) | Yaml::Float(_))
                && !matches!(&n.value, Yaml::Text(t) if Template::is_one(t))
            {
                work.problems.add(n.span, format!("`{key}` must be a number"));
            }
        }
    } else if let Some(n) = f.get("degree")
        && !matches!(n.value, Yaml::Int(0..=6))
    {
        work.problems.add(n.span, "`degree` is a whole number, 0 to 6");
    }
    f.finish();
}

fn series_keys(work: &Work<'_>, analysis: &str, node: &Node) {
    let problems = work.problems;
    let Some(mut f) = Fields::of(node, "`series`", problems) else { return };
    let at = |n: &Node| n.scalar_text(&problems.source).map(|value| At { value, span: n.span });
    let found = match f.get("topic") {
        Some(n) => at(n).and_then(|t| topic(work, &t)),
        None => {
            problems.add(node.span, "`series` needs `topic`");
            None
        }
    };
    let numeric = |n: &Node| {
        let Some((schema, text)) = found.as_ref().map(|t| &t.schema).zip(at(n)) else { return };
        if let Some((f, _)) = field(work, schema, &text)
            && !matches!(f.kind, FieldKind::Double | FieldKind::Int)
        {
            problems.add(n.span, format!("field \"{}\" is no number", f.name));
        }
    };
    let (one, many) = (f.get("field"), f.get("fields"));
    match (one, many) {
        (Some(n), None) if analysis != "jitter" => numeric(n),
        (None, Some(Node { value: Yaml::Map(all), .. })) if analysis == "jitter" => {
            let names: BTreeSet<&str> = all.iter().map(|(k, _)| k.name.as_str()).collect();
            // Any axes, and the elevation beside the azimuth, which it foreshortens.
            if names.is_empty() || (names.contains("azimuth") && !names.contains("elevation")) {
                problems.add(node.span, "jitter needs `fields: {azimuth: ..., elevation: ...}`");
            }
            all.iter().for_each(|(_, n)| numeric(n));
        }
        _ if analysis == "jitter" => {
            problems.add(node.span, "jitter needs `fields: {azimuth: ..., elevation: ...}`")
        }
        _ => problems.add(node.span, "`series` needs `field`"),
    }
    if let Some(packed) = f.get("packed")
        && let Some(mut p) = Fields::of(packed, "`packed`", problems)
    {
        match p.get("stamp") {
            Some(n) => numeric(n),
            None => problems
                .add(packed.span, "`packed` needs `stamp`: the field with the time of the first element"),
        }
        match p.get("scale").map(|n| (n, n.json())) {
            Some((n, scale)) if !matches!(scale.as_str(), Some("tai" | "utc")) => {
                problems.add(n.span, "`scale` is tai or utc");
            }
            Some(_) => {}
            None => problems.add(packed.span, "`packed` needs `scale`: tai or utc"),
        }
        match p.get("rate").map(|n| (n, n.json().as_f64())) {
            Some((n, rate)) if rate.is_none_or(|r| r <= 0.0) => {
                problems.add(n.span, "`rate` is a positive number, Hz")
            }
            Some(_) => {}
            None => problems.add(packed.span, "`packed` needs `rate`: elements per second"),
        }
        p.finish();
    }
    let (range, from, to) = (f.get("range"), f.get("from"), f.get("to"));
    if let Some(n) = range {
        check_duration(work, n, "range");
    }
    if range.is_none() && (from.is_none() || to.is_none()) {
        problems.add_help(
            node.span,
            "`series` needs a time span",
            "write `range: 30m`, or `from` and `to`".to_owned(),
        );
    }
    if let Some(n) = f.get("wait") {
        check_duration(work, n, "wait");
    }
    f.finish();
}

fn check_duration(work: &Work<'_>, node: &Node, key: &str) {
    let good = match &node.value {
        Yaml::Text(t) => Template::is_one(t) || parse_duration(t.trim()).is_some(),
        _ => false,
    };
    if !good {
        let help = "write it with its unit: 30s, 10m, 1h30m".to_owned();
        work.problems.add_help(node.span, format!("`{key}` must be a duration"), help);
    }
}

fn ocps_keys(work: &Work<'_>, node: &Node) {
    let problems = work.problems;
    let Some(mut f) = Fields::of(node, "`ocps`", problems) else { return };
    match f.get("index").map(|n| (n, n.json())) {
        Some((_, Json::Number(n))) if n.as_i64().is_some_and(|i| i > 0) => {}
        Some((_, Json::String(s))) if Template::is_one(&s) => {}
        Some((n, _)) => problems.add(n.span, "`index` is the index of the OCPS: a positive number"),
        None => problems.add(node.span, "`ocps` needs `index`"),
    }
    if f.get("pipeline").is_none() {
        problems.add(node.span, "`ocps` needs `pipeline`");
    }
    for key in ["pipeline", "version", "config", "data_query", "prereq_jobs"] {
        if let Some(n) = f.get(key)
            && n.scalar_text(&problems.source).is_none()
        {
            problems.add(n.span, format!("`{key}` must be text"));
        }
    }
    f.finish();
}
