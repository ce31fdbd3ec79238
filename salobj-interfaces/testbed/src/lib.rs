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

use salobj::transport::TransportError;
use salobj::transport::kafka::{KafkaOptions, KafkaTransport, Membership};
use salobj::{Clock, Env};

pub use bench::{Bus, CscBench};
pub use broker::MockBroker;
pub use registry::RegistryServer;
pub use test_csc::TestCsc;

/// A broker and a registry; both stop when this is dropped.
pub struct Testbed {
    broker: Arc<MockBroker>,
    registry: RegistryServer,
    env: Env,
    transport: Arc<KafkaTransport>,
}

impl Testbed {
    /// Starts both, with the system's clock.
    pub async fn start() -> Result<Testbed, TransportError> {
        Testbed::start_with(Clock::System).await
    }

    /// Starts both; record timestamps come from this clock.
    pub async fn start_with(clock: Clock) -> Result<Testbed, TransportError> {
        let broker = Arc::new(MockBroker::start()?);
        let registry = RegistryServer::start().await?;
        let subname = format!("test_{}", std::process::id());
        let env = Env::from_vars([
            ("LSST_TOPIC_SUBNAME".to_owned(), subname),
            ("LSST_KAFKA_BROKER_ADDR".to_owned(), broker.address().to_owned()),
            ("LSST_SCHEMA_REGISTRY_URL".to_owned(), registry.url().to_owned()),
        ])
        .map_err(|e| TransportError::refused("environment of the test bed", e))?;
        let transport = Arc::new(KafkaTransport::new(&env, Testbed::options_for(&broker, clock))?);
        Ok(Testbed { broker, registry, env, transport })
    }

    /// Options of a transport for this broker, with another clock or another way to get partitions.
    pub fn options(&self, clock: Clock) -> KafkaOptions {
        Testbed::options_for(&self.broker, clock)
    }

    fn options_for(broker: &Arc<MockBroker>, clock: Clock) -> KafkaOptions {
        let maker = Arc::clone(broker);
        KafkaOptions {
            clock,
            membership: Membership::Assigned,
            time_lookup: false,
            topic_maker: Some(Arc::new(move |spec| maker.create_topic(&spec.name, 1))),
        }
    }

    /// The environment that leads to this broker and registry.
    pub fn env(&self) -> &Env {
        &self.env
    }

    /// Address of the broker.
    pub fn broker_address(&self) -> &str {
        self.broker.address()
    }

    /// URL of the registry.
    pub fn registry_url(&self) -> &str {
        self.registry.url()
    }

    /// The broker's handle.
    pub fn broker(&self) -> &MockBroker {
        &self.broker
    }

    /// The registry's handle.
    pub fn registry(&self) -> &RegistryServer {
        &self.registry
    }

    /// A Kafka transport to both.
    pub fn transport(&self) -> Arc<KafkaTransport> {
        Arc::clone(&self.transport)
    }
}
