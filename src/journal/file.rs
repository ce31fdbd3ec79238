//! The journal in a folder of this machine.
//!
//! ```text
//! state/lock                   held by the process that owns the folder
//! state/journal-000007.log     the segment: what was alive when it was made, then every append since
//! state/journal-000008.tmp     a compaction under way, worth nothing until it is renamed
//! ```
//!
//! One segment counts: the one with the highest number. Compaction writes the live values to the next number's `.tmp`,
//! syncs it, renames it to `.log`, syncs the folder and deletes the old segment; a crash anywhere leaves one of the two
//! whole. It happens within an append when the garbage exceeds the live data; if it fails, the append has succeeded all
//! the same, and it is tried again when the segment has grown by a half.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::frame::{self, HEADER};
use super::lock::{FolderLock, LockError};
use super::{Journal, Record};

/// Segments smaller than this are not compacted.
const COMPACT_FROM_BYTES: u64 = 1 << 20;

/// A journal in a folder. The folder is locked until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct FileJournal {
    dir: PathBuf,
    _lock: FolderLock,
    segment: u64,
    file: File,
    /// Bytes of the segment that are whole and synced.
    good: u64,
    /// The file may be longer than `good`: a failed append could not be taken back yet.
    dirty: bool,
    /// A segment of a failed compaction that would outrank this one at the next start, and could not be deleted yet.
    outranking: Option<u64>,
    next_seq: u64,
    live: BTreeMap<String, Live>,
    live_bytes: u64,
    compact_from: u64,
    compact_at: u64,
}

#[derive(Debug)]
struct Live {
    value: Value,
    bytes: u64,
}

/// What an opened journal held.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Recovered {
    /// The newest value of every key that is not deleted.
    pub entries: BTreeMap<String, Value>,
    /// Bytes of an append that a crash cut short. They were never acknowledged, and are gone now.
    pub torn_bytes: u64,
    /// Files of an interrupted compaction that were deleted.
    pub leftovers: Vec<PathBuf>,
}

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("journal {}: another process ({owner}) holds the lock; one process may use a journal folder, \
             stop the other one or give this one its own", dir.display())]
    Locked {
        /// The folder.
        dir: PathBuf,
        /// What the owner wrote into the lock file.
        owner: String,
    },
    /// What was acknowledged cannot be read.
    #[error("journal {}: damaged at byte {offset}: {reason}. Nothing was changed. Restore the file from a copy, or move \
             it away to start with an empty journal (acknowledgements, mutes, rules added at run time and running work \
             are lost then)", file.display())]
    Damaged {
        /// The segment.
        file: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong there.
        reason: String,
    },
    /// The file system refused.
    #[error("journal {}: cannot {what}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
}

impl FileJournal {
    /// Opens the journal in `dir`, which is made if it does not exist.
    ///
    /// # Errors
    /// If another process has it, it is damaged, or the file system refuses.
    pub fn open(dir: impl AsRef<Path>) -> Result<(FileJournal, Recovered), OpenError> {
        Self::open_with(dir.as_ref(), COMPACT_FROM_BYTES)
    }

    /// As [`FileJournal::open`]; segments of less than `compact_from` bytes are not compacted.
    pub(super) fn open_with(dir: &Path, compact_from: u64) -> Result<(FileJournal, Recovered), OpenError> {
        make_dir(dir)?;
        let lock = lock(dir)?;
        let (segments, mut leftovers) = list(dir)?;
        let segment = segments.last().copied().unwrap_or(1);
        let path = segment_path(dir, segment);
        if segments.is_empty() {
            write_segment(dir, segment, std::iter::empty()).map_err(at("make the first segment", &path))?;
        }
        let mut file =
            OpenOptions::new().read(true).write(true).open(&path).map_err(at("open the segment", &path))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(at("read the segment", &path))?;
        let scan = frame::scan(&bytes).map_err(|damage| OpenError::Damaged {
            file: path.clone(),
            offset: damage.offset as u64,
            reason: damage.reason,
        })?;
        let mut journal = FileJournal {
            dir: dir.to_owned(),
            _lock: lock,
            segment,
            file,
            good: scan.good as u64,
            dirty: false,
            outranking: None,
            next_seq: scan.frames.len() as u64 + 1,
            live: BTreeMap::new(),
            live_bytes: 0,
            compact_from,
            compact_at: compact_from,
        };
        journal.cut_tail(bytes.len() as u64).map_err(at("cut the torn tail of the segment", &path))?;
        for record in scan.frames.into_iter().flat_map(|frame| frame.records) {
            journal.remember(record);
        }
        // Only now, with the newest segment read to its end, are the older ones worth nothing.
        leftovers.extend(segments.iter().rev().skip(1).map(|&old| segment_path(dir, old)));
        for leftover in &leftovers {
            delete(leftover).map_err(at("delete what a compaction left", leftover))?;
        }
        let entries = journal.live.iter().map(|(key, live)| (key.clone(), live.value.clone())).collect();
        let torn_bytes = bytes.len() as u64 - scan.good as u64;
        Ok((journal, Recovered { entries, torn_bytes, leftovers }))
    }

    /// The segment that is being written.
    pub fn segment(&self) -> PathBuf {
        segment_path(&self.dir, self.segment)
    }

    /// Bytes of the segment, and those of them that a compaction would keep.
    pub fn size(&self) -> (u64, u64) {
        (self.good, self.live_bytes)
    }

    /// Rewrites the journal without its garbage.
    ///
    /// # Errors
    /// If that could not be done; the journal goes on in the old segment.
    pub fn compact(&mut self) -> io::Result<()> {
        let next = self.segment + 1;
        let live = self.live.iter().map(|(key, live)| Record::put(key.clone(), live.value.clone()));
        let written = write_segment(&self.dir, next, live);
        let opened = written.and_then(|len| {
            let file = OpenOptions::new().read(true).write(true).open(segment_path(&self.dir, next))?;
            Ok((file, len))
        });
        let (file, len) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                self.outranking = Some(next);
                self.give_up_compaction()?;
                return Err(error);
            }
        };
        let old = self.segment();
        self.segment = next;
        self.file = file;
        self.good = len;
        self.dirty = false;
        self.next_seq = self.live.len() as u64 + 1;
        if let Err(error) = fs::remove_file(&old) {
            tracing::warn!(file = %old.display(), %error, "an old journal segment could not be deleted; the next start will");
        }
        Ok(())
    }

    /// Deletes what a failed compaction left, for good: nothing may be appended to this segment before.
    fn give_up_compaction(&mut self) -> io::Result<()> {
        if let Some(next) = self.outranking {
            delete(&temp_path(&self.dir, next))?;
            delete(&segment_path(&self.dir, next))?;
            sync_dir(&self.dir)?;
            self.outranking = None;
        }
        Ok(())
    }

    /// Makes the file as long as what is good in it.
    fn cut_tail(&mut self, len: u64) -> io::Result<()> {
        if self.good == 0 {
            self.file.set_len(0)?;
            self.file.seek(SeekFrom::Start(0))?;
            self.file.write_all(HEADER)?;
            self.file.sync_all()?;
            self.good = HEADER.len() as u64;
        } else if len > self.good {
            self.file.set_len(self.good)?;
            self.file.sync_all()?;
        }
        Ok(())
    }

    fn remember(&mut self, record: Record) {
        let bytes = record.value.as_ref().map_or(0, |value| frame::cost(&record.key, value) as u64);
        self.live_bytes += bytes;
        let old = match record.value {
            Some(value) => self.live.insert(record.key, Live { value, bytes }),
            None => self.live.remove(&record.key),
        };
        self.live_bytes -= old.map_or(0, |old| old.bytes);
    }

    fn write(&mut self, frame: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.good))?;
        self.file.write_all(frame)?;
        self.file.sync_data()
    }

    fn compact_if_due(&mut self) {
        let garbage = self.good.saturating_sub(self.live_bytes);
        if self.good < self.compact_at || garbage <= self.live_bytes {
            return;
        }
        self.compact_at = match self.compact() {
            Ok(()) => self.compact_from,
            Err(error) => {
                let file = self.segment();
                tracing::warn!(file = %file.display(), %error, "the journal could not be compacted; it goes on growing");
                self.good + self.good / 2
            }
        };
    }
}

impl Journal for FileJournal {
    fn append(&mut self, records: &[Record]) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        self.give_up_compaction()?;
        if self.dirty {
            self.cut_tail(u64::MAX)?;
            self.dirty = false;
        }
        let frame = frame::encode(self.next_seq, records);
        if let Err(error) = self.write(&frame) {
            self.dirty = true;
            if self.cut_tail(u64::MAX).is_ok() {
                self.dirty = false;
            }
            return Err(error);
        }
        self.good += frame.len() as u64;
        self.next_seq += 1;
        for record in records {
            self.remember(record.clone());
        }
        self.compact_if_due();
        Ok(())
    }
}

/// Writes a whole segment under a temporary name and gives it its own when it is safe on disk; its length.
fn write_segment(dir: &Path, segment: u64, records: impl Iterator<Item = Record>) -> io::Result<u64> {
    let temp = temp_path(dir, segment);
    let mut out = io::BufWriter::new(File::create(&temp)?);
    let mut len = HEADER.len();
    out.write_all(HEADER)?;
    for (seq, record) in (1..).zip(records) {
        let frame = frame::encode(seq, &[record]);
        len += frame.len();
        out.write_all(&frame)?;
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&temp, segment_path(dir, segment))?;
    sync_dir(dir)?;
    Ok(len as u64)
}

/// The numbers of the segments in ascending order, and the temporary files.
fn list(dir: &Path) -> Result<(Vec<u64>, Vec<PathBuf>), OpenError> {
    let (mut segments, mut temps) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(dir).map_err(at("list the folder", dir))? {
        let name = entry.map_err(at("list the folder", dir))?.file_name();
        let Some(name) = name.to_str().and_then(|name| name.strip_prefix("journal-")) else { continue };
        if let Some(number) = name.strip_suffix(".log").and_then(|number| number.parse().ok()) {
            segments.push(number);
        } else if name.strip_suffix(".tmp").is_some_and(|number| number.parse::<u64>().is_ok()) {
            temps.push(dir.join(format!("journal-{name}")));
        }
    }
    segments.sort_unstable();
    Ok((segments, temps))
}

fn lock(dir: &Path) -> Result<FolderLock, OpenError> {
    FolderLock::take(dir).map_err(|error| match error {
        LockError::Held { owner } => OpenError::Locked { dir: dir.to_owned(), owner },
        LockError::Io { what, path, source } => OpenError::Io { what, path, source },
    })
}

fn make_dir(dir: &Path) -> Result<(), OpenError> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(dir).map_err(at("make the folder", dir))?;
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync_dir(parent).map_err(at("sync the folder above", parent))
}

fn delete(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

fn segment_path(dir: &Path, segment: u64) -> PathBuf {
    dir.join(format!("journal-{segment:06}.log"))
}

fn temp_path(dir: &Path, segment: u64) -> PathBuf {
    dir.join(format!("journal-{segment:06}.tmp"))
}

fn at(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { what, path, source }
}
