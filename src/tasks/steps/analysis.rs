//! The backend `analysis`: a built-in analysis on a series, in this process.
//!
//! Nothing leaves, so it is done again after a restart. It reads the series ([`crate::tasks::series`]), computes in a
//! thread of its own (a fit over an hour of fast data takes a while), and adds to the analysis' own result: `source` (what
//! gave the samples: `memory`, `kafka`, `efd`), `complete` (false: not all of the range was there in time) and
//! `units`.

use std::sync::Arc;

use async_trait::async_trait;
use salobj::{Clock, Tai};
use serde_json::{Map, Value, json};

use super::{Backend, StepHandle};
use crate::rules::SchemaSource;
use crate::tasks::analysis::{
    Analysis, AnalysisError, JitterParams, SeriesSet, SpectrumParams, TrendParams, jitter, spectrum,
    statistics, trend,
};
use crate::tasks::call::{StepCall, StepError, StepOutcome};
use crate::tasks::series::{SeriesError, SeriesRequest, SeriesSource, duration};

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
        let set = self.source.read(&prepared.request).await.map_err(class)?;
        let computed = tokio::task::spawn_blocking(move || prepared.outcome(&set)).await;
        computed.unwrap_or_else(|_| {
            Err(StepError::permanent(format!("analysis {} panicked: this is a bug", call.operation)))
        })
    }
}

/// An analysis step whose parameters have been read. Pure: live runs and the tests of rule files use the same.
pub(crate) struct Prepared {
    /// The series it needs.
    pub(crate) request: SeriesRequest,
    kind: Kind,
}

impl Prepared {
    /// Reads the parameters of a call; `now` is the end of a range that ends now.
    ///
    /// # Errors
    /// A parameter is wrong, or the topic or a field is not known.
    pub(crate) fn read(call: &StepCall, schemas: &dyn SchemaSource, now: Tai) -> Result<Self, StepError> {
        let Value::Object(mut params) = call.params.clone() else {
            return Err(StepError::permanent("the parameters of analysis are no mapping"));
        };
        let Some(series) = params.remove("series") else {
            return Err(StepError::permanent("analysis needs series"));
        };
        let kind = Kind::read(&call.operation, params)?;
        let request = SeriesRequest::read(&series, schemas, now).map_err(class)?;
        Ok(Self { request, kind })
    }

    /// Computes the result from the series that [`Self::request`] asked for.
    ///
    /// # Errors
    /// The series do not allow the analysis.
    pub(crate) fn outcome(&self, set: &SeriesSet) -> Result<StepOutcome, StepError> {
        let (source, complete) = (set.source, set.complete);
        let mut analysis = self.kind.compute(set).map_err(|e| {
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

    async fn resume(
        &self,
        call: &StepCall,
        _memo: Option<Value>,
        step: &StepHandle,
    ) -> Result<StepOutcome, StepError> {
        self.execute(call, step).await
    }
}

/// Which analysis, with its parameters.
enum Kind {
    Trend(TrendParams),
    Jitter(JitterParams),
    Statistics,
    Spectrum(SpectrumParams),
}

impl Kind {
    fn read(name: &str, mut params: Map<String, Value>) -> Result<Self, StepError> {
        let bad = |e: &dyn std::fmt::Display| StepError::permanent(format!("parameters of {name}: {e}"));
        let known: &[&str] = match name {
            "trend" => &["ahead", "direction", "limit", "confidence"],
            "jitter" => &["degree"],
            "statistics" => &[],
            "spectrum" => &["from_hz", "to_hz", "segment"],
            _ => return Err(StepError::permanent(format!("there is no analysis {name:?}"))),
        };
        if let Some(key) = params.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(bad(&format!("unknown key {key}")));
        }
        if name == "trend" {
            params.entry("ahead").or_insert(json!(0));
        }
        // Durations as rules write them are seconds for the analysis.
        for key in ["ahead", "segment"] {
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
            _ => Ok(Self::Statistics),
        }
        .map_err(|e| bad(&e))
    }

    fn compute(&self, set: &SeriesSet) -> Result<Analysis, AnalysisError> {
        match self {
            Self::Trend(params) => trend(set, params),
            Self::Jitter(params) => jitter(set, params),
            Self::Statistics => statistics(set),
            Self::Spectrum(params) => spectrum(set, params),
        }
    }
}

fn class(error: SeriesError) -> StepError {
    match error {
        SeriesError::Bad { .. } => StepError::permanent(error.to_string()),
        SeriesError::Unavailable { .. } => StepError::transient(error.to_string()),
    }
}
