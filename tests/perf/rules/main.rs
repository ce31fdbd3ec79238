//! What rules cost: evaluations, windows, memory, isolation, keys, tests. `cargo bench --bench rules`.
//!
//! Each figure is printed with its aim, a reference that is measured in the same run, and the ratio to both. An evaluation is
//! one rule judged once, as the engine itself counts; before anything is measured the count is compared with rules times
//! messages. Messages are decoded beforehand; one thread.
//!
//! | section | measures | reference |
//! |---|---|---|
//! | `simple` | comparisons of latched values | the same expressions by the `cel` crate's interpreter |
//! | `window` | ten-minute windows at 1 Hz | each window recomputed from its values, then `cel` |
//! | `memory` | 10 000 rules with ten-minute windows at 1 Hz, a process of its own | stamps and values alone |
//! | `others` | a message with 10 000 rules on other topics | with 10 |
//! | `keys` | 10 rules with 1000 keys each | the same rules without keys |
//! | `tests` | 500 tests of the shipped rule files | |
//!
//! `-- --only SECTION` for one; without `--bench` (as under `cargo test --bench rules`) a few steps of each, to see that the
//! counts are right; `-- --json` for one object a line.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]

mod bed;
mod keys;
mod memory;
mod others;
mod shipped;
mod simple;
mod window;

use clap::{Parser, ValueEnum};

/// What to measure.
#[derive(Parser)]
pub(crate) struct Args {
    /// One section only.
    #[arg(long, value_enum)]
    only: Option<Section>,
    /// JSON, one object a line.
    #[arg(long)]
    json: bool,
    /// What cargo bench adds; without it only a few steps are made.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    Simple,
    Window,
    Memory,
    Others,
    Keys,
    Tests,
}

/// One figure.
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// What it should be: at least (positive is better) or at most.
    pub(crate) aim: Option<Aim>,
    /// What it is compared with, in the same unit.
    pub(crate) reference: Option<(&'static str, f64)>,
}

pub(crate) enum Aim {
    AtLeast(f64),
    AtMost(f64),
}

/// How much is done: enough to be measured, or enough to be checked.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) whole: bool,
}

impl Size {
    pub(crate) fn of(self, whole: usize, few: usize) -> usize {
        if self.whole { whole } else { few }
    }
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let size = Size { whole: args.bench };
    let all =
        [Section::Simple, Section::Window, Section::Memory, Section::Others, Section::Keys, Section::Tests];
    for section in all.into_iter().filter(|s| args.only.is_none_or(|only| only == *s)) {
        let figures = match section {
            Section::Simple => simple::run(size)?,
            Section::Window => window::run(size)?,
            // What other sections have left in this process would be counted too.
            Section::Memory if args.only.is_none() => {
                memory::apart(&args)?;
                Vec::new()
            }
            Section::Memory => memory::run(size)?,
            Section::Others => others::run(size)?,
            Section::Keys => keys::run(size)?,
            Section::Tests => shipped::run(size)?,
        };
        figures.iter().for_each(|figure| figure.print(&args));
    }
    if !args.bench && args.only.is_none() {
        println!("the counts are right; figures mean nothing without --bench");
    }
    Ok(())
}

impl Figure {
    fn print(&self, args: &Args) {
        let to_reference = self.reference.map(|(_, value)| self.value / value);
        let (aim, to_aim) = match self.aim {
            Some(Aim::AtLeast(aim)) => (Some(aim), Some(self.value >= aim)),
            Some(Aim::AtMost(aim)) => (Some(aim), Some(self.value <= aim)),
            None => (None, None),
        };
        if args.json {
            let figure = serde_json::json!({
                "name": self.name, "value": self.value, "unit": self.unit, "aim": aim, "reached": to_aim,
                "reference": self.reference.map(|r| r.1), "reference_is": self.reference.map(|r| r.0), "ratio": to_reference,
            });
            println!("{figure}");
            return;
        }
        let mut line = format!("{:<34} {:>12} {}", self.name, number(self.value), self.unit);
        if let (Some(aim), Some(reached)) = (aim, to_aim) {
            let word = match self.aim {
                Some(Aim::AtMost(_)) => "at most",
                _ => "at least",
            };
            let mark = if reached { "reached" } else { "NOT REACHED" };
            line.push_str(&format!("; aim {word} {}: {mark}", number(aim)));
        }
        if let (Some((name, value)), Some(ratio)) = (self.reference, to_reference) {
            line.push_str(&format!("; {name} {}: ratio {ratio:.2}", number(value)));
        }
        println!("{line}");
    }
}

fn number(value: f64) -> String {
    if value >= 1e6 {
        format!("{:.2} M", value * 1e-6)
    } else if value >= 1e4 {
        format!("{:.1} k", value * 1e-3)
    } else {
        format!("{value:.2}")
    }
}

/// The middle one of some measurements.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
