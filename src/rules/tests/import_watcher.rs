//! `import_watcher` on a configuration of a summit's size, and on a wrong one.

use crate::rules::{Rule, SourceFile, compile, import_watcher, taken, watcher_alarms};

fn file(name: &str) -> SourceFile {
    let path = format!("{}/tests/data/watcher_config/{name}", env!("CARGO_MANIFEST_DIR"));
    SourceFile { name: name.into(), text: std::fs::read_to_string(path).unwrap() }
}

fn imported(files: &[SourceFile]) -> (crate::rules::Imported, Vec<std::sync::Arc<Rule>>) {
    let library = sal_idl::Library::embedded();
    let imported = import_watcher(files, &library)
        .unwrap_or_else(|all| panic!("{}", all.iter().map(|d| d.render(false)).collect::<String>()));
    let source = SourceFile { name: "imported.yaml".into(), text: imported.text.clone() };
    let rules = compile(&source, &library).unwrap_or_else(|all| {
        panic!("{}\n{}", all.iter().map(|d| d.render(false)).collect::<String>(), imported.text)
    });
    (imported, rules)
}

fn config(text: &str) -> SourceFile {
    SourceFile { name: "config.yaml".into(), text: text.into() }
}

#[test]
fn a_summits_alarms_fit_on_a_few_pages() {
    let (imported, rules) = imported(&[file("_summit.yaml")]);
    assert_eq!(imported.alarms.len(), 215);
    let mut names: Vec<&str> = rules.iter().map(|r| r.name.as_str()).collect();
    let mut alarms: Vec<&str> = imported.alarms.iter().map(String::as_str).collect();
    names.sort_unstable();
    alarms.sort_unstable();
    assert_eq!(names, alarms);
    let lines = imported.text.lines().count();
    assert!(lines < 250, "{lines} lines\n{}", imported.text);
    for (name, count) in [("Enabled.", 87), ("Heartbeat.", 87), ("HVAC.", 9), ("MTDome", 7), ("Humidity.", 5)]
    {
        assert_eq!(names.iter().filter(|n| n.starts_with(name)).count(), count, "{name}");
    }
    for name in [
        "Enabled.MTMount:0",
        "Heartbeat.ESS:301",
        "MTDomeAzEnabled.MTDome",
        "DewPointDepression.South Outside",
        "ESS:305.PowerGeneratorRunning",
        "ESS.PowerGeneratorFail",
        "ATCameraDewar",
        "eStop.ATPneumatics",
        "HVAC.Flow02",
    ] {
        assert!(names.contains(&name), "{name}");
    }
}

#[test]
fn delays_and_escalation_are_in_the_alarms() {
    let (_, rules) = imported(&[file("_summit.yaml")]);
    let config = |name: &str| {
        let rule = rules.iter().find(|r| r.name == name).unwrap_or_else(|| panic!("no {name}"));
        let config = &rule.alarm.as_ref().unwrap().config;
        (
            format!("{:?}", config.escalate),
            config.auto_acknowledge.as_secs(),
            config.auto_unacknowledge.as_secs(),
        )
    };
    for (name, responder) in [
        ("ATCameraDewar", "camera"),
        ("DewPointDepression.North", "weather"),
        ("Heartbeat.ATAOS:0", "control"),
    ] {
        let (escalate, acknowledge, unacknowledge) = config(name);
        assert!(escalate.contains(responder), "{name}: {escalate}");
        assert_eq!((acknowledge, unacknowledge), (30, 0));
    }
    assert_eq!(config("eStop.ATPneumatics").0, "None");
}

#[test]
fn a_later_file_replaces_the_keys_of_an_earlier_one() {
    let init = config("auto_acknowledge_delay: 3600\nrules: []\nescalation: []\n");
    let site = config("rules: [{classname: Clock, configs: [{name: 'ESS:1'}]}]\n");
    let (imported, rules) = imported(&[init, site]);
    assert_eq!(imported.alarms, ["Clock.ESS:1"]);
    assert_eq!(rules[0].alarm.as_ref().unwrap().config.auto_acknowledge.as_secs(), 3600);
}

#[test]
fn rules_of_disabled_components_are_left_out() {
    let (imported, _) = imported(&[config(
        "disabled_sal_components: ['ESS:112', MTMount]
rules:
- classname: Heartbeat
  configs: [{name: MTMount}, {name: 'ESS:111'}, {name: 'ESS:112'}]
- classname: Humidity
  configs:
  - {name: A, warning_level: 1, humidity_sensors: [{sal_index: 111, sensor_names: [a]}, {sal_index: 112, sensor_names: [b]}]}
- classname: MTMountAzimuth
  configs: [{time_range_start: 1, time_range_end: 2, mtmount_azimuth_low_threshold: 3, mtmount_azimuth_high_threshold: 4}]
",
    )]);
    assert_eq!(imported.alarms, ["Heartbeat.ESS:111"]);
    assert_eq!(
        imported.disabled,
        ["Heartbeat.MTMount:0", "Heartbeat.ESS:112", "Humidity.A", "MTMountAzimuth"]
    );
}

#[test]
fn every_class_can_be_imported() {
    let (imported, rules) = imported(&[config(
        "rules:
- {classname: Telemetry, configs: [
    {name: 'ESS:301', callback_name: tel_airFlow, summary_states: [ENABLED], timeout: 12.5},
    {name: 'ESS:301', callback_name: tel_temperature, summary_states: [ENABLED, DISABLED]}]}
- {classname: UnderPressure, configs: [{name: P, critical_level: 1, warning_level: 3, pressure_sensors: [
    {sal_index: 1, sensor_info: [{sensor_name: a, indices: [0]}, {sensor_name: b, indices: [1, 2, 5]}]},
    {sal_index: 2, sensor_info: [{sensor_name: c}]}]}]}
- {classname: OverTemperature, configs: [{name: T, warning_level: 20, serious_level: 2, serious_period: 600, temperature_sensors: [
    {sal_index: 1, sensor_info: [{sensor_name: a}]}]}]}
- {classname: GenericBoolean, configs: [{rule_name: R, remote_name: HVAC, callback_name: evt_coldGlycolChiller01, severity: SERIOUS,
    alarm_items: [{item_name: alarmDevice}, {item_name: switchOn, alarm_value: false}]}]}
- {classname: Hvac, configs: [{rule_name: Two, callback_names: [tel_dynalene, tel_glycolLineSensors], individual_limits: [
    {item_name: dynCH01LS01, limit_type: lower, limit_value: 1, severity: WARNING},
    {item_name: supplyFlowOss, limit_type: upper, limit_value: 2, severity: WARNING, time_span: 3}]}]}
- {classname: CameraAlert, configs: [{camera: MTCamera, alertId: evt_alertRaised}, {camera: CCCamera, alertId: fcs/x}]}
- {classname: MTCameraAlert, configs: [{}]}
- {classname: MTCCWFollowingRotator, configs: [{}]}
- {classname: MTVibrationRotator, configs: [{}]}
- {classname: MTOutClosedLoopControl, configs: [{}]}
- {classname: MTForceError, configs: [{severity: 2, max_num_axial: 7}]}
- {classname: MTTotalForceMoment, configs: [{fx: 100.5}]}
- {classname: MTMirrorTemperature, configs: [{}]}
- {classname: MTTangentLinkTemperature, configs: [{timeout: 100}]}
- {classname: MTM1M3EGWFlow, configs: [{alarm_delay: 60}]}
- {classname: MTM1M3Temperature, configs: [{temperature_change_interval: 60, m1m3_temperature_difference_threshold: 1,
    m1m3_temperature_change_threshold: 2}]}
- {classname: MTMountAzimuth, configs: [{time_range_start: 22, time_range_end: 4, mtmount_azimuth_low_threshold: 3,
    mtmount_azimuth_high_threshold: 4}]}
- {classname: Clock, configs: [{name: MTMount, threshold: 0.5}]}
- {classname: Enabled, configs: [{name: MTMount, fault_severity: 3}]}
- {classname: ATCameraDewar, configs: [{}]}
",
    )]);
    assert_eq!(imported.alarms.len(), 22);
    assert_eq!(rules.len(), 22, "{}", imported.text);
    for name in
        ["Telemetry.ESS:301.tel_temperature", "CameraAlert.CCCamera.fcs/x", "R.HVAC.evt_coldGlycolChiller01"]
    {
        assert!(imported.alarms.iter().any(|a| a == name), "{name} {:?}", imported.alarms);
    }
}

#[test]
fn every_mistake_is_told_at_once_with_its_place() {
    let library = sal_idl::Library::embedded();
    let mistakes = import_watcher(&[file("wrong.yaml")], &library).unwrap_err();
    let text: String = mistakes.iter().map(|d| format!("{d}\n")).collect();
    insta::assert_snapshot!(text);
}

#[test]
fn names_that_the_watcher_has_are_refused_with_both_places() {
    let library = sal_idl::Library::embedded();
    let watcher = watcher_alarms(&[file("_summit.yaml")], &library);
    assert_eq!((watcher.alarms.len(), watcher.mistakes.len()), (215, 0));
    let ours = SourceFile {
        name: "ours.yaml".into(),
        text: r#"rules:
  - name: Wind.High
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    alarm: {value: wind, levels: {warning: 10.0}}
  - name: ATCameraDewar
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    alarm: {value: wind, levels: {warning: 10.0}}
  - name: HVAC.Flow02
    mode: shadow
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    alarm: {value: wind, levels: {warning: 10.0}}
  - name: Heartbeat.ESS:$(index)
    template: {index: }
    instances: [{index: 301}, {index: 302}, {index: 999}]
    inputs: {wind: {topic: "ESS:301.tel_airFlow", field: speed}}
    alarm: {value: wind, levels: {warning: 10.0}}
  - name: Humidity
    by: rh.sensorName
    inputs: {rh: {topic: "ESS:*.tel_relativeHumidity", field: relativeHumidityItem}}
    alarm: {value: rh, levels: {warning: 70.0}}
"#
        .into(),
    };
    let rules = compile(&ours, &library)
        .unwrap_or_else(|all| panic!("{}", all.iter().map(|d| d.render(false)).collect::<String>()));
    let text: String = taken(&ours, &rules, &watcher.alarms).iter().map(|d| format!("{d}\n")).collect();
    insta::assert_snapshot!(text);
    let summit = file("_summit.yaml");
    let dewar = watcher.alarms.iter().find(|a| a.name == "ATCameraDewar").unwrap();
    let place = summit.text.lines().take(dewar.line).collect::<Vec<_>>().join("\n");
    let class = place.rfind("classname: ").map(|at| &place[at..]).unwrap();
    assert!(class.starts_with("classname: ATCameraDewar"), "{class}");
}

#[test]
fn what_cannot_be_read_of_the_watcher_is_told_beside_the_names_that_are_known() {
    let library = sal_idl::Library::embedded();
    let watcher = watcher_alarms(
        &[config(
            "rules:\n- {classname: Enabled, configs: [{name: ATDome}]}\n- {classname: Unheard, configs: [{}]}\n",
        )],
        &library,
    );
    assert_eq!(watcher.alarms.iter().map(|a| a.name.as_str()).collect::<Vec<_>>(), ["Enabled.ATDome:0"]);
    assert_eq!(watcher.mistakes.len(), 1);
    assert!(watcher.mistakes[0].to_string().contains("config.yaml:3"), "{}", watcher.mistakes[0]);
}
