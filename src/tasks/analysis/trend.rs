//! `trend`: a robust straight line through a series, and where it will be.
//!
//! The slope is Theil and Sen's: the median of the slopes of all pairs of samples. The intercept is the median of what
//! remains, so that half of the samples lie above the line. Chosen over Huber's re-weighted least squares because up to
//! 29 % of wild samples cannot move it *wherever* they lie (a gust at the end of the range, where the forecast starts,
//! pulls a Huber line), it has no tuning constant, and it cannot fail to converge. What it costs, n²/2 pairs, is bounded:
//! over [`MAX_EXACT`] samples the slope is taken from the medians of that many equal stretches.
//!
//! The interval is the classical prediction interval of a straight line, with a robust scale in place of the root mean
//! square: `t(n-2) · s · sqrt(1 + 1/n + (t0 - mean)² / Sxx)`. It takes the samples for independent; telemetry that is
//! correlated in time (wind) wanders further than it says.

use std::collections::BTreeMap;

use serde_json::json;

use super::plot::{Band, Line, LineKind, Panel, Plot, thinned};
use super::series::{Series, SeriesSet};
use super::{Analysis, AnalysisError, stats};

/// Over so many samples the slope comes from medians of stretches.
pub const MAX_EXACT: usize = 1000;
/// Fewest samples a line with an interval can be fitted to.
pub const MIN_POINTS: usize = 3;

/// The side on which it gets dangerous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// High values: the extreme is the maximum.
    #[default]
    Above,
    /// Low values: the extreme is the minimum.
    Below,
}

/// Parameters of [`trend`].
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct TrendParams {
    /// How far to look beyond the end of the range, s; not negative.
    pub ahead_s: f64,
    /// Which extreme of the fit is `predicted`.
    #[serde(default)]
    pub direction: Direction,
    /// A value whose crossing is looked for, in the unit of the series.
    #[serde(default)]
    pub limit: Option<f64>,
    /// Probability of the interval, between 0 and 1.
    #[serde(default = "default_confidence")]
    pub confidence: f64,
}

fn default_confidence() -> f64 {
    0.95
}

impl TrendParams {
    /// So many seconds ahead, the maximum, no limit, a 95 % interval.
    pub fn ahead(ahead_s: f64) -> TrendParams {
        TrendParams { ahead_s, direction: Direction::Above, limit: None, confidence: default_confidence() }
    }

    fn check(&self) -> Result<(), AnalysisError> {
        let bad = |name, value, rule| Err(AnalysisError::BadParameter { name, value, rule });
        if !(self.ahead_s.is_finite() && self.ahead_s >= 0.0) {
            return bad("ahead", self.ahead_s, "it must be a duration of zero or more");
        }
        if !(self.confidence > 0.0 && self.confidence < 1.0) {
            return bad("confidence", self.confidence, "it must lie between 0 and 1");
        }
        match self.limit {
            Some(limit) if !limit.is_finite() => bad("limit", limit, "it must be a finite number"),
            _ => Ok(()),
        }
    }
}

/// Fits the one series of `set` and looks `ahead_s` beyond `set.to`.
///
/// The result has `predicted` (the extreme of the fit between `to` and `to + ahead`), `low` and `high` (its prediction
/// interval) in the series' unit, `at` (when, TAI s), `slope` (unit/s), `crosses_at` (first moment of that time at which
/// the fit is at or beyond `limit`, TAI s; null if never or without a limit), `n` (samples used) and `residual_rms`.
///
/// # Errors
/// Not exactly one series; fewer than [`MIN_POINTS`] finite samples; no time span; a parameter out of range.
pub fn trend(set: &SeriesSet, params: &TrendParams) -> Result<Analysis, AnalysisError> {
    params.check()?;
    let [series] = set.series.as_slice() else {
        return Err(AnalysisError::WrongSeries {
            analysis: "trend",
            needs: "exactly one series",
            given: set.names(),
        });
    };
    let (times, values) = series.usable(MIN_POINTS)?;
    let fit = Fit::new(&times, &values, set.to.0, params.confidence);

    let (start, end) = (set.to.0, set.to.0 + params.ahead_s);
    let rising = fit.slope > 0.0;
    let at = if rising == (params.direction == Direction::Above) && fit.slope != 0.0 { end } else { start };
    let predicted = fit.at(at);
    let half = fit.half_width(at);
    let result = json!({
        "predicted": predicted,
        "low": predicted - half,
        "high": predicted + half,
        "at": at,
        "slope": fit.slope,
        "crosses_at": params.limit.and_then(|limit| fit.crosses(limit, params.direction, start, end)),
        "n": times.len(),
        "residual_rms": fit.residual_rms,
    });
    let plot = draw(series, &times, &values, &fit, (start, end), params);
    Ok(Analysis { result, units: units(&series.unit), plot })
}

fn units(unit: &str) -> BTreeMap<String, String> {
    let per_second = match unit {
        "" | "unitless" | "dimensionless" => "1 / s".to_owned(),
        // `m/s / s` is what astropy reads as m/s²; it takes no brackets around a quotient.
        unit => format!("{unit} / s"),
    };
    let mut units: BTreeMap<String, String> =
        ["predicted", "low", "high", "residual_rms"].map(|key| (key.to_owned(), unit.to_owned())).into();
    units.insert("slope".to_owned(), per_second);
    units.insert("at".to_owned(), "s".to_owned());
    units.insert("crosses_at".to_owned(), "s".to_owned());
    units
}

/// The line `offset + slope · (t - origin)` and what its interval needs.
#[derive(Debug)]
struct Fit {
    origin: f64,
    offset: f64,
    slope: f64,
    residual_rms: f64,
    n: f64,
    mean: f64,
    sxx: f64,
    /// Robust scale of the residuals times the quantile of Student's t.
    width: f64,
}

impl Fit {
    fn new(times: &[f64], values: &[f64], origin: f64, confidence: f64) -> Fit {
        // Seconds since 1970 squared would eat the digits: count from `origin`.
        let x: Vec<f64> = times.iter().map(|t| t - origin).collect();
        let slope = slope(&x, values);
        let mut offsets: Vec<f64> = x.iter().zip(values).map(|(x, y)| y - slope * x).collect();
        let offset = stats::median(&mut offsets);
        let residuals: Vec<f64> = x.iter().zip(values).map(|(x, y)| y - offset - slope * x).collect();
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        Fit {
            origin,
            offset,
            slope,
            residual_rms: stats::rms(&residuals),
            n,
            mean,
            sxx: x.iter().map(|x| (x - mean) * (x - mean)).sum(),
            width: stats::t_quantile(0.5 + confidence / 2.0, n - 2.0) * stats::robust_scale(&residuals),
        }
    }

    fn at(&self, time: f64) -> f64 {
        self.offset + self.slope * (time - self.origin)
    }

    fn half_width(&self, time: f64) -> f64 {
        let away = time - self.origin - self.mean;
        self.width * (1.0 + 1.0 / self.n + away * away / self.sxx).sqrt()
    }

    fn crosses(&self, limit: f64, direction: Direction, start: f64, end: f64) -> Option<f64> {
        let beyond = |value: f64| match direction {
            Direction::Above => value >= limit,
            Direction::Below => value <= limit,
        };
        if beyond(self.at(start)) {
            return Some(start);
        }
        let time = self.origin + (limit - self.offset) / self.slope;
        (time > start && time <= end).then_some(time)
    }
}

/// Theil-Sen slope of samples that span some time.
fn slope(x: &[f64], y: &[f64]) -> f64 {
    if x.len() > MAX_EXACT {
        let (x, y) = stretches(x, y);
        return pair_slope(&x, &y);
    }
    pair_slope(x, y)
}

fn pair_slope(x: &[f64], y: &[f64]) -> f64 {
    let mut slopes = Vec::with_capacity(x.len() * (x.len() - 1) / 2);
    for i in 0..x.len() {
        for j in i + 1..x.len() {
            if x[j] > x[i] {
                slopes.push((y[j] - y[i]) / (x[j] - x[i]));
            }
        }
    }
    stats::median(&mut slopes)
}

/// The medians in time and value of [`MAX_EXACT`] stretches of (nearly) equally many samples.
fn stretches(x: &[f64], y: &[f64]) -> (Vec<f64>, Vec<f64>) {
    (0..MAX_EXACT)
        .map(|k| {
            let range = k * x.len() / MAX_EXACT..(k + 1) * x.len() / MAX_EXACT;
            (stats::median(&mut x[range.clone()].to_vec()), stats::median(&mut y[range].to_vec()))
        })
        .unzip()
}

fn draw(
    series: &Series,
    times: &[f64],
    values: &[f64],
    fit: &Fit,
    (start, end): (f64, f64),
    params: &TrendParams,
) -> Plot {
    let first = times[0];
    let grid: Vec<f64> = (0..=60).map(|k| first + (end - first) * f64::from(k) / 60.0).collect();
    let (data_times, data_values) = thinned(times, values);
    let line = |label: &str, kind, times: Vec<f64>| Line {
        label: label.to_owned(),
        kind,
        values: times.iter().map(|&t| fit.at(t)).collect(),
        times,
    };
    let mut lines = vec![
        Line { label: series.name.clone(), kind: LineKind::Data, times: data_times, values: data_values },
        line("robust linear fit", LineKind::Fit, vec![first, start.max(first)]),
    ];
    if end > start {
        lines.push(line("forecast", LineKind::Forecast, vec![start, end]));
    }
    let band = Band {
        label: format!("{:.0} % prediction interval", params.confidence * 100.0),
        low: grid.iter().map(|&t| fit.at(t) - fit.half_width(t)).collect(),
        high: grid.iter().map(|&t| fit.at(t) + fit.half_width(t)).collect(),
        times: grid,
    };
    Plot {
        title: format!("Trend of {}", series.name),
        panels: vec![Panel {
            label: series.name.clone(),
            unit: series.unit.clone(),
            lines,
            bands: vec![band],
            limits: params.limit.map(|limit| ("limit".to_owned(), limit)).into_iter().collect(),
            marks: vec![("end of data".to_owned(), start)],
            shows: ["predicted", "low", "high"].map(str::to_owned).to_vec(),
        }],
        ..Plot::default()
    }
}
