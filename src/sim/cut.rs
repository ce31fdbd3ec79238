//! A connection to the bus that can be cut: how a simulated peer dies without a word.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use salobj::transport::{
    Batch, Delivery, ReadEvent, Reader, StartAt, TopicSpec, Transport, TransportError, Writer, WriterKind,
};

/// A transport like another, until it is cut: then nothing that is written arrives, and nothing is read any more.
#[derive(Debug, Clone)]
pub struct CutTransport {
    inner: Arc<dyn Transport>,
    cut: Arc<AtomicBool>,
}

impl CutTransport {
    /// The same bus through a connection of its own.
    pub fn new(inner: Arc<dyn Transport>) -> Self {
        Self { inner, cut: Arc::default() }
    }

    /// Cuts it for ever.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::SeqCst);
    }
}

struct CutWriter {
    inner: Arc<dyn Writer>,
    cut: Arc<AtomicBool>,
}

struct CutReader {
    inner: Box<dyn Reader>,
    cut: Arc<AtomicBool>,
}

fn lost() -> TransportError {
    TransportError::Unavailable { attempt: "writing".to_owned(), reason: "the connection was cut".to_owned() }
}

#[async_trait]
impl Writer for CutWriter {
    async fn write(&self, topic: &str, key: Vec<u8>, value: Vec<u8>) -> Result<Delivery, TransportError> {
        if self.cut.load(Ordering::SeqCst) {
            return Err(lost());
        }
        self.inner.write(topic, key, value).await
    }

    fn send(&self, topic: &str, key: Vec<u8>, value: Vec<u8>) -> Result<(), TransportError> {
        // Whoever only hands over does not learn of it.
        if self.cut.load(Ordering::SeqCst) { Ok(()) } else { self.inner.send(topic, key, value) }
    }

    async fn flush(&self, limit: Duration) -> Result<(), TransportError> {
        if self.cut.load(Ordering::SeqCst) { Ok(()) } else { self.inner.flush(limit).await }
    }

    async fn warm_up(&self, topics: &[String]) -> Vec<String> {
        self.inner.warm_up(topics).await
    }
}

#[async_trait]
impl Reader for CutReader {
    async fn next(&mut self) -> ReadEvent {
        let event = self.inner.next().await;
        if self.cut.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        event
    }

    async fn next_batch(&mut self, out: &mut Batch) {
        self.inner.next_batch(out).await;
        if self.cut.load(Ordering::SeqCst) {
            out.clear();
            std::future::pending::<()>().await;
        }
    }

    fn pause(&mut self, paused: bool) {
        self.inner.pause(paused);
    }

    async fn close(&mut self) {
        self.inner.close().await;
    }
}

#[async_trait]
impl Transport for CutTransport {
    async fn create_topics(&self, topics: &[TopicSpec]) -> Result<(), TransportError> {
        self.inner.create_topics(topics).await
    }

    async fn list_topics(&self) -> Result<Vec<String>, TransportError> {
        self.inner.list_topics().await
    }

    async fn register_schema(&self, subject: &str, schema: &str) -> Result<u32, TransportError> {
        self.inner.register_schema(subject, schema).await
    }

    async fn schema_by_id(&self, id: u32) -> Result<Arc<str>, TransportError> {
        self.inner.schema_by_id(id).await
    }

    async fn latest_schema(&self, subject: &str) -> Result<Option<(u32, Arc<str>)>, TransportError> {
        self.inner.latest_schema(subject).await
    }

    fn writer(&self, kind: WriterKind) -> Result<Arc<dyn Writer>, TransportError> {
        let inner = self.inner.writer(kind)?;
        Ok(Arc::new(CutWriter { inner, cut: Arc::clone(&self.cut) }))
    }

    async fn reader(
        &self,
        group: &str,
        topics: &[(String, StartAt)],
    ) -> Result<Box<dyn Reader>, TransportError> {
        let inner = self.inner.reader(group, topics).await?;
        Ok(Box::new(CutReader { inner, cut: Arc::clone(&self.cut) }))
    }

    async fn watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64), TransportError> {
        self.inner.watermarks(topic, partition).await
    }
}
