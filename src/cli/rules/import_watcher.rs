//! `catcher rules import-watcher`: a configuration of the Watcher becomes a rule file.

use std::io::Write;
use std::path::PathBuf;

use super::files::{compiled, read};
use super::{colour, show};
use crate::cli::topics::XmlDir;
use crate::rules::{SourceFile, import_watcher};

/// Arguments of `catcher rules import-watcher`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Configuration files of the Watcher, a later one over an earlier one: _init.yaml _summit.yaml
    #[arg(required = true, value_name = "FILES")]
    files: Vec<PathBuf>,
    /// Write the rules to this file, and a summary to the terminal; without it the rules go to the terminal.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    xml: XmlDir,
}

/// True if the configuration is right, and what came of it compiles.
pub(super) fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<bool> {
    let sources = read(&args.files)?;
    let library = args.xml.library()?;
    let imported = match import_watcher(&sources, &library) {
        Ok(imported) => imported,
        Err(mistakes) => {
            show::mistakes(&mistakes, colour(), out)?;
            return Ok(false);
        }
    };
    let name = args.output.as_ref().map_or_else(|| "rules.yaml".to_owned(), |p| p.display().to_string());
    let checked = compiled(vec![SourceFile { name: name.clone(), text: imported.text.clone() }], &library);
    if !checked.mistakes.is_empty() {
        show::mistakes(&checked.mistakes, colour(), out)?;
        return Ok(false);
    }
    let Some(path) = &args.output else {
        out.write_all(imported.text.as_bytes())?;
        return Ok(true);
    };
    std::fs::write(path, &imported.text)
        .map_err(|e| anyhow::anyhow!("cannot write {}: {e}", path.display()))?;
    let lines = imported.text.lines().count();
    writeln!(out, "{} alarms in {lines} lines: {name}", imported.alarms.len())?;
    if !imported.disabled.is_empty() {
        writeln!(out, "left out, because a component is disabled: {}", imported.disabled.join(", "))?;
    }
    Ok(true)
}
