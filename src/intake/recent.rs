//! The samples of the last minutes that analyses ask for, in memory: a run need not read the bus for them.
//!
//! The intake owns them. An analysis sends an [`Ask`] and gets a [`Snapshot`]: rows lie in chunks, those that are full are
//! shared, so that the answer costs little however much is kept, and no lock is needed.
//!
//! ```text
//!  intake: Kept (one for each topic) ◄──Ask── Recent ◄── tasks::series
//!             └──────────────── Snapshot ──────► rows of the request
//! ```
//!
//! Which topics and fields are kept, and how far back, follows from the `series` of the rules' steps. Each topic is
//! bounded in time, rows and bytes; what falls out moves [`RecentRows::since`], and whoever asks for more is sent on to
//! Kafka or the EFD.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use salobj::{Tai, Value};
use serde_json::Value as Json;
use tokio::sync::{mpsc, oneshot, watch};

use crate::rules::Rule;
use crate::tasks::series::{
    RecentRows, RecentSamples, SeriesColumn, SeriesRequest, SeriesRow, duration, series_of, split_topic,
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

/// Rows of a chunk.
const CHUNK: usize = 64;

/// Questions that may wait.
const ASKS: usize = 64;

/// How long the intake may take to answer before the bus is read instead: it waits too while the journal cannot be written.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

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
        let series = workflows.flat_map(|w| &w.steps).flat_map(|s| series_of(&s.params));
        for need in series.filter_map(|series| SeriesNeed::of_series(&series)) {
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

/// The way to what is kept.
#[derive(Debug)]
pub struct Recent {
    asks: mpsc::Sender<Ask>,
    changes: watch::Receiver<u64>,
}

/// What is kept of a topic is asked for.
#[derive(Debug)]
pub(super) struct Ask {
    component: String,
    sal_name: String,
    answer: oneshot::Sender<Option<Snapshot>>,
}

impl Recent {
    /// The way for the askers, and the intake's ends: questions, and the counter that says that more was kept.
    pub(super) fn new() -> (Recent, mpsc::Receiver<Ask>, watch::Sender<u64>) {
        let (asks, asked) = mpsc::channel(ASKS);
        let (more, changes) = watch::channel(0);
        (Recent { asks, changes }, asked, more)
    }
}

impl Ask {
    /// Answers from what is kept of all topics.
    pub(super) fn answer<'a>(self, mut all: impl Iterator<Item = &'a Kept>) {
        let found = all.find(|kept| kept.component == self.component && kept.sal_name == self.sal_name);
        // Who asked may have gone.
        drop(self.answer.send(found.map(Kept::snapshot)));
    }
}

/// The rows of one topic, oldest first.
#[derive(Debug)]
pub(crate) struct Kept {
    component: String,
    sal_name: String,
    fields: Arc<[String]>,
    span_s: f64,
    /// Chunks that are full, then the one that is being filled.
    full: VecDeque<Arc<Chunk>>,
    open: Chunk,
    /// So many rows of the oldest chunk have fallen out.
    gone: usize,
    rows: usize,
    bytes: usize,
    /// From when on nothing is missing; `None` while nothing is known.
    since: Option<f64>,
    /// Partitions of which a row has come, while `since` follows from the first of them.
    begun: BTreeSet<i32>,
    from_time: bool,
}

/// Some rows, one after the other.
#[derive(Debug, Clone, Default)]
struct Chunk {
    heads: Vec<Head>,
    /// As many for each row as there are fields.
    cells: Vec<Value>,
    bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Head {
    sal_index: i64,
    sent: f64,
}

impl Kept {
    /// What is to be kept for a need, from `from` on if it is read by time. What is there of a topic that is read on, `old`,
    /// stays if the fields are the same.
    pub(crate) fn of(need: &SeriesNeed, from: Option<Tai>, old: Option<Kept>) -> Kept {
        let mut kept = match old {
            Some(old) if old.fields.iter().eq(&need.fields) => old,
            _ => Kept {
                component: need.component.clone(),
                sal_name: need.sal_name.clone(),
                fields: need.fields.iter().cloned().collect(),
                span_s: 0.0,
                full: VecDeque::new(),
                open: Chunk::default(),
                gone: 0,
                rows: 0,
                bytes: 0,
                since: from.map(|t| t.0),
                begun: BTreeSet::new(),
                from_time: from.is_some(),
            },
        };
        kept.span_s = need.span.as_secs_f64();
        kept
    }

    /// The oldest records were lost before they could be read: only what comes is known.
    pub(super) fn expired(&mut self) {
        if self.rows == 0 {
            self.from_time = false;
            self.since = None;
        }
    }

    /// Some records before this time are missing.
    pub(crate) fn lack_before(&mut self, time: Tai) {
        self.since = Some(self.since.map_or(time.0, |since| since.max(time.0)));
    }

    /// Adds a row; the cells are those of the need's fields, in their order.
    pub(crate) fn push(
        &mut self,
        partition: i32,
        sal_index: i64,
        sent: Tai,
        cells: impl Iterator<Item = Value>,
    ) {
        if !self.from_time && self.begun.insert(partition) {
            // Of what was before the first row that was read nothing is known.
            self.since = Some(self.since.map_or(sent.0, |since| since.max(sent.0)));
        }
        let first = self.open.cells.len();
        self.open.cells.extend(cells);
        let bytes = self.open.cells[first..].iter().map(size).sum::<usize>() + size_of::<Head>();
        self.open.heads.push(Head { sal_index, sent: sent.0 });
        self.open.bytes += bytes;
        self.bytes += bytes;
        self.rows += 1;
        if self.open.heads.len() == CHUNK {
            let (rows, cells) = (self.open.heads.len(), self.open.cells.len());
            let empty = Chunk { heads: Vec::with_capacity(rows), cells: Vec::with_capacity(cells), bytes: 0 };
            self.full.push_back(Arc::new(std::mem::replace(&mut self.open, empty)));
        }
        while self.rows > 0
            && (self.rows > MAX_ROWS || self.bytes > MAX_BYTES || self.oldest() < sent.0 - self.span_s)
        {
            let gone = self.oldest();
            self.drop_oldest();
            let since = if self.rows > 0 { self.oldest().max(gone) } else { gone };
            self.since = Some(self.since.map_or(since, |known| known.max(since)));
        }
    }

    fn oldest(&self) -> f64 {
        let chunk = self.full.front().map_or(&self.open, |chunk| chunk);
        chunk.heads.get(self.gone).map_or(f64::INFINITY, |head| head.sent)
    }

    /// A row falls out; its memory is given back with its chunk.
    fn drop_oldest(&mut self) {
        self.rows -= 1;
        self.gone += 1;
        match self.full.front() {
            Some(chunk) if self.gone == chunk.heads.len() => {
                self.bytes -= chunk.bytes;
                self.gone = 0;
                self.full.pop_front();
            }
            None if self.gone == self.open.heads.len() => {
                self.bytes -= self.open.bytes;
                self.gone = 0;
                self.open = Chunk::default();
            }
            _ => {}
        }
    }

    /// The rows of a request, if all of its fields are kept and anything is known.
    pub(crate) fn read(&self, request: &SeriesRequest) -> Option<RecentRows> {
        self.snapshot().read(request)
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            fields: Arc::clone(&self.fields),
            full: self.full.iter().cloned().collect(),
            open: self.open.clone(),
            gone: self.gone,
            since: self.since,
        }
    }
}

/// What was kept of a topic at some moment.
#[derive(Debug)]
struct Snapshot {
    fields: Arc<[String]>,
    full: Vec<Arc<Chunk>>,
    open: Chunk,
    gone: usize,
    since: Option<f64>,
}

impl Snapshot {
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
        let row = |(head, kept): (&Head, &[Value])| {
            if request.index.is_some_and(|index| head.sal_index != 0 && head.sal_index != index) {
                return None;
            }
            let stamp = match stamp.map(|at| &kept[at]) {
                None => head.sent,
                Some(Value::Double(stamp)) => *stamp,
                Some(Value::Int(stamp)) => *stamp as f64,
                Some(_) => return None,
            };
            let cells = columns.iter().map(|(at, column)| part(&kept[*at], column.element)).collect();
            Some(SeriesRow { stamp, cells })
        };
        let chunks = self.full.iter().map(Arc::as_ref).chain([&self.open]);
        // A need names one field at least.
        let rows = chunks.flat_map(|c| c.heads.iter().zip(c.cells.chunks_exact(self.fields.len().max(1))));
        let mut rows: Vec<SeriesRow> = rows.skip(self.gone).filter_map(row).collect();
        // Records of several partitions come in any order.
        rows.sort_by(|a, b| a.stamp.total_cmp(&b.stamp));
        Some(RecentRows { rows, since })
    }
}

#[async_trait]
impl RecentSamples for Recent {
    async fn recent(&self, request: &SeriesRequest) -> Option<RecentRows> {
        let (answer, answered) = oneshot::channel();
        let (component, sal_name) = (request.component.clone(), request.sal_name.clone());
        let asked = async {
            self.asks.send(Ask { component, sal_name, answer }).await.ok()?;
            answered.await.ok()?
        };
        // Real time: what is waited for is another part of this process.
        let snapshot = tokio::time::timeout(ANSWER_LIMIT, asked).await.ok()??;
        snapshot.read(request)
    }

    // Written out, not `async fn`: what has come between this call and its first poll counts.
    fn changed<'a, 'b>(&'a self) -> Pin<Box<dyn Future<Output = ()> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let mut changes = self.changes.clone();
        changes.mark_unchanged();
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

#[cfg(test)]
mod tests;
