//! Blocks to items.

use std::collections::BTreeMap;
use std::io::{self, Read};

use flate2::read::DeflateDecoder;
use salobj::Tai;

use super::item::{Cursor, ItemRef, TopicDecl};
use super::{BLOCK, COMPRESSED, DICTIONARY, HEAD, MAGIC, MOST_BYTES, SESSION, Session};

/// What a crash left at the end of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Torn {
    /// Where the last whole block ends.
    pub good: u64,
    /// Bytes behind it.
    pub bytes: u64,
}

/// A place that cannot be read although something follows.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("damaged at byte {at}: {reason}; what was recorded until {} can be read", until.utc_iso())]
pub struct Damage {
    /// Where the block begins.
    pub at: u64,
    /// What is wrong.
    pub reason: String,
    /// Time of the newest sound item before it.
    pub until: Tai,
}

/// Why a recording cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is something else.
    #[error("this is no recording: it does not begin with \"catcher recording 1\"")]
    NoRecording,
    /// It cannot be read from where it lies.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is damaged.
    #[error(transparent)]
    Damage(#[from] Damage),
}

/// What there is in a recording, without its records.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    /// The sessions, oldest first.
    pub sessions: Vec<Session>,
    /// Schemas by id; of an id that several sessions have the newest.
    pub schemas: BTreeMap<u32, String>,
    /// Topics by name.
    pub topics: BTreeMap<String, TopicDecl>,
    /// Records and other items that are not schemas and topics.
    pub items: u64,
    /// Time of the first item and of the last.
    pub span: Option<(Tai, Tai)>,
    /// Bytes up to the end of the last whole block.
    pub good: u64,
    /// What follows it.
    pub torn: Option<Torn>,
}

/// Reads a recording from its begin.
pub struct Reader<R: Read> {
    input: R,
    at: u64,
    until: f64,
    /// The opened block, and how much of it was given.
    block: Vec<u8>,
    given: usize,
    packed: Vec<u8>,
    range: (f64, f64),
    torn: Option<Torn>,
    sessions: Vec<Session>,
}

/// The head of a block.
struct Head {
    flags: u8,
    length: usize,
    raw: usize,
    items: u32,
    first: f64,
    last: f64,
}

impl<R: Read> Reader<R> {
    /// Opens a recording.
    ///
    /// # Errors
    /// It is none, or cannot be read.
    pub fn open(mut input: R) -> Result<Reader<R>, ReadError> {
        let mut magic = [0; MAGIC.len()];
        let read = fill(&mut input, &mut magic)?;
        if magic[..read] != *MAGIC {
            return Err(ReadError::NoRecording);
        }
        Ok(Reader {
            input,
            at: MAGIC.len() as u64,
            until: 0.0,
            block: Vec::new(),
            given: 0,
            packed: Vec::new(),
            range: (f64::NEG_INFINITY, f64::INFINITY),
            torn: None,
            sessions: Vec::new(),
        })
    }

    /// Passes over blocks that have nothing within these times. Items outside them still come, from the same blocks.
    #[must_use]
    pub fn within(mut self, from: Tai, to: Tai) -> Reader<R> {
        self.range = (from.0, to.0);
        self
    }

    /// The next item; `None` at the end, or at a torn tail.
    ///
    /// # Errors
    /// A block in the middle is damaged, or reading fails.
    pub fn next_item(&mut self) -> Result<Option<ItemRef<'_>>, ReadError> {
        while self.given >= self.block.len() {
            let Some(head) = self.read_block()? else { return Ok(None) };
            if head.flags & SESSION != 0 {
                self.take_session(&head)?;
                return Ok(Some(ItemRef::Session));
            } else if head.flags & DICTIONARY == 0 && (head.last < self.range.0 || head.first > self.range.1)
            {
                self.block.clear();
                self.given = 0;
            } else {
                self.unpack(&head)?;
            }
        }
        let (at, until) = (self.at, self.until);
        let mut cursor = Cursor(&self.block[self.given..]);
        let before = cursor.0.len();
        match cursor.item() {
            Ok(item) => {
                self.given += before - cursor.0.len();
                if let Some(at) = item.at() {
                    self.until = at;
                }
                Ok(Some(item))
            }
            Err(_) => {
                let reason =
                    "a block that ends here has something that this version does not know".to_owned();
                Err(Damage { at, reason, until: Tai(until) }.into())
            }
        }
    }

    /// What follows the last whole block, once [`Reader::next_item`] has come to the end.
    pub fn torn(&self) -> Option<Torn> {
        self.torn
    }

    /// The sessions so far.
    pub fn sessions(&self) -> &[Session] {
        &self.sessions
    }

    /// Bytes read so far, for a progress bar.
    pub fn position(&self) -> u64 {
        self.at
    }

    fn damage(&self, at: u64, reason: impl Into<String>) -> ReadError {
        Damage { at, reason: reason.into(), until: Tai(self.until) }.into()
    }

    /// Reads head and payload; `None` at the end.
    fn read_block(&mut self) -> Result<Option<Head>, ReadError> {
        self.block.clear();
        self.given = 0;
        if self.torn.is_some() {
            return Ok(None);
        }
        let mut head = [0; HEAD];
        let read = fill(&mut self.input, &mut head)?;
        if read < HEAD {
            self.tear(read as u64);
            return Ok(None);
        }
        let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let time = |at: usize| f64::from_le_bytes(head[at..at + 8].try_into().unwrap_or_default());
        let (length, raw) = (word(8) as usize, word(12) as usize);
        if head[..4] != BLOCK || length > MOST_BYTES || raw > MOST_BYTES {
            return self.broken(HEAD as u64, "there is no block");
        }
        self.packed.clear();
        (&mut self.input).take(length as u64).read_to_end(&mut self.packed)?;
        if self.packed.len() < length {
            self.tear((HEAD + self.packed.len()) as u64);
            return Ok(None);
        }
        let mut crc = crc32fast::Hasher::new();
        crc.update(&head[..HEAD - 4]);
        crc.update(&self.packed);
        let whole = (HEAD + length) as u64;
        if crc.finalize() != word(HEAD - 4) {
            return self.broken(whole, "its checksum is wrong");
        }
        self.at += whole;
        Ok(Some(Head { flags: head[4], length, raw, items: word(16), first: time(20), last: time(28) }))
    }

    /// A block that cannot be: the torn tail if nothing follows, damage otherwise.
    fn broken(&mut self, bytes: u64, reason: &str) -> Result<Option<Head>, ReadError> {
        let mut rest = Vec::new();
        let more = (&mut self.input).take(1).read_to_end(&mut rest)? > 0;
        if more {
            return Err(self.damage(self.at, reason));
        }
        self.tear(bytes);
        Ok(None)
    }

    fn tear(&mut self, bytes: u64) {
        if bytes > 0 {
            self.torn = Some(Torn { good: self.at, bytes });
        }
    }

    fn unpack(&mut self, head: &Head) -> Result<(), ReadError> {
        debug_assert_eq!(head.length, self.packed.len());
        if head.flags & COMPRESSED == 0 {
            std::mem::swap(&mut self.block, &mut self.packed);
        } else {
            self.block.reserve_exact(head.raw);
            let mut read = DeflateDecoder::new(self.packed.as_slice()).take(head.raw as u64);
            read.read_to_end(&mut self.block).map_err(|e| self.damage(self.at, e.to_string()))?;
        }
        if self.block.len() != head.raw {
            return Err(self.damage(self.at, "a block is shorter than it says"));
        }
        Ok(())
    }

    fn take_session(&mut self, head: &Head) -> Result<(), ReadError> {
        self.unpack(head)?;
        let session = serde_json::from_slice(&self.block);
        self.block.clear();
        self.sessions.push(session.map_err(|e| self.damage(self.at, format!("session: {e}")))?);
        Ok(())
    }
}

/// Reads heads, sessions and dictionaries, and passes over the data.
///
/// # Errors
/// It is no recording, cannot be read, or is damaged before its end.
pub fn scan<R: Read>(input: R) -> Result<Summary, ReadError> {
    let mut reader = Reader::open(input)?;
    let mut summary = Summary::default();
    while let Some(head) = reader.read_block()? {
        if head.flags & SESSION != 0 {
            reader.take_session(&head)?;
        } else if head.flags & DICTIONARY != 0 {
            reader.unpack(&head)?;
            let mut cursor = Cursor(&reader.block);
            while !cursor.0.is_empty() {
                match cursor.item() {
                    Ok(ItemRef::Schema { id, text }) => drop(summary.schemas.insert(id, text.to_owned())),
                    Ok(ItemRef::Topic(topic)) => drop(summary.topics.insert(topic.name.clone(), topic)),
                    Ok(_) => {}
                    Err(_) => return Err(reader.damage(reader.at, "a dictionary cannot be read")),
                }
            }
        } else {
            summary.items += u64::from(head.items);
            let (from, to) = summary.span.unwrap_or((Tai(head.first), Tai(head.last)));
            summary.span = Some((Tai(from.0.min(head.first)), Tai(to.0.max(head.last))));
            reader.until = reader.until.max(head.last);
        }
    }
    summary.good = reader.at;
    summary.torn = reader.torn;
    summary.sessions = reader.sessions;
    Ok(summary)
}

/// Reads until the buffer is full or the end has come; how much there is.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}
