//! Expressions on a message itself: `filter`, and `by`, which gives the key.

use std::sync::Arc;

use super::Work;
use crate::rules::code::{Filter, Place};
use crate::rules::expr::scope::{Allowed, Cells, InputScope, Shape};
use crate::rules::expr::tree::{Elem, Expr};
use crate::rules::keyed::KeyCode;
use crate::rules::schema::TopicSchema;
use crate::rules::spec::{At, Cel};

const ALLOWED: Allowed = Allowed { state: false, tasks: false, trigger: false, fields: true };

/// What sees the fields of one message by their bare names; its cells are its own.
fn on_message<'a>(work: &Work<'a>, schema: &Arc<TopicSchema>) -> Work<'a> {
    Work {
        problems: work.problems,
        schemas: work.schemas,
        spec: work.spec,
        inputs: vec![InputScope {
            name: String::new(),
            shape: Shape::Message(schema.clone(), None),
            has_max_age: false,
        }],
        cells: Cells::default(),
        stateful: Default::default(),
        enums: work.schemas.enumerations(&schema.component),
        tasks: Vec::new(),
        clocked: Default::default(),
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
