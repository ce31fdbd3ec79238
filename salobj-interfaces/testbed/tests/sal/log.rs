//! Log records as `logMessage` events.

use std::time::Duration;

use salobj::SummaryState as S;
use salobj_testbed::TestCsc;

use crate::support::{log_to_sal, setup_index};

#[tokio::test(start_paused = true)]
async fn records_of_a_csc_are_published_by_it() {
    // An index that no other test has: the layer is the process's.
    let s = setup_index(71).await;
    let ctx = s.bench.csc.context().clone();
    let log = s.bench.remote.event("logMessage").unwrap().clone();
    s.bench.bus.clock.sleep(Duration::from_secs(1)).await;
    log.flush().unwrap();

    let span = ctx.controller().span();
    span.in_scope(|| {
        tracing::info!(rule = "Wind", "rule added");
        tracing::debug!("not at this level");
    });
    tracing::info!("outside of any CSC: not taken");
    let sample = log.next(false, Some(Duration::from_secs(1))).await.unwrap();
    assert_eq!(sample.str("message"), "rule added; rule=Wind");
    assert_eq!((sample.str("name"), sample.i64("level")), ("Test", 20));
    assert!(sample.str("filePath").ends_with("log.rs"));
    assert!(sample.i64("lineNumber") > 0);
    assert_eq!(sample.i64("process"), i64::from(std::process::id()));
    assert!(log.next(false, Some(Duration::from_secs(1))).await.is_err());

    span.in_scope(|| tracing::info!(rule = "Wind", "rule added"));
    span.in_scope(|| tracing::error!(traceback = "line 1", topic = "command_x", "bad"));
    // The line differs, so the first one is not a repetition; a literal repetition is not published.
    let sample = log.next(false, Some(Duration::from_secs(1))).await.unwrap();
    assert_eq!(sample.str("message"), "rule added; rule=Wind");
    let sample = log.next(false, Some(Duration::from_secs(1))).await.unwrap();
    assert_eq!((sample.str("name"), sample.str("traceback")), ("Test.command_x", "line 1"));
    for _ in 0..3 {
        span.in_scope(|| tracing::warn!("again"));
    }
    log.next(false, Some(Duration::from_secs(1))).await.unwrap();
    assert!(log.next(false, Some(Duration::from_secs(1))).await.is_err(), "identical records are one");

    s.bench.command_ok("setLogLevel", &[("level", 10.into())]).await;
    log.flush().unwrap();
    span.in_scope(|| tracing::debug!("now it is"));
    assert_eq!(log.next(false, Some(Duration::from_secs(1))).await.unwrap().str("message"), "now it is");

    s.bench.command_ok("fault", &[]).await;
    let critical = loop {
        let sample = log.next(false, Some(Duration::from_secs(1))).await.unwrap();
        if sample.i64("level") == salobj::log::CRITICAL {
            break sample;
        }
    };
    assert_eq!(critical.str("message"), "Fault! errorCode=1, errorReport='executing the fault command'");
    assert_eq!(ctx.state(), S::Fault);
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_last_ten_records_from_before_the_start_come_first() {
    log_to_sal();
    let (bus, _control) = salobj_testbed::Bus::memory();
    let domain = bus.domain(0);
    let component = TestCsc::spec().unwrap().component;
    let controller = salobj::Controller::write_only(&domain, component.clone(), 72).unwrap();
    for n in 0..15 {
        controller.span().in_scope(|| tracing::info!("early {n}"));
    }
    let options = salobj::RemoteOptions::include(["logMessage"]);
    let remote = salobj::Remote::open(&bus.domain(1), component, 72, options).await.unwrap();
    controller.start_writing().await.unwrap();
    let log = remote.event("logMessage").unwrap();
    assert!(log.next(false, Some(Duration::from_secs(1))).await.is_err(), "before the first later record");
    controller.span().in_scope(|| tracing::info!("late"));
    let mut got = Vec::new();
    while let Ok(sample) = log.next(false, Some(Duration::from_secs(1))).await {
        got.push(sample.str("message").to_owned());
    }
    let expected: Vec<String> = (5..15).map(|n| format!("early {n}")).chain(["late".into()]).collect();
    assert_eq!(got, expected);
    domain.close().await;
    remote.close().await;
}
