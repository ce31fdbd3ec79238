//! Deadlines of rules, and multiples of a period in UTC.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use salobj::Tai;

#[derive(Debug, Clone, Copy, PartialEq)]
struct Due(f64, usize);

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Due) -> Ordering {
        self.0.total_cmp(&other.0).then(self.1.cmp(&other.1))
    }
}

/// A queue of deadlines. An entry counts only while it is its rule's earliest; others are dropped as they come up. It may
/// come up before the rule's deadline, which was put off: then the rule is queued again.
#[derive(Debug, Default)]
pub(super) struct Timers(BinaryHeap<Reverse<Due>>);

impl Timers {
    pub(super) fn push(&mut self, at: f64, rule: usize) {
        self.0.push(Reverse(Due(at, rule)));
    }

    pub(super) fn pop_due(&mut self, now: f64) -> Option<(f64, usize)> {
        if self.0.peek().is_some_and(|Reverse(due)| due.0 <= now) {
            return self.0.pop().map(|Reverse(due)| (due.0, due.1));
        }
        None
    }

    pub(super) fn next(&self) -> Option<Tai> {
        self.0.peek().map(|Reverse(due)| Tai(due.0))
    }
}

/// The newest multiple of a period since 1970 UTC that is not after `now` (both TAI).
pub(super) fn multiple_at(now: f64, period: f64) -> f64 {
    let utc = Tai(now).utc_unix();
    // A multiple that differs from now by rounding is now.
    let n = ((utc + 1e-6) / period).floor();
    Tai::from_utc_unix(n * period).0
}

/// The next multiple after `now`.
pub(super) fn multiple_after(now: f64, period: f64) -> f64 {
    let n = ((Tai(now).utc_unix() + 1e-6) / period).floor() + 1.0;
    Tai::from_utc_unix(n * period).0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiples_are_counted_in_utc() {
        let noon = Tai::from_utc_iso("2026-01-01T12:00:00").unwrap().0;
        assert_eq!(multiple_at(noon, 60.0), noon);
        assert_eq!(multiple_after(noon, 60.0), noon + 60.0);
        assert_eq!(multiple_after(noon + 59.9, 60.0), noon + 60.0);
        assert_eq!(multiple_at(noon + 59.9, 60.0), noon);
    }

    #[test]
    fn deadlines_come_in_order() {
        let mut timers = Timers::default();
        for (at, rule) in [(3.0, 1), (1.0, 2), (1.0, 0)] {
            timers.push(at, rule);
        }
        assert_eq!(timers.next(), Some(Tai(1.0)));
        assert_eq!(timers.pop_due(2.0), Some((1.0, 0)));
        assert_eq!(timers.pop_due(2.0), Some((1.0, 2)));
        assert_eq!(timers.pop_due(2.0), None);
    }
}
