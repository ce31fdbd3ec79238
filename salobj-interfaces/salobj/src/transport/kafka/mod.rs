//! Kafka through librdkafka, with a schema registry over HTTP.
//!
//! ```text
//!  KafkaTransport ── admin client: topics, metadata, watermarks
//!       ├─ writer ── one producer for each; delivery reports come back by channel
//!       └─ reader ── one thread with one consumer ──bounded channel──► Reader
//! ```
//! Producers never use transactions and consumers never commit: positions belong to the caller.

mod admin;
mod context;
mod offsets;
mod partitions;
mod poll;
mod reader;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::admin::AdminClient;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;

use self::context::Context;
use super::{Reader, StartAt, TopicSpec, Transport, TransportError, Writer, WriterKind};
use crate::env::{Env, Properties};
use crate::registry::RegistryClient;
use crate::tai::Clock;

/// Time limit of one metadata or watermark request.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// Makes a topic by other means than a CreateTopics request.
pub type TopicMaker = dyn Fn(&TopicSpec) -> Result<(), TransportError> + Send + Sync;

/// How consumers get their partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Membership {
    /// As member of a consumer group, as salobj: the group is visible to operators and deleted on close.
    #[default]
    Group,
    /// By looking at the metadata; no group. For brokers that make a new group wait for seconds.
    Assigned,
}

/// What the broker cannot do, or should not be asked for.
#[derive(Clone)]
pub struct KafkaOptions {
    /// Where times come from; a scaled clock also sets the record timestamps.
    pub clock: Clock,
    /// How consumers get their partitions.
    pub membership: Membership,
    /// Whether the broker can look up an offset by time; otherwise readers start at the beginning and skip.
    pub time_lookup: bool,
    /// Makes topics if the broker cannot be asked for it. Such a broker is not asked to delete groups either (the
    /// client library does not survive the refusal).
    pub topic_maker: Option<Arc<TopicMaker>>,
}

impl Default for KafkaOptions {
    fn default() -> KafkaOptions {
        KafkaOptions {
            clock: Clock::System,
            membership: Membership::Group,
            time_lookup: true,
            topic_maker: None,
        }
    }
}

impl std::fmt::Debug for KafkaOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaOptions")
            .field("clock", &self.clock)
            .field("membership", &self.membership)
            .field("time_lookup", &self.time_lookup)
            .field("topic_maker", &self.topic_maker.is_some())
            .finish()
    }
}

/// Kafka with a schema registry. Clones share the admin client and the schema cache.
#[derive(Clone)]
pub struct KafkaTransport {
    env: Arc<Env>,
    options: KafkaOptions,
    admin: Arc<AdminClient<Context>>,
    registry: RegistryClient,
}

impl std::fmt::Debug for KafkaTransport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaTransport")
            .field("env", &self.env)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl KafkaTransport {
    /// A transport for the broker and the registry of the environment. Nothing is contacted yet; an error is one of
    /// the configuration (an unknown property, a bad URL).
    pub fn new(env: &Env, options: KafkaOptions) -> Result<KafkaTransport, TransportError> {
        let registry = RegistryClient::new(&env.schema_registry_url)?;
        let admin = config(&env.admin_properties())
            .create_with_context(Context::new("admin"))
            .map_err(|e| refused("configure the admin client", &e))?;
        Ok(KafkaTransport { env: Arc::new(env.clone()), options, admin: Arc::new(admin), registry })
    }

    /// The schema registry.
    pub fn registry(&self) -> &RegistryClient {
        &self.registry
    }

    /// Runs a blocking request of the admin client on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        attempt: String,
        work: impl FnOnce(&AdminClient<Context>) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, TransportError> {
        let admin = Arc::clone(&self.admin);
        match tokio::task::spawn_blocking(move || work(&admin)).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(unavailable(attempt, &error)),
            Err(error) => Err(TransportError::unavailable(attempt, error)),
        }
    }
}

#[async_trait]
impl Transport for KafkaTransport {
    async fn create_topics(&self, topics: &[TopicSpec]) -> Result<(), TransportError> {
        admin::create_topics(self, topics).await
    }

    async fn list_topics(&self) -> Result<Vec<String>, TransportError> {
        admin::list_topics(self).await
    }

    async fn register_schema(&self, subject: &str, schema: &str) -> Result<u32, TransportError> {
        self.registry.register(subject, schema).await
    }

    async fn schema_by_id(&self, id: u32) -> Result<Arc<str>, TransportError> {
        self.registry.schema(id).await
    }

    async fn latest_schema(&self, subject: &str) -> Result<Option<(u32, Arc<str>)>, TransportError> {
        self.registry.latest(subject).await
    }

    fn writer(&self, kind: WriterKind) -> Result<Arc<dyn Writer>, TransportError> {
        Ok(Arc::new(writer::KafkaWriter::new(&self.env, kind, self.options.clock.clone())?))
    }

    async fn reader(
        &self,
        group: &str,
        topics: &[(String, StartAt)],
    ) -> Result<Box<dyn Reader>, TransportError> {
        let reader = reader::KafkaReader::new(self, group, topics)?;
        Ok(Box::new(reader))
    }

    async fn watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64), TransportError> {
        let name = topic.to_owned();
        self.blocking(format!("watermarks of {topic}[{partition}]"), move |admin| {
            admin.inner().fetch_watermarks(&name, partition, REQUEST_LIMIT)
        })
        .await
    }
}

/// A client configuration of these properties.
fn config(properties: &Properties) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (key, value) in properties {
        config.set(key, value);
    }
    config
}

fn refused(attempt: &str, error: &KafkaError) -> TransportError {
    TransportError::refused(attempt, error)
}

fn unavailable(attempt: String, error: &KafkaError) -> TransportError {
    TransportError::unavailable(attempt, error)
}
