//! The entries that are made for the Watcher, as a reader of YAML sees them.

use clap::Parser;
use serde_json::{Value as Json, json};

use super::{Command, relay};

const RULES: &str = r#"rules:
  - name: Wind
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    alarm: {value: wind, levels: {warning: 10.0}}
  - name: Wind.High[1]
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    alarm: {value: wind, levels: {warning: 20.0}}
  - name: Rh
    by: rh.sensorName
    inputs: {rh: {topic: "ESS:*.tel_relativeHumidity", field: relativeHumidityItem}}
    alarm: {value: rh, levels: {warning: 70.0}}
  - name: RhLimit
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    alarm: {value: wind, levels: {warning: 20.0}}
  - name: Tried
    mode: shadow
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    alarm: {value: wind, levels: {warning: 10.0}}
"#;

const WATCHER: &str = "rules:
- classname: Enabled
  configs:
  - name: ATDome
";

#[derive(Debug, Parser)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("rules.yaml"), RULES).unwrap();
        std::fs::write(folder.path().join("watcher.yaml"), WATCHER).unwrap();
        Folder(folder)
    }

    /// What the command says, and whether it is content.
    fn said(&self, args: &[&str]) -> (String, bool) {
        let own = |arg: &&str| match arg.ends_with(".yaml") {
            true => self.0.path().join(arg).display().to_string(),
            false => (*arg).to_owned(),
        };
        let args = ["catcher", "watcher-relay"].map(str::to_owned).into_iter().chain(args.iter().map(own));
        let Command::WatcherRelay(args) = Line::try_parse_from(args).unwrap().command;
        let mut out = Vec::new();
        let good = relay::run(&args, &mut out).unwrap();
        (String::from_utf8(out).unwrap(), good)
    }
}

#[test]
fn each_rule_has_an_entry_and_one_shows_the_others() {
    let (text, good) = Folder::new().said(&["rules.yaml", "--index", "2"]);
    assert!(good, "{text}");
    let read: Json = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(read["rules"][0], json!({"classname": "Enabled", "configs": [{"name": "Catcher:2"}]}));
    assert_eq!(read["rules"][1]["classname"], "Heartbeat");
    let alarms = ["Wind", "Wind.High[[]1]", "Rh.*", "RhLimit"];
    let mut expected: Vec<Json> = ["Wind", "Wind.High[1]", "Rh", "RhLimit"]
        .iter()
        .zip(alarms)
        .map(|(name, glob)| json!({"name": format!("Catcher.{name}"), "index": 2, "alarms": [glob]}))
        .collect();
    expected.push(json!({"name": "Catcher.others", "index": 2, "alarms": ["*"], "but_not": alarms}));
    assert_eq!(read["rules"][2], json!({"classname": "CatcherAlarm", "configs": expected}));
    assert!(text.contains("\"Catcher.Wind\" acknowledges \"Catcher.Wind.High[1]\" as well"), "{text}");
    assert!(!text.contains("Tried"), "{text}");
}

#[test]
fn names_that_are_taken_are_refused() {
    let folder = Folder::new();
    assert!(folder.said(&["rules.yaml", "--watcher", "watcher.yaml"]).1);
    let dome = RULES.replace("name: Wind\n", "name: 'ATDome:0'\n");
    std::fs::write(folder.0.path().join("rules.yaml"), dome).unwrap();
    let (text, good) = folder.said(&["rules.yaml", "--watcher", "watcher.yaml", "--prefix", "Enabled."]);
    assert!(
        !good && text.contains("watcher.yaml:4: the Watcher has an alarm \"Enabled.ATDome:0\""),
        "{text}"
    );
    assert!(folder.said(&["rules.yaml", "--watcher", "watcher.yaml"]).1);
    std::fs::write(folder.0.path().join("rules.yaml"), RULES.replace("name: Rh", "name: others")).unwrap();
    let (text, good) = folder.said(&["rules.yaml"]);
    assert!(!good && text.contains("rename the rule"), "{text}");
    std::fs::write(folder.0.path().join("rules.yaml"), RULES.replace("field: speed", "field: sped")).unwrap();
    let (text, good) = folder.said(&["rules.yaml"]);
    assert!(!good && text.contains("sped") && !text.contains("classname"), "{text}");
}

#[test]
fn the_rule_class_is_the_one_that_the_entries_name() {
    let folder = Folder::new();
    let (text, good) = folder.said(&["--module", "--output", "class.yaml"]);
    assert!(good && text.is_empty(), "{text}");
    let module = std::fs::read_to_string(folder.0.path().join("class.yaml")).unwrap();
    assert!(module.contains("rules.CatcherAlarm = CatcherAlarm"));
}
