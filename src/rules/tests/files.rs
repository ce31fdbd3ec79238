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
