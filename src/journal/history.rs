//! What happened, one entry after the other, in the journal's folder; nothing is ever changed, only the oldest forgotten.
//!
//! ```text
//! state/history-000001.log     "catcher history 1", then frames as the journal's, each a list of entries
//! state/history-000002.log     the segment that is being written
//! ```
//!
//! *With the journal.* Entries are written and synced before the journal's records of the same step; one of those (the
//! key `history`) says which number comes next. So an effect is carried out only after both are safe. After a crash
//! between the two, entries from that number on are cut off: what they tell of never came to be, and will happen again.
//! A crash within an append leaves a torn tail, which is cut off too.
//!
//! *Bounded.* A segment is closed when it has a thirty-second part of what may be kept, in bytes or in time
//! ([`Keep`]). Then whole segments go, the oldest first: as long as all of them are larger than allowed, and those
//! whose newest entry is older than allowed. How old something is, is told by the newest entry: a history to which
//! nothing is added keeps what it has. Nothing goes before a site has said what to keep.
//!
//! *Damage.* An unreadable part is left as it is, and new entries go into a new segment: a bad spot in the past is no
//! reason to watch nothing now. Readers pass over it and say so.

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::file::OpenError;
use super::frame;
use super::history_read::{first_of, list, path_of, scan};

/// First line of every segment.
pub(super) const HEADER: &[u8] = b"catcher history 1\n";

/// Into so many parts that which may be kept is divided.
const PARTS: u64 = 32;
/// No segment is closed below this, and none grows much beyond the other.
const SEGMENT_BYTES: (u64, u64) = (64 << 10, 8 << 20);
/// A frame is closed when it has so many bytes.
const FRAME_BYTES: usize = 1 << 20;
const DAY_S: f64 = 86_400.0;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Keep {
    /// Days.
    pub days: f64,
    /// Bytes of all segments.
    pub bytes: u64,
}

impl Default for Keep {
    fn default() -> Keep {
        Keep { days: 400.0, bytes: 256 << 20 }
    }
}

impl Keep {
    fn segment_bytes(&self) -> u64 {
        (self.bytes / PARTS).clamp(SEGMENT_BYTES.0, SEGMENT_BYTES.1)
    }

    fn segment_s(&self) -> f64 {
        self.days * DAY_S / PARTS as f64
    }
}

/// One entry. Its JSON has its number as `id` and its time as `at`.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Number; they grow.
    pub id: u64,
    /// When, TAI s.
    pub at: f64,
    /// All of it.
    pub value: Value,
}

impl Entry {
    /// An entry that has its number and time in it; none if it has not.
    pub fn of(value: Value) -> Option<Entry> {
        let (id, at) = (value.get("id")?.as_u64()?, value.get("at")?.as_f64()?);
        Some(Entry { id, at, value })
    }
}

/// What is known of a segment.
#[derive(Debug, Clone, PartialEq)]
struct Segment {
    number: u64,
    bytes: u64,
    /// Time of its first entry; NaN if it has none, or that is not known.
    first_at: f64,
}

/// The writer. Whoever has it has locked the folder (the journal does).
#[derive(Debug)]
pub struct History {
    dir: PathBuf,
    /// The closed ones, the oldest first.
    old: Vec<Segment>,
    segment: Segment,
    file: File,
    /// The file may be longer than is good.
    dirty: bool,
    frames: u64,
    next: u64,
    keep: Option<Keep>,
}

impl History {
    /// Opens the history in a journal's folder. `next` is the number that the journal says is next: entries from there on
    /// were never confirmed, and are cut off. Without it (a new journal) all of them stay.
    ///
    /// # Errors
    /// If the file system refuses.
    pub fn open(dir: impl AsRef<Path>, next: Option<u64>) -> Result<History, OpenError> {
        let dir = dir.as_ref().to_owned();
        let numbers = list(&dir).map_err(at("list the folder", &dir))?;
        let mut old = Vec::new();
        for number in &numbers {
            let path = path_of(&dir, *number);
            let bytes = fs::metadata(&path).map_err(at("look at", &path))?.len();
            old.push(Segment {
                number: *number,
                bytes,
                first_at: first_of(&path).map_or(f64::NAN, |e| e.at),
            });
        }
        let mut known = None;
        let mut last = None;
        if let Some(newest) = old.pop() {
            let path = path_of(&dir, newest.number);
            let scan = scan(&fs::read(&path).map_err(at("read", &path))?);
            if scan.damaged {
                tracing::warn!(file = %path.display(), "a part of the alarms' history cannot be read; it is left as it is");
                known = scan.last_id();
                old.push(newest);
            } else {
                let unconfirmed = |id: u64| next.is_some_and(|next| id >= next);
                let mut good = scan;
                good.frames.retain(|f| !f.entries.first().is_some_and(|e| unconfirmed(e.id)));
                let bytes = good.frames.last().map_or(HEADER.len(), |f| f.end) as u64;
                mend(&path, bytes).map_err(at("cut the tail of", &path))?;
                known = good.last_id();
                last =
                    Some((Segment { bytes, first_at: good.first_at(), ..newest }, good.frames.len() as u64));
            }
        }
        // The newest segment may be empty still.
        for segment in old.iter().rev() {
            if known.is_some() {
                break;
            }
            let path = path_of(&dir, segment.number);
            known = scan(&fs::read(&path).map_err(at("read", &path))?).last_id();
        }
        let (segment, frames) = match last {
            Some(last) => last,
            None => {
                let number = numbers.last().map_or(1, |n| n + 1);
                (make(&dir, number).map_err(at("make", &path_of(&dir, number)))?, 0)
            }
        };
        let file = open(&dir, segment.number).map_err(at("open", &path_of(&dir, segment.number)))?;
        let next = next.unwrap_or(0).max(known.map_or(1, |id| id + 1));
        Ok(History { dir, old, segment, file, dirty: false, frames, next, keep: None })
    }

    /// The number that the next entry has at least.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Bytes of all segments.
    pub fn bytes(&self) -> u64 {
        self.old.iter().map(|s| s.bytes).sum::<u64>() + self.segment.bytes
    }

    /// Keeps so much from now on.
    pub fn keep(&mut self, keep: Keep) {
        self.keep = Some(keep);
        if let Some(newest) = self.newest() {
            self.forget(newest);
        }
    }

    /// Appends entries; when it returns, they survive a crash of the machine. Those that were appended already (the
    /// journal could not be written after it, and all is tried again) are passed over.
    ///
    /// # Errors
    /// If they could not be written or synced. The history is as it was before, and the next call may succeed.
    pub fn append(&mut self, entries: &[Entry]) -> io::Result<()> {
        let new: Vec<&Entry> = entries.iter().filter(|entry| entry.id >= self.next).collect();
        let (Some(first), Some(last)) = (new.first(), new.last()) else { return Ok(()) };
        if self.dirty {
            self.cut()?;
        }
        self.rotate_if_due(first.at)?;
        let (bytes, frames) = encode(&new, self.frames + 1);
        if let Err(error) = self.write(&bytes) {
            self.dirty = self.cut().is_err();
            return Err(error);
        }
        self.segment.bytes += bytes.len() as u64;
        if self.segment.first_at.is_nan() {
            self.segment.first_at = first.at;
        }
        self.frames += frames;
        self.next = last.id + 1;
        self.forget(last.at);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(self.segment.bytes))?;
        self.file.write_all(bytes)?;
        self.file.sync_data()
    }

    /// Makes the file as long as what is good in it.
    fn cut(&mut self) -> io::Result<()> {
        self.file.set_len(self.segment.bytes)?;
        self.file.sync_all()?;
        self.dirty = false;
        Ok(())
    }

    fn rotate_if_due(&mut self, now: f64) -> io::Result<()> {
        let keep = self.keep.unwrap_or_default();
        let old = now - self.segment.first_at > keep.segment_s();
        if self.segment.bytes < keep.segment_bytes() && !old {
            return Ok(());
        }
        let number = self.segment.number + 1;
        let next = make(&self.dir, number)?;
        let file = open(&self.dir, number)?;
        self.old.push(std::mem::replace(&mut self.segment, next));
        (self.file, self.frames) = (file, 0);
        Ok(())
    }

    /// Deletes what need not be kept any more. What cannot be deleted is tried again with the next entry.
    fn forget(&mut self, now: f64) {
        let Some(keep) = self.keep else { return };
        while let Some(oldest) = self.old.first() {
            // The newest entry of a segment is no newer than the first of the next.
            let until = self.old.get(1).unwrap_or(&self.segment).first_at;
            if self.bytes() <= keep.bytes && (until.is_nan() || now - until <= keep.days * DAY_S) {
                return;
            }
            let path = path_of(&self.dir, oldest.number);
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(file = %path.display(), %error, "an old part of the alarms' history cannot be deleted");
                    return;
                }
                _ => drop(self.old.remove(0)),
            }
        }
    }

    /// A time that is no newer than the newest entry's.
    fn newest(&self) -> Option<f64> {
        let times = self.old.iter().map(|s| s.first_at).chain([self.segment.first_at]);
        times.filter(|t| !t.is_nan()).reduce(f64::max)
    }
}

/// The bytes of frames with these entries, and how many frames they are.
fn encode(entries: &[&Entry], first_seq: u64) -> (Vec<u8>, u64) {
    let mut bytes = Vec::new();
    let mut seq = first_seq;
    let mut text = String::new();
    for (i, entry) in entries.iter().enumerate() {
        text.push(if text.is_empty() { '[' } else { ',' });
        text.push_str(&entry.value.to_string());
        if text.len() >= FRAME_BYTES || i + 1 == entries.len() {
            text.push(']');
            bytes.extend(frame::line(seq, &text));
            text.clear();
            seq += 1;
        }
    }
    (bytes, seq - first_seq)
}

/// Makes a segment whole again: a header, and nothing behind what is good.
fn mend(path: &Path, good: u64) -> io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    let len = file.metadata()?.len();
    if len < HEADER.len() as u64 {
        file.set_len(0)?;
        file.write_all(HEADER)?;
    } else if len > good {
        file.set_len(good)?;
    } else {
        return Ok(());
    }
    file.sync_all()
}

fn open(dir: &Path, number: u64) -> io::Result<File> {
    File::options().read(true).write(true).open(path_of(dir, number))
}

/// An empty segment, which has its name only when it is safe on disk.
fn make(dir: &Path, number: u64) -> io::Result<Segment> {
    let temp = dir.join("history.tmp");
    let mut file = File::create(&temp)?;
    file.write_all(HEADER)?;
    file.sync_all()?;
    fs::rename(&temp, path_of(dir, number))?;
    File::open(dir)?.sync_all()?;
    Ok(Segment { number, bytes: HEADER.len() as u64, first_at: f64::NAN })
}

fn at(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { what, path, source }
}
