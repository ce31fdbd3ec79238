//! Recordings: what was on the bus, or what a Catcher's core was told, in one compact file.
//!
//! ```text
//! "catcher recording 1\n"
//! block: 40 bytes of head | payload      head: "CRB1" flags length raw-length items first last crc32
//!   session     JSON: who recorded what, when; topic numbers begin anew
//!   dictionary  schemas by their registry id, topics by number
//!   data        records (topic, partition, offset, stamps, raw Avro bytes), inputs of the core, transitions
//! ```
//!
//! A block is compressed (deflate) and has a checksum over head and payload. A file grows by whole blocks: what a crash
//! cut short is the *torn tail*, and everything before it can be read. Times in a head let a reader pass over blocks
//! outside its range without opening them.
//!
//! * [`Writer`]: items to blocks
//! * [`Reader`]: blocks to items; [`scan`] reads heads and dictionaries only
//! * `item`: one item's bytes

mod item;
mod read;
#[cfg(test)]
mod tests;
mod write;

use serde::{Deserialize, Serialize};

pub use item::{Body, ItemRef, RecordRef, TopicDecl};
pub use read::{Damage, ReadError, Reader, Summary, Torn, scan};
pub use write::Writer;

/// First line of every recording.
pub const MAGIC: &[u8] = b"catcher recording 1\n";

/// Begin of every block.
const BLOCK: [u8; 4] = *b"CRB1";

/// Bytes of a block's head.
const HEAD: usize = 40;

/// A block is closed when its items take this many bytes.
const BLOCK_BYTES: usize = 256 << 10;

/// No block's payload is longer, compressed or not: a longer one is damage.
const MOST_BYTES: usize = 512 << 20;

const SESSION: u8 = 1;
const DICTIONARY: u8 = 2;
const COMPRESSED: u8 = 4;

/// What the head of a recording says; a file that was continued has several.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Session {
    /// Version of the program that recorded.
    pub version: String,
    /// What was recorded: `bus`, `kafka`, `efd`, `live`.
    pub source: String,
    /// `LSST_TOPIC_SUBNAME`.
    pub subname: String,
    /// `LSST_SITE`, if known.
    #[serde(default)]
    pub site: String,
    /// When it began, TAI s; records received before are the past that was there then.
    pub began: f64,
}
