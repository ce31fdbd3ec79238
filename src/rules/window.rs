//! Sliding windows over time or over so many messages, with a reducer: incremental, bounded in memory.
//!
//! | reducer | how | cost of a message |
//! |---|---|---|
//! | first, last, count | ends of the queue | O(1) |
//! | mean, sum, std, rms, rate, slope | running sums about a pivot, renewed after as many removals as the window is long | O(1) |
//! | min, max, ptp | monotonic queues | O(1) amortized |
//! | median, quantile | a sorted list in chunks kept beside the queue, exact | O(log n) search, a chunk is moved |
//!
//! A value that is missing or NaN is left out. Values come by their send stamps; one that is older than the newest in
//! the window is put in its place. The window at time t holds the stamps in (t - length, t], or the newest n.

use std::collections::VecDeque;

use super::sorted::Sorted;

/// Most values that a window keeps; beyond that the oldest go, and are counted.
pub(crate) const MOST: usize = 100_000;

/// How long the window is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Length {
    /// Seconds.
    Seconds(f64),
    /// Values.
    Count(usize),
}

/// What is made of the values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Reducer {
    Mean,
    Median,
    Min,
    Max,
    Ptp,
    Std,
    Rms,
    Sum,
    Count,
    First,
    Last,
    /// (last - first) / (their stamps' difference): per second.
    Rate,
    /// Slope of the least-squares line: per second.
    Slope,
    /// The quantile (linear between neighbours).
    Quantile(f64),
}

/// Names of the reducers, for messages.
pub(crate) const REDUCERS: &[&str] = &[
    "mean", "median", "min", "max", "ptp", "std", "rms", "sum", "count", "first", "last", "rate", "slope",
    "quantile",
];

/// A sliding window.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    length: Length,
    reducer: Reducer,
    min_count: usize,
    /// Most values that it keeps.
    most: usize,
    values: VecDeque<(f64, f64)>,
    /// Number of the first value of `values`, counted from the beginning.
    first: u64,
    help: Help,
    /// Values dropped because the window was full.
    pub(crate) dropped: u64,
}

/// What is kept beside the values.
#[derive(Debug, Clone)]
enum Help {
    None,
    Sums(Sums),
    Extremes { min: VecDeque<(u64, f64)>, max: VecDeque<(u64, f64)> },
    Sorted(Sorted),
}

/// Sums of values and stamps, each relative to a pivot so that they keep their digits.
#[derive(Debug, Clone, Default)]
struct Sums {
    pivot: (f64, f64),
    t: f64,
    tt: f64,
    v: f64,
    vv: f64,
    tv: f64,
    removed: usize,
    /// Values that are infinite cannot be summed and taken out again.
    infinite: usize,
}

impl Sums {
    fn change(&mut self, (time, value): (f64, f64), sign: f64) {
        if value.is_infinite() {
            if sign > 0.0 {
                self.infinite += 1
            } else {
                self.infinite -= 1
            }
            return;
        }
        let (t, v) = (time - self.pivot.0, value - self.pivot.1);
        self.t += sign * t;
        self.tt += sign * t * t;
        self.v += sign * v;
        self.vv += sign * v * v;
        self.tv += sign * t * v;
    }

    fn renew(&mut self, values: &VecDeque<(f64, f64)>) {
        let pivot = values.iter().copied().find(|p| p.1.is_finite()).unwrap_or_default();
        *self = Sums { pivot, ..Sums::default() };
        for pair in values {
            self.change(*pair, 1.0);
        }
    }
}

impl Window {
    #[cfg(test)]
    pub(crate) fn new(length: Length, reducer: Reducer, min_count: usize) -> Window {
        Window::bounded(length, reducer, min_count, MOST)
    }

    /// An empty window that keeps at most so many values.
    pub(crate) fn bounded(length: Length, reducer: Reducer, min_count: usize, most: usize) -> Window {
        let help = match reducer {
            Reducer::Mean | Reducer::Sum | Reducer::Std | Reducer::Rms | Reducer::Slope => {
                Help::Sums(Sums::default())
            }
            Reducer::Min | Reducer::Max | Reducer::Ptp => {
                Help::Extremes { min: VecDeque::new(), max: VecDeque::new() }
            }
            Reducer::Median | Reducer::Quantile(_) => Help::Sorted(Sorted::default()),
            Reducer::Count | Reducer::First | Reducer::Last | Reducer::Rate => Help::None,
        };
        Window {
            length,
            reducer,
            min_count: min_count.max(1),
            most,
            values: VecDeque::new(),
            first: 0,
            help,
            dropped: 0,
        }
    }

    /// Takes a value; NaN is left out.
    pub(crate) fn push(&mut self, time: f64, value: f64) {
        if value.is_nan() || !time.is_finite() {
            return;
        }
        if self.values.back().is_some_and(|(newest, _)| time < *newest) {
            self.insert(time, value);
        } else {
            let number = self.first + self.values.len() as u64;
            self.values.push_back((time, value));
            match &mut self.help {
                Help::None => {}
                Help::Sums(sums) => {
                    if self.values.len() == 1 {
                        sums.renew(&self.values);
                    } else {
                        sums.change((time, value), 1.0);
                    }
                }
                Help::Extremes { min, max } => {
                    while min.back().is_some_and(|(_, v)| *v >= value) {
                        min.pop_back();
                    }
                    min.push_back((number, value));
                    while max.back().is_some_and(|(_, v)| *v <= value) {
                        max.pop_back();
                    }
                    max.push_back((number, value));
                }
                Help::Sorted(sorted) => sorted.insert(value),
            }
        }
        let most = if let Length::Count(n) = self.length { n } else { self.most };
        while self.values.len() > most {
            self.pop();
            self.dropped += u64::from(matches!(self.length, Length::Seconds(_)));
        }
    }

    /// A value out of order: rare, so everything kept beside is made anew.
    fn insert(&mut self, time: f64, value: f64) {
        let at = self.values.partition_point(|(t, _)| *t <= time);
        self.values.insert(at, (time, value));
        match &mut self.help {
            Help::None => {}
            Help::Sums(sums) => sums.renew(&self.values),
            Help::Extremes { min, max } => {
                min.clear();
                max.clear();
                for (i, (_, v)) in self.values.iter().enumerate() {
                    let number = self.first + i as u64;
                    while min.back().is_some_and(|(_, m)| m >= v) {
                        min.pop_back();
                    }
                    min.push_back((number, *v));
                    while max.back().is_some_and(|(_, m)| m <= v) {
                        max.pop_back();
                    }
                    max.push_back((number, *v));
                }
            }
            Help::Sorted(sorted) => sorted.insert(value),
        }
    }

    fn pop(&mut self) {
        let Some(gone) = self.values.pop_front() else { return };
        let number = self.first;
        self.first += 1;
        match &mut self.help {
            Help::None => {}
            Help::Sums(sums) => {
                sums.removed += 1;
                if sums.removed > self.values.len() {
                    sums.renew(&self.values);
                } else {
                    sums.change(gone, -1.0);
                }
            }
            Help::Extremes { min, max } => {
                for queue in [min, max] {
                    if queue.front().is_some_and(|(n, _)| *n == number) {
                        queue.pop_front();
                    }
                }
            }
            Help::Sorted(sorted) => sorted.remove(gone.1),
        }
    }

    /// The reduced value at a time; NaN if there are fewer than `min_count` values, or too few for the reducer.
    pub(crate) fn value(&mut self, now: f64) -> f64 {
        if let Length::Seconds(seconds) = self.length {
            while self.values.front().is_some_and(|(t, _)| *t <= now - seconds) {
                self.pop();
            }
        }
        let n = self.values.len();
        if self.reducer == Reducer::Count {
            return n as f64;
        }
        let (Some(first), Some(last)) = (self.values.front(), self.values.back()) else { return f64::NAN };
        if n < self.min_count {
            return f64::NAN;
        }
        match (self.reducer, &self.help) {
            (Reducer::First, _) => first.1,
            (Reducer::Last, _) => last.1,
            (Reducer::Rate, _) if last.0 > first.0 => (last.1 - first.1) / (last.0 - first.0),
            (Reducer::Rate, _) => f64::NAN,
            (Reducer::Min, Help::Extremes { min, .. }) => min.front().map_or(f64::NAN, |v| v.1),
            (Reducer::Max, Help::Extremes { max, .. }) => max.front().map_or(f64::NAN, |v| v.1),
            (_, Help::Extremes { min, max }) => match (min.front(), max.front()) {
                (Some(low), Some(high)) => high.1 - low.1,
                _ => f64::NAN,
            },
            (Reducer::Quantile(q), Help::Sorted(sorted)) => quantile(sorted, q),
            (_, Help::Sorted(sorted)) => quantile(sorted, 0.5),
            (reducer, Help::Sums(sums)) => self.summed(reducer, sums),
            (_, Help::None) => f64::NAN,
        }
    }

    fn summed(&self, reducer: Reducer, sums: &Sums) -> f64 {
        if sums.infinite > 0 {
            return f64::NAN;
        }
        let n = self.values.len() as f64;
        let mean = sums.v / n;
        let variance = (sums.vv / n - mean * mean).max(0.0);
        let value = mean + sums.pivot.1;
        match reducer {
            Reducer::Sum => value * n,
            Reducer::Std => variance.sqrt(),
            Reducer::Rms => (variance + value * value).sqrt(),
            Reducer::Slope => {
                let spread = sums.tt - sums.t * sums.t / n;
                if self.values.len() < 2 || spread <= 1e-12 * sums.tt.max(f64::MIN_POSITIVE) {
                    return f64::NAN;
                }
                (sums.tv - sums.t * sums.v / n) / spread
            }
            _ => value,
        }
    }

    /// When its value changes without a message: the oldest value leaves.
    pub(crate) fn next_change(&self) -> f64 {
        match (self.length, self.values.front()) {
            (Length::Seconds(seconds), Some((t, _))) => t + seconds,
            _ => f64::INFINITY,
        }
    }
}

fn quantile(sorted: &Sorted, q: f64) -> f64 {
    let at = q * (sorted.len() - 1) as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    let below = sorted.at(low);
    if low == high { below } else { below + (sorted.at(high) - below) * (at - low as f64) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition: everything from the beginning.
    fn naive(all: &[(f64, f64)], now: f64, length: Length, reducer: Reducer, min_count: usize) -> f64 {
        let mut w: Vec<(f64, f64)> = all.iter().copied().filter(|(_, v)| !v.is_nan()).collect();
        w.sort_by(|a, b| a.0.total_cmp(&b.0));
        match length {
            Length::Seconds(s) => w.retain(|(t, _)| *t > now - s),
            Length::Count(n) => w = w.split_off(w.len().saturating_sub(n)),
        }
        let n = w.len() as f64;
        if reducer == Reducer::Count {
            return n;
        }
        if w.len() < min_count.max(1) {
            return f64::NAN;
        }
        let mut v: Vec<f64> = w.iter().map(|p| p.1).collect();
        let sum: f64 = v.iter().sum();
        let (first, last) = (w[0], w[w.len() - 1]);
        let min = v.iter().copied().fold(f64::INFINITY, f64::min);
        let max = v.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        match reducer {
            Reducer::Mean => sum / n,
            Reducer::Sum => sum,
            Reducer::Std => (v.iter().map(|x| (x - sum / n).powi(2)).sum::<f64>() / n).sqrt(),
            Reducer::Rms => (v.iter().map(|x| x * x).sum::<f64>() / n).sqrt(),
            Reducer::Min => min,
            Reducer::Max => max,
            Reducer::Ptp => max - min,
            Reducer::Count => n,
            Reducer::First => first.1,
            Reducer::Last => last.1,
            Reducer::Rate if last.0 > first.0 => (last.1 - first.1) / (last.0 - first.0),
            Reducer::Rate => f64::NAN,
            Reducer::Slope => {
                let t0 = w.iter().map(|p| p.0).sum::<f64>() / n;
                let spread: f64 = w.iter().map(|p| (p.0 - t0).powi(2)).sum();
                if spread == 0.0 {
                    f64::NAN
                } else {
                    w.iter().map(|p| (p.0 - t0) * (p.1 - sum / n)).sum::<f64>() / spread
                }
            }
            Reducer::Median => ranked(&mut v, 0.5),
            Reducer::Quantile(q) => ranked(&mut v, q),
        }
    }

    fn ranked(v: &mut [f64], q: f64) -> f64 {
        v.sort_by(f64::total_cmp);
        let at = q * (v.len() - 1) as f64;
        let (low, high) = (v[at.floor() as usize], v[at.ceil() as usize]);
        low + (high - low) * at.fract()
    }

    const ALL: [Reducer; 14] = [
        Reducer::Mean,
        Reducer::Median,
        Reducer::Min,
        Reducer::Max,
        Reducer::Ptp,
        Reducer::Std,
        Reducer::Rms,
        Reducer::Sum,
        Reducer::Count,
        Reducer::First,
        Reducer::Last,
        Reducer::Rate,
        Reducer::Slope,
        Reducer::Quantile(0.9),
    ];

    proptest! {
        #[test]
        fn as_a_recomputation(
            steps in prop::collection::vec((-30_i32..60, prop_oneof![5 => (-50.0..50.0_f64).prop_map(Some), 1 => Just(None)]), 1..80),
            length in prop_oneof![(1.0..200.0_f64).prop_map(Length::Seconds), (1_usize..30).prop_map(Length::Count)],
            min_count in 1_usize..4,
        ) {
            for reducer in ALL {
                let mut window = Window::new(length, reducer, min_count);
                let (mut all, mut clock) = (Vec::new(), 1e9);
                for (step, value) in &steps {
                    // Negative steps are values out of order; a gap is a step without a value.
                    let time = clock + f64::from(*step);
                    clock = clock.max(time);
                    // A value older than the window at its arrival never counts; `naive` drops it as well, later.
                    let value = value.unwrap_or(f64::NAN);
                    window.push(time, value);
                    all.push((time, value));
                    let (got, want) = (window.value(clock), naive(&all, clock, length, reducer, min_count));
                    if got.is_nan() || want.is_nan() {
                        prop_assert_eq!(got.is_nan(), want.is_nan(), "{:?} {} {}", reducer, got, want);
                    } else {
                        let scale = 1e-7 * (1.0 + want.abs());
                        prop_assert!((got - want).abs() <= scale, "{:?}: {} is not {}", reducer, got, want);
                    }
                }
            }
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut window = Window::new(Length::Seconds(1e9), Reducer::Max, 1);
        for i in 0..(MOST + 10) {
            window.push(i as f64, -(i as f64));
        }
        assert_eq!(window.values.len(), MOST);
        assert_eq!(window.dropped, 10);
        assert_eq!(window.value(MOST as f64), -10.0);
    }
}
