//! The seam between SAL and the bus: [`Transport`] with two implementations, Kafka and in-memory.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

/// Why the bus refused or failed.
#[derive(Debug, Clone, thiserror::Error)]
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

/// A topic that has to exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Kafka topic name.
    pub name: String,
    /// `cleanup.policy=compact` (events).
    pub compacted: bool,
}

/// Where reading of one partition begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum StartAt {
    /// The oldest record that is kept.
    Beginning,
    /// Only what is written from now on (the high watermark seen at assignment); the beginning if the topic is empty.
    End,
    /// So many records before the end; then at most the beginning.
    Back(u64),
    /// A known offset; the beginning if it has expired.
    Offset(i64),
    /// The first record whose timestamp (UTC unix milliseconds) is not older.
    Time(i64),
}

/// One record as it came from the bus.
#[derive(Debug, Clone)]
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
#[derive(Debug, Clone)]
pub enum ReadEvent {
    /// A partition was assigned: reading begins at `start`; `[low, high)` was there at that moment.
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
    /// The position of a partition reached (or passed) the high watermark seen at assignment: its history has been
    /// read, also where the last offsets hold nothing (markers, compaction).
    CaughtUp {
        /// Kafka topic name.
        topic: Arc<str>,
        /// Partition.
        partition: i32,
    },
    /// The bus reports trouble; reading goes on by itself.
    Trouble(TransportError),
}

/// A way to write. Writes of one topic through one writer keep their order.
#[async_trait]
pub trait Writer: Send + Sync {
    /// Hands a record over and waits for the delivery report.
    async fn write(&self, topic: &str, key: Vec<u8>, value: Vec<u8>) -> Result<Delivery, TransportError>;
    /// Hands a record over; a failed delivery is only logged. Fails at once if the queue is full.
    fn send(&self, topic: &str, key: Vec<u8>, value: Vec<u8>) -> Result<(), TransportError>;
    /// Waits until everything handed over has been delivered.
    async fn flush(&self, limit: Duration) -> Result<(), TransportError>;
}

/// A way to read a fixed set of topics.
#[async_trait]
pub trait Reader: Send {
    /// The next thing to know; pends while there is none.
    async fn next(&mut self) -> ReadEvent;
    /// Pauses or resumes fetching (back-pressure).
    fn pause(&mut self, paused: bool);
    /// Leaves the bus and deletes the consumer group.
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
    /// Creates the topics that do not exist yet.
    async fn create_topics(&self, topics: &[TopicSpec]) -> Result<(), TransportError>;
    /// Registers a schema (Avro JSON text) under a subject; the id.
    async fn register_schema(&self, subject: &str, schema: &str) -> Result<u32, TransportError>;
    /// The schema of an id, from the cache or the registry.
    async fn schema_by_id(&self, id: u32) -> Result<Arc<str>, TransportError>;
    /// The newest schema of a subject: its id and text; `None` if the subject is unknown.
    async fn latest_schema(&self, subject: &str) -> Result<Option<(u32, Arc<str>)>, TransportError>;
    /// A new writer.
    fn writer(&self, kind: WriterKind) -> Result<Arc<dyn Writer>, TransportError>;
    /// A new reader of these topics, each from its start.
    async fn reader(
        &self,
        group: &str,
        topics: &[(String, StartAt)],
    ) -> Result<Box<dyn Reader>, TransportError>;
    /// Low and high watermark of a partition.
    async fn watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64), TransportError>;
}
