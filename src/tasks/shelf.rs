//! Where files of a step are kept for good: what a program left behind, results that are too large for an event.

use std::path::Path;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::call::StepId;

/// A file that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepFile {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// Its size.
    pub bytes: u64,
}

/// What is to be kept.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// A copy of this file.
    File(&'a Path),
}

/// A file could not be kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("file {name} could not be kept: {reason}")]
pub struct NotKept {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// A place for files.
#[async_trait]
pub trait Shelf: Send + Sync {
    /// Keeps a file of a step under `name`, for good. If the step has one of that name already (it was kept before a crash), that
    /// one stays.
    ///
    /// # Errors
    /// There is no place for it now.
    async fn keep(&self, step: &StepId, name: &str, content: Content<'_>) -> Result<StepFile, NotKept>;
}

/// A name of which neither a file system nor an address takes offence: at most 100 characters, letters, digits and `._-`.
pub fn plain_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let name: String = name.trim_start_matches('.').chars().map(plain).take(100).collect();
    if name.is_empty() { "file".to_owned() } else { name }
}
