//! Runs as tables, as lines that follow each other, as JSON.

use std::io::Write;

use comfy_table::{Table, presets};
use salobj::Tai;
use serde_json::Value as Json;

use super::told::{Run, Told};
use crate::alarms::Severity;

#[cfg(test)]
mod tests;

/// Items of a `foreach` that are shown because they failed.
const ITEMS: usize = 20;

/// A table of runs, the newest first, or a JSON list.
pub(super) fn list<'a>(
    runs: impl Iterator<Item = &'a Run>,
    as_json: bool,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let mut runs: Vec<&Run> = runs.collect();
    let begun = |run: &Run| run.head.as_ref().map_or(0.0, |head| head.started);
    runs.sort_by(|a, b| (a.is_over()).cmp(&b.is_over()).then(begun(b).total_cmp(&begun(a))));
    if as_json {
        let all: Vec<Json> = runs.iter().map(|run| run.json()).collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(());
    }
    let mut table = table(&["run", "rule", "state", "steps", "severity", "started (UTC)", "took", "error"]);
    for head in runs.iter().filter_map(|run| Some((*run, run.head.as_ref()?))) {
        let (run, head) = head;
        table.add_row([
            head.task_id.as_str(),
            &head.rule,
            head.state_word(),
            &run.progress(),
            Severity::try_from(head.severity).map_or("", Severity::name),
            &utc(head.started),
            &took(head),
            &short(&head.error),
        ]);
    }
    if runs.is_empty() {
        writeln!(out, "no runs")?;
        return Ok(());
    }
    writeln!(out, "{table}")?;
    Ok(())
}

/// One run with its steps; of the items of a `foreach` the numbers and the first that failed, unless all are wanted.
pub(super) fn one(run: &Run, items: bool, as_json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    if as_json {
        writeln!(out, "{}", serde_json::to_string_pretty(&run.json())?)?;
        return Ok(());
    }
    let Some(head) = &run.head else { return Ok(()) };
    writeln!(out, "run {} of rule {}: {}", head.task_id, head.rule, head.state_word())?;
    let severity = Severity::try_from(head.severity).map_or("", Severity::name);
    for (what, text) in [
        ("repeats", &head.parent),
        ("started", &utc(head.started)),
        ("took", &took(head)),
        ("severity", &severity.to_owned()),
        ("report", &head.report_url),
        ("error", &head.error),
    ] {
        if !text.is_empty() {
            writeln!(out, "  {what:<9} {text}")?;
        }
    }
    let mut table = table(&["step", "state", "attempt", "backend", "id", "took", "result or error"]);
    let mut left_out = 0;
    for step in run.steps.iter().filter(|s| !s.is_item()) {
        let counts = run.items(&step.step);
        let told = match () {
            () if !step.error.is_empty() => short(&step.error),
            () if counts.all > 0 => counts.to_string(),
            () => short(&step.result),
        };
        table.add_row(row(step, &told));
        let own = run.steps.iter().filter(|s| s.is_item() && s.base() == step.step);
        let (bad, good): (Vec<&Told>, Vec<&Told>) = own.partition(|s| s.has_failed());
        let shown = if items { usize::MAX } else { ITEMS };
        for item in bad.iter().take(shown).chain(good.iter().filter(|_| items)) {
            table.add_row(row(item, &short(if item.error.is_empty() { &item.result } else { &item.error })));
        }
        left_out += bad.len().saturating_sub(shown);
    }
    writeln!(out, "{table}")?;
    if left_out > 0 {
        writeln!(out, "and {left_out} more that failed: --items shows all")?;
    }
    Ok(())
}

fn row(step: &Told, told: &str) -> [String; 7] {
    let attempt = if step.attempt > 0 { step.attempt.to_string() } else { String::new() };
    let (backend, id) = (step.backend.clone(), step.backend_id.clone());
    [step.step.clone(), step.state_word().to_owned(), attempt, backend, id, took(step), told.to_owned()]
}

/// What changed, as a line. Of the items of a `foreach` each that fails is told, and every tenth part of them that has ended.
pub(super) fn change(run: &Run, told: &Told, as_json: bool) -> Option<String> {
    if as_json {
        return Some(told.json().to_string());
    }
    let ended = told.has_ended();
    let what = if told.step.is_empty() { "run" } else { &told.step };
    let at = utc(if ended { told.finished } else { told.started });
    let error = if told.error.is_empty() { String::new() } else { format!(": {}", first_line(&told.error)) };
    let head = format!("{at:<19}  {} {}", told.task_id, told.rule);
    if !told.is_item() {
        return Some(format!("{head} {} {what}{error}", told.state_word()));
    }
    let counts = run.items(told.base());
    let tenth = |n: usize| n * 10 / counts.all.max(1);
    if told.has_failed() {
        Some(format!("{head} {} {what} ({counts}){error}", told.state_word()))
    } else if ended && tenth(counts.ended) > tenth(counts.ended - 1) {
        Some(format!("{head} {}: {counts}", told.base()))
    } else {
        None
    }
}

fn table(head: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.force_no_tty();
    table.set_header(head);
    table
}

fn utc(tai: f64) -> String {
    if tai == 0.0 { String::new() } else { Tai(tai).utc_iso().chars().take(19).collect() }
}

fn took(told: &Told) -> String {
    let whole = told.started > 0.0 && told.finished >= told.started;
    if whole { format!("{:.1} s", told.finished - told.started) } else { String::new() }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// At most so many characters of a line.
fn short(text: &str) -> String {
    const MOST: usize = 80;
    let line = first_line(text);
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{} ...", &line[..end]),
        None => line.to_owned(),
    }
}
