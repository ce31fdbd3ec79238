//! SAL XML to Avro: components, topics, fields, enumerations, schema text, revision codes, topic names, keys.
//!
//! No network, no async; the only input is a folder of XML (our own, embedded, or any `ts_xml` data folder).

pub mod model;

pub use model::{Component, EnumItem, Enumeration, Field, SalType, Topic, TopicKind};
