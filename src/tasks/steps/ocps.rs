//! The backend `ocps`: a pipeline run by the OCPS CSC, commanded over SAL.
//!
//! What makes a job run once, though we or the bus may die at any moment (design section 5):
//!
//! ```text
//!  OCPS lives? ─► prepare ─► journal ABOUT TO SEND ─► send by the durable writer ─► journal SENT ─► follow
//!                            (the record itself, its     (delivery awaited)
//!                             number, identity, origin,
//!                             read positions)
//!  after a restart: SENT ─► adopt: acks and job_result from the noted positions
//!                   ABOUT TO SEND ─► look into the command topic from the noted position:
//!                        there ─► adopt;  expired ─► outcome unknown;  not there ─► send, unless it is too late
//!                   nothing ─► begin, unless it is too late
//! ```
//!
//! A command whose fate is unknown is never sent again, unless the rule says `resend_if_unknown`. An OCPS that does not
//! live gets nothing: that is a transient error. When the step is stopped, the job is aborted by `abort_job` (which also
//! deletes its outputs), so that nobody computes what nobody waits for.
//!
//! How a job is followed, and what counts as its end: [`follow`].

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sal_idl::Component;
use salobj::{AckError, Domain, Prepared, SalError, SentState, Tracked, Value as SalValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{Mutex, OnceCell};

use super::{AllowedCommands, Backend, StepHandle};
use crate::tasks::call::{StepCall, StepError, StepOutcome, Stop};
use follow::{Heard, Job, JobResult, Known, Patience};
use link::{Cursor, Link};
use params::RAPID_ANALYSIS;

mod follow;
mod link;
mod params;
#[cfg(test)]
mod tests;

pub use params::OcpsParams;

/// How a job ends that has this result; without an exit code it ends well.
pub(super) fn given(result: &Value) -> Result<StepOutcome, StepError> {
    let Some(exit_code) = result.get("exit_code").and_then(Value::as_i64) else {
        return Ok(StepOutcome { result: result.clone(), ..StepOutcome::default() });
    };
    let job_id = result.get("job_id").and_then(Value::as_str).unwrap_or("test-job").to_owned();
    let of_job = result.get("result").map_or_else(|| "{}".to_owned(), Value::to_string);
    follow::conclude(&follow::JobResult { job_id, exit_code, result: of_job })
}

/// How long an OCPS that was never heard is waited for before a command. Its heartbeat comes every second.
const PRESENCE: Duration = Duration::from_secs(10);
/// Without a sign of life for so long it counts as gone. It is silent for up to 9 s during an HTTP request.
const SILENT: Duration = Duration::from_secs(30);
/// For a `job_result` after a final acknowledgement that failed.
const AFTER_ACK: Duration = Duration::from_secs(5);
/// For anything after OCPS left its working states or was started anew.
const AFTER_STATE: Duration = Duration::from_secs(30);
/// For the acknowledgement of `abort_job`, and for the end of the job after it.
const ABORT: Duration = Duration::from_secs(10);
/// No limit above is shorter than this in real time, however fast the clock of a demonstration runs.
const REAL_MINIMUM: Duration = Duration::from_secs(3);
/// For connecting to the bus, real time.
const CONNECT: Duration = Duration::from_secs(30);
/// Between two looks at a bus that does not answer, real time.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Jobs followed at a time, over all instances.
const CONCURRENCY: usize = 64;

/// Carries out `ocps` steps.
pub struct OcpsBackend {
    domain: Domain,
    component: Arc<Component>,
    allowed: AllowedCommands,
    links: Mutex<HashMap<i64, Arc<OnceCell<Arc<Link>>>>>,
}

/// What is journaled of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Memo {
    phase: Phase,
    index: i64,
    command: Prepared,
    /// High watermark of `job_result` before sending.
    result_position: i64,
    known: Known,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    AboutToSend,
    Sent,
}

/// What the bus tells about a command of an earlier process.
struct Past {
    link: Arc<Link>,
    /// Before it was read: what came meanwhile is not lost.
    cursor: Cursor,
    found: Found,
}

enum Found {
    Sent { tracked: Tracked, results: Vec<JobResult> },
    NotSent,
    Unknown,
}

impl OcpsBackend {
    /// Commands the OCPS instances on the bus of `domain`, in its name: `execute`, and `abort_job` for what it
    /// started. `component` is the interface of OCPS; `allowed` says what the site lets us send.
    pub fn new(domain: Domain, component: Arc<Component>, allowed: AllowedCommands) -> Self {
        Self { domain, component, allowed, links: Mutex::default() }
    }

    /// A limit in the domain's clock that is not too short for real processes.
    fn limit(&self, limit: Duration) -> Duration {
        limit.max(REAL_MINIMUM.mul_f64(self.domain.clock().speed()))
    }

    fn patience(&self) -> Patience {
        Patience {
            silent: self.limit(SILENT),
            after_ack: self.limit(AFTER_ACK),
            after_state: self.limit(AFTER_STATE),
        }
    }

    /// May this command be sent to that instance?
    fn may(&self, index: i64, command: &str) -> Result<(), String> {
        if i32::try_from(index).is_ok_and(|index| (self.allowed)("OCPS", index, command)) {
            return Ok(());
        }
        Err(format!("{command} of OCPS:{index} is not among the allowed_commands of this site"))
    }

    /// The link to an instance, made at its first use and kept.
    async fn link(&self, index: i64) -> Result<Arc<Link>, StepError> {
        let cell = Arc::clone(self.links.lock().await.entry(index).or_default());
        let open = cell.get_or_try_init(|| async {
            Link::open(&self.domain, Arc::clone(&self.component), index).await.map(Arc::new)
        });
        match tokio::time::timeout(CONNECT, open).await {
            Ok(Ok(link)) => Ok(Arc::clone(link)),
            Ok(Err(e)) => {
                Err(StepError::transient(format!("OCPS:{index} cannot be reached: {e}; nothing was sent")))
            }
            Err(_) => Err(StepError::transient(format!(
                "OCPS:{index} cannot be reached: the bus did not answer within {} s; nothing was sent",
                CONNECT.as_secs()
            ))),
        }
    }

    /// The link, once its OCPS shows that it lives; the process of that OCPS.
    async fn living(&self, index: i64) -> Result<(Arc<Link>, i64), StepError> {
        let link = self.link(index).await?;
        let limit = self.limit(PRESENCE);
        match link.wait_alive(self.limit(SILENT), limit).await {
            Some(origin) => Ok((link, origin)),
            None => Err(StepError::transient(format!(
                "OCPS:{index} is not there: no heartbeat within {} s; nothing was sent",
                limit.as_secs_f64()
            ))),
        }
    }

    async fn begin(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        let params = OcpsParams::read(&call.params)?;
        let index = params.index;
        self.may(index, "execute").map_err(|e| StepError::permanent(format!("{e}; nothing was sent")))?;
        let (link, memo) = tokio::select! {
            ready = self.prepare(&params) => ready?,
            stop = step.stop_requested() => return Err(stop.error("nothing was sent to OCPS")),
        };
        step.record(&json(&memo)).await?;
        self.send(&link, memo, step).await
    }

    async fn prepare(&self, params: &OcpsParams) -> Result<(Arc<Link>, Memo), StepError> {
        let index = params.index;
        let (link, origin) = self.living(index).await?;
        let bus = |e: SalError| StepError::transient(format!("OCPS:{index}: {e}; nothing was sent"));
        let fields = params.fields().map(|(name, text)| (name, SalValue::Text(text.into())));
        let command = link.remote.command("execute").map_err(bus)?.prepare(&fields).await.map_err(bus)?;
        let result_position = link.result_position().await.map_err(bus)?;
        let known = Known { origin: Some(origin), job_id: None };
        let memo = Memo { phase: Phase::AboutToSend, index, command, result_position, known };
        Ok((link, memo))
    }

    /// Sends a command that is in the journal, and follows it.
    async fn send(&self, link: &Link, mut memo: Memo, step: &StepHandle) -> Result<StepOutcome, StepError> {
        if let Some(stop) = step.stopped() {
            return Err(stop.error("nothing was sent to OCPS"));
        }
        let index = memo.index;
        let cursor = link.now();
        let bus = |e: SalError| StepError::permanent(format!("OCPS:{index}: {e}"));
        let command = link.remote.command("execute").map_err(bus)?;
        let tracked = match command.send(&memo.command).await {
            Ok(tracked) => tracked,
            Err(error) => {
                tracing::warn!("OCPS:{index}: execute was not delivered: {error}");
                match command.find_sent(&memo.command).await {
                    Ok(SentState::Sent) => self.adopt(link, &memo).await?,
                    Ok(SentState::NotSent | SentState::Unknown) | Err(_) => {
                        return Err(StepError::unknown(format!(
                            "execute may or may not have reached OCPS:{index}: {error}; it is not sent again"
                        )));
                    }
                }
            }
        };
        memo.phase = Phase::Sent;
        if let Err(e) = step.record(&json(&memo)).await {
            // It is out. What the journal has makes a restart look into the command topic, and find it.
            tracing::warn!("OCPS:{index}: {e}");
        }
        let job = self.job(&memo);
        self.follow(link, memo, job, tracked, cursor, step).await
    }

    async fn adopt(&self, link: &Link, memo: &Memo) -> Result<Tracked, StepError> {
        link.remote.adopt(&memo.command).await.map_err(|e| {
            StepError::unknown(format!(
                "execute was sent to OCPS:{}, but its answers cannot be read: {e}",
                memo.index
            ))
        })
    }

    fn job(&self, memo: &Memo) -> Job {
        let hands_over = memo.index == RAPID_ANALYSIS;
        let now = self.domain.clock().now();
        Job::new(memo.index, hands_over, memo.command.seq_num, memo.known.clone(), self.patience(), now)
    }

    async fn follow(
        &self,
        link: &Link,
        mut memo: Memo,
        mut job: Job,
        mut tracked: Tracked,
        mut cursor: Cursor,
        step: &StepHandle,
    ) -> Result<StepOutcome, StepError> {
        let clock = self.domain.clock();
        let mut changed = link.subscribe();
        let mut acks = true;
        loop {
            let heard = tokio::select! {
                ack = tracked.next(), if acks => match ack {
                    Some(ack) => vec![Heard::Ack { code: ack.ack, text: ack.result }],
                    None => {
                        acks = false;
                        Vec::new()
                    }
                },
                Ok(()) = changed.changed() => link.take(&mut cursor),
                () = clock.sleep_until(job.next_deadline()) => vec![Heard::Nothing],
                stop = step.stop_requested() => {
                    return self.stop(link, job, tracked, cursor, &stop).await;
                }
            };
            for heard in heard {
                if let Some(over) = job.hear(heard, clock.now()) {
                    return over;
                }
            }
            if memo.known != job.known {
                let new_id = job.known.job_id.clone().filter(|_| memo.known.job_id.is_none());
                memo.known = job.known.clone();
                if let Some(id) = new_id {
                    step.progress(&id).await;
                    // Only saves a look back after a restart.
                    if let Err(e) = step.record(&json(&memo)).await {
                        tracing::warn!("OCPS:{}: {e}", memo.index);
                    }
                }
            }
        }
    }

    /// Ends a job that nobody waits for any more. Its own end counts if it comes first.
    async fn stop(
        &self,
        link: &Link,
        mut job: Job,
        mut tracked: Tracked,
        mut cursor: Cursor,
        stop: &Stop,
    ) -> Result<StepOutcome, StepError> {
        let clock = self.domain.clock();
        let limit = self.limit(ABORT);
        let mut changed = link.subscribe();
        // The job's id may be on its way; then its end is.
        let mut aborting: Option<futures::future::BoxFuture<'_, Result<(), AckError>>> = None;
        let mut refused = match self.may(job.index(), "abort_job") {
            Ok(()) => String::new(),
            Err(e) => format!("{e}, so it goes on"),
        };
        let mut until = clock.now() + limit;
        loop {
            if aborting.is_none()
                && refused.is_empty()
                && let Some(id) = job.known.job_id.clone()
            {
                // A little longer than the acknowledgement is waited for, so that its absence is told.
                until = clock.now() + limit + limit / 5;
                aborting = Some(Box::pin(abort_job(link, id, limit)));
            }
            let abort = async {
                match aborting.as_mut() {
                    Some(abort) => abort.await,
                    None => std::future::pending().await,
                }
            };
            let heard = tokio::select! {
                Some(ack) = tracked.next() => vec![Heard::Ack { code: ack.ack, text: ack.result }],
                Ok(()) = changed.changed() => link.take(&mut cursor),
                answer = abort => {
                    refused = match answer {
                        Ok(()) => "it was aborted".to_owned(),
                        Err(e) => format!("abort_job was refused: {e}"),
                    };
                    aborting = None;
                    Vec::new()
                }
                () = clock.sleep_until(until) => {
                    let detail = [job.so_far(), refused].join("; ");
                    let id = job.known.job_id.unwrap_or_default();
                    return Err(stop.error(detail.trim_end_matches("; ")).with_backend_id(id));
                }
            };
            for heard in heard {
                match job.hear(heard, clock.now()) {
                    None => {}
                    Some(Ok(outcome)) => return Ok(outcome),
                    Some(Err(end)) => {
                        let error = stop.error(&end.text).with_result(*end.result);
                        return Err(error.with_backend_id(end.backend_id));
                    }
                }
            }
        }
    }

    /// Goes on with a command that is in the journal.
    async fn go_on(&self, call: &StepCall, memo: Memo, step: &StepHandle) -> Result<StepOutcome, StepError> {
        let index = memo.index;
        // Also a step that is to stop must know its job, to abort it.
        let given_up = async {
            let stop = step.stop_requested().await;
            self.domain.clock().sleep(self.limit(ABORT / 2)).await;
            stop
        };
        let mut given_up = std::pin::pin!(given_up);
        let past = loop {
            // The bus may come up later than we do; the step's time limit bounds this.
            let error = tokio::select! {
                past = self.look_back(&memo) => match past {
                    Ok(past) => break past,
                    Err(error) => error,
                },
                stop = &mut given_up => {
                    let detail = format!("what became of the command to OCPS:{index} could not be read after a restart");
                    return Err(stop.error(&detail));
                }
            };
            tracing::warn!("OCPS:{index}, after a restart: {error}");
            tokio::time::sleep(LOOK_AGAIN).await;
        };
        let Past { link, cursor, found } = past;
        let (tracked, results) = match found {
            Found::Sent { tracked, results } => (tracked, results),
            Found::NotSent => {
                if let Some(stop) = step.stopped() {
                    return Err(stop.error("nothing was sent to OCPS"));
                }
                super::in_time(call, self.domain.clock().now())?;
                let (link, origin) = self.living(index).await?;
                let known = Known { origin: Some(origin), job_id: None };
                return self.send(&link, Memo { known, ..memo }, step).await;
            }
            Found::Unknown if call.resend_if_unknown => {
                super::in_time(call, self.domain.clock().now())?;
                return self.begin(call, step).await;
            }
            Found::Unknown => {
                return Err(StepError::unknown(format!(
                    "the restart came while execute was on its way to OCPS:{index}, and the command topic does not \
                     reach back so far: it is not known whether it was sent, and it is not sent again"
                )));
            }
        };
        let mut job = self.job(&memo);
        let now = || self.domain.clock().now();
        let state = link.summary().map(|(state, report)| Heard::State { state, report });
        for heard in results.into_iter().map(Heard::JobResult).chain(state) {
            if let Some(over) = job.hear(heard, now()) {
                return over;
            }
        }
        self.follow(&link, Memo { phase: Phase::Sent, ..memo }, job, tracked, cursor, step).await
    }

    /// Reads from the bus what became of a command of an earlier process.
    async fn look_back(&self, memo: &Memo) -> Result<Past, String> {
        let link = self.link(memo.index).await.map_err(|e| e.text)?;
        let cursor = link.now();
        let text = |e: SalError| e.to_string();
        let sent = match memo.phase {
            Phase::Sent => SentState::Sent,
            Phase::AboutToSend => {
                let command = link.remote.command("execute").map_err(text)?;
                command.find_sent(&memo.command).await.map_err(text)?
            }
        };
        let found = match sent {
            SentState::NotSent => Found::NotSent,
            SentState::Unknown => Found::Unknown,
            SentState::Sent => {
                let results = link.results_since(memo.result_position).await.map_err(text)?;
                let tracked = link.remote.adopt(&memo.command).await.map_err(text)?;
                Found::Sent { tracked, results }
            }
        };
        Ok(Past { link, cursor, found })
    }
}

#[async_trait]
impl Backend for OcpsBackend {
    fn name(&self) -> &'static str {
        "ocps"
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    async fn execute(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        self.begin(call, step).await
    }

    async fn resume(
        &self,
        call: &StepCall,
        memo: Option<Value>,
        step: &StepHandle,
    ) -> Result<StepOutcome, StepError> {
        let Some(memo) = memo else {
            super::in_time(call, self.domain.clock().now())?;
            return self.begin(call, step).await;
        };
        match serde_json::from_value::<Memo>(memo) {
            Ok(memo) => self.go_on(call, memo, step).await,
            Err(e) => {
                Err(StepError::unknown(format!("the journal's record of the command cannot be read: {e}")))
            }
        }
    }
}

async fn abort_job(link: &Link, id: String, limit: Duration) -> Result<(), AckError> {
    let fields = [("job_id", SalValue::Text(id.as_str().into()))];
    link.remote.command("abort_job")?.start(&fields, limit, true).await.map(|_| ())
}

fn json(memo: &Memo) -> Value {
    serde_json::to_value(memo).expect("texts, numbers and lists always fit JSON")
}
