//! House rules that the compiler cannot check: layering, purity, sizes, what may not be in the repository at all.
//!
//! Each test reads the source text and names every breach at once, as `file:line: what is wrong`. Nothing but the standard library is
//! used, so that this binary links fast.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders and files of the product that decide, and never wait, read, write, or ask what time it is.
const PURE: &[&str] = &[
    "src/rules",
    "src/alarms",
    "src/core",
    "src/replay",
    "src/reports",
    "src/tasks/analysis",
    "src/tasks/notebook",
    "src/tasks/run.rs",
    "src/tasks/runs.rs",
    "salobj-interfaces/idl/src/model.rs",
];

/// What pure code may not name.
const IMPURE: &[&str] = &[
    "tokio::",
    "rdkafka::",
    "reqwest::",
    "influxdb2::",
    "std::fs",
    "std::net",
    "std::thread",
    "std::process",
    "std::env",
    "std::io::stdin",
    "Instant::now",
    "SystemTime",
    "salobj::Clock",
    "tai::Clock",
    "rand::",
    "async fn",
];

/// `(folder, modules of the product that it may use)`: data flows one way, as `src/README.md` draws it.
const MAY_USE: &[(&str, &[&str])] = &[
    ("alarms", &["alarms"]),
    ("journal", &["journal"]),
    ("rules", &["rules", "alarms", "tasks"]),
    ("intake", &["intake", "rules", "tasks"]),
    ("outputs", &["outputs", "alarms", "tasks", "journal"]),
    ("reports", &["reports", "tasks", "alarms"]),
    ("tasks", &["tasks", "rules", "alarms", "journal", "outputs"]),
    ("core", &["core", "rules", "alarms", "tasks", "journal", "reports", "config"]),
    // It stands in the place of the intake and of the driver: it reads records and answers steps.
    ("replay", &["replay", "core", "rules", "alarms", "tasks", "intake"]),
    ("sim", &["sim", "outputs", "tasks"]),
    ("telemetry", &["telemetry"]),
];

/// Who may name the simulators: the command line, and the wiring for SAL simulation mode.
const MAY_USE_SIM: &[&str] = &["sim", "cli", "app"];

/// Where tasks and threads may be started, and why. (Blocking work that is awaited at once, by `spawn_blocking`, starts nothing.)
const MAY_SPAWN: &[(&str, &str)] = &[
    ("src/app", "the list of supervised parts"),
    ("src/cli", "a command owns its program: demo and run start the parts"),
    ("src/sim", "a simulated peer is a program of its own, played in process"),
    ("src/outputs/efd", "disk and parsing off the runtime, awaited on the spot"),
    ("src/csc", "tasks of the CSC that its driver ends"),
    ("src/tasks/steps/command", "a local program, followed to its end by the step, over a restart, too"),
    ("src/main.rs", "starts the runtime"),
];

/// Where the wall clock is read.
const WALL_CLOCK: &str = "salobj-interfaces/salobj/src/tai";

/// Lines that a source file may have. Longer ones say why in their module documentation: a line that starts with `//! Long because`.
const MAX_LINES: usize = 500;

#[test]
fn pure_code_does_no_io_and_does_not_ask_the_time() {
    let mut breaches = Breaches::default();
    for file in sources(&PURE.iter().map(|p| root().join(p)).collect::<Vec<_>>()) {
        for (number, line) in file.product_lines() {
            for word in IMPURE.iter().filter(|word| line.contains(**word)) {
                breaches.add(&file, number, &format!("pure code uses `{word}`"));
            }
        }
    }
    breaches.none("time is an argument in pure code and nothing there reads, writes or waits (src/README.md, invariant 1)");
}

#[test]
fn modules_use_only_what_lies_upstream() {
    let mut breaches = Breaches::default();
    for file in sources(&[root().join("src")]) {
        let Some(own) = file.module() else { continue };
        let allowed = MAY_USE.iter().find(|(module, _)| *module == own).map(|(_, allowed)| *allowed);
        for (number, used) in file.used_modules() {
            // Everybody may count and log.
            if used != "telemetry" && allowed.is_some_and(|allowed| !allowed.contains(&used.as_str())) {
                breaches.add(&file, number, &format!("`{own}` uses `crate::{used}`"));
            }
            if used == "sim" && !MAY_USE_SIM.contains(&own.as_str()) {
                breaches.add(&file, number, &format!("`{own}` uses the simulators"));
            }
        }
    }
    breaches.none("see MAY_USE in this file for what each folder may use");
}

#[test]
fn only_supervised_places_start_tasks() {
    let mut breaches = Breaches::default();
    for file in sources(&[root().join("src")]) {
        if MAY_SPAWN.iter().any(|(place, _)| file.name.starts_with(place)) {
            continue;
        }
        for (number, line) in file.product_lines() {
            for word in ["tokio::spawn", "task::spawn(", "thread::spawn", ".spawn("] {
                if line.contains(word) {
                    breaches.add(&file, number, &format!("`{word}`"));
                }
            }
        }
    }
    breaches.none("a part that is not in app's list could die unseen; MAY_SPAWN in this file says where tasks may start");
}

#[test]
fn the_wall_clock_is_read_in_one_place() {
    let mut breaches = Breaches::default();
    for file in sources(&[root().join("src"), root().join("salobj-interfaces")]) {
        if file.name.starts_with(WALL_CLOCK) {
            continue;
        }
        for (number, line) in file.product_lines() {
            for word in ["SystemTime::now", "Utc::now", "Local::now", "Timestamp::now", "Zoned::now"] {
                if line.contains(word) {
                    breaches.add(&file, number, &format!("`{word}`"));
                }
            }
        }
    }
    breaches.none("take a `Clock` or a `Tai` as an argument");
}

#[test]
fn source_files_are_short_and_say_what_they_are_for() {
    let mut breaches = Breaches::default();
    for file in rust_files() {
        let count = file.text.lines().count();
        let excused = file.text.lines().any(|line| line.starts_with("//! Long because"));
        if count > MAX_LINES && !excused {
            breaches.add(
                &file,
                count,
                &format!("{count} lines, {MAX_LINES} are allowed without `//! Long because ...`"),
            );
        }
        // What `tests.rs` tests is said by the module beside it.
        let has_head = file.text.starts_with("//!") || file.name.ends_with("/tests.rs");
        if !has_head {
            breaches.add(&file, 1, "does not begin with `//!`, saying what the file is for");
        }
    }
    breaches.none("short files with a head can be read in any order");
}

#[test]
fn nothing_is_left_half_done() {
    // Put together here so that this file does not find itself.
    let words = [
        ["todo", "!("],
        ["unimplemented", "!("],
        ["dbg", "!("],
        ["#[allow", "("],
        ["#![allow", "("],
        ["#[ignor", "e]"],
        ["FIX", "ME"],
        ["XX", "X:"],
    ]
    .map(|parts| parts.concat());
    let mut breaches = Breaches::default();
    for file in rust_files() {
        for (number, line) in file.numbered() {
            for word in words.iter().filter(|word| line.contains(word.as_str())) {
                breaches.add(&file, number, &format!("`{word}`"));
            }
        }
    }
    breaches.none("what is not built is refused by name; a lint is expected with a reason, not allowed");
}

#[test]
fn nothing_names_this_machine_or_a_package_host() {
    let words = [
        ["/wo", "rk/"],
        ["/ro", "ot/"],
        ["/ho", "me/"],
        ["repo1.mav", "en.org"],
        ["repo.mav", "en.apache.org"],
        ["proxy.gol", "ang.org"],
        ["files.pyth", "onhosted.org"],
        ["static.crates", ".io"],
        ["index.crates", ".io"],
        ["deb.deb", "ian.org"],
        ["registry.npm", "js.org"],
    ]
    .map(|parts| parts.concat());
    let mut breaches = Breaches::default();
    for file in text_files() {
        // The build inside an image has folders of its own.
        if file.name == "Dockerfile" {
            continue;
        }
        for (number, line) in file.numbered() {
            for word in words.iter().filter(|word| line.contains(word.as_str())) {
                breaches.add(&file, number, &format!("`{word}`"));
            }
        }
    }
    breaches.none("the repository works on any machine and behind any mirror");
}

#[test]
fn the_top_level_is_as_designed() {
    let expected = [
        "Cargo.lock",
        "Cargo.toml",
        "Dockerfile",
        "LICENSE",
        "README.md",
        "config_schema",
        "salobj-interfaces",
        "scripts",
        "src",
        "target",
        "tests",
    ];
    // What git does not know (yet) is nobody's business; without git, what lies there.
    let listed = std::process::Command::new("git").arg("ls-files").current_dir(root()).output();
    let names: BTreeSet<String> = match listed {
        Ok(output) if output.status.success() && !output.stdout.is_empty() => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.lines().filter_map(|path| path.split('/').next()).map(str::to_owned).collect()
        }
        _ => {
            let entries = fs::read_dir(root()).expect("the repository can be listed");
            entries.filter_map(Result::ok).map(|e| e.file_name().to_string_lossy().into_owned()).collect()
        }
    };
    let mut breaches = String::new();
    for name in names {
        if !name.starts_with('.') && !expected.contains(&name.as_str()) {
            writeln!(breaches, "{name}: not one of the fixed top-level names").expect("a string grows");
        }
    }
    assert!(breaches.is_empty(), "\n{breaches}");
}

#[test]
fn the_checks_see_what_they_are_for() {
    let file = Source {
        name: "src/rules/x.rs".into(),
        text: "//! x\nuse crate::{alarms::{Severity, Alarm}, sim::ocps};\nuse crate::csc::Commands; // crate::web\n// crate::app\n\
               #[cfg(test)]\nmod tests {\n    use crate::app;\n}\n"
            .into(),
    };
    let used: Vec<_> = file.used_modules();
    assert_eq!(used, [(2, "alarms".into()), (2, "sim".into()), (3, "csc".into())]);
    assert_eq!(file.module().as_deref(), Some("rules"));
    assert!(rust_files().len() > 20, "the walk finds the sources");
    assert!(text_files().len() > rust_files().len(), "and the other texts");
}

// ---- reading the repository ----------------------------------------------------------------------------------------

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Breaches found, one a line.
#[derive(Default)]
struct Breaches(String);

impl Breaches {
    fn add(&mut self, file: &Source, line: usize, what: &str) {
        writeln!(self.0, "{}:{line}: {what}", file.name).expect("a string grows");
    }

    fn none(&self, advice: &str) {
        assert!(self.0.is_empty(), "\n{}{advice}", self.0);
    }
}

/// One text file of the repository, by its path from the root.
struct Source {
    name: String,
    text: String,
}

impl Source {
    fn numbered(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The lines that run in the product: no tests, no comments.
    fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let only_tests = self.name.ends_with("/tests.rs") || self.name.contains("/tests/");
        self.numbered()
            .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
            .filter(move |_| !only_tests)
            .map(|(number, line)| (number, line.split("//").next().unwrap_or_default()))
    }

    /// The first folder or file below `src/`.
    fn module(&self) -> Option<String> {
        let inside = self.name.strip_prefix("src/")?;
        Some(inside.split(['/', '.']).next().unwrap_or_default().to_owned())
    }

    /// Every module of the product that is named by `crate::`, with its line, groups in braces opened.
    fn used_modules(&self) -> Vec<(usize, String)> {
        let mut found = Vec::new();
        for (number, line) in self.product_lines() {
            for after in line.split("crate::").skip(1) {
                match after.strip_prefix('{') {
                    None => found.push((number, identifier(after))),
                    Some(group) => found.extend(outer_names(group).into_iter().map(|name| (number, name))),
                }
            }
        }
        // A macro or a type at the root of the crate is no module.
        found.retain(|(_, name)| name.starts_with(|c: char| c.is_ascii_lowercase()));
        found
    }
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first identifiers of a brace group's members: `a::{b, c}, d}` gives `a` and `d`.
fn outer_names(group: &str) -> Vec<String> {
    let (mut depth, mut member, mut names) = (0, String::new(), Vec::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(identifier(std::mem::take(&mut member).trim())),
            _ if depth == 0 => member.push(c),
            _ => {}
        }
    }
    names.push(identifier(member.trim()));
    names
}

fn rust_files() -> Vec<Source> {
    sources(&["src", "salobj-interfaces", "tests"].map(|folder| root().join(folder)))
}

/// All Rust sources below these places (a place that is not there yet has none).
fn sources(places: &[PathBuf]) -> Vec<Source> {
    let mut files = Vec::new();
    for place in places {
        walk(place, &mut |path| {
            if path.extension().is_some_and(|e| e == "rs") {
                files.extend(read(path));
            }
        });
    }
    files
}

/// All texts of the repository, those in folders with a dot too; not what was built, and not the lock file.
fn text_files() -> Vec<Source> {
    let mut files = Vec::new();
    walk(root(), &mut |path| {
        if path.file_name().is_some_and(|n| n != "Cargo.lock") {
            files.extend(read(path));
        }
    });
    files
}

fn read(path: &Path) -> Option<Source> {
    let text = String::from_utf8(fs::read(path).ok()?).ok()?;
    let name = path.strip_prefix(root()).ok()?.to_string_lossy().replace('\\', "/");
    Some(Source { name, text })
}

fn walk(place: &Path, visit: &mut dyn FnMut(&Path)) {
    if place.is_file() {
        return visit(place);
    }
    let Ok(entries) = fs::read_dir(place) else { return };
    let mut entries: Vec<_> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_symlink() || ["target", ".git", ".cache", "__pycache__"].contains(&name.as_ref()) {
            continue;
        }
        walk(&path, visit);
    }
}
