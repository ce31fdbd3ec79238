//! What a reader gets of the past.

use std::sync::Arc;
use std::time::Duration;

use sal_idl::Library;
use salobj::{Controller, Remote, RemoteOptions, Value};
use salobj_testbed::Bus;

use crate::support::{forge, kafka_topic, test_component};

const S1: Duration = Duration::from_secs(1);

/// Writes summaryState events of several instances: (index, value).
async fn written(bus: &Bus, states: &[(i32, i64)]) {
    let domain = bus.domain(50);
    for (index, state) in states {
        let csc = Controller::write_only(&domain, test_component(), *index).unwrap();
        csc.start_writing().await.unwrap();
        csc.event("summaryState").unwrap().set_write(&[("summaryState", (*state).into())]).unwrap();
    }
    domain.close().await;
}

fn only_state() -> RemoteOptions {
    RemoteOptions::include(["summaryState"])
}

#[tokio::test(start_paused = true)]
async fn index_zero_gets_the_last_of_each_instance_and_an_index_its_own() {
    let (bus, _control) = Bus::memory();
    written(&bus, &[(2, 1), (1, 5), (2, 2), (1, 1)]).await;
    let all = Remote::open(&bus.domain(1), test_component(), 0, only_state()).await.unwrap();
    let event = all.event("summaryState").unwrap();
    let got: Vec<(i64, i64)> = (0..2)
        .map(|_| event.get_oldest().unwrap().unwrap())
        .map(|s| (s.sal_index(), s.i64("summaryState")))
        .collect();
    assert_eq!(got, [(2, 2), (1, 1)], "ordered by first appearance");
    assert_eq!(event.nqueued(), 0);

    let two = Remote::open(&bus.domain(2), test_component(), 2, only_state()).await.unwrap();
    let event = two.event("summaryState").unwrap();
    assert_eq!(event.aget(None).await.unwrap().i64("summaryState"), 2);
    assert_eq!(event.next(false, Some(S1)).await.unwrap().i64("summaryState"), 2);
    assert!(event.next(false, Some(S1)).await.is_err());

    let none = RemoteOptions { event_history: 0, ..only_state() };
    let none = Remote::open(&bus.domain(3), test_component(), 2, none).await.unwrap();
    assert!(none.event("summaryState").unwrap().get().is_none());
    for remote in [all, two, none] {
        remote.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn flush_leaves_history_in_current_and_waits_for_the_new() {
    let (bus, control) = Bus::memory();
    written(&bus, &[(2, 1)]).await;
    let remote = Remote::open(&bus.domain(1), test_component(), 2, only_state()).await.unwrap();
    let event = remote.event("summaryState").unwrap();
    assert!(event.next(true, Some(S1)).await.is_err(), "flush drops history");
    assert_eq!(event.get().unwrap().i64("summaryState"), 1);
    let sent = bus.clock.now().0;
    let fields =
        [("salIndex", 2.into()), ("summaryState", 4.into()), ("private_sndStamp", Value::Double(sent))];
    forge(&control, "logevent_summaryState", &fields);
    assert_eq!(event.next(false, Some(S1)).await.unwrap().i64("summaryState"), 4);
    remote.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_component_without_index_gets_one_sample() {
    let (bus, _control) = Bus::memory();
    // ATCamera has no index.
    let camera = Library::embedded().component("ATCamera").unwrap();
    let event = camera.topics.iter().find(|t| t.sal_name == "logevent_summaryState");
    let name = event.expect("the camera is a CSC").short_name().to_owned();
    let domain = bus.domain(50);
    let csc = Controller::write_only(&domain, camera.clone(), 0).unwrap();
    csc.start_writing().await.unwrap();
    for state in [5, 1, 2] {
        csc.event(&name).unwrap().set_write(&[("summaryState", state.into())]).unwrap();
    }
    domain.close().await;
    let remote =
        Remote::open(&bus.domain(1), camera, 0, RemoteOptions::include([name.as_str()])).await.unwrap();
    let event = remote.event(&name).unwrap();
    assert_eq!(event.nqueued(), 1);
    assert_eq!(event.get().unwrap().i64("summaryState"), 2);
    remote.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_start_ends_whatever_the_last_historical_record_is() {
    type Spoil = fn(&salobj::transport::memory::MemoryControl, &str);
    let spoilers: [Spoil; 4] = [
        |c, t| assert!(c.append(t, 0, None, None).is_some()),
        |c, t| assert!(c.append(t, 0, None, Some(b"poison".to_vec())).is_some()),
        |c, t| c.marker(t, 0),
        |c, t| c.compact(t),
    ];
    for spoil in spoilers {
        let (bus, control) = Bus::memory();
        written(&bus, &[(2, 1), (2, 2)]).await;
        let topic = kafka_topic(test_component().topic("evt_summaryState").unwrap());
        spoil(&control, &topic);
        let remote = Remote::open(&bus.domain(1), test_component(), 2, only_state()).await.unwrap();
        assert_eq!(remote.event("summaryState").unwrap().get().unwrap().i64("summaryState"), 2);
        remote.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_last_500_records_are_looked_at() {
    let (mut bus, _control) = Bus::memory();
    bus.env.max_history_read = 3;
    written(&bus, &[(1, 5), (2, 1), (2, 2), (2, 3)]).await;
    let all = Remote::open(&bus.domain(1), test_component(), 0, only_state()).await.unwrap();
    assert_eq!(all.event("summaryState").unwrap().nqueued(), 1, "instance 1 is too far back");
    all.close().await;
    bus.env.history_read.insert("Test".into(), 10);
    let all = Remote::open(&bus.domain(2), test_component(), 0, only_state()).await.unwrap();
    assert_eq!(all.event("summaryState").unwrap().nqueued(), 2);
    all.close().await;
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let (bus, _control) = tokio_test_bus();
    let test: Arc<_> = test_component();
    let refused = |index, options| {
        Remote::new(&bus.domain(1), test.clone(), index, options).map(|_| ()).unwrap_err().to_string()
    };
    let both = RemoteOptions { exclude: Some(vec![]), ..only_state() };
    assert_eq!(refused(0, both), "Cannot specify both include and exclude");
    let many = RemoteOptions { event_history: 2, ..RemoteOptions::default() };
    assert_eq!(refused(0, many), "max_history=2 must be 0 or 1 for an indexed component read with index=0");
    let camera = Library::embedded().component("ATCamera").unwrap();
    let e = Remote::new(&bus.domain(1), camera, 3, RemoteOptions::default()).map(|_| ()).unwrap_err();
    assert_eq!(e.to_string(), "Index=3 must be 0 or None; ATCamera is not an indexed SAL component");
}

fn tokio_test_bus() -> (Bus, salobj::transport::memory::MemoryControl) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { Bus::memory() })
}
