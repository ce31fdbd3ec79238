//! The Catcher as a process that is killed and started again on the same data folder.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use salobj::SummaryState;

use crate::PATIENCE;
use crate::observatory::Observatory;

const CONFIG: &str = "\
auto_acknowledge_delay_s: 0
auto_unacknowledge_delay_s: 0
allowed_commands:
  - {component: OCPS, indices: [1], commands: [execute, abort_job]}
instances:
  - {sal_index: 1, rules: [kill.yaml]}
";

const RULES: &str = r#"rules:
  - name: Kill.Job
    description: One OCPS job for each trigger by hand
    parameters: {n: "0"}
    trigger: {manual: true}
    tasks:
      job:
        ocps: {index: 1, pipeline: "true.yaml", data_query: "job={{ parameters.n }}"}
        timeout: 100s
  - name: Kill.Alarm
    description: An alarm that stands all the time
    inputs:
      wind: {topic: "ESS:301.tel_airFlow", field: speed}
    alarm:
      value: wind
      levels: {critical: 10.0}
      reason: "Wind {{ value }} m/s"
"#;

/// The process and what stays when it dies.
pub(crate) struct Catcher {
    folder: tempfile::TempDir,
    child: Option<Child>,
    starts: u32,
}

impl Catcher {
    /// Configuration and an empty data folder; nothing runs yet.
    pub(crate) fn new() -> Catcher {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = folder.path().join("config");
        std::fs::create_dir_all(config.join("rules")).expect("a folder can be made");
        std::fs::write(config.join("_init.yaml"), CONFIG).expect("a file can be written");
        std::fs::write(config.join("rules/kill.yaml"), RULES).expect("a file can be written");
        Catcher { folder, child: None, starts: 0 }
    }

    /// Starts the process and waits until it is ENABLED. The first time it is told to; later it has to know by itself.
    pub(crate) async fn start(&mut self, observatory: &Observatory) {
        self.starts += 1;
        let log = std::fs::File::create(self.log()).expect("a log can be made");
        let mut command = Command::new(program());
        command
            .args(["run", "1", "--http", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(self.folder.path().join("data"))
            .arg("--configdir")
            .arg(self.folder.path().join("config"))
            .envs(observatory.variables())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file handle"))
            .stderr(log);
        if self.starts == 1 {
            command.args(["--state", "enabled"]);
        }
        self.child = Some(command.spawn().expect("the program starts"));
        let origin = self.origin();
        if !observatory.wait_for_state(SummaryState::Enabled, origin).await {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            panic!("start {} was not ENABLED in {PATIENCE:?}; its log:\n{log}", self.starts);
        }
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
            let log = || std::fs::read_to_string(self.log()).unwrap_or_default();
            assert!(died.is_none(), "the process ended by itself ({died:?}); its log:\n{}", log());
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
