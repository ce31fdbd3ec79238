//! Reports of made-up runs: the whole page as a snapshot, hostile text, odd plots. With `CATCHER_TEST_REPORT_DIR` the pages
//! are left there, to be looked at.

use std::collections::BTreeMap;

use salobj::Tai;
use serde_json::{Map, Value as Json, json};

mod runs;

use super::*;
use crate::tasks::analysis::{
    JitterParams, Line, LineKind, Panel, Plot, Series, SeriesSet, Source, TrendParams, jitter, trend,
};

const START: f64 = 1_795_218_000.0;

fn at(seconds: f64) -> Tai {
    Tai::from_utc_unix(START + seconds)
}

/// Numbers that look like noise and are the same everywhere: no sine of the system's library is involved.
fn noise(i: usize) -> f64 {
    let mut x = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bf0_3635;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x >> 11) as f64 / (1u64 << 53) as f64) - 0.5
}

fn step(name: &str, backend: &str) -> StepSection {
    StepSection {
        name: name.to_owned(),
        backend: backend.to_owned(),
        state: "succeeded".to_owned(),
        attempts: 1,
        started: Some(at(0.2)),
        finished: Some(at(0.45)),
        ..StepSection::default()
    }
}

fn report(rule: &str, steps: Vec<StepSection>, about: About) -> Report {
    Report {
        run_id: "0123456789abcdef".to_owned(),
        rule: rule.to_owned(),
        revision: "fedcba9876543210".to_owned(),
        definition: "rules:\n  - name: Wind.Forecast\n    trigger: {every: 60s, when: \"wind_5m > 10.0\"}\n"
            .to_owned(),
        key: None,
        parent: None,
        occurrence: "t:2026-11-20T23:40:00Z".to_owned(),
        triggered: at(0.0),
        started: Some(at(0.1)),
        finished: Some(at(0.5)),
        state: "succeeded".to_owned(),
        error: String::new(),
        ending: String::new(),
        inputs: json!({"wind": 14.75, "wind_5m": 13.125}).as_object().unwrap().clone(),
        stamps: BTreeMap::from([("wind".to_owned(), at(-4.0).0)]),
        parameters: Map::new(),
        steps,
        about,
    }
}

fn about() -> About {
    About {
        description: "Wind will exceed the limit within ten minutes".to_owned(),
        severity: "warning".to_owned(),
        reason: "Wind 18.9 m/s expected at 2026-11-20T23:50:00".to_owned(),
        levels: [("warning", 15.0), ("serious", 20.0), ("critical", 30.0)]
            .map(|(severity, value)| Level {
                severity: severity.to_owned(),
                value,
                of: "tasks.forecast.result.predicted".to_owned(),
            })
            .to_vec(),
        links: vec![("Weather tower".to_owned(), "https://example.org/wind?a=1&b=2".to_owned())],
        versions: vec![("ts_catcher".to_owned(), "0.1.0".to_owned())],
        catcher: "Catcher:1".to_owned(),
        site: "test".to_owned(),
        bus: "test-bus".to_owned(),
        base: "http://catcher:8080/reports".to_owned(),
        created: at(0.6),
        ..About::default()
    }
}

fn wind() -> Report {
    let times: Vec<f64> = (0..90).map(|i| at(-1800.0 + 20.0 * i as f64).0).collect();
    let values = (0..90)
        .map(|i| if (40..43).contains(&i) { 22.5 } else { 7.0 + 0.1 * i as f64 + 2.6 * noise(i) })
        .collect();
    let set = SeriesSet {
        series: vec![Series::new("speed", "m/s", times, values)],
        from: at(-1800.0),
        to: at(0.0),
        source: Source::Kafka,
        complete: true,
    };
    let analysis = trend(&set, &TrendParams::ahead(600.0)).unwrap();
    let forecast = StepSection {
        result: analysis.result,
        units: analysis.units,
        source: Some("kafka".to_owned()),
        complete: Some(true),
        plots: vec![analysis.plot],
        ..step("forecast", "analysis trend")
    };
    report("Wind.Forecast", vec![forecast], about())
}

fn shaken() -> Report {
    let times: Vec<f64> =
        (0..600).filter(|i| !(250..330).contains(i)).map(|i| at(-6.0).0 + 0.01 * i as f64).collect();
    let axis = |name: &str, base: f64, rate: f64, shake: f64| {
        let triangle = |t: f64| 4.0 * ((t * 3.1).fract() - 0.5).abs() - 1.0;
        let value = |(i, t): (usize, &f64)| {
            base + rate * (t - times[0]) + shake / 3600.0 * (triangle(t - times[0]) + 0.8 * noise(i))
        };
        Series::new(name, "deg", times.clone(), times.iter().enumerate().map(value).collect())
    };
    let set = SeriesSet {
        series: vec![axis("azimuth", 131.0, 0.004, 1.4), axis("elevation", 62.0, -0.003, 0.5)],
        from: at(-6.0),
        to: at(0.0),
        source: Source::Efd,
        complete: false,
    };
    let analysis = jitter(&set, &JitterParams::default()).unwrap();
    let jitter = StepSection {
        result: analysis.result,
        units: analysis.units,
        source: Some("efd".to_owned()),
        complete: Some(false),
        plots: vec![analysis.plot],
        ..step("jitter", "analysis jitter")
    };
    let isr = StepSection {
        result: json!({"job_id": "c3f1", "exit_code": 0, "outcome": "completed", "result": {"ok": true, "list": [1, 2]}}),
        backend_id: "c3f1".to_owned(),
        attempts: 2,
        ..step("isr", "ocps")
    };
    let about = About {
        description: "Mount jitter during an AuxTel exposure".to_owned(),
        severity: "warning".to_owned(),
        reason: "Mount jitter 0.50 arcsec in AT_O_20261120_000123".to_owned(),
        levels: vec![Level { severity: "warning".into(), value: 0.5, of: "tasks.jitter.result.rms".into() }],
        ..about()
    };
    let mut report = report("Jitter.AuxTel", vec![jitter, isr], about);
    let image =
        json!({"imageName": "AT_O_20261120_000123", "requestedExposureTime": 6.0, "additionalValues": "x"});
    report.inputs = json!({"image": image}).as_object().unwrap().clone();
    report.parameters = json!({"pipeline": "${CP_PIPE_DIR}/pipelines/isr.yaml"}).as_object().unwrap().clone();
    report
}

/// Leaves the page where a person can look at it, if asked to.
pub(super) fn leave(name: &str, page: &str) {
    if let Ok(dir) = std::env::var("CATCHER_TEST_REPORT_DIR") {
        std::fs::write(format!("{dir}/{name}.html"), page).unwrap();
    }
}

#[test]
fn the_page_of_the_wind_rule() {
    let page = render_html(&wind());
    leave("wind", &page);
    well_formed(&page);
    // The style is a file of its own in this folder; it would only be here twice.
    let (head, rest) = page.split_once("<style>").unwrap();
    let (_, body) = rest.split_once("</style>").unwrap();
    insta::assert_snapshot!("wind", format!("{head}<style>...</style>{body}"));
}

#[test]
fn the_page_of_the_jitter_rule_has_both_axes_and_both_steps() {
    let page = render_html(&shaken());
    leave("jitter", &page);
    for part in [
        "azimuth · cos(elevation) [arcsec]",
        "elevation [arcsec]",
        "rms_by_axis.azimuth",
        "<td>0.40027 <span class=\"soft\">arcsec</span></td>",
        "exit_code",
        "result.ok",
        "<code>[1,2]</code>",
        "Attempts",
        "data may be missing",
        "from efd, not complete",
        "imageName = AT_O_20261120_000123",
        "${CP_PIPE_DIR}/pipelines/isr.yaml",
        "warning 0.5 of <code>tasks.jitter.result.rms</code>",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("class=\"level warning\""), "a level of the rms is no level of a sample");
}

#[test]
fn a_page_needs_nothing_from_elsewhere() {
    let page = render_html(&wind());
    for word in ["<script", "<link", "<img", "url(", "@import", " src=", "onload", "javascript:"] {
        assert!(!page.contains(word), "{word}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn hostile_text_is_text_everywhere() {
    const EVIL: &str =
        "</title></style></pre><script>alert('x')</script>\"><img src=x onerror=alert(1)>&\u{202e}\u{0}";
    let evil = || EVIL.to_owned();
    let plot = crate::tasks::analysis::Plot {
        title: evil(),
        panels: vec![Panel {
            label: evil(),
            unit: evil(),
            lines: vec![Line {
                label: evil(),
                kind: LineKind::Data,
                times: vec![1.0, 2.0],
                values: vec![1.0, 2.0],
            }],
            bands: vec![crate::tasks::analysis::Band {
                label: evil(),
                times: vec![1.0, 2.0],
                low: vec![0.0, 0.0],
                high: vec![1.0, 1.0],
            }],
            limits: vec![(evil(), 1.5)],
            marks: vec![(evil(), 1.5)],
            shows: vec![evil()],
        }],
        ..Default::default()
    };
    let item = |i: usize| ItemRow {
        index: i,
        value: [json!(EVIL), json!({EVIL: EVIL}), json!([EVIL])][i % 3].clone(),
        state: if i < 3 { "failed".to_owned() } else { "succeeded".to_owned() },
        backend_id: evil(),
        result: json!({EVIL: i, "t": EVIL}),
        units: BTreeMap::from([(evil(), evil())]),
        files: vec![FileLink { name: evil(), url: format!("https://x/{EVIL}"), bytes: None }],
        error: evil(),
        ..ItemRow::default()
    };
    let fan = FanOut { max_parallel: 1, may_fail: 0, items: (0..30).map(item).collect() };
    let url = format!("http://catcher/reports/files/{EVIL}");
    let step = StepSection {
        notes: vec![evil()],
        params: json!({EVIL: [EVIL]}),
        fan: Some(fan),
        files: vec![
            FileLink { name: evil(), url: url.clone(), bytes: Some(1) },
            FileLink { name: evil(), url: "javascript:alert(1)".into(), bytes: None },
        ],
        backend_id: evil(),
        state: evil(),
        result: json!({
            EVIL: EVIL, "list": [EVIL], "o": {EVIL: {EVIL: 1.0}}, "rows": [{EVIL: EVIL}, {"x": [EVIL]}],
            "long": EVIL.repeat(20), "url": format!("https://x/{EVIL}"), "time": [1.0], "columns": {EVIL: [EVIL]},
        }),
        units: BTreeMap::from([(evil(), evil())]),
        source: Some(evil()),
        plots: vec![plot],
        error: evil(),
        ..step(EVIL, EVIL)
    };
    let mut report = report(
        EVIL,
        vec![step.clone(), step],
        About {
            description: evil(),
            severity: evil(),
            reason: evil(),
            levels: vec![Level { severity: evil(), value: 1.2, of: format!("tasks.{EVIL}.result.{EVIL}") }],
            links: vec![
                (evil(), evil()),
                (evil(), format!("https://x/{EVIL}")),
                ("js".into(), "javascript:alert(1)".into()),
            ],
            versions: vec![(evil(), evil())],
            catcher: evil(),
            site: evil(),
            bus: evil(),
            base: "http://catcher/reports".into(),
            parent_url: "javascript:alert(1)".into(),
            images: BTreeMap::from([(url, Image { kind: "image/svg+xml", bytes: EVIL.into() })]),
            created: at(0.0),
        },
    );
    (report.run_id, report.revision, report.definition) = (evil(), evil(), evil());
    (report.key, report.parent, report.occurrence) = (Some(evil()), Some(evil()), evil());
    (report.state, report.error, report.ending) = (evil(), evil(), evil());
    report.inputs = json!({EVIL: {EVIL: EVIL}, "b": [EVIL]}).as_object().unwrap().clone();
    report.parameters = json!({EVIL: EVIL}).as_object().unwrap().clone();
    let page = render_html(&report);
    leave("hostile", &page);
    // One pair of each, ours.
    for (tag, count) in [
        ("<script", 0),
        ("<img src=\"data:", 2),
        ("<img", 2),
        ("</style>", 1),
        ("<title>alert", 0),
        ("<body", 1),
    ] {
        assert_eq!(page.matches(tag).count(), count, "{tag}");
    }
    assert!(!page.contains('\u{202e}') && !page.contains('\0'));
    assert_eq!(page.matches("<pre").count(), page.matches("</pre>").count());
    assert!(!page.contains("href=\"javascript") && page.contains("<code>javascript:alert(1)</code>"));
    well_formed(&page);
    // Whatever stands between < and > is one of our tags, with quotes in pairs.
    for tag in
        page.split_once("<body>").unwrap().1.split('<').skip(1).map(|rest| rest.split('>').next().unwrap())
    {
        let bare: String = tag.split('"').step_by(2).collect();
        assert!(tag.matches('"').count() % 2 == 0, "<{tag}>");
        assert!(!bare.contains("onerror") && !bare.contains("alert"), "<{tag}>");
    }
    assert_eq!(report.file_name(), format!("20261120/{}_{}.html", plain(EVIL), plain(EVIL)));
}

fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect()
}

#[test]
fn file_names_are_of_their_own_and_plain() {
    let mut report = wind();
    assert_eq!(report.file_name(), "20261120/Wind.Forecast_0123456789abcdef.html");
    report.rule = "../../etc/x y".to_owned();
    assert_eq!(report.file_name(), "20261120/_.._etc_x_y_0123456789abcdef.html");
}

#[test]
fn odd_plots_are_drawn_without_nonsense() {
    let line =
        |times: Vec<f64>, values: Vec<f64>| Line { label: "x".into(), kind: LineKind::Data, times, values };
    let plots = [
        vec![],
        vec![line(vec![], vec![])],
        vec![line(vec![at(0.0).0], vec![5.0])],
        vec![line(vec![at(0.0).0, at(1.0).0], vec![f64::NAN, f64::NAN])],
        vec![line(vec![at(0.0).0, at(1.0).0, at(2.0).0], vec![1.0, f64::NAN, 1.0])],
        vec![line(vec![at(0.0).0, at(86_400.0 * 40.0).0], vec![1e-12, 1e12])],
        vec![line(vec![at(0.0).0; 3], vec![f64::MAX, f64::MIN, 0.0])],
    ];
    for lines in plots {
        let plot = Plot {
            title: "odd".into(),
            panels: vec![Panel { lines, ..Panel::default() }],
            ..Plot::default()
        };
        let svg = svg::plot(&plot, |_| vec![("warning".into(), "warning".into(), 3.0)]);
        for word in ["NaN", "inf"] {
            assert!(!svg.contains(word), "{word} in {svg}");
        }
        assert!(svg.len() < 100_000);
    }
}

#[test]
fn numbers_are_short() {
    let cases = [
        (0.0, "0"),
        (14.75, "14.75"),
        (1.0 / 3.0, "0.33333"),
        (21.000_000_1, "21"),
        (-0.000_123_456, "\u{2212}0.00012346"),
        (123_456.789, "123457"),
        (1.5e-9, "1.5e\u{2212}9"),
        (6.02214e23, "6.0221e23"),
        (f64::NAN, "NaN"),
    ];
    for (value, text) in cases {
        assert_eq!(number(value), text);
    }
}

/// Every element that is opened is closed, in order.
fn well_formed(page: &str) {
    let mut open: Vec<&str> = vec!["html", "head"];
    let body = page.split_once("</style>").unwrap().1;
    for tag in body.split('<').skip(1).map(|rest| rest.split('>').next().unwrap()) {
        let name = tag.split([' ', '\n']).next().unwrap().trim_end_matches('/');
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name), "</{name}> in {open:?}"),
            None if tag.ends_with('/') || ["meta", "br", "img", "input"].contains(&name) => {}
            None => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}
