use std::collections::BTreeMap;

use super::super::lives::{clock, kept, late, text_of, until};
use super::super::testing::{Bench, MemoryShelf, call};
use super::*;
use crate::sim::peer::Fault;
use crate::sim::times_square::{PAGE, SimTimesSquare, TOKEN, TimesSquarePlay};
use crate::tasks::call::ErrorClass;

const KEY: &str = "day_obs=20261120&ts_hide_code=1";

async fn service(play: TimesSquarePlay) -> SimTimesSquare {
    SimTimesSquare::start(play).await.unwrap()
}

fn with(change: impl FnOnce(&mut TimesSquarePlay)) -> TimesSquarePlay {
    let mut play = TimesSquarePlay::default();
    change(&mut play);
    play
}

fn config(sim: &SimTimesSquare) -> TimesSquareConfig {
    TimesSquareConfig {
        url: sim.url(),
        token_env: Some("RSP_TOKEN".into()),
        token_file: None,
        poll_interval_s: 0.01,
        ask_again_s: 0.02,
        timeout_s: 5.0,
    }
}

fn backend_at(sim: &SimTimesSquare, shelf: &Arc<MemoryShelf>, clock: Clock) -> TimesSquareBackend {
    let env = |name: &str| (name == "RSP_TOKEN").then(|| TOKEN.to_owned());
    TimesSquareBackend::new(&config(sim), Arc::clone(shelf) as _, &env, clock).unwrap()
}

fn backend(sim: &SimTimesSquare, shelf: &Arc<MemoryShelf>) -> TimesSquareBackend {
    backend_at(sim, shelf, clock())
}

fn seeing() -> StepCall {
    call("times_square", json!({"page": PAGE, "parameters": {"day_obs": 20261120}}))
}

fn executions(sim: &SimTimesSquare) -> BTreeMap<String, usize> {
    sim.play(|play| play.executions().clone())
}

fn once() -> BTreeMap<String, usize> {
    BTreeMap::from([(KEY.to_owned(), 1)])
}

#[tokio::test]
async fn a_page_is_computed_once_and_kept() {
    let (sim, bench, shelf) = (service(TimesSquarePlay::default()).await, Bench::new(), Arc::default());
    let outcome = bench.run(&backend(&sim, &shelf), &seeing()).await.unwrap();
    let result = &outcome.result;
    assert_eq!(result["page"], PAGE);
    assert_eq!(result["title"], "Seeing of a night");
    assert!(result["url"].as_str().unwrap().ends_with(KEY), "{result}");
    assert_eq!(result["duration_s"], 12.0);
    assert_eq!(result["finished"], "2026-11-20T23:40:17Z");
    assert_eq!(text_of(&shelf, "seeing.html"), format!("<html><p>{KEY}</p></html>"));
    assert_eq!(outcome.files.len(), 1);
    assert_eq!(executions(&sim), once());
    // Again: it is there.
    let again = bench.run(&backend(&sim, &shelf), &seeing()).await.unwrap();
    assert_eq!(again.result["hash"], result["hash"]);
    assert_eq!(executions(&sim), once());
}

#[tokio::test]
async fn a_page_that_takes_long_is_not_asked_for_again_and_again() {
    let play = with(|p| {
        p.by_itself = false;
    });
    let (sim, bench, shelf) = (service(play).await, Bench::new(), Arc::default());
    let (backend, call) = (backend(&sim, &shelf), seeing());
    let ends = async {
        until("its events are read", || sim.count("GET /v1/pages/seeing/html/events") == 1).await;
        // A stream breaks and is opened again; still nothing is asked.
        sim.go_away();
        sim.come_back().await.unwrap();
        until("its events are read again", || sim.count("GET /v1/pages/seeing/html/events") > 1).await;
        assert_eq!(sim.count("GET /v1/pages/seeing/htmlstatus"), 1);
        sim.play(TimesSquarePlay::finish);
    };
    let (outcome, ()) = tokio::join!(bench.run(&backend, &call), ends);
    outcome.unwrap();
    assert_eq!(executions(&sim), once());
}

#[tokio::test]
async fn without_a_stream_it_is_asked_with_pauses() {
    let play = with(|p| {
        p.by_itself = false;
        p.no_stream = true;
    });
    let (sim, bench, shelf) = (service(play).await, Bench::new(), Arc::default());
    let (backend, call) = (backend(&sim, &shelf), seeing());
    let ends = async {
        until("it is asked", || sim.count("GET /v1/pages/seeing/htmlstatus") > 3).await;
        sim.play(TimesSquarePlay::finish);
    };
    let (outcome, ()) = tokio::join!(bench.run(&backend, &call), ends);
    assert_eq!(outcome.unwrap().result["page"], PAGE);
    assert_eq!(executions(&sim), once());
}

#[tokio::test]
async fn failures_are_told_and_not_repeated() {
    for (fails, class) in [
        (("timeout", "Timed out", "60 s"), ErrorClass::TimedOut),
        (("jupyter_error", "Jupyter", "no pod"), ErrorClass::Permanent),
        (("unknown", "", ""), ErrorClass::Permanent),
        (("result_unavailable", "Expired", ""), ErrorClass::Permanent),
    ] {
        for no_stream in [false, true] {
            let play = with(|p| {
                p.fails = Some(fails);
                p.no_stream = no_stream;
            });
            let (sim, bench, shelf) = (service(play).await, Bench::new(), Arc::default());
            let error = bench.run(&backend(&sim, &shelf), &seeing()).await.unwrap_err();
            assert_eq!(error.class, class, "{error}");
            assert!(error.text.contains(fails.0) && error.text.contains("10 min"), "{error}");
            bench.run(&backend(&sim, &shelf), &seeing()).await.unwrap_err();
            assert_eq!(executions(&sim), once(), "the failure is kept");
        }
    }
}

#[tokio::test]
async fn what_the_platform_did_not_take_is_asked_for_again_after_a_while() {
    let play = with(|p| {
        p.not_taken = 2;
    });
    let (sim, bench, shelf) = (service(play).await, Bench::new(), Arc::default());
    bench.run(&backend(&sim, &shelf), &seeing()).await.unwrap();
    assert_eq!(executions(&sim)[KEY], 3, "two that were not taken, one that ran");
}

#[tokio::test]
async fn a_page_whose_time_runs_out_is_computed_again_a_few_times_only() {
    for (runs_out, succeeds) in [(2, true), (3, false)] {
        let play = with(|p| {
            p.runs_out = runs_out;
        });
        let (sim, bench, shelf) = (service(play).await, Bench::new(), Arc::default());
        let end = bench.run(&backend(&sim, &shelf), &seeing()).await;
        assert_eq!(end.is_ok(), succeeds, "{end:?}");
        if let Err(error) = end {
            assert_eq!(error.class, ErrorClass::Transient);
        }
    }
}

#[tokio::test]
async fn questions_that_fail_are_asked_again() {
    let play = with(|p| p.by_itself = false);
    let (sim, bench, shelf) = (service(play).await, Bench::new(), Arc::default());
    sim.fail("GET /v1/pages/seeing/htmlstatus", 1, Fault::Status(503, "x".into()));
    sim.fail("GET /v1/pages/seeing/htmlstatus", 1, Fault::LostAnswer);
    sim.fail("GET /v1/pages/seeing/html/events", 1, Fault::Status(502, "x".into()));
    sim.fail("GET /v1/pages/seeing/html/events", 1, Fault::LostAnswer);
    let (backend, call) = (backend(&sim, &shelf), seeing());
    let ends = async {
        until("its events are read", || sim.count("GET /v1/pages/seeing/html/events") == 3).await;
        sim.play(TimesSquarePlay::finish);
    };
    let (outcome, ()) = tokio::join!(bench.run(&backend, &call), ends);
    outcome.unwrap();
    assert_eq!((sim.faults_left(), executions(&sim)), (0, once()));
}

#[tokio::test]
async fn mistakes_are_told_before_anything_is_computed() {
    let (sim, bench, shelf) = (service(TimesSquarePlay::default()).await, Bench::new(), Arc::default());
    for (params, words) in [
        (json!({"page": "nosuch"}), "no page \"nosuch\" (Page not found (unknown_page))"),
        (json!({"page": PAGE, "parameters": {"dayobs": 1}}), "has no parameter dayobs; it has: day_obs"),
        (json!({"page": PAGE, "parameters": {"day_obs": "yesterday"}}), "parameter_value_invalid"),
        (json!({}), "one of `page` and `github`"),
    ] {
        let error = bench.run(&backend(&sim, &shelf), &call("times_square", params)).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Permanent, "{error}");
        assert!(error.text.contains(words), "{error}");
    }
    let by_path =
        call("times_square", json!({"github": "lsst/reports/seeing", "parameters": {"day_obs": 20261120}}));
    assert!(executions(&sim).is_empty());
    bench.run(&backend(&sim, &shelf), &by_path).await.unwrap();
    assert_eq!(executions(&sim), once());
    let stranger = TimesSquareConfig { token_env: None, ..config(&sim) };
    let stranger = TimesSquareBackend::new(&stranger, Arc::clone(&shelf) as _, &|_| None, clock()).unwrap();
    let error = bench.run(&stranger, &seeing()).await.unwrap_err();
    assert!(
        error.class == ErrorClass::Permanent && error.text.contains("refuses the token (401)"),
        "{error}"
    );
}

#[tokio::test]
async fn processes_die_at_all_instants_and_the_page_is_computed_once() {
    for seed in 0..60 {
        let (sim, bench, shelf) = (service(TimesSquarePlay::default()).await, Bench::new(), Arc::default());
        let fault = Fault::Slow(std::time::Duration::from_millis(3));
        match seed % 3 {
            0 => sim.fail("GET /v1/pages/seeing/htmlstatus", 1, Fault::HangAfter),
            1 => sim.fail("GET /v1/pages/seeing/html/events", 1, fault),
            _ => sim.fail("GET /v1/pages/seeing/html", 2, fault),
        }
        bench.die_often(&seeing(), seed, || backend(&sim, &shelf)).await.unwrap();
        assert_eq!(executions(&sim), once(), "{seed}");
        assert_eq!(kept(&shelf), ["seeing.html"]);
    }
}

#[tokio::test]
async fn stops_and_restarts() {
    let play = with(|p| {
        p.by_itself = false;
    });
    let (sim, bench, shelf) = (service(play).await, Bench::new(), Arc::default());
    let error = bench.resume(&backend_at(&sim, &shelf, late()), &seeing()).await.unwrap_err();
    assert!(error.class == ErrorClass::Aborted && executions(&sim).is_empty(), "{error}");
    let (backend, call) = (backend(&sim, &shelf), seeing());
    let stops = async {
        until("its events are read", || sim.count("GET /v1/pages/seeing/html/events") == 1).await;
        bench.stop("enough");
    };
    let (error, ()) = tokio::join!(bench.run(&backend, &call), stops);
    let error = error.unwrap_err();
    assert!(error.class == ErrorClass::Aborted && error.text.contains("goes on"), "{error}");
    sim.play(TimesSquarePlay::finish);
    let next = Bench::new();
    next.journal.0.lock().unwrap().push(bench.memo().unwrap());
    next.resume(&backend_at(&sim, &shelf, late()), &seeing()).await.unwrap();
    assert_eq!(executions(&sim), once());
}
