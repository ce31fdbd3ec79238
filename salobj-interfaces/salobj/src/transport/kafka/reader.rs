//! The caller's side of a consumer: a bounded channel from its thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use tokio::sync::{mpsc, oneshot};

use super::context::Context;
use super::poll::{self, PollLoop};
use super::{KafkaTransport, Membership, admin, config, refused};
use crate::transport::{Batch, BatchItem, ReadEvent, Reader, StartAt, TransportError};

/// Batches that wait for the caller; beyond that the consumer is paused.
const BATCHES: usize = 8;
/// How long close waits for the consumer to leave and the group to be deleted.
const CLOSE_LIMIT: Duration = Duration::from_secs(15);

/// What the caller asks of the poll loop.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    pub(super) paused: AtomicBool,
    pub(super) closing: AtomicBool,
}

/// One consumer; its thread ends when this is closed or dropped.
pub(super) struct KafkaReader {
    batches: mpsc::Receiver<Batch>,
    /// Emptied batches on their way back.
    emptied: mpsc::Sender<Batch>,
    /// The batch that events are being taken from.
    ready: Batch,
    /// The different topics, in the order in which they were asked for.
    topics: Vec<Arc<str>>,
    wishes: Arc<Wishes>,
    done: Option<oneshot::Receiver<()>>,
}

impl KafkaReader {
    pub(super) fn new(
        transport: &KafkaTransport,
        group: &str,
        topics: &[(String, StartAt)],
    ) -> Result<KafkaReader, TransportError> {
        let mut properties = transport.env.consumer_properties(group);
        // Positions belong to the caller, and there is one member: nothing to commit, nothing to move step by step.
        let ours = [
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("enable.partition.eof", "true"),
            ("partition.assignment.strategy", "range,roundrobin"),
        ];
        properties.extend(ours.map(|(k, v)| (k.to_owned(), v.to_owned())));
        // Topics that others will make should not have to wait for the usual five minutes.
        properties
            .entry("topic.metadata.refresh.interval.ms".to_owned())
            .or_insert_with(|| "10000".to_owned());
        let attempt = || format!("configure consumer {group}");
        let consumer: BaseConsumer<Context> = config(&properties)
            .create_with_context(Context::new("consumer"))
            .map_err(|e| refused(&attempt(), &e))?;
        let membership = transport.options.membership;
        if membership == Membership::Group && !topics.is_empty() {
            let names: Vec<&str> = topics.iter().map(|t| t.0.as_str()).collect();
            consumer.subscribe(&names).map_err(|e| refused(&attempt(), &e))?;
        }
        let wishes = Arc::new(Wishes::default());
        let (sender, batches) = mpsc::channel(BATCHES);
        // One more is filled, one is emptied.
        let (emptied, to_fill) = mpsc::channel(BATCHES + 2);
        let (finished, done) = oneshot::channel();
        let poll = PollLoop::new(
            consumer,
            poll::Settings {
                membership,
                time_lookup: transport.options.time_lookup,
                probe: poll::probe_config(&properties),
            },
            topics,
            Arc::clone(&wishes),
            poll::Batches { full: sender, emptied: to_fill },
        );
        let names = poll.topics();
        let (transport, group) = (transport.clone(), group.to_owned());
        std::thread::Builder::new()
            .name("kafka consumer".to_owned())
            .spawn(move || {
                // Returns when the caller has gone; the consumer leaves its group as it is dropped.
                poll.run();
                if membership == Membership::Group && transport.options.topic_maker.is_none() {
                    futures::executor::block_on(admin::delete_group(&transport, &group));
                }
                // Nobody may be waiting.
                finished.send(()).ok();
            })
            .map_err(|e| TransportError::unavailable(attempt(), e))?;
        Ok(KafkaReader { batches, emptied, ready: Batch::default(), topics: names, wishes, done: Some(done) })
    }

    /// Waits for a batch if the one at hand is empty.
    async fn fill(&mut self) {
        while self.ready.is_empty() {
            let batch = match self.batches.recv().await {
                Some(batch) => batch,
                None => std::future::pending().await,
            };
            self.give_back(batch);
        }
    }

    /// Takes a new batch for the one at hand, whose memory goes back.
    fn give_back(&mut self, new: Batch) {
        let mut old = std::mem::replace(&mut self.ready, new);
        old.clear();
        // There are more than enough, or nobody fills them any more.
        self.emptied.try_send(old).unwrap_or_default();
    }
}

#[async_trait]
impl Reader for KafkaReader {
    async fn next(&mut self) -> ReadEvent {
        loop {
            self.fill().await;
            match self.ready.pop() {
                Some(BatchItem::Event(event)) => return event,
                Some(BatchItem::Record(record)) => {
                    if let Some(topic) = self.topics.get(record.topic) {
                        return ReadEvent::Record(record.to_record(Arc::clone(topic)));
                    }
                }
                None => {}
            }
        }
    }

    async fn next_batch(&mut self, out: &mut Batch) {
        self.fill().await;
        std::mem::swap(&mut self.ready, out);
        // What was handed over before is the next to be filled.
        self.give_back(Batch::default());
    }

    fn pause(&mut self, paused: bool) {
        self.wishes.paused.store(paused, Ordering::Release);
    }

    async fn close(&mut self) {
        self.wishes.closing.store(true, Ordering::Release);
        self.batches.close();
        self.ready.clear();
        if let Some(done) = self.done.take()
            && tokio::time::timeout(CLOSE_LIMIT, done).await.is_err()
        {
            tracing::info!("a Kafka consumer takes long to close; not waiting for it");
        }
    }
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        self.wishes.closing.store(true, Ordering::Release);
    }
}
