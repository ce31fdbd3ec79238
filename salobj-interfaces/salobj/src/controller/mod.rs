//! The owner's side of a component: commands in; events, telemetry and acknowledgements out.
//!
//! ```text
//!   new ──► start(handler): remotes of the domain ─► workers ─► topics, schemas, reader ─► logLevel ──► running ──► close
//! ```
//! Handlers are attached before the reader is, so that no command is lost at start.

mod acks;
mod commands;
mod request;

pub use commands::{COMMAND_QUEUE_LENGTH, CommandHandler};
pub use request::{CommandError, CommandRequest, CommandResult};

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sal_idl::{Component, TopicKind};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::Domain;
use crate::error::SalError;
use crate::log::LogPublisher;
use crate::sal_info::{ReadPlan, SalInfo};
use crate::topics::event::{self, EventWriter};
use crate::topics::telemetry::{self, TelemetryWriter};
use crate::topics::{TopicWriter, writer::SeqNums};
use crate::value::Value;
use acks::AckWriter;
use commands::Worker;

/// Pause before a controller closes its topics, so that clients get the last events and acknowledgements.
const CLOSE_PAUSE: Duration = Duration::from_secs(1);
/// How long cancelled handlers may take (real time).
const CANCEL_LIMIT: Duration = Duration::from_secs(5);

/// A component that we are. Cheap to clone.
///
/// Creating one sets the domain's default identity to `name[:index]`: what remotes of the same domain write, is written
/// in the component's name.
#[derive(Debug, Clone)]
pub struct Controller {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    info: Arc<SalInfo>,
    events: BTreeMap<String, EventWriter>,
    telemetry: BTreeMap<String, TelemetryWriter>,
    acks: Option<AckWriter>,
    log: LogPublisher,
    cancel: CancellationToken,
    handlers: TaskTracker,
    closing: AtomicBool,
}

impl Controller {
    /// A controller of a component's instance (index 0 for a component that is not indexed). Not yet started.
    pub fn new(domain: &Domain, component: Arc<Component>, index: i32) -> Result<Controller, SalError> {
        Controller::build(domain, component, index, false)
    }

    /// A controller that takes no commands, reads nothing and acknowledges nothing.
    pub fn write_only(
        domain: &Domain,
        component: Arc<Component>,
        index: i32,
    ) -> Result<Controller, SalError> {
        Controller::build(domain, component, index, true)
    }

    fn build(
        domain: &Domain,
        component: Arc<Component>,
        index: i32,
        write_only: bool,
    ) -> Result<Controller, SalError> {
        let identity = sal_idl::names::name_index(&component.name, component.indexed.then_some(index));
        let info = SalInfo::new(domain, component.clone(), index, Some(identity.clone()))?;
        domain.set_default_identity(&identity);
        let writers = |kind, force| -> BTreeMap<String, TopicWriter> {
            component
                .topics
                .iter()
                .filter(|t| t.kind == kind)
                .map(|t| {
                    let writer = TopicWriter::new(info.clone(), t.clone(), force, SeqNums::plain());
                    (t.short_name().to_owned(), writer)
                })
                .collect()
        };
        let events = writers(TopicKind::Event, event::FORCE);
        let telemetry = writers(TopicKind::Telemetry, telemetry::FORCE);
        let ack = component
            .topics
            .iter()
            .find(|t| t.kind == TopicKind::AckCmd && !write_only)
            .map(|t| TopicWriter::new(info.clone(), t.clone(), telemetry::FORCE, SeqNums::plain()));
        for writer in ack.iter().chain(events.values()).chain(telemetry.values()) {
            info.add_write(writer.clone());
        }
        let log = LogPublisher::attach(&identity, &component.name);
        let inner = Inner {
            acks: ack.map(|w| AckWriter::new(w, &component)),
            events,
            telemetry,
            log,
            cancel: CancellationToken::new(),
            handlers: TaskTracker::new(),
            closing: AtomicBool::new(false),
            info,
        };
        Ok(Controller { inner: Arc::new(inner) })
    }

    /// The component.
    pub fn component(&self) -> &Arc<Component> {
        self.inner.info.component()
    }

    /// SAL index, 0 for a component that is not indexed.
    pub fn index(&self) -> i32 {
        self.inner.info.index()
    }

    /// `Test:7`, or `Watcher` for a component that is not indexed.
    pub fn name_index(&self) -> &str {
        self.inner.info.name_index()
    }

    /// The domain it was made with.
    pub fn domain(&self) -> &Domain {
        self.inner.info.domain()
    }

    /// The writer of an event, by its name without prefix.
    pub fn event(&self, name: &str) -> Result<EventWriter, SalError> {
        self.find(&self.inner.events, "event", name)
    }

    /// The writer of a telemetry topic.
    pub fn telemetry(&self, name: &str) -> Result<TelemetryWriter, SalError> {
        self.find(&self.inner.telemetry, "telemetry topic", name)
    }

    /// True if the component has this event.
    pub fn has_event(&self, name: &str) -> bool {
        self.inner.events.contains_key(name)
    }

    fn find(
        &self,
        among: &BTreeMap<String, TopicWriter>,
        kind: &str,
        name: &str,
    ) -> Result<TopicWriter, SalError> {
        among.get(name).cloned().ok_or_else(|| SalError::NoTopic {
            component: self.component().name.clone(),
            name: format!("{kind} {name}"),
            known: among.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }

    /// Starts a write-only controller, then publishes `logLevel`.
    pub async fn start_writing(&self) -> Result<(), SalError> {
        if self.inner.acks.is_some() {
            let text = format!("{} takes commands: start it with a handler", self.name_index());
            return Err(SalError::Options(text));
        }
        self.start_info().await
    }

    /// Starts: all other components of the domain first, then this one; then publishes `logLevel`.
    pub async fn start(&self, handler: Arc<dyn CommandHandler>) -> Result<(), SalError> {
        let inner = &self.inner;
        for other in inner.info.domain().infos() {
            if !Arc::ptr_eq(&other, &inner.info) && !other.is_closed() {
                other.start().await?;
            }
        }
        if let Some(acks) = &inner.acks {
            let mut commands: Vec<_> =
                self.component().topics.iter().filter(|t| t.kind == TopicKind::Command).collect();
            commands.sort_by(|a, b| a.sal_name.cmp(&b.sal_name));
            for topic in commands {
                let worker = Worker {
                    handler: handler.clone(),
                    acks: acks.clone(),
                    cancel: inner.cancel.clone(),
                    tasks: inner.handlers.clone(),
                    span: self.span(),
                };
                let sink = worker.spawn(topic.short_name());
                let plan = ReadPlan { topic: topic.clone(), history: false, in_order: false, sink };
                inner.info.add_read(plan);
            }
        }
        self.start_info().await
    }

    async fn start_info(&self) -> Result<(), SalError> {
        let inner = &self.inner;
        inner.info.start().await?;
        if let Ok(event) = self.event("logMessage") {
            inner.info.spawn(inner.log.publish(event));
        }
        self.put_log_level()
    }

    /// The span in which everything of this component runs: its log records go to its own `logMessage`.
    pub fn span(&self) -> tracing::Span {
        crate::log::csc_span(self.name_index())
    }

    /// The level (Python's numbers) from which on log records are published.
    pub fn log_level(&self) -> i64 {
        self.inner.log.level()
    }

    /// Sets the level and publishes `logLevel`.
    pub fn set_log_level(&self, level: i64) -> Result<(), SalError> {
        self.inner.log.set_level(level);
        self.put_log_level()
    }

    /// Sets the level that `start` will publish.
    pub(crate) fn set_log_level_before_start(&self, level: i64) {
        self.inner.log.set_level(level);
    }

    /// Takes log records that belong to no component's span, too (a process with one CSC).
    pub fn take_all_log_records(&self) {
        self.inner.log.take_all();
    }

    fn put_log_level(&self) -> Result<(), SalError> {
        if let Ok(event) = self.event("logLevel") {
            let fields = [("level", Value::Int(self.log_level())), ("subsystem", Value::Text("".into()))];
            event.set_write(&fields)?;
        }
        Ok(())
    }

    /// Runs a task that ends when the component closes.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        use tracing::Instrument as _;
        self.inner.info.spawn(task.instrument(self.span()));
    }

    /// True once closing began.
    pub fn is_closing(&self) -> bool {
        self.inner.closing.load(Ordering::SeqCst)
    }

    /// Closes: waits one second so that clients get what was written last, cancels handlers that still run (they are
    /// acknowledged as aborted), then closes the whole domain.
    pub async fn close(&self) {
        let inner = &self.inner;
        if inner.closing.swap(true, Ordering::SeqCst) {
            return;
        }
        inner.log.detach();
        inner.info.clock().sleep(CLOSE_PAUSE).await;
        inner.cancel.cancel();
        inner.handlers.close();
        if tokio::time::timeout(CANCEL_LIMIT, inner.handlers.wait()).await.is_err() {
            tracing::warn!(component = self.name_index(), "closing: a command handler did not end");
        }
        inner.info.domain().close().await;
    }
}
