//! `catcher replay`: rules on past data, or a recorded live run again.

mod show;

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use salobj::{Clock, Tai};
use serde_json::json;

use super::data::{Data, Needs, Opened};
use super::progress::Progress;
use super::rules::files::{self, Unreadable};
use super::rules::show::mistakes;
use super::topics::XmlDir;
use crate::core::Settings;
use crate::replay::{Answers, Exact, RecordedSchemas, Replay, Transition, What};
use crate::rules::{Rule, SchemaSource};

pub(super) use show::{page_of, row, write_page};

/// Wrong usage, as clap has it.
const USAGE: u8 = 2;

/// Arguments of `catcher replay`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Steps of runs: built-in analyses are computed on the replayed samples; others answer as --results says,
without an answer their outcome is unknown. Runs are listed as they would have started; none is carried out.

Exit code: 0 it was replayed, 1 a rule file has mistakes, the data are damaged, or --exact found a difference,
2 a file cannot be read.

Examples:
  catcher replay my_rules.yaml --data night.catcher
  catcher replay my_rules.yaml --from-kafka -8h --plot last_night.html
  catcher replay rules/ --efd efd.yaml --from 2026-11-20T22:00 --to 2026-11-21T10:00 --json
  catcher replay --exact --data live.catcher     did the rules do live what they do again?"
)]
pub(super) struct Args {
    /// Rule files, or folders with such.
    #[arg(value_name = "RULES", required_unless_present = "exact")]
    rules: Vec<PathBuf>,
    #[command(flatten)]
    data: Data,
    /// Replay a recorded live run (`run_catcher --record`) input by input, with the rules that ran then, and compare with
    /// what happened.
    #[arg(long, conflicts_with_all = ["rules", "results", "from_kafka", "efd"])]
    exact: bool,
    /// What steps answer: a YAML file, `Rule: {step: {exit_code: 0}}`, as `results` of a rule's tests.
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// Print JSON lines: one for each transition, then one with the counts.
    #[arg(long)]
    json: bool,
    /// List also what only explains: reasons of standing alarms, steps, what is unknown.
    #[arg(long)]
    all: bool,
    /// Also write a page with a plot: severities over time, runs.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    xml: XmlDir,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let done = if args.exact { exact(args) } else { free(args) };
    match done {
        Ok(true) => Ok(ExitCode::SUCCESS),
        Ok(false) => Ok(ExitCode::FAILURE),
        Err(error) if error.is::<Unreadable>() => {
            super::complain(&error);
            Ok(ExitCode::from(USAGE))
        }
        Err(error) => Err(error),
    }
}

/// Reads and compiles rule files with the library's interfaces and those of the recording; `None` if they have mistakes,
/// which are told.
pub(super) fn rules_of(
    paths: &[PathBuf],
    schemas: &dyn SchemaSource,
    out: &mut impl Write,
) -> anyhow::Result<Option<Vec<Arc<Rule>>>> {
    let checked = files::compiled(files::read(paths)?, schemas);
    if !checked.mistakes.is_empty() {
        mistakes(&checked.mistakes, super::rules::colour(), out)?;
        return Ok(None);
    }
    Ok(Some(checked.files.into_iter().flat_map(|f| f.rules).collect()))
}

fn free(args: &Args) -> anyhow::Result<bool> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let library = args.xml.library()?;
    let summary = args.data.summary()?;
    let schemas = RecordedSchemas::new(&library, summary.as_slice());
    let Some(rules) = rules_of(&args.rules, &schemas, &mut out)? else {
        out.flush()?;
        return Ok(false);
    };
    let answers = answers(args.results.as_deref(), &rules)?;
    let opened = args.data.open(&Needs::of(&rules), &schemas, args.json)?;
    let clock = Clock::System;
    let begun = clock.now();
    let mut replays = [Replay::new(rules, Settings::default(), answers, &schemas, opened.span)];
    let mut progress = Progress::new("replay", opened.bytes(), args.json);
    opened.play(&mut replays, &mut progress)?;
    drop(progress);
    let elapsed_s = clock.now() - begun;
    let [replay] = &replays;
    let range = opened.range();
    let mut notes = opened.notes.clone();
    notes.extend(replay.warnings().iter().cloned());
    let shown: Vec<&Transition> = replay.transitions().iter().filter(|t| args.all || is_news(t)).collect();
    if args.json {
        for transition in &shown {
            writeln!(out, "{}", serde_json::to_string(transition)?)?;
        }
        let last = json!({
            "from": range.0, "to": range.1, "transitions": replay.transitions().len(), "counts": replay.counts(),
            "elapsed_s": elapsed_s, "notes": notes,
        });
        writeln!(out, "{last}")?;
    } else {
        show::table(&shown, &mut out)?;
        show::end(replay, range, elapsed_s, &mut out)?;
        super::tell(&notes);
    }
    out.flush()?;
    if let Some(path) = &args.plot {
        let title = format!("Replay {} to {}", range.0.utc_iso(), range.1.utc_iso());
        write_page(path, &page_of(&title, &notes, &[("", replay.transitions())], &shown, range))?;
    }
    Ok(true)
}

fn answers(path: Option<&Path>, rules: &[Arc<Rule>]) -> anyhow::Result<Answers> {
    let Some(path) = path else { return Ok(Answers::default()) };
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let answers = Answers::read(&text).map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?;
    let strangers = answers.strangers(rules.iter().map(Arc::as_ref));
    if !strangers.is_empty() {
        bail!("{}: {}", path.display(), strangers.join("; "));
    }
    Ok(answers)
}

/// What a reader wants to see first.
fn is_news(transition: &Transition) -> bool {
    match transition.what {
        What::Severity { .. }
        | What::Acknowledged { .. }
        | What::Muted { .. }
        | What::RunStarted { .. }
        | What::RunSkipped { .. }
        | What::RunEnded { .. }
        | What::Quarantined { .. } => true,
        What::Reason { .. } | What::RunQueued { .. } | What::StepEnded { .. } | What::Error { .. } => false,
    }
}

fn exact(args: &Args) -> anyhow::Result<bool> {
    let path = args.data.recording().context("--exact needs a recording: --data FILE")?;
    let library = args.xml.library()?.with_compiled_in("Catcher")?;
    let summary = args.data.summary()?;
    let schemas = RecordedSchemas::new(&library, summary.as_slice());
    let opened: Opened =
        args.data.open(&Needs { topics: Vec::new(), series: Vec::new() }, &schemas, args.json)?;
    let mut exact = Exact::new(&schemas);
    let mut reader = opened.reader()?;
    let mut progress = Progress::new("replay", opened.bytes(), args.json);
    loop {
        let position = reader.position();
        let Some(item) = reader.next_item().with_context(|| path.display().to_string())? else { break };
        exact.item(&item).map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?;
        progress.step(position, String::new);
    }
    drop(progress);
    let mut out = BufWriter::new(std::io::stdout().lock());
    let difference = exact.difference();
    let shown: Vec<&Transition> = exact.transitions().iter().filter(|t| args.all || is_news(t)).collect();
    if args.json {
        for transition in &shown {
            writeln!(out, "{}", serde_json::to_string(transition)?)?;
        }
        let last = json!({
            "same": difference.is_none(), "difference": difference, "transitions": exact.transitions().len(),
            "live": exact.live().len(), "records": exact.records(), "lost": exact.lost(), "notes": opened.notes,
        });
        writeln!(out, "{last}")?;
    } else {
        show::table(&shown, &mut out)?;
        let (made, records) = (exact.transitions().len(), exact.records());
        match &difference {
            None => writeln!(out, "{records} records, {made} transitions: the same as live")?,
            Some(difference) => {
                writeln!(
                    out,
                    "{records} records, {made} transitions; the first difference is number {}:",
                    difference.at
                )?;
                for (who, one) in [("live", &difference.live), ("replay", &difference.replayed)] {
                    let text = one.as_ref().map_or("nothing".to_owned(), |t| row(t).join("  "));
                    writeln!(out, "  {who:<7} {text}")?;
                }
            }
        }
        if exact.lost() > 0 {
            writeln!(out, "{} items were lost while it was recorded: they need not agree", exact.lost())?;
        }
        super::tell(&opened.notes);
    }
    out.flush()?;
    if let Some(path) = &args.plot {
        let ends = (exact.transitions().first(), exact.transitions().last());
        let range = ends.0.zip(ends.1).map_or((Tai::default(), Tai(1.0)), |(a, b)| (a.at, b.at));
        let lists = [("", exact.transitions())];
        write_page(path, &page_of("A live run again", &opened.notes, &lists, &shown, range))?;
    }
    Ok(difference.is_none())
}
