//! Topics, partitions and records of the in-memory bus; pure state.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::transport::Record;

/// One kept record with its place in the order of all writes to the bus.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) sequence: u64,
    pub(super) record: Record,
}

/// One partition: records in ascending offset, `[low, high)` is its range; offsets without a record are gaps.
#[derive(Debug, Default)]
pub(super) struct Partition {
    pub(super) entries: VecDeque<Entry>,
    pub(super) low: i64,
    pub(super) high: i64,
}

impl Partition {
    /// The first record at or after an offset.
    pub(super) fn at(&self, offset: i64) -> Option<&Entry> {
        self.entries.get(self.entries.partition_point(|e| e.record.offset < offset))
    }

    /// The offset of the first record whose timestamp is not older.
    pub(super) fn by_time(&self, ms: i64) -> Option<i64> {
        self.entries.iter().find(|e| e.record.timestamp_ms.is_some_and(|t| t >= ms)).map(|e| e.record.offset)
    }

    /// Removes the oldest records until at most `keep` are left.
    pub(super) fn retain(&mut self, keep: usize) {
        while self.entries.len() > keep {
            self.entries.pop_front();
            self.low = self.entries.front().map_or(self.high, |e| e.record.offset);
        }
    }

    /// Removes all records before an offset.
    pub(super) fn expire(&mut self, before: i64) {
        self.low = before.clamp(self.low, self.high);
        while self.entries.front().is_some_and(|e| e.record.offset < self.low) {
            self.entries.pop_front();
        }
    }

    /// Keeps the newest record of each key; tombstones go too. Offsets and watermarks stay.
    pub(super) fn compact(&mut self) {
        let mut seen: BTreeSet<Option<Vec<u8>>> = BTreeSet::new();
        let mut kept = VecDeque::new();
        while let Some(entry) = self.entries.pop_back() {
            if seen.insert(entry.record.key.clone()) && entry.record.value.is_some() {
                kept.push_front(entry);
            }
        }
        self.entries = kept;
    }
}

/// One topic.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    pub(super) compacted: bool,
    pub(super) partitions: Vec<Partition>,
    round_robin: usize,
}

impl Topic {
    pub(super) fn new(name: &str, compacted: bool, partitions: usize) -> Topic {
        let mut topic = Topic { name: name.into(), compacted, partitions: Vec::new(), round_robin: 0 };
        topic.partitions.resize_with(partitions.max(1), Partition::default);
        topic
    }

    /// The partition for a key: by its bytes; in turn for an empty or absent one.
    pub(super) fn partition_of(&mut self, key: Option<&[u8]>) -> usize {
        let count = self.partitions.len();
        match key {
            Some(key) if !key.is_empty() => {
                let sum = key.iter().fold(0_usize, |a, b| a.wrapping_mul(31).wrapping_add(usize::from(*b)));
                sum % count
            }
            _ => {
                self.round_robin = self.round_robin.wrapping_add(1);
                self.round_robin % count
            }
        }
    }
}

/// All topics.
#[derive(Debug, Default)]
pub(super) struct Logs {
    pub(super) topics: BTreeMap<String, Topic>,
    sequence: u64,
}

impl Logs {
    /// Appends a record (`None` as the value is a tombstone) and returns its offset.
    pub(super) fn append(
        &mut self,
        topic: &str,
        partition: usize,
        record: (Option<Vec<u8>>, Option<Vec<u8>>, i64),
        keep: usize,
    ) -> Option<i64> {
        let topic = self.topics.get_mut(topic)?;
        let log = topic.partitions.get_mut(partition)?;
        self.sequence += 1;
        let (key, value, timestamp_ms) = record;
        let offset = log.high;
        log.entries.push_back(Entry {
            sequence: self.sequence,
            record: Record {
                topic: Arc::clone(&topic.name),
                partition: partition as i32,
                offset,
                timestamp_ms: Some(timestamp_ms),
                key,
                value,
            },
        });
        log.high += 1;
        log.retain(keep);
        Some(offset)
    }

    /// One partition.
    pub(super) fn partition(&self, topic: &str, partition: i32) -> Option<&Partition> {
        self.topics.get(topic)?.partitions.get(usize::try_from(partition).ok()?)
    }
}
