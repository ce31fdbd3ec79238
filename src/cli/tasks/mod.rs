//! `catcher tasks`: the runs of a running Catcher, followed, ended and run again; by the commands and events that any client uses.

mod show;

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use futures::{Stream, StreamExt};
use salobj::{Clock, Domain, Remote, RemoteOptions, Sample, Tai, Value};
use serde_json::json;

use super::outside::{Bus as Connection, Outside};
use super::topics::XmlDir;
use show::{Run, Told};

#[cfg(test)]
mod tests;

/// How long a command may take.
const LIMIT: Duration = Duration::from_secs(30);
/// How long the events of `showTasks` are waited for after its acknowledgement, and how often they are asked for.
const EVENTS: Duration = Duration::from_secs(5);
const ASKED: usize = 5;
/// When no further event has come for so long, all that were asked for are there.
const QUIET: Duration = Duration::from_millis(400);
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

The bus is named by LSST_KAFKA_BROKER_ADDR, LSST_SCHEMA_REGISTRY_URL and LSST_TOPIC_SUBNAME.")]
pub(super) enum Command {
    /// Show runs, the newest first: those under way, the last that ended, and those that failed and were not dealt with.
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
        bus: Bus,
    },
    /// Show a run with its steps.
    Show {
        /// Id of the run.
        task_id: String,
        /// Follow it to its end; the exit code is 1 if it does not succeed.
        #[arg(long)]
        watch: bool,
        #[command(flatten)]
        bus: Bus,
    },
    /// End a run; for one that failed: take it off the list of failed runs.
    Cancel {
        /// Id of the run.
        task_id: String,
        /// Why.
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        bus: Bus,
    },
    /// Run the tasks of a run that has ended again, on the same inputs, as a new run.
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
        bus: Bus,
    },
    /// Print what the steps of a run said: their errors, and what their programs wrote to their standard error.
    Logs {
        /// Id of the run.
        task_id: String,
        /// Only this step.
        #[arg(long)]
        step: Option<String>,
        #[command(flatten)]
        bus: Bus,
    },
}

/// Which Catcher, and how it is shown.
#[derive(Debug, clap::Args)]
pub(super) struct Bus {
    /// SAL index of the Catcher.
    #[arg(long, default_value_t = 1)]
    index: i32,
    /// As JSON; what is followed as a line for each change.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    xml: XmlDir,
}

impl Command {
    fn bus(&self) -> &Bus {
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
    let Connection { transport, env } = outside.bus()?;
    let domain = Domain::new(transport, Clock::System, env);
    let bus = command.bus();
    let component = bus.xml.library()?.with_compiled_in("Catcher")?.component("Catcher")?;
    let remote = Remote::open(&domain, component, bus.index, RemoteOptions::include(["task"])).await?;
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
    let as_json = command.bus().json;
    // Before anything is asked for, so that nothing is missed between the answer and what follows.
    let mut stream = std::pin::pin!(remote.event("task")?.stream());
    match command {
        Command::List { rule, failed, watch, .. } => {
            let wanted = |run: &Run| {
                rule.as_ref().is_none_or(|rule| run.rule() == rule) && (!failed || run.has_failed())
            };
            let runs = ask(remote, clock, &mut stream).await?;
            show::list(runs.values().filter(|run| wanted(run)), as_json, out)?;
            if *watch {
                follow(remote, clock, &mut stream, runs, None, as_json, out).await?;
            }
            Ok(true)
        }
        Command::Show { task_id, watch, .. } => {
            let runs = ask(remote, clock, &mut stream).await?;
            let run = runs.get(task_id).with_context(|| unknown(task_id))?;
            show::one(run, as_json, out)?;
            if !watch {
                return Ok(true);
            }
            if run.is_over() {
                return Ok(run.succeeded());
            }
            follow(remote, clock, &mut stream, runs, Some(task_id), as_json, out).await
        }
        Command::Cancel { task_id, reason, .. } => {
            let said = command_on(remote, "cancelTask", task_id, reason).await?;
            tell(&said, as_json, out)?;
            Ok(true)
        }
        Command::Rerun { task_id, reason, watch, .. } => {
            let new = command_on(remote, "rerunTask", task_id, reason).await?;
            tell(&new, as_json, out)?;
            if !watch {
                return Ok(true);
            }
            let runs = ask(remote, clock, &mut stream).await?;
            match runs.get(&new) {
                Some(run) if run.is_over() => {
                    show::one(run, as_json, out)?;
                    Ok(run.succeeded())
                }
                _ => follow(remote, clock, &mut stream, runs, Some(&new), as_json, out).await,
            }
        }
        Command::Logs { task_id, step, .. } => {
            let runs = ask(remote, clock, &mut stream).await?;
            let run = runs.get(task_id).with_context(|| unknown(task_id))?;
            let steps: Vec<&Told> = match step {
                Some(name) => {
                    vec![run.step(name).with_context(|| format!("run {task_id} has no step {name}"))?]
                }
                None => run.steps().collect(),
            };
            for step in steps {
                log(step, as_json, out).await?;
            }
            Ok(true)
        }
    }
}

fn unknown(id: &str) -> String {
    format!(
        "the Catcher shows no run {id}; it keeps the last ones that ended, and those that failed (catcher tasks list)"
    )
}

async fn command_on(remote: &Remote, command: &str, id: &str, reason: &str) -> anyhow::Result<String> {
    let fields: [(&str, Value); 2] = [("taskId", id.into()), ("reason", reason.into())];
    Ok(remote.command(command)?.start(&fields, LIMIT, true).await?.result)
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
                ack = &mut asked => break ack.context("the Catcher does not show its runs")?,
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
    bail!("only {} of {wanted} runs were received", all.len())
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

/// Shows what changes, until a run ends (true if it succeeded), or for ever. After a silence it is asked how things stand: a
/// reader may have dropped what came too fast.
async fn follow(
    remote: &Remote,
    clock: &Clock,
    stream: &mut (impl Stream<Item = Sample> + Unpin),
    mut runs: BTreeMap<String, Run>,
    only: Option<&str>,
    as_json: bool,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    out.flush()?;
    loop {
        let told = match tokio::time::timeout(SILENCE, stream.next()).await {
            Ok(Some(sample)) => Told::of(&sample),
            Ok(None) => bail!("the bus was closed"),
            Err(_) => {
                let now = ask(remote, clock, stream).await?;
                let over = only.and_then(|id| now.get(id)).filter(|run| run.is_over());
                if let Some(run) = over {
                    show::one(run, as_json, out)?;
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
        show::change(run, &told, as_json, out)?;
        out.flush()?;
        if only.is_some() && told.step.is_empty() && run.is_over() {
            return Ok(run.succeeded());
        }
    }
}

/// What a step said.
async fn log(step: &Told, as_json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    let url = step.file("log.txt");
    let text = match &url {
        Some(url) => {
            let answer = reqwest::get(url).await.and_then(reqwest::Response::error_for_status);
            answer.with_context(|| format!("the log of step {}", step.step))?.text().await?
        }
        None => String::new(),
    };
    if as_json {
        let told = json!({"step": step.step, "state": step.state_word(), "error": step.error, "url": url, "log": text});
        writeln!(out, "{told}")?;
        return Ok(());
    }
    writeln!(out, "{}: {}", step.step, step.state_word())?;
    if !step.error.is_empty() {
        writeln!(out, "  {}", step.error)?;
    }
    for line in text.lines() {
        writeln!(out, "  | {line}")?;
    }
    Ok(())
}
