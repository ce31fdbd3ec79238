//! `catcher rules fmt`: rule files in their canonical form.

use std::io::Write;
use std::path::PathBuf;

use serde_json::json;

use super::files::read;
use super::{colour, show};
use crate::rules::format;

/// Arguments of `catcher rules fmt`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Rule files, or folders with such (every *.yaml and *.yml in them).
    #[arg(required = true, value_name = "FILES")]
    files: Vec<PathBuf>,
    /// Change nothing; fail if a file is not canonical.
    #[arg(long)]
    check: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// True if all is (or, with --check, was) canonical.
pub(super) fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<bool> {
    let mut changed = Vec::new();
    let mut mistakes = Vec::new();
    let sources = read(&args.files)?;
    let count = sources.len();
    for source in sources {
        match format(&source) {
            Ok(text) if text == source.text => {}
            Ok(text) => {
                if !args.check {
                    std::fs::write(&source.name, text)
                        .map_err(|e| anyhow::anyhow!("cannot write {}: {e}", source.name))?;
                }
                changed.push(source.name);
            }
            Err(mistake) => mistakes.push(*mistake),
        }
    }
    let good = mistakes.is_empty() && (changed.is_empty() || !args.check);
    if args.json {
        let mistakes: Vec<_> = mistakes.iter().map(show::mistake_json).collect();
        writeln!(
            out,
            "{:#}",
            json!({"good": good, "files": count, "changed": changed, "mistakes": mistakes})
        )?;
        return Ok(good);
    }
    show::mistakes(&mistakes, colour(), out)?;
    let verb = if args.check { "is not canonical" } else { "formatted" };
    for name in &changed {
        writeln!(out, "{name}: {verb}")?;
    }
    writeln!(
        out,
        "{count} files, {} {}",
        changed.len(),
        if args.check { "not canonical" } else { "changed" }
    )?;
    Ok(good)
}
