//! Memory of 10 000 rules with ten-minute windows at 1 Hz, each of a component of its own: what the process holds once all
//! windows are full, less what it held before the rules were there.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::{Context as _, ensure};
use salobj::Value;

use crate::bed::{BUDGET, Bed};
use crate::{Aim, Args, Figure, Size};

/// Values in a full window.
const FULL: usize = 600;

/// This section in a process of its own.
pub(crate) fn apart(args: &Args) -> anyhow::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["--only", "memory"]);
    if args.bench {
        command.arg("--bench");
    }
    if args.json {
        command.arg("--json");
    }
    let status = command.status()?;
    ensure!(status.success(), "the section on memory ended with {status}");
    Ok(())
}

fn text(rules: usize) -> String {
    let mut text = String::from("rules:\n");
    for n in 0..rules {
        let reducer = ["mean", "max", "std"][n % 3];
        writeln!(
            text,
            "  - name: R{n}\n    {BUDGET}\n    inputs:\n      w: {{topic: \"ESS:{}.tel_airFlow\", field: speed, window: 10m, reduce: {reducer}}}\n    \
             alarm: {{levels: {{warning: \"w > 10.0\"}}}}",
            n + 1
        )
        .unwrap_or_default();
    }
    text
}

pub(crate) fn run(size: Size) -> anyhow::Result<Vec<Figure>> {
    let rules = size.of(10_000, 20);
    let before = resident()?;
    let mut bed = Bed::new(&text(rules))?;
    let port = bed.port("ESS", "airFlow", &["speed"])?;
    let compiled = resident()?;
    let evaluations = bed.evaluations();
    let seconds = FULL + size.of(60, 5);
    for second in 0..seconds {
        for rule in 0..rules {
            let later = 1.0 / rules as f64;
            let speed = 5.0 + (second * 7 % 97) as f64 * 0.04;
            bed.send(&port, i64::try_from(rule + 1)?, later, &[Value::Double(speed)]);
        }
    }
    let counted = bed.evaluations() - evaluations;
    // Judged for each message, and once more when a value has grown too old.
    ensure!(counted >= (rules * seconds) as u64, "{counted} evaluations of {rules} rules in {seconds} s");
    let after = resident()?;
    let raw = (rules * FULL * 16) as f64 / 1e6;
    let megabytes = |bytes: u64| bytes.saturating_sub(before) as f64 / 1e6;
    // Alive until here: what is measured is what it takes.
    drop(bed);
    Ok(vec![
        Figure {
            name: "10 000 rules, full windows",
            value: megabytes(after),
            unit: "MB",
            aim: Some(Aim::AtMost(300.0)),
            reference: Some(("stamps and values alone", raw)),
        },
        Figure {
            name: "  of it the rules without data",
            value: megabytes(compiled),
            unit: "MB",
            aim: None,
            reference: None,
        },
        Figure {
            name: "  the whole process",
            value: after as f64 / 1e6,
            unit: "MB",
            aim: None,
            reference: None,
        },
    ])
}

/// Bytes of this process in memory.
fn resident() -> anyhow::Result<u64> {
    let status =
        std::fs::read_to_string("/proc/self/status").context("memory can be measured on Linux only")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
    Ok(kilobytes * 1024)
}
