//! Events: `set_write` writes only when a field differs from the stored record (NaN equals NaN) or nothing was ever set.
//! Kafka keeps one record for each key (component, index, topic): late joiners get the last one as history.

use super::writer::{Force, TopicWriter};

/// Writes one event.
pub type EventWriter = TopicWriter;

/// Events are written on change.
pub(crate) const FORCE: Force = Force::OnChange;
