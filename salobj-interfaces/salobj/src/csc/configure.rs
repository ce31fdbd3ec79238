//! Configuration as the driver carries it out: what is available, in STANDBY; what is applied, at `start`.

use std::sync::Arc;
use std::time::Duration;

use super::Csc;
use super::config::{ConfigError, ConfigStore};
use super::context::CscContext;
use super::state::SummaryState;
use crate::controller::CommandError;
use crate::error::SalError;
use crate::value::Value;

/// How often the configuration directory is looked at in STANDBY.
const CONFIG_POLL: Duration = Duration::from_secs(1);

/// In STANDBY, looks at the configuration directory every second and publishes what could be asked for. Also after a
/// failed `start`, and at least once each time STANDBY is entered.
pub(super) fn start_polling(csc: &CscContext, config: Arc<ConfigStore>) -> Result<(), SalError> {
    let event = csc.event("configurationsAvailable")?;
    let (ctx, mut state) = (csc.clone(), csc.watch_state());
    csc.spawn(async move {
        let mut told = false;
        loop {
            // The sender lives in the driver; when it is gone the CSC is, too.
            if state.wait_for(|s| s.state == SummaryState::Standby).await.is_err() {
                return;
            }
            let available = config.available().await;
            if !told && available.version.is_empty() {
                tracing::warn!("Could not get git info for config_dir={}", config.directory().display());
            }
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
pub(super) async fn configure(
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
