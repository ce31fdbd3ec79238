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
    let filter = without_secrets(filter);
    let text = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(true);
    let registry = tracing_subscriber::registry().with(extra).with(filter).with(text);
    drop(registry.try_init());
}

/// The library shows the request of a websocket at level trace, and LOVE-manager's password is in its address: never that.
fn without_secrets(filter: EnvFilter) -> EnvFilter {
    let silent = ["tungstenite::handshake::client=off", "tungstenite::client=off"];
    silent.iter().fold(filter, |filter, directive| {
        filter.add_directive(directive.parse().expect("a directive of ours is right"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_that_hold_a_password_are_not_logged_whatever_is_asked_for() {
        for asked in ["trace", "tungstenite=trace", "trace,tungstenite::handshake::client=trace"] {
            let filter = without_secrets(EnvFilter::new(asked));
            tracing::subscriber::with_default(tracing_subscriber::registry().with(filter), || {
                assert!(tracing::enabled!(target: "tungstenite::protocol", tracing::Level::TRACE), "{asked}");
                let client =
                    tracing::enabled!(target: "tungstenite::handshake::client", tracing::Level::TRACE);
                assert!(!client, "{asked}");
            });
        }
    }
}
