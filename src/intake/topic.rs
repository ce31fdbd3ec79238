//! One topic that is read: its decoder, where its partitions stand, and the records that wait for their schema.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use salobj::transport::Record;

use super::decode::Decoder;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    pub(super) decoder: Decoder,
    /// The instances wanted; `None` is all of them.
    pub(super) indices: Option<Vec<i64>>,
    /// Records that wait for their schema, oldest first; while there are any, later ones wait behind them.
    pub(super) held: VecDeque<Record>,
    partitions: BTreeMap<i32, Partition>,
    /// Where an earlier reader, or an earlier process, stood.
    noted: Option<BTreeMap<i32, i64>>,
}

#[derive(Debug, Clone, Copy)]
struct Partition {
    /// Next offset.
    next: i64,
    /// Records below are history.
    live_from: i64,
    caught_up: bool,
}

impl Topic {
    pub(super) fn new(
        name: Arc<str>,
        decoder: Decoder,
        indices: Option<Vec<i64>>,
        noted: Option<BTreeMap<i32, i64>>,
    ) -> Self {
        Self { name, decoder, indices, held: VecDeque::new(), partitions: BTreeMap::new(), noted }
    }

    /// A partition is ours, is read from `start`, and ends at `high`. A second time (a rebalance) changes nothing.
    pub(super) fn assigned(&mut self, partition: i32, high: i64, start: i64) {
        // A noted position beyond the end belongs to a topic that was made anew: all of it is new. So is all of a
        // partition that the others had no position of yet.
        let live_from = match self.noted.as_ref().map(|n| n.get(&partition).copied()) {
            Some(Some(offset)) if offset <= high => offset,
            Some(_) => start,
            None => high,
        };
        let new = Partition { next: start, live_from, caught_up: false };
        self.partitions.entry(partition).or_insert(new);
    }

    /// The history of a partition has been read.
    pub(super) fn caught_up_in(&mut self, partition: i32) {
        if let Some(p) = self.partitions.get_mut(&partition) {
            p.caught_up = true;
        }
    }

    /// Notes that a record was given to the core; true if it is live.
    pub(super) fn passed(&mut self, record: &Record) -> bool {
        let new = Partition { next: 0, live_from: record.offset, caught_up: false };
        let partition = self.partitions.entry(record.partition).or_insert(new);
        partition.next = record.offset + 1;
        record.offset >= partition.live_from
    }

    /// True once all of the past has been read and given to the core.
    pub(super) fn caught_up(&self) -> bool {
        self.held.is_empty() && !self.partitions.is_empty() && self.partitions.values().all(|p| p.caught_up)
    }

    /// Next offset of each partition. A partition of which only history has been read so far stands where its history
    /// ends; one that is not assigned yet where it was noted.
    pub(super) fn positions(&self) -> BTreeMap<i32, i64> {
        let mut all = self.noted.clone().unwrap_or_default();
        all.extend(self.partitions.iter().map(|(n, p)| (*n, p.next.max(p.live_from))));
        all
    }

    /// Next offset to read of each partition that is assigned, for the lag.
    pub(super) fn reading(&self) -> impl Iterator<Item = (i32, i64)> + '_ {
        self.partitions.iter().map(|(n, p)| (*n, p.next))
    }
}
