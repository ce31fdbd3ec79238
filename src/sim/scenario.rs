//! What the simulated observatory does, as pure functions of the time since the scenario began (seconds).
//!
//! ```text
//!  wind  8 m/s ______/‾‾\____ 4 m/s      exposures   |2 s ok|   |30 s shaken|   |20 s steady|
//! ```

use std::f64::consts::TAU;

/// One exposure of the simulated ATCamera, times in seconds since the start of the scenario.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exposure {
    /// Sequence number within the night, from 1.
    pub seq_num: u32,
    /// Start of the acquisition.
    pub start_s: f64,
    /// Requested exposure time.
    pub exposure_time_s: f64,
    /// Amplitude of the mount's shaking during the exposure, arcsec.
    pub jitter_arcsec: f64,
}

/// A night: wind as a function of time, exposures, and when it is over.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// `(time, speed)` corners, linear between them, constant outside; s and m/s.
    pub wind: Vec<(f64, f64)>,
    /// Exposures in order of time.
    pub exposures: Vec<Exposure>,
    /// Length of the scenario, seconds.
    pub length_s: f64,
}

impl Scenario {
    /// The two scenarios of the First-Look Analysis group: a wind that rises and falls, and exposures of which one is
    /// shaken.
    pub fn eventful() -> Self {
        let exposure = |seq_num, start_s, exposure_time_s, jitter_arcsec| Exposure {
            seq_num,
            start_s,
            exposure_time_s,
            jitter_arcsec,
        };
        Self {
            wind: vec![(0.0, 8.0), (600.0, 8.0), (2100.0, 18.0), (2400.0, 18.0), (3300.0, 4.0)],
            exposures: vec![
                exposure(1, 240.0, 1.0, 0.02),
                exposure(2, 420.0, 30.0, 1.1),
                exposure(3, 900.0, 20.0, 0.05),
            ],
            length_s: 4500.0,
        }
    }

    /// A calm night with exposures of at most 1 s: nothing is to be noticed.
    pub fn calm() -> Self {
        let exposures = (1..=3).map(|n| Exposure {
            seq_num: n,
            start_s: 240.0 * f64::from(n),
            exposure_time_s: 1.0,
            jitter_arcsec: 1.1,
        });
        Self { wind: vec![(0.0, 5.0)], exposures: exposures.collect(), length_s: 2400.0 }
    }

    /// Wind speed, m/s: the corners plus a small gusting that is the same in every run.
    pub fn wind_speed(&self, t_s: f64) -> f64 {
        let gust = 0.15 * (TAU * t_s / 97.0).sin() + 0.1 * (TAU * t_s / 41.0).sin();
        interpolate(&self.wind, t_s) + gust
    }

    /// Mount position, degrees: azimuth and elevation of a slow track, shaken at 3.1 Hz and 4.7 Hz during exposures.
    pub fn mount(&self, t_s: f64) -> (f64, f64) {
        let amplitude_deg = self
            .exposures
            .iter()
            .find(|e| (e.start_s - 1.0..e.start_s + e.exposure_time_s + 1.0).contains(&t_s))
            .map_or(0.01, |e| e.jitter_arcsec)
            / 3600.0;
        let azimuth = 120.0 + 0.004 * t_s + amplitude_deg * (TAU * 3.1 * t_s).sin();
        let elevation = 60.0 + 0.001 * t_s + amplitude_deg * (TAU * 4.7 * t_s).sin();
        (azimuth, elevation)
    }
}

fn interpolate(corners: &[(f64, f64)], t: f64) -> f64 {
    let after = corners.partition_point(|c| c.0 <= t);
    match (after.checked_sub(1).and_then(|i| corners.get(i)), corners.get(after)) {
        (Some(a), Some(b)) => a.1 + (b.1 - a.1) * (t - a.0) / (b.0 - a.0),
        (Some(only), None) | (None, Some(only)) => only.1,
        (None, None) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wind_passes_through_its_corners() {
        let night = Scenario::eventful();
        assert!((night.wind_speed(0.0) - 8.0).abs() < 0.3);
        assert!((night.wind_speed(2200.0) - 18.0).abs() < 0.3);
        assert!((night.wind_speed(1350.0) - 13.0).abs() < 0.3);
        assert!((night.wind_speed(1e6) - 4.0).abs() < 0.3);
    }

    #[test]
    fn only_the_shaken_exposure_shakes() {
        let night = Scenario::eventful();
        let swing = |from: f64| {
            let residual = |i: i32| {
                let t = from + f64::from(i) * 0.01;
                (night.mount(t).1 - 60.0 - 0.001 * t) * 3600.0
            };
            (0..500).map(residual).fold(0.0_f64, |m, r| m.max(r.abs()))
        };
        assert!(swing(425.0) > 1.0);
        assert!(swing(905.0) < 0.1);
    }

    #[test]
    fn the_calm_night_stays_below_every_limit() {
        let night = Scenario::calm();
        assert!((0..2400).all(|t| night.wind_speed(f64::from(t)) < 10.0));
        assert!(night.exposures.iter().all(|e| e.exposure_time_s <= 1.0));
    }
}
