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

use async_trait::async_trait;
use futures::FutureExt as _;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::Instrument as _;

use super::commands::{check, transition_refused};
use super::config::{ConfigError, ConfigStore};
use super::context::{CscContext, Fault, Inner, StateSnapshot};
use super::state::{Machine, SummaryState, Transition, path};
use super::{Csc, CscOptions, CscSpec, XML_VERSION};
use crate::controller::{CommandError, CommandHandler, CommandRequest, CommandResult, Controller};
use crate::domain::Domain;
use crate::error::{SalError, py_repr};
use crate::remote::{Remote, RemoteOptions};
use crate::value::Value;

/// Period of the heartbeat.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long another instance's heartbeat is listened for: three periods.
const DUPLICATE_WAIT: Duration = Duration::from_secs(3);
/// How often the configuration directory is looked at in STANDBY.
const CONFIG_POLL: Duration = Duration::from_secs(1);
/// Transitions that wait for the driver; the workers of the commands wait in turn.
const QUEUE: usize = 16;

/// Why a CSC did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An option that makes no sense.
    #[error("{0}")]
    Options(String),
    /// No configuration can be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Another instance is alive.
    #[error("{name_index} with origin={own} quitting: found another instance with origin={other}.")]
    Duplicate {
        /// Component and index.
        name_index: String,
        /// Our process id.
        own: i64,
        /// Theirs.
        other: i64,
    },
    /// The CSC's own start failed.
    #[error("start failed: {0}")]
    Csc(CommandError),
    /// Topics, schemas, or reading failed.
    #[error(transparent)]
    Sal(#[from] SalError),
}

/// A CSC that runs.
#[derive(Debug, Clone)]
pub struct RunningCsc {
    ctx: CscContext,
    close: mpsc::Sender<()>,
    done: watch::Receiver<bool>,
}

impl RunningCsc {
    /// The CSC from within.
    pub fn context(&self) -> &CscContext {
        &self.ctx
    }

    /// Waits until the CSC has closed (by `exitControl`, or [`RunningCsc::close`]).
    pub async fn wait_done(&self) {
        let mut done = self.done.clone();
        // An error means that the driver is gone, which is as good as done.
        done.wait_for(|done| *done).await.map(|_| ()).unwrap_or_default();
    }

    /// Closes as SIGTERM does: no transition is published.
    pub async fn close(&self) {
        // Full or closed: somebody asked already.
        self.close.try_send(()).unwrap_or_default();
        self.wait_done().await;
    }
}

/// A transition command on its way to the driver.
struct Ask {
    transition: Transition,
    request: CommandRequest,
    reply: oneshot::Sender<CommandResult>,
}

/// Starts a CSC; returns when it has reported its state, and the initial state asked for was reached or failed.
pub async fn start(
    domain: &Domain,
    spec: CscSpec,
    options: CscOptions,
    csc: Arc<dyn Csc>,
) -> Result<RunningCsc, StartError> {
    check_options(&spec, &options)?;
    let config = open_config(domain, &spec, &options)?;
    let controller = Controller::new(domain, spec.component.clone(), options.index)?;
    if let Some(level) = options.log_level {
        controller.set_log_level_before_start(level);
    }
    if options.take_all_log_records {
        controller.take_all_log_records();
    }
    let machine = Machine::new(spec.default_state);
    let snapshot = StateSnapshot { state: spec.default_state, error_code: 0, error_report: String::new() };
    let (snapshot, watch_snapshot) = watch::channel(snapshot);
    let (faults, take_faults) = mpsc::channel(QUEUE);
    let (asks, take_asks) = mpsc::channel(QUEUE);
    let (close, take_close) = mpsc::channel(1);
    let (set_done, done) = watch::channel(false);
    let ctx = CscContext {
        inner: Arc::new(Inner {
            controller: controller.clone(),
            snapshot: watch_snapshot,
            faults,
            simulation_mode: options.simulation_mode,
        }),
    };
    let dispatcher = Dispatcher { csc: csc.clone(), ctx: ctx.clone(), asks };
    let driver = Driver {
        csc,
        ctx: ctx.clone(),
        machine,
        snapshot,
        config,
        faults: take_faults,
        asks: take_asks,
        close: take_close,
        done: set_done,
    };
    let span = controller.span();
    driver.begin(spec, options, Arc::new(dispatcher)).instrument(span).await?;
    Ok(RunningCsc { ctx, close, done })
}

fn check_options(spec: &CscSpec, options: &CscOptions) -> Result<(), StartError> {
    if options.initial_state == Some(SummaryState::Fault) {
        return Err(StartError::Options("initial_state cannot be FAULT".to_owned()));
    }
    if !spec.simulation_modes.contains(&options.simulation_mode) {
        let modes: Vec<String> = spec.simulation_modes.iter().map(ToString::to_string).collect();
        let comma = if modes.len() == 1 { "," } else { "" };
        return Err(StartError::Options(format!(
            "simulation_mode={} not in valid_simulation_modes=({}{comma})",
            options.simulation_mode,
            modes.join(", ")
        )));
    }
    Ok(())
}

fn open_config(
    domain: &Domain,
    spec: &CscSpec,
    options: &CscOptions,
) -> Result<Option<Arc<ConfigStore>>, StartError> {
    let Some(config) = &spec.config else { return Ok(None) };
    let package = domain.env().package_dir(&config.package).ok();
    let store = ConfigStore::open(
        &spec.component.name,
        config,
        options.config_dir.as_deref(),
        package,
        domain.env().site.as_deref(),
    )?;
    Ok(Some(Arc::new(store)))
}

/// Sends each command where it belongs.
struct Dispatcher {
    csc: Arc<dyn Csc>,
    ctx: CscContext,
    asks: mpsc::Sender<Ask>,
}

#[async_trait]
impl CommandHandler for Dispatcher {
    async fn handle(&self, request: CommandRequest) -> CommandResult {
        if let Some(transition) = Transition::of_command(&request.name) {
            let (reply, answer) = oneshot::channel();
            let ask = Ask { transition, request, reply };
            self.asks.send(ask).await.map_err(|_| CommandError::Aborted)?;
            return answer.await.unwrap_or(Err(CommandError::Aborted));
        }
        if request.name == "setLogLevel" {
            self.ctx.controller().set_log_level(request.sample.i64("level"))?;
            return Ok(None);
        }
        let now = self.ctx.snapshot();
        check(self.csc.command_rule(&request.name), now.state, now.error_code, &now.error_report)
            .map_err(CommandError::Expected)?;
        self.csc.do_command(&self.ctx, request).await
    }

    fn parallel(&self, command: &str) -> bool {
        self.csc.parallel(command)
    }
}

struct Driver {
    csc: Arc<dyn Csc>,
    ctx: CscContext,
    machine: Machine,
    snapshot: watch::Sender<StateSnapshot>,
    config: Option<Arc<ConfigStore>>,
    faults: mpsc::Receiver<Fault>,
    asks: mpsc::Receiver<Ask>,
    close: mpsc::Receiver<()>,
    done: watch::Sender<bool>,
}

impl Driver {
    /// Starts everything, then spawns the driver's own loop. On an error all is closed again.
    async fn begin(
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
        let csc = self.csc.clone();
        csc.start(&self.ctx).await.map_err(StartError::Csc)?;
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
        self.start_config_poll()?;
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
        self.csc.close(&self.ctx).await;
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

    /// In STANDBY, looks at the configuration directory every second and publishes what could be asked for. Also after a
    /// failed `start`, and at least once each time STANDBY is entered.
    fn start_config_poll(&self) -> Result<(), SalError> {
        let Some(config) = self.config.clone() else { return Ok(()) };
        let event = self.ctx.event("configurationsAvailable")?;
        let (ctx, mut state) = (self.ctx.clone(), self.ctx.watch_state());
        self.ctx.spawn(async move {
            let mut told = false;
            loop {
                // The sender lives in the driver; when it is gone the CSC is, too.
                if state.wait_for(|s| s.state == SummaryState::Standby).await.is_err() {
                    return;
                }
                let available = config.available().await;
                let fields = available_fields(&config, &available.overrides, &available.version);
                if let Err(e) = event.set_write_if(&fields, !told) {
                    tracing::warn!("configurationsAvailable not published: {e}");
                }
                told = true;
                tokio::select! {
                    () = ctx.clock().sleep(CONFIG_POLL) => {}
                    left = state.wait_for(|s| s.state != SummaryState::Standby) => {
                        told = false;
                        if left.is_err() {
                            return;
                        }
                    }
                }
            }
        });
        Ok(())
    }
}

fn available_fields<'a>(config: &ConfigStore, overrides: &str, version: &str) -> [(&'a str, Value); 4] {
    let text = |s: &str| Value::Text(s.into());
    [
        ("overrides", text(overrides)),
        ("version", text(version)),
        ("url", text(config.url())),
        ("schemaVersion", text(config.schema_version())),
    ]
}

/// Loads the configuration that `start` asks for, gives it to the CSC, publishes `configurationApplied`.
async fn configure(
    csc: &dyn Csc,
    ctx: &CscContext,
    config: &ConfigStore,
    configuration_override: &str,
) -> Result<(), CommandError> {
    let available = config.available().await;
    let fields = available_fields(config, &available.overrides, &available.version);
    ctx.event("configurationsAvailable")?.set_write(&fields)?;
    let expected = |e: ConfigError| CommandError::Expected(e.to_string());
    let loaded = config.load(configuration_override).await.map_err(expected)?;
    let files = loaded.files.join(",");
    let other_info = csc.configure(ctx, loaded).await?;
    let text = |s: &str| Value::Text(s.into());
    let applied = [
        ("configurations", text(&files)),
        ("version", text(&available.version)),
        ("url", text(config.url())),
        ("schemaVersion", text(config.schema_version())),
        ("otherInfo", text(&other_info)),
    ];
    ctx.event("configurationApplied")?.set_write_if(&applied, true)?;
    Ok(())
}

fn log_failed(what: &str, e: &CommandError) {
    tracing::error!("{what}: {e}");
}

fn start_heartbeat(controller: &Controller) -> Result<(), SalError> {
    let heartbeat = controller.event("heartbeat")?;
    let clock = controller.domain().clock().clone();
    heartbeat.set_write_if(&[("heartbeat", Value::Bool(false))], true)?;
    controller.spawn(async move {
        loop {
            clock.sleep(HEARTBEAT).await;
            if let Err(e) = heartbeat.write() {
                tracing::warn!("heartbeat not published: {e}");
            }
        }
    });
    Ok(())
}

/// Listens for the heartbeat of another process with our name and index.
async fn look_for_another(controller: &Controller, predecessor: Option<i64>) -> Result<(), StartError> {
    let domain = controller.domain().sibling();
    let options = RemoteOptions { event_history: 0, ..RemoteOptions::include(["heartbeat"]).readonly() };
    let remote = Remote::open(&domain, controller.component().clone(), controller.index(), options).await?;
    let heartbeat = remote.event("heartbeat")?;
    let clock = domain.clock();
    let deadline = clock.now() + DUPLICATE_WAIT;
    let other = loop {
        let left = deadline.since(clock.now());
        match heartbeat.next(false, Some(left)).await {
            Ok(sample) if Some(sample.origin()) == predecessor => {}
            Ok(sample) => break Some(sample.origin()),
            Err(_) => break None,
        }
    };
    domain.close().await;
    match other {
        None => Ok(()),
        Some(other) => Err(StartError::Duplicate {
            name_index: controller.name_index().to_owned(),
            own: controller.domain().origin(),
            other,
        }),
    }
}
