//! The schema registry: the [`RegistryClient`] for a Confluent-compatible one, and a pure [`store`] that the in-memory
//! transport and the embedded registry keep their schemas in.

mod client;
pub mod store;

pub use client::RegistryClient;
pub use store::{Compatibility, SchemaStore, StoreError};
