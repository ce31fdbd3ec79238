//! `jitter`: how much a mount shook, from its encoders.
//!
//! Each axis is freed of its intended motion by a polynomial in time (least squares, degree 2 by default: position,
//! tracking rate and its change, which over an exposure matters near the zenith), and the root mean square of what
//! remains is the jitter of that axis, in arcsec. The azimuth is multiplied by cos(elevation) sample by sample, so that
//! all axes count on the sky. `rms` is the root of the sum of squares over the axes.

use std::collections::BTreeMap;

use serde_json::json;

use super::plot::{Band, Line, LineKind, Panel, Plot, thinned};
use super::series::{Series, SeriesSet};
use super::{Analysis, AnalysisError, stats};

/// Name of the axis that is foreshortened.
pub const AZIMUTH: &str = "azimuth";
/// Name of the axis that foreshortens it.
pub const ELEVATION: &str = "elevation";

/// Parameters of [`jitter`].
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct JitterParams {
    /// Degree of the polynomial that stands for the intended motion, 0 to 6.
    #[serde(default = "default_degree")]
    pub degree: usize,
}

fn default_degree() -> usize {
    2
}

impl Default for JitterParams {
    fn default() -> JitterParams {
        JitterParams { degree: default_degree() }
    }
}

/// Jitter over the axes of `set`: every series is one, in degrees unless its unit is `rad` or `arcsec`.
///
/// Only samples between `set.from` and `set.to` count. The result has `rms` (arcsec), `rms_by_axis` and `ptp_by_axis`
/// (arcsec, objects by series name), `n` (samples of the axis that has fewest) and `gaps` (of the axis that has most).
///
/// # Errors
/// No series; `azimuth` without `elevation`; fewer than degree + 3 finite samples in an axis; no time span; a unit that is
/// no angle; a degree out of range.
pub fn jitter(set: &SeriesSet, params: &JitterParams) -> Result<Analysis, AnalysisError> {
    if params.degree > 6 {
        return Err(AnalysisError::BadParameter {
            name: "degree",
            value: params.degree as f64,
            rule: "it must lie between 0 and 6",
        });
    }
    if set.series.is_empty() || (set.get(AZIMUTH).is_some() && set.get(ELEVATION).is_none()) {
        return Err(AnalysisError::WrongSeries {
            analysis: "jitter",
            needs: "one or more axes, and elevation beside azimuth",
            given: set.names(),
        });
    }
    let elevation = set.get(ELEVATION).map(|s| in_range(s, set, params)).transpose()?;
    let axes: Vec<Axis> = (set.series.iter())
        .map(|series| Axis::new(series, set, params, elevation.as_ref()))
        .collect::<Result<_, _>>()?;

    let by_axis = |f: fn(&Axis) -> f64| -> BTreeMap<&str, f64> {
        axes.iter().map(|axis| (axis.name.as_str(), f(axis))).collect()
    };
    let rms_by_axis = by_axis(|axis| stats::rms(&axis.arcsec));
    let result = json!({
        "rms": rms_by_axis.values().map(|rms| rms * rms).sum::<f64>().sqrt(),
        "rms_by_axis": rms_by_axis,
        "ptp_by_axis": by_axis(|axis| stats::ptp(&axis.arcsec)),
        "n": axes.iter().map(|axis| axis.times.len()).min(),
        "gaps": axes.iter().map(|axis| stats::gaps(&axis.times)).max(),
    });
    let units = ["rms", "rms_by_axis", "ptp_by_axis"].map(|key| (key.to_owned(), "arcsec".to_owned())).into();
    Ok(Analysis { result, units, plot: draw(&axes) })
}

/// One axis: what remains of it, on the sky.
#[derive(Debug)]
struct Axis {
    name: String,
    times: Vec<f64>,
    arcsec: Vec<f64>,
}

impl Axis {
    fn new(
        series: &Series,
        set: &SeriesSet,
        params: &JitterParams,
        elevation: Option<&(Vec<f64>, Vec<f64>)>,
    ) -> Result<Axis, AnalysisError> {
        let (times, degrees) = in_range(series, set, params)?;
        let fit = stats::polynomial_fit(&times, &degrees, params.degree);
        let foreshortened = elevation.filter(|_| series.name == AZIMUTH);
        let arcsec = (times.iter().zip(degrees.iter().zip(&fit)))
            .map(|(&time, (value, fit))| {
                let on_sky =
                    foreshortened.map_or(1.0, |(t, e)| stats::interpolate(t, e, time).to_radians().cos());
                (value - fit) * 3600.0 * on_sky
            })
            .collect();
        Ok(Axis { name: series.name.clone(), times, arcsec })
    }
}

/// The samples of the range, in degrees.
fn in_range(
    series: &Series,
    set: &SeriesSet,
    params: &JitterParams,
) -> Result<(Vec<f64>, Vec<f64>), AnalysisError> {
    let to_degrees = match series.unit.as_str() {
        "" | "deg" | "degree" | "degrees" => 1.0,
        "rad" | "radian" | "radians" => 180.0 / std::f64::consts::PI,
        "arcsec" | "arcsecond" | "arcseconds" => 1.0 / 3600.0,
        other => {
            return Err(AnalysisError::NotAnAngle { series: series.name.clone(), unit: other.to_owned() });
        }
    };
    let (times, values) = series.cleaned()?;
    let (times, values): (Vec<f64>, Vec<f64>) = (times.into_iter().zip(values))
        .filter(|(t, _)| (set.from.0..=set.to.0).contains(t))
        .map(|(t, v)| (t, v * to_degrees))
        .unzip();
    let kept = Series { times, values, ..series.clone() };
    let (times, values) = kept.usable(params.degree + 3)?;
    let distinct = 1 + times.windows(2).filter(|w| w[0] != w[1]).count();
    if distinct < params.degree + 2 {
        return Err(AnalysisError::NoTimeSpan { series: series.name.clone(), distinct });
    }
    Ok((times, values))
}

fn draw(axes: &[Axis]) -> Plot {
    let panels = axes.iter().map(|axis| {
        let (times, values) = thinned(&axis.times, &axis.arcsec);
        let rms = stats::rms(&axis.arcsec);
        let ends = vec![axis.times[0], axis.times[axis.times.len() - 1]];
        let band = Band {
            label: format!("± rms {rms:.3} arcsec"),
            times: ends,
            low: vec![-rms; 2],
            high: vec![rms; 2],
        };
        Panel {
            label: if axis.name == AZIMUTH {
                "azimuth · cos(elevation)".to_owned()
            } else {
                axis.name.clone()
            },
            unit: "arcsec".to_owned(),
            lines: vec![Line {
                label: format!("{}, detrended", axis.name),
                kind: LineKind::Data,
                times,
                values,
            }],
            bands: vec![band],
            ..Panel::default()
        }
    });
    Plot { title: "Mount jitter".to_owned(), panels: panels.collect(), ..Plot::default() }
}
