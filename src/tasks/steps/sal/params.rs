//! What a rule says about a `sal` step, checked against the interface of the component. Pure.

use std::time::Duration;

use sal_idl::{Component, Topic};
use salobj::Value as SalValue;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::rules::{FieldSchema, TopicSchema, Wanted, field_value, parse_duration};

/// How long the event is waited for after the command, unless the rule says it; the step's own limit counts, too.
const EVENT: Duration = Duration::from_secs(60);

/// Parameters of the step, as they are written.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SalParams {
    /// Component.
    pub(super) component: String,
    /// Instance; 0 where there is only one.
    #[serde(default)]
    pub(super) index: Value,
    /// Command without `cmd_`.
    pub(super) command: String,
    /// Its fields.
    #[serde(default)]
    pub(super) fields: Map<String, Value>,
    /// How long the final acknowledgement is waited for.
    #[serde(default)]
    pub(super) ack_timeout: Option<Value>,
    /// What is waited for after it.
    #[serde(default)]
    pub(super) then: Option<Then>,
}

/// The event that is waited for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Then {
    /// Name without `evt_`.
    pub(super) event: String,
    /// What its fields must be.
    #[serde(default, rename = "where")]
    pub(super) wanted: Map<String, Value>,
    /// What its fields are if it went wrong.
    #[serde(default)]
    pub(super) fails: Map<String, Value>,
    /// How long it is waited for after the command was done.
    #[serde(default)]
    pub(super) timeout: Option<Value>,
    /// The event of before the command counts too.
    #[serde(default)]
    pub(super) already: Value,
}

/// What is to be sent, and what is waited for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Plan {
    pub(super) index: i32,
    /// All fields of the command.
    pub(super) fields: Vec<(String, SalValue)>,
    pub(super) ack_timeout: Option<Duration>,
    pub(super) then: Option<Awaited>,
}

/// The event that is waited for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Awaited {
    pub(super) event: String,
    /// Its fields, in the order of the values that are compared.
    pub(super) names: Vec<String>,
    pub(super) wanted: Vec<(usize, Wanted)>,
    pub(super) fails: Vec<(usize, Wanted)>,
    pub(super) timeout: Duration,
    pub(super) already: bool,
}

impl Awaited {
    /// Whether an event is the one; `Some(false)` if it says that it went wrong.
    pub(super) fn judge(&self, values: &[SalValue]) -> Option<bool> {
        let all = |tests: &[(usize, Wanted)]| {
            tests.iter().all(|(at, wanted)| values.get(*at).is_some_and(|v| wanted.holds(v)))
        };
        if !self.fails.is_empty() && all(&self.fails) {
            return Some(false);
        }
        all(&self.wanted).then_some(true)
    }

    /// The fields of an event by name.
    pub(super) fn shown(&self, values: &[SalValue]) -> Value {
        let named = self.names.iter().zip(values).map(|(n, v)| (n.clone(), crate::rules::value_json(v)));
        Value::Object(named.collect())
    }
}

impl SalParams {
    /// Reads the parameters of a step.
    ///
    /// # Errors
    /// A key is wrong or missing.
    pub(super) fn read(params: &Value) -> Result<Self, String> {
        serde_json::from_value(params.clone()).map_err(|e| format!("the parameters of sal do not fit: {e}"))
    }

    /// The instance, if it is known yet.
    pub(super) fn index(&self, component: &Component) -> Result<i32, String> {
        let name = &component.name;
        let index = match &self.index {
            Value::Null => Some(0),
            Value::String(text) => text.trim().parse().ok(),
            other => other.as_i64(),
        };
        let index = index
            .and_then(|i| i32::try_from(i).ok())
            .ok_or_else(|| format!("index is {}: it must be a whole number", self.index))?;
        match (component.indexed, index) {
            (true, i) if i < 1 => Err(format!("{name} has several instances: index must name one")),
            (false, i) if i != 0 => Err(format!("{name} has one instance only: leave index out")),
            _ => Ok(index),
        }
    }

    /// The command's topic.
    pub(super) fn topic<'c>(&self, component: &'c Component) -> Result<&'c Topic, String> {
        let found = component.topic(&format!("command_{}", self.command));
        let none = || format!("{} has no command {}", component.name, self.command);
        found.map(AsRef::as_ref).ok_or_else(none)
    }

    /// What is to be sent and waited for.
    ///
    /// # Errors
    /// Every mistake that was found.
    pub(super) fn plan(&self, component: &Component) -> Result<Plan, Vec<String>> {
        let mut mistakes = Vec::new();
        let mut keep = |mistake: String| mistakes.push(mistake);
        let index = self.index(component).map_err(&mut keep).unwrap_or_default();
        let fields = match self.topic(component) {
            Ok(topic) => self.all_fields(component, topic, &mut keep),
            Err(e) => {
                keep(e);
                Vec::new()
            }
        };
        let ack_timeout = duration(self.ack_timeout.as_ref(), "ack_timeout", &mut keep);
        let then = self.then.as_ref().and_then(|then| then.awaited(component, &mut keep));
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        Ok(Plan { index, fields, ack_timeout, then })
    }

    /// All fields of the command, those that are not given with their defaults.
    fn all_fields(
        &self,
        component: &Component,
        topic: &Topic,
        keep: &mut impl FnMut(String),
    ) -> Vec<(String, SalValue)> {
        let schema = TopicSchema::of(topic, component.indexed);
        let own: Vec<&str> = topic.own_fields().map(|f| f.name.as_str()).collect();
        for name in self.fields.keys().filter(|name| !own.contains(&name.as_str())) {
            keep(format!("{} has no field {name} in cmd_{}", component.name, self.command));
        }
        let mut fields = Vec::new();
        for field in topic.own_fields() {
            let default = || salobj::wire::default_value(field);
            let value = match (self.fields.get(&field.name), schema.field(&field.name)) {
                (Some(written), Some(schema)) => match field_value(schema, &component.enums, written) {
                    Ok(value) => value,
                    Err(misfit) => {
                        keep(told(&misfit));
                        default()
                    }
                },
                _ => default(),
            };
            fields.push((field.name.clone(), value));
        }
        fields
    }

    /// The fields that are written without anything to fill in, for a check before anything runs. What does not fit is told
    /// elsewhere.
    pub(super) fn known_fields(&self, component: &Component, topic: &Topic) -> Vec<(String, SalValue)> {
        let schema = TopicSchema::of(topic, component.indexed);
        let known = self.fields.iter().filter(|(_, written)| !filled_in_later(written));
        known
            .filter_map(|(name, written)| {
                let value = field_value(schema.field(name)?, &component.enums, written).ok()?;
                Some((name.clone(), value))
            })
            .collect()
    }
}

fn filled_in_later(written: &Value) -> bool {
    match written {
        Value::String(text) => text.contains("{{") || text.contains("{%"),
        Value::Array(all) => all.iter().any(filled_in_later),
        _ => false,
    }
}

impl Then {
    fn awaited(&self, component: &Component, keep: &mut impl FnMut(String)) -> Option<Awaited> {
        let Some(topic) = component.topic(&format!("logevent_{}", self.event)) else {
            keep(format!("{} has no event {}", component.name, self.event));
            return None;
        };
        let schema = TopicSchema::of(topic, component.indexed);
        let names: Vec<String> = topic.own_fields().map(|f| f.name.clone()).collect();
        let mut tests = |all: &Map<String, Value>| {
            let mut tests = Vec::new();
            for (name, written) in all {
                let at = names.iter().position(|n| n == name);
                let field: Option<(usize, &FieldSchema)> = at.zip(schema.field(name));
                match field.map(|(at, field)| (at, Wanted::read(field, &component.enums, written))) {
                    Some((at, Ok(wanted))) => tests.push((at, wanted)),
                    Some((_, Err(misfit))) => keep(told(&misfit)),
                    None => keep(format!("{} has no field {name} in evt_{}", component.name, self.event)),
                }
            }
            tests
        };
        let (wanted, fails) = (tests(&self.wanted), tests(&self.fails));
        let timeout = duration(self.timeout.as_ref(), "then.timeout", keep).unwrap_or(EVENT);
        let already = matches!(&self.already, Value::Bool(true)) || self.already == json!("true");
        Some(Awaited { event: self.event.clone(), names, wanted, fails, timeout, already })
    }
}

fn told(misfit: &crate::rules::Misfit) -> String {
    match &misfit.help {
        Some(help) => format!("{} ({help})", misfit.message),
        None => misfit.message.clone(),
    }
}

/// A duration with its unit, or seconds.
fn duration(written: Option<&Value>, key: &str, keep: &mut impl FnMut(String)) -> Option<Duration> {
    let written = written?;
    let seconds = match written {
        Value::String(text) => parse_duration(text.trim()).or_else(|| text.trim().parse().ok()),
        other => other.as_f64(),
    };
    let found = seconds.and_then(|s| Duration::try_from_secs_f64(s).ok());
    if found.is_none() {
        keep(format!("{key} is {written}: it must be a duration, such as 30s"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(params: Value) -> Result<Plan, Vec<String>> {
        let component = sal_idl::Library::embedded().component("Test").unwrap();
        SalParams::read(&params).map_err(|e| vec![e])?.plan(&component)
    }

    #[test]
    fn a_command_leaves_with_all_its_fields() {
        let params = json!({"component": "Test", "index": "7", "command": "wait", "ack_timeout": "30s",
            "fields": {"duration": "2.5"}, "then": {"event": "scalars", "where": {"int0": "> 3"}}});
        let plan = plan(params).unwrap();
        assert_eq!(plan.index, 7);
        let expected = [("ack".to_owned(), SalValue::Int(0)), ("duration".to_owned(), SalValue::Double(2.5))];
        assert_eq!(plan.fields, expected);
        let then = plan.then.unwrap();
        assert_eq!((then.timeout, then.already), (EVENT, false));
        let mut values = vec![SalValue::Int(0); then.names.len()];
        assert_eq!(then.judge(&values), None);
        values[then.wanted[0].0] = SalValue::Int(4);
        assert_eq!(then.judge(&values), Some(true));
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let params = json!({"component": "Test", "command": "wait", "ack_timeout": "soon",
            "fields": {"duration": "long", "speed": 1},
            "then": {"event": "scalars", "where": {"int0": "> x", "nosuch": 1}, "timeout": -1}});
        let mistakes = plan(params).unwrap_err();
        for part in [
            "index must name one",
            "\"duration\"",
            "no field speed",
            "ack_timeout",
            "int0",
            "nosuch",
            "then.timeout",
        ] {
            assert!(mistakes.iter().any(|m| m.contains(part)), "{part}: {mistakes:?}");
        }
        assert_eq!(mistakes.len(), 7, "{mistakes:?}");
        assert!(plan(json!({"component": "Test", "index": 1, "command": "nosuch"})).is_err());
        assert!(
            plan(json!({"component": "Test", "command": "wait", "colour": 1})).unwrap_err()[0]
                .contains("colour")
        );
    }
}
