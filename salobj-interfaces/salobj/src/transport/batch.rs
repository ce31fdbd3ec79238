//! What a reader brings at once: records whose keys and values lie in one buffer, which is used again for the next batch.

use std::collections::VecDeque;
use std::ops::Range;

use super::{ReadEvent, Record};

/// Most events of a batch, and bytes of keys and values after which it is full.
pub(super) const MAX_EVENTS: usize = 512;
pub(super) const MAX_BYTES: usize = 1 << 20;

/// Records and what else there is to know, in the order in which it came. Taken out one by one with [`Batch::pop`].
#[derive(Debug, Default)]
pub struct Batch {
    entries: VecDeque<Entry>,
    bytes: Vec<u8>,
}

#[derive(Debug)]
enum Entry {
    Record(Place),
    Other(ReadEvent),
}

/// Where a record's bytes lie.
#[derive(Debug)]
struct Place {
    topic: u32,
    partition: i32,
    offset: i64,
    timestamp_ms: Option<i64>,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
}

/// A record of a [`Batch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordRef<'a> {
    /// Position of its topic among the different topics that the reader was made for.
    pub topic: usize,
    /// Partition.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
    /// Timestamp of the record, UTC unix milliseconds, if known.
    pub timestamp_ms: Option<i64>,
    /// Message key.
    pub key: Option<&'a [u8]>,
    /// Value: Confluent frame and Avro body. `None` is a tombstone.
    pub value: Option<&'a [u8]>,
}

impl RecordRef<'_> {
    /// A copy that stands alone; `topic` is the name of its topic.
    pub fn to_record(&self, topic: std::sync::Arc<str>) -> Record {
        Record {
            topic,
            partition: self.partition,
            offset: self.offset,
            timestamp_ms: self.timestamp_ms,
            key: self.key.map(<[u8]>::to_vec),
            value: self.value.map(<[u8]>::to_vec),
        }
    }
}

/// One thing of a [`Batch`].
#[derive(Debug)]
pub enum BatchItem<'a> {
    /// A record.
    Record(RecordRef<'a>),
    /// Anything else; never a record.
    Event(ReadEvent),
}

impl Record {
    /// The record as one of a [`Batch`]; `topic` is the position of its topic.
    pub fn view(&self, topic: usize) -> RecordRef<'_> {
        RecordRef {
            topic,
            partition: self.partition,
            offset: self.offset,
            timestamp_ms: self.timestamp_ms,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
        }
    }
}

impl Batch {
    /// How many records and events it still has.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True if nothing is left in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets everything; the memory is kept for the next, unless a large record made it large.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes.clear();
        if self.bytes.capacity() > 2 * MAX_BYTES {
            self.bytes = Vec::new();
        }
    }

    /// Drops what comes after the next `count`.
    pub fn truncate(&mut self, count: usize) {
        self.entries.truncate(count);
    }

    /// True if no more should be put in. What does not fit into the bytes still goes in: a record may be of any size.
    pub fn is_full(&self) -> bool {
        self.entries.len() >= MAX_EVENTS || self.bytes.len() >= MAX_BYTES
    }

    /// Adds a record: its bytes are copied.
    pub fn push_record(&mut self, record: RecordRef<'_>) {
        let mut place = |bytes: &[u8]| {
            let start = self.bytes.len();
            self.bytes.extend_from_slice(bytes);
            start..self.bytes.len()
        };
        let (key, value) = (record.key.map(&mut place), record.value.map(&mut place));
        self.entries.push_back(Entry::Record(Place {
            topic: u32::try_from(record.topic).unwrap_or(u32::MAX),
            partition: record.partition,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            key,
            value,
        }));
    }

    /// Adds what is not a record; `topic` is the position of a record's topic.
    pub fn push(&mut self, event: ReadEvent, topic: impl FnOnce(&str) -> usize) {
        match event {
            ReadEvent::Record(record) => self.push_record(record.view(topic(&record.topic))),
            other => self.entries.push_back(Entry::Other(other)),
        }
    }

    /// Takes the next one out; `None` if nothing is left.
    #[inline]
    pub fn pop(&mut self) -> Option<BatchItem<'_>> {
        match self.entries.pop_front()? {
            Entry::Other(event) => Some(BatchItem::Event(event)),
            Entry::Record(place) => {
                let bytes = |range: Option<Range<usize>>| range.and_then(|range| self.bytes.get(range));
                Some(BatchItem::Record(RecordRef {
                    topic: place.topic as usize,
                    partition: place.partition,
                    offset: place.offset,
                    timestamp_ms: place.timestamp_ms,
                    key: bytes(place.key),
                    value: bytes(place.value),
                }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::TransportError;

    fn record<'a>(offset: i64, key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> RecordRef<'a> {
        RecordRef { topic: 3, partition: 1, offset, timestamp_ms: Some(7), key, value }
    }

    #[test]
    fn what_goes_in_comes_out_in_order() {
        let trouble = || ReadEvent::Trouble(TransportError::unavailable("read", "away"));
        let all = [
            record(0, Some(b"k"), Some(b"value")),
            record(1, Some(b""), None),
            record(2, None, Some(b"")),
            record(5, None, Some(b"x")),
        ];
        let mut batch = Batch::default();
        for round in 0..2 {
            batch.clear();
            all.iter().for_each(|r| batch.push_record(*r));
            batch.push(trouble(), |_| 0);
            batch.push(ReadEvent::Record(all[0].to_record("t".into())), |name| name.len() + 2);
            batch.push_record(record(9, None, None));
            batch.truncate(6);
            assert_eq!(batch.len(), 6, "round {round}");
            for wanted in &all {
                assert!(matches!(batch.pop(), Some(BatchItem::Record(r)) if r == *wanted));
            }
            assert!(matches!(batch.pop(), Some(BatchItem::Event(e)) if e == trouble()));
            assert!(matches!(batch.pop(), Some(BatchItem::Record(r)) if r == all[0]));
            assert!(batch.pop().is_none() && batch.is_empty());
        }
    }

    #[test]
    fn it_is_full_by_number_and_by_bytes() {
        let mut batch = Batch::default();
        (0..MAX_EVENTS as i64 - 1).for_each(|n| batch.push_record(record(n, None, Some(b"x"))));
        assert!(!batch.is_full());
        batch.push_record(record(0, None, None));
        assert!(batch.is_full());
        batch.clear();
        let large = vec![0; 3 * MAX_BYTES];
        batch.push_record(record(0, None, Some(&large)));
        assert!(batch.is_full());
        batch.clear();
        assert!(batch.bytes.capacity() <= 2 * MAX_BYTES && !batch.is_full());
    }
}
