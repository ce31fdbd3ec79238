//! The page of a report, in its order: what was found, the steps, what fired it, the run, where it comes from.

use salobj::Tai;
use serde_json::{Map, Value as Json};

use super::index::Entry;
use super::model::{Report, plain_rule};
use super::of_run::took;
use super::page::{close, facts, folded, link, open, put, section, severity_class, state};
use super::text::{escape, number, seconds, utc};
use super::values::plain;
use super::{provenance, steps};

/// The report as one self-contained HTML file. Equal reports give equal text.
pub fn render_html(report: &Report) -> String {
    let title = format!("{} {}", report.rule, report.run_id);
    let note = Entry::of(report).note();
    let mut page = open(&title, Some((Entry::NOTE, note.as_str())), "");
    head(&mut page, report);
    steps::overview(&mut page, report);
    for (i, step) in report.steps.iter().enumerate() {
        steps::step(&mut page, report, i, step);
    }
    inputs(&mut page, report);
    the_run(&mut page, report);
    provenance::provenance(&mut page, report);
    definition(&mut page, report);
    foot(&mut page, report);
    close(&mut page);
    page
}

fn head(page: &mut String, report: &Report) {
    let about = &report.about;
    let night = report.triggered.day_obs();
    put(
        page,
        format_args!(
            "<nav class=\"soft\"><a href=\"../index.html\">All reports</a> · <a href=\"index.html\">night {night}</a> · \
             <a href=\"../rules/{}.html\">this rule</a></nav>",
            escape(&plain_rule(&report.rule))
        ),
    );
    put(
        page,
        format_args!(
            "<header class=\"{}\">\n<h1>{}</h1>",
            severity_class(&about.severity),
            escape(&report.rule)
        ),
    );
    if !about.description.is_empty() {
        put(page, format_args!("<p class=\"soft\">{}</p>", escape(&about.description)));
    }
    let mut chips = String::new();
    if !about.severity.is_empty() {
        let words = if about.severity == "none" { "no alarm" } else { &about.severity };
        chips.push_str(&format!("<span class=\"chip\">{}</span>", escape(words)));
    }
    chips.push_str(&format!("<span class=\"soft\">run</span> {}", state(&report.state)));
    let mut when = format!(" <span class=\"soft\">{}", utc(report.triggered));
    if let Some(key) = &report.key {
        when = format!(" <span class=\"soft\">for</span> <code>{}</code>{when}", escape(key));
    }
    if let Some(took) = took(report.started, report.finished) {
        when.push_str(&format!(", took {}", seconds(took)));
    }
    put(page, format_args!("<p>{chips}{when}</span></p>"));
    for (class, text) in [("reason", &about.reason), ("bad", &report.error), ("", &report.ending)] {
        if !text.is_empty() {
            put(page, format_args!("<p class=\"{class}\">{}</p>", escape(text)));
        }
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
        let of = match about.parent_url.as_str() {
            "" => format!("<code>{}</code>", escape(parent)),
            url => link(parent, url),
        };
        rows.push(("Repeats run", of));
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
    section(page, "run", "The run", &facts(&rows));
}

fn inputs(page: &mut String, report: &Report) {
    let mut body = String::new();
    if !report.inputs.is_empty() {
        let mut rows = String::from(
            "<tr><th scope=\"col\">Input</th><th scope=\"col\">Value</th><th scope=\"col\">Sent</th></tr>\n",
        );
        for (name, value) in &report.inputs {
            let sent = report.stamps.get(name).map(|stamp| utc(Tai(*stamp))).unwrap_or_default();
            rows.push_str(&format!(
                "<tr><td>{}</td><td>{}</td><td>{sent}</td></tr>\n",
                escape(name),
                plain(value)
            ));
        }
        body.push_str(&format!("<table>\n{rows}</table>\n"));
    }
    if !report.parameters.is_empty() {
        body.push_str(&format!("<h3>Parameters</h3>\n{}", object(&report.parameters)));
    }
    if !body.is_empty() {
        section(page, "inputs", "What fired the rule", &body);
    }
}

fn object(object: &Map<String, Json>) -> String {
    let rows: String = object
        .iter()
        .map(|(key, value)| {
            format!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", escape(key), plain(value))
        })
        .collect();
    format!("<table class=\"facts\">\n{rows}</table>\n")
}

fn definition(page: &mut String, report: &Report) {
    if !report.definition.is_empty() {
        let body = format!("<pre>{}</pre>\n", escape(&report.definition));
        let summary = format!("Rule {} as it ran", report.rule);
        put(page, format_args!("<section id=\"rule\">\n{}</section>", folded(&summary, &body)));
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

/// From when, for how long.
pub(super) fn span(started: Option<Tai>, finished: Option<Tai>) -> String {
    match (started, finished) {
        (Some(from), Some(to)) => format!("{} for {}", utc(from), seconds(to - from)),
        (Some(from), None) => format!("from {}", utc(from)),
        (None, _) => "<span class=\"soft\">not begun</span>".to_owned(),
    }
}
