//! The `tests:` of a rule: names and notation checked with the rest, and made into messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use salobj::Value;
use serde_json::Value as Json;

use super::Work;
use super::inputs::{field, topic};
use crate::rules::code::InputCode;
use crate::rules::diagnose::suggest;
use crate::rules::expr::lists;
use crate::rules::expr::prepass::parse_duration;
use crate::rules::flow::Part;
use crate::rules::schema::{FieldKind, FieldSchema, TopicSchema};
use crate::rules::series::{self, Point, Series};
use crate::rules::spec::{At, Free, TestSpec};
use crate::rules::test_case::{Expectation, TestAnswer, TestCase, TestMessage, TestResult, TestTopic};
use crate::rules::yaml::{Key, Span};

/// Step states that a test may expect.
const STATES: &[&str] =
    &["pending", "running", "retrying", "succeeded", "failed", "aborted", "timed_out", "skipped"];

/// Where a series goes.
struct Target {
    component: String,
    index: Option<i64>,
    schema: Arc<TopicSchema>,
    field: Option<(FieldSchema, Part)>,
}

/// Checks the tests; what is wrong is noted.
pub(super) fn tests(work: &Work<'_>, inputs: &[InputCode]) -> Vec<TestCase> {
    work.spec.tests.iter().map(|test| one(work, inputs, test)).collect()
}

fn line(work: &Work<'_>, span: Span) -> usize {
    work.problems.source.get(..span.0).map_or(0, |s| s.matches('\n').count()) + 1
}

fn one(work: &Work<'_>, inputs: &[InputCode], test: &TestSpec) -> TestCase {
    let steps: Vec<&str> = work.spec.tasks.0.iter().map(|(k, _)| k.name.as_str()).collect();
    let expected = test.expect.iter().flat_map(|e| e.tasks.0.iter().map(|(k, _)| k));
    for key in test.results.0.iter().map(|(k, _)| k).chain(expected) {
        if !steps.contains(&key.name.as_str()) {
            let help = suggest(&key.name, steps.iter().copied(), "tasks");
            work.problems.add_help(key.span, format!("there is no task \"{}\"", key.name), help);
        }
    }
    if work.spec.alarm.is_none() {
        for expect in test.expect.iter().filter(|e| e.severity.is_some() || e.reason.is_some()) {
            work.problems.add(expect.span, "the rule has no alarm, so nothing can be expected of it");
        }
    }
    for (_, state) in test.expect.iter().flat_map(|e| &e.tasks.0) {
        if !STATES.contains(&state.value.as_str()) {
            let help = suggest(&state.value, STATES.iter().copied(), "states");
            work.problems.add_help(state.span, format!("\"{}\" is no state of a task", state.value), help);
        }
    }
    TestCase {
        name: test.name.value.clone(),
        line: line(work, test.span),
        topics: topics(work, inputs, test),
        results: test.results.0.iter().map(|(k, v)| (k.name.clone(), result(work, v))).collect(),
        expect: test
            .expect
            .iter()
            .map(|e| Expectation {
                at_s: e.at.value.0,
                line: line(work, e.span),
                severity: e.severity,
                reason: e.reason.as_ref().map(|r| r.value.clone()),
                runs: e.runs.as_ref().map(|n| n.value),
                skipped: e.skipped.as_ref().map(|n| n.value),
                tasks: e.tasks.0.iter().map(|(k, v)| (k.name.clone(), v.value.clone())).collect(),
                error: e.error.as_ref().map(|r| r.value.clone()),
            })
            .collect(),
    }
}

/// `fail`, `timeout`, or a result, which may have `delay` in it.
fn result(work: &Work<'_>, node: &Free) -> TestResult {
    let mut delay_s = 0.0;
    let answer = match node.0.json() {
        Json::String(word) if word == "fail" => TestAnswer::Fail,
        Json::String(word) if word == "timeout" => TestAnswer::Timeout,
        Json::Object(mut fields) => {
            if let Some(delay) = fields.shift_remove("delay") {
                match delay.as_str().and_then(parse_duration) {
                    Some(seconds) => delay_s = seconds,
                    None => work.problems.add(node.0.span, "`delay` must be a duration, e.g. 10s"),
                }
            }
            match fields.get("answer").and_then(Json::as_str) {
                Some("fail") => TestAnswer::Fail,
                Some("timeout") => TestAnswer::Timeout,
                _ => TestAnswer::Result(Json::Object(fields)),
            }
        }
        _ => {
            let help = "write fail, timeout, or the fields of the result: {exit_code: 0}".to_owned();
            work.problems.add_help(node.0.span, "this is no answer of a task", help);
            TestAnswer::Fail
        }
    };
    TestResult { delay_s, answer }
}

type Fields = BTreeMap<String, Value>;

/// All series as messages: those of one topic and time are one message, and a field keeps its value until its series
/// gives another one.
fn topics(work: &Work<'_>, inputs: &[InputCode], test: &TestSpec) -> Vec<TestTopic> {
    let mut all: BTreeMap<(String, String, i64), BTreeMap<u64, Fields>> = BTreeMap::new();
    let mut carried: BTreeMap<(String, String, i64), Vec<String>> = BTreeMap::new();
    for (key, node) in &test.series.0 {
        let Some(target) = target(work, inputs, key) else { continue };
        let series = match series::parse(&node.0, &work.problems.source) {
            Ok(series) => series,
            Err((span, message)) => {
                work.problems.add(span, message);
                continue;
            }
        };
        let place = |index: i64| (target.component.clone(), target.schema.sal_name.clone(), index);
        let index = target.index.unwrap_or(i64::from(target.schema.indexed));
        match (series, &target.field) {
            (Series::Values(points), Some((schema, part))) => {
                carried.entry(place(index)).or_default().push(schema.name.clone());
                let messages = all.entry(place(index)).or_default();
                for (at, point) in points {
                    match value(schema, *part, point) {
                        Some(v) => {
                            drop(messages.entry(at.to_bits()).or_default().insert(schema.name.clone(), v))
                        }
                        None => {
                            work.problems.add(
                                node.0.span,
                                format!("a value does not fit the field \"{}\"", schema.name),
                            );
                            break;
                        }
                    }
                }
            }
            (Series::Values(_), None) => {
                let help = "write a list of messages: [{at: 10s, field: value}]".to_owned();
                work.problems.add_help(node.0.span, format!("\"{}\" is a whole message", key.name), help);
            }
            (Series::Messages(messages), _) => {
                for (at, fields) in messages {
                    let index = fields.get("salIndex").and_then(Json::as_i64).unwrap_or(index);
                    let known = message(work, &target.schema, fields, node.0.span);
                    all.entry(place(index)).or_default().entry(at.to_bits()).or_default().extend(known);
                }
            }
        }
    }
    all.into_iter()
        .map(|((component, sal_name, sal_index), messages)| {
            let keep =
                carried.get(&(component.clone(), sal_name.clone(), sal_index)).cloned().unwrap_or_default();
            let mut last = Fields::new();
            // The bits of times that are not negative are in the order of the times.
            let messages = messages
                .into_iter()
                .map(|(at, mut fields)| {
                    for name in &keep {
                        match fields.get(name) {
                            Some(v) => drop(last.insert(name.clone(), v.clone())),
                            None => fields.extend(last.get(name).map(|v| (name.clone(), v.clone()))),
                        }
                    }
                    TestMessage { at_s: f64::from_bits(at), fields }
                })
                .collect();
            TestTopic { component, sal_name, sal_index, messages }
        })
        .collect()
}

/// An input's name, or a topic with or without a field: `ATMCS.tel_mount_AzEl_Encoders.azimuthCalculatedAngle`.
fn target(work: &Work<'_>, inputs: &[InputCode], key: &Key) -> Option<Target> {
    let spec = &work.spec.inputs.0;
    if let Some((_, input)) = spec.iter().find(|(k, _)| k.name == key.name) {
        // An input that is wrong itself was told already.
        let code = inputs.iter().find(|i| i.name == key.name)?;
        let schema = work.schemas.topic(&code.component, &code.sal_name).ok()?;
        let field = match &input.field {
            Some(at) => field(work, &schema, at).map(|(f, p)| (f.clone(), p)),
            None => None,
        };
        return Some(Target { component: code.component.clone(), index: code.index, schema, field });
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
    Some(Target { component: found.component, index: found.index, schema: found.schema, field })
}

/// A point as a value of the field; a part of an array makes an array whose other elements are NaN, 0, false or empty.
fn value(field: &FieldSchema, part: Part, point: Point) -> Option<Value> {
    let scalar = match (field.kind, point) {
        (FieldKind::Double, Point::Number(v)) => Value::Double(v),
        (FieldKind::Int, Point::Number(v)) if v.fract() == 0.0 => Value::Int(v as i64),
        (FieldKind::Bool, Point::Truth(v)) => Value::Bool(v),
        (FieldKind::Text, Point::Text(v)) => Value::Text(v.into()),
        _ => return None,
    };
    let Some(count) = field.count else { return Some(scalar) };
    let here = |i: usize| match part {
        Part::Whole => true,
        Part::Element(k) => i == k,
        Part::Slice(a, b) => (a..b).contains(&i),
    };
    Some(match scalar {
        Value::Double(v) => Value::Doubles((0..count).map(|i| if here(i) { v } else { f64::NAN }).collect()),
        Value::Int(v) => Value::Ints((0..count).map(|i| if here(i) { v } else { 0 }).collect()),
        Value::Bool(v) => Value::Bools((0..count).map(|i| here(i) && v).collect()),
        Value::Text(v) => {
            Value::Texts((0..count).map(|i| if here(i) { v.clone() } else { "".into() }).collect())
        }
        _ => return None,
    })
}

/// The fields of a message written out.
fn message(
    work: &Work<'_>,
    schema: &TopicSchema,
    fields: serde_json::Map<String, Json>,
    span: Span,
) -> Fields {
    let mut known = Fields::new();
    for (name, json) in fields {
        let Some(field) = schema.field(&name) else {
            let help = suggest(&name, schema.fields.iter().map(|f| f.name.as_str()), "its fields");
            let topic = format!("{}.{}", schema.component, schema.sal_name);
            work.problems.add_help(span, format!("{topic} has no field \"{name}\""), help);
            continue;
        };
        let value = match (field.kind, lists::value_of(&json), field.count) {
            (FieldKind::Double, Value::Int(v), None) => Some(Value::Double(v as f64)),
            (FieldKind::Double, Value::Ints(v), Some(_)) => {
                Some(Value::Doubles(v.iter().map(|x| *x as f64).collect()))
            }
            (FieldKind::Double, Value::Text(t), None) if &*t == "nan" => Some(Value::Double(f64::NAN)),
            (FieldKind::Double, v @ Value::Double(_), None)
            | (FieldKind::Int, v @ Value::Int(_), None)
            | (FieldKind::Bool, v @ Value::Bool(_), None)
            | (FieldKind::Text, v @ Value::Text(_), None)
            | (FieldKind::Double, v @ Value::Doubles(_), Some(_))
            | (FieldKind::Int, v @ Value::Ints(_), Some(_))
            | (FieldKind::Bool, v @ Value::Bools(_), Some(_))
            | (FieldKind::Text, v @ Value::Texts(_), Some(_)) => Some(v),
            _ => None,
        };
        match value {
            Some(value) => drop(known.insert(name, value)),
            None => work.problems.add(span, format!("a value does not fit the field \"{name}\"")),
        }
    }
    known
}
