//! A histogram of durations without a lock: four buckets an octave from 1 µs to 18 h, so that a quantile is off by at
//! most 19 %.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const BUCKETS: usize = 144;

/// 2 to the powers of 1/4, 1/2, 3/4.
const QUARTERS: [f64; 3] = [1.189_207_115_002_721, std::f64::consts::SQRT_2, 1.681_792_830_507_429];

/// See the module's documentation.
#[derive(Debug)]
pub struct Histogram {
    counts: [AtomicU64; BUCKETS],
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&self, duration: Duration) {
        let micros = duration.as_secs_f64() * 1e6;
        self.counts[bucket(micros)].fetch_add(1, Ordering::Relaxed);
    }

    /// The quantiles `q` (0 to 1, ascending or not) of what was counted since the last call, seconds; 0 if nothing was.
    pub fn take_quantiles<const N: usize>(&self, q: [f64; N]) -> [f64; N] {
        let counts: Vec<u64> = self.counts.iter().map(|c| c.swap(0, Ordering::Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        q.map(|q| {
            if total == 0 {
                return 0.0;
            }
            let rank = ((total as f64 * q).ceil() as u64).clamp(1, total);
            let mut seen = 0;
            let bucket = counts.iter().position(|c| {
                seen += c;
                seen >= rank
            });
            upper_bound_s(bucket.unwrap_or(BUCKETS - 1))
        })
    }
}

/// The quarter octave of a number of microseconds, without a logarithm: exponent, and how many of the three inner limits of
/// the octave the fraction has reached.
fn bucket(micros: f64) -> usize {
    if micros <= 1.0 {
        return 0;
    }
    let bits = micros.to_bits();
    let octave = (bits >> 52) as usize - 1023;
    let fraction = f64::from_bits(bits & !(0x7ff << 52) | 1023 << 52);
    let quarter = QUARTERS.iter().filter(|limit| fraction >= **limit).count();
    (octave * 4 + quarter).min(BUCKETS - 1)
}

fn upper_bound_s(bucket: usize) -> f64 {
    2f64.powf((bucket as f64 + 1.0) / 4.0) * 1e-6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_bucket_and_are_reset() {
        let histogram = Histogram::default();
        for ms in 1..=100 {
            histogram.record(Duration::from_millis(ms));
        }
        let [median, p99] = histogram.take_quantiles([0.5, 0.99]);
        assert!((0.050..0.050 * 1.2).contains(&median), "{median}");
        assert!((0.099..0.099 * 1.2).contains(&p99), "{p99}");
        assert_eq!(histogram.take_quantiles([0.5]), [0.0]);
    }

    #[test]
    fn buckets_are_quarters_of_octaves() {
        for n in 1..100_000 {
            let micros = 1.0 + f64::from(n) * 7.3;
            assert_eq!(bucket(micros), (micros.log2() * 4.0) as usize, "{micros}");
        }
    }

    #[test]
    fn extremes_have_a_bucket() {
        let histogram = Histogram::default();
        histogram.record(Duration::ZERO);
        histogram.record(Duration::from_secs(1_000_000));
        let [low, high] = histogram.take_quantiles([0.5, 1.0]);
        assert!(low < 2e-6 && high > 60_000.0);
    }
}
