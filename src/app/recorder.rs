//! `--record FILE`: everything that the core is told, and what it makes of it, into a recording. Off unless asked for.
//!
//! ```text
//!  intake ──records──┐ bounded by items and bytes; what finds no place is lost and counted,
//!  core loop ─inputs─┼─► queue ─► a thread of its own ─► recording (replay::archive)
//!          transitions┘  the core never waits for the disk
//! ```
//!
//! A recording that cannot be written any more, or has reached its limit, is closed and told; the Catcher goes on.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use sal_idl::names::parse_kafka_topic;
use salobj::transport::{Record, RecordRef as BatchRecord};
use salobj::{Env, Tai};

use crate::core::{Core, Input, Output};
use crate::intake::Tap;
use crate::replay::archive::{Body, ItemRef, ReadError, RecordRef, Session, TopicDecl, Writer, scan};
use crate::replay::{Collector, Control, Transition};

/// Items that wait for the disk at most.
const QUEUE: usize = 100_000;

/// Bytes that wait for the disk at most.
const QUEUE_BYTES: usize = 64 << 20;

/// A crash loses no more than what came within this time.
const FLUSH_EVERY: Duration = Duration::from_secs(2);

/// Where a process records to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordTo {
    /// The file; one that is a recording already is continued.
    pub path: PathBuf,
    /// It is closed when it has grown by this many bytes.
    pub limit_bytes: u64,
}

/// Why a recording cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be used.
    #[error("recording {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// It is there and is something else, or is damaged.
    #[error("recording {}: {error}; name another file", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: ReadError,
    },
}

/// Begins a recording, or goes on behind the last whole block of one.
///
/// # Errors
/// See [`OpenError`].
pub fn open(path: &Path, session: &Session) -> Result<Writer<BufWriter<File>>, OpenError> {
    let io = |error: std::io::Error| OpenError::Io { path: path.to_owned(), error };
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
    if file.metadata().map_err(io)?.len() == 0 {
        return Writer::create(BufWriter::new(file), session).map_err(io);
    }
    let summary =
        scan(BufReader::new(&file)).map_err(|error| OpenError::Other { path: path.to_owned(), error })?;
    file.set_len(summary.good).map_err(io)?;
    file.seek(SeekFrom::End(0)).map_err(io)?;
    Writer::append(BufWriter::new(file), session).map_err(io)
}

enum Entry {
    Schema { id: u32, text: Arc<str> },
    Record { record: Record, received: Tai, live: bool },
    Control { at: Tai, control: Box<Control> },
    Tick { at: Tai },
    Transition(Transition),
}

/// The way to the thread.
#[derive(Clone)]
struct Pipe {
    entries: SyncSender<(Entry, usize)>,
    waiting: Arc<AtomicUsize>,
    lost: Arc<AtomicU64>,
}

impl Pipe {
    fn send(&self, entry: Entry, bytes: usize) {
        let fits = self.waiting.fetch_add(bytes, Ordering::Relaxed) + bytes <= QUEUE_BYTES;
        if !fits || self.entries.try_send((entry, bytes)).is_err() {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What the core loop shows.
pub struct CoreTap {
    pipe: Pipe,
    collector: Collector,
    news: Vec<Transition>,
}

impl CoreTap {
    /// An input that the core is about to be given. Samples are shown by the intake.
    pub(super) fn input(&mut self, input: &Input<'_>, now: Tai) {
        if matches!(input, Input::Tick) {
            self.pipe.send(Entry::Tick { at: now }, 16);
        } else if let Some(control) = Control::of(input) {
            self.control(control, now);
        }
    }

    /// What the process began with.
    pub(super) fn control(&mut self, control: Control, at: Tai) {
        let bytes = size_of::<Control>();
        self.pipe.send(Entry::Control { at, control: Box::new(control) }, bytes);
    }

    /// What the core made of it.
    pub(super) fn outputs(&mut self, outputs: &[Output], core: &Core, now: Tai) {
        for output in outputs {
            self.collector.take(output, core, now, &mut self.news);
        }
        for transition in self.news.drain(..) {
            self.pipe.send(Entry::Transition(transition), 200);
        }
    }
}

struct IntakeTap(Pipe);

impl Tap for IntakeTap {
    fn schema(&mut self, id: u32, text: &Arc<str>) {
        self.0.send(Entry::Schema { id, text: Arc::clone(text) }, text.len());
    }

    fn record(&mut self, topic: &Arc<str>, record: &BatchRecord<'_>, received: Tai, live: bool) {
        let bytes = record.value.map_or(0, <[u8]>::len) + 100;
        let mut record = record.to_record(Arc::clone(topic));
        record.key = None;
        self.0.send(Entry::Record { record, received, live }, bytes);
    }
}

/// The thread that writes; it ends when both taps are gone.
pub struct Recorder {
    thread: JoinHandle<()>,
}

impl Recorder {
    /// Opens the file and starts; the taps are for the core loop and for the intake.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn start(to: &RecordTo, session: &Session) -> Result<(Recorder, CoreTap, Box<dyn Tap>), OpenError> {
        let writer = open(&to.path, session)?;
        let (entries, taken) = sync_channel(QUEUE);
        let pipe = Pipe { entries, waiting: Arc::default(), lost: Arc::default() };
        let (waiting, lost) = (Arc::clone(&pipe.waiting), Arc::clone(&pipe.lost));
        let desk = Desk { writer, limit: to.limit_bytes, path: to.path.clone(), waiting, lost };
        let thread = std::thread::spawn(move || desk.run(&taken));
        let core = CoreTap { pipe: pipe.clone(), collector: Collector::default(), news: Vec::new() };
        Ok((Recorder { thread }, core, Box::new(IntakeTap(pipe))))
    }

    /// Waits until everything is on disk. The taps must be gone.
    pub async fn close(self) {
        let joined = tokio::task::spawn_blocking(move || self.thread.join());
        if !matches!(joined.await, Ok(Ok(()))) {
            tracing::error!("the recording ended in a panic: this is a bug");
        }
    }
}

struct Desk {
    writer: Writer<BufWriter<File>>,
    limit: u64,
    path: PathBuf,
    waiting: Arc<AtomicUsize>,
    lost: Arc<AtomicU64>,
}

impl Desk {
    fn run(mut self, entries: &Receiver<(Entry, usize)>) {
        let path = self.path.display().to_string();
        let result = self.write(entries).and_then(|()| self.writer.flush());
        match result {
            Ok(()) => tracing::info!("recording {path} is closed"),
            Err(error) => {
                tracing::error!(error = %error, "recording {path} cannot be written any more: {error}")
            }
        }
        // Nothing piles up behind a recording that has ended.
        while let Ok((_, bytes)) = entries.recv() {
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    fn write(&mut self, entries: &Receiver<(Entry, usize)>) -> std::io::Result<()> {
        let mut since_flush = 0;
        let mut newest = Tai::default();
        loop {
            match entries.recv_timeout(FLUSH_EVERY) {
                Ok((entry, bytes)) => {
                    self.waiting.fetch_sub(bytes, Ordering::Relaxed);
                    since_flush += bytes;
                    newest = entry.at().unwrap_or(newest);
                    let lost = self.lost.swap(0, Ordering::Relaxed);
                    if lost > 0 {
                        tracing::warn!("recording: {lost} items found no place in the queue");
                        self.writer.push(&ItemRef::Gap { at: newest, lost })?;
                    }
                    self.entry(&entry)?;
                }
                Err(RecvTimeoutError::Timeout) => {
                    if since_flush > 0 {
                        self.writer.flush()?;
                        since_flush = 0;
                    }
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            if self.writer.written() > self.limit {
                tracing::warn!("recording {} has reached its limit", self.path.display());
                return Ok(());
            }
        }
    }

    fn entry(&mut self, entry: &Entry) -> std::io::Result<()> {
        match entry {
            Entry::Schema { id, text } => {
                self.writer.schema(*id, text);
                Ok(())
            }
            Entry::Record { record, received, live } => {
                let topic = self.writer.topic(&declared(&record.topic));
                self.writer.push(&ItemRef::Record(recorded(record, topic, *received, *live)))
            }
            Entry::Control { at, control } => {
                let json = serde_json::to_string(control).map_err(std::io::Error::other)?;
                self.writer.push(&ItemRef::Control { at: *at, json: &json })
            }
            Entry::Tick { at } => self.writer.push(&ItemRef::Tick { at: *at }),
            Entry::Transition(transition) => {
                let json = serde_json::to_string(transition).map_err(std::io::Error::other)?;
                self.writer.push(&ItemRef::Transition { at: transition.at, json: &json })
            }
        }
    }
}

impl Entry {
    fn at(&self) -> Option<Tai> {
        match self {
            Entry::Schema { .. } => None,
            Entry::Record { received, .. } => Some(*received),
            Entry::Control { at, .. } | Entry::Tick { at } => Some(*at),
            Entry::Transition(transition) => Some(transition.at),
        }
    }
}

/// What the head of a recording says that begins now.
pub fn session(source: &str, began: Tai, env: &Env) -> Session {
    Session {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        source: source.to_owned(),
        subname: env.topic_subname.clone(),
        site: env.site.clone().unwrap_or_default(),
        began: began.0,
    }
}

/// The declaration of a Kafka topic; its number is the writer's to give.
pub fn declared(topic: &str) -> TopicDecl {
    let (component, sal_name) = parse_kafka_topic(topic).map_or(("", ""), |(_, c, s)| (c, s));
    TopicDecl {
        name: topic.to_owned(),
        component: component.to_owned(),
        sal_name: sal_name.to_owned(),
        ..TopicDecl::default()
    }
}

/// A record of the bus as one of a recording.
pub fn recorded(record: &Record, topic: u32, received: Tai, live: bool) -> RecordRef<'_> {
    RecordRef {
        topic,
        partition: record.partition,
        offset: record.offset,
        timestamp_ms: record.timestamp_ms,
        received,
        live,
        body: record.value.as_deref().map_or(Body::None, Body::Avro),
    }
}
