//! What `catcher rules` prints.

use std::io::{self, Write};

use comfy_table::{Cell, Color, Table, presets};
use owo_colors::{OwoColorize, Style};
use serde_json::{Value as Json, json};

use crate::core::selftest::{TestFile, TestOutcome};
use crate::rules::Diagnostic;

/// Every mistake with its line and a caret.
pub(in crate::cli) fn mistakes(
    mistakes: &[Diagnostic],
    colour: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    for mistake in mistakes {
        writeln!(out, "{}", mistake.render(colour))?;
    }
    Ok(())
}

/// A line for each file.
pub(super) fn files(
    files: &[TestFile],
    mistakes: &[Diagnostic],
    colour: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    for file in files {
        let name = &file.source.name;
        let wrong = mistakes.iter().filter(|m| m.file == *name).count();
        if wrong > 0 {
            writeln!(
                out,
                "{} {name}: {}",
                word("wrong", Style::new().red(), colour),
                count(wrong, "mistake")
            )?;
            continue;
        }
        let rules: Vec<&str> = file.rules.iter().map(|r| r.name.as_str()).collect();
        let tests = file.rules.iter().map(|r| r.tests.len()).sum();
        let good = word("right", Style::new().green(), colour);
        let (number, tests) = (count(rules.len(), "rule"), count(tests, "test"));
        writeln!(out, "{good} {name}: {number} ({}), {tests}", rules.join(", "))?;
    }
    Ok(())
}

/// A table of all tests, then every failure with its place.
pub(super) fn tests(outcomes: &[TestOutcome], colour: bool, out: &mut impl Write) -> io::Result<()> {
    if outcomes.is_empty() {
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if colour {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table.set_header(["", "rule", "test", "checks", "virtual time"]);
    for outcome in outcomes {
        let result = match outcome.passed {
            true => Cell::new("passed").fg(Color::Green),
            false => Cell::new("FAILED").fg(Color::Red),
        };
        let time = crate::core::selftest::moment(outcome.virtual_s);
        table.add_row(vec![
            result,
            Cell::new(&outcome.rule),
            Cell::new(&outcome.test),
            Cell::new(outcome.checks),
            Cell::new(time),
        ]);
    }
    writeln!(out, "{table}")?;
    for outcome in outcomes.iter().filter(|o| !o.passed) {
        writeln!(out, "\n{}: {}", outcome.rule, outcome.test)?;
        for failure in &outcome.failures {
            writeln!(out, "{}", failure.diagnostic.render(colour))?;
        }
    }
    Ok(())
}

/// A mistake as data.
pub(super) fn mistake_json(mistake: &Diagnostic) -> Json {
    json!({
        "file": mistake.file,
        "line": mistake.line,
        "column": mistake.column,
        "rule": mistake.rule,
        "message": mistake.message,
        "help": mistake.help,
    })
}

/// A file as data.
pub(super) fn file_json(file: &TestFile) -> Json {
    let rules: Vec<Json> = file
        .rules
        .iter()
        .map(|r| json!({"name": r.name, "revision": r.revision, "tests": r.tests.len()}))
        .collect();
    json!({"file": file.source.name, "rules": rules})
}

fn word(text: &str, style: Style, colour: bool) -> String {
    if colour { text.style(style).to_string() } else { text.to_owned() }
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
