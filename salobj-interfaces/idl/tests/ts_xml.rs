//! Equality with the official interfaces: every topic of every component of ts_xml 28.
//!
//! The list of hashes was made with ts_xml's own Python code (`ComponentInfo`). To compare, `TS_XML_DIR` must name a
//! checkout of ts_xml (or its `data` folder) of that version:
//! `TS_XML_DIR=/path/ts_xml cargo test -p sal-idl --test ts_xml -- --nocapture`

use std::collections::BTreeMap;
use std::env;

use md5::{Digest, Md5};
use sal_idl::{IdlError, Library, revcodes};

const OFFICIAL: &str = include_str!("data/ts_xml_28_revcodes.txt");

/// Component and topic, to MD5 of the pretty text and the first 12 digits of MD5 of the compact text.
fn official() -> BTreeMap<(&'static str, &'static str), (&'static str, &'static str)> {
    let lines = OFFICIAL.lines().filter(|l| !l.starts_with('#'));
    lines
        .map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
            [component, topic, pretty, compact] => ((component, topic), (pretty, compact)),
            _ => panic!("not four words: {line}"),
        })
        .collect()
}

fn md5(text: &str) -> String {
    Md5::digest(text).iter().map(|b| format!("{b:02x}")).collect()
}

#[expect(clippy::print_stderr, reason = "a skipped test must say so")]
fn ts_xml() -> Option<Library> {
    let Some(dir) = env::var_os("TS_XML_DIR") else {
        eprintln!("SKIPPED: TS_XML_DIR is not set, the official interfaces are not compared");
        return None;
    };
    Some(Library::from_dir(dir).unwrap_or_else(|e| panic!("{e}")))
}

#[test]
fn the_list_is_whole() {
    let official = official();
    assert_eq!(official.len(), 3348);
    // Codes that the description of the wire gives, worked out by running the Python library.
    for (component, topic, code) in [
        ("Test", "logevent_summaryState", "3259752e"),
        ("Test", "ackcmd", "3a49d1f3"),
        ("Watcher", "logevent_alarm", "78344afc"),
        ("OCPS", "command_execute", "8e8af9f0"),
        ("ScriptQueue", "logevent_script", "007a9383"),
        ("Script", "logevent_state", "ab5e36b9"),
    ] {
        assert!(official[&(component, topic)].0.starts_with(code), "{component} {topic}");
    }
}

#[test]
fn every_topic_of_ts_xml_is_equal() {
    let Some(library) = ts_xml() else { return };
    let official = official();
    let mut different = Vec::new();
    let mut equal = 0;
    for component in library.components().unwrap_or_else(|e| panic!("{e}")) {
        for topic in &component.topics {
            let place = (component.name.as_str(), topic.sal_name.as_str());
            let (pretty, compact) = (md5(&topic.schema_pretty), md5(&topic.schema_compact));
            match official.get(&place) {
                Some((p, c))
                    if *p == pretty && *c == &compact[..12] && pretty.starts_with(&topic.rev_code) =>
                {
                    equal += 1;
                }
                Some(_) => different.push(format!("{place:?} differs")),
                None => different.push(format!("{place:?} is not in the list")),
            }
        }
    }
    eprintln!("{equal} of {} topics equal", official.len());
    assert!(different.is_empty(), "{different:#?}");
    assert_eq!(equal, official.len());

    let codes: Vec<_> = revcodes(&library).expect("valid").map(|c| c.to_string()).collect();
    let expected: Vec<_> = official.iter().map(|((c, t), (p, _))| format!("{c} {t} {}", &p[..8])).collect();
    assert_eq!(codes, expected);
}

/// Our peers are the official ones but for the descriptions: the same topics would have the same names, types, units.
#[test]
fn our_own_peers_agree_with_ts_xml() {
    let Some(library) = ts_xml() else { return };
    let mut compared = 0;
    for ours in Library::embedded().components().expect("valid") {
        let official = match library.component(&ours.name) {
            Ok(official) => official,
            Err(IdlError::UnknownComponent { .. }) if ours.name == "Catcher" => continue,
            Err(other) => panic!("{other}"),
        };
        assert_eq!(ours.indexed, official.indexed, "{}", ours.name);
        assert_eq!(ours.added_generics, official.added_generics, "{}", ours.name);
        for topic in &ours.topics {
            let facts = |t: &sal_idl::Topic| -> Vec<_> {
                t.fields
                    .iter()
                    .map(|f| (f.name.clone(), f.sal_type, f.count, f.units.clone(), f.nullable))
                    .collect()
            };
            let theirs =
                official.topic(&topic.sal_name).unwrap_or_else(|| panic!("{} {}", ours.name, topic.sal_name));
            assert_eq!(facts(topic), facts(theirs), "{} {}", ours.name, topic.sal_name);
            compared += 1;
        }
    }
    assert!(compared > 100, "{compared}");
}
