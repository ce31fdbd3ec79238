//! The backend `notebook`: a notebook of the site, executed on this machine by papermill; what is left where there is no
//! science platform, as at the summit.
//!
//! Parameters are written into the notebook ([`crate::tasks::notebook::inject`]) as papermill does it, so the program gets a notebook
//! and gives one back. It runs as a program of `command` does: a folder, an environment and limits of its own, over a
//! restart of ours, at most once ([`Running`]). The executed notebook and a page made of it are kept, also of one that
//! stopped in the middle, and so are files that its cells put into `$CATCHER_ARTIFACTS`.
//!
//! How it ends is told by more than the exit code:
//!
//! | outcome | seen by |
//! |---|---|
//! | `succeeded` | exit code 0 |
//! | `cell_error` | a cell of the executed notebook has an error: which cell, the exception and its message |
//! | `kernel_died` | the program says so; the notebook, of which no cell looks wrong, ends before it |
//! | `failed` | anything else: no such kernel, no program, the program's own failure |
//! | `stopped` | time limit or cancel; the kernel, which has a session of its own, is ended with the program |

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use salobj::Clock;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::command::running::{Resumed, Running, exit, not_started};
use super::command::work_folder::WorkFolder;
use super::notebooks::{self, Notebooks};
use super::{Backend, StepHandle, in_time};
use crate::tasks::call::{StepCall, StepError, StepOutcome};
use crate::tasks::notebook;
use crate::tasks::shelf::{Shelf, StepFile};

mod config;
#[cfg(test)]
mod tests;

pub use config::NotebookConfig;

/// Notebooks at a time, if the site says nothing: each has a kernel.
const CONCURRENCY: usize = 2;
/// What the program says of a kernel that died.
const DIED: [&str; 2] = ["DeadKernelError", "Kernel died"];
/// The wrapper's exit codes: the limits could not be set, or there is no such program.
const NOT_RUN: [i32; 2] = [126, 127];

/// Parameters of a step.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    /// Path of the notebook below the site's folder.
    notebook: String,
    /// Values that replace the notebook's own.
    #[serde(default)]
    parameters: Map<String, Value>,
    /// Kernel.
    #[serde(default)]
    kernel_name: Option<String>,
}

/// Carries out `notebook` steps.
pub struct NotebookBackend {
    program: Vec<String>,
    kernel: Option<String>,
    notebooks: Notebooks,
    running: Running,
    shelf: Arc<dyn Shelf>,
    clock: Clock,
}

impl NotebookBackend {
    /// The program and the notebooks of a site. Working folders are below `work`; files are kept on `shelf`. `lookup` gives the
    /// variables of our own environment that the program is to have.
    ///
    /// # Errors
    /// Everything that is wrong with the section.
    pub fn new(
        config: &NotebookConfig,
        work: PathBuf,
        shelf: Arc<dyn Shelf>,
        lookup: &dyn Fn(&str) -> Option<String>,
        clock: Clock,
    ) -> Result<NotebookBackend, Vec<String>> {
        let environment = config.checked(lookup)?;
        Ok(NotebookBackend {
            program: config.program.clone(),
            kernel: config.kernel_name.clone(),
            notebooks: Notebooks(config.notebooks.clone()),
            running: Running { work, environment, limits: config.limits() },
            shelf,
            clock,
        })
    }

    async fn begin(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        let nothing = |e: String| StepError::permanent(format!("{e}; nothing was started"));
        let params = read(&call.params).map_err(nothing)?;
        let source = self.notebooks.source(&params.notebook, &params.parameters, call).map_err(nothing)?;
        let folder = self.running.folder(call)?;
        let input = folder.write_file("notebook.ipynb", &source).map_err(not_started)?;
        folder.write_input("").map_err(not_started)?;
        let mut argv = self.program.clone();
        argv.extend([input.display().to_string(), executed(&folder).display().to_string()]);
        argv.push("--no-progress-bar".to_owned());
        if let Some(kernel) = params.kernel_name.as_ref().or(self.kernel.as_ref()) {
            argv.extend(["-k".to_owned(), kernel.clone()]);
        }
        match self.running.run(&folder, &argv, &self.program[0], step).await {
            Ok(()) => self.conclude(call, &folder).await,
            // What was done until then is worth a look.
            Err(error) => {
                let mut result = self.kept(call, &folder).await.0;
                result["outcome"] = json!("stopped");
                Err(error.with_result(result))
            }
        }
    }

    /// Keeps what there is; what is known of the result, and the executed notebook.
    async fn kept(&self, call: &StepCall, folder: &WorkFolder) -> (Value, Vec<StepFile>, Option<Value>) {
        let name = call.params["notebook"].as_str().unwrap_or_default();
        let mut files = folder.keep_files(&call.id, self.shelf.as_ref(), &self.running.limits).await;
        let text = std::fs::read_to_string(executed(folder)).ok();
        let ipynb = text.as_deref().and_then(|text| notebook::parse(text).ok());
        if let Some(text) = text.filter(|_| ipynb.is_some()) {
            files.extend(notebooks::keep(self.shelf.as_ref(), &call.id, name, &text).await);
        }
        let time =
            |key: &str| ipynb.as_ref().map(|nb| nb["metadata"]["papermill"][key].clone()).unwrap_or_default();
        let known: Map<String, Value> = files.iter().map(|f| (f.name.clone(), json!(f.url))).collect();
        let result = json!({
            "started": time("start_time"), "finished": time("end_time"), "files": known,
            "values": ipynb.as_ref().map(notebook::values).unwrap_or_default(),
        });
        (result, files, ipynb)
    }

    /// What the program's end means.
    async fn conclude(&self, call: &StepCall, folder: &WorkFolder) -> Result<StepOutcome, StepError> {
        let exit = exit(folder)?;
        let log = folder.log();
        let (mut result, files, ipynb) = self.kept(call, folder).await;
        if exit == 0 && ipynb.is_some() {
            result["outcome"] = json!("succeeded");
            return Ok(StepOutcome { result, files, ..StepOutcome::default() });
        }
        // The end of a traceback says what happened.
        let last = log
            .lines()
            .map(str::trim)
            .rfind(|line| !line.is_empty())
            .unwrap_or("it wrote nothing to its standard error");
        let program = &self.program[0];
        let (outcome, text) = match ipynb.as_ref().and_then(notebook::raised) {
            Some(raised) => {
                result["error"] = json!(raised);
                let text = format!(
                    "cell {} of the notebook raised {}: {}",
                    raised.cell, raised.name, raised.message
                );
                ("cell_error", text)
            }
            None if DIED.iter().any(|words| log.contains(words)) => {
                ("kernel_died", format!("the kernel of the notebook died (exit code {exit}): {last}"))
            }
            None if NOT_RUN.contains(&exit) => ("failed", format!("{program} could not be run: {last}")),
            None if exit == 0 => ("failed", format!("{program} left no notebook behind")),
            None => ("failed", format!("{program} ended with exit code {exit}: {last}")),
        };
        result["outcome"] = json!(outcome);
        Err(StepError::permanent(text).with_result(result))
    }

    async fn begin_late(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        if let Some(stop) = step.stopped() {
            return Err(stop.error("nothing was started"));
        }
        in_time(call, self.clock.now())?;
        self.begin(call, step).await
    }
}

fn read(params: &Value) -> Result<Params, String> {
    serde_json::from_value(params.clone()).map_err(|e| format!("the parameters of notebook do not fit: {e}"))
}

/// Where the program puts the executed notebook.
fn executed(folder: &WorkFolder) -> PathBuf {
    folder.file("executed.ipynb")
}

#[async_trait]
impl Backend for NotebookBackend {
    fn name(&self) -> &'static str {
        "notebook"
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        self.notebooks.check(params)
    }

    async fn execute(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        self.begin(call, step).await
    }

    async fn resume(
        &self,
        call: &StepCall,
        memo: Option<Value>,
        step: &StepHandle,
    ) -> Result<StepOutcome, StepError> {
        match self.running.resume(call, memo, step).await? {
            Resumed::Begin => self.begin_late(call, step).await,
            Resumed::Ended(folder) => self.conclude(call, &folder).await,
        }
    }
}
