//! The page of a report.

use std::fmt::Write as _;

use salobj::Tai;
use serde_json::{Map, Value as Json};

use super::svg::{self, LevelLine};
use super::text::{escape, number, seconds, utc};
use super::{Report, StepSection};
use crate::tasks::analysis::Panel;

/// Numbers with unit `s` beyond this are times (2001 and later), not durations.
const A_TIME_S: f64 = 1e9;

/// The report as one self-contained HTML file. Equal reports give equal text.
pub fn render_html(report: &Report) -> String {
    let about = &report.about;
    let title = format!("{} {}", report.rule, report.run_id);
    let accent = match about.severity.as_str() {
        "none" => "none-severity",
        severity @ ("warning" | "serious" | "critical") => severity,
        _ => "",
    };
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n<title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n",
        escape(&title),
        include_str!("style.css")
    );
    head(&mut page, report, accent);
    for step in &report.steps {
        step_section(&mut page, report, step);
    }
    inputs(&mut page, report);
    the_run(&mut page, report);
    provenance(&mut page, report);
    definition(&mut page, report);
    foot(&mut page, report);
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn head(page: &mut String, report: &Report, accent: &str) {
    let about = &report.about;
    put(page, format_args!("<header class=\"{accent}\">\n<h1>{}</h1>", escape(&report.rule)));
    if !about.description.is_empty() {
        put(page, format_args!("<p class=\"soft\">{}</p>", escape(&about.description)));
    }
    let mut chips = String::new();
    if !about.severity.is_empty() {
        let words = if about.severity == "none" { "no alarm" } else { &about.severity };
        chips.push_str(&format!("<span class=\"chip\">{}</span>", escape(words)));
    }
    chips.push_str(&format!("<span class=\"soft\">run {}</span>", escape(&report.state)));
    put(page, format_args!("<p>{chips}</p>"));
    if !about.reason.is_empty() {
        put(page, format_args!("<p class=\"reason\">{}</p>", escape(&about.reason)));
    }
    if !report.error.is_empty() {
        put(page, format_args!("<p class=\"bad\">{}</p>", escape(&report.error)));
    }
    put(page, format_args!("</header>"));
}

fn the_run(page: &mut String, report: &Report) {
    let about = &report.about;
    let mut rows = vec![
        ("Run", format!("<code>{}</code>", escape(&report.run_id))),
        ("Triggered", format!("{} by <code>{}</code>", utc(report.triggered), escape(&report.occurrence))),
    ];
    if let Some(key) = &report.key {
        rows.push(("Key", format!("<code>{}</code>", escape(key))));
    }
    if let Some(parent) = &report.parent {
        rows.push(("Repeats run", format!("<code>{}</code>", escape(parent))));
    }
    rows.push(("Ran", span(report.started, report.finished)));
    if !about.levels.is_empty() {
        let levels =
            about.levels.iter().map(|level| format!("{} {}", escape(&level.severity), number(level.value)));
        let of = about.levels.first().map(|level| escape(&level.of)).unwrap_or_default();
        rows.push((
            "Alarm levels",
            format!("{} of <code>{of}</code>", levels.collect::<Vec<_>>().join(", ")),
        ));
    }
    let links: Vec<String> = about.links.iter().map(|(text, url)| link(text, url)).collect();
    if !links.is_empty() {
        rows.push(("Links", links.join("<br>")));
    }
    section(page, "The run", &facts(&rows));
}

fn step_section(page: &mut String, report: &Report, step: &StepSection) {
    let mut body = String::new();
    if let Some(plot) = &step.plot {
        body.push_str(&svg::plot(plot, |panel| levels_of(report, step, panel)));
    }
    let mut numbers = Vec::new();
    flatten("", &step.result, &mut numbers);
    if !numbers.is_empty() {
        let rows: String = numbers.iter().map(|(key, value)| number_row(step, key, value)).collect();
        body.push_str(&format!("<h3>Numbers</h3>\n<table class=\"facts\">\n{rows}</table>\n"));
    }
    let state = match step.error.as_str() {
        "" => escape(&step.state),
        error => format!("<span class=\"bad\">{}: {}</span>", escape(&step.state), escape(error)),
    };
    let mut rows = vec![("State", state), ("Ran", span(step.started, step.finished))];
    if step.attempts > 1 {
        rows.push(("Attempts", step.attempts.to_string()));
    }
    if !step.backend_id.is_empty() {
        rows.push(("Id at the backend", format!("<code>{}</code>", escape(&step.backend_id))));
    }
    let files: Vec<String> = step.files.iter().map(|(name, url)| link(name, url)).collect();
    if !files.is_empty() {
        rows.push(("Files", files.join("<br>")));
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
    section(
        page,
        &format!("{} <span class=\"soft\">({})</span>", escape(&step.name), escape(&step.backend)),
        &body,
    );
}

/// The alarm's levels, where the panel shows what they judge.
fn levels_of(report: &Report, step: &StepSection, panel: &Panel) -> Vec<LevelLine> {
    let judged = |of: &str| panel.shows.iter().any(|key| of == format!("tasks.{}.result.{key}", step.name));
    let levels = report.about.levels.iter().filter(|level| judged(&level.of));
    levels.map(|level| (level.severity.clone(), level.severity.clone(), level.value)).collect()
}

fn number_row(step: &StepSection, key: &str, value: &Json) -> String {
    let top = key.split('.').next().unwrap_or(key);
    let unit = step.units.get(top).map(String::as_str).unwrap_or_default();
    let text = match (value, value.as_f64()) {
        (_, Some(time)) if unit == "s" && time > A_TIME_S => {
            format!("{} <span class=\"soft\">(TAI {time:.3} s)</span>", utc(Tai(time)))
        }
        (_, Some(n)) => format!("{} <span class=\"soft\">{}</span>", number(n), escape(unit)),
        (Json::Null, _) => "<span class=\"soft\">none</span>".to_owned(),
        (Json::String(text), _) => escape(text),
        (other, _) => format!("<code>{}</code>", escape(&other.to_string())),
    };
    format!("<tr><th>{}</th><td>{text}</td></tr>\n", escape(key))
}

/// Objects become `outer.inner`; all else is a row.
fn flatten(path: &str, value: &Json, rows: &mut Vec<(String, Json)>) {
    match value {
        Json::Null if path.is_empty() => {}
        Json::Object(object) => {
            for (key, value) in object {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&path, value, rows);
            }
        }
        other => {
            rows.push((if path.is_empty() { "result".to_owned() } else { path.to_owned() }, other.clone()))
        }
    }
}

fn inputs(page: &mut String, report: &Report) {
    let mut body = String::new();
    if !report.inputs.is_empty() {
        let mut rows = String::from("<tr><th>Input</th><th>Value</th><th>Sent</th></tr>\n");
        for (name, value) in &report.inputs {
            let sent = report.stamps.get(name).map(|stamp| utc(Tai(*stamp))).unwrap_or_default();
            rows.push_str(&format!(
                "<tr><td>{}</td><td>{}</td><td>{sent}</td></tr>\n",
                escape(name),
                json(value)
            ));
        }
        body.push_str(&format!("<table>\n{rows}</table>\n"));
    }
    if !report.parameters.is_empty() {
        body.push_str(&format!("<h3>Parameters</h3>\n{}", object(&report.parameters)));
    }
    if !body.is_empty() {
        section(page, "What fired the rule", &body);
    }
}

fn json(value: &Json) -> String {
    match value {
        Json::Number(n) => n.as_f64().map_or_else(|| escape(&n.to_string()), number),
        Json::String(text) => escape(text),
        Json::Object(object) if !object.is_empty() => {
            let rows: Vec<String> =
                object.iter().map(|(key, value)| format!("{} = {}", escape(key), json(value))).collect();
            rows.join("<br>")
        }
        other => format!("<code>{}</code>", escape(&other.to_string())),
    }
}

fn object(object: &Map<String, Json>) -> String {
    let rows: String = object
        .iter()
        .map(|(key, value)| format!("<tr><th>{}</th><td>{}</td></tr>\n", escape(key), json(value)))
        .collect();
    format!("<table class=\"facts\">\n{rows}</table>\n")
}

fn provenance(page: &mut String, report: &Report) {
    let about = &report.about;
    let mut rows = vec![(
        "Rule",
        format!("{}, revision <code>{}</code>", escape(&report.rule), escape(&report.revision)),
    )];
    for step in report.steps.iter().filter(|step| step.source.is_some()) {
        let complete = match step.complete {
            Some(true) => "complete",
            Some(false) => "not complete",
            None => "completeness unknown",
        };
        let source = step.source.as_deref().unwrap_or_default();
        rows.push(("Data", format!("{}: from {}, {complete}", escape(&step.name), escape(source))));
    }
    if !about.catcher.is_empty() {
        rows.push(("Made by", format!("{} at {}", escape(&about.catcher), escape(&about.site))));
    }
    rows.push(("Made at", utc(about.created)));
    for (name, version) in &about.versions {
        rows.push(("Version", format!("{} {}", escape(name), escape(version))));
    }
    section(page, "Provenance", &facts(&rows));
}

fn definition(page: &mut String, report: &Report) {
    if !report.definition.is_empty() {
        let body = format!(
            "<details>\n<summary>Rule {} as it ran</summary>\n<pre>{}</pre>\n</details>\n",
            escape(&report.rule),
            escape(&report.definition)
        );
        put(page, format_args!("<section>\n{body}</section>"));
    }
}

fn foot(page: &mut String, report: &Report) {
    put(
        page,
        format_args!(
            "<footer>Times are UTC. This file needs nothing from elsewhere; run {} keeps this name for good.</footer>",
            escape(&report.run_id)
        ),
    );
}

fn span(started: Option<Tai>, finished: Option<Tai>) -> String {
    match (started, finished) {
        (Some(from), Some(to)) => format!("{} for {}", utc(from), seconds(to - from)),
        (Some(from), None) => format!("from {}", utc(from)),
        (None, _) => "<span class=\"soft\">not begun</span>".to_owned(),
    }
}

/// A link if it is one that a page may hold; other schemes are shown as text.
fn link(text: &str, url: &str) -> String {
    let lower = url.trim().to_ascii_lowercase();
    if lower.starts_with("https://") || lower.starts_with("http://") {
        format!("<a href=\"{}\" rel=\"noopener noreferrer\">{}</a>", escape(url.trim()), escape(text))
    } else {
        format!("{}: <code>{}</code>", escape(text), escape(url))
    }
}

/// Values are HTML already.
fn facts(rows: &[(&str, String)]) -> String {
    let rows: String =
        rows.iter().map(|(name, value)| format!("<tr><th>{name}</th><td>{value}</td></tr>\n")).collect();
    format!("<table class=\"facts\">\n{rows}</table>\n")
}

/// Title and body are HTML already.
fn section(page: &mut String, title: &str, body: &str) {
    put(page, format_args!("<section>\n<h2>{title}</h2>\n{body}</section>"));
}

fn put(page: &mut String, element: std::fmt::Arguments<'_>) {
    writeln!(page, "{element}").expect("writing to a String cannot fail");
}
