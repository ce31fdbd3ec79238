//! The Catcher on the mock broker: this test program, started once more. On a real broker it is the program itself.

use std::net::SocketAddr;
use std::sync::Arc;

use catcher::app;
use salobj::csc::CscOptions;
use salobj::transport::kafka::{KafkaOptions, KafkaTransport, Membership};
use salobj::{Clock, Domain, Env, SummaryState};

use crate::bus;

/// Environment variables of that process: the door for topics, its folder, and whether it is to go to ENABLED.
pub(crate) const DOOR: &str = "CATCHER_KILL_DOOR";
/// See [`DOOR`].
pub(crate) const FOLDER: &str = "CATCHER_KILL_FOLDER";
/// See [`DOOR`].
pub(crate) const ENABLE: &str = "CATCHER_KILL_ENABLE";

/// Does nothing among the other tests: only with those variables it is the Catcher.
#[tokio::test(flavor = "multi_thread")]
async fn the_catcher_itself() {
    let Ok(door) = std::env::var(DOOR) else { return };
    let door: SocketAddr = door.parse().expect("the address of the door");
    let folder = std::path::PathBuf::from(std::env::var_os(FOLDER).expect("its folder"));
    catcher::telemetry::init("info", salobj::log::layer());
    let mut env = Env::from_process().expect("the environment is right");
    // The mock broker answers an empty fetch only when this time is over, also if a record came meanwhile.
    env.consumer_config.insert("fetch.wait.max.ms".to_owned(), "10".to_owned());
    let kafka = KafkaOptions {
        clock: Clock::System,
        membership: Membership::Assigned,
        time_lookup: false,
        topic_maker: Some(Arc::new(move |topic| bus::ask(door, topic))),
    };
    let transport = KafkaTransport::new(&env, kafka).expect("a transport");
    let domain = Domain::new(Arc::new(transport), Clock::System, env);
    let csc = CscOptions {
        initial_state: std::env::var_os(ENABLE).map(|_| SummaryState::Enabled),
        config_dir: Some(folder.join("config")),
        ..CscOptions::new(1)
    };
    let options = app::Options {
        csc,
        data_dir: folder.join("data"),
        http: SocketAddr::from(([127, 0, 0, 1], 0)),
        secrets: Arc::new(|name| std::env::var(name).ok()),
        record: None,
    };
    let mut running = app::start(&domain, sal_idl::Library::embedded(), options).await.expect("it starts");
    running.wait_done().await;
}
