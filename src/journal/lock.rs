//! A folder that one process may use at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The file `lock` in a folder, locked until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub struct FolderLock(File);

/// Why a folder cannot be locked.
#[derive(Debug)]
pub enum LockError {
    /// Another process has it.
    Held {
        /// What the owner wrote into the lock file.
        owner: String,
    },
    /// The file system refused.
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
}

impl FolderLock {
    /// Locks the folder, and writes into the lock file who has it.
    ///
    /// # Errors
    /// If another process has it, or the file system refuses.
    pub fn take(dir: &Path) -> Result<FolderLock, LockError> {
        let path = dir.join("lock");
        let failed = |what| {
            let path = path.clone();
            move |source| LockError::Io { what, path, source }
        };
        let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let mut file = open.map_err(failed("open the lock"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let owner = fs::read_to_string(&path).unwrap_or_default().trim().to_owned();
                return Err(LockError::Held { owner });
            }
            Err(TryLockError::Error(source)) => return Err(failed("take the lock")(source)),
        }
        let mut tell = || {
            file.set_len(0)?;
            writeln!(file, "process {}", std::process::id())
        };
        tell().map_err(failed("write the lock"))?;
        Ok(FolderLock(file))
    }
}

impl Drop for FolderLock {
    /// Said, not left to the closing of the file: a child process that another thread is just starting still has a copy of
    /// the file, and with it the lock, until it executes its program.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "a folder could not be unlocked; it is free when this process ends");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A copy of the file, as a child process has between its start and its program, does not keep the lock.
    #[test]
    fn a_copy_of_the_file_does_not_keep_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let lock = FolderLock::take(dir.path()).unwrap();
        let copy = lock.0.try_clone().unwrap();
        assert!(matches!(FolderLock::take(dir.path()), Err(LockError::Held { .. })));
        drop(lock);
        FolderLock::take(dir.path()).unwrap();
        drop(copy);
    }
}
