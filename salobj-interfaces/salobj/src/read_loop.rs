//! The read loop of one open component: decode, history, order, index, deliver.
//!
//! ```text
//!   for each topic:   in history ──(every assigned partition has caught up)──► live
//! ```
//! In history, only the newest record of each instance is kept, and delivered when the topic goes live. A topic that
//! wants no history is live from the start. The component is started when every topic was assigned and is live.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::domain::Domain;
use crate::sal_info::ReadPlan;
use crate::sample::Sample;
use crate::topics::{DecodeError, Decoder};
use crate::transport::{ReadEvent, Reader, Record};

/// First pause before the registry is asked again for an unknown schema; doubled each time.
const REGISTRY_PAUSE: Duration = Duration::from_millis(100);
/// Attempts to get an unknown schema before the record is given up: about a minute.
const REGISTRY_ATTEMPTS: u32 = 10;
/// Of the records of one topic that cannot be decoded the first is told, then every tenth.
const TELL_EVERY: u64 = 10;

/// One topic being read.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) kafka_topic: String,
    decoder: Decoder,
    plan: ReadPlan,
    assigned: bool,
    /// Partitions that have not yet caught up, with the high watermark seen at assignment.
    behind: HashMap<i32, i64>,
    seen: HashSet<i32>,
    /// Newest record of each instance, in the order in which the instances appeared.
    history: Vec<(i64, Sample)>,
    in_history: bool,
    last_stamp: HashMap<i64, f64>,
    undecodable: u64,
}

impl Reading {
    pub(crate) fn new(kafka_topic: String, decoder: Decoder, plan: ReadPlan) -> Reading {
        Reading {
            kafka_topic,
            decoder,
            in_history: plan.history,
            plan,
            assigned: false,
            behind: HashMap::new(),
            seen: HashSet::new(),
            history: Vec::new(),
            last_stamp: HashMap::new(),
            undecodable: 0,
        }
    }

    pub(crate) fn wants_history(&self) -> bool {
        self.plan.history
    }

    fn is_started(&self) -> bool {
        self.assigned && !self.in_history
    }

    fn assign(&mut self, partition: i32, high: i64, start: i64) {
        self.assigned = true;
        // A partition that is assigned again (rebalance) goes on where it was: no second history.
        if self.in_history && self.seen.insert(partition) && start < high {
            self.behind.insert(partition, high);
        }
        self.go_live_if_caught_up();
    }

    fn caught_up(&mut self, partition: i32) {
        self.behind.remove(&partition);
        self.go_live_if_caught_up();
    }

    fn go_live_if_caught_up(&mut self) {
        if self.in_history && self.behind.is_empty() {
            self.in_history = false;
            for (_, sample) in std::mem::take(&mut self.history) {
                self.plan.sink.deliver(sample);
            }
        }
    }

    /// What is done with a decoded sample, given the index that is wanted (0: all).
    fn take(&mut self, sample: Sample, index: i64, partition: i32) {
        if self.behind.get(&partition).is_some_and(|high| sample.offset >= *high) {
            self.caught_up(partition);
        }
        let sal_index = sample.sal_index();
        let sent = sample.sent().0;
        let last = self.last_stamp.get(&sal_index).filter(|last| sent < **last);
        if let Some(last) = last
            && self.plan.in_order
            && !self.in_history
        {
            let late_ms = (last - sent) * 1000.0;
            tracing::warn!(
                topic = %self.plan.topic.sal_name,
                "Ignoring old topic sample. Topic sent {late_ms:.2}ms before last sample of {}:{sal_index}.",
                self.kafka_topic
            );
            return;
        }
        self.last_stamp.insert(sal_index, sent);
        if index != 0 && sal_index != index {
            return;
        }
        if !self.in_history {
            self.plan.sink.deliver(sample);
        } else if let Some((_, kept)) = self.history.iter_mut().find(|(i, _)| *i == sal_index) {
            *kept = sample;
        } else {
            self.history.push((sal_index, sample));
        }
    }
}

/// Reads all topics of one open component until cancelled.
pub(crate) struct ReadLoop {
    name_index: String,
    index: i32,
    domain: Domain,
    topics: HashMap<String, Reading>,
    ready: Option<oneshot::Sender<()>>,
}

impl ReadLoop {
    /// `ready` is told once, when all history has been read.
    pub(crate) fn new(
        name_index: String,
        index: i32,
        domain: Domain,
        readings: Vec<Reading>,
        ready: oneshot::Sender<()>,
    ) -> ReadLoop {
        let topics = readings.into_iter().map(|r| (r.kafka_topic.clone(), r)).collect();
        ReadLoop { name_index, index, domain, topics, ready: Some(ready) }
    }

    pub(crate) async fn run(mut self, mut reader: Box<dyn Reader>, cancel: CancellationToken) {
        loop {
            let event = tokio::select! {
                () = cancel.cancelled() => break,
                event = reader.next() => event,
            };
            match event {
                ReadEvent::Assigned { topic, partition, high, start, .. } => {
                    if let Some(reading) = self.topics.get_mut(&*topic) {
                        reading.assign(partition, high, start);
                    }
                }
                ReadEvent::CaughtUp { topic, partition } => {
                    if let Some(reading) = self.topics.get_mut(&*topic) {
                        reading.caught_up(partition);
                    }
                }
                ReadEvent::Record(record) => {
                    tokio::select! {
                        () = cancel.cancelled() => break,
                        () = self.record(record) => {}
                    }
                    // A burst must not fill the queues before those who empty them get a turn.
                    tokio::task::yield_now().await;
                }
                ReadEvent::Trouble(e) => {
                    tracing::warn!(component = %self.name_index, "reading {}: {e}", self.name_index);
                }
            }
            if self.ready.is_some() && self.topics.values().all(Reading::is_started) {
                // Nobody listens any more if the start was given up.
                if let Some(ready) = self.ready.take() {
                    ready.send(()).unwrap_or_default();
                }
            }
        }
        for reading in self.topics.values() {
            reading.plan.sink.close();
        }
        reader.close().await;
    }

    async fn record(&mut self, record: Record) {
        let Some(reading) = self.topics.get_mut(&*record.topic) else { return };
        let transport = self.domain.transport().clone();
        let mut pause = REGISTRY_PAUSE;
        for attempt in 1..=REGISTRY_ATTEMPTS {
            match reading.decoder.decode(transport.as_ref(), &record, self.domain.clock().now()).await {
                Ok(sample) => {
                    reading.take(sample, self.index.into(), record.partition);
                    return;
                }
                Err(DecodeError::Registry(e)) if attempt < REGISTRY_ATTEMPTS => {
                    tracing::warn!(topic = %reading.kafka_topic, "schema not available, will ask again: {e}");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                Err(e) => {
                    reading.undecodable += 1;
                    if reading.undecodable % TELL_EVERY == 1 {
                        tracing::error!(
                            topic = %reading.kafka_topic, offset = record.offset, count = reading.undecodable,
                            "record of {} at offset {} skipped: {e}", reading.kafka_topic, record.offset
                        );
                    }
                    return;
                }
            }
        }
    }
}
