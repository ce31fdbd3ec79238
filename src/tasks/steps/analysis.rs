//! The backend `analysis`: a built-in analysis on a series, in this process.
//!
//! Nothing leaves, so it is done again after a restart. It reads the series ([`crate::tasks::series`]), computes in a
//! thread of its own (a fit over an hour of fast data takes a while), and adds to the analysis' own result: `source` (what
//! gave the samples: `memory`, `kafka`, `efd`), `complete` (false: the end of the range was not seen in time) and
//! `units`.

use std::sync::Arc;

use async_trait::async_trait;
use salobj::Clock;
use serde_json::{Map, Value, json};

use super::{Backend, StepHandle};
use crate::rules::SchemaSource;
use crate::tasks::analysis::{Analysis, AnalysisError, JitterParams, SeriesSet, TrendParams, jitter, trend};
use crate::tasks::call::{StepCall, StepError, StepOutcome};
use crate::tasks::series::{SeriesError, SeriesRequest, SeriesSource, duration};

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
        let Value::Object(mut params) = call.params.clone() else {
            return Err(StepError::permanent("the parameters of analysis are no mapping"));
        };
        let Some(series) = params.remove("series") else {
            return Err(StepError::permanent("analysis needs series"));
        };
        let kind = Kind::read(&call.operation, params)?;
        let request = SeriesRequest::read(&series, self.schemas.as_ref(), self.clock.now()).map_err(class)?;
        let set = self.source.read(&request).await.map_err(class)?;
        let (source, complete) = (set.source, set.complete);
        let computed = tokio::task::spawn_blocking(move || kind.compute(&set)).await;
        let Ok(computed) = computed else {
            return Err(StepError::permanent(format!("analysis {} panicked: this is a bug", call.operation)));
        };
        let mut analysis = computed.map_err(|e| {
            let end = if complete { "" } else { "; the end of the range was not seen in time" };
            StepError::permanent(format!("{e} (samples from {source}{end})"))
        })?;
        if let Some(result) = analysis.result.as_object_mut() {
            result.insert("source".to_owned(), json!(source));
            result.insert("complete".to_owned(), json!(complete));
            result.insert("units".to_owned(), json!(analysis.units));
        }
        Ok(StepOutcome { result: analysis.result, plot: Some(analysis.plot), backend_id: String::new() })
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
}

impl Kind {
    fn read(name: &str, mut params: Map<String, Value>) -> Result<Self, StepError> {
        let bad = |e: &dyn std::fmt::Display| StepError::permanent(format!("parameters of {name}: {e}"));
        let known: &[&str] = match name {
            "trend" => &["ahead", "direction", "limit", "confidence"],
            "jitter" => &["degree"],
            _ => return Err(StepError::permanent(format!("there is no analysis {name:?}"))),
        };
        if let Some(key) = params.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(bad(&format!("unknown key {key}")));
        }
        if name == "jitter" {
            return serde_json::from_value(Value::Object(params)).map(Self::Jitter).map_err(|e| bad(&e));
        }
        let ahead = params.remove("ahead").unwrap_or(json!(0));
        let Some(ahead) = duration(&ahead) else { return Err(bad(&format!("ahead {ahead} is no duration"))) };
        params.insert("ahead_s".to_owned(), json!(ahead.as_secs_f64()));
        serde_json::from_value(Value::Object(params)).map(Self::Trend).map_err(|e| bad(&e))
    }

    fn compute(&self, set: &SeriesSet) -> Result<Analysis, AnalysisError> {
        match self {
            Self::Trend(params) => trend(set, params),
            Self::Jitter(params) => jitter(set, params),
        }
    }
}

fn class(error: SeriesError) -> StepError {
    match error {
        SeriesError::Bad { .. } => StepError::permanent(error.to_string()),
        SeriesError::Unavailable { .. } => StepError::transient(error.to_string()),
    }
}
