//! Reading the history, of a process that runs or of one that is gone: nothing is locked or changed, and memory holds one
//! segment at a time.

use std::fs;
use std::io::{self, BufRead as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::frame;
use super::history::{Entry, HEADER};

/// What was read, and what could not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HistoryRead {
    /// Segments that were looked at.
    pub segments: usize,
    /// Entries that were given.
    pub entries: u64,
    /// Bytes in the middle of segments that are damaged.
    pub damaged_bytes: u64,
}

/// One frame.
pub(super) struct Frame {
    pub(super) entries: Vec<Entry>,
    /// Where the next begins.
    pub(super) end: usize,
}

/// What a segment holds.
pub(super) struct Scan {
    pub(super) frames: Vec<Frame>,
    /// Something unreadable is followed by a whole frame, or the file is none of ours.
    pub(super) damaged: bool,
    damaged_bytes: u64,
}

impl Scan {
    /// NaN without entries.
    pub(super) fn first_at(&self) -> f64 {
        self.frames.iter().flat_map(|f| &f.entries).next().map_or(f64::NAN, |e| e.at)
    }

    pub(super) fn last_id(&self) -> Option<u64> {
        self.frames.iter().flat_map(|f| &f.entries).next_back().map(|e| e.id)
    }
}

/// Gives every entry that is not before `from`, in order, until it is told to stop. The tail of an append that is being
/// written, or was cut short, is passed over; so is a segment that is forgotten meanwhile.
///
/// # Errors
/// The folder or a file in it cannot be read.
pub fn read_history(
    dir: &Path,
    from: f64,
    mut each: impl FnMut(Entry) -> ControlFlow<()>,
) -> io::Result<HistoryRead> {
    let numbers = list(dir)?;
    let mut read = HistoryRead::default();
    for (i, &number) in numbers.iter().enumerate() {
        // All of a segment is before the first of the next.
        if from.is_finite()
            && let Some(&next) = numbers.get(i + 1)
            && first_of(&path_of(dir, next)).is_some_and(|first| first.at < from)
        {
            continue;
        }
        let bytes = match fs::read(path_of(dir, number)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        let scan = scan(&bytes);
        read.segments += 1;
        read.damaged_bytes += scan.damaged_bytes;
        for entry in scan.frames.into_iter().flat_map(|f| f.entries).filter(|e| e.at >= from) {
            read.entries += 1;
            if each(entry).is_break() {
                return Ok(read);
            }
        }
    }
    Ok(read)
}

/// The frames of a segment; what cannot be read is passed over.
pub(super) fn scan(bytes: &[u8]) -> Scan {
    let mut scan = Scan { frames: Vec::new(), damaged: false, damaged_bytes: 0 };
    if !bytes.starts_with(HEADER) && !HEADER.starts_with(bytes) {
        (scan.damaged, scan.damaged_bytes) = (true, bytes.len() as u64);
        return scan;
    }
    let mut at = HEADER.len();
    while at < bytes.len() {
        if let Some(frame) = read_frame(bytes, at) {
            at = frame.end;
            scan.frames.push(frame);
            continue;
        }
        let lines = bytes[at..].iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| at + i + 1);
        match lines.into_iter().find(|next| read_frame(bytes, *next).is_some()) {
            Some(next) => {
                scan.damaged = true;
                scan.damaged_bytes += (next - at) as u64;
                at = next;
            }
            None => break,
        }
    }
    scan
}

fn read_frame(bytes: &[u8], at: usize) -> Option<Frame> {
    let (_, json, end) = frame::read_line(bytes, at).ok()?;
    Some(Frame { entries: entries(json)?, end })
}

fn entries(json: &[u8]) -> Option<Vec<Entry>> {
    let values: Vec<Value> = serde_json::from_slice(json).ok()?;
    values.into_iter().map(Entry::of).collect()
}

/// The first entry of a segment; none if it has none, or it cannot be read.
pub(super) fn first_of(path: &Path) -> Option<Entry> {
    let file = io::BufReader::new(fs::File::open(path).ok()?);
    let mut line = file.split(b'\n').nth(1)?.ok()?;
    line.push(b'\n');
    read_frame(&line, 0)?.entries.into_iter().next()
}

/// The numbers of the segments, in ascending order.
pub(super) fn list(dir: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|n| n.strip_prefix("history-")?.strip_suffix(".log"));
        numbers.extend(number.and_then(|n| n.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

pub(super) fn path_of(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("history-{number:06}.log"))
}
