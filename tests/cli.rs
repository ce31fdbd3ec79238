//! The program as a user runs it: the demo, the second name, the printed tables.

use std::process::{Command, Output};

use serde_json::Value as Json;

fn catcher(args: &[&str]) -> Output {
    // Nothing of the caller's own bus leaks into the demo.
    let vars =
        std::env::vars().filter(|(name, _)| !name.starts_with("LSST_") && !name.starts_with("CATCHER_"));
    Command::new(env!("CARGO_BIN_EXE_catcher"))
        .args(args)
        .env_clear()
        .envs(vars)
        .output()
        .expect("the program runs")
}

fn demo(args: &[&str]) -> (Json, Output) {
    let output = catcher(&[&["demo", "--once", "--json"], args].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    let summary = serde_json::from_str(&text);
    let errors = String::from_utf8_lossy(&output.stderr);
    (summary.unwrap_or_else(|e| panic!("{e}: {text}\n{errors}")), output)
}

#[test]
fn both_scenarios_run_to_their_end() {
    let (summary, output) = demo(&[]);
    assert!(output.status.success(), "{:#}", summary["checks"]);
    assert_eq!(summary["ok"], true);
    let wind = &summary["alarms"]["Wind.Forecast"];
    assert!(wind["max_severity"].as_i64() >= Some(2) && wind["severity"] == 1, "{wind:#}");
    let jitter: Vec<&Json> =
        summary["runs"].as_object().unwrap().values().filter(|run| run["rule"] == "Jitter.AuxTel").collect();
    assert_eq!(jitter.len(), 2, "two of the three exposures are longer than 1 s: {jitter:#?}");
    assert_eq!(jitter.iter().filter(|run| run["steps"]["isr"] == "succeeded").count(), 1, "{jitter:#?}");
}

/// The transitions that `catcher replay --json` printed, and its last line.
fn replayed(args: &[&str]) -> (Vec<Json>, Json, Output) {
    let output = catcher(&[&["replay", "--json"], args].concat());
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    let mut lines: Vec<Json> =
        text.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect();
    let last = lines.pop().unwrap_or_else(|| panic!("{errors}"));
    (lines, last, output)
}

#[test]
fn the_demo_s_night_is_replayed_bit_by_bit_and_the_shipped_rules_do_the_same_on_its_records() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("night.catcher");
    let file = file.to_str().unwrap();
    let (summary, output) = demo(&["--record", file]);
    assert!(output.status.success(), "{:#}", summary["checks"]);
    let (exact, last, output) = replayed(&["--exact", "--all", "--data", file]);
    assert!(output.status.success(), "{last:#}");
    assert_eq!((&last["same"], &last["lost"]), (&Json::from(true), &Json::from(0)), "{last:#}");
    assert!(exact.len() > 20 && last["live"] == exact.len(), "{last:#}");
    // What an audience read back from the bus is what the recording says.
    let started = |all: &[Json]| -> std::collections::BTreeSet<String> {
        let runs = all.iter().filter(|t| t["what"] == "run_started");
        runs.map(|t| t["run_id"].as_str().unwrap().to_owned()).collect()
    };
    let live: std::collections::BTreeSet<String> =
        summary["runs"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(started(&exact), live);
    // The rules alone, on the records alone: the same runs.
    let results = dir.path().join("results.yaml");
    std::fs::write(&results, "Jitter.AuxTel: {isr: {exit_code: 0, delay: 20s}}\n").unwrap();
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/config_schema/examples");
    let plot = dir.path().join("night.html");
    let (wind, jitter) = (format!("{rules}/wind_forecast.yaml"), format!("{rules}/jitter_auxtel.yaml"));
    let args = [
        &wind,
        &jitter,
        "--data",
        file,
        "--results",
        results.to_str().unwrap(),
        "--plot",
        plot.to_str().unwrap(),
    ];
    let (mut free, last, output) = replayed(&args);
    assert!(output.status.success(), "{last:#}");
    // The recording may begin before the live Catcher was ENABLED, and end after it was.
    let at = |t: &Json| t["at"].as_f64().unwrap();
    let live_span = at(&exact[0])..=at(&exact[exact.len() - 1]);
    free.retain(|t| live_span.contains(&at(t)));
    assert_eq!(started(&free), live);
    let severities = |all: &[Json]| -> Vec<String> {
        let changes = all.iter().filter(|t| t["what"] == "severity");
        changes.map(|t| format!("{} {}", t["alarm"], t["severity"])).collect()
    };
    // What is due at the very end may be in one of them only: the records end a moment before the Catcher.
    let to = last["to"].as_f64().unwrap();
    let at_end = |all: &[Json]| all.iter().any(|t| t["what"] == "severity" && at(t) > to - 1.0);
    let (mut replayed, mut seen) = (severities(&free), severities(&exact));
    let both = replayed.len().min(seen.len());
    assert!(replayed.len() == seen.len() || at_end(&free) || at_end(&exact), "{replayed:?} {seen:?} {to}");
    assert!(replayed.len().max(seen.len()) <= both + 1, "{replayed:?} {seen:?}");
    replayed.truncate(both);
    seen.truncate(both);
    assert_eq!(replayed, seen);
    let page = std::fs::read_to_string(plot).unwrap();
    assert!(page.contains("Wind.Forecast") && page.contains("class=\"run\""));
    // Damaged: told, not replayed.
    let mut bytes = std::fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(file, &bytes).unwrap();
    let output = catcher(&["replay", &wind, "--data", file]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("damaged at byte"));
}

#[test]
fn a_calm_night_with_short_exposures_gives_no_alarm_no_run_no_report() {
    let (summary, output) = demo(&["--calm"]);
    assert!(output.status.success(), "{:#}", summary["checks"]);
    assert_eq!(summary["runs"], serde_json::json!({}));
    assert!(
        summary["alarms"].as_object().unwrap().values().all(|alarm| alarm["raised_at"].is_null()),
        "{summary:#}"
    );
}

#[test]
fn run_catcher_is_the_same_program() {
    let dir = tempfile::tempdir().unwrap();
    let second = dir.path().join("run_catcher");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_catcher"), &second).unwrap();
    let run = |args: &[&str]| Command::new(&second).args(args).output().unwrap();
    let version = run(&["--version"]);
    assert!(version.status.success());
    assert_eq!(
        String::from_utf8_lossy(&version.stdout).trim(),
        concat!("run_catcher ", env!("CARGO_PKG_VERSION"))
    );
    let help = String::from_utf8_lossy(&run(&["--help"]).stdout).into_owned();
    for option in ["--state", "--override", "--configdir", "--simulate", "--loglevel"] {
        assert!(help.contains(option), "{option} is missing in {help}");
    }
    assert_eq!(run(&["zero"]).status.code(), Some(2), "an index that is no number is wrong usage");
    let no_environment = Command::new(&second).arg("1").env_clear().output().unwrap();
    assert_eq!(no_environment.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&no_environment.stderr).contains("LSST_TOPIC_SUBNAME"));
}

#[test]
fn revision_codes_are_printed_one_a_line() {
    let output = catcher(&["topics", "revcodes"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.lines().count() > 100);
    assert!(
        text.lines().all(|line| line.split(' ').count() == 3 && line.rsplit(' ').next().unwrap().len() == 8)
    );
    assert!(text.lines().any(|line| line.starts_with("Catcher command_addRule ")));
}

#[test]
fn the_checked_in_schemas_are_the_printed_ones() {
    for (which, file) in [("config", "Catcher.yaml"), ("rules", "rules.yaml")] {
        let path = format!("{}/config_schema/{file}", env!("CARGO_MANIFEST_DIR"));
        let printed = String::from_utf8(catcher(&["schema", which]).stdout).unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), printed, "{file}: run `catcher schema {which}`");
    }
}

const RISING: &str = "a rising wind warns, and clears when it is calm";

fn printed(args: &[&str]) -> String {
    let output = catcher(args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {errors}");
    String::from_utf8(output.stdout).expect("what is printed is text")
}

#[test]
fn a_rule_is_explained_on_its_tests() {
    let file = example("wind_forecast.yaml");
    let text = printed(&["rules", "explain", &file, "Wind.Forecast", "--at", "28m", "--test", RISING]);
    insta::assert_snapshot!(text);
    let json = printed(&["rules", "explain", &file, "--at", "5m", "--json"]);
    let json: Json = serde_json::from_str(&json).unwrap();
    assert_eq!(json["trigger"]["notes"][0]["why"], "when_false", "{json:#}");
    assert_eq!(json["trigger"]["when"]["term"]["text"], "wind_5m > 10.0");
    for (args, code) in
        [(vec!["rules", "explain", "nowhere.yaml"], 2), (vec!["rules", "explain", &file, "Wynd"], 1)]
    {
        assert_eq!(catcher(&args).status.code(), Some(code), "{args:?}");
    }
}

#[test]
fn a_key_of_a_rule_is_explained_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keyed.yaml");
    let text = r#"rules:
  - name: Wind.All
    by: wind.salIndex
    inputs: {wind: {topic: "ESS:*.tel_airFlow"}}
    alarm: {value: wind.speed, levels: {warning: 15.0}}
    tests:
      - name: one is windy
        series: {wind: [{at: 1s, salIndex: 301, speed: 5.0}, {at: 2s, salIndex: 302, speed: 20.0}]}
        expect: [{at: 3s, key: "302", severity: warning}]
"#;
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let decision = |args: &[&str]| {
        let json = printed(&[&["rules", "explain", file], args, &["--json"]].concat());
        let json: Json = serde_json::from_str(&json).unwrap();
        json["decision"].as_str().unwrap().to_owned()
    };
    for args in [&["Wind.All.302"][..], &["Wind.All", "--key", "302"], &["--key", "302"]] {
        let said = decision(args);
        assert!(said.contains("the alarm is WARNING") && said.contains("20"), "{args:?}: {said}");
    }
    assert!(decision(&["--key", "301"]).contains("the alarm is NONE"));
    assert!(decision(&[]).contains("the rule has 2 keys, name one as in Wind.All.<key>: 301, 302"));
    let output = catcher(&["rules", "explain", file, "--key", "303"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && told.contains("its keys: 301, 302"), "{told}");
}

fn example(name: &str) -> String {
    format!("{}/config_schema/examples/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn rules_are_drawn_as_a_graph() {
    let examples = [example("wind_forecast.yaml"), example("jitter_auxtel.yaml")];
    insta::assert_snapshot!(printed(&["rules", "graph", &examples[0], &examples[1]]));
    let dir = tempfile::tempdir().unwrap();
    // Two templates make most of a summit's rules: each is one box.
    let instances: Vec<String> = (0..215).map(|i| format!("{{index: {}}}", i + 1)).collect();
    let many = format!(
        "rules:\n  - name: \"Calm.ESS:$(index)\"\n    template: {{index: null}}\n    instances: [{}]\n    inputs: {{wind: {{topic: \"ESS:$(index).tel_airFlow\", field: speed}}}}\n    \
         alarm: {{value: wind, levels: {{warning: 10.0}}}}\n",
        instances.join(", ")
    );
    let file = dir.path().join("many.yaml");
    std::fs::write(&file, many).unwrap();
    let (file, svg) = (file.to_str().unwrap(), dir.path().join("out.svg"));
    let text = printed(&["rules", "graph", file, "--svg", svg.to_str().unwrap()]);
    assert!(text.contains("Calm.* (215 rules)") && text.contains("215 components.airFlow"), "{text}");
    let drawn = std::fs::read_to_string(&svg).unwrap();
    assert_eq!(drawn.matches("<rect").count(), 3, "{drawn}");
    printed(&["rules", "graph", file, "--all", "--svg", svg.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(&svg).unwrap().matches("<rect").count(), 3 * 215);
    let json: Json = serde_json::from_str(&printed(&["rules", "graph", file, "--json"])).unwrap();
    assert_eq!(json["rules"][3]["topics"][0], "ESS:4.airFlow");
}

#[test]
fn rule_files_are_formatted_and_keep_their_revision() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("rule.yaml");
    let ugly = "rules:\n- name:   A   # why\n  inputs:\n      wind:   { topic: \"ESS:301.tel_airFlow\",field: speed }\n  alarm: {value: wind,\n     levels: {warning: 3.0}}\n";
    std::fs::write(&file, ugly).unwrap();
    let name = file.to_str().unwrap();
    let revision = |name: &str| {
        let json: Json = serde_json::from_str(&printed(&["rules", "check", "--json", name])).unwrap();
        json["files"][0]["rules"][0]["revision"].clone()
    };
    let before = revision(name);
    let checked = catcher(&["rules", "fmt", "--check", name]);
    assert_eq!((checked.status.code(), std::fs::read_to_string(&file).unwrap().as_str()), (Some(1), ugly));
    assert!(printed(&["rules", "fmt", name]).contains("1 files, 1 changed"));
    assert_eq!(
        std::fs::read_to_string(&file).unwrap(),
        "rules:\n  - name: A   # why\n    inputs:\n      wind: {topic: \"ESS:301.tel_airFlow\", field: speed}\n    alarm: {value: wind, levels: {warning: 3.0}}\n"
    );
    assert_eq!(revision(name), before);
    printed(&[
        "rules",
        "fmt",
        "--check",
        name,
        &example("wind_forecast.yaml"),
        &example("jitter_auxtel.yaml"),
    ]);
}

#[test]
fn rules_are_checked_against_saved_schemas() {
    let dir = tempfile::tempdir().unwrap();
    let saved = dir.path().join("schemas.json");
    let saved = saved.to_str().unwrap();
    let (wind, jitter) = (example("wind_forecast.yaml"), example("jitter_auxtel.yaml"));
    printed(&["topics", "schemas", &wind, "--out", saved]);
    printed(&["rules", "check", "--schemas", saved, &wind]);
    let other = catcher(&["rules", "check", "--schemas", saved, &jitter]);
    assert_eq!(other.status.code(), Some(1));
    let text = String::from_utf8_lossy(&other.stdout).into_owned();
    assert!(text.contains("there is no component \"ATCamera\""), "{text}");
    assert_eq!(catcher(&["rules", "check", "--schemas", &wind, &wind]).status.code(), Some(1));
}
