//! One OCPS as all steps that use it see it: its remote, its last `job_result` events, whether it lives.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sal_idl::Component;
use sal_idl::names::kafka_topic;
use salobj::transport::StartAt;
use salobj::wire::Want;
use salobj::{Clock, Domain, Remote, RemoteOptions, SalError, Sample, SummaryState, Tai, Value};
use tokio::sync::watch;

use super::follow::{Heard, JobResult};
use crate::tasks::scan::{Met, Scan};

/// `job_result` events kept. A step takes those that came since it looked last, so this many would have to come at once.
const KEEP_RESULTS: usize = 1000;

/// How long reading old `job_result` events may take without giving anything, real time.
const SCAN_PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
struct State {
    results: VecDeque<(u64, JobResult)>,
    results_seen: u64,
    alive: Option<(Tai, i64)>,
    beats: u64,
    summary: Option<SummaryState>,
    summaries: u64,
    report: String,
}

/// What a step has taken from a [`Link`] so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cursor {
    results: u64,
    beats: u64,
    summaries: u64,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<()>,
    clock: Clock,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, sample: &Sample, what: impl FnOnce(&mut State, &Sample)) {
        {
            let mut state = self.state();
            state.beats += 1;
            state.alive = Some((self.clock.now(), sample.origin()));
            what(&mut state, sample);
        }
        self.changed.send_replace(());
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) remote: Remote,
    index: i64,
    domain: Domain,
    shared: Arc<Shared>,
}

impl Link {
    /// Opens the remote and begins to listen.
    pub(super) async fn open(
        domain: &Domain,
        component: Arc<Component>,
        index: i64,
    ) -> Result<Self, SalError> {
        let number =
            i32::try_from(index).map_err(|_| SalError::Options(format!("there is no OCPS:{index}")))?;
        let options = RemoteOptions {
            discard_out_of_order_events: false,
            ..RemoteOptions::include(["job_result", "heartbeat", "summaryState", "errorCode"])
        };
        let remote = Remote::open(domain, component, number, options).await?;
        let (changed, _) = watch::channel(());
        let shared = Arc::new(Shared { state: Mutex::default(), changed, clock: domain.clock().clone() });
        listen(&remote, &shared, "heartbeat", |_, _| {})?;
        listen(&remote, &shared, "job_result", |state, sample| {
            state.results_seen += 1;
            let result = job_result(sample.str("job_id"), sample.i64("exit_code"), sample.str("result"));
            state.results.push_back((state.results_seen, result));
            if state.results.len() > KEEP_RESULTS {
                state.results.pop_front();
            }
        })?;
        listen(&remote, &shared, "errorCode", |state, sample| {
            state.report = match sample.i64("errorCode") {
                0 => String::new(),
                code => format!("{code}: {}", sample.str("errorReport")),
            };
        })?;
        listen(&remote, &shared, "summaryState", |state, sample| {
            state.summary = SummaryState::from_value(sample.i64("summaryState"));
            state.summaries += 1;
        })?;
        Ok(Self { remote, index, domain: domain.clone(), shared })
    }

    /// A cursor before which nothing counts: what comes from now on is heard.
    pub(super) fn now(&self) -> Cursor {
        let state = self.shared.state();
        Cursor { results: state.results_seen, beats: state.beats, summaries: state.summaries }
    }

    /// Process of the OCPS that was heard last, if it lives: its last sign of life is not older than that.
    pub(super) fn alive(&self, silent: Duration) -> Option<i64> {
        let (at, origin) = self.shared.state().alive?;
        (self.shared.clock.now().since(at) < silent).then_some(origin)
    }

    /// Its summary state, as it was told last (also before we listened), and the last error report.
    pub(super) fn summary(&self) -> Option<(SummaryState, String)> {
        let told = self.shared.state();
        let before = || self.remote.event("summaryState").ok()?.get();
        let state = told.summary.or_else(|| SummaryState::from_value(before()?.i64("summaryState")));
        Some((state?, told.report.clone()))
    }

    /// Waits until it lives, at most so long; its process.
    pub(super) async fn wait_alive(&self, silent: Duration, limit: Duration) -> Option<i64> {
        let mut changed = self.shared.changed.subscribe();
        let wait = async {
            loop {
                if let Some(origin) = self.alive(silent) {
                    return origin;
                }
                if changed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        self.shared.clock.timeout(limit, wait).await.ok()
    }

    /// Tells of changes; see [`Self::take`].
    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.shared.changed.subscribe()
    }

    /// What was heard since the cursor, which moves on.
    pub(super) fn take(&self, cursor: &mut Cursor) -> Vec<Heard> {
        let state = self.shared.state();
        let mut heard = Vec::new();
        let new =
            |(n, result): &(u64, JobResult)| (*n > cursor.results).then(|| Heard::JobResult(result.clone()));
        heard.extend(state.results.iter().filter_map(new));
        if state.results_seen - cursor.results > KEEP_RESULTS as u64 {
            tracing::error!("more than {KEEP_RESULTS} job_result events of OCPS:{} came at once", self.index);
        }
        if let Some((_, origin)) = state.alive.filter(|_| state.beats > cursor.beats) {
            heard.push(Heard::Alive { origin });
        }
        if let Some(summary) = state.summary.filter(|_| state.summaries > cursor.summaries) {
            heard.push(Heard::State { state: summary, report: state.report.clone() });
        }
        *cursor = Cursor { results: state.results_seen, beats: state.beats, summaries: state.summaries };
        heard
    }

    /// High watermark of the `job_result` topic: what comes from now on is there or later.
    pub(super) async fn result_position(&self) -> Result<i64, SalError> {
        let (_, high) = self.domain.transport().watermarks(&self.result_topic(), 0).await?;
        Ok(high)
    }

    /// All `job_result` events of this instance from a position to now.
    pub(super) async fn results_since(&self, position: i64) -> Result<Vec<JobResult>, SalError> {
        let wants = ["job_id", "exit_code", "result", "salIndex"].map(Want::field).to_vec();
        let start = StartAt::Offset(position);
        let mut scan = Scan::open(self.domain.transport(), &self.result_topic(), start, wants).await?;
        let mut results = Vec::new();
        let outcome = loop {
            let Ok(met) = tokio::time::timeout(SCAN_PATIENCE, scan.next()).await else {
                let what = format!("old job_result events of OCPS:{}", self.index);
                break Err(SalError::Timeout { what, seconds: SCAN_PATIENCE.as_secs_f64() });
            };
            match met {
                Met::CaughtUp => break Ok(results),
                Met::Begin { .. } => {}
                Met::Trouble(error) => tracing::warn!("reading old job_result events: {error}"),
                Met::Row(row) => {
                    if let [Value::Text(id), Value::Int(code), Value::Text(result), Value::Int(index)] =
                        &row.cells[..]
                        && *index == self.index
                    {
                        results.push(job_result(id, *code, result));
                    }
                }
            }
        };
        scan.close().await;
        outcome
    }

    fn result_topic(&self) -> String {
        kafka_topic(&self.domain.env().topic_subname, "OCPS", "logevent_job_result")
    }
}

fn listen(
    remote: &Remote,
    shared: &Arc<Shared>,
    event: &str,
    what: impl Fn(&mut State, &Sample) + Send + Sync + Copy + 'static,
) -> Result<(), SalError> {
    let shared = Arc::clone(shared);
    remote.event(event)?.callback(move |sample| {
        shared.note(&sample, what);
        std::future::ready(())
    })
}

fn job_result(job_id: &str, exit_code: i64, result: &str) -> JobResult {
    JobResult { job_id: job_id.to_owned(), exit_code, result: result.to_owned() }
}
