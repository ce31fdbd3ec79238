//! `catcher replay`: rules on past data, or a recorded live run again.

mod show;

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use salobj::{Clock, Tai};
use serde_json::json;

use super::data::{Needs, Opened, Played};
use super::outside::Outside;
use super::progress::Progress;
use super::rules::files::{self, Unreadable};
use super::rules::show::mistakes;
use crate::core::Settings;
use crate::replay::{Answers, Exact, Replay, Transition, What};
use crate::rules::Rule;

pub(super) use show::{page_of, row, write_page};

/// Wrong usage, as clap has it.
const USAGE: u8 = 2;

/// Arguments of `catcher replay`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Steps of runs: built-in analyses are computed on the replayed samples; others answer as --results says,
without an answer their outcome is unknown. Runs are listed as they would have started; none is carried out.

Exit code: 0 it was replayed, 1 a rule file has mistakes, the data are damaged, or --exact found a difference,
2 a file cannot be read. --json prints a line for each transition, then one with the counts.

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
    played: Played,
    /// Replay a recorded live run (`run_catcher --record`) input by input, with the rules that ran then, and compare with
    /// what happened.
    #[arg(long, conflicts_with_all = ["rules", "results", "from_kafka", "efd"])]
    exact: bool,
    /// What steps answer: a YAML file, `Rule: {step: {exit_code: 0}}`, as `results` of a rule's tests.
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// List also what only explains: reasons of standing alarms, steps, what is unknown.
    #[arg(long)]
    all: bool,
}

pub(super) fn run(args: &Args, outside: &Outside) -> anyhow::Result<ExitCode> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let done = play(args, outside, &mut out);
    out.flush()?;
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

/// True if it was replayed, and, with --exact, if nothing differs.
pub(super) fn play(args: &Args, outside: &Outside, out: &mut impl Write) -> anyhow::Result<bool> {
    if args.exact { exact(args, outside, out) } else { free(args, outside, out) }
}

fn free(args: &Args, outside: &Outside, out: &mut impl Write) -> anyhow::Result<bool> {
    let Played { data, json, plot, interfaces } = &args.played;
    let sources = files::read(&args.rules)?;
    let schemas = data.schemas(interfaces, &sources, outside)?;
    let checked = files::compiled(sources, schemas.as_ref());
    if !checked.mistakes.is_empty() {
        mistakes(&checked.mistakes, super::rules::colour(), out)?;
        return Ok(false);
    }
    let rules: Vec<Arc<Rule>> = checked.files.into_iter().flat_map(|f| f.rules).collect();
    let answers = answers(args.results.as_deref(), &rules)?;
    let opened = data.open(&Needs::of(&rules), schemas.as_ref(), outside, *json)?;
    let clock = Clock::System;
    let begun = clock.now();
    let mut replays = [Replay::new(rules, Settings::default(), answers, schemas.as_ref(), opened.span)];
    let mut progress = Progress::new("replay", opened.bytes(), *json);
    opened.play(&mut replays, &mut progress)?;
    drop(progress);
    let elapsed_s = clock.now() - begun;
    let [replay] = &replays;
    let range = opened.range();
    let mut notes = opened.notes.clone();
    notes.extend(replay.warnings().iter().cloned());
    let shown: Vec<&Transition> = replay.transitions().iter().filter(|t| args.all || is_news(t)).collect();
    if *json {
        for transition in &shown {
            writeln!(out, "{}", serde_json::to_string(transition)?)?;
        }
        let last = json!({
            "from": range.0, "to": range.1, "transitions": replay.transitions().len(), "counts": replay.counts(),
            "elapsed_s": elapsed_s, "notes": notes,
        });
        writeln!(out, "{last}")?;
    } else {
        show::table(&shown, out)?;
        show::end(replay, range, elapsed_s, out)?;
        super::tell(&notes);
    }
    if let Some(path) = plot {
        let title = format!("Replay {} to {}", range.0.utc_iso(), range.1.utc_iso());
        write_page(path, &page_of(&title, &notes, &[("", replay.transitions())], &shown, range))?;
    }
    Ok(true)
}

pub(super) fn answers(path: Option<&Path>, rules: &[Arc<Rule>]) -> anyhow::Result<Answers> {
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

fn exact(args: &Args, outside: &Outside, out: &mut impl Write) -> anyhow::Result<bool> {
    let Played { data, json, plot, interfaces } = &args.played;
    let path = data.recording().context("--exact needs a recording: --data FILE")?;
    let schemas = data.schemas(interfaces, &[], outside)?;
    let opened: Opened = data.open(&Needs::default(), schemas.as_ref(), outside, *json)?;
    let mut exact = Exact::new(schemas.as_ref());
    let mut progress = Progress::new("replay", opened.bytes(), *json);
    opened.each(&mut progress, |item| {
        exact.item(item).map_err(|e| anyhow::anyhow!("{}: {e}", path.display()))?;
        Ok(true)
    })?;
    drop(progress);
    let difference = exact.difference();
    let shown: Vec<&Transition> = exact.transitions().iter().filter(|t| args.all || is_news(t)).collect();
    if *json {
        for transition in &shown {
            writeln!(out, "{}", serde_json::to_string(transition)?)?;
        }
        let last = json!({
            "same": difference.is_none(), "difference": difference, "transitions": exact.transitions().len(),
            "live": exact.live().len(), "records": exact.records(), "lost": exact.lost(), "notes": opened.notes,
        });
        writeln!(out, "{last}")?;
    } else {
        show::table(&shown, out)?;
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
    if let Some(path) = plot {
        let ends = (exact.transitions().first(), exact.transitions().last());
        let range = ends.0.zip(ends.1).map_or((Tai::default(), Tai(1.0)), |(a, b)| (a.at, b.at));
        let lists = [("", exact.transitions())];
        write_page(path, &page_of("A live run again", &opened.notes, &lists, &shown, range))?;
    }
    Ok(difference.is_none())
}
