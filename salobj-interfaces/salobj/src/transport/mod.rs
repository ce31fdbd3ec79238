//! The seam between SAL and the bus: [`Transport`] with two implementations, [Kafka](kafka) and [in-memory](memory).
//!
//! ```text
//!  create_topics ─► register_schema ─► writer / reader
//!                                        reader: Assigned ─► Record ... ─► CaughtUp ─► Record ...   (per partition)
//! ```
//! Offsets count from 0 in each partition and may have gaps (compaction, expiry, transaction markers).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

mod batch;
pub mod kafka;
pub mod memory;

pub use batch::{Batch, BatchItem, RecordRef};

/// Why the bus refused or failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The broker or the registry did not answer, or not in time: trying again makes sense.
    #[error("{attempt}: {reason}")]
    Unavailable {
        /// What was attempted, with topic or URL.
        attempt: String,
        /// What was seen.
        reason: String,
    },
    /// The broker or the registry refused: trying again changes nothing.
    #[error("{attempt}: {reason}")]
    Refused {
        /// What was attempted, with topic or URL.
        attempt: String,
        /// What was answered.
        reason: String,
    },
}

impl TransportError {
    /// [`TransportError::Unavailable`] from anything that can be shown.
    pub fn unavailable(attempt: impl Into<String>, reason: impl ToString) -> TransportError {
        TransportError::Unavailable { attempt: attempt.into(), reason: reason.to_string() }
    }

    /// [`TransportError::Refused`] from anything that can be shown.
    pub fn refused(attempt: impl Into<String>, reason: impl ToString) -> TransportError {
        TransportError::Refused { attempt: attempt.into(), reason: reason.to_string() }
    }

    /// True if trying again makes sense.
    pub fn is_transient(&self) -> bool {
        matches!(self, TransportError::Unavailable { .. })
    }
}

/// A topic that has to exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Kafka topic name.
    pub name: String,
    /// `cleanup.policy=compact` (events).
    pub compacted: bool,
}

/// Where reading of a topic begins, in each of its partitions.
#[derive(Debug, Clone, PartialEq)]
pub enum StartAt {
    /// The oldest record that is kept.
    Beginning,
    /// Only what is written from now on (the high watermark seen at assignment); the beginning if the topic is empty.
    End,
    /// So many records before the end; then at most the beginning.
    Back(u64),
    /// A known offset; the beginning if it has expired, or if the topic is shorter (it was made anew).
    Offset(i64),
    /// The first record whose timestamp (UTC unix milliseconds) is not older; the end if all are older.
    Time(i64),
    /// The next offset of each partition, as noted by an earlier reader; a partition that is not named is read from
    /// its beginning (it was added since), and so is one whose offset has expired or lies beyond the end.
    Positions(BTreeMap<i32, i64>),
}

impl StartAt {
    /// True if the start needs a look-up by time.
    pub fn time(&self) -> Option<i64> {
        match self {
            StartAt::Time(ms) => Some(*ms),
            _ => None,
        }
    }

    /// First offset to read in a partition that holds `[low, high)`; `by_time` is the answer of the look-up for
    /// [`StartAt::Time`] (`None`: no record is that young).
    pub fn offset(&self, partition: i32, low: i64, high: i64, by_time: Option<i64>) -> i64 {
        let known = |offset: i64| if offset < low || offset > high { low } else { offset };
        match self {
            _ if high <= 0 => low,
            StartAt::Beginning => low,
            StartAt::End => high,
            StartAt::Back(n) => high.saturating_sub(i64::try_from(*n).unwrap_or(i64::MAX)).max(low),
            StartAt::Offset(offset) => known(*offset),
            StartAt::Time(_) => by_time.unwrap_or(high).clamp(low, high),
            StartAt::Positions(map) => map.get(&partition).map_or(low, |offset| known(*offset)),
        }
    }
}

/// One record as it came from the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Kafka topic name.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Timestamp of the record, UTC unix milliseconds, if known.
    pub timestamp_ms: Option<i64>,
    /// Message key.
    pub key: Option<Vec<u8>>,
    /// Value: Confluent frame and Avro body. `None` is a tombstone.
    pub value: Option<Vec<u8>>,
}

/// Where a record went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// What a reader is told.
#[derive(Debug, Clone, PartialEq)]
pub enum ReadEvent {
    /// A partition was assigned: reading begins at `start`; `[low, high)` was there at that moment. It may come again
    /// after a rebalance; `start` is then the kept position.
    Assigned {
        /// Kafka topic name.
        topic: Arc<str>,
        /// Partition.
        partition: i32,
        /// First offset kept.
        low: i64,
        /// One after the last offset.
        high: i64,
        /// First offset that will be read.
        start: i64,
    },
    /// A record.
    Record(Record),
    /// The position of a partition reached (or passed) the high watermark seen at its first assignment: its history
    /// has been read, also where the last offsets hold nothing (markers, compaction). Once for each partition.
    CaughtUp {
        /// Kafka topic name.
        topic: Arc<str>,
        /// Partition.
        partition: i32,
    },
    /// The bus reports trouble; reading goes on by itself.
    Trouble(TransportError),
}

/// A way to write. Writes of one topic through one writer keep their order: the place in the order is taken when the
/// call is made (`write`: at its first poll).
#[async_trait]
pub trait Writer: Send + Sync {
    /// Hands a record over and waits for the delivery report. Dropping the future does not take the record back.
    async fn write(&self, topic: &str, key: Vec<u8>, value: Vec<u8>) -> Result<Delivery, TransportError>;
    /// Hands a record over; a failed delivery is only logged and counted. Fails at once if the queue is full.
    fn send(&self, topic: &str, key: Vec<u8>, value: Vec<u8>) -> Result<(), TransportError>;
    /// Waits until everything handed over has been delivered.
    async fn flush(&self, limit: Duration) -> Result<(), TransportError>;
    /// Asks for the metadata of the topics, so that the first write does not have to wait for it. The topics for
    /// which that failed are returned; it is no error.
    async fn warm_up(&self, topics: &[String]) -> Vec<String>;
}

/// A way to read a fixed set of topics. Of topics that do not exist yet the partitions are assigned when they appear.
#[async_trait]
pub trait Reader: Send {
    /// The next thing to know; pends while there is none. Dropping the future loses nothing.
    async fn next(&mut self) -> ReadEvent;
    /// Waits for at least one event and puts it into `out` with others that are there without waiting: a bounded number
    /// and size. What was in `out` is forgotten, its memory used again. Dropping the future loses nothing.
    async fn next_batch(&mut self, out: &mut Batch);
    /// Pauses or resumes fetching (back-pressure). Events that are already here still come.
    fn pause(&mut self, paused: bool);
    /// Leaves the bus, deletes the consumer group and waits for both; dropping the reader does the same without waiting.
    /// Afterwards [`Reader::next`] pends for ever.
    async fn close(&mut self);
}

/// How a writer acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriterKind {
    /// As salobj: acks from the environment.
    Plain,
    /// Idempotent, `acks=all`, for commands that must not be lost or doubled.
    Durable,
}

/// The bus with its schema registry.
#[async_trait]
pub trait Transport: Send + Sync + std::fmt::Debug {
    /// Creates the topics that do not exist yet. Existing topics are never altered.
    async fn create_topics(&self, topics: &[TopicSpec]) -> Result<(), TransportError>;
    /// Names of all topics, sorted.
    async fn list_topics(&self) -> Result<Vec<String>, TransportError>;
    /// Registers a schema (Avro JSON text) under a subject; the id.
    async fn register_schema(&self, subject: &str, schema: &str) -> Result<u32, TransportError>;
    /// The schema of an id, from the cache or the registry.
    async fn schema_by_id(&self, id: u32) -> Result<Arc<str>, TransportError>;
    /// The newest schema of a subject: its id and text; `None` if the subject is unknown.
    async fn latest_schema(&self, subject: &str) -> Result<Option<(u32, Arc<str>)>, TransportError>;
    /// A new writer.
    fn writer(&self, kind: WriterKind) -> Result<Arc<dyn Writer>, TransportError>;
    /// A new reader of these topics, each from its start. It returns without waiting for an assignment.
    async fn reader(
        &self,
        group: &str,
        topics: &[(String, StartAt)],
    ) -> Result<Box<dyn Reader>, TransportError>;
    /// Low and high watermark of a partition.
    async fn watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64), TransportError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_offsets() {
        let at = |start: StartAt| start.offset(0, 10, 100, None);
        assert_eq!(at(StartAt::Beginning), 10);
        assert_eq!(at(StartAt::End), 100);
        assert_eq!(at(StartAt::Back(30)), 70);
        assert_eq!(at(StartAt::Back(u64::MAX)), 10);
        assert_eq!(at(StartAt::Offset(50)), 50);
        assert_eq!(at(StartAt::Offset(100)), 100);
        assert_eq!(at(StartAt::Offset(3)), 10, "expired");
        assert_eq!(at(StartAt::Offset(101)), 10, "topic made anew");
        assert_eq!(at(StartAt::Time(5)), 100, "all are older");
        assert_eq!(StartAt::Time(5).offset(0, 10, 100, Some(42)), 42);
        let positions = StartAt::Positions(BTreeMap::from([(1, 60)]));
        assert_eq!(positions.offset(1, 10, 100, None), 60);
        assert_eq!(positions.offset(0, 10, 100, None), 10);
        assert_eq!(StartAt::End.offset(0, 0, 0, None), 0);
    }
}
