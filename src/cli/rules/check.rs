//! `catcher rules check`: every mistake of every file at once; names that the site's Watcher has, too.

use std::io::Write;
use std::path::PathBuf;

use serde_json::json;

use super::files::{Files, read};
use super::{colour, show};
use crate::rules::{taken, watcher_alarms};

/// Arguments of `catcher rules check`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    files: Files,
    /// Refuse names of alarms that a Watcher has already; its configuration files, a later one over an earlier one:
    /// --watcher _init.yaml --watcher _summit.yaml
    #[arg(long, value_name = "FILE")]
    watcher: Vec<PathBuf>,
}

/// True if all is right.
pub(super) fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<bool> {
    let (mut checked, _) = args.files.open()?;
    if !args.watcher.is_empty() {
        let watcher = watcher_alarms(&read(&args.watcher)?, &args.files.interfaces.library()?);
        let found = checked.files.iter().flat_map(|file| taken(&file.source, &file.rules, &watcher.alarms));
        checked.mistakes.extend(found.chain(watcher.mistakes).collect::<Vec<_>>());
    }
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
