//! Rule files named on the command line: read and compiled.

use std::path::{Path, PathBuf};

use crate::cli::schemas::Interfaces;
use crate::core::selftest::TestFile;
use crate::rules::{Diagnostic, SchemaSource, SourceFile, compile_files};

/// Rule files, and how their results are printed.
#[derive(Debug, clap::Args)]
pub(super) struct Files {
    /// Rule files, or folders with such (every *.yaml and *.yml in them).
    #[arg(required = true, value_name = "FILES")]
    pub(super) files: Vec<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) interfaces: Interfaces,
}

/// The files, read and compiled.
pub(in crate::cli) struct Checked {
    pub(in crate::cli) files: Vec<TestFile>,
    pub(in crate::cli) mistakes: Vec<Diagnostic>,
}

impl Files {
    /// The files, compiled with the interfaces that the arguments name; a file that cannot be read is an [`Unreadable`].
    pub(super) fn open(&self) -> anyhow::Result<(Checked, Box<dyn SchemaSource>)> {
        let sources = read(&self.files)?;
        let schemas = self.interfaces.source(&sources)?;
        Ok((compiled(sources, schemas.as_ref()), schemas))
    }
}

/// A file or folder that cannot be read: wrong usage, not a wrong file.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(in crate::cli) struct Unreadable(String);

/// Compiles all files; a file with mistakes has no rules.
pub(in crate::cli) fn compiled(sources: Vec<SourceFile>, schemas: &dyn SchemaSource) -> Checked {
    let compiled = compile_files(&sources, schemas);
    let files = sources.into_iter().zip(compiled.rules).map(|(source, rules)| TestFile { source, rules });
    Checked { files: files.collect(), mistakes: compiled.mistakes }
}

/// All files; those of folders in the order of their names.
pub(in crate::cli) fn read(paths: &[PathBuf]) -> Result<Vec<SourceFile>, Unreadable> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            folder(path, &mut found)?;
        } else {
            found.push(path.clone());
        }
    }
    if let (true, Some(path)) = (found.is_empty(), paths.first()) {
        return Err(Unreadable(format!("there is no *.yaml file in {}", path.display())));
    }
    let one = |path: PathBuf| {
        let text = std::fs::read_to_string(&path)
            .map_err(|e| Unreadable(format!("cannot read {}: {e}", path.display())))?;
        Ok(SourceFile { name: path.display().to_string(), text })
    };
    found.into_iter().map(one).collect()
}

fn folder(path: &Path, found: &mut Vec<PathBuf>) -> Result<(), Unreadable> {
    let cannot = |e: std::io::Error| Unreadable(format!("cannot read {}: {e}", path.display()));
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path)
        .map_err(cannot)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()
        .map_err(cannot)?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            folder(&entry, found)?;
        } else if entry.extension().is_some_and(|e| e == "yaml" || e == "yml") {
            found.push(entry);
        }
    }
    Ok(())
}
