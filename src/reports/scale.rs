//! Axes: which values get a tick, and how a time is written there.

use salobj::Tai;

use crate::tasks::analysis::Axis;

/// A linear map of values to pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    pub(super) low: f64,
    pub(super) high: f64,
    pixel_low: f64,
    pixel_high: f64,
}

impl Scale {
    pub(super) fn new((low, high): (f64, f64), (pixel_low, pixel_high): (f64, f64)) -> Scale {
        Scale { low, high, pixel_low, pixel_high }
    }

    pub(super) fn pixel(&self, value: f64) -> f64 {
        self.pixel_low + (value - self.low) / (self.high - self.low) * (self.pixel_high - self.pixel_low)
    }

    pub(super) fn pixels(&self) -> (f64, f64) {
        (self.pixel_low, self.pixel_high)
    }

    pub(super) fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// A range with a little room on both sides; one that is empty becomes one unit high.
pub(super) fn padded(low: f64, high: f64) -> (f64, f64) {
    let range = high - low;
    let scale = low.abs().max(high.abs());
    if range <= scale * 1e-9 {
        let half = if scale == 0.0 { 0.5 } else { (scale * 0.05).max(f64::MIN_POSITIVE) };
        return (low - half, high + half);
    }
    (low - 0.06 * range, high + 0.06 * range)
}

/// Ticks at 1, 2 or 5 times a power of ten, about `wanted` of them, and the decimals that their labels need.
pub(super) fn nice_ticks(low: f64, high: f64, wanted: usize) -> (Vec<f64>, usize) {
    let rough = (high - low) / wanted.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|m| m * power)
        .into_iter()
        .find(|step| *step >= rough * 0.999)
        .unwrap_or(rough);
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    ((first..=last).map(|k| k as f64 * step).collect(), decimals)
}

/// Steps between time ticks, s.
const TIME_STEPS: [f64; 24] = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0,
    1800.0, 3600.0, 7200.0, 10_800.0, 21_600.0, 43_200.0, 86_400.0,
];

/// Ticks of a horizontal axis, about `wanted` of them: (value, label).
pub(super) fn axis_ticks(axis: Axis, x: Scale, wanted: usize) -> Vec<(f64, String)> {
    match axis {
        Axis::Time => time_ticks(Tai(x.low), Tai(x.high), wanted),
        Axis::Frequency => {
            let (ticks, decimals) = nice_ticks(x.low, x.high, wanted);
            ticks.into_iter().map(|tick| (tick, format!("{tick:.decimals$}"))).collect()
        }
    }
}

/// Ticks at round UTC times, about `wanted` of them: (TAI s, label).
pub(super) fn time_ticks(from: Tai, to: Tai, wanted: usize) -> Vec<(f64, String)> {
    let (low, high) = (from.utc_unix(), to.utc_unix());
    let rough = (high - low) / wanted.max(1) as f64;
    let step = TIME_STEPS
        .into_iter()
        .find(|step| *step >= rough)
        .unwrap_or_else(|| (rough / 86_400.0).ceil() * 86_400.0);
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    (first..=last)
        .map(|k| {
            let time = Tai::from_utc_unix(k as f64 * step);
            (time.0, time_label(time, step))
        })
        .collect()
}

fn time_label(time: Tai, step: f64) -> String {
    // A tick may lie a few hundred nanoseconds before its round time.
    let iso = Tai(time.0 + 1e-4).utc_iso();
    let (date, clock) = iso.split_once('T').unwrap_or((&iso, ""));
    match step {
        86_400.0.. => date.to_owned(),
        60.0.. => clock[..5].to_owned(),
        1.0.. => clock[..8].to_owned(),
        0.1.. => clock[..10].to_owned(),
        _ => clock[..11].to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        assert_eq!(nice_ticks(0.0, 10.0, 5), (vec![0.0, 2.0, 4.0, 6.0, 8.0, 10.0], 0));
        assert_eq!(nice_ticks(7.3, 9.1, 5).0, vec![7.5, 8.0, 8.5, 9.0]);
        assert_eq!(nice_ticks(-0.031, 0.042, 6), (vec![-0.02, 0.0, 0.02, 0.04], 2));
        assert_eq!(nice_ticks(1e6, 3e6, 4).0, vec![1e6, 1.5e6, 2e6, 2.5e6, 3e6]);
    }

    #[test]
    fn times_are_round_in_utc() {
        let at = |text: &str| Tai::from_utc_iso(text).unwrap();
        let labels = |from: &str, to: &str| -> Vec<String> {
            time_ticks(at(from), at(to), 6).into_iter().map(|(_, label)| label).collect()
        };
        assert_eq!(
            labels("2026-11-21T23:41:10", "2026-11-22T00:21:00"),
            ["23:50", "00:00", "00:10", "00:20"]
        );
        assert_eq!(
            labels("2026-11-21T01:00:00.2", "2026-11-21T01:00:03"),
            ["01:00:00.5", "01:00:01.0", "01:00:01.5", "01:00:02.0", "01:00:02.5", "01:00:03.0"]
        );
        assert_eq!(labels("2026-11-21", "2026-11-24")[1], "12:00");
    }

    #[test]
    fn an_empty_range_gets_room() {
        assert_eq!(padded(0.0, 0.0), (-0.5, 0.5));
        let (low, high) = padded(20.0, 20.0);
        assert!(low < 20.0 && high > 20.0);
        assert_eq!(padded(0.0, 100.0), (-6.0, 106.0));
    }
}
