//! Templates of a rule: syntax, and every name in them.

use std::collections::BTreeSet;

use super::Work;
use crate::rules::diagnose::suggest;
use crate::rules::expr::scope::Shape;
use crate::rules::flow::Part;
use crate::rules::read::inside;
use crate::rules::schema::FieldKind;
use crate::rules::template::Template;
use crate::rules::template::calls::{Known, calls, mistakes};
use crate::rules::yaml::Span;

/// What a template may use besides inputs, parameters and the trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MayUse {
    pub(super) tasks: bool,
    pub(super) value: bool,
    /// `item` and `item_index`.
    pub(super) item: bool,
}

/// What the template language itself knows by name.
const GLOBALS: &[&str] = &["range", "dict", "namespace", "loop"];

/// Checks a template; the answer has the steps whose results it reads.
pub(super) fn template(
    work: &Work<'_>,
    span: Span,
    text: &str,
    may: MayUse,
) -> Option<(Template, BTreeSet<String>)> {
    let template = match Template::parse(text) {
        Ok(template) => template,
        Err(e) => {
            work.problems.add(inside(&work.problems.source, span, text, e.span), e.message);
            return None;
        }
    };
    let before = work.problems.count();
    let called: BTreeSet<&str> = calls(text).into_iter().map(|call| call.name).collect();
    for mistake in mistakes(text, &|name| known(work, name)) {
        let place = inside(&work.problems.source, span, text, mistake.span);
        work.problems.add_help(place, mistake.message, mistake.help);
    }
    let mut steps = BTreeSet::new();
    for name in template.names() {
        if called.contains(name.as_str()) {
            if work.inputs.iter().any(|input| input.name == name) {
                let at = text.find(&name).unwrap_or(0);
                let place = inside(&work.problems.source, span, text, (at, name.len()));
                let message = format!("\"{name}\" is an input of this rule, which hides the function");
                work.problems.add_help(place, message, "call the input otherwise".to_owned());
            }
            continue;
        }
        if let Some(step) = check(work, span, text, &name, may) {
            steps.insert(step);
        }
    }
    (work.problems.count() == before).then_some((template, steps))
}

/// What the value of a dotted name will be, as far as the interfaces say it.
fn known(work: &Work<'_>, name: &str) -> Option<Known> {
    let (root, field) = name.split_once('.').map_or((name, None), |(root, field)| (root, Some(field)));
    let (kind, list) = match (&work.inputs.iter().find(|input| input.name == root)?.shape, field) {
        (Shape::One { kind, list, .. }, None) => (*kind, *list),
        (Shape::Message(schema, _), Some(field)) => {
            let field = schema.field(field)?;
            (field.kind, field.count.is_some())
        }
        (Shape::Message(..), None) => return Some(Known::Other("a whole message: name one of its fields")),
        _ => return None,
    };
    Some(match kind {
        _ if list => Known::Other("a list"),
        FieldKind::Text => Known::Text,
        FieldKind::Int | FieldKind::Double => Known::Number,
        FieldKind::Bool => Known::Other("true or false"),
    })
}

/// Checks one dotted name; the answer is the step that it belongs to.
fn check(work: &Work<'_>, span: Span, text: &str, name: &str, may: MayUse) -> Option<String> {
    let parts: Vec<&str> = name.split('.').collect();
    let at = text.find(name).or_else(|| text.find(parts[0])).unwrap_or(0);
    let place = inside(&work.problems.source, span, text, (at, name.len().min(text.len() - at)));
    let wrong = |message: String, help: Option<String>| work.problems.add_help(place, message, help);
    match parts[0] {
        "value" if may.value => {}
        "value" => wrong("`value` is known in an alarm with `value` only".to_owned(), None),
        "item" | "item_index" if may.item => {}
        "item" | "item_index" if work.inputs.iter().all(|input| input.name != parts[0]) => {
            wrong(format!("`{}` is known in a task with `foreach` only", parts[0]), None);
        }
        "trigger" => {
            let known = ["kind", "occurrence", "at", "input"].into_iter();
            let known: Vec<&str> = known.chain((!work.spec.by.is_empty()).then_some("key")).collect();
            if let Some(field) = parts.get(1)
                && !known.contains(field)
            {
                let help = suggest(field, known.iter().copied(), "fields of the trigger");
                wrong(format!("the trigger has no \"{field}\""), help);
            }
        }
        "parameters" => {
            if let Some(field) = parts.get(1)
                && !work.spec.parameters.contains_key(*field)
            {
                let help = suggest(field, work.spec.parameters.keys().map(String::as_str), "parameters");
                wrong(format!("the rule has no parameter \"{field}\""), help);
            }
        }
        "tasks" if may.tasks => return task(work, &parts, wrong),
        "tasks" => wrong("`tasks` is not known yet at this place".to_owned(), None),
        root => {
            if GLOBALS.contains(&root) {
                return None;
            }
            let Some(i) = work.inputs.iter().position(|input| input.name == root) else {
                let known = work.inputs.iter().map(|i| i.name.as_str());
                let known = known.chain(["parameters", "trigger"]).chain(may.tasks.then_some("tasks"));
                wrong(format!("there is no input \"{root}\""), suggest(root, known, "known names"));
                return None;
            };
            work.tell(1 << i);
            let (shape, part) = match &work.inputs[i].shape {
                // Its keys are known only when they are there.
                Shape::Keyed { of, .. } => (of.as_ref(), None),
                shape => (shape, parts.get(1)),
            };
            match (shape, part) {
                (Shape::Message(schema, only), Some(field)) => {
                    let found = (schema.field(field).is_some() || schema.has_untyped(field))
                        && only.as_ref().is_none_or(|o| o.iter().any(|f| f == field));
                    if found {
                        work.cells.of(i as u16, field, Part::Whole);
                    } else {
                        let help = suggest(field, schema.names(), "its fields");
                        wrong(
                            format!(
                                "{} has no field \"{field}\"",
                                schema
                                    .label()
                                    .unwrap_or_else(|| format!("{}.{}", schema.component, schema.sal_name))
                            ),
                            help,
                        );
                    }
                }
                (Shape::Message(schema, only), None) => {
                    for field in &schema.fields {
                        if only.as_ref().is_none_or(|o| o.contains(&field.name)) {
                            work.cells.of(i as u16, &field.name, Part::Whole);
                        }
                    }
                }
                (Shape::One { .. }, Some(field)) => {
                    wrong(format!("input \"{root}\" is a single value and has no field \"{field}\""), None);
                }
                (Shape::One { .. } | Shape::Keyed { .. } | Shape::Broken, _) => {}
            }
        }
    }
    None
}

fn task(work: &Work<'_>, parts: &[&str], wrong: impl Fn(String, Option<String>)) -> Option<String> {
    let step = parts.get(1)?;
    let Some(scope) = work.tasks.iter().find(|t| t.name == *step) else {
        let help = suggest(step, work.tasks.iter().map(|t| t.name.as_str()), "tasks");
        wrong(format!("the rule has no task \"{step}\""), help);
        return None;
    };
    match parts.get(2) {
        Some(&"result") => {
            if let (Some(field), Some(known)) = (parts.get(3), &scope.result)
                && !known.iter().any(|(n, _)| n == field)
            {
                let help = suggest(field, known.iter().map(|(n, _)| *n), "its fields");
                wrong(format!("the result of task \"{step}\" has no \"{field}\""), help);
            }
        }
        Some(&"state" | &"error") | None => {}
        Some(other) => {
            let help = suggest(other, ["state", "result", "error"], "fields of a task");
            wrong(format!("a task has no \"{other}\""), help);
        }
    }
    Some((*step).to_owned())
}
