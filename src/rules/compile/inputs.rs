//! Inputs: the topic is looked up, fields are checked, cells are laid out.

use std::sync::Arc;

use salobj::Value;

use super::keys::{filter, key};
use super::{Work, sources};
use crate::rules::code::InputCode;
use crate::rules::diagnose::suggest;
use crate::rules::expr::lists;
use crate::rules::expr::scope::{Cells, FUNCTIONS, InputScope, RESERVED, Shape};
use crate::rules::flow::Part;
use crate::rules::schema::{FieldKind, FieldSchema, SchemaError, TopicSchema};
use crate::rules::spec::{At, InputSpec, WindowSpec};
use crate::rules::window::{Length, REDUCERS, Reducer};
use crate::rules::windowed::WindowPlan;
use crate::rules::yaml::Span;

/// Most inputs of a rule: the engine keeps sets of them as the bits of one word.
const MOST_INPUTS: usize = 63;

/// A topic as a rule names it.
pub(super) struct TopicRef {
    pub(super) component: String,
    pub(super) index: Option<i64>,
    pub(super) schema: Arc<TopicSchema>,
}

/// Looks a topic up: `Component[:index].tel_x`.
pub(super) fn topic(work: &Work<'_>, at: &At<String>) -> Option<TopicRef> {
    let text = at.value.trim();
    let wrong = |message: String, help: Option<String>| {
        work.problems.add_help(at.span, message, help);
        None
    };
    const FORM: &str = "write Component.evt_x, Component:301.tel_x or Component:*.tel_x";
    let Some((component, attribute)) = text.split_once('.') else {
        return wrong(format!("\"{text}\" is not a topic"), Some(FORM.to_owned()));
    };
    let (component, index) = match component.split_once(':') {
        Some((c, i)) => (c, Some(i)),
        None => (component, None),
    };
    if component == "Catcher" {
        let help = "read another rule by an input with `task: Rule.step` or `alarm: Name`".to_owned();
        return wrong("a rule cannot read the Catcher's own topics".to_owned(), Some(help));
    }
    let sal_name = match attribute.split_once('_') {
        Some(("tel", name)) => name.to_owned(),
        Some(("evt", name)) => format!("logevent_{name}"),
        Some(("cmd", name)) => format!("command_{name}"),
        _ if attribute == "ackcmd" => "ackcmd".to_owned(),
        _ => {
            return wrong(
                format!("\"{attribute}\" is not a topic: it begins with tel_, evt_ or cmd_"),
                Some(FORM.into()),
            );
        }
    };
    let schema = match work.schemas.topic(component, &sal_name) {
        Ok(schema) => schema,
        Err(SchemaError::UnknownComponent(_)) => {
            let known = work.schemas.components();
            let help = suggest(component, known.iter().map(String::as_str), "components");
            return wrong(format!("there is no component \"{component}\""), help);
        }
        Err(SchemaError::UnknownTopic { .. }) => {
            let known: Vec<String> = work.schemas.topics(component).iter().map(|t| attribute_of(t)).collect();
            let help = suggest(attribute, known.iter().map(String::as_str), "its topics");
            return wrong(format!("{component} has no topic \"{attribute}\""), help);
        }
        Err(other) => return wrong(other.to_string(), None),
    };
    let index = match (index, schema.indexed) {
        // SAL calls the only instance 0, too.
        (None | Some("0"), false) | (Some("*"), true) => None,
        (Some(i), true) => match i.parse::<i64>() {
            Ok(i) if i >= 0 => Some(i),
            _ => return wrong(format!("\"{i}\" is not an index: it is a number, or * for all"), None),
        },
        (None, true) => {
            let help = format!(
                "write {component}:1.{attribute} with the index, or {component}:*.{attribute} for all"
            );
            return wrong(format!("{component} has several instances"), Some(help));
        }
        (Some(_), false) => {
            return wrong(
                format!("{component} has one instance only"),
                Some(format!("write {component}.{attribute}")),
            );
        }
    };
    Some(TopicRef { component: component.to_owned(), index, schema })
}

fn attribute_of(sal_name: &str) -> String {
    match (sal_name.strip_prefix("logevent_"), sal_name.strip_prefix("command_")) {
        (Some(x), _) => format!("evt_{x}"),
        (_, Some(x)) => format!("cmd_{x}"),
        _ if sal_name == "ackcmd" => sal_name.to_owned(),
        _ => format!("tel_{sal_name}"),
    }
}

/// Looks a field up: `a`, `a[3]`, `a[0:4]`.
pub(super) fn field<'s>(
    work: &Work<'_>,
    schema: &'s TopicSchema,
    at: &At<String>,
) -> Option<(&'s FieldSchema, Part)> {
    let text = at.value.trim();
    let (name, part) = match text.split_once('[') {
        None => (text, Some(Part::Whole)),
        Some((name, rest)) => (name, rest.strip_suffix(']').and_then(part_of)),
    };
    let place = crate::rules::read::inside(&work.problems.source, at.span, text, (0, text.len()));
    let Some(part) = part else {
        let help = "write a, a[3] or a[0:4]".to_owned();
        work.problems.add_help(place, format!("\"{text}\" is not a field"), help);
        return None;
    };
    if schema.has_untyped(name) {
        let message = format!("the type of \"{name}\" is not known beforehand");
        let help = format!("leave out `field`, and write .{name} behind the input's name where it is used");
        work.problems.add_help(place, message, help);
        return None;
    }
    let Some(found) = schema.field(name) else {
        let help = suggest(name, schema.names(), "its fields");
        let sal = || format!("{}.{}", schema.component, attribute_of(&schema.sal_name));
        let message = format!("{} has no field \"{name}\"", schema.label().unwrap_or_else(sal));
        work.problems.add_help(place, message, help);
        return None;
    };
    let count = found.count.unwrap_or(1);
    let message = match part {
        Part::Whole => None,
        _ if found.count.is_none() => Some(format!("field \"{name}\" is a single value, not an array")),
        Part::Element(i) if i >= count => {
            Some(format!("field \"{name}\" has {count} elements, 0 to {}", count - 1))
        }
        Part::Slice(a, b) if a >= b || b > count => {
            Some(format!("field \"{name}\" has {count} elements: a slice is [from:to] within"))
        }
        _ => None,
    };
    if let Some(message) = message {
        work.problems.add(place, message);
        return None;
    }
    Some((found, part))
}

fn part_of(text: &str) -> Option<Part> {
    match text.split_once(':') {
        Some((a, b)) => Some(Part::Slice(a.trim().parse().ok()?, b.trim().parse().ok()?)),
        None => Some(Part::Element(text.trim().parse().ok()?)),
    }
}

/// Compiles all inputs and fills `work.inputs`.
pub(super) fn inputs(work: &mut Work<'_>) -> Vec<InputCode> {
    let spec = work.spec;
    let mut all = Vec::new();
    if let Some((key, _)) = spec.inputs.0.get(MOST_INPUTS) {
        work.problems.add(key.span, format!("a rule has at most {MOST_INPUTS} inputs"));
    }
    let mut components: Vec<String> = Vec::new();
    for (position, (key, input)) in spec.inputs.0.iter().take(MOST_INPUTS).enumerate() {
        let position = position as u16;
        check_name(work, &key.name, key.span);
        let topic = sources::source(work, input);
        if let Some(topic) = topic.as_ref().filter(|t| !components.contains(&t.component)) {
            components.push(topic.component.clone());
        }
        match topic.and_then(|t| one(work, position, &key.name, input, &t)) {
            Some((scope, code)) => {
                work.inputs.push(scope);
                all.push(code);
            }
            None => work.inputs.push(InputScope {
                name: key.name.clone(),
                shape: Shape::Broken,
                has_max_age: input.max_age.is_some(),
            }),
        }
    }
    // What a rule may call by name: the constants of the components that it reads.
    for component in components {
        for set in work.schemas.enumerations(&component) {
            if !work.enums.iter().any(|e| e.name == set.name) {
                work.enums.push(set);
            }
        }
    }
    for (key, _) in &spec.inputs.0 {
        if work.enums.iter().any(|e| e.name == key.name) {
            work.problems.add(
                key.span,
                format!("\"{}\" is the name of an enumeration: call the input otherwise", key.name),
            );
        }
    }
    all
}

fn check_name(work: &Work<'_>, name: &str, span: Span) {
    let mut letters = name.chars();
    let good = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !good {
        work.problems.add(span, format!("\"{name}\" cannot be an input's name: letters, digits and _ only"));
    } else if RESERVED.contains(&name) {
        work.problems.add(span, format!("\"{name}\" is a reserved word: call the input otherwise"));
    } else if FUNCTIONS.iter().any(|(f, _)| *f == name) {
        work.problems.add(span, format!("\"{name}\" is a function: call the input otherwise"));
    }
}

fn one(
    work: &Work<'_>,
    position: u16,
    name: &str,
    spec: &InputSpec,
    topic: &TopicRef,
) -> Option<(InputScope, InputCode)> {
    let problems = work.problems;
    let schema = &topic.schema;
    let max_age = spec.max_age.as_ref().map_or(f64::INFINITY, |s| s.value.0);
    if let (Some(_), Some(fields)) = (&spec.field, &spec.fields) {
        let at = fields.first().map_or(spec.topic.span, |f| f.span);
        problems.add(at, "an input has `field` or `fields`, not both");
    }
    let filter = spec.filter.as_ref().and_then(|cel| filter(work, position, cel, schema));
    let by = spec.by.as_ref().and_then(|cel| key(work, cel, schema));
    let mut initial = Vec::new();
    let mut single = None;
    let mut window = None;
    let shape = if let Some(at) = &spec.field {
        let (found, part) = field(work, schema, at)?;
        let cell = work.cells.of(position, &found.name, part);
        single = Some(cell);
        let list = found.count.is_some() && !matches!(part, Part::Element(_));
        let unit = found.unit.as_deref().map(Arc::from);
        let mut shape = Shape::One { cell, kind: found.kind, list, unit };
        if let Some(length) = &spec.window {
            let elements = if list { Some(elements(found, part)) } else { None };
            window = windowed(work, spec, length, found.kind, elements);
            if let Some(WindowPlan { reducer, .. }) = window
                && let Shape::One { kind, unit, .. } = &mut shape
            {
                *kind = FieldKind::Double;
                if matches!(reducer, Reducer::Count | Reducer::Rate | Reducer::Slope) {
                    *unit = None;
                }
            }
        }
        if let (Some(value), Some(_)) = (&spec.initial, &spec.by) {
            problems.add(
                value.0.span,
                "`initial` does not go with `by`: there is no key before the first message",
            );
        } else if let Some(value) = &spec.initial {
            let given = lists::value_of(&value.0.json());
            match fit(given, found.kind, list) {
                Some(value) => initial.push((cell, value)),
                None => problems.add(
                    value.0.span,
                    format!("`initial` is {}, the field is {}", value.0.kind(), kind_name(found.kind, list)),
                ),
            }
        }
        shape
    } else {
        let mut named = None;
        if let Some(fields) = &spec.fields {
            let mut names = Vec::new();
            for at in fields {
                if let Some((found, part)) = field(work, schema, at) {
                    if part != Part::Whole {
                        problems.add(at.span, "`fields` takes whole fields; use `field` for a part of one");
                    }
                    work.cells.of(position, &found.name, Part::Whole);
                    names.push(found.name.clone());
                }
            }
            named = Some(names);
        }
        for (key, span) in [
            ("window", spec.window.as_ref().map(|w| w.span)),
            ("initial", spec.initial.as_ref().map(|i| i.0.span)),
        ] {
            if let Some(span) = span {
                problems.add(span, format!("`{key}` needs `field`: one value"));
            }
        }
        Shape::Message(schema.clone(), named)
    };
    if spec.window.is_none() {
        for (key, span) in [
            ("reduce", spec.reduce.as_ref().map(|r| r.span)),
            ("min_count", spec.min_count.as_ref().map(|m| m.span)),
        ] {
            if let Some(span) = span {
                problems.add(span, format!("`{key}` needs `window`"));
            }
        }
    }
    let shape = match (&spec.by, &by) {
        (None, _) => shape,
        (Some(_), Some(by)) => Shape::Keyed { key: by.kind, of: Box::new(shape) },
        (Some(_), None) => Shape::Broken,
    };
    let scope = InputScope { name: name.to_owned(), shape, has_max_age: spec.max_age.is_some() };
    let code = InputCode {
        name: name.to_owned(),
        component: topic.component.clone(),
        sal_name: schema.sal_name.clone(),
        index: topic.index,
        filter,
        initial,
        max_age,
        window,
        by,
        told: false,
        single,
    };
    Some((scope, code))
}

fn kind_name(kind: FieldKind, list: bool) -> &'static str {
    match (kind, list) {
        (_, true) => "an array",
        (FieldKind::Bool, _) => "true or false",
        (FieldKind::Int, _) => "an integer",
        (FieldKind::Double, _) => "a number",
        (FieldKind::Text, _) => "text",
    }
}

fn fit(value: Value, kind: FieldKind, list: bool) -> Option<Value> {
    match (kind, list, value) {
        (FieldKind::Double, false, Value::Int(v)) => Some(Value::Double(v as f64)),
        (FieldKind::Double, true, Value::Ints(v)) => {
            Some(Value::Doubles(v.iter().map(|x| *x as f64).collect()))
        }
        (FieldKind::Double, false, v @ Value::Double(_))
        | (FieldKind::Int, false, v @ Value::Int(_))
        | (FieldKind::Bool, false, v @ Value::Bool(_))
        | (FieldKind::Text, false, v @ Value::Text(_))
        | (FieldKind::Double, true, v @ Value::Doubles(_))
        | (FieldKind::Int, true, v @ Value::Ints(_))
        | (FieldKind::Bool, true, v @ Value::Bools(_))
        | (FieldKind::Text, true, v @ Value::Texts(_)) => Some(v),
        _ => None,
    }
}

fn windowed(
    work: &Work<'_>,
    spec: &InputSpec,
    length: &At<WindowSpec>,
    kind: FieldKind,
    elements: Option<usize>,
) -> Option<WindowPlan> {
    let problems = work.problems;
    if !matches!(kind, FieldKind::Double | FieldKind::Int) {
        problems.add(length.span, format!("a window needs numbers, the field is {}", kind_name(kind, false)));
        return None;
    }
    let mut plan = WindowPlan { length: Length::Count(0), reducer: Reducer::Last, min_count: 1, elements };
    let most = plan.most();
    let length_value = match length.value {
        WindowSpec::Seconds(s) if s > 0.0 => Length::Seconds(s),
        WindowSpec::Count(n) if n as usize <= most => Length::Count(n as usize),
        _ => {
            problems.add(
                length.span,
                format!("this window is longer than nothing and has at most {most} values"),
            );
            return None;
        }
    };
    let Some(reduce) = &spec.reduce else {
        problems.add_help(
            length.span,
            "a window needs `reduce`",
            Some(format!("one of: {}", REDUCERS.join(", "))),
        );
        return None;
    };
    let min_count = spec.min_count.as_ref().map_or(1, |m| m.value as usize);
    let reducer = match reduce.value.trim() {
        "mean" => Reducer::Mean,
        "median" => Reducer::Median,
        "min" => Reducer::Min,
        "max" => Reducer::Max,
        "ptp" => Reducer::Ptp,
        "std" => Reducer::Std,
        "rms" => Reducer::Rms,
        "sum" => Reducer::Sum,
        "count" => Reducer::Count,
        "first" => Reducer::First,
        "last" => Reducer::Last,
        "rate" => Reducer::Rate,
        "slope" => Reducer::Slope,
        other => {
            let q = other
                .strip_prefix("quantile(")
                .and_then(|r| r.strip_suffix(')'))
                .and_then(|q| q.trim().parse().ok());
            match q {
                Some(q) if (0.0..=1.0).contains(&q) => Reducer::Quantile(q),
                Some(q) => {
                    problems.add(reduce.span, format!("a quantile is between 0 and 1, not {q}"));
                    return None;
                }
                None => {
                    let help = suggest(other, REDUCERS.iter().copied(), "reducers");
                    problems.add_help(reduce.span, format!("there is no reducer \"{other}\""), help);
                    return None;
                }
            }
        }
    };
    plan = WindowPlan { length: length_value, reducer, min_count, elements };
    Some(plan)
}

/// How many elements the part of an array has.
fn elements(field: &FieldSchema, part: Part) -> usize {
    match part {
        Part::Slice(a, b) => b - a,
        Part::Whole | Part::Element(_) => field.count.unwrap_or(1),
    }
}

/// The fields of every whole message that is used as such, and who looks at contexts, are known only now.
pub(super) fn finish(mut inputs: Vec<InputCode>, cells: &Cells, told: u64) -> Vec<InputCode> {
    for (i, input) in inputs.iter_mut().enumerate() {
        input.told = told & 1 << i != 0;
    }
    // `each` needs the message even if none of its fields is read: the send stamp stands for it.
    for (i, input) in inputs.iter().enumerate() {
        if input.single.is_none() && !cells.any(i as u16) {
            cells.of(i as u16, "private_sndStamp", Part::Whole);
        }
    }
    inputs
}
