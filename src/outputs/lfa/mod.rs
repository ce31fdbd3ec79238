//! The Large File Annex (LFA): where reports, files of steps and long results are kept, and the event that says so.
//!
//! ```text
//! report, file of a step, long result
//!        │ keep
//!        ▼
//! folder of reports (synced) + book (keyed log, synced) ─► [ one to four files ] ─► S3: made, never replaced
//!        │                        ▲                                │ there (or was there already, the same): event
//!        │ no LFA configured:     │ not available, refused:        ▼             largeFileObjectAvailable, then noted
//!        └─ event at once         └──── wait 1 s, 2 s, ... 60 s ───┘
//! ```
//!
//! * **Addresses.** A file of a step has its final address in the LFA from the beginning, though it may be there later only.
//!   The report of a run is told when it is in the LFA; if that takes longer than [`LfaOptions::patience`], or the LFA is known to be
//!   away, the address at which the Catcher itself serves it is told at once, and the one in the LFA after the upload. Reports
//!   stay in the folder, so both go on working. Without an LFA the Catcher's own address is the final one.
//! * **Once.** The book says what was announced. A crash between the event and its note makes the event come twice; nothing else
//!   does. An object that exists is never replaced; if it is the same file (an answer was lost), it counts as stored.
//! * **No room.** When more than `spool_mb` would wait, files of steps are refused (the step says so, it is counted, operators
//!   are told), reports stay in the folder only. Copies of files that are in the LFA stay on disk as long as there is room.

mod book;
mod config;
mod credentials;
mod crypto;
mod digest;
mod error;
mod event;
pub mod key;
mod mime;
mod s3;
mod shelf;
mod store;
mod upload;

#[cfg(test)]
mod tests;

pub use config::{LfaConfig, Place};
pub use event::{Announcement, Tell};
pub use s3::S3;
pub use shelf::path_of;
pub use store::{Lfa, LfaError, LfaOptions, LfaState, ReportUrl};
