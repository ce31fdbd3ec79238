//! The read side of an event or telemetry topic, as a client uses it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::Stream;
use sal_idl::Topic;

use super::SampleQueue;
use crate::error::SalError;
use crate::sal_info::SalInfo;
use crate::sample::Sample;

/// Reads one event or telemetry topic. Cheap to clone; all clones share one queue.
///
/// `get` is the newest sample (also a historical one); `next` takes from a queue of 100 that drops its oldest.
#[derive(Debug, Clone)]
pub struct TopicReader {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    info: Arc<SalInfo>,
    topic: Arc<Topic>,
    queue: Arc<SampleQueue>,
    has_callback: AtomicBool,
}

impl TopicReader {
    pub(crate) fn new(info: Arc<SalInfo>, topic: Arc<Topic>, queue: Arc<SampleQueue>) -> TopicReader {
        TopicReader { inner: Arc::new(Inner { info, topic, queue, has_callback: AtomicBool::new(false) }) }
    }

    /// The topic.
    pub fn topic(&self) -> &Arc<Topic> {
        &self.inner.topic
    }

    /// The newest sample, if there ever was one. Allowed also with a callback.
    pub fn get(&self) -> Option<Sample> {
        self.inner.queue.current()
    }

    /// True if a sample was ever received.
    pub fn has_data(&self) -> bool {
        self.get().is_some()
    }

    /// Samples in the queue.
    pub fn nqueued(&self) -> usize {
        self.inner.queue.len()
    }

    /// Samples lost because the queue was full.
    pub fn dropped(&self) -> u64 {
        self.inner.queue.dropped()
    }

    /// The newest sample, or the first one if none came yet. Does not touch the queue.
    pub async fn aget(&self, timeout: Option<Duration>) -> Result<Sample, SalError> {
        self.ready()?;
        self.limited(timeout, self.inner.queue.wait_current()).await
    }

    /// Takes the oldest sample from the queue, without waiting.
    pub fn get_oldest(&self) -> Result<Option<Sample>, SalError> {
        self.ready()?;
        Ok(self.inner.queue.pop())
    }

    /// Empties the queue; the newest sample stays for [`Self::get`].
    pub fn flush(&self) -> Result<(), SalError> {
        self.ready()?;
        self.inner.queue.flush();
        Ok(())
    }

    /// The oldest sample in the queue, or the next that comes. With `flush` the queue is emptied first, so that the
    /// result is new. Several who wait at once all get the same sample. Safe to use in `select!`.
    pub async fn next(&self, flush: bool, timeout: Option<Duration>) -> Result<Sample, SalError> {
        self.ready()?;
        if flush {
            self.inner.queue.flush();
        }
        self.limited(timeout, self.inner.queue.next()).await
    }

    /// All samples from now on, those in the queue first; ends when the component is closed.
    pub fn stream(&self) -> impl Stream<Item = Sample> + Send + use<> {
        let queue = self.inner.queue.clone();
        futures::stream::unfold(queue, |queue| async move { queue.next().await.map(|s| (s, queue)) })
    }

    /// Empties the queue, then calls `f` with each new sample, one after the other, in order, until the component is
    /// closed. A second callback is refused.
    pub fn callback<F, Fut>(&self, f: F) -> Result<(), SalError>
    where
        F: Fn(Sample) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        if self.inner.has_callback.swap(true, Ordering::SeqCst) {
            return Err(SalError::HasCallback);
        }
        self.inner.queue.flush();
        let queue = self.inner.queue.clone();
        self.inner.info.spawn(async move {
            while let Some(sample) = queue.next().await {
                f(sample).await;
            }
        });
        Ok(())
    }

    fn ready(&self) -> Result<(), SalError> {
        if self.inner.has_callback.load(Ordering::SeqCst) {
            return Err(SalError::HasCallback);
        }
        self.inner.info.check_was_started()
    }

    async fn limited(
        &self,
        timeout: Option<Duration>,
        wait: impl Future<Output = Option<Sample>> + Send,
    ) -> Result<Sample, SalError> {
        let wait: Pin<Box<dyn Future<Output = Option<Sample>> + Send>> = Box::pin(wait);
        let got = match timeout {
            None => wait.await,
            Some(limit) => {
                self.inner.info.clock().timeout(limit, wait).await.map_err(|_| SalError::Timeout {
                    what: format!(
                        "a sample of {}:{}",
                        self.inner.info.name_index(),
                        self.inner.topic.attr_name()
                    ),
                    seconds: limit.as_secs_f64(),
                })?
            }
        };
        got.ok_or_else(|| SalError::NotOpen { name_index: self.inner.info.name_index().to_owned() })
    }
}
