//! A circuit breaker: after some failures in a row the other side is left alone for a while; then one attempt shows
//! whether it is back.

use std::time::Duration;

use tokio::time::Instant;

/// Counts failures in a row.
#[derive(Debug)]
pub struct Breaker {
    limit: u32,
    pause: Duration,
    failures: u32,
    until: Option<Instant>,
}

impl Breaker {
    /// Opens after `limit` failures in a row, for `pause`.
    pub fn new(limit: u32, pause: Duration) -> Breaker {
        Breaker { limit, pause, failures: 0, until: None }
    }

    /// How long to wait before the next attempt.
    pub fn wait(&self, now: Instant) -> Duration {
        self.until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// True from when it opened until something succeeds: at most one attempt at a time is to be made.
    pub fn is_open(&self) -> bool {
        self.until.is_some()
    }

    /// The other side has answered.
    pub fn succeeded(&mut self) {
        self.failures = 0;
        self.until = None;
    }

    /// It did not. True if the breaker opens now.
    pub fn failed(&mut self, now: Instant) -> bool {
        self.failures = self.failures.saturating_add(1);
        let open = self.failures >= self.limit;
        if open {
            self.until = Some(now + self.pause);
        }
        open && self.failures == self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_some_failures_and_closes_with_one_success() {
        let now = Instant::now();
        let mut breaker = Breaker::new(3, Duration::from_secs(30));
        assert!(!breaker.failed(now) && !breaker.failed(now));
        assert_eq!(breaker.wait(now), Duration::ZERO);
        assert!(!breaker.is_open());
        assert!(breaker.failed(now) && breaker.is_open());
        assert_eq!(breaker.wait(now), Duration::from_secs(30));
        let later = now + Duration::from_secs(31);
        assert_eq!(breaker.wait(later), Duration::ZERO, "one attempt");
        assert!(!breaker.failed(later), "it was open before");
        assert_eq!(breaker.wait(later), Duration::from_secs(30));
        breaker.succeeded();
        assert_eq!(breaker.wait(later), Duration::ZERO);
        assert!(!breaker.failed(later));
    }
}
