//! Reports of runs as the core has them: fan-outs, failures, ends that need explaining.

use super::*;
use crate::tasks::run::Run;

fn plan(name: &str, backend: &str, operation: &str) -> Json {
    json!({"name": name, "needs": [], "backend": backend, "operation": operation, "resend_if_unknown": true,
           "timeout": {"secs": 300, "nanos": 0},
           "retry": {"attempts": 1, "backoff": {"secs": 5, "nanos": 0}, "jitter": 0.0, "retry_on": []}})
}

fn one(plan: Json, state: &str, result: Json) -> Json {
    json!({"plan": plan, "state": state, "attempt": 1, "dispatched": false, "result": result,
           "started": at(0.5).0, "finished": at(2.5).0})
}

fn run(state: &str, steps: Vec<Json>) -> Run {
    serde_json::from_value(json!({
        "header": {"id": "ab", "rule": "R", "revision": "cd", "definition": "rules: []", "occurrence": "m:x:0:1",
                   "at": at(0.0).0, "start_before": at(600.0).0},
        "context": {"inputs": {"wind": 3.5}, "stamps": {"wind": at(-1.0).0}},
        "state": state, "run_timeout": {"secs": 1800, "nanos": 0}, "started": at(0.0).0, "finished": at(20.0).0,
        "steps": steps,
    }))
    .unwrap()
}

fn rows(page: &str, class: &str) -> Vec<usize> {
    let begin = format!("<table class=\"{class}\">");
    let tables = page.split(&begin).skip(1);
    tables
        .map(|t| t.split("</tbody>").next().unwrap().split("<tbody>").last().unwrap().matches("<tr>").count())
        .collect()
}

#[test]
fn a_run_becomes_a_report() {
    let result =
        json!({"predicted": 3.0, "source": "memory", "complete": true, "units": {"predicted": "m/s"}});
    let report = Report::of_run(
        &run("succeeded", vec![one(plan("f", "analysis", "trend"), "succeeded", result)]),
        about(),
    );
    let step = &report.steps[0];
    assert_eq!((step.backend.as_str(), step.state.as_str()), ("analysis trend", "succeeded"));
    assert_eq!((step.source.as_deref(), step.complete), (Some("memory"), Some(true)));
    assert_eq!((&step.result, &step.units["predicted"]), (&json!({"predicted": 3.0}), &"m/s".to_owned()));
    assert_eq!(report.file_name(), "20261120/R_ab.html");
    let page = render_html(&report);
    assert!(page.contains("predicted") && report.ending.is_empty());
    assert!(!page.contains("id=\"steps\""), "a single step needs no table of steps");
}

/// A camera of 189 detectors, of which three fail.
fn camera() -> Run {
    let mut group = plan("isr", "command", "");
    group["foreach"] = json!({"max_parallel": 16, "allow_failures": {"part": 0.05}});
    let items = |i: usize| {
        let mut item = plan(&format!("isr[{i}]"), "command", "");
        item["name"] = json!(format!("isr[{i}]"));
        let (state, error) = match i {
            17 => ("failed", "exit code 4: no flat for R02_S22"),
            80 => ("timed_out", "no answer within 300 s"),
            151 => ("failed", "exit code 4: no bias"),
            _ => ("succeeded", ""),
        };
        let values = json!({"values": {"fwhm": 0.8 + 0.1 * noise(i), "background": 400 + i}, "units": {"fwhm": "arcsec"},
                            "reason": "", "files": {"log.txt": format!("http://catcher:8080/reports/files/ab/isr_{i}__1/log.txt")}});
        let result = if state == "succeeded" {
            values
        } else {
            json!({"files": {"log.txt": "http://elsewhere/log.txt"}})
        };
        let mut step = one(item, state, result);
        step["item"] = json!({"of": "isr", "index": i, "value": format!("R{:02}_S{:02}", i / 9, i % 9)});
        step["error"] = json!(error);
        step["finished"] = json!(at(1.0 + 0.01 * i as f64).0);
        step
    };
    let results: Vec<Json> = (0..189).map(|i| json!({"values": {"fwhm": i}})).collect();
    let result =
        json!({"n": 189, "succeeded": 186, "failed": 3, "results": results, "errors": {"17": "exit"}});
    let mut after = plan("sum", "command", "");
    after["needs"] = json!(["isr"]);
    let mut tell = plan("tell", "slack", "");
    tell["for_failure"] = json!(true);
    let mut steps = vec![
        one(group, "succeeded", result),
        one(after, "succeeded", json!({"values": {"mean": 1.0}})),
        one(tell, "skipped", Json::Null),
    ];
    steps.extend((0..189).map(items));
    run("succeeded", steps)
}

#[test]
fn a_camera_of_189_detectors_is_one_section_with_the_failures_first() {
    let report = Report::of_run(&camera(), about());
    assert_eq!(report.steps.len(), 3);
    let page = render_html(&report);
    leave("camera", &page);
    well_formed(&page);
    assert_eq!(
        page.matches("<section id=\"step-").count(),
        3,
        "a section for each step of the rule, none for items"
    );
    assert_eq!(rows(&page, "items"), [3, 186]);
    let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text}"));
    assert!(place("3 that did not succeed") < place("no flat for R02_S22"));
    assert!(place("no bias") < place("186 that succeeded"));
    for part in [
        "189 items: 2 failed, 1 timed out, 186 succeeded. An item took",
        "at most 16 at a time, 9 may fail.",
        "<th scope=\"col\">fwhm [arcsec]</th>",
        "<th scope=\"col\">background</th>",
        "href=\"#item-0-17\" title=\"R01_S08: failed\">17</a>",
        "id=\"item-0-188\"",
        "href=\"../files/ab/isr_0__1/log.txt\"",
        "href=\"http://elsewhere/log.txt\"",
        "fwhm [arcsec] of each item of step isr",
        "is run only after a failure",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert_eq!(page.matches("<li class=\"s-").count(), 189);
    assert_eq!(page.matches("<circle class=\"dot s-succeeded\"").count(), 2 * 186, "a dot for each value");
    assert_eq!(page.matches("<path class=\"cross\"").count(), 2 * 3);
    assert!(page.len() < 250_000, "{}", page.len());
}

#[test]
fn ends_that_need_it_are_explained() {
    let mut lenient = plan("look", "http", "");
    lenient["on_failure"] = json!("continue");
    let mut tell = plan("tell", "slack", "");
    tell["for_failure"] = json!(true);
    let failed = run(
        "failed",
        vec![
            one(plan("isr", "ocps", ""), "failed", Json::Null),
            one(lenient, "timed_out", Json::Null),
            one(plan("sum", "command", ""), "skipped", Json::Null),
            one(tell, "succeeded", Json::Null),
        ],
    );
    let report = Report::of_run(&failed, about());
    assert_eq!(
        report.ending,
        "Failed: isr. Did not succeed, which does not count: look. Not begun: sum. Run because of the failure: tell."
    );
    let page = render_html(&report);
    well_formed(&page);
    assert!(page.contains("Failed: isr.") && page.contains("on_failure: continue"));
    let mut cancelled = run("aborted", vec![one(plan("isr", "ocps", ""), "aborted", Json::Null)]);
    cancelled.stopping = Some(crate::tasks::call::Stop::Cancelled("clouds".into()));
    assert!(Report::of_run(&cancelled, about()).ending.starts_with("It was cancelled (clouds): "));
    let mut late = run("timed_out", vec![one(plan("isr", "ocps", ""), "timed_out", Json::Null)]);
    late.stopping = Some(crate::tasks::call::Stop::TimeUp("run time is up".into()));
    late.stop_by = Some(at(15.0));
    let ending = Report::of_run(&late, about()).ending;
    assert!(ending.starts_with("The time limit of the whole run, 30 min 00 s, was up"), "{ending}");
    assert!(
        ending.contains("did not say that they had") && ending.ends_with("Out of time: isr."),
        "{ending}"
    );
}

#[test]
fn results_of_any_form_can_be_read() {
    let read = one(
        plan("read", "efd_query", ""),
        "succeeded",
        json!({
            "time": (0..300).map(|i| at(f64::from(i)).0).collect::<Vec<_>>(),
            "columns": {"speed": (0..300).map(|i| f64::from(i) * 0.1).collect::<Vec<_>>(), "site": vec!["a"; 300]},
            "n": 300, "truncated": false, "files": {"read.csv": "https://lfa/read.csv"},
        }),
    );
    let found = one(
        plan("found", "command", ""),
        "succeeded",
        json!({
            "severity": 2, "reason": "bad", "values": {"rms": 1.5, "per_axis": {"az": 0.5}, "t0": at(0.0).0},
            "units": {"rms": "arcsec", "per_axis": "arcsec", "t0": "s"},
            "sources": [{"id": 1, "flux": 2.5}, {"id": 2, "snr": null, "flag": true}],
            "many": (0..500).collect::<Vec<_>>(), "page": "https://example.org/x?a=1&b=2", "text": "one\ntwo",
        }),
    );
    let page = render_html(&Report::of_run(&run("succeeded", vec![read, found]), about()));
    leave("results", &page);
    well_formed(&page);
    for part in [
        "300 rows",
        "The first 100 of 300 rows.",
        "<th scope=\"col\">speed</th><th scope=\"col\">site</th>",
        "What step read read",
        "severity = warning, reason = bad, rms = 1.5 arcsec",
        "href=\"https://lfa/read.csv\"",
        "<th scope=\"row\">severity</th><td>warning</td>",
        "<th scope=\"row\">values.rms</th><td>1.5 <span class=\"soft\">arcsec</span></td>",
        "<th scope=\"row\">values.per_axis.az</th><td>0.5 <span class=\"soft\">arcsec</span></td>",
        "<th scope=\"row\">values.t0</th><td>2026-11-20 23:40:00.000 UTC",
        "<th scope=\"col\">id</th><th scope=\"col\">flux</th><th scope=\"col\">snr</th><th scope=\"col\">flag</th>",
        "<td class=\"n\">2</td><td></td><td></td><td><code>true</code></td>",
        "and 480 more",
        "href=\"https://example.org/x?a=1&amp;b=2\"",
        "<pre>one\ntwo</pre>",
        "id=\"steps\"",
        "href=\"#step-1\"",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn pictures_are_in_the_page_and_other_files_are_linked() {
    let mut step = one(plan("draw", "command", ""), "succeeded", json!({}));
    step["files"] = json!([
        {"name": "a.png", "url": "http://catcher:8080/reports/files/ab/draw_1/a.png", "bytes": 3},
        {"name": "b.pdf", "url": "https://lfa/b.pdf", "bytes": 2_345_678},
    ]);
    let run = run("succeeded", vec![step]);
    let image = Image { kind: "image/png", bytes: b"png".to_vec() };
    let images = BTreeMap::from([("http://catcher:8080/reports/files/ab/draw_1/a.png".to_owned(), image)]);
    let page = render_html(&Report::of_run(&run, About { images, ..about() }));
    well_formed(&page);
    assert!(page.contains("<img src=\"data:image/png;base64,cG5n\" alt=\"a.png of step draw\">"));
    assert!(page.contains(
        "<a href=\"../files/ab/draw_1/a.png\">a.png</a> <span class=\"soft\">(picture, 3 bytes)</span>"
    ));
    assert!(page.contains(">b.pdf</a> <span class=\"soft\">(PDF, 2.3 MB)</span>"));
    let kinds = ["x.PNG", "x.jpeg", "x.svg", "x.html", "x"].map(Image::kind_of);
    assert_eq!(kinds, [Some("image/png"), Some("image/jpeg"), Some("image/svg+xml"), None, None]);
}

#[test]
fn a_report_says_how_to_come_to_it_again() {
    let mut run = run("succeeded", vec![one(plan("f", "slack", ""), "succeeded", json!({}))]);
    run.header.parent = Some("aa".into());
    let parent = "http://catcher:8080/reports/20261119/R_aa.html".to_owned();
    let report = Report::of_run(&run, About { parent_url: parent.clone(), ..about() });
    let page = render_html(&report);
    for part in [
        format!("<a href=\"{parent}\" rel=\"noopener noreferrer\">aa</a>"),
        "LSST_TOPIC_SUBNAME=test-bus catcher tasks rerun ab --index 1 --reason &#39;to see it again&#39; --watch".into(),
        "catcher replay rule.yaml --efd efd.yaml --from 2026-11-20T22:40:00 --to 2026-11-20T23:41:20 --all".into(),
        "catcher rules explain rule.yaml R --efd efd.yaml --from 2026-11-20T22:40:00 --at 2026-11-20T23:40:01".into(),
    ] {
        assert!(page.contains(&part), "{part}");
    }
}
