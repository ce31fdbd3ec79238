//! The step backends of SAL simulation mode 1: they answer in this process, nothing is sent to another component.
//!
//! One line in [`ANSWERS`] for each backend: what a step of it gives.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use salobj::Clock;
use serde_json::{Value, json};

use crate::tasks::steps::{Backend, StepCall, StepError, StepHandle, StepOutcome};

/// How long a simulated step takes.
const RUN_TIME: Duration = Duration::from_secs(5);

/// What a step of a backend gives, after [`RUN_TIME`].
type Answer = fn(&StepCall) -> Result<Value, StepError>;

/// By key.
const ANSWERS: &[(&str, Answer)] = &[
    ("batch", batch),
    ("command", command),
    ("efd_query", efd_query),
    ("http", http),
    ("influx_task", influx_task),
    ("notebook", notebook),
    ("noteburst", noteburst),
    ("ocps", ocps),
    ("sal", sal),
    ("script_queue", script_queue),
    ("slack", slack),
    ("times_square", times_square),
    ("uws", uws),
];

fn batch(call: &StepCall) -> Result<Value, StepError> {
    let detectors = match call.params.get("detectors") {
        Some(Value::Number(n)) => n.as_u64().unwrap_or_default(),
        Some(Value::Array(all)) => all.len() as u64,
        _ => 1,
    };
    Ok(
        json!({"cluster": id(call), "jobs": detectors, "succeeded": detectors, "failed": 0, "detectors": [], "failures": {}}),
    )
}

fn command(call: &StepCall) -> Result<Value, StepError> {
    let program = call.params.get("program").cloned().unwrap_or_default();
    Ok(
        json!({"severity": 1, "reason": "simulated", "values": {"program": program}, "units": {}, "files": {}}),
    )
}

/// An empty table: nothing is asked.
fn efd_query(_: &StepCall) -> Result<Value, StepError> {
    Ok(json!({"time": [], "columns": {}, "n": 0, "truncated": false, "files": {}}))
}

fn http(_: &StepCall) -> Result<Value, StepError> {
    Ok(json!({"status": 200, "body": {"simulated": true}, "headers": {}}))
}

/// Its runs succeed, and what is read of them is empty.
fn influx_task(call: &StepCall) -> Result<Value, StepError> {
    Ok(json!({
        "task_id": id(call), "run_id": "simulated", "outcome": "success", "runs": 1, "failed": 0, "error": "",
        "started": 0.0, "finished": 0.0, "time": [], "columns": {}, "n": 0, "truncated": false,
    }))
}

fn slack(_: &StepCall) -> Result<Value, StepError> {
    Ok(json!({}))
}

/// Every command is done; the event that is waited for comes without fields.
fn sal(call: &StepCall) -> Result<Value, StepError> {
    let event = call.params.get("then").map(|_| json!({}));
    Ok(json!({"ack": "CMD_COMPLETE", "result": "Done", "error": 0, "event": event}))
}

/// Scripts whose file name contains `fail` fail, all others are done.
fn script_queue(call: &StepCall) -> Result<Value, StepError> {
    let path = call.params.get("path").and_then(Value::as_str).unwrap_or_default();
    let good = !path.rsplit('/').next().unwrap_or_default().contains("fail");
    let result = json!({
        "script_index": 100_000, "outcome": if good { "done" } else { "failed" }, "reason": "", "group_id": "",
        "last_checkpoint": "", "checkpoints": 0, "run_time": RUN_TIME.as_secs_f64(),
    });
    if good {
        return Ok(result);
    }
    Err(StepError::permanent(format!("script {path} failed (simulated)")).with_result(result))
}

/// The parameters come back as values.
fn notebook(call: &StepCall) -> Result<Value, StepError> {
    let values = call.params.get("parameters").cloned().unwrap_or_default();
    Ok(json!({"outcome": "succeeded", "started": "", "finished": "", "files": {}, "values": values}))
}

/// The same on the science platform.
fn noteburst(call: &StepCall) -> Result<Value, StepError> {
    let values = call.params.get("parameters").cloned().unwrap_or_default();
    Ok(json!({"job_id": id(call), "outcome": "succeeded", "files": {}, "values": values}))
}

fn times_square(call: &StepCall) -> Result<Value, StepError> {
    let page = call.params.get("page").or_else(|| call.params.get("github")).cloned().unwrap_or_default();
    Ok(json!({"page": page, "title": "simulated", "files": {}}))
}

fn uws(call: &StepCall) -> Result<Value, StepError> {
    Ok(json!({
        "job_id": id(call), "run_id": call.id.run_id, "phase": "completed", "outcome": "succeeded", "duration_s": 5.0,
        "files": {}, "left_out": [], "values": null,
    }))
}

/// Pipelines that end in `false.yaml` fail, `fault.yaml` cannot be submitted, all others succeed.
fn ocps(call: &StepCall) -> Result<Value, StepError> {
    let pipeline = call.params.get("pipeline").and_then(Value::as_str).unwrap_or_default();
    if pipeline.ends_with("fault.yaml") {
        return Err(StepError::permanent("Failed to connect (simulated)"));
    }
    let (job_id, good) = (id(call), !pipeline.ends_with("false.yaml"));
    let outcome = if good { "succeeded" } else { "failed" };
    let result = json!({"job_id": job_id, "exit_code": 0, "outcome": outcome, "result": {"result": good}});
    if good {
        return Ok(result);
    }
    Err(StepError::permanent(format!("job {job_id} has result false")).with_result(result))
}

/// Simulated backends in place of all that act on something outside.
pub fn all(clock: &Clock) -> Vec<Arc<dyn Backend>> {
    let of = |(name, answer): &(&'static str, Answer)| -> Arc<dyn Backend> {
        Arc::new(Simulated { name, answer: *answer, clock: clock.clone() })
    };
    ANSWERS.iter().map(of).collect()
}

/// A backend that only answers.
#[derive(Debug)]
struct Simulated {
    name: &'static str,
    answer: Answer,
    clock: Clock,
}

fn id(call: &StepCall) -> String {
    format!("simulated-{}", call.id.run_id)
}

#[async_trait]
impl Backend for Simulated {
    fn name(&self) -> &'static str {
        self.name
    }

    fn concurrency(&self) -> usize {
        8
    }

    async fn execute(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        let id = id(call);
        step.progress(&id).await;
        tokio::select! {
            () = self.clock.sleep(RUN_TIME) => {}
            stop = step.stop_requested() => return Err(stop.error("the simulated job was aborted").with_backend_id(id)),
        }
        match (self.answer)(call) {
            Ok(result) => Ok(StepOutcome { result, backend_id: id, ..StepOutcome::default() }),
            Err(error) => Err(error.with_backend_id(id)),
        }
    }
}
