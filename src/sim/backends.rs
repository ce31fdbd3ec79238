//! The step backends of SAL simulation mode 1: they answer in this process, nothing is sent to another component.

use std::time::Duration;

use async_trait::async_trait;
use salobj::Clock;
use serde_json::{Value, json};

use crate::tasks::steps::{Backend, StepCall, StepError, StepHandle, StepOutcome};

/// How long a simulated job takes.
const RUN_TIME: Duration = Duration::from_secs(5);

/// In place of `ocps`: pipelines that end in `false.yaml` fail, `fault.yaml` cannot be submitted, all others succeed.
#[derive(Debug)]
pub struct SimulatedOcps {
    clock: Clock,
}

impl SimulatedOcps {
    /// On this clock.
    pub fn new(clock: Clock) -> Self {
        Self { clock }
    }

    async fn job(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        let pipeline = call.params.get("pipeline").and_then(Value::as_str).unwrap_or_default();
        if pipeline.ends_with("fault.yaml") {
            return Err(StepError::permanent("Failed to connect (simulated)"));
        }
        let job_id = format!("simulated-{}", call.id.run_id);
        step.progress(&job_id).await;
        tokio::select! {
            () = self.clock.sleep(RUN_TIME) => {}
            stop = step.stop_requested() => return Err(stop.error("the simulated job was aborted").with_backend_id(job_id)),
        }
        let good = !pipeline.ends_with("false.yaml");
        let outcome = if good { "succeeded" } else { "failed" };
        let result =
            json!({"job_id": job_id, "exit_code": 0, "outcome": outcome, "result": {"result": good}});
        if good {
            Ok(StepOutcome { result, plot: None, backend_id: job_id })
        } else {
            Err(StepError::permanent(format!("job {job_id} has result false"))
                .with_result(result)
                .with_backend_id(job_id))
        }
    }
}

#[async_trait]
impl Backend for SimulatedOcps {
    fn name(&self) -> &'static str {
        "ocps"
    }

    fn concurrency(&self) -> usize {
        8
    }

    async fn execute(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        self.job(call, step).await
    }

    async fn resume(
        &self,
        call: &StepCall,
        _memo: Option<Value>,
        step: &StepHandle,
    ) -> Result<StepOutcome, StepError> {
        self.job(call, step).await
    }
}
