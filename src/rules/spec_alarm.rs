//! Parts of an alarm as written; the rest is in `spec`.

use schemars::JsonSchema;

use super::spec::{At, Seconds};
use super::yaml::Span;

/// Whom to call, and how long to wait first.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(crate) struct EscalateSpec {
    /// Whom.
    pub(crate) responder: Option<At<String>>,
    /// How long.
    pub(crate) delay: Option<At<Seconds>>,
    #[schemars(skip)]
    pub(crate) span: Span,
}
