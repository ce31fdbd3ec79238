//! A whole CSC: the component `Test` with two of its commands. Run it as `hello_csc INDEX [--state enabled ...]` with the
//! usual SAL environment variables (`LSST_TOPIC_SUBNAME`, `LSST_KAFKA_BROKER_ADDR`, `LSST_SCHEMA_REGISTRY_URL`, ...).

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sal_idl::Library;
use salobj::csc::{CommandRule, Csc, CscContext, CscSpec, cli};
use salobj::{CommandError, CommandRequest, CommandResult, SummaryState};

struct Hello;

#[async_trait]
impl Csc for Hello {
    fn command_rule(&self, command: &str) -> CommandRule {
        if command == "fault" { CommandRule::ANY } else { CommandRule::ENABLED }
    }

    fn parallel(&self, command: &str) -> bool {
        command == "wait"
    }

    async fn start(&self, ctx: &CscContext) -> Result<(), CommandError> {
        // Telemetry once a second while ENABLED, for as long as the CSC lives.
        let (writer, ctx2) = (ctx.telemetry("scalars")?, ctx.clone());
        ctx.spawn(async move {
            loop {
                ctx2.clock().sleep(Duration::from_secs(1)).await;
                let hour = ctx2.clock().now().utc_hour();
                if ctx2.state() == SummaryState::Enabled
                    && let Err(e) = writer.set_write(&[("double0", hour.into())])
                {
                    tracing::warn!("telemetry not written: {e}");
                }
            }
        });
        Ok(())
    }

    async fn do_command(&self, ctx: &CscContext, request: CommandRequest) -> CommandResult {
        match request.name.as_str() {
            "setScalars" => {
                let text = request.sample.str("string0");
                if text.is_empty() {
                    return Err(CommandError::expected("string0 must not be empty"));
                }
                ctx.event("scalars")?.set_write(&[("string0", text.into())])?;
                Ok(Some(format!("hello, {text}")))
            }
            "wait" => {
                let seconds = request.sample.f64("duration").clamp(0.0, 3600.0);
                let duration = Duration::from_secs_f64(seconds);
                request.in_progress(duration, "waiting")?;
                ctx.clock().sleep(duration).await;
                Ok(None)
            }
            "fault" => {
                ctx.fault(1, "asked to break", "").await;
                Ok(None)
            }
            other => Err(CommandError::expected(format!("{other} is not built into this example"))),
        }
    }
}

fn main() -> ExitCode {
    let component = Library::embedded().component("Test").expect("Test is one of the embedded interfaces");
    cli::main(CscSpec::new(component, env!("CARGO_PKG_VERSION")), |_| Arc::new(Hello))
}
