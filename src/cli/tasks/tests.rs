//! A whole Catcher on a bus in memory that runs programs: what the command line shows, follows, runs again and ends.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use clap::Parser;
use salobj::SummaryState;
use salobj::csc::CscOptions;
use salobj_testbed::Bus as TestBus;
use serde_json::Value as Json;

use super::*;
use crate::app;

const RULES: &str = r#"
rules:
  - name: Programs
    trigger: {manual: true, max_concurrent: 4}
    report: {from: always}
    tasks:
      each:
        foreach: 3
        command: {program: count.sh, args: "{{ item }}"}
      after:
        needs: [each]
        command: {program: fails.sh}
  - name: Waits
    trigger: {manual: true}
    tasks: {wait: {command: {program: waits.sh}}}
"#;

#[derive(Debug, Parser)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

struct Site {
    bus: TestBus,
    folder: tempfile::TempDir,
    running: app::Running,
    remote: Remote,
}

fn program(folder: &Path, name: &str, text: &str) {
    let new = folder.join("new");
    std::fs::write(&new, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(new, folder.join(name)).unwrap();
}

impl Site {
    async fn set(bus: TestBus) -> Site {
        let folder = tempfile::tempdir().unwrap();
        let (config, programs) = (folder.path().join("config"), folder.path().join("programs"));
        std::fs::create_dir_all(config.join("rules")).unwrap();
        std::fs::create_dir_all(&programs).unwrap();
        program(&programs, "count.sh", "echo \"item $1\" >&2; echo \"{\\\"values\\\": {\\\"item\\\": $1}}\"");
        let mended = folder.path().join("mended");
        let fails = format!(
            "printf png > \"$CATCHER_ARTIFACTS/a.png\"; [ -e {} ] && echo '{{}}' && exit 0; echo out of paper >&2; exit 4",
            mended.display()
        );
        program(&programs, "fails.sh", &fails);
        program(&programs, "waits.sh", "sleep 600");
        std::fs::write(config.join("rules/programs.yaml"), RULES).unwrap();
        let init = json!({
            "auto_acknowledge_delay_s": 0.0, "auto_unacknowledge_delay_s": 0.0, "allowed_commands": [],
            "instances": [{"sal_index": 1, "rules": ["*.yaml"]}],
            "backends": {"command": {"folder": programs, "memory_mb": 4096}},
        });
        std::fs::write(config.join("_init.yaml"), serde_saphyr::to_string(&init).unwrap()).unwrap();
        let mut csc = CscOptions::new(1);
        csc.initial_state = Some(SummaryState::Enabled);
        csc.config_dir = Some(config);
        let options = app::Options {
            csc,
            data_dir: folder.path().join("data"),
            http: ([127, 0, 0, 1], 0).into(),
            secrets: Arc::new(|_| None),
            record: None,
        };
        let running = app::start(&bus.domain(2), sal_idl::Library::embedded(), options).await.unwrap();
        let component = sal_idl::Library::embedded().component("Catcher").unwrap();
        let remote = Remote::open(&bus.domain(3), component, 1, salobj::RemoteOptions::include(["task"]))
            .await
            .unwrap();
        Site { bus, folder, running, remote }
    }

    async fn run(&self, args: &[&str]) -> (anyhow::Result<bool>, String) {
        let command = Line::try_parse_from([&["catcher"], args].concat()).unwrap().command;
        let mut out = Vec::new();
        let done = carry_out(&command, &self.remote, &self.bus.clock, &mut out).await;
        (done, String::from_utf8(out).unwrap())
    }

    async fn json(&self, args: &[&str]) -> Json {
        let (done, text) = self.run(&[args, &["--json"]].concat()).await;
        done.unwrap();
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    /// A page of its web server.
    async fn page(&self, path: &str) -> String {
        let url = format!("http://{}/reports/{path}", self.running.web);
        reqwest::get(url).await.unwrap().error_for_status().unwrap().text().await.unwrap()
    }

    async fn trigger(&self, rule: &str) -> String {
        let fields: [(&str, Value); 2] = [("ruleName", rule.into()), ("parameters", "".into())];
        self.remote.command("trigger").unwrap().start(&fields, LIMIT, true).await.unwrap().result
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn runs_are_listed_followed_run_again_and_ended() {
    let site = Site::set(TestBus::memory().0).await;
    let id = site.trigger("Programs").await;
    let (good, text) = site.run(&["show", &id, "--watch"]).await;
    assert!(!good.unwrap(), "{text}");
    let shown = site.json(&["show", &id]).await;
    assert_eq!(shown["state"], "failed");
    let steps: Vec<&str> =
        shown["steps"].as_array().unwrap().iter().map(|s| s["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["each", "after", "each[0]", "each[1]", "each[2]"]);
    assert_eq!(shown["steps"][0]["result"]["results"][2]["values"]["item"], 2);
    assert_eq!(shown["steps"][1]["state"], "failed");

    let (_, text) = site.run(&["list", "--failed"]).await;
    assert!(text.contains(&id) && text.contains("2/2") && text.contains("out of paper"), "{text}");
    // Items are counted; the begin of the id is enough.
    let (_, text) = site.run(&["show", &id[..6]]).await;
    assert!(text.contains("3/3 done") && !text.contains("each[0]"), "{text}");
    let (_, text) = site.run(&["show", &id, "--items"]).await;
    assert!(text.contains("each[0]") && text.contains("each[2]"), "{text}");
    let listed = site.json(&["list", "Waits"]).await;
    assert_eq!(listed, json!([]));
    let (_, logs) = site.run(&["logs", &id]).await;
    assert!(logs.contains("each[1]: succeeded\n  | item 1\n"), "{logs}");
    assert!(logs.contains("exit code 4: out of paper"), "{logs}");
    let (_, logs) = site.run(&["logs", &id, "--step", "each"]).await;
    assert!(logs.contains("each[2]: succeeded\n  | item 2\n") && !logs.contains("after"), "{logs}");
    let (_, logs) = site.run(&["logs", &id, "--failed"]).await;
    assert!(logs.starts_with("after: failed\n") && !logs.contains("each"), "{logs}");
    let (unknown, _) = site.run(&["logs", &id, "--step", "none"]).await;
    assert!(unknown.unwrap_err().to_string().ends_with("has no step none; it has each, after"));

    std::fs::write(site.folder.path().join("mended"), "").unwrap();
    let (good, text) = site.run(&["rerun", &id, "--reason", "paper is back", "--watch"]).await;
    assert!(good.unwrap(), "{text}");
    let again = text.lines().next().unwrap().to_owned();
    let shown = site.json(&["show", &again]).await;
    assert_eq!((&shown["state"], &shown["parentTaskId"]), (&json!("succeeded"), &json!(id)));

    let waits = site.trigger("Waits").await;
    let (done, text) = site.run(&["cancel", &waits, "--reason", "enough"]).await;
    assert!(done.is_ok() && text.contains("is being cancelled"), "{text}");
    let (good, text) = site.run(&["show", &waits, "--watch"]).await;
    assert!(!good.unwrap());
    let shown = site.json(&["show", &waits]).await;
    assert_eq!((&shown["state"], &shown["error"]), (&json!("aborted"), &json!("enough")), "{text}");
    let (refused, _) = site.run(&["cancel", "ffff"]).await;
    assert!(refused.unwrap_err().to_string().contains("no run ffff"));
    let (refused, _) = site.run(&["rerun", "ffffffffffffffff"]).await;
    assert!(refused.unwrap_err().to_string().starts_with("Catcher:1 refuses rerunTask: "));
    let (all, _) = site.run(&["show", ""]).await;
    assert!(all.unwrap_err().to_string().contains("write more of it"));
    site.remote.close().await;
    site.running.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_over_a_broker() {
    let testbed = salobj_testbed::Testbed::for_tests().await.unwrap();
    let site = Site::set(TestBus::kafka(&testbed)).await;
    let id = site.trigger("Programs").await;
    let (good, text) = site.run(&["show", &id, "--watch"]).await;
    assert!(!good.unwrap() && text.contains("out of paper"), "{text}");
    let shown = site.json(&["show", &id]).await;
    assert_eq!((&shown["state"], shown["steps"].as_array().unwrap().len()), (&json!("failed"), 5));
    std::fs::write(site.folder.path().join("mended"), "").unwrap();
    let (good, text) = site.run(&["rerun", &id, "--watch"]).await;
    assert!(good.unwrap(), "{text}");
    // One follows, another one ends it.
    let waits = site.trigger("Waits").await;
    let follow = ["show", &waits, "--watch", "--json"];
    let cancel = ["cancel", &waits, "--reason", "enough"];
    let ((good, text), (done, _)) = tokio::join!(site.run(&follow), site.run(&cancel));
    assert!(!good.unwrap() && done.is_ok() && text.contains("aborted") && text.contains("enough"), "{text}");
    site.remote.close().await;
    site.running.close().await;
}

#[tokio::test]
async fn a_catcher_that_is_not_there_is_told_as_such() {
    let bus = TestBus::memory().0;
    let component = sal_idl::Library::embedded().component("Catcher").unwrap();
    let remote =
        Remote::open(&bus.domain(2), component, 3, salobj::RemoteOptions::include(["task"])).await.unwrap();
    let ack = remote.command("showTasks").unwrap().start(&[], Duration::from_millis(50), true).await;
    let told = refused(ack.unwrap_err(), 3, "showTasks").to_string();
    assert!(
        told.starts_with("Catcher:3 does not answer showTasks: is it running") && told.contains("--index"),
        "{told}"
    );
    remote.close().await;
}

/// Looks again until it is right.
async fn until(look: impl AsyncFn() -> String, right: impl Fn(&str) -> bool) -> String {
    let looking = async {
        loop {
            let seen = look().await;
            if right(&seen) {
                return seen;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), looking)
        .await
        .expect("what is awaited comes within a minute")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn runs_lead_to_their_reports_and_lists_to_all_of_them() {
    let site = Site::set(TestBus::memory().0).await;
    let id = site.trigger("Programs").await;
    site.run(&["show", &id, "--watch"]).await.0.unwrap();
    let report = async |id: &str| {
        let look = async || site.json(&["show", id]).await["reportUrl"].as_str().unwrap().to_owned();
        until(look, |url| !url.is_empty()).await
    };
    let first = report(&id).await;
    std::fs::write(site.folder.path().join("mended"), "").unwrap();
    let (_, again) = site.run(&["rerun", &id]).await;
    site.run(&["show", again.trim(), "--watch"]).await.0.unwrap();
    let second = report(again.trim()).await;
    let inside = |url: &str| url.split_once("/reports/").unwrap().1.to_owned();
    let (first, second) = (inside(&first), inside(&second));

    let page = site.page(&first).await;
    let picture = "<img src=\"data:image/png;base64,cG5n\" alt=\"a.png of step after\">";
    for part in ["Failed: after.", "3 items: 3 succeeded", "out of paper", picture] {
        assert!(page.contains(part), "{part}");
    }
    // What a page links to is there.
    let night = first.split('/').next().unwrap();
    let links: Vec<&str> =
        page.split("href=\"../").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(links.iter().filter(|link| link.starts_with("files/")).count() >= 5, "{links:?}");
    let page = site.page(&second).await;
    assert!(
        page.contains(&format!("/reports/{first}\" rel=\"noopener noreferrer\">{id}</a>")),
        "the run that it repeats"
    );
    // Lists come a moment after the report.
    let file = second.split('/').next_back().unwrap();
    let listed = async |list: &str| {
        let url = format!("http://{}/reports/{list}", site.running.web);
        until(async || reqwest::get(&url).await.unwrap().text().await.unwrap(), |page| page.contains(file))
            .await
    };
    let all = listed("").await;
    assert!(
        all.contains(&format!("href=\"{first}\"")) && all.contains(&format!("href=\"{night}/index.html\""))
    );
    let of_night = listed(&format!("{night}/")).await;
    assert!(of_night.contains("<tr class=\"e bad-run\">") && of_night.contains(&format!("repeats {id}")));
    assert!(listed("rules/Programs.html").await.contains(&format!("href=\"../{first}\"")));
    for link in links {
        site.page(link).await;
    }
    site.remote.close().await;
    site.running.close().await;
}
