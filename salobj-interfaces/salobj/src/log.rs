//! Log records as SAL `logMessage` events.
//!
//! ```text
//!   tracing event ──► SalLogLayer ──(span of a component? else those that take all)──► bounded queue ──► logMessage
//! ```
//! Install [`layer`] once in the process's subscriber; controllers attach by themselves. A record made inside the span
//! of a component ([`crate::Controller::span`]) goes to that component only, others to components that take all. When a
//! queue is full records are dropped and counted; the next message says how many. Records of the transport are left out:
//! publishing them could make new ones. Failures to publish go to stderr.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio::sync::mpsc;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::topics::TopicWriter;
use crate::value::Value;

/// Records that wait to be published; more are dropped and counted.
const QUEUE: usize = 1000;
/// Of the records made before the component runs, the last so many are published.
const KEPT_BEFORE_START: usize = 10;
/// Python's number of INFO, the least verbose level at start.
pub const INFO: i64 = 20;
/// Python's number of CRITICAL: an error event with a field `critical = true`.
pub const CRITICAL: i64 = 50;

/// Modules whose records are never published on SAL.
const LEFT_OUT: [&str; 4] = ["salobj::transport", "salobj::registry", "rdkafka", "librdkafka"];

#[derive(Debug)]
struct LogRecord {
    logger: String,
    level: i64,
    message: String,
    traceback: String,
    file: String,
    module: String,
    line: i64,
}

#[derive(Debug)]
struct Attached {
    name_index: String,
    component: String,
    level: AtomicI64,
    takes_all: AtomicBool,
    queue: mpsc::Sender<LogRecord>,
    dropped: AtomicU64,
}

static ATTACHED: RwLock<Vec<Arc<Attached>>> = RwLock::new(Vec::new());

fn attached() -> Vec<Arc<Attached>> {
    ATTACHED.read().unwrap_or_else(PoisonError::into_inner).clone()
}

/// One controller's share of the log.
#[derive(Debug)]
pub(crate) struct LogPublisher {
    attached: Arc<Attached>,
    records: Mutex<Option<mpsc::Receiver<LogRecord>>>,
}

impl LogPublisher {
    pub(crate) fn attach(name_index: &str, component: &str) -> LogPublisher {
        let (queue, records) = mpsc::channel(QUEUE);
        let attached = Arc::new(Attached {
            name_index: name_index.to_owned(),
            component: component.to_owned(),
            level: AtomicI64::new(INFO),
            takes_all: AtomicBool::new(false),
            queue,
            dropped: AtomicU64::new(0),
        });
        ATTACHED.write().unwrap_or_else(PoisonError::into_inner).push(attached.clone());
        tracing::callsite::rebuild_interest_cache();
        LogPublisher { attached, records: Mutex::new(Some(records)) }
    }

    pub(crate) fn detach(&self) {
        let mut all = ATTACHED.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|a| !Arc::ptr_eq(a, &self.attached));
    }

    pub(crate) fn level(&self) -> i64 {
        self.attached.level.load(Ordering::Relaxed)
    }

    pub(crate) fn set_level(&self, level: i64) {
        self.attached.level.store(level, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
    }

    pub(crate) fn take_all(&self) {
        self.attached.takes_all.store(true, Ordering::Relaxed);
    }

    /// The task that publishes. What was logged before it runs goes out, the last ten, before the first later record.
    pub(crate) fn publish(&self, event: TopicWriter) -> impl Future<Output = ()> + Send + use<> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner).take();
        let attached = self.attached.clone();
        async move {
            let Some(mut records) = records else { return };
            let mut early = VecDeque::new();
            while let Ok(record) = records.try_recv() {
                if early.len() >= KEPT_BEFORE_START {
                    early.pop_front();
                }
                early.push_back(record);
            }
            while let Some(record) = records.recv().await {
                for record in early.drain(..).chain([record]) {
                    write(&event, &record);
                }
                let dropped = attached.dropped.swap(0, Ordering::Relaxed);
                if dropped > 0 {
                    write(&event, &LogRecord::dropped(&attached.component, dropped));
                }
            }
        }
    }
}

impl Drop for LogPublisher {
    fn drop(&mut self) {
        self.detach();
    }
}

impl LogRecord {
    fn dropped(component: &str, count: u64) -> LogRecord {
        LogRecord {
            logger: component.to_owned(),
            level: 30,
            message: format!("{count} log messages were not published: more than {QUEUE} waited"),
            traceback: String::new(),
            file: file!().to_owned(),
            module: module_path!().to_owned(),
            line: i64::from(line!()),
        }
    }
}

#[expect(clippy::print_stderr, reason = "a failure to publish a log record must not make another log record")]
fn write(event: &TopicWriter, r: &LogRecord) {
    let text = |s: &str| Value::Text(s.into());
    let outcome = event.set_write(&[
        ("name", text(&r.logger)),
        ("level", Value::Int(r.level)),
        ("message", text(&r.message)),
        ("traceback", text(&r.traceback)),
        ("filePath", text(&r.file)),
        ("functionName", text(&r.module)),
        ("lineNumber", Value::Int(r.line)),
        ("process", Value::Int(i64::from(std::process::id()))),
    ]);
    if let Err(e) = outcome {
        eprintln!("logMessage not published: {e}: {}", r.message);
    }
}

/// The span of a component: what is logged inside goes to its own `logMessage`.
pub(crate) fn csc_span(name_index: &str) -> tracing::Span {
    tracing::error_span!(target: "salobj", "csc", csc = name_index)
}

/// The layer that feeds `logMessage`; add it to the process's subscriber.
pub fn layer() -> SalLogLayer {
    SalLogLayer { _private: () }
}

/// Sends tracing events to the attached controllers. Made by [`layer`].
#[derive(Debug)]
pub struct SalLogLayer {
    _private: (),
}

/// Kept in a span's extensions.
struct CscName(String);

impl<S> Layer<S> for SalLogLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn max_level_hint(&self) -> Option<LevelFilter> {
        let lowest = attached().iter().map(|a| a.level.load(Ordering::Relaxed)).min().unwrap_or(INFO);
        Some(match lowest {
            ..=9 => LevelFilter::TRACE,
            10..=19 => LevelFilter::DEBUG,
            20..=29 => LevelFilter::INFO,
            30..=39 => LevelFilter::WARN,
            _ => LevelFilter::ERROR,
        })
    }

    fn on_new_span(&self, attrs: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        if attrs.metadata().name() != "csc" || attrs.metadata().target() != "salobj" {
            return;
        }
        let mut fields = Fields::default();
        attrs.record(&mut fields);
        if let (Some(span), Some(name)) = (ctx.span(id), fields.csc) {
            span.extensions_mut().insert(CscName(name));
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let meta = event.metadata();
        if LEFT_OUT.iter().any(|m| meta.target().starts_with(m)) {
            return;
        }
        let name = ctx
            .event_scope(event)
            .and_then(|mut scope| scope.find_map(|s| s.extensions().get::<CscName>().map(|n| n.0.clone())));
        let to: Vec<_> = attached()
            .into_iter()
            .filter(|a| match &name {
                Some(name) => a.name_index == *name,
                None => a.takes_all.load(Ordering::Relaxed),
            })
            .collect();
        if to.is_empty() {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let level = if fields.critical { CRITICAL } else { python_level(*meta.level()) };
        for a in to.iter().filter(|a| level >= a.level.load(Ordering::Relaxed)) {
            let logger = match &fields.topic {
                Some(topic) => format!("{}.{topic}", a.component),
                None => a.component.clone(),
            };
            let record = LogRecord {
                logger,
                level,
                message: format!("{}{}", fields.message, fields.others),
                traceback: fields.traceback.clone(),
                file: meta.file().unwrap_or_default().to_owned(),
                module: meta.module_path().unwrap_or_default().to_owned(),
                line: i64::from(meta.line().unwrap_or_default()),
            };
            if a.queue.try_send(record).is_err() {
                a.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn python_level(level: Level) -> i64 {
    match level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        Level::DEBUG => 10,
        Level::TRACE => 5,
    }
}

/// The fields of an event: the ones with a meaning of their own, and the others as text after the message.
#[derive(Default)]
struct Fields {
    message: String,
    others: String,
    traceback: String,
    topic: Option<String>,
    csc: Option<String>,
    critical: bool,
}

impl Fields {
    fn put(&mut self, field: &Field, text: String) {
        match field.name() {
            "message" => self.message = text,
            "traceback" => self.traceback = text,
            "topic" => self.topic = Some(text),
            "csc" => self.csc = Some(text),
            name if name.starts_with("log.") => {}
            // Writing to a String cannot fail.
            name => write!(self.others, "; {name}={text}").unwrap_or_default(),
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_owned());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        if field.name() == "critical" {
            self.critical = value;
        } else {
            self.put(field, value.to_string());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}
