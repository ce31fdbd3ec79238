//! SAL XML to Avro: components, topics, fields, enumerations, schema text, revision codes, topic names, keys.
//!
//! No network, no async; the only input is a folder of XML (our own, embedded, or any `ts_xml` data folder).
//!
//! ```text
//! source ─► xml (tree with lines) ─► interface (topics, enumerations) ─► schema (Avro, revision code) ─► model
//!           avro (camera .avsc, registered schemas) ───────────────────┘
//! ```
//!
//! ```
//! let library = sal_idl::Library::embedded();
//! let catcher = library.component("Catcher")?;
//! let alarm = catcher.topic("evt_alarm").expect("the Catcher has alarms");
//! assert_eq!(sal_idl::names::kafka_topic("sal", "Catcher", &alarm.sal_name), "lsst.sal.Catcher.logevent_alarm");
//! # Ok::<(), sal_idl::IdlError>(())
//! ```

pub mod model;
pub mod names;

mod avro;
mod embedded;
mod error;
mod interface;
mod json;
mod library;
mod schema;
mod source;
mod suggest;
mod xml;

pub use error::{IdlError, Problem};
pub use library::{Library, RevCode, revcodes};
pub use model::{Component, EnumItem, Enumeration, Field, SalType, Topic, TopicKind};
pub use schema::rev_code;
pub use suggest::suggest;
