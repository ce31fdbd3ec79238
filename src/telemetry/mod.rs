//! Logs, and the figures of the telemetry topic `statistics`.

mod histogram;
mod meter;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

pub use histogram::Histogram;
pub use meter::{Figures, Meter};

/// Logs to standard error, at `level` unless `RUST_LOG` says otherwise; `extra` is a further layer (the one that
/// publishes log records as SAL events).
///
/// The second call of a process does nothing (tests start many Catchers in one process).
pub fn init<L>(level: &str, extra: L)
where
    L: tracing_subscriber::Layer<tracing_subscriber::Registry> + Send + Sync,
{
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    let text = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(true);
    let registry = tracing_subscriber::registry().with(extra).with(filter).with(text);
    drop(registry.try_init());
}
