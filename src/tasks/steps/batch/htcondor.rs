//! HTCondor by its commands. What they do that one would not expect:
//!
//! * `condor_q -json` and `condor_history -json` print nothing at all where there is nothing, instead of an empty list.
//! * A job that ended leaves the queue and appears in the history; for a moment it is in neither.
//! * A held job stays for ever.
//! * `$` in a submit description is replaced by something; see [`super::jobs`] for what values may hold.

use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use serde::Deserialize;

use super::config::BatchJob;
use super::jobs::SubmittedJob;
use super::programs::Programs;
use super::scheduler::{JobState, Scheduler};

/// What is asked of a job.
const ATTRIBUTES: &str =
    "ClusterId,ProcId,JobStatus,HoldReason,RemoveReason,ExitBySignal,ExitSignal,ExitCode";

pub(super) struct HtCondor {
    programs: Programs,
    logs: Option<PathBuf>,
}

/// A job's description, as far as it is asked for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ad {
    cluster_id: i64,
    proc_id: usize,
    #[serde(default)]
    job_status: i64,
    #[serde(default)]
    hold_reason: Option<String>,
    #[serde(default)]
    remove_reason: Option<String>,
    #[serde(default)]
    exit_by_signal: bool,
    #[serde(default)]
    exit_signal: Option<i64>,
    #[serde(default)]
    exit_code: Option<i64>,
}

impl Ad {
    fn state(self) -> JobState {
        match self.job_status {
            3 => JobState::Killed(self.remove_reason.unwrap_or_else(|| "removed".to_owned())),
            4 if self.exit_by_signal => {
                JobState::Killed(format!("signal {}", self.exit_signal.unwrap_or_default()))
            }
            4 => match self.exit_code {
                Some(code) => JobState::Ended(code),
                None => JobState::Killed("no exit code".to_owned()),
            },
            5 => JobState::Held(self.hold_reason.unwrap_or_else(|| "no reason given".to_owned())),
            // Idle, running, transferring output, suspended.
            _ => JobState::Waiting,
        }
    }
}

impl HtCondor {
    pub(super) fn new(programs: Programs, logs: Option<PathBuf>) -> HtCondor {
        HtCondor { programs, logs }
    }

    async fn ads(&self, program: &str, which: &[&str]) -> Result<Vec<Ad>, String> {
        let arguments = [which, &["-json", "-attributes", ATTRIBUTES]].concat();
        read(&self.programs.run(program, &arguments).await?).map_err(|e| format!("{program}: {e}"))
    }
}

fn read(text: &str) -> Result<Vec<Ad>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(text).map_err(|e| format!("its answer cannot be read: {e}"))
}

/// An argument in HTCondor's own quotes, in which a quote is written twice; what else may be in it was checked.
fn quoted(argument: &str) -> String {
    let plain = !argument.is_empty() && !argument.contains(|c: char| c.is_whitespace() || c == '\'');
    if plain { argument.to_owned() } else { format!("'{}'", argument.replace('\'', "''")) }
}

#[async_trait]
impl Scheduler for HtCondor {
    fn submission(&self, name: &str, job: &BatchJob, jobs: &[SubmittedJob]) -> (Vec<String>, String) {
        let mut lines =
            vec![format!("executable = {}", job.program.display()), "universe = vanilla".to_owned()];
        if let Some(folder) = &self.logs {
            let stem = format!("{}/{name}", folder.display());
            lines.push(format!("log = {stem}.log"));
            lines.push(format!("output = {stem}.$(Process).out"));
            lines.push(format!("error = {stem}.$(Process).err"));
        }
        lines.extend(job.submit.iter().cloned());
        for one in jobs {
            let arguments: Vec<String> = one.arguments.iter().map(|a| quoted(a)).collect();
            lines.push(format!("arguments = \"{}\"", arguments.join(" ")));
            lines.push("queue".to_owned());
        }
        let program = self.programs.path("condor_submit");
        let argv = [&program, "-terse", "-batch-name", name, "-"].map(|a: &str| a.to_owned()).to_vec();
        (argv, lines.join("\n") + "\n")
    }

    fn cluster(&self, answer: &str) -> Option<String> {
        // `42.0 - 42.8`
        let (cluster, _) = answer.trim().lines().last()?.split_once('.')?;
        cluster.parse::<u64>().ok().map(|cluster| cluster.to_string())
    }

    async fn find(&self, name: &str) -> Result<Option<String>, String> {
        let constraint = format!("JobBatchName == \"{name}\"");
        for (program, more) in [("condor_q", &[][..]), ("condor_history", &["-limit", "1"][..])] {
            let which = [&["-constraint", constraint.as_str()][..], more].concat();
            if let Some(ad) = self.ads(program, &which).await?.first() {
                return Ok(Some(ad.cluster_id.to_string()));
            }
        }
        Ok(None)
    }

    async fn look(&self, cluster: &str) -> Result<BTreeMap<usize, JobState>, String> {
        let mut seen = BTreeMap::new();
        // In this order: what leaves the queue in between is in the history.
        for program in ["condor_q", "condor_history"] {
            seen.extend(self.ads(program, &[cluster]).await?.into_iter().map(|ad| (ad.proc_id, ad.state())));
        }
        Ok(seen)
    }

    async fn remove_cluster(&self, cluster: &str) -> Result<(), String> {
        self.programs.run("condor_rm", &[cluster]).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_an_empty_list_and_every_state_has_its_meaning() {
        assert!(read("").unwrap().is_empty() && read(" \n").unwrap().is_empty());
        assert!(read("-- Failed").unwrap_err().contains("cannot be read"));
        let state = |more: &str| {
            let text = format!("[{{\"ClusterId\": 42, \"ProcId\": 0, {more}}}]");
            read(&text).unwrap().pop().unwrap().state()
        };
        for going in [1, 2, 6, 7] {
            assert_eq!(state(&format!("\"JobStatus\": {going}")), JobState::Waiting);
        }
        assert_eq!(state("\"JobStatus\": 4, \"ExitBySignal\": false, \"ExitCode\": 3"), JobState::Ended(3));
        assert_eq!(
            state("\"JobStatus\": 4, \"ExitBySignal\": true, \"ExitSignal\": 11"),
            JobState::Killed("signal 11".into())
        );
        assert_eq!(state("\"JobStatus\": 5, \"HoldReason\": \"memory\""), JobState::Held("memory".into()));
        assert_eq!(
            state("\"JobStatus\": 3, \"RemoveReason\": \"via condor_rm\""),
            JobState::Killed("via condor_rm".into())
        );
    }

    #[test]
    fn arguments_with_blanks_and_quotes_are_quoted() {
        let query = "instrument='LSSTCam' AND detector=9";
        let wanted = ["r", "''", "'r 57'", "'instrument=''LSSTCam'' AND detector=9'"];
        assert_eq!(["r", "", "r 57", query].map(quoted), wanted);
    }
}
