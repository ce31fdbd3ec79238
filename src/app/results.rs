//! Results of runs besides the bus.

use crate::core::ResultEvent;

/// Takes the result of every run that ended. Must not wait: what cannot be delivered now is spooled by the taker.
pub trait ResultSink: Send + Sync {
    /// A run ended; the same is told again if the process died while it told it.
    fn result(&self, result: &ResultEvent);
}
