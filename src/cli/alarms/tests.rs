//! A whole Catcher on a bus in memory, with servers of its own to tell: what the command line shows and does, and what
//! beyond the bus is told, over a restart.

use std::path::Path;
use std::sync::Arc;

use clap::Parser;
use salobj::csc::CscOptions;
use salobj::{Clock, CommandError, CommandHandler, CommandRequest, CommandResult, Controller, SummaryState};
use salobj_testbed::Bus as TestBus;

use super::*;
use crate::app;
use crate::outputs::love::tests as love;
use crate::outputs::notify::tests::{Does, Server};

const RULES: &str = r#"
rules:
  - name: Wind.High
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    alarm:
      value: wind
      levels: {warning: 15.0, critical: 25.0}
      reason: "wind {{ value }}"
      escalate: {responder: team, delay: 200ms}
  - name: Wind.Low
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    alarm: {value: wind, levels: {warning: -5.0}, direction: below}
  - name: Dome
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    alarm: {value: wind, levels: {warning: 20.0}, reason: shaken, inhibit_by: "Wind.*"}
"#;

#[derive(Debug, Parser)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

fn line(args: &[&str]) -> Command {
    Line::try_parse_from([&["catcher"], args].concat()).unwrap().command
}

struct NoCommands;

#[async_trait::async_trait]
impl CommandHandler for NoCommands {
    async fn handle(&self, _request: CommandRequest) -> CommandResult {
        Err(CommandError::expected("none".to_owned()))
    }
}

struct Site {
    bus: TestBus,
    folder: tempfile::TempDir,
    squadcast: Server,
    hook: Server,
    narrative: Server,
    love: love::FakeManager,
    weather: Controller,
}

impl Site {
    async fn set() -> Site {
        let (bus, _) = TestBus::memory();
        let folder = tempfile::tempdir().unwrap();
        let squadcast = Server::start(&[Does::Answer(202, "")]).await;
        let hook = Server::start(&[Does::Answer(500, "busy"), Does::Answer(200, "")]).await;
        let narrative = Server::start(&[Does::Answer(200, "{}")]).await;
        let love = love::FakeManager::start(&[love::Does::Serve]).await;
        let dir = folder.path().join("config");
        std::fs::create_dir_all(dir.join("rules")).unwrap();
        std::fs::write(dir.join("rules/wind.yaml"), RULES).unwrap();
        let init = json!({
            "auto_acknowledge_delay_s": 0.0, "auto_unacknowledge_delay_s": 0.0, "allowed_commands": [],
            "instances": [{"sal_index": 1, "rules": ["*.yaml"]}],
            "escalation_url": squadcast.url(), "narrative_server_url": narrative.url(),
            "love": {"url": love.url(), "password_env": "LOVE_PASSWORD"},
            "receivers": [{"name": "ops", "alarms": ["wind.*"], "webhook": {"url": hook.url()}}],
        });
        std::fs::write(dir.join("_init.yaml"), serde_saphyr::to_string(&init).unwrap()).unwrap();
        let domain = bus.domain(1);
        let component = sal_idl::Library::embedded().component("ESS").unwrap();
        let weather = Controller::write_only(&domain, component, 301).unwrap();
        weather.start(Arc::new(NoCommands)).await.unwrap();
        Site { bus, folder, squadcast, hook, narrative, love, weather }
    }

    async fn catcher(&self, n: u32, data: &Path) -> app::Running {
        let mut csc = CscOptions::new(1);
        csc.initial_state = Some(SummaryState::Enabled);
        csc.config_dir = Some(self.folder.path().join("config"));
        let key = |name: &str| match name {
            "ESCALATION_KEY" => Some("key".to_owned()),
            "LOVE_PASSWORD" => Some(love::PASSWORD.to_owned()),
            _ => None,
        };
        let options = app::Options {
            csc,
            data_dir: data.to_owned(),
            http: ([127, 0, 0, 1], 0).into(),
            secrets: Arc::new(key),
            record: None,
        };
        let running = app::start(&self.bus.domain(n), sal_idl::Library::embedded(), options).await.unwrap();
        assert_eq!(running.csc.context().state(), SummaryState::Enabled);
        running
    }

    fn wind(&self, speed: f64) {
        self.weather.telemetry("airFlow").unwrap().set_write(&[("speed", Value::Double(speed))]).unwrap();
    }
}

async fn until(what: &str, mut so: impl FnMut() -> bool) {
    for _ in 0..400 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("it is not so after 10 s: {what}");
}

async fn said(command: Command, remote: &Remote, clock: &Clock) -> String {
    let mut out = Vec::new();
    carry_out(&command, remote, clock, &mut out).await.unwrap();
    String::from_utf8(out).unwrap()
}

async fn command(remote: &Remote, name: &str, fields: &[(&str, Value)]) -> Result<String, String> {
    let ack = remote.command(name).unwrap().start(fields, LIMIT, true).await;
    ack.map(|ack| ack.result).map_err(|e| e.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_is_told_and_an_operator_answers() {
    let site = Site::set().await;
    let data = site.folder.path().join("data");
    let running = site.catcher(2, &data).await;
    let domain = site.bus.domain(3);
    let component = sal_idl::Library::embedded().component("Catcher").unwrap();
    let remote = Remote::open(&domain, component, 1, RemoteOptions::include(["alarm"])).await.unwrap();

    let list = said(line(&["list"]), &remote, &site.bus.clock).await;
    assert!(list.contains("Wind.High") && list.contains("Wind.Low"), "{list}");
    site.wind(30.0);
    until("the receiver is told, at the second attempt", || {
        site.hook.requests().len() >= 2 && site.hook.bodies()[1]["summary"] == "CRITICAL Wind.High: wind 30.0"
    })
    .await;
    let mut browser = site.love.browser();
    browser
        .until("LOVE shows it", |all| love::severity_is(all, "Wind.High", 4) && all.contains_key("Wind.Low"))
        .await;
    until("an incident is opened", || !site.squadcast.requests().is_empty()).await;
    let id = site.squadcast.bodies()[0]["event_id"].as_str().unwrap().to_owned();
    until("its id is shown", || {
        remote.event("alarm").unwrap().get().is_some_and(|a| a.str("escalatedId") == id)
    })
    .await;

    let tree = said(line(&["list", "--tree"]), &remote, &site.bus.clock).await;
    assert_eq!(tree, "CRITICAL Wind.High\n└─ WARNING Dome\n");
    let dome = said(line(&["list", "Dome"]), &remote, &site.bus.clock).await;
    assert!(dome.contains("shaken [inhibited by Wind.High]"), "{dome}");
    let none = said(line(&["list", "--tree", "Wind.*"]), &remote, &site.bus.clock).await;
    assert!(none.starts_with("no alarm is the cause"), "{none}");

    let preview =
        said(line(&["mute", "Wind.*", "--duration", "1h", "--dry-run"]), &remote, &site.bus.clock).await;
    assert!(preview.starts_with("2 alarms would be muted, 1 of them active now:"), "{preview}");
    let all: Json =
        serde_json::from_str(&said(line(&["list", "--json"]), &remote, &site.bus.clock).await).unwrap();
    assert_eq!((all[0]["alarmName"].as_str(), all[0]["mutedBy"].as_str()), (Some("Wind.High"), Some("")));
    let done =
        said(line(&["mute", "Wind.High", "--duration", "1h", "--by", "joe"]), &remote, &site.bus.clock).await;
    assert_eq!(done, "muted: Wind.High\n");
    let muted = said(line(&["list", "Wind.High"]), &remote, &site.bus.clock).await;
    assert!(muted.contains("CRITICAL by joe until") && !muted.contains("Wind.Low"), "{muted}");

    let logged = command(&remote, "makeLogEntry", &[("alarmName", "Wind.High".into())]).await.unwrap();
    assert_eq!(logged, "logged: Wind.High");
    assert_eq!(site.narrative.bodies()[0]["message_text"], "alarm:Wind.High severity=4 wind 30.0");
    let nothing = command(&remote, "makeLogEntry", &[("alarmName", "Nobody".into())]).await.unwrap();
    assert!(nothing.contains("no alarm matches"), "{nothing}");
    let now = site.bus.clock.now().0;
    let window = [
        ("alarmName", Value::from("Wind.Low")),
        ("timestampStart", now.into()),
        ("timestampEnd", (now + 3600.0).into()),
        ("severity", 4i64.into()),
        ("mutedBy", "maintenance".into()),
        ("reason", "new anemometer".into()),
    ];
    let said_of_window = command(&remote, "muteWindow", &window).await.unwrap();
    assert!(said_of_window.contains("1 alarms match now, 0 of them active"), "{said_of_window}");

    let calendar = ["mute", "Dome", "--at", "2199-12-01T14:00:00", "--duration", "4h", "--reason", "service"];
    let later = said(line(&calendar), &remote, &site.bus.clock).await;
    assert!(later.contains("from 2199-12-01T14:00:00") && later.contains("1 alarms match now"), "{later}");

    // Stopped as by a signal, started again: all is as it was, and nobody is told anything twice.
    remote.close().await;
    running.close().await;
    let before = (site.hook.requests().len(), site.squadcast.requests().len());
    let running = site.catcher(4, &data).await;
    let domain = site.bus.domain(5);
    let component = sal_idl::Library::embedded().component("Catcher").unwrap();
    let remote = Remote::open(&domain, component, 1, RemoteOptions::include(["alarm"])).await.unwrap();
    let all: Json =
        serde_json::from_str(&said(line(&["list", "--json"]), &remote, &site.bus.clock).await).unwrap();
    assert_eq!(
        (all[0]["escalatedId"].as_str(), all[0]["mutedBy"].as_str()),
        (Some(id.as_str()), Some("joe"))
    );
    let low = all.as_array().unwrap().iter().find(|alarm| alarm["alarmName"] == "Wind.Low");
    assert_eq!(low.unwrap()["mutedBy"], "maintenance");
    assert_eq!((site.hook.requests().len(), site.squadcast.requests().len()), before);
    let acknowledge = [
        ("alarmName", Value::from("Wind.High")),
        ("severity", 4i64.into()),
        ("acknowledgedBy", "eve".into()),
    ];
    assert_eq!(command(&remote, "acknowledge", &acknowledge).await.unwrap(), "acknowledged: Wind.High");
    let acknowledged = |all: &std::collections::BTreeMap<String, Json>| {
        love::value(&all["Wind.High"], "acknowledgedBy") == "eve"
    };
    browser.until("LOVE shows who acknowledged", acknowledged).await;
    until("the incident is closed", || site.squadcast.bodies().last().unwrap()["status"] == "resolve").await;
    assert_eq!(site.squadcast.bodies().last().unwrap()["event_id"], id.as_str());
    remote.close().await;
    running.close().await;
    site.weather.close().await;
}

#[test]
fn wrong_arguments_are_refused() {
    let bad = |args: &[&str]| Line::try_parse_from([&["catcher"], args].concat()).unwrap_err().to_string();
    assert!(bad(&["mute", "A", "--duration", "soon"]).contains("not a duration"));
    assert!(
        bad(&["mute", "A", "--duration", "1h", "--severity", "none"]).contains("warning, serious, critical")
    );
    assert!(bad(&["mute", "A"]).contains("--duration"));
    assert!(bad(&["mute", "A", "--duration", "1h", "--at", "noon"]).contains("not a time"));
}
