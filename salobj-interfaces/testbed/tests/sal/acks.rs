//! Which acknowledgements belong to a command.

use std::time::Duration;

use salobj::SummaryState as S;
use salobj::{AckCode, Value};

use crate::support::{forge, setup};

const S1: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn acks_for_others_are_ignored_and_cmd_ack_is_accepted() {
    let s = setup().await;
    s.bench.go_to(S::Enabled).await;
    let wait = s.bench.remote.command("wait").unwrap();
    let mut tracked = wait.start_tracked(&[("duration", (-2.0).into())]).await.unwrap();
    let identity = s.bench.remote.identity().to_owned();
    let origin = i64::from(std::process::id()) + 1;
    let ack = |index: i64, code: i64, seq: i64, identity: &str, origin: i64| {
        let fields: [(&str, Value); 5] = [
            ("salIndex", index.into()),
            ("ack", code.into()),
            ("private_seqNum", seq.into()),
            ("identity", identity.into()),
            ("origin", origin.into()),
        ];
        forge(&s.control, "ackcmd", &fields);
    };
    let n = tracked.seq_num();
    ack(7, 303, n + 1, &identity, origin);
    ack(7, 303, n, "somebody@else", origin);
    ack(7, 303, n, &identity, origin + 1);
    ack(8, 303, n, &identity, origin);
    ack(7, 300, n, &identity, origin);
    let first = tracked.next().await.unwrap();
    assert_eq!(first.ack, AckCode::Ack);
    let last = tracked.wait(S1 * 10, true).await.unwrap();
    assert_eq!((last.ack, last.result.as_str()), (AckCode::Complete, "Done"));
    s.bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn cmdtype_is_the_place_among_all_topics() {
    let s = setup().await;
    s.bench.go_to(S::Enabled).await;
    let component = crate::support::test_component();
    let mut names: Vec<&str> = component.topics.iter().map(|t| t.sal_name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names.iter().position(|n| *n == "command_start"), Some(10));
    let topic = component.topic("ackcmd").unwrap();
    let decoder = salobj::wire::Decoder::new(topic.clone(), &topic.schema_compact).unwrap();
    let at = |name: &str| topic.fields.iter().position(|f| f.name == name).unwrap();
    let types: Vec<Value> = s
        .control
        .records("lsst.test_bench.Test.ackcmd")
        .iter()
        .map(|r| decoder.decode_framed(r.value.as_deref().unwrap()).unwrap()[at("cmdtype")].clone())
        .collect();
    assert_eq!(types, [Value::Int(10), Value::Int(3)], "start, enable");
    s.bench.close().await;
}
