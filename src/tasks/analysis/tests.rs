//! The analyses against figures made with numpy and scipy (`tests/data/analysis/make_figures.py`), and their errors.

use serde_json::Value as Json;

use super::*;
use salobj::Tai;

const FIGURES: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/analysis/figures.json"));

fn cases(of: &str) -> Vec<Json> {
    let all: Json = serde_json::from_str(FIGURES).unwrap();
    all[of].as_array().filter(|cases| !cases.is_empty()).unwrap().clone()
}

fn numbers(json: &Json) -> Vec<f64> {
    json.as_array().unwrap().iter().map(|n| n.as_f64().unwrap()).collect()
}

fn set(series: Vec<Series>, from: f64, to: f64) -> SeriesSet {
    SeriesSet { series, from: Tai(from), to: Tai(to), source: Source::Given, complete: true }
}

#[track_caller]
fn assert_near(got: f64, want: f64, relative: f64, what: &str) {
    assert!((got - want).abs() <= relative * want.abs().max(1e-12), "{what}: {got} instead of {want}");
}

#[test]
fn t_quantiles_equal_those_of_scipy() {
    for case in cases("t_quantile") {
        let (p, dof) = (case["p"].as_f64().unwrap(), case["dof"].as_f64().unwrap());
        assert_near(stats::t_quantile(p, dof), case["t"].as_f64().unwrap(), 1e-8, &format!("t({p}, {dof})"));
    }
}

#[test]
fn trend_equals_scipy() {
    for case in cases("trend") {
        let name = case["name"].as_str().unwrap();
        let (times, to) = (numbers(&case["times"]), case["to"].as_f64().unwrap());
        let ahead_s = case["ahead"].as_f64().unwrap();
        let set = set(vec![Series::new("speed", "m/s", times, numbers(&case["values"]))], to - 1800.0, to);
        let figures = &case["figures"];
        let (fit, half) =
            (numbers(&figures["fit_at_to_and_end"]), numbers(&figures["half_width_at_to_and_end"]));
        for direction in [Direction::Above, Direction::Below] {
            let params = TrendParams {
                direction,
                confidence: case["confidence"].as_f64().unwrap(),
                ..TrendParams::ahead(ahead_s)
            };
            let result = trend(&set, &params).unwrap().result;
            let get = |key: &str| result[key].as_f64().unwrap();
            let end = match direction {
                Direction::Above => usize::from(fit[1] > fit[0]),
                Direction::Below => usize::from(fit[1] < fit[0]),
            };
            assert_near(get("slope"), figures["slope"].as_f64().unwrap(), 1e-6, name);
            assert_near(get("predicted"), fit[end], 1e-9, name);
            assert_near(get("high") - get("predicted"), half[end], 1e-6, name);
            assert_near(get("predicted") - get("low"), half[end], 1e-6, name);
            assert_near(get("residual_rms"), figures["residual_rms"].as_f64().unwrap(), 1e-6, name);
            assert_eq!(result["at"], to + ahead_s * end as f64, "{name}");
            assert_eq!(result["n"], figures["n"], "{name}");
            assert_eq!(result["crosses_at"], Json::Null, "{name}");
        }
    }
}

#[test]
fn statistics_equal_numpy() {
    for case in cases("statistics") {
        let name = case["name"].as_str().unwrap();
        let times = numbers(&case["times"]);
        // A sample outside of the range does not count.
        let (mut late, mut values) = (times.clone(), numbers(&case["values"]));
        late.push(times[times.len() - 1] + 10.0);
        values.push(1e9);
        let set = set(vec![Series::new("x", "m", late, values)], times[0], times[times.len() - 1]);
        let analysis = statistics(&set).unwrap();
        let figures = case["figures"].as_object().unwrap();
        assert_eq!(figures.len(), analysis.result.as_object().unwrap().len(), "{name}");
        for (key, want) in figures {
            let got = analysis.result[key].as_f64().unwrap_or_else(|| panic!("{name}: no {key}"));
            assert_near(got, want.as_f64().unwrap(), 1e-10, &format!("{name}, {key}"));
        }
        assert_eq!((&*analysis.units["mean"], &*analysis.units["at_max"]), ("m", "s"));
        assert!(!analysis.units.contains_key("n"));
    }
}

#[test]
fn compare_equals_pandas_and_scipy() {
    for case in cases("compare") {
        let name = case["name"].as_str().unwrap();
        let (from, to) = (case["from"].as_f64().unwrap(), case["to"].as_f64().unwrap());
        let of = |which: &str| {
            let (times, values) = (numbers(&case[which]["times"]), numbers(&case[which]["values"]));
            set(vec![Series::new(which, "degC", times, values)], from, to)
        };
        let params = CompareParams { tolerance_s: case["tolerance"].as_f64().unwrap() };
        let analysis = compare(&of("a"), &of("b"), &params).unwrap();
        let figures = case["figures"].as_object().unwrap();
        assert_eq!(figures.len(), analysis.result.as_object().unwrap().len(), "{name}");
        for (key, want) in figures {
            let (got, what) = (&analysis.result[key], format!("{name}, {key}"));
            match want.as_f64() {
                Some(want) => {
                    let got = got.as_f64().unwrap_or_else(|| panic!("{what} is null"));
                    // Some are zero but for rounding; differences of stamps are known to a quarter of a microsecond.
                    let rounding = if key == "separation" { 1e-6 } else { 1e-12 };
                    assert!(
                        (got - want).abs() <= 1e-8 * want.abs() + rounding,
                        "{what}: {got} instead of {want}"
                    );
                }
                None => assert!(got.is_null(), "{what}: {got}"),
            }
        }
        assert_eq!((&*analysis.units["mean"], &*analysis.units["separation"]), ("degC", "s"));
        assert!(!analysis.units.contains_key("slope"));
        assert_eq!(analysis.plot.panels.len(), 3);
    }
}

#[test]
fn a_comparison_needs_pairs() {
    let of = |times: Vec<f64>| {
        let values = times.iter().map(|t| t.sin()).collect();
        set(vec![Series::new("x", "m", times, values)], 0.0, 100.0)
    };
    let fails = |a: &SeriesSet, b: &SeriesSet, tolerance_s: f64| {
        compare(a, b, &CompareParams { tolerance_s }).unwrap_err().to_string()
    };
    let (even, late) = (of(vec![0.0, 10.0, 20.0]), of(vec![5.0, 19.0]));
    assert_eq!(
        fails(&even, &late, 1.0),
        "x and x: 1 samples of 3 have a sample of the other within 1 s, at least 2 are needed"
    );
    assert_eq!(fails(&even, &of(vec![200.0]), 1.0), "series x: 0 samples, at least 1 are needed");
    assert!(fails(&even, &late, f64::NAN).contains("parameter tolerance is NaN"));
    let two = set(vec![Series::default(), Series::default()], 0.0, 1.0);
    assert!(fails(&two, &late, 1.0).starts_with("compare: needs two series"));
}

#[test]
fn spectrum_equals_scipy() {
    for case in cases("spectrum") {
        let name = case["name"].as_str().unwrap();
        let times = numbers(&case["times"]);
        let (from, to) = (times[0], times[times.len() - 1]);
        let set = set(vec![Series::new("x", "m", times, numbers(&case["values"]))], from, to);
        let params = SpectrumParams {
            from_hz: case["from_hz"].as_f64(),
            to_hz: case["to_hz"].as_f64(),
            segment_s: case["segment_s"].as_f64(),
        };
        let analysis = spectrum(&set, &params).unwrap();
        for (key, want) in case["figures"].as_object().unwrap() {
            let got = &analysis.result[key];
            match want.as_f64() {
                // Stamps are known to a quarter of a microsecond.
                Some(want) => assert_near(got.as_f64().unwrap(), want, 1e-4, &format!("{name}, {key}")),
                None => assert_eq!(got, want, "{name}, {key}"),
            }
        }
        assert_eq!(analysis.units["peak_psd"], "(m)2 / Hz");
        assert_eq!(analysis.plot.x, Axis::Frequency);
    }
}

#[test]
fn a_spectrum_needs_samples_and_a_band() {
    let of = |times: Vec<f64>, params: SpectrumParams| {
        let (from, to) = (times[0], times[times.len() - 1]);
        let values = times.iter().map(|t| t.sin()).collect();
        spectrum(&set(vec![Series::new("x", "m", times, values)], from, to), &params).unwrap_err().to_string()
    };
    let even = |n: u32| (0..n).map(f64::from).collect::<Vec<f64>>();
    let default = SpectrumParams::default;
    assert_eq!(of(even(15), default()), "series x: 15 samples, at least 16 are needed");
    let band = SpectrumParams { from_hz: Some(3.0), to_hz: Some(4.0), ..default() };
    assert!(of(even(64), band).contains("no frequency of the spectrum lies between"));
    for (segment_s, why) in [(8.0, "at least 16 samples"), (65.0, "at most as long as the range")] {
        let params = SpectrumParams { segment_s: Some(segment_s), ..default() };
        assert!(of(even(64), params).contains(why), "{segment_s}");
    }
    let mut torn = even(32);
    torn.extend([1e6, 1e6 + 1.0]);
    assert!(of(torn, default()).ends_with("more gaps than data"));
    let two = set(vec![Series::default(), Series::default()], 0.0, 1.0);
    assert!(matches!(spectrum(&two, &default()), Err(AnalysisError::WrongSeries { .. })));
    assert!(matches!(statistics(&two), Err(AnalysisError::WrongSeries { .. })));
}

#[test]
fn jitter_equals_numpy() {
    for case in cases("jitter") {
        let name = case["name"].as_str().unwrap();
        let times = numbers(&case["times"]);
        let axis = |axis: &str| Series::new(axis, "deg", times.clone(), numbers(&case[axis]));
        let set = set(vec![axis(AZ), axis(EL)], times[0], times[times.len() - 1]);
        let params = JitterParams { degree: case["degree"].as_u64().unwrap() as usize };
        let result = jitter(&set, &params).unwrap().result;
        let figures = &case["figures"];
        for key in ["rms_by_axis", "ptp_by_axis"] {
            for axis in [AZ, EL] {
                let want = figures[key][axis].as_f64().unwrap();
                assert_near(result[key][axis].as_f64().unwrap(), want, 1e-6, name);
            }
        }
        assert_near(result["rms"].as_f64().unwrap(), figures["rms"].as_f64().unwrap(), 1e-6, name);
        assert_eq!((&result["n"], &result["gaps"]), (&figures["n"], &figures["gaps"]), "{name}");
    }
}

const AZ: &str = jitter::AZIMUTH;
const EL: &str = jitter::ELEVATION;

fn ramp(n: usize, slope: f64) -> Series {
    let times: Vec<f64> = (0..n).map(|i| 1000.0 + i as f64).collect();
    let values = times.iter().map(|t| 10.0 + slope * (t - 1000.0)).collect();
    Series::new("speed", "m/s", times, values)
}

#[test]
fn an_exact_line_is_found_and_its_crossing() {
    let set = set(vec![ramp(101, 0.1)], 1000.0, 1100.0);
    let params = TrendParams { limit: Some(25.0), ..TrendParams::ahead(100.0) };
    let trend = trend(&set, &params).unwrap();
    assert_near(trend.result["predicted"].as_f64().unwrap(), 30.0, 1e-12, "predicted");
    assert_near(trend.result["crosses_at"].as_f64().unwrap(), 1150.0, 1e-12, "crosses_at");
    assert_near(trend.result["low"].as_f64().unwrap(), 30.0, 1e-9, "no scatter, no interval");
    assert_eq!(trend.units["slope"], "m/s / s");
    assert_eq!(trend.units["predicted"], "m/s");
    let keys: Vec<&str> = trend.result.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["predicted", "low", "high", "at", "slope", "crosses_at", "n", "residual_rms"]);
}

#[test]
fn crossings_are_looked_for_inside_the_time_ahead_only() {
    let crosses = |slope: f64, limit: f64, direction| {
        let set = set(vec![ramp(101, slope)], 1000.0, 1100.0);
        let params = TrendParams { limit: Some(limit), direction, ..TrendParams::ahead(100.0) };
        trend(&set, &params).unwrap().result["crosses_at"].as_f64()
    };
    assert_eq!(crosses(0.1, 31.0, Direction::Above), None, "later than ahead");
    assert_eq!(crosses(0.1, 15.0, Direction::Above), Some(1100.0), "already beyond");
    assert_eq!(crosses(0.0, 15.0, Direction::Above), None, "level");
    assert_eq!(crosses(0.1, 15.0, Direction::Below), None, "away from it");
    assert!((crosses(-0.1, -5.0, Direction::Below).unwrap() - 1150.0).abs() < 1e-6);
}

#[test]
fn a_third_of_wild_samples_less_one_does_not_turn_the_line() {
    let mut series = ramp(100, 0.1);
    for i in 75..100 {
        series.values[i] = 500.0;
    }
    let result = trend(&set(vec![series], 1000.0, 1099.0), &TrendParams::ahead(0.0)).unwrap().result;
    assert!((result["slope"].as_f64().unwrap() - 0.1).abs() < 0.05, "{result}");
    assert!((result["predicted"].as_f64().unwrap() - 19.9).abs() < 5.0, "{result}");
}

#[test]
fn a_long_series_takes_the_medians_of_stretches() {
    let times: Vec<f64> = (0..180_000).map(|i| 1000.0 + f64::from(i) / 100.0).collect();
    let values = times.iter().map(|t| 3.0 + 0.002 * t + 0.5 * (t * 977.0).sin()).collect();
    let set = set(vec![Series::new("x", "", times, values)], 1000.0, 2800.0);
    let trend = trend(&set, &TrendParams::ahead(600.0)).unwrap();
    assert_near(trend.result["slope"].as_f64().unwrap(), 0.002, 1e-2, "slope");
    assert_eq!(trend.result["n"], 180_000);
    assert!(trend.plot.panels[0].lines[0].times.len() <= plot::MAX_POINTS);
    assert_eq!(trend.units["slope"], "1 / s");
}

#[test]
fn samples_that_are_not_finite_are_left_out_and_not_counted() {
    let mut series = ramp(50, 0.1);
    series.values[10] = f64::NAN;
    series.values[20] = f64::INFINITY;
    let result = trend(&set(vec![series], 1000.0, 1050.0), &TrendParams::ahead(10.0)).unwrap().result;
    assert_eq!(result["n"], 48);
    assert_near(result["slope"].as_f64().unwrap(), 0.1, 1e-9, "slope");
}

#[test]
fn trend_refuses_what_it_cannot_fit() {
    let fails = |series: Vec<Series>, params: &TrendParams| {
        trend(&set(series, 0.0, 2000.0), params).unwrap_err().to_string()
    };
    let ahead = TrendParams::ahead(60.0);
    assert_eq!(fails(vec![], &ahead), "trend: needs exactly one series, was given none");
    assert_eq!(
        fails(vec![ramp(9, 1.0), ramp(9, 1.0)], &ahead),
        "trend: needs exactly one series, was given speed, speed"
    );
    assert_eq!(fails(vec![ramp(2, 1.0)], &ahead), "series speed: 2 samples, at least 3 are needed");
    let nan = Series::new("speed", "m/s", vec![1.0, 2.0, 3.0], vec![f64::NAN; 3]);
    assert_eq!(fails(vec![nan], &ahead), "series speed: none of its 3 samples is a finite number");
    let one_time = Series::new("speed", "m/s", vec![1.0; 3], vec![1.0, 2.0, 3.0]);
    assert_eq!(
        fails(vec![one_time], &ahead),
        "series speed: its samples span no time, they have 1 different stamps"
    );
    assert_eq!(
        fails(vec![ramp(9, 1.0)], &TrendParams::ahead(-1.0)),
        "parameter ahead is -1: it must be a duration of zero or more"
    );
    let sure = TrendParams { confidence: 1.0, ..ahead.clone() };
    assert_eq!(fails(vec![ramp(9, 1.0)], &sure), "parameter confidence is 1: it must lie between 0 and 1");
    let no_limit = TrendParams { limit: Some(f64::NAN), ..ahead };
    assert_eq!(fails(vec![ramp(9, 1.0)], &no_limit), "parameter limit is NaN: it must be a finite number");
}

#[test]
fn jitter_refuses_what_it_cannot_judge() {
    let axis = |name: &str, unit: &str, n: usize| {
        Series::new(name, unit, (0..n).map(|i| i as f64).collect(), vec![1.0; n])
    };
    let fails = |series: Vec<Series>| {
        jitter(&set(series, 0.0, 100.0), &JitterParams::default()).unwrap_err().to_string()
    };
    assert_eq!(fails(vec![]), "jitter: needs one or more axes, and elevation beside azimuth, was given none");
    assert_eq!(
        fails(vec![axis(AZ, "deg", 50)]),
        "jitter: needs one or more axes, and elevation beside azimuth, was given azimuth"
    );
    assert_eq!(fails(vec![axis(EL, "deg", 4)]), "series elevation: 4 samples, at least 5 are needed");
    assert_eq!(
        fails(vec![axis(EL, "m/s", 50)]),
        "series elevation: unit \"m/s\" is not an angle (deg, rad, arcsec)"
    );
    let outside = jitter(&set(vec![axis(EL, "deg", 50)], 200.0, 300.0), &JitterParams::default());
    assert_eq!(outside.unwrap_err().to_string(), "series elevation: 0 samples, at least 5 are needed");
    assert!(jitter(&set(vec![axis(EL, "deg", 50)], 0.0, 100.0), &JitterParams { degree: 7 }).is_err());
    let mut two_stamps = axis(EL, "deg", 50);
    two_stamps.times.iter_mut().for_each(|t| *t = t.min(1.0));
    assert_eq!(
        fails(vec![two_stamps]),
        "series elevation: its samples span no time, they have 2 different stamps"
    );
}

#[test]
fn a_sine_of_known_amplitude_in_each_unit() {
    let times: Vec<f64> = (0..1000).map(|i| 5000.0 + f64::from(i) / 100.0).collect();
    let sine = |amplitude_arcsec: f64, per_arcsec: f64| -> Vec<f64> {
        times
            .iter()
            .map(|t| amplitude_arcsec * per_arcsec * (2.0 * std::f64::consts::PI * 5.0 * t).sin())
            .collect()
    };
    for (unit, per_arcsec) in [
        ("deg", 1.0 / 3600.0),
        ("arcsec", 1.0),
        ("rad", std::f64::consts::PI / 648_000.0),
        ("", 1.0 / 3600.0),
    ] {
        let set = set(vec![Series::new(EL, unit, times.clone(), sine(2.0, per_arcsec))], 5000.0, 5010.0);
        let analysis = jitter(&set, &JitterParams::default()).unwrap();
        assert_near(analysis.result["rms"].as_f64().unwrap(), 2.0 / 2f64.sqrt(), 1e-3, unit);
        assert_eq!(analysis.units["rms"], "arcsec");
        let keys: Vec<&str> = analysis.result.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["rms", "rms_by_axis", "ptp_by_axis", "n", "gaps"]);
    }
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    fn samples() -> impl Strategy<Value = Vec<(f64, f64)>> {
        proptest::collection::vec((0.0..1800.0f64, -50.0..50.0f64), 5..60)
            .prop_filter("they span time", |v| v.iter().any(|s| (s.0 - v[0].0).abs() > 1.0))
    }

    fn fitted(samples: &[(f64, f64)]) -> Json {
        let (times, values) = samples.iter().map(|(t, v)| (START + t, *v)).unzip();
        let set = set(vec![Series::new("x", "m", times, values)], START, START + 1800.0);
        trend(&set, &TrendParams { direction: Direction::Above, ..TrendParams::ahead(0.0) }).unwrap().result
    }

    const START: f64 = 1_795_218_000.0;

    proptest! {
        /// A line added to the samples is added to the fit, and nothing else changes; the order does not matter.
        #[test]
        fn trend_follows_an_added_line(samples in samples(), offset in -100.0..100.0f64, slope in -0.1..0.1f64) {
            let before = fitted(&samples);
            let mut moved: Vec<(f64, f64)> =
                samples.iter().map(|(t, v)| (*t, v + offset + slope * (t - 1800.0))).collect();
            moved.reverse();
            let after = fitted(&moved);
            let get = |result: &Json, key: &str| result[key].as_f64().unwrap();
            prop_assert!((get(&after, "slope") - get(&before, "slope") - slope).abs() < 1e-6);
            prop_assert!((get(&after, "predicted") - get(&before, "predicted") - offset).abs() < 1e-3);
            prop_assert!((get(&after, "residual_rms") - get(&before, "residual_rms")).abs() < 1e-3);
            prop_assert!(get(&before, "low") <= get(&before, "predicted"));
            prop_assert!(get(&before, "predicted") <= get(&before, "high"));
        }

        /// What the polynomial can follow is no jitter.
        #[test]
        fn jitter_does_not_see_smooth_motion(shake in samples(), rate in -0.1..0.1f64, bend in -1e-5..1e-5f64) {
            let rms = |rate: f64, bend: f64| {
                let value = |(t, v): &(f64, f64)| (START + t, v / 3600.0 + 60.0 + rate * t + bend * t * t);
                let (times, values) = shake.iter().map(value).unzip();
                let set = set(vec![Series::new(EL, "deg", times, values)], START, START + 1800.0);
                jitter(&set, &JitterParams::default()).map(|a| a.result["rms"].as_f64().unwrap())
            };
            if let (Ok(still), Ok(moving)) = (rms(0.0, 0.0), rms(rate, bend)) {
                // A stamp of today is exact to 0.24 µs: at 0.1 deg/s that is 9e-5 arcsec.
                prop_assert!((still - moving).abs() < 1e-3, "{still} {moving}");
            }
        }

        #[test]
        fn median_is_that_of_the_sorted(mut values in proptest::collection::vec(-1e9..1e9f64, 1..50)) {
            let median = stats::median(&mut values.clone());
            values.sort_by(f64::total_cmp);
            let n = values.len();
            prop_assert_eq!(median, (values[(n - 1) / 2] + values[n / 2]) / 2.0);
        }
    }
}
