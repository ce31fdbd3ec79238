use std::collections::BTreeMap;

use super::super::lives::{clock, kept, late, text_of, until};
use super::super::testing::{Bench, MemoryShelf, call};
use super::*;
use crate::sim::noteburst::{NoteburstPlay, SimEnd, SimNoteburst, TOKEN};
use crate::sim::peer::Fault;
use crate::tasks::call::ErrorClass;

const KEY: &str = "0123456789abcdef/a";

struct Site {
    sim: SimNoteburst,
    shelf: Arc<MemoryShelf>,
    folder: tempfile::TempDir,
}

impl Site {
    async fn new(ends: &[SimEnd]) -> Site {
        let mut play = NoteburstPlay::default();
        play.ends.extend(ends.iter().cloned());
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("night")).unwrap();
        let cell = |tag: &str, source: &str| json!({"cell_type": "code", "metadata": {"tags": [tag]}, "source": source, "outputs": [], "execution_count": null});
        let notebook = json!({
            "nbformat": 4, "nbformat_minor": 4, "metadata": {},
            "cells": [cell("parameters", "day_obs = 20200101"), cell("catcher-result", "result(day_obs)")],
        });
        std::fs::write(folder.path().join("night/seeing.ipynb"), notebook.to_string()).unwrap();
        std::fs::write(folder.path().join("bad.ipynb"), "{}").unwrap();
        Site { sim: SimNoteburst::start(play).await.unwrap(), shelf: Arc::default(), folder }
    }

    fn config(&self) -> NoteburstConfig {
        NoteburstConfig {
            url: self.sim.url(),
            token_env: Some("RSP_TOKEN".into()),
            token_file: None,
            notebooks: self.folder.path().to_owned(),
            poll_interval_s: 0.01,
            timeout_s: 5.0,
        }
    }

    fn backend_at(&self, clock: Clock) -> NoteburstBackend {
        let env = |name: &str| (name == "RSP_TOKEN").then(|| TOKEN.to_owned());
        NoteburstBackend::new(&self.config(), Arc::clone(&self.shelf) as _, &env, clock).unwrap()
    }

    fn backend(&self) -> NoteburstBackend {
        self.backend_at(clock())
    }

    fn submissions(&self) -> usize {
        self.sim.play(|play| play.submissions().get(KEY).copied().unwrap_or_default())
    }
}

fn seeing() -> StepCall {
    call(
        "noteburst",
        json!({"notebook": "night/seeing.ipynb", "parameters": {"day_obs": 20261120, "name": "a 'b'"}}),
    )
}

#[tokio::test]
async fn a_notebook_with_its_parameters_from_request_to_page() {
    let (site, bench) = (Site::new(&[]).await, Bench::new());
    let outcome = bench.run(&site.backend(), &seeing()).await.unwrap();
    assert_eq!(outcome.result["outcome"], "succeeded");
    assert_eq!(outcome.result["values"]["day_obs"], 20261120);
    assert_eq!(outcome.result["finished"], "2026-11-20T23:41:00Z");
    assert_eq!(kept(&site.shelf), ["seeing.html", "seeing.ipynb"]);
    assert!(text_of(&site.shelf, "seeing.html").contains("day_obs = 20261120"));
    let (body, whole) =
        site.sim.play(|play| (play.jobs.values().next().unwrap().body.clone(), play.whole_looks));
    assert_eq!(whole, 1, "the notebook is fetched once, not with every look");
    assert_eq!(body["timeout"], 60.0);
    assert_eq!(body["kernel_name"], "lsst");
    let sent: Value = serde_json::from_str(body["ipynb"].as_str().unwrap()).unwrap();
    assert_eq!(
        sent["cells"][1]["source"],
        json!(["# Parameters\n", "day_obs = 20261120\n", "name = \"a 'b'\"\n"])
    );
    assert_eq!(sent["cells"][0]["source"], "day_obs = 20200101", "the defaults stay, and come first");
    assert_eq!(site.sim.count("POST /notebooks/"), 1);
}

#[tokio::test]
async fn the_outcomes_are_told_apart() {
    let failed = |code: &'static str, kind: Option<&str>| {
        SimEnd::Failed(code, "words".into(), kind.map(str::to_owned))
    };
    let table = [
        (
            SimEnd::CellError("ValueError".into(), "no data".into()),
            ErrorClass::Permanent,
            "raised ValueError: no data",
        ),
        (failed("timeout", None), ErrorClass::TimedOut, "longer than noteburst allows"),
        (failed("jupyter_error", None), ErrorClass::Transient, "platform failed"),
        (
            failed("unknown", Some("builtins.KeyError")),
            ErrorClass::Permanent,
            "unknown (builtins.KeyError): words",
        ),
        (SimEnd::Expired, ErrorClass::UnknownOutcome, "keeps its result no longer"),
        (SimEnd::Impossible, ErrorClass::Permanent, "gives no notebook"),
        (SimEnd::Lost, ErrorClass::UnknownOutcome, "does not know notebook job"),
    ];
    for (end, class, words) in table {
        let (site, bench) = (Site::new(std::slice::from_ref(&end)).await, Bench::new());
        let error = bench.run(&site.backend(), &seeing()).await.unwrap_err();
        assert_eq!(error.class, class, "{end:?}: {error}");
        assert!(error.text.contains(words), "{end:?}: {error}");
        assert!(!error.backend_id.is_empty());
        if matches!(end, SimEnd::CellError(..)) {
            assert_eq!(error.result["outcome"], "cell_error");
            assert!(text_of(&site.shelf, "seeing.html").contains("ValueError: no data"), "what ran is kept");
            assert!(error.result["files"]["seeing.html"].is_string());
        }
    }
}

#[tokio::test]
async fn tokens_that_do_not_count_are_told_and_nothing_is_tried_again() {
    for (token, words) in [(Some("gt-old"), "refuses the token (403)"), (None, "wants a login")] {
        let (site, bench) = (Site::new(&[]).await, Bench::new());
        let mut config = site.config();
        if token.is_none() {
            config.token_env = None;
        }
        let env = |_: &str| token.map(str::to_owned);
        let backend = NoteburstBackend::new(&config, Arc::clone(&site.shelf) as _, &env, clock()).unwrap();
        let error = bench.run(&backend, &seeing()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Permanent);
        assert!(error.text.contains(words) && !error.text.contains("gt-old"), "{error}");
    }
}

#[tokio::test]
async fn what_may_have_been_taken_is_not_sent_again() {
    for fault in
        [Fault::LostAnswer, Fault::HalfBody, Fault::Status(502, "x".into()), Fault::Garbage("{}".into())]
    {
        let (site, bench) = (Site::new(&[]).await, Bench::new());
        site.sim.fail("POST", 1, fault.clone());
        let error = bench.run(&site.backend(), &seeing()).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::UnknownOutcome, "{fault:?}: {error}");
        site.sim.fail("POST", 1, fault);
        let willing = StepCall { resend_if_unknown: true, ..seeing() };
        assert_eq!(bench.run(&site.backend(), &willing).await.unwrap_err().class, ErrorClass::Transient);
    }
    let (site, bench) = (Site::new(&[]).await, Bench::new());
    let backend = site.backend();
    site.sim.go_away();
    assert_eq!(bench.run(&backend, &seeing()).await.unwrap_err().class, ErrorClass::Transient);
}

#[tokio::test]
async fn looks_that_fail_do_not_end_the_step() {
    let (site, bench) = (Site::new(&[]).await, Bench::new());
    for fault in
        [Fault::Status(503, "x".into()), Fault::HalfBody, Fault::LostAnswer, Fault::Garbage("[]".into())]
    {
        site.sim.fail("GET", 1, fault);
    }
    bench.run(&site.backend(), &seeing()).await.unwrap();
    assert_eq!((site.sim.faults_left(), site.submissions()), (0, 1));
}

#[tokio::test]
async fn a_stopped_step_says_that_the_job_goes_on() {
    let (site, bench) = (Site::new(&[SimEnd::Never]).await, Bench::new());
    let (backend, call) = (site.backend(), seeing());
    let stops = async {
        until("the job is followed", || site.sim.count("GET") > 2).await;
        bench.stop("enough");
    };
    let (error, ()) = tokio::join!(bench.run(&backend, &call), stops);
    let error = error.unwrap_err();
    assert!(error.class == ErrorClass::Aborted && error.text.contains("cannot be stopped"), "{error}");
}

#[tokio::test]
async fn processes_die_at_all_instants_and_the_notebook_comes_at_most_once() {
    let (mut ran, mut unknown) = (0, 0);
    for seed in 0..60 {
        let (site, bench) = (Site::new(&[]).await, Bench::new());
        if seed % 2 == 0 {
            site.sim.fail("POST", 1, Fault::HangAfter);
        }
        let end = bench.die_often(&seeing(), seed, || site.backend()).await;
        match end {
            Ok(outcome) => {
                assert_eq!(outcome.result["outcome"], "succeeded");
                assert_eq!(site.submissions(), 1, "{seed}");
                ran += 1;
            }
            Err(error) => {
                assert_eq!(error.class, ErrorClass::UnknownOutcome, "{seed}: {error}");
                assert!(site.submissions() <= 1, "{seed}");
                unknown += 1;
            }
        }
    }
    assert!(ran > 0 && unknown > 0, "both happen: {ran}, {unknown}");
}

#[tokio::test]
async fn after_a_restart_nothing_is_begun_too_late() {
    let (site, bench) = (Site::new(&[]).await, Bench::new());
    let error = bench.resume(&site.backend_at(late()), &seeing()).await.unwrap_err();
    assert!(error.class == ErrorClass::Aborted && site.submissions() == 0, "{error}");
}

#[tokio::test]
async fn notebooks_are_those_of_the_site() {
    let (site, bench) = (Site::new(&[]).await, Bench::new());
    let backend = site.backend();
    for name in ["../x.ipynb", "/etc/x.ipynb", "night/.x.ipynb", "night/none.ipynb", "night/seeing.py"] {
        assert!(backend.check(&json!({"notebook": name})).is_err(), "{name}");
    }
    assert!(backend.check(&json!({"notebook": "night/seeing.ipynb"})).is_ok());
    let error = bench.run(&backend, &call("noteburst", json!({"notebook": "bad.ipynb"}))).await.unwrap_err();
    assert!(error.text.contains("format 4; nothing was sent"), "{error}");
    let keyword = call("noteburst", json!({"notebook": "night/seeing.ipynb", "parameters": {"class": 1}}));
    assert!(bench.run(&backend, &keyword).await.unwrap_err().text.contains("name of a parameter"));
    assert_eq!(site.sim.play(|play| play.submissions().clone()), BTreeMap::new());
    let mut config = site.config();
    config.notebooks = "/nowhere/at/all".into();
    let made = NoteburstBackend::new(&config, Arc::clone(&site.shelf) as _, &|_| None, clock());
    let Err(problems) = made else { panic!("it was taken") };
    assert!(problems.join("\n").contains("is no folder") && problems.join("\n").contains("RSP_TOKEN"));
}
