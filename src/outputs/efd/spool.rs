//! Points waiting for the EFD, on disk: append-only, synced, bounded, in order.
//!
//! ```text
//! <dir>/0000000007.points    one line a point: CRC-32 in hex, a blank, the point as JSON
//! <dir>/0000000008.points    the newest segment, appended to
//! <dir>/sent                 how far the points went out: segment and byte
//! <dir>/lock                 held by the process that owns the folder
//! ```
//!
//! A point is on disk and synced when [`Spool::append`] returns, and stays until [`Spool::sent`] says that it went out. A
//! crash between a write to the EFD and `sent` sends it twice: the same stamp and fields overwrite themselves.
//! When the spool is full it refuses new points rather than drop old ones: what was accepted is kept.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::Point;
use crate::journal::lock::{FolderLock, LockError};

/// How much a spool may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpoolLimits {
    /// Most bytes on disk, all segments together.
    pub max_bytes: u64,
    /// A segment this long is closed; the next one begins. Space is given back by whole segments.
    pub segment_bytes: u64,
}

impl Default for SpoolLimits {
    fn default() -> SpoolLimits {
        SpoolLimits { max_bytes: 256 << 20, segment_bytes: 4 << 20 }
    }
}

/// The spool cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The bound is reached: the EFD has been away for too long.
    #[error(
        "EFD spool {path} is full ({bytes} bytes wait, {max_bytes} are allowed): the result is not kept for the EFD"
    )]
    Full {
        /// The folder.
        path: PathBuf,
        /// Bytes on disk.
        bytes: u64,
        /// The bound.
        max_bytes: u64,
    },
    /// Another process has the folder.
    #[error("EFD spool {path} is in use by another process")]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The disk failed.
    #[error("EFD spool {path}: {source}")]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// What was found when the spool was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Points that still wait.
    pub pending: u64,
    /// Bytes of an unfinished last line that were cut off.
    pub torn_bytes: u64,
    /// Lines that are damaged; they are skipped.
    pub damaged: u64,
}

/// A place between two points.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize,
)]
pub struct Position {
    segment: u64,
    byte: u64,
}

/// The next points to send.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// In order; empty if none waits.
    pub points: Vec<Point>,
    /// Damaged lines passed over.
    pub damaged: u64,
    /// Hand this to [`Spool::sent`].
    pub end: Position,
}

/// The spool. All calls block on the disk.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    limits: SpoolLimits,
    /// Segments on disk and their lengths, oldest first; the last one is appended to.
    segments: Vec<(u64, u64)>,
    file: File,
    sent: Position,
    pending: u64,
    _lock: FolderLock,
}

impl Spool {
    /// Opens or makes the folder, cuts a torn tail, counts what waits.
    pub fn open(dir: &Path, limits: SpoolLimits) -> Result<(Spool, Recovered), SpoolError> {
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source| SpoolError::Io { path, source }
        };
        fs::create_dir_all(dir).map_err(fail(dir))?;
        let lock = FolderLock::take(dir).map_err(|error| match error {
            LockError::Held { .. } => SpoolError::Locked { path: dir.to_owned() },
            LockError::Io { path, source, .. } => SpoolError::Io { path, source },
        })?;
        let mut segments = list_segments(dir).map_err(fail(dir))?;
        let mut recovered = Recovered::default();
        if let Some((newest, length)) = segments.last_mut() {
            recovered.torn_bytes = cut_torn_tail(&path_of(dir, *newest), length).map_err(fail(dir))?;
        }
        let oldest = segments.first().map_or(1, |segment| segment.0);
        if segments.is_empty() {
            segments.push((oldest, 0));
        }
        let newest = segments[segments.len() - 1].0;
        let file = open_segment(dir, newest).map_err(fail(dir))?;
        let start = Position { segment: oldest, byte: 0 };
        // Without a readable mark everything goes out again, which is harmless.
        let sent = read_mark(dir).filter(|mark| *mark >= start && mark.segment <= newest).unwrap_or(start);
        let mut spool = Spool { dir: dir.to_owned(), limits, segments, file, sent, pending: 0, _lock: lock };
        let waiting = spool.read(None)?;
        recovered.pending = waiting.0;
        recovered.damaged = waiting.1.damaged;
        spool.pending = waiting.0;
        Ok((spool, recovered))
    }

    /// Keeps the points; when it returns they are synced. On an error none of them is kept.
    pub fn append(&mut self, points: &[Point]) -> Result<(), SpoolError> {
        let mut text = String::new();
        for point in points {
            let json = serde_json::to_string(point).expect("a point of plain values is always JSON");
            text.push_str(&format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())));
        }
        if text.is_empty() {
            return Ok(());
        }
        let bytes = self.bytes() + text.len() as u64;
        if bytes > self.limits.max_bytes {
            let max_bytes = self.limits.max_bytes;
            return Err(SpoolError::Full { path: self.dir.clone(), bytes: self.bytes(), max_bytes });
        }
        if self.newest().1 >= self.limits.segment_bytes {
            self.next_segment()?;
        }
        let written = self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data());
        if let Err(source) = written {
            // Take back what was written of it; if even that fails, the tail is left behind in a closed segment, where
            // readers skip it.
            let (segment, length) = self.newest();
            if self.file.set_len(length).and_then(|()| self.file.seek(SeekFrom::End(0))).is_err() {
                self.next_segment()?;
            }
            return Err(SpoolError::Io { path: path_of(&self.dir, segment), source });
        }
        self.segments.last_mut().expect("there is always a segment").1 += text.len() as u64;
        self.pending += points.len() as u64;
        Ok(())
    }

    /// The next points without taking them: at most `max_points`, and no more once they fill `max_bytes` on disk.
    pub fn peek(&self, max_points: usize, max_bytes: u64) -> Result<Batch, SpoolError> {
        Ok(self.read(Some((max_points as u64, max_bytes)))?.1)
    }

    /// The points of that batch went out.
    pub fn sent(&mut self, batch: &Batch) -> Result<(), SpoolError> {
        self.sent = batch.end;
        self.pending = self.pending.saturating_sub(batch.points.len() as u64);
        while self.segments.len() > 1 && self.segments[0].0 < self.sent.segment {
            let path = path_of(&self.dir, self.segments[0].0);
            fs::remove_file(&path).map_err(|source| SpoolError::Io { path, source })?;
            self.segments.remove(0);
        }
        let path = self.dir.join("sent");
        write_mark(&self.dir, self.sent).map_err(|source| SpoolError::Io { path, source })
    }

    /// Points that wait.
    pub fn pending(&self) -> u64 {
        self.pending
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.1).sum()
    }

    fn newest(&self) -> (u64, u64) {
        *self.segments.last().expect("there is always a segment")
    }

    fn next_segment(&mut self) -> Result<(), SpoolError> {
        let next = self.newest().0 + 1;
        self.file = open_segment(&self.dir, next)
            .map_err(|source| SpoolError::Io { path: path_of(&self.dir, next), source })?;
        self.segments.push((next, 0));
        Ok(())
    }

    /// Reads on from `sent` and counts the good points; with a bound (points, bytes) it keeps them.
    fn read(&self, bound: Option<(u64, u64)>) -> Result<(u64, Batch), SpoolError> {
        let mut batch = Batch { end: self.sent, ..Batch::default() };
        let (mut count, mut bytes) = (0, 0);
        for &(segment, length) in self.segments.iter().filter(|segment| segment.0 >= self.sent.segment) {
            let from = if segment == self.sent.segment { self.sent.byte } else { 0 };
            let path = path_of(&self.dir, segment);
            let result = (|| -> io::Result<bool> {
                let mut file = File::open(&path)?;
                file.seek(SeekFrom::Start(from))?;
                let mut reader = BufReader::new(file);
                let mut byte = from;
                let mut line = Vec::new();
                while byte < length {
                    if bound.is_some_and(|(most, most_bytes)| count >= most || bytes >= most_bytes) {
                        return Ok(false);
                    }
                    line.clear();
                    let length = reader.read_until(b'\n', &mut line)? as u64;
                    if length == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    (byte, bytes) = (byte + length, bytes + length);
                    match parse(&line) {
                        Some(point) => {
                            count += 1;
                            batch.points.extend(bound.is_some().then_some(point));
                        }
                        None => batch.damaged += 1,
                    }
                    batch.end = Position { segment, byte };
                }
                Ok(true)
            })();
            match result {
                Ok(true) => {}
                Ok(false) => break,
                Err(source) => return Err(SpoolError::Io { path, source }),
            }
        }
        Ok((count, batch))
    }
}

fn path_of(dir: &Path, segment: u64) -> PathBuf {
    dir.join(format!("{segment:010}.points"))
}

fn list_segments(dir: &Path) -> io::Result<Vec<(u64, u64)>> {
    let mut segments = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".points")?.parse().ok());
        if let Some(number) = number {
            segments.push((number, entry.metadata()?.len()));
        }
    }
    segments.sort_unstable();
    Ok(segments)
}

fn open_segment(dir: &Path, segment: u64) -> io::Result<File> {
    let file = OpenOptions::new().append(true).create(true).open(path_of(dir, segment))?;
    File::open(dir)?.sync_all()?;
    Ok(file)
}

/// Cuts an unfinished last line off; gives its length. `length` is corrected.
fn cut_torn_tail(path: &Path, length: &mut u64) -> io::Result<u64> {
    let text = fs::read(path)?;
    let whole = text.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1) as u64;
    let torn = *length - whole;
    if torn > 0 {
        let file = OpenOptions::new().write(true).open(path)?;
        file.set_len(whole)?;
        file.sync_all()?;
        *length = whole;
    }
    Ok(torn)
}

fn parse(line: &[u8]) -> Option<Point> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (crc, json) = line.split_once(' ')?;
    if u32::from_str_radix(crc, 16).ok()? != crc32fast::hash(json.as_bytes()) {
        return None;
    }
    serde_json::from_str(json).ok()
}

fn read_mark(dir: &Path) -> Option<Position> {
    serde_json::from_slice(&fs::read(dir.join("sent")).ok()?).ok()
}

/// Not synced: an older mark only sends more than needed.
fn write_mark(dir: &Path, mark: Position) -> io::Result<()> {
    let new = dir.join("sent.new");
    fs::write(&new, serde_json::to_vec(&mark)?)?;
    fs::rename(new, dir.join("sent"))
}

#[cfg(test)]
mod tests;
