//! One file for each backend: what a workflow step can start, and how it is followed to its end.
//!
//! Adding a backend `x`, in this order:
//!
//! 1. `rules/compile/backends/x.rs`: its key, the keys of its node (a table: kind, needed, what it is for; texts may be
//!    templates, which is checked elsewhere), the fields of its result, whether it commands something. One line in `ALL`
//!    there. That gives checks with place and advice, the schema, types of results.
//! 2. `steps/x.rs` (a folder `x/`, if it gets long): parameters (a serde struct, unknown keys refused), checks of their
//!    values, [`Backend::execute`], [`Backend::resume`], classification of every error, tests. If the site has to say
//!    something (an address, a secret, a list of what is allowed), the type of its section stands here, too.
//! 3. Say in the module doc what makes the effect happen once: a look-up before any repeat, an idempotency key, or
//!    nothing (then an unknown outcome stays unknown and is reported so).
//! 4. Before an outside effect: [`StepHandle::record`] what is needed to recognise it after a crash, awaited. Check
//!    [`StepHandle::stopped`] after that and right before the effect.
//! 5. Race every wait against [`StepHandle::stop_requested`]; end within [`ABORT_GRACE`] of it, undoing what can be
//!    undone. The driver drops what does not, and says so in the step's error.
//! 6. Tell the id that the other side gave the work by [`StepHandle::progress`] as soon as it is known.
//! 7. `config/backends.rs`: its section, if it has one; `app/backends.rs`: one line in `FIXED` or one entry in `CONFIGURED`.
//!    The site's concurrency is in `max_concurrent_steps` for all of them.
//! 8. `sim/backends.rs`: one line for SAL simulation mode 1 (what it answers at once, in this process). For the tests of the
//!    backend a simulator with a control handle under `sim/`, and a test for each thing the real system does that one would
//!    not expect.
//! 9. What commands SAL components sends and finds again by [`crate::tasks::peers`].
//! 10. If it has several peers that may be away by themselves (instances, services), name the parameter that says which in
//!     [`peer`]: each is left alone by itself when it fails.
//! 11. If it leaves something outside between the runs of a rule, it removes it when the rule is gone ([`Backend::rules`]).
//! 12. If its result decides whether the step succeeded, say so in [`given`], for `results` in the tests of rule files.

pub mod analysis;
#[cfg(test)]
pub(crate) mod bench;
pub mod batch;
pub mod command;
pub mod efd_query;
pub mod http;
pub mod influx_task;
#[cfg(test)]
mod lives;
pub mod notebook;
mod notebooks;
pub mod noteburst;
pub mod ocps;
pub mod sal;
pub mod script_queue;
mod service;
pub mod slack;
#[cfg(test)]
pub(crate) mod testing;
pub mod times_square;
pub mod uws;

use std::sync::Arc;

use async_trait::async_trait;
use salobj::Tai;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{mpsc, watch};

pub use super::call::{
    ErrorClass, StepCall, StepError, StepId, StepOutcome, StepReport, StepReportKind, Stop,
};
#[cfg(doc)]
use super::driver::ABORT_GRACE;
use crate::rules::Rule;

/// A command that is to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Intent<'a> {
    /// Component.
    pub component: &'a str,
    /// Instance; 0 where there is only one.
    pub index: i32,
    /// Name without prefix.
    pub command: &'a str,
    /// Its fields with their values.
    pub fields: &'a [(&'a str, salobj::Value)],
    /// These are all fields, as they will leave; else only those that are known yet.
    pub complete: bool,
}

/// The site's list of commands that may be sent, asked before anything is sent. An error says what is not allowed, and how
/// it could be.
pub type AllowedCommands = Arc<dyn Fn(&Intent<'_>) -> Result<(), String> + Send + Sync>;

/// A list for tests: component, instance and command.
#[cfg(test)]
pub(crate) fn allow(what: impl Fn(&str, i32, &str) -> bool + Send + Sync + 'static) -> AllowedCommands {
    Arc::new(move |i: &Intent<'_>| match what(i.component, i.index, i.command) {
        true => Ok(()),
        false => Err(format!(
            "{} of {}:{} is not among the allowed_commands of this site",
            i.command, i.component, i.index
        )),
    })
}

/// The journal as a backend sees it.
#[async_trait]
pub trait StepLog: Send + Sync {
    /// Writes the newest value of a key (`None` deletes it); it is durable when this returns.
    ///
    /// # Errors
    /// The journal cannot be written. Nothing must be done to the outside then.
    async fn record(&self, key: &str, value: Option<Value>) -> Result<(), LogError>;
}

/// The journal could not be written.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the journal could not be written: {0}")]
pub struct LogError(pub String);

/// What a backend has in hand while it executes a step.
pub struct StepHandle {
    id: StepId,
    stop: watch::Receiver<Option<Stop>>,
    log: Arc<dyn StepLog>,
    reports: mpsc::Sender<StepReport>,
}

impl StepHandle {
    /// A handle; the driver makes one for each attempt, tests of a backend make their own.
    pub fn new(
        id: StepId,
        stop: watch::Receiver<Option<Stop>>,
        log: Arc<dyn StepLog>,
        reports: mpsc::Sender<StepReport>,
    ) -> Self {
        Self { id, stop, log, reports }
    }

    /// Journals what [`Backend::resume`] needs; durable when this returns.
    ///
    /// # Errors
    /// Transient: nothing may be done to the outside without the record.
    pub async fn record(&self, memo: &Value) -> Result<(), StepError> {
        self.log
            .record(&self.id.key(), Some(memo.clone()))
            .await
            .map_err(|e| StepError::transient(format!("{e}; nothing was started")))
    }

    /// Tells the id that the other side gave the work.
    pub async fn progress(&self, backend_id: &str) {
        let kind = StepReportKind::Progress { backend_id: backend_id.to_owned() };
        // The core is gone only when the whole process ends: then nobody needs the id.
        drop(self.reports.send(StepReport { id: self.id.clone(), kind }).await);
    }

    /// The reason to stop, if there is one by now.
    pub fn stopped(&self) -> Option<Stop> {
        self.stop.borrow().clone()
    }

    /// Waits until the step is to stop; pends for ever if it never is.
    pub async fn stop_requested(&self) -> Stop {
        let mut stop = self.stop.clone();
        match stop.wait_for(Option::is_some).await.map(|s| s.clone()) {
            Ok(Some(reason)) => reason,
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}

/// How a step ends whose result is given in advance (`results` in a rule's tests): as it does live.
///
/// # Errors
/// The result is one with which the step fails.
pub(crate) fn given(backend: &str, result: &Value) -> Result<StepOutcome, StepError> {
    match backend {
        "ocps" => ocps::given(result),
        "script_queue" => script_queue::given(result),
        "uws" | "noteburst" | "notebook" => given_outcome(result),
        _ => Ok(StepOutcome { result: result.clone(), ..StepOutcome::default() }),
    }
}

/// The same where the result says `outcome`.
fn given_outcome(result: &Value) -> Result<StepOutcome, StepError> {
    match result.get("outcome").and_then(Value::as_str) {
        Some(other) if other != "succeeded" => {
            Err(StepError::permanent(format!("its outcome is {other}")).with_result(result.clone()))
        }
        _ => Ok(StepOutcome { result: result.clone(), ..StepOutcome::default() }),
    }
}

/// Whom a step is for, where one backend has several on the other side that may be away by themselves: an instance, a service,
/// a program. Empty where it has one.
pub(crate) fn peer(call: &StepCall) -> String {
    let key = match call.backend.as_str() {
        "command" => "program",
        "http" => "service",
        "ocps" => "index",
        "slack" => "to",
        _ => return String::new(),
    };
    match call.params.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    }
}

/// After a restart nothing is begun for triggers that are too old.
///
/// # Errors
/// Aborted, if it is too late to begin this step.
pub(crate) fn in_time(call: &StepCall, now: Tai) -> Result<(), StepError> {
    let late = now - call.start_before;
    if late <= 0.0 {
        return Ok(());
    }
    Err(StepError::aborted(format!(
        "it had not been sent before the restart, and its trigger is {late:.0} s older than max_event_age allows; \
         nothing was sent"
    )))
}

/// What a step recorded before the restart, in its backend's form. `of` names what it is about.
///
/// # Errors
/// Unknown outcome: it cannot be read.
pub(crate) fn recalled<M: DeserializeOwned>(memo: Option<Value>, of: &str) -> Result<Option<M>, StepError> {
    memo.map(serde_json::from_value)
        .transpose()
        .map_err(|e| StepError::unknown(format!("the journal's record of the {of} cannot be read: {e}")))
}

/// Something that can carry out steps.
///
/// Both calls end within the driver's time limits: it asks them to stop ([`StepHandle::stop_requested`]) and drops
/// them [`ABORT_GRACE`] later. A dropped call must leave nothing behind that goes on by itself, except what
/// [`Self::resume`] finds again.
#[async_trait]
pub trait Backend: Send + Sync {
    /// Its key in the rule file.
    fn name(&self) -> &'static str;

    /// How many steps it carries out at a time; more wait in the driver.
    fn concurrency(&self) -> usize;

    /// Whether this site allows a step with these parameters, texts with something to fill in as they are written. Asked when
    /// a rule is loaded or added, so that its author hears of it at once; what is filled in later is checked by
    /// [`Self::execute`].
    ///
    /// # Errors
    /// What the site does not have or allow, with advice.
    fn check(&self, _params: &Value) -> Result<(), String> {
        Ok(())
    }

    /// Carries a step out, from the beginning.
    ///
    /// # Errors
    /// What went wrong, classed.
    async fn execute(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError>;

    /// Goes on with a step that was handed over before a restart. `memo` is the last thing it recorded
    /// ([`StepHandle::record`]); `None` means that it certainly did nothing to the outside yet. A backend that changes nothing
    /// outside does it once more.
    ///
    /// # Errors
    /// What went wrong, classed; aborted if it was never started and it is too late to start now.
    async fn resume(
        &self,
        call: &StepCall,
        memo: Option<Value>,
        step: &StepHandle,
    ) -> Result<StepOutcome, StepError> {
        drop(memo);
        self.execute(call, step).await
    }

    /// The rules that there are, told when they change: what a backend keeps outside for a rule that is gone, it removes.
    ///
    /// # Errors
    /// What could not be removed. It is told of the rules again, later.
    async fn rules(&self, _all: &[Arc<Rule>]) -> Result<(), String> {
        Ok(())
    }
}
