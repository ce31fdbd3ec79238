//! `catcher topics tail`.

use std::io::Write;
use std::sync::{Arc, Mutex};

use salobj::Value;
use serde_json::Value as Json;
use tokio::sync::Notify;

use super::bed::{Bed, command};
use crate::cli::Command;
use crate::cli::topics::{self, tail};

fn args(args: &[&str]) -> tail::Args {
    match command(&[&["topics", "tail"], args].concat()) {
        Command::Topics(topics::Command::Tail(args)) => args,
        other => panic!("{other:?}"),
    }
}

/// What is printed until the command ends by itself.
async fn told(bed: &Bed, of: &[&str], colour: bool) -> String {
    let mut out = Vec::new();
    tail::run(&args(of), &bed.outside, std::future::pending(), colour, &mut out).await.unwrap();
    String::from_utf8(out).unwrap()
}

fn lines(text: &str) -> Vec<Vec<String>> {
    text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_is_shown_as_a_table_in_the_order_of_its_stamps() {
    let mut bed = Bed::start().await;
    for (at, speed) in [(0.0, 5.0), (10.0, 7.5), (20.0, 7.5)] {
        bed.wind(Some(at), speed).await;
    }
    bed.send("ESS", "airFlow", Some(30.0), &[("salIndex", Value::Int(302)), ("speed", Value::Double(99.0))])
        .await;
    let since = bed.utc(5.0);
    let text = told(
        &bed,
        &["ESS:301.tel_airFlow", "--fields", "speed,direction", "--since", &since, "--count", "2"],
        false,
    )
    .await;
    let rows = lines(&text);
    assert_eq!(rows[0], ["UTC", "speed", "(m/s)", "direction", "(degree)"], "{text}");
    assert_eq!(rows[1], [bed.utc(10.0), "7.5".to_owned(), "0.0".to_owned()], "{text}");
    assert_eq!(rows.len(), 3);
    assert_eq!(
        text.lines().map(|l| l.find("7.5")).collect::<Vec<_>>()[1..],
        [text.lines().nth(1).unwrap().find("7.5"); 2]
    );
    // All instances, the last three: the index has a column.
    let text =
        told(&bed, &["ESS.tel_airFlow", "--fields", "speed", "--last", "3", "--count", "3"], false).await;
    let rows = lines(&text);
    assert_eq!(rows[0][..2], ["UTC", "index"], "{text}");
    assert_eq!([&rows[1][1], &rows[3][1], &rows[3][2]], ["301", "302", "99.0"], "{text}");
    // On a terminal what has changed is bold.
    let text =
        told(&bed, &["ESS:301.tel_airFlow", "--fields", "speed", "--since", &since, "--count", "2"], true)
            .await;
    assert!(text.contains("\u{1b}[1m") && text.contains("\u{1b}[2m"), "{text:?}");
    let line = lines(&text)[1][1].clone();
    assert!(!line.contains("\u{1b}[1m"), "the first has nothing to have changed from: {line:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_topics_are_told_by_name_with_the_names_of_enumerations() {
    let mut bed = Bed::start().await;
    bed.send(
        "ESS",
        "logevent_summaryState",
        Some(0.0),
        &[("salIndex", Value::Int(1)), ("summaryState", Value::Int(2))],
    )
    .await;
    bed.send_metric(Some(5.0), 0.7, "r\u{1b}[2J").await;
    bed.send("ATMCS", "logevent_summaryState", Some(10.0), &[("summaryState", Value::Int(3))]).await;
    let metric = bed.metric();
    let text = told(&bed, &["*.evt_summaryState", &metric, "--last", "5", "--count", "3"], false).await;
    let expected = format!(
        "{}  ESS:1.evt_summaryState  summaryState=2 ENABLED\n{}  {metric}  value=0.7 arcsec  band=r\\u{{1b}}[2J\n\
         {}  ATMCS.evt_summaryState  summaryState=3 FAULT\n",
        bed.utc(0.0),
        bed.utc(5.0),
        bed.utc(10.0)
    );
    assert_eq!(text, expected);
    let text = told(&bed, &["ESS.*", &metric, "--json", "--last", "1", "--count", "2"], false).await;
    let all: Vec<Json> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!((&all[0]["index"], &all[0]["fields"]["summaryState"]), (&Json::from(1), &Json::from(2)));
    assert_eq!((&all[1]["topic"], &all[1]["fields"]["value"]), (&Json::from(metric), &Json::from(0.7)));
    let wrong = args(&["ESS.tel_airflow"]);
    let said = tail::run(&wrong, &bed.outside, std::future::pending(), false, &mut Vec::new()).await;
    let said = said.unwrap_err().to_string();
    assert!(said.contains("did you mean \"tel_airFlow\"?"), "{said}");
}

/// Text that others can look at while it is being written.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>, Arc<Notify>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        self.1.notify_one();
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_is_shown_as_it_comes_until_somebody_stops_it() {
    let mut bed = Bed::start().await;
    bed.wind(Some(0.0), 1.0).await;
    let (shown, stop) = (Shared::default(), Arc::new(Notify::new()));
    let outside = Arc::clone(&bed.outside);
    let (mut out, stopped) = (shown.clone(), Arc::clone(&stop));
    let tail = tokio::spawn(async move {
        let args = args(&["ESS:301.tel_airFlow", "--json"]);
        tail::run(&args, &outside, async move { stopped.notified().await }, false, &mut out).await
    });
    // Sent again until it is seen: nobody says when the reader stands at the end.
    let mut sent = 0;
    while shown.0.lock().unwrap().is_empty() {
        assert!(sent < 300, "nothing is shown");
        sent += 1;
        bed.wind(None, 100.0 + f64::from(sent)).await;
        drop(tokio::time::timeout(std::time::Duration::from_millis(100), shown.1.notified()).await);
    }
    stop.notify_one();
    tail.await.unwrap().unwrap();
    let text = String::from_utf8(shown.0.lock().unwrap().clone()).unwrap();
    let first: Json = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert!(first["fields"]["speed"].as_f64().unwrap() > 100.0, "what was there before is not shown: {text}");
}
