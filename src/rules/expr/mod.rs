//! The condition language: CEL, typed against the topics that are read, compiled, three-valued.
//!
//! ```text
//!  text ─prepass─► CEL text ─cel crate─► syntax tree ─check─► typed tree (tree) ─eval─► true, false, unknown
//!        30s              parser                     names, types, units        └ memory: stateful functions
//! ```
//!
//! Deviations from CEL (design section 3): integers are promoted beside a double; `+ - * /` on numeric lists is
//! elementwise, an ordering comparison of a list gives a list of truths; missing, stale, NaN and errors are unknown;
//! enumeration constants by name; our own functions. What is refused and CEL has: maps, structures, null, bytes,
//! unsigned literals, timestamps.

mod check;
mod check_calls;
mod check_ops;
pub(crate) mod env;
mod eval;
pub(crate) mod explain;
pub(crate) mod lists;
mod maps;
pub(crate) mod memory;
pub(crate) mod outline;
pub(crate) mod prepass;
pub(crate) mod scope;
pub(crate) mod tree;
pub(crate) mod units;

#[cfg(test)]
pub(crate) use check::Mistake;
pub(crate) use check::{Outlined, Typed, check};
pub(crate) use env::{Env, Mark, NOTHING, Why};
pub(crate) use explain::Explainer;
pub use explain::Term;
pub(crate) use memory::{Memory, Stateful};

#[cfg(test)]
mod tests;
