//! One topic that is read: its decoder, where its partitions stand, and the records that wait for their schema.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use salobj::transport::{Record, RecordRef};

use super::decode::Decoder;
use super::recent::Kept;
use crate::rules::TopicId;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    pub(super) decoder: Decoder,
    /// What the rules take of it: its id and its cells; `None` for a topic that only analyses read.
    pub(super) for_rules: Option<(TopicId, usize)>,
    /// The instances that the rules want, in order; `None` is all of them.
    pub(super) indices: Option<Vec<i64>>,
    /// What is kept of it for analyses, and which cells that is.
    pub(super) kept: Option<(Kept, Vec<usize>)>,
    /// Records that wait for their schema, oldest first; while there are any, later ones wait behind them.
    held: VecDeque<Record>,
    held_bytes: usize,
    partitions: BTreeMap<i32, Partition>,
    before: Before,
}

/// Where an earlier reader, or an earlier process, stood in each partition; `None`: there was none.
pub(super) type Before = Option<BTreeMap<i32, Stood>>;

/// Where somebody stood in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stood {
    /// Next offset to give to the core.
    pub(super) next: i64,
    /// Records below are history.
    pub(super) live_from: i64,
}

impl Stood {
    /// What the journal has of a position: all before it is history.
    pub(super) fn at(next: i64) -> Stood {
        Stood { next, live_from: next }
    }
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
    pub(super) fn new(name: Arc<str>, decoder: Decoder, before: Before) -> Self {
        Self {
            name,
            decoder,
            for_rules: None,
            indices: None,
            kept: None,
            held: VecDeque::new(),
            held_bytes: 0,
            partitions: BTreeMap::new(),
            before,
        }
    }

    /// A partition is ours, is read from `start`, and ends at `high`. A second time (a rebalance) changes nothing.
    pub(super) fn assigned(&mut self, partition: i32, low: i64, high: i64, start: i64) {
        if let Some((kept, _)) = &mut self.kept
            && start == low
            && low > 0
        {
            // Older records have expired: they may have been younger than the time from which is read.
            kept.expired();
        }
        // A noted position beyond the end belongs to a topic that was made anew: all of it is new. So is all of a
        // partition that the others had no position of yet.
        let live_from = match self.before.as_ref().map(|b| b.get(&partition).map(|stood| stood.live_from)) {
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

    /// Puts a record with those that wait.
    pub(super) fn hold(&mut self, record: &RecordRef<'_>) {
        let record = RecordRef { key: None, ..*record }.to_record(Arc::clone(&self.name));
        self.held_bytes += size(&record);
        self.held.push_back(record);
    }

    /// Takes the oldest of those that wait, if `ready` says so of it.
    pub(super) fn take_held(&mut self, ready: impl FnOnce(&mut Decoder, &Record) -> bool) -> Option<Record> {
        let record = self.held.pop_front()?;
        if ready(&mut self.decoder, &record) {
            self.held_bytes -= size(&record);
            return Some(record);
        }
        self.held.push_front(record);
        None
    }

    /// How many records wait, and their bytes.
    pub(super) fn held(&self) -> (usize, usize) {
        (self.held.len(), self.held_bytes)
    }

    /// Notes that a record was given to the core; true if it is live.
    pub(super) fn passed(&mut self, record: &RecordRef<'_>) -> bool {
        let new = Partition { next: 0, live_from: record.offset, caught_up: false };
        let partition = self.partitions.entry(record.partition).or_insert(new);
        partition.next = record.offset + 1;
        record.offset >= partition.live_from
    }

    /// True once all of the past has been read and given to the core.
    pub(super) fn caught_up(&self) -> bool {
        self.held.is_empty() && !self.partitions.is_empty() && self.partitions.values().all(|p| p.caught_up)
    }

    /// Where it stands, for a reader that goes on; that of before where nothing is assigned yet.
    pub(super) fn stand(&self) -> Before {
        if self.partitions.is_empty() {
            return self.before.clone();
        }
        let mut all = self.before.clone().unwrap_or_default();
        let here = |p: &Partition| Stood { next: p.next, live_from: p.live_from };
        all.extend(self.partitions.iter().map(|(n, p)| (*n, here(p))));
        Some(all)
    }

    /// True once it is being read.
    pub(super) fn is_assigned(&self) -> bool {
        !self.partitions.is_empty()
    }

    /// Next offset of each partition. A partition of which only history has been read so far stands where its history
    /// ends; one that is not assigned yet where it was noted.
    pub(super) fn positions(&self) -> BTreeMap<i32, i64> {
        let stand = self.stand().unwrap_or_default();
        stand.into_iter().map(|(n, stood)| (n, stood.next.max(stood.live_from))).collect()
    }

    /// Next offset to read of each partition that is assigned, for the lag.
    pub(super) fn reading(&self) -> impl Iterator<Item = (i32, i64)> + '_ {
        self.partitions.iter().map(|(n, p)| (*n, p.next))
    }
}

fn size(record: &Record) -> usize {
    size_of::<Record>() + record.value.as_ref().map_or(0, Vec::len)
}
