use std::time::Duration;

use super::super::lives::{clock, kept, late, text_of, until};
use super::super::testing::{Bench, MemoryShelf, call};
use super::*;
use crate::sim::peer::Fault;
use crate::sim::uws::{SimJob, SimUws, UwsPlay};
use crate::tasks::call::ErrorClass;
use crate::tasks::steps::ocps::JobService;

mod real;

const RUN: &str = "catcher-0123456789abcdef-a";

async fn service() -> SimUws {
    SimUws::start(UwsPlay::default()).await.unwrap()
}

fn config(url: &str) -> UwsConfig {
    let job = UwsJob {
        command: "cd $JOB_SOURCE_DIR && bash bin/pipetask.sh".into(),
        url: "https://github.com/lsst-dm/uws_scripts".into(),
        commit_ref: "main".into(),
        environment: BTreeMap::from([("BUTLER_REPO".into(), "LATISS".into())]),
    };
    UwsConfig {
        url: url.to_owned(),
        jobs: BTreeMap::from([("pipetask".to_owned(), job)]),
        ocps: vec![1],
        poll_interval_s: 0.01,
        timeout_s: 5.0,
    }
}

fn backend(sim: &SimUws, shelf: &Arc<MemoryShelf>, clock: Clock) -> UwsBackend {
    UwsBackend::new(&config(&sim.url()), Arc::clone(shelf) as _, &|_| None, clock).unwrap()
}

fn pipeline(name: &str) -> StepCall {
    let query = "instrument='LATISS' AND exposure=2026112000042";
    call(
        "uws",
        json!({
            "environment": {"PIPELINE_URL": format!("${{AP_PIPE_DIR}}/pipelines/{name}"), "DATA_QUERY": query, "N": 3},
            "read": "metrics.json",
        }),
    )
}

#[tokio::test]
async fn a_job_from_request_to_files() {
    let (sim, bench, shelf) = (service().await, Bench::new(), Arc::default());
    let outcome = bench.run(&backend(&sim, &shelf, clock()), &pipeline("isr.yaml")).await.unwrap();
    let result = &outcome.result;
    assert_eq!(result["phase"], "completed");
    assert_eq!(result["outcome"], "succeeded");
    assert_eq!(result["duration_s"], 60.0);
    assert_eq!(result["values"]["fwhm"], 0.85);
    assert_eq!(result["run_id"], RUN);
    assert_eq!(result["job_id"], outcome.backend_id.as_str());
    assert_eq!(kept(&shelf), ["metrics.json", "ocps.log", "plots_psf.png"]);
    assert_eq!(outcome.files.len(), 3);
    let body = sim.play(|play| play.jobs[0].body.clone());
    assert_eq!(body["command"], "cd $JOB_SOURCE_DIR && bash bin/pipetask.sh");
    assert_eq!(body["url"], "https://github.com/lsst-dm/uws_scripts");
    let environment = body["environment"].as_array().unwrap();
    assert!(environment.contains(&json!({"name": "BUTLER_REPO", "value": "LATISS"})));
    assert!(environment.contains(&json!({"name": "N", "value": "3"})));
    let phases: Vec<Value> =
        bench.journal.0.lock().unwrap().iter().map(|memo| memo["phase"].clone()).collect();
    assert_eq!(phases, ["about_to_send", "sent"]);
}

#[tokio::test]
async fn only_wanted_files_are_kept_and_a_missing_one_is_told() {
    let (sim, bench, shelf) = (service().await, Bench::new(), Arc::default());
    let mut call = pipeline("isr.yaml");
    call.params["outputs"] = json!("*.log");
    call.params["read"] = json!("nothing.json");
    let error = bench.run(&backend(&sim, &shelf, clock()), &call).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    assert!(error.text.contains("succeeded, but nothing.json could not be read"), "{error}");
    assert_eq!(kept(&shelf), ["ocps.log"]);
}

#[tokio::test]
async fn every_end_of_a_job() {
    for (pipeline_name, end, class, words) in [
        ("false.yaml", None, ErrorClass::Permanent, "failed; see its files"),
        ("killed.yaml", None, ErrorClass::Permanent, "ended from outside"),
        ("never.yaml", Some("aborted"), ErrorClass::Aborted, "was aborted"),
        ("never.yaml", Some("something new"), ErrorClass::UnknownOutcome, "does not know the phase"),
    ] {
        let (sim, bench, shelf) = (service().await, Bench::new(), Arc::default());
        let (backend, call) = (backend(&sim, &shelf, clock()), pipeline(pipeline_name));
        let ends = async {
            if let Some(end) = end {
                until("the job is followed", || sim.count("GET /job/") > 3).await;
                sim.play(|play| play.end_all(end));
            }
        };
        let (error, ()) = tokio::join!(bench.run(&backend, &call), ends);
        let error = error.unwrap_err();
        assert_eq!(error.class, class, "{error}");
        assert!(error.text.contains(words), "{error}");
        assert_eq!(error.result["job_id"], error.backend_id.as_str(), "{error}");
        assert!(kept(&shelf).contains(&"ocps.log".to_owned()), "the log of a failed job is what one wants");
    }
}

#[tokio::test]
async fn held_and_suspended_jobs_are_waited_for() {
    let (sim, bench, shelf) = (service().await, Bench::new(), Arc::default());
    let (backend, call) = (backend(&sim, &shelf, clock()), pipeline("never.yaml"));
    let ends = async {
        for phase in ["held", "suspended", "completed"] {
            let before = sim.count("GET /job/");
            until("the job is looked at", || sim.count("GET /job/") > before + 1).await;
            sim.play(|play| play.end_all(phase));
        }
    };
    let (outcome, ()) = tokio::join!(bench.run(&backend, &call), ends);
    assert_eq!(outcome.unwrap().result["phase"], "completed");
}

#[tokio::test]
async fn a_job_that_is_gone_was_deleted_by_somebody() {
    let (sim, bench, shelf) = (service().await, Bench::new(), Arc::default());
    let (backend, call) = (backend(&sim, &shelf, clock()), pipeline("never.yaml"));
    let vanishes = async {
        until("the job is followed", || sim.count("GET /job/") > 1).await;
        sim.play(UwsPlay::forget);
    };
    let (error, ()) = tokio::join!(bench.run(&backend, &call), vanishes);
    let error = error.unwrap_err();
    assert_eq!(error.class, ErrorClass::Aborted);
    assert!(error.text.contains("somebody deleted it"), "{error}");
}

#[tokio::test]
async fn looks_that_fail_do_not_end_the_step() {
    let (sim, bench, shelf) = (service().await, Bench::new(), Arc::default());
    sim.fail("GET /job/", 1, Fault::Status(500, "Traceback".into()));
    sim.fail("GET /job/", 1, Fault::Garbage("<html>".into()));
    sim.fail("GET /job/", 1, Fault::HalfBody);
    sim.fail("GET /job/", 1, Fault::Garbage("{}".into()));
    sim.fail("GET /job/", 1, Fault::LostAnswer);
    let outcome = bench.run(&backend(&sim, &shelf, clock()), &pipeline("isr.yaml")).await.unwrap();
    assert_eq!(outcome.result["outcome"], "succeeded");
    assert_eq!(sim.faults_left(), 0);
    assert_eq!(sim.play(|p| p.submissions().clone()), BTreeMap::from([(RUN.to_owned(), 1)]));
}

#[tokio::test]
async fn a_job_that_was_created_although_the_answer_was_not_is_found() {
    let faults: [fn(&SimUws); 5] = [
        |sim| sim.fail("PUT /job", 1, Fault::LostAnswer),
        |sim| sim.fail("PUT /job", 1, Fault::HalfBody),
        |sim| sim.play(|play| play.creation_times_out = 1),
        |sim| sim.play(|play| play.wrong_run_id = 1),
        |sim| {
            sim.fail("PUT /job", 1, Fault::LostAnswer);
            sim.fail("GET /job", 2, Fault::Status(502, "Bad Gateway".into()));
        },
    ];
    for fault in faults {
        let (sim, bench, shelf) = (service().await, Bench::new(), Arc::default());
        fault(&sim);
        let outcome = bench.run(&backend(&sim, &shelf, clock()), &pipeline("isr.yaml")).await.unwrap();
        assert_eq!(outcome.result["outcome"], "succeeded");
        assert_eq!(sim.play(|p| p.submissions().clone()), BTreeMap::from([(RUN.to_owned(), 1)]));
    }
}

#[tokio::test]
async fn what_was_not_created_may_be_tried_again_and_the_next_attempt_looks_first() {
    let (sim, bench, shelf) = (service().await, Bench::new(), Arc::default());
    let backend = backend(&sim, &shelf, clock());
    sim.fail("PUT /job", 1, Fault::Status(503, "no".into()));
    let error = bench.run(&backend, &pipeline("isr.yaml")).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    assert!(error.text.contains("it was not created"), "{error}");
    let mut again = pipeline("isr.yaml");
    again.id.attempt = 2;
    bench.run(&backend, &again).await.unwrap();
    assert_eq!(sim.play(|p| p.submissions()[RUN]), 1);
    // A third one, which there never is, would find that job.
    again.id.attempt = 3;
    bench.run(&backend, &again).await.unwrap();
    assert_eq!(sim.play(|p| p.submissions()[RUN]), 1);
}

#[tokio::test]
async fn a_service_that_is_away_is_a_transient_error_before_and_no_error_after() {
    let (sim, bench, shelf) = (service().await, Bench::new(), Arc::default());
    let backend = backend(&sim, &shelf, clock());
    sim.go_away();
    let error = bench.run(&backend, &pipeline("isr.yaml")).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    assert!(error.text.contains("nothing was sent"), "{error}");
    sim.come_back().await.unwrap();
    let (call, away) = (pipeline("never.yaml"), async {
        until("the job is followed", || sim.count("GET /job/") > 0).await;
        sim.go_away();
        tokio::task::yield_now().await;
        sim.come_back().await.unwrap();
        sim.play(|play| play.end_all("completed"));
    });
    let (outcome, ()) = tokio::join!(bench.run(&backend, &call), away);
    assert_eq!(outcome.unwrap().result["outcome"], "succeeded");
}

#[tokio::test]
async fn a_stopped_job_is_deleted_and_its_log_kept() {
    let (sim, bench, shelf) = (service().await, Bench::new(), Arc::default());
    let (backend, call) = (backend(&sim, &shelf, clock()), pipeline("never.yaml"));
    let stops = async {
        until("the job is followed", || sim.count("GET /job/") > 1).await;
        bench.stop("enough");
    };
    let (error, ()) = tokio::join!(bench.run(&backend, &call), stops);
    let error = error.unwrap_err();
    assert_eq!(error.class, ErrorClass::Aborted);
    assert!(error.text.contains("enough; job") && error.text.contains("was deleted"), "{error}");
    assert_eq!(sim.play(|p| p.deleted.clone()), std::slice::from_ref(&error.backend_id));
    assert_eq!(text_of(&shelf, "ocps.log"), "pipetask run\n");
}

#[tokio::test]
async fn a_job_that_ended_while_it_was_stopped_has_its_own_end() {
    let (sim, bench, shelf) = (service().await, Bench::new(), Arc::default());
    let (backend, call) = (backend(&sim, &shelf, clock()), pipeline("never.yaml"));
    let stops = async {
        until("the job is followed", || sim.count("GET /job/") > 1).await;
        sim.play(|play| play.end_all("completed"));
        bench.stop("enough");
    };
    let (outcome, ()) = tokio::join!(bench.run(&backend, &call), stops);
    assert_eq!(outcome.unwrap().result["outcome"], "succeeded");
    assert!(sim.play(|p| p.deleted.is_empty()), "its files would be gone");
}

#[tokio::test]
async fn a_job_that_is_being_created_when_the_step_is_stopped_is_deleted() {
    let (sim, bench, shelf) = (service().await, Bench::new(), Arc::default());
    let (backend, call) = (backend(&sim, &shelf, clock()), pipeline("never.yaml"));
    sim.fail("PUT /job", 1, Fault::HangAfter);
    let stops = async {
        until("the job is created", || sim.play(|p| p.jobs.len()) == 1).await;
        bench.stop("enough");
    };
    let (error, ()) = tokio::join!(bench.run(&backend, &call), stops);
    assert!(error.unwrap_err().text.contains("was deleted"));
    assert!(sim.play(|p| p.jobs.is_empty()));
}

#[tokio::test]
async fn processes_die_at_all_instants_and_there_is_one_job() {
    for seed in 0..60 {
        let (sim, bench, shelf) = (service().await, Bench::new(), Arc::default());
        let fault = match seed % 4 {
            0 => None,
            1 => Some(("PUT /job", Fault::HangAfter)),
            2 => Some(("PUT /job", Fault::Slow(Duration::from_millis(3)))),
            _ => Some(("GET /job", Fault::Slow(Duration::from_millis(2)))),
        };
        if let Some((begins, fault)) = fault {
            sim.fail(begins, 1, fault);
        }
        let end = bench.die_often(&pipeline("isr.yaml"), seed, || backend(&sim, &shelf, clock())).await;
        assert_eq!(end.unwrap().result["outcome"], "succeeded", "{seed}");
        assert_eq!(sim.play(|p| p.submissions().clone()), BTreeMap::from([(RUN.to_owned(), 1)]), "{seed}");
    }
}

#[tokio::test]
async fn after_a_restart_nothing_is_begun_too_late_but_what_runs_is_followed() {
    let (sim, bench, shelf) = (service().await, Bench::new(), Arc::default());
    let error = bench.resume(&backend(&sim, &shelf, late()), &pipeline("isr.yaml")).await.unwrap_err();
    assert!(error.class == ErrorClass::Aborted && error.text.contains("max_event_age"), "{error}");
    let memo = Memo { phase: Sending::AboutToSend, at: Tai(1000.0), job_id: None };
    bench.journal.0.lock().unwrap().push(json!(memo));
    let error = bench.resume(&backend(&sim, &shelf, late()), &pipeline("isr.yaml")).await.unwrap_err();
    assert!(error.class == ErrorClass::Aborted && sim.play(|p| p.jobs.is_empty()), "{error}");
    let a_day_later = Clock::scaled(Tai(90_000.0), 1.0);
    let error = bench.resume(&backend(&sim, &shelf, a_day_later), &pipeline("isr.yaml")).await.unwrap_err();
    assert!(error.class == ErrorClass::UnknownOutcome && error.text.contains("23 h"), "{error}");
    let (first, call) = (backend(&sim, &shelf, clock()), pipeline("never.yaml"));
    let dies = bench.run(&first, &call);
    tokio::select! {
        end = dies => panic!("{end:?}"),
        () = until("the job runs", || sim.count("GET /job/") > 0) => {}
    }
    sim.play(|play| play.end_all("completed"));
    bench.resume(&backend(&sim, &shelf, late()), &pipeline("never.yaml")).await.unwrap();
    assert_eq!(sim.play(|p| p.submissions()[RUN]), 1);
}

#[test]
fn what_would_break_the_job_is_refused() {
    let service =
        UwsBackend::new(&config("http://uws/api/v1"), Arc::new(MemoryShelf::default()), &|_| None, clock())
            .unwrap();
    let refused = |environment: Value| {
        let params = read(&json!({"environment": environment})).unwrap();
        service.request(&params, RUN).unwrap_err()
    };
    assert!(refused(json!({"Q": "instrument=\"LATISS\""})).contains("Q: it contains '\"'"));
    assert!(refused(json!({"Q": "a\nb", "1 x": "y"})).contains("\"1 x\" is no name"));
    assert!(service.check(&json!({"job": "other"})).unwrap_err().contains("lists: pipetask"));
    assert!(service.check(&json!({})).is_ok());
    let unknown = read(&json!({"comand": "rm"})).unwrap_err();
    assert!(unknown.contains("comand"), "{unknown}");
}

#[test]
fn every_mistake_of_the_section_is_told() {
    let mut config = config("uws-server");
    config.poll_interval_s = 0.0;
    config.jobs.insert(
        "bad".into(),
        UwsJob {
            command: "echo a: b".into(),
            url: "a\"b".into(),
            commit_ref: String::new(),
            environment: BTreeMap::from([("A B".into(), "c\\".into())]),
        },
    );
    let made = UwsBackend::new(&config, Arc::new(MemoryShelf::default()), &|_| None, clock());
    let Err(problems) = made else { panic!("it was taken") };
    let told = problems.join("\n");
    for part in [
        "url: \"uws-server\"",
        "poll_interval_s: 0",
        "jobs.bad.command",
        "jobs.bad.url",
        "\"A B\" is no name",
        "A B: it contains",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(wire::bad_command("&& x").is_some() && wire::bad_command("bash -c x").is_none());
}

/// A job that OCPS asked for: its run id is the number of the command.
fn job_of_ocps(sim: &SimUws, number: &str, end: &'static str) {
    sim.play(|play| {
        play.jobs.push(SimJob {
            id: format!("of-{number}"),
            run_id: number.to_owned(),
            phases: vec!["pending", "executing", end],
            body: json!({}),
            files: Vec::new(),
            empty_looks: 0,
        });
    });
}

#[tokio::test]
async fn jobs_of_an_ocps_are_found_by_the_number_of_the_command() {
    let sim = SimUws::start(UwsPlay::default()).await.unwrap();
    let jobs = OcpsJobs::new(&config(&sim.url()), &|_| None).unwrap();
    assert!(jobs.serves(1) && !jobs.serves(2));
    for (number, end, exit_code) in [(17, "completed", 0), (18, "error", 1), (19, "aborted", 255)] {
        job_of_ocps(&sim, &number.to_string(), end);
        sim.fail("GET /job", 1, Fault::Status(503, "later".into()));
        let id = jobs.find(number).await.unwrap();
        sim.fail("GET /job/", 1, Fault::HalfBody);
        let told = jobs.ended(&id, number).await.unwrap();
        assert_eq!((told.exit_code, &told.said["runId"]), (exit_code, &json!(number.to_string())), "{end}");
    }
    assert_eq!(jobs.find(20).await, None);
    assert!(jobs.ended("of-17", 18).await.unwrap_err().contains("has the run id \"17\""));
    assert!(jobs.ended("nobody", 20).await.unwrap_err().contains("is gone"));
    assert_eq!(sim.count("PUT") + sim.count("DELETE"), 0, "it only looks");
}
