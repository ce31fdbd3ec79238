//! SAL over Kafka: the first such library in Rust.

pub mod env;
pub mod registry;
pub mod tai;
pub mod transport;
pub mod value;
pub mod wire;

pub use env::Env;
pub use tai::{Clock, Tai};
pub use value::Value;
