//! A whole Catcher on a bus in memory: its report, the file of a step and a long result, with an LFA and without.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use salobj::csc::CscOptions;
use salobj::{Remote, RemoteOptions, Sample, SummaryState, Value};
use salobj_testbed::Bus;
use serde_json::{Value as Json, json};

use super::*;
use crate::app::{self, Running};
use crate::sim::s3::{S3Play, SimS3};

const LIMIT: Duration = Duration::from_secs(60);

const RULES: &str = "
rules:
  - name: Files
    trigger: {manual: true}
    tasks: {make: {command: {program: make.sh}}}
    report: {from: always}
";

/// Leaves a file, and answers with more than an event takes.
const PROGRAM: &str = r#"#!/bin/sh
echo "a,b" > "$CATCHER_ARTIFACTS/table.csv"
printf '{"values": {"n": 3, "long": "'
head -c 40000 /dev/zero | tr '\0' x
printf '"}}'
"#;

struct Site {
    bus: Bus,
    folder: tempfile::TempDir,
}

impl Site {
    fn new(lfa: Option<(&SimS3, Json)>) -> Site {
        let (mut bus, _) = Bus::memory();
        let folder = tempfile::tempdir().unwrap();
        let (config, programs) = (folder.path().join("config"), folder.path().join("programs"));
        std::fs::create_dir_all(config.join("rules")).unwrap();
        std::fs::create_dir_all(&programs).unwrap();
        std::fs::write(config.join("rules/files.yaml"), RULES).unwrap();
        std::fs::write(programs.join("make.sh"), PROGRAM).unwrap();
        let may_run = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(programs.join("make.sh"), may_run).unwrap();
        let mut init = json!({
            "auto_acknowledge_delay_s": 0.0, "auto_unacknowledge_delay_s": 0.0, "allowed_commands": [],
            "instances": [{"sal_index": 1, "rules": ["*.yaml"]}], "report_url": "http://catcher/reports",
            "backends": {"command": {"folder": programs, "memory_mb": 4096}},
        });
        if let Some((sim, section)) = lfa {
            bus.env.s3_endpoint_url = Some(sim.url());
            init["lfa"] = section;
        }
        std::fs::write(config.join("_init.yaml"), serde_saphyr::to_string(&init).unwrap()).unwrap();
        Site { bus, folder }
    }

    async fn start(&self, n: u32) -> Running {
        let mut csc = CscOptions::new(1);
        csc.initial_state = Some(SummaryState::Enabled);
        csc.config_dir = Some(self.folder.path().join("config"));
        let options = app::Options {
            csc,
            data_dir: self.folder.path().join("data"),
            http: ([127, 0, 0, 1], 0).into(),
            secrets: Arc::new(S3Play::env),
            record: None,
        };
        app::start(&self.bus.domain(n), sal_idl::Library::embedded(), options).await.unwrap()
    }

    async fn remote(&self, n: u32) -> Remote {
        let component = sal_idl::Library::embedded().component("Catcher").unwrap();
        let topics = ["largeFileObjectAvailable", "task", "notification"];
        Remote::open(&self.bus.domain(n), component, 1, RemoteOptions::include(topics)).await.unwrap()
    }
}

async fn trigger(remote: &Remote) -> String {
    let fields: [(&str, Value); 2] = [("ruleName", "Files".into()), ("parameters", "".into())];
    remote.command("trigger").unwrap().start(&fields, LIMIT, true).await.unwrap().result
}

async fn files(remote: &Remote, n: usize) -> Vec<Sample> {
    let event = remote.event("largeFileObjectAvailable").unwrap();
    let mut files = Vec::new();
    for _ in 0..n {
        files.push(event.next(false, Some(LIMIT)).await.unwrap());
    }
    files
}

/// The next address of the run's report that is told, and the result of its step as it was last told.
async fn report(remote: &Remote, run: &str) -> (String, String) {
    let mut result = String::new();
    loop {
        let task = remote.event("task").unwrap().next(false, Some(LIMIT)).await.unwrap();
        if task.str("taskId") != run {
            continue;
        }
        if task.str("step") == "make" && !task.str("result").is_empty() {
            task.str("result").clone_into(&mut result);
        }
        if !task.str("reportUrl").is_empty() {
            return (task.str("reportUrl").to_owned(), result);
        }
    }
}

fn of_kind<'a>(files: &'a [Sample], mime: &str) -> &'a str {
    files.iter().find(|file| file.str("mimeType") == mime).unwrap_or_else(|| panic!("{mime}")).str("url")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_an_lfa_every_file_is_there_when_it_is_announced() {
    let sim = SimS3::start(S3Play::default()).await.unwrap();
    let site = Site::new(Some((&sim, json!({"instance": "test"}))));
    let remote = site.remote(3).await;
    let running = site.start(2).await;
    let run = trigger(&remote).await;
    let made = files(&remote, 3).await;
    for file in &made {
        let key = file.str("url").split_once("/rubinobs-lfa-test/").unwrap().1.replace("%3A", ":");
        let object = sim.play(|play| play.objects[&key].clone());
        assert!(key.starts_with("Catcher:1/"), "{key}");
        assert_eq!((file.str("id"), file.str("checkSum")), (run.as_str(), object.tag.as_str()));
        assert_eq!(file.i64("byteSize"), object.bytes.len() as i64);
        assert!(object.mime == file.str("mimeType") && file.f64("version") == 1.0);
    }
    let (url, result) = report(&remote, &run).await;
    assert_eq!(url, of_kind(&made, "text/html"));
    let result: Json = serde_json::from_str(&result).unwrap();
    assert_eq!(
        (&result["url"], &result["summary"]["values"]),
        (&json!(of_kind(&made, "application/json")), &json!(null))
    );
    assert!(of_kind(&made, "text/csv").contains("/make/"));

    // It goes away: the report is told where the Catcher serves it, and then, over a restart, where it lies in the end.
    sim.go_away();
    let run = trigger(&remote).await;
    let (own, _) = report(&remote, &run).await;
    assert!(own.starts_with("http://catcher/reports/"), "{own}");
    running.close().await;
    sim.come_back().await.unwrap();
    let running = site.start(4).await;
    let late = files(&remote, 3).await;
    let mut told = report(&remote, &run).await.0;
    while told == own {
        told = report(&remote, &run).await.0;
    }
    assert_eq!(told, of_kind(&late, "text/html"));
    assert!(late.iter().all(|file| file.str("id") == run) && sim.play(|play| play.replaced().is_empty()));
    remote.close().await;
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_one_the_catcher_announces_what_it_serves_itself() {
    let site = Site::new(None);
    let remote = site.remote(3).await;
    let running = site.start(2).await;
    let run = trigger(&remote).await;
    let made = files(&remote, 3).await;
    let (url, _) = report(&remote, &run).await;
    assert_eq!(url, of_kind(&made, "text/html"));
    for file in &made {
        let path = file.str("url").strip_prefix("http://catcher/").unwrap();
        let served = reqwest::get(format!("http://{}/{path}", running.web)).await.unwrap();
        assert_eq!(served.status(), 200, "{path}");
        assert_eq!(served.bytes().await.unwrap().len() as i64, file.i64("byteSize"));
    }
    remote.close().await;
    running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_wrong_section_leaves_the_csc_in_standby() {
    let sim = SimS3::start(S3Play::default()).await.unwrap();
    let site = Site::new(Some((&sim, json!({"category": "a_b"}))));
    let running = site.start(2).await;
    assert_eq!(running.csc.context().state(), SummaryState::Standby);
    running.close().await;
}
