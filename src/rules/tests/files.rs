//! The shipped rule files.

use crate::rules::{SourceFile, compile};

/// Both shipped files as one.
pub(super) fn shipped() -> SourceFile {
    let read = |name: &str| {
        let path = format!("{}/config_schema/examples/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(path).unwrap()
    };
    let (wind, jitter) = (read("wind_forecast.yaml"), read("jitter_auxtel.yaml"));
    SourceFile {
        name: "shipped.yaml".into(),
        text: format!("{wind}\n{}", jitter.strip_prefix("rules:\n").unwrap()),
    }
}

#[test]
fn the_two_scenarios_compile() {
    let rules = compile(&shipped(), &sal_idl::Library::embedded())
        .unwrap_or_else(|all| panic!("{}", all.iter().map(|d| d.render(false)).collect::<String>()));
    assert_eq!(rules.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["Wind.Forecast", "Jitter.AuxTel"]);
    for rule in &rules {
        let again = compile(
            &SourceFile { name: "again".into(), text: rule.definition.clone() },
            &sal_idl::Library::embedded(),
        )
        .unwrap();
        assert_eq!(again[0].revision, rule.revision);
        assert_eq!(again[0].definition, rule.definition);
        assert!(rule.definition.starts_with("rules:\n  - name: "), "{}", rule.definition);
    }
}

/// The file is made of the types; `UPDATE_SCHEMA=1 cargo test` writes it anew.
#[test]
fn the_schema_file_is_that_of_the_types() {
    let made = crate::rules::schema_file::of_the_types();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config_schema/rules.yaml");
        return std::fs::write(path, made).unwrap();
    }
    assert_eq!(crate::rules::SCHEMA, made, "run this test with UPDATE_SCHEMA=1");
}

fn as_json(text: &str) -> serde_json::Value {
    let file = SourceFile { name: String::new(), text: text.into() };
    crate::rules::yaml::parse(&file, &text.into()).unwrap().json()
}

#[test]
fn the_shipped_files_follow_the_schema() {
    let schema = as_json(crate::rules::SCHEMA);
    let validator = jsonschema::validator_for(&schema).unwrap();
    // Templates are filled in first: a parameter may stand for anything.
    for file in every_example() {
        let rules = compile(&file, &sal_idl::Library::embedded()).unwrap();
        for rule in rules {
            let whole = as_json(&rule.definition);
            let found: Vec<String> = validator.iter_errors(&whole).map(|e| e.to_string()).collect();
            assert!(found.is_empty(), "{} {}: {found:?}", file.name, rule.name);
        }
    }
}

fn every_example() -> Vec<SourceFile> {
    let folder = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/config_schema/examples"));
    let mut files = Vec::new();
    for below in ["", "images", "observatory", "systems", "watcher"] {
        for entry in std::fs::read_dir(folder.join(below)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "yaml") {
                let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
                files.push(SourceFile { name, text: std::fs::read_to_string(path).unwrap() });
            }
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(files.len() >= 2 + 33, "{}", files.len());
    files
}

/// salobj, scripts and configuration tests read these files with a YAML 1.1 reader: no plain word may turn into a truth,
/// a null, a sexagesimal or an octal number there.
#[test]
fn yaml_1_1_reads_the_shipped_files_alike() {
    fn plain_words(node: &crate::rules::yaml::Node, source: &str, out: &mut Vec<String>) {
        use crate::rules::yaml::Yaml;
        let text = |span: (usize, usize)| source[span.0..span.0 + span.1].to_owned();
        match &node.value {
            Yaml::Map(entries) => {
                for (key, value) in entries {
                    out.push(text(key.span));
                    plain_words(value, source, out);
                }
            }
            Yaml::List(all) => all.iter().for_each(|n| plain_words(n, source, out)),
            Yaml::Text(_) => out.push(text(node.span)),
            Yaml::Null | Yaml::Bool(_) | Yaml::Int(_) | Yaml::Float(_) => {}
        }
    }
    for file in every_example() {
        let node = crate::rules::yaml::parse(&file, &file.text.as_str().into()).unwrap();
        let mut words = Vec::new();
        plain_words(&node, &file.text, &mut words);
        assert!(words.len() > 20);
        for word in words {
            let lower = word.to_lowercase();
            assert!(
                !["on", "off", "yes", "no", "y", "n", "null", "~", "true", "false"].contains(&lower.as_str()),
                "{word}"
            );
            let numeric = word.chars().all(|c| c.is_ascii_digit() || ":._".contains(c));
            assert!(!numeric, "{}: {word} is a number to YAML 1.1", file.name);
        }
    }
}

#[test]
fn tests_are_messages_with_times() {
    use salobj::Value;

    use crate::rules::{FieldNeed, Part};
    let rules = compile(&shipped(), &sal_idl::Library::embedded()).unwrap();
    let test = &rules[0].tests[0];
    assert_eq!((test.name.as_str(), test.topics.len(), test.expect.len()), ("a gust is not a trend", 1, 1));
    let topic = &test.topics[0];
    assert_eq!((topic.component.as_str(), topic.sal_name.as_str(), topic.sal_index), ("ESS", "airFlow", 301));
    assert_eq!(topic.messages.len(), 90 + 3 + 20);
    let speed = FieldNeed { name: "speed".into(), part: Part::Whole };
    assert_eq!((topic.messages[90].at_s, &topic.messages[90].fields[&speed]), (1800.0, &Value::Double(25.0)));
    assert_eq!((test.expect[0].at_s, test.expect[0].runs.as_ref().unwrap().value), (1860.0, 0));
    let text = shipped().text;
    assert!(text[test.span.0..].starts_with("a gust is not a trend"), "{}", &text[test.span.0..]);
}
