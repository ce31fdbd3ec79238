//! The items of a step with `foreach`: how many of what, a grid of all, values over the items, tables with failures first.

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::fan_plot::{drawn, over_items};
use super::files;
use super::model::{About, FanOut, ItemRow};
use super::of_run::took;
use super::page::{cut, folded, put, state, state_class, table};
use super::svg;
use super::text::{escape, seconds};
use super::values::{cell, singles, unit_of};

/// The order in which states are counted.
const STATES: [&str; 5] = ["failed", "timed_out", "aborted", "skipped", "succeeded"];
/// Columns of values in the tables.
const MOST_COLUMNS: usize = 6;
/// Up to so many items the plots of each are shown.
const MOST_PLOTS: usize = 6;
/// Up to so many items that succeeded are shown unfolded.
const UNFOLDED: usize = 12;
/// Longest name of an item.
const LABEL: usize = 40;

/// "3 of 189 failed, 186 succeeded".
pub(super) fn counts(fan: &FanOut) -> String {
    let of = |state: &&str| fan.items.iter().filter(|i| i.state == **state).count();
    let mut words: Vec<String> = STATES
        .iter()
        .map(|state| (of(state), state.replace('_', " ")))
        .filter(|(n, _)| *n > 0)
        .map(|(n, state)| format!("{n} {state}"))
        .collect();
    let others = fan.items.iter().filter(|i| !STATES.contains(&i.state.as_str())).count();
    if others > 0 {
        words.push(format!("{others} not ended"));
    }
    let s = if fan.items.len() == 1 { "" } else { "s" };
    format!("{} item{s}: {}", fan.items.len(), words.join(", ")).trim_end_matches(": ").to_owned()
}

/// All of it; `step` is the place and the name of the step, for anchors and alternative texts.
pub(super) fn fan(fan: &FanOut, place: usize, step: &str, about: &About) -> String {
    let mut html = String::new();
    let mut words = counts(fan);
    let mut times: Vec<f64> = fan.items.iter().filter_map(|i| took(i.started, i.finished)).collect();
    times.sort_by(f64::total_cmp);
    if let (Some(shortest), Some(longest)) = (times.first(), times.last()) {
        let median = times[times.len() / 2];
        write!(
            words,
            ". An item took {} to {}, in the median {}",
            seconds(*shortest),
            seconds(*longest),
            seconds(median)
        )
        .expect("a String takes all");
    }
    put(
        &mut html,
        format_args!(
            "<p>{}; at most {} at a time, {} may fail.</p>",
            escape(&words),
            fan.max_parallel,
            fan.may_fail
        ),
    );
    html.push_str(&grid(fan, place));
    let seen: Vec<Seen<'_>> = fan.items.iter().map(Seen::of).collect();
    let columns = columns(&seen);
    for (key, unit, values) in drawn(&seen, &columns) {
        html.push_str(&over_items(fan, step, (key, unit), &values));
    }
    let (good, bad): (Vec<&Seen<'_>>, Vec<&Seen<'_>>) =
        seen.iter().partition(|s| s.item.state == "succeeded");
    if !bad.is_empty() {
        put(&mut html, format_args!("<h3>{} that did not succeed</h3>", bad.len()));
        html.push_str(&rows(&bad, &columns, place, about, true));
    }
    if !good.is_empty() {
        let good_rows = rows(&good, &columns, place, about, false);
        let title = format!("{} that succeeded", good.len());
        if good.len() > UNFOLDED {
            html.push_str(&folded(&title, &good_rows));
        } else {
            put(&mut html, format_args!("<h3>{title}</h3>\n{good_rows}"));
        }
    }
    if fan.items.len() <= MOST_PLOTS {
        for item in &fan.items {
            if let Some(plot) = &item.plot {
                put(&mut html, format_args!("<h3>{}</h3>", escape(&label(item))));
                html.push_str(&svg::plot(plot, |_| Vec::new()));
            }
        }
    }
    for item in bad.iter().chain(&good).map(|seen| seen.item) {
        html.push_str(&files::pictures(&item.files, &format!("{step}, {}", label(item)), about));
    }
    html
}

/// One box for each item, in the order of the list.
fn grid(fan: &FanOut, place: usize) -> String {
    let mut html = String::from("<ol class=\"grid\" aria-label=\"All items in their order\">\n");
    for item in &fan.items {
        put(
            &mut html,
            format_args!(
                "<li class=\"{}\"><a href=\"#item-{place}-{}\" title=\"{}: {}\">{}</a></li>",
                state_class(&item.state),
                item.index,
                escape(&label(item)),
                escape(&item.state.replace('_', " ")),
                item.index
            ),
        );
    }
    html.push_str("</ol>\n");
    html
}

/// What an item is called: itself, if it is short.
pub(super) fn label(item: &ItemRow) -> String {
    let text = match &item.value {
        Json::String(text) => text.clone(),
        Json::Object(object) => {
            let short = |v: &Json| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
            object.iter().map(|(k, v)| format!("{k}={}", short(v))).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    };
    cut(&text, LABEL)
}

/// An item with its single values.
pub(super) struct Seen<'a> {
    pub(super) item: &'a ItemRow,
    values: Vec<(String, &'a Json)>,
}

impl<'a> Seen<'a> {
    fn of(item: &'a ItemRow) -> Seen<'a> {
        Seen { item, values: singles(&item.result) }
    }

    /// One of them.
    pub(super) fn value(&self, key: &str) -> Option<&'a Json> {
        self.values.iter().find(|(k, _)| k == key).map(|(_, v)| *v)
    }
}

/// The values that items have: (key, unit), in the order in which they come; constants that say nothing are left out where
/// there are too many.
fn columns(items: &[Seen<'_>]) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for seen in items {
        for (key, _) in &seen.values {
            if all.len() < 4 * MOST_COLUMNS && all.iter().all(|(k, _)| k != key) {
                all.push((key.clone(), unit_of(&seen.item.units, key).to_owned()));
            }
        }
    }
    // What is the same for all, or empty, comes last.
    let first = |key: &str| items.iter().find_map(|i| i.value(key));
    let same = |key: &str| items.iter().filter_map(|i| i.value(key)).all(|v| Some(v) == first(key));
    let (same, differ): (Vec<_>, Vec<_>) = all.into_iter().partition(|(key, _)| same(key) && items.len() > 1);
    let same = same.into_iter().filter(|(key, _)| first(key).is_some_and(|v| v.as_str() != Some("")));
    differ.into_iter().chain(same).take(MOST_COLUMNS).collect()
}

fn rows(items: &[&Seen<'_>], columns: &[(String, String)], place: usize, about: &About, bad: bool) -> String {
    let any = |has: &dyn Fn(&ItemRow) -> bool| items.iter().any(|i| has(i.item));
    let attempts = any(&|i| i.attempts > 1);
    let (ids, files) = (any(&|i| !i.backend_id.is_empty()), any(&|i| !i.files.is_empty()));
    let columns: Vec<&(String, String)> =
        columns.iter().filter(|(key, _)| items.iter().any(|i| i.value(key).is_some())).collect();
    let mut head = vec!["".to_owned(), "Item".to_owned()];
    if bad {
        head.extend(["State".to_owned(), "Error".to_owned()]);
    }
    head.push("Took".to_owned());
    head.extend(columns.iter().map(|(key, unit)| {
        let key = key.strip_prefix("values.").unwrap_or(key);
        if unit.is_empty() { key.to_owned() } else { format!("{key} [{unit}]") }
    }));
    for (shown, name) in [(attempts, "Attempts"), (ids, "Id at the backend"), (files, "Files")] {
        if shown {
            head.push(name.to_owned());
        }
    }
    let row = |seen: &&Seen<'_>| {
        let item = seen.item;
        let mut row = format!(
            "<td class=\"n\" id=\"item-{place}-{}\">{}</td><td>{}</td>",
            item.index,
            item.index,
            escape(&label(item))
        );
        if bad {
            let error = escape(&cut(&item.error, 400));
            write!(row, "<td>{}</td><td class=\"bad\">{error}</td>", state(&item.state))
                .expect("a String takes all");
        }
        let took = took(item.started, item.finished).map(seconds).unwrap_or_default();
        write!(row, "<td class=\"n\">{took}</td>").expect("a String takes all");
        for (key, _) in &columns {
            row.push_str(&cell(seen.value(key).unwrap_or(&Json::Null)));
        }
        if attempts {
            write!(row, "<td class=\"n\">{}</td>", item.attempts).expect("a String takes all");
        }
        if ids {
            write!(row, "<td><code>{}</code></td>", escape(&cut(&item.backend_id, 80)))
                .expect("a String takes all");
        }
        if files {
            write!(row, "<td>{}</td>", files::in_a_line(&item.files, about)).expect("a String takes all");
        }
        row
    };
    let rows: Vec<String> = items.iter().map(row).collect();
    table("items", &head, &rows)
}
