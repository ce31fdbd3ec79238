//! The backend `analysis`: a built-in analysis on a series, or on two that are compared, in this process.
//!
//! Nothing leaves, so it is done again after a restart. It reads the series ([`crate::tasks::series`]), computes in a
//! thread of its own (a fit over an hour of fast data takes a while), and adds to the analysis' own result: `source` (what
//! gave the samples: `memory`, `kafka`, `efd`), `complete` (false: not all of the range was there in time) and
//! `units`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use salobj::{Clock, Tai};
use serde_json::{Map, Value, json};

use super::{Backend, StepHandle};
use crate::rules::{SchemaSource, unit_factors};
use crate::tasks::analysis::{
    Analysis, AnalysisError, CompareParams, JitterParams, Series, SeriesSet, SpectrumParams, TrendParams,
    compare, jitter, spectrum, statistics, trend,
};
use crate::tasks::call::{StepCall, StepError, StepOutcome};
use crate::tasks::series::{SeriesError, SeriesRequest, SeriesSource, duration, series_of};

#[cfg(test)]
mod tests;

/// Analyses at a time.
const CONCURRENCY: usize = 4;

/// Carries out `analysis` steps.
pub struct AnalysisBackend {
    source: Arc<dyn SeriesSource>,
    schemas: Arc<dyn SchemaSource>,
    clock: Clock,
}

impl AnalysisBackend {
    /// On series from `source`, with fields as `schemas` knows them.
    pub fn new(source: Arc<dyn SeriesSource>, schemas: Arc<dyn SchemaSource>, clock: Clock) -> Self {
        Self { source, schemas, clock }
    }

    async fn analyse(&self, call: &StepCall) -> Result<StepOutcome, StepError> {
        let prepared = Prepared::read(call, self.schemas.as_ref(), self.clock.now())?;
        let reads = prepared.requests.iter().map(|request| self.source.read(request));
        let sets = futures::future::try_join_all(reads).await.map_err(class)?;
        let computed = tokio::task::spawn_blocking(move || prepared.outcome(sets)).await;
        computed.unwrap_or_else(|_| {
            Err(StepError::permanent(format!("analysis {} panicked: this is a bug", call.operation)))
        })
    }
}

/// An analysis step whose parameters have been read. Pure: live runs and the tests of rule files use the same.
pub(crate) struct Prepared {
    /// The series it needs, in order; at least one.
    pub(crate) requests: Vec<SeriesRequest>,
    kind: Kind,
}

impl Prepared {
    /// Reads the parameters of a call; `now` is the end of a range that ends now.
    ///
    /// # Errors
    /// A parameter is wrong, or a topic or a field is not known.
    pub(crate) fn read(call: &StepCall, schemas: &dyn SchemaSource, now: Tai) -> Result<Self, StepError> {
        let series = series_of(&call.params);
        let Value::Object(mut params) = call.params.clone() else {
            return Err(StepError::permanent("the parameters of analysis are no mapping"));
        };
        params.remove("series");
        let wanted = if call.operation == "compare" { 2 } else { 1 };
        if series.len() != wanted {
            let text = format!("analysis {} needs `series`: {wanted}, not {}", call.operation, series.len());
            return Err(StepError::permanent(text));
        }
        let kind = Kind::read(&call.operation, params)?;
        let requests: Result<Vec<SeriesRequest>, SeriesError> =
            series.iter().map(|series| SeriesRequest::read(series, schemas, now)).collect();
        Ok(Self { requests: requests.map_err(class)?, kind })
    }

    /// How long the end of its ranges may be waited for.
    pub(crate) fn wait(&self) -> Duration {
        let waits = self.requests.iter().filter(|request| request.waits).map(|request| request.wait);
        waits.max().unwrap_or_default()
    }

    /// Computes the result from the series that [`Self::requests`] asked for, in their order.
    ///
    /// # Errors
    /// The series do not allow the analysis.
    pub(crate) fn outcome(&self, sets: Vec<SeriesSet>) -> Result<StepOutcome, StepError> {
        let complete = sets.iter().all(|set| set.complete);
        let mut sources: Vec<&str> = sets.iter().map(|set| set.source.as_str()).collect();
        sources.dedup();
        let source = sources.join(", ");
        let mut analysis = self.compute(sets).map_err(|e| {
            let end = if complete { "" } else { "; not all of the range was there in time" };
            StepError::permanent(format!("{e} (samples from {source}{end})"))
        })?;
        if let Some(result) = analysis.result.as_object_mut() {
            result.insert("source".to_owned(), json!(source));
            result.insert("complete".to_owned(), json!(complete));
            result.insert("units".to_owned(), json!(analysis.units));
        }
        Ok(StepOutcome { result: analysis.result, plot: Some(analysis.plot), ..StepOutcome::default() })
    }

    fn compute(&self, sets: Vec<SeriesSet>) -> Result<Analysis, AnalysisError> {
        let mut sets = sets.into_iter();
        let none = || AnalysisError::WrongSeries {
            analysis: "analysis",
            needs: "a series",
            given: "none".to_owned(),
        };
        let mut first = sets.next().ok_or_else(none)?;
        let (Kind::Compare(params), Some(mut second)) = (&self.kind, sets.next()) else {
            return self.kind.compute(&first);
        };
        // What is compared is often called the same.
        for (set, request) in [&mut first, &mut second].into_iter().zip(&self.requests) {
            let named =
                |series: &mut Series| series.name = format!("{} {}", request.topic_name(), series.name);
            set.series.iter_mut().for_each(named);
        }
        let unit = first.series.first().map(|series| series.unit.clone()).unwrap_or_default();
        for series in &mut second.series {
            convert(series, &unit)?;
        }
        compare(&first, &second, params)
    }
}

/// The series in another unit. Where one of the two is not known, the values are taken as they are.
fn convert(series: &mut Series, unit: &str) -> Result<(), AnalysisError> {
    if unit.is_empty() || series.unit.is_empty() {
        return Ok(());
    }
    let Some((factor, offset)) = unit_factors(&series.unit, unit) else {
        return Err(AnalysisError::UnitsClash {
            series: series.name.clone(),
            unit: series.unit.clone(),
            other: unit.to_owned(),
        });
    };
    if (factor, offset) != (1.0, 0.0) {
        series.values.iter_mut().for_each(|value| *value = *value * factor + offset);
    }
    series.unit = unit.to_owned();
    Ok(())
}

#[async_trait]
impl Backend for AnalysisBackend {
    fn name(&self) -> &'static str {
        "analysis"
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    async fn execute(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        tokio::select! {
            outcome = self.analyse(call) => outcome,
            stop = step.stop_requested() => Err(stop.error("the analysis was not finished")),
        }
    }
}

/// Which analysis, with its parameters.
enum Kind {
    Trend(TrendParams),
    Jitter(JitterParams),
    Statistics,
    Spectrum(SpectrumParams),
    Compare(CompareParams),
}

impl Kind {
    fn read(name: &str, mut params: Map<String, Value>) -> Result<Self, StepError> {
        let bad = |e: &dyn std::fmt::Display| StepError::permanent(format!("parameters of {name}: {e}"));
        let known: &[&str] = match name {
            "trend" => &["ahead", "direction", "limit", "confidence"],
            "jitter" => &["degree"],
            "statistics" => &[],
            "spectrum" => &["from_hz", "to_hz", "segment"],
            "compare" => &["tolerance"],
            _ => return Err(StepError::permanent(format!("there is no analysis {name:?}"))),
        };
        if let Some(key) = params.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(bad(&format!("unknown key {key}")));
        }
        if name == "trend" {
            params.entry("ahead").or_insert(json!(0));
        }
        // Durations as rules write them are seconds for the analysis.
        for key in ["ahead", "segment", "tolerance"] {
            if let Some(text) = params.remove(key) {
                let length = duration(&text).ok_or_else(|| bad(&format!("{key} {text} is no duration")))?;
                params.insert(format!("{key}_s"), json!(length.as_secs_f64()));
            }
        }
        let params = Value::Object(params);
        match name {
            "trend" => serde_json::from_value(params).map(Self::Trend),
            "jitter" => serde_json::from_value(params).map(Self::Jitter),
            "spectrum" => serde_json::from_value(params).map(Self::Spectrum),
            "compare" => serde_json::from_value(params).map(Self::Compare),
            _ => Ok(Self::Statistics),
        }
        .map_err(|e| bad(&e))
    }

    /// On one series, or one range of several fields.
    fn compute(&self, set: &SeriesSet) -> Result<Analysis, AnalysisError> {
        match self {
            Self::Trend(params) => trend(set, params),
            Self::Jitter(params) => jitter(set, params),
            Self::Statistics => statistics(set),
            Self::Spectrum(params) => spectrum(set, params),
            Self::Compare(_) => Err(AnalysisError::WrongSeries {
                analysis: "compare",
                needs: "two series",
                given: "one".to_owned(),
            }),
        }
    }
}

fn class(error: SeriesError) -> StepError {
    match error {
        SeriesError::Bad { .. } => StepError::permanent(error.to_string()),
        SeriesError::Unavailable { .. } => StepError::transient(error.to_string()),
    }
}
