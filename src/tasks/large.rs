//! Results that are too large for an event: the whole is kept as a file, the event has its address and a summary.

use serde_json::{Map, Value, json};

use super::call::StepOutcome;
use super::run::StepRun;

/// A longer result is not put into an event.
pub const MOST_BYTES: usize = 32 << 10;
/// A longer result is not kept in the run either: later steps and the alarm see the summary only.
pub const MOST_KEPT: usize = 256 << 10;
/// The name of the file.
pub const FILE: &str = "result.json";
/// Longest summary.
const SUMMARY_BYTES: usize = 8 << 10;

/// The text of a result that has to be kept as a file, if it is so long.
pub fn too_long(outcome: &StepOutcome) -> Option<String> {
    let text = outcome.result.to_string();
    (text.len() > MOST_BYTES).then_some(text)
}

/// What an event says of a step's result.
pub fn of_step(step: &StepRun) -> String {
    if step.result.is_null() {
        return String::new();
    }
    let text = step.result.to_string();
    if text.len() <= MOST_BYTES { text } else { summary(step).to_string() }
}

/// Address, size and the short values of a long result; a short one as it is.
pub fn summary(step: &StepRun) -> Value {
    let bytes = step.result.to_string().len();
    if bytes <= MOST_BYTES / 4 {
        return step.result.clone();
    }
    let url = step.files.iter().find(|file| file.name == FILE).map(|file| file.url.clone());
    json!({"url": url, "bytes": bytes, "summary": short(&step.result)})
}

/// The values of a result that are no longer than a line.
pub fn short(result: &Value) -> Value {
    let Some(all) = result.as_object() else { return Value::Null };
    let mut left = SUMMARY_BYTES;
    let mut kept = Map::new();
    for (key, value) in all {
        let bytes = key.len() + value.to_string().len();
        if bytes <= 256 && bytes <= left {
            left -= bytes;
            kept.insert(key.clone(), value.clone());
        }
    }
    Value::Object(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_has_the_short_values() {
        let long: Vec<u32> = (0..20_000).collect();
        let result = json!({"n": 20000, "name": "x", "values": long});
        assert_eq!(short(&result), json!({"n": 20000, "name": "x"}));
        assert_eq!(short(&json!([1, 2])), Value::Null);
        let many: Map<String, Value> = (0..2000).map(|n| (format!("key{n}"), json!("abc"))).collect();
        assert!(short(&Value::Object(many)).to_string().len() < 2 * SUMMARY_BYTES);
        let outcome = StepOutcome { result, ..StepOutcome::default() };
        assert!(too_long(&outcome).is_some_and(|text| text.len() > MOST_BYTES));
        assert_eq!(too_long(&StepOutcome { result: json!({"n": 1}), ..StepOutcome::default() }), None);
    }
}
