//! SLURM by its commands. What they do that one would not expect:
//!
//! * `sacct` tells of today only, unless it is told since when; times are those of the machine's zone, so it is asked for the
//!   last days instead.
//! * Its database hears of a job a little late.
//! * Tasks of an array that wait are one line, `42_[3-8%2]`; a state may have words after it (`CANCELLED by 1000`).
//! * `scancel` says nothing, also where there is no such job.

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;

use super::config::BatchJob;
use super::jobs::SubmittedJob;
use super::programs::Programs;
use super::scheduler::{JobState, Scheduler};

pub(super) struct Slurm {
    programs: Programs,
    logs: Option<PathBuf>,
}

impl Slurm {
    pub(super) fn new(programs: Programs, logs: Option<PathBuf>) -> Slurm {
        Slurm { programs, logs }
    }

    async fn lines(&self, which: &[&str]) -> Result<Vec<String>, String> {
        let form = ["-S", "now-7days", "-X", "-n", "-P", "-o", "JobID,State,ExitCode"];
        let text = self.programs.run("sacct", &[which, &form].concat()).await?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

/// The numbers of the tasks that a line of `sacct` is about, and their state.
fn read(line: &str) -> Option<(Vec<usize>, JobState)> {
    let mut parts = line.split('|');
    let (id, state, exit) = (parts.next()?, parts.next()?, parts.next().unwrap_or_default());
    let (_, tasks) = id.split_once('_')?;
    let tasks = match tasks.strip_prefix('[') {
        None => vec![tasks.parse().ok()?],
        Some(list) => {
            let list = list.trim_end_matches(']').split('%').next()?;
            let range = |part: &str| match part.split_once('-') {
                None => part.parse().ok().map(|n: usize| n..=n),
                Some((from, to)) => Some(from.parse().ok()?..=to.parse().ok()?),
            };
            list.split(',').filter_map(range).flatten().collect()
        }
    };
    let word = state.split([' ', '+']).next().unwrap_or_default();
    let (code, signal) = exit.split_once(':').unwrap_or((exit, "0"));
    let state = match word {
        "PENDING" | "CONFIGURING" | "RUNNING" | "COMPLETING" | "REQUEUED" | "REQUEUE_HOLD"
        | "REQUEUE_FED" | "RESIZING" | "SIGNALING" | "STAGE_OUT" | "STOPPED" | "SUSPENDED" => {
            JobState::Waiting
        }
        "COMPLETED" => JobState::Ended(0),
        "FAILED" if code == "0" && signal != "0" => JobState::Killed(format!("signal {signal}")),
        // A failure is none of success, whatever code it has.
        "FAILED" => JobState::Ended(code.parse().ok().filter(|code| *code != 0).unwrap_or(-1)),
        _ => JobState::Killed(state.to_owned()),
    };
    Some((tasks, state))
}

/// An argument for the shell; what else may be in it was checked.
fn quoted(argument: &str) -> String {
    format!("'{}'", argument.replace('\'', r"'\''"))
}

#[async_trait]
impl Scheduler for Slurm {
    fn submission(&self, name: &str, job: &BatchJob, jobs: &[SubmittedJob]) -> (Vec<String>, String) {
        let mut argv = vec![
            self.programs.path("sbatch"),
            "--parsable".to_owned(),
            format!("--job-name={name}"),
            format!("--array=0-{}", jobs.len().saturating_sub(1)),
        ];
        if let Some(folder) = &self.logs {
            argv.push(format!("--output={}/{name}.%a.out", folder.display()));
        }
        argv.extend(job.submit.iter().cloned());
        let mut script = "#!/bin/sh\ncase \"$SLURM_ARRAY_TASK_ID\" in\n".to_owned();
        for (n, one) in jobs.iter().enumerate() {
            let arguments: Vec<String> = one.arguments.iter().map(|a| quoted(a)).collect();
            script += &format!(
                "{n}) exec {} {} ;;\n",
                quoted(&job.program.display().to_string()),
                arguments.join(" ")
            );
        }
        (argv, script + "*) exit 64 ;;\nesac\n")
    }

    fn cluster(&self, answer: &str) -> Option<String> {
        // `42` or `42;name of the cluster`
        let id = answer.trim().lines().last()?.split(';').next()?;
        id.parse::<u64>().ok().map(|id| id.to_string())
    }

    async fn find(&self, name: &str) -> Result<Option<String>, String> {
        let lines = self.lines(&[&format!("--name={name}")]).await?;
        let mut ids = lines.iter().filter_map(|line| line.split(['_', '|']).next());
        Ok(ids.rfind(|id| id.parse::<u64>().is_ok()).map(str::to_owned))
    }

    async fn look(&self, cluster: &str) -> Result<BTreeMap<usize, JobState>, String> {
        let mut seen = BTreeMap::new();
        for (tasks, state) in self.lines(&["-j", cluster]).await?.iter().filter_map(|line| read(line)) {
            seen.extend(tasks.into_iter().map(|task| (task, state.clone())));
        }
        Ok(seen)
    }

    async fn remove_cluster(&self, cluster: &str) -> Result<(), String> {
        self.programs.run("scancel", &[cluster]).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_what_was_meant() {
        for argument in ["", "r 57", "instrument='LSSTCam' AND detector=9", "a;b|c>d*e(f)&"] {
            let line = format!("printf %s {}", quoted(argument));
            let output = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), argument);
        }
    }

    #[test]
    fn every_line_has_its_meaning() {
        let killed = |why: &str| JobState::Killed(why.to_owned());
        for (line, tasks, state) in [
            ("42_0|COMPLETED|0:0", vec![0], JobState::Ended(0)),
            ("42_7|FAILED|3:0", vec![7], JobState::Ended(3)),
            ("42_7|FAILED|0:9", vec![7], killed("signal 9")),
            ("42_7|FAILED|0:0", vec![7], JobState::Ended(-1)),
            ("42_1|CANCELLED by 1000|0:15", vec![1], killed("CANCELLED by 1000")),
            ("42_1|TIMEOUT|0:0", vec![1], killed("TIMEOUT")),
            ("42_1|OUT_OF_MEMORY|0:125", vec![1], killed("OUT_OF_MEMORY")),
            ("42_[3-5,8%2]|PENDING|0:0", vec![3, 4, 5, 8], JobState::Waiting),
            ("42_2|RUNNING|0:0", vec![2], JobState::Waiting),
        ] {
            assert_eq!(read(line), Some((tasks, state)), "{line}");
        }
        assert_eq!(read("42|RUNNING|0:0"), None, "the array itself");
    }
}
