//! From the `series` of a test to messages.
//!
//! Series of fields of one topic and instance are one stream of messages, as on the bus: where several have a value at
//! the same time, one message brings them all, and a field that has none at that time keeps its last value (before its
//! first it is missing). `_` is no message, or, where another field has a value then, a message without this field.

use std::collections::BTreeMap;
use std::sync::Arc;

use salobj::{Tai, Value};
use serde_json::{Map, Value as Json};

use super::Work;
use super::inputs::{field, topic};
use super::test_values::{of_json, of_point};
use crate::rules::code::InputCode;
use crate::rules::diagnose::suggest;
use crate::rules::expr::lists::value_of;
use crate::rules::flow::{FieldNeed, Part};
use crate::rules::schema::{FieldSchema, TopicSchema};
use crate::rules::series::{self, Series};
use crate::rules::spec::At;
use crate::rules::test_case::{TestCase, TestMessage, TestTopic};
use crate::rules::test_spec::TestSpec;
use crate::rules::yaml::{Key, Span};

/// What a name in `series` stands for.
struct Target {
    schema: Arc<TopicSchema>,
    index: i64,
    field: Option<(FieldSchema, Part)>,
}

/// Component, SAL name and index.
type Stream = (String, String, i64);

/// What comes at a time (in microseconds, so that times computed in different ways meet); a value of `None` is missing.
type Points = BTreeMap<i64, Vec<(FieldNeed, Option<Value>)>>;

/// All series as messages; what is wrong is noted.
pub(super) fn topics(work: &Work<'_>, inputs: &[InputCode], test: &TestSpec) -> Vec<TestTopic> {
    let mut streams: BTreeMap<Stream, Points> = BTreeMap::new();
    for (key, node) in &test.series.0 {
        let Some(target) = target(work, inputs, key) else { continue };
        let stream = |index: i64| (target.schema.component.clone(), target.schema.sal_name.clone(), index);
        match (series::parse(&node.0, &work.problems.source), &target.field) {
            (Err((span, message)), _) => work.problems.add(span, message),
            (Ok(Series::Values(all)), Some((schema, part))) => {
                let points = streams.entry(stream(target.index)).or_default();
                let need = FieldNeed { name: schema.name.clone(), part: *part };
                for (at, point) in all {
                    match of_point(&point, schema, *part) {
                        Ok(value) => points.entry(micros(at)).or_default().push((need.clone(), value)),
                        Err(message) => {
                            work.problems.add(node.0.span, message);
                            break;
                        }
                    }
                }
            }
            (Ok(Series::Values(_)), None) => {
                let help = "write a list of messages: [{at: 10s, field: value}]".to_owned();
                work.problems.add_help(node.0.span, format!("\"{}\" is a whole message", key.name), help);
            }
            (Ok(Series::Messages(all)), _) => {
                for (at, fields) in all {
                    let index = fields.get("salIndex").and_then(Json::as_i64).unwrap_or(target.index);
                    let known = message(work, &target.schema, &fields, at, node.0.span);
                    // A message without fields is a message too.
                    streams.entry(stream(index)).or_default().entry(micros(at)).or_default().extend(known);
                }
            }
        }
    }
    streams
        .into_iter()
        .map(|((component, sal_name, sal_index), points)| TestTopic {
            component,
            sal_name,
            sal_index,
            messages: messages(points),
        })
        .collect()
}

fn micros(seconds: f64) -> i64 {
    (seconds * 1e6).round() as i64
}

fn messages(points: Points) -> Vec<TestMessage> {
    let mut last: BTreeMap<FieldNeed, Value> = BTreeMap::new();
    let mut all = Vec::with_capacity(points.len());
    for (at, given) in points {
        if !given.is_empty() && given.iter().all(|(_, value)| value.is_none()) {
            continue;
        }
        let mut missing = Vec::new();
        for (need, value) in given {
            match value {
                Some(value) => drop(last.insert(need, value)),
                None => missing.push(need),
            }
        }
        let mut fields = last.clone();
        fields.extend(missing.into_iter().map(|need| (need, Value::Null)));
        all.push(TestMessage { at_s: at as f64 / 1e6, fields });
    }
    all
}

/// An input's name, or a topic with or without a field: `ATMCS.tel_mount_AzEl_Encoders.azimuthCalculatedAngle`.
fn target(work: &Work<'_>, inputs: &[InputCode], key: &Key) -> Option<Target> {
    let spec = &work.spec.inputs.0;
    let of_all = |index: Option<i64>, schema: &TopicSchema| index.unwrap_or(i64::from(schema.indexed));
    if let Some((_, input)) = spec.iter().find(|(k, _)| k.name == key.name) {
        // An input that is wrong itself was told already.
        let code = inputs.iter().find(|i| i.name == key.name)?;
        let schema = work.schemas.topic(&code.component, &code.sal_name).ok()?;
        let field = match &input.field {
            Some(at) => field(work, &schema, at).map(|(f, p)| (f.clone(), p)),
            None => None,
        };
        return Some(Target { index: of_all(code.index, &schema), schema, field });
    }
    if !key.name.contains('.') {
        let help = suggest(&key.name, spec.iter().map(|(k, _)| k.name.as_str()), "inputs");
        work.problems.add_help(key.span, format!("there is no input \"{}\"", key.name), help);
        return None;
    }
    let (topic_text, field_text) = match key.name.match_indices('.').nth(1) {
        Some((second, _)) => (&key.name[..second], Some(&key.name[second + 1..])),
        None => (key.name.as_str(), None),
    };
    let found = topic(work, &At { value: topic_text.to_owned(), span: key.span })?;
    let field = match field_text {
        Some(text) => {
            let at = At { value: text.to_owned(), span: key.span };
            Some(field(work, &found.schema, &at).map(|(f, p)| (f.clone(), p))?)
        }
        None => None,
    };
    Some(Target { index: of_all(found.index, &found.schema), schema: found.schema, field })
}

/// The fields of a message written out.
fn message(
    work: &Work<'_>,
    schema: &TopicSchema,
    fields: &Map<String, Json>,
    at_s: f64,
    span: Span,
) -> Vec<(FieldNeed, Option<Value>)> {
    let start = TestCase::start();
    let mut known = Vec::new();
    for (name, json) in fields.iter().filter(|(name, _)| *name != "salIndex") {
        if schema.has_untyped(name) {
            let need = FieldNeed { name: name.clone(), part: Part::Whole };
            let value = value_of(json);
            known.push((need, (value != Value::Null).then_some(value)));
            continue;
        }
        let at = At { value: name.clone(), span };
        let Some((found, part)) = field(work, schema, &at) else { continue };
        match of_json(json, found, part, Tai(start.0 + at_s), start) {
            Ok(value) => {
                let need = FieldNeed { name: found.name.clone(), part };
                known.push((need, (value != Value::Null).then_some(value)));
            }
            Err(message) => work.problems.add(span, message),
        }
    }
    known
}
