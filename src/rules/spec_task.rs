//! The steps of a rule as written. Part of [`super::spec`].

#[cfg(test)]
use schemars::JsonSchema;

use super::compile::backends::Backend;
use super::model::{AllowFailures, OnFailure};
use super::spec::{At, Cel, Free, Seconds};
use super::yaml::{Node, Span};

/// One step of a run: one backend key, and how it is run.
#[derive(Debug, Clone)]
#[cfg_attr(test, derive(JsonSchema))]
#[cfg_attr(test, schemars(deny_unknown_fields))]
pub(crate) struct TaskSpec {
    /// Its backend. The schema has a key for each.
    #[cfg_attr(test, schemars(skip))]
    pub(crate) backend: Option<Used>,
    /// What the analysis needs.
    pub(crate) with: Option<Free>,
    /// Steps that must have succeeded before.
    #[cfg_attr(test, schemars(with = "Option<super::schema_file::OneOrMany>"))]
    pub(crate) needs: Vec<At<String>>,
    /// Only if this is true.
    pub(crate) when: Option<At<Cel>>,
    /// Longest time of one attempt (5 m).
    pub(crate) timeout: Option<At<Seconds>>,
    /// Repeats after transient errors.
    pub(crate) retry: Option<RetrySpec>,
    /// Send again even if it is not known whether the command arrived.
    pub(crate) resend_if_unknown: Option<bool>,
    /// Do it for each item of a list, or so many times: `item` and `item_index` in its texts.
    pub(crate) foreach: Option<Free>,
    /// With `foreach`: items under way at a time (16).
    pub(crate) max_parallel: Option<At<u64>>,
    /// With `foreach`: how many items may fail, or which part (`10%`) of them (0).
    #[cfg_attr(test, schemars(with = "Option<AllowSchema>"))]
    pub(crate) allow_failures: Option<At<AllowFailures>>,
    /// What its failure means for the run (fail).
    pub(crate) on_failure: Option<OnFailure>,
    /// Only after a failure of another step, once all others have ended (false).
    pub(crate) for_failure: Option<At<bool>>,
    #[cfg_attr(test, schemars(skip))]
    pub(crate) span: Span,
}

#[cfg_attr(test, derive(JsonSchema))]
#[cfg_attr(test, schemars(untagged))]
#[expect(dead_code, reason = "only for the schema")]
enum AllowSchema {
    Items(u64),
    Part(String),
}

/// The backend of a task, and what stands under its key.
#[derive(Debug, Clone)]
pub(crate) struct Used {
    pub(in crate::rules) backend: &'static Backend,
    pub(crate) node: Node,
}

/// Repeats after transient errors.
#[derive(Debug, Clone, Default)]
#[cfg_attr(test, derive(JsonSchema))]
#[cfg_attr(test, schemars(deny_unknown_fields))]
pub(crate) struct RetrySpec {
    /// Attempts in all (1).
    pub(crate) attempts: Option<At<u64>>,
    /// Wait before the second attempt, doubled for each further one (5 s).
    pub(crate) backoff: Option<At<Seconds>>,
    /// Random part of the wait, 0 to 1 (0.1).
    pub(crate) jitter: Option<At<f64>>,
    /// Kinds of error that are repeated (every transient one).
    pub(crate) retry_on: Vec<At<String>>,
}
