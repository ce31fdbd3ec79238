//! Folders on disk: layouts that are accepted, and what is said about wrong ones.

use std::fs;
use std::path::Path;

use sal_idl::{IdlError, Library};
use tempfile::TempDir;

const GENERICS: &str = "<SALObjects><SALEventSet>
  <SALEvent><Subsystem>SALGeneric</Subsystem><EFDB_Topic>SALGeneric_logevent_heartbeat</EFDB_Topic><Category>mandatory</Category></SALEvent>
  <SALEvent><Subsystem>SALGeneric</Subsystem><EFDB_Topic>SALGeneric_logevent_extra</EFDB_Topic></SALEvent>
</SALEventSet></SALObjects>";

fn subsystem(name: &str, index: &str, generics: &str) -> String {
    format!(
        "<SALSubsystem>\n<Name>{name}</Name>\n<IndexEnumeration>{index}</IndexEnumeration>\n<AddedGenerics>{generics}</AddedGenerics>\n</SALSubsystem>\n"
    )
}

/// A folder of definitions; files are given by their paths below it.
fn folder(subsystems: &str, files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().expect("has a parent")).expect("created");
        fs::write(path, text).expect("written");
    };
    write("SALSubsystems.xml", &format!("<SALSubsystemSet>\n{subsystems}</SALSubsystemSet>"));
    write("SALGenerics.xml", GENERICS);
    for (path, text) in files {
        write(path, text);
    }
    dir
}

fn problems(error: &IdlError, dir: &Path) -> Vec<String> {
    let prefix = format!("{}/", dir.display());
    error.problems().iter().map(|p| p.to_string().replace(&prefix, "")).collect()
}

#[test]
fn not_a_folder_of_definitions() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let error = Library::from_dir(dir.path()).expect_err("nothing there").to_string();
    assert!(error.contains("has no SALSubsystems.xml") && error.contains("sal_interfaces"), "{error}");
}

#[test]
fn topics_in_the_order_of_definition() {
    let telemetry =
        "<SALTelemetrySet><SALTelemetry><EFDB_Topic>A_t</EFDB_Topic></SALTelemetry></SALTelemetrySet>";
    let commands =
        "<SALCommandSet><SALCommand><EFDB_Topic>A_command_c</EFDB_Topic></SALCommand></SALCommandSet>";
    let files = [("A/A_Telemetry.xml", telemetry), ("A/A_Commands.xml", commands)];
    let dir = folder(&subsystem("A", " one=1 , two=2 ", "logevent_extra"), &files);
    let component = Library::from_dir(dir.path()).expect("valid").component("A").expect("valid");
    assert!(component.indexed);
    let names: Vec<_> = component.topics.iter().map(|t| t.sal_name.as_str()).collect();
    assert_eq!(names, ["logevent_heartbeat", "logevent_extra", "command_c", "t", "ackcmd"]);
    assert_eq!(component.index_enumeration, "one=1 , two=2");
}

/// The layout of ts_xml: XML in `sal_interfaces`, camera files in its sibling `interfaces`; a camera file wins.
#[test]
fn camera_files_beside_the_xml() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let inner = folder(
        &subsystem("ATCamera", "no", "logevent_extra"),
        &[(
            "ATCamera/ATCamera_Telemetry.xml",
            "<SALTelemetrySet><SALTelemetry><EFDB_Topic>ATCamera_power</EFDB_Topic>
         <item><EFDB_Name>old</EFDB_Name><IDL_Type>int</IDL_Type></item></SALTelemetry></SALTelemetrySet>",
        )],
    );
    fs::rename(inner.keep(), dir.path().join("sal_interfaces")).expect("moved");
    let avsc = dir.path().join("interfaces/ATCamera");
    fs::create_dir_all(&avsc).expect("created");
    let record = r#"{"type": "record", "name": "power", "namespace": "lsst.sal.ATCamera", "fields": [{"name": "new", "type": "double"}]}"#;
    fs::write(avsc.join("power.avsc"), record).expect("written");
    fs::write(avsc.join("more.avsc"), record).expect("written");
    for place in [dir.path().to_owned(), dir.path().join("sal_interfaces")] {
        let camera = Library::from_dir(place).expect("valid").component("ATCamera").expect("valid");
        let names: Vec<_> = camera.topics.iter().map(|t| t.sal_name.as_str()).collect();
        assert_eq!(names, ["logevent_heartbeat", "logevent_extra", "power", "more", "ackcmd"]);
        let power = camera.topic("power").expect("there");
        assert!(power.field("old").is_none() && power.field("new").is_some());
    }
    fs::write(avsc.join("more.avsc"), "{\n\n nonsense").expect("written");
    let error = Library::from_dir(dir.path()).expect("valid").component("ATCamera").expect_err("bad file");
    let told = problems(&error, dir.path());
    assert!(told.len() == 1 && told[0].starts_with("interfaces/ATCamera/more.avsc:3: not JSON"), "{told:?}");
}

#[test]
fn all_faults_of_a_component_are_told_at_once() {
    let commands = "<SALCommandSet>\n<SALCommand><EFDB_Topic>A_command_c</EFDB_Topic>\n<item><IDL_Type>int</IDL_Type></item></SALCommand>
<SALCommand><EFDB_Topic>A_command_c</EFDB_Topic></SALCommand>\n<SALCommand><EFDB_Topic>nothing</EFDB_Topic></SALCommand></SALCommandSet>";
    let files =
        [("A/A_Commands.xml", commands), ("A/A_Events.xml", "<SALEventSet>\n<SALEvent></SALEventSet>")];
    let subsystems = subsystem("A", "no", "csc, logevent_nope") + &subsystem("B", "no", "logevent_extra");
    let dir = folder(&subsystems, &files);
    let library = Library::from_dir(dir.path()).expect("the list itself is right");
    let error = library.components().expect_err("A is wrong");
    let told = problems(&error, dir.path());
    let starts = [
        "SALSubsystems.xml: SALSubsystem A / AddedGenerics: SALGenerics.xml has no topic or category \"csc\"",
        "SALSubsystems.xml: SALSubsystem A / AddedGenerics: SALGenerics.xml has no topic or category \"logevent_nope\"",
        "A/A_Commands.xml:3: SALCommand A_command_c / item: EFDB_Name is missing or empty",
        "A/A_Commands.xml:4: SALCommand command_c: this topic is defined twice",
        "A/A_Commands.xml:5: SALCommand nothing: EFDB_Topic has no `_`",
        "A/A_Events.xml:2: SALEventSet / SALEvent: not well-formed XML",
    ];
    assert_eq!(told.len(), starts.len(), "{told:#?}");
    for (problem, start) in told.iter().zip(starts) {
        assert!(problem.starts_with(start), "{problem}");
    }
    assert!(library.component("B").is_ok(), "the others can be used");
}

#[test]
fn faults_of_the_list_itself() {
    let subsystems = subsystem("A", "no", "x")
        + &subsystem("A", "no", "x")
        + "<SALSubsystem><Name>C</Name></SALSubsystem>";
    let dir = folder(
        &subsystems,
        &[(
            "SALGenerics.xml",
            "<SALObjects><S>\n<SALEvent><EFDB_Topic>X_logevent_a</EFDB_Topic></SALEvent></S></SALObjects>",
        )],
    );
    let told = problems(&Library::from_dir(dir.path()).expect_err("wrong"), dir.path());
    let ends = [
        "this component is listed twice",
        "IndexEnumeration is missing or empty",
        "AddedGenerics is missing or empty",
        "EFDB_Topic does not start with SALGeneric_",
    ];
    assert_eq!(told.len(), ends.len(), "{told:#?}");
    for (problem, end) in told.iter().zip(ends) {
        assert!(problem.ends_with(end), "{problem}");
    }
}

/// The Catcher runs on a ts_xml that does not have it: own topics compiled in, generic ones of the folder.
#[test]
fn the_catcher_joins_a_folder_without_it() {
    let dir = folder(&subsystem("A", "no", "logevent_extra"), &[]);
    let error =
        Library::from_dir(dir.path()).expect("valid").with_compiled_in("Catchet").expect_err("nobody has it");
    assert!(matches!(error, IdlError::UnknownComponent { .. }), "{error}");
    let generics = r"<SALObjects><SALEventSet>
        <SALEvent><EFDB_Topic>SALGeneric_logevent_heartbeat</EFDB_Topic><Description>theirs</Description><Category>mandatory</Category></SALEvent>
        <SALEvent><EFDB_Topic>SALGeneric_logevent_summaryState</EFDB_Topic><Category>csc</Category></SALEvent>
        <SALEvent><EFDB_Topic>SALGeneric_logevent_configurationApplied</EFDB_Topic><Category>configurable</Category></SALEvent>
        <SALEvent><EFDB_Topic>SALGeneric_logevent_largeFileObjectAvailable</EFDB_Topic></SALEvent></SALEventSet></SALObjects>";
    fs::write(dir.path().join("SALGenerics.xml"), generics).expect("written");
    let library =
        Library::from_dir(dir.path()).expect("valid").with_compiled_in("Catcher").expect("we have it");
    assert_eq!(library.names().collect::<Vec<_>>(), ["A", "Catcher"]);
    let catcher = library.component("Catcher").expect("valid");
    assert_eq!(catcher.topic("evt_heartbeat").expect("generic").description, "theirs");
    assert!(catcher.topic("evt_alarm").is_some() && catcher.topic("tel_statistics").is_some());
}
