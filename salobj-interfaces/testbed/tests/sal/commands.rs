//! Commands: acknowledgements, in-progress, parallel and serial, the index filter, what is ignored.

use std::time::Duration;

use salobj::SummaryState as S;
use salobj::controller::COMMAND_QUEUE_LENGTH;
use salobj::{AckCode, AckError, Remote, RemoteOptions, Value};

use crate::support::{forge, kafka_topic, setup, test_component};

const S1: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn scalars_go_to_event_and_telemetry() {
    let s = setup().await;
    s.bench.go_to(S::Enabled).await;
    let fields: [(&str, Value); 5] = [
        ("boolean0", true.into()),
        ("int0", (-5).into()),
        ("longLong0", (1_i64 << 40).into()),
        ("double0", f64::NAN.into()),
        ("string0", "grüße".into()),
    ];
    let ack = s.bench.command_ok("setScalars", &fields).await;
    assert_eq!((ack.ack, ack.error, ack.result.as_str(), ack.timeout), (AckCode::Complete, 0, "Done", 0.0));
    let event = s.bench.next("scalars", false).await;
    let telemetry = s.bench.remote.telemetry("scalars").unwrap().next(false, Some(S1)).await.unwrap();
    for sample in [&event, &telemetry] {
        assert_eq!(sample.str("string0"), "grüße");
        assert_eq!(sample.i64("longLong0"), 1 << 40);
        assert!(sample.f64("double0").is_nan() && sample.bool("boolean0"));
        assert_eq!(sample.identity(), "Test:7");
        assert_eq!(sample.sal_index(), 7);
        assert_eq!(sample.str("private_revCode"), sample.topic.rev_code);
        assert_eq!(sample.sent().0 - sample.f64("private_efdStamp"), 37.0);
        assert_eq!(sample.f64("private_kafkaStamp"), sample.sent().0);
        assert_eq!(sample.f64("private_rcvStamp"), sample.received.0);
    }
    s.bench.command_ok("setScalars", &fields).await;
    s.bench.remote.telemetry("scalars").unwrap().next(false, Some(S1)).await.unwrap();
    assert!(
        s.bench.remote.event("scalars").unwrap().next(false, Some(S1)).await.is_err(),
        "unchanged, NaN too"
    );
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn unknown_fields_and_bad_values_are_refused_before_sending() {
    let s = setup().await;
    let before = s.control.records("lsst.test_bench.Test.command_setScalars").len();
    let send = async |fields: &[(&str, Value)]| match s.bench.command("setScalars", fields).await {
        Err(AckError::Sal(e)) => e.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(send(&[("nosuch", 1.into())]).await, "cmd_setScalars has no fields ['nosuch']");
    assert!(send(&[("int0", (1_i64 << 40).into())]).await.starts_with("cmd_setScalars.int0: "));
    assert!(send(&[("private_origin", 1.into())]).await.contains("has no fields"));
    assert_eq!(s.control.records("lsst.test_bench.Test.command_setScalars").len(), before);
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn in_progress_extends_the_time_limit() {
    let s = setup().await;
    s.bench.go_to(S::Enabled).await;
    let wait = s.bench.remote.command("wait").unwrap();
    // One second allowed, two more by CMD_INPROGRESS, two needed.
    wait.start(&[("duration", 2.0.into())], S1, true).await.unwrap();
    // No CMD_INPROGRESS: the limit holds; the command goes on, and its late ack is ignored.
    let e = wait.start(&[("duration", (-2.0).into())], S1, true).await.unwrap_err();
    let AckError::Timeout(ack) = &e else { panic!("{e}") };
    assert_eq!((ack.ack, ack.result.as_str()), (AckCode::NoAck, "No command acknowledgement seen"));
    assert!(
        e.to_string().starts_with(
            "msg='Timed out waiting for command acknowledgement', ackcmd=(ackcmd private_seqNum="
        )
    );
    s.bench.bus.clock.sleep(S1 * 3).await;
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn without_wait_done_the_first_ack_returns_and_the_last_is_not_lost() {
    let s = setup().await;
    s.bench.go_to(S::Enabled).await;
    let wait = s.bench.remote.command("wait").unwrap();
    let first = wait.start(&[("duration", 1.0.into())], S1 * 5, false).await.unwrap();
    assert_eq!((first.ack, first.timeout), (AckCode::InProgress, 1.0));
    s.bench.bus.clock.sleep(S1 * 3).await; // the final one has come meanwhile
    let last = wait.next_ackcmd(&first, S1, true).await.unwrap();
    assert_eq!(last.ack, AckCode::Complete);
    assert_eq!(last.seq_num, first.seq_num);
    let e = wait.next_ackcmd(&first, S1, true).await.unwrap_err();
    assert_eq!(e.to_string(), format!("Command private_seqNum={} is unknown or finished", first.seq_num));
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn waits_run_in_parallel_and_other_commands_one_by_one() {
    let s = setup().await;
    s.bench.go_to(S::Enabled).await;
    let clock = s.bench.bus.clock.clone();
    let start = clock.now();
    let wait = s.bench.remote.command("wait").unwrap();
    let fields = [("duration", Value::from(1.0))];
    let all = futures::future::join_all((0..3).map(|_| wait.start(&fields, S1 * 10, true))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    let took = clock.now() - start;
    assert!((1.0..1.5).contains(&took), "{took}");
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn index_zero_is_no_broadcast_but_a_remote_of_all_can_name_one() {
    let s = setup().await;
    s.bench.go_to(S::Enabled).await;
    let all =
        Remote::open(&s.bench.bus.domain(2), test_component(), 0, RemoteOptions::default()).await.unwrap();
    let wait = all.command("wait").unwrap();
    let e = wait.start(&[], S1 * 2, true).await.unwrap_err();
    assert!(matches!(e, AckError::Timeout(_)), "{e}");
    let e = wait.start(&[("salIndex", 8.into())], S1 * 2, true).await.unwrap_err();
    assert!(matches!(e, AckError::Timeout(_)), "{e}");
    let ack = wait.start(&[("salIndex", 7.into())], S1 * 2, true).await.unwrap();
    assert_eq!(ack.sal_index, 7);
    let records = s.control.records("lsst.test_bench.Test.command_wait");
    let key = String::from_utf8(records.last().unwrap().key.clone().unwrap()).unwrap();
    assert_eq!(key, r#"{ "name": "Test", "index": 0, "topic": "command_wait" }"#);
    all.close().await;
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_command_without_a_number_is_ignored_and_the_csc_lives_on() {
    let s = setup().await;
    s.bench.go_to(S::Enabled).await;
    for number in [0, -3] {
        forge(&s.control, "command_wait", &[("salIndex", 7.into()), ("private_seqNum", number.into())]);
    }
    s.bench.command_ok("wait", &[]).await;
    let acks = s.control.records("lsst.test_bench.Test.ackcmd");
    s.bench.command_ok("wait", &[]).await;
    assert_eq!(
        s.control.records("lsst.test_bench.Test.ackcmd").len(),
        acks.len() + 2,
        "in progress and done"
    );
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn poison_on_a_command_topic_is_skipped() {
    let s = setup().await;
    s.bench.go_to(S::Enabled).await;
    let topic = kafka_topic(test_component().topic("cmd_wait").unwrap());
    for value in
        [None, Some(vec![]), Some(vec![0, 0, 0, 0]), Some(vec![0, 0, 0, 0, 1, 0xff]), Some(b"hello".to_vec())]
    {
        s.control.append(&topic, 0, None, value);
    }
    s.control.append(&topic, 0, None, Some([&[0, 0, 1, 0, 0][..], &[0; 40]].concat()));
    s.bench.command_ok("wait", &[]).await;
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn too_many_commands_are_answered_not_dropped() {
    let s = setup().await;
    s.bench.go_to(S::Enabled).await;
    // 100 run in parallel, 100 wait in the queue, one more is on its way between; the rest is refused.
    let wait = s.bench.remote.command("wait").unwrap();
    let fields = [("duration", Value::from(-5.0))];
    let count = 2 * COMMAND_QUEUE_LENGTH + 10;
    let all = futures::future::join_all((0..count).map(|_| wait.start(&fields, S1 * 60, true))).await;
    let refused: Vec<_> = all.iter().filter_map(|r| r.as_ref().err()).map(|e| e.ack().unwrap()).collect();
    assert!(!refused.is_empty() && refused.len() < count - COMMAND_QUEUE_LENGTH, "{}", refused.len());
    for ack in refused {
        assert_eq!(ack.ack, AckCode::Failed);
        assert_eq!(ack.result, "Failed: 100 wait commands wait already; send it again later");
    }
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn running_commands_are_aborted_when_the_csc_closes() {
    let s = setup().await;
    s.bench.go_to(S::Enabled).await;
    let wait = s.bench.remote.command("wait").unwrap();
    let mut tracked = wait.start_tracked(&[("duration", 100.0.into())]).await.unwrap();
    assert_eq!(tracked.next().await.unwrap().ack, AckCode::InProgress);
    s.bench.csc.close().await;
    let last = tracked.next().await.unwrap();
    assert_eq!((last.ack, last.error, last.result.as_str()), (AckCode::Aborted, 1, "Aborted"));
    assert!(tracked.next().await.is_none());
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn sequence_numbers_lie_in_the_commands_range_and_grow() {
    let s = setup().await;
    s.bench.go_to(S::Enabled).await;
    let one = s.bench.command_ok("wait", &[]).await.seq_num;
    let two = s.bench.command_ok("wait", &[]).await.seq_num;
    assert_eq!(two, one + 1);
    assert!((1_932_735_277..=2_147_483_640).contains(&one), "{one}");
    s.bench.close().await;
}
