//! Expressions on a message itself: `filter`, and `by`, which gives the key.

use std::sync::Arc;

use sal_idl::Enumeration;

use super::Work;
use crate::rules::code::{Filter, InputCode, Place, RuleKey};
use crate::rules::expr::scope::{Allowed, Cells, InputScope, Shape};
use crate::rules::expr::tree::{Elem, Expr};
use crate::rules::keyed::KeyCode;
use crate::rules::schema::TopicSchema;
use crate::rules::spec::{At, Cel};

const ALLOWED: Allowed = Allowed { state: false, tasks: false, trigger: false, fields: true };

/// What sees the fields of one message by their bare names; its cells are its own.
fn on_message<'a>(work: &Work<'a>, schema: &Arc<TopicSchema>) -> Work<'a> {
    let enums = work.schemas.enumerations(&schema.component);
    apart(work, enums, vec![whole(String::new(), schema.clone())])
}

fn whole(name: String, schema: Arc<TopicSchema>) -> InputScope {
    InputScope { name, shape: Shape::Message(schema, None), has_max_age: false }
}

/// The same rule with other inputs.
fn apart<'a>(work: &Work<'a>, enums: Vec<Enumeration>, inputs: Vec<InputScope>) -> Work<'a> {
    Work {
        problems: work.problems,
        schemas: work.schemas,
        spec: work.spec,
        inputs,
        cells: Cells::default(),
        stateful: Default::default(),
        enums,
        tasks: Vec::new(),
        clocked: Default::default(),
        expires: Default::default(),
        outlines: Default::default(),
        told: Default::default(),
    }
}

/// `filter` of an input.
pub(super) fn filter(
    work: &Work<'_>,
    position: u16,
    cel: &At<Cel>,
    schema: &Arc<TopicSchema>,
) -> Option<Filter> {
    let own = on_message(work, schema);
    let (expr, checked) = own.condition(cel, ALLOWED, "filter")?;
    work.keep(Place::Filter(usize::from(position)), &checked);
    let needs = own.cells.into_plans().into_iter().map(|p| p.need).collect();
    Some(Filter { expr, needs })
}

/// `by` of an input.
pub(super) fn key(work: &Work<'_>, cel: &At<Cel>, schema: &Arc<TopicSchema>) -> Option<KeyCode> {
    let own = on_message(work, schema);
    let expr = own.check(cel, ALLOWED)?.typed.expr;
    let kind = key_kind(work, cel, &expr)?;
    let needs: Vec<_> = own.cells.into_plans().into_iter().map(|p| p.need).collect();
    if needs.is_empty() {
        let help = "name a field of the message, e.g. salIndex".to_owned();
        work.problems.add_help(cel.span, "this key is the same for every message", help);
        return None;
    }
    Some(KeyCode { expr, kind, needs })
}

/// The type of a key.
fn key_kind(work: &Work<'_>, cel: &At<Cel>, expr: &Expr) -> Option<Elem> {
    let help = match expr {
        Expr::Text(_) => return Some(Elem::Text),
        Expr::Int(_) => return Some(Elem::Int),
        Expr::Bool(_) => return Some(Elem::Bool),
        Expr::Num(_) => "make an integer of it: int(x)",
        _ => "write the name of a field, e.g. salIndex",
    };
    let message = format!("a key is text, an integer or true or false, this is {}", expr.type_name());
    work.problems.add_help(cel.span, message, help.to_owned());
    None
}

/// `by` of the rule: each expression reads the message of one input.
pub(super) fn rule_key(work: &Work<'_>, inputs: &[InputCode]) -> Option<RuleKey> {
    let spec = work.spec;
    let problems = work.problems;
    if let (Some(retire), true) = (&spec.retire, spec.by.is_empty()) {
        problems.add(retire.span, "`retire` goes with `by`: the rule has no keys");
    }
    if let Some(retire) = spec.retire.as_ref().filter(|r| r.value.0 <= 0.0) {
        problems.add(retire.span, "`retire` must be longer than nothing");
    }
    if spec.by.is_empty() {
        return None;
    }
    let schema = |name: &str| {
        let input = inputs.iter().find(|i| i.name == name)?;
        work.schemas.topic(&input.component, &input.sal_name).ok()
    };
    let scopes: Vec<InputScope> = spec
        .inputs
        .0
        .iter()
        .map(|(key, _)| match schema(&key.name) {
            Some(schema) => whole(key.name.clone(), schema),
            None => InputScope { name: key.name.clone(), shape: Shape::Broken, has_max_age: false },
        })
        .collect();
    let mut key = RuleKey {
        kind: Elem::Text,
        inputs: scopes.iter().map(|_| None).collect(),
        texts: spec.by.iter().map(|at| at.value.0.trim().to_owned()).collect(),
        retire: spec.retire.as_ref().map(|at| at.value.0),
    };
    let mut kinds: Vec<Elem> = Vec::new();
    for cel in &spec.by {
        // Once with all inputs, to see which it reads; then with this one alone, whose cells are the message's.
        let all = apart(work, work.enums.clone(), scopes.clone());
        let Some(checked) = all.check(cel, Allowed::default()) else { continue };
        let reads = checked.reads;
        if reads.count_ones() != 1 {
            let help =
                "for several inputs that have it give a list: by: [a.sensorName, b.sensorName]".to_owned();
            let message = match reads {
                0 => "a rule's key reads the message of an input, as in alert.alertId",
                _ => "a key is read from one message",
            };
            problems.add_help(cel.span, message, help);
            continue;
        }
        let at = reads.trailing_zeros() as usize;
        let scope = &scopes[at];
        if key.inputs[at].is_some() {
            problems.add(cel.span, format!("input \"{}\" has its key already", scope.name));
            continue;
        }
        let own = apart(work, work.enums.clone(), vec![scope.clone()]);
        let Some(expr) = own.check(cel, Allowed::default()).map(|c| c.typed.expr) else { continue };
        let Some(kind) = key_kind(work, cel, &expr) else { continue };
        if kinds.iter().any(|other| *other != kind) {
            problems.add(cel.span, "the keys of all inputs must be of one type");
        }
        kinds.push(kind);
        key.kind = kind;
        let needs = own.cells.into_plans().into_iter().map(|p| p.need).collect();
        key.inputs[at] = Some(KeyCode { expr, kind, needs });
    }
    Some(key)
}
