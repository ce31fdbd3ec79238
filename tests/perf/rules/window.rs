//! Windows of ten minutes at 1 Hz: each message goes into the window of every rule and each rule is judged. The reference
//! keeps the same values and recomputes the reduction from them for each message.
//!
//! A full window is judged twice for a message, once because a value has grown too old: only one of the two counts here.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::time::Instant;

use anyhow::ensure;
use salobj::Value;

use crate::bed::{BUDGET, Bed};
use crate::{Aim, Figure, Size, median};

const RULES: usize = 215;
/// Values in a full window.
const FULL: usize = 600;
const REDUCERS: [&str; 5] = ["mean", "max", "std", "median", "slope"];

fn limit(n: usize) -> f64 {
    8.0 + (n / REDUCERS.len()) as f64 * 0.05
}

fn text(reducers: &[&str]) -> String {
    let mut text = String::from("rules:\n");
    for n in 0..RULES {
        writeln!(
            text,
            "  - name: R{n}\n    {BUDGET}\n    inputs:\n      w: {{topic: \"ESS:1.tel_airFlow\", field: speed, window: 10m, reduce: {}}}\n    \
             alarm: {{levels: {{warning: \"w > {:.2}\"}}}}",
            reducers[n % reducers.len()],
            limit(n)
        )
        .unwrap_or_default();
    }
    text
}

/// The speed of message `n`: it wanders, so that maxima and medians move.
fn speed(n: usize) -> f64 {
    8.0 + (n * 7 % 97) as f64 * 0.06 + (n as f64 * 0.01).sin()
}

pub(crate) fn run(size: Size) -> anyhow::Result<Vec<Figure>> {
    same_answers(size)?;
    let reference = recomputed(size)?;
    let mut figures = Vec::new();
    let sets: [(&'static str, &[&str]); 6] = [
        ("windows of 10 min, all reducers", &REDUCERS),
        ("  mean", &["mean"]),
        ("  max", &["max"]),
        ("  std", &["std"]),
        ("  median", &["median"]),
        ("  slope", &["slope"]),
    ];
    for (name, reducers) in sets {
        let aim = (reducers.len() > 1).then_some(Aim::AtLeast(1e6));
        let value = measured(reducers, size)?;
        let reference = Some(("mean and max recomputed, then cel", reference));
        figures.push(Figure { name, value, unit: "evaluations/s", aim, reference });
    }
    Ok(figures)
}

fn measured(reducers: &[&str], size: Size) -> anyhow::Result<f64> {
    let mut bed = Bed::new(&text(reducers))?;
    let port = bed.port("ESS", "airFlow", &["speed"])?;
    let mut n = 0;
    let mut some = |bed: &mut Bed, messages: usize| {
        for _ in 0..messages {
            bed.send(&port, 1, 1.0, &[Value::Double(speed(n))]);
            n += 1;
        }
    };
    some(&mut bed, FULL + 10);
    let messages = size.of(5_000, 10);
    let mut rates = Vec::new();
    for _ in 0..5 {
        let (before, begun) = (bed.evaluations(), Instant::now());
        some(&mut bed, messages);
        let seconds = begun.elapsed().as_secs_f64();
        let counted = bed.evaluations() - before;
        let once = (RULES * messages) as u64;
        ensure!(
            counted == once || counted == 2 * once,
            "{counted} evaluations of {RULES} rules and {messages} messages"
        );
        rates.push(once as f64 / seconds);
    }
    Ok(median(rates))
}

/// The reduction of rule `n`, by itself: the even ones mean, the others max.
fn naive(n: usize, values: &VecDeque<f64>) -> f64 {
    if n.is_multiple_of(2) {
        values.iter().sum::<f64>() / values.len() as f64
    } else {
        values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

/// Two naive windows and the interpreter, evaluations a second.
fn recomputed(size: Size) -> anyhow::Result<f64> {
    let programs: Vec<cel::Program> = (0..RULES)
        .map(|n| cel::Program::compile(&format!("w > {:.2}", limit(n))).map_err(|e| anyhow::anyhow!("{e}")))
        .collect::<Result<_, _>>()?;
    let mut windows: Vec<VecDeque<f64>> = vec![(0..FULL).map(speed).collect(); RULES];
    let messages = size.of(100, 2);
    let (mut done, begun) = (0_u64, Instant::now());
    for n in 0..messages {
        for (rule, (window, program)) in windows.iter_mut().zip(&programs).enumerate() {
            window.pop_front();
            window.push_back(speed(FULL + n));
            let mut context = cel::Context::default();
            context.add_variable("w", naive(rule, window)).map_err(|e| anyhow::anyhow!("w: {e}"))?;
            ensure!(matches!(program.execute(&context)?, cel::Value::Bool(_)), "no truth");
            done += 1;
        }
    }
    Ok(done as f64 / begun.elapsed().as_secs_f64())
}

/// The windows hold what they should: the alarms are those of windows that are recomputed for each message.
fn same_answers(size: Size) -> anyhow::Result<()> {
    let mut bed = Bed::new(&text(&["mean", "max"]))?;
    let port = bed.port("ESS", "airFlow", &["speed"])?;
    bed.raised = Some(BTreeMap::new());
    let mut values = VecDeque::new();
    for n in 0..FULL + size.of(400, 30) {
        bed.send(&port, 1, 1.0, &[Value::Double(speed(n))]);
        values.push_back(speed(n));
        // A value as old as the window is long still belongs to it or not: sums are compared beside that one.
        if values.len() > FULL {
            values.pop_front();
        }
        if n < FULL {
            continue;
        }
        let mut one_more = values.clone();
        one_more.push_front(speed(n - FULL));
        for rule in 0..RULES {
            let (a, b) = (naive(rule, &values), naive(rule, &one_more));
            let sure = (a > limit(rule)) == (b > limit(rule)) && (a - limit(rule)).abs() > 1e-9;
            let name = format!("R{rule}");
            let raised =
                bed.raised.as_ref().and_then(|r| r.get(&name)).is_some_and(|severity| *severity == 2);
            ensure!(
                !sure || raised == (a > limit(rule)),
                "message {n}, rule {rule}: {a} and limit {}, raised: {raised}",
                limit(rule)
            );
        }
    }
    Ok(())
}
