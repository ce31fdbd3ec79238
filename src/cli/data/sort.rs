//! Records of any order into a recording in the order of time: sorted in memory, what does not fit goes to runs on disk
//! that are merged at the end.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use salobj::{Tai, Value};

use crate::replay::archive::{Body, ItemRef, Reader, RecordRef, Session, TopicDecl, Writer};

/// Bytes that are sorted in memory.
const IN_MEMORY: usize = 256 << 20;

/// A record that stands alone.
pub(super) struct Owned {
    /// Place in [`Sorter::topics`].
    pub(super) topic: usize,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) timestamp_ms: Option<i64>,
    pub(super) received: Tai,
    pub(super) live: bool,
    pub(super) body: OwnedBody,
}

pub(super) enum OwnedBody {
    Avro(Vec<u8>),
    Cells { sal_index: i64, sent: Tai, cells: Vec<Value> },
    None,
}

impl Owned {
    fn view(&self, topic: u32) -> ItemRef<'_> {
        let body = match &self.body {
            OwnedBody::Avro(bytes) => Body::Avro(bytes),
            OwnedBody::Cells { sal_index, sent, cells } => {
                Body::Cells { sal_index: *sal_index, sent: *sent, cells: cells.clone() }
            }
            OwnedBody::None => Body::None,
        };
        ItemRef::Record(RecordRef {
            topic,
            partition: self.partition,
            offset: self.offset,
            timestamp_ms: self.timestamp_ms,
            received: self.received,
            live: self.live,
            body,
        })
    }

    fn bytes(&self) -> usize {
        let body = match &self.body {
            OwnedBody::Avro(bytes) => bytes.len(),
            OwnedBody::Cells { cells, .. } => cells.len() * 32,
            OwnedBody::None => 0,
        };
        body + size_of::<Owned>()
    }
}

/// See the module's documentation.
pub(super) struct Sorter {
    folder: tempfile::TempDir,
    topics: Vec<TopicDecl>,
    schemas: HashMap<u32, String>,
    records: Vec<Owned>,
    bytes: usize,
    runs: Vec<PathBuf>,
    session: Session,
}

impl Sorter {
    pub(super) fn new(topics: Vec<TopicDecl>, session: Session) -> anyhow::Result<Sorter> {
        Ok(Sorter {
            folder: tempfile::tempdir()?,
            topics,
            schemas: HashMap::new(),
            records: Vec::new(),
            bytes: 0,
            runs: Vec::new(),
            session,
        })
    }

    pub(super) fn knows(&self, schema: u32) -> bool {
        self.schemas.contains_key(&schema)
    }

    pub(super) fn schema(&mut self, id: u32, text: &str) {
        self.schemas.insert(id, text.to_owned());
    }

    pub(super) fn push(&mut self, record: Owned) -> anyhow::Result<()> {
        self.bytes += record.bytes();
        self.records.push(record);
        if self.bytes > IN_MEMORY {
            let path = self.folder.path().join(self.runs.len().to_string());
            self.write(&path)?;
            self.runs.push(path);
        }
        Ok(())
    }

    /// Writes what is in memory, sorted. Records of one time keep the order in which they came.
    fn write(&mut self, path: &Path) -> anyhow::Result<()> {
        let mut writer = Writer::create(BufWriter::new(File::create(path)?), &self.session)?;
        self.records.sort_by(|a, b| a.received.0.total_cmp(&b.received.0));
        self.head(&mut writer);
        for record in self.records.drain(..) {
            writer.push(&record.view(record.topic as u32))?;
        }
        self.bytes = 0;
        writer.finish()?;
        Ok(())
    }

    fn head<W: Write>(&self, writer: &mut Writer<W>) {
        for (id, text) in &self.schemas {
            writer.schema(*id, text);
        }
        for topic in &self.topics {
            writer.topic(topic);
        }
    }

    /// Everything in order, into this file.
    pub(super) fn finish(mut self, path: &Path) -> anyhow::Result<()> {
        if self.runs.is_empty() {
            return self.write(path);
        }
        let last = self.folder.path().join("last");
        self.write(&last)?;
        self.runs.push(last);
        let mut writer = Writer::create(BufWriter::new(File::create(path)?), &self.session)?;
        self.head(&mut writer);
        let mut runs = Vec::new();
        for path in &self.runs {
            let mut run = Run { reader: Reader::open(BufReader::new(File::open(path)?))?, next: None };
            run.advance()?;
            runs.push(run);
        }
        loop {
            let at = |run: &Run| run.next.as_ref().map(|r| r.received.0);
            // Of equal times the earlier run first: its records came first.
            let first = (0..runs.len())
                .filter(|i| at(&runs[*i]).is_some())
                .min_by(|a, b| at(&runs[*a]).unwrap_or(0.0).total_cmp(&at(&runs[*b]).unwrap_or(0.0)));
            let Some(first) = first else { break };
            if let Some(record) = runs[first].next.take() {
                writer.push(&record.view(record.topic as u32))?;
            }
            runs[first].advance()?;
        }
        writer.finish()?;
        Ok(())
    }
}

struct Run {
    reader: Reader<BufReader<File>>,
    next: Option<Owned>,
}

impl Run {
    fn advance(&mut self) -> anyhow::Result<()> {
        while let Some(item) = self.reader.next_item()? {
            let ItemRef::Record(record) = item else { continue };
            let body = match record.body {
                Body::Avro(bytes) => OwnedBody::Avro(bytes.to_vec()),
                Body::Cells { sal_index, sent, cells } => OwnedBody::Cells { sal_index, sent, cells },
                Body::None => OwnedBody::None,
            };
            self.next = Some(Owned {
                topic: record.topic as usize,
                partition: record.partition,
                offset: record.offset,
                timestamp_ms: record.timestamp_ms,
                received: record.received,
                live: record.live,
                body,
            });
            return Ok(());
        }
        Ok(())
    }
}
