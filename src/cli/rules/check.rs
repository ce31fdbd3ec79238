//! `catcher rules check`: every mistake of every file at once.

use std::io::Write;

use serde_json::json;

use super::files::{Files, compiled, read};
use super::{colour, show};
use crate::cli::schemas::Instead;

/// Arguments of `catcher rules check`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    instead: Instead,
}

/// True if all is right.
pub(super) fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<bool> {
    let sources = read(&args.files.files)?;
    let texts: Vec<&str> = sources.iter().map(|s| s.text.as_str()).collect();
    let schemas = args.instead.source(&texts, args.files.xml.library()?)?;
    let checked = compiled(sources, schemas.as_ref());
    let good = checked.mistakes.is_empty();
    if args.files.json {
        let files: Vec<_> = checked.files.iter().map(show::file_json).collect();
        let mistakes: Vec<_> = checked.mistakes.iter().map(show::mistake_json).collect();
        writeln!(out, "{:#}", json!({"good": good, "files": files, "mistakes": mistakes}))?;
    } else {
        show::mistakes(&checked.mistakes, colour(), out)?;
        show::files(checked.files.as_slice(), &checked.mistakes, colour(), out)?;
    }
    Ok(good)
}
