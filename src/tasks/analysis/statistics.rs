//! `statistics`: what a series was like over a range, in a few numbers with their uncertainty.

use std::collections::BTreeMap;

use serde_json::json;

use super::plot::{Band, Line, LineKind, Panel, Plot, thinned};
use super::series::SeriesSet;
use super::{Analysis, AnalysisError, stats};

/// Fewest samples that have a spread.
pub const MIN_POINTS: usize = 2;

/// Keys of the result that have the unit of the series.
const OWN: [&str; 11] =
    ["mean", "mean_error", "median", "std", "robust_std", "rms", "min", "max", "ptp", "first", "last"];

/// The samples of the one series of `set` that lie between `set.from` and `set.to`.
///
/// The result has `n`; `mean` and `mean_error`, the standard error of the mean, which takes the samples for independent;
/// `median`; `std` with n - 1; `robust_std` ([`stats::robust_scale`] about the median); `rms` about zero; `min`, `max`, `ptp`,
/// `first`, `last` in the unit of the series; `at_min` and `at_max` (TAI s); `gaps`, the steps longer than 1.5 times the
/// median step.
///
/// # Errors
/// Not exactly one series; fewer than [`MIN_POINTS`] finite samples in the range; no time span.
pub fn statistics(set: &SeriesSet) -> Result<Analysis, AnalysisError> {
    let (series, times, values) = set.only("statistics", MIN_POINTS)?;
    let n = values.len() as f64;
    let mean = stats::mean(&values);
    let std = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    let median = stats::median(&mut values.clone());
    let centred: Vec<f64> = values.iter().map(|v| v - median).collect();
    let by_value = |a: &(usize, &f64), b: &(usize, &f64)| a.1.total_cmp(b.1);
    // The first of equal ones in either direction; there are at least two samples.
    let lowest = values.iter().enumerate().min_by(by_value).map_or(0, |(i, _)| i);
    let highest = values.iter().enumerate().rev().max_by(by_value).map_or(0, |(i, _)| i);
    let result = json!({
        "n": values.len(),
        "mean": mean,
        "mean_error": std / n.sqrt(),
        "median": median,
        "std": std,
        "robust_std": stats::robust_scale(&centred),
        "rms": stats::rms(&values),
        "min": values[lowest],
        "max": values[highest],
        "ptp": stats::ptp(&values),
        "first": values[0],
        "last": values[values.len() - 1],
        "at_min": times[lowest],
        "at_max": times[highest],
        "gaps": stats::gaps(&times),
    });
    let mut units: BTreeMap<String, String> = ["at_min", "at_max"].map(|k| (k.to_owned(), "s".into())).into();
    units.extend(
        OWN.map(|key| (key.to_owned(), series.unit.clone())).into_iter().filter(|(_, u)| !u.is_empty()),
    );

    let ends = vec![times[0], times[times.len() - 1]];
    let constant = |v: f64| vec![v; 2];
    let (line_times, line_values) = thinned(&times, &values);
    let data =
        Line { label: series.name.clone(), kind: LineKind::Data, times: line_times, values: line_values };
    let fit = Line { label: "mean".into(), kind: LineKind::Fit, times: ends.clone(), values: constant(mean) };
    let band = Band {
        label: "± standard deviation".into(),
        times: ends,
        low: constant(mean - std),
        high: constant(mean + std),
    };
    let panel = Panel {
        label: series.name.clone(),
        unit: series.unit.clone(),
        lines: vec![data, fit],
        bands: vec![band],
        shows: ["mean", "median", "min", "max", "first", "last"].map(str::to_owned).into(),
        ..Panel::default()
    };
    let title = format!("{} over {:.0} s", series.name, times[times.len() - 1] - times[0]);
    Ok(Analysis { result, units, plot: Plot { title, panels: vec![panel], ..Plot::default() } })
}
