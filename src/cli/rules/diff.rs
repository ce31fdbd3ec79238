//! `catcher rules diff`: two versions of rules on the same past.

use std::io::Write;
use std::path::PathBuf;

use comfy_table::{Table, presets};
use serde_json::json;

use super::files;
use super::show::mistakes;
use crate::cli::data::{Needs, Played};
use crate::cli::outside::Outside;
use crate::cli::progress::Progress;
use crate::cli::replay::{page_of, write_page};
use crate::core::Settings;
use crate::core::selftest::moment;
use crate::replay::diff::{Change, Diff, RunSeen, diff};
use crate::replay::episode::Episode;
use crate::replay::{Answers, Replay};

/// Arguments of `catcher rules diff`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// The rules as they are: a file or a folder.
    old: PathBuf,
    /// The rules as they would be.
    new: PathBuf,
    #[command(flatten)]
    played: Played,
}

/// True if nothing changes.
pub(super) fn run(args: &Args, outside: &Outside, out: &mut impl Write) -> anyhow::Result<bool> {
    let Played { data, json, plot, interfaces } = &args.played;
    let sources = [&args.old, &args.new].map(|path| files::read(std::slice::from_ref(path)));
    let [old, new] = sources;
    let sources = [old?, new?];
    let schemas = data.schemas(interfaces, &sources.concat(), outside)?;
    let mut sides = Vec::new();
    for source in sources {
        let checked = files::compiled(source, schemas.as_ref());
        if !checked.mistakes.is_empty() {
            mistakes(&checked.mistakes, super::colour(), out)?;
            return Ok(false);
        }
        sides.push(checked.files.into_iter().flat_map(|f| f.rules).collect::<Vec<_>>());
    }
    let needs = Needs::of_all(sides.iter().map(Vec::as_slice));
    let opened = data.open(&needs, schemas.as_ref(), outside, *json)?;
    let mut replays: Vec<Replay<'_>> = sides
        .into_iter()
        .map(|rules| {
            Replay::new(rules, Settings::default(), Answers::default(), schemas.as_ref(), opened.span)
        })
        .collect();
    let mut progress = Progress::new("replay", opened.bytes(), *json);
    opened.play(&mut replays, &mut progress)?;
    drop(progress);
    let (old, new) = (replays[0].transitions(), replays[1].transitions());
    let range = opened.range();
    let diff = diff(old, new, range.1);
    if *json {
        let whole = json!({"from": range.0, "to": range.1, "diff": diff, "notes": opened.notes});
        writeln!(out, "{whole:#}")?;
    } else {
        table(&diff, out)?;
        crate::cli::tell(&opened.notes);
    }
    if let Some(path) = plot {
        let title = format!("{} and {}", args.old.display(), args.new.display());
        let lists = [("Old rules", old), ("New rules", new)];
        let mut notes: Vec<String> = diff.changes.iter().map(|c| words(c).join("  ")).collect();
        notes.extend(opened.notes.iter().cloned());
        write_page(path, &page_of(&title, &notes, &lists, &[], range))?;
    }
    Ok(diff.changes.is_empty())
}

fn table(diff: &Diff, out: &mut impl Write) -> anyhow::Result<()> {
    if !diff.changes.is_empty() {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.force_no_tty();
        table.set_header(["UTC", "rule", "change", ""]);
        for change in &diff.changes {
            table.add_row(words(change));
        }
        writeln!(out, "{table}")?;
    }
    let changes = diff.changes.len();
    writeln!(out, "{changes} changes; {} alarms and {} runs are the same", diff.same_alarms, diff.same_runs)?;
    Ok(())
}

fn words(change: &Change) -> Vec<String> {
    let (word, text) = match change {
        Change::AlarmAppears { new } => ("alarm appears", alarm(new)),
        Change::AlarmVanishes { old } => ("alarm vanishes", alarm(old)),
        Change::AlarmMoves { old, new, begins_later_s, ends_later_s } => {
            let mut parts = Vec::new();
            for (what, by) in [("begins", begins_later_s), ("ends", ends_later_s)] {
                if by.abs() >= 1e-3 {
                    let way = if *by > 0.0 { "later" } else { "earlier" };
                    parts.push(format!("{what} {} {way}", moment(by.abs())));
                }
            }
            if old.worst != new.worst {
                parts.push(format!("worst {} instead of {}", new.worst, old.worst));
            }
            if parts.is_empty() {
                parts.push("goes through other severities".to_owned());
            }
            ("alarm moves", parts.join(", "))
        }
        Change::RunAppears { new } => ("run appears", one_run(new)),
        Change::RunVanishes { old } => ("run vanishes", one_run(old)),
        Change::RunChanges { old, new } => {
            ("run changes", format!("{} instead of {}", one_run(new), one_run(old)))
        }
    };
    vec![change.at().utc_iso(), change.rule().to_owned(), word.to_owned(), text]
}

fn alarm(episode: &Episode) -> String {
    let until = if episode.open { " to the end of the data" } else { "" };
    format!("{} for {}{until}: {}", episode.worst, moment(episode.length_s()), episode.reason)
}

fn one_run(run: &RunSeen) -> String {
    let state = if run.state.is_empty() { "going on" } else { &run.state };
    let why = if run.why.is_empty() { String::new() } else { format!(": {}", run.why) };
    format!("{} {state}, severity {}{why}", run.occurrence, run.severity)
}

#[cfg(test)]
mod tests {
    use salobj::Tai;

    use super::*;
    use crate::alarms::Severity;

    #[test]
    fn a_move_is_told_in_words() {
        let episode = |from: f64, to: f64, worst| Episode {
            rule: "W".into(),
            alarm: "W".into(),
            from: Tai(from),
            to: Tai(to),
            open: false,
            worst,
            reason: String::new(),
            steps: Vec::new(),
        };
        let change = Change::AlarmMoves {
            old: episode(100.0, 200.0, Severity::Warning),
            new: episode(130.0, 140.0, Severity::Serious),
            begins_later_s: 30.0,
            ends_later_s: -60.0,
        };
        assert_eq!(words(&change)[3], "begins 30s later, ends 1m earlier, worst SERIOUS instead of WARNING");
    }
}
