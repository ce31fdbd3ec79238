//! Producers.

use std::time::Duration;

use async_trait::async_trait;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use tokio::sync::oneshot;

use super::context::{Context, Waiter};
use super::{config, refused};
use crate::env::Env;
use crate::tai::Clock;
use crate::transport::{Delivery, TransportError, Writer, WriterKind};

/// How long a durable record may be on its way; then its fate is unknown and said to be.
const DURABLE_LIMIT_MS: &str = "30000";
/// Time limit of the metadata request of one topic.
const WARM_UP_LIMIT: Duration = Duration::from_secs(1);

/// One producer.
pub(super) struct KafkaWriter {
    producer: ThreadedProducer<Context>,
    clock: Clock,
}

impl KafkaWriter {
    pub(super) fn new(env: &Env, kind: WriterKind, clock: Clock) -> Result<KafkaWriter, TransportError> {
        let mut properties = env.producer_properties();
        // Without this, a retry could overtake: readers drop records that are older than the last one.
        properties.entry("max.in.flight".to_owned()).or_insert_with(|| "1".to_owned());
        if kind == WriterKind::Durable {
            let durable =
                [("enable.idempotence", "true"), ("acks", "all"), ("message.timeout.ms", DURABLE_LIMIT_MS)];
            properties.retain(|k, _| k != "request.required.acks" && k != "delivery.timeout.ms");
            properties.extend(durable.map(|(k, v)| (k.to_owned(), v.to_owned())));
        }
        let producer = config(&properties)
            .create_with_context(Context::new("producer"))
            .map_err(|e| refused("configure a producer", &e))?;
        Ok(KafkaWriter { producer, clock })
    }

    fn enqueue(&self, topic: &str, key: &[u8], value: &[u8], waiter: Waiter) -> Result<(), TransportError> {
        let mut record = BaseRecord::with_opaque_to(topic, Box::new(waiter)).key(key).payload(value);
        if self.clock.is_scaled() {
            record = record.timestamp(self.clock.now().utc_ms());
        }
        self.producer.send(record).map_err(|(error, _)| {
            let attempt = format!("write to {topic}");
            match error {
                KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => {
                    TransportError::unavailable(attempt, "the producer's queue is full")
                }
                error => TransportError::refused(attempt, error),
            }
        })
    }

    /// Runs a blocking call of the producer on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ThreadedProducer<Context>) -> T + Send + 'static,
    ) -> Option<T> {
        let producer = self.producer.clone();
        tokio::task::spawn_blocking(move || work(&producer)).await.ok()
    }
}

#[async_trait]
impl Writer for KafkaWriter {
    async fn write(&self, topic: &str, key: Vec<u8>, value: Vec<u8>) -> Result<Delivery, TransportError> {
        let (report, delivered) = oneshot::channel();
        self.enqueue(topic, &key, &value, Some(report))?;
        let lost = |_| TransportError::unavailable(format!("write to {topic}"), "the producer was closed");
        delivered.await.map_err(lost)?
    }

    fn send(&self, topic: &str, key: Vec<u8>, value: Vec<u8>) -> Result<(), TransportError> {
        self.enqueue(topic, &key, &value, None)
    }

    async fn flush(&self, limit: Duration) -> Result<(), TransportError> {
        match self.blocking(move |producer| producer.flush(limit)).await {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(TransportError::unavailable("flush the producer", error)),
            None => Err(TransportError::unavailable("flush the producer", "the runtime is shutting down")),
        }
    }

    async fn warm_up(&self, topics: &[String]) -> Vec<String> {
        let topics = topics.to_vec();
        let failed = self.blocking(move |producer| {
            let missing =
                |topic: &String| producer.client().fetch_metadata(Some(topic), WARM_UP_LIMIT).is_err();
            topics.into_iter().filter(missing).collect()
        });
        failed.await.unwrap_or_default()
    }
}
