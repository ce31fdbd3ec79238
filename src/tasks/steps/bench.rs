//! What the tests of backends have around them: a journal that can stop the process, and a step's handle.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc, watch};

use super::{LogError, StepHandle, StepId, StepLog, StepReport, Stop};

/// A journal that can stop the process at one of its writes.
#[derive(Default)]
pub(crate) struct Journal {
    pub(crate) memo: Mutex<Option<Value>>,
    pub(crate) phases: Mutex<Vec<String>>,
    /// The write at which the process stops, counted from 0; and whether that one still becomes durable.
    pub(crate) stop_at: Option<(usize, bool)>,
    pub(crate) stopped: Notify,
}

#[async_trait]
impl StepLog for Journal {
    async fn record(&self, _: &str, value: Option<Value>) -> Result<(), LogError> {
        let count = self.phases.lock().unwrap().len();
        let stops = self.stop_at.filter(|(at, _)| *at == count);
        if stops.is_none_or(|(_, durable)| durable) {
            let phase = value.as_ref().map_or(json!(null), |v| v["phase"].clone());
            self.phases.lock().unwrap().push(phase.as_str().unwrap_or_default().to_owned());
            *self.memo.lock().unwrap() = value;
        }
        if stops.is_some() {
            self.stopped.notify_one();
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

/// A journal that cannot be written.
pub(crate) struct Broken;

#[async_trait]
impl StepLog for Broken {
    async fn record(&self, _: &str, _: Option<Value>) -> Result<(), LogError> {
        Err(LogError("disk full".into()))
    }
}

/// A step under way.
pub(crate) struct Hand {
    pub(crate) journal: Arc<Journal>,
    pub(crate) reports: Mutex<mpsc::Receiver<StepReport>>,
    pub(crate) handle: StepHandle,
    stop: watch::Sender<Option<Stop>>,
}

impl Hand {
    pub(crate) fn new(journal: Journal) -> Self {
        let journal = Arc::new(journal);
        let (stop, stopped) = watch::channel(None);
        let (sender, reports) = mpsc::channel(100);
        let handle = StepHandle::new(id(), stopped, journal.clone(), sender);
        Self { journal, reports: Mutex::new(reports), handle, stop }
    }

    /// Another handle of the same step, with another journal.
    pub(crate) fn with_log(&self, log: Arc<dyn StepLog>) -> StepHandle {
        let (sender, _) = mpsc::channel(100);
        StepHandle::new(id(), self.stop.subscribe(), log, sender)
    }

    pub(crate) fn stop(&self, reason: &str) {
        self.stop.send_replace(Some(Stop::Cancelled(reason.to_owned())));
    }

    pub(crate) fn memo(&self) -> Option<Value> {
        self.journal.memo.lock().unwrap().clone()
    }

    pub(crate) fn phases(&self) -> Vec<String> {
        self.journal.phases.lock().unwrap().clone()
    }
}

pub(crate) fn id() -> StepId {
    StepId { run_id: "0123456789abcdef".into(), step: "isr".into(), attempt: 1 }
}
