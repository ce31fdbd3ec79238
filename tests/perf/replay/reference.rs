//! The conditions of the benchmark's rules by the `cel` crate's interpreter, on the records of the recording.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use catcher::replay::archive::{Body, ItemRef, Reader};
use salobj::Value;
use salobj::wire::{Plan, Select, Want, unframe};

use crate::rules::COMPONENTS;

/// What is kept of a window: its length in seconds.
const WINDOW_S: f64 = 60.0;

/// One condition of a rule on one value of a topic.
struct Condition {
    program: cel::Program,
    /// Only this instance; any, if it is 0.
    index: i64,
    /// It looks at the median over a minute.
    window: Option<VecDeque<(f64, f64)>>,
}

/// A topic, the field that its rules read, and their conditions.
struct Topic {
    field: &'static str,
    select: Select,
    conditions: Vec<Condition>,
}

fn conditions() -> anyhow::Result<BTreeMap<&'static str, Topic>> {
    let one = |text: String, index: i64, windowed: bool| {
        let program = cel::Program::compile(&text).map_err(|e| anyhow::anyhow!("{text}: {e}"))?;
        anyhow::Ok(Condition { program, index, window: windowed.then(VecDeque::new) })
    };
    let topic = |field, select| Topic { field, select, conditions: Vec::new() };
    let mut all = BTreeMap::new();
    let mut states = topic("summaryState", Select::All);
    for n in 1..=COMPONENTS {
        let index = i64::try_from(n)?;
        states.conditions.push(one("x == 3".to_owned(), index, false)?);
        states.conditions.push(one("x != 2".to_owned(), index, false)?);
    }
    all.insert("ESS.logevent_summaryState", states);
    for (name, field, select, count) in [
        ("ESS.airFlow", "speed", Select::All, 12),
        ("ESS.temperature", "temperatureItem", Select::Element(0), 8),
        ("ESS.pressure", "pressureItem", Select::Element(0), 5),
        ("ATMCS.mount_AzEl_Encoders", "elevationCalculatedAngle", Select::Element(0), 6),
    ] {
        let mut levels = topic(field, select);
        for n in 0..count {
            let text = format!("x > 30.0 || x > {}.0", 10 + n);
            levels.conditions.push(one(text, 1, n % 3 == 2)?);
        }
        all.insert(name, levels);
    }
    for name in ["ATCamera.logevent_endReadout", "MTCamera.logevent_endReadout"] {
        let mut images = topic("requestedExposureTime", Select::All);
        for n in 0..5 {
            images.conditions.push(one(format!("x > {}.0", 15 + n), 0, false)?);
        }
        all.insert(name, images);
    }
    Ok(all)
}

impl Topic {
    fn wants(&self) -> [Want; 2] {
        [
            Want { default: Value::Int(0), ..Want::field("salIndex") },
            Want::field(self.field).select(self.select),
        ]
    }

    /// Conditions that are true.
    fn judge(&mut self, index: i64, at: f64, value: &Value) -> anyhow::Result<u64> {
        let mut held = 0;
        for condition in &mut self.conditions {
            if condition.index != 0 && condition.index != index {
                continue;
            }
            let mut context = cel::Context::default();
            let added = match (value, &mut condition.window) {
                (Value::Int(v), _) => context.add_variable("x", *v),
                (Value::Double(v), None) => context.add_variable("x", *v),
                (Value::Double(v), Some(window)) => {
                    window.push_back((at, *v));
                    while window.front().is_some_and(|(then, _)| at - then > WINDOW_S) {
                        window.pop_front();
                    }
                    let mut sorted: Vec<f64> = window.iter().map(|(_, v)| *v).collect();
                    sorted.sort_by(f64::total_cmp);
                    context.add_variable("x", sorted[sorted.len() / 2])
                }
                _ => continue,
            };
            added.map_err(|e| anyhow::anyhow!("x: {e}"))?;
            held += u64::from(condition.program.execute(&context)? == cel::Value::Bool(true));
        }
        Ok(held)
    }
}

/// Records a second, over the first `most` records.
pub(crate) fn rate(path: &Path, most: u64) -> anyhow::Result<f64> {
    let mut topics = conditions()?;
    let begun = Instant::now();
    let mut reader = Reader::open(BufReader::with_capacity(1 << 20, File::open(path)?))?;
    let (mut schemas, mut names, mut plans) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let mut cells = [Value::Null, Value::Null];
    let (mut records, mut held) = (0_u64, 0_u64);
    while records < most {
        match reader.next_item()?.context("the recording is shorter than the part that is read")? {
            ItemRef::Schema { id, text } => drop(schemas.insert(id, text.to_owned())),
            ItemRef::Topic(decl) => {
                names.insert(decl.number, format!("{}.{}", decl.component, decl.sal_name));
            }
            ItemRef::Record(record) => {
                records += 1;
                let Some(topic) = names.get(&record.topic).and_then(|name| topics.get_mut(name.as_str()))
                else {
                    continue;
                };
                let Body::Avro(value) = record.body else { continue };
                let (id, body) = unframe(value)?;
                let plan = match plans.entry(id) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(new) => {
                        let schema = schemas.get(&id).context("a schema is missing")?;
                        new.insert(Plan::compile(schema, &topic.wants())?)
                    }
                };
                plan.decode(body, &mut cells)?;
                let index = if let Value::Int(index) = cells[0] { index } else { 0 };
                held += topic.judge(index, record.received.0, &cells[1])?;
            }
            _ => {}
        }
    }
    ensure!(held > 0, "no condition was ever true");
    Ok(records as f64 / begun.elapsed().as_secs_f64())
}
