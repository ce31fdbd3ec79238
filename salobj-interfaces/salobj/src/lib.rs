//! SAL over Kafka: the first such library in Rust.

pub mod controller;
pub mod csc;
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
pub use domain::Domain;
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
