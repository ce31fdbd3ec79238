//! How records lie in a segment file: lines of text, one for each append, so that an append is there whole or not.
//!
//! ```text
//! catcher journal 1
//! 5f0c2a91 1 43 [{"key":"alarm/Wind.Forecast","value":{...}}]
//! └ crc32  │ └ bytes of the JSON text
//!          └ number of the frame in this file, from 1
//! ```
//!
//! The checksum covers everything after it but the line's end. JSON has no bare line ends, so the text of a value can
//! never be taken for a frame. What cannot be read is the *torn tail* of an append that a crash cut short if no whole
//! frame follows, and *damage* if one does. (So a last frame that rotted on disk counts as torn; nothing in the file
//! could tell the two apart.)

use serde_json::Value;

use super::Record;

/// First line of every segment.
pub const HEADER: &[u8] = b"catcher journal 1\n";

/// A whole frame found in a segment.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Its number.
    pub seq: u64,
    /// What was appended.
    pub records: Vec<Record>,
    /// Where the next frame begins.
    pub end: usize,
}

/// What a segment holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Scan {
    /// Whole frames, in order.
    pub frames: Vec<Frame>,
    /// Bytes up to the end of the last of them; what follows is a torn tail.
    pub good: usize,
}

/// A segment that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Where the first unreadable byte is, or the frame that holds it.
    pub offset: usize,
    /// What is wrong there.
    pub reason: String,
}

/// The bytes of one append.
pub fn encode(seq: u64, records: &[Record]) -> Vec<u8> {
    line(seq, &serde_json::to_string(records).expect("records have text keys and JSON values"))
}

/// The bytes of a frame with this JSON text, which has no line ends.
pub(super) fn line(seq: u64, json: &str) -> Vec<u8> {
    let body = format!("{seq} {} {json}", json.len());
    format!("{:08x} {body}\n", crc32fast::hash(body.as_bytes())).into_bytes()
}

/// Bytes that a frame of its own for this record takes.
pub fn cost(key: &str, value: &Value) -> usize {
    encode(1, &[Record::put(key, value.clone())]).len()
}

/// Reads a segment from its first byte.
///
/// # Errors
/// If it is not a segment of ours, or something unreadable is followed by a whole frame.
pub fn scan(bytes: &[u8]) -> Result<Scan, Damage> {
    if !bytes.starts_with(HEADER) {
        if HEADER.starts_with(bytes) {
            return Ok(Scan { frames: Vec::new(), good: 0 });
        }
        let reason = format!("the first line is not \"{}\"", String::from_utf8_lossy(HEADER).trim_end());
        return Err(Damage { offset: 0, reason });
    }
    let mut frames: Vec<Frame> = Vec::new();
    let mut good = HEADER.len();
    while good < bytes.len() {
        let expected = frames.len() as u64 + 1;
        match read(bytes, good) {
            Ok(frame) if frame.seq == expected => {
                good = frame.end;
                frames.push(frame);
            }
            Ok(frame) => {
                let reason = format!("frame {} stands where frame {expected} should", frame.seq);
                return Err(Damage { offset: good, reason });
            }
            Err(reason) => match (good + 1..bytes.len()).find(|&at| read(bytes, at).is_ok()) {
                Some(next) => {
                    let reason = format!("{reason}, but a whole frame follows at byte {next}");
                    return Err(Damage { offset: good, reason });
                }
                None => break,
            },
        }
    }
    Ok(Scan { frames, good })
}

fn read(bytes: &[u8], start: usize) -> Result<Frame, &'static str> {
    let (seq, json, end) = read_line(bytes, start)?;
    let records =
        serde_json::from_slice(json).map_err(|_| "the checksum is right, but this is no list of records")?;
    Ok(Frame { seq, records, end })
}

/// Number, JSON text and end of the frame that begins there.
pub(super) fn read_line(bytes: &[u8], start: usize) -> Result<(u64, &[u8], usize), &'static str> {
    const CUT: &str = "the frame is cut short";
    const HEAD: &str = "this is not the head of a frame";
    let rest = &bytes[start..];
    let crc = rest.get(..8).ok_or(CUT)?;
    if !crc.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) || rest.get(8).ok_or(CUT)? != &b' ' {
        return Err(HEAD);
    }
    let crc =
        std::str::from_utf8(crc).ok().and_then(|text| u32::from_str_radix(text, 16).ok()).ok_or(HEAD)?;
    let (seq, after_seq) = number(rest, 9).ok_or(HEAD)?;
    let (len, json_start) = number(rest, after_seq).ok_or(HEAD)?;
    let json_end = usize::try_from(len).ok().and_then(|len| json_start.checked_add(len)).ok_or(HEAD)?;
    let json = rest.get(json_start..json_end).ok_or(CUT)?;
    if rest.get(json_end).ok_or(CUT)? != &b'\n' {
        return Err("the frame's line does not end where it should");
    }
    if crc32fast::hash(&rest[9..json_end]) != crc {
        return Err("the checksum is wrong");
    }
    Ok((seq, json, start + json_end + 1))
}

/// A decimal number and the space behind it.
fn number(bytes: &[u8], start: usize) -> Option<(u64, usize)> {
    let digits = bytes.get(start..)?.iter().take(20).take_while(|b| b.is_ascii_digit()).count();
    let text = std::str::from_utf8(&bytes[start..start + digits]).ok()?;
    let end = start + digits;
    (bytes.get(end)? == &b' ').then_some((text.parse().ok()?, end + 1))
}
