//! The definitions that are compiled in: they all load, they are those of the folder, they are what the design says.

use std::fs;
use std::path::Path;

use sal_idl::{Library, SalType, Topic, TopicKind};

fn files_below(dir: &Path, prefix: &str, out: &mut Vec<String>) {
    for entry in fs::read_dir(dir).expect("the xml folder is there") {
        let entry = entry.expect("readable");
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            files_below(&entry.path(), &format!("{name}/"), out);
        } else {
            out.push(name);
        }
    }
}

/// `include_str!` cannot list a folder: a file that was added or removed must be added to or removed from the list.
#[test]
fn the_compiled_in_list_is_the_folder() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../xml");
    let mut on_disk = Vec::new();
    files_below(&dir, "", &mut on_disk);
    on_disk.sort();
    let listed: Vec<_> = Library::embedded_files().map(|(path, _)| path.to_owned()).collect();
    assert_eq!(listed, on_disk);
}

#[test]
fn all_components_load() {
    let library = Library::embedded();
    let components = library.components().unwrap_or_else(|e| panic!("{e}"));
    let names: Vec<_> = components.iter().map(|c| c.name.as_str()).collect();
    let expected = [
        "ATAOS",
        "ATBuilding",
        "ATCamera",
        "ATDome",
        "ATDomeTrajectory",
        "ATHeaderService",
        "ATHexapod",
        "ATMCS",
        "ATMonochromator",
        "ATOODS",
        "ATPneumatics",
        "ATPtg",
        "ATSpectrograph",
        "ATWhiteLight",
        "AlarmRule",
        "CBP",
        "CCCamera",
        "CCHeaderService",
        "CCOODS",
        "Catcher",
        "DIMM",
        "DREAM",
        "DSM",
        "EAS",
        "ESS",
        "Electrometer",
        "FiberSpectrograph",
        "GCHeaderService",
        "GIS",
        "GenericCamera",
        "Guider",
        "HVAC",
        "LEDProjector",
        "LOVE",
        "LaserTracker",
        "LinearStage",
        "MOSS",
        "MTAOS",
        "MTAirCompressor",
        "MTCamera",
        "MTDome",
        "MTDomeTrajectory",
        "MTHeaderService",
        "MTHexapod",
        "MTM1M3",
        "MTM1M3TS",
        "MTM2",
        "MTMount",
        "MTOODS",
        "MTPtg",
        "MTReflector",
        "MTRotator",
        "MTVMS",
        "OCPS",
        "PMD",
        "Scheduler",
        "Script",
        "ScriptQueue",
        "SummitFacility",
        "Test",
        "TunableLaser",
        "WFOODS",
        "Watcher",
        "WeatherForecast",
    ];
    assert_eq!(names, expected);
    for component in &components {
        assert_eq!(component.topics.last().map(|t| t.kind), Some(TopicKind::AckCmd), "{}", component.name);
        assert!(component.topic("evt_heartbeat").is_some(), "{}", component.name);
    }
}

#[test]
fn the_folder_on_disk_gives_the_same() {
    let disk =
        Library::from_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../xml")).expect("our own layout");
    let compiled: Vec<_> = sal_idl::revcodes(&Library::embedded()).expect("valid").collect();
    let read: Vec<_> = sal_idl::revcodes(&disk).expect("valid").collect();
    assert_eq!(compiled, read);
    assert!(compiled.len() > 150, "{}", compiled.len());
}

fn describe(topic: &Topic) -> String {
    let own: Vec<_> = topic
        .own_fields()
        .map(|f| {
            let kind = SalType::NAMES.iter().find(|(_, t)| *t == f.sal_type).map_or("?", |(n, _)| n);
            let unit = if f.units == "unitless" { String::new() } else { format!(" [{}]", f.units) };
            format!("{}: {kind}{unit}", f.name)
        })
        .collect();
    format!("{} ({})", topic.attr_name(), own.join(", "))
}

/// The interface at a glance. A change of it is a change for everybody who talks to the Catcher: think before accepting.
#[test]
fn interface_of_the_catcher() {
    let catcher = Library::embedded().component("Catcher").expect("there");
    let mut text = format!(
        "Catcher, index {}, generics {}\n",
        catcher.index_enumeration,
        catcher.added_generics.join(" ")
    );
    for topic in &catcher.topics {
        text += &format!("{}\n", describe(topic));
    }
    for enumeration in &catcher.enums {
        let items: Vec<_> = enumeration.items.iter().map(|i| format!("{} {}", i.name, i.value)).collect();
        text += &format!("{}: {}\n", enumeration.name, items.join(", "));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn fields_that_the_scenarios_read() {
    let library = Library::embedded();
    for (component, topic, field, count, units) in [
        ("ESS", "tel_airFlow", "speed", 1, "m/s"),
        ("ESS", "tel_temperature", "temperatureItem", 16, "deg_C"),
        ("ATCamera", "evt_endReadout", "requestedExposureTime", 1, "second"),
        ("ATCamera", "evt_endReadout", "timestampAcquisitionStart", 1, "second"),
        ("MTCamera", "evt_endReadout", "imageName", 1, "unitless"),
        ("ATMCS", "tel_mount_AzEl_Encoders", "azimuthCalculatedAngle", 100, "deg"),
        ("MTMount", "tel_azimuth", "actualPosition", 1, "deg"),
        ("ScriptQueue", "evt_queue", "salIndices", 400, "unitless"),
        ("OCPS", "evt_job_result", "exit_code", 1, "unitless"),
        ("Script", "evt_state", "state", 1, "unitless"),
    ] {
        let component = library.component(component).expect("there");
        let topic = component.topic(topic).unwrap_or_else(|| panic!("{} has no {topic}", component.name));
        let field = topic.field(field).unwrap_or_else(|| panic!("{} has no {field}", topic.sal_name));
        assert_eq!((field.count, field.units.as_str()), (count, units), "{}.{}", topic.sal_name, field.name);
    }
}

/// A camera's `.avsc` topic: nullable fields, no `salIndex` for a component that is not indexed, private fields last.
#[test]
fn camera_telemetry_by_avsc() {
    let camera = Library::embedded().component("ATCamera").expect("there");
    let power = camera.topic("tel_power").expect("there");
    let voltage = power.field("V").expect("there");
    assert_eq!((voltage.sal_type, voltage.nullable, voltage.units.as_str()), (SalType::Double, true, "Volt"));
    assert_eq!(power.fields.first().map(|f| f.name.as_str()), Some("timestamp"));
    assert_eq!(power.fields.last().map(|f| f.name.as_str()), Some("private_origin"));
}

#[test]
fn enumerations_by_name() {
    let library = Library::embedded();
    let value = |component, name, item| {
        library.component(component).expect("there").enumeration(name).expect("there").value(item)
    };
    assert_eq!(value("Catcher", "AlarmSeverity", "CRITICAL"), Some(4));
    assert_eq!(value("Catcher", "TaskState", "TIMED_OUT"), Some(7));
    assert_eq!(value("ESS", "SummaryState", "FAULT"), Some(3));
    assert_eq!(value("ScriptQueue", "ScriptProcessState", "ConfigureFailed"), Some(6));
    assert_eq!(value("Test", "ValueEnum", "Four"), Some(4));
    assert_eq!(value("Test", "ValueEnum", "Six"), None);
}

#[test]
fn unknown_components_are_told_with_similar_names() {
    let error = Library::embedded().component("OCP").expect_err("unknown");
    assert_eq!(error.to_string(), "no such component OCP; did you mean OCPS?");
}
