//! From a number to a severity: levels with hysteresis, as the Watcher's threshold handler has them.
//!
//! A level is reached if the value is strictly beyond it. A level that is reached is left only when the value comes
//! back by the hysteresis or more; what counts then are the levels that the value is beyond, hysteresis or not, so
//! that a fall can pass over a level in whose hysteresis the value lies. Checked against the original by
//! `tests/levels.rs`.

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::severity::Severity;

/// Neighbouring levels are further apart than the hysteresis by this factor.
const SEPARATION: f64 = 1.1;

/// On which side of the levels it gets worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Large values are bad.
    #[default]
    Above,
    /// Small values are bad.
    Below,
}

/// Levels that were checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Levels {
    /// From the worst to the least; times `sign`, more is worse.
    scaled: Vec<(Severity, f64)>,
    sign: f64,
    hysteresis: f64,
}

/// Levels that make no sense.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LevelsError {
    /// No level at all.
    #[error("there is no level: give at least one of warning, serious, critical")]
    None,
    /// A level of severity none, or two of one severity.
    #[error("there can be one level each of warning, serious and critical, not {count} of {severity}")]
    Severity {
        /// Of which severity there are too many.
        severity: Severity,
        /// How many there are.
        count: usize,
    },
    /// A level that is no number.
    #[error("the level of {severity} is {level}: it must be finite")]
    NotFinite {
        /// Whose level.
        severity: Severity,
        /// The level.
        level: f64,
    },
    /// A hysteresis that is negative or no number.
    #[error("the hysteresis is {0}: it must be finite and not negative")]
    Hysteresis(f64),
    /// Two levels that do not follow each other.
    #[error(
        "the levels of {less} ({less_level}) and {worse} ({worse_level}) are in the wrong order for this direction"
    )]
    Order {
        /// The lesser severity.
        less: Severity,
        /// Its level.
        less_level: f64,
        /// The next worse severity.
        worse: Severity,
        /// Its level.
        worse_level: f64,
    },
    /// Two levels within one hysteresis.
    #[error(
        "the levels of {less} ({less_level}) and {worse} ({worse_level}) must be more than 1.1 times the hysteresis \
         ({hysteresis}) apart"
    )]
    Close {
        /// The lesser severity.
        less: Severity,
        /// Its level.
        less_level: f64,
        /// The next worse severity.
        worse: Severity,
        /// Its level.
        worse_level: f64,
        /// The hysteresis.
        hysteresis: f64,
    },
}

impl Levels {
    /// Checks the levels, given in any order.
    ///
    /// # Errors
    /// All that is wrong with them.
    pub fn new(
        levels: &[(Severity, f64)],
        direction: Direction,
        hysteresis: f64,
    ) -> Result<Levels, Vec<LevelsError>> {
        let mut errors = Vec::new();
        if levels.is_empty() {
            errors.push(LevelsError::None);
        }
        for severity in Severity::ALL {
            let count = levels.iter().filter(|(s, _)| *s == severity).count();
            if count > usize::from(severity != Severity::None) {
                errors.push(LevelsError::Severity { severity, count });
            }
        }
        for &(severity, level) in levels.iter().filter(|(_, level)| !level.is_finite()) {
            errors.push(LevelsError::NotFinite { severity, level });
        }
        if !(hysteresis.is_finite() && hysteresis >= 0.0) {
            errors.push(LevelsError::Hysteresis(hysteresis));
        }
        let sign = match direction {
            Direction::Above => 1.0,
            Direction::Below => -1.0,
        };
        let mut scaled: Vec<_> = levels.iter().map(|&(severity, level)| (severity, level * sign)).collect();
        scaled.sort_by_key(|&(severity, _)| std::cmp::Reverse(severity));
        if errors.is_empty() {
            errors.extend(scaled.windows(2).filter_map(|pair| misplaced(pair[0], pair[1], sign, hysteresis)));
        }
        if errors.is_empty() { Ok(Levels { scaled, sign, hysteresis }) } else { Err(errors) }
    }

    /// Severity for this value, if the severity was `current` before. A NaN is beyond no level; a rule, to which it is
    /// an unknown value, does not ask.
    pub fn severity(&self, value: f64, current: Severity) -> Severity {
        let value = value * self.sign;
        let holds = |&&(severity, level): &&(Severity, f64)| {
            value > level || (severity == current && value > level - self.hysteresis)
        };
        self.scaled.iter().find(holds).map_or(Severity::None, |&(severity, _)| severity)
    }

    /// The values, from the least to the greatest, that are beyond no level.
    pub fn calm(&self) -> (f64, f64) {
        // The least level is the last; one exists.
        let limit = self.scaled.last().map_or(f64::NAN, |&(_, level)| level) * self.sign;
        if self.sign > 0.0 { (f64::NEG_INFINITY, limit) } else { (limit, f64::INFINITY) }
    }

    /// The level of a severity, if it has one.
    pub fn level(&self, severity: Severity) -> Option<f64> {
        self.scaled.iter().find(|(s, _)| *s == severity).map(|&(_, level)| level * self.sign)
    }
}

fn misplaced(
    worse: (Severity, f64),
    less: (Severity, f64),
    sign: f64,
    hysteresis: f64,
) -> Option<LevelsError> {
    let (worse_level, less_level) = (worse.1 * sign, less.1 * sign);
    if worse.1 <= less.1 {
        return Some(LevelsError::Order { less: less.0, less_level, worse: worse.0, worse_level });
    }
    (worse.1 - hysteresis * SEPARATION <= less.1).then_some(LevelsError::Close {
        less: less.0,
        less_level,
        worse: worse.0,
        worse_level,
        hysteresis,
    })
}
