//! Time series for analyses: from memory, else from Kafka by time, else from the EFD.
//!
//! ```text
//!  rule: series {topic, field, ...} ──► SeriesRequest ──► SeriesReader ──► memory covers the range?  ──► rows
//!                                                            │ no           Kafka covers it?         ──► rows
//!                                                            │              the EFD, and Kafka's end ──► rows
//!                                                            └─► SeriesSet {series, source, complete}
//! ```
//!
//! A range with an end (`to`) is complete once a sample with a stamp at or after `to` was seen; that is waited for, at
//! most `wait`. A range that ends now (`range`) is not waited for.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use salobj::{Clock, Tai};

use super::analysis::{SeriesSet, Source};
use crate::outputs::efd::Efd;

mod efd;
mod kafka;
mod request;
mod rows;
#[cfg(test)]
pub(crate) mod tests;

pub use kafka::KafkaSeries;
pub use request::{SeriesColumn, SeriesRequest};
pub(crate) use request::{duration, series_of, split_topic};
pub(crate) use rows::set;
pub use rows::{MAX_ROWS, SeriesRow};

/// Why there is no series.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SeriesError {
    /// The rule asks for something that there is not; again would not help.
    #[error("series of {topic}: {reason}")]
    Bad {
        /// Topic.
        topic: String,
        /// What is wrong.
        reason: String,
    },
    /// Neither the bus nor the EFD could answer now.
    #[error("series of {topic}: {reason}")]
    Unavailable {
        /// Topic.
        topic: String,
        /// What each of them said.
        reason: String,
    },
}

/// Where series come from.
#[async_trait]
pub trait SeriesSource: Send + Sync {
    /// Reads what a request asks for.
    ///
    /// # Errors
    /// The request does not fit the topic, or nobody can answer now.
    async fn read(&self, request: &SeriesRequest) -> Result<SeriesSet, SeriesError>;
}

/// What the memory knows of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct RecentRows {
    /// The rows it has, oldest first; from before `since` some may be missing.
    pub rows: Vec<SeriesRow>,
    /// From when on it has all of them.
    pub since: Tai,
}

/// The samples that the intake keeps in memory.
#[async_trait]
pub trait RecentSamples: Send + Sync {
    /// The rows of a request; `None` if its topic or one of its fields is not kept.
    async fn recent(&self, request: &SeriesRequest) -> Option<RecentRows>;
    /// Waits until more samples of any topic have come.
    async fn changed(&self);
}

/// Asks memory, Kafka and the EFD, in this order.
pub struct SeriesReader {
    clock: Clock,
    memory: Option<Arc<dyn RecentSamples>>,
    kafka: Option<KafkaSeries>,
    efd: Option<Arc<dyn Efd>>,
}

impl SeriesReader {
    /// A reader of those sources that there are.
    pub fn new(
        clock: Clock,
        memory: Option<Arc<dyn RecentSamples>>,
        kafka: Option<KafkaSeries>,
        efd: Option<Arc<dyn Efd>>,
    ) -> Self {
        Self { clock, memory, kafka, efd }
    }

    /// From memory, if it covers the range; waits for the end of the range.
    async fn ask_memory(&self, request: &SeriesRequest, wait_until: Tai) -> Option<SeriesSet> {
        let memory = self.memory.as_ref()?;
        loop {
            // Asked for before the rows are looked at, so that nothing falls between.
            let changed = memory.changed();
            let recent = memory.recent(request).await?;
            if recent.since.0 > request.from.0 {
                return None;
            }
            let seen = request.end_seen(&recent.rows);
            if seen || self.clock.now().0 >= wait_until.0 {
                return rows::set(request, &recent.rows, Source::Memory, seen).ok();
            }
            tokio::select! {
                () = changed => {}
                () = self.clock.sleep_until(wait_until) => {}
            }
        }
    }
}

#[async_trait]
impl SeriesSource for SeriesReader {
    async fn read(&self, request: &SeriesRequest) -> Result<SeriesSet, SeriesError> {
        let wait_until = self.clock.now() + if request.waits { request.wait } else { Duration::ZERO };
        if let Some(set) = self.ask_memory(request, wait_until).await {
            return Ok(set);
        }
        let mut said = Vec::new();
        let mut partial = None;
        if let Some(kafka) = &self.kafka {
            match kafka.read(request, &self.clock, wait_until).await {
                Ok(answer) if answer.covers => {
                    return rows::set(request, &answer.rows, Source::Kafka, answer.end_seen);
                }
                Ok(answer) => partial = Some(answer),
                Err(error @ SeriesError::Bad { .. }) => return Err(error),
                Err(error) => said.push(format!("Kafka: {error}")),
            }
        }
        match &self.efd {
            None => said.push("no EFD is configured".to_owned()),
            Some(efd) => match efd::read(efd.as_ref(), request).await {
                Ok((mut old, truncated)) => {
                    let recent = partial.map(|answer| answer.rows).unwrap_or_default();
                    if let Some(first) = recent.first() {
                        old.retain(|row| row.stamp < first.stamp);
                    }
                    old.extend(recent);
                    let seen = request.end_seen(&old) && !truncated;
                    return rows::set(request, &old, Source::Efd, seen);
                }
                Err(error) => said.push(format!("EFD: {error}")),
            },
        }
        match partial {
            Some(answer) => rows::set(request, &answer.rows, Source::Kafka, false),
            None => Err(SeriesError::Unavailable { topic: request.topic_name(), reason: said.join("; ") }),
        }
    }
}
