//! The folder in which one program runs: what it gets, what it leaves, and what can be told from it after a restart.
//!
//! | file | is there |
//! |---|---|
//! | `request` | before it starts: its standard input |
//! | `started/` | from the moment on from which it counts as started; whoever makes it is the only one |
//! | `pid` | its process group |
//! | `stdout`, `stderr` | what it wrote |
//! | `exit` | its exit code, once it has ended |
//! | `artifacts/` | files that it wants kept |

use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process_group};
use serde_json::Value;
use tokio::process::{Child, Command};

use super::is_plain;
use crate::tasks::call::StepId;
use crate::tasks::shelf::{Content, Shelf, StepFile, plain_name};

/// Starts the program and writes down how it ended. Arguments: memory in kB, file size in blocks, the program, its own.
const WRAPPER: &str = r#"
mkdir started || exit 0
echo $$ > pid
memory=$1 blocks=$2
shift 2
(
    ulimit -v "$memory" && ulimit -f "$blocks" || exit 126
    exec "$@"
) < request > stdout 2> stderr
echo $? > exit.new
mv exit.new exit
"#;
/// Bytes of `ulimit -f`'s unit, as POSIX has it.
const BLOCK: u64 = 512;
/// Folders of ended programs that are left for looking at.
const KEEP_FOLDERS: usize = 200;
/// Longest answer that is read.
const ANSWER_BYTES: u64 = 4 << 20;
/// How much of what a program wrote to its standard error is told.
const LOG_BYTES: u64 = 4096;
/// Most files of one step.
const MOST_FILES: usize = 100;
/// How long a program may take to end after it was asked to.
const GRACE: Duration = Duration::from_secs(2);
/// Between two looks at a program that is to end.
const LOOK: Duration = Duration::from_millis(20);

/// What one program may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tasks::steps) struct Limits {
    pub(in crate::tasks::steps) memory_kb: u64,
    pub(in crate::tasks::steps) file_bytes: u64,
}

/// What can be told of a program of an earlier process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tasks::steps) enum Found {
    /// It will never start now.
    NeverStarted,
    Lives,
    Ended,
    /// It started, does not live, and did not say how it ended.
    Gone,
}

/// See the module's documentation.
#[derive(Debug)]
pub(in crate::tasks::steps) struct WorkFolder {
    path: PathBuf,
}

impl WorkFolder {
    /// A new folder for an attempt; those of long ago are removed.
    pub(in crate::tasks::steps) fn make(work: &Path, id: &StepId) -> io::Result<WorkFolder> {
        fs::create_dir_all(work)?;
        prune(work)?;
        let base = plain_name(&format!("{}_{}_{}", id.run_id, id.step, id.attempt));
        for n in 0.. {
            let name = if n == 0 { base.clone() } else { format!("{base}_{n}") };
            let path = work.join(name);
            match fs::create_dir(&path) {
                Ok(()) => {
                    fs::create_dir(path.join("artifacts"))?;
                    return Ok(WorkFolder { path: path.canonicalize()? });
                }
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(e),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// The folder of that name, if it is one of ours.
    pub(in crate::tasks::steps) fn of(work: &Path, name: &str) -> Option<WorkFolder> {
        let path = work.join(name);
        let path = path.canonicalize().unwrap_or(path);
        is_plain(name).then_some(WorkFolder { path })
    }

    pub(in crate::tasks::steps) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    pub(in crate::tasks::steps) fn artifacts(&self) -> PathBuf {
        self.path.join("artifacts")
    }

    pub(in crate::tasks::steps) fn write_request(&self, request: &Value) -> io::Result<()> {
        self.write_input(&format!("{request}\n"))
    }

    /// A file of its own in the folder.
    pub(in crate::tasks::steps) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Puts a file into the folder; where it is.
    pub(in crate::tasks::steps) fn write_file(&self, name: &str, content: &str) -> io::Result<PathBuf> {
        let path = self.file(name);
        fs::write(&path, content)?;
        Ok(path)
    }

    /// The program's standard input.
    pub(in crate::tasks::steps) fn write_input(&self, input: &str) -> io::Result<()> {
        fs::write(self.path.join("request"), input)
    }

    /// Starts a program in a process group of its own. It does not end with us.
    pub(in crate::tasks::steps) fn start(
        &self,
        argv: &[String],
        environment: &[(String, String)],
        limits: &Limits,
    ) -> io::Result<Child> {
        let blocks = limits.file_bytes.div_ceil(BLOCK);
        Command::new("/bin/sh")
            .args(["-c", WRAPPER, "catcher-command"])
            .args([limits.memory_kb.to_string(), blocks.to_string()])
            .args(argv)
            .env_clear()
            .env("HOME", &self.path)
            .env("TMPDIR", &self.path)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .env("CATCHER_ARTIFACTS", self.artifacts())
            .current_dir(&self.path)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
    }

    /// What became of the program. One that has not started yet never will.
    pub(in crate::tasks::steps) fn look(&self) -> Found {
        if self.exit().is_some() {
            return Found::Ended;
        }
        match fs::create_dir(self.path.join("started")) {
            Ok(()) => return Found::NeverStarted,
            // The folder is gone, and with it all that could be known.
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Found::Gone,
            Err(_) => {}
        }
        if self.alive().is_some() {
            return Found::Lives;
        }
        // It may have ended between the two looks.
        if self.exit().is_some() { Found::Ended } else { Found::Gone }
    }

    /// The same; one that has just started may not have written down yet which process it is.
    pub(in crate::tasks::steps) async fn settled(&self) -> Found {
        let mut left = GRACE;
        loop {
            match self.look() {
                Found::Gone if self.group().is_none() && self.path.exists() && !left.is_zero() => {
                    tokio::time::sleep(LOOK).await;
                    left = left.saturating_sub(LOOK);
                }
                found => return found,
            }
        }
    }

    /// The exit code.
    pub(in crate::tasks::steps) fn exit(&self) -> Option<i32> {
        fs::read_to_string(self.path.join("exit")).ok()?.trim().parse().ok()
    }

    /// What it wrote to its standard output.
    pub(in crate::tasks::steps) fn answer(&self) -> Result<String, String> {
        let path = self.path.join("stdout");
        let size = fs::metadata(&path).map_err(|e| e.to_string())?.len();
        if size > ANSWER_BYTES {
            return Err(format!(
                "it has {size} bytes, at most {ANSWER_BYTES} are read; put more into a file"
            ));
        }
        fs::read_to_string(&path).map_err(|e| e.to_string())
    }

    /// The end of what it wrote to its standard error.
    pub(in crate::tasks::steps) fn log(&self) -> String {
        let read = || -> io::Result<String> {
            let mut file = fs::File::open(self.path.join("stderr"))?;
            let size = file.metadata()?.len();
            file.seek(SeekFrom::Start(size.saturating_sub(LOG_BYTES)))?;
            let mut bytes = Vec::new();
            file.take(LOG_BYTES).read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
        };
        read().unwrap_or_default()
    }

    /// Keeps what it put into its folder of artifacts, and its log. What cannot be kept is told in our own log only: the result
    /// counts without it.
    pub(in crate::tasks::steps) async fn keep_files(
        &self,
        id: &StepId,
        shelf: &dyn Shelf,
        limits: &Limits,
    ) -> Vec<StepFile> {
        let mut paths: Vec<PathBuf> = match fs::read_dir(self.artifacts()) {
            Ok(entries) => entries.filter_map(Result::ok).map(|e| e.path()).collect(),
            Err(_) => Vec::new(),
        };
        paths.sort();
        let log = self.path.join("stderr");
        if fs::metadata(&log).is_ok_and(|m| m.len() > 0) {
            paths.push(log);
        }
        let mut kept = Vec::new();
        let mut left_out = 0;
        for path in paths {
            // No links: what they point at is not the program's own.
            let plain =
                fs::symlink_metadata(&path).is_ok_and(|m| m.is_file() && m.len() <= limits.file_bytes);
            if !plain || kept.len() >= MOST_FILES {
                left_out += 1;
                continue;
            }
            let own = path.parent() == Some(self.path.as_path());
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let name = if own { "log.txt".to_owned() } else { plain_name(&name) };
            match shelf.keep(id, &name, Content::File(&path)).await {
                Ok(file) => kept.push(file),
                Err(error) => tracing::warn!("{id}: {error}"),
            }
        }
        if left_out > 0 {
            tracing::warn!(
                "{id}: {left_out} of the program's files are no plain files, too large or too many"
            );
        }
        kept
    }

    /// Asks the program and all it started to end, and makes it so.
    pub(in crate::tasks::steps) async fn stop(&self) {
        if let Some(pid) = self.alive() {
            // Should we die over it, what ends without a trace is known to have been ended by us.
            fs::write(self.path.join("stopped"), "").ok();
            // What has ended meanwhile needs no signal.
            kill_process_group(pid, Signal::TERM).ok();
            let mut left = GRACE;
            while test_kill_process_group(pid).is_ok() && !left.is_zero() {
                tokio::time::sleep(LOOK).await;
                left = left.saturating_sub(LOOK);
            }
            kill_process_group(pid, Signal::KILL).ok();
        }
        self.end_strays();
    }

    /// Whether it was asked to end, by us or by an earlier process of ours.
    pub(in crate::tasks::steps) fn was_stopped(&self) -> bool {
        self.path.join("stopped").exists()
    }

    /// Ends what the program left running when it ended.
    pub(in crate::tasks::steps) fn end_group(&self) {
        if let Some(pid) = self.group() {
            // Mostly there is nothing.
            kill_process_group(pid, Signal::KILL).ok();
        }
        self.end_strays();
    }

    /// Ends what left the process group (a kernel of Jupyter has a session of its own): it still has our environment.
    fn end_strays(&self) {
        let mark = format!("CATCHER_ARTIFACTS={}\0", self.artifacts().display()).into_bytes();
        for entry in fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok) {
            let number = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
            let Some(pid) = number.and_then(Pid::from_raw) else { continue };
            // Those of others cannot be read.
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            if environment.windows(mark.len()).any(|part| part == mark) {
                kill_process(pid, Signal::KILL).ok();
            }
        }
    }

    fn group(&self) -> Option<Pid> {
        Pid::from_raw(fs::read_to_string(self.path.join("pid")).ok()?.trim().parse().ok()?)
    }

    /// The process group, if somebody of it lives: our shell may be dead while the program goes on.
    fn alive(&self) -> Option<Pid> {
        let group = self.group()?;
        let number = group.as_raw_nonzero().to_string();
        let member = |entry: fs::DirEntry| {
            // `PID (name) state parent group ...`; the name may hold anything.
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let own = stat.rsplit_once(')')?.1.split_whitespace().nth(2)? == number;
            let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            (own && self.is_ours(pid)).then_some(())
        };
        let others = || fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
        (self.is_ours(group) || others().filter_map(member).next().is_some()).then_some(group)
    }

    /// True if the process lives and works in this folder: the number alone may be that of another by now.
    fn is_ours(&self, pid: Pid) -> bool {
        let number = pid.as_raw_nonzero();
        match fs::read_link(format!("/proc/{number}/cwd")) {
            Ok(folder) => folder == self.path,
            Err(_) if Path::new("/proc/self").exists() => false,
            Err(_) => test_kill_process_group(pid).is_ok(),
        }
    }
}

/// Removes all but the newest folders.
fn prune(work: &Path) -> io::Result<()> {
    let mut all: Vec<(std::time::SystemTime, PathBuf)> = fs::read_dir(work)?
        .filter_map(Result::ok)
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    if all.len() < KEEP_FOLDERS {
        return Ok(());
    }
    all.sort();
    all.truncate(all.len() + 1 - KEEP_FOLDERS);
    for (_, path) in all {
        let folder = WorkFolder { path };
        if !folder.group().is_some_and(|pid| folder.is_ours(pid)) {
            fs::remove_dir_all(&folder.path)?;
        }
    }
    Ok(())
}
