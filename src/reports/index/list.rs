//! A table of reports, alone or as a page.

use std::collections::BTreeMap;

use salobj::Tai;

use super::filter::{choices, filter, filter_style};
use super::{Entry, Summary, rule_file};
use crate::reports::page::{close, open, put, severity_class, state};
use crate::reports::text::{escape, seconds};

/// Where a list stands: what addresses are relative to, and what all its rows have in common.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Place {
    All,
    Night,
    Rule,
}

/// Lists of one place.
pub(super) struct List<'a> {
    pub(super) place: Place,
    /// Whose reports they are.
    pub(super) of: &'a str,
}

impl List<'_> {
    /// A page of its own; titles are text, links HTML.
    pub(super) fn page(
        &self,
        title: &str,
        summary: Option<&Summary>,
        links: &[String],
        entries: &[Entry],
        about: &str,
    ) -> String {
        let note = summary.and_then(|s| serde_json::to_string(s).ok());
        let note = note.as_ref().map(|note| (Summary::NOTE, note.as_str()));
        let rows = newest_first(entries);
        let choices = if self.place == Place::Night { choices(&rows) } else { BTreeMap::new() };
        let mut page = open(&format!("{title}: reports of {}", self.of), note, &filter_style(choices.len()));
        put(&mut page, format_args!("<nav class=\"soft\">{}</nav>", links.join(" · ")));
        put(
            &mut page,
            format_args!(
                "<header>\n<h1>{}</h1>\n<p class=\"soft\">{}. {}</p>\n</header>",
                escape(title),
                escape(self.of),
                escape(about)
            ),
        );
        page.push_str(&filter(&choices));
        put(
            &mut page,
            format_args!(
                "<section>\n<h2>Reports, the newest first</h2>\n{}</section>",
                self.table(&rows, &choices)
            ),
        );
        close(&mut page);
        page
    }

    /// The table alone.
    pub(super) fn table(&self, entries: &[&Entry], choices: &BTreeMap<String, usize>) -> String {
        let mut head = vec!["Triggered (UTC)"];
        if self.place != Place::Rule {
            head.push("Rule");
        }
        head.extend(["Severity", "Run", "Took", "Why"]);
        let mut html = String::from("<div class=\"wide\">\n<table class=\"reports\">\n<thead><tr>");
        head.iter().for_each(|h| html.push_str(&format!("<th scope=\"col\">{h}</th>")));
        html.push_str("</tr></thead>\n<tbody>\n");
        for entry in entries {
            let mut class = String::from("e");
            if !entry.severity.is_empty() && entry.severity != "none" {
                class.push_str(" alarm");
            }
            if matches!(entry.severity.as_str(), "serious" | "critical") {
                class.push_str(" high");
            }
            if !entry.succeeded() {
                class.push_str(" bad-run");
            }
            if let Some(n) = choices.get(&entry.rule) {
                class.push_str(&format!(" r{n}"));
            }
            put(&mut html, format_args!("<tr class=\"{class}\">{}</tr>", self.row(entry)));
        }
        html.push_str("</tbody>\n</table>\n</div>\n");
        html
    }

    fn row(&self, entry: &Entry) -> String {
        let to = match self.place {
            Place::All => format!("{}/{}", entry.night, entry.file),
            Place::Night => entry.file.clone(),
            Place::Rule => format!("../{}/{}", entry.night, entry.file),
        };
        let time = if entry.triggered > 0.0 { second(entry.triggered) } else { entry.run.clone() };
        let mut row = format!("<td><a href=\"{}\">{}</a></td>", escape(&to), escape(&time));
        let key = entry
            .key
            .as_ref()
            .map(|k| format!(" <span class=\"soft\">{}</span>", escape(k)))
            .unwrap_or_default();
        if self.place != Place::Rule {
            let up = if self.place == Place::All { "" } else { "../" };
            row.push_str(&format!(
                "<td><a href=\"{up}rules/{}\">{}</a>{key}</td>",
                escape(&rule_file(&entry.rule)),
                escape(&entry.rule)
            ));
        }
        let severity = match entry.severity.as_str() {
            "" | "none" => String::new(),
            word => format!("<span class=\"chip {}\">{}</span>", severity_class(word), escape(word)),
        };
        row.push_str(&format!("<td>{severity}</td><td>{}</td>", state(&entry.state)));
        let took = entry.took.map(seconds).unwrap_or_default();
        let mut why = escape(&entry.why);
        if self.place == Place::Rule && !key.is_empty() {
            why = format!("{} {why}", key.trim());
        }
        if let Some(parent) = &entry.parent {
            why.push_str(&format!(" <span class=\"soft\">repeats {}</span>", escape(parent)));
        }
        row.push_str(&format!("<td class=\"n\">{took}</td><td>{why}</td>"));
        row
    }
}

/// As they are shown.
pub(super) fn newest_first(entries: &[Entry]) -> Vec<&Entry> {
    let mut rows: Vec<&Entry> = entries.iter().collect();
    rows.sort_by(|a, b| b.triggered.total_cmp(&a.triggered).then_with(|| b.run.cmp(&a.run)));
    rows
}

fn second(tai: f64) -> String {
    Tai(tai).utc_iso().chars().take(19).collect::<String>().replace('T', " ")
}

/// `2026-11-20 23:40`; empty if it is not known.
pub(super) fn minute(tai: f64) -> String {
    if tai > 0.0 { second(tai).chars().take(16).collect() } else { String::new() }
}
