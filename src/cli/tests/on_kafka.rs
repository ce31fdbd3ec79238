//! Past data of a Kafka: replay by time and by offset, differences, settings, explanations.

use serde_json::Value as Json;

use super::bed::Bed;

const WIND: &str = "rules:
  - name: Wind
    inputs: {wind: {topic: \"ESS:301.tel_airFlow\", field: speed}}
    alarm: {value: wind, levels: {warning: 10.0}}
  - name: Reader
    inputs: {other: {alarm: Wind}}
    alarm: {levels: {serious: \"other.severity > 1\"}}
";

async fn windy() -> Bed {
    let mut bed = Bed::start().await;
    for (at, speed) in
        [(0.0, 20.0), (10.0, 5.0), (20.0, 12.0), (30.0, 14.0), (40.0, 5.0), (50.0, 11.0), (60.0, 5.0)]
    {
        bed.wind(Some(at), speed).await;
    }
    bed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_begins_at_a_time_or_at_an_offset() {
    let bed = windy().await;
    let rules = bed.file("wind.yaml", WIND);
    // From between the first message and the second: the first is known, and counts from the begin on.
    let lines = bed.lines(&["replay", &rules, "--from-kafka", &bed.utc(5.0), "--json"]).await;
    let (last, transitions) = lines.split_last().unwrap();
    assert_eq!(
        bed.told(transitions),
        [
            "5.0 warning",
            "5.0 serious",
            "10.0 none",
            "10.0 none",
            "20.0 warning",
            "20.0 serious",
            "40.0 none",
            "40.0 none",
            "50.0 warning",
            "50.0 serious",
            "60.0 none",
            "60.0 none"
        ]
    );
    assert_eq!((&last["counts"]["samples"], &last["counts"]["errors"]), (&Json::from(7), &Json::from(0)));
    assert_eq!(last["notes"], serde_json::json!([]), "the other alarm is not looked for on the bus");
    let to = bed.utc(35.0);
    let lines = bed.lines(&["replay", &rules, "--from-kafka", &bed.utc(5.0), "--to", &to, "--json"]).await;
    assert_eq!(bed.told(&lines).len(), 6, "{lines:#?}");
    // From the third message on: what was before is not known.
    let lines = bed.lines(&["replay", &rules, "--from-kafka", "2", "--json"]).await;
    assert_eq!(bed.told(&lines)[..2], ["20.0 warning", "20.0 serious"]);
    assert_eq!(lines.last().unwrap()["counts"]["records"], 5);
    let table = bed.good(&["replay", &rules, "--from-kafka", &bed.utc(5.0)]).await;
    assert!(
        table.contains("alarm  WARNING: wind: 12.00 m/s > 10.00") && table.contains("6 alarms"),
        "{table}"
    );
    let page = bed.path("wind.html");
    bed.good(&["replay", &rules, "--from-kafka", &bed.utc(5.0), "--plot", &page]).await;
    assert!(std::fs::read_to_string(page).unwrap().contains("<svg"));
    let nothing = bed.file(
        "other.yaml",
        &WIND.replace("ESS:301.tel_airFlow", "ESS:301.tel_pressure").replace("speed", "\"pressureItem[0]\""),
    );
    let said = bed.run(&["replay", &nothing, "--from-kafka", "-3h"]).await.unwrap_err();
    assert!(said.contains("none of the topics is on this bus"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_compared_and_settings_are_tried() {
    let bed = windy().await;
    let (old, new) = (bed.file("old.yaml", WIND), bed.file("new.yaml", &WIND.replace("10.0", "11.5")));
    let from = bed.utc(5.0);
    let page = bed.path("diff.html");
    let (same, text) = bed
        .run(&["rules", "diff", &old, &new, "--from-kafka", &from, "--json", "--plot", &page])
        .await
        .unwrap();
    assert!(!same);
    let diff: Json = serde_json::from_str(&text).unwrap();
    let changes = diff["diff"]["changes"].as_array().unwrap();
    // The one of 50 s is too weak for the new version; and so for the rule that reads it.
    let told: Vec<_> =
        changes.iter().map(|c| (c["change"].as_str().unwrap(), c["old"]["rule"].as_str().unwrap())).collect();
    let told: std::collections::BTreeSet<_> = told.into_iter().collect();
    assert_eq!(told, [("alarm_vanishes", "Reader"), ("alarm_vanishes", "Wind")].into(), "{diff:#}");
    assert_eq!(changes.len(), 2);
    assert!(std::fs::read_to_string(page).unwrap().contains("New rules"));
    let (same, text) = bed.run(&["rules", "diff", &old, &old, "--from-kafka", &from]).await.unwrap();
    assert!(same && text.starts_with("0 changes; 6 alarms"), "{text}");

    let tune =
        ["rules", "tune", &old, "Wind", "--vary", "alarm.levels.warning=10..13/1", "--from-kafka", &from];
    let text = bed.good(&[&tune[..], &["--json"]].concat()).await;
    let tuned: Json = serde_json::from_str(&text).unwrap();
    let alarms: Vec<u64> =
        tuned["settings"].as_array().unwrap().iter().map(|s| s["alarms"].as_u64().unwrap()).collect();
    assert_eq!(alarms, [3, 2, 2, 2], "{tuned:#}");
    let table = bed.good(&tune).await;
    assert!(table.contains("alarm.levels.warning") && table.contains("4 settings of Wind"), "{table}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_is_explained_at_a_time_of_the_past() {
    let bed = windy().await;
    let rules = bed.file("wind.yaml", WIND);
    let from = bed.utc(5.0);
    let explain = |rule: &'static str, at: f64| {
        let args = ["rules", "explain", &rules, rule, "--from-kafka", &from, "--json", "--at", &bed.utc(at)]
            .map(str::to_owned);
        let bed = &bed;
        async move {
            let text = bed.good(&args.each_ref().map(String::as_str)).await;
            serde_json::from_str::<Json>(&text).unwrap()
        }
    };
    let fired = explain("Wind", 35.0).await;
    assert_eq!(
        (&fired["alarm"]["severity"], &fired["inputs"][0]["value"]),
        (&Json::from("WARNING"), &Json::from(14.0))
    );
    let age = fired["inputs"][0]["age_s"].as_f64().unwrap();
    assert!((age - 5.0).abs() < 0.01, "{age}");
    let not = explain("Wind", 45.0).await;
    assert_eq!(not["alarm"]["severity"], "NONE");
    // The rule that is read comes along.
    let reader = explain("Reader", 35.0).await;
    assert_eq!(reader["alarm"]["severity"], "SERIOUS", "{reader:#}");
    assert_eq!(reader["alarm"]["conditions"][0]["terms"][0]["term"]["text"], "other.severity > 1");
    // So does one that inhibits it.
    let effect = "  - name: Effect\n    inputs: {wind: {topic: \"ESS:301.tel_airFlow\", field: speed}}\n    \
                  alarm: {value: wind, levels: {warning: 9.0}, inhibit_by: [Wind]}\n";
    let both = bed.file("both.yaml", &format!("{WIND}{effect}"));
    let text =
        bed.good(&["rules", "explain", &both, "Effect", "--from-kafka", &from, "--at", &bed.utc(35.0)]).await;
    assert!(text.contains("Effect is inhibited by Wind"), "{text}");
    let text = bed.good(&["rules", "explain", &rules, "Wind", "--from-kafka", &from]).await;
    assert!(text.contains("Wind at") && text.contains("the alarm is NONE"), "{text}");
    let said = bed.run(&["rules", "explain", &rules, "--from-kafka", &from]).await.unwrap_err();
    assert!(said.contains("name one rule of") && said.contains("Wind, Reader"), "{said}");
    let said = bed
        .run(&["rules", "explain", &rules, "Wind", "--from-kafka", &from, "--at", "28m"])
        .await
        .unwrap_err();
    assert!(said.contains("'28m' is no time"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_are_not_sal_are_replayed_with_the_schema_of_the_registry() {
    let mut bed = Bed::start().await;
    for (at, value) in [(0.0, 1.0), (10.0, 3.0), (20.0, 0.5)] {
        bed.send_metric(Some(at), value, "r").await;
    }
    let rule = format!(
        "rules:\n  - name: Seeing\n    template: {{topic: null}}\n    instances: [{{topic: {}}}]\n    \
         inputs: {{m: {{kafka: \"$(topic)\"}}}}\n    \
         alarm: {{levels: {{warning: \"m.value > 2.0 && m.band == 'r'\"}}}}\n",
        bed.metric()
    );
    let rules = bed.file("metric.yaml", &rule);
    let lines = bed.lines(&["replay", &rules, "--from-kafka", &bed.utc(-1.0), "--json"]).await;
    assert_eq!(bed.told(&lines), ["10.0 warning", "20.0 none"], "{lines:#?}");
}
