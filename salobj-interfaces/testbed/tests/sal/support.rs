//! What the tests share: a Test CSC with a configuration directory, and records made by hand.

use std::sync::Arc;

use sal_idl::{Component, Library, Topic, names};
use salobj::Value;
use salobj::csc::{CscOptions, CscSpec};
use salobj::transport::memory::MemoryControl;
use salobj::wire::{self, Encoder};
use salobj_testbed::test_csc::INIT_YAML;
use salobj_testbed::{Bus, CscBench, TestCsc};
use tracing_subscriber::layer::SubscriberExt as _;

/// A running Test CSC with index 7.
pub(crate) struct Setup {
    pub(crate) bench: CscBench,
    pub(crate) csc: Arc<TestCsc>,
    pub(crate) control: MemoryControl,
    pub(crate) dir: tempfile::TempDir,
}

pub(crate) fn config_dir() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("_init.yaml"), INIT_YAML).unwrap();
    dir
}

pub(crate) fn spec() -> CscSpec {
    TestCsc::spec().unwrap()
}

pub(crate) fn test_component() -> Arc<Component> {
    Library::embedded().component("Test").unwrap()
}

pub(crate) fn options(dir: &tempfile::TempDir, index: i32) -> CscOptions {
    CscOptions { config_dir: Some(dir.path().to_owned()), ..CscOptions::new(index) }
}

/// Installs the log layer for the whole test process; records are told apart by the CSC's name and index.
pub(crate) fn log_to_sal() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::registry().with(salobj::log::layer());
        tracing::subscriber::set_global_default(subscriber).expect("nobody else sets one");
    });
}

pub(crate) async fn setup() -> Setup {
    setup_index(7).await
}

pub(crate) async fn setup_index(index: i32) -> Setup {
    log_to_sal();
    let (bus, control) = Bus::memory();
    let dir = config_dir();
    let csc = Arc::new(TestCsc::default());
    let bench = CscBench::start(&bus, spec(), options(&dir, index), csc.clone()).await;
    Setup { bench, csc, control, dir }
}

pub(crate) fn kafka_topic(topic: &Topic) -> String {
    names::kafka_topic("test_bench", &topic.component, &topic.sal_name)
}

/// The bytes of a record with these fields, others at their defaults, under the topic's registered schema.
pub(crate) fn record(control: &MemoryControl, topic: &Arc<Topic>, fields: &[(&str, Value)]) -> Vec<u8> {
    let mut values: Vec<Value> = topic.fields.iter().map(wire::default_value).collect();
    for (name, value) in fields {
        let at =
            topic.fields.iter().position(|f| f.name == *name).unwrap_or_else(|| panic!("no field {name}"));
        values[at] = value.clone();
    }
    let subject = names::subject(&kafka_topic(topic));
    let id = control.with_schemas(|s| s.latest(&subject).map(|v| v.id)).expect("registered");
    Encoder::new(topic.clone()).unwrap().encode(id, &values).unwrap()
}

/// Puts a record on the bus as another writer would.
pub(crate) fn forge(control: &MemoryControl, sal_name: &str, fields: &[(&str, Value)]) {
    let component = test_component();
    let topic = component.topic(sal_name).unwrap();
    let value = record(control, topic, fields);
    control.append(&kafka_topic(topic), 0, Some(Vec::new()), Some(value)).expect("the topic exists");
}
