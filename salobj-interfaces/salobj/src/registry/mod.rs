//! The schema registry: a pure [`store`] for tests and the embedded registry.

pub mod store;

pub use store::{Compatibility, SchemaStore, StoreError};
