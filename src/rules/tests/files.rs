//! The shipped rule files.

use crate::rules::{SourceFile, compile};

pub(super) fn shipped() -> SourceFile {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/config_schema/examples/first_look.yaml");
    SourceFile { name: "first_look.yaml".into(), text: std::fs::read_to_string(path).unwrap() }
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
