//! The Catcher's own SAL face: commands in, events out.
//!
//! ```text
//!  salobj driver ── start ──► configure: site + rule files, compiled ──► core
//!       │        ── enable ─► core reads the past, judges, publishes all ─► summaryState
//!       │        ── command ► commands.rs ──► core ──► answer = final acknowledgement
//!       ◄─────────── publish.rs ◄──────────── events of the core
//! ```

mod commands;
mod configure;
mod log_entry;
mod publish;
pub mod site;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use salobj::csc::state::{SummaryState, Transition};
use salobj::csc::{CommandRule, Configuration, Csc, CscContext, CscSpec};
use salobj::{CommandError, CommandRequest, CommandResult};
use serde::{Deserialize, Serialize};

use crate::app::handle::CoreHandle;
use crate::intake::BusSchemas;
use crate::journal::Record;
use crate::outputs::lfa::{Lfa, Place};

pub use configure::{compile_all, compile_text};
pub use publish::Publisher;
pub use site::Site;

/// How long `start` may take, as told to the client: rule files are compiled, topics of the rules are created.
const START_ESTIMATE: Duration = Duration::from_secs(120);

/// How long `enable` may take: the past that the rules need is read.
const ENABLE_ESTIMATE: Duration = Duration::from_secs(90);

/// The journal entry `csc`: what a process that did not end by `exitControl` goes back to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StateRecord {
    /// Summary state.
    pub state: String,
    /// Override of the applied configuration.
    pub configuration_override: String,
}

/// What the CSC is, before one is made.
pub fn spec(component: Arc<sal_idl::Component>) -> CscSpec {
    CscSpec::new(component, env!("CARGO_PKG_VERSION"))
        .configurable("TS_CONFIG_OCS", crate::config::SCHEMA)
        .simulation_modes(&[0, 1])
}

/// The Catcher as salobj's driver sees it.
pub struct CatcherCsc {
    /// The core.
    pub core: CoreHandle,
    /// Where events go; filled when the CSC starts.
    pub publisher: Arc<Publisher>,
    /// Interfaces of the topics that rules read.
    pub schemas: Arc<BusSchemas>,
    /// What the site configured; filled by `start`.
    pub site: Arc<Site>,
    /// The task driver: the site says how much each backend may do at a time.
    pub driver: crate::tasks::driver::Driver,
    /// The backends of steps.
    pub backends: Arc<crate::app::backends::Backends>,
    /// Where reports and files of steps go.
    pub lfa: Arc<Lfa>,
    /// What the environment says of the LFA.
    pub lfa_place: Place,
    /// Where secrets named by the configuration are looked up.
    pub secrets: crate::app::Secrets,
    /// Base of the addresses of reports if the site says nothing.
    pub report_base: String,
    /// Override of the last `start`.
    pub last_override: arc_swap::ArcSwap<String>,
}

#[async_trait]
impl Csc for CatcherCsc {
    fn command_rule(&self, command: &str) -> CommandRule {
        commands::rule(command)
    }

    async fn start(&self, ctx: &CscContext) -> Result<(), CommandError> {
        self.publisher.attach(ctx).map_err(|e| CommandError::Other(e.to_string()))
    }

    async fn begin(
        &self,
        _ctx: &CscContext,
        transition: Transition,
        request: Option<&CommandRequest>,
    ) -> Result<(), CommandError> {
        let Some(request) = request else { return Ok(()) };
        let estimate = match transition {
            Transition::Start => {
                self.last_override.store(Arc::new(request.sample.str("configurationOverride").to_owned()));
                START_ESTIMATE
            }
            Transition::Enable => ENABLE_ESTIMATE,
            Transition::Disable
            | Transition::Standby
            | Transition::ExitControl
            | Transition::EnterControl => return Ok(()),
        };
        request.in_progress(estimate, "").map_err(|e| CommandError::Other(e.to_string()))
    }

    async fn configure(&self, ctx: &CscContext, config: Configuration) -> Result<String, CommandError> {
        self.apply(ctx.index(), config).await.map(|()| String::new()).map_err(CommandError::Expected)
    }

    async fn end(
        &self,
        _ctx: &CscContext,
        transition: Transition,
        _request: Option<&CommandRequest>,
    ) -> Result<(), CommandError> {
        match transition {
            Transition::Enable => self.core.enable().await.map_err(CommandError::Other),
            Transition::Disable => self.core.disable().await.map_err(CommandError::Other),
            Transition::Start | Transition::Standby | Transition::ExitControl | Transition::EnterControl => {
                Ok(())
            }
        }
    }

    async fn handle_summary_state(&self, _ctx: &CscContext, state: SummaryState) -> Result<(), CommandError> {
        if state == SummaryState::Fault {
            // The fault may be that the core cannot go on: it is told, not waited for.
            self.core.disable_soon();
            return Ok(());
        }
        let record = StateRecord {
            state: state.name().to_owned(),
            configuration_override: self.last_override.load().to_string(),
        };
        let value = serde_json::to_value(record).expect("plain data");
        self.core.note(Record::put("csc", value)).await.map_err(CommandError::Other)
    }

    async fn do_command(&self, ctx: &CscContext, request: CommandRequest) -> CommandResult {
        self.command(ctx, request).await
    }
}
