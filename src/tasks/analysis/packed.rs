//! Packed telemetry: fast samples that travel as one array a message (100 elements at 100 Hz), with one reference stamp.
//!
//! The stamp is the time of the first element; element `j` is `j / rate` seconds later.

use salobj::Tai;

use super::{AnalysisError, stats};

/// The time scale of the stamp field. SAL does not say it in the schema, so the rule states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// International atomic time.
    Tai,
    /// Coordinated universal time.
    Utc,
}

/// How arrays are packed: `packed: {stamp: cRIO_timestamp, scale: tai, rate: 100}` of a rule file.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Packed {
    /// Field with the stamp of the first element, s.
    pub stamp: String,
    /// Its time scale.
    pub scale: Scale,
    /// Elements a second.
    #[serde(rename = "rate")]
    pub rate_hz: f64,
}

/// Expands messages to samples: (TAI s, value), in order of time.
///
/// `stamps` has one entry a message in `packed.scale`; `arrays` one array a message, all of one length, or one element
/// (not packed at all). A message that came twice (same stamp) counts once; one whose stamp is not finite is dropped.
///
/// # Errors
/// `stamps` and `arrays` differ in length; a rate that is not positive; a rate so low that the arrays would overlap.
pub fn expand(
    name: &str,
    stamps: &[f64],
    arrays: &[&[f64]],
    packed: &Packed,
) -> Result<(Vec<f64>, Vec<f64>), AnalysisError> {
    if stamps.len() != arrays.len() {
        return Err(AnalysisError::LengthMismatch {
            series: name.to_owned(),
            times: stamps.len(),
            values: arrays.len(),
        });
    }
    if !(packed.rate_hz.is_finite() && packed.rate_hz > 0.0) {
        return Err(AnalysisError::BadParameter {
            name: "packed.rate",
            value: packed.rate_hz,
            rule: "it must be more than zero",
        });
    }
    let mut messages: Vec<(f64, &[f64])> = (stamps.iter().copied().zip(arrays.iter().copied()))
        .filter(|(stamp, _)| stamp.is_finite())
        .map(|(stamp, array)| (to_tai(stamp, packed.scale), array))
        .collect();
    messages.sort_by(|a, b| a.0.total_cmp(&b.0));
    messages.dedup_by(|a, b| a.0 == b.0);
    check_rate(&messages, packed.rate_hz)?;
    Ok(messages
        .iter()
        .flat_map(|(start, array)| {
            array.iter().enumerate().map(move |(j, value)| (start + j as f64 / packed.rate_hz, *value))
        })
        .unzip())
}

fn to_tai(stamp: f64, scale: Scale) -> f64 {
    match scale {
        Scale::Tai => stamp,
        Scale::Utc => Tai::from_utc_unix(stamp).0,
    }
}

/// Longer pauses between messages are gaps; shorter ones than an array lasts mean that the rate is wrong.
fn check_rate(messages: &[(f64, &[f64])], rate_hz: f64) -> Result<(), AnalysisError> {
    let elements = messages.iter().map(|(_, array)| array.len()).max().unwrap_or(0);
    let lasts_s = elements as f64 / rate_hz;
    let spacing_s = stats::median(&mut messages.windows(2).map(|w| w[1].0 - w[0].0).collect::<Vec<_>>());
    if messages.len() > 1 && elements > 1 && spacing_s < 0.8 * lasts_s {
        return Err(AnalysisError::RateMismatch { elements, rate_hz, lasts_s, spacing_s });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(scale: Scale, rate_hz: f64) -> Packed {
        Packed { stamp: "cRIO_timestamp".into(), scale, rate_hz }
    }

    #[test]
    fn arrays_are_expanded_in_order_without_repeats() {
        let arrays: [&[f64]; 4] = [&[4.0, 5.0], &[1.0, 2.0], &[4.0, 5.0], &[9.0, 9.0]];
        let (times, values) =
            expand("az", &[101.0, 100.0, 101.0, f64::NAN], &arrays, &packed(Scale::Tai, 2.0)).unwrap();
        assert_eq!(times, [100.0, 100.5, 101.0, 101.5]);
        assert_eq!(values, [1.0, 2.0, 4.0, 5.0]);
    }

    #[test]
    fn utc_stamps_become_tai() {
        let (times, _) = expand("az", &[1_795_218_000.0], &[&[1.0, 2.0]], &packed(Scale::Utc, 1.0)).unwrap();
        assert_eq!(times, [1_795_218_037.0, 1_795_218_038.0]);
    }

    #[test]
    fn a_hundred_elements_at_a_hundred_hertz_last_a_second() {
        let array: Vec<f64> = (0..100).map(f64::from).collect();
        let (times, values) =
            expand("az", &[10.0, 11.0], &[&array, &array], &packed(Scale::Tai, 100.0)).unwrap();
        assert_eq!((times.len(), times[0], times[100], values[199]), (200, 10.0, 11.0, 99.0));
        assert!(times.windows(2).all(|w| (w[1] - w[0] - 0.01).abs() < 1e-9));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let two: [&[f64]; 3] = [&[1.0; 100], &[1.0; 100], &[1.0; 100]];
        let stamps = [10.0, 11.0, 12.0];
        assert!(
            expand("az", &stamps, &two, &packed(Scale::Tai, 50.0))
                .unwrap_err()
                .to_string()
                .contains("last 2 s")
        );
        assert!(
            expand("az", &stamps, &two, &packed(Scale::Tai, 200.0)).is_ok(),
            "a pause is a gap, no error"
        );
        assert!(matches!(
            expand("az", &stamps, &two, &packed(Scale::Tai, 0.0)),
            Err(AnalysisError::BadParameter { name: "packed.rate", .. })
        ));
        assert!(matches!(
            expand("az", &[1.0], &two, &packed(Scale::Tai, 1.0)),
            Err(AnalysisError::LengthMismatch { times: 1, values: 3, .. })
        ));
    }
}
