//! `sal`: a command to any component on the site's list. Checked against the interface of that component.

use super::super::Work;
use super::keys::{self, KeySpec, Kind};
use super::{Backend, Form};
use crate::rules::diagnose::suggest;
use crate::rules::expr::scope::ResultType;
use crate::rules::schema::{FieldSchema, SchemaError, TopicSchema};
use crate::rules::template::Template;
use crate::rules::written::{Misfit, Wanted, field_value};
use crate::rules::yaml::{Key, Node, Yaml};

const THEN: &[KeySpec] = &[
    KeySpec::needed("event", Kind::Name, "an event of the component, without evt_"),
    KeySpec::may("where", Kind::Map, "what its fields must be: {inPosition: true, speed: \"< 0.1\"}"),
    KeySpec::may("fails", Kind::Map, "what its fields are if it went wrong; the step fails then"),
    KeySpec::may("timeout", Kind::Duration, "how long it is waited for after the command has been done"),
    KeySpec::may(
        "already",
        Kind::Flag,
        "the event of before the command counts too; else only what comes after",
    ),
];

pub(super) const BACKEND: Backend = Backend {
    key: "sal",
    about: "A command to a component that the site's allowed_commands names.",
    form: Form::Keys(
        &[
            KeySpec::needed("component", Kind::Name, "the component, e.g. MTDome"),
            KeySpec::may("index", Kind::Whole(0, i32::MAX as i64), "its instance, if it has several"),
            KeySpec::needed("command", Kind::Name, "the command, without cmd_"),
            KeySpec::may("fields", Kind::Map, "the command's fields; those not given have their defaults"),
            KeySpec::may(
                "ack_timeout",
                Kind::Duration,
                "how long the final acknowledgement is waited for; CMD_INPROGRESS adds its own estimate",
            ),
            KeySpec::may("then", Kind::Map, "an event that is waited for: {event: ..., where: {...}}"),
        ],
        Some(check),
    ),
    result: |_, _| {
        Some(vec![
            ("ack", ResultType::Text),
            ("result", ResultType::Text),
            ("error", ResultType::Int),
            ("event", ResultType::Dyn),
        ])
    },
    commands: true,
};

fn check(work: &Work<'_>, node: &Node) {
    let problems = work.problems;
    let text = |key: &str| {
        let node = node.get(key)?;
        let text = node.scalar_text(&problems.source)?.trim().to_owned();
        (!text.is_empty() && !Template::is_one(&text)).then_some((node, text))
    };
    let Some((at, component)) = text("component") else { return };
    if component == "Catcher" {
        let help = "give the rule the input `task: Rule.step` or `alarm: Name` of the other one".to_owned();
        problems.add_help(at.span, "a rule cannot command the Catcher itself", help);
        return;
    }
    let mut indexed = None;
    if let Some((at, command)) = text("command")
        && let Some(schema) = topic(work, &component, "command", node, at, &command)
    {
        indexed = Some(schema.indexed);
        if let Some(fields) = node.get("fields") {
            each(work, &component, &schema, fields, |field, enums, written| {
                field_value(field, enums, written).map(drop)
            });
        }
    }
    if let Some(then) = node.get("then").filter(|n| matches!(n.value, Yaml::Map(_))) {
        keys::check(work, "`then`", then, THEN);
        let event = then.get("event").and_then(|n| Some((n, n.scalar_text(&problems.source)?)));
        if let Some((at, event)) = event
            && let Some(schema) = topic(work, &component, "event", node, at, event.trim())
        {
            indexed = Some(schema.indexed);
            for key in ["where", "fails"] {
                if let Some(fields) = then.get(key) {
                    each(work, &component, &schema, fields, |field, enums, written| {
                        Wanted::read(field, enums, written).map(drop)
                    });
                }
            }
        }
    }
    let index = node.get("index").map(|n| (n, &n.value));
    match (indexed, index) {
        (Some(true), None) => {
            problems.add_help(
                at.span,
                format!("{component} has several instances"),
                "give `index`".to_owned(),
            );
        }
        (Some(true), Some((at, Yaml::Int(0)))) => {
            problems.add(at.span, "a command goes to one instance: 0 is nobody's index");
        }
        (Some(false), Some((at, value))) if *value != Yaml::Int(0) => {
            let help = "leave `index` out".to_owned();
            problems.add_help(at.span, format!("{component} has one instance only"), help);
        }
        _ => {}
    }
}

/// Looks a command or an event up.
fn topic(
    work: &Work<'_>,
    component: &str,
    kind: &str,
    node: &Node,
    at: &Node,
    name: &str,
) -> Option<std::sync::Arc<TopicSchema>> {
    let prefix = if kind == "command" { "command_" } else { "logevent_" };
    let wrong = match work.schemas.topic(component, &format!("{prefix}{name}")) {
        Ok(schema) => return Some(schema),
        Err(wrong) => wrong,
    };
    match wrong {
        SchemaError::UnknownComponent(_) => {
            let known = work.schemas.components();
            let help = suggest(component, known.iter().map(String::as_str), "components");
            let at = node.get("component").unwrap_or(at);
            work.problems.add_help(at.span, format!("there is no component \"{component}\""), help);
        }
        SchemaError::UnknownTopic { .. } => {
            let known = work.schemas.topics(component);
            let known = known.iter().filter_map(|t| t.strip_prefix(prefix));
            let help = suggest(name, known, if kind == "command" { "its commands" } else { "its events" });
            work.problems.add_help(at.span, format!("{component} has no {kind} \"{name}\""), help);
        }
        other => work.problems.add(at.span, other.to_string()),
    }
    None
}

/// Checks each value of a mapping from fields to values; what has something to fill in is checked then.
fn each(
    work: &Work<'_>,
    component: &str,
    schema: &TopicSchema,
    node: &Node,
    check: impl Fn(&FieldSchema, &[sal_idl::Enumeration], &serde_json::Value) -> Result<(), Misfit>,
) {
    let Yaml::Map(entries) = &node.value else { return };
    let enums = work.schemas.enumerations(component);
    for (Key { span, name }, value) in entries {
        let field = schema.field(name).filter(|f| !salobj::sample::is_private(&f.name));
        let Some(field) = field else {
            let known = schema.fields.iter().map(|f| f.name.as_str());
            let known = known.filter(|f| !salobj::sample::is_private(f));
            let help = suggest(name, known, "its fields");
            let topic = schema.sal_name.replace("command_", "cmd_").replace("logevent_", "evt_");
            work.problems.add_help(*span, format!("{component}.{topic} has no field \"{name}\""), help);
            continue;
        };
        if !filled_in_later(value)
            && let Err(misfit) = check(field, &enums, &value.json())
        {
            work.problems.add_help(value.span, misfit.message, misfit.help);
        }
    }
}

fn filled_in_later(node: &Node) -> bool {
    match &node.value {
        Yaml::Text(text) => Template::is_one(text),
        Yaml::List(all) => all.iter().any(filled_in_later),
        _ => false,
    }
}
