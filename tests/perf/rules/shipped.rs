//! The tests of the shipped rule files, as `catcher rules test` runs them, on all cores: time for 500 of them.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use catcher::core::selftest::{TestFile, run_tests};
use catcher::rules::{SourceFile, compile};

use crate::{Aim, Figure, Size, median};

fn rule_files(folder: &Path, out: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    entries.sort();
    for entry in entries {
        if entry.is_dir() {
            rule_files(&entry, out)?;
        } else if entry.extension().is_some_and(|e| e == "yaml") {
            out.push(entry);
        }
    }
    Ok(())
}

pub(crate) fn run(size: Size) -> anyhow::Result<Vec<Figure>> {
    let library = sal_idl::Library::embedded();
    let mut paths = Vec::new();
    rule_files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config_schema/examples"), &mut paths)?;
    let begun = Instant::now();
    let mut files = Vec::new();
    for path in &paths {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let source = SourceFile { name: path.display().to_string(), text };
        // Files that read rules of others are compiled with these by the program; one that stands alone is enough here.
        if let Ok(rules) = compile(&source, &library) {
            files.push(TestFile { source, rules });
        }
    }
    let compiled_s = begun.elapsed().as_secs_f64();
    let tests: usize = files.iter().flat_map(|f| &f.rules).map(|rule| rule.tests.len()).sum();
    ensure!(tests > 100, "only {tests} tests in {} files", files.len());
    if !size.whole {
        files.truncate(2);
    }
    let mut seconds = Vec::new();
    let mut outcomes = 0;
    for _ in 0..size.of(5, 1) {
        let begun = Instant::now();
        let all = run_tests(&files, &library);
        seconds.push(begun.elapsed().as_secs_f64());
        let failed: Vec<&str> = all.iter().filter(|o| !o.passed).map(|o| o.test.as_str()).collect();
        ensure!(failed.is_empty(), "failed: {}", failed.join("; "));
        outcomes = all.len();
    }
    let each = median(seconds) / outcomes as f64;
    let figure = |name, value, unit, aim| Figure { name, value, unit, aim, reference: None };
    Ok(vec![
        figure("500 rule tests", each * 500.0, "s", Some(Aim::AtMost(1.0))),
        figure("  tests that were run", outcomes as f64, "", None),
        figure("  their files compiled", compiled_s, "s", None),
    ])
}
