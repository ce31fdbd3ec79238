//! Latched values compared: 215 rules on one topic, four kinds of expressions, against the `cel` crate's interpreter.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Instant;

use anyhow::ensure;
use salobj::Value;

use crate::bed::{BUDGET, Bed};
use crate::{Aim, Figure, Size, median};

const RULES: usize = 215;
/// Seconds between two messages, by their stamps.
const PERIOD: f64 = 1e-3;

/// The condition of rule `n`; both evaluators get this text.
fn condition(n: usize) -> String {
    let limit = 8.0 + (n % 50) as f64 * 0.1;
    match n % 4 {
        0 => format!("speed > {limit:.1}"),
        1 => format!("speed > {limit:.1} && direction < 180.0"),
        2 => format!("speed * 2.0 - 1.0 > {:.1} || direction > 300.0", limit * 2.0),
        _ => format!("!(speed < {limit:.1}) && (direction < 90.0 || direction > 270.0)"),
    }
}

/// Speed and direction of message `n`: numbers that wander below all limits, and beyond them for ten messages in 250, so that
/// an alarm changes rarely, as in life.
fn message(n: usize) -> (f64, f64) {
    match n / 10 % 25 {
        3 => (8.0 + (n * 7 % 97) as f64 * 0.06, (n * 31 % 360) as f64),
        _ => (7.0 + (n * 7 % 97) as f64 * 0.01, 100.0 + (n * 31 % 70) as f64),
    }
}

/// The same where at every message many alarms change.
fn restless(n: usize) -> (f64, f64) {
    (8.0 + (n * 7 % 97) as f64 * 0.06, (n * 31 % 360) as f64)
}

fn text(condition: impl Fn(usize) -> String) -> String {
    let mut text = String::from("rules:\n");
    for n in 0..RULES {
        writeln!(
            text,
            "  - name: R{n}\n    {BUDGET}\n    inputs:\n      speed: {{topic: \"ESS:1.tel_airFlow\", field: speed}}\n      \
             direction: {{topic: \"ESS:1.tel_airFlow\", field: direction}}\n    alarm: {{levels: {{warning: \"{}\"}}}}",
            condition(n)
        )
        .unwrap_or_default();
    }
    text
}

pub(crate) fn run(size: Size) -> anyhow::Result<Vec<Figure>> {
    same_answers(size)?;
    let cel = interpreted(size)?;
    let mixed = measured(condition, message, size)?;
    // As the definition has it: one value, one comparison, one bit.
    let plain = |n: usize| format!("speed > {:.1}", 8.0 + (n % 50) as f64 * 0.1);
    let changing = measured(plain, restless, size)?;
    let plain = measured(plain, message, size)?;
    let figure = |name, value, aim| Figure {
        name,
        value,
        unit: "evaluations/s",
        aim,
        reference: Some(("cel, the mixture", cel)),
    };
    Ok(vec![
        figure("one comparison, 215 rules", plain, Some(Aim::AtLeast(5e6))),
        figure("a mixture of conditions, 215 rules", mixed, None),
        figure("one comparison, alarms change all the time", changing, None),
    ])
}

/// Evaluations a second: the middle of five rounds.
fn measured(
    condition: impl Fn(usize) -> String,
    message: impl Fn(usize) -> (f64, f64),
    size: Size,
) -> anyhow::Result<f64> {
    let mut bed = Bed::new(&text(condition))?;
    let port = bed.port("ESS", "airFlow", &["speed", "direction"])?;
    let mut n = 0;
    let mut some = |bed: &mut Bed, messages: usize| {
        for _ in 0..messages {
            let (speed, direction) = message(n);
            bed.send(&port, 1, PERIOD, &[Value::Double(speed), Value::Double(direction)]);
            n += 1;
        }
    };
    let before = bed.evaluations();
    some(&mut bed, 100);
    let counted = bed.evaluations() - before;
    ensure!(counted == (RULES * 100) as u64, "{counted} evaluations of {RULES} rules and 100 messages");
    let messages = size.of(20_000, 20);
    let mut rates = Vec::new();
    for _ in 0..5 {
        let (before, begun) = (bed.evaluations(), Instant::now());
        some(&mut bed, messages);
        let seconds = begun.elapsed().as_secs_f64();
        let counted = bed.evaluations() - before;
        ensure!(
            counted == (RULES * messages) as u64,
            "{counted} evaluations of {RULES} rules and {messages} messages"
        );
        rates.push(counted as f64 / seconds);
    }
    Ok(median(rates))
}

/// The interpreter's programs, each parsed once.
fn programs() -> anyhow::Result<Vec<cel::Program>> {
    (0..RULES).map(|n| cel::Program::compile(&condition(n)).map_err(|e| anyhow::anyhow!("{e}"))).collect()
}

fn context(n: usize) -> anyhow::Result<cel::Context<'static, 'static>> {
    let (speed, direction) = message(n);
    let mut context = cel::Context::default();
    for (name, value) in [("speed", speed), ("direction", direction)] {
        context.add_variable(name, value).map_err(|e| anyhow::anyhow!("{name}: {e}"))?;
    }
    Ok(context)
}

fn interpreted(size: Size) -> anyhow::Result<f64> {
    let programs = programs()?;
    let messages = size.of(500, 5);
    let mut rates = Vec::new();
    for _ in 0..5 {
        let (mut done, begun) = (0_u64, Instant::now());
        for n in 0..messages {
            let context = context(n)?;
            for program in &programs {
                let value = program.execute(&context)?;
                ensure!(matches!(value, cel::Value::Bool(_)), "{value:?}");
                done += 1;
            }
        }
        rates.push(done as f64 / begun.elapsed().as_secs_f64());
    }
    Ok(median(rates))
}

/// What is compared does the same: after each message every alarm is what the interpreter says.
fn same_answers(size: Size) -> anyhow::Result<()> {
    let mut bed = Bed::new(&text(condition))?;
    let port = bed.port("ESS", "airFlow", &["speed", "direction"])?;
    let programs = programs()?;
    bed.raised = Some(BTreeMap::new());
    let mut true_ones = 0;
    for n in 0..size.of(200, 50) {
        let (speed, direction) = message(n);
        bed.send(&port, 1, PERIOD, &[Value::Double(speed), Value::Double(direction)]);
        let context = context(n)?;
        for (rule, program) in programs.iter().enumerate() {
            let said = program.execute(&context)? == cel::Value::Bool(true);
            let name = format!("R{rule}");
            let raised =
                bed.raised.as_ref().and_then(|r| r.get(&name)).is_some_and(|severity| *severity == 2);
            ensure!(said == raised, "message {n}, {}: cel says {said}, the alarm {raised}", condition(rule));
            true_ones += usize::from(said);
        }
    }
    ensure!(true_ones > 0, "nothing was ever true");
    Ok(())
}
