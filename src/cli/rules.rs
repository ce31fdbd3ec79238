//! `catcher rules`: check rule files, and run the tests that they hold. Nothing is sent to anybody.

mod junit;
mod show;

use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use salobj::Clock;
use serde_json::json;

use super::topics::XmlDir;
use crate::core::selftest::{TestFile, TestOutcome, run_tests};
use crate::rules::{Diagnostic, SourceFile, compile};

/// Wrong usage, as clap has it.
const USAGE: u8 = 2;

/// Subcommands of `catcher rules`.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Are these rule files right? Tells every mistake at once, with its place.
    #[command(after_help = "Exit code: 0 all is right, 1 mistakes were found, 2 a file cannot be read.

Examples:
  catcher rules check my_rules.yaml
  catcher rules check --json config_schema/examples
  catcher rules check --xml-dir ~/ts_xml/python/lsst/ts/xml/data rules/*.yaml")]
    Check {
        #[command(flatten)]
        files: Files,
    },
    /// Run the tests that these rule files hold, in virtual time.
    #[command(
        after_help = "Exit code: 0 all tests passed, 1 one failed or a file has mistakes, 2 a file cannot be read.

Examples:
  catcher rules test my_rules.yaml
  catcher rules test config_schema/examples --junit results.xml
  catcher rules test --json my_rules.yaml"
    )]
    Test {
        #[command(flatten)]
        files: Files,
        /// Also write the results to this file, as JUnit XML.
        #[arg(long, value_name = "FILE")]
        junit: Option<PathBuf>,
    },
}

/// What both subcommands take.
#[derive(Debug, clap::Args)]
pub(super) struct Files {
    /// Rule files, or folders with such (every *.yaml and *.yml in them).
    #[arg(required = true, value_name = "FILES")]
    files: Vec<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    xml: XmlDir,
}

/// The files, read and compiled.
struct Checked {
    files: Vec<TestFile>,
    mistakes: Vec<Diagnostic>,
}

pub(super) fn run(command: Command) -> anyhow::Result<ExitCode> {
    let (files, junit) = match &command {
        Command::Check { files } => (files, None),
        Command::Test { files, junit } => (files, junit.as_deref()),
    };
    let sources = match read(&files.files) {
        Ok(sources) => sources,
        Err(unreadable) => {
            super::complain(&unreadable);
            return Ok(ExitCode::from(USAGE));
        }
    };
    let library = files.xml.library()?;
    let mut checked = Checked { files: Vec::new(), mistakes: Vec::new() };
    for source in sources {
        match compile(&source, &library) {
            Ok(rules) => checked.files.push(TestFile { source, rules }),
            Err(mistakes) => {
                checked.mistakes.extend(mistakes);
                checked.files.push(TestFile { source, rules: Vec::new() });
            }
        }
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    let good = match command {
        Command::Check { .. } => tell(&checked, files.json, &mut out)?,
        Command::Test { .. } => {
            let clock = Clock::System;
            let begun = clock.now();
            let outcomes = run_tests(&checked.files, &library);
            let elapsed_s = clock.now() - begun;
            if let Some(path) = junit {
                std::fs::write(path, junit::xml(&outcomes, &checked.mistakes, elapsed_s))
                    .map_err(|e| anyhow::anyhow!("cannot write {}: {e}", path.display()))?;
            }
            tell_tests(&checked, &outcomes, elapsed_s, files.json, &mut out)?
        }
    };
    out.flush()?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All files; those of folders in the order of their names.
fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<SourceFile>> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            folder(path, &mut found)?;
        } else {
            found.push(path.clone());
        }
    }
    if found.is_empty() {
        anyhow::bail!("there is no *.yaml file in {}", paths[0].display());
    }
    let one = |path: PathBuf| {
        let text = std::fs::read_to_string(&path)
            .map_err(|e| anyhow::anyhow!("cannot read {}: {e}", path.display()))?;
        Ok(SourceFile { name: path.display().to_string(), text })
    };
    found.into_iter().map(one).collect()
}

fn folder(path: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let cannot = |e: std::io::Error| anyhow::anyhow!("cannot read {}: {e}", path.display());
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

/// Colour on a terminal, unless the user does not want it.
fn colour() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

fn tell(checked: &Checked, as_json: bool, out: &mut impl Write) -> anyhow::Result<bool> {
    let good = checked.mistakes.is_empty();
    if as_json {
        let files: Vec<_> = checked.files.iter().map(show::file_json).collect();
        let mistakes: Vec<_> = checked.mistakes.iter().map(show::mistake_json).collect();
        writeln!(out, "{:#}", json!({"good": good, "files": files, "mistakes": mistakes}))?;
    } else {
        show::mistakes(&checked.mistakes, colour(), out)?;
        show::files(checked.files.as_slice(), &checked.mistakes, colour(), out)?;
    }
    Ok(good)
}

fn tell_tests(
    checked: &Checked,
    outcomes: &[TestOutcome],
    elapsed_s: f64,
    as_json: bool,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let failed = outcomes.iter().filter(|o| !o.passed).count();
    let untested: Vec<&str> = checked
        .files
        .iter()
        .flat_map(|f| &f.rules)
        .filter(|r| r.tests.is_empty())
        .map(|r| r.name.as_str())
        .collect();
    let good = failed == 0 && checked.mistakes.is_empty();
    if as_json {
        let mistakes: Vec<_> = checked.mistakes.iter().map(show::mistake_json).collect();
        let whole = json!({
            "good": good,
            "passed": outcomes.len() - failed,
            "failed": failed,
            "elapsed_s": elapsed_s,
            "rules_without_tests": untested,
            "mistakes": mistakes,
            "tests": outcomes,
        });
        writeln!(out, "{whole:#}")?;
        return Ok(good);
    }
    show::mistakes(&checked.mistakes, colour(), out)?;
    show::tests(outcomes, colour(), out)?;
    if !untested.is_empty() {
        writeln!(out, "without tests: {}", untested.join(", "))?;
    }
    let passed = outcomes.len() - failed;
    let mistakes = match checked.mistakes.len() {
        0 => String::new(),
        n => format!(", {n} mistakes in the files"),
    };
    writeln!(out, "{passed} passed, {failed} failed{mistakes} ({elapsed_s:.2} s)")?;
    Ok(good)
}
