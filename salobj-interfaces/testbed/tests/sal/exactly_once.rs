//! Commands that survive their sender: prepare, send, find, adopt.

use std::time::Duration;

use salobj::SummaryState as S;
use salobj::{AckCode, Prepared, Remote, RemoteOptions, SentState};

use crate::support::{setup, test_component};

const S1: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_prepared_command_is_found_only_once_it_was_sent() {
    let s = setup().await;
    s.bench.go_to(S::Enabled).await;
    let wait = s.bench.remote.command("wait").unwrap();
    let prepared = wait.prepare(&[("duration", 1.0.into())]).await.unwrap();
    let journal = serde_json::to_string(&prepared).unwrap();
    let prepared: Prepared = serde_json::from_str(&journal).unwrap();
    assert_eq!(wait.find_sent(&prepared).await.unwrap(), SentState::NotSent);
    // Another command of the same kind does not count.
    wait.start(&[], S1 * 5, true).await.unwrap();
    assert_eq!(wait.find_sent(&prepared).await.unwrap(), SentState::NotSent);
    let mut tracked = wait.send(&prepared).await.unwrap();
    assert_eq!(wait.find_sent(&prepared).await.unwrap(), SentState::Sent);
    assert_eq!(tracked.wait(S1 * 5, true).await.unwrap().ack, AckCode::Complete);
    // Once the records of that time have expired nobody can know.
    let later = s.control.records(&prepared.topic).last().unwrap().offset + 1;
    s.control.expire(&prepared.topic, 0, later);
    wait.start(&[], S1 * 5, true).await.unwrap();
    assert_eq!(wait.find_sent(&prepared).await.unwrap(), SentState::Unknown);
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_process_adopts_a_command_that_ended_while_it_was_down() {
    let s = setup().await;
    s.bench.go_to(S::Enabled).await;
    let first =
        Remote::open(&s.bench.bus.domain(20), test_component(), 7, RemoteOptions::default()).await.unwrap();
    let wait = first.command("wait").unwrap();
    let prepared = wait.prepare(&[("duration", 2.0.into())]).await.unwrap();
    drop(wait.send(&prepared).await.unwrap());
    first.close().await; // dies before any acknowledgement
    s.bench.bus.clock.sleep(S1 * 5).await; // it ends meanwhile

    let second =
        Remote::open(&s.bench.bus.domain(21), test_component(), 7, RemoteOptions::default()).await.unwrap();
    let mut adopted = second.adopt(&prepared).await.unwrap();
    let ack = adopted.next().await.unwrap();
    assert_eq!((ack.ack, ack.timeout), (AckCode::InProgress, 2.0));
    let ack = adopted.next().await.unwrap();
    assert_eq!((ack.ack, ack.origin, ack.seq_num), (AckCode::Complete, prepared.origin, prepared.seq_num));
    assert!(adopted.next().await.is_none());
    second.close().await;
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_new_process_adopts_a_command_that_still_runs() {
    let s = setup().await;
    s.bench.go_to(S::Enabled).await;
    let first =
        Remote::open(&s.bench.bus.domain(20), test_component(), 7, RemoteOptions::default()).await.unwrap();
    let wait = first.command("wait").unwrap();
    let prepared = wait.prepare(&[("duration", 10.0.into())]).await.unwrap();
    drop(wait.send(&prepared).await.unwrap());
    first.close().await;
    let second =
        Remote::open(&s.bench.bus.domain(21), test_component(), 7, RemoteOptions::default()).await.unwrap();
    let mut adopted = second.adopt(&prepared).await.unwrap();
    let ack = adopted.wait(S1 * 5, true).await.unwrap();
    assert_eq!(ack.ack, AckCode::Complete, "the in-progress acknowledgement extends the limit");
    second.close().await;
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_of_a_prepared_command_is_told() {
    let s = setup().await;
    s.bench.go_to(S::Enabled).await;
    let wait = s.bench.remote.command("wait").unwrap();
    let prepared = wait.prepare(&[]).await.unwrap();
    s.control.fail_writes(1);
    assert!(wait.send(&prepared).await.is_err());
    assert_eq!(wait.find_sent(&prepared).await.unwrap(), SentState::NotSent);
    let mut tracked = wait.send(&prepared).await.unwrap();
    assert_eq!(tracked.wait(S1 * 5, true).await.unwrap().ack, AckCode::Complete);
    s.bench.close().await;
}
