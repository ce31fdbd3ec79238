//! The backend `script_queue`: a SAL script, added to a ScriptQueue and followed to its own end.
//!
//! What makes a script be added once: [`crate::tasks::peers`]. If the acknowledgement of `add` is lost, the queue's event
//! `script` names our command (`cmdId`). An `add` whose fate is unknown is never sent again, unless the rule says
//! `resend_if_unknown`.
//!
//! A queue of which observing depends is not stalled by us:
//! - the site names the queues and scripts; nothing else is added ([`ScriptQueueConfig`]);
//! - a queue that is observing (it has scripts that no rule added, or is paused) gets nothing, unless the site says so;
//! - scripts go to the end, unless the site says so;
//! - a step that is stopped takes its script out: `stopScripts`, first gently, then by ending the process;
//! - a queue that paused itself because our script failed is resumed, unless the site says otherwise; one that somebody
//!   paused is left alone.
//!
//! How a script is followed, and what counts as its end: [`follow`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sal_idl::Component;
use salobj::{AckError, SalError, Tracked, Value as SalValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Backend, StepHandle};
use crate::tasks::call::{StepCall, StepError, StepOutcome, Stop};
use crate::tasks::peers::{Errand, News, Past, Peer, Peers, Phase, Whom};
use follow::{Over, Script};
use hear::{Ears, watched_queue, watched_scripts};
use own::{Flight, Own};
use params::{Added, ScriptParams};
use words::{Heard, Known, Ours, Patience};

mod follow;
mod hear;
mod own;
mod params;
mod site;
#[cfg(test)]
mod tests;
mod words;

pub use site::{QueuePermission, ScriptQueueConfig};

/// How a script ends that has this result; without an outcome it ends well.
pub(super) fn given(result: &Value) -> Result<StepOutcome, StepError> {
    let outcome = result.get("outcome").and_then(Value::as_str).unwrap_or("done");
    let text = || format!("the script ended as {outcome}");
    match outcome {
        "done" => Ok(StepOutcome { result: result.clone(), ..StepOutcome::default() }),
        "stopped" | "terminated" => Err(StepError::aborted(text()).with_result(result.clone())),
        _ => Err(StepError::permanent(text()).with_result(result.clone())),
    }
}

/// For the queue's word on something that the script said, or the other way.
const OTHER_SIDE: Duration = Duration::from_secs(5);
/// For the queue to pause itself after a failure: the process ends some seconds after the script.
const PAUSE: Duration = Duration::from_secs(20);
/// For anything after the queue was started anew.
const ANEW: Duration = Duration::from_secs(15);
/// For a script to end by itself after it was told to stop, before its process is ended, and for that.
const GENTLY: Duration = Duration::from_secs(12);
const BY_FORCE: Duration = Duration::from_secs(8);
/// For the acknowledgement of `resume` and of `stopScripts`.
const ACK: Duration = Duration::from_secs(5);
/// Scripts followed at a time, over all queues.
const CONCURRENCY: usize = 16;
/// Elements of the list in `stopScripts`.
const MOST_STOPPED: usize = 400;

/// Carries out `script_queue` steps.
pub struct ScriptQueueBackend {
    peers: Arc<Peers>,
    queue: Arc<Component>,
    script: Arc<Component>,
    config: ScriptQueueConfig,
    own: Own,
}

/// What is journaled of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Memo {
    #[serde(flatten)]
    errand: Errand,
    /// High watermarks of the scripts' own events before sending.
    scripts: BTreeMap<String, i64>,
    known: Known,
}

/// A queue and its scripts.
struct Pair {
    queue: Arc<Peer>,
    scripts: Arc<Peer>,
}

impl ScriptQueueBackend {
    /// Adds scripts to the queues among `peers` that the site allows; `queue` and `script` are the interfaces of ScriptQueue
    /// and Script.
    pub fn new(
        peers: Arc<Peers>,
        queue: Arc<Component>,
        script: Arc<Component>,
        config: ScriptQueueConfig,
    ) -> Self {
        Self { peers, queue, script, config, own: Own::default() }
    }

    fn whom(&self, index: i32) -> Whom {
        Whom { component: Arc::clone(&self.queue), index: i64::from(index), watches: watched_queue() }
    }

    async fn scripts(&self) -> Result<Arc<Peer>, StepError> {
        let component = Arc::clone(&self.script);
        self.peers.get(&Whom { component, index: 0, watches: watched_scripts() }).await
    }

    fn patience(&self) -> Patience {
        Patience {
            silent: self.peers.silent(),
            other_side: self.peers.limit(OTHER_SIDE),
            pause: self.peers.limit(PAUSE),
            anew: self.peers.limit(ANEW),
        }
    }

    /// Reads the parameters, and asks whether the site allows that.
    fn added(&self, call: &StepCall) -> Result<Added, String> {
        let why = format!("Catcher rule {}, run {}", call.rule, call.id.run_id);
        let added = ScriptParams::read(&call.params)?.added(&why).map_err(|all| all.join("; "))?;
        self.config.queue(added.queue)?.allows(&added.path, added.at_the_end)?;
        Ok(added)
    }

    async fn begin(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        let added = self.added(call).map_err(|e| StepError::permanent(format!("{e}; nothing was added")))?;
        let (pair, memo) = tokio::select! {
            ready = self.prepare(&added) => ready?,
            stop = step.stop_requested() => return Err(stop.error("nothing was added to the queue")),
        };
        step.record(&json(&memo)).await?;
        self.send(&pair, added, memo, step).await
    }

    async fn prepare(&self, added: &Added) -> Result<(Pair, Memo), StepError> {
        let index = added.queue;
        let bus = |e: SalError| StepError::transient(format!("ScriptQueue:{index}: {e}; nothing was added"));
        let scripts = self.scripts().await?;
        let (queue, origin) = self.peers.living(&self.whom(index)).await?;
        self.wait_idle(&queue, added).await?;
        let positions = scripts.positions().await.map_err(bus)?;
        let errand = queue.prepare("add", &added.fields).await.map_err(bus)?;
        let known = Known { queue_origin: Some(origin), ..Known::default() };
        Ok((Pair { queue, scripts }, Memo { errand, scripts: positions, known }))
    }

    /// The guard of observing.
    async fn wait_idle(&self, queue: &Peer, added: &Added) -> Result<(), StepError> {
        let permission = self.config.queue(added.queue).map_err(StepError::permanent)?;
        if permission.while_observing {
            return Ok(());
        }
        let mut changed = queue.subscribe();
        let idle = async {
            while self.observing(queue, added.queue).is_some() {
                if changed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        // One that has just been started gets the time to say what it does.
        let told = queue.latest("queue").is_some();
        let least = if told { Duration::ZERO } else { self.peers.limit(OTHER_SIDE) };
        let waited = self.peers.clock().timeout(added.wait_idle.max(least), idle).await;
        match self.observing(queue, added.queue) {
            Some(why) if waited.is_err() => Err(StepError::transient(format!(
                "ScriptQueue:{} {why}; {} was not added (`wait_idle` waits longer, the site may set while_observing)",
                added.queue, added.path
            ))),
            _ => Ok(()),
        }
    }

    /// Why a queue is not idle.
    fn observing(&self, queue: &Peer, index: i32) -> Option<String> {
        let Some(news) = queue.latest("queue") else {
            return Some("has not said what it does".to_owned());
        };
        let now = hear::queue(&news);
        let all = std::iter::once(now.current).filter(|i| *i != 0).chain(now.waiting);
        let strangers = self.own.strangers(index, news.origin, all);
        match (now.running, strangers) {
            (false, _) => Some("is paused".to_owned()),
            (true, 0) => None,
            (true, 1) => Some("is observing: it has a script that no rule added".to_owned()),
            (true, n) => Some(format!("is observing: it has {n} scripts that no rule added")),
        }
    }

    /// Sends a command that is in the journal, and follows it.
    async fn send(
        &self,
        pair: &Pair,
        added: Added,
        mut memo: Memo,
        step: &StepHandle,
    ) -> Result<StepOutcome, StepError> {
        if let Some(stop) = step.stopped() {
            return Err(stop.error("nothing was added to the queue"));
        }
        let ears = Ears::now(&pair.queue, &pair.scripts);
        let flight = self.own.flight(added.queue);
        let tracked = pair.queue.send(&memo.errand).await?;
        memo.errand.phase = Phase::Sent;
        if let Err(e) = step.record(&json(&memo)).await {
            // It is out. What the journal has makes a restart look into the command topic, and find it.
            tracing::warn!("ScriptQueue:{}: {e}", added.queue);
        }
        let script = self.follower(&added, &memo);
        self.follow(pair, &added, memo, script, tracked, ears, flight, step).await
    }

    fn follower(&self, added: &Added, memo: &Memo) -> Script {
        let ours = Ours {
            queue: added.queue,
            seq_num: memo.errand.command.seq_num,
            path: added.path.clone(),
            standard: added.standard,
        };
        Script::new(ours, memo.known.clone(), self.patience(), self.peers.clock().now())
    }

    #[expect(clippy::too_many_arguments, reason = "what is followed, what it is heard by, and for whom")]
    async fn follow(
        &self,
        pair: &Pair,
        added: &Added,
        mut memo: Memo,
        mut script: Script,
        mut tracked: Tracked,
        mut ears: Ears<'_>,
        mut flight: Flight<'_>,
        step: &StepHandle,
    ) -> Result<StepOutcome, StepError> {
        let clock = self.peers.clock();
        // How the queue is now; its event need not come again.
        let mut heard: Vec<Heard> = ears.queue_now().into_iter().collect();
        let over = loop {
            let mut over = None;
            for heard in heard.drain(..) {
                over = over.or_else(|| script.hear(heard, clock.now()));
            }
            if memo.known != script.known {
                flight.landed(&script.known);
                self.note(added.queue, &mut memo, &script, step).await;
            }
            if let Some(over) = over {
                break over;
            }
            heard = tokio::select! {
                heard = ears.next(&mut tracked) => heard,
                () = clock.sleep_until(script.next_deadline()) => vec![Heard::Nothing],
                stop = step.stop_requested() => {
                    return self.stop(pair, added, script, tracked, ears, &stop).await;
                }
            };
        };
        self.conclude(pair, added, over).await
    }

    /// Notes what is newly known.
    async fn note(&self, queue: i32, memo: &mut Memo, script: &Script, step: &StepHandle) {
        let new = script.known.script.filter(|_| memo.known.script.is_none());
        memo.known = script.known.clone();
        if let Some(index) = new {
            step.progress(&index.to_string()).await;
            // Only saves a look back after a restart.
            if let Err(e) = step.record(&json(memo)).await {
                tracing::warn!("ScriptQueue:{queue}: {e}");
            }
        }
    }

    /// The end; a queue that stays paused because of it is resumed.
    async fn conclude(&self, pair: &Pair, added: &Added, over: Over) -> Result<StepOutcome, StepError> {
        if !over.resume {
            return over.end;
        }
        let resumes = self.config.queue(added.queue).is_ok_and(|q| q.resume_after_failure);
        let told = if resumes {
            let sent =
                async { pair.queue.remote.command("resume")?.start(&[], self.peers.limit(ACK), true).await };
            match sent.await {
                Ok(_) => "the queue, which paused itself, was resumed".to_owned(),
                Err(e) => format!("the queue paused itself and could not be resumed: {e}"),
            }
        } else {
            "the queue paused itself and waits for somebody to resume it".to_owned()
        };
        tracing::warn!("ScriptQueue:{}: {} failed; {told}", added.queue, added.path);
        over.end.map_err(|error| StepError { text: format!("{}; {told}", error.text), ..error })
    }

    /// Takes a script out that nobody waits for any more. Its own end counts if it comes first.
    async fn stop(
        &self,
        pair: &Pair,
        added: &Added,
        mut script: Script,
        mut tracked: Tracked,
        mut ears: Ears<'_>,
        stop: &Stop,
    ) -> Result<StepOutcome, StepError> {
        let clock = self.peers.clock();
        let mut sent: Option<bool> = None;
        let mut refused = String::new();
        let mut until = clock.now() + self.peers.limit(OTHER_SIDE);
        let mut asking: Option<futures::future::BoxFuture<'_, Result<(), AckError>>> = None;
        loop {
            if sent.is_none()
                && let Some(index) = script.known.script
            {
                sent = Some(false);
                until = clock.now() + self.peers.limit(GENTLY);
                asking = Some(Box::pin(stop_script(&pair.queue, index, false, self.peers.limit(ACK))));
            }
            let ask = async {
                match asking.as_mut() {
                    Some(asking) => asking.await,
                    None => std::future::pending().await,
                }
            };
            let heard = tokio::select! {
                heard = ears.next(&mut tracked) => heard,
                answer = ask => {
                    if let Err(AckError::Failed(e)) = answer {
                        refused = format!("; stopScripts was refused: {}", e.result);
                    }
                    asking = None;
                    Vec::new()
                }
                () = clock.sleep_until(until) => match (sent, script.known.script) {
                    (Some(false), Some(index)) => {
                        sent = Some(true);
                        until = clock.now() + self.peers.limit(BY_FORCE);
                        asking = Some(Box::pin(stop_script(&pair.queue, index, true, self.peers.limit(ACK))));
                        Vec::new()
                    }
                    _ => {
                        let detail = format!("{}{refused}", script.so_far());
                        let id = script.known.script.map_or_else(String::new, |i| i.to_string());
                        return Err(stop.error(&detail).with_result(script.result("lost")).with_backend_id(id));
                    }
                },
            };
            for heard in heard {
                let Some(over) = script.hear(heard, clock.now()) else { continue };
                return match self.conclude(pair, added, over).await {
                    Ok(outcome) => Ok(outcome),
                    Err(end) => {
                        let error = stop.error(&end.text).with_result(*end.result);
                        Err(error.with_backend_id(end.backend_id))
                    }
                };
            }
        }
    }

    /// Goes on with a command that is in the journal.
    async fn go_on(&self, call: &StepCall, memo: Memo, step: &StepHandle) -> Result<StepOutcome, StepError> {
        let why = String::new();
        let added = ScriptParams::read(&call.params).map_err(StepError::unknown)?;
        let added = added.added(&why).map_err(|all| StepError::unknown(all.join("; ")))?;
        let whom = self.whom(added.queue);
        let (queue, _, past) = self.peers.recover(&whom, &memo.errand, step).await?;
        let scripts = self.scripts().await?;
        let pair = Pair { queue, scripts };
        let (tracked, news) = match past {
            Past::Sent { tracked, news } => (tracked, news),
            Past::NotSent => {
                if let Some(stop) = step.stopped() {
                    return Err(stop.error("nothing was added to the queue"));
                }
                super::in_time(call, self.peers.clock().now())?;
                // The site may say something else by now, and the queue may be observing.
                self.added(call).map_err(|e| StepError::permanent(format!("{e}; nothing was added")))?;
                let (queue, origin) = self.peers.living(&whom).await?;
                self.wait_idle(&queue, &added).await?;
                let known = Known { queue_origin: Some(origin), ..Known::default() };
                return self.send(&pair, added, Memo { known, ..memo }, step).await;
            }
            Past::Unknown if call.resend_if_unknown => {
                super::in_time(call, self.peers.clock().now())?;
                return self.begin(call, step).await;
            }
            Past::Unknown => return Err(memo.errand.unknown(&whom.name())),
        };
        // Before the past is read: what comes meanwhile is not lost.
        let ears = Ears::now(&pair.queue, &pair.scripts);
        let old = pair.scripts.since(&memo.scripts).await;
        let old = old.map_err(|e| StepError::unknown(format!("the script's events cannot be read: {e}")))?;
        let mut script = self.follower(&added, &memo);
        let mut over = None;
        let mut past: Vec<&News> = news.iter().chain(&old).collect();
        past.sort_by(|a, b| a.sent.0.total_cmp(&b.sent.0));
        for news in past {
            // A queue that was started anew meanwhile gives its numbers to others. Scripts have processes of their own.
            let of_queue = matches!(&*news.event, "script" | "queue");
            let alive = of_queue.then_some(Heard::QueueAlive { origin: news.origin });
            for heard in alive.into_iter().chain(hear::past(news)) {
                over = over.or_else(|| script.hear(heard, news.sent));
            }
        }
        script.awake(self.peers.clock().now());
        let mut flight = self.own.flight(added.queue);
        flight.landed(&script.known);
        if let Some(over) = over {
            return self.conclude(&pair, &added, over).await;
        }
        let errand = Errand { phase: Phase::Sent, ..memo.errand };
        self.follow(&pair, &added, Memo { errand, ..memo }, script, tracked, ears, flight, step).await
    }
}

#[async_trait]
impl Backend for ScriptQueueBackend {
    fn name(&self) -> &'static str {
        "script_queue"
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        let params = ScriptParams::read(params)?;
        let Some(index) = params.queue() else { return Ok(()) };
        let queue = self.config.queue(index)?;
        // What has something to fill in is asked about when it is known.
        let path = if params.path.contains("{{") { None } else { Some(params.path.trim()) };
        match (path, params.at_the_end()) {
            (Some(path), at_the_end) => queue.allows(path, at_the_end.unwrap_or(true)),
            (None, _) => Ok(()),
        }
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

async fn stop_script(queue: &Peer, index: i64, terminate: bool, limit: Duration) -> Result<(), AckError> {
    let mut indices = vec![0; MOST_STOPPED];
    indices[0] = index;
    let fields = [
        ("length", SalValue::Int(1)),
        ("salIndices", SalValue::Ints(indices.into())),
        ("terminate", SalValue::Bool(terminate)),
    ];
    queue.remote.command("stopScripts")?.start(&fields, limit, true).await.map(|_| ())
}

fn json(memo: &Memo) -> Value {
    serde_json::to_value(memo).expect("texts, numbers and lists always fit JSON")
}
