//! Which commands rules may send to other components, and with which fields.

use std::collections::BTreeMap;

use regex::Regex;
use salobj::Value;
#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::tasks::steps::Intent;

/// Commands of one component that rules may send.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct AllowedCommand {
    /// SAL component, e.g. `OCPS`.
    pub component: String,
    /// SAL indices; empty for all.
    #[serde(default)]
    pub indices: Vec<i32>,
    /// Command names without `cmd_`, e.g. `execute`.
    pub commands: Vec<String>,
    /// What their fields may hold, by field; fields that are not named may hold anything. A field that a rule does not give
    /// counts with its default: 0, false, or the empty text.
    #[serde(default)]
    pub fields: BTreeMap<String, FieldLimit>,
}

/// What a field of a command may hold. All that is given must be kept; of a list, by each element.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FieldLimit {
    /// Not below this.
    #[serde(default)]
    pub min: Option<f64>,
    /// Not above this.
    #[serde(default)]
    pub max: Option<f64>,
    /// One of these.
    #[serde(default)]
    pub one_of: Vec<serde_json::Value>,
    /// A regular expression that matches the whole text.
    #[serde(default)]
    pub matches: Option<String>,
}

impl AllowedCommand {
    /// Everything that no schema can say.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.component.contains('*') || self.commands.iter().any(|c| c.contains('*')) {
            problems.push("wildcards are not allowed; name each command".to_owned());
        }
        for (field, limit) in &self.fields {
            if let Some(Err(error)) = limit.matches.as_ref().map(|m| whole(m)) {
                problems.push(format!("fields.{field}.matches is no regular expression: {error}"));
            }
            if limit == &FieldLimit::default() {
                problems.push(format!("fields.{field} says nothing; give min, max, one_of or matches"));
            }
            if let (Some(min), Some(max)) = (limit.min, limit.max)
                && min > max
            {
                problems.push(format!("fields.{field}: min {min} is above max {max}"));
            }
        }
        problems
    }

    /// Whether this entry speaks of that command.
    fn names(&self, intent: &Intent<'_>) -> bool {
        self.component == intent.component
            && (self.indices.is_empty() || self.indices.contains(&intent.index))
            && self.commands.iter().any(|c| c == intent.command)
    }

    /// Whether the fields of the command are within the limits.
    fn keeps(&self, intent: &Intent<'_>) -> Result<(), String> {
        for (field, limit) in &self.fields {
            match intent.fields.iter().find(|(name, _)| name == field) {
                Some((_, value)) if !limit.holds(value) => {
                    return Err(format!(
                        "allowed_commands of this site does not allow {field} = {} in {}",
                        shown(value),
                        command(intent)
                    ));
                }
                // A limit on a field that is not there must not let everything pass.
                None if intent.complete => {
                    return Err(format!(
                        "allowed_commands limits the field {field}, which {} does not have",
                        command(intent)
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Whether a command may be sent, by this list: one entry is enough.
///
/// # Errors
/// What is not allowed.
pub fn allows(list: &[AllowedCommand], intent: &Intent<'_>) -> Result<(), String> {
    let mut refused = None;
    for entry in list.iter().filter(|entry| entry.names(intent)) {
        match entry.keeps(intent) {
            Ok(()) => return Ok(()),
            Err(why) => refused = Some(why),
        }
    }
    Err(refused
        .unwrap_or_else(|| format!("{} is not among the allowed_commands of this site", command(intent))))
}

fn command(intent: &Intent<'_>) -> String {
    let Intent { component, index, command, .. } = intent;
    // Only components of which there are several have an index other than 0.
    if *index == 0 {
        format!("{command} of {component}")
    } else {
        format!("{command} of {component}:{index}")
    }
}

impl FieldLimit {
    fn holds(&self, value: &Value) -> bool {
        match value {
            Value::Bools(all) => all.iter().all(|v| self.takes(&Value::Bool(*v))),
            Value::Ints(all) => all.iter().all(|v| self.takes(&Value::Int(*v))),
            Value::Doubles(all) => all.iter().all(|v| self.takes(&Value::Double(*v))),
            Value::Texts(all) => all.iter().all(|v| self.takes(&Value::Text(v.clone()))),
            one => self.takes(one),
        }
    }

    fn takes(&self, value: &Value) -> bool {
        let number = match value {
            Value::Int(v) => Some(*v as f64),
            Value::Double(v) => Some(*v),
            _ => None,
        };
        // NaN is within no limits.
        let within = |limit: Option<f64>, good: fn(f64, f64) -> bool| {
            limit.is_none_or(|limit| number.is_some_and(|n| good(n, limit)))
        };
        let one_of = self.one_of.is_empty()
            || self.one_of.iter().any(|allowed| match value {
                Value::Text(text) => allowed.as_str() == Some(&**text),
                Value::Bool(v) => allowed.as_bool() == Some(*v),
                _ => number.is_some() && allowed.as_f64() == number,
            });
        let matches = self.matches.as_ref().is_none_or(|pattern| match value {
            Value::Text(text) => whole(pattern).is_ok_and(|pattern| pattern.is_match(text)),
            _ => false,
        });
        within(self.min, |n, min| n >= min) && within(self.max, |n, max| n <= max) && one_of && matches
    }
}

fn whole(pattern: &str) -> Result<Regex, regex::Error> {
    Regex::new(&format!("^(?:{pattern})$"))
}

fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("{text:?}"),
        Value::Int(v) => v.to_string(),
        Value::Double(v) => v.to_string(),
        Value::Bool(v) => v.to_string(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list() -> Vec<AllowedCommand> {
        serde_json::from_value(json!([
            {"component": "MTDome", "commands": ["moveAz"], "fields": {
                "position": {"min": 0, "max": 90}, "velocity": {"max": 1.5}}},
            {"component": "MTDome", "commands": ["moveAz"], "fields": {"position": {"one_of": [180]}}},
            {"component": "OCPS", "indices": [1], "commands": ["execute"], "fields": {
                "pipeline": {"matches": "[a-z]+\\.yaml"}}},
        ]))
        .unwrap()
    }

    fn ask(
        component: &str,
        index: i32,
        command: &str,
        fields: &[(&str, Value)],
        complete: bool,
    ) -> Result<(), String> {
        allows(&list(), &Intent { component, index, command, fields, complete })
    }

    #[test]
    fn fields_are_kept_within_their_limits() {
        let dome = |position: f64, velocity: f64| {
            let fields = [("position", Value::Double(position)), ("velocity", Value::Double(velocity))];
            ask("MTDome", 0, "moveAz", &fields, true)
        };
        assert_eq!(dome(90.0, 1.5), Ok(()));
        assert_eq!(dome(180.0, 9.0), Ok(()), "the second entry allows it");
        assert!(dome(f64::NAN, 0.0).is_err());
        let refused = dome(91.0, 0.0).unwrap_err();
        assert_eq!(refused, "allowed_commands of this site does not allow position = 91 in moveAz of MTDome");
        let ocps = |text: &str| ask("OCPS", 1, "execute", &[("pipeline", Value::Text(text.into()))], true);
        assert_eq!(ocps("isr.yaml"), Ok(()));
        assert!(ocps("isr.yaml\n").is_err() && ocps("a/isr.yaml").is_err());
    }

    #[test]
    fn what_is_not_named_is_refused() {
        let refused = ask("OCPS", 2, "execute", &[], false).unwrap_err();
        assert_eq!(refused, "execute of OCPS:2 is not among the allowed_commands of this site");
        assert!(ask("MTMount", 0, "stop", &[], true).unwrap_err().contains("stop of MTMount is not among"));
    }

    #[test]
    fn a_limit_on_a_field_that_is_not_there_lets_nothing_pass() {
        assert!(ask("OCPS", 1, "execute", &[], true).unwrap_err().contains("does not have"));
        assert_eq!(ask("OCPS", 1, "execute", &[], false), Ok(()), "a template stands there still");
    }

    #[test]
    fn mistakes_are_told() {
        let wrong: AllowedCommand =
            serde_json::from_value(json!({"component": "A*", "commands": ["x"], "fields": {
            "a": {"matches": "("}, "b": {}, "c": {"min": 2, "max": 1}}}))
            .unwrap();
        assert_eq!(wrong.problems().len(), 4, "{:?}", wrong.problems());
        assert!(list().iter().all(|entry| entry.problems().is_empty()));
    }
}
