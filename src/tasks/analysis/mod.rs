//! Built-in analyses: pure functions from time series to numbers, units and a plot.
//!
//! ```text
//! messages ─ packed::expand ─► Series ┐
//! EFD rows ──────────────────► Series ┴► SeriesSet ─► trend | jitter | compare | ... ─► Analysis {result, units, plot}
//! ```
//!
//! Nothing here reads a clock, a file or a socket: live runs, replay and the tests inside rule files call the same
//! functions. Adding an analysis: one file with its parameters, its function and its tests, a line in [`mod@self`],
//! and the typed result in `rules`.

pub mod compare;
pub mod jitter;
pub mod packed;
pub mod plot;
pub mod series;
pub mod spectrum;
pub mod statistics;
pub mod stats;
pub mod trend;

use std::collections::BTreeMap;

pub use compare::{CompareParams, compare};
pub use jitter::{JitterParams, jitter};
pub use packed::{Packed, Scale, expand};
pub use plot::{Axis, Band, Line, LineKind, Panel, Plot};
pub use series::{Series, SeriesSet, Source};
pub use spectrum::{SpectrumParams, spectrum};
pub use statistics::statistics;
pub use trend::{Direction, TrendParams, trend};

/// What an analysis gives.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Analysis {
    /// The numbers, an object whose keys each analysis fixes (design section 3.4). Times are TAI seconds.
    pub result: serde_json::Value,
    /// The unit of each key of `result`, in the spelling of astropy; keys without a unit (counts) are absent.
    pub units: BTreeMap<String, String>,
    /// What to draw.
    pub plot: Plot,
}

/// Why an analysis has no result. All of them are the data's or the rule's fault; a repeat on the same data fails again.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AnalysisError {
    /// The set does not hold the series that the analysis needs.
    #[error("{analysis}: needs {needs}, was given {given}")]
    WrongSeries {
        /// Name of the analysis.
        analysis: &'static str,
        /// What it needs, in words.
        needs: &'static str,
        /// What it was given, in words.
        given: String,
    },
    /// Times and values of a series differ in length.
    #[error("series {series}: {times} times but {values} values")]
    LengthMismatch {
        /// Name of the series.
        series: String,
        /// Number of times.
        times: usize,
        /// Number of values.
        values: usize,
    },
    /// Not enough samples between the two times.
    #[error("series {series}: {have} samples, at least {need} are needed")]
    TooFewPoints {
        /// Name of the series.
        series: String,
        /// Samples there are, after those that are not finite were dropped.
        have: usize,
        /// Samples needed.
        need: usize,
    },
    /// Samples came, but none is a finite number.
    #[error("series {series}: none of its {samples} samples is a finite number")]
    NoFiniteValue {
        /// Name of the series.
        series: String,
        /// Number of samples.
        samples: usize,
    },
    /// All samples have the same stamp (or too few different ones).
    #[error("series {series}: its samples span no time, they have {distinct} different stamps")]
    NoTimeSpan {
        /// Name of the series.
        series: String,
        /// Number of different stamps.
        distinct: usize,
    },
    /// The units of two series are not of one kind.
    #[error("series {series}: unit {unit:?} cannot be made {other:?}, the unit of the first series")]
    UnitsClash {
        /// Name of the series.
        series: String,
        /// Its unit.
        unit: String,
        /// The unit wanted.
        other: String,
    },
    /// Too few samples of two series belong together.
    #[error(
        "{a} and {b}: {have} samples of {of} have a sample of the other within {tolerance_s} s, at least {need} are needed"
    )]
    TooFewPairs {
        /// Name of the first series.
        a: String,
        /// Name of the second.
        b: String,
        /// Pairs there are.
        have: usize,
        /// Samples of the first series.
        of: usize,
        /// How far apart in time the samples of a pair may be, s.
        tolerance_s: f64,
        /// Pairs needed.
        need: usize,
    },
    /// There is less data than gaps.
    #[error(
        "series {series}: {have} samples in {span_s} s, though most are {step_s} s apart: more gaps than data"
    )]
    TooManyGaps {
        /// Name of the series.
        series: String,
        /// Samples there are.
        have: usize,
        /// From the first to the last, s.
        span_s: f64,
        /// Median step, s.
        step_s: f64,
    },
    /// A parameter is out of range.
    #[error("parameter {name} is {value}: {rule}")]
    BadParameter {
        /// Its name in the rule file.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What is allowed.
        rule: &'static str,
    },
    /// The unit of a series is not one that the analysis can turn into what it needs.
    #[error("series {series}: unit {unit:?} is not an angle (deg, rad, arcsec)")]
    NotAnAngle {
        /// Name of the series.
        series: String,
        /// Its unit.
        unit: String,
    },
    /// The stated rate of packed arrays does not fit their stamps.
    #[error(
        "packed arrays of {elements} elements at {rate_hz} Hz last {lasts_s} s, but the messages are {spacing_s} s apart: \
         the rate or the stamp field is wrong"
    )]
    RateMismatch {
        /// Elements in an array.
        elements: usize,
        /// The rate stated.
        rate_hz: f64,
        /// Duration of an array at that rate, s.
        lasts_s: f64,
        /// Median time between messages, s.
        spacing_s: f64,
    },
}

#[cfg(test)]
mod tests;
