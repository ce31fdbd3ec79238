//! `catcher tasks`: the runs of a running Catcher, followed, ended and run again; by the commands and events that any client uses.

mod logs;
mod show;
mod told;

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use futures::{Stream, StreamExt};
use salobj::{AckCode, AckError, Clock, Remote, Sample, Tai, Value};
use serde_json::json;

use super::outside::Outside;
use super::progress::Progress;
use super::which::Which;
use told::{Run, Told};

#[cfg(test)]
mod tests;

/// How long a command may take.
const LIMIT: Duration = Duration::from_secs(30);
/// How long the events of `showTasks` are waited for after its acknowledgement, and how often they are asked for.
const EVENTS: Duration = Duration::from_secs(5);
const ASKED: usize = 5;
/// When no further event has come for so long, all that were asked for are there.
const QUIET: Duration = Duration::from_millis(400);
/// Runs that are remembered while all are followed.
const MOST_FOLLOWED: usize = 1000;
/// Characters of the id of a run.
const WHOLE_ID: usize = 16;
/// After such a silence of a run that is followed it is asked how things stand.
const SILENCE: Duration = Duration::from_secs(15);

/// Subcommands of `catcher tasks`.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Examples:
  catcher tasks list
  catcher tasks list --failed --json
  catcher tasks list --watch
  catcher tasks show 0123456789abcdef --watch
  catcher tasks rerun 0123456789abcdef --reason 'the archive is back' --watch
  catcher tasks cancel 0123456789abcdef --reason 'not needed'
  catcher tasks logs 0123456789abcdef --step drift

Of an id the first characters are enough where only one run begins with them.

The bus is named by LSST_KAFKA_BROKER_ADDR, LSST_SCHEMA_REGISTRY_URL and LSST_TOPIC_SUBNAME.")]
pub(super) enum Command {
    /// Show runs, the newest first: those under way, the last that ended, and those that failed and were not dealt with.
    #[command(after_help = "Examples:
  catcher tasks list
  catcher tasks list Jitter.AuxTel --watch
  catcher tasks list --failed --json")]
    List {
        /// Only runs of this rule.
        rule: Option<String>,
        /// Only runs that failed or ran out of time.
        #[arg(long)]
        failed: bool,
        /// Go on showing what changes, until interrupted.
        #[arg(long)]
        watch: bool,
        #[command(flatten)]
        bus: Which,
    },
    /// Show a run with its steps. Of the items of a `foreach` the numbers are shown, and those that failed.
    #[command(after_help = "Examples:
  catcher tasks show 0123456789abcdef
  catcher tasks show 0123 --items               every item of a foreach
  catcher tasks show 0123 --watch --json        a line for each change, to the end

Exit code with --watch: 0 the run succeeded, 1 it did not.")]
    Show {
        /// Id of the run.
        task_id: String,
        /// Show every item of a `foreach`, not only those that failed.
        #[arg(long)]
        items: bool,
        /// Follow it to its end; the exit code is 1 if it does not succeed.
        #[arg(long)]
        watch: bool,
        #[command(flatten)]
        bus: Which,
    },
    /// End a run; for one that failed: take it off the list of failed runs.
    #[command(after_help = "Examples:
  catcher tasks cancel 0123456789abcdef --reason 'not needed'
  catcher tasks cancel 0123 --json")]
    Cancel {
        /// Id of the run.
        task_id: String,
        /// Why.
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        bus: Which,
    },
    /// Run the tasks of a run that has ended again, on the same inputs, as a new run.
    #[command(after_help = "Examples:
  catcher tasks rerun 0123456789abcdef
  catcher tasks rerun 0123 --reason 'the archive is back' --watch

Exit code with --watch: 0 the new run succeeded, 1 it did not.")]
    Rerun {
        /// Id of the run.
        task_id: String,
        /// Why.
        #[arg(long, default_value = "")]
        reason: String,
        /// Follow the new run to its end; the exit code is 1 if it does not succeed.
        #[arg(long)]
        watch: bool,
        #[command(flatten)]
        bus: Which,
    },
    /// Print what the steps of a run said: their errors, and what their programs wrote to their standard error.
    #[command(after_help = "Examples:
  catcher tasks logs 0123456789abcdef
  catcher tasks logs 0123 --step isr[17]
  catcher tasks logs 0123 --failed              of steps and items that did not succeed
  catcher tasks logs 0123 --json

Exit code: 0 all of it was read, 1 a log is not there any more.")]
    Logs {
        /// Id of the run.
        task_id: String,
        /// Only this step; all its items, if it has a `foreach`.
        #[arg(long)]
        step: Option<String>,
        /// Only what did not succeed.
        #[arg(long)]
        failed: bool,
        #[command(flatten)]
        bus: Which,
    },
}

impl Command {
    fn bus(&self) -> &Which {
        match self {
            Command::List { bus, .. }
            | Command::Show { bus, .. }
            | Command::Cancel { bus, .. }
            | Command::Rerun { bus, .. }
            | Command::Logs { bus, .. } => bus,
        }
    }
}

pub(super) fn run(command: Command, outside: &Outside) -> anyhow::Result<ExitCode> {
    crate::telemetry::init("error", salobj::log::layer());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(act(command, outside))
}

async fn act(command: Command, outside: &Outside) -> anyhow::Result<ExitCode> {
    let bus = command.bus();
    let (domain, remote) = bus.remote(outside, "task").await?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let done = carry_out(&command, &remote, domain.clock(), &mut out).await;
    remote.close().await;
    out.flush()?;
    Ok(if done? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Does what the command says through a remote. False if what was followed did not succeed.
pub(super) async fn carry_out(
    command: &Command,
    remote: &Remote,
    clock: &Clock,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let (as_json, index) = (command.bus().json, command.bus().index);
    // Before anything is asked for, so that nothing is missed between the answer and what follows.
    let mut stream = std::pin::pin!(remote.event("task")?.stream());
    match command {
        Command::List { rule, failed, watch, .. } => {
            let wanted = |run: &Run| {
                rule.as_ref().is_none_or(|rule| run.rule() == rule) && (!failed || run.has_failed())
            };
            let runs = ask(remote, index, clock, &mut stream).await?;
            show::list(runs.values().filter(|run| wanted(run)), as_json, out)?;
            if *watch {
                follow(remote, clock, &mut stream, runs, None, How { index, as_json }, out).await?;
            }
            Ok(true)
        }
        Command::Show { task_id, items, watch, .. } => {
            let runs = ask(remote, index, clock, &mut stream).await?;
            let (id, run) = the_run(&runs, task_id)?;
            show::one(run, *items, as_json, out)?;
            if !watch {
                return Ok(true);
            }
            if run.is_over() {
                return Ok(run.succeeded());
            }
            let (id, how) = (id.clone(), How { index, as_json });
            follow(remote, clock, &mut stream, runs, Some(&id), how, out).await
        }
        Command::Cancel { task_id, reason, .. } => {
            let id = whole_id(remote, index, clock, &mut stream, task_id).await?;
            let said = command_on(remote, index, "cancelTask", &id, reason).await?;
            tell(&said, as_json, out)?;
            Ok(true)
        }
        Command::Rerun { task_id, reason, watch, .. } => {
            let id = whole_id(remote, index, clock, &mut stream, task_id).await?;
            let new = command_on(remote, index, "rerunTask", &id, reason).await?;
            tell(&new, as_json, out)?;
            if !watch {
                return Ok(true);
            }
            let runs = ask(remote, index, clock, &mut stream).await?;
            match runs.get(&new) {
                Some(run) if run.is_over() => {
                    show::one(run, false, as_json, out)?;
                    Ok(run.succeeded())
                }
                _ => follow(remote, clock, &mut stream, runs, Some(&new), How { index, as_json }, out).await,
            }
        }
        Command::Logs { task_id, step, failed, .. } => {
            let runs = ask(remote, index, clock, &mut stream).await?;
            let (id, run) = the_run(&runs, task_id)?;
            let mut steps: Vec<&Told> = match step {
                Some(name) => run.steps().filter(|s| s.is(name)).collect(),
                None => run.steps().collect(),
            };
            if let (Some(name), true) = (step, steps.is_empty()) {
                let known: Vec<&str> =
                    run.steps().filter(|s| !s.is_item()).map(|s| s.step.as_str()).collect();
                bail!("run {id} has no step {name}; it has {}", known.join(", "));
            }
            steps.retain(|step| !failed || step.has_failed());
            let mut all = true;
            for step in steps {
                all &= logs::log(step, as_json, out).await?;
            }
            Ok(all)
        }
    }
}

/// The run of that id, or the only one whose id begins so.
fn the_run<'a>(runs: &'a BTreeMap<String, Run>, id: &str) -> anyhow::Result<(&'a String, &'a Run)> {
    if let Some(found) = runs.get_key_value(id) {
        return Ok(found);
    }
    let like: Vec<(&String, &Run)> = runs.iter().filter(|(known, _)| known.starts_with(id)).collect();
    match like.as_slice() {
        [found] if !id.is_empty() => Ok(*found),
        [] => bail!("{}", unknown(id)),
        several => {
            let ids: Vec<&str> = several.iter().take(5).map(|(id, _)| id.as_str()).collect();
            bail!("'{id}' may be any of {} runs ({}, ...): write more of it", several.len(), ids.join(", "))
        }
    }
}

/// A whole id as it is; of the begin of one the Catcher is asked.
async fn whole_id(
    remote: &Remote,
    index: i32,
    clock: &Clock,
    stream: &mut (impl Stream<Item = Sample> + Unpin),
    id: &str,
) -> anyhow::Result<String> {
    if id.len() == WHOLE_ID {
        return Ok(id.to_owned());
    }
    let runs = ask(remote, index, clock, stream).await?;
    the_run(&runs, id).map(|(id, _)| id.clone())
}

fn unknown(id: &str) -> String {
    format!(
        "the Catcher shows no run {id}; it keeps the last ones that ended, and those that failed (catcher tasks list)"
    )
}

async fn command_on(
    remote: &Remote,
    index: i32,
    command: &str,
    id: &str,
    reason: &str,
) -> anyhow::Result<String> {
    let fields: [(&str, Value); 2] = [("taskId", id.into()), ("reason", reason.into())];
    let ack = remote.command(command)?.start(&fields, LIMIT, true).await;
    Ok(ack.map_err(|e| refused(e, index, command))?.result)
}

/// Why a command did not succeed, and what to do.
fn refused(error: AckError, index: i32, command: &str) -> anyhow::Error {
    match error {
        AckError::Failed(ack) => anyhow::anyhow!("Catcher:{index} refuses {command}: {}", ack.result),
        AckError::Timeout(ack) if ack.ack == AckCode::NoAck => anyhow::anyhow!(
            "Catcher:{index} does not answer {command}: is it running on this bus (LSST_KAFKA_BROKER_ADDR, \
             LSST_TOPIC_SUBNAME), under this index (--index)?"
        ),
        other => anyhow::Error::new(other).context(format!("{command} of Catcher:{index}")),
    }
}

fn tell(said: &str, as_json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    if as_json {
        writeln!(out, "{}", json!({"result": said}))?;
    } else {
        writeln!(out, "{said}")?;
    }
    Ok(())
}

/// Asks for all runs. A reader drops samples when very many come at once, so it is asked for again until as many runs are
/// there as the answer says, of after it was asked for.
async fn ask(
    remote: &Remote,
    index: i32,
    clock: &Clock,
    stream: &mut (impl Stream<Item = Sample> + Unpin),
) -> anyhow::Result<BTreeMap<String, Run>> {
    let mut all: BTreeMap<String, Run> = BTreeMap::new();
    let since = clock.now();
    let mut wanted = 0;
    for _ in 0..ASKED {
        let mut asked = std::pin::pin!(remote.command("showTasks")?.start(&[], LIMIT, true));
        let ack = loop {
            tokio::select! {
                ack = &mut asked => break ack.map_err(|e| refused(e, index, "showTasks"))?,
                Some(sample) = stream.next() => take(sample, since, &mut all),
            }
        };
        wanted = ack.result.split_whitespace().next().and_then(|n| n.parse::<usize>().ok()).unwrap_or(0);
        let rest = async {
            // Behind a run come its steps.
            while let Some(sample) = next_or_quiet(stream, all.len() >= wanted).await {
                take(sample, since, &mut all);
            }
        };
        // Whether they came or not is seen by their number.
        drop(tokio::time::timeout(EVENTS, rest).await);
        if all.values().filter(|run| run.is_whole()).count() >= wanted {
            return Ok(all);
        }
    }
    bail!("only {} of {wanted} runs were received: the bus is slow, or drops messages; try again", all.len())
}

async fn next_or_quiet(stream: &mut (impl Stream<Item = Sample> + Unpin), may_end: bool) -> Option<Sample> {
    if may_end {
        tokio::time::timeout(QUIET, stream.next()).await.ok().flatten()
    } else {
        stream.next().await
    }
}

fn take(sample: Sample, since: Tai, all: &mut BTreeMap<String, Run>) {
    let told = Told::of(&sample);
    // What is still on its way from before may be old; of a run that is known already it is not.
    if sample.sent() >= since || all.contains_key(&told.task_id) {
        all.entry(told.task_id.clone()).or_default().take(told);
    }
}

/// Which Catcher is followed, and how it is shown.
#[derive(Clone, Copy)]
struct How {
    index: i32,
    as_json: bool,
}

/// Shows what changes, until a run ends (true if it succeeded), or for ever. After a silence it is asked how things stand: a
/// reader may have dropped what came too fast.
async fn follow(
    remote: &Remote,
    clock: &Clock,
    stream: &mut (impl Stream<Item = Sample> + Unpin),
    mut runs: BTreeMap<String, Run>,
    only: Option<&str>,
    how: How,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    out.flush()?;
    let mut progress = Progress::new("steps", 0, how.as_json || only.is_none());
    loop {
        let told = match tokio::time::timeout(SILENCE, stream.next()).await {
            Ok(Some(sample)) => Told::of(&sample),
            Ok(None) => bail!("the bus was closed"),
            Err(_) => {
                let now = ask(remote, how.index, clock, stream).await?;
                let over = only.and_then(|id| now.get(id)).filter(|run| run.is_over());
                if let Some(run) = over {
                    progress.clear();
                    show::one(run, false, how.as_json, out)?;
                    return Ok(run.succeeded());
                }
                continue;
            }
        };
        if only.is_some_and(|id| id != told.task_id) {
            continue;
        }
        let run = runs.entry(told.task_id.clone()).or_default();
        if !run.take(told.clone()) {
            continue;
        }
        if let Some(line) = show::change(run, &told, how.as_json) {
            progress.clear();
            writeln!(out, "{line}")?;
            out.flush()?;
        }
        let counts = run.counts(|_| true);
        progress.of(counts.all as u64);
        progress.at(counts.ended as u64, || counts.to_string());
        if only.is_some() && told.step.is_empty() && run.is_over() {
            return Ok(run.succeeded());
        }
        // Whoever listens for ever keeps only what is not over.
        if only.is_none() && runs.len() > MOST_FOLLOWED {
            runs.retain(|_, run| !run.is_over());
        }
    }
}
