//! `Test`: the CSC that SAL libraries test themselves with.
//!
//! `setScalars` and `setArrays` copy the command's fields to the event and the telemetry topic of the same name; `wait`
//! sleeps, and says so first unless the duration is negative; `fault` goes to FAULT with error code 1.

use std::time::Duration;

use async_trait::async_trait;
use sal_idl::{IdlError, Library};
use salobj::csc::{CommandRule, Configuration, Csc, CscContext, CscSpec};
use salobj::{CommandError, CommandRequest, CommandResult, SummaryState, Transition, Value};
use tokio::sync::watch;

/// The JSON schema of its configuration.
pub const SCHEMA: &str = r#"
$schema: http://json-schema.org/draft-07/schema#
title: Test v2
description: Configuration of the CSC that tests SAL
type: object
properties:
  string0: {type: string}
  bool0: {type: boolean}
  int0: {type: integer}
  float0: {type: number}
  intarr0: {type: array, items: {type: integer}}
  multi_type: {anyOf: [{type: integer, minimum: 1}, {type: string}, {type: "null"}]}
required: [string0, bool0, int0, float0, intarr0, multi_type]
additionalProperties: false
"#;

/// A complete `_init.yaml` for [`SCHEMA`].
pub const INIT_YAML: &str =
    "string0: default value\nbool0: true\nint0: 5\nfloat0: 3.14\nintarr0: [-1, 1]\nmulti_type: null\n";

/// Error code of the `fault` command.
pub const FAULT_CODE: i64 = 1;
/// Error report of the `fault` command.
pub const FAULT_REPORT: &str = "executing the fault command";

/// The `Test` CSC. A test can make its hooks fail.
#[derive(Debug)]
pub struct TestCsc {
    failing: watch::Sender<Option<Failing>>,
    config: watch::Sender<Option<Configuration>>,
}

/// Which hook fails next, and how; it fails once.
#[derive(Debug, Clone, PartialEq)]
pub enum Failing {
    /// `begin` of a transition.
    Begin(Transition, CommandError),
    /// `end` of a transition.
    End(Transition, CommandError),
    /// `handle_summary_state` in a state.
    Handle(SummaryState, CommandError),
    /// `end` of a transition reports a fault with this code.
    FaultInEnd(Transition, i64),
    /// `begin` of a transition panics.
    PanicInBegin(Transition),
    /// `start` reports a fault with this code.
    FaultInStart(i64),
    /// `close` reports a fault with this code.
    FaultInClose(i64),
}

impl Default for TestCsc {
    fn default() -> TestCsc {
        TestCsc { failing: watch::Sender::new(None), config: watch::Sender::new(None) }
    }
}

impl TestCsc {
    /// Interface (the embedded one), version and configuration.
    pub fn spec() -> Result<CscSpec, IdlError> {
        TestCsc::spec_of(&Library::embedded())
    }

    /// The same with the interface of another library, such as ts_xml's.
    pub fn spec_of(library: &Library) -> Result<CscSpec, IdlError> {
        let component = library.component("Test")?;
        Ok(CscSpec::new(component, env!("CARGO_PKG_VERSION")).configurable("TS_CONFIG_OCS", SCHEMA))
    }

    /// Makes a hook fail once.
    pub fn fail_next(&self, what: Failing) {
        self.failing.send_replace(Some(what));
    }

    /// The configuration it was given last.
    pub fn config(&self) -> Option<Configuration> {
        self.config.borrow().clone()
    }

    fn take(&self, wanted: impl Fn(&Failing) -> bool) -> Option<Failing> {
        let mut found = None;
        self.failing.send_if_modified(|f| {
            if f.as_ref().is_some_and(&wanted) {
                found = f.take();
            }
            found.is_some()
        });
        found
    }
}

#[async_trait]
impl Csc for TestCsc {
    fn command_rule(&self, command: &str) -> CommandRule {
        if command == "fault" { CommandRule::ANY } else { CommandRule::ENABLED }
    }

    fn parallel(&self, command: &str) -> bool {
        command == "wait"
    }

    async fn start(&self, ctx: &CscContext) -> Result<(), CommandError> {
        if let Some(Failing::FaultInStart(code)) = self.take(|f| matches!(f, Failing::FaultInStart(_))) {
            ctx.fault(code, "fault in start", "").await;
        }
        Ok(())
    }

    async fn close(&self, ctx: &CscContext) {
        if let Some(Failing::FaultInClose(code)) = self.take(|f| matches!(f, Failing::FaultInClose(_))) {
            ctx.fault(code, "fault in close", "").await;
        }
    }

    async fn configure(&self, _ctx: &CscContext, config: Configuration) -> Result<String, CommandError> {
        self.config.send_replace(Some(config));
        Ok(String::new())
    }

    async fn begin(
        &self,
        _ctx: &CscContext,
        transition: Transition,
        _request: Option<&CommandRequest>,
    ) -> Result<(), CommandError> {
        let ours =
            |f: &Failing| matches!(f, Failing::Begin(t, _) | Failing::PanicInBegin(t) if *t == transition);
        match self.take(ours) {
            Some(Failing::Begin(_, e)) => Err(e),
            Some(Failing::PanicInBegin(_)) => panic!("as the test asked"),
            _ => Ok(()),
        }
    }

    async fn end(
        &self,
        ctx: &CscContext,
        transition: Transition,
        _request: Option<&CommandRequest>,
    ) -> Result<(), CommandError> {
        let ours =
            |f: &Failing| matches!(f, Failing::End(t, _) | Failing::FaultInEnd(t, _) if *t == transition);
        match self.take(ours) {
            Some(Failing::End(_, e)) => Err(e),
            Some(Failing::FaultInEnd(_, code)) => {
                ctx.fault(code, "fault in a hook", "").await;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn handle_summary_state(&self, _ctx: &CscContext, state: SummaryState) -> Result<(), CommandError> {
        match self.take(|f| matches!(f, Failing::Handle(s, _) if *s == state)) {
            Some(Failing::Handle(_, e)) => Err(e),
            _ => Ok(()),
        }
    }

    async fn do_command(&self, ctx: &CscContext, request: CommandRequest) -> CommandResult {
        match request.name.as_str() {
            "setScalars" | "setArrays" => {
                let topic = if request.name == "setScalars" { "scalars" } else { "arrays" };
                let fields: Vec<(&str, Value)> =
                    request.sample.public_fields().map(|(name, value)| (name, value.clone())).collect();
                ctx.event(topic)?.set_write(&fields)?;
                ctx.telemetry(topic)?.set_write(&fields)?;
            }
            "wait" => {
                let seconds = request.sample.f64("duration");
                let duration = Duration::try_from_secs_f64(seconds.abs())
                    .map_err(|_| CommandError::Expected(format!("duration={seconds} is not a duration")))?;
                if seconds >= 0.0 {
                    request.in_progress(duration, "")?;
                }
                ctx.clock().sleep(duration).await;
            }
            "fault" => ctx.fault(FAULT_CODE, FAULT_REPORT, "").await,
            other => return Err(CommandError::Other(format!("no such command: {other}"))),
        }
        Ok(None)
    }
}
