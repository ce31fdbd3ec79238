//! What tests of backends share: a journal in memory, a handle, a call, a shelf in memory.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use salobj::Tai;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::{LogError, StepCall, StepHandle, StepId, StepLog, StepReport, Stop};
use crate::tasks::shelf::{Content, NotKept, Shelf, StepFile};

/// What a backend journaled, newest last.
#[derive(Debug, Default)]
pub(crate) struct Journal(pub(crate) Mutex<Vec<Value>>);

#[async_trait]
impl StepLog for Journal {
    async fn record(&self, _: &str, value: Option<Value>) -> Result<(), LogError> {
        self.0.lock().unwrap().extend(value);
        Ok(())
    }
}

/// One attempt of a step.
pub(crate) struct Bench {
    pub(crate) journal: Arc<Journal>,
    pub(crate) handle: StepHandle,
    stop: watch::Sender<Option<Stop>>,
    _reports: mpsc::Receiver<StepReport>,
}

impl Bench {
    pub(crate) fn new() -> Bench {
        let (stop, stopped) = watch::channel(None);
        let (sender, reports) = mpsc::channel(100);
        let journal = Arc::new(Journal::default());
        let handle = StepHandle::new(id(), stopped, journal.clone(), sender);
        Bench { journal, handle, stop, _reports: reports }
    }

    pub(crate) fn stop(&self, reason: &str) {
        self.stop.send_replace(Some(Stop::Cancelled(reason.to_owned())));
    }

    /// The last thing that was journaled.
    pub(crate) fn memo(&self) -> Option<Value> {
        self.journal.0.lock().unwrap().last().cloned()
    }
}

pub(crate) fn id() -> StepId {
    StepId { run_id: "0123456789abcdef".into(), step: "a".into(), attempt: 1 }
}

pub(crate) fn call(backend: &str, params: Value) -> StepCall {
    StepCall {
        id: id(),
        rule: "R".into(),
        backend: backend.into(),
        operation: String::new(),
        resend_if_unknown: false,
        params,
        timeout: Duration::from_secs(60),
        start_before: Tai(2000.0),
        priority: Default::default(),
    }
}

/// Files by name.
#[derive(Debug, Default)]
pub(crate) struct MemoryShelf(pub(crate) Mutex<Vec<(String, Vec<u8>)>>);

#[async_trait]
impl Shelf for MemoryShelf {
    async fn keep(&self, _: &StepId, name: &str, content: Content<'_>) -> Result<StepFile, NotKept> {
        let bytes = match content {
            Content::Bytes(bytes) => bytes.to_vec(),
            Content::File(path) => {
                std::fs::read(path).map_err(|e| NotKept { name: name.to_owned(), reason: e.to_string() })?
            }
        };
        let size = bytes.len() as u64;
        self.0.lock().unwrap().push((name.to_owned(), bytes));
        Ok(StepFile { name: name.to_owned(), url: format!("mem:{name}"), bytes: size })
    }
}
