//! Parts of an alarm as written; the rest is in `spec`.

#[cfg(test)]
use schemars::JsonSchema;

use super::spec::{At, Seconds};
use super::yaml::Span;
use crate::alarms::Severity;

/// Whom to call, and how long to wait first.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(JsonSchema))]
#[cfg_attr(test, schemars(deny_unknown_fields))]
pub(crate) struct EscalateSpec {
    /// Whom.
    pub(crate) responder: Option<At<String>>,
    /// How long.
    pub(crate) delay: Option<At<Seconds>>,
    #[cfg_attr(test, schemars(skip))]
    pub(crate) span: Span,
}

/// What may be the cause of an alarm.
#[derive(Debug, Clone)]
pub(crate) struct InhibitSpec {
    /// Name of an alarm, or a pattern of names.
    pub(crate) alarm: At<String>,
    /// From which severity on.
    pub(crate) from: Option<At<Severity>>,
}

#[cfg_attr(test, derive(JsonSchema))]
#[cfg_attr(test, schemars(untagged))]
#[expect(dead_code, reason = "only for the schema")]
pub(crate) enum InhibitsSchema {
    One(InhibitSchema),
    Many(Vec<InhibitSchema>),
}

#[cfg_attr(test, derive(JsonSchema))]
#[cfg_attr(test, schemars(untagged))]
#[expect(dead_code, reason = "only for the schema")]
pub(crate) enum InhibitSchema {
    /// Name of an alarm, or a pattern of names (`*`, `?`).
    Alarm(String),
    /// With the severity from which on it counts.
    From(InhibitFromSchema),
}

#[cfg_attr(test, derive(JsonSchema))]
#[cfg_attr(test, schemars(deny_unknown_fields))]
#[expect(dead_code, reason = "only for the schema")]
pub(crate) struct InhibitFromSchema {
    /// Name of an alarm, or a pattern of names (`*`, `?`).
    alarm: String,
    /// From which severity on it counts (warning).
    from: Option<CauseSeverity>,
}

#[cfg_attr(test, derive(JsonSchema))]
#[cfg_attr(test, schemars(rename_all = "snake_case"))]
#[expect(dead_code, reason = "only for the schema")]
enum CauseSeverity {
    Warning,
    Serious,
    Critical,
}
