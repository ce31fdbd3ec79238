//! The async side of the tasks: carries out what the runs ask for, within limits of number and time.
//!
//! ```text
//!  core ── Order ──► waiting (per backend, at most MAX_WAITING) ──► under way (per backend, its concurrency)
//!   ▲                                                                  │  time limit, stop, panic caught
//!   └───────────── StepReport: Started, Progress, Ended ◄──────────────┘
//! ```
//!
//! One task owns all of it and polls every step; nothing is spawned. It always takes orders, also while the core is
//! slow to take reports, so the two cannot block each other. Every order to execute ends in exactly one `Ended`:
//! a backend that does not stop when told to is dropped [`ABORT_GRACE`] later, one that panics is a permanent error.
//! When a backend's waiting line is full, the step ends at once as a transient error (and is tried again if its rule
//! says so).
//!
//! Who goes next, and how fast, is decided by [`mod@line`]. Results that are too large for an event are kept as files.

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use salobj::Clock;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::call::{ErrorClass, StepCall, StepError, StepId, StepOutcome, StepReport, StepReportKind, Stop};
use super::large;
use super::shelf::{Content, Shelf};
use super::steps::{Backend, StepHandle, StepLog};
use line::{Line, Place, Waiting};

mod line;
#[cfg(test)]
mod tests;

/// How long a backend may take to end a step after it was told to stop. Time of the driver's clock.
pub const ABORT_GRACE: Duration = Duration::from_secs(30);

/// Most steps that wait for one backend.
pub const MAX_WAITING: usize = 4096;

/// Transient errors in a row after which a peer of a backend is left alone for a while.
pub const BREAKER_AFTER: u32 = 5;

/// For how long. Real time.
pub const BREAKER_PAUSE: Duration = Duration::from_secs(30);

/// The span of a rate limit. Real time.
const RATE_SPAN: Duration = Duration::from_secs(60);

/// Orders that may lie between the core and the driver.
pub const ORDER_QUEUE: usize = 1024;

/// What the core orders.
#[derive(Clone)]
pub enum Order {
    /// Carry a step out.
    Execute(Box<StepCall>),
    /// Go on with a step that was handed over before a restart.
    Resume {
        /// The step.
        call: Box<StepCall>,
        /// What the journal has under `call.id.key()`.
        memo: Option<Value>,
    },
    /// Stop a step; nothing if it is not here.
    Abort {
        /// Which.
        id: StepId,
        /// Why.
        stop: Stop,
    },
    /// The backends that the site's configuration makes, and how many steps each backend carries out at a time, by its name;
    /// its own number where it is not named. They replace those of an earlier configuration; steps under way go on as they
    /// began. Steps of a backend that the site does not have end as permanent errors from now on; before the first such
    /// order they wait.
    Configure {
        /// The backends.
        backends: Vec<Arc<dyn Backend>>,
        /// Steps at a time.
        limits: BTreeMap<String, usize>,
        /// Most steps that are begun in a minute.
        rates: BTreeMap<String, usize>,
    },
}

/// The driver has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the task driver has ended")]
pub struct DriverGone;

/// How busy a backend is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendLoad {
    /// Its name.
    pub name: &'static str,
    /// Steps under way.
    pub running: usize,
    /// Steps that wait.
    pub waiting: usize,
    /// It, or one of its peers, failed several times in a row and is left alone for a while.
    pub left_alone: bool,
}

#[derive(Debug, Default)]
struct Load {
    running: AtomicUsize,
    waiting: AtomicUsize,
    left_alone: AtomicBool,
}

/// The core's end of the driver. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Driver {
    orders: mpsc::Sender<Order>,
    loads: Arc<Vec<(&'static str, Load)>>,
}

impl Driver {
    /// Hands an order over. Waits only while [`ORDER_QUEUE`] orders lie before it, which the driver takes at once.
    ///
    /// # Errors
    /// The driver has ended.
    pub async fn order(&self, order: Order) -> Result<(), DriverGone> {
        self.orders.send(order).await.map_err(|_| DriverGone)
    }

    /// How busy each backend is.
    pub fn load(&self) -> Vec<BackendLoad> {
        let read = |n: &AtomicUsize| n.load(Ordering::Relaxed);
        let each = |(name, load): &(&'static str, Load)| BackendLoad {
            name,
            running: read(&load.running),
            waiting: read(&load.waiting),
            left_alone: load.left_alone.load(Ordering::Relaxed),
        };
        self.loads.iter().map(each).collect()
    }
}

/// A driver, and the future that does its work: `app.rs` spawns [`DriverTask::run`]. `backends` are there from the beginning;
/// those of `later` come by [`Order::Configure`], and their steps wait for it.
pub fn driver(
    backends: Vec<Arc<dyn Backend>>,
    later: &[&'static str],
    log: Arc<dyn StepLog>,
    shelf: Option<Arc<dyn Shelf>>,
    clock: Clock,
    reports: mpsc::Sender<StepReport>,
) -> (Driver, DriverTask) {
    let (orders, inbox) = mpsc::channel(ORDER_QUEUE);
    let mut lines: Vec<Line> = backends.into_iter().map(Line::ready).collect();
    lines.extend(later.iter().map(|name| Line::new(name, Place::NotYet)));
    let loads = Arc::new(lines.iter().map(|line| (line.name, Load::default())).collect::<Vec<_>>());
    let task = DriverTask {
        inbox,
        lines,
        stops: HashMap::new(),
        loads: Arc::clone(&loads),
        wake: None,
        shared: Arc::new(Shared { log, shelf, clock, reports }),
    };
    (Driver { orders, loads }, task)
}

struct Shared {
    log: Arc<dyn StepLog>,
    shelf: Option<Arc<dyn Shelf>>,
    clock: Clock,
    reports: mpsc::Sender<StepReport>,
}

/// The working part of the driver.
pub struct DriverTask {
    inbox: mpsc::Receiver<Order>,
    lines: Vec<Line>,
    stops: HashMap<StepId, watch::Sender<Option<Stop>>>,
    loads: Arc<Vec<(&'static str, Load)>>,
    /// When a line that waits by itself is to be looked at again.
    wake: Option<Instant>,
    shared: Arc<Shared>,
}

/// A step under way.
type Going = BoxFuture<'static, Ended>;

/// A step that has ended.
struct Ended {
    /// The line in which it had a place, if it had one, and whom it was for.
    place: Option<(usize, String)>,
    id: StepId,
    /// Whether the other side was there, if that is known.
    there: Option<bool>,
}

impl DriverTask {
    /// Works until the last [`Driver`] or the receiver of the reports is gone. Steps under way are dropped then; the
    /// journal has what is needed to go on with them.
    pub async fn run(mut self) {
        let mut going: FuturesUnordered<Going> = FuturesUnordered::new();
        let reports = self.shared.reports.clone();
        loop {
            tokio::select! {
                order = self.inbox.recv() => match order {
                    Some(order) => self.take(order, &going),
                    None => return,
                },
                Some(ended) = going.next() => {
                    if let Some((line, peer)) = ended.place {
                        self.stops.remove(&ended.id);
                        self.end(line, &peer, ended.there);
                        self.fill(line, &going);
                    }
                }
                () = wait_until(self.wake) => {
                    self.wake = None;
                    for line in 0..self.lines.len() {
                        self.fill(line, &going);
                    }
                }
                () = reports.closed() => return,
            }
        }
    }

    fn take(&mut self, order: Order, going: &FuturesUnordered<Going>) {
        match order {
            Order::Execute(call) => self.enqueue(Waiting::new(*call, None), going),
            Order::Resume { call, memo } => self.enqueue(Waiting::new(*call, Some(memo)), going),
            Order::Configure { backends, limits, rates } => {
                for line in &mut self.lines {
                    line.set_rate(rates.get(line.name).copied());
                }
                self.configure(backends, &limits, going);
            }
            Order::Abort { id, stop } => {
                if let Some(sender) = self.stops.get(&id) {
                    sender.send_if_modified(|s| s.is_none() && s.replace(stop).is_none());
                    return;
                }
                for line in 0..self.lines.len() {
                    let waiting = &mut self.lines[line].waiting;
                    if let Some(at) = waiting.iter().position(|w| w.call.id == id) {
                        waiting.remove(at);
                        self.note_load(line);
                        self.refuse(id, stop.error("it had not begun"), going);
                        return;
                    }
                }
            }
        }
    }

    fn configure(
        &mut self,
        backends: Vec<Arc<dyn Backend>>,
        limits: &BTreeMap<String, usize>,
        going: &FuturesUnordered<Going>,
    ) {
        for line in 0..self.lines.len() {
            let own = &mut self.lines[line];
            if !own.fixed {
                let made = backends.iter().find(|b| b.name() == own.name);
                own.place = made.map_or(Place::Missing, |b| Place::Ready(Arc::clone(b)));
            }
            if let Place::Ready(backend) = &own.place {
                own.limit = limits.get(own.name).copied().unwrap_or(backend.concurrency());
                self.fill(line, going);
                continue;
            }
            for step in std::mem::take(&mut own.waiting) {
                let error = missing(self.lines[line].name);
                self.refuse(step.call.id, error, going);
            }
            self.note_load(line);
        }
    }

    fn enqueue(&mut self, step: Waiting, going: &FuturesUnordered<Going>) {
        let found = self.lines.iter().position(|l| l.name == step.call.backend);
        let Some(line) = found else {
            let text = format!("this Catcher has no backend {:?}", step.call.backend);
            return self.refuse(step.call.id, StepError::permanent(text), going);
        };
        if matches!(self.lines[line].place, Place::Missing) {
            return self.refuse(step.call.id, missing(self.lines[line].name), going);
        }
        if self.lines[line].waiting.len() >= MAX_WAITING {
            let text = format!("{MAX_WAITING} steps wait for backend {} already", step.call.backend);
            return self.refuse(step.call.id, StepError::transient(text), going);
        }
        self.lines[line].push(step);
        self.fill(line, going);
    }

    /// Begins as many waiting steps as there are free places.
    fn fill(&mut self, line: usize, going: &FuturesUnordered<Going>) {
        while let Place::Ready(backend) = &self.lines[line].place {
            let backend = Arc::clone(backend);
            let step = match self.lines[line].begin(Instant::now()) {
                Ok(step) => step,
                Err(again) => {
                    self.wake = [self.wake, again].into_iter().flatten().min();
                    break;
                }
            };
            let (stop, _) = watch::channel(None);
            self.stops.insert(step.call.id.clone(), stop.clone());
            let shared = Arc::clone(&self.shared);
            let (id, peer) = (step.call.id.clone(), step.peer.clone());
            let ended = move |there| Ended { place: Some((line, peer)), id, there };
            going.push(follow(backend, step, stop, shared).map(ended).boxed());
        }
        self.note_load(line);
    }

    fn end(&mut self, line: usize, peer: &str, there: Option<bool>) {
        let own = &mut self.lines[line];
        if own.end(peer, there, Instant::now()) {
            let (name, pause) = (own.name, BREAKER_PAUSE.as_secs());
            let of = if peer.is_empty() { String::new() } else { format!(" ({peer})") };
            tracing::warn!(
                "backend {name}{of} failed {BREAKER_AFTER} times in a row and is left alone for {pause} s"
            );
        }
    }

    fn note_load(&self, line: usize) {
        let (_, load) = &self.loads[line];
        load.left_alone.store(self.lines[line].leaves_alone(), Ordering::Relaxed);
        load.running.store(self.lines[line].running, Ordering::Relaxed);
        load.waiting.store(self.lines[line].waiting.len(), Ordering::Relaxed);
    }

    /// Reports an end without a beginning; takes no place.
    fn refuse(&self, id: StepId, error: StepError, going: &FuturesUnordered<Going>) {
        let shared = Arc::clone(&self.shared);
        going.push(
            async move {
                shared.report(&id, StepReportKind::Ended(Err(error))).await;
                Ended { place: None, id, there: None }
            }
            .boxed(),
        );
    }
}

fn missing(backend: &str) -> StepError {
    StepError::permanent(format!(
        "backend {backend} is not configured at this site; see backends in the description of the configuration"
    ))
}

async fn wait_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Shared {
    /// Keeps a result as a file that is too large for an event; one that is too large for the run is cut to its summary.
    async fn keep_large(&self, id: &StepId, outcome: &mut StepOutcome) {
        let Some(text) = large::too_long(outcome) else { return };
        let mut note = None;
        match &self.shelf {
            Some(shelf) => match shelf.keep(id, large::FILE, Content::Bytes(text.as_bytes())).await {
                Ok(file) => outcome.files.push(file),
                Err(error) => note = Some(error.to_string()),
            },
            None => note = Some("there is no place for files here".to_owned()),
        }
        if let Some(note) = &note {
            tracing::warn!("{id}: its result of {} bytes was not kept: {note}", text.len());
        }
        if text.len() > large::MOST_KEPT {
            let mut short = large::short(&outcome.result);
            let url = outcome.files.iter().find(|f| f.name == large::FILE).map(|f| f.url.as_str());
            if let Some(short) = short.as_object_mut() {
                short.insert("result_url".to_owned(), url.into());
                short.insert("result_bytes".to_owned(), text.len().into());
            }
            outcome.result = short;
        }
    }

    async fn report(&self, id: &StepId, kind: StepReportKind) {
        // Without a receiver the process is ending; `run` notices by itself.
        drop(self.reports.send(StepReport { id: id.clone(), kind }).await);
    }
}

/// Carries one step out, from `Started` to `Ended`.
async fn follow(
    backend: Arc<dyn Backend>,
    step: Waiting,
    stop: watch::Sender<Option<Stop>>,
    shared: Arc<Shared>,
) -> Option<bool> {
    let Waiting { call, resume, .. } = step;
    shared.report(&call.id, StepReportKind::Started).await;
    let handle =
        StepHandle::new(call.id.clone(), stop.subscribe(), Arc::clone(&shared.log), shared.reports.clone());
    let mut outcome = limited(backend.as_ref(), &call, resume, &handle, &stop, &shared.clock).await;
    let there = match &outcome {
        Ok(_) => Some(true),
        Err(error) => match error.class {
            ErrorClass::Transient => Some(false),
            // It answered, if only that it will not.
            ErrorClass::Permanent => Some(true),
            ErrorClass::UnknownOutcome | ErrorClass::Aborted | ErrorClass::TimedOut => None,
        },
    };
    if let Ok(outcome) = &mut outcome {
        shared.keep_large(&call.id, outcome).await;
    }
    if let Err(error) = &outcome {
        tracing::info!(run = call.id.run_id, step = call.id.step, class = ?error.class, "step ended: {error}");
    }
    shared.report(&call.id, StepReportKind::Ended(outcome)).await;
    there
}

/// The backend's answer, or what the time limit, a stop or a panic makes of it.
async fn limited(
    backend: &dyn Backend,
    call: &StepCall,
    resume: Option<Option<Value>>,
    handle: &StepHandle,
    stop: &watch::Sender<Option<Stop>>,
    clock: &Clock,
) -> Result<StepOutcome, StepError> {
    let name = backend.name();
    let work = async {
        match resume {
            None => backend.execute(call, handle).await,
            Some(memo) => backend.resume(call, memo, handle).await,
        }
    };
    let mut work = std::pin::pin!(AssertUnwindSafe(work).catch_unwind());
    let caught = |result: Result<_, _>| match result {
        Ok(outcome) => outcome,
        Err(_panic) => Err(StepError::permanent(format!("backend {name} panicked: this is a bug"))),
    };
    let reason = tokio::select! {
        result = &mut work => return caught(result),
        reason = handle.stop_requested() => reason,
        () = clock.sleep(call.timeout) => {
            let reason = Stop::TimeUp(format!("no result within {} s", call.timeout.as_secs_f64()));
            stop.send_if_modified(|s| s.is_none() && s.replace(reason.clone()).is_none());
            reason
        }
    };
    tokio::select! {
        result = &mut work => caught(result),
        () = clock.sleep(ABORT_GRACE) => {
            let detail = format!("backend {name} did not end the step within {} s", ABORT_GRACE.as_secs_f64());
            Err(reason.error(&detail))
        }
    }
}
