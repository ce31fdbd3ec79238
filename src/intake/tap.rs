//! Somebody who listens in: is told of every record before the core is, and of every schema before its first record.

use std::sync::Arc;

use salobj::Tai;
use salobj::transport::RecordRef;

/// See the module's documentation. It is called by the core's loop and must not wait.
pub trait Tap: Send {
    /// The schema of an id has become known.
    fn schema(&mut self, id: u32, text: &Arc<str>);
    /// A record of this Kafka topic goes to the core; `live` is false for one of the past.
    fn record(&mut self, topic: &Arc<str>, record: &RecordRef<'_>, received: Tai, live: bool);
}
