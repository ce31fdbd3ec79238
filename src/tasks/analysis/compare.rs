//! `compare`: whether two series say the same: each sample of the first is joined with the nearest in time of the second.
//!
//! Of two that are equally near, the earlier counts; one sample of the second may be joined with several of the first. What has
//! no partner within the tolerance is left out and counted. The second series has been converted to the unit of the first.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::plot::{Band, Line, LineKind, Panel, Plot, thinned};
use super::series::{Series, SeriesSet};
use super::{Analysis, AnalysisError, stats};

/// Fewest pairs that have a spread.
pub const MIN_PAIRS: usize = 2;

/// Keys of the result that have the unit of the first series.
const OWN: [&str; 9] =
    ["mean", "mean_error", "median", "std", "rms", "max_abs", "offset", "offset_error", "residual_rms"];

/// Parameters of [`compare`].
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct CompareParams {
    /// How far apart in time the samples of a pair may be, s.
    pub tolerance_s: f64,
}

/// A sample of the first series with its partner.
#[derive(Debug, Clone, Copy)]
struct Pair {
    time: f64,
    a: f64,
    b: f64,
    /// Which sample of the second series.
    at: usize,
    /// How far away in time it is, s.
    separation: f64,
}

/// Differences `b - a` of the one series of each set, over the samples that lie in its range.
///
/// The result has `n` pairs, `unmatched` samples of the first series without partner, `unmatched_b` samples of the second that are
/// nobody's; of the differences `mean` and `mean_error` (the standard error, which takes them for independent), `median`, `std`
/// with n - 1, `rms` about zero, `max_abs` and when that was, `at_max_abs` (TAI s); `correlation`; the line `b = offset + slope a`
/// by least squares with `slope_error`, `offset_error` (standard errors) and `residual_rms` of its residuals; the mean
/// `separation` in time of the samples of a pair, s. `correlation` and the line are null where one of the series is constant, the errors of
/// the line where there are only two pairs.
///
/// # Errors
/// Not exactly one series in each set; a series without a finite sample; fewer than [`MIN_PAIRS`] pairs; a tolerance that is none.
pub fn compare(a: &SeriesSet, b: &SeriesSet, params: &CompareParams) -> Result<Analysis, AnalysisError> {
    let tolerance = params.tolerance_s;
    if !(tolerance.is_finite() && tolerance >= 0.0) {
        let rule = "it must be a duration of zero or more";
        return Err(AnalysisError::BadParameter { name: "tolerance", value: tolerance, rule });
    }
    let (of_a, of_b) = (one(a)?, one(b)?);
    let (names, unit) = ((&of_a.name, &of_b.name), &of_a.unit);
    let ((times_a, values_a), (times_b, values_b)) = (within(a, of_a)?, within(b, of_b)?);
    let pairs: Vec<Pair> = (times_a.iter().zip(&values_a))
        .filter_map(|(&time, &value)| {
            let at = nearest(&times_b, time)?;
            let separation = (times_b[at] - time).abs();
            (separation <= tolerance).then(|| Pair { time, a: value, b: values_b[at], at, separation })
        })
        .collect();
    if pairs.len() < MIN_PAIRS {
        return Err(AnalysisError::TooFewPairs {
            a: names.0.clone(),
            b: names.1.clone(),
            have: pairs.len(),
            of: times_a.len(),
            tolerance_s: tolerance,
            need: MIN_PAIRS,
        });
    }
    let used: BTreeSet<usize> = pairs.iter().map(|pair| pair.at).collect();
    let differences: Vec<f64> = pairs.iter().map(|pair| pair.b - pair.a).collect();
    let n = pairs.len() as f64;
    let mean = stats::mean(&differences);
    let std = (differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / (n - 1.0)).sqrt();
    // The first of equal ones.
    let worst = (0..pairs.len()).rev().max_by(|i, j| differences[*i].abs().total_cmp(&differences[*j].abs()));
    let worst = worst.unwrap_or_default();
    let line = Fit::of(&pairs);
    let result = json!({
        "n": pairs.len(),
        "unmatched": times_a.len() - pairs.len(),
        "unmatched_b": times_b.len() - used.len(),
        "mean": mean,
        "mean_error": std / n.sqrt(),
        "median": stats::median(&mut differences.clone()),
        "std": std,
        "rms": stats::rms(&differences),
        "max_abs": differences[worst].abs(),
        "at_max_abs": pairs[worst].time,
        "correlation": line.as_ref().map(|line| line.correlation),
        "slope": line.as_ref().map(|line| line.slope),
        "slope_error": line.as_ref().and_then(|line| line.slope_error),
        "offset": line.as_ref().map(|line| line.offset),
        "offset_error": line.as_ref().and_then(|line| line.offset_error),
        "residual_rms": line.as_ref().map(|line| line.residual_rms),
        "separation": pairs.iter().map(|pair| pair.separation).sum::<f64>() / n,
    });
    let mut units: BTreeMap<String, String> =
        ["at_max_abs", "separation"].map(|key| (key.to_owned(), "s".to_owned())).into();
    units.extend(
        OWN.map(|key| (key.to_owned(), unit.clone())).into_iter().filter(|(_, unit)| !unit.is_empty()),
    );

    let times: Vec<f64> = pairs.iter().map(|pair| pair.time).collect();
    let drawn = |name: &str, times: &[f64], values: &[f64]| {
        let (times, values) = thinned(times, values);
        let line = Line { label: name.to_owned(), kind: LineKind::Data, times, values };
        Panel { label: name.to_owned(), unit: unit.clone(), lines: vec![line], ..Panel::default() }
    };
    let label = format!("{} - {}", names.1, names.0);
    let ends = vec![times[0], times[times.len() - 1]];
    let mut difference = drawn(&label, &times, &differences);
    let values = vec![mean; 2];
    difference.lines.push(Line { label: "mean".into(), kind: LineKind::Fit, times: ends.clone(), values });
    let (low, high) = (vec![mean - std; 2], vec![mean + std; 2]);
    difference.bands.push(Band { label: "± standard deviation".into(), times: ends, low, high });
    difference.shows = ["mean", "median"].map(str::to_owned).into();
    let panels = vec![drawn(names.0, &times_a, &values_a), drawn(names.1, &times_b, &values_b), difference];
    let title = format!("{} compared with {}", names.1, names.0);
    Ok(Analysis { result, units, plot: Plot { title, panels, ..Plot::default() } })
}

fn one(set: &SeriesSet) -> Result<&Series, AnalysisError> {
    match set.series.as_slice() {
        [series] => Ok(series),
        _ => Err(AnalysisError::WrongSeries { analysis: "compare", needs: "two series", given: set.names() }),
    }
}

/// The samples of the range; there is at least one.
fn within(set: &SeriesSet, series: &Series) -> Result<(Vec<f64>, Vec<f64>), AnalysisError> {
    let (times, values) = series.cleaned()?;
    let inside = times.into_iter().zip(values).filter(|(t, _)| (set.from.0..=set.to.0).contains(t));
    let (times, values): (Vec<f64>, Vec<f64>) = inside.unzip();
    if times.is_empty() {
        return Err(AnalysisError::TooFewPoints { series: series.name.clone(), have: 0, need: 1 });
    }
    Ok((times, values))
}

/// The sample nearest in time; of equally near ones the earlier, of those with one stamp the last.
fn nearest(times: &[f64], at: f64) -> Option<usize> {
    let after = times.partition_point(|&t| t <= at);
    let before = after.checked_sub(1);
    match (before, times.get(after)) {
        (Some(before), Some(&next)) if next - at < at - times[before] => Some(after),
        (Some(before), _) => Some(before),
        (None, Some(_)) => Some(after),
        (None, None) => None,
    }
}

/// A line through the pairs.
#[derive(Debug)]
struct Fit {
    slope: f64,
    offset: f64,
    correlation: f64,
    slope_error: Option<f64>,
    offset_error: Option<f64>,
    residual_rms: f64,
}

impl Fit {
    /// By least squares; none where a series is constant.
    fn of(pairs: &[Pair]) -> Option<Fit> {
        let n = pairs.len() as f64;
        let mean_a = pairs.iter().map(|pair| pair.a).sum::<f64>() / n;
        let mean_b = pairs.iter().map(|pair| pair.b).sum::<f64>() / n;
        let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
            pairs.iter().map(|pair| f(pair.a - mean_a, pair.b - mean_b)).sum()
        };
        let (aa, bb, ab) = (sum(&|a, _| a * a), sum(&|_, b| b * b), sum(&|a, b| a * b));
        // Constant but for rounding.
        let flat = |squares: f64, mean: f64| squares <= n * (1e-14 * mean).powi(2) || squares == 0.0;
        if flat(aa, mean_a) || flat(bb, mean_b) {
            return None;
        }
        let slope = ab / aa;
        let offset = mean_b - slope * mean_a;
        let rest = sum(&|a, b| (b - slope * a).powi(2));
        let variance = (n > 2.0).then(|| rest / (n - 2.0));
        Some(Fit {
            slope,
            offset,
            correlation: (ab / (aa * bb).sqrt()).clamp(-1.0, 1.0),
            slope_error: variance.map(|v| (v / aa).sqrt()),
            offset_error: variance.map(|v| (v * (1.0 / n + mean_a * mean_a / aa)).sqrt()),
            residual_rms: (rest / n).sqrt(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_found_also_at_the_ends() {
        let times = [1.0, 2.0, 2.0, 4.0];
        for (at, want) in [(0.0, 0), (1.4, 0), (1.5, 0), (1.6, 1), (2.0, 2), (3.0, 2), (3.1, 3), (9.0, 3)] {
            assert_eq!(nearest(&times, at), Some(want), "{at}");
        }
        assert_eq!(nearest(&[], 1.0), None);
    }
}
