//! What a CSC publishes by itself, and in which order.

use std::time::Duration;

use sal_idl::Topic;
use salobj::SummaryState as S;
use salobj::csc::XML_VERSION;
use salobj::transport::{ReadEvent, StartAt};

use salobj_testbed::bench::PATIENCE;

use crate::support::{setup, test_component};

#[tokio::test(start_paused = true)]
async fn start_sequence_and_contents() {
    let s = setup().await;
    s.bench.assert_next_sample("logLevel", &[("level", 20.into()), ("subsystem", "".into())]).await;
    s.bench.assert_next_sample("heartbeat", &[("heartbeat", false.into())]).await;
    s.bench.assert_next_sample("simulationMode", &[("mode", 0.into())]).await;
    let versions = [
        ("cscVersion", env!("CARGO_PKG_VERSION").into()),
        ("xmlVersion", XML_VERSION.into()),
        ("salVersion", "".into()),
        ("subsystemVersions", "".into()),
    ];
    s.bench.assert_next_sample("softwareVersions", &versions).await;
    s.bench.assert_next_summary_state(S::Standby).await;
    s.bench.assert_next_sample("errorCode", &[("errorCode", 0.into()), ("errorReport", "".into())]).await;
    let url = format!("file://{}", s.dir.path().canonicalize().unwrap().display());
    let available = [
        ("overrides", "".into()),
        ("version", "".into()),
        ("url", url.as_str().into()),
        ("schemaVersion", "v2".into()),
    ];
    s.bench.assert_next_sample("configurationsAvailable", &available).await;

    // The order over all topics, by the offsets in which the in-memory bus took them.
    let component = test_component();
    let events = ["logLevel", "heartbeat", "simulationMode", "softwareVersions", "summaryState", "errorCode"];
    let first = |name: &str| {
        let topic: &Topic = component.topic(&format!("evt_{name}")).unwrap();
        let records = s.control.records(&crate::support::kafka_topic(topic));
        records.first().and_then(|r| r.timestamp_ms).unwrap_or_else(|| panic!("{name} not written"))
    };
    let stamps: Vec<i64> = events.iter().map(|e| first(e)).collect();
    assert!(stamps.is_sorted(), "{stamps:?}");
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn heartbeat_beats_once_a_second_in_all_states() {
    let s = setup().await;
    for state in [S::Standby, S::Disabled, S::Enabled] {
        s.bench.go_to(state).await;
        let one = s.bench.next("heartbeat", true).await;
        let two = s.bench.next("heartbeat", false).await;
        let period = two.sent() - one.sent();
        assert!((0.99..1.01).contains(&period), "{period}");
        assert_eq!(two.seq_num(), one.seq_num() + 1);
    }
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn log_level_is_published_when_it_changes() {
    let s = setup().await;
    s.bench.assert_next_sample("logLevel", &[("level", 20.into())]).await;
    s.bench.command_ok("setLogLevel", &[("level", 10.into())]).await;
    s.bench.command_ok("setLogLevel", &[("level", 10.into())]).await;
    s.bench.command_ok("setLogLevel", &[("level", 30.into()), ("subsystem", "x".into())]).await;
    s.bench.assert_next_sample("logLevel", &[("level", 10.into())]).await;
    s.bench.assert_next_sample("logLevel", &[("level", 30.into()), ("subsystem", "".into())]).await;
    assert_eq!(s.bench.csc.context().controller().log_level(), 30);
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn state_then_error_code_then_acknowledgement() {
    let s = setup().await;
    s.bench.csc.context().fault(1, "broken", "").await;
    let topics: Vec<(String, StartAt)> = ["logevent_summaryState", "logevent_errorCode", "ackcmd"]
        .map(|name| (format!("lsst.test_bench.Test.{name}"), StartAt::End))
        .to_vec();
    let mut reader = s.bench.bus.transport.reader("order", &topics).await.unwrap();
    let clock = &s.bench.bus.clock;
    let mut assigned = 0;
    while assigned < 3 {
        let event = clock.timeout(PATIENCE, reader.next()).await.expect("partitions are assigned");
        assigned += usize::from(matches!(event, ReadEvent::Assigned { .. }));
    }
    s.bench.command_ok("standby", &[]).await;
    let mut order = Vec::new();
    while order.len() < 3 {
        let event = clock.timeout(PATIENCE, reader.next()).await.expect("three records");
        if let ReadEvent::Record(record) = event {
            order.push(record.topic.rsplit('.').next().unwrap().to_owned());
        }
    }
    assert_eq!(order, ["logevent_summaryState", "logevent_errorCode", "ackcmd"]);
    reader.close().await;
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn set_without_write_makes_the_next_set_write_unchanged() {
    let s = setup().await;
    let writer = s.bench.csc.context().event("scalars").unwrap();
    assert!(writer.set(&[("int0", 3.into())]).unwrap(), "always changed until the first set");
    let w = writer.set_write(&[("int0", 3.into())]).unwrap();
    assert_eq!((w.changed, w.written, w.seq_num), (false, false, 0));
    let w = writer.set_write_if(&[], true).unwrap();
    assert_eq!((w.changed, w.written, w.seq_num), (false, true, 1));
    let w = writer.set_write(&[("int0", 4.into())]).unwrap();
    assert_eq!((w.changed, w.written, w.seq_num), (true, true, 2));
    assert_eq!(writer.write().unwrap(), 3);
    let e = writer.set_write(&[("nosuch", 4.into()), ("other", 1.into())]).unwrap_err();
    assert_eq!(e.to_string(), "evt_scalars has no fields ['nosuch', 'other']");
    assert_eq!(writer.data().i64("int0"), 4);
    s.bench.bus.clock.sleep(Duration::from_secs(1)).await;
    s.bench.close().await;
}
