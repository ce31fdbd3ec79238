//! 4. Act: workflow runs, retries, time limits; one file for each backend in `steps/`.
//!
//! ```text
//!            StartRun                    Dispatch, Abort                 execute, resume
//!  engine ────────────► Runs ► Run (pure) ──────────────► Driver (async) ───────────────► steps::Backend
//!                        ▲   journal first, then act        │    ▲                            │
//!                        └──────────── StepReport ──────────┘    └───── started, progress ────┘
//! ```
//!
//! [`state`], [`run`] and [`runs`] are pure: time is an argument, nothing is written or sent there. The core journals
//! what they changed and only then hands their actions to the [`driver`].

pub mod analysis;
pub mod call;
pub mod driver;
pub mod large;
pub mod notebook;
pub mod peers;
pub mod plan;
pub mod run;
pub mod runs;
mod scan;
pub mod series;
pub mod shelf;
pub mod state;
pub mod steps;

#[cfg(test)]
mod tests;
