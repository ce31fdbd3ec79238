//! What a rule says about a `script_queue` step, and the command `add` that it becomes. Pure.

use std::time::Duration;

use salobj::Value as SalValue;
use serde::Deserialize;
use serde_json::Value;

use crate::rules::parse_duration;

/// Parameters of the step, as they are written.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScriptParams {
    /// Index of the queue.
    pub(super) queue: Value,
    /// The script.
    pub(super) path: String,
    /// A standard script, or an external one.
    #[serde(default)]
    pub(super) standard: Value,
    /// Its configuration.
    #[serde(default)]
    pub(super) config: Value,
    /// Why it is run.
    #[serde(default)]
    pub(super) description: Value,
    /// Where in the queue.
    #[serde(default)]
    pub(super) location: Value,
    /// Index of the script that is meant by before and after.
    #[serde(default)]
    pub(super) relative_to: Value,
    /// Python's level.
    #[serde(default)]
    pub(super) log_level: Value,
    /// Where it pauses.
    #[serde(default)]
    pub(super) pause_checkpoint: Value,
    /// Where it stops.
    #[serde(default)]
    pub(super) stop_checkpoint: Value,
    /// How long an observing queue is waited for.
    #[serde(default)]
    pub(super) wait_idle: Value,
}

/// The places in a queue, with the numbers of the enumeration `Location`, which begins with 1.
const LOCATIONS: [(&str, i64); 4] = [("first", 1), ("last", 2), ("before", 3), ("after", 4)];

/// What is to be added.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Added {
    pub(super) queue: i32,
    pub(super) path: String,
    pub(super) standard: bool,
    pub(super) at_the_end: bool,
    pub(super) wait_idle: Duration,
    /// The fields of the command.
    pub(super) fields: Vec<(&'static str, SalValue)>,
}

impl ScriptParams {
    /// Reads the parameters of a step.
    ///
    /// # Errors
    /// A key is wrong or missing.
    pub(super) fn read(params: &Value) -> Result<Self, String> {
        serde_json::from_value(params.clone())
            .map_err(|e| format!("the parameters of script_queue do not fit: {e}"))
    }

    /// The queue, if it is known yet.
    pub(super) fn queue(&self) -> Option<i32> {
        whole(&self.queue).and_then(|q| i32::try_from(q).ok()).filter(|q| *q > 0)
    }

    /// Whether it is to be added at the end; `None` if that is not known yet.
    pub(super) fn at_the_end(&self) -> Option<bool> {
        match text(&self.location).trim() {
            "" | "last" => Some(true),
            "first" | "before" | "after" => Some(false),
            _ => None,
        }
    }

    /// The command. `why` is the description of a script that has none.
    ///
    /// # Errors
    /// Every mistake that was found.
    pub(super) fn added(&self, why: &str) -> Result<Added, Vec<String>> {
        let mut mistakes = Vec::new();
        let mut wrong = |what: String| mistakes.push(what);
        let queue = self.queue().unwrap_or_else(|| {
            wrong(format!("queue is {}: MainTel is 1, AuxTel 2, OCS 3", self.queue));
            0
        });
        let path = self.path.trim().to_owned();
        if path.is_empty() || path.starts_with('/') || path.split('/').any(|part| part == "..") {
            wrong(format!("path is {path:?}: it is relative to the folder of the scripts, and inside of it"));
        }
        let standard = match (&self.standard, text(&self.standard).trim()) {
            (Value::Null, _) | (_, "true") => true,
            (_, "false") => false,
            (other, _) => {
                wrong(format!("standard is {other}: true or false"));
                true
            }
        };
        let place = text(&self.location);
        let place = if place.trim().is_empty() { "last" } else { place.trim() };
        let location = LOCATIONS.iter().find(|(name, _)| *name == place).map_or(0, |(_, number)| *number);
        let relative_to = whole(&self.relative_to).unwrap_or(0);
        if location == 0 {
            wrong(format!("location is {place:?}: first, last, before or after"));
        } else if location > 2 && relative_to < 1 {
            wrong(format!("location {place} needs relative_to, the index of a script in the queue"));
        }
        let log_level = whole(&self.log_level).unwrap_or(0);
        let config = self.config().unwrap_or_else(|e| {
            wrong(e);
            String::new()
        });
        let wait_idle = match &self.wait_idle {
            Value::Null => Some(0.0),
            Value::Number(seconds) => seconds.as_f64(),
            other => parse_duration(text(other).trim()),
        };
        let wait_idle = wait_idle.and_then(|s| Duration::try_from_secs_f64(s).ok()).unwrap_or_else(|| {
            wrong(format!("wait_idle is {}: it must be a duration, such as 10m", self.wait_idle));
            Duration::ZERO
        });
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let described = text(&self.description);
        let words = |text: &str| SalValue::Text(text.into());
        let fields = vec![
            ("isStandard", SalValue::Bool(standard)),
            ("path", words(&path)),
            ("config", words(&config)),
            ("descr", words(if described.trim().is_empty() { why } else { described.trim() })),
            ("location", SalValue::Int(location)),
            ("locationSalIndex", SalValue::Int(if location > 2 { relative_to } else { 0 })),
            ("logLevel", SalValue::Int(log_level)),
            ("pauseCheckpoint", words(&text(&self.pause_checkpoint))),
            ("stopCheckpoint", words(&text(&self.stop_checkpoint))),
        ];
        Ok(Added { queue, path, standard, at_the_end: location == 2, wait_idle, fields })
    }

    /// The configuration as the text that the queue wants.
    fn config(&self) -> Result<String, String> {
        match &self.config {
            Value::Null => Ok(String::new()),
            Value::Object(all) if all.is_empty() => Ok(String::new()),
            Value::Object(_) => Ok(yaml(&self.config)),
            Value::String(text) if text.trim().is_empty() => Ok(String::new()),
            Value::String(text) => match serde_saphyr::from_str::<Value>(text) {
                Ok(Value::Object(_)) => Ok(text.clone()),
                Ok(_) => Err("config must be a mapping".to_owned()),
                Err(e) => Err(format!("config is no YAML: {}", e.to_string().lines().next().unwrap_or(""))),
            },
            _ => Err("config must be a mapping".to_owned()),
        }
    }
}

/// JSON that a YAML 1.1 reader takes for the same: it would read `1e-7` as a text.
fn yaml(value: &Value) -> String {
    match value {
        Value::Number(number) if number.is_f64() => {
            let text = number.to_string();
            match text.split_once('e') {
                Some((digits, power)) => {
                    let point = if digits.contains('.') { "" } else { ".0" };
                    let sign = if power.starts_with('-') { "" } else { "+" };
                    format!("{digits}{point}e{sign}{}", power.trim_start_matches('+'))
                }
                None => text,
            }
        }
        Value::Array(all) => {
            let all: Vec<String> = all.iter().map(yaml).collect();
            format!("[{}]", all.join(", "))
        }
        Value::Object(all) => {
            let all: Vec<String> = all
                .iter()
                .map(|(key, value)| format!("{}: {}", Value::from(key.as_str()), yaml(value)))
                .collect();
            format!("{{{}}}", all.join(", "))
        }
        other => other.to_string(),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_i64(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn added(params: Value) -> Result<Added, Vec<String>> {
        ScriptParams::read(&params).map_err(|e| vec![e])?.added("rule X, run 1")
    }

    fn field(added: &Added, name: &str) -> SalValue {
        added.fields.iter().find(|(n, _)| *n == name).unwrap().1.clone()
    }

    #[test]
    fn the_command_says_where_and_how() {
        let plain = added(json!({"queue": 3, "path": "catcher/mute.py"})).unwrap();
        assert!(plain.standard && plain.at_the_end);
        assert_eq!(field(&plain, "location"), SalValue::Int(2));
        assert_eq!(field(&plain, "descr"), SalValue::Text("rule X, run 1".into()));
        let all = json!({"queue": "1", "path": "a.py", "standard": "false", "location": "before", "relative_to": 100_003,
            "config": {"a": 1e-7, "b": [true, "x: y"], "c": 1e20, "d": 2.5}, "log_level": 10, "wait_idle": "2m"});
        let all = added(all).unwrap();
        assert_eq!(field(&all, "location"), SalValue::Int(3));
        assert_eq!(field(&all, "locationSalIndex"), SalValue::Int(100_003));
        let config = r#"{"a": 1.0e-7, "b": [true, "x: y"], "c": 1.0e+20, "d": 2.5}"#;
        assert_eq!(field(&all, "config"), SalValue::Text(config.into()));
        assert_eq!((all.queue, all.standard, all.wait_idle), (1, false, Duration::from_secs(120)));
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let params = json!({"queue": 0, "path": "../x.py", "standard": "maybe", "location": "after",
            "config": "- 1", "wait_idle": "long"});
        let mistakes = added(params).unwrap_err();
        for part in
            ["queue is 0", "path is", "standard is", "needs relative_to", "config must be", "wait_idle is"]
        {
            assert!(mistakes.iter().any(|m| m.contains(part)), "{part}: {mistakes:?}");
        }
        assert!(
            added(json!({"queue": 1, "path": "a.py", "config": "a: ["})).unwrap_err()[0].contains("no YAML")
        );
        assert!(added(json!({"queue": 1, "path": "a.py", "location": "top"})).is_err());
    }
}
