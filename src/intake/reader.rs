//! The one reader of all topics that the rules need, where it stands, and what is history.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use salobj::transport::{
    Batch, BatchItem, ReadEvent, Reader, RecordRef, StartAt, TopicSpec, Transport, TransportError,
};
use salobj::{Clock, Tai};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use super::decode::Decoder;
use super::fetch::Fetches;
use super::recent::{Ask, Kept, Recent, SeriesNeed};
use super::subscriptions;
use super::tap::Tap;
use super::topic::{Before, Stood, Topic};
use crate::rules::{Sample, Subscriptions, TopicId, TopicNeed};
use crate::telemetry::Meter;

/// Records that may wait for their schemas, of all topics together, and their bytes; beyond that reading pauses.
const HELD: usize = 10_000;
const HELD_BYTES: usize = 32 << 20;

/// Where a reader stands: the journal entry `positions`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Positions {
    /// When this was noted.
    pub at: Tai,
    /// Topic to partition to next offset.
    pub next: BTreeMap<String, BTreeMap<i32, i64>>,
}

/// See the module's documentation.
pub struct Intake {
    transport: Arc<dyn Transport>,
    clock: Clock,
    subname: String,
    group: String,
    meter: Arc<Meter>,
    topics: Vec<Topic>,
    by_name: HashMap<Arc<str>, usize>,
    reader: Option<Box<dyn Reader>>,
    /// Readers that there have been.
    readers: u64,
    batch: Batch,
    fetches: Fetches,
    /// Topics of which records wait for a schema.
    holding: BTreeSet<usize>,
    series: Vec<SeriesNeed>,
    /// Topics whose past is to be read at the next subscription, also if they are being read already.
    fill: BTreeSet<u32>,
    recent: Arc<Recent>,
    /// Analyses that want to know what is kept.
    asks: mpsc::Receiver<Ask>,
    /// Counts the batches of which something was kept.
    kept_more: watch::Sender<u64>,
    tap: Option<Box<dyn Tap>>,
}

/// What is counted of a batch; the meter gets it at its end.
#[derive(Default)]
struct Counts {
    messages: u64,
    bytes: u64,
    samples: u64,
    kept: bool,
}

impl Intake {
    /// A reader of nothing yet. The names of its consumer groups begin with `group`.
    pub fn new(
        transport: Arc<dyn Transport>,
        clock: Clock,
        subname: String,
        group: String,
        meter: Arc<Meter>,
    ) -> Self {
        let (recent, asks, kept_more) = Recent::new();
        Self {
            fetches: Fetches::new(Arc::clone(&transport)),
            holding: BTreeSet::new(),
            series: Vec::new(),
            fill: BTreeSet::new(),
            recent: Arc::new(recent),
            asks,
            kept_more,
            tap: None,
            transport,
            clock,
            subname,
            group,
            meter,
            topics: Vec::new(),
            by_name: HashMap::new(),
            reader: None,
            readers: 0,
            batch: Batch::default(),
        }
    }

    /// What analyses find in memory.
    pub fn recent(&self) -> Arc<Recent> {
        Arc::clone(&self.recent)
    }

    /// From now on everything that goes to the core is also shown to `tap`.
    pub fn listen(&mut self, tap: Box<dyn Tap>) {
        self.tap = Some(tap);
    }

    /// Says what analyses will ask for; it is read and kept from the next [`Intake::subscribe`] on.
    pub fn keep(&mut self, series: Vec<SeriesNeed>) {
        self.series = series;
    }

    /// Says of which topics (by their id) rules want the past that are new; it is read again with the next
    /// [`Intake::subscribe`].
    pub fn fill(&mut self, topics: BTreeSet<u32>) {
        self.fill = topics;
    }

    /// Reads these topics from now on. Topics that were read before go on where they stand, or, if new rules want their
    /// past, are read again from there back, as history; new ones begin at `noted`,
    /// or at their end, with as much of the past before it as the rules need.
    ///
    /// # Errors
    /// The bus cannot be reached.
    pub async fn subscribe(
        &mut self,
        wanted: &Subscriptions,
        noted: &Positions,
    ) -> Result<(), TransportError> {
        let at = if noted.next.is_empty() { self.clock.now() } else { noted.at };
        let mut needs: Vec<(TopicNeed, Option<TopicId>)> = Vec::new();
        for (id, need) in (0..).zip(&wanted.topics).filter(|(_, need)| need.source().is_on_bus()) {
            needs.push((need.clone(), Some(TopicId(id))));
        }
        for series in &self.series {
            match needs.iter_mut().find(|(need, _)| is_of(series, need)) {
                Some((need, _)) => need.history.span = need.history.span.max(series.span),
                None => needs.push((subscriptions::only_series(series), None)),
            }
        }
        let mut starts = Vec::new();
        let mut kept_needs = Vec::new();
        let mut topics = Vec::new();
        for (need, id) in &needs {
            let name = subscriptions::topic_name(&self.subname, need);
            let old = self.by_name.get(name.as_str()).map(|i| &self.topics[*i]);
            let again = id.is_some_and(|id| self.fill.contains(&id.0));
            let reads_on = old.is_some_and(Topic::is_assigned) && !again;
            let journaled =
                noted.next.get(&name).map(|n| n.iter().map(|(p, at)| (*p, Stood::at(*at))).collect());
            let mut before: Before = old.and_then(Topic::stand).or(journaled);
            if again {
                // What was given before is history to those who had it.
                before
                    .iter_mut()
                    .flatten()
                    .for_each(|(_, stood)| stood.live_from = stood.live_from.max(stood.next));
            }
            let next: Option<BTreeMap<i32, i64>> =
                before.as_ref().map(|b| b.iter().map(|(p, stood)| (*p, stood.next)).collect());
            let start = match &next {
                Some(next) if reads_on => StartAt::Positions(next.clone()),
                next => subscriptions::start(need, next.as_ref(), at),
            };
            let series = self.series.iter().find(|series| is_of(series, need));
            let fields: Vec<String> = series.iter().flat_map(|s| s.fields.iter().cloned()).collect();
            let (wants, places) = subscriptions::cells(need, &fields);
            let mut topic = Topic::new(name.as_str().into(), Decoder::new(wants), before);
            topic.for_rules = id.map(|id| (id, need.fields.len()));
            topic.indices = need.indices.clone();
            topic.indices.iter_mut().for_each(|indices| indices.sort_unstable());
            if let Some(series) = series {
                let from = start.time().map(|ms| Tai::from_utc_ms(ms) + subscriptions::MARGIN);
                kept_needs.push((series, from, reads_on, topics.len(), places));
            }
            topics.push(topic);
            starts.push((name, start));
        }
        // Nothing is changed before the bus has agreed: a failed attempt can be made again.
        let mut reader = None;
        if !starts.is_empty() {
            let specs = starts
                .iter()
                .map(|(name, _)| TopicSpec { name: name.clone(), compacted: name.contains(".logevent_") });
            self.transport.create_topics(&specs.collect::<Vec<_>>()).await?;
            // A group of its own: the old reader leaves its group in the background, and nobody waits for that.
            self.readers += 1;
            let group = format!("{}-{}", self.group, self.readers);
            reader = Some(self.transport.reader(&group, &starts).await?);
        }
        for (need, from, reads_on, topic, places) in kept_needs {
            let old = self.by_name.get(&topics[topic].name).and_then(|i| self.topics[*i].kept.take());
            let old = old.filter(|_| reads_on).map(|(kept, _)| kept);
            topics[topic].kept = Some((Kept::of(need, from, old), places));
        }
        self.reader = reader;
        self.fill.clear();
        self.topics = topics;
        self.holding.clear();
        self.by_name = self.topics.iter().enumerate().map(|(i, t)| (t.name.clone(), i)).collect();
        self.batch.clear();
        Ok(())
    }

    /// Waits until there is something for [`Intake::drain`]. Dropping the future loses nothing.
    pub async fn wait(&mut self) {
        if !self.batch.is_empty() {
            return;
        }
        let add = |(a, b): (usize, usize), (c, d)| (a + c, b + d);
        let (held, held_bytes) = self.holding.iter().map(|t| self.topics[*t].held()).fold((0, 0), add);
        let room = held < HELD && held_bytes < HELD_BYTES;
        let lag_due = self.fetches.lag_due();
        tokio::select! {
            () = read(&mut self.reader, &mut self.batch), if room => {}
            Some(ask) = self.asks.recv() => {
                let topics = self.topics.iter().filter_map(|topic| topic.kept.as_ref());
                ask.answer(topics.map(|(kept, _)| kept));
            }
            lag = self.fetches.next() => if let Some(lag) = lag {
                self.meter.lag.store(lag, Ordering::Relaxed);
            },
            () = until(lag_due) => {
                let of = |t: &Topic| t.reading().map(|(p, next)| (t.name.clone(), p, next)).collect::<Vec<_>>();
                self.fetches.ask_lag(self.topics.iter().flat_map(of).collect());
            }
        }
        let waiting = self.batch.len() + held;
        self.meter.intake_queue.store(waiting.try_into().unwrap_or(i64::MAX), Ordering::Relaxed);
    }

    /// Gives every sample that [`Intake::wait`] brought to `take`, oldest first within its topic, with `true` if it is live
    /// and `false` if it is history. It does not wait: records whose schema has to be asked for are held back, with those
    /// behind them in their topic, until the registry has answered.
    pub async fn drain(&mut self, mut take: impl FnMut(&Sample<'_>, bool)) {
        let mut counts = Counts::default();
        // One look at the clock for all: they came together.
        let received = self.clock.now();
        self.release(received, &mut counts, &mut take);
        let mut batch = std::mem::take(&mut self.batch);
        while let Some(item) = batch.pop() {
            match item {
                BatchItem::Record(record) => self.record(&record, received, &mut counts, &mut take),
                BatchItem::Event(event) => self.event(event),
            }
        }
        self.batch = batch;
        Meter::add(&self.meter.messages, counts.messages);
        Meter::add(&self.meter.bytes, counts.bytes);
        Meter::add(&self.meter.samples, counts.samples);
        if counts.kept {
            self.kept_more.send_modify(|n| *n += 1);
        }
    }

    fn event(&mut self, event: ReadEvent) {
        match event {
            ReadEvent::Assigned { topic, partition, low, high, start } => {
                if let Some(topic) = self.topic(&topic) {
                    topic.assigned(partition, low, high, start);
                }
            }
            ReadEvent::CaughtUp { topic, partition } => {
                if let Some(topic) = self.topic(&topic) {
                    topic.caught_up_in(partition);
                }
            }
            ReadEvent::Trouble(error) => tracing::warn!(error = %error, "reading the bus: {error}"),
            // A batch has its records apart.
            ReadEvent::Record(_) => {}
        }
    }

    #[inline]
    fn record(
        &mut self,
        record: &RecordRef<'_>,
        received: Tai,
        counts: &mut Counts,
        take: &mut impl FnMut(&Sample<'_>, bool),
    ) {
        // The reader was made for these topics, in this order.
        let Some(topic) = self.topics.get_mut(record.topic) else { return };
        let held = !self.holding.is_empty() && self.holding.contains(&record.topic);
        if held || !ready(&mut topic.decoder, record, &mut self.fetches, &mut self.tap) {
            self.holding.insert(record.topic);
            topic.hold(record);
            return;
        }
        give(topic, record, received, &self.meter, counts, &mut self.tap, take);
    }

    /// Gives the held records whose schema has come.
    fn release(&mut self, received: Tai, counts: &mut Counts, take: &mut impl FnMut(&Sample<'_>, bool)) {
        let Self { holding, topics, fetches, meter, tap, .. } = self;
        holding.retain(|index| {
            let topic = &mut topics[*index];
            while let Some(record) =
                topic.take_held(|decoder, record| ready(decoder, &record.view(*index), fetches, tap))
            {
                give(topic, &record.view(*index), received, meter, counts, tap, take);
            }
            topic.held().0 > 0
        });
    }

    fn topic(&mut self, name: &Arc<str>) -> Option<&mut Topic> {
        self.by_name.get(name).map(|i| &mut self.topics[*i])
    }

    /// True once the past of every topic has been read and given.
    pub fn caught_up(&self) -> bool {
        self.topics.iter().all(Topic::caught_up)
    }

    /// Where it stands: what has been given to the core, not what has been fetched.
    pub fn positions(&self) -> Positions {
        let next = self.topics.iter().map(|t| (t.name.to_string(), t.positions()));
        Positions { at: self.clock.now(), next: next.collect() }
    }

    /// Leaves the bus.
    pub async fn close(&mut self) {
        if let Some(mut reader) = self.reader.take() {
            reader.close().await;
        }
    }
}

/// Whether the record's schema is known; if not, it is asked for.
#[inline]
fn ready(
    decoder: &mut Decoder,
    record: &RecordRef<'_>,
    fetches: &mut Fetches,
    tap: &mut Option<Box<dyn Tap>>,
) -> bool {
    let Some(id) = decoder.missing(record) else { return true };
    match fetches.schema(id) {
        Some(schema) => {
            decoder.learn(id, schema);
            if let (Some(tap), Ok(text)) = (tap, schema) {
                tap.schema(id, text);
            }
            true
        }
        None => false,
    }
}

/// Decodes a record and gives what the rules and the analyses want of it.
#[inline]
fn give(
    topic: &mut Topic,
    record: &RecordRef<'_>,
    received: Tai,
    meter: &Meter,
    counts: &mut Counts,
    tap: &mut Option<Box<dyn Tap>>,
    take: &mut impl FnMut(&Sample<'_>, bool),
) {
    counts.messages += 1;
    counts.bytes += record.value.map_or(0, |v| v.len() as u64);
    let live = topic.passed(record);
    if let Some(tap) = tap {
        tap.record(&topic.name, record, received, live);
    }
    match topic.decoder.decode(record, received) {
        Ok(Some(decoded)) => {
            if let Some((kept, places)) = &mut topic.kept {
                let cells = places.iter().map(|place| decoded.cells[*place].clone());
                kept.push(record.partition, decoded.sal_index, decoded.sent, cells);
                counts.kept = true;
            }
            let Some((id, count)) = topic.for_rules else { return };
            if topic.indices.as_ref().is_some_and(|wanted| wanted.binary_search(&decoded.sal_index).is_err())
            {
                return;
            }
            let sample = Sample {
                topic: id,
                sal_index: decoded.sal_index,
                sent: decoded.sent,
                received,
                partition: record.partition,
                offset: record.offset,
                cells: &decoded.cells[..count],
            };
            counts.samples += 1;
            if live {
                meter.bus.record(Duration::try_from_secs_f64(received - sample.sent).unwrap_or_default());
            }
            take(&sample, live);
        }
        Ok(None) => {}
        Err(reason) => {
            meter.decode_errors.fetch_add(1, Ordering::Relaxed);
            if topic.decoder.count_error() {
                let errors = topic.decoder.errors();
                tracing::warn!(
                    topic = %topic.name, offset = record.offset,
                    "record {} of {} cannot be decoded and is skipped ({errors} so far): {reason}", record.offset, topic.name
                );
            }
        }
    }
}

async fn until(time: Option<tokio::time::Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn is_of(series: &SeriesNeed, need: &TopicNeed) -> bool {
    series.component == need.component && series.sal_name == need.sal_name
}

/// Takes what the reader has, waiting for it; pends without a reader.
async fn read(reader: &mut Option<Box<dyn Reader>>, batch: &mut Batch) {
    match reader {
        Some(reader) => reader.next_batch(batch).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
