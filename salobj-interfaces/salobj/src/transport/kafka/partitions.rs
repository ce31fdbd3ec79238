//! Where a reader stands in each partition; pure state.
//!
//! ```text
//!  wanted ──assignment──► unresolved ──watermarks──► assigned at `next` ──position ≥ high──► caught up
//!                              ▲                         │ rebalance: `next` is kept
//!                              └─────────────────────────┘
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::transport::{ReadEvent, StartAt};

/// One partition.
#[derive(Debug, Default)]
struct Partition {
    /// Next offset to read, once its start is known.
    next: Option<i64>,
    /// High watermark at first assignment, while history is being read.
    history_until: Option<i64>,
    assigned: bool,
    /// An end of a partition of this number was reported while this one was still in history.
    suspect: bool,
}

#[derive(Debug)]
struct Topic {
    name: Arc<str>,
    start: StartAt,
    partitions: BTreeMap<i32, Partition>,
}

/// All partitions of the topics of a reader.
#[derive(Debug)]
pub(super) struct Partitions {
    topics: Vec<Topic>,
    index: HashMap<Arc<str>, usize>,
    /// The topic of the newest record: the next is nearly always of the same.
    newest: usize,
}

/// A partition whose start has to be found out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Unresolved {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    /// Start time to look up (UTC unix milliseconds).
    pub(super) time: Option<i64>,
}

impl Partitions {
    pub(super) fn new(wanted: &[(String, StartAt)]) -> Partitions {
        let mut topics: Vec<Topic> = Vec::new();
        let mut index = HashMap::new();
        for (name, start) in wanted {
            let name: Arc<str> = name.as_str().into();
            if index.insert(Arc::clone(&name), topics.len()).is_none() {
                topics.push(Topic { name, start: start.clone(), partitions: BTreeMap::new() });
            } else {
                index.insert(
                    Arc::clone(&name),
                    topics.iter().position(|t| t.name == name).unwrap_or_default(),
                );
            }
        }
        Partitions { topics, index, newest: 0 }
    }

    /// The different topics, in the order in which they were asked for.
    pub(super) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.topics.iter().map(|t| &t.name)
    }

    /// The name of a topic of [`Partitions::record`].
    pub(super) fn name(&self, topic: usize) -> &Arc<str> {
        &self.topics[topic].name
    }

    /// Sets which partitions are ours; positions of those that come back are kept. True if anything changed.
    pub(super) fn set_assignment(&mut self, ours: &[(String, i32)]) -> bool {
        let mut changed = false;
        for topic in &mut self.topics {
            for (partition, state) in &mut topic.partitions {
                let still = ours.iter().any(|(t, p)| p == partition && **t == *topic.name);
                changed |= state.assigned && !still;
                state.assigned &= still;
            }
            topic.partitions.retain(|_, p| p.assigned || p.next.is_some());
        }
        for (name, partition) in ours {
            if let Some(topic) = self.index.get(name.as_str()).map(|i| &mut self.topics[*i]) {
                let state = topic.partitions.entry(*partition).or_default();
                changed |= !state.assigned;
            }
        }
        changed
    }

    /// Partitions that are to be assigned but are not yet.
    pub(super) fn unresolved(&self, ours: &[(String, i32)]) -> Vec<Unresolved> {
        let find = |(name, partition): &(String, i32)| {
            let topic = &self.topics[*self.index.get(name.as_str())?];
            let state = topic.partitions.get(partition)?;
            let time = if state.next.is_none() { topic.start.time() } else { None };
            (!state.assigned).then(|| Unresolved {
                topic: Arc::clone(&topic.name),
                partition: *partition,
                time,
            })
        };
        ours.iter().filter_map(find).collect()
    }

    /// Assigns a partition that holds `[low, high)`: at its start the first time, where it stood afterwards.
    pub(super) fn resolve(
        &mut self,
        unresolved: &Unresolved,
        (low, high): (i64, i64),
        by_time: Option<i64>,
        out: &mut Vec<ReadEvent>,
    ) {
        let Some(topic) = self.index.get(&unresolved.topic).map(|i| &mut self.topics[*i]) else { return };
        let state = topic.partitions.entry(unresolved.partition).or_default();
        let start = match state.next {
            Some(next) if next >= low && next <= high => next,
            Some(_) => low,
            None => {
                state.history_until = Some(high);
                topic.start.offset(unresolved.partition, low, high, by_time)
            }
        };
        state.next = Some(start);
        state.assigned = true;
        let (name, partition) = (Arc::clone(&topic.name), unresolved.partition);
        out.push(ReadEvent::Assigned { topic: Arc::clone(&name), partition, low, high, start });
        if state.history_until.is_some_and(|until| start >= until) {
            state.history_until = None;
            out.push(ReadEvent::CaughtUp { topic: name, partition });
        }
    }

    /// Topic, partition and next offset of all that are assigned.
    pub(super) fn assigned(&self) -> impl Iterator<Item = (&str, i32, i64)> {
        self.topics.iter().flat_map(|t| {
            let place = |(p, s): (&i32, &Partition)| Some((&*t.name, *p, s.next.filter(|_| s.assigned)?));
            t.partitions.iter().filter_map(place)
        })
    }

    /// Notes that a record was read: the topic's place, and whether its history has ended with it. `None` if the
    /// partition is not ours (around a rebalance). An offset that goes back is a topic that was made anew.
    pub(super) fn record(&mut self, topic: &str, partition: i32, offset: i64) -> Option<(usize, bool)> {
        if self.topics.get(self.newest).is_none_or(|newest| *newest.name != *topic) {
            self.newest = *self.index.get(topic)?;
        }
        let topic = &mut self.topics[self.newest];
        let state = topic.partitions.get_mut(&partition)?;
        if !state.assigned {
            return None;
        }
        state.next = Some(offset + 1);
        state.suspect = false;
        let ended = state.history_until.is_some_and(|until| offset + 1 >= until);
        if ended {
            state.history_until = None;
        }
        Some((self.newest, ended))
    }

    /// The end of some partition of this number was reported (the client library does not say of which topic).
    pub(super) fn end_reported(&mut self, partition: i32) {
        for topic in &mut self.topics {
            if let Some(state) = topic.partitions.get_mut(&partition) {
                state.suspect = state.assigned && state.history_until.is_some();
            }
        }
    }

    /// A partition whose history may have ended without a record at its last offset: topic, partition, next offset.
    pub(super) fn suspect(&self) -> Option<(Arc<str>, i32, i64)> {
        self.topics.iter().find_map(|t| {
            t.partitions.iter().find_map(|(p, s)| {
                s.suspect.then_some(()).and(s.next).map(|next| (Arc::clone(&t.name), *p, next))
            })
        })
    }

    /// The answer for a suspect: whether there is nothing left to read. True if its history ends with that.
    pub(super) fn judge(&mut self, topic: &str, partition: i32, at_end: bool) -> bool {
        let Some(index) = self.index.get(topic) else { return false };
        let Some(state) = self.topics[*index].partitions.get_mut(&partition) else { return false };
        state.suspect = false;
        at_end && state.history_until.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours(list: &[(&str, i32)]) -> Vec<(String, i32)> {
        list.iter().map(|(t, p)| ((*t).to_owned(), *p)).collect()
    }

    fn unresolved(topic: &str, partition: i32) -> Unresolved {
        Unresolved { topic: topic.into(), partition, time: None }
    }

    #[test]
    fn history_ends_with_the_last_record_or_at_once() {
        let mut all = Partitions::new(&[("a".to_owned(), StartAt::Back(2)), ("b".to_owned(), StartAt::End)]);
        let list = ours(&[("a", 0), ("b", 0)]);
        assert!(all.set_assignment(&list));
        assert_eq!(all.unresolved(&list), [unresolved("a", 0), unresolved("b", 0)]);
        let mut out = Vec::new();
        all.resolve(&unresolved("a", 0), (0, 5), None, &mut out);
        all.resolve(&unresolved("b", 0), (0, 5), None, &mut out);
        assert_eq!(out.len(), 3, "{out:?}");
        assert!(matches!(&out[0], ReadEvent::Assigned { start: 3, .. }));
        assert!(matches!(&out[2], ReadEvent::CaughtUp { topic, .. } if &**topic == "b"));
        assert!(all.unresolved(&list).is_empty());
        assert_eq!(all.record("a", 0, 3), Some((0, false)));
        assert_eq!(all.record("a", 0, 4), Some((0, true)));
        assert_eq!(all.record("a", 0, 5), Some((0, false)));
        assert_eq!(all.record("a", 0, 0), Some((0, false)), "made anew");
        assert_eq!(all.assigned().next(), Some(("a", 0, 1)));
        assert_eq!(all.record("c", 0, 5), None);
        assert_eq!(all.record("b", 0, 5), Some((1, false)));
        assert_eq!((&**all.name(0), &**all.name(1)), ("a", "b"));
    }

    #[test]
    fn a_rebalance_keeps_positions() {
        let mut all = Partitions::new(&[("a".to_owned(), StartAt::End)]);
        let list = ours(&[("a", 0)]);
        let mut out = Vec::new();
        all.set_assignment(&list);
        all.resolve(&unresolved("a", 0), (0, 5), None, &mut out);
        assert!(all.record("a", 0, 5).is_some());
        assert!(all.set_assignment(&[]));
        assert_eq!(all.record("a", 0, 6), None, "not ours now");
        assert_eq!(all.assigned().count(), 0);
        assert!(all.set_assignment(&list));
        all.resolve(&unresolved("a", 0), (0, 9), None, &mut out);
        assert!(matches!(out.last(), Some(ReadEvent::Assigned { start: 6, .. })), "{out:?}");
        assert_eq!(all.assigned().collect::<Vec<_>>(), [("a", 0, 6)]);
        assert!(!all.set_assignment(&list));
    }

    #[test]
    fn suspects_are_judged_one_by_one() {
        let mut all =
            Partitions::new(&[("a".to_owned(), StartAt::Beginning), ("b".to_owned(), StartAt::Beginning)]);
        let list = ours(&[("a", 0), ("b", 0)]);
        all.set_assignment(&list);
        let mut out = Vec::new();
        all.resolve(&unresolved("a", 0), (0, 5), None, &mut out);
        all.resolve(&unresolved("b", 0), (0, 5), None, &mut out);
        assert_eq!(all.suspect(), None);
        all.end_reported(0);
        assert_eq!(all.suspect(), Some(("a".into(), 0, 0)));
        assert!(!all.judge("a", 0, false));
        assert_eq!(all.suspect(), Some(("b".into(), 0, 0)));
        assert!(all.judge("b", 0, true));
        assert!(!all.judge("b", 0, true));
        assert_eq!(all.suspect(), None);
    }
}
