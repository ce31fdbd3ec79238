//! One step of the engine with 10, 215 and 10000 rules. `cargo bench --bench engine`.
//!
//! The simple evaluation: one double input, one comparison, one state bit (the alarm is on or off). Every rule reads the same
//! topic, so that one sample makes as many evaluations as there are rules; the engine's own counter is checked against rules
//! times samples before anything is measured. `spread` gives each rule a topic instance of its own: the cost of routing.

#![expect(clippy::expect_used, clippy::panic, reason = "a benchmark's own rules are right")]

use std::fmt::Write as _;
use std::sync::Arc;

use catcher::rules::{Effect, Engine, Input, Rule, Sample, SourceFile, TopicId, compile};
use divan::Bencher;
use divan::counter::ItemsCount;
use salobj::{Tai, Value};

const RULES: &[usize] = &[10, 215, 10_000];

fn main() {
    divan::main();
}

/// All rules read every sample. Items are evaluations.
#[divan::bench(args = RULES)]
fn evaluations(bencher: Bencher<'_, '_>, rules: usize) {
    let mut bed = Bed::new(rules, |_| 1);
    bed.check(rules, 100);
    bencher.counter(ItemsCount::new(rules)).bench_local(|| bed.sample(1));
}

/// Each sample concerns one rule of many. Items are samples.
#[divan::bench(args = RULES)]
fn spread(bencher: Bencher<'_, '_>, rules: usize) {
    let mut bed = Bed::new(rules, |n| n as i64 + 1);
    let mut index = 0;
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        index = index % rules as i64 + 1;
        bed.sample(index);
    });
}

/// An engine, and the time.
struct Bed {
    engine: Engine,
    now: Tai,
    samples: u64,
    cell: usize,
    effects: Vec<Effect>,
}

impl Bed {
    fn new(rules: usize, index: impl Fn(usize) -> i64) -> Bed {
        let mut text = String::from("rules:\n");
        for n in 0..rules {
            let index = index(n);
            writeln!(
                text,
                "  - name: Bench.R{n}\n    description: One comparison\n    inputs:\n      speed: {{topic: \"ESS:{index}.tel_airFlow\", field: speed}}\n    alarm:\n      levels: {{warning: \"speed > 10.0\"}}"
            )
            .expect("a string grows");
        }
        let file = SourceFile { name: "bench.yaml".into(), text };
        let rules: Vec<Arc<Rule>> = compile(&file, &sal_idl::Library::embedded())
            .unwrap_or_else(|all| panic!("{}", all.iter().map(|d| d.render(false)).collect::<String>()));
        let now = Tai(1_800_000_000.0);
        let engine = Engine::new(&rules, now);
        let needs = &engine.subscriptions().topics;
        assert_eq!(needs.len(), 1, "one topic");
        let cell = needs[0].fields.iter().position(|field| field.name == "speed").expect("the field is read");
        Bed { engine, now, samples: 0, cell, effects: Vec::new() }
    }

    /// Below the limit nine times, above it once.
    fn sample(&mut self, sal_index: i64) {
        let mut cells = [Value::Null, Value::Null, Value::Null, Value::Null];
        cells[self.cell] = Value::Double(if self.samples % 10 == 9 { 12.0 } else { 8.0 });
        self.now = Tai(self.now.0 + 1e-3);
        let sample = Sample {
            topic: TopicId(0),
            sal_index,
            sent: self.now,
            received: self.now,
            partition: 0,
            offset: self.samples as i64,
            cells: &cells[..self.engine.subscriptions().topics[0].fields.len()],
        };
        self.samples += 1;
        self.engine.step(Input::Sample(&sample), self.now, &mut self.effects);
        self.effects.clear();
    }

    /// The counter counts what it says.
    fn check(&mut self, rules: usize, samples: u64) {
        let before = self.engine.evaluations();
        for _ in 0..samples {
            self.sample(1);
        }
        assert_eq!(
            self.engine.evaluations() - before,
            rules as u64 * samples,
            "evaluations = rules x samples"
        );
    }
}
