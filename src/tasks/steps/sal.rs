//! The backend `sal`: any command to any component that the site's list allows, and, if wanted, an event after it.
//!
//! What makes a command go out once: [`crate::tasks::peers`]. A command whose fate is unknown is never sent again, unless the
//! rule says `resend_if_unknown`. A component that shows no sign of life gets nothing: that is a transient error, as is a
//! refusal because of its summary state. A command cannot be taken back: a step that is stopped says how far it was.
//!
//! How a command is followed: [`follow`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sal_idl::{Component, Library};
use salobj::{AckCmd, SalError, Tracked, Value as SalValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{AllowedCommands, Backend, Intent, StepHandle};
use crate::tasks::call::{StepCall, StepError, StepOutcome};
use crate::tasks::peers::{Cursor, Errand, Past, Peer, Peers, Phase, Told, Watch, Whom};
use follow::{Ack, Known, Patience};
use params::{Awaited, Plan, SalParams};

mod follow;
mod params;
#[cfg(test)]
mod tests;

/// For anything after FAULT or a new start of the component.
const AFTER_STATE: Duration = Duration::from_secs(10);
/// Commands followed at a time, over all components.
const CONCURRENCY: usize = 64;

/// Carries out `sal` steps.
pub struct SalBackend {
    peers: Arc<Peers>,
    library: Arc<Library>,
    allowed: AllowedCommands,
}

/// What is journaled of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Memo {
    #[serde(flatten)]
    errand: Errand,
    known: Known,
}

/// A step, ready to go.
struct Ready {
    whom: Whom,
    command: String,
    plan: Plan,
}

impl SalBackend {
    /// Commands components of that library; `allowed` says what the site lets us send.
    pub fn new(peers: Arc<Peers>, library: Arc<Library>, allowed: AllowedCommands) -> Self {
        Self { peers, library, allowed }
    }

    fn component(&self, name: &str) -> Result<Arc<Component>, String> {
        self.library
            .component(name)
            .map_err(|e| format!("{name} cannot be commanded: {e}; its interface belongs to TS_XML_DIR"))
    }

    fn may(
        &self,
        component: &str,
        index: i32,
        command: &str,
        fields: &[(String, SalValue)],
        complete: bool,
    ) -> Result<(), String> {
        let fields: Vec<(&str, SalValue)> = fields.iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
        (self.allowed)(&Intent { component, index, command, fields: &fields, complete })
    }

    /// What is to be sent.
    fn read(&self, params: &Value) -> Result<Ready, String> {
        let params = SalParams::read(params)?;
        let component = self.component(&params.component)?;
        let plan = params.plan(&component).map_err(|all| all.join("; "))?;
        let watch = |then: &Awaited| Watch::new(then.event.clone(), then.names.clone());
        let watches = plan.then.iter().map(watch).collect();
        let whom = Whom { component, index: i64::from(plan.index), watches };
        Ok(Ready { whom, command: params.command, plan })
    }

    /// What is to be sent, if it may be.
    fn ready(&self, params: &Value) -> Result<Ready, StepError> {
        let ready = self.read(params).and_then(|ready| self.ask(&ready).map(|()| ready));
        ready.map_err(|e| StepError::permanent(format!("{e}; nothing was sent")))
    }

    fn ask(&self, ready: &Ready) -> Result<(), String> {
        let Ready { whom, command, plan } = ready;
        self.may(&whom.component.name, plan.index, command, &plan.fields, true)
    }

    async fn begin(&self, ready: Ready, step: &StepHandle) -> Result<StepOutcome, StepError> {
        let (peer, memo) = tokio::select! {
            prepared = self.prepare(&ready) => prepared?,
            stop = step.stop_requested() => return Err(stop.error("nothing was sent")),
        };
        step.record(&json(&memo)).await?;
        self.send(&ready, &peer, memo, step).await
    }

    async fn prepare(&self, ready: &Ready) -> Result<(Arc<Peer>, Memo), StepError> {
        let (peer, origin) = self.peers.living(&ready.whom).await?;
        let fields: Vec<(&str, SalValue)> =
            ready.plan.fields.iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
        let name = ready.whom.name();
        let errand = peer.prepare(&ready.command, &fields).await.map_err(|e| {
            let text = format!("{name}: {e}; nothing was sent");
            // What does not fit now never will.
            match e {
                SalError::BadValue { .. } | SalError::NoFields { .. } | SalError::NoTopic { .. } => {
                    StepError::permanent(text)
                }
                _ => StepError::transient(text),
            }
        })?;
        let known = Known { origin, sent: self.peers.clock().now() };
        Ok((peer, Memo { errand, known }))
    }

    /// Sends a command that is in the journal, and follows it.
    async fn send(
        &self,
        ready: &Ready,
        peer: &Peer,
        mut memo: Memo,
        step: &StepHandle,
    ) -> Result<StepOutcome, StepError> {
        if let Some(stop) = step.stopped() {
            return Err(stop.error("nothing was sent"));
        }
        let cursor = peer.now();
        let before = ready.plan.then.as_ref().filter(|t| t.already).and_then(|t| peer.latest(&t.event));
        let tracked = peer.send(&memo.errand).await?;
        memo.errand.phase = Phase::Sent;
        memo.known.sent = self.peers.clock().now();
        if let Err(e) = step.record(&json(&memo)).await {
            // It is out. What the journal has makes a restart look into the command topic, and find it.
            tracing::warn!("{}: {e}", ready.whom.name());
        }
        let mut errand = self.follower(ready, peer, memo.known);
        if let Some(over) = before.and_then(|news| errand.event(&news)) {
            return over;
        }
        self.follow(peer, errand, tracked, cursor, step).await
    }

    fn follower(&self, ready: &Ready, peer: &Peer, known: Known) -> follow::Errand {
        let silent = peer.has_heartbeat().then(|| self.peers.silent());
        let patience = Patience { silent, after_state: self.peers.limit(AFTER_STATE) };
        let ack_timeout = ready.plan.ack_timeout.map(|limit| self.peers.limit(limit));
        let (name, then) = (ready.whom.name(), ready.plan.then.clone());
        let now = self.peers.clock().now();
        follow::Errand::new(&name, &ready.command, known, ack_timeout, then, patience, now)
    }

    async fn follow(
        &self,
        peer: &Peer,
        mut errand: follow::Errand,
        mut tracked: Tracked,
        mut cursor: Cursor,
        step: &StepHandle,
    ) -> Result<StepOutcome, StepError> {
        let clock = self.peers.clock();
        let mut changed = peer.subscribe();
        let mut acks = true;
        loop {
            tokio::select! {
                ack = tracked.next(), if acks => match ack {
                    Some(ack) => {
                        if let Some(over) = errand.ack(of(&ack), clock.now()) {
                            return over;
                        }
                    }
                    None => acks = false,
                },
                Ok(()) = changed.changed() => {
                    for told in peer.take(&mut cursor) {
                        if let Some(over) = errand.told(&told, clock.now()) {
                            return over;
                        }
                    }
                }
                () = clock.sleep_until(errand.next_deadline()) => {}
                stop = step.stop_requested() => {
                    return Err(stop.error(&errand.so_far()).with_result(errand.result()));
                }
            }
            if let Some(over) = errand.time(clock.now()) {
                return over;
            }
        }
    }

    /// Goes on with a command that is in the journal.
    async fn go_on(&self, call: &StepCall, memo: Memo, step: &StepHandle) -> Result<StepOutcome, StepError> {
        // What the site allows may have changed since it was sent.
        let ready = self.read(&call.params).map_err(StepError::unknown)?;
        let (peer, cursor, past) = self.peers.recover(&ready.whom, &memo.errand, step).await?;
        let (tracked, news) = match past {
            Past::Sent { tracked, news } => (tracked, news),
            Past::NotSent => {
                if let Some(stop) = step.stopped() {
                    return Err(stop.error("nothing was sent"));
                }
                super::in_time(call, self.peers.clock().now())?;
                self.ask(&ready).map_err(|e| StepError::permanent(format!("{e}; nothing was sent")))?;
                let (peer, origin) = self.peers.living(&ready.whom).await?;
                let known = Known { origin, ..memo.known };
                return self.send(&ready, &peer, Memo { known, ..memo }, step).await;
            }
            Past::Unknown if call.resend_if_unknown => {
                super::in_time(call, self.peers.clock().now())?;
                return self.begin(self.ready(&call.params)?, step).await;
            }
            Past::Unknown => return Err(memo.errand.unknown(&ready.whom.name())),
        };
        // What came while we were away does not count against anybody: the limits begin anew.
        let known = Known { sent: self.peers.clock().now(), ..memo.known };
        let mut errand = self.follower(&ready, &peer, known);
        for news in news {
            if let Some(over) = errand.told(&Told::News(news), self.peers.clock().now()) {
                return over;
            }
        }
        self.follow(&peer, errand, tracked, cursor, step).await
    }
}

fn of(ack: &AckCmd) -> Ack {
    Ack { code: ack.ack, error: ack.error, text: ack.result.clone(), estimate: ack.timeout }
}

#[async_trait]
impl Backend for SalBackend {
    fn name(&self) -> &'static str {
        "sal"
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        let params = SalParams::read(params)?;
        let component = self.component(&params.component)?;
        let topic = params.topic(&component)?;
        let fields = params.known_fields(&component, topic);
        // An index with something to fill in is asked about when it is known.
        match params.index(&component) {
            Ok(index) => self.may(&params.component, index, &params.command, &fields, false),
            Err(_) if params.index.is_string() => Ok(()),
            Err(e) => Err(e),
        }
    }

    async fn execute(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        self.begin(self.ready(&call.params)?, step).await
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
                self.begin(self.ready(&call.params)?, step).await
            }
        }
    }
}

fn json(memo: &Memo) -> Value {
    serde_json::to_value(memo).expect("texts, numbers and lists always fit JSON")
}
