//! The commands of a batch system, run as programs.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// Where they are and in what environment they run.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    pub(super) folder: PathBuf,
    pub(super) environment: Vec<(String, String)>,
    pub(super) timeout: Duration,
}

impl Programs {
    /// The path of one.
    pub(super) fn path(&self, name: &str) -> String {
        self.folder.join(name).to_string_lossy().into_owned()
    }

    /// Runs one that asks or removes something; gives what it wrote to its standard output.
    ///
    /// # Errors
    /// It could not be run, failed, or took too long: its name and what it said.
    pub(super) async fn run(&self, name: &str, arguments: &[&str]) -> Result<String, String> {
        let running = Command::new(self.folder.join(name))
            .args(arguments)
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = match tokio::time::timeout(self.timeout, running).await {
            Err(_) => return Err(format!("{name} did not answer within {} s", self.timeout.as_secs_f64())),
            Ok(Err(e)) => return Err(format!("{name}: {e}")),
            Ok(Ok(output)) => output,
        };
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let words = String::from_utf8_lossy(&output.stderr);
        let words: Vec<&str> = words.split_whitespace().take(60).collect();
        Err(format!("{name} failed ({}): {}", output.status, words.join(" ")))
    }
}
