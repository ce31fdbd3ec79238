//! What a test of a SAL component needs around it, in this process: librdkafka's mock broker, a small
//! Confluent-compatible schema registry, a bench for CSCs, and the CSC that SAL tests itself with.
//!
//! ```no_run
//! # async fn example() -> Result<(), salobj::transport::TransportError> {
//! let bed = salobj_testbed::Testbed::start().await?;
//! let transport = bed.transport(); // a ready Kafka transport
//! # drop(transport); Ok(()) }
//! ```
//! What the mock broker does not have is made up for: topics are made through its handle, look-up by time is
//! reading from the start, consumers take their partitions without a group (a new group would wait 3 s). It keeps 5 MB
//! of each partition, and does not compact.

pub mod bench;
mod broker;
pub mod registry;
pub mod test_csc;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use salobj::transport::TransportError;
use salobj::transport::kafka::{KafkaOptions, KafkaTransport, Membership};
use salobj::{Clock, Env};

pub use bench::{Bus, CscBench};
pub use broker::MockBroker;
pub use registry::RegistryServer;
pub use test_csc::TestCsc;

/// Environment variables that name real servers for [`Testbed::for_tests`]: `host:port`, and the registry's URL.
pub const REAL_BROKER: &str = "CATCHER_TEST_KAFKA_BROKER";
/// See [`REAL_BROKER`].
pub const REAL_REGISTRY: &str = "CATCHER_TEST_REGISTRY_URL";

/// A broker and a registry, embedded (both stop when this is dropped) or real.
pub struct Testbed {
    embedded: Option<(Arc<MockBroker>, RegistryServer)>,
    env: Env,
    options: KafkaOptions,
    transport: Arc<KafkaTransport>,
}

impl Testbed {
    /// Starts the embedded servers, with the system's clock.
    pub async fn start() -> Result<Testbed, TransportError> {
        Testbed::start_with(Clock::System).await
    }

    /// Starts the embedded servers; record timestamps come from this clock.
    pub async fn start_with(clock: Clock) -> Result<Testbed, TransportError> {
        let broker = Arc::new(MockBroker::start()?);
        let registry = RegistryServer::start().await?;
        let mut env = env(broker.address(), registry.url())?;
        // The mock broker answers an empty fetch only when this time is over, also if a record came meanwhile.
        env.consumer_config.insert("fetch.wait.max.ms".to_owned(), "10".to_owned());
        let maker = Arc::clone(&broker);
        let options = KafkaOptions {
            clock,
            membership: Membership::Assigned,
            time_lookup: false,
            topic_maker: Some(Arc::new(move |spec| maker.create_topic(&spec.name, 1))),
        };
        Testbed::connect(Some((broker, registry)), env, options)
    }

    /// The real servers that the environment names, or else the embedded ones: one test for both. Topic names begin
    /// with a subname of their own.
    pub async fn for_tests() -> Result<Testbed, TransportError> {
        match (std::env::var(REAL_BROKER), std::env::var(REAL_REGISTRY)) {
            (Ok(broker), Ok(registry)) => {
                Testbed::connect(None, env(&broker, &registry)?, KafkaOptions::default())
            }
            _ => Testbed::start().await,
        }
    }

    fn connect(
        embedded: Option<(Arc<MockBroker>, RegistryServer)>,
        env: Env,
        options: KafkaOptions,
    ) -> Result<Testbed, TransportError> {
        let transport = Arc::new(KafkaTransport::new(&env, options.clone())?);
        Ok(Testbed { embedded, env, options, transport })
    }

    /// Options of the transport: a start for others with another clock or another way to get partitions.
    pub fn options(&self) -> KafkaOptions {
        self.options.clone()
    }

    /// The environment that leads to these servers, with a subname that no other test has.
    pub fn env(&self) -> &Env {
        &self.env
    }

    /// Address of the broker.
    pub fn broker_address(&self) -> &str {
        &self.env.broker_addr
    }

    /// URL of the registry.
    pub fn registry_url(&self) -> &str {
        self.env.schema_registry_url.expose()
    }

    /// The embedded broker's handle.
    pub fn broker(&self) -> Option<&MockBroker> {
        self.embedded.as_ref().map(|e| &*e.0)
    }

    /// The embedded registry's handle.
    pub fn registry(&self) -> Option<&RegistryServer> {
        self.embedded.as_ref().map(|e| &e.1)
    }

    /// A Kafka transport to both.
    pub fn transport(&self) -> Arc<KafkaTransport> {
        Arc::clone(&self.transport)
    }
}

/// An environment with a new subname.
fn env(broker: &str, registry: &str) -> Result<Env, TransportError> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let millis = Clock::System.now().utc_ms();
    let subname = format!("test_{}_{millis}_{count}", std::process::id());
    Env::from_vars([
        ("LSST_TOPIC_SUBNAME".to_owned(), subname),
        ("LSST_KAFKA_BROKER_ADDR".to_owned(), broker.to_owned()),
        ("LSST_SCHEMA_REGISTRY_URL".to_owned(), registry.to_owned()),
    ])
    .map_err(|e| TransportError::refused("environment of the test bed", e))
}
