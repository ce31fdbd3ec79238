//! Reading Avro primitives from a byte slice. Every read is checked; nothing allocates.

use super::WireError;

/// A position in an Avro body.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
}

const TRUNCATED: &str = "the record is truncated";

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, at: 0 }
    }

    pub(super) fn bad<T>(&self, what: &'static str) -> Result<T, WireError> {
        Err(WireError::Malformed { at: self.at, what })
    }

    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next bytes; they are passed.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        if count > self.left() {
            return self.bad(TRUNCATED);
        }
        let taken = &self.bytes[self.at..self.at + count];
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    /// Zig-zag varint of up to 64 bits.
    pub(super) fn long(&mut self) -> Result<i64, WireError> {
        let mut value = 0_u64;
        for (n, byte) in self.bytes[self.at..].iter().enumerate().take(10) {
            if n == 9 && *byte > 1 {
                return self.bad("a varint has more than 64 bits");
            }
            value |= u64::from(byte & 0x7f) << (7 * n);
            if byte & 0x80 == 0 {
                self.at += n + 1;
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        self.bad(TRUNCATED)
    }

    /// Zig-zag varint of 32 bits.
    pub(super) fn int(&mut self) -> Result<i64, WireError> {
        let start = self.at;
        let value = self.long()?;
        if i32::try_from(value).is_err() {
            return Err(WireError::Malformed { at: start, what: "an int has more than 32 bits" });
        }
        Ok(value)
    }

    pub(super) fn skip_varint(&mut self) -> Result<(), WireError> {
        match self.bytes[self.at..].iter().take(10).position(|b| b & 0x80 == 0) {
            Some(n) => {
                self.at += n + 1;
                Ok(())
            }
            None => self.bad(TRUNCATED),
        }
    }

    pub(super) fn boolean(&mut self) -> Result<bool, WireError> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => {
                self.at -= 1;
                self.bad("a boolean is neither 0 nor 1")
            }
        }
    }

    pub(super) fn float(&mut self) -> Result<f64, WireError> {
        self.array().map(|b| f64::from(f32::from_le_bytes(b)))
    }

    pub(super) fn double(&mut self) -> Result<f64, WireError> {
        self.array().map(f64::from_le_bytes)
    }

    /// A length prefix and so many bytes.
    pub(super) fn sized(&mut self) -> Result<&'a [u8], WireError> {
        let length = self.long()?;
        match usize::try_from(length) {
            Ok(length) => self.take(length),
            Err(_) => self.bad("a length is negative"),
        }
    }

    pub(super) fn text(&mut self) -> Result<&'a str, WireError> {
        let start = self.at;
        let bytes = self.sized()?;
        std::str::from_utf8(bytes)
            .map_err(|_| WireError::Malformed { at: start, what: "a string is not UTF-8" })
    }

    /// Number of items in the next block of an array or map (0: the end) and, if the writer gave it, its size in
    /// bytes.
    pub(super) fn block(&mut self) -> Result<(usize, Option<usize>), WireError> {
        let count = self.long()?;
        if count >= 0 {
            return Ok((usize::try_from(count).unwrap_or(usize::MAX), None));
        }
        let size = self.long()?;
        let (Some(count), Ok(size)) = (count.checked_neg(), usize::try_from(size)) else {
            return self.bad("the size of a block is impossible");
        };
        Ok((usize::try_from(count).unwrap_or(usize::MAX), Some(size)))
    }
}
