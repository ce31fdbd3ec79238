//! How bad it is: the four levels of the SAL enumeration `AlarmSeverity`.

use std::fmt;
use std::str::FromStr;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Severity of an alarm, in increasing order. On the bus it is the number (`as i64`, [`Severity::try_from`]); in files
/// and in JSON it is the name in lower case; [`fmt::Display`] writes the name as the SAL enumeration has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is wrong.
    #[default]
    None = 1,
    /// Something is out of order; there is time.
    Warning = 2,
    /// Something needs to be done soon.
    Serious = 3,
    /// Something needs to be done now.
    Critical = 4,
}

/// A number or a word that is no severity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a severity: it must be 1 (NONE), 2 (WARNING), 3 (SERIOUS) or 4 (CRITICAL)")]
pub struct NoSeverity(String);

impl Severity {
    /// All of them, from `None` to `Critical`.
    pub const ALL: [Severity; 4] = [Severity::None, Severity::Warning, Severity::Serious, Severity::Critical];

    /// The name of the SAL enumeration's constant, in capital letters.
    pub fn name(self) -> &'static str {
        match self {
            Severity::None => "NONE",
            Severity::Warning => "WARNING",
            Severity::Serious => "SERIOUS",
            Severity::Critical => "CRITICAL",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl From<Severity> for i64 {
    fn from(severity: Severity) -> i64 {
        severity as i64
    }
}

impl TryFrom<i64> for Severity {
    type Error = NoSeverity;

    fn try_from(number: i64) -> Result<Severity, NoSeverity> {
        Severity::ALL
            .into_iter()
            .find(|s| i64::from(*s) == number)
            .ok_or_else(|| NoSeverity(number.to_string()))
    }
}

impl FromStr for Severity {
    type Err = NoSeverity;

    /// Reads a name in capital or small letters.
    fn from_str(text: &str) -> Result<Severity, NoSeverity> {
        Severity::ALL
            .into_iter()
            .find(|s| s.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| NoSeverity(format!("\"{text}\"")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_those_of_sal() {
        for (number, name) in [(1, "NONE"), (2, "WARNING"), (3, "SERIOUS"), (4, "CRITICAL")] {
            let severity = Severity::try_from(number).unwrap();
            assert_eq!(i64::from(severity), number);
            assert_eq!(severity.to_string(), name);
            assert_eq!(name.parse(), Ok(severity));
            assert_eq!(name.to_lowercase().parse(), Ok(severity));
            assert_eq!(serde_json::to_value(severity).unwrap(), name.to_lowercase());
        }
        assert!(Severity::Critical > Severity::Serious && Severity::Warning > Severity::None);
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        for number in [i64::MIN, -1, 0, 5, 257] {
            assert!(Severity::try_from(number).unwrap_err().to_string().starts_with(&number.to_string()));
        }
        assert!("".parse::<Severity>().is_err());
        assert!("bad".parse::<Severity>().unwrap_err().to_string().contains("\"bad\""));
    }
}
