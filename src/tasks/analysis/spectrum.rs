//! `spectrum`: at which frequency a series shakes, and how much.
//!
//! The power spectral density is Welch's: segments that overlap by half, each freed of its mean and tapered by a Hann
//! window, one-sided, as `scipy.signal.welch` has it by default. The samples must be evenly spaced for that: those that are
//! not are first interpolated linearly onto an even grid, and the result says so.

use std::collections::BTreeMap;

use rustfft::FftPlanner;
use rustfft::num_complex::Complex;
use serde_json::json;

use super::plot::{Axis, Line, LineKind, Panel, Plot, thinned};
use super::series::{Series, SeriesSet};
use super::{Analysis, AnalysisError, stats};

/// Fewest samples of a series and of a segment.
pub const MIN_POINTS: usize = 16;
/// Steps that differ from their mean by less than this part are even.
const EVEN: f64 = 0.01;
/// The even grid may have so many times as many points as there are samples; beyond that there are more gaps than data.
const MOST_FILLED: f64 = 2.0;

/// Parameters of [`spectrum`].
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct SpectrumParams {
    /// Where the peak is looked for: from this frequency, Hz; from the lowest that is resolved if `None`.
    #[serde(default)]
    pub from_hz: Option<f64>,
    /// To this one, Hz; up to half the sampling rate if `None`.
    #[serde(default)]
    pub to_hz: Option<f64>,
    /// Length of a segment, s: the longer, the finer the frequencies and the noisier their power. A quarter of the range if
    /// `None`.
    #[serde(default)]
    pub segment_s: Option<f64>,
}

/// The spectrum of the one series of `set` between `set.from` and `set.to`.
///
/// The result has `peak_frequency` (Hz) of the highest power density within the band, `resolution` (Hz), which is how well it
/// is known, `peak_psd` (unit²/Hz) and its standard error `peak_psd_error` (a relative `sqrt(11 / 9K)` for K segments that
/// overlap by half: Welch 1967), `band_rms` and `rms` (unit): the root of the power within the band and of all of it;
/// `rate` (Hz) of sampling, `segments`, `n`, `gaps`, and `resampled`.
///
/// # Errors
/// Not exactly one series; fewer than [`MIN_POINTS`] finite samples; more gaps than data; a segment that is too short or longer
/// than the range; a band without a frequency.
pub fn spectrum(set: &SeriesSet, params: &SpectrumParams) -> Result<Analysis, AnalysisError> {
    let (series, times, values) = set.only("spectrum", MIN_POINTS)?;
    let even = Even::of(series, &times, &values)?;
    let length = segment(&even, params)?;
    let psd = welch(&even.values, even.step_s, length);
    let resolution = 1.0 / (length as f64 * even.step_s);
    let frequency = |k: usize| k as f64 * resolution;
    let (from, to) = (params.from_hz.unwrap_or(resolution), params.to_hz.unwrap_or(f64::INFINITY));
    // Bins within rounding of the band's ends belong to it; the mean is no frequency.
    let within = |k: usize| (from - 1e-9 * resolution..=to + 1e-9 * resolution).contains(&frequency(k));
    let band: Vec<usize> = (1..psd.power.len()).filter(|k| within(*k)).collect();
    let Some(&peak) = band.iter().max_by(|a, b| psd.power[**a].total_cmp(&psd.power[**b])) else {
        return Err(AnalysisError::BadParameter {
            name: "from_hz",
            value: from,
            rule: "no frequency of the spectrum lies between from_hz and to_hz; they end at half the sampling rate",
        });
    };
    let power = |bins: &mut dyn Iterator<Item = usize>| bins.map(|k| psd.power[k] * resolution).sum::<f64>();
    let result = json!({
        "peak_frequency": frequency(peak),
        "resolution": resolution,
        "peak_psd": psd.power[peak],
        "peak_psd_error": psd.power[peak] * (11.0 / (9.0 * psd.segments as f64)).sqrt(),
        "band_rms": power(&mut band.iter().copied()).sqrt(),
        "rms": power(&mut (1..psd.power.len())).sqrt(),
        "rate": 1.0 / even.step_s,
        "segments": psd.segments,
        "n": values.len(),
        "gaps": stats::gaps(&times),
        "resampled": even.resampled,
    });
    let mut units: BTreeMap<String, String> =
        ["peak_frequency", "resolution", "rate"].map(|key| (key.to_owned(), "Hz".to_owned())).into();
    if !series.unit.is_empty() {
        units.extend(["band_rms", "rms"].map(|key| (key.to_owned(), series.unit.clone())));
        let density = format!("({})2 / Hz", series.unit);
        units.extend(["peak_psd", "peak_psd_error"].map(|key| (key.to_owned(), density.clone())));
    }
    let frequencies: Vec<f64> = (1..psd.power.len()).map(frequency).collect();
    Ok(Analysis { result, units, plot: draw(series, &frequencies, &psd.power[1..], frequency(peak)) })
}

/// Samples at even distances.
struct Even {
    values: Vec<f64>,
    step_s: f64,
    resampled: bool,
}

impl Even {
    fn of(series: &Series, times: &[f64], values: &[f64]) -> Result<Even, AnalysisError> {
        let steps: Vec<f64> = times.windows(2).map(|w| w[1] - w[0]).collect();
        let usual = stats::median(&mut steps.clone());
        // Stamps jitter: the mean of the usual steps is the sampling's, gaps and doubles left out.
        let (count, sum) = (steps.iter())
            .filter(|step| (0.5 * usual..=1.5 * usual).contains(*step))
            .fold((0_usize, 0.0), |(n, sum), step| (n + 1, sum + step));
        let step_s = sum / count.max(1) as f64;
        let span = times[times.len() - 1] - times[0];
        let points = span / step_s;
        if !(step_s > 0.0 && points.is_finite()) || points > MOST_FILLED * times.len() as f64 {
            return Err(AnalysisError::TooManyGaps {
                series: series.name.clone(),
                have: times.len(),
                span_s: span,
                step_s: usual,
            });
        }
        let resampled = steps.iter().any(|step| (step - step_s).abs() > EVEN * step_s);
        if !resampled {
            return Ok(Even { values: values.to_vec(), step_s, resampled });
        }
        let grid = (0..=points.round() as usize).map(|k| times[0] + k as f64 * step_s);
        Ok(Even { values: grid.map(|t| stats::interpolate(times, values, t)).collect(), step_s, resampled })
    }
}

/// Samples of a segment.
fn segment(even: &Even, params: &SpectrumParams) -> Result<usize, AnalysisError> {
    let n = even.values.len();
    let bad = |value: f64, rule| Err(AnalysisError::BadParameter { name: "segment", value, rule });
    match params.segment_s {
        None => Ok((n / 4).max(MIN_POINTS).min(n)),
        Some(seconds) => match (seconds / even.step_s).round() {
            samples if samples < MIN_POINTS as f64 => bad(seconds, "a segment needs at least 16 samples"),
            samples if samples > n as f64 => bad(seconds, "a segment is at most as long as the range"),
            samples => Ok(samples as usize),
        },
    }
}

/// Power densities from frequency 0 on, and how many segments they are the mean of.
struct Psd {
    power: Vec<f64>,
    segments: usize,
}

fn welch(values: &[f64], step_s: f64, length: usize) -> Psd {
    let taper: Vec<f64> = (0..length)
        .map(|k| 0.5 - 0.5 * (2.0 * std::f64::consts::PI * k as f64 / length as f64).cos())
        .collect();
    let scale = step_s / taper.iter().map(|w| w * w).sum::<f64>();
    let fft = FftPlanner::<f64>::new().plan_fft_forward(length);
    let mut scratch = vec![Complex::default(); fft.get_inplace_scratch_len()];
    let mut power = vec![0.0; length / 2 + 1];
    let mut segments = 0;
    for start in (0..=values.len() - length).step_by(length - length / 2) {
        let segment = &values[start..start + length];
        let mean = stats::mean(segment);
        let mut bins: Vec<Complex<f64>> =
            segment.iter().zip(&taper).map(|(v, w)| Complex::new((v - mean) * w, 0.0)).collect();
        fft.process_with_scratch(&mut bins, &mut scratch);
        for (k, sum) in power.iter_mut().enumerate() {
            // Both signs of a frequency; 0 and, for an even length, half the rate have only one.
            let sides = if k == 0 || 2 * k == length { 1.0 } else { 2.0 };
            *sum += sides * scale * bins[k].norm_sqr();
        }
        segments += 1;
    }
    power.iter_mut().for_each(|p| *p /= segments as f64);
    Psd { power, segments }
}

fn draw(series: &Series, frequencies: &[f64], power: &[f64], peak: f64) -> Plot {
    // Decibels: powers differ by many orders. What is zero is not drawn.
    let decibels: Vec<f64> =
        power.iter().map(|p| if *p > 0.0 { 10.0 * p.log10() } else { f64::NAN }).collect();
    let (times, values) = thinned(frequencies, &decibels);
    let unit = if series.unit.is_empty() { "1" } else { series.unit.as_str() };
    let panel = Panel {
        label: "power density".to_owned(),
        unit: format!("dB re 1 ({unit})²/Hz"),
        lines: vec![Line { label: series.name.clone(), kind: LineKind::Fit, times, values }],
        marks: vec![(format!("{peak:.3} Hz"), peak)],
        ..Panel::default()
    };
    Plot { title: format!("Spectrum of {}", series.name), panels: vec![panel], x: Axis::Frequency }
}
