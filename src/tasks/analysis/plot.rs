//! What an analysis wants drawn, without saying how: `reports` renders it.

/// A plot: panels one below the other with one horizontal axis.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct Plot {
    /// What is shown, in a few words.
    pub title: String,
    /// From top to bottom.
    pub panels: Vec<Panel>,
    /// What the horizontal axis of all panels is.
    #[serde(default)]
    pub x: Axis,
}

/// A horizontal axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// TAI s, labelled in UTC.
    #[default]
    Time,
    /// Hz.
    Frequency,
}

/// One pair of axes.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct Panel {
    /// What the vertical axis shows.
    pub label: String,
    /// Its unit; empty if unknown or none.
    pub unit: String,
    /// Curves, drawn in this order.
    pub lines: Vec<Line>,
    /// Intervals, drawn under the curves.
    pub bands: Vec<Band>,
    /// Horizontal lines: (label, value), e.g. alarm levels.
    pub limits: Vec<(String, f64)>,
    /// Vertical lines: (label, TAI s or what the horizontal axis is), e.g. `now`.
    pub marks: Vec<(String, f64)>,
    /// Keys of the result that live on this vertical axis: alarm levels of them may be drawn here.
    #[serde(default)]
    pub shows: Vec<String>,
}

/// What a line stands for; it decides how it is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// Measured samples.
    Data,
    /// A model fitted to them.
    Fit,
    /// The model beyond the samples.
    Forecast,
}

/// A curve.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Line {
    /// Name in the legend.
    pub label: String,
    /// What it stands for.
    pub kind: LineKind,
    /// TAI s, or what the horizontal axis is.
    pub times: Vec<f64>,
    /// In the panel's unit; a NaN breaks the curve.
    pub values: Vec<f64>,
}

/// An interval over time.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Band {
    /// Name in the legend.
    pub label: String,
    /// TAI s.
    pub times: Vec<f64>,
    /// Lower bound.
    pub low: Vec<f64>,
    /// Upper bound.
    pub high: Vec<f64>,
}

/// Most points of one curve in a plot.
pub const MAX_POINTS: usize = 2000;

/// A curve thinned to at most [`MAX_POINTS`]: the lowest and the highest sample of each stretch, so that no spike is lost.
pub fn thinned(times: &[f64], values: &[f64]) -> (Vec<f64>, Vec<f64>) {
    if times.len() <= MAX_POINTS {
        return (times.to_vec(), values.to_vec());
    }
    let stretch = times.len().div_ceil(MAX_POINTS / 2);
    let mut keep = Vec::with_capacity(MAX_POINTS);
    for start in (0..times.len()).step_by(stretch) {
        let end = (start + stretch).min(times.len());
        let by_value = |a: &usize, b: &usize| values[*a].total_cmp(&values[*b]);
        let low = (start..end).min_by(by_value).expect("a stretch has at least one sample");
        let high = (start..end).max_by(by_value).expect("a stretch has at least one sample");
        keep.push(low.min(high));
        if low != high {
            keep.push(low.max(high));
        }
    }
    keep.iter().map(|&i| (times[i], values[i])).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_the_spikes_and_the_order() {
        let times: Vec<f64> = (0..100_000).map(f64::from).collect();
        let mut values: Vec<f64> = times.iter().map(|t| (t * 0.01).sin()).collect();
        values[54_321] = 99.0;
        values[70_007] = -99.0;
        let (t, v) = thinned(&times, &values);
        assert!(t.len() <= MAX_POINTS && t.len() == v.len());
        assert!(t.windows(2).all(|w| w[0] < w[1]));
        assert!(v.contains(&99.0) && v.contains(&-99.0));
    }
}
