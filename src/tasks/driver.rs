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

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use salobj::Clock;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use super::call::{StepCall, StepError, StepId, StepOutcome, StepReport, StepReportKind, Stop};
use super::steps::{Backend, StepHandle, StepLog};

#[cfg(test)]
mod tests;

/// How long a backend may take to end a step after it was told to stop. Time of the driver's clock.
pub const ABORT_GRACE: Duration = Duration::from_secs(30);

/// Most steps that wait for one backend.
pub const MAX_WAITING: usize = 4096;

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
}

#[derive(Debug, Default)]
struct Load {
    running: AtomicUsize,
    waiting: AtomicUsize,
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
        shared: Arc::new(Shared { log, clock, reports }),
    };
    (Driver { orders, loads }, task)
}

/// A step that waits for its backend.
struct Waiting {
    call: StepCall,
    /// `Some` for a step that goes on after a restart, with its memo.
    resume: Option<Option<Value>>,
}

struct Line {
    name: &'static str,
    place: Place,
    /// From the beginning, whatever the site configures.
    fixed: bool,
    limit: usize,
    waiting: VecDeque<Waiting>,
    running: usize,
}

/// Whether there is a backend at the end of the line.
enum Place {
    /// Nobody has configured anything yet.
    NotYet,
    /// The site does not have it.
    Missing,
    Ready(Arc<dyn Backend>),
}

impl Line {
    fn new(name: &'static str, place: Place) -> Line {
        Line { name, place, fixed: false, limit: 0, waiting: VecDeque::new(), running: 0 }
    }

    fn ready(backend: Arc<dyn Backend>) -> Line {
        let limit = backend.concurrency();
        Line { fixed: true, limit, ..Line::new(backend.name(), Place::Ready(backend)) }
    }
}

struct Shared {
    log: Arc<dyn StepLog>,
    clock: Clock,
    reports: mpsc::Sender<StepReport>,
}

/// The working part of the driver.
pub struct DriverTask {
    inbox: mpsc::Receiver<Order>,
    lines: Vec<Line>,
    stops: HashMap<StepId, watch::Sender<Option<Stop>>>,
    loads: Arc<Vec<(&'static str, Load)>>,
    shared: Arc<Shared>,
}

/// A step under way: the line it takes a place in (if it does) and its id when it has ended.
type Going = BoxFuture<'static, (Option<usize>, StepId)>;

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
                Some((line, id)) = going.next() => {
                    if let Some(line) = line {
                        self.lines[line].running -= 1;
                        self.stops.remove(&id);
                        self.fill(line, &going);
                    }
                }
                () = reports.closed() => return,
            }
        }
    }

    fn take(&mut self, order: Order, going: &FuturesUnordered<Going>) {
        match order {
            Order::Execute(call) => self.enqueue(Waiting { call: *call, resume: None }, going),
            Order::Resume { call, memo } => self.enqueue(Waiting { call: *call, resume: Some(memo) }, going),
            Order::Configure { backends, limits } => self.configure(backends, &limits, going),
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
        self.lines[line].waiting.push_back(step);
        self.fill(line, going);
    }

    /// Begins as many waiting steps as there are free places.
    fn fill(&mut self, line: usize, going: &FuturesUnordered<Going>) {
        while let Place::Ready(backend) = &self.lines[line].place
            && self.lines[line].running < self.lines[line].limit.max(1)
        {
            let backend = Arc::clone(backend);
            let Some(step) = self.lines[line].waiting.pop_front() else { break };
            let (stop, _) = watch::channel(None);
            self.stops.insert(step.call.id.clone(), stop.clone());
            self.lines[line].running += 1;
            let shared = Arc::clone(&self.shared);
            let id = step.call.id.clone();
            going.push(follow(backend, step, stop, shared).map(move |()| (Some(line), id)).boxed());
        }
        self.note_load(line);
    }

    fn note_load(&self, line: usize) {
        let (_, load) = &self.loads[line];
        load.running.store(self.lines[line].running, Ordering::Relaxed);
        load.waiting.store(self.lines[line].waiting.len(), Ordering::Relaxed);
    }

    /// Reports an end without a beginning; takes no place.
    fn refuse(&self, id: StepId, error: StepError, going: &FuturesUnordered<Going>) {
        let shared = Arc::clone(&self.shared);
        going.push(
            async move {
                shared.report(&id, StepReportKind::Ended(Err(error))).await;
                (None, id)
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

impl Shared {
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
) {
    let Waiting { call, resume } = step;
    shared.report(&call.id, StepReportKind::Started).await;
    let handle =
        StepHandle::new(call.id.clone(), stop.subscribe(), Arc::clone(&shared.log), shared.reports.clone());
    let outcome = limited(backend.as_ref(), &call, resume, &handle, &stop, &shared.clock).await;
    if let Err(error) = &outcome {
        tracing::info!(run = call.id.run_id, step = call.id.step, class = ?error.class, "step ended: {error}");
    }
    shared.report(&call.id, StepReportKind::Ended(outcome)).await;
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
