//! Rules checked against a registry, and against what was saved of it.

use super::bed::{Bed, command};
use crate::cli::Command;
use crate::cli::topics::{self, schemas};

/// Saves; what is printed.
async fn save(args: &[&str]) -> Result<String, String> {
    let Command::Topics(topics::Command::Schemas(args)) = command(&[&["topics", "schemas"], args].concat())
    else {
        panic!()
    };
    let save = tokio::task::spawn_blocking(move || {
        let mut out = Vec::new();
        schemas::save(&args, &mut out).map_err(|e| format!("{e:#}")).map(|()| String::from_utf8(out).unwrap())
    });
    save.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_checked_against_what_is_registered() {
    let mut bed = Bed::start().await;
    bed.wind(Some(0.0), 5.0).await;
    bed.send("ESS", "logevent_summaryState", Some(0.0), &[]).await;
    bed.send_metric(Some(0.0), 1.0, "r").await;
    let url = bed.testbed.registry_url().to_owned();
    let at = ["--registry", &url, "--subname", bed.subname()];
    // A topic of a template has its name only once it is filled in.
    let rule = format!(
        "rules:\n  - name: \"State.$(csc)\"\n    template: {{csc: null, index: 0}}\n    instances: [{{csc: ESS, index: 1}}]\n    \
         inputs: {{state: {{topic: \"$(csc):$(index).evt_summaryState\"}}}}\n    \
         alarm: {{levels: {{serious: \"state.summaryState == SummaryState.FAULT\"}}}}\n  - name: Both\n    inputs:\n      \
         wind: {{topic: \"ESS:301.tel_airFlow\", field: speed}}\n      m: {{kafka: {}, field: value}}\n    \
         alarm: {{levels: {{warning: \"wind > 10.0 && m > 1.0\"}}}}\n",
        bed.metric()
    );
    let good = bed.file("good.yaml", &rule);
    let text = bed.good(&[&["rules", "check", &good], &at[..]].concat()).await;
    assert!(text.contains("2 rules"), "{text}");
    // Saved, it is known without the registry.
    let saved = bed.path("schemas.json");
    let said = save(&[&[good.as_str(), "--out", &saved], &at[..]].concat()).await.unwrap();
    assert!(said.contains("3 topics"), "{said}");
    bed.good(&["rules", "check", &good, "--schemas", &saved]).await;
    bed.good(&["rules", "graph", &good, "--schemas", &saved]).await;
    // What is not registered is told, with what was probably meant.
    for (right, wrong, expected) in [
        ("tel_airFlow", "tel_airflow", "did you mean"),
        ("field: speed", "field: sped", "did you mean \"speed\"?"),
        (".metric, field", ".metrics, field", "there is no schema"),
        ("csc: ESS", "csc: ATMCS", "ATMCS"),
    ] {
        assert!(rule.contains(right), "{right}");
        let bad = bed.file("bad.yaml", &rule.replace(right, wrong));
        let (good, text) = bed.run(&[&["rules", "check", &bad], &at[..]].concat()).await.unwrap();
        assert!(!good && text.contains(expected), "{wrong}: {text}");
    }
    let said = save(&[&["ESS"], &at[..]].concat()).await.unwrap_err();
    assert!(said.contains("only the topics of rule files"), "{said}");
}
