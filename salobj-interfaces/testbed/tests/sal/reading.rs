//! Reading events and telemetry: order, queues, waiters, callbacks.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt as _;
use salobj::topics::QUEUE_LENGTH;
use salobj::transport::memory::MemoryControl;
use salobj::{Remote, RemoteOptions, SalError, Value};
use salobj_testbed::Bus;

use crate::support::{forge, test_component};

const S1: Duration = Duration::from_secs(1);

async fn remote(bus: &Bus, options: RemoteOptions) -> Remote {
    Remote::open(&bus.domain(1), test_component(), 0, options).await.unwrap()
}

fn scalars(control: &MemoryControl, topic: &str, index: i64, int0: i64, sent: f64) {
    let fields: [(&str, Value); 3] =
        [("salIndex", index.into()), ("int0", int0.into()), ("private_sndStamp", sent.into())];
    forge(control, topic, &fields);
}

#[tokio::test(start_paused = true)]
async fn older_samples_are_dropped_and_equal_stamps_are_not() {
    let (bus, control) = Bus::memory();
    let remote = remote(&bus, RemoteOptions::include(["scalars"])).await;
    for topic in ["scalars", "logevent_scalars"] {
        for (index, n, sent) in [(1, 1, 10.0), (1, 2, 9.0), (1, 3, 10.0), (2, 4, 5.0), (1, 5, 11.0)] {
            scalars(&control, topic, index, n, sent);
        }
    }
    for reader in [remote.telemetry("scalars").unwrap(), remote.event("scalars").unwrap()] {
        let mut got = Vec::new();
        while let Ok(s) = reader.next(false, Some(S1)).await {
            got.push(s.i64("int0"));
        }
        assert_eq!(got, [1, 3, 4, 5]);
    }
    remote.close().await;
}

#[tokio::test(start_paused = true)]
async fn the_order_filter_can_be_switched_off() {
    let (bus, control) = Bus::memory();
    let options =
        RemoteOptions { discard_out_of_order_telemetry: false, ..RemoteOptions::include(["scalars"]) };
    let remote = remote(&bus, options).await;
    scalars(&control, "scalars", 1, 1, 10.0);
    scalars(&control, "scalars", 1, 2, 9.0);
    let reader = remote.telemetry("scalars").unwrap();
    reader.next(false, Some(S1)).await.unwrap();
    assert_eq!(reader.next(false, Some(S1)).await.unwrap().i64("int0"), 2);
    remote.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_drops_its_oldest_and_counts() {
    let (bus, control) = Bus::memory();
    let remote = remote(&bus, RemoteOptions::include(["scalars"])).await;
    let reader = remote.telemetry("scalars").unwrap();
    for n in 0..QUEUE_LENGTH as i64 + 5 {
        scalars(&control, "scalars", 1, n, n as f64);
    }
    bus.clock.sleep(S1).await;
    assert_eq!((reader.nqueued(), reader.dropped()), (QUEUE_LENGTH, 5));
    assert_eq!(reader.next(false, None).await.unwrap().i64("int0"), 5);
    assert_eq!(reader.get().unwrap().i64("int0"), QUEUE_LENGTH as i64 + 4);
    remote.close().await;
}

#[tokio::test(start_paused = true)]
async fn all_who_wait_get_the_same_sample_and_a_given_up_wait_loses_none() {
    let (bus, control) = Bus::memory();
    let remote = remote(&bus, RemoteOptions::include(["scalars"])).await;
    let reader = remote.telemetry("scalars").unwrap().clone();
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let reader = reader.clone();
            tokio::spawn(async move { reader.next(false, None).await.unwrap().i64("int0") })
        })
        .collect();
    assert!(reader.next(false, Some(S1)).await.is_err(), "given up");
    scalars(&control, "scalars", 1, 1, 1.0);
    scalars(&control, "scalars", 1, 2, 2.0);
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap(), 1);
    }
    assert_eq!(reader.next(false, Some(S1)).await.unwrap().i64("int0"), 2);
    remote.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_callback_takes_all_new_samples_in_order() {
    let (bus, control) = Bus::memory();
    let remote = remote(&bus, RemoteOptions::include(["scalars"])).await;
    let reader = remote.telemetry("scalars").unwrap();
    scalars(&control, "scalars", 1, 0, 0.0);
    bus.clock.sleep(S1).await;
    let got = Arc::new(Mutex::new(Vec::new()));
    let seen = got.clone();
    reader
        .callback(move |s| {
            seen.lock().unwrap().push(s.i64("int0"));
            async {}
        })
        .unwrap();
    for n in 1..=3 {
        scalars(&control, "scalars", 1, n, n as f64);
    }
    bus.clock.sleep(S1).await;
    assert_eq!(*got.lock().unwrap(), [1, 2, 3]);
    assert_eq!(reader.get().unwrap().i64("int0"), 3, "get is allowed");
    for e in [
        reader.next(false, None).await.map(|_| ()).unwrap_err(),
        reader.aget(None).await.map(|_| ()).unwrap_err(),
        reader.get_oldest().map(|_| ()).unwrap_err(),
        reader.flush().unwrap_err(),
    ] {
        assert_eq!(e.to_string(), "Not allowed because there is a callback function");
    }
    remote.close().await;
}

#[tokio::test(start_paused = true)]
async fn before_start_and_after_close() {
    let (bus, control) = Bus::memory();
    let domain = bus.domain(1);
    let remote = Remote::new(&domain, test_component(), 1, RemoteOptions::default()).unwrap();
    let reader = remote.telemetry("scalars").unwrap();
    assert!(matches!(reader.next(false, None).await, Err(SalError::NotStarted { .. })));
    let e = remote.command("start").unwrap().start(&[], S1, true).await.unwrap_err();
    assert!(e.to_string().starts_with("Not started"), "{e}");
    remote.start().await.unwrap();
    scalars(&control, "scalars", 1, 1, 1.0);
    bus.clock.sleep(S1).await;
    let mut stream = Box::pin(reader.stream());
    remote.close().await;
    assert_eq!(stream.next().await.unwrap().i64("int0"), 1, "what was received can still be read");
    assert!(stream.next().await.is_none());
    let e = remote.command("start").unwrap().start(&[], S1, true).await.unwrap_err();
    assert!(e.to_string().starts_with("No longer open"), "{e}");
    assert!(matches!(reader.next(false, None).await, Err(SalError::NotOpen { .. })));
    assert!(control.groups().is_empty());
}

#[tokio::test(start_paused = true)]
async fn include_exclude_and_readonly() {
    let (bus, control) = Bus::memory();
    let some = remote(&bus, RemoteOptions::include(["scalars", "nosuch"]).readonly()).await;
    assert!(some.event("scalars").is_ok() && some.telemetry("scalars").is_ok());
    let e = some.event("heartbeat").unwrap_err().to_string();
    assert_eq!(e, "Test has no topic event heartbeat here; there are: scalars");
    assert!(some.command("start").is_err());
    assert_eq!(control.is_compacted("lsst.test_bench.Test.logevent_scalars"), Some(true));
    assert_eq!(control.is_compacted("lsst.test_bench.Test.scalars"), Some(false));
    assert_eq!(control.is_compacted("lsst.test_bench.Test.ackcmd"), None, "only its own topics are made");
    let exclude = RemoteOptions { exclude: Some(vec!["scalars".into()]), ..RemoteOptions::default() };
    let other = remote(&bus, exclude).await;
    assert!(
        other.event("scalars").is_err() && other.event("heartbeat").is_ok() && other.command("start").is_ok()
    );
    some.close().await;
    other.close().await;
}
