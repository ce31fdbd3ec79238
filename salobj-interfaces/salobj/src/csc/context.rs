//! What a CSC's author has at hand: topics, state, fault.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use super::commands::{CommandRule, check};
use super::state::SummaryState;
use crate::controller::{CommandError, Controller};
use crate::domain::Domain;
use crate::error::SalError;
use crate::tai::Clock;
use crate::topics::event::EventWriter;
use crate::topics::telemetry::TelemetryWriter;

/// State and error of a CSC at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateSnapshot {
    /// Summary state.
    pub state: SummaryState,
    /// Error code of the last fault, 0 if none.
    pub error_code: i64,
    /// Error report of the last fault.
    pub error_report: String,
}

/// A fault to be carried out by the driver.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) code: i64,
    pub(super) report: String,
    pub(super) traceback: String,
    pub(super) done: oneshot::Sender<()>,
}

/// A CSC from within. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CscContext {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) controller: Controller,
    pub(super) snapshot: watch::Receiver<StateSnapshot>,
    pub(super) faults: mpsc::Sender<Fault>,
    pub(super) simulation_mode: i64,
}

impl CscContext {
    /// The controller.
    pub fn controller(&self) -> &Controller {
        &self.inner.controller
    }

    /// The domain: make remotes with it, so that they write in the CSC's name.
    pub fn domain(&self) -> &Domain {
        self.inner.controller.domain()
    }

    /// The clock of stamps and waits.
    pub fn clock(&self) -> &Clock {
        self.domain().clock()
    }

    /// SAL index.
    pub fn index(&self) -> i32 {
        self.inner.controller.index()
    }

    /// `Test:7`, or `Watcher` for a component that is not indexed.
    pub fn name_index(&self) -> &str {
        self.inner.controller.name_index()
    }

    /// Simulation mode, 0 for the real thing.
    pub fn simulation_mode(&self) -> i64 {
        self.inner.simulation_mode
    }

    /// The writer of an event, by its name without prefix.
    pub fn event(&self, name: &str) -> Result<EventWriter, SalError> {
        self.inner.controller.event(name)
    }

    /// The writer of a telemetry topic.
    pub fn telemetry(&self, name: &str) -> Result<TelemetryWriter, SalError> {
        self.inner.controller.telemetry(name)
    }

    /// The summary state now. While a transition is carried out it is the new one as soon as `begin` succeeded.
    pub fn state(&self) -> SummaryState {
        self.inner.snapshot.borrow().state
    }

    /// State and error now.
    pub fn snapshot(&self) -> StateSnapshot {
        self.inner.snapshot.borrow().clone()
    }

    /// Tells of each change of state.
    pub fn watch_state(&self) -> watch::Receiver<StateSnapshot> {
        self.inner.snapshot.clone()
    }

    /// True in DISABLED and ENABLED.
    pub fn is_configured(&self) -> bool {
        matches!(self.state(), SummaryState::Disabled | SummaryState::Enabled)
    }

    /// Fails with SAL's text unless a rule allows the state now; to be asked again after a long wait in a command.
    pub fn assert_allowed(&self, rule: CommandRule) -> Result<(), CommandError> {
        let s = self.snapshot();
        check(rule, s.state, s.error_code, &s.error_report).map_err(CommandError::Expected)
    }

    /// Fails with SAL's text unless the CSC is ENABLED.
    pub fn assert_enabled(&self, action: &'static str) -> Result<(), CommandError> {
        self.assert_allowed(CommandRule::ENABLED.named(action))
    }

    /// Goes to FAULT and returns when `errorCode` and `summaryState` have been published. May be called from anywhere, also
    /// from a hook; a fault while another one is being carried out is ignored.
    pub async fn fault(&self, code: i64, report: impl Into<String>, traceback: impl Into<String>) {
        let (done, is_done) = oneshot::channel();
        let fault = Fault { code, report: report.into(), traceback: traceback.into(), done };
        if self.inner.faults.send(fault).await.is_err() {
            tracing::error!("fault after the CSC has ended");
            return;
        }
        // An error here means that the driver ended meanwhile: there is nothing more to wait for.
        is_done.await.unwrap_or_default();
    }

    /// Runs a task that ends when the CSC closes.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.inner.controller.spawn(task);
    }
}
