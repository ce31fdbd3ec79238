//! The one task that owns a CSC's summary state.
//!
//! ```text
//!   start: controller ─► (duplicate?) ─► heartbeat, simulationMode, softwareVersions
//!                     ─► handle_summary_state, summaryState, errorCode ─► configuration polling ─► initial state
//!   transition: allowed? ─► begin (start: configure) ─► new state ─► end ─► handle_summary_state
//!                     ─► summaryState ─► errorCode 0 ─► ack
//!   fault: FAULT ─► errorCode ─► log ─► summaryState ─► handle_summary_state
//! ```
//! A fault that comes while a hook runs is carried out at once; the hook runs to its end, then the transition it belongs
//! to is given up.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::Instrument as _;

use super::commands::transition_refused;
use super::config::ConfigStore;
use super::configure::{configure, start_polling};
use super::context::{CscContext, Fault, StateSnapshot};
use super::presence::{look_for_another, start_heartbeat};
use super::start::StartError;
use super::state::{Machine, SummaryState, Transition, path};
use super::{Csc, CscOptions, CscSpec, XML_VERSION};
use crate::controller::{CommandError, CommandHandler, CommandRequest, CommandResult};
use crate::error::{SalError, py_repr};
use crate::value::Value;

/// How long the author's `close` may take.
const CLOSE_LIMIT: Duration = Duration::from_secs(30);

/// A transition command on its way to the driver.
pub(super) struct Ask {
    pub(super) transition: Transition,
    pub(super) request: CommandRequest,
    pub(super) reply: oneshot::Sender<CommandResult>,
}

pub(super) struct Driver {
    pub(super) csc: Arc<dyn Csc>,
    pub(super) ctx: CscContext,
    pub(super) machine: Machine,
    pub(super) snapshot: watch::Sender<StateSnapshot>,
    pub(super) config: Option<Arc<ConfigStore>>,
    pub(super) faults: mpsc::Receiver<Fault>,
    pub(super) asks: mpsc::Receiver<Ask>,
    pub(super) close: mpsc::Receiver<()>,
    pub(super) done: watch::Sender<bool>,
}

impl Driver {
    /// Starts everything, then spawns the driver's own loop. On an error all is closed again.
    pub(super) async fn begin(
        mut self,
        spec: CscSpec,
        options: CscOptions,
        handler: Arc<dyn CommandHandler>,
    ) -> Result<(), StartError> {
        let domain = self.ctx.domain().clone();
        match self.bring_up(&spec, &options, handler).await {
            Ok(()) => {
                let span = self.ctx.controller().span();
                tokio::spawn(self.run().instrument(span));
                Ok(())
            }
            Err(e) => {
                domain.close().await;
                Err(e)
            }
        }
    }

    async fn bring_up(
        &mut self,
        spec: &CscSpec,
        options: &CscOptions,
        handler: Arc<dyn CommandHandler>,
    ) -> Result<(), StartError> {
        let controller = self.ctx.controller().clone();
        let (csc, ctx) = (self.csc.clone(), self.ctx.clone());
        let (started, faulted) = self.alongside(async move { csc.start(&ctx).await }, true).await;
        started.map_err(StartError::Csc)?;
        if faulted {
            let s = self.ctx.snapshot();
            let text = format!("errorCode={}, errorReport={}", s.error_code, py_repr(&s.error_report));
            return Err(StartError::Csc(CommandError::Other(format!("Fault in start: {text}"))));
        }
        controller.start(handler).await?;
        if options.check_duplicate {
            look_for_another(&controller, options.predecessor).await?;
        }
        start_heartbeat(&controller)?;
        if controller.has_event("simulationMode") {
            let fields = [("mode", Value::Int(options.simulation_mode))];
            controller.event("simulationMode")?.set_write_if(&fields, true)?;
        }
        let text = |s: &str| Value::Text(s.into());
        let versions = [
            ("cscVersion", text(spec.version)),
            ("xmlVersion", text(XML_VERSION)),
            ("salVersion", text("")),
            ("subsystemVersions", text(&spec.subsystem_versions)),
        ];
        controller.event("softwareVersions")?.set_write_if(&versions, true)?;

        if let Err(e) = self.handle_summary_state().await {
            return Err(StartError::Csc(e));
        }
        self.report_state()?;
        if let Some(config) = self.config.clone() {
            start_polling(&self.ctx, config)?;
        }
        let target = options.initial_state.unwrap_or(spec.default_state);
        for transition in path(spec.default_state, target).unwrap_or_default() {
            self.ctx.clock().sleep(Duration::from_millis(1)).await;
            if let Err(e) = self.transition(transition, None, &options.configuration_override).await {
                let command = transition.command();
                tracing::error!("Failed in start on state transition command {command}; continuing. {e}");
                break;
            }
        }
        Ok(())
    }

    async fn run(mut self) {
        loop {
            tokio::select! {
                Some(fault) = self.faults.recv() => self.fault(fault).await,
                Some(ask) = self.asks.recv() => {
                    let data = ask.request.sample.str("configurationOverride").to_owned();
                    let result = self.transition(ask.transition, Some(&ask.request), &data).await;
                    let exits = ask.transition == Transition::ExitControl && result.is_ok();
                    // The worker that asked may have been cancelled; the state has changed all the same.
                    ask.reply.send(result).unwrap_or_default();
                    if exits {
                        break;
                    }
                }
                _ = self.close.recv() => break,
            }
        }
        self.asks.close();
        let (csc, ctx) = (self.csc.clone(), self.ctx.clone());
        let close = async move {
            csc.close(&ctx).await;
            Ok(())
        };
        // Real time: the process has to end.
        match tokio::time::timeout(CLOSE_LIMIT, self.alongside(close, false)).await {
            Ok((Ok(()), _)) => {}
            Ok((Err(e), _)) => log_failed("close failed", &e),
            Err(_) => tracing::error!("close did not end within {CLOSE_LIMIT:?}; going on without it"),
        }
        self.ctx.controller().close().await;
        self.done.send_replace(true);
    }

    /// One transition, from the question whether it is allowed to the events that tell of it.
    async fn transition(
        &mut self,
        transition: Transition,
        request: Option<&CommandRequest>,
        configuration_override: &str,
    ) -> CommandResult {
        let command = transition.command();
        let old = self.machine.state();
        if self.machine.target(transition).is_none() {
            return Err(CommandError::Expected(transition_refused(transition, old)));
        }
        let (csc, ctx, config) = (self.csc.clone(), self.ctx.clone(), self.config.clone());
        let request = request.cloned();
        let (for_begin, for_end) = (request.clone(), request);
        let data = configuration_override.to_owned();
        let begin = async move {
            csc.begin(&ctx, transition, for_begin.as_ref()).await?;
            match config {
                Some(config) if transition == Transition::Start => {
                    configure(&*csc, &ctx, &config, &data).await
                }
                _ => Ok(()),
            }
        };
        if let Err(e) = self.hook(transition, begin).await {
            log_failed(&format!("begin_{command} failed; remaining in state {old}"), &e);
            return Err(e);
        }
        self.machine.apply(transition);
        self.tell_state();

        let (csc, ctx) = (self.csc.clone(), self.ctx.clone());
        let end = async move { csc.end(&ctx, transition, for_end.as_ref()).await };
        if let Err(e) = self.hook(transition, end).await {
            log_failed(&format!("end_{command} failed; reverting to state {old}"), &e);
            if self.machine.state() != SummaryState::Fault {
                self.machine.restore(old);
                self.tell_state();
            }
            return Err(e);
        }
        if let Err(e) = self.handle_summary_state().await {
            log_failed(&format!("handle_summary_state failed in state {}", self.machine.state()), &e);
            return Err(e);
        }
        if self.machine.state() == SummaryState::Fault {
            return Err(self.given_up(transition));
        }
        self.report_state()?;
        Ok(None)
    }

    /// Runs a hook of a transition. A fault meanwhile makes it fail when it has ended.
    async fn hook(
        &mut self,
        transition: Transition,
        hook: impl Future<Output = Result<(), CommandError>> + Send,
    ) -> Result<(), CommandError> {
        let (outcome, faulted) = self.alongside(hook, true).await;
        if !faulted {
            return outcome;
        }
        self.finish_fault().await;
        Err(self.given_up(transition))
    }

    fn given_up(&self, transition: Transition) -> CommandError {
        let s = self.ctx.snapshot();
        CommandError::Expected(format!(
            "{} given up in Fault state: errorCode={}, errorReport={}",
            transition.command(),
            s.error_code,
            py_repr(&s.error_report)
        ))
    }

    async fn handle_summary_state(&mut self) -> Result<(), CommandError> {
        let (csc, ctx, state) = (self.csc.clone(), self.ctx.clone(), self.machine.state());
        let (outcome, faulted) =
            self.alongside(async move { csc.handle_summary_state(&ctx, state).await }, true).await;
        if faulted {
            self.finish_fault().await;
        }
        outcome
    }

    /// Waits for a piece of the author's code, carrying out (or, within a fault, ignoring) the faults that come meanwhile.
    /// A panic in it is an error of it: it does not end the driver.
    async fn alongside(
        &mut self,
        work: impl Future<Output = Result<(), CommandError>> + Send,
        obey: bool,
    ) -> (Result<(), CommandError>, bool) {
        let mut faulted = false;
        let work = AssertUnwindSafe(work).catch_unwind();
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                Some(fault) = self.faults.recv() => {
                    if obey && !faulted {
                        self.publish_fault(&fault);
                        faulted = true;
                    }
                    // Who asked may have stopped waiting.
                    fault.done.send(()).unwrap_or_default();
                }
                outcome = &mut work => {
                    let panicked = |_| Err(CommandError::Other("a hook of the CSC panicked".to_owned()));
                    return (outcome.unwrap_or_else(panicked), faulted);
                }
            }
        }
    }

    async fn fault(&mut self, fault: Fault) {
        self.publish_fault(&fault);
        self.finish_fault().await;
        // Who asked may have stopped waiting.
        fault.done.send(()).unwrap_or_default();
    }

    fn publish_fault(&mut self, fault: &Fault) {
        self.machine.fault();
        self.snapshot.send_replace(StateSnapshot {
            state: SummaryState::Fault,
            error_code: fault.code,
            error_report: fault.report.clone(),
        });
        let text = |s: &str| Value::Text(s.into());
        let fields = [
            ("errorCode", Value::Int(fault.code)),
            ("errorReport", text(&fault.report)),
            ("traceback", text(&fault.traceback)),
        ];
        let published = self.ctx.event("errorCode").and_then(|e| e.set_write_if(&fields, true));
        if let Err(e) = published {
            tracing::error!("errorCode not published: {e}");
        }
        tracing::error!(
            critical = true,
            traceback = fault.traceback,
            "Fault! errorCode={}, errorReport={}",
            fault.code,
            py_repr(&fault.report)
        );
        if let Err(e) = self.put_summary_state() {
            tracing::error!("summaryState not published: {e}");
        }
    }

    /// The last step of a fault; further faults are ignored meanwhile.
    async fn finish_fault(&mut self) {
        let (csc, ctx) = (self.csc.clone(), self.ctx.clone());
        let work = async move { csc.handle_summary_state(&ctx, SummaryState::Fault).await };
        if let (Err(e), _) = self.alongside(work, false).await {
            log_failed("handle_summary_state failed in FAULT", &e);
        }
    }

    fn tell_state(&self) {
        let state = self.machine.state();
        self.snapshot.send_modify(|s| s.state = state);
    }

    fn put_summary_state(&self) -> Result<(), SalError> {
        let fields = [("summaryState", Value::Int(self.machine.state().value()))];
        self.ctx.event("summaryState")?.set_write(&fields).map(|_| ())
    }

    /// Publishes `summaryState` and, unless in FAULT, `errorCode` 0: each if changed.
    fn report_state(&mut self) -> Result<(), SalError> {
        self.put_summary_state()?;
        if self.machine.state() != SummaryState::Fault {
            let state = self.machine.state();
            self.snapshot.send_replace(StateSnapshot { state, error_code: 0, error_report: String::new() });
            let text = || Value::Text("".into());
            let none = [("errorCode", Value::Int(0)), ("errorReport", text()), ("traceback", text())];
            self.ctx.event("errorCode")?.set_write(&none)?;
        }
        Ok(())
    }
}

fn log_failed(what: &str, e: &CommandError) {
    tracing::error!("{what}: {e}");
}
