//! Rules with a key: ten rules with 1000 keys each (as many as a rule may have), so 10 000 alarms; each message concerns one
//! key of each rule. The reference are ten rules without keys on the same messages.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use anyhow::ensure;
use salobj::Value;

use crate::bed::{BUDGET, Bed, Port};
use crate::{Figure, Size, median};

const RULES: usize = 10;
const KEYS: usize = 1000;

fn text(keyed: bool) -> String {
    let mut text = String::from("rules:\n");
    for n in 0..RULES {
        let by = if keyed { "    by: rh.sensorName\n" } else { "" };
        writeln!(
            text,
            "  - name: R{n}\n    {BUDGET}\n{by}    inputs: {{rh: {{topic: \"ESS:1.tel_relativeHumidity\"}}}}\n    \
             alarm: {{levels: {{warning: \"rh.relativeHumidityItem > {:.1} && rh.sensorName != ''\"}}}}",
            70.0 + n as f64
        )
        .unwrap_or_default();
    }
    text
}

struct Side {
    bed: Bed,
    port: Port,
    names: Vec<Arc<str>>,
    sent: usize,
    rates: Vec<f64>,
}

impl Side {
    fn new(keyed: bool, keys: usize) -> anyhow::Result<Side> {
        let bed = Bed::new(&text(keyed))?;
        let port = bed.port("ESS", "relativeHumidity", &["sensorName", "relativeHumidityItem"])?;
        let names = (0..keys).map(|n| format!("sensor {n}").into()).collect();
        Ok(Side { bed, port, names, sent: 0, rates: Vec::new() })
    }

    fn round(&mut self, messages: usize) -> anyhow::Result<()> {
        let (before, begun) = (self.bed.evaluations(), Instant::now());
        for _ in 0..messages {
            let name = Value::Text(Arc::clone(&self.names[self.sent % self.names.len()]));
            let value = 60.0 + (self.sent * 7 % 211) as f64 * 0.1;
            self.bed.send(&self.port, 1, 1e-4, &[name, Value::Double(value)]);
            self.sent += 1;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let counted = self.bed.evaluations() - before;
        ensure!(
            counted == (RULES * messages) as u64,
            "{counted} evaluations of {RULES} rules and {messages} messages"
        );
        self.rates.push(counted as f64 / seconds);
        Ok(())
    }
}

pub(crate) fn run(size: Size) -> anyhow::Result<Vec<Figure>> {
    let keys = size.of(KEYS, 50);
    let (mut plain, mut keyed) = (Side::new(false, keys)?, Side::new(true, keys)?);
    keyed.bed.raised = Some(Default::default());
    let messages = size.of(50_000, 500);
    plain.round(messages)?;
    keyed.round(messages)?;
    let alarms = keyed.bed.raised.take().map_or(0, |raised| raised.len());
    ensure!(alarms == RULES * keys, "{alarms} alarms of {RULES} rules with {keys} keys");
    plain.rates.clear();
    keyed.rates.clear();
    for _ in 0..5 {
        plain.round(messages)?;
        keyed.round(messages)?;
    }
    Ok(vec![Figure {
        name: "rules with 10 000 keys in all",
        value: median(keyed.rates),
        unit: "evaluations/s",
        aim: None,
        reference: Some(("the same without keys", median(plain.rates))),
    }])
}
