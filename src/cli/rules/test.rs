//! `catcher rules test`: the tests that rule files hold, in virtual time, on all cores.

use std::io::Write;
use std::path::PathBuf;

use salobj::Clock;
use serde_json::json;

use super::files::{Checked, Files};
use super::{colour, junit, show};
use crate::core::selftest::{TestOutcome, run_tests};

/// Arguments of `catcher rules test`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    files: Files,
    /// Also write the results to this file, as JUnit XML.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// True if every test passed.
pub(super) fn run(args: &Args, out: &mut impl Write) -> anyhow::Result<bool> {
    let (checked, schemas) = args.files.open()?;
    let clock = Clock::System;
    let begun = clock.now();
    let outcomes = run_tests(&checked.files, schemas.as_ref());
    let elapsed_s = clock.now() - begun;
    if let Some(path) = &args.junit {
        std::fs::write(path, junit::xml(&outcomes, &checked.mistakes, elapsed_s))
            .map_err(|e| anyhow::anyhow!("cannot write {}: {e}", path.display()))?;
    }
    tell(&checked, &outcomes, elapsed_s, args.files.json, out)
}

fn tell(
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
