//! Tasks: order, templates, conditions, limits. What is particular to a backend is in [`backends`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::Work;
use super::backends::{self, Told};
use super::names::{MayUse, template};
use crate::rules::code::{Place, StepCode};
use crate::rules::diagnose::suggest;
use crate::rules::expr::scope::{Allowed, ResultType, TaskScope};
use crate::rules::model::{AllowFailures, ForEach, Retry, Step, Workflow};
use crate::rules::schema::SchemaSource;
use crate::rules::source::StepTypes;
use crate::rules::spec::{RuleSpec, TaskSpec};
use crate::rules::template::Template;
use crate::rules::yaml::{Key, Node, Span, Yaml};

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
    let result = match &task.foreach {
        Some(_) => Some(vec![
            ("n", ResultType::Int),
            ("succeeded", ResultType::Int),
            ("failed", ResultType::Int),
            ("results", ResultType::Dyn),
            ("errors", ResultType::Dyn),
        ]),
        None => task.backend.as_ref().and_then(|used| (used.backend.result)(schemas, task)),
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
    let tasks = &work.spec.tasks.0;
    let last = |task: &TaskSpec| task.for_failure.as_ref().is_some_and(|f| f.value);
    if tasks.iter().any(|(key, task)| key.name == name && last(task)) {
        return tasks.iter().filter(|(_, task)| !last(task)).map(|(key, _)| key.name.clone()).collect();
    }
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
    let Some(used) = &task.backend else {
        let help = format!("give it one of: {}", backends::known().join(", "));
        problems.add_help(task.span, "the task has no backend", help);
        return None;
    };
    let Told { operation, params } = backends::check(work, task, used)?;
    code.commands = used.backend.commands;
    let may = MayUse { tasks: true, value: false, item: task.foreach.is_some() };
    if let Some(node) = params {
        templates(work, node, "", &earlier, may, &mut code.params);
    }
    let foreach = foreach(work, task, &earlier, &mut code);
    if let Some(flag) = task.for_failure.as_ref().filter(|f| f.value && !task.needs.is_empty()) {
        problems.add(flag.span, "a task with `for_failure` begins after all others: it has no `needs`");
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
        backend: used.backend.key.to_owned(),
        operation,
        params: params.map_or_else(|| json!({}), Node::json),
        timeout: Duration::from_secs_f64(timeout),
        retry,
        resend_if_unknown: task.resend_if_unknown.unwrap_or(false),
        conditional: code.when.is_some(),
        foreach,
        on_failure: task.on_failure.unwrap_or_default(),
        for_failure: task.for_failure.as_ref().is_some_and(|f| f.value),
    };
    Some((step, code))
}

/// Items under way at a time, if the rule does not say.
const MAX_PARALLEL: u64 = 16;

/// The list of a step with `foreach`.
fn foreach(
    work: &Work<'_>,
    task: &TaskSpec,
    earlier: &BTreeSet<String>,
    code: &mut StepCode,
) -> Option<ForEach> {
    let Some(list) = &task.foreach else {
        for (key, span) in [
            ("max_parallel", task.max_parallel.as_ref().map(|at| at.span)),
            ("allow_failures", task.allow_failures.as_ref().map(|at| at.span)),
        ] {
            if let Some(span) = span {
                work.problems.add(span, format!("`{key}` goes with `foreach`"));
            }
        }
        return None;
    };
    let good = match &list.0.value {
        Yaml::List(_) => true,
        Yaml::Int(n) => (0..=i64::from(MOST_ITEMS)).contains(n),
        Yaml::Text(text) => Template::is_one(text),
        _ => false,
    };
    if !good {
        let help = "write a list, or a text that gives one: foreach: \"{{ image.detectors }}\"".to_owned();
        let message = format!("`foreach` must be a list or a number of items, at most {MOST_ITEMS}");
        work.problems.add_help(list.0.span, message, help);
    }
    let mut filled = Vec::new();
    let may = MayUse { tasks: true, value: false, item: false };
    templates(work, &list.0, "", earlier, may, &mut filled);
    code.foreach = Some((list.0.json(), filled));
    let most = task.max_parallel.as_ref();
    if let Some(most) = most.filter(|most| most.value == 0) {
        work.problems.add(most.span, "`max_parallel` must be at least 1");
    }
    Some(ForEach {
        max_parallel: usize::try_from(most.map_or(MAX_PARALLEL, |most| most.value)).unwrap_or(usize::MAX),
        allow_failures: task.allow_failures.as_ref().map_or(AllowFailures::Number(0), |at| at.value),
    })
}

/// Most items of a list that is written as a number; lists are counted when they are there.
const MOST_ITEMS: u32 = 1000;

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
    may: MayUse,
    out: &mut Vec<(String, Template)>,
) {
    match &node.value {
        Yaml::Text(text) if Template::is_one(text) => {
            if let Some((template, reads)) = template(work, node.span, text, may) {
                for step in reads.difference(earlier) {
                    not_before(work, node.span, "this", step);
                }
                out.push((pointer.to_owned(), template));
            }
        }
        Yaml::List(all) => {
            for (i, n) in all.iter().enumerate() {
                templates(work, n, &format!("{pointer}/{i}"), earlier, may, out);
            }
        }
        Yaml::Map(entries) => {
            for (key, n) in entries {
                let name = key.name.replace('~', "~0").replace('/', "~1");
                templates(work, n, &format!("{pointer}/{name}"), earlier, may, out);
            }
        }
        _ => {}
    }
}
