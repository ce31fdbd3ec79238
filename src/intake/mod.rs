//! 1. Kafka in: which topics and fields the rules need, decode only those.
//!
//! ```text
//!  Subscriptions ──► reader (one for all topics) ──records──► decode (a plan for each schema) ──Sample──► core
//!                       │ where to begin: noted positions, or far enough back for the windows
//!                       └ where it stands: positions, for the journal
//! ```
//!
//! Everything here is owned by the core's loop: the bus client buffers (bounded) while the core is busy, so a slow core
//! slows reading and nothing else, and a sample is never copied between threads. Who wants to know what is kept asks by
//! message and gets a snapshot.
//!
//! * [`subscriptions`]: from the rules' needs to topics and starting points
//! * [`decode`]: records to samples; what cannot be decoded is counted and logged, never fatal
//! * `fetch`: schemas by their id and the lag, asked for in the background: no record of another topic waits for them
//! * [`reader`]: the reader itself, positions, history and live
//! * [`tap`]: who listens in, to record what came
//! * [`recent`]: the last minutes of what analyses ask for, in memory

pub mod bus_schemas;
pub mod decode;
mod fetch;
pub mod reader;
pub mod recent;
pub mod subscriptions;
pub mod tap;
mod topic;

pub use bus_schemas::{BusSchemas, kafka_topics_named, topics_named};
pub use decode::Decoded;
pub use reader::{Intake, Positions};
pub use recent::{Recent, SeriesNeed};
pub use tap::Tap;
