//! A program from its start to its end, though we may die at any moment: what `command` and `notebook` share.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::work_folder::{Found, Limits, WorkFolder};
use crate::tasks::call::{StepCall, StepError};
use crate::tasks::steps::{StepHandle, recalled};

/// Between two looks at a program that an earlier process of ours started.
const LOOK: Duration = Duration::from_millis(100);
/// After a restart, for the reason why a step was being stopped.
const TOLD_AGAIN: Duration = Duration::from_secs(1);

/// What is journaled before the program is started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Memo {
    /// Name of the working folder.
    folder: String,
}

/// How programs run here.
#[derive(Debug)]
pub(in crate::tasks::steps) struct Running {
    /// Working folders are made here.
    pub(in crate::tasks::steps) work: PathBuf,
    pub(in crate::tasks::steps) environment: Vec<(String, String)>,
    pub(in crate::tasks::steps) limits: Limits,
}

/// What became of a program of an earlier process.
#[derive(Debug)]
pub(in crate::tasks::steps) enum Resumed {
    /// It ended, and left this.
    Ended(WorkFolder),
    /// It was never started, or may be started again.
    Begin,
}

impl Running {
    /// A new folder for an attempt.
    pub(in crate::tasks::steps) fn folder(&self, call: &StepCall) -> Result<WorkFolder, StepError> {
        WorkFolder::make(&self.work, &call.id).map_err(not_started)
    }

    /// Runs a program in its folder, which holds what it needs, to its end.
    ///
    /// # Errors
    /// It could not be started, or was ended because the step is to stop.
    pub(in crate::tasks::steps) async fn run(
        &self,
        folder: &WorkFolder,
        argv: &[String],
        name: &str,
        step: &StepHandle,
    ) -> Result<(), StepError> {
        step.record(&json!(Memo { folder: folder.name() })).await?;
        if let Some(stop) = step.stopped() {
            return Err(stop.error("nothing was started"));
        }
        let started = folder.start(argv, &self.environment, &self.limits);
        let mut child =
            started.map_err(|e| StepError::permanent(format!("program {name} could not be started: {e}")))?;
        if let Some(id) = child.id() {
            step.progress(&format!("pid {id}")).await;
        }
        tokio::select! {
            // What it left behind says how it ended.
            _ = child.wait() => folder.end_group(),
            stop = step.stop_requested() => {
                folder.stop().await;
                drop(child.wait().await);
                return Err(stop.error("the program was ended"));
            }
        }
        Ok(())
    }

    /// Waits for what an earlier process of ours started.
    ///
    /// # Errors
    /// It cannot be found, or was ended because the step is to stop.
    pub(in crate::tasks::steps) async fn resume(
        &self,
        call: &StepCall,
        memo: Option<serde_json::Value>,
        step: &StepHandle,
    ) -> Result<Resumed, StepError> {
        let Some(memo) = recalled::<Memo>(memo, "program")? else { return Ok(Resumed::Begin) };
        let folder = WorkFolder::of(&self.work, &memo.folder)
            .ok_or_else(|| StepError::unknown("the journal names no working folder of ours"))?;
        loop {
            match folder.settled().await {
                Found::Ended | Found::Gone if folder.was_stopped() && folder.exit() != Some(0) => {
                    folder.end_group();
                    return Err(ended_by_us(step).await);
                }
                Found::Ended => {
                    folder.end_group();
                    return Ok(Resumed::Ended(folder));
                }
                Found::Lives => tokio::select! {
                    () = tokio::time::sleep(LOOK) => {}
                    stop = step.stop_requested() => {
                        folder.stop().await;
                        return Err(stop.error("the program was ended"));
                    }
                },
                Found::NeverStarted => return Ok(Resumed::Begin),
                Found::Gone if call.resend_if_unknown => return Ok(Resumed::Begin),
                Found::Gone => return Ok(Resumed::Ended(folder)),
            }
        }
    }
}

/// What is said of a program that an earlier process of ours ended. Why is told again in a moment, if it is the run that ends.
async fn ended_by_us(step: &StepHandle) -> StepError {
    let text = "the program was ended";
    tokio::select! {
        stop = step.stop_requested() => stop.error(text),
        () = tokio::time::sleep(TOLD_AGAIN) => StepError::aborted(format!("{text} before the restart")),
    }
}

/// The exit code of a program that has ended.
///
/// # Errors
/// Unknown outcome: it left none.
pub(in crate::tasks::steps) fn exit(folder: &WorkFolder) -> Result<i32, StepError> {
    folder.exit().ok_or_else(|| {
        StepError::unknown(
            "the program ended without a trace (the machine may have been restarted, or somebody ended it); \
             it is not known what it did, and it is not run again",
        )
    })
}

/// Nothing was done yet.
pub(in crate::tasks::steps) fn not_started(error: std::io::Error) -> StepError {
    StepError::transient(format!("{error}; nothing was started"))
}
