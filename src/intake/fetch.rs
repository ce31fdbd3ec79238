//! Asking the bus for what is not in the records themselves, without anybody waiting for the answer: schemas by their
//! id, and how far behind we are.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use salobj::transport::{Transport, TransportError};

/// How long to wait before the registry is asked again.
const REGISTRY_PAUSE: Duration = Duration::from_millis(500);

/// How often the watermarks are looked at.
const LAG_EVERY: Duration = Duration::from_secs(10);

/// What has been found out.
enum Found {
    Schema(u32, Result<Arc<str>, String>),
    Lag(i64),
}

/// Questions under way. Dropping the future of [`Fetches::next`] loses nothing.
pub(super) struct Fetches {
    transport: Arc<dyn Transport>,
    schemas: HashMap<u32, Result<Arc<str>, String>>,
    asked: BTreeSet<u32>,
    asking_lag: bool,
    next_lag: tokio::time::Instant,
    questions: FuturesUnordered<BoxFuture<'static, Found>>,
}

impl Fetches {
    pub(super) fn new(transport: Arc<dyn Transport>) -> Self {
        Self {
            transport,
            schemas: HashMap::new(),
            asked: BTreeSet::new(),
            asking_lag: false,
            next_lag: tokio::time::Instant::now() + LAG_EVERY,
            questions: FuturesUnordered::new(),
        }
    }

    /// The schema of an id, if the answer has come: its text, or why there is none. Otherwise it is being asked for.
    pub(super) fn schema(&mut self, id: u32) -> Option<&Result<Arc<str>, String>> {
        if !self.schemas.contains_key(&id) && self.asked.insert(id) {
            self.questions.push(Box::pin(ask_schema(Arc::clone(&self.transport), id)));
        }
        self.schemas.get(&id)
    }

    /// Waits until an answer has come; the new lag, if it is one. Pends while nothing is asked.
    pub(super) async fn next(&mut self) -> Option<i64> {
        match self.questions.next().await {
            Some(Found::Schema(id, schema)) => {
                self.asked.remove(&id);
                self.schemas.insert(id, schema);
                None
            }
            Some(Found::Lag(lag)) => {
                self.asking_lag = false;
                Some(lag)
            }
            None => std::future::pending().await,
        }
    }

    /// When the lag should be asked for again; `None` while it is being asked for.
    pub(super) fn lag_due(&self) -> Option<tokio::time::Instant> {
        (!self.asking_lag).then_some(self.next_lag)
    }

    /// Asks how many records are behind these positions: topic, partition, next offset.
    pub(super) fn ask_lag(&mut self, positions: Vec<(Arc<str>, i32, i64)>) {
        self.asking_lag = true;
        self.next_lag = tokio::time::Instant::now() + LAG_EVERY;
        self.questions.push(Box::pin(ask_lag(Arc::clone(&self.transport), positions)));
    }
}

/// Asks until there is an answer: a registry that is away holds up only the topics that need it.
async fn ask_schema(transport: Arc<dyn Transport>, id: u32) -> Found {
    let mut told = false;
    loop {
        match transport.schema_by_id(id).await {
            Ok(text) => return Found::Schema(id, Ok(text)),
            Err(TransportError::Refused { attempt, reason }) => {
                return Found::Schema(id, Err(format!("{attempt}: {reason}")));
            }
            Err(error @ TransportError::Unavailable { .. }) => {
                if !told {
                    tracing::warn!(id, "{error}; records of this schema wait for the registry");
                    told = true;
                }
                // Real time: what is waited for here is a server.
                tokio::time::sleep(REGISTRY_PAUSE).await;
            }
        }
    }
}

async fn ask_lag(transport: Arc<dyn Transport>, positions: Vec<(Arc<str>, i32, i64)>) -> Found {
    let mut lag = 0;
    for (topic, partition, next) in positions {
        if let Ok((_, high)) = transport.watermarks(&topic, partition).await {
            lag += (high - next).max(0);
        }
    }
    Found::Lag(lag)
}
