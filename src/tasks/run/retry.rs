//! How long to wait before the next attempt. The spread comes from the id, so that a replay waits as long.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::tasks::call::StepId;
use crate::tasks::plan::RetryPlan;

/// No wait is longer.
const MAX_WAIT: Duration = Duration::from_secs(3600);

/// The wait after attempt `id.attempt` failed: `backoff`, doubled for each attempt after the first, spread by
/// `jitter` to either side, at most an hour.
pub(super) fn wait(retry: &RetryPlan, id: &StepId) -> Duration {
    let doublings = i32::try_from(id.attempt.saturating_sub(1)).unwrap_or(i32::MAX).min(32);
    let base = retry.backoff.as_secs_f64() * 2f64.powi(doublings);
    let spread = 1.0 + retry.jitter.clamp(0.0, 1.0) * (2.0 * fraction(id) - 1.0);
    Duration::from_secs_f64((base * spread).clamp(0.0, MAX_WAIT.as_secs_f64()))
}

/// True if `retry_on` is empty or one of its words is in the text of the error.
pub(super) fn wanted(retry: &RetryPlan, error: &str) -> bool {
    retry.retry_on.is_empty() || retry.retry_on.iter().any(|word| error.contains(word.as_str()))
}

/// A number from 0 to 1 that is always the same for an attempt, and as good as random between attempts.
fn fraction(id: &StepId) -> f64 {
    let hash = Sha256::digest(id.key());
    let bits = hash.iter().take(4).fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
    f64::from(bits) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(attempt: u32) -> StepId {
        StepId { run_id: "0123456789abcdef".into(), step: "isr".into(), attempt }
    }

    #[test]
    fn doubles_and_stops_growing() {
        let retry =
            RetryPlan { attempts: 99, backoff: Duration::from_secs(5), jitter: 0.0, ..RetryPlan::default() };
        assert_eq!(wait(&retry, &id(1)), Duration::from_secs(5));
        assert_eq!(wait(&retry, &id(3)), Duration::from_secs(20));
        assert_eq!(wait(&retry, &id(4_000_000_000)), MAX_WAIT);
    }

    #[test]
    fn spreads_within_its_bounds_and_repeats() {
        let retry =
            RetryPlan { attempts: 99, backoff: Duration::from_secs(10), jitter: 0.5, ..RetryPlan::default() };
        let mut seen = Vec::new();
        for run in 0..100 {
            let id = StepId { run_id: format!("{run:016x}"), step: "isr".into(), attempt: 1 };
            let wait = wait(&retry, &id);
            assert_eq!(wait, super::wait(&retry, &id));
            assert!((5.0..=15.0).contains(&wait.as_secs_f64()), "{wait:?}");
            seen.push(wait);
        }
        seen.sort();
        assert!(seen[99] - seen[0] > Duration::from_secs(7), "{:?} {:?}", seen[0], seen[99]);
    }
}
