//! The EFD: history read, results written; InfluxDB 2 (Flux) and InfluxDB 1 (InfluxQL, what production runs).
//!
//! ```text
//!   series for rules and steps              results of runs
//!          │ SeriesQuery                        │ Point
//!          ▼                                    ▼
//!   ┌─ dyn Efd ─┐                         outbox: spool on disk, synced
//!   │  Influx2  │◄──── write in order ────────┘  (goes out when the EFD is there)
//!   │  Influx1  │
//!   └───────────┘
//! ```
//!
//! A SAL message is one point: measurement `lsst.sal.<Component>.<topic>`, no tags, arrays flattened to `name0`,
//! `name1`, ..., the time is `private_efdStamp` (UTC), `salIndex` is a field. Points that we write are made the same way,
//! so that they are found where Telegraf would have put them, and a point written twice overwrites itself.
//!
//! Names of a query are checked, never escaped: SAL names are letters, digits and underscores, and anything else is
//! refused before it reaches the server. A query in the words of a rule's author goes as it is; that it only reads was
//! checked when the rule was compiled.

pub mod config;
mod csv;
pub mod error;
pub mod flux;
mod gate;
pub mod influx1;
pub mod influx2;
pub mod influxql;
pub mod outbox;
pub mod point;
pub mod query;
pub mod spool;
pub mod text;

use std::fmt::Debug;

pub use config::{EfdConfig, EfdKind};
pub use error::{EfdError, ErrorClass};
pub(in crate::outputs) use gate::chain as error_chain;
pub use influx1::Influx1;
pub use influx2::Influx2;
pub use outbox::{Outbox, OutboxState};
pub use point::{FieldValue, Point, cut_text};
pub use query::{Column, SeriesQuery, Table};
pub use spool::{Spool, SpoolError, SpoolLimits};
pub use text::{TextColumn, TextQuery};

/// An EFD server. Every call ends within the configured time limit; calls over the concurrency cap wait within it.
#[async_trait::async_trait]
pub trait Efd: Send + Sync + Debug {
    /// Reads what `query` asks for, in order of time.
    async fn query(&self, query: &SeriesQuery) -> Result<Table, EfdError>;

    /// Asks a query in the words of its author; the rows in order of time.
    async fn ask(&self, query: &TextQuery) -> Result<Table, EfdError>;

    /// Writes all points. On [`EfdError::BadPoint`] some of them may have been written: writing them again is harmless.
    async fn write(&self, points: &[Point]) -> Result<(), EfdError>;

    /// Asks whether the server is there; gives its version.
    async fn health(&self) -> Result<String, EfdError>;

    /// Kind, address and database, without secrets, for messages.
    fn describe(&self) -> String;
}

#[cfg(test)]
mod tests;
