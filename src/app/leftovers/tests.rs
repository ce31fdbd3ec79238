//! A whole Catcher on a bus in memory: what a rule keeps in InfluxDB 2 goes with the rule, also when it was removed while the
//! Catcher was down.

use salobj::csc::CscOptions;
use salobj::{Remote, RemoteOptions, SummaryState, Value};
use salobj_testbed::Bus;
use serde_json::json;

use super::*;
use crate::app::{self, Running};
use crate::sim::influx_tasks::{ORG, SimInfluxTasks, TOKEN};

const LIMIT: Duration = Duration::from_secs(60);

const RULE: &str = r#"
rules:
  - name: Kept.Wind
    trigger: {manual: true}
    tasks:
      means:
        influx_task: {every: 10s, keep: rule, flux: "from(bucket: \"efd\") |> range(start: -1m) |> to(bucket: \"derived\")"}
"#;

struct Site {
    bus: Bus,
    folder: tempfile::TempDir,
    server: SimInfluxTasks,
}

impl Site {
    async fn new() -> Site {
        let folder = tempfile::tempdir().unwrap();
        let server = SimInfluxTasks::start(Default::default()).await.unwrap();
        std::fs::create_dir(folder.path().join("rules")).unwrap();
        std::fs::write(folder.path().join("rules/own.yaml"), RULE.replace("Kept", "Filed")).unwrap();
        let init = json!({
            "auto_acknowledge_delay_s": 0.0, "auto_unacknowledge_delay_s": 0.0, "allowed_commands": [],
            "instances": [{"sal_index": 1, "rules": ["*.yaml"]}],
            "backends": {"influx_task": {
                "url": server.url(), "org": ORG, "token_env": "TASKS", "write_buckets": ["derived"], "poll_interval_s": 0.01,
            }},
        });
        std::fs::write(folder.path().join("_init.yaml"), init.to_string()).unwrap();
        Site { bus: Bus::memory().0, folder, server }
    }

    async fn start(&self, n: u32) -> Running {
        let mut csc = CscOptions::new(1);
        csc.initial_state = Some(SummaryState::Enabled);
        csc.config_dir = Some(self.folder.path().to_owned());
        let options = app::Options {
            csc,
            data_dir: self.folder.path().join("data"),
            http: ([127, 0, 0, 1], 0).into(),
            secrets: Arc::new(|name: &str| (name == "TASKS").then(|| TOKEN.to_owned())),
            record: None,
        };
        app::start(&self.bus.domain(n), sal_idl::Library::embedded(), options).await.unwrap()
    }

    /// Until these are the tasks that the server has.
    async fn until(&self, names: &[&str]) {
        let there = async {
            while self.server.play(|play| play.names()) != names {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let found = tokio::time::timeout(LIMIT, there).await;
        assert!(found.is_ok(), "{:?} instead of {names:?}", self.server.play(|play| play.names()));
    }
}

async fn command(remote: &Remote, name: &str, fields: &[(&str, Value)]) {
    remote.command(name).unwrap().start(fields, LIMIT, true).await.unwrap();
}

async fn trigger(remote: &Remote, rule: &str) {
    command(remote, "trigger", &[("ruleName", rule.into()), ("parameters", "".into())]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_task_goes_with_its_rule() {
    let site = Site::new().await;
    site.server.play(|play| drop(play.put("Catcher:2/Kept.Wind/means", "")));
    let component = sal_idl::Library::embedded().component("Catcher").unwrap();
    let domain = site.bus.domain(9);
    let options = RemoteOptions::include(["summaryState"]);
    let remote = Remote::open(&domain, component, 1, options).await.unwrap();

    let running = site.start(2).await;
    command(&remote, "addRule", &[("definition", RULE.into()), ("enabled", true.into())]).await;
    trigger(&remote, "Kept.Wind").await;
    trigger(&remote, "Filed.Wind").await;
    let of_another = "Catcher:2/Kept.Wind/means";
    site.until(&["Catcher:1/Filed.Wind/means", "Catcher:1/Kept.Wind/means", of_another]).await;
    command(&remote, "removeRule", &[("ruleName", "Kept.Wind".into())]).await;
    site.until(&["Catcher:1/Filed.Wind/means", of_another]).await;

    running.close().await;
    std::fs::write(site.folder.path().join("rules/own.yaml"), RULE.replace("Kept", "Other")).unwrap();
    let _again = site.start(3).await;
    site.until(&[of_another]).await;
}
