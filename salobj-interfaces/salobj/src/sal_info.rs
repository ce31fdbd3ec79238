//! One component as one side has it open: one reader, one writer, its topics.
//!
//! ```text
//!   new ──► start: create topics ─► register schemas ─► writer ─► reader ─► history read ──► running ──► close
//! ```
//! The read loop is the only owner of the reader. What it decodes goes to one [`Sink`] for each topic.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use rand::Rng as _;
use sal_idl::{Component, Topic, TopicKind, names};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::domain::Domain;
use crate::error::SalError;
use crate::read_loop::{ReadLoop, Reading};
use crate::sample::Sample;
use crate::tai::Clock;
use crate::topics::{Decoder, TopicWriter};
use crate::transport::{StartAt, TopicSpec, Writer, WriterKind};

/// How long a close waits for what is under way.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);

/// Where the samples of a topic go. Called by the read loop, must not block.
pub(crate) trait Sink: Send + Sync + std::fmt::Debug {
    /// A sample, in order.
    fn deliver(&self, sample: Sample);
    /// Nothing comes any more.
    fn close(&self);
}

/// One topic to be read.
#[derive(Debug, Clone)]
pub(crate) struct ReadPlan {
    pub(crate) topic: Arc<Topic>,
    /// The last sample of each instance from before the start is wanted.
    pub(crate) history: bool,
    /// Samples older than their predecessor are dropped.
    pub(crate) in_order: bool,
    pub(crate) sink: Arc<dyn Sink>,
}

#[derive(Debug, Default)]
struct Plan {
    reads: Vec<ReadPlan>,
    writes: Vec<TopicWriter>,
}

/// An open component. Made by [`crate::Controller`] and [`crate::Remote`].
pub(crate) struct SalInfo {
    domain: Domain,
    component: Arc<Component>,
    index: i32,
    identity: String,
    name_index: String,
    group: String,
    plan: Mutex<Plan>,
    writer: OnceLock<Arc<dyn Writer>>,
    durable: OnceLock<Arc<dyn Writer>>,
    started: OnceCell<Result<(), SalError>>,
    can_write: AtomicBool,
    was_started: AtomicBool,
    closed: AtomicBool,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl std::fmt::Debug for SalInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SalInfo")
            .field("name_index", &self.name_index)
            .field("identity", &self.identity)
            .field("group", &self.group)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

impl SalInfo {
    /// `identity` is what a controller writes as; a remote takes the domain's.
    pub(crate) fn new(
        domain: &Domain,
        component: Arc<Component>,
        index: i32,
        identity: Option<String>,
    ) -> Result<Arc<SalInfo>, SalError> {
        let name = &component.name;
        if !component.indexed && index != 0 {
            let text = format!("Index={index} must be 0 or None; {name} is not an indexed SAL component");
            return Err(SalError::Options(text));
        }
        if index < 0 {
            return Err(SalError::Options(format!("Index={index} must be in 0..={}", i32::MAX)));
        }
        let name_index = names::name_index(name, component.indexed.then_some(index));
        let who = domain.default_identity();
        let random = random_id();
        let group = if who == name_index {
            format!("{name_index}-{random}")
        } else {
            format!("{who}-{name_index}-{random}")
        };
        let info = Arc::new(SalInfo {
            domain: domain.clone(),
            index,
            identity: identity.unwrap_or(who),
            name_index,
            group,
            component,
            plan: Mutex::default(),
            writer: OnceLock::new(),
            durable: OnceLock::new(),
            started: OnceCell::new(),
            can_write: AtomicBool::new(false),
            was_started: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            cancel: CancellationToken::new(),
            tasks: TaskTracker::new(),
        });
        domain.add(&info);
        Ok(info)
    }

    pub(crate) fn domain(&self) -> &Domain {
        &self.domain
    }

    pub(crate) fn clock(&self) -> &Clock {
        self.domain.clock()
    }

    pub(crate) fn component(&self) -> &Arc<Component> {
        &self.component
    }

    pub(crate) fn index(&self) -> i32 {
        self.index
    }

    pub(crate) fn identity(&self) -> &str {
        &self.identity
    }

    /// `Test:7`, or `Watcher` for a component without index.
    pub(crate) fn name_index(&self) -> &str {
        &self.name_index
    }

    pub(crate) fn kafka_topic(&self, topic: &Topic) -> String {
        names::kafka_topic(&self.domain.env().topic_subname, &topic.component, &topic.sal_name)
    }

    pub(crate) fn key(&self, topic: &Topic) -> Vec<u8> {
        let index = self.component.indexed.then_some(self.index);
        names::key(&topic.component, index, &topic.sal_name)
    }

    /// A group id for a short-lived second reader.
    pub(crate) fn scratch_group(&self) -> String {
        format!("{}-{}-{}", self.identity, self.name_index, random_id())
    }

    pub(crate) fn add_read(&self, plan: ReadPlan) {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).reads.push(plan);
    }

    pub(crate) fn add_write(&self, writer: TopicWriter) {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).writes.push(writer);
    }

    pub(crate) fn writer(&self) -> Result<&Arc<dyn Writer>, SalError> {
        self.writer.get().ok_or_else(|| SalError::NotStarted { name_index: self.name_index.clone() })
    }

    pub(crate) fn durable_writer(&self) -> Result<&Arc<dyn Writer>, SalError> {
        self.check_can_write()?;
        if let Some(writer) = self.durable.get() {
            return Ok(writer);
        }
        let writer = self.domain.transport().writer(WriterKind::Durable)?;
        Ok(self.durable.get_or_init(|| writer))
    }

    pub(crate) fn check_can_write(&self) -> Result<(), SalError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(SalError::NotOpen { name_index: self.name_index.clone() });
        }
        if !self.can_write.load(Ordering::SeqCst) {
            return Err(SalError::NotStarted { name_index: self.name_index.clone() });
        }
        Ok(())
    }

    pub(crate) fn check_was_started(&self) -> Result<(), SalError> {
        if self.was_started.load(Ordering::SeqCst) {
            return Ok(());
        }
        Err(SalError::NotStarted { name_index: self.name_index.clone() })
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Runs a task that ends with this component.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// Starts; whoever calls again waits for, and gets, the same outcome.
    pub(crate) async fn start(self: &Arc<Self>) -> Result<(), SalError> {
        self.started.get_or_init(|| self.start_once()).await.clone()
    }

    async fn start_once(self: &Arc<Self>) -> Result<(), SalError> {
        if self.is_closed() {
            return Err(SalError::NotOpen { name_index: self.name_index.clone() });
        }
        let plan = std::mem::take(&mut *self.plan.lock().unwrap_or_else(PoisonError::into_inner));
        let transport = self.domain.transport().clone();

        let topics = plan.reads.iter().map(|r| &r.topic).chain(plan.writes.iter().map(TopicWriter::topic));
        let mut specs: Vec<TopicSpec> = topics
            .map(|t| TopicSpec { name: self.kafka_topic(t), compacted: t.kind == TopicKind::Event })
            .collect();
        specs.sort_by(|a, b| a.name.cmp(&b.name));
        specs.dedup();
        transport.create_topics(&specs).await?;

        let mut reads = Vec::with_capacity(plan.reads.len());
        for read in plan.reads {
            let kafka_topic = self.kafka_topic(&read.topic);
            let id =
                transport.register_schema(&names::subject(&kafka_topic), &read.topic.schema_compact).await?;
            let decoder = Decoder::new(&read.topic);
            let wrong = |e| SalError::Wire { topic: kafka_topic.clone(), source: e };
            decoder.know(id).map_err(wrong)?;
            reads.push(Reading::new(kafka_topic, decoder, read));
        }
        for write in &plan.writes {
            let subject = names::subject(write.kafka_topic());
            let id = transport.register_schema(&subject, &write.topic().schema_compact).await?;
            write.set_schema_id(id)?;
        }

        if !plan.writes.is_empty() {
            let writer = transport.writer(WriterKind::Plain)?;
            let topics: Vec<String> = plan.writes.iter().map(|w| w.kafka_topic().to_owned()).collect();
            let cold = writer.warm_up(&topics).await;
            if !cold.is_empty() {
                tracing::warn!(component = %self.name_index, "no metadata yet of: {}", cold.join(", "));
            }
            self.writer.get_or_init(|| writer);
        }
        self.can_write.store(true, Ordering::SeqCst);

        if !reads.is_empty() {
            let starts: Vec<(String, StartAt)> =
                reads.iter().map(|r| (r.kafka_topic.clone(), self.start_at(r.wants_history()))).collect();
            let reader = transport.reader(&self.group, &starts).await?;
            let (ready, is_ready) = tokio::sync::oneshot::channel();
            let read_loop =
                ReadLoop::new(self.name_index.clone(), self.index, self.domain.clone(), reads, ready);
            // Not by `spawn`: the loop has to leave the bus in good order when it is cancelled.
            self.tasks.spawn(read_loop.run(reader, self.cancel.clone()));
            if is_ready.await.is_err() {
                return Err(SalError::NotOpen { name_index: self.name_index.clone() });
            }
        }
        self.was_started.store(true, Ordering::SeqCst);
        Ok(())
    }

    fn start_at(&self, history: bool) -> StartAt {
        if !history {
            return StartAt::End;
        }
        if !self.component.indexed {
            return StartAt::Back(1);
        }
        StartAt::Back(self.domain.env().history_of(&self.component.name))
    }

    /// Ends reading and writing: the reader leaves and deletes its group, what was handed over is delivered.
    pub(crate) async fn close(&self) {
        if self.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        let plan = std::mem::take(&mut *self.plan.lock().unwrap_or_else(PoisonError::into_inner));
        for read in plan.reads {
            read.sink.close();
        }
        for writer in [self.writer.get(), self.durable.get()].into_iter().flatten() {
            if let Err(e) = writer.flush(CLOSE_LIMIT).await {
                tracing::warn!(component = %self.name_index, "closing with records not delivered: {e}");
            }
        }
        self.cancel.cancel();
        self.tasks.close();
        // Real time: a reader that leaves a broker takes as long as it takes, whatever clock the domain has.
        if tokio::time::timeout(CLOSE_LIMIT, self.tasks.wait()).await.is_err() {
            tracing::warn!(component = %self.name_index, "closing: the reader did not leave within {CLOSE_LIMIT:?}");
        }
    }
}

impl Drop for SalInfo {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

/// 12 random bytes as URL-safe base64: 16 characters.
fn random_id() -> String {
    let bytes: [u8; 12] = rand::rng().random();
    base64::engine::general_purpose::URL_SAFE.encode(bytes)
}
