//! An engine with rules, fed with messages that are decoded already.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use catcher::rules::{Effect, Engine, Input, Rule, Sample, SourceFile, TopicId, compile};
use salobj::{Tai, Value};

/// 2026-11-21T00:00:00 UTC.
const START: f64 = 1_795_219_237.0;

/// A budget that stops nobody here: a benchmark is faster than any telescope.
pub(crate) const BUDGET: &str = "budget: {evaluations_per_second: 100000000}";

/// See the module's documentation.
pub(crate) struct Bed {
    engine: Engine,
    now: f64,
    offset: i64,
    effects: Vec<Effect>,
    cells: Vec<Value>,
    /// Severities of the alarms that are not NONE, if anybody wants to know.
    pub(crate) raised: Option<BTreeMap<String, i64>>,
}

/// Rules of one file: more are more than a rule file may hold.
const OF_A_FILE: usize = 1000;

/// Compiles a rule file, in parts where it is too large for one.
pub(crate) fn compiled(text: &str) -> anyhow::Result<Vec<Arc<Rule>>> {
    let begin = "  - name: ";
    let rules: Vec<&str> =
        text.trim_start_matches("rules:\n").split(begin).filter(|r| !r.is_empty()).collect();
    let mut all = Vec::new();
    for part in rules.chunks(OF_A_FILE) {
        all.extend(of_file(&format!("rules:\n{begin}{}", part.join(begin)))?);
    }
    Ok(all)
}

fn of_file(text: &str) -> anyhow::Result<Vec<Arc<Rule>>> {
    let file = SourceFile { name: "bench.yaml".into(), text: text.into() };
    compile(&file, &sal_idl::Library::embedded()).map_err(|all| {
        let told: Vec<String> = all.iter().take(3).map(|d| d.render(false)).collect();
        anyhow::anyhow!("{}", told.join("\n"))
    })
}

/// A topic of the engine, and where its fields go.
pub(crate) struct Port {
    topic: TopicId,
    /// For each field that is given: its cell.
    places: Vec<Option<usize>>,
    cells: usize,
}

impl Bed {
    pub(crate) fn new(text: &str) -> anyhow::Result<Bed> {
        let engine = Engine::new(&compiled(text)?, Tai(START));
        Ok(Bed { engine, now: START, offset: 0, effects: Vec::new(), cells: Vec::new(), raised: None })
    }

    /// The topic `component.sal_name` with these fields.
    pub(crate) fn port(&self, component: &str, sal_name: &str, fields: &[&str]) -> anyhow::Result<Port> {
        let needs = &self.engine.subscriptions().topics;
        let at = needs.iter().position(|t| t.component == component && t.sal_name == sal_name);
        let at = at.with_context(|| format!("no rule reads {component}.{sal_name}"))?;
        let place = |name: &&str| needs[at].fields.iter().position(|field| field.name == **name);
        let places = fields.iter().map(place).collect();
        Ok(Port { topic: TopicId(u32::try_from(at)?), places, cells: needs[at].fields.len() })
    }

    /// A message `later` seconds after the one before.
    pub(crate) fn send(&mut self, port: &Port, sal_index: i64, later: f64, fields: &[Value]) {
        self.now += later;
        self.cells.clear();
        self.cells.resize(port.cells, Value::Null);
        for (place, value) in port.places.iter().zip(fields) {
            if let Some(place) = place {
                self.cells[*place] = value.clone();
            }
        }
        let sample = Sample {
            topic: port.topic,
            sal_index,
            sent: Tai(self.now),
            received: Tai(self.now),
            partition: 0,
            offset: self.offset,
            cells: &self.cells,
        };
        self.offset += 1;
        self.engine.step(Input::Sample(&sample), Tai(self.now), &mut self.effects);
        if let Some(raised) = &mut self.raised {
            for effect in &self.effects {
                if let Effect::SetSeverity { alarm, severity, .. } = effect {
                    raised.insert(alarm.to_string(), i64::from(*severity));
                }
            }
        }
        self.effects.clear();
    }

    /// Rules evaluated so far.
    pub(crate) fn evaluations(&self) -> u64 {
        self.engine.evaluations()
    }
}
