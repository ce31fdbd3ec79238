//! A commandable SAL component: the author writes a [`Csc`], the driver does what every CSC does.
//!
//! ```text
//!  commands ─► worker of each command ─┬─ start, enable, ... ─► driver (owns the state machine) ─► begin, end, events
//!                                      ├─ setLogLevel        ─► controller
//!                                      └─ the CSC's own      ─► state allows it? ─► Csc::do_command
//! ```
//! A whole CSC is in `examples/hello_csc.rs`.

pub mod cli;
pub mod commands;
pub mod config;
mod configure;
mod context;
mod driver;
mod presence;
mod start;
pub mod state;

pub use commands::CommandRule;
pub use config::{ConfigError, ConfigSpec, Configuration};
pub use context::{CscContext, StateSnapshot};
pub use start::{RunningCsc, StartError, start};

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use sal_idl::Component;

use crate::controller::{CommandError, CommandRequest, CommandResult};
use state::{SummaryState, Transition};

/// Version of ts_xml whose generic topics this library follows; published as `xmlVersion`.
pub const XML_VERSION: &str = "28.0.1";

/// What is fixed about a CSC before one is made: its interface, version, simulation modes, configuration.
#[derive(Debug, Clone)]
pub struct CscSpec {
    /// The component.
    pub component: Arc<Component>,
    /// Version of the CSC's software (`cscVersion`, `--version`).
    pub version: &'static str,
    /// Versions of its parts, `key=value` list (`subsystemVersions`).
    pub subsystem_versions: String,
    /// Simulation modes it knows; 0 is the real thing.
    pub simulation_modes: Vec<i64>,
    /// Set for a configurable CSC.
    pub config: Option<ConfigSpec>,
    /// State in which it always begins: STANDBY, or OFFLINE for an externally commandable one.
    pub default_state: SummaryState,
    /// The command line offers `--state` (and `--override`).
    pub offers_state: bool,
}

impl CscSpec {
    /// A CSC that is not configurable, has no simulation mode, and begins in STANDBY.
    pub fn new(component: Arc<Component>, version: &'static str) -> CscSpec {
        CscSpec {
            component,
            version,
            subsystem_versions: String::new(),
            simulation_modes: vec![0],
            config: None,
            default_state: SummaryState::Standby,
            offers_state: true,
        }
    }

    /// Makes it configurable, with this package (`TS_CONFIG_OCS`) and JSON schema.
    #[must_use]
    pub fn configurable(self, package: &str, schema: &str) -> CscSpec {
        let config = Some(ConfigSpec { package: package.to_owned(), schema: schema.to_owned() });
        CscSpec { config, ..self }
    }

    /// Sets the simulation modes.
    #[must_use]
    pub fn simulation_modes(self, modes: &[i64]) -> CscSpec {
        CscSpec { simulation_modes: modes.to_vec(), ..self }
    }
}

/// What is said when one CSC is started.
#[derive(Debug, Clone)]
pub struct CscOptions {
    /// SAL index, 0 for a component that is not indexed.
    pub index: i32,
    /// State to go to after the default state was reported; `None` stays there. Never FAULT.
    pub initial_state: Option<SummaryState>,
    /// Override for `start` on the way to the initial state.
    pub configuration_override: String,
    /// Replaces the directory of the configuration package.
    pub config_dir: Option<PathBuf>,
    /// One of the spec's modes.
    pub simulation_mode: i64,
    /// Level (Python's numbers) of published log records; `None` is 20, INFO.
    pub log_level: Option<i64>,
    /// Look for another instance first, for three seconds; on when started from the command line.
    pub check_duplicate: bool,
    /// An origin whose heartbeats do not count as another instance (the predecessor of a fail-over).
    pub predecessor: Option<i64>,
    /// Publish log records that belong to no CSC, too (a process with one CSC).
    pub take_all_log_records: bool,
}

impl CscOptions {
    /// As in tests: no initial state, no duplicate check, not simulated.
    pub fn new(index: i32) -> CscOptions {
        CscOptions {
            index,
            initial_state: None,
            configuration_override: String::new(),
            config_dir: None,
            simulation_mode: 0,
            log_level: None,
            check_duplicate: false,
            predecessor: None,
            take_all_log_records: false,
        }
    }
}

/// What an author writes. All methods but [`Csc::do_command`] have defaults.
///
/// Commands run side by side, hence `&self`: keep what changes behind a lock, or better in a task of its own. An error of
/// a hook fails the command that caused it and leaves (or restores) the old summary state.
#[async_trait]
pub trait Csc: Send + Sync + 'static {
    /// The states in which a command of the CSC's own is accepted. It is checked before the command is seen.
    fn command_rule(&self, command: &str) -> CommandRule {
        let _ = command;
        CommandRule::ENABLED
    }

    /// True if several of this command may run at once.
    fn parallel(&self, command: &str) -> bool {
        let _ = command;
        false
    }

    /// Before the first state is reported. An error ends the start.
    async fn start(&self, ctx: &CscContext) -> Result<(), CommandError> {
        let _ = ctx;
        Ok(())
    }

    /// Takes a valid configuration, at `start`. What is returned goes to `configurationApplied.otherInfo`: names of events
    /// with details of the configuration, comma separated.
    async fn configure(&self, ctx: &CscContext, config: Configuration) -> Result<String, CommandError> {
        let _ = (ctx, config);
        Ok(String::new())
    }

    /// Before the state changes (`begin_start` and so on). For `start` of a configurable CSC, before `configure`. `request`
    /// is `None` on the way to the initial state.
    async fn begin(
        &self,
        ctx: &CscContext,
        transition: Transition,
        request: Option<&CommandRequest>,
    ) -> Result<(), CommandError> {
        let _ = (ctx, transition, request);
        Ok(())
    }

    /// After the state changed, before it is published (`end_start` and so on). An error restores the old state.
    async fn end(
        &self,
        ctx: &CscContext,
        transition: Transition,
        request: Option<&CommandRequest>,
    ) -> Result<(), CommandError> {
        let _ = (ctx, transition, request);
        Ok(())
    }

    /// The state (in `state`) is about to be published: make connections and start loops in DISABLED and ENABLED, stop them
    /// otherwise.
    async fn handle_summary_state(&self, ctx: &CscContext, state: SummaryState) -> Result<(), CommandError> {
        let _ = (ctx, state);
        Ok(())
    }

    /// Executes a command of the CSC's own, in a state that its rule allows.
    async fn do_command(&self, ctx: &CscContext, request: CommandRequest) -> CommandResult;

    /// Closing: stop what runs. Events can still be written.
    async fn close(&self, ctx: &CscContext) {
        let _ = ctx;
    }
}
