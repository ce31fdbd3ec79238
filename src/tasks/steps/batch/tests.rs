use std::path::Path;

use super::super::lives::{clock, late, until};
use super::super::testing::{Bench, call};
use super::*;
use crate::tasks::call::ErrorClass;

const NAME: &str = "catcher-0123456789abcdef-a";

/// The fake programs of `tests/data/batch`, with their state in a folder of its own.
struct Site {
    folder: tempfile::TempDir,
    system: System,
}

const SYSTEMS: [System; 2] = [System::Htcondor, System::Slurm];

impl Site {
    fn new(system: System) -> Site {
        let site = Site { folder: tempfile::tempdir().unwrap(), system };
        for part in ["state", "state/jobs", "state/ends", "state/control"] {
            std::fs::create_dir(site.path(part)).unwrap();
        }
        site
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn config(&self) -> BatchConfig {
        let job = BatchJob {
            program: "/opt/lsst/isr.sh".into(),
            arguments: vec!["run".into()],
            submit: match self.system {
                System::Htcondor => vec!["request_memory = 4 GB".into()],
                System::Slurm => vec!["--mem=4G".into()],
            },
        };
        let state = self.path("state").to_string_lossy().into_owned();
        BatchConfig {
            system: self.system,
            folder: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/batch"),
            jobs: BTreeMap::from([("isr".to_owned(), job)]),
            logs: None,
            environment: BTreeMap::from([("FAKE_BATCH".to_owned(), state)]),
            pass_environment: Vec::new(),
            poll_interval_s: 0.01,
            timeout_s: 20.0,
        }
    }

    fn backend_at(&self, clock: Clock) -> BatchBackend {
        BatchBackend::new(&self.config(), self.path("work"), &|_| None, clock).unwrap()
    }

    fn backend(&self) -> BatchBackend {
        self.backend_at(clock())
    }

    /// How a detector's job ends.
    fn ends(&self, detector: &str, how: &str) {
        std::fs::write(self.path("state/ends").join(detector), format!("{how}\n")).unwrap();
    }

    fn control(&self, name: &str, lines: usize) {
        std::fs::write(self.path("state/control").join(name), "x\n".repeat(lines)).unwrap();
    }

    fn release(&self, name: &str) {
        std::fs::remove_file(self.path("state/control").join(name)).unwrap();
    }

    fn lines(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.path("state").join(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn submissions(&self) -> Vec<String> {
        self.lines("submissions")
    }
}

fn isr(detectors: Value) -> StepCall {
    call(
        "batch",
        json!({"job": "isr", "detectors": detectors, "filter": "r_57", "images": "MC_O_20261120_000042"}),
    )
}

#[tokio::test]
async fn one_job_for_each_detector_in_one_submission() {
    for system in SYSTEMS {
        let (site, bench) = (Site::new(system), Bench::new());
        let outcome = bench.run(&site.backend(), &isr(json!(9))).await.unwrap();
        let result = &outcome.result;
        assert_eq!(
            (&result["jobs"], &result["succeeded"], &result["failed"]),
            (&json!(9), &json!(9), &json!(0))
        );
        assert_eq!(result["detectors"].as_array().unwrap().len(), 9);
        assert_eq!(result["cluster"], "42");
        assert_eq!(outcome.backend_id, "42");
        assert_eq!(site.submissions(), [NAME]);
        let input = site.lines("jobs/42/input").join("\n");
        let last = match system {
            System::Htcondor => {
                assert!(input.contains("request_memory = 4 GB"), "{input}");
                "arguments = \"run --detector 8 --filter r_57 --image MC_O_20261120_000042 --data-wait 120\"\nqueue"
            }
            System::Slurm => {
                "8) exec '/opt/lsst/isr.sh' 'run' '--detector' '8' '--filter' 'r_57' '--image' 'MC_O_20261120_000042' \
                 '--data-wait' '120' ;;"
            }
        };
        assert!(input.contains(last), "{input}");
    }
}

#[tokio::test]
async fn the_whole_focal_plane_is_one_submission() {
    let (site, bench) = (Site::new(System::Slurm), Bench::new());
    let outcome = bench.run(&site.backend(), &isr(json!(189))).await.unwrap();
    assert_eq!(outcome.result["succeeded"], 189);
    assert_eq!(site.submissions(), [NAME]);
}

#[tokio::test]
async fn failures_count_against_what_is_tolerated() {
    for system in SYSTEMS {
        for (tolerate, succeeds) in [(1, false), (2, true)] {
            let (site, bench) = (Site::new(system), Bench::new());
            site.ends("R22_S11", "3");
            site.ends("R22_S12", "signal");
            let mut call = isr(json!(["R22_S10", "R22_S11", "R22_S12"]));
            call.params["tolerate"] = json!(tolerate);
            let end = bench.run(&site.backend(), &call).await;
            let result = match end {
                Ok(outcome) => {
                    assert!(succeeds);
                    outcome.result
                }
                Err(error) => {
                    assert!(!succeeds && error.class == ErrorClass::Permanent, "{error}");
                    assert!(
                        error.text.starts_with("2 of 3 jobs failed, 1 may: R22_S11 ended with code 3"),
                        "{error}"
                    );
                    *error.result
                }
            };
            assert_eq!(result["failures"]["R22_S12"], "was ended (signal 9)");
            assert_eq!(result["detectors"], json!(["R22_S10"]));
        }
    }
}

#[tokio::test]
async fn held_jobs_are_failures_and_do_not_stay() {
    let (site, bench) = (Site::new(System::Htcondor), Bench::new());
    site.ends("1", "hold");
    let error = bench.run(&site.backend(), &isr(json!(2))).await.unwrap_err();
    assert!(error.text.contains("1 is held (Error from slot1: memory usage exceeded)"), "{error}");
    assert_eq!(site.lines("removals"), ["42"]);
}

#[tokio::test]
async fn what_the_system_ended_is_told_in_its_words() {
    for (system, words) in [(System::Htcondor, "out of memory"), (System::Slurm, "OUT_OF_MEMORY")] {
        let (site, bench) = (Site::new(system), Bench::new());
        site.ends("0", "oom");
        let error = bench.run(&site.backend(), &isr(json!(1))).await.unwrap_err();
        assert!(error.class == ErrorClass::Permanent && error.text.contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_job_that_vanished_has_an_unknown_outcome() {
    for system in SYSTEMS {
        let (site, bench) = (Site::new(system), Bench::new());
        site.ends("1", "vanish");
        let error = bench.run(&site.backend(), &isr(json!(2))).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::UnknownOutcome, "{error}");
        assert!(error.text.contains("1 is lost"), "{error}");
    }
}

#[tokio::test]
async fn questions_that_fail_are_asked_again() {
    for system in SYSTEMS {
        let (site, bench) = (Site::new(system), Bench::new());
        site.control("deaf", 3);
        bench.run(&site.backend(), &isr(json!(2))).await.unwrap();
        assert!(site.lines("control/deaf").is_empty());
    }
}

#[tokio::test]
async fn a_refused_submission_may_be_tried_again_and_one_that_took_effect_is_found() {
    for system in SYSTEMS {
        let (site, bench) = (Site::new(system), Bench::new());
        site.control("fail_submit", 1);
        let error = bench.run(&site.backend(), &isr(json!(2))).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Transient, "{error}");
        assert!(error.text.contains("Failed to connect"), "{error}");
        site.control("lost_answer", 1);
        let mut again = isr(json!(2));
        again.id.attempt = 2;
        bench.run(&site.backend(), &again).await.unwrap();
        assert_eq!(site.submissions(), [NAME]);
    }
}

#[tokio::test]
async fn a_stopped_step_removes_its_jobs() {
    for system in SYSTEMS {
        let (site, bench) = (Site::new(system), Bench::new());
        site.ends("1", "never");
        let (backend, call) = (site.backend(), isr(json!(2)));
        let stops = async {
            until("it is followed", || bench.memo().is_some_and(|memo| memo["cluster"] == "42")).await;
            bench.stop("enough");
        };
        let (error, ()) = tokio::join!(bench.run(&backend, &call), stops);
        let error = error.unwrap_err();
        assert!(error.class == ErrorClass::Aborted && error.text.contains("were removed"), "{error}");
        assert_eq!(site.lines("removals"), ["42"]);
    }
}

#[tokio::test]
async fn a_step_that_is_stopped_while_it_submits_leaves_no_jobs() {
    for (system, hangs) in [(System::Htcondor, "hang_after"), (System::Slurm, "hang_before")] {
        let (site, bench) = (Site::new(system), Bench::new());
        site.control(hangs, 1);
        let (backend, call) = (site.backend(), isr(json!(2)));
        let stops = async {
            let begun = || match hangs {
                "hang_after" => !site.submissions().is_empty(),
                _ => site.path("work/0123456789abcdef_a_1/pid").exists(),
            };
            until("it submits", begun).await;
            bench.stop("enough");
        };
        let (error, ()) = tokio::join!(bench.run(&backend, &call), stops);
        let error = error.unwrap_err();
        match hangs {
            "hang_after" => {
                assert!(error.text.contains("were removed"), "{error}");
                assert_eq!(site.lines("removals"), ["42"]);
            }
            _ => {
                assert!(error.text.contains("no jobs had been submitted"), "{error}");
                site.release(hangs);
                assert!(site.submissions().is_empty());
            }
        }
    }
}

#[tokio::test]
async fn processes_die_at_all_instants_and_there_is_one_submission() {
    for seed in 0..40 {
        let (site, bench) = (Site::new(SYSTEMS[seed as usize % 2]), Bench::new());
        let outcome = bench.die_often(&isr(json!(2)), seed, || site.backend()).await.unwrap();
        assert_eq!(outcome.result["succeeded"], 2, "{seed}");
        assert_eq!(site.submissions(), [NAME], "{seed}");
    }
}

#[tokio::test]
async fn a_command_that_goes_on_after_we_died_is_waited_for() {
    for hangs in ["hang_before", "hang_after"] {
        let (site, bench) = (Site::new(System::Htcondor), Bench::new());
        site.control(hangs, 1);
        let (first, call) = (site.backend(), isr(json!(2)));
        tokio::select! {
            end = bench.run(&first, &call) => panic!("{end:?}"),
            () = until("it submits", || site.path("work/0123456789abcdef_a_1/pid").exists()) => {}
        }
        let second = site.backend_at(late());
        let goes_on = async {
            // The second process has looked once by now, and seen that the command is still there.
            site.release(hangs);
        };
        let (outcome, ()) = tokio::join!(bench.resume(&second, &call), goes_on);
        assert_eq!(outcome.unwrap().result["succeeded"], 2, "{hangs}");
        assert_eq!(site.submissions(), [NAME], "{hangs}");
    }
}

#[tokio::test]
async fn after_a_restart_nothing_is_submitted_too_late() {
    let (site, bench) = (Site::new(System::Slurm), Bench::new());
    let error = bench.resume(&site.backend_at(late()), &isr(json!(2))).await.unwrap_err();
    assert!(error.class == ErrorClass::Aborted && site.submissions().is_empty(), "{error}");
    let lost = Memo { folder: "0123456789abcdef_a_1".into(), at: Tai(1000.0), cluster: None };
    bench.journal.0.lock().unwrap().push(json!(lost));
    let week_later = Clock::scaled(Tai(1000.0 + 7.0 * 86_400.0), 1.0);
    let error = bench.resume(&site.backend_at(week_later), &isr(json!(2))).await.unwrap_err();
    assert!(error.class == ErrorClass::UnknownOutcome && site.submissions().is_empty(), "{error}");
}

#[test]
fn every_mistake_of_the_section_is_told() {
    let site = Site::new(System::Htcondor);
    let mut config = site.config();
    config.folder = site.path("");
    config.poll_interval_s = 0.0;
    let bad = BatchJob {
        program: "isr.sh".into(),
        arguments: vec!["$x".into()],
        submit: vec!["a\nqueue 9".into()],
    };
    config.jobs.insert("bad".into(), bad);
    config.pass_environment = vec!["NOT_SET".into()];
    let Err(problems) = BatchBackend::new(&config, site.path("work"), &|_| None, clock()) else {
        panic!("taken")
    };
    let told = problems.join("\n");
    for part in [
        "has no condor_submit, condor_q, condor_history, condor_rm",
        "poll_interval_s: 0",
        "jobs.bad.program: isr.sh is not",
        "jobs.bad.arguments",
        "jobs.bad.submit",
        "NOT_SET",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let backend = site.backend();
    assert!(backend.check(&json!({"job": "cp"})).unwrap_err().contains("lists: isr"));
    assert!(backend.check(&json!({"job": "isr"})).is_ok());
}
