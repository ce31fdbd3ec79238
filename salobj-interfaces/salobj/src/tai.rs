//! TAI seconds and the clock. This module is the only reader of the wall clock.

use std::time::Duration;

/// A time as SAL writes it: seconds since 1970-01-01T00:00:00 on the TAI scale.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Default, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Tai(pub f64);

impl std::ops::Add<Duration> for Tai {
    type Output = Tai;
    fn add(self, d: Duration) -> Tai {
        Tai(self.0 + d.as_secs_f64())
    }
}

impl std::ops::Sub for Tai {
    type Output = f64;
    fn sub(self, other: Tai) -> f64 {
        self.0 - other.0
    }
}

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
