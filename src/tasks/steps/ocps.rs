//! The backend `ocps`: a pipeline run by the OCPS CSC, commanded over SAL.
//!
//! A job runs once, though we or the bus may die at any moment: [`crate::tasks::peers`] says how it is sent and found again.
//! A command whose fate is unknown is never sent again, unless the rule says `resend_if_unknown`. An OCPS that does not
//! live gets nothing: that is a transient error. When the step is stopped, the job is aborted by `abort_job` (which also
//! deletes its outputs), so that nobody computes what nobody waits for.
//!
//! How a job is followed, and what counts as its end: [`follow`]. Where OCPS leaves that open, the service that runs the job is asked,
//! if the site says which it is: [`job_service`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sal_idl::Component;
use salobj::{AckError, SalError, Tracked, Value as SalValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AllowedCommands, Backend, Intent, StepHandle};
use crate::tasks::call::{ErrorClass, StepCall, StepError, StepOutcome, Stop};
use crate::tasks::peers::{self, Cursor, Errand, News, Past, Peer, Peers, Phase, Watch, Whom};
use follow::{Heard, Job, JobResult, Known, Patience};
use params::RAPID_ANALYSIS;

mod follow;
mod job_service;
mod params;
#[cfg(test)]
mod tests;

pub use job_service::{JobService, Told};
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

/// For a `job_result` after a final acknowledgement that failed.
const AFTER_ACK: Duration = Duration::from_secs(5);
/// For anything after OCPS left its working states or was started anew.
const AFTER_STATE: Duration = Duration::from_secs(30);
/// For the acknowledgement of `abort_job`, and for the end of the job after it.
const ABORT: Duration = Duration::from_secs(10);
/// Jobs followed at a time, over all instances.
const CONCURRENCY: usize = 64;

/// Carries out `ocps` steps.
pub struct OcpsBackend {
    peers: Arc<Peers>,
    component: Arc<Component>,
    allowed: AllowedCommands,
    service: Option<Arc<dyn JobService>>,
}

/// What is journaled of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Memo {
    #[serde(flatten)]
    errand: Errand,
    index: i64,
    known: Known,
}

impl OcpsBackend {
    /// Commands the OCPS instances among `peers`: `execute`, and `abort_job` for what it started. `component` is the
    /// interface of OCPS; `allowed` says what the site lets us send.
    pub fn new(peers: Arc<Peers>, component: Arc<Component>, allowed: AllowedCommands) -> Self {
        Self { peers, component, allowed, service: None }
    }

    /// The service that is asked about jobs of which OCPS tells nothing more.
    #[must_use]
    pub fn asking(self, service: Arc<dyn JobService>) -> Self {
        Self { service: Some(service), ..self }
    }

    fn patience(&self) -> Patience {
        Patience {
            silent: self.peers.silent(),
            after_ack: self.peers.limit(AFTER_ACK),
            after_state: self.peers.limit(AFTER_STATE),
        }
    }

    /// May this command be sent to that instance?
    fn may(&self, index: i64, command: &str, fields: &[(&str, SalValue)]) -> Result<(), String> {
        let number = i32::try_from(index).map_err(|_| format!("there is no OCPS:{index}"))?;
        (self.allowed)(&Intent { component: "OCPS", index: number, command, fields, complete: true })
    }

    fn whom(&self, index: i64) -> Whom {
        let watches = vec![Watch::new("job_result", ["job_id", "exit_code", "result"])];
        Whom { component: Arc::clone(&self.component), index, watches }
    }

    async fn begin(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        let params = OcpsParams::read(&call.params)?;
        let index = params.index;
        let fields = params.fields().map(|(name, text)| (name, SalValue::Text(text.into())));
        self.may(index, "execute", &fields)
            .map_err(|e| StepError::permanent(format!("{e}; nothing was sent")))?;
        let (peer, memo) = tokio::select! {
            ready = self.prepare(index, &fields) => ready?,
            stop = step.stop_requested() => return Err(stop.error("nothing was sent to OCPS")),
        };
        step.record(&json(&memo)).await?;
        self.send(&peer, memo, step).await
    }

    async fn prepare(&self, index: i64, fields: &[(&str, SalValue)]) -> Result<(Arc<Peer>, Memo), StepError> {
        let (peer, origin) = self.peers.living(&self.whom(index)).await?;
        let bus = |e: SalError| StepError::transient(format!("OCPS:{index}: {e}; nothing was sent"));
        let errand = peer.prepare("execute", fields).await.map_err(bus)?;
        let memo = Memo { errand, index, known: Known { origin: Some(origin), job_id: None } };
        Ok((peer, memo))
    }

    /// Sends a command that is in the journal, and follows it.
    async fn send(&self, peer: &Peer, mut memo: Memo, step: &StepHandle) -> Result<StepOutcome, StepError> {
        if let Some(stop) = step.stopped() {
            return Err(stop.error("nothing was sent to OCPS"));
        }
        let index = memo.index;
        let cursor = peer.now();
        let tracked = peer.send(&memo.errand).await?;
        memo.errand.phase = Phase::Sent;
        if let Err(e) = step.record(&json(&memo)).await {
            // It is out. What the journal has makes a restart look into the command topic, and find it.
            tracing::warn!("OCPS:{index}: {e}");
        }
        let job = self.job(&memo);
        self.follow(peer, memo, job, tracked, cursor, step).await
    }

    fn job(&self, memo: &Memo) -> Job {
        let hands_over = memo.index == RAPID_ANALYSIS;
        let now = self.peers.clock().now();
        Job::new(
            memo.index,
            hands_over,
            memo.errand.command.seq_num,
            memo.known.clone(),
            self.patience(),
            now,
        )
    }

    async fn follow(
        &self,
        peer: &Peer,
        mut memo: Memo,
        mut job: Job,
        mut tracked: Tracked,
        mut cursor: Cursor,
        step: &StepHandle,
    ) -> Result<StepOutcome, StepError> {
        let clock = self.peers.clock();
        let mut changed = peer.subscribe();
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
                Ok(()) = changed.changed() => hear(peer, &mut cursor),
                () = clock.sleep_until(job.next_deadline()) => vec![Heard::Nothing],
                stop = step.stop_requested() => {
                    return self.stop(peer, job, tracked, cursor, &stop).await;
                }
            };
            for heard in heard {
                if let Some(over) = job.hear(heard, clock.now()) {
                    return self
                        .settled(over, memo.index, job.known.job_id, memo.errand.command.seq_num, step)
                        .await;
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
        peer: &Peer,
        mut job: Job,
        mut tracked: Tracked,
        mut cursor: Cursor,
        stop: &Stop,
    ) -> Result<StepOutcome, StepError> {
        let clock = self.peers.clock();
        let limit = self.peers.limit(ABORT);
        let mut changed = peer.subscribe();
        // The job's id may be on its way; then its end is.
        let mut aborting: Option<futures::future::BoxFuture<'_, Result<(), AckError>>> = None;
        let known = job.known.job_id.clone().unwrap_or_default();
        let fields = [("job_id", SalValue::Text(known.as_str().into()))];
        let mut refused = match self.may(job.index(), "abort_job", &fields) {
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
                aborting = Some(Box::pin(abort_job(peer, id, limit)));
            }
            let abort = async {
                match aborting.as_mut() {
                    Some(abort) => abort.await,
                    None => std::future::pending().await,
                }
            };
            let heard = tokio::select! {
                Some(ack) = tracked.next() => vec![Heard::Ack { code: ack.ack, text: ack.result }],
                Ok(()) = changed.changed() => hear(peer, &mut cursor),
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

    /// An end that OCPS leaves open is asked about where the job runs.
    async fn settled(
        &self,
        over: Result<StepOutcome, StepError>,
        index: i64,
        job_id: Option<String>,
        seq_num: i64,
        step: &StepHandle,
    ) -> Result<StepOutcome, StepError> {
        let lost = match over {
            Err(lost) if lost.class == ErrorClass::UnknownOutcome => lost,
            over => return over,
        };
        let Some(service) = self.service.as_ref().filter(|service| service.serves(index)) else {
            return Err(lost);
        };
        tracing::warn!("OCPS:{index}: {}; the batch service is asked", lost.text);
        tokio::select! {
            end = job_service::ask(service.as_ref(), job_id, seq_num, step) => match end {
                Ok(end) => follow::conclude(&end),
                Err(why) => Err(StepError { text: format!("{}; {why}", lost.text), ..lost }),
            },
            stop = step.stop_requested() => Err(stop.error(&lost.text).with_backend_id(lost.backend_id)),
        }
    }

    /// Goes on with a command that is in the journal.
    async fn go_on(&self, call: &StepCall, memo: Memo, step: &StepHandle) -> Result<StepOutcome, StepError> {
        let index = memo.index;
        let whom = self.whom(index);
        let (peer, cursor, past) = self.peers.recover(&whom, &memo.errand, step).await?;
        let (tracked, news) = match past {
            Past::Sent { tracked, news } => (tracked, news),
            Past::NotSent => {
                if let Some(stop) = step.stopped() {
                    return Err(stop.error("nothing was sent to OCPS"));
                }
                super::in_time(call, self.peers.clock().now())?;
                let (peer, origin) = self.peers.living(&whom).await?;
                let known = Known { origin: Some(origin), job_id: None };
                return self.send(&peer, Memo { known, ..memo }, step).await;
            }
            Past::Unknown => {
                let lost = Err(memo.errand.unknown(&whom.name()));
                let settled =
                    self.settled(lost, index, memo.known.job_id, memo.errand.command.seq_num, step).await;
                return match settled {
                    Err(lost) if lost.class == ErrorClass::UnknownOutcome && call.resend_if_unknown => {
                        super::in_time(call, self.peers.clock().now())?;
                        self.begin(call, step).await
                    }
                    settled => settled,
                };
            }
        };
        let mut job = self.job(&memo);
        let now = || self.peers.clock().now();
        let state = peer.summary().map(|(state, report)| Heard::State { state, report });
        for heard in news.iter().map(|n| Heard::JobResult(job_result(n))).chain(state) {
            if let Some(over) = job.hear(heard, now()) {
                return self.settled(over, index, job.known.job_id, memo.errand.command.seq_num, step).await;
            }
        }
        let errand = Errand { phase: Phase::Sent, ..memo.errand };
        self.follow(&peer, Memo { errand, ..memo }, job, tracked, cursor, step).await
    }
}

fn job_result(news: &News) -> JobResult {
    JobResult { job_id: news.text(0).to_owned(), exit_code: news.int(1), result: news.text(2).to_owned() }
}

/// What was heard since the cursor, which moves on.
fn hear(peer: &Peer, cursor: &mut Cursor) -> Vec<Heard> {
    let heard = |told| match told {
        peers::Told::News(news) => Heard::JobResult(job_result(&news)),
        peers::Told::Alive { origin } => Heard::Alive { origin },
        peers::Told::State { state, report } => Heard::State { state, report },
    };
    peer.take(cursor).into_iter().map(heard).collect()
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
        match super::recalled::<Memo>(memo, "command")? {
            Some(memo) => self.go_on(call, memo, step).await,
            None => {
                super::in_time(call, self.peers.clock().now())?;
                self.begin(call, step).await
            }
        }
    }
}

async fn abort_job(peer: &Peer, id: String, limit: Duration) -> Result<(), AckError> {
    let fields = [("job_id", SalValue::Text(id.as_str().into()))];
    peer.remote.command("abort_job")?.start(&fields, limit, true).await.map(|_| ())
}

fn json(memo: &Memo) -> Value {
    serde_json::to_value(memo).expect("texts, numbers and lists always fit JSON")
}
