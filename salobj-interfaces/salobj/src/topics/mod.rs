//! The topics of one open component: write sides ([`TopicWriter`]), read sides ([`TopicReader`]), commands and their
//! acknowledgements.
//!
//! ```text
//!   writer:  set fields ─► changed? ─► stamp, number, encode, hand over        (one short critical section: order kept)
//!   reader:  record ─► decode ─► history? ─► out of order? ─► index? ─► queue of 100 and current value ─► waiters
//! ```

mod codec;
mod queue;
mod read;

pub mod ackcmd;
pub mod command;
pub mod event;
pub mod telemetry;

pub(crate) mod writer;

pub use ackcmd::{AckCmd, AckCode};
pub use queue::QUEUE_LENGTH;
pub use read::TopicReader;
pub use writer::{TopicWriter, Written};

pub(crate) use codec::{DecodeError, Decoder};
pub(crate) use queue::SampleQueue;
