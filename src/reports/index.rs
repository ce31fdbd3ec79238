//! Pages that list the reports: of a night, of a rule, and of all. No script: the lists are filtered by the style of the page.
//!
//! What a list says of a report it has from the head of that report ([`Entry::read`]), and what the list of all says of a
//! night or of a rule it has from the head of that page ([`Summary`]). So the files are all there is, and lists can be made
//! anew at any time. A page shows [`PAGE`] reports, or a few more; earlier ones of a night have pages of their own, which
//! no longer change.

mod filter;
mod list;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::model::{Report, plain_rule};
use super::of_run::took;
use super::page::{close, cut, open, put, table};
use super::text::escape;
use list::{List, Place, minute, newest_first};

/// Reports on a page.
pub const PAGE: usize = 500;
/// Nights, rules and reports in the list of all.
pub const NIGHTS: usize = 400;
const RULES: usize = 1000;
const LATEST: usize = 20;
/// Longest reason in a list.
const WHY: usize = 160;

/// What a list says of a report.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// Day of observation, `20261120`: its folder.
    pub night: String,
    /// Name of its file in there.
    pub file: String,
    /// Id of the run.
    pub run: String,
    /// Name of the rule.
    pub rule: String,
    /// Key, for a rule with `by`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The run that this one repeats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// `none`, `warning`, `serious`, `critical`; empty for a rule without alarm.
    pub severity: String,
    /// How the run ended: `succeeded`.
    pub state: String,
    /// When it was triggered, TAI s; 0 if that is not known.
    pub triggered: f64,
    /// How long it took, s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took: Option<f64>,
    /// The alarm's reason, or why it did not succeed.
    pub why: String,
    /// When the report was made, TAI s: the order of the lists.
    pub created: f64,
}

impl Entry {
    /// Name of the line in the head of a report.
    pub const NOTE: &'static str = "catcher-report";

    /// That of a report.
    pub fn of(report: &Report) -> Entry {
        let name = report.file_name();
        let (night, file) = name.split_once('/').unwrap_or(("", &name));
        let why = if report.error.is_empty() { &report.about.reason } else { &report.error };
        Entry {
            night: night.to_owned(),
            file: file.to_owned(),
            run: report.run_id.clone(),
            rule: report.rule.clone(),
            key: report.key.clone(),
            parent: report.parent.clone(),
            severity: report.about.severity.clone(),
            state: report.state.clone(),
            triggered: report.triggered.0,
            took: took(report.started, report.finished),
            why: cut(why, WHY),
            created: report.about.created.0,
        }
    }

    /// As it stands in the head of the report, before it is escaped.
    pub fn note(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// That of the file `file` of a night, from its first kilobytes. What a report without such a line says is in its name.
    pub fn read(night: &str, file: &str, head: &str) -> Entry {
        let mut entry: Entry = note(head, Entry::NOTE).unwrap_or_default();
        if entry.run.is_empty() {
            let (rule, run) = file.trim_end_matches(".html").rsplit_once('_').unwrap_or((file, ""));
            entry = Entry { run: run.to_owned(), rule: rule.to_owned(), ..Entry::default() };
        }
        Entry { night: night.to_owned(), file: file.to_owned(), ..entry }
    }

    fn succeeded(&self) -> bool {
        self.state == "succeeded"
    }
}

/// The name of the page of a rule, in the folder `rules`.
pub fn rule_file(rule: &str) -> String {
    format!("{}.html", plain_rule(rule))
}

/// True for the name of a report's file, not of a list.
pub fn is_report(file: &str) -> bool {
    file.ends_with(".html") && file.contains('_')
}

/// The begin of the names of a rule's reports.
pub fn prefix_of(rule: &str) -> String {
    format!("{}_", plain_rule(rule))
}

/// What the list of all says of a night or of a rule.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// `20261120`, or the name of the rule.
    pub name: String,
    /// Reports.
    pub reports: usize,
    /// True if there are more, which were not counted.
    pub more: bool,
    /// Reports by severity.
    pub severities: BTreeMap<String, usize>,
    /// Runs that did not succeed.
    pub bad: usize,
    /// When the newest was triggered, TAI s.
    pub newest: f64,
}

impl Summary {
    /// Name of the line in the head of a list.
    pub const NOTE: &'static str = "catcher-reports";

    /// Of these reports.
    pub fn of<'a>(name: &str, entries: impl IntoIterator<Item = &'a Entry>) -> Summary {
        let mut summary = Summary { name: name.to_owned(), ..Summary::default() };
        for entry in entries {
            summary.reports += 1;
            summary.bad += usize::from(!entry.succeeded());
            summary.newest = summary.newest.max(entry.triggered);
            if !entry.severity.is_empty() {
                *summary.severities.entry(entry.severity.clone()).or_default() += 1;
            }
        }
        summary
    }

    /// From the first kilobytes of a page.
    pub fn read(head: &str) -> Option<Summary> {
        note(head, Summary::NOTE)
    }

    fn count(&self) -> String {
        format!("{}{}", self.reports, if self.more { "+" } else { "" })
    }
}

fn note<T: serde::de::DeserializeOwned>(head: &str, name: &str) -> Option<T> {
    let (_, rest) = head.split_once(&format!("<meta name=\"{name}\" content=\""))?;
    serde_json::from_str(&unescape(rest.split_once('"')?.0)).ok()
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

/// The pages of a night: (name, page). The last is `index.html` with the newest reports; the others are `part-1.html`, ...,
/// the earliest first. `entries` in the order in which they were made; `neighbours` are the nights before and after.
pub fn night_pages(
    night: &str,
    of: &str,
    entries: &[Entry],
    neighbours: (Option<&str>, Option<&str>),
) -> Vec<(String, String)> {
    let whole = (entries.len() / PAGE).saturating_sub(1);
    let (parts, newest) = entries.split_at(whole * PAGE);
    let summary = Summary::of(night, entries);
    let links = |here: usize| {
        let mut links = vec!["<a href=\"../index.html\">All reports</a>".to_owned()];
        for (night, word) in [(neighbours.0, "night before"), (neighbours.1, "night after")] {
            links.extend(night.map(|n| format!("<a href=\"../{n}/index.html\">{word}, {n}</a>")));
        }
        if whole > 0 {
            links.extend((0..=whole).filter(|i| *i != here).map(|i| match i {
                i if i == whole => "<a href=\"index.html\">newest</a>".to_owned(),
                i => format!("<a href=\"part-{0}.html\">part {0}</a>", i + 1),
            }));
        }
        links
    };
    let list = List { place: Place::Night, of };
    let title = |i: usize| {
        let part = if whole > 0 && i < whole { format!(", part {}", i + 1) } else { String::new() };
        format!("Night {night}{part}")
    };
    let mut pages: Vec<(String, String)> = parts
        .chunks(PAGE)
        .enumerate()
        .map(|(i, part)| (format!("part-{}.html", i + 1), list.page(&title(i), None, &links(i), part, "")))
        .collect();
    let about = if whole > 0 {
        format!("The newest {} of {} reports.", newest.len(), entries.len())
    } else {
        String::new()
    };
    pages.push((
        "index.html".to_owned(),
        list.page(&title(whole), Some(&summary), &links(whole), newest, &about),
    ));
    pages
}

/// The page of a rule, in the folder `rules`: its newest reports. `more` says that there are others.
pub fn rule_page(rule: &str, of: &str, entries: &[Entry], more: bool) -> String {
    let summary = Summary { more, ..Summary::of(rule, entries) };
    let links = ["<a href=\"../index.html\">All reports</a>".to_owned()];
    let about = if more { "Earlier reports are in the lists of the nights." } else { "" };
    List { place: Place::Rule, of }.page(rule, Some(&summary), &links, entries, about)
}

/// The list of all: the newest reports, the nights, the rules.
pub fn all_page(of: &str, latest: &[Entry], nights: &[Summary], rules: &[Summary]) -> String {
    let mut page = open(&format!("Reports of {of}"), None, "");
    put(
        &mut page,
        format_args!("<header>\n<h1>Reports</h1>\n<p class=\"soft\">{}</p>\n</header>", escape(of)),
    );
    let list = List { place: Place::All, of };
    let latest: Vec<&Entry> = newest_first(latest).into_iter().take(LATEST).collect();
    put(
        &mut page,
        format_args!("<section>\n<h2>The latest</h2>\n{}</section>", list.table(&latest, &BTreeMap::new())),
    );
    let some = |n: Option<&usize>| n.map(usize::to_string).unwrap_or_default();
    let row = |summary: &Summary, link: String, last: String| {
        let severities = ["warning", "serious", "critical"].map(|s| some(summary.severities.get(s)));
        let [warning, serious, critical] = severities;
        let bad = if summary.bad > 0 { summary.bad.to_string() } else { String::new() };
        format!(
            "<td>{link}</td><td class=\"n\">{}</td><td class=\"n\">{warning}</td><td class=\"n\">{serious}</td><td class=\"n\">{critical}</td><td class=\"n\">{bad}</td><td>{last}</td>",
            summary.count()
        )
    };
    let head = |what: &str| {
        [what, "Reports", "Warning", "Serious", "Critical", "Not succeeded", "Newest"].map(str::to_owned)
    };
    let nights_rows: Vec<String> = nights
        .iter()
        .rev()
        .take(NIGHTS)
        .map(|n| row(n, format!("<a href=\"{0}/index.html\">{0}</a>", escape(&n.name)), minute(n.newest)))
        .collect();
    let mut body = table("", &head("Night"), &nights_rows);
    if nights.len() > NIGHTS {
        body.push_str(&format!(
            "<p class=\"soft\">and {} earlier nights, a folder each</p>\n",
            nights.len() - NIGHTS
        ));
    }
    put(&mut page, format_args!("<section id=\"nights\">\n<h2>By night</h2>\n{body}</section>"));
    let rules_rows: Vec<String> = rules
        .iter()
        .take(RULES)
        .map(|r| {
            let link = format!("<a href=\"rules/{}\">{}</a>", escape(&rule_file(&r.name)), escape(&r.name));
            row(r, link, minute(r.newest))
        })
        .collect();
    put(
        &mut page,
        format_args!(
            "<section id=\"rules\">\n<h2>By rule</h2>\n{}</section>",
            table("", &head("Rule"), &rules_rows)
        ),
    );
    close(&mut page);
    page
}
