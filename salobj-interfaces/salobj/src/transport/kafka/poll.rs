//! The thread of a consumer: assignment, polling, back-pressure, the end of history.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::context::{Context, Rebalanced};
use super::partitions::Partitions;
use super::reader::Wishes;
use super::{Membership, offsets};
use crate::env::Properties;
use crate::transport::{Batch, ReadEvent, RecordRef, StartAt, TransportError};

/// Longest wait for a record; wishes are looked at that often.
const POLL: Duration = Duration::from_millis(50);
/// Pause after a look-up that failed.
const RETRY: Duration = Duration::from_secs(1);
/// How often the metadata are looked at for new partitions, by readers without a group: while a topic is missing,
/// and when all are there.
const REFRESH_MISSING: Duration = Duration::from_millis(500);
const REFRESH: Duration = Duration::from_secs(20);
const METADATA_LIMIT: Duration = Duration::from_secs(5);
/// How long a full channel is waited for before the partitions are paused.
const PATIENCE: Duration = Duration::from_secs(1);
/// Equal troubles are told at most that often.
const TROUBLE_EVERY: Duration = Duration::from_secs(5);
/// Time limit for finding out whether a partition has nothing left, and the shortest pause between two such probes.
const PROBE_LIMIT: Duration = Duration::from_secs(2);
const PROBE_PAUSE: Duration = Duration::from_millis(200);

/// How the loop gets its partitions.
pub(super) struct Settings {
    pub(super) membership: Membership,
    pub(super) time_lookup: bool,
    /// Configuration of a second consumer that looks whether a partition has nothing left.
    pub(super) probe: ClientConfig,
}

/// The channels to the caller and back.
pub(super) struct Batches {
    pub(super) full: mpsc::Sender<Batch>,
    pub(super) emptied: mpsc::Receiver<Batch>,
}

/// A consumer with what it reads.
pub(super) struct PollLoop {
    consumer: BaseConsumer<Context>,
    settings: Settings,
    wishes: Arc<Wishes>,
    batches: Batches,
    partitions: Partitions,
    /// Start times, where the broker cannot look them up: older records are skipped.
    skip_older: HashMap<String, i64>,
    /// The partitions that should be ours.
    ours: Vec<(String, i32)>,
    batch: Batch,
    paused: bool,
    next_refresh: Instant,
    next_look_up: Instant,
    next_probe: Instant,
    next_trouble: Instant,
}

/// The configuration of the consumer that looks for the end of a partition; it joins no group.
pub(super) fn probe_config(properties: &Properties) -> ClientConfig {
    let mut config = super::config(properties);
    let group = properties.get("group.id").map_or("probe", String::as_str);
    config.set("group.id", format!("{group}-probe"));
    config
}

impl PollLoop {
    pub(super) fn new(
        consumer: BaseConsumer<Context>,
        settings: Settings,
        topics: &[(String, StartAt)],
        wishes: Arc<Wishes>,
        batches: Batches,
    ) -> PollLoop {
        let now = Instant::now();
        let times = topics.iter().filter_map(|(t, s)| Some((t.clone(), s.time()?)));
        PollLoop {
            consumer,
            skip_older: if settings.time_lookup { HashMap::new() } else { times.collect() },
            settings,
            wishes,
            batches,
            partitions: Partitions::new(topics),
            ours: Vec::new(),
            batch: Batch::default(),
            paused: false,
            next_refresh: now,
            next_look_up: now,
            next_probe: now,
            next_trouble: now,
        }
    }

    /// The different topics, in the order in which they were asked for.
    pub(super) fn topics(&self) -> Vec<Arc<str>> {
        self.partitions.names().map(Arc::clone).collect()
    }

    /// Runs until the caller has gone.
    pub(super) fn run(mut self) {
        while !self.is_over() {
            self.follow_assignment();
            self.resolve();
            self.follow_pause();
            self.poll();
            self.tell_errors();
            self.probe();
            self.hand_over();
        }
    }

    fn is_over(&self) -> bool {
        self.wishes.closing.load(Ordering::Acquire) || self.batches.full.is_closed()
    }

    /// Which partitions are ours now: told by the group, or seen in the metadata.
    fn follow_assignment(&mut self) {
        let rebalanced = match self.settings.membership {
            Membership::Group => self.consumer.context().take_rebalance(),
            Membership::Assigned => {
                self.refresh().map(|partitions| Rebalanced { revoked: false, partitions })
            }
        };
        if let Some(Rebalanced { revoked, partitions }) = rebalanced {
            if revoked {
                self.partitions.set_assignment(&[]);
            }
            self.ours = partitions;
            self.partitions.set_assignment(&self.ours);
            self.next_look_up = Instant::now();
        }
    }

    /// The partitions of our topics in the metadata, when it is time to look; `None` if nothing is new.
    fn refresh(&mut self) -> Option<Vec<(String, i32)>> {
        if Instant::now() < self.next_refresh {
            return None;
        }
        let wanted: BTreeSet<&str> = self.partitions.names().map(|name| &**name).collect();
        let metadata = match self.consumer.fetch_metadata(None, METADATA_LIMIT) {
            Ok(metadata) => metadata,
            Err(error) => {
                self.next_refresh = Instant::now() + REFRESH_MISSING;
                self.trouble(TransportError::unavailable("list topics", error));
                return None;
            }
        };
        let mut seen = BTreeSet::new();
        let mut ours = Vec::new();
        for topic in metadata.topics().iter().filter(|t| wanted.contains(t.name())) {
            seen.insert(topic.name());
            ours.extend(topic.partitions().iter().map(|p| (topic.name().to_owned(), p.id())));
        }
        let pause = if seen.len() < wanted.len() { REFRESH_MISSING } else { REFRESH };
        self.next_refresh = Instant::now() + pause;
        // A topic that is gone for a moment keeps its partitions: the client library copes with that itself.
        ours.extend(self.ours.iter().filter(|o| !seen.contains(o.0.as_str())).cloned());
        ours.sort();
        (ours != self.ours).then_some(ours)
    }

    /// Finds out where the partitions start that are not assigned yet, and assigns all.
    fn resolve(&mut self) {
        if Instant::now() < self.next_look_up {
            return;
        }
        // A revocation leaves nothing to look up; the group has been told in the callback.
        let unresolved = self.partitions.unresolved(&self.ours);
        if unresolved.is_empty() {
            self.next_look_up = Instant::now() + RETRY;
            return;
        }
        self.next_look_up = Instant::now() + RETRY;
        match offsets::look_up(&self.consumer, &unresolved, self.settings.time_lookup) {
            Ok(found) if found.is_empty() => {}
            Ok(found) => {
                let mut told = Vec::new();
                for (partition, range) in found {
                    self.partitions.resolve(&partition, (range.low, range.high), range.by_time, &mut told);
                }
                if let Err(error) = self.assign() {
                    self.trouble(TransportError::unavailable("assign partitions", error));
                }
                told.into_iter().for_each(|event| self.tell(event));
            }
            Err(error) => self.trouble(TransportError::unavailable("look up offsets", error)),
        }
    }

    fn assign(&mut self) -> Result<(), KafkaError> {
        let list = self.assigned_list()?;
        self.consumer.assign(&list)?;
        self.paused = false;
        Ok(())
    }

    fn assigned_list(&self) -> Result<TopicPartitionList, KafkaError> {
        let mut list = TopicPartitionList::new();
        for (topic, partition, next) in self.partitions.assigned() {
            list.add_partition_offset(topic, partition, Offset::Offset(next))?;
        }
        Ok(list)
    }

    /// Pauses or resumes as the caller wishes.
    fn follow_pause(&mut self) {
        let wish = self.wishes.paused.load(Ordering::Acquire);
        self.set_paused(wish);
    }

    fn set_paused(&mut self, paused: bool) {
        if paused == self.paused {
            return;
        }
        let done = self.assigned_list().and_then(|list| match paused {
            true => self.consumer.pause(&list),
            false => self.consumer.resume(&list),
        });
        match done {
            Ok(()) => self.paused = paused,
            Err(error) => self.trouble(TransportError::unavailable("pause or resume", error)),
        }
    }

    /// Takes what has been fetched, up to a batch; waits a little if there is nothing.
    fn poll(&mut self) {
        while !self.batch.is_full() {
            let wait = if self.batch.is_empty() { POLL } else { Duration::ZERO };
            if !self.poll_once(wait) {
                return;
            }
        }
    }

    /// Takes one message or error; false if there was none.
    fn poll_once(&mut self, wait: Duration) -> bool {
        match self.consumer.poll(wait) {
            None => return false,
            Some(Ok(message)) => take(&mut self.partitions, &self.skip_older, &mut self.batch, &message),
            Some(Err(KafkaError::PartitionEOF(partition))) => self.partitions.end_reported(partition),
            Some(Err(error)) => match error.rdkafka_error_code() {
                // Told by the broker while a topic is not there yet; the client library keeps looking.
                Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {}
                _ => self.trouble(TransportError::unavailable("read", error)),
            },
        }
        true
    }

    fn tell_errors(&mut self) {
        for error in self.consumer.context().take_errors() {
            self.trouble(error);
        }
    }

    fn trouble(&mut self, error: TransportError) {
        let now = Instant::now();
        if now >= self.next_trouble {
            self.next_trouble = now + TROUBLE_EVERY;
            self.tell(ReadEvent::Trouble(error));
        }
    }

    fn tell(&mut self, event: ReadEvent) {
        // It is never a record: the topic's place is not asked for.
        self.batch.push(event, |_| usize::MAX);
    }

    /// Ends the history of a partition whose last offsets hold no record: after an end of partition was reported, a
    /// consumer of its own reads it from where we stand. If its first answer is the end, nothing is left.
    fn probe(&mut self) {
        if !self.batch.is_empty() || Instant::now() < self.next_probe {
            return;
        }
        let Some((topic, partition, next)) = self.partitions.suspect() else { return };
        let at_end = ends_at(&self.settings.probe, &topic, partition, next);
        self.next_probe = Instant::now() + PROBE_PAUSE;
        match at_end {
            Ok(at_end) => {
                if self.partitions.judge(&topic, partition, at_end) {
                    self.tell(ReadEvent::CaughtUp { topic, partition });
                }
            }
            Err(error) => {
                self.trouble(TransportError::unavailable(format!("look for the end of {topic}"), error))
            }
        }
    }

    /// Hands the batch to the caller. While the channel stays full the partitions are paused, but polling goes on: a
    /// group member that does not poll is thrown out.
    fn hand_over(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        let deadline = Instant::now() + PATIENCE;
        while !self.wishes.closing.load(Ordering::Acquire) {
            match self.batches.full.try_send(std::mem::take(&mut self.batch)) {
                Ok(()) => {
                    self.batch = self.batches.emptied.try_recv().unwrap_or_default();
                    return;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => return,
                Err(mpsc::error::TrySendError::Full(batch)) => self.batch = batch,
            }
            if Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            } else {
                // A rebalance in the meantime is seen to afterwards.
                self.set_paused(true);
                self.poll_once(POLL);
            }
        }
    }
}

/// Adds a message, and the end of history if it comes with it.
fn take(
    partitions: &mut Partitions,
    skip_older: &HashMap<String, i64>,
    batch: &mut Batch,
    message: &BorrowedMessage<'_>,
) {
    let (partition, offset) = (message.partition(), message.offset());
    let Some((topic, caught_up)) = partitions.record(message.topic(), partition, offset) else { return };
    let name = partitions.name(topic);
    let timestamp_ms = message.timestamp().to_millis();
    let old = !skip_older.is_empty()
        && skip_older.get(&**name).is_some_and(|start| timestamp_ms.is_some_and(|t| t < *start));
    if !old {
        let (key, value) = (message.key(), message.payload());
        batch.push_record(RecordRef { topic, partition, offset, timestamp_ms, key, value });
    }
    if caught_up {
        batch.push(ReadEvent::CaughtUp { topic: Arc::clone(name), partition }, |_| topic);
    }
}

/// Whether reading a partition from an offset meets its end before any record.
fn ends_at(config: &ClientConfig, topic: &str, partition: i32, offset: i64) -> Result<bool, KafkaError> {
    let consumer: BaseConsumer<Context> = config.create_with_context(Context::new("probe"))?;
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, Offset::Offset(offset))?;
    consumer.assign(&list)?;
    let deadline = Instant::now() + PROBE_LIMIT;
    while Instant::now() < deadline {
        match consumer.poll(POLL) {
            None => {}
            Some(Ok(_)) => return Ok(false),
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(true),
            Some(Err(error)) => return Err(error),
        }
    }
    Ok(false)
}
