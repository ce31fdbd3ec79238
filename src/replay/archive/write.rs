//! Items to blocks.

use std::collections::{HashMap, HashSet};
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::DeflateEncoder;

use super::item::{ItemRef, TopicDecl};
use super::{BLOCK, BLOCK_BYTES, COMPRESSED, DICTIONARY, HEAD, MAGIC, SESSION, Session};

/// Writes a recording, or goes on with one. What was not flushed is lost with the writer.
pub struct Writer<W: Write> {
    out: W,
    topics: HashMap<String, u32>,
    schemas: HashSet<u32>,
    dictionary: Pending,
    data: Pending,
    written: u64,
}

/// A block that is not closed yet.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    items: u32,
    first: Option<f64>,
    last: f64,
}

impl Pending {
    fn push(&mut self, item: &ItemRef<'_>) {
        item.encode(&mut self.bytes);
        self.items += 1;
        if let Some(at) = item.at() {
            self.last = if self.first.is_some() { self.last.max(at) } else { at };
            self.first = Some(self.first.map_or(at, |first| first.min(at)));
        }
    }
}

impl<W: Write> Writer<W> {
    /// Begins a recording.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create(mut out: W, session: &Session) -> io::Result<Writer<W>> {
        out.write_all(MAGIC)?;
        Writer::append(out, session)
    }

    /// Goes on with a recording whose end `out` stands at (see [`super::Summary::good`]).
    ///
    /// # Errors
    /// It cannot be written.
    pub fn append(out: W, session: &Session) -> io::Result<Writer<W>> {
        let mut writer = Writer {
            out,
            topics: HashMap::new(),
            schemas: HashSet::new(),
            dictionary: Pending::default(),
            data: Pending::default(),
            written: 0,
        };
        let json = serde_json::to_vec(session).map_err(io::Error::other)?;
        writer.block(SESSION, &Pending { bytes: json, ..Pending::default() })?;
        Ok(writer)
    }

    /// The number of a topic; it is declared when it is first asked for.
    pub fn topic(&mut self, decl: &TopicDecl) -> u32 {
        if let Some(number) = self.topics.get(&decl.name) {
            return *number;
        }
        let number = self.topics.len() as u32;
        self.topics.insert(decl.name.clone(), number);
        self.dictionary.push(&ItemRef::Topic(TopicDecl { number, ..decl.clone() }));
        number
    }

    /// Notes the schema of an id, once.
    pub fn schema(&mut self, id: u32, text: &str) {
        if self.schemas.insert(id) {
            self.dictionary.push(&ItemRef::Schema { id, text });
        }
    }

    /// Adds an item.
    ///
    /// # Errors
    /// A block that became full cannot be written.
    pub fn push(&mut self, item: &ItemRef<'_>) -> io::Result<()> {
        if item.is_dictionary() {
            self.dictionary.push(item);
            return Ok(());
        }
        self.data.push(item);
        if self.data.bytes.len() >= BLOCK_BYTES { self.flush() } else { Ok(()) }
    }

    /// Closes the open blocks, the dictionary first: nothing names what was not declared before.
    ///
    /// # Errors
    /// They cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        for (flag, pending) in
            [(DICTIONARY, std::mem::take(&mut self.dictionary)), (0, std::mem::take(&mut self.data))]
        {
            if pending.items > 0 {
                self.block(flag, &pending)?;
            }
        }
        self.out.flush()
    }

    /// Bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Flushes, and gives back what was written to.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        Ok(self.out)
    }

    fn block(&mut self, flag: u8, pending: &Pending) -> io::Result<()> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&pending.bytes)?;
        let packed = encoder.finish()?;
        let smaller = packed.len() < pending.bytes.len();
        let payload = if smaller { &packed } else { &pending.bytes };
        let flags = flag | if smaller { COMPRESSED } else { 0 };
        let mut head = Vec::with_capacity(HEAD);
        head.extend(BLOCK);
        head.extend([flags, 0, 0, 0]);
        head.extend(length(payload.len())?);
        head.extend(length(pending.bytes.len())?);
        head.extend(pending.items.to_le_bytes());
        head.extend(pending.first.unwrap_or(0.0).to_le_bytes());
        head.extend(pending.last.to_le_bytes());
        let mut crc = crc32fast::Hasher::new();
        crc.update(&head);
        crc.update(payload);
        head.extend(crc.finalize().to_le_bytes());
        self.out.write_all(&head)?;
        self.out.write_all(payload)?;
        self.written += (head.len() + payload.len()) as u64;
        Ok(())
    }
}

fn length(bytes: usize) -> io::Result<[u8; 4]> {
    match u32::try_from(bytes).ok().filter(|_| bytes <= super::MOST_BYTES) {
        Some(n) => Ok(n.to_le_bytes()),
        None => Err(io::Error::other(format!("a block of {bytes} bytes is too long for a recording"))),
    }
}
