//! SAL on servers that speak Kafka and HTTP over sockets: the embedded ones, or the real ones that the environment names
//! (`scripts/check.sh --real`).

use std::collections::BTreeSet;
use std::sync::Arc;

use salobj::csc::CscOptions;
use salobj::transport::Transport as _;
use salobj::{Clock, Env};
use salobj_testbed::test_csc::INIT_YAML;
use salobj_testbed::{Bus, CscBench, TestCsc, Testbed};

#[tokio::test(flavor = "multi_thread")]
async fn many_register_the_same_schemas_at_once() {
    let servers = Testbed::for_tests().await.unwrap();
    let bus = servers.transport();
    let library = sal_idl::Library::embedded();
    let component = library.component("Test").unwrap();
    let work = component.topics.iter().flat_map(|topic| std::iter::repeat_n(topic.clone(), 4)).map(|topic| {
        let subject = subject(&servers, &topic.sal_name);
        let bus = bus.clone();
        tokio::spawn(async move {
            let id = bus.register_schema(&subject, &topic.schema_compact).await.unwrap();
            (subject, id, topic)
        })
    });
    let work: Vec<_> = work.collect();
    let mut ids = BTreeSet::new();
    for one in work {
        let (subject, id, topic) = one.await.unwrap();
        ids.insert((subject.clone(), id));
        let text = bus.schema_by_id(id).await.unwrap();
        let same = |a: &str, b: &str| {
            let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
            parse(a) == parse(b)
        };
        assert!(same(&text, &topic.schema_compact), "{subject}");
        let (latest, _) = bus.latest_schema(&subject).await.unwrap().expect("it was registered");
        assert_eq!(latest, id);
    }
    assert_eq!(ids.len(), component.topics.len(), "one id for each subject: {ids:?}");
    assert_eq!(bus.latest_schema(&subject(&servers, "nobody")).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_csc_goes_through_all_its_states() {
    let servers = Testbed::for_tests().await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("_init.yaml"), INIT_YAML).unwrap();
    let options = CscOptions { config_dir: Some(dir.path().to_owned()), ..CscOptions::new(7) };
    let csc = Arc::new(TestCsc::default());
    let env = Env { site: Some("test".to_owned()), ..servers.env().clone() };
    let bus = Bus { transport: servers.transport(), clock: Clock::System, env };
    let bench = CscBench::start(&bus, TestCsc::spec().unwrap(), options, csc).await;
    bench.check_standard_state_transitions(&["setScalars", "setArrays", "wait"], &["fault"]).await;
    bench.close().await;
}

fn subject(servers: &Testbed, sal_name: &str) -> String {
    sal_idl::names::subject(&sal_idl::names::kafka_topic(&servers.env().topic_subname, "Test", sal_name))
}
