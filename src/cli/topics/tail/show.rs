//! Messages as lines: a table where all have the same few columns, `name=value` otherwise; or JSON.

use std::collections::{BTreeMap, HashMap};
use std::io::Write;

use owo_colors::{OwoColorize, Style};
use sal_idl::Library;
use salobj::wire::AnyRecord;
use serde_json::{Map, Value as Json, json};

use super::super::which::{Chosen, attr_of};
use super::{Args, Message};

/// A topic with more public fields than this is not shown as a table.
const MOST_COLUMNS: usize = 8;
/// Elements of a list, and characters of a text, that are shown of longer ones.
const MOST_ELEMENTS: usize = 6;
const MOST_CHARS: usize = 60;

/// What is known of a topic.
struct Of {
    kafka: String,
    /// Component and attribute, if it is a SAL topic.
    sal: Option<(String, String)>,
    /// One instance is wanted: its index need not be told.
    one_instance: bool,
    /// Field names in the writer's order; empty until the first message.
    fields: Vec<String>,
    units: BTreeMap<String, String>,
    /// Names of values, by field.
    names: BTreeMap<String, BTreeMap<i64, String>>,
}

/// See the module's documentation.
pub(super) struct Printer {
    json: bool,
    full: bool,
    colour: bool,
    /// The fields that are wanted; all, if there are none.
    wanted: Vec<String>,
    topics: Vec<Of>,
    /// Widths of the columns, once there is a table.
    widths: Option<Vec<usize>>,
    /// The last texts of each instance, to see what has changed.
    last: HashMap<(usize, i64), Vec<String>>,
}

/// A value and how it is shown.
struct Cell {
    name: String,
    text: String,
    unit: String,
    number: bool,
    changed: bool,
}

impl Printer {
    pub(super) fn new(topics: &[Chosen], library: &Library, args: &Args, colour: bool) -> Printer {
        Printer {
            json: args.json,
            full: args.full,
            colour,
            wanted: args.fields.clone(),
            topics: topics.iter().map(|topic| Of::new(topic, library)).collect(),
            widths: None,
            last: HashMap::new(),
        }
    }

    /// What a schema says of a topic.
    pub(super) fn learn(&mut self, topic: usize, schema: &AnyRecord) {
        let of = &mut self.topics[topic];
        if of.fields.is_empty() {
            for (name, unit) in schema.units() {
                of.fields.push(name.to_owned());
                if !["", "unitless"].contains(&unit) {
                    of.units.entry(name.to_owned()).or_insert_with(|| unit.to_owned());
                }
            }
        }
    }

    pub(super) fn message(&mut self, message: &Message, out: &mut impl Write) -> anyhow::Result<()> {
        if self.json {
            writeln!(out, "{}", self.object(message))?;
            return Ok(());
        }
        let fields = match &message.fields {
            Ok(fields) => fields,
            Err(reason) => {
                let (name, at) = (self.name(message), format!("{}:{}", message.partition, message.offset));
                let text = format!("record {at} cannot be read: {}", clean(reason));
                writeln!(out, "{}  {name}  {}", self.time(message), self.pen(&text, Style::new().red()))?;
                return Ok(());
            }
        };
        let cells = self.cells(message, fields);
        if self.is_table(message.topic) {
            self.row(message, &cells, out)
        } else {
            self.pairs(message, &cells, out)
        }
    }

    fn object(&self, message: &Message) -> Json {
        let of = &self.topics[message.topic];
        let mut object = json!({"utc": format!("{}Z", message.stamp.utc_iso()), "topic": of.kafka,
            "partition": message.partition, "offset": message.offset});
        if let Some((component, attr)) = &of.sal {
            object["component"] = Json::from(component.as_str());
            object["attribute"] = Json::from(attr.as_str());
            object["index"] = Json::from(message.sal_index);
        }
        match &message.fields {
            Ok(fields) if self.wanted.is_empty() => object["fields"] = Json::Object(fields.clone()),
            Ok(fields) => {
                let one = |path: &String| (path.clone(), part(fields, path).cloned().unwrap_or_default());
                object["fields"] = self.wanted.iter().map(one).collect::<Map<_, _>>().into();
            }
            Err(reason) => object["error"] = Json::from(reason.as_str()),
        }
        object
    }

    /// The values that are shown, and which of them have changed.
    fn cells(&mut self, message: &Message, fields: &Map<String, Json>) -> Vec<Cell> {
        let of = &self.topics[message.topic];
        let names: Vec<&String> = if self.wanted.is_empty() {
            fields.keys().filter(|name| self.full || is_public(name)).collect()
        } else {
            self.wanted.iter().collect()
        };
        let one = |path: &String| {
            let value = part(fields, path);
            let field = path.split(['.', '[']).next().unwrap_or(path);
            let named = value.and_then(Json::as_i64).and_then(|v| of.names.get(field)?.get(&v));
            let text = match (value, named) {
                (None, _) => String::new(),
                (Some(value), Some(name)) => format!("{value} {name}"),
                (Some(value), None) => short(value, self.full),
            };
            let unit = of.units.get(field).cloned().unwrap_or_default();
            let number = value.is_some_and(|v| v.is_number() || v == "NaN") && named.is_none();
            Cell { name: path.clone(), text, unit, number, changed: false }
        };
        let mut cells: Vec<Cell> = names.into_iter().map(one).collect();
        let texts: Vec<String> = cells.iter().map(|c| c.text.clone()).collect();
        if let Some(before) = self.last.insert((message.topic, message.sal_index), texts) {
            cells.iter_mut().zip(before).for_each(|(cell, before)| cell.changed = cell.text != before);
        }
        cells
    }

    /// True if all messages have the same few columns.
    fn is_table(&self, topic: usize) -> bool {
        let of = &self.topics[topic];
        !self.wanted.is_empty()
            || (self.topics.len() == 1
                && !self.full
                && of.fields.iter().filter(|n| is_public(n)).count() <= MOST_COLUMNS)
    }

    fn row(&mut self, message: &Message, cells: &[Cell], out: &mut impl Write) -> anyhow::Result<()> {
        let of = &self.topics[message.topic];
        let mut head = vec!["UTC".to_owned()];
        let mut row = vec![(message.stamp.utc_iso(), Style::new().dimmed(), false)];
        if self.topics.len() > 1 {
            head.push("topic".to_owned());
            row.push((self.name(message), Style::new().cyan(), false));
        } else if of.sal.is_some() && !of.one_instance && message.sal_index != 0 {
            head.push("index".to_owned());
            row.push((message.sal_index.to_string(), Style::new().cyan(), true));
        }
        for cell in cells {
            let unit = if cell.unit.is_empty() || self.topics.len() > 1 {
                String::new()
            } else {
                format!(" ({})", cell.unit)
            };
            head.push(format!("{}{unit}", cell.name));
            let style = if cell.changed { Style::new().bold() } else { Style::new() };
            row.push((cell.text.clone(), style, cell.number));
        }
        let first = self.widths.is_none();
        let widths = self.widths.get_or_insert_with(Vec::new);
        widths.resize(head.len().max(widths.len()), 8);
        for ((width, head), (text, ..)) in widths.iter_mut().zip(&head).zip(&row) {
            *width = (*width).max(head.chars().count()).max(text.chars().count());
        }
        let widths = widths.clone();
        if first {
            let line: Vec<String> =
                head.iter().zip(&widths).map(|(text, width)| padded(text, *width, false)).collect();
            writeln!(out, "{}", self.pen(line.join("  ").trim_end(), Style::new().bold()))?;
        }
        let line: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|((text, style, right), width)| self.pen(&padded(text, *width, *right), *style))
            .collect();
        writeln!(out, "{}", line.join("  ").trim_end())?;
        Ok(())
    }

    fn pairs(&self, message: &Message, cells: &[Cell], out: &mut impl Write) -> anyhow::Result<()> {
        let mut line =
            format!("{}  {}", self.time(message), self.pen(&self.name(message), Style::new().cyan()));
        for cell in cells {
            let unit = if cell.unit.is_empty() { String::new() } else { format!(" {}", cell.unit) };
            let value = format!("{}{unit}", cell.text);
            let value = if cell.changed { self.pen(&value, Style::new().bold()) } else { value };
            line.push_str(&format!(
                "  {}{value}",
                self.pen(&format!("{}=", cell.name), Style::new().dimmed())
            ));
        }
        writeln!(out, "{line}")?;
        Ok(())
    }

    fn time(&self, message: &Message) -> String {
        self.pen(&message.stamp.utc_iso(), Style::new().dimmed())
    }

    /// `ESS:301.tel_airFlow`, or the name on the bus.
    fn name(&self, message: &Message) -> String {
        let of = &self.topics[message.topic];
        match &of.sal {
            Some((component, attr)) if message.sal_index != 0 => {
                format!("{component}:{}.{attr}", message.sal_index)
            }
            Some((component, attr)) => format!("{component}.{attr}"),
            None => of.kafka.clone(),
        }
    }

    fn pen(&self, text: &str, style: Style) -> String {
        if self.colour { text.style(style).to_string() } else { text.to_owned() }
    }
}

impl Of {
    fn new(topic: &Chosen, library: &Library) -> Of {
        let mut of = Of {
            kafka: topic.kafka.clone(),
            sal: topic.sal.as_ref().map(|(component, sal_name)| (component.clone(), attr_of(sal_name))),
            one_instance: topic.indices.len() == 1,
            fields: Vec::new(),
            units: BTreeMap::new(),
            names: BTreeMap::new(),
        };
        let Some((component, sal_name)) = &topic.sal else { return of };
        // The registry's schemas do without it where the interfaces do not have it.
        let Ok(component) = library.component(component) else { return of };
        let Some(known) = component.topic(sal_name) else { return of };
        for field in &known.fields {
            if !["", "unitless", "dimensionless"].contains(&field.units.as_str()) {
                of.units.insert(field.name.clone(), field.units.clone());
            }
            // By their names: the interfaces do not say which enumeration a field has.
            if let Some(set) = component.enums.iter().find(|set| set.name.eq_ignore_ascii_case(&field.name)) {
                let items = set.items.iter().map(|item| (item.value, item.name.clone()));
                of.names.insert(field.name.clone(), items.collect());
            }
        }
        of
    }
}

fn is_public(name: &str) -> bool {
    !name.starts_with("private_") && name != "salIndex"
}

/// The value at `name`, `name[3]`, `outer.inner`.
fn part<'a>(fields: &'a Map<String, Json>, path: &str) -> Option<&'a Json> {
    let mut parts = path.split(['.', '[']);
    let mut value = fields.get(parts.next()?)?;
    for part in parts {
        value = match part.strip_suffix(']') {
            Some(index) => value.get(index.parse::<usize>().ok()?)?,
            None => value.get(part)?,
        };
    }
    Some(value)
}

/// A value in few characters, without anything that a terminal could take for a command.
fn short(value: &Json, full: bool) -> String {
    match value {
        Json::Null => "null".to_owned(),
        Json::String(text) => cut(&clean(text), full),
        Json::Array(all) => {
            let shown = if full { all.len() } else { MOST_ELEMENTS };
            let mut texts: Vec<String> = all.iter().take(shown).map(|v| short(v, full)).collect();
            if all.len() > shown {
                texts.push(format!("... {} in all", all.len()));
            }
            format!("[{}]", texts.join(", "))
        }
        Json::Object(_) => cut(&clean(&value.to_string()), full),
        other => other.to_string(),
    }
}

fn cut(text: &str, full: bool) -> String {
    match text.char_indices().nth(MOST_CHARS) {
        Some((at, _)) if !full => format!("{}...", &text[..at]),
        _ => text.to_owned(),
    }
}

fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { c.escape_default().to_string() } else { c.to_string() })
        .collect()
}

fn padded(text: &str, width: usize, right: bool) -> String {
    let blanks = " ".repeat(width.saturating_sub(text.chars().count()));
    if right { format!("{blanks}{text}") } else { format!("{text}{blanks}") }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn parts_are_found_and_texts_are_harmless() {
        let Json::Object(fields) = json!({"a": [1, {"b": 2}], "run": {"visit": 7}}) else { panic!() };
        assert_eq!(part(&fields, "a[1].b"), Some(&json!(2)));
        assert_eq!(part(&fields, "run.visit"), Some(&json!(7)));
        assert_eq!((part(&fields, "a[2]"), part(&fields, "b")), (None, None));
        assert_eq!(short(&json!("a\u{1b}[31m\n"), false), "a\\u{1b}[31m\\n");
        assert_eq!(short(&json!([1, 2, 3, 4, 5, 6, 7]), false), "[1, 2, 3, 4, 5, 6, ... 7 in all]");
        assert_eq!(short(&json!("x".repeat(70)), false).len(), MOST_CHARS + 3);
        assert_eq!(short(&json!("x".repeat(70)), true).len(), 70);
    }
}
