//! What a rule asks for under `series`.

use std::sync::Arc;
use std::time::Duration;

use salobj::{Tai, Value};
use serde_json::Value as Json;

use super::{SeriesError, SeriesRow};
use crate::rules::{FieldKind, SchemaSource, TopicSchema};
use crate::tasks::analysis::packed::{Packed, Scale};

/// How long the end of a range is waited for, unless the rule says it.
const WAIT: Duration = Duration::from_secs(10);

/// One wanted quantity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesColumn {
    /// Name of the series: the rule's, or the field as written.
    pub name: String,
    /// Field of the topic.
    pub field: String,
    /// Element of an array field.
    pub element: Option<usize>,
    /// Unit as the interface writes it; empty if there is none.
    pub unit: String,
    /// Number of elements of a packed array; 1 for a scalar.
    pub count: usize,
}

/// A range of some fields of a topic.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesRequest {
    /// Component.
    pub component: String,
    /// SAL name of the topic: `airFlow`, `logevent_endReadout`.
    pub sal_name: String,
    /// Instance; `None` for a component without, or for all of them.
    pub index: Option<i64>,
    /// The quantities, in the order of the rule.
    pub columns: Vec<SeriesColumn>,
    /// How arrays are expanded.
    pub packed: Option<Packed>,
    /// First time, inclusive.
    pub from: Tai,
    /// Last time, inclusive.
    pub to: Tai,
    /// True if a sample at or after `to` is waited for.
    pub waits: bool,
    /// How long.
    pub wait: Duration,
}

impl SeriesRequest {
    /// Reads `series: {topic, field | fields, packed, range | from, to, wait}` with templates filled in. Times are TAI
    /// seconds (numbers, or text that is one), durations `90s`, `10m`, `1h30m`, or seconds.
    ///
    /// # Errors
    /// Every mistake that was found: unknown keys, topics, fields, fields of the wrong type, ranges that are none.
    pub fn read(series: &Json, schemas: &dyn SchemaSource, now: Tai) -> Result<Self, SeriesError> {
        let text = |key: &str| series.get(key).and_then(Json::as_str).unwrap_or_default();
        let topic = text("topic");
        let bad = |reason: String| SeriesError::Bad { topic: topic.to_owned(), reason };
        let (component, index, sal_name) = split_topic(topic).map_err(&bad)?;
        let schema = schemas.topic(&component, &sal_name).map_err(|e| bad(e.to_string()))?;
        let mut mistakes = Vec::new();
        let keys = series.as_object().into_iter().flat_map(|o| o.keys());
        for key in keys.filter(|k| !KEYS.contains(&k.as_str())) {
            mistakes.push(format!("unknown key {key}"));
        }
        let packed = packed(series, &schema, &mut mistakes);
        let columns = columns(series, &schema, packed.is_some(), &mut mistakes);
        let (from, to, waits) = range(series, now, &mut mistakes);
        let wait = match series.get("wait") {
            None => WAIT,
            Some(wait) => duration(wait).unwrap_or_else(|| {
                mistakes.push(format!("wait {wait} is no duration"));
                WAIT
            }),
        };
        if !mistakes.is_empty() {
            return Err(bad(mistakes.join("; ")));
        }
        Ok(Self { component, sal_name, index, columns, packed, from, to, waits, wait })
    }

    /// `ESS:301 airFlow`, for messages.
    pub fn topic_name(&self) -> String {
        match self.index {
            Some(index) => format!("{}:{index} {}", self.component, self.sal_name),
            None => format!("{} {}", self.component, self.sal_name),
        }
    }

    /// True if nothing is waited for, or a sample at or after the end is among the rows.
    pub fn end_seen(&self, rows: &[SeriesRow]) -> bool {
        !self.waits || rows.iter().any(|row| self.last_stamp(row) >= self.to.0)
    }

    /// Field whose value is the stamp of a row.
    pub fn stamp_field(&self) -> &str {
        self.packed.as_ref().map_or("private_sndStamp", |p| &p.stamp)
    }

    /// TAI seconds of the first sample of a row.
    pub(super) fn first_stamp(&self, row: &SeriesRow) -> f64 {
        match self.packed.as_ref().map(|p| p.scale) {
            None | Some(Scale::Tai) => row.stamp,
            Some(Scale::Utc) => Tai::from_utc_unix(row.stamp).0,
        }
    }

    /// TAI seconds of the last sample of a row.
    pub(super) fn last_stamp(&self, row: &SeriesRow) -> f64 {
        let start = self.first_stamp(row);
        let Some(packed) = &self.packed else { return start };
        let count = row.cells.iter().map(|cell| if let Value::Doubles(d) = cell { d.len() } else { 1 }).max();
        start + (count.unwrap_or(1).max(1) - 1) as f64 / packed.rate_hz
    }

    /// How much earlier or later than its samples a record may have been sent.
    pub(super) fn margin(&self) -> Duration {
        let rate = self.packed.as_ref().map_or(1.0, |p| p.rate_hz);
        let longest = self.columns.iter().map(|c| c.count).max().unwrap_or(1) as f64 / rate;
        Duration::from_secs(10) + Duration::try_from_secs_f64(longest).unwrap_or_default()
    }
}

/// Keys that say which span of time; those of the first series hold for all that say nothing.
const SPAN: [&str; 4] = ["range", "from", "to", "wait"];

/// The `series` of a step's parameters, each as [`SeriesRequest::read`] takes it: one, or several as a list.
pub(crate) fn series_of(params: &Json) -> Vec<Json> {
    let all = match params.get("series") {
        None => return Vec::new(),
        Some(Json::Array(all)) => all.clone(),
        Some(one) => return vec![one.clone()],
    };
    let first = all.first().and_then(Json::as_object).cloned().unwrap_or_default();
    let filled = |mut one: Json| {
        if let Some(own) = one.as_object_mut()
            && !SPAN.iter().any(|key| own.contains_key(*key))
        {
            own.extend(
                first
                    .iter()
                    .filter(|(key, _)| SPAN.contains(&key.as_str()))
                    .map(|(k, v)| (k.clone(), v.clone())),
            );
        }
        one
    };
    all.into_iter().map(filled).collect()
}

const KEYS: [&str; 8] = ["topic", "field", "fields", "packed", "range", "from", "to", "wait"];

/// `ESS:301.tel_airFlow` as component, instance and SAL name.
pub(crate) fn split_topic(topic: &str) -> Result<(String, Option<i64>, String), String> {
    let shape = || format!("{topic:?} is not of the form Component[:index].tel_x or .evt_x");
    let (component, attr) = topic.split_once('.').ok_or_else(shape)?;
    let (component, index) = match component.split_once(':') {
        None => (component, None),
        Some((component, "*")) => (component, None),
        Some((component, index)) => (component, Some(index.parse::<i64>().map_err(|_| shape())?)),
    };
    let sal_name = match attr.split_once('_') {
        Some(("tel", name)) => name.to_owned(),
        Some(("evt", name)) => format!("logevent_{name}"),
        _ => return Err(shape()),
    };
    Ok((component.to_owned(), index.filter(|i| *i != 0), sal_name))
}

fn packed(series: &Json, schema: &Arc<TopicSchema>, mistakes: &mut Vec<String>) -> Option<Packed> {
    let packed = series.get("packed")?;
    match serde_json::from_value::<Packed>(packed.clone()) {
        Err(e) => mistakes.push(format!("packed: {e}")),
        Ok(packed) => match schema.field(&packed.stamp) {
            None => mistakes.push(format!("packed.stamp: there is no field {}", packed.stamp)),
            Some(field) if field.count.is_some() || field.kind == FieldKind::Text => {
                mistakes.push(format!("packed.stamp: {} is not a single number", packed.stamp));
            }
            Some(_) if !(packed.rate_hz.is_finite() && packed.rate_hz > 0.0) => {
                mistakes.push(format!("packed.rate is {}: it must be more than zero", packed.rate_hz));
            }
            Some(_) => return Some(packed),
        },
    }
    None
}

fn columns(
    series: &Json,
    schema: &Arc<TopicSchema>,
    packed: bool,
    mistakes: &mut Vec<String>,
) -> Vec<SeriesColumn> {
    let named: Vec<(&str, &str)> = match (series.get("field"), series.get("fields")) {
        (Some(Json::String(field)), None) => vec![(field, field)],
        (None, Some(Json::Array(fields))) => {
            fields.iter().map(|f| f.as_str().unwrap_or_default()).map(|f| (f, f)).collect()
        }
        (None, Some(Json::Object(fields))) => {
            fields.iter().map(|(name, f)| (name.as_str(), f.as_str().unwrap_or_default())).collect()
        }
        _ => Vec::new(),
    };
    if named.is_empty() {
        mistakes.push(
            "either field (a name) or fields (a list, or names of series to fields) is needed".to_owned(),
        );
    }
    let mut columns = Vec::new();
    for (name, text) in named {
        match column(name, text, schema, packed) {
            Ok(column) => columns.push(column),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    columns
}

fn column(name: &str, text: &str, schema: &TopicSchema, packed: bool) -> Result<SeriesColumn, String> {
    let (field, element) = match text.split_once('[') {
        None => (text, None),
        Some((field, rest)) => {
            let element = rest.strip_suffix(']').and_then(|n| n.parse::<usize>().ok());
            (field, Some(element.ok_or_else(|| format!("{text:?} is no field and no element of one"))?))
        }
    };
    let known = schema.field(field).ok_or_else(|| format!("there is no field {field:?}"))?;
    if known.kind == FieldKind::Text {
        return Err(format!("{field} is a text"));
    }
    match (known.count, element) {
        (None, Some(_)) => return Err(format!("{field} is not an array")),
        (Some(count), Some(element)) if element >= count => {
            return Err(format!("{field} has {count} elements, {element} is not one of them"));
        }
        (Some(count), None) if !packed => {
            return Err(format!("{field} is an array of {count}: name an element, or say how it is packed"));
        }
        _ => {}
    }
    let count = if element.is_some() { 1 } else { known.count.unwrap_or(1) };
    let unit = known.unit.clone().unwrap_or_default();
    Ok(SeriesColumn { name: name.to_owned(), field: field.to_owned(), element, unit, count })
}

fn range(series: &Json, now: Tai, mistakes: &mut Vec<String>) -> (Tai, Tai, bool) {
    let time = |key: &str| {
        series.get(key).map(|v| number(v).map(Tai).ok_or(format!("{key} {v} is no time (TAI s)")))
    };
    let found = match (series.get("range"), time("from"), time("to")) {
        (Some(range), None, None) => match duration(range) {
            Some(length) => Ok((now - length, now, false)),
            None => Err(format!("range {range} is no duration")),
        },
        (None, Some(from), Some(to)) => from.and_then(|from| Ok((from, to?, true))),
        (None, Some(from), None) => from.map(|from| (from, now, false)),
        _ => Err("either range, or from and to, are needed".to_owned()),
    };
    match found {
        Ok((from, to, _)) if from.0 > to.0 => {
            mistakes.push(format!("the range from {} to {} ends before it begins", from.0, to.0));
            (now, now, false)
        }
        Ok(range) => range,
        Err(mistake) => {
            mistakes.push(mistake);
            (now, now, false)
        }
    }
}

/// A finite number, or text that is one.
fn number(value: &Json) -> Option<f64> {
    let number = match value {
        Json::Number(n) => n.as_f64(),
        Json::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.filter(|n: &f64| n.is_finite())
}

/// `500ms`, `90s`, `10m`, `1h30m`, `2d`, or seconds.
pub(crate) fn duration(value: &Json) -> Option<Duration> {
    if let Some(seconds) = number(value) {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let mut rest = value.as_str()?.trim();
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let amount: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        seconds += amount
            * match &rest[..unit] {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    Duration::try_from_secs_f64(seconds).ok().filter(|_| value.as_str().is_some_and(|t| !t.trim().is_empty()))
}
