//! The reading side of the in-memory bus.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::{Bus, State};
use crate::transport::{Batch, ReadEvent, Reader, StartAt, TransportError};

/// One assigned partition.
struct Position {
    topic: Arc<str>,
    partition: i32,
    next: i64,
    /// High watermark at assignment while history is being read.
    history_until: Option<i64>,
}

/// A reader; it takes what is there under the lock and otherwise waits for a change.
pub(super) struct MemoryReader {
    bus: Arc<Bus>,
    changes: watch::Receiver<u64>,
    group: String,
    wanted: Vec<(String, StartAt)>,
    positions: Vec<Position>,
    ready: VecDeque<ReadEvent>,
    paused: bool,
    told_stopped: bool,
    closed: bool,
}

impl MemoryReader {
    pub(super) fn new(bus: Arc<Bus>, group: &str, topics: &[(String, StartAt)]) -> MemoryReader {
        let mut wanted: Vec<(String, StartAt)> = Vec::new();
        for (topic, start) in topics {
            if !wanted.iter().any(|(known, _)| known == topic) {
                wanted.push((topic.clone(), start.clone()));
            }
        }
        MemoryReader {
            changes: bus.changed.subscribe(),
            bus,
            group: group.to_owned(),
            wanted,
            positions: Vec::new(),
            ready: VecDeque::new(),
            paused: false,
            told_stopped: false,
            closed: false,
        }
    }

    /// Assigns the partitions that appeared, and drops those of deleted topics.
    fn assign(&mut self, state: &State) {
        let topics = &state.logs.topics;
        self.positions.retain(|p| topics.get(&*p.topic).is_some_and(|t| Arc::ptr_eq(&t.name, &p.topic)));
        for (name, start) in &self.wanted {
            let Some(topic) = topics.get(name) else { continue };
            for (n, log) in topic.partitions.iter().enumerate() {
                let partition = n as i32;
                if self.positions.iter().any(|p| p.partition == partition && *p.topic == **name) {
                    continue;
                }
                let by_time = start.time().and_then(|ms| log.by_time(ms));
                let next = start.offset(partition, log.low, log.high, by_time);
                self.ready.push_back(ReadEvent::Assigned {
                    topic: Arc::clone(&topic.name),
                    partition,
                    low: log.low,
                    high: log.high,
                    start: next,
                });
                self.positions.push(Position {
                    topic: Arc::clone(&topic.name),
                    partition,
                    next,
                    history_until: Some(log.high),
                });
            }
        }
    }

    /// Tells which histories have ended: a position at or past the watermark, or nothing left before it.
    fn catch_up(&mut self, state: &State) {
        for p in &mut self.positions {
            let Some(until) = p.history_until else { continue };
            let rest = state.logs.partition(&p.topic, p.partition).and_then(|log| log.at(p.next));
            if p.next >= until || rest.is_none_or(|e| e.record.offset >= until) {
                p.history_until = None;
                let topic = Arc::clone(&p.topic);
                self.ready.push_back(ReadEvent::CaughtUp { topic, partition: p.partition });
            }
        }
    }

    /// The record that was written first among those next in their partitions.
    fn take_record(&mut self, state: &State) -> Option<ReadEvent> {
        let next = |p: &Position| {
            let log = state.logs.partition(&p.topic, p.partition)?;
            // A position that has expired goes on at the oldest record, as `auto.offset.reset=earliest` does.
            log.at(p.next)
        };
        let first = |p: &&mut Position| next(p).map_or(u64::MAX, |e| e.sequence);
        let position = self.positions.iter_mut().min_by_key(first)?;
        let record = next(position)?.record.clone();
        position.next = record.offset + 1;
        Some(ReadEvent::Record(record))
    }

    /// What can be told now.
    fn try_next(&mut self) -> Option<ReadEvent> {
        if let Some(event) = self.ready.pop_front() {
            return Some(event);
        }
        if self.closed {
            return None;
        }
        let bus = Arc::clone(&self.bus);
        let state = bus.lock();
        if state.stopped {
            let first = !std::mem::replace(&mut self.told_stopped, true);
            let trouble = || TransportError::unavailable("read", "the in-memory bus is stopped");
            return first.then(|| ReadEvent::Trouble(trouble()));
        }
        self.told_stopped = false;
        self.assign(&state);
        self.catch_up(&state);
        if let Some(event) = self.ready.pop_front() {
            return Some(event);
        }
        if self.paused {
            return None;
        }
        let event = self.take_record(&state);
        self.catch_up(&state);
        event
    }
}

#[async_trait]
impl Reader for MemoryReader {
    async fn next(&mut self) -> ReadEvent {
        loop {
            self.changes.mark_unchanged();
            if let Some(event) = self.try_next() {
                return event;
            }
            if self.changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    async fn next_batch(&mut self, out: &mut Batch) {
        let mut next = Some(self.next().await);
        out.clear();
        while let Some(event) = next {
            let place = |topic: &str| self.wanted.iter().position(|(name, _)| name == topic);
            out.push(event, |topic| place(topic).unwrap_or(usize::MAX));
            next = if out.is_full() { None } else { self.try_next() };
        }
    }

    fn pause(&mut self, paused: bool) {
        self.paused = paused;
        self.bus.wake();
    }

    async fn close(&mut self) {
        self.closed = true;
        self.ready.clear();
        self.bus.lock().groups.remove(&self.group);
    }
}

impl Drop for MemoryReader {
    fn drop(&mut self) {
        self.bus.lock().groups.remove(&self.group);
    }
}
