//! SAL over Kafka: what a component of the observatory (a CSC) and its clients need, wire-compatible with `ts_salobj`.
//!
//! ```text
//!   csc        author's side: a Csc and its options ──► the driver with the summary-state machine, standard command line
//!   controller owner's side of a component: commands in; events, telemetry, acknowledgements out
//!   remote     client's side: commands out; acknowledgements, events, telemetry in
//!   topics     write and read sides of one topic; history, order, queues
//!   domain     what a process is: bus, clock, origin, identity
//!   wire, registry, transport   bytes, schemas, Kafka or the in-memory bus
//!   tai        the clock: the only reader of the wall clock
//! ```
//! A remote and a controller on the in-memory bus:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use salobj::transport::memory::MemoryTransport;
//! use salobj::{Clock, Controller, Domain, Env, Remote, RemoteOptions};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bus = Arc::new(MemoryTransport::new(Clock::System));
//! let ess = sal_idl::Library::embedded().component("ESS")?;
//!
//! let writer = Controller::write_only(&Domain::new(bus.clone(), Clock::System, Env::for_subname("test")), ess.clone(), 301)?;
//! writer.start_writing().await?;
//! let remote = Remote::open(
//!     &Domain::new(bus, Clock::System, Env::for_subname("test")),
//!     ess,
//!     301,
//!     RemoteOptions::include(["airFlow"]).readonly(),
//! )
//! .await?;
//!
//! writer.telemetry("airFlow")?.set_write(&[("speed", 12.5.into())])?;
//! let sample = remote.telemetry("airFlow")?.next(false, Some(Duration::from_secs(5))).await?;
//! assert_eq!((sample.f64("speed"), sample.sal_index(), sample.identity()), (12.5, 301, "ESS:301"));
//! # Ok(())
//! # }
//! ```
//! A whole CSC is in `examples/hello_csc.rs`; see also `listen.rs` and `send_command.rs`. What differs from `ts_salobj` on
//! purpose is listed in `salobj-interfaces/README.md`.

pub mod controller;
pub mod csc;
pub mod discover;
pub mod domain;
pub mod env;
pub mod error;
pub mod log;
pub mod registry;
pub mod remote;
pub mod sample;
pub mod tai;
pub mod topics;
pub mod transport;
pub mod value;
pub mod wire;

mod read_loop;
mod sal_info;

pub use controller::{CommandError, CommandHandler, CommandRequest, CommandResult, Controller};
pub use csc::state::{SummaryState, Transition};
pub use domain::{Domain, user_at_host};
pub use env::Env;
pub use error::SalError;
pub use remote::{Remote, RemoteOptions};
pub use sample::Sample;
pub use tai::{Clock, Tai};
pub use topics::ackcmd::{AckCmd, AckCode, AckError};
pub use topics::command::{Prepared, RemoteCommand, SentState, Tracked};
pub use topics::event::EventWriter;
pub use topics::telemetry::TelemetryWriter;
pub use topics::{TopicReader, Written};
pub use value::Value;
