//! Telemetry: every `set_write` writes; the key is empty; there is no history.

use super::writer::{Force, TopicWriter};

/// Writes one telemetry topic.
pub type TelemetryWriter = TopicWriter;

/// Telemetry, commands and acknowledgements are always written.
pub(crate) const FORCE: Force = Force::Always;
