//! What came out of a step: numbers with their units, tables, texts. Any JSON gives something that can be read, of bounded
//! length.

use salobj::Tai;
use serde_json::{Map, Value as Json};

use super::model::Units;
use super::page::{cut, folded, is_web, link, table};
use super::steps::with_unit;
use super::text::{escape, number, utc};
use crate::alarms::Severity;

/// Numbers with unit `s` beyond this are times (2001 and later), not durations.
const A_TIME_S: f64 = 1e9;
/// Rows of the list of numbers at most.
const MOST_FACTS: usize = 200;
/// Of a table at most.
const MOST_ROWS: usize = 100;
const MOST_COLUMNS: usize = 12;
/// Longer text, and text of several lines, stands apart.
const LONG: usize = 200;
/// Of text that stands apart at most.
const MOST_TEXT: usize = 20_000;
/// Elements of a list that are shown in a line.
const MOST_LISTED: usize = 20;

/// What a result is made of.
#[derive(Default)]
struct Found<'a> {
    facts: Vec<(String, &'a Json)>,
    /// Heading, and the table or text, as HTML.
    blocks: Vec<(String, String)>,
}

/// The result as HTML; empty if there is none.
pub(super) fn result(value: &Json, units: &Units) -> String {
    let mut found = Found::default();
    walk("", value, &mut found);
    let mut html = String::new();
    if !found.facts.is_empty() {
        let rows: String =
            found.facts.iter().take(MOST_FACTS).map(|(key, value)| fact(key, value, units)).collect();
        html.push_str(&format!("<h3>Numbers</h3>\n<table class=\"facts\">\n{rows}</table>\n"));
        if found.facts.len() > MOST_FACTS {
            html.push_str(&format!("<p class=\"soft\">and {} more</p>\n", found.facts.len() - MOST_FACTS));
        }
    }
    for (heading, block) in &found.blocks {
        html.push_str(&format!("<h3>{}</h3>\n{block}", escape(heading)));
    }
    html
}

/// Objects become `outer.inner`; lists of objects and columns over time become tables.
fn walk<'a>(path: &str, value: &'a Json, found: &mut Found<'a>) {
    let name = || if path.is_empty() { "result".to_owned() } else { path.to_owned() };
    match value {
        Json::Null if path.is_empty() => {}
        Json::Object(object) => {
            let over_time = over_time(object);
            if let Some(table) = &over_time {
                found.blocks.push((
                    if path.is_empty() { "Over time".to_owned() } else { path.to_owned() },
                    table.clone(),
                ));
            }
            for (key, value) in object {
                if over_time.is_some() && ["time", "columns"].contains(&key.as_str()) {
                    continue;
                }
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                walk(&path, value, found);
            }
        }
        Json::Array(list) if !list.is_empty() && list.iter().all(Json::is_object) => {
            found.blocks.push((name(), of_objects(list)));
        }
        Json::String(text) if text.len() > LONG || text.trim_end().contains('\n') => {
            let lines = text.lines().count();
            let body = format!("<pre>{}</pre>\n", escape(&cut(text, MOST_TEXT)));
            let body = if lines > 12 { folded(&format!("{lines} lines"), &body) } else { body };
            found.blocks.push((name(), body));
        }
        other => found.facts.push((name(), other)),
    }
}

fn fact(key: &str, value: &Json, units: &Units) -> String {
    format!(
        "<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n",
        escape(key),
        scalar(key, value, unit_of(units, key))
    )
}

/// The unit of a key: as the step names it, and of what it is a part of.
pub(super) fn unit_of<'a>(units: &'a Units, key: &str) -> &'a str {
    let inner = key.strip_prefix("values.").unwrap_or(key);
    let names = [key, inner, inner.split('.').next().unwrap_or(inner), key.split('.').next().unwrap_or(key)];
    names.into_iter().find_map(|name| units.get(name)).map_or("", String::as_str)
}

/// A value as HTML.
fn scalar(key: &str, value: &Json, unit: &str) -> String {
    match (value, value.as_f64()) {
        (_, Some(time)) if unit == "s" && time > A_TIME_S => {
            format!("{} <span class=\"soft\">(TAI {time:.3} s)</span>", utc(Tai(time)))
        }
        (_, Some(_)) if key == "severity" && severity(value).is_some() => {
            escape(&severity(value).unwrap_or_default())
        }
        (_, Some(n)) if unit.is_empty() => number(n),
        (_, Some(n)) => format!("{} <span class=\"soft\">{}</span>", number(n), escape(unit)),
        (Json::Null, _) => "<span class=\"soft\">none</span>".to_owned(),
        (Json::String(text), _) if is_web(text) && !text.contains(char::is_whitespace) => link(text, text),
        (Json::String(text), _) => escape(text),
        (Json::Array(list), _) if list.len() > MOST_LISTED => {
            let first = Json::from(&list[..MOST_LISTED]).to_string();
            format!(
                "<code>{}</code> <span class=\"soft\">and {} more</span>",
                escape(&cut(&first, LONG)),
                list.len() - MOST_LISTED
            )
        }
        (other, _) => format!("<code>{}</code>", escape(&cut(&other.to_string(), 2 * LONG))),
    }
}

fn severity(value: &Json) -> Option<String> {
    Severity::try_from(value.as_i64()?).ok().map(|s| s.name().to_lowercase())
}

/// A table of a list of objects: a column for each key, in the order in which they come.
fn of_objects(list: &[Json]) -> String {
    let mut columns: Vec<String> = Vec::new();
    for object in list.iter().filter_map(Json::as_object) {
        for key in object.keys() {
            if columns.len() < MOST_COLUMNS && !columns.contains(key) {
                columns.push(key.clone());
            }
        }
    }
    let row = |object: &Json| -> String { columns.iter().map(|key| cell(&object[key.as_str()])).collect() };
    let rows: Vec<String> = list.iter().take(MOST_ROWS).map(row).collect();
    table("", &columns, &rows) + &rest(list.len())
}

/// A table of `{time: [...], columns: {name: [...]}}`.
fn over_time(object: &Map<String, Json>) -> Option<String> {
    let times = object.get("time")?.as_array()?;
    let columns = object.get("columns")?.as_object()?;
    let columns: Vec<(&String, &Vec<Json>)> = columns
        .iter()
        .filter_map(|(name, list)| Some((name, list.as_array().filter(|l| l.len() == times.len())?)))
        .take(MOST_COLUMNS)
        .collect();
    if columns.is_empty() {
        return None;
    }
    let mut head = vec!["time (UTC)".to_owned()];
    head.extend(columns.iter().map(|(name, _)| (*name).clone()));
    let row = |i: usize| {
        let time = times[i].as_f64().map(|t| utc(Tai(t))).unwrap_or_default();
        let cells: String = columns.iter().map(|(_, list)| cell(&list[i])).collect();
        format!("<td>{time}</td>{cells}")
    };
    let rows: Vec<String> = (0..times.len().min(MOST_ROWS)).map(row).collect();
    let table = table("", &head, &rows) + &rest(times.len());
    Some(if times.len() > 12 { folded(&format!("{} rows", times.len()), &table) } else { table })
}

fn rest(rows: usize) -> String {
    if rows > MOST_ROWS {
        format!("<p class=\"soft\">The first {MOST_ROWS} of {rows} rows.</p>\n")
    } else {
        String::new()
    }
}

/// A cell of a table.
pub(super) fn cell(value: &Json) -> String {
    match (value, value.as_f64()) {
        (_, Some(n)) => format!("<td class=\"n\">{}</td>", number(n)),
        (Json::Null, _) => "<td></td>".to_owned(),
        (Json::String(text), _) => format!(
            "<td>{}</td>",
            if is_web(text) { link(&cut(text, 60), text) } else { escape(&cut(text, LONG)) }
        ),
        (other, _) => format!("<td><code>{}</code></td>", escape(&cut(&other.to_string(), LONG))),
    }
}

/// The single values of a result, flat: `values.fwhm`; no lists, no long texts.
pub(super) fn singles(value: &Json) -> Vec<(String, &Json)> {
    let mut found = Vec::new();
    collect("", value, &mut found);
    found
}

fn collect<'a>(path: &str, value: &'a Json, found: &mut Vec<(String, &'a Json)>) {
    match value {
        Json::Null | Json::Array(_) => {}
        Json::Object(object) => {
            for (key, value) in object {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                collect(&path, value, found);
            }
        }
        Json::String(text) if text.len() > LONG || text.trim_end().contains('\n') => {}
        single => found.push((if path.is_empty() { "result".to_owned() } else { path.to_owned() }, single)),
    }
}

/// The first values in one line of text.
pub(super) fn in_a_line(value: &Json, units: &Units) -> String {
    let text = |(key, value): &(String, &Json)| {
        let unit = unit_of(units, key);
        let value = match (value, value.as_f64()) {
            (_, Some(time)) if unit == "s" && time > A_TIME_S => utc(Tai(time)),
            (_, Some(_)) if key == "severity" && severity(value).is_some() => {
                severity(value).unwrap_or_default()
            }
            (_, Some(n)) => with_unit(n, unit),
            (Json::String(text), _) => cut(text, 40),
            (other, _) => other.to_string(),
        };
        format!("{} = {value}", key.strip_prefix("values.").unwrap_or(key))
    };
    singles(value)
        .iter()
        .filter(|(_, v)| v.as_str() != Some(""))
        .take(3)
        .map(text)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Any value without unit, as HTML: those of inputs and parameters.
pub(super) fn plain(value: &Json) -> String {
    match value {
        Json::Number(n) => n.as_f64().map_or_else(|| escape(&n.to_string()), number),
        Json::String(text) => escape(text),
        Json::Object(object) if !object.is_empty() => {
            let rows: Vec<String> =
                object.iter().map(|(key, value)| format!("{} = {}", escape(key), plain(value))).collect();
            rows.join("<br>")
        }
        Json::Array(list) if list.len() > MOST_LISTED => scalar("", value, ""),
        other => format!("<code>{}</code>", escape(&other.to_string())),
    }
}
