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
    let remote =
        Remote::open(&domain, component, 1, salobj::RemoteOptions::include(["alarm"])).await.unwrap();

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

    let folder = ["--data-dir", data.to_str().unwrap()];
    let of_folder = |args: &[&str]| line(&[args, &folder].concat());
    let text = said(of_folder(&["history", "Wind.H.*"]), &remote, &site.bus.clock).await;
    for word in ["raised", "NONE to CRITICAL", "escalated", "incident opened", "muted", "joe", "wind 30.0"] {
        assert!(text.contains(word), "{word} is missing in\n{text}");
    }

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
    let remote =
        Remote::open(&domain, component, 1, salobj::RemoteOptions::include(["alarm"])).await.unwrap();
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

    // The history, beside the running process: one, over the restart.
    let text = said(of_folder(&["history", "--json"]), &remote, &site.bus.clock).await;
    let whole: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<u64> = whole.iter().filter_map(|t| t["id"].as_u64()).collect();
    assert_eq!(ids, (1..=whole.len() as u64).collect::<Vec<_>>(), "numbers without gaps");
    let of = |alarm: &str| whole.iter().filter(|t| t["alarm"] == alarm).collect::<Vec<_>>();
    let moves = |alarm: &str| of(alarm).iter().map(|t| t["moves"].to_string()).collect::<Vec<_>>();
    assert_eq!(
        moves("Wind.High"),
        [
            r#"["raised"]"#,
            r#"["escalated"]"#,
            r#"["incident_opened"]"#,
            r#"["muted"]"#,
            r#"["acknowledged","deescalated","incident_closed"]"#,
        ]
    );
    assert_eq!(moves("Wind.Low"), [r#"["muted"]"#]);
    // Its cause is the wind: nobody is told of it.
    assert_eq!(moves("Dome"), [r#"["raised","kept_back"]"#, r#"["inhibited","kept_back"]"#]);
    assert_eq!(of("Dome")[1]["after"]["inhibited_by"], "Wind.High");
    let (raised, muted) = (of("Wind.High")[0]["id"].to_string(), of("Wind.High")[3]["id"].to_string());
    let identity = of("Wind.High")[3]["cause"]["identity"].as_str().unwrap();
    assert!(!identity.is_empty(), "who sent the command: {}", of("Wind.High")[3]);
    let newest = said(of_folder(&["history", "--limit", "2"]), &remote, &site.bus.clock).await;
    assert!(newest.contains("6 older ones are not shown") && !newest.contains("raised"), "{newest}");
    let shown = said(of_folder(&["explain", &raised]), &remote, &site.bus.clock).await;
    for word in [
        "Wind.High raised",
        "by rule",
        "was  NONE",
        "is   CRITICAL",
        "decided by a message of ESS.airFlow, index 301: partition 0, offset",
        "wind = 30",
        "CRITICAL > 25",
    ] {
        assert!(shown.contains(word), "{word} is missing in\n{shown}");
    }
    let shown = said(of_folder(&["explain", &muted]), &remote, &site.bus.clock).await;
    assert!(shown.contains(&format!("command mute, sent by {identity}")), "{shown}");
    let text = said(of_folder(&["kpi", "--from", "-1h", "--json"]), &remote, &site.bus.clock).await;
    let kpi: Json = serde_json::from_str(&text).unwrap();
    assert_eq!((&kpi["annunciated"], &kpi["acknowledged"]["count"]), (&json!(1), &json!(1)), "{kpi}");
    assert_eq!(kpi["hidden"], 1, "the dome has a cause");
    assert_eq!(kpi["per_ten_minutes_mean"], 1.0 / 6.0);
    let page = site.folder.path().join("health.html");
    let args = of_folder(&["kpi", "--from", "-1h", "--html", page.to_str().unwrap()]);
    let text = said(args, &remote, &site.bus.clock).await;
    assert!(text.contains("alarms per ten minutes, mean") && text.contains("0.17"), "{text}");
    assert!(std::fs::read_to_string(&page).unwrap().contains("Wind.High"));

    // And when it has ended.
    remote.close().await;
    running.close().await;
    let mut out = Vec::new();
    from_folder(&of_folder(&["history"]), site.bus.clock.now(), &mut out).unwrap().unwrap();
    assert!(String::from_utf8(out).unwrap().contains("incident closed"));
    let refused = |args: &[&str]| {
        let done = from_folder(&of_folder(args), site.bus.clock.now(), &mut Vec::new()).unwrap();
        format!("{:#}", done.unwrap_err())
    };
    assert_eq!(refused(&["explain", "77"]), "there is no transition 77; the history has 1 to 8");
    assert!(refused(&["history", "Wind("]).contains("neither the name of an alarm nor a regular expression"));
    assert!(refused(&["kpi", "--from", "-1h", "--to", "-2h"]).contains("ends before it begins"));
    assert!(refused(&["kpi", "--from", "noon"]).contains("-8h"));
    let nowhere = line(&["history", "--data-dir", "/nowhere"]);
    let done = from_folder(&nowhere, site.bus.clock.now(), &mut Vec::new()).unwrap();
    assert!(done.unwrap_err().to_string().contains("--data-dir"));
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
