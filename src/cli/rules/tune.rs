//! `catcher rules tune`: other settings of a rule on the same past, on all cores.

use std::collections::BTreeMap;
use std::io::Write;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::bail;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::files;
use super::show::mistakes;
use crate::cli::data::{Needs, Opened, Played};
use crate::cli::outside::Outside;
use crate::cli::progress::Progress;
use crate::cli::replay::write_page;
use crate::core::Settings;
use crate::core::selftest::moment;
use crate::replay::tune::{Figures, Vary, figures};
use crate::replay::{Answers, Replay};
use crate::reports::timeline::{Columns, page};
use crate::rules::{Rule, SchemaSource, compile, vary};

/// Most combinations of settings.
const MOST: usize = 10_000;

/// Settings that one pass over the data plays.
const IN_ONE_PASS: usize = 32;

/// Arguments of `catcher rules tune`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The rule file.
    file: PathBuf,
    /// The rule.
    rule: String,
    /// A setting and its values: name=10..20/1, name=30s..5m/30s, name=1,2,5.
    #[arg(long, value_name = "SETTING", required = true, value_parser = Vary::read)]
    vary: Vec<Vary>,
    #[command(flatten)]
    played: Played,
}

/// One setting with its figures.
#[derive(Debug, Clone, Serialize)]
struct Tuned {
    settings: BTreeMap<String, Json>,
    #[serde(flatten)]
    figures: Figures,
}

type Setting = Vec<(String, Json)>;

/// False if a setting gives a rule that has mistakes.
pub(super) fn run(args: &Args, outside: &Outside, out: &mut impl Write) -> anyhow::Result<bool> {
    let Played { data, json, plot, interfaces } = &args.played;
    let sources = files::read(std::slice::from_ref(&args.file))?;
    let [source] = sources.as_slice() else { bail!("{} is not one file", args.file.display()) };
    let schemas = data.schemas(interfaces, &sources, outside)?;
    let combinations = Vary::combinations(&args.vary);
    if combinations.len() > MOST {
        bail!("{} combinations of settings are too many, {MOST} are allowed", combinations.len());
    }
    let mut rules: Vec<Arc<Rule>> = Vec::new();
    for settings in &combinations {
        let varied = vary(source, &args.rule, settings).map_err(|e| anyhow::anyhow!("{e}"))?;
        match compile(&varied, schemas.as_ref()) {
            Ok(compiled) => rules.extend(compiled),
            Err(wrong) => {
                writeln!(out, "with {}:", words(settings))?;
                mistakes(&wrong, super::colour(), out)?;
                return Ok(false);
            }
        }
    }
    let needs = Needs::of_all(rules.iter().map(std::slice::from_ref));
    let opened = data.open(&needs, schemas.as_ref(), outside, *json)?;
    let mut progress = Progress::new("replay", rules.len() as u64, *json);
    let all = play(&rules, &opened, schemas.as_ref(), &mut progress)?;
    drop(progress);
    let tuned: Vec<Tuned> = combinations
        .iter()
        .zip(all)
        .map(|(settings, figures)| Tuned { settings: settings.iter().cloned().collect(), figures })
        .collect();
    if *json {
        let range = opened.range();
        let whole = json!({"rule": args.rule, "from": range.0, "to": range.1, "settings": tuned, "notes": opened.notes});
        writeln!(out, "{whole:#}")?;
    } else {
        table(args, &combinations, &tuned, out)?;
        crate::cli::tell(&opened.notes);
    }
    if let Some(path) = plot {
        write_page(path, &page_of(args, &combinations, &tuned, &opened))?;
    }
    Ok(true)
}

/// Plays each rule by itself on all of the data; the figures are in the order of the rules.
fn play(
    rules: &[Arc<Rule>],
    opened: &Opened,
    schemas: &dyn SchemaSource,
    progress: &mut Progress,
) -> anyhow::Result<Vec<Figures>> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    // A pass reads and unpacks the data once for all of its rules.
    let size = rules.len().div_ceil(threads).clamp(1, IN_ONE_PASS);
    let chunks: Vec<&[Arc<Rule>]> = rules.chunks(size).collect();
    let next = AtomicUsize::new(0);
    let (played, answers) = std::sync::mpsc::channel();
    let mut done: Vec<(usize, anyhow::Result<Vec<Figures>>)> = Vec::new();
    std::thread::scope(|scope| {
        for _ in 0..threads.min(chunks.len()) {
            let (played, chunks, next) = (played.clone(), &chunks, &next);
            scope.spawn(move || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(chunk) = chunks.get(at) else { break };
                    // The other side waits until all threads have ended.
                    drop(played.send((at, pass(chunk, opened, schemas))));
                }
            });
        }
        drop(played);
        progress.at(0, || format!("{} settings", rules.len()));
        for (at, figures) in answers {
            done.push((at, figures));
            let settings = done.iter().map(|(at, _)| chunks[*at].len()).sum::<usize>();
            progress.at(settings as u64, || format!("{settings} of {} settings", rules.len()));
        }
    });
    done.sort_by_key(|(at, _)| *at);
    let mut all = Vec::new();
    for (_, played) in done {
        all.extend(played?);
    }
    Ok(all)
}

fn pass(rules: &[Arc<Rule>], opened: &Opened, schemas: &dyn SchemaSource) -> anyhow::Result<Vec<Figures>> {
    let one = |rule: &Arc<Rule>| {
        Replay::new(vec![rule.clone()], Settings::default(), Answers::default(), schemas, opened.span)
    };
    let mut replays: Vec<Replay<'_>> = rules.iter().map(one).collect();
    opened.play(&mut replays, &mut Progress::new("", 0, true))?;
    Ok(replays.iter().map(|replay| figures(replay.transitions(), opened.range())).collect())
}

fn words(settings: &Setting) -> String {
    let one = |(name, value): &(String, Json)| format!("{name}={}", plain(value));
    settings.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn plain(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn table(args: &Args, combinations: &[Setting], tuned: &[Tuned], out: &mut impl Write) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.force_no_tty();
    let mut head: Vec<String> = args.vary.iter().map(|v| v.name.clone()).collect();
    head.extend(HEAD.map(str::to_owned));
    table.set_header(head);
    for (settings, one) in combinations.iter().zip(tuned) {
        let mut row: Vec<String> = settings.iter().map(|(_, value)| plain(value)).collect();
        row.extend(cells(&one.figures));
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_cell_alignment(CellAlignment::Right);
    }
    writeln!(out, "{table}")?;
    if let Some(one) = tuned.first() {
        let (nights, hours) = (one.figures.nights, one.figures.hours);
        writeln!(out, "{} settings of {} on {hours:.1} h of data, {nights} nights", tuned.len(), args.rule)?;
    }
    Ok(())
}

const HEAD: [&str; 7] = ["alarms", "a night", "in alarm", "of the time", "changes/h", "longest", "runs"];

fn cells(figures: &Figures) -> [String; 7] {
    [
        figures.alarms.to_string(),
        format!("{:.1}", figures.alarms_per_night),
        moment(figures.time_s.iter().sum::<f64>().round()),
        format!("{:.2} %", figures.time_part * 100.0),
        format!("{:.2}", figures.chatter_per_hour),
        moment(figures.longest_s.round()),
        figures.runs.to_string(),
    ]
}

fn page_of(args: &Args, combinations: &[Setting], tuned: &[Tuned], opened: &Opened) -> String {
    let label = |settings: &Setting| settings.iter().map(|(_, v)| plain(v)).collect::<Vec<_>>().join(", ");
    let columns = |title: &str, value: &dyn Fn(&Figures) -> f64| Columns {
        title: title.to_owned(),
        values: combinations.iter().zip(tuned).map(|(s, t)| (label(s), value(&t.figures))).collect(),
    };
    let all = [
        columns("Alarms of a night", &|f| f.alarms_per_night),
        columns("Time in alarm, % of the data", &|f| f.time_part * 100.0),
        columns("Changes of severity in an hour", &|f| f.chatter_per_hour),
    ];
    let names: Vec<&str> = args.vary.iter().map(|v| v.name.as_str()).collect();
    let range = opened.range();
    let lines = [
        format!("{} over {}", args.rule, names.join(", ")),
        format!("{} to {}", range.0.utc_iso(), range.1.utc_iso()),
    ];
    let head = names.iter().map(|n| (*n).to_owned()).chain(HEAD.map(str::to_owned)).collect();
    let rows = combinations
        .iter()
        .zip(tuned)
        .map(|(settings, one)| settings.iter().map(|(_, v)| plain(v)).chain(cells(&one.figures)).collect());
    page(&format!("{} tuned", args.rule), &lines, &[], &all, &(head, rows.collect()))
}
