//! `catcher topics record` on a live bus, and what can be done with its recordings.

use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::bed::{Bed, command};
use crate::cli::Command;
use crate::cli::topics::{self, record};
use crate::replay::archive::scan;

const WIND: &str = "rules:
  - name: Wind
    inputs: {wind: {topic: \"ESS:301.tel_airFlow\", field: speed}}
    alarm: {value: wind, levels: {warning: 10.0}}
";

/// Items that are on disk.
fn items(path: &str) -> u64 {
    File::open(path).ok().and_then(|file| scan(BufReader::new(file)).ok()).map_or(0, |summary| summary.items)
}

/// Records: once what was there before is on disk (`before` items), sends these; ends when `until` items are on disk.
async fn recorded(
    bed: &mut Bed,
    args: &[&str],
    path: &str,
    (before, until): (u64, u64),
    messages: &[f64],
) -> u64 {
    let Command::Topics(topics::Command::Record(args)) = command(&[&["topics", "record"], args].concat())
    else {
        panic!()
    };
    let stop = Arc::new(Notify::new());
    let (outside, stopped) = (Arc::clone(&bed.outside), Arc::clone(&stop));
    let recording =
        tokio::spawn(
            async move { record::run(&args, &outside, async move { stopped.notified().await }).await },
        );
    on_disk(path, before).await;
    for value in messages {
        bed.wind(None, *value).await;
        bed.send_metric(None, *value, "r").await;
    }
    on_disk(path, until).await;
    stop.notify_one();
    recording.await.unwrap().unwrap()
}

async fn on_disk(path: &str, wanted: u64) {
    for _ in 0..1200 {
        if items(path) >= wanted {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("only {} items of {wanted} were recorded within 60 s", items(path));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_on_the_bus_is_recorded_and_replayed_with_any_rule() {
    let mut bed = Bed::start().await;
    bed.wind(Some(0.0), 20.0).await;
    bed.send_metric(Some(0.0), 0.0, "r").await;
    let path = bed.path("night.catcher");
    let rules = bed.file("wind.yaml", WIND);
    let metric = bed.metric();
    let args = ["--rules", &rules, "--topics", &metric, "--out", &path, "--quiet"];
    // What was there before, and what comes: two of before, eight of now.
    let records = recorded(&mut bed, &args, &path, (2, 10), &[5.0, 12.0, 5.0, 15.0]).await;
    assert_eq!(records, 10);
    let lines = bed.lines(&["replay", &rules, "--data", &path, "--json"]).await;
    let told: Vec<String> =
        bed.told(&lines).iter().map(|t| t.split(' ').nth(1).unwrap().to_owned()).collect();
    assert_eq!(told, ["warning", "none", "warning", "none", "warning"], "{lines:#?}");
    // A rule that nobody thought of when it was recorded; the schema of the topic is in the recording.
    let other = format!(
        "rules:\n  - name: Seeing\n    inputs: {{m: {{kafka: {metric}}}}}\n    \
         alarm: {{levels: {{warning: \"m.value > 14.0 && m.band == 'r'\"}}}}\n"
    );
    let other = bed.file("metric.yaml", &other);
    let lines = bed.lines(&["replay", &other, "--data", &path, "--json"]).await;
    assert_eq!(bed.told(&lines).len(), 1, "{lines:#?}");
    let text = bed.good(&["rules", "explain", &other, "--data", &path]).await;
    assert!(text.contains("the alarm is WARNING") && text.contains("m.value > 14.0"), "{text}");
    // Continued, it is one recording of two sessions.
    let records = recorded(&mut bed, &args, &path, (10 + 10, 10 + 10 + 2), &[5.0]).await;
    assert_eq!(records, 12);
    let lines = bed.lines(&["replay", &rules, "--data", &path, "--json"]).await;
    assert_eq!(lines.last().unwrap()["counts"]["records"], 22);
}
