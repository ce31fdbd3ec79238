//! The steps: one table of all, then a section for each.

use serde_json::Value as Json;

use super::html::span;
use super::model::{Report, StepSection};
use super::of_run::took;
use super::page::{facts, folded, put, section, state, table};
use super::svg::{self, LevelLine};
use super::text::{escape, number, seconds};
use super::timeline::{Bar, Row, Timeline, timeline_svg};
use super::{fan, files, values};
use crate::tasks::analysis::Panel;

/// A table of all steps, and when each of them ran; for a single one its section says it all.
pub(super) fn overview(page: &mut String, report: &Report) {
    if report.steps.len() < 2 {
        return;
    }
    let mut rows = Vec::new();
    for (i, step) in report.steps.iter().enumerate() {
        let from = step.started.map(|at| format!("+{}", seconds((at - report.triggered).max(0.0))));
        let took = took(step.started, step.finished).map(seconds);
        rows.push(format!(
            "<td><a href=\"#step-{i}\">{}</a></td><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td>",
            escape(&step.name),
            escape(&step.backend),
            state(&step.state),
            from.unwrap_or_default(),
            took.unwrap_or_default(),
            what_came(step),
        ));
    }
    let head = ["Step", "Does", "State", "Begun", "Took", "What came of it"].map(str::to_owned);
    let mut body = table("", &head, &rows);
    body.push_str(&when(report));
    section(page, "steps", "Steps", &body);
}

fn what_came(step: &StepSection) -> String {
    if !step.error.is_empty() {
        return format!("<span class=\"bad\">{}</span>", escape(&super::page::cut(&step.error, 160)));
    }
    match &step.fan {
        Some(fan) => escape(&fan::counts(fan)),
        None => escape(&values::in_a_line(&step.result, &step.units)),
    }
}

/// When the steps ran, as bars.
fn when(report: &Report) -> String {
    let ran: Vec<&StepSection> = report.steps.iter().filter(|s| s.started.is_some()).collect();
    let from = ran.iter().filter_map(|s| s.started).min_by(|a, b| a.0.total_cmp(&b.0));
    let to = ran.iter().filter_map(|s| s.finished).max_by(|a, b| a.0.total_cmp(&b.0));
    let (Some(from), Some(to), true) = (from, to, ran.len() > 1) else { return String::new() };
    let row = |step: &&StepSection| {
        let class = match step.state.as_str() {
            "succeeded" => "run",
            "skipped" => "skipped",
            "aborted" => "warning",
            _ => "critical",
        };
        let (begin, end) = (step.started.unwrap_or(from), step.finished.unwrap_or(to));
        let text =
            format!("{}: {}, {}", step.name, step.state.replace('_', " "), seconds((end - begin).max(0.0)));
        let bar = Bar { from: begin, to: end, class: class.to_owned(), text };
        Row { label: step.name.clone(), bars: vec![bar], ticks: Vec::new() }
    };
    let title = "When the steps ran (UTC)".to_owned();
    let timeline = Timeline { title, from, to, rows: ran.iter().map(row).collect() };
    format!("<h3>When they ran</h3>\n{}", timeline_svg(&timeline))
}

/// The section of a step.
pub(super) fn step(page: &mut String, report: &Report, i: usize, step: &StepSection) {
    let mut body = String::new();
    for note in &step.notes {
        put(&mut body, format_args!("<p class=\"soft\">This step {}.</p>", escape(note)));
    }
    if !step.error.is_empty() {
        put(
            &mut body,
            format_args!(
                "<p class=\"bad\">{}: {}</p>",
                escape(&step.state.replace('_', " ")),
                escape(&step.error)
            ),
        );
    }
    if let Some(fan) = &step.fan {
        body.push_str(&fan::fan(fan, i, &step.name, &report.about));
    }
    for plot in &step.plots {
        body.push_str(&svg::plot(plot, |panel| levels_of(report, step, panel)));
    }
    body.push_str(&files::pictures(&step.files, &step.name, &report.about));
    body.push_str(&values::result(&step.result, &step.units));
    let mut rows = vec![("State", state(&step.state)), ("Ran", span(step.started, step.finished))];
    if step.attempts > 1 {
        rows.push(("Attempts", step.attempts.to_string()));
    }
    if !step.backend_id.is_empty() {
        rows.push(("Id at the backend", format!("<code>{}</code>", escape(&step.backend_id))));
    }
    if !step.files.is_empty() {
        rows.push(("Files", files::list(&step.files, &report.about)));
    }
    if let Some(source) = &step.source {
        let complete = match step.complete {
            Some(false) => {
                " <span class=\"bad\">not all of the range was there in time: data may be missing</span>"
            }
            Some(true) => ", complete",
            None => "",
        };
        rows.push(("Data from", format!("{}{complete}", escape(source))));
    }
    body.push_str(&format!("<h3>Step</h3>\n{}", facts(&rows)));
    if step.params.as_object().is_some_and(|o| !o.is_empty()) {
        body.push_str(&folded("What it was asked to do", &asked(&step.params)));
    }
    let mut title = escape(&step.name);
    if !step.backend.is_empty() {
        title.push_str(&format!(" <span class=\"soft\">({})</span>", escape(&step.backend)));
    }
    section(page, &format!("step-{i}"), &title, &body);
}

fn asked(params: &Json) -> String {
    let text = serde_json::to_string_pretty(params).unwrap_or_default();
    format!("<pre>{}</pre>\n", escape(&super::page::cut(&text, 20_000)))
}

/// The alarm's levels, where the panel shows what they judge.
fn levels_of(report: &Report, step: &StepSection, panel: &Panel) -> Vec<LevelLine> {
    let judged = |of: &str| panel.shows.iter().any(|key| of == format!("tasks.{}.result.{key}", step.name));
    let levels = report.about.levels.iter().filter(|level| judged(&level.of));
    levels.map(|level| (level.severity.clone(), level.severity.clone(), level.value)).collect()
}

/// A value with its unit, as text.
pub(super) fn with_unit(value: f64, unit: &str) -> String {
    format!("{} {unit}", number(value)).trim_end().to_owned()
}
