//! The Catcher as a process that is killed and started again on the same data folder.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::bus::Bus;
use crate::{PATIENCE, process};

/// The process and what stays when it dies.
pub(crate) struct Catcher {
    folder: tempfile::TempDir,
    child: Option<Child>,
    starts: u32,
}

impl Catcher {
    /// Configuration, one rule file and an empty data folder; nothing runs yet.
    pub(crate) fn new(config: &str, rules: &str) -> Catcher {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let own = folder.path().join("config");
        std::fs::create_dir_all(own.join("rules")).expect("a folder can be made");
        std::fs::write(own.join("_init.yaml"), config).expect("a file can be written");
        std::fs::write(own.join("rules/kill.yaml"), rules).expect("a file can be written");
        Catcher { folder, child: None, starts: 0 }
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the process and waits until `enabled` has seen it ENABLED. The first time it is told to be; later it has to know by itself.
    pub(crate) async fn start(
        &mut self,
        bus: &Bus,
        more: &[(String, String)],
        enabled: impl AsyncFnOnce(i64) -> bool,
    ) {
        self.starts += 1;
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log()).expect("a log");
        let mut command = match bus.door() {
            None => self.on_a_real_bus(),
            Some(door) => self.on_the_mock(&door.to_string()),
        };
        command
            .envs(bus.variables())
            .envs(more.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file handle"))
            .stderr(log);
        self.child = Some(command.spawn().expect("the program starts"));
        if !enabled(self.origin()).await {
            panic!(
                "start {} was not ENABLED in {PATIENCE:?}; the end of its log:\n{}",
                self.starts,
                self.said()
            );
        }
    }

    fn on_a_real_bus(&self) -> Command {
        let mut command = Command::new(program());
        command
            .args(["run", "1", "--http", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(self.folder.path().join("data"))
            .arg("--configdir")
            .arg(self.folder.path().join("config"));
        if self.starts == 1 {
            command.args(["--state", "enabled"]);
        }
        command
    }

    fn on_the_mock(&self, door: &str) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command
            .args(["--exact", "process::the_catcher_itself", "--nocapture", "--test-threads=1"])
            .env(process::DOOR, door)
            .env(process::FOLDER, self.folder.path());
        if self.starts == 1 {
            command.env(process::ENABLE, "1");
        }
        command
    }

    /// The end of its log.
    pub(crate) fn said(&self) -> String {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    /// The history of the alarm, read beside the running process.
    pub(crate) fn history(&self) -> Vec<serde_json::Value> {
        let output = Command::new(program())
            .args(["alarms", "history", "Kill.Alarm", "--json", "--limit", "1000000", "--data-dir"])
            .arg(self.folder.path().join("data"))
            .output()
            .expect("the program starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).expect("JSON is text");
        text.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
    }

    /// kill -9, and waits until the process is gone.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let died = child.try_wait().expect("the child can be asked");
            assert!(died.is_none(), "the process ended by itself ({died:?}); its log:\n{}", self.said());
            child.kill().expect("the child can be killed");
            child.wait().expect("a killed child ends");
        }
    }

    /// Origin of what the running process publishes: its process id.
    pub(crate) fn origin(&self) -> i64 {
        i64::from(self.child.as_ref().expect("it was started").id())
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }
}

fn program() -> std::ffi::OsString {
    std::env::var_os("CATCHER_TEST_PROGRAM").unwrap_or_else(|| env!("CARGO_BIN_EXE_catcher").into())
}

impl Drop for Catcher {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // The test is over, well or badly: nothing may be left running.
            child.kill().and_then(|()| child.wait()).ok();
        }
    }
}
