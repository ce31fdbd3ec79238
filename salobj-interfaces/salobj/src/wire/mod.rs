//! The bytes of a record: Confluent frame, Avro body.
//!
//! ```text
//!  00 | schema id, 4 bytes big-endian | Avro binary, fields in the writer's order
//!
//!  values ──► Encoder (own schema) ──► bytes ──► Decoder (writer's schema resolved to our topic) ──► values
//!                                         ├────► Plan (writer's schema, only the fields wanted)  ──► cells
//!                                         └────► AnyRecord (writer's schema) ──► JSON, to look at
//! ```
//! apache-avro reads the schemas, checks whether they resolve, and writes records. Reading is done by a [`Plan`]: it
//! skips what is not wanted, allocates nothing for scalars, and takes any input without a panic and without memory
//! beyond the size of the input.

mod any;
mod cursor;
mod decode;
mod encode;
mod plan;
mod run;

pub use any::AnyRecord;
pub use decode::{Decoder, default_value};
pub use encode::Encoder;
pub use plan::{Kind, Plan, PlanError, Select, Want};

/// Why bytes are no record of the expected kind, or values cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Not `00` and four bytes of schema id.
    #[error("no Confluent frame: {0}")]
    Frame(String),
    /// The Avro body ends too early or says something impossible.
    #[error("malformed record at byte {at} of the body: {what}")]
    Malformed {
        /// Offset in the Avro body.
        at: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// Bytes are left after the last field.
    #[error("{0} bytes are left after the last field")]
    Trailing(usize),
    /// The text is no Avro schema of a record, or one that this library cannot read.
    #[error("schema: {0}")]
    Schema(String),
    /// Writer's and reader's schema do not resolve.
    #[error("the writer's schema does not resolve to {topic}: {reason}")]
    Incompatible {
        /// Component and SAL name of the reader's topic.
        topic: String,
        /// What clashes.
        reason: String,
    },
    /// A value does not fit its field.
    #[error("field {field}: {reason}")]
    Field {
        /// Field name.
        field: String,
        /// What is wrong, with the value.
        reason: String,
    },
}

/// Splits a record value into the id of the writer's schema and the Avro body. Only the prefix `00` is read; the
/// newer prefix `01` (a 16-byte GUID) is named in the error, SAL writers do not use it.
pub fn unframe(value: &[u8]) -> Result<(u32, &[u8]), WireError> {
    match value {
        [0, a, b, c, d, body @ ..] => Ok((u32::from_be_bytes([*a, *b, *c, *d]), body)),
        [0, ..] => Err(WireError::Frame(format!("only {} bytes", value.len()))),
        [] => Err(WireError::Frame("empty value".to_owned())),
        [1, ..] => Err(WireError::Frame("prefix 01 (schema GUID) is not supported".to_owned())),
        [magic, ..] => Err(WireError::Frame(format!("prefix {magic:02x} is unknown"))),
    }
}

/// The five bytes before the Avro body.
pub fn frame(id: u32) -> [u8; 5] {
    let [a, b, c, d] = id.to_be_bytes();
    [0, a, b, c, d]
}

#[cfg(test)]
mod tests;
