//! The one reader of all topics that the rules need, where it stands, and what is history.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use salobj::transport::{ReadEvent, Reader, Record, StartAt, TopicSpec, Transport, TransportError};
use salobj::{Clock, Tai};
use serde::{Deserialize, Serialize};

use super::decode::Decoder;
use super::subscriptions;
use crate::rules::{Sample, Subscriptions, TopicId};
use crate::telemetry::Meter;

/// Records taken from the bus at a time.
const BATCH: usize = 500;

/// How long to wait before the registry is asked again.
const REGISTRY_PAUSE: Duration = Duration::from_millis(500);

/// Where a reader stands: the journal entry `positions`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Positions {
    /// When this was noted.
    pub at: Tai,
    /// Topic to partition to next offset.
    pub next: BTreeMap<String, BTreeMap<i32, i64>>,
}

#[derive(Debug)]
struct Topic {
    name: Arc<str>,
    decoder: Decoder,
    partitions: Vec<Partition>,
    noted: Option<BTreeMap<i32, i64>>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Partition {
    /// Next offset; -1 while nothing is known.
    next: i64,
    /// Records below are history.
    live_from: i64,
    caught_up: bool,
    known: bool,
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
    events: Vec<ReadEvent>,
}

impl Intake {
    /// A reader of nothing yet. `group` is the name of its consumer group.
    pub fn new(
        transport: Arc<dyn Transport>,
        clock: Clock,
        subname: String,
        group: String,
        meter: Arc<Meter>,
    ) -> Self {
        Self {
            transport,
            clock,
            subname,
            group,
            meter,
            topics: Vec::new(),
            by_name: HashMap::new(),
            reader: None,
            events: Vec::new(),
        }
    }

    /// Reads these topics from now on. Topics that were read before go on where they stand; new ones begin at `noted`,
    /// or at their end, with as much of the past before it as the rules need.
    ///
    /// # Errors
    /// The bus cannot be reached.
    pub async fn subscribe(
        &mut self,
        wanted: &Subscriptions,
        noted: &Positions,
    ) -> Result<(), TransportError> {
        let here = self.positions();
        let at = if noted.next.is_empty() { self.clock.now() } else { noted.at };
        let mut topics = Vec::new();
        let mut starts = Vec::new();
        for need in &wanted.topics {
            let name = subscriptions::topic_name(&self.subname, need);
            let standing = here.next.get(&name).filter(|p| !p.is_empty());
            let earlier = noted.next.get(&name);
            let start = match standing {
                Some(positions) => StartAt::Positions(positions.clone()),
                None => subscriptions::start(need, earlier, at),
            };
            let noted = standing.or(earlier).cloned();
            let decoder = Decoder::new(subscriptions::wants(need));
            topics.push(Topic { name: name.as_str().into(), decoder, partitions: Vec::new(), noted });
            starts.push((name, start));
        }
        if let Some(mut old) = self.reader.take() {
            old.close().await;
        }
        self.topics = topics;
        self.by_name = self.topics.iter().enumerate().map(|(i, t)| (t.name.clone(), i)).collect();
        self.events.clear();
        if !starts.is_empty() {
            let specs = starts
                .iter()
                .map(|(name, _)| TopicSpec { name: name.clone(), compacted: name.contains(".logevent_") });
            self.transport.create_topics(&specs.collect::<Vec<_>>()).await?;
            self.reader = Some(self.transport.reader(&self.group, &starts).await?);
        }
        Ok(())
    }

    /// Waits until there is something to read, then takes it. Dropping the future loses nothing.
    pub async fn wait(&mut self) {
        if !self.events.is_empty() {
            return;
        }
        match &mut self.reader {
            Some(reader) => reader.next_batch(BATCH, &mut self.events).await,
            None => std::future::pending().await,
        }
    }

    /// Gives every sample that [`Intake::wait`] brought to `take`, oldest first, with `true` if it is live and `false` if
    /// it is history. Asks the registry where a schema is new, and waits for it while it is away.
    pub async fn drain(&mut self, mut take: impl FnMut(&Sample<'_>, bool)) {
        let mut events = std::mem::take(&mut self.events);
        for event in events.drain(..) {
            match event {
                ReadEvent::Record(record) => {
                    let Some(&topic) = self.by_name.get(&record.topic) else { continue };
                    self.prepare(topic, &record).await;
                    self.give(topic, &record, &mut take);
                }
                ReadEvent::Assigned { topic, partition, high, start, .. } => {
                    self.assigned(&topic, partition, high, start)
                }
                ReadEvent::CaughtUp { topic, partition } => {
                    if let Some(p) = self.partition(&topic, partition) {
                        p.caught_up = true;
                    }
                }
                ReadEvent::Trouble(error) => tracing::warn!(error = %error, "reading the bus: {error}"),
            }
        }
        self.events = events;
    }

    async fn prepare(&mut self, topic: usize, record: &Record) {
        let mut told = false;
        while let Err(reason) = self.topics[topic].decoder.prepare(record, &self.transport).await {
            if !told {
                tracing::warn!(topic = %record.topic, "{reason}; reading waits for the schema registry");
                told = true;
            }
            self.clock.sleep(REGISTRY_PAUSE).await;
        }
    }

    fn give(&mut self, index: usize, record: &Record, take: &mut impl FnMut(&Sample<'_>, bool)) {
        Meter::add(&self.meter.messages, 1);
        Meter::add(&self.meter.bytes, record.value.as_ref().map_or(0, |v| v.len() as u64));
        let topic = &mut self.topics[index];
        let Ok(slot) = usize::try_from(record.partition) else { return };
        if topic.partitions.len() <= slot {
            topic.partitions.resize(slot + 1, Partition::default());
        }
        let partition = &mut topic.partitions[slot];
        partition.next = record.offset + 1;
        partition.known = true;
        let live = record.offset >= partition.live_from;
        let received = self.clock.now();
        let decoded = topic.decoder.decode(record);
        match decoded {
            Ok(Some(decoded)) => {
                let sample = Sample {
                    topic: TopicId(u32::try_from(index).expect("topics are few")),
                    sal_index: decoded.sal_index,
                    sent: decoded.sent,
                    received,
                    partition: record.partition,
                    offset: record.offset,
                    cells: decoded.cells,
                };
                Meter::add(&self.meter.samples, 1);
                if live {
                    self.meter
                        .bus
                        .record(Duration::try_from_secs_f64(received - sample.sent).unwrap_or_default());
                }
                take(&sample, live);
            }
            Ok(None) => {}
            Err(reason) => {
                self.meter.decode_errors.fetch_add(1, Ordering::Relaxed);
                if topic.decoder.count_error() {
                    let errors = topic.decoder.errors();
                    tracing::warn!(
                        topic = %record.topic, offset = record.offset,
                        "record {} of {} cannot be decoded and is skipped ({errors} so far): {reason}", record.offset, record.topic
                    );
                }
            }
        }
    }

    fn assigned(&mut self, topic: &Arc<str>, partition: i32, high: i64, start: i64) {
        let noted = self
            .by_name
            .get(topic)
            .and_then(|i| self.topics[*i].noted.as_ref())
            .and_then(|n| n.get(&partition))
            .copied();
        let Some(state) = self.partition(topic, partition) else { return };
        if state.known {
            return;
        }
        // A noted position beyond the end belongs to a topic that was made anew: all of it is new.
        let live_from = match noted {
            Some(offset) if offset <= high => offset,
            Some(_) => start,
            None => high,
        };
        *state = Partition { next: start, live_from, caught_up: false, known: true };
    }

    fn partition(&mut self, topic: &Arc<str>, partition: i32) -> Option<&mut Partition> {
        let topic = &mut self.topics[*self.by_name.get(topic)?];
        let slot = usize::try_from(partition).ok()?;
        if topic.partitions.len() <= slot {
            topic.partitions.resize(slot + 1, Partition::default());
        }
        Some(&mut topic.partitions[slot])
    }

    /// True once the past of every topic has been read.
    pub fn caught_up(&self) -> bool {
        self.topics.iter().all(|t| !t.partitions.is_empty() && t.partitions.iter().all(|p| p.caught_up))
    }

    /// Where it stands. A partition of which only history has been read so far stands where its history ends.
    pub fn positions(&self) -> Positions {
        let next = self.topics.iter().map(|topic| {
            let known = topic.partitions.iter().enumerate().filter(|(_, p)| p.known);
            let offsets =
                known.map(|(n, p)| (i32::try_from(n).expect("partitions are few"), p.next.max(p.live_from)));
            (topic.name.to_string(), offsets.collect())
        });
        Positions { at: self.clock.now(), next: next.collect() }
    }

    /// Leaves the bus.
    pub async fn close(&mut self) {
        if let Some(mut reader) = self.reader.take() {
            reader.close().await;
        }
    }
}
