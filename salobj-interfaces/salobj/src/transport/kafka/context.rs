//! What librdkafka calls back: its log, its errors, rebalances, delivery reports.

use std::sync::{Mutex, MutexGuard};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message as _;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;
use tokio::sync::oneshot;

use crate::transport::{Delivery, TransportError};

/// Errors kept until somebody takes them.
const KEEP_ERRORS: usize = 16;

/// Who waits for a delivery report; `None`: only failures are logged.
pub(super) type Waiter = Option<oneshot::Sender<Result<Delivery, TransportError>>>;

/// Callbacks of one client.
pub(super) struct Context {
    role: &'static str,
    inbox: Mutex<Inbox>,
}

/// What came in since it was last looked at.
#[derive(Default)]
struct Inbox {
    errors: Vec<TransportError>,
    rebalance: Option<Rebalanced>,
}

/// What rebalances have come to since the last look.
#[derive(Default)]
pub(super) struct Rebalanced {
    /// All partitions were taken away, at least for a moment: those that came back must be assigned again.
    pub(super) revoked: bool,
    /// The partitions of this group member now.
    pub(super) partitions: Vec<(String, i32)>,
}

impl Context {
    pub(super) fn new(role: &'static str) -> Context {
        Context { role, inbox: Mutex::default() }
    }

    /// Takes the errors that have come in.
    pub(super) fn take_errors(&self) -> Vec<TransportError> {
        std::mem::take(&mut self.inbox().errors)
    }

    /// Takes what rebalances have come to, if there was one.
    pub(super) fn take_rebalance(&self) -> Option<Rebalanced> {
        self.inbox().rebalance.take()
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        // Plain data: a panic elsewhere does not make it wrong.
        self.inbox.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, fac: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => {
                tracing::warn!(target: "librdkafka", role = self.role, fac, "{message}");
            }
            RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => {
                tracing::info!(target: "librdkafka", role = self.role, fac, "{message}");
            }
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(target: "librdkafka", role = self.role, fac, "{message}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // A group that goes away with its consumer, and topics that are not there yet, are told elsewhere.
        let told_elsewhere = [RDKafkaErrorCode::UnknownTopicOrPartition, RDKafkaErrorCode::PartitionEOF];
        if error.rdkafka_error_code().is_some_and(|code| told_elsewhere.contains(&code)) {
            return;
        }
        tracing::debug!(role = self.role, %error, reason, "Kafka client");
        let mut inbox = self.inbox();
        if inbox.errors.len() < KEEP_ERRORS {
            inbox.errors.push(TransportError::unavailable(format!("Kafka {}", self.role), reason));
        }
    }
}

impl ConsumerContext for Context {
    /// Notes the new partitions; the poll loop assigns them once it has found out their start offsets.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, err: RDKafkaRespErr, list: &mut TopicPartitionList) {
        match err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                let partitions =
                    list.elements().iter().map(|e| (e.topic().to_owned(), e.partition())).collect();
                self.inbox().rebalance.get_or_insert_default().partitions = partitions;
            }
            _ => {
                self.inbox().rebalance = Some(Rebalanced { revoked: true, partitions: Vec::new() });
                if let Err(error) = consumer.unassign() {
                    tracing::warn!(%error, "could not give back partitions");
                }
            }
        }
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<Waiter>;

    fn delivery(&self, result: &DeliveryResult<'_>, waiter: Box<Waiter>) {
        let outcome = match result {
            Ok(message) => Ok(Delivery { partition: message.partition(), offset: message.offset() }),
            Err((error, message)) => {
                let attempt = format!("write to {}", message.topic());
                Err(match error.rdkafka_error_code() {
                    Some(
                        RDKafkaErrorCode::MessageSizeTooLarge
                        | RDKafkaErrorCode::TopicAuthorizationFailed
                        | RDKafkaErrorCode::InvalidRecord
                        | RDKafkaErrorCode::UnknownTopic
                        | RDKafkaErrorCode::UnknownTopicOrPartition,
                    ) => TransportError::refused(attempt, error),
                    _ => TransportError::unavailable(attempt, error),
                })
            }
        };
        match (*waiter, outcome) {
            // The receiver may have been dropped: then nobody wants to know.
            (Some(waiter), outcome) => drop(waiter.send(outcome)),
            (None, Err(error)) => tracing::warn!(%error, "record was not delivered"),
            (None, Ok(_)) => {}
        }
    }
}
