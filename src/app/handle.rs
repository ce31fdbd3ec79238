//! How the other parts talk to the core.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use salobj::Value;
use tokio::sync::{mpsc, oneshot};

use super::core_loop::{Reply, Request};
use crate::alarms::{AlarmSnapshot, IncidentAnswer};
use crate::core::{Answer, Command, Input, Settings};
use crate::journal::Record;
use crate::rules::Rule;
use crate::tasks::steps::{LogError, StepLog};

/// What is said when the core is gone: the process is ending.
const GONE: &str = "the Catcher is stopping";

/// A way to the core. Cheap to clone; each call waits while the core's queue is full.
#[derive(Debug, Clone)]
pub struct CoreHandle {
    requests: mpsc::Sender<Request>,
}

impl CoreHandle {
    /// A handle on that queue.
    pub fn new(requests: mpsc::Sender<Request>) -> Self {
        Self { requests }
    }

    /// Carries out a command; what it changed is durable when this returns.
    pub async fn command(&self, command: Command) -> Answer {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Do { command, reply }).await?;
        answer.await.unwrap_or_else(|_| Err(GONE.to_owned()))
    }

    /// Uses these rules from now on.
    ///
    /// # Errors
    /// The process is ending.
    pub async fn configure(&self, rules: Vec<Arc<Rule>>, settings: Settings) -> Result<(), String> {
        self.ask(|reply| Request::Configure { rules, settings, reply }).await
    }

    /// The CSC enters ENABLED.
    ///
    /// # Errors
    /// The process is ending.
    pub async fn enable(&self) -> Result<(), String> {
        self.ask(|reply| Request::Enable { reply }).await
    }

    /// The CSC leaves ENABLED.
    ///
    /// # Errors
    /// The process is ending.
    pub async fn disable(&self) -> Result<(), String> {
        self.ask(|reply| Request::Disable { reply }).await
    }

    /// The CSC leaves ENABLED, and nobody waits for it (it is in FAULT).
    pub fn disable_soon(&self) {
        let (reply, _) = oneshot::channel();
        if self.requests.try_send(Request::Disable { reply }).is_err() {
            tracing::error!("the core does not take requests; alarms go on as they are");
        }
    }

    /// Notes something in the journal; durable when this returns.
    ///
    /// # Errors
    /// The process is ending.
    pub async fn note(&self, record: Record) -> Result<(), String> {
        let (reply, done) = oneshot::channel();
        self.send(Request::Note { record, reply }).await?;
        done.await.map_err(|_| GONE.to_owned())
    }

    /// The alarms that a command with this pattern would mean, as they are now.
    ///
    /// # Errors
    /// The pattern is neither a name nor a regular expression, or the process is ending.
    pub async fn alarms(&self, pattern: &str) -> Result<Vec<AlarmSnapshot>, String> {
        let (reply, answer) = oneshot::channel();
        self.send(Request::Alarms { pattern: pattern.to_owned(), reply }).await?;
        answer.await.unwrap_or_else(|_| Err(GONE.to_owned()))
    }

    /// What became of a call to the escalation service.
    pub async fn incident_answer(&self, id: String, answer: IncidentAnswer) {
        // If the core is gone, the journal has the incident.
        drop(self.send(Request::Tell(Input::IncidentAnswer { id, answer })).await);
    }

    /// A receiver could not be told of an alarm.
    pub async fn not_told(&self, receiver: String, about: String, reason: String) {
        // If the core is gone, nobody needs to know.
        drop(self.send(Request::Tell(Input::NotTold { receiver, about, reason })).await);
    }

    /// The EFD answered a query of a rule's input, or could not.
    pub async fn efd_answered(&self, query: String, answer: Result<BTreeMap<String, Value>, String>) {
        // If the core is gone, nobody needs to know.
        let input = match answer {
            Ok(columns) => Input::Table { query, columns },
            Err(reason) => Input::TableFailed { query, reason },
        };
        drop(self.send(Request::Tell(input)).await);
    }

    /// A report was written, or could not be.
    pub async fn report_written(&self, run_id: String, url: Result<String, String>) {
        // If the core is gone, nobody needs to know.
        drop(self.send(Request::Tell(Input::ReportWritten { run_id, url })).await);
    }

    async fn ask(&self, request: impl FnOnce(Reply) -> Request) -> Result<(), String> {
        let (reply, answer) = oneshot::channel();
        self.send(request(reply)).await?;
        answer.await.unwrap_or_else(|_| Err(GONE.to_owned()))
    }

    async fn send(&self, request: Request) -> Result<(), String> {
        self.requests.send(request).await.map_err(|_| GONE.to_owned())
    }
}

#[async_trait]
impl StepLog for CoreHandle {
    async fn record(&self, key: &str, value: Option<serde_json::Value>) -> Result<(), LogError> {
        self.note(Record { key: key.to_owned(), value }).await.map_err(LogError)
    }
}
