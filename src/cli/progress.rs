//! A line on the terminal that says how far a long command has come; nothing where nobody looks.

use std::io::{IsTerminal, Write};

use salobj::{Clock, Tai};

/// Between two looks at the clock so many steps are made.
const STEPS: u64 = 4096;

/// Seconds between two drawings.
const DRAW_S: f64 = 0.1;

/// See the module's documentation.
pub(super) struct Progress {
    shown: bool,
    what: String,
    total: u64,
    steps: u64,
    drawn: Tai,
    width: usize,
}

impl Progress {
    /// For `total` units of work; silent if `quiet`, or if nobody looks.
    pub(super) fn new(what: &str, total: u64, quiet: bool) -> Progress {
        let shown = !quiet && std::io::stderr().is_terminal();
        Progress { shown, what: what.to_owned(), total, steps: 0, drawn: Tai::default(), width: 0 }
    }

    /// One step more; `done` units are done by now, and the text says where that is.
    pub(super) fn step(&mut self, done: u64, text: impl FnOnce() -> String) {
        self.steps += 1;
        if self.shown && self.steps % STEPS == 1 {
            self.draw(done, text);
        }
    }

    /// `done` units are done by now: for steps that are few and long.
    pub(super) fn at(&mut self, done: u64, text: impl FnOnce() -> String) {
        if self.shown {
            self.draw(done, text);
        }
    }

    /// It turned out that there are so many units.
    pub(super) fn of(&mut self, total: u64) {
        self.total = total;
    }

    /// Takes the line away, so that something else can be printed.
    pub(super) fn clear(&mut self) {
        if self.width > 0 {
            self.put("");
            drop(write!(std::io::stderr().lock(), "\r"));
            self.width = 0;
        }
    }

    fn draw(&mut self, done: u64, text: impl FnOnce() -> String) {
        let now = Clock::System.now();
        if now - self.drawn < DRAW_S {
            return;
        }
        self.drawn = now;
        let part = if self.total > 0 { (done as f64 / self.total as f64).min(1.0) } else { 0.0 };
        let full = (part * 30.0) as usize;
        let bar = format!("{}{}", "#".repeat(full), "-".repeat(30 - full));
        let line = format!("{} [{bar}] {:3.0} % {}", self.what, part * 100.0, text());
        self.put(&line);
    }

    fn put(&mut self, line: &str) {
        let width = line.chars().count();
        let blanks = " ".repeat(self.width.saturating_sub(width));
        let mut err = std::io::stderr().lock();
        // A terminal that has gone is no error of the command.
        drop(write!(err, "\r{line}{blanks}").and_then(|()| err.flush()));
        self.width = width;
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
