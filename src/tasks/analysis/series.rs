//! Time series as analyses read them.

use salobj::Tai;

use super::AnalysisError;

/// One quantity over time. `times` and `values` have the same length; order and finiteness are not promised
/// (see [`Series::cleaned`]).
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct Series {
    /// Name: the field, or the name that the rule gave it (`azimuth`).
    pub name: String,
    /// Unit as the SAL interface writes it; empty if unknown.
    pub unit: String,
    /// Stamps, TAI seconds since 1970.
    pub times: Vec<f64>,
    /// Values in `unit`.
    pub values: Vec<f64>,
}

impl Series {
    /// A series of that name and unit.
    pub fn new(
        name: impl Into<String>,
        unit: impl Into<String>,
        times: Vec<f64>,
        values: Vec<f64>,
    ) -> Series {
        Series { name: name.into(), unit: unit.into(), times, values }
    }

    /// The samples that are finite in time and value, in order of time (stable for equal stamps).
    pub fn cleaned(&self) -> Result<(Vec<f64>, Vec<f64>), AnalysisError> {
        if self.times.len() != self.values.len() {
            return Err(AnalysisError::LengthMismatch {
                series: self.name.clone(),
                times: self.times.len(),
                values: self.values.len(),
            });
        }
        let mut pairs: Vec<(f64, f64)> = (self.times.iter().copied().zip(self.values.iter().copied()))
            .filter(|(t, v)| t.is_finite() && v.is_finite())
            .collect();
        if pairs.is_empty() && !self.values.is_empty() {
            return Err(AnalysisError::NoFiniteValue {
                series: self.name.clone(),
                samples: self.values.len(),
            });
        }
        pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
        Ok(pairs.into_iter().unzip())
    }

    /// As [`Series::cleaned`], but an error unless there are `need` samples that span some time.
    pub(super) fn usable(&self, need: usize) -> Result<(Vec<f64>, Vec<f64>), AnalysisError> {
        let (times, values) = self.cleaned()?;
        if times.len() < need {
            return Err(AnalysisError::TooFewPoints { series: self.name.clone(), have: times.len(), need });
        }
        if times.first() == times.last() {
            return Err(AnalysisError::NoTimeSpan { series: self.name.clone(), distinct: 1 });
        }
        Ok((times, values))
    }
}

/// Where the samples came from; it goes into the result, so that a reader can judge it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The history that the Catcher keeps in memory.
    Memory,
    /// Read from Kafka by time.
    Kafka,
    /// The EFD.
    Efd,
    /// Written in a rule file's `tests`.
    Given,
}

impl Source {
    /// `memory`, `kafka`, `efd`, `given`.
    pub fn as_str(self) -> &'static str {
        match self {
            Source::Memory => "memory",
            Source::Kafka => "kafka",
            Source::Efd => "efd",
            Source::Given => "given",
        }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The series of one request, over one range of time.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct SeriesSet {
    /// In the order of the request.
    pub series: Vec<Series>,
    /// Start of the range asked for.
    pub from: Tai,
    /// End of the range asked for; for a range that ends "now", the time of the request.
    pub to: Tai,
    /// What answered.
    pub source: Source,
    /// False if the data may be cut: the wait for a sample at or after `to` ran out, or a part was not readable.
    pub complete: bool,
}

impl SeriesSet {
    /// The series of that name.
    pub fn get(&self, name: &str) -> Option<&Series> {
        self.series.iter().find(|s| s.name == name)
    }

    /// The one series of the set and its samples within the range, cleaned; an error unless there are `need` that span some
    /// time. `analysis` names who asks.
    pub(super) fn only(
        &self,
        analysis: &'static str,
        need: usize,
    ) -> Result<(&Series, Vec<f64>, Vec<f64>), AnalysisError> {
        let [series] = self.series.as_slice() else {
            let given = self.names();
            return Err(AnalysisError::WrongSeries { analysis, needs: "one series", given });
        };
        let (times, values) = self.within(series, need)?;
        Ok((series, times, values))
    }

    /// The samples of a series within the range, cleaned; an error unless there are `need` that span some time.
    pub(super) fn within(&self, series: &Series, need: usize) -> Result<(Vec<f64>, Vec<f64>), AnalysisError> {
        let (times, values) = series.cleaned()?;
        let (times, values) =
            times.into_iter().zip(values).filter(|(t, _)| (self.from.0..=self.to.0).contains(t)).unzip();
        Series { times, values, ..series.clone() }.usable(need)
    }

    /// Names of all series, for messages.
    pub(super) fn names(&self) -> String {
        match self.series.as_slice() {
            [] => "none".to_owned(),
            all => all.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(", "),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaning_sorts_and_drops_what_is_not_finite() {
        let s = Series::new(
            "x",
            "m",
            vec![3.0, 1.0, 2.0, f64::NAN, 5.0],
            vec![30.0, 10.0, f64::NAN, 1.0, f64::INFINITY],
        );
        assert_eq!(s.cleaned().unwrap(), (vec![1.0, 3.0], vec![10.0, 30.0]));
    }

    #[test]
    fn each_defect_has_its_error() {
        let s = |t: Vec<f64>, v: Vec<f64>| Series::new("x", "m", t, v);
        assert_eq!(
            s(vec![1.0], vec![]).cleaned(),
            Err(AnalysisError::LengthMismatch { series: "x".into(), times: 1, values: 0 })
        );
        assert_eq!(
            s(vec![1.0, 2.0], vec![f64::NAN; 2]).usable(1),
            Err(AnalysisError::NoFiniteValue { series: "x".into(), samples: 2 })
        );
        assert_eq!(
            s(vec![], vec![]).usable(3),
            Err(AnalysisError::TooFewPoints { series: "x".into(), have: 0, need: 3 })
        );
        assert_eq!(
            s(vec![1.0; 4], vec![1.0, 2.0, 3.0, 4.0]).usable(3),
            Err(AnalysisError::NoTimeSpan { series: "x".into(), distinct: 1 })
        );
    }
}
