//! The past again: the same [`Core`](crate::core::Core) on what was recorded, faster than it happened. Pure: time is that
//! of the records, nothing is sent to anybody.
//!
//! ```text
//!  recording (bus, Kafka, EFD) ──records──► Replay ──► Core ──► Transition, Transition, ...   (free: any rules)
//!                                            ▲  └─Dispatch─► analyses on the replayed samples, `answers`, or unknown
//!                                            └── the core's deadlines, each at its own time
//!  recording of a live run ──every input──► Exact ──► Core ──► the transitions that were made live, bit by bit
//! ```
//!
//! **Time** is the receive stamp of each record: what a live Catcher took as *now* when it saw it. Deadlines between
//! two records are worked off at their own times; those of one instant come before the records of it, as live. What was
//! there before the begin is history: it fills latched values and windows, and fires nothing.
//!
//! **Steps** of runs: built-in analyses are computed on the replayed samples (of as long as a live Catcher keeps them,
//! see [`crate::intake::recent`]); others end as [`answers`] say; without an answer their outcome is unknown, which
//! fails the run and leaves an alarm that needs the result as it is. Nothing is carried out, reports are not written.
//!
//! **Answers of the EFD** to `efd` inputs are those of an EFD as of each past time, or those that a live run was told, if the
//! recording has them; without either the input is unknown, and its rule says so.
//!
//! * [`archive`]: recordings, as files
//! * [`transition`]: what happened, in a list
//! * `queries`: what rules ask of the EFD
//! * [`play`]: free replay; [`exact`]: that of a live run
//! * [`episode`]: alarms as spans of time; [`diff`]: two lists compared; [`tune`]: figures of one list

pub mod answers;
pub mod archive;
mod bound;
pub mod diff;
pub mod episode;
pub mod exact;
pub mod play;
mod queries;
mod schemas;
mod series;
#[cfg(test)]
mod tests;
pub mod transition;
pub mod tune;

pub use answers::Answers;
pub use exact::{Control, Exact};
pub use play::{Counts, Replay, ReplayError, Span};
pub use queries::QueryRows;
pub use schemas::{RecordedSchemas, other_schemas};
pub use transition::{Collector, Transition, What};
