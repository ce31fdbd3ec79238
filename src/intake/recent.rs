//! The samples of the last minutes that analyses ask for, in memory: a run need not read the bus for them.
//!
//! Which topics and fields are kept, and how far back, follows from the `series` of the rules' steps. Each topic is
//! bounded in time, rows and bytes; what falls out moves [`RecentRows::since`], and whoever asks for more is sent on to
//! Kafka or the EFD.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use salobj::{Tai, Value};
use serde_json::Value as Json;
use tokio::sync::watch;

use crate::rules::Rule;
use crate::tasks::series::{
    RecentRows, RecentSamples, SeriesColumn, SeriesRequest, SeriesRow, duration, split_topic,
};

/// How far back is kept for a range with a begin that is known only when the run starts.
const UNKNOWN_RANGE: Duration = Duration::from_secs(15 * 60);

/// Kept beyond the range asked for: a run begins a little after its trigger.
const MARGIN: Duration = Duration::from_secs(60);

/// Longest time that is kept; longer ranges are read from Kafka or the EFD.
const LONGEST: Duration = Duration::from_secs(2 * 3600);

/// Bounds of one topic.
const MAX_ROWS: usize = 100_000;
const MAX_BYTES: usize = 32 << 20;

/// What the steps of the rules want of one topic.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesNeed {
    /// Component.
    pub component: String,
    /// SAL name of the topic.
    pub sal_name: String,
    /// Fields, those with the stamps of packed arrays among them.
    pub fields: BTreeSet<String>,
    /// How far back.
    pub span: Duration,
}

impl SeriesNeed {
    /// What the steps of these rules want: one need for each topic. Steps whose topic or fields are templates are left
    /// out: they read Kafka.
    pub fn of_rules<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> Vec<SeriesNeed> {
        let mut all: BTreeMap<(String, String), SeriesNeed> = BTreeMap::new();
        let workflows = rules.into_iter().filter_map(|r| r.workflow.as_ref());
        let series = workflows.flat_map(|w| &w.steps).filter_map(|s| s.params.get("series"));
        for need in series.filter_map(SeriesNeed::of_series) {
            let key = (need.component.clone(), need.sal_name.clone());
            let known = all.entry(key).or_insert_with(|| need.clone());
            known.fields.extend(need.fields);
            known.span = known.span.max(need.span);
        }
        all.into_values().collect()
    }

    fn of_series(series: &Json) -> Option<SeriesNeed> {
        let (component, _, sal_name) = split_topic(series.get("topic")?.as_str()?).ok()?;
        let mut fields = BTreeSet::new();
        let mut add = |field: &str| {
            fields.insert(field.split('[').next().unwrap_or_default().to_owned());
        };
        series.get("field").and_then(Json::as_str).into_iter().for_each(&mut add);
        series
            .get("fields")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .for_each(&mut add);
        let named = series.get("fields").and_then(Json::as_object).into_iter().flat_map(|o| o.values());
        named.filter_map(Json::as_str).for_each(&mut add);
        if let Some(packed) = series.get("packed") {
            add(packed.get("stamp")?.as_str()?);
        }
        let range = series.get("range").and_then(duration).unwrap_or(UNKNOWN_RANGE);
        let template = fields.is_empty() || fields.iter().any(|f| f.contains("{{"));
        (!template).then(|| SeriesNeed { component, sal_name, fields, span: (range + MARGIN).min(LONGEST) })
    }
}

/// Component and SAL name.
type Key = (String, String);

/// All that is kept.
#[derive(Debug)]
pub struct Recent {
    topics: Mutex<HashMap<Key, Arc<Mutex<Kept>>>>,
    changes: watch::Sender<u64>,
}

/// The rows of one topic, oldest first.
#[derive(Debug)]
pub(super) struct Kept {
    fields: Vec<String>,
    span_s: f64,
    rows: VecDeque<Row>,
    bytes: usize,
    /// From when on nothing is missing; `None` while nothing is known.
    since: Option<f64>,
    /// Partitions of which a row has come, while `since` follows from the first of them.
    begun: BTreeSet<i32>,
    from_time: bool,
}

#[derive(Debug)]
struct Row {
    sal_index: i64,
    sent: f64,
    cells: Box<[Value]>,
    bytes: usize,
}

impl Recent {
    pub(super) fn new() -> Self {
        Self { topics: Mutex::default(), changes: watch::Sender::new(0) }
    }

    /// Keeps these topics from now on. What is there of a topic that is read on, with the same fields, stays. The answer
    /// has the store of each need; `from` is the time from which each is read, if it is read by time.
    pub(super) fn replace(&self, needs: &[(SeriesNeed, Option<Tai>, bool)]) -> Vec<Arc<Mutex<Kept>>> {
        let mut topics = lock(&self.topics);
        let mut old = std::mem::take(&mut *topics);
        let keep = |(need, from, reads_on): &(SeriesNeed, Option<Tai>, bool)| {
            let key = (need.component.clone(), need.sal_name.clone());
            let known = old.remove(&key).filter(|kept| {
                let kept = lock(kept);
                *reads_on && kept.fields.iter().eq(&need.fields)
            });
            let kept = known.unwrap_or_else(|| Arc::new(Mutex::new(Kept::new(need, *from))));
            lock(&kept).span_s = need.span.as_secs_f64();
            topics.insert(key, Arc::clone(&kept));
            kept
        };
        needs.iter().map(keep).collect()
    }

    /// Wakes those who wait for more.
    pub(super) fn notify(&self) {
        self.changes.send_modify(|n| *n += 1);
    }
}

impl Kept {
    fn new(need: &SeriesNeed, from: Option<Tai>) -> Self {
        Self {
            fields: need.fields.iter().cloned().collect(),
            span_s: need.span.as_secs_f64(),
            rows: VecDeque::new(),
            bytes: 0,
            since: from.map(|t| t.0),
            begun: BTreeSet::new(),
            from_time: from.is_some(),
        }
    }

    /// The oldest records were lost before they could be read: only what comes is known.
    pub(super) fn expired(&mut self) {
        if self.rows.is_empty() {
            self.from_time = false;
            self.since = None;
        }
    }

    /// Adds a row; the cells are those of the need's fields, in their order.
    pub(super) fn push(&mut self, partition: i32, sal_index: i64, sent: Tai, cells: Box<[Value]>) {
        if !self.from_time && self.begun.insert(partition) {
            // Of what was before the first row that was read nothing is known.
            self.since = Some(self.since.map_or(sent.0, |since| since.max(sent.0)));
        }
        let bytes = cells.iter().map(size).sum::<usize>() + size_of::<Row>();
        self.bytes += bytes;
        self.rows.push_back(Row { sal_index, sent: sent.0, cells, bytes });
        while self.rows.len() > MAX_ROWS || self.bytes > MAX_BYTES || self.oldest() < sent.0 - self.span_s {
            let Some(row) = self.rows.pop_front() else { return };
            self.bytes -= row.bytes;
            let since = self.rows.front().map_or(row.sent, |next| next.sent).max(row.sent);
            self.since = Some(self.since.map_or(since, |known| known.max(since)));
        }
    }

    fn oldest(&self) -> f64 {
        self.rows.front().map_or(f64::INFINITY, |r| r.sent)
    }

    /// The rows of a request, if all of its fields are kept and anything is known.
    fn read(&self, request: &SeriesRequest) -> Option<RecentRows> {
        let place = |field: &str| self.fields.iter().position(|f| f == field);
        let columns: Vec<(usize, &SeriesColumn)> =
            request.columns.iter().map(|c| Some((place(&c.field)?, c))).collect::<Option<_>>()?;
        let stamp = match request.stamp_field() {
            "private_sndStamp" => None,
            field => Some(place(field)?),
        };
        let since = Tai(self.since?);
        let row = |row: &Row| {
            let stamp = match stamp.map(|at| &row.cells[at]) {
                None => row.sent,
                Some(Value::Double(stamp)) => *stamp,
                Some(Value::Int(stamp)) => *stamp as f64,
                Some(_) => return None,
            };
            let cells = columns.iter().map(|(at, column)| part(&row.cells[*at], column.element)).collect();
            Some(SeriesRow { stamp, cells })
        };
        let of_index = |r: &&Row| request.index.is_none_or(|index| r.sal_index == 0 || r.sal_index == index);
        let mut rows: Vec<SeriesRow> = self.rows.iter().filter(of_index).filter_map(row).collect();
        // Records of several partitions come in any order.
        rows.sort_by(|a, b| a.stamp.total_cmp(&b.stamp));
        Some(RecentRows { rows, since })
    }
}

impl RecentSamples for Recent {
    fn recent(&self, request: &SeriesRequest) -> Option<RecentRows> {
        let key = (request.component.clone(), request.sal_name.clone());
        let kept = Arc::clone(lock(&self.topics).get(&key)?);
        let kept = lock(&kept);
        kept.read(request)
    }

    // Written out, not `async fn`: what has come between this call and its first poll counts.
    fn changed<'a, 'b>(&'a self) -> Pin<Box<dyn Future<Output = ()> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let mut changes = self.changes.subscribe();
        Box::pin(async move {
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}

/// A whole field, or one element of it.
fn part(cell: &Value, element: Option<usize>) -> Value {
    let Some(n) = element else { return cell.clone() };
    let found = match cell {
        Value::Doubles(all) => all.get(n).copied().map(Value::Double),
        Value::Ints(all) => all.get(n).copied().map(Value::Int),
        Value::Bools(all) => all.get(n).copied().map(Value::Bool),
        _ => None,
    };
    found.unwrap_or_default()
}

/// Bytes that a cell takes.
fn size(cell: &Value) -> usize {
    size_of::<Value>()
        + match cell {
            Value::Doubles(all) => all.len() * size_of::<f64>(),
            Value::Ints(all) => all.len() * size_of::<i64>(),
            Value::Bools(all) => all.len(),
            Value::Text(text) => text.len(),
            Value::Texts(all) => all.iter().map(|t| t.len() + size_of::<Arc<str>>()).sum(),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Double(_) => 0,
        }
}

/// Plain data: a panic elsewhere does not make it wrong.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
