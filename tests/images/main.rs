//! The image scenario: exposures of the main camera, 189 detectors into the OODS, a pipeline for each of them by the OCPS, on the
//! embedded bus, through a whole Catcher with the shipped rules.

mod stage;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use catcher::sim::camera::Shot;
use catcher::sim::ocps::{OcpsScript, Outcome};

use stage::{SUCCEEDED, Stage};

const FIRST: &str = "MC_O_20261120_000041";
const SECOND: &str = "MC_O_20261120_000042";

/// Data queries of the jobs that were commanded, sorted by detector, each as often as it came.
fn detectors(stage: &Stage, exposure: &str) -> Vec<i64> {
    let begin = format!("instrument='LSSTCam' AND exposure={exposure} AND detector=");
    let all = stage.ocps.executed();
    let queries = all.iter().map(|e| e.fields["data_query"].clone());
    let mut numbers: Vec<i64> =
        queries.filter_map(|q| q.strip_prefix(&begin).map(|n| n.parse().expect("a detector"))).collect();
    numbers.sort_unstable();
    numbers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_detector_that_arrives_gets_one_job_and_what_is_missing_is_told() {
    let queries = ["detector=7", "detector=94"].map(|q| (q.to_owned(), Outcome::Fail));
    let script = OcpsScript {
        first_ack: Duration::from_millis(5),
        run_time: Duration::from_millis(50),
        queries: BTreeMap::from(queries),
        ..OcpsScript::default()
    };
    let stage = Stage::set("4s", 48, script).await.expect("everything starts");

    // All are there: nothing begins before the last one.
    let shot = Shot::whole(FIRST, Duration::from_millis(200), Duration::from_millis(900));
    let played = stage.camera.play(&shot).await.expect("it can be published");
    let run = stage.seen.run_ended(0).await;
    assert_eq!((run.state, run.error.as_str()), (SUCCEEDED, ""));
    let commanded = stage.ocps.executed();
    assert_eq!(detectors(&stage, "2026112000041"), (0..189).collect::<Vec<_>>());
    assert_eq!(commanded.len(), 189);
    assert!(
        commanded.iter().all(|job| job.at.0 >= played.last_stored.0),
        "a job began before the image was whole"
    );
    stage.seen.until("a result", |seen| !seen.results().is_empty()).await;
    let result = stage.seen.results().pop().expect("a run has a result")["isr"]["result"].clone();
    assert_eq!(
        (&result["n"], &result["succeeded"], &result["failed"]),
        (&189.into(), &187.into(), &2.into()),
        "{result}"
    );
    let alarm = format!("Process.LSSTCam.{FIRST}");
    stage.seen.until("the alarm", |seen| seen.alarm(&alarm).is_some_and(|a| a.0 == 2)).await;
    let reason = stage.seen.alarm(&alarm).expect("it was there").1;
    assert!(reason.contains("2 of 189 pipelines"), "{reason}");

    // Order: each step begins once, never more than max_parallel at a time, and ends before the run does.
    let events = stage.seen.tasks();
    let now = stage.now();
    assert!(events.iter().all(|event| event.at.0 > 0.0 && event.at.0 <= now.0), "stamps of events");
    let (mut begun, mut going, mut most) = (BTreeSet::new(), BTreeSet::new(), 0);
    for event in events.iter().filter(|e| e.run == run.run && e.step.starts_with("isr[")) {
        if event.state >= SUCCEEDED {
            going.remove(&event.step);
        } else if event.state > 1 {
            begun.insert(event.step.clone());
            going.insert(event.step.clone());
            most = most.max(going.len());
        }
    }
    assert_eq!((begun.len(), going.len()), (189, 0));
    assert!((2..=48).contains(&most), "{most} at a time");
    let place = |step: &str| events.iter().rposition(|e| e.run == run.run && e.step == step);
    assert!(place("isr[188]") < place("isr") && place("isr") <= place(""), "the group ends after its items");

    // Some never come, one comes with an error: at the deadline those that are there are processed, the others told.
    let shot = Shot::whole(SECOND, Duration::from_millis(200), Duration::from_millis(500))
        .without(&["R01_S00", "R22_S12", "R43_S22"])
        .with_errors(&["R34_S10"]);
    let played = stage.camera.play(&shot).await.expect("it can be published");
    let run = stage.seen.run_ended(1).await;
    assert_eq!(run.state, SUCCEEDED, "{}", run.error);
    let jobs = &stage.ocps.executed()[189..];
    let missing = [0, 95, 156, 188];
    let expected: Vec<i64> = (0..189).filter(|n| !missing.contains(n)).collect();
    assert_eq!(detectors(&stage, "2026112000042"), expected);
    assert_eq!(jobs.len(), 185);
    assert!(jobs.iter().all(|job| job.at.0 >= played.read_out.0 + 4.0), "a job began before the deadline");
    let alarm = format!("Missing.LSSTCam.{SECOND}");
    stage.seen.until("the alarm", |seen| seen.alarm(&alarm).is_some_and(|a| a.0 == 2)).await;
    let reason = stage.seen.alarm(&alarm).expect("it was there").1;
    let told = "4 detectors of MC_O_20261120_000042 are not in the OODS: R01_S00 R22_S12 R34_S10 R43_S22";
    assert_eq!(reason, told);
    let first = format!("Missing.LSSTCam.{FIRST}");
    assert!(stage.seen.alarm(&first).is_none_or(|alarm| alarm.0 == 1), "the first image was whole");
    stage.close().await;
}
