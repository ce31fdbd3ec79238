//! A deterministic bus in this process: the same semantics as Kafka with a registry, without sockets or threads.
//!
//! Writes are visible at once, and a reader sees the records of all its topics in the order in which they were
//! written. Nothing here waits for real time, so it works with tokio's paused clock. [`MemoryControl`] lets a test make
//! it fail: refuse writes, go away, hold poison, lose or compact records.

mod log;
mod reader;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use self::log::{Logs, Topic};
use self::reader::MemoryReader;
use super::{Delivery, Reader, Record, StartAt, TopicSpec, Transport, TransportError, Writer, WriterKind};
use crate::registry::SchemaStore;
use crate::tai::Clock;

/// Records kept in a partition; older ones expire.
const KEEP: usize = 100_000;

/// The in-memory bus. Clones share it.
#[derive(Debug, Clone)]
pub struct MemoryTransport {
    bus: Arc<Bus>,
}

/// What a test does to the bus behind the users' backs.
#[derive(Debug, Clone)]
pub struct MemoryControl {
    bus: Arc<Bus>,
}

#[derive(Debug)]
struct Bus {
    clock: Clock,
    state: Mutex<State>,
    /// Counts changes; readers wait on it.
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    logs: Logs,
    schemas: SchemaStore,
    groups: BTreeSet<String>,
    keep: usize,
    stopped: bool,
    registry_stopped: bool,
    failing_writes: usize,
}

impl Bus {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic of another test thread while it held the lock leaves plain data: go on with it.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn wake(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    fn up(&self, attempt: impl FnOnce() -> String) -> Result<MutexGuard<'_, State>, TransportError> {
        let state = self.lock();
        if state.stopped {
            return Err(TransportError::unavailable(attempt(), "the in-memory bus is stopped"));
        }
        Ok(state)
    }

    fn registry(&self, attempt: impl FnOnce() -> String) -> Result<MutexGuard<'_, State>, TransportError> {
        let state = self.lock();
        if state.registry_stopped {
            return Err(TransportError::unavailable(attempt(), "the in-memory registry is stopped"));
        }
        Ok(state)
    }

    fn append(
        &self,
        topic: &str,
        key: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
    ) -> Result<Delivery, TransportError> {
        let attempt = || format!("write to {topic}");
        let timestamp = self.clock.now().utc_ms();
        let mut state = self.up(attempt)?;
        if state.failing_writes > 0 {
            state.failing_writes -= 1;
            return Err(TransportError::unavailable(attempt(), "made to fail"));
        }
        let keep = state.keep;
        let unknown = || TransportError::refused(attempt(), "unknown topic");
        let partition = state.logs.topics.get_mut(topic).ok_or_else(unknown)?.partition_of(key.as_deref());
        let offset =
            state.logs.append(topic, partition, (key, value, timestamp), keep).ok_or_else(unknown)?;
        drop(state);
        self.wake();
        Ok(Delivery { partition: partition as i32, offset })
    }
}

impl MemoryTransport {
    /// An empty bus whose record timestamps come from `clock`.
    pub fn new(clock: Clock) -> MemoryTransport {
        let state = State {
            logs: Logs::default(),
            schemas: SchemaStore::default(),
            groups: BTreeSet::new(),
            keep: KEEP,
            stopped: false,
            registry_stopped: false,
            failing_writes: 0,
        };
        MemoryTransport {
            bus: Arc::new(Bus { clock, state: Mutex::new(state), changed: watch::Sender::new(0) }),
        }
    }

    /// The handle by which a test interferes.
    pub fn control(&self) -> MemoryControl {
        MemoryControl { bus: Arc::clone(&self.bus) }
    }
}

#[async_trait]
impl Transport for MemoryTransport {
    async fn create_topics(&self, topics: &[TopicSpec]) -> Result<(), TransportError> {
        let mut state = self.bus.up(|| "create topics".to_owned())?;
        for spec in topics {
            let new = || Topic::new(&spec.name, spec.compacted, 1);
            state.logs.topics.entry(spec.name.clone()).or_insert_with(new);
        }
        drop(state);
        self.bus.wake();
        Ok(())
    }

    async fn list_topics(&self) -> Result<Vec<String>, TransportError> {
        Ok(self.bus.up(|| "list topics".to_owned())?.logs.topics.keys().cloned().collect())
    }

    async fn register_schema(&self, subject: &str, schema: &str) -> Result<u32, TransportError> {
        let attempt = || format!("register a schema for {subject}");
        let mut state = self.bus.registry(attempt)?;
        let version = state.schemas.register(subject, schema);
        version.map(|v| v.id).map_err(|e| TransportError::refused(attempt(), e))
    }

    async fn schema_by_id(&self, id: u32) -> Result<Arc<str>, TransportError> {
        let attempt = || format!("schema {id}");
        let schema = self.bus.registry(attempt)?.schemas.schema(id);
        schema.ok_or_else(|| TransportError::refused(attempt(), "no such schema"))
    }

    async fn latest_schema(&self, subject: &str) -> Result<Option<(u32, Arc<str>)>, TransportError> {
        let state = self.bus.registry(|| format!("newest schema of {subject}"))?;
        Ok(state.schemas.latest(subject).map(|v| (v.id, Arc::clone(&v.schema))))
    }

    fn writer(&self, _kind: WriterKind) -> Result<Arc<dyn Writer>, TransportError> {
        Ok(Arc::new(MemoryWriter { bus: Arc::clone(&self.bus) }))
    }

    async fn reader(
        &self,
        group: &str,
        topics: &[(String, StartAt)],
    ) -> Result<Box<dyn Reader>, TransportError> {
        self.bus.lock().groups.insert(group.to_owned());
        Ok(Box::new(MemoryReader::new(Arc::clone(&self.bus), group, topics)))
    }

    async fn watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64), TransportError> {
        let attempt = || format!("watermarks of {topic}[{partition}]");
        let state = self.bus.up(attempt)?;
        let log = state.logs.partition(topic, partition);
        log.map(|p| (p.low, p.high)).ok_or_else(|| TransportError::refused(attempt(), "unknown partition"))
    }
}

struct MemoryWriter {
    bus: Arc<Bus>,
}

#[async_trait]
impl Writer for MemoryWriter {
    async fn write(&self, topic: &str, key: Vec<u8>, value: Vec<u8>) -> Result<Delivery, TransportError> {
        self.bus.append(topic, Some(key), Some(value))
    }

    fn send(&self, topic: &str, key: Vec<u8>, value: Vec<u8>) -> Result<(), TransportError> {
        self.bus.append(topic, Some(key), Some(value)).map(|_| ())
    }

    async fn flush(&self, _limit: Duration) -> Result<(), TransportError> {
        self.bus.up(|| "flush".to_owned()).map(|_| ())
    }

    async fn warm_up(&self, topics: &[String]) -> Vec<String> {
        let state = self.bus.lock();
        let missing = |t: &&String| state.stopped || !state.logs.topics.contains_key(*t);
        topics.iter().filter(missing).cloned().collect()
    }
}

impl MemoryControl {
    /// Makes the next `count` writes fail as if the broker did not answer.
    pub fn fail_writes(&self, count: usize) {
        self.bus.lock().failing_writes = count;
    }

    /// Takes the broker away (`true`) or brings it back: writes fail, readers pend and are told once.
    pub fn set_stopped(&self, stopped: bool) {
        self.bus.lock().stopped = stopped;
        self.bus.wake();
    }

    /// Takes the schema registry away or brings it back.
    pub fn set_registry_stopped(&self, stopped: bool) {
        self.bus.lock().registry_stopped = stopped;
    }

    /// Appends any bytes to a partition: poison (`Some` nonsense) or a tombstone (`None`). `None` if there is no such
    /// partition.
    pub fn append(
        &self,
        topic: &str,
        partition: usize,
        key: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
    ) -> Option<i64> {
        let timestamp = self.bus.clock.now().utc_ms();
        let mut state = self.bus.lock();
        let keep = state.keep;
        let offset = state.logs.append(topic, partition, (key, value, timestamp), keep);
        drop(state);
        self.bus.wake();
        offset
    }

    /// Uses up an offset without a record, as a transaction marker does.
    pub fn marker(&self, topic: &str, partition: usize) {
        self.partition(topic, partition, |p| p.high += 1);
    }

    /// Compacts a topic: the newest record of each key stays, tombstones go.
    pub fn compact(&self, topic: &str) {
        let count = self.bus.lock().logs.topics.get(topic).map_or(0, |t| t.partitions.len());
        (0..count).for_each(|n| self.partition(topic, n, log::Partition::compact));
    }

    /// Lets all records before an offset expire.
    pub fn expire(&self, topic: &str, partition: usize, before: i64) {
        self.partition(topic, partition, |p| p.expire(before));
    }

    /// Deletes a topic with all its records.
    pub fn delete_topic(&self, topic: &str) {
        self.bus.lock().logs.topics.remove(topic);
        self.bus.wake();
    }

    /// Raises the number of partitions of a topic, creating it if need be.
    pub fn set_partitions(&self, topic: &str, count: usize) {
        let mut state = self.bus.lock();
        let entry =
            state.logs.topics.entry(topic.to_owned()).or_insert_with(|| Topic::new(topic, false, count));
        while entry.partitions.len() < count {
            entry.partitions.push(log::Partition::default());
        }
        drop(state);
        self.bus.wake();
    }

    /// How many records a partition keeps from now on.
    pub fn set_retention(&self, records: usize) {
        self.bus.lock().keep = records;
    }

    /// All records kept of a topic, by partition and offset.
    pub fn records(&self, topic: &str) -> Vec<Record> {
        let state = self.bus.lock();
        let partitions = state.logs.topics.get(topic).map_or(&[][..], |t| t.partitions.as_slice());
        partitions.iter().flat_map(|p| p.entries.iter().map(|e| e.record.clone())).collect()
    }

    /// Whether a topic exists and is compacted.
    pub fn is_compacted(&self, topic: &str) -> Option<bool> {
        self.bus.lock().logs.topics.get(topic).map(|t| t.compacted)
    }

    /// Consumer groups that have not been deleted.
    pub fn groups(&self) -> Vec<String> {
        self.bus.lock().groups.iter().cloned().collect()
    }

    /// Looks at, or changes, the schema store.
    pub fn with_schemas<R>(&self, f: impl FnOnce(&mut SchemaStore) -> R) -> R {
        f(&mut self.bus.lock().schemas)
    }

    fn partition(&self, topic: &str, partition: usize, f: impl FnOnce(&mut log::Partition)) {
        let mut state = self.bus.lock();
        if let Some(p) = state.logs.topics.get_mut(topic).and_then(|t| t.partitions.get_mut(partition)) {
            f(p);
        }
        drop(state);
        self.bus.wake();
    }
}

#[cfg(test)]
mod tests;
