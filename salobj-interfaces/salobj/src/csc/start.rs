//! Starting a CSC: options checked, controller made, driver brought up; the handle of one that runs.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::Instrument as _;

use super::commands::check;
use super::config::{ConfigError, ConfigStore};
use super::context::{CscContext, Inner, StateSnapshot};
use super::driver::{Ask, Driver};
use super::state::{Machine, SummaryState, Transition};
use super::{Csc, CscOptions, CscSpec};
use crate::controller::{CommandError, CommandHandler, CommandRequest, CommandResult, Controller};
use crate::domain::Domain;
use crate::error::SalError;

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
