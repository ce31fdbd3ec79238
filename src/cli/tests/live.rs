//! A running Catcher: asked by command, recorded, and its recording replayed and explained as it was.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use salobj::csc::CscOptions;
use salobj::{Clock, Domain, Env, Remote, RemoteOptions, SummaryState, Value};
use serde_json::{Value as Json, json};

use super::bed::Bed;
use crate::app;
use crate::app::recorder::RecordTo;

const RULES: &str = "rules:
  - name: Wind
    inputs: {wind: {topic: \"ESS:301.tel_airFlow\", field: speed}}
    alarm: {value: wind, levels: {warning: 10.0}}
";

/// Time for what must happen.
const LIMIT: Duration = Duration::from_secs(30);

fn domain(bed: &Bed) -> Domain {
    let env = Env { site: Some("test".to_owned()), ..bed.testbed.env().clone() };
    Domain::new(bed.testbed.transport(), Clock::System, env)
}

async fn catcher(bed: &Bed, domain: &Domain, record: &str) -> app::Running {
    let dir = bed.folder.path().join("config");
    std::fs::create_dir_all(dir.join("rules")).unwrap();
    std::fs::write(dir.join("rules/wind.yaml"), RULES).unwrap();
    let init = json!({"auto_acknowledge_delay_s": 0.0, "auto_unacknowledge_delay_s": 0.0, "allowed_commands": [],
        "instances": [{"sal_index": 1, "rules": ["*.yaml"]}]});
    std::fs::write(dir.join("_init.yaml"), serde_saphyr::to_string(&init).unwrap()).unwrap();
    let mut csc = CscOptions::new(1);
    csc.initial_state = Some(SummaryState::Enabled);
    csc.config_dir = Some(dir);
    let options = app::Options {
        csc,
        data_dir: bed.folder.path().join("data"),
        http: ([127, 0, 0, 1], 0).into(),
        secrets: Arc::new(|_: &str| None),
        record: Some(RecordTo { path: Path::new(record).to_owned(), limit_bytes: 1 << 30 }),
    };
    let running = app::start(domain, sal_idl::Library::embedded(), options).await.unwrap();
    assert_eq!(running.csc.context().state(), SummaryState::Enabled);
    running
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_catcher_explains_and_so_does_its_recording() {
    let mut bed = Bed::start().await;
    bed.wind(None, 5.0).await;
    let record = bed.path("live.catcher");
    let own = domain(&bed);
    let running = catcher(&bed, &own, &record).await;
    bed.wind(None, 20.0).await;
    let other = domain(&bed);
    let component = sal_idl::Library::embedded().component("Catcher").unwrap();
    let remote = Remote::open(&other, component, 1, RemoteOptions::include(["alarm"])).await.unwrap();
    let alarm = remote.event("alarm").unwrap();
    tokio::time::timeout(LIMIT, async {
        while alarm.get().is_none_or(|a| a.i64("severity") != 2) {
            drop(alarm.next(false, Some(Duration::from_secs(1))).await);
        }
    })
    .await
    .expect("the alarm is raised");
    let before_mute = Clock::System.now();
    let mute: [(&str, Value); 4] = [
        ("alarmName", "Wind".into()),
        ("muteDuration", 3600.0.into()),
        ("severity", 4_i64.into()),
        ("mutedBy", "eve".into()),
    ];
    remote.command("mute").unwrap().start(&mute, LIMIT, true).await.unwrap();

    let text = bed.good(&["rules", "explain", "Wind", "--live", "1"]).await;
    assert!(text.contains("the alarm is WARNING") && text.contains("muted up to CRITICAL by eve"), "{text}");
    let said = bed.run(&["rules", "explain", "Wynd", "--live", "1"]).await.unwrap_err();
    assert!(said.contains("no rule is named"), "{said}");
    let live: Json =
        serde_json::from_str(&bed.good(&["rules", "explain", "Wind", "--live", "1", "--json"]).await)
            .unwrap();
    remote.close().await;
    running.close().await;
    own.close().await;
    other.close().await;

    // The same inputs give the same transitions, bit by bit.
    let lines = bed.lines(&["replay", "--exact", "--all", "--data", &record, "--json"]).await;
    let last = lines.last().unwrap();
    assert_eq!((&last["same"], &last["lost"]), (&Json::from(true), &Json::from(0)), "{last:#}");
    // And the rules as they were then are explained as the Catcher explained them.
    let at = salobj::Tai(live["at"].as_f64().unwrap()).utc_iso();
    let args = ["rules", "explain", "Wind", "--exact", "--data", &record, "--json"];
    let then: Json = serde_json::from_str(&bed.good(&[&args[..], &["--at", &at]].concat()).await).unwrap();
    for part in [
        "/rule",
        "/revision",
        "/alarm/severity",
        "/alarm/reason",
        "/inputs/0/value",
        "/alarm/conditions/0/terms",
    ] {
        let same = |json: &Json| {
            let mut found = json.pointer(part).cloned().unwrap_or_default();
            if let Some(term) = found.pointer_mut("/0/term").and_then(Json::as_object_mut) {
                term.remove("age_s");
            }
            found
        };
        assert_eq!(same(&then), same(&live), "{part}");
    }
    assert!(then["decision"].as_str().unwrap().contains("muted up to CRITICAL by eve"), "{then:#}");
    let at = before_mute.utc_iso();
    let then: Json = serde_json::from_str(&bed.good(&[&args[..], &["--at", &at]].concat()).await).unwrap();
    assert!(!then["decision"].as_str().unwrap().contains("muted"), "{then:#}");
    // Its records are data for any rules.
    let strict = bed.file("strict.yaml", &RULES.replace("10.0", "4.0"));
    let lines = bed.lines(&["replay", &strict, "--data", &record, "--json"]).await;
    assert!(bed.told(&lines)[0].contains("warning"), "{lines:#?}");
    let said = bed.run(&["rules", "explain", "Wynd", "--exact", "--data", &record]).await.unwrap_err();
    assert!(said.contains("no rule is named"), "{said}");
}
