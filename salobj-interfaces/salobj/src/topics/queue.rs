//! The queue of one read topic: the newest sample ("current"), and a FIFO of at most 100 that drops its oldest.
//!
//! Filled by the read loop of its component, emptied by whoever reads. When it is full the oldest sample is lost; that is
//! counted, and told when somebody reads (thresholds of SAL: 10, 50, 90 and 100 of 100).

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::sample::Sample;

/// Samples that wait at most; then the oldest is dropped.
pub const QUEUE_LENGTH: usize = 100;

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<(u64, Sample)>,
    current: Option<Sample>,
    /// Number of the last delivered sample; the first is 1.
    delivered: u64,
    /// The sample taken last, so that others who waited for it get it too.
    taken: Option<(u64, Sample)>,
    dropped: u64,
    fill: FillWatch,
    closed: bool,
}

/// A read topic's queue, shared by the read loop and the readers.
#[derive(Debug, Default)]
pub(crate) struct SampleQueue {
    name: String,
    state: Mutex<State>,
    arrived: Notify,
}

impl SampleQueue {
    pub(crate) fn new(name: String) -> SampleQueue {
        SampleQueue { name, ..SampleQueue::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called by the read loop.
    pub(crate) fn push(&self, sample: Sample) {
        let mut s = self.lock();
        s.delivered += 1;
        let number = s.delivered;
        if s.queue.len() >= QUEUE_LENGTH {
            s.queue.pop_front();
            s.dropped += 1;
        }
        s.current = Some(sample.clone());
        s.queue.push_back((number, sample));
        drop(s);
        self.arrived.notify_waiters();
    }

    /// No sample will come any more: waiters are woken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_waiters();
    }

    pub(crate) fn current(&self) -> Option<Sample> {
        self.lock().current.clone()
    }

    pub(crate) fn flush(&self) {
        self.lock().queue.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().queue.len()
    }

    /// Samples lost because nobody read in time.
    pub(crate) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    pub(crate) fn pop(&self) -> Option<Sample> {
        let mut s = self.lock();
        let (number, sample) = s.queue.pop_front()?;
        s.taken = Some((number, sample.clone()));
        Some(sample)
    }

    /// Waits for the first sample ever; `None` once closed.
    pub(crate) async fn wait_current(&self) -> Option<Sample> {
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            {
                let s = self.lock();
                if s.current.is_some() || s.closed {
                    return s.current.clone();
                }
            }
            arrived.await;
        }
    }

    /// The oldest sample in the queue, else the next one that comes. All who wait for the same sample get it. Safe to
    /// cancel: a sample is taken only when it is returned. `None` once closed and empty.
    pub(crate) async fn next(&self) -> Option<Sample> {
        let mut waiting_for = None;
        loop {
            let arrived = self.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            {
                let mut s = self.lock();
                let fill = s.queue.len();
                if let Some(level) = s.fill.check(fill) {
                    self.tell(level, fill);
                }
                if let Some(wanted) = waiting_for
                    && let Some((number, sample)) = &s.taken
                    && *number == wanted
                {
                    return Some(sample.clone());
                }
                if let Some((number, sample)) = s.queue.pop_front() {
                    s.taken = Some((number, sample.clone()));
                    return Some(sample);
                }
                if s.closed {
                    return None;
                }
                waiting_for = Some(s.delivered + 1);
            }
            arrived.await;
        }
    }

    fn tell(&self, level: usize, fill: usize) {
        if level >= QUEUE_LENGTH {
            tracing::error!(topic = %self.name, "read queue of {} is full ({QUEUE_LENGTH} elements); data may be lost", self.name);
        } else {
            tracing::warn!(topic = %self.name, "read queue of {} is filling: {fill} of {QUEUE_LENGTH} elements", self.name);
        }
    }
}

/// Remembers which fill levels have been told; each arms again at half its value.
#[derive(Debug, Default)]
struct FillWatch {
    told: usize,
}

impl FillWatch {
    const LEVELS: [usize; 4] = [10, 50, 90, QUEUE_LENGTH];

    /// The level to tell about now, if any.
    fn check(&mut self, fill: usize) -> Option<usize> {
        while self.told > 0 && fill <= Self::LEVELS[self.told - 1] / 2 {
            self.told -= 1;
        }
        let reached = Self::LEVELS.iter().take_while(|level| fill >= **level).count();
        if reached > self.told {
            self.told = reached;
            return Some(Self::LEVELS[reached - 1]);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fill_levels_are_told_once_and_arm_again_at_half() {
        let mut w = FillWatch::default();
        assert_eq!(w.check(9), None);
        assert_eq!(w.check(10), Some(10));
        assert_eq!(w.check(30), None);
        assert_eq!(w.check(100), Some(100));
        assert_eq!(w.check(60), None);
        assert_eq!(w.check(100), None, "full was told and 60 is more than half");
        assert_eq!(w.check(50), None);
        assert_eq!(w.check(100), Some(100), "armed again at half");
        assert_eq!(w.check(5), None);
        assert_eq!(w.check(12), Some(10));
    }
}
