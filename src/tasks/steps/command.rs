//! The backend `command`: a program on this machine, JSON in, JSON out.
//!
//! The program is one that the site lists ([`CommandConfig`]). It gets a request as JSON on its standard input and answers with JSON
//! on its standard output ([`answer`]); files that it puts into the folder `$CATCHER_ARTIFACTS` are kept and shown with the
//! report. It runs in a folder of its own, in an environment of its own, with limits of memory and file size, in a process
//! group that is ended when the step is stopped or its time is up.
//!
//! What makes it run once, though we may die at any moment:
//!
//! ```text
//!  folder ─► request ─► journal "about to start" ─► sh: mkdir started ─► pid ─► program ─► exit
//!  after a restart: exit there          ─► its answer
//!                   its process lives   ─► wait for it: it does not end with us
//!                   ended by us         ─► the step was being stopped: that goes on
//!                   never started       ─► start it, unless it is too late (whoever makes `started` is the only one)
//!                   gone without `exit` ─► outcome unknown: not run again, unless the rule says `resend_if_unknown`
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use salobj::Clock;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Backend, StepHandle};
use crate::tasks::call::{StepCall, StepError, StepOutcome};
use crate::tasks::shelf::Shelf;
use running::{Resumed, Running, not_started};
use work_folder::WorkFolder;

pub mod answer;
mod config;
pub(super) mod running;
#[cfg(test)]
mod tests;
pub(super) mod work_folder;

pub use config::CommandConfig;
pub(super) use config::{environment, is_executable};

/// Programs at a time.
const CONCURRENCY: usize = 4;

/// Parameters of a step.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct CommandParams {
    /// Name in the site's list.
    program: String,
    /// Further arguments.
    #[serde(default)]
    args: Args,
    /// What the program gets as `input`.
    #[serde(default)]
    input: Value,
}

/// One text or several.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
enum Args {
    Many(Vec<Word>),
    One(Word),
}

impl Default for Args {
    fn default() -> Args {
        Args::Many(Vec::new())
    }
}

/// A text, or a number as one.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
enum Word {
    Text(String),
    Number(serde_json::Number),
}

impl Args {
    fn texts(&self) -> Vec<String> {
        let text = |word: &Word| match word {
            Word::Text(text) => text.clone(),
            Word::Number(number) => number.to_string(),
        };
        match self {
            Args::Many(all) => all.iter().map(text).collect(),
            Args::One(one) => vec![text(one)],
        }
    }
}

/// Carries out `command` steps.
pub struct CommandBackend {
    /// Programs by name: the file and its first arguments.
    programs: BTreeMap<String, Vec<String>>,
    running: Running,
    shelf: Arc<dyn Shelf>,
    clock: Clock,
}

impl CommandBackend {
    /// The programs that a site lists. Working folders are below `work`; files are kept on `shelf`. `lookup` gives the
    /// variables of our own environment that programs are to have.
    ///
    /// # Errors
    /// Everything that is wrong with the section.
    pub fn new(
        config: &CommandConfig,
        work: PathBuf,
        shelf: Arc<dyn Shelf>,
        lookup: &dyn Fn(&str) -> Option<String>,
        clock: Clock,
    ) -> Result<CommandBackend, Vec<String>> {
        let programs = config.programs()?;
        let environment = config.environment(lookup)?;
        let running = Running { work, environment, limits: config.limits() };
        Ok(CommandBackend { programs, running, shelf, clock })
    }

    fn program(&self, name: &str) -> Result<&[String], String> {
        self.programs.get(name).map(Vec::as_slice).ok_or_else(|| {
            let known: Vec<&str> = self.programs.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            format!("this site has no program \"{name}\" (backends.command lists: {known})")
        })
    }

    async fn start(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        let params: CommandParams = serde_json::from_value(call.params.clone())
            .map_err(|e| StepError::permanent(format!("the parameters of command do not fit: {e}")))?;
        let mut argv = self.program(&params.program).map_err(StepError::permanent)?.to_vec();
        argv.extend(params.args.texts());
        let folder = self.running.folder(call)?;
        folder.write_request(&request(call, &params.input, &folder)).map_err(not_started)?;
        self.running.run(&folder, &argv, &params.program, step).await?;
        self.conclude(call, &folder).await
    }

    /// What the program's end means.
    async fn conclude(&self, call: &StepCall, folder: &WorkFolder) -> Result<StepOutcome, StepError> {
        let exit = running::exit(folder)?;
        let files = folder.keep_files(&call.id, self.shelf.as_ref(), &self.running.limits).await;
        let log = folder.log();
        let mut end = answer::conclude(exit, folder.answer(), &log);
        let known: serde_json::Map<String, Value> =
            files.iter().map(|f| (f.name.clone(), json!(f.url))).collect();
        match &mut end {
            Ok(outcome) => {
                outcome.result["files"] = Value::Object(known);
                outcome.files = files;
            }
            Err(error) if !files.is_empty() => *error.result = json!({"files": known}),
            Err(_) => {}
        }
        end
    }

    /// After a restart nothing is begun for triggers that are too old.
    async fn begin_late(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        if let Some(stop) = step.stopped() {
            return Err(stop.error("nothing was started"));
        }
        super::in_time(call, self.clock.now())?;
        self.start(call, step).await
    }
}

fn request(call: &StepCall, input: &Value, folder: &WorkFolder) -> Value {
    json!({
        "version": 1,
        "rule": call.rule,
        "run": call.id.run_id,
        "step": call.id.step,
        "attempt": call.id.attempt,
        "input": if input.is_null() { json!({}) } else { input.clone() },
        "artifacts": folder.artifacts(),
    })
}

#[async_trait]
impl Backend for CommandBackend {
    fn name(&self) -> &'static str {
        "command"
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        let program = params.get("program").and_then(Value::as_str).unwrap_or_default();
        self.program(program).map(|_| ())
    }

    async fn execute(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        self.start(call, step).await
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

/// Whether a name may be the end of a path of ours.
fn is_plain(name: &str) -> bool {
    Path::new(name).file_name().is_some_and(|last| last == name) && !name.starts_with('.')
}
