//! Size and MD5 of a file.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use md5::{Digest as _, Md5};

/// Bytes of a file, and its MD5 in hexadecimal digits. Blocks on the disk.
pub(super) fn of_file(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let (mut md5, mut bytes) = (Md5::new(), 0);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok((bytes, hex(&md5.finalize())));
        }
        md5.update(&buffer[..n]);
        bytes += n as u64;
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_size_and_sum() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        std::fs::write(&file, "hello").unwrap();
        assert_eq!(of_file(&file).unwrap(), (5, "5d41402abc4b2a76b9719d911017c592".to_owned()));
        assert!(of_file(&dir.path().join("b")).is_err());
    }
}
