//! Messages per second from a real broker: a bare rdkafka consumer against the Catcher's intake and engine, and against its
//! whole core loop, in the same run.
//!
//! ```text
//!  produce ──► broker (8 SAL topics, the real mix) ─┬─► bare: poll, count                            ┐ alternating,
//!                                                  ├─► engine: intake, 215 rules, journal           │ same fetch
//!                                                  └─► core loop: the same, alarms, runs, driver    ┘ settings
//! ```
//! `scripts/bench` starts the broker and runs this; without `CATCHER_TEST_KAFKA_BROKER` it says so and does nothing, so that
//! `cargo bench` works anywhere. Arguments: `--records N` (1000000), `--rounds N` (3), `--json`.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]

mod bare;
mod core_loop;
mod engine;
mod mix;
mod produce;
mod rules;

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use rdkafka::ClientConfig;
use salobj::Env;

/// What to measure.
#[derive(Parser)]
struct Args {
    /// Records in the topics.
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// How often each consumer reads them all.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// One JSON object at the end.
    #[arg(long)]
    json: bool,
    /// What cargo bench adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let Ok(broker) = std::env::var("CATCHER_TEST_KAFKA_BROKER") else {
        println!("throughput: skipped, CATCHER_TEST_KAFKA_BROKER is not set (scripts/bench starts a broker)");
        return Ok(());
    };
    let registry = std::env::var("CATCHER_TEST_REGISTRY_URL")?;
    let stamp = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let subname = format!("bench_{stamp}_{}", std::process::id());
    let mix = mix::Mix::new(&subname)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;

    let start = Instant::now();
    let counts = runtime.block_on(produce::produce(&broker, &registry, &mix, args.records))?;
    let seconds = start.elapsed().as_secs_f64();
    println!("produced {} records in {seconds:.1} s under {subname}", counts.values().sum::<u64>());
    print_mix(&counts);

    let vars = [
        ("LSST_TOPIC_SUBNAME".to_owned(), subname.clone()),
        ("LSST_KAFKA_BROKER_ADDR".to_owned(), broker.clone()),
        ("LSST_SCHEMA_REGISTRY_URL".to_owned(), registry.clone()),
    ];
    let env = Env::from_vars(vars)?;
    let mut figures = Figures::default();
    for round in 1..=args.rounds {
        let bare = bare::run(&env, &mix.topics(), args.records)?;
        println!("round {round}: bare consumer {:>9.0} messages/s", bare);
        figures.bare.push(bare);
        let outcome = runtime.block_on(engine::run(&env, &mix.topics(), args.records))?;
        println!(
            "round {round}: with engine   {:>9.0} messages/s, {:.0} evaluations/s of {} rules, {} runs, {} severities, {} syncs",
            outcome.rate,
            outcome.evaluation_rate,
            outcome.rules,
            outcome.runs,
            outcome.severities,
            outcome.syncs
        );
        figures.engine.push(outcome);
        let outcome = runtime.block_on(core_loop::run(&env, &mix.topics(), args.records))?;
        println!(
            "round {round}: whole core    {:>9.0} messages/s, {} events about alarms, {} about tasks",
            outcome.rate, outcome.alarms, outcome.tasks
        );
        figures.core.push(outcome);
    }
    runtime.block_on(produce::remove(&broker, &mix.topics()))?;
    figures.report(&args, &counts);
    Ok(())
}

/// The settings of the Catcher's own consumer, fetch settings too; nothing is committed.
pub(crate) fn consumer_config(env: &Env, group: &str) -> ClientConfig {
    let mut config: ClientConfig = env.consumer_properties(group).into_iter().collect();
    config.set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
    config
}

fn print_mix(counts: &BTreeMap<String, u64>) {
    for (topic, count) in counts {
        println!("  {count:>9}  {topic}");
    }
}

/// Messages per second of every round.
#[derive(Default)]
struct Figures {
    bare: Vec<f64>,
    engine: Vec<engine::Outcome>,
    core: Vec<core_loop::Outcome>,
}

impl Figures {
    fn report(&self, args: &Args, counts: &BTreeMap<String, u64>) {
        let bare = median(&self.bare);
        let engine = median(&self.engine.iter().map(|outcome| outcome.rate).collect::<Vec<_>>());
        let core = median(&self.core.iter().map(|outcome| outcome.rate).collect::<Vec<_>>());
        let ratio = engine / bare;
        let core_ratio = core / bare;
        println!(
            "median of {}: bare {bare:.0} messages/s, with engine {engine:.0} messages/s, ratio {ratio:.2}",
            self.bare.len()
        );
        println!("  whole core loop {core:.0} messages/s, ratio {core_ratio:.2}");
        if args.json {
            let medians = serde_json::json!({"bare": bare, "engine": engine, "ratio": ratio, "core": core, "core_ratio": core_ratio});
            println!(
                "{}",
                serde_json::json!({"records": counts, "bare": self.bare, "engine": self.engine, "core": self.core, "medians": medians})
            );
        }
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
