//! What a message costs that concerns ten rules, while 10 or 10 000 other rules read other topics, and other instances of the
//! same topic.

use std::fmt::Write as _;
use std::time::Instant;

use anyhow::ensure;
use salobj::Value;

use crate::bed::{BUDGET, Bed, Port};
use crate::{Aim, Figure, Size, median};

/// Rules that read what is sent.
const OWN: usize = 10;
const ROUNDS: usize = 15;

fn rule(text: &mut String, name: &str, topic: &str, field: &str) {
    writeln!(
        text,
        "  - name: {name}\n    {BUDGET}\n    inputs: {{x: {{topic: \"{topic}\", field: {field}}}}}\n    alarm: {{levels: {{warning: \"x > 10.0\"}}}}"
    )
    .unwrap_or_default();
}

fn text(others: usize) -> String {
    let mut text = String::from("rules:\n");
    for n in 0..OWN {
        rule(&mut text, &format!("Own{n}"), "ESS:1.tel_airFlow", "speed");
    }
    for n in 0..others {
        let index = n + 2;
        let (topic, field) = match n % 4 {
            0 => (format!("ESS:{index}.tel_airFlow"), "speed"),
            1 => (format!("ESS:{index}.tel_temperature"), "\"temperatureItem[0]\""),
            2 => (format!("ESS:{index}.tel_pressure"), "\"pressureItem[0]\""),
            _ => (format!("ESS:{index}.evt_summaryState"), "summaryState"),
        };
        // An enumeration is an integer: compared with a number as the others are.
        rule(&mut text, &format!("Other{n}"), &topic, field);
    }
    text
}

struct Side {
    bed: Bed,
    port: Port,
    /// Nanoseconds a message, one for each round.
    cost: Vec<f64>,
}

impl Side {
    fn new(others: usize) -> anyhow::Result<Side> {
        let bed = Bed::new(&text(others))?;
        let port = bed.port("ESS", "airFlow", &["speed"])?;
        Ok(Side { bed, port, cost: Vec::new() })
    }

    fn round(&mut self, messages: usize) -> anyhow::Result<()> {
        let (before, begun) = (self.bed.evaluations(), Instant::now());
        for n in 0..messages {
            let speed = if n % 10 == 9 { 12.0 } else { 8.0 };
            self.bed.send(&self.port, 1, 1e-3, &[Value::Double(speed)]);
        }
        let nanoseconds = begun.elapsed().as_secs_f64() * 1e9;
        let counted = self.bed.evaluations() - before;
        ensure!(
            counted == (OWN * messages) as u64,
            "{counted} evaluations of {OWN} rules and {messages} messages"
        );
        self.cost.push(nanoseconds / messages as f64);
        Ok(())
    }
}

pub(crate) fn run(size: Size) -> anyhow::Result<Vec<Figure>> {
    let mut few = Side::new(10)?;
    let mut many = Side::new(size.of(10_000, 200))?;
    let messages = size.of(50_000, 50);
    few.round(messages)?;
    many.round(messages)?;
    // In turns: what the machine does besides meets both.
    for _ in 0..ROUNDS {
        few.round(messages)?;
        many.round(messages)?;
    }
    let (few, many) = (median(few.cost), median(many.cost));
    Ok(vec![
        Figure {
            name: "a message, 10 000 rules elsewhere",
            value: many,
            unit: "ns",
            aim: None,
            reference: Some(("10 rules elsewhere", few)),
        },
        Figure {
            name: "  ratio of the two",
            value: many / few,
            unit: "",
            aim: Some(Aim::AtMost(1.1)),
            reference: None,
        },
    ])
}
