//! What a rule says about an `ocps` step, and which of it may leave.

use serde::Deserialize;
use serde_json::Value;

use crate::tasks::call::StepError;

/// The instance that only hands over to rapid analysis: it acknowledges and says nothing more.
pub(super) const RAPID_ANALYSIS: i64 = 101;

/// Parameters of the step; the texts are the fields of the command `execute`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OcpsParams {
    /// Instance: LATISS 1, LSSTComCam 2, LSSTCam 3, rapid analysis 101.
    pub index: i64,
    /// URL or path of the pipeline's YAML file, may name a subset (`...yaml#isr`).
    #[serde(default)]
    pub pipeline: String,
    /// Tag of the stack. The OCPS of today passes it on under a name that nobody reads.
    #[serde(default)]
    pub version: String,
    /// Further options of `pipetask run`; for rapid analysis a JSON object.
    #[serde(default)]
    pub config: String,
    /// Butler expression.
    #[serde(default)]
    pub data_query: String,
    /// Ids of jobs to wait for, comma-separated.
    #[serde(default)]
    pub prereq_jobs: String,
    /// Replaces the configured pattern of outputs.
    #[serde(default)]
    pub output_dataset_types: String,
}

impl OcpsParams {
    /// Reads and checks the parameters of a step.
    ///
    /// # Errors
    /// Permanent, with every mistake that was found.
    pub fn read(params: &Value) -> Result<Self, StepError> {
        let read: Self = serde_json::from_value(params.clone())
            .map_err(|e| StepError::permanent(format!("the parameters of ocps do not fit: {e}")))?;
        let mistakes = read.mistakes();
        if mistakes.is_empty() {
            return Ok(read);
        }
        Err(StepError::permanent(format!("nothing was sent to OCPS:{}: {}", read.index, mistakes.join("; "))))
    }

    /// The text fields of the command, in the order of the XML.
    pub(super) fn fields(&self) -> [(&'static str, &str); 6] {
        [
            ("pipeline", &self.pipeline),
            ("version", &self.version),
            ("config", &self.config),
            ("data_query", &self.data_query),
            ("prereq_jobs", &self.prereq_jobs),
            ("output_dataset_types", &self.output_dataset_types),
        ]
    }

    fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if self.index < 1 || i32::try_from(self.index).is_err() {
            mistakes.push(format!("index is {}: it must name one instance", self.index));
        }
        if self.index == RAPID_ANALYSIS {
            if !serde_json::from_str::<Value>(&self.config).is_ok_and(|v| v.is_object()) {
                mistakes.push("config must be a JSON object for OCPS:101".to_owned());
            }
            return mistakes;
        }
        if self.pipeline.trim().is_empty() {
            mistakes.push("pipeline is empty".to_owned());
        }
        // OCPS pastes the values between double quotes into a document of the batch service.
        for (name, text) in self.fields() {
            if let Some(c) = text.chars().find(|c| matches!(c, '"' | '\\') || c.is_control()) {
                mistakes
                    .push(format!("{name} contains {c:?}, which would break the job (use single quotes)"));
            }
        }
        mistakes
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quotes_backslashes_and_line_breaks_never_leave() {
        let params = json!({
            "index": 1,
            "pipeline": "${CP_PIPE_DIR}/pipelines/isr.yaml",
            "data_query": "instrument='LATISS' AND exposure=1",
        });
        assert!(OcpsParams::read(&params).is_ok());
        let params = json!({
            "index": 0, "pipeline": "a\\b", "data_query": "instrument=\"LATISS\"", "config": "-c\nrm",
        });
        let text = OcpsParams::read(&params).unwrap_err().text;
        for part in
            ["index is 0", "pipeline contains '\\\\'", "data_query contains '\"'", "config contains '\\n'"]
        {
            assert!(text.contains(part), "{text}");
        }
    }

    #[test]
    fn rapid_analysis_wants_json_and_others_a_pipeline() {
        assert!(
            OcpsParams::read(&json!({"index": 101, "config": "{\"LSSTCam-FROM-OCS_DONUTPAIR\": \"1,2\"}"}))
                .is_ok()
        );
        assert!(OcpsParams::read(&json!({"index": 101, "config": "x=1"})).is_err());
        assert!(OcpsParams::read(&json!({"index": 1})).unwrap_err().text.contains("pipeline is empty"));
        let unknown = OcpsParams::read(&json!({"index": 1, "pipeline": "a", "query": "b"})).unwrap_err().text;
        assert!(unknown.contains("query"), "{unknown}");
    }
}
