//! What a program answers, and what its end means.
//!
//! An answer is one JSON object with any of these keys:
//!
//! | key | meaning |
//! |---|---|
//! | `severity` | its own judgement: `none`, `warning`, `serious`, `critical`, or 1 to 4 |
//! | `reason` | a sentence for people |
//! | `values` | what it found, by name |
//! | `units` | units of values, by name |
//! | `plot` | a plot for the report, in the form of [`crate::tasks::analysis::Plot`] |
//!
//! Exit code 0 is an answer. 75 ("temporary failure") is a transient error, any other a permanent one; its text is what the
//! program wrote to its standard error.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::alarms::Severity;
use crate::tasks::analysis::Plot;
use crate::tasks::call::{StepError, StepOutcome};

/// The exit code by which a program asks to be run again later.
const TRY_LATER: i32 = 75;
/// The wrapper's: the limits could not be set, or the program could not be run.
const NOT_RUN: [i32; 2] = [126, 127];
/// A shell adds the signal to this.
const SIGNALS: i32 = 128;
/// SIGXFSZ.
const TOO_LARGE: i32 = 25;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    #[serde(default)]
    severity: Option<Value>,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    values: Map<String, Value>,
    #[serde(default)]
    units: Map<String, Value>,
    #[serde(default)]
    plot: Option<Plot>,
}

/// How the step ends.
pub(super) fn conclude(
    exit: i32,
    answer: Result<String, String>,
    log: &str,
) -> Result<StepOutcome, StepError> {
    let words = if log.is_empty() { "it wrote nothing to its standard error" } else { log };
    match exit {
        0 => {
            let text = answer
                .map_err(|e| StepError::permanent(format!("the program's answer cannot be read: {e}")))?;
            read(&text)
        }
        TRY_LATER => Err(StepError::transient(format!("the program asks to be run again later: {words}"))),
        code if NOT_RUN.contains(&code) => {
            Err(StepError::permanent(format!("the program could not be run: {words}")))
        }
        code if code == SIGNALS + TOO_LARGE => {
            Err(StepError::permanent("the program wrote a file that is larger than file_mb allows"))
        }
        code if code > SIGNALS => {
            let signal = code - SIGNALS;
            Err(StepError::permanent(format!("the program was ended by signal {signal}: {words}")))
        }
        code => Err(StepError::permanent(format!("the program ended with exit code {code}: {words}"))),
    }
}

fn read(text: &str) -> Result<StepOutcome, StepError> {
    let bad = |e: &dyn std::fmt::Display| {
        StepError::permanent(format!(
            "the program's standard output is no answer (one JSON object with severity, reason, values, units, plot): {e}"
        ))
    };
    let answer: Answer = serde_json::from_str(text).map_err(|e| bad(&e))?;
    let severity = match &answer.severity {
        None | Some(Value::Null) => Value::Null,
        Some(told) => json!(i64::from(severity(told).ok_or_else(|| bad(&format!("severity {told}")))?)),
    };
    let mut result = json!({
        "reason": answer.reason,
        "values": answer.values,
        "units": answer.units,
    });
    if !severity.is_null() {
        result["severity"] = severity;
    }
    Ok(StepOutcome { result, plot: answer.plot, ..StepOutcome::default() })
}

fn severity(told: &Value) -> Option<Severity> {
    match told {
        Value::Number(number) => Severity::try_from(number.as_i64()?).ok(),
        Value::String(word) => serde_json::from_value(json!(word.to_lowercase())).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::call::ErrorClass;

    #[test]
    fn an_answer_is_read_and_its_severity_made_a_number() {
        let text = r#"{"severity": "serious", "values": {"fwhm": 1.2}, "units": {"fwhm": "arcsec"}}"#;
        let result = conclude(0, Ok(text.into()), "").unwrap().result;
        assert_eq!(
            result,
            json!({"reason": "", "values": {"fwhm": 1.2}, "units": {"fwhm": "arcsec"}, "severity": 3})
        );
        assert_eq!(conclude(0, Ok(r#"{"severity": 2}"#.into()), "").unwrap().result["severity"], 2);
        assert_eq!(conclude(0, Ok("{}".into()), "").unwrap().result.get("severity"), None);
    }

    #[test]
    fn every_end_has_its_class_and_its_words() {
        let table = [
            (0, "", ErrorClass::Permanent, "is no answer"),
            (0, "{\"value\": 1}", ErrorClass::Permanent, "unknown field `value`"),
            (0, "{\"severity\": 7}", ErrorClass::Permanent, "severity 7"),
            (0, "{} {}", ErrorClass::Permanent, "trailing"),
            (75, "", ErrorClass::Transient, "later: the log"),
            (1, "{}", ErrorClass::Permanent, "exit code 1: the log"),
            (126, "", ErrorClass::Permanent, "could not be run"),
            (137, "", ErrorClass::Permanent, "signal 9"),
            (153, "", ErrorClass::Permanent, "file_mb"),
        ];
        for (exit, answer, class, words) in table {
            let error = conclude(exit, Ok(answer.to_owned()), "the log").unwrap_err();
            assert_eq!(error.class, class, "{exit} {answer}");
            assert!(error.text.contains(words), "{exit} {answer}: {error}");
        }
    }
}
