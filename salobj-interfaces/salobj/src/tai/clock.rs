//! The clock that everything else takes its time from.

use std::future::Future;
use std::time::Duration;

use super::Tai;

/// Longest single sleep of the system clock; then the wall clock is read again, since it may have been set.
const LONGEST_NAP: Duration = Duration::from_secs(10);

/// The time limit of [`Clock::timeout`] passed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("time limit passed")]
pub struct Elapsed;

/// Where the time comes from: the system, or a clock that runs at another pace (demo) or only in the tests' virtual
/// time. Scaled clocks count in tokio's time, so that a paused runtime gives virtual time.
#[derive(Debug, Clone)]
pub enum Clock {
    /// System clock (UTC) plus leap seconds.
    System,
    /// `start` at `origin`, then `speed` times as fast as tokio's clock.
    Scaled {
        /// Time shown at `origin`.
        start: Tai,
        /// Tokio's time at which the clock was started.
        origin: tokio::time::Instant,
        /// Seconds of this clock for one real second.
        speed: f64,
    },
}

impl Clock {
    /// A clock that shows `start` now and runs `speed` times as fast as tokio's (1.0 in tests with paused time). A
    /// speed that is not positive is taken as 1.
    pub fn scaled(start: Tai, speed: f64) -> Clock {
        let speed = if speed.is_finite() && speed > 0.0 { speed } else { 1.0 };
        Clock::Scaled { start, origin: tokio::time::Instant::now(), speed }
    }

    /// The time now.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn now(&self) -> Tai {
        match self {
            Clock::System => {
                let utc = std::time::SystemTime::now()
                    .duration_since(std::time::UNIX_EPOCH)
                    .unwrap_or(Duration::ZERO)
                    .as_secs_f64();
                Tai::from_utc_unix(utc)
            }
            Clock::Scaled { start, origin, speed } => Tai(start.0 + origin.elapsed().as_secs_f64() * speed),
        }
    }

    /// True unless this is the system's own time; stamps that others would take from their own clock (Kafka's
    /// record timestamp) must then be set by us.
    pub fn is_scaled(&self) -> bool {
        matches!(self, Clock::Scaled { .. })
    }

    /// Seconds of this clock for one real second: 1 for the system clock.
    pub fn speed(&self) -> f64 {
        match self {
            Clock::System => 1.0,
            Clock::Scaled { speed, .. } => *speed,
        }
    }

    /// Waits for a duration of this clock.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(self.real(duration)).await;
    }

    /// Waits until this clock shows `time`; returns at once if it already does. The wall clock may be set while we
    /// wait: the time shown counts, not the time waited.
    pub async fn sleep_until(&self, time: Tai) {
        loop {
            let left = time - self.now();
            if left.is_nan() || left <= 0.0 {
                return;
            }
            let left = self.real(Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX));
            tokio::time::sleep(left.min(LONGEST_NAP).max(Duration::from_micros(1))).await;
        }
    }

    /// Waits for `future`, at most for a duration of this clock.
    pub async fn timeout<F: Future>(&self, limit: Duration, future: F) -> Result<F::Output, Elapsed> {
        tokio::time::timeout(self.real(limit), future).await.map_err(|_| Elapsed)
    }

    /// The real (tokio) duration of a duration of this clock.
    pub fn real(&self, duration: Duration) -> Duration {
        match self {
            Clock::System => duration,
            Clock::Scaled { speed, .. } => {
                Duration::try_from_secs_f64(duration.as_secs_f64() / speed).unwrap_or(Duration::MAX)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn scaled_clock_is_virtual_time_when_paused() {
        let clock = Clock::scaled(Tai(1000.0), 120.0);
        let real = tokio::time::Instant::now();
        clock.sleep(Duration::from_secs(600)).await;
        assert!((clock.now() - Tai(1600.0)).abs() < 0.5, "{:?}", clock.now());
        assert!(real.elapsed() >= Duration::from_secs(5) && real.elapsed() < Duration::from_millis(5010));
        clock.sleep_until(Tai(4600.0)).await;
        assert!(clock.now() >= Tai(4600.0) && clock.now() < Tai(4601.0), "{:?}", clock.now());
        clock.sleep_until(Tai(0.0)).await;
        let out = clock.timeout(Duration::from_secs(60), std::future::pending::<()>()).await;
        assert_eq!(out, Err(Elapsed));
        assert_eq!(clock.timeout(Duration::from_secs(60), async { 7 }).await, Ok(7));
    }

    #[test]
    fn system_clock_is_after_this_was_written() {
        assert!(Clock::System.now() > Tai::from_utc_iso("2025-01-01").unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn a_senseless_speed_is_one() {
        assert_eq!(Clock::scaled(Tai(0.0), f64::NAN).speed(), 1.0);
        assert_eq!(Clock::scaled(Tai(0.0), -2.0).speed(), 1.0);
    }
}
