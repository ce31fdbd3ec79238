//! Which files there are, which of them wait for the LFA, and what was announced: a keyed log on disk, synced at each change.
//!
//! The key is the file's path below the folder of reports, the value a [`FileRecord`]. The files themselves lie in that folder.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::journal::{FileJournal, Journal as _, OpenError, Record};

/// What is done with is forgotten after so long, or when there is more than that of it. Time in seconds.
const REMEMBERED_S: f64 = 30.0 * 86_400.0;
const REMEMBERED: usize = 20_000;
/// So often that is looked at, in files.
const LOOK: usize = 500;

/// How far a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FileState {
    /// It waits to be stored and announced.
    Waiting,
    /// It is where its address says, and the event was published.
    Announced,
    /// The LFA does not take it; it stays on disk.
    Refused,
}

/// What is known of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct FileRecord {
    /// Its key in the LFA; none if the folder itself is the LFA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<String>,
    /// What made it.
    pub(super) generator: String,
    /// Its size.
    pub(super) bytes: u64,
    /// MD5 in hexadecimal digits.
    pub(super) md5: String,
    /// MIME type.
    pub(super) mime: String,
    /// Id of the run.
    pub(super) run_id: String,
    /// The report of the run; else a file of a step.
    pub(super) report: bool,
    /// When it was kept, TAI s.
    pub(super) at: f64,
    /// How far it is.
    pub(super) state: FileState,
    /// Where it is, once it was announced.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) url: String,
    /// Why it is refused.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) reason: String,
}

impl FileRecord {
    /// A copy that may go when there is no room: stored elsewhere, and linked to by nobody.
    fn may_go(&self) -> bool {
        self.state == FileState::Announced && self.key.is_some() && !self.report
    }
}

/// There is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full {
    /// Files that wait.
    pub(super) files: usize,
    /// Their bytes.
    pub(super) bytes: u64,
}

/// The book. All calls block on the disk.
#[derive(Debug)]
pub(super) struct Book {
    journal: FileJournal,
    files: BTreeMap<String, FileRecord>,
    /// Paths that wait, in order; not those under way.
    queue: VecDeque<String>,
    under_way: BTreeSet<String>,
    waiting_bytes: u64,
    /// Bytes of files that are being written.
    reserved: u64,
    /// Copies of stored files, oldest first.
    copies: VecDeque<(String, u64)>,
    copies_bytes: u64,
    /// Changes that the disk would not take; they go with the next one.
    unsaved: BTreeSet<String>,
    noted: usize,
}

impl Book {
    /// Opens or makes the log. Also: bytes of an append that a crash cut short.
    pub(super) fn open(dir: &Path) -> Result<(Book, u64), OpenError> {
        let (journal, recovered) = FileJournal::open(dir)?;
        let mut files = BTreeMap::new();
        for (path, value) in recovered.entries {
            match serde_json::from_value::<FileRecord>(value) {
                Ok(record) => drop(files.insert(path, record)),
                Err(error) => tracing::warn!("what is noted of the file {path} cannot be read: {error}"),
            }
        }
        let in_order = |keep: fn(&FileRecord) -> bool| {
            let mut paths: Vec<&String> =
                files.iter().filter(|(_, r)| keep(r)).map(|(path, _)| path).collect();
            paths.sort_by(|a, b| files[*a].at.total_cmp(&files[*b].at));
            paths.into_iter().map(|path| (path.clone(), files[path].bytes)).collect::<VecDeque<_>>()
        };
        let waiting = in_order(|record| record.state == FileState::Waiting);
        let copies = in_order(FileRecord::may_go);
        let book = Book {
            journal,
            waiting_bytes: waiting.iter().map(|w| w.1).sum(),
            copies_bytes: copies.iter().map(|c| c.1).sum(),
            queue: waiting.into_iter().map(|w| w.0).collect(),
            under_way: BTreeSet::new(),
            reserved: 0,
            copies,
            unsaved: BTreeSet::new(),
            noted: 0,
            files,
        };
        Ok((book, recovered.torn_bytes))
    }

    /// What is known of a file.
    pub(super) fn get(&self, path: &str) -> Option<&FileRecord> {
        self.files.get(path)
    }

    /// Files that wait, and their bytes.
    pub(super) fn waiting(&self) -> (usize, u64) {
        (self.queue.len() + self.under_way.len(), self.waiting_bytes)
    }

    /// Takes room for a file; gives the copies that have to go for it, if they are to be deleted now.
    pub(super) fn reserve(&mut self, bytes: u64, room: u64) -> Result<Vec<String>, Full> {
        let waiting = self.waiting_bytes.saturating_add(self.reserved).saturating_add(bytes);
        if waiting > room {
            return Err(Full { files: self.waiting().0, bytes: self.waiting_bytes });
        }
        let mut gone = Vec::new();
        while waiting.saturating_add(self.copies_bytes) > room {
            let Some((path, bytes)) = self.copies.pop_front() else { break };
            self.copies_bytes -= bytes;
            gone.push(path);
        }
        self.reserved += bytes;
        Ok(gone)
    }

    /// Gives room back.
    pub(super) fn release(&mut self, bytes: u64) {
        self.reserved = self.reserved.saturating_sub(bytes);
    }

    /// Notes a file that waits.
    pub(super) fn note(&mut self, path: &str, record: FileRecord) -> io::Result<()> {
        self.forget_old(record.at);
        let bytes = record.bytes;
        self.files.insert(path.to_owned(), record);
        if let Err(error) = self.save(path) {
            self.files.remove(path);
            self.unsaved.remove(path);
            return Err(error);
        }
        self.waiting_bytes += bytes;
        self.queue.push_back(path.to_owned());
        Ok(())
    }

    /// The next files, at most so many, which are under way from now on; with `away` only those that need no server.
    pub(super) fn next(&mut self, most: usize, away: bool) -> Vec<(String, FileRecord)> {
        let mut next = Vec::new();
        let mut later = VecDeque::new();
        while next.len() < most {
            let Some(path) = self.queue.pop_front() else { break };
            let Some(record) = self.files.get(&path) else { continue };
            if away && record.key.is_some() {
                later.push_back(path);
                continue;
            }
            self.under_way.insert(path.clone());
            next.push((path, record.clone()));
        }
        later.append(&mut self.queue);
        self.queue = later;
        next
    }

    /// It is tried again, after the others.
    pub(super) fn put_back(&mut self, path: &str) {
        if self.under_way.remove(path) {
            self.queue.push_back(path.to_owned());
        }
    }

    /// Whatever was under way is tried again, first.
    pub(super) fn put_all_back(&mut self) {
        for path in std::mem::take(&mut self.under_way).into_iter().rev() {
            self.queue.push_front(path);
        }
    }

    /// A file is done with. What the disk does not take is remembered, and noted with the next change.
    pub(super) fn done(&mut self, path: &str, state: FileState, url: &str, reason: &str) -> io::Result<()> {
        self.under_way.remove(path);
        let Some(record) = self.files.get_mut(path) else { return Ok(()) };
        record.state = state;
        url.clone_into(&mut record.url);
        reason.clone_into(&mut record.reason);
        let (bytes, copy) = (record.bytes, record.may_go());
        self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
        if copy {
            self.copies.push_back((path.to_owned(), bytes));
            self.copies_bytes += bytes;
        }
        self.save(path)
    }

    fn save(&mut self, path: &str) -> io::Result<()> {
        self.unsaved.insert(path.to_owned());
        let record = |path: &String| {
            let value = self.files.get(path).map(|r| serde_json::to_value(r).expect("plain data"));
            Record { key: path.clone(), value }
        };
        let records: Vec<Record> = self.unsaved.iter().map(record).collect();
        self.journal.append(&records)?;
        self.unsaved.clear();
        Ok(())
    }

    /// Takes out what is old and done with; it goes from the log with the next change.
    fn forget_old(&mut self, now: f64) {
        self.noted += 1;
        if !self.noted.is_multiple_of(LOOK) {
            return;
        }
        let copies: BTreeSet<&String> = self.copies.iter().map(|copy| &copy.0).collect();
        let done = |(path, record): &(&String, &FileRecord)| {
            record.state != FileState::Waiting && !copies.contains(path)
        };
        let mut done: Vec<(f64, String)> =
            self.files.iter().filter(done).map(|(path, record)| (record.at, path.clone())).collect();
        done.sort_by(|a, b| b.0.total_cmp(&a.0));
        let old = done.into_iter().enumerate();
        for (_, (_, path)) in old.filter(|(n, (at, _))| *n >= REMEMBERED || now - at > REMEMBERED_S) {
            self.files.remove(&path);
            self.unsaved.insert(path);
        }
    }
}

#[cfg(test)]
impl Book {
    /// Files of that name go to that key.
    pub(super) fn set_key(&mut self, name: &str, key: &str) {
        for (_, record) in self.files.iter_mut().filter(|(path, _)| path.ends_with(name)) {
            record.key = Some(key.to_owned());
        }
    }
}
