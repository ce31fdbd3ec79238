//! Results of runs besides the bus.

use salobj::Tai;

use crate::core::ResultEvent;

/// Takes the result of every run that ended. Must not wait: what cannot be delivered now is spooled by the taker.
pub trait ResultSink: Send + Sync {
    /// A run ended at `at`.
    fn result(&self, result: &ResultEvent, at: Tai);
}
