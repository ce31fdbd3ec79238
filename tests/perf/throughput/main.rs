//! Messages per second from a real broker: a bare rdkafka consumer against the Catcher's intake and engine, in the same run.
//!
//! ```text
//!  produce ──► broker (8 SAL topics, the real mix) ──► bare: poll, count                       ┐ alternating,
//!                                                  └─► engine: intake, 215 rules, journal      ┘ same fetch settings
//! ```
//! `scripts/bench` starts the broker and runs this; without `CATCHER_TEST_KAFKA_BROKER` it says so and does nothing, so that
//! `cargo bench` works anywhere. Arguments: `--records N` (1000000), `--rounds N` (3), `--json`.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]

mod bare;
mod mix;
mod produce;

use std::collections::BTreeMap;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use rdkafka::ClientConfig;

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

    let mut figures = Figures::default();
    for round in 1..=args.rounds {
        let bare = bare::run(&broker, &mix.topics(), args.records)?;
        println!("round {round}: bare consumer {:>9.0} messages/s", bare);
        figures.bare.push(bare);
    }
    runtime.block_on(produce::remove(&broker, &mix.topics()))?;
    figures.report(&args, &counts);
    Ok(())
}

/// Fetch settings that both consumers share: those of the Catcher's own reader, and nothing committed.
pub(crate) fn consumer_config(broker: &str, group: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", broker)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed");
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
}

impl Figures {
    fn report(&self, args: &Args, counts: &BTreeMap<String, u64>) {
        let bare = median(&self.bare);
        println!("bare consumer, median of {}: {bare:.0} messages/s", self.bare.len());
        if args.json {
            println!("{}", serde_json::json!({"records": counts, "bare": self.bare, "bare_median": bare}));
        }
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
