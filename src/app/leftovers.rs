//! What backends keep outside between the runs of a rule is removed when the rule is gone: they are told of the rules whenever
//! those change, and again after a while if something could not be removed.

use std::sync::Arc;
use std::time::Duration;

use salobj::Clock;
use tokio::sync::watch;

use super::backends::Backends;
use crate::rules::Rule;

/// Before what could not be removed is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// Tells the backends until nobody says any more which rules there are (the core has gone).
///
/// # Errors
/// None: what cannot be removed is told in the log.
pub async fn run(
    mut rules: watch::Receiver<Option<Vec<Arc<Rule>>>>,
    backends: Arc<Backends>,
    clock: Clock,
) -> Result<(), String> {
    let mut left = false;
    loop {
        tokio::select! {
            changed = rules.changed() => if changed.is_err() {
                return Ok(());
            },
            () = clock.sleep(AGAIN), if left => {}
        }
        let now = rules.borrow_and_update().clone();
        let Some(now) = now else { continue };
        left = false;
        for backend in backends.now().iter() {
            if let Err(error) = backend.rules(&now).await {
                tracing::warn!("{}: {error}; it is tried again", backend.name());
                left = true;
            }
        }
    }
}

#[cfg(test)]
mod tests;
