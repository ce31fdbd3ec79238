//! Transitions as a table and as a page.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use comfy_table::{Cell, Color, Table, presets};
use salobj::Tai;

use crate::alarms::Severity;
use crate::replay::episode::episodes;
use crate::replay::{Replay, Transition, What};
use crate::reports::timeline::{Bar, Row, Timeline, page};

/// Rows of a page's table at most.
const MOST_ROWS: usize = 2000;

/// One transition as cells: time, rule, what, text.
pub(in crate::cli) fn row(transition: &Transition) -> [String; 4] {
    let (word, text) = (transition.what.word().to_owned(), transition.what.text());
    [transition.at.utc_iso(), transition.rule.clone(), word, text]
}

pub(super) fn table(transitions: &[&Transition], out: &mut impl Write) -> io::Result<()> {
    if transitions.is_empty() {
        return writeln!(out, "nothing happens");
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if crate::cli::rules::colour() {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table.set_header(["UTC", "rule", "", ""]);
    for transition in transitions {
        let colour = match &transition.what {
            What::Severity { severity: Severity::None, .. } => Some(Color::Green),
            What::Severity { severity: Severity::Warning, .. } => Some(Color::Yellow),
            What::Severity { .. } | What::Quarantined { .. } => Some(Color::Red),
            _ => None,
        };
        let cells = row(transition).into_iter().enumerate().map(|(i, text)| match colour {
            Some(colour) if i == 3 => Cell::new(text).fg(colour),
            _ => Cell::new(text),
        });
        table.add_row(cells.collect::<Vec<_>>());
    }
    writeln!(out, "{table}")
}

pub(super) fn end(
    replay: &Replay<'_>,
    (from, to): (Tai, Tai),
    elapsed_s: f64,
    out: &mut impl Write,
) -> io::Result<()> {
    let counts = replay.counts();
    let alarms = episodes(replay.transitions(), to).len();
    let runs = replay.transitions().iter().filter(|t| matches!(t.what, What::RunStarted { .. })).count();
    let length = crate::core::selftest::moment((to - from).max(0.0));
    let faster = (to - from) / elapsed_s.max(1e-6);
    writeln!(
        out,
        "{length} of data, {} records, {} samples for the rules: {alarms} alarms, {runs} runs ({elapsed_s:.2} s, {faster:.0} times as fast)",
        counts.records, counts.samples
    )
}

/// A page: one timeline for each list, then the table.
pub(in crate::cli) fn page_of(
    title: &str,
    notes: &[String],
    lists: &[(&str, &[Transition])],
    shown: &[&Transition],
    range: (Tai, Tai),
) -> String {
    let timelines: Vec<Timeline> =
        lists.iter().map(|(name, list)| timeline(name, list, range)).filter(|t| !t.rows.is_empty()).collect();
    let mut notes = notes.to_vec();
    if shown.len() > MOST_ROWS {
        notes.push(format!("the table has the first {MOST_ROWS} of {} transitions", shown.len()));
    }
    let rows = shown.iter().take(MOST_ROWS).map(|t| row(t).to_vec()).collect();
    let head = ["UTC", "rule", "what", ""].map(str::to_owned).to_vec();
    page(title, &notes, &timelines, &[], &(head, rows))
}

fn timeline(name: &str, transitions: &[Transition], (from, to): (Tai, Tai)) -> Timeline {
    let mut rows: BTreeMap<&str, Row> = BTreeMap::new();
    let all = episodes(transitions, to);
    for episode in &all {
        let row = rows.entry(&episode.rule).or_default();
        let ends = episode.steps.iter().skip(1).map(|step| step.0).chain([episode.to]);
        for ((begin, severity), end) in episode.steps.iter().zip(ends) {
            row.bars.push(Bar {
                from: *begin,
                to: end,
                class: severity.to_string().to_lowercase(),
                text: format!("{severity} {} {}", begin.utc_iso(), episode.reason),
            });
        }
    }
    for transition in transitions {
        let (class, text) = match &transition.what {
            What::RunStarted { run_id, occurrence } => ("run", format!("run {run_id} {occurrence}")),
            What::RunSkipped { occurrence, reason, .. } => {
                ("skipped", format!("skipped {occurrence}: {reason}"))
            }
            _ => continue,
        };
        let row = rows.entry(&transition.rule).or_default();
        let text = format!("{} {text}", transition.at.utc_iso());
        row.ticks.push(Bar { from: transition.at, to: transition.at, class: class.to_owned(), text });
    }
    let rows = rows.into_iter().map(|(label, row)| Row { label: label.to_owned(), ..row }).collect();
    let title = if name.is_empty() { "Alarms and runs".to_owned() } else { name.to_owned() };
    Timeline { title, from, to, rows }
}

pub(in crate::cli) fn write_page(path: &Path, page: &str) -> anyhow::Result<()> {
    std::fs::write(path, page).with_context(|| format!("cannot write {}", path.display()))
}
