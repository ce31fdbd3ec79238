//! A synthetic night through `catcher replay`'s engine: 10 h of the traffic that 215 rules read, 150 messages a second.
//! `cargo bench --bench replay`; `-- --records N` for fewer, `--json` for one object.
//!
//! The recording is made first (not measured), with the mix of records of the throughput benchmark; then it is read,
//! unpacked, decoded and played on one thread, as the program does it.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]

#[path = "throughput/mix.rs"]
mod mix;
#[path = "throughput/rules.rs"]
mod rules;

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;
use std::time::Instant;

use anyhow::ensure;
use catcher::core::Settings;
use catcher::replay::archive::{Body, ItemRef, Reader, RecordRef, Session, TopicDecl, Writer};
use catcher::replay::{Answers, Replay, Span, What};
use clap::Parser;
use sal_idl::Library;
use salobj::Tai;
use salobj::wire::Encoder;

/// What to measure.
#[derive(Parser)]
struct Args {
    /// Records of the night.
    #[arg(long, default_value_t = 5_400_000)]
    records: u64,
    /// Records in a second of it.
    #[arg(long, default_value_t = 150.0)]
    rate: f64,
    /// One JSON object.
    #[arg(long)]
    json: bool,
    /// What cargo bench adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("night.catcher");
    let begun = Instant::now();
    record(&path, &args)?;
    let made_s = begun.elapsed().as_secs_f64();
    let bytes = std::fs::metadata(&path)?.len();
    let night_s = args.records as f64 / args.rate;
    if !args.json {
        println!(
            "{} records of {:.1} h, {} MB, made in {made_s:.1} s",
            args.records,
            night_s / 3600.0,
            bytes >> 20
        );
    }
    let begun = Instant::now();
    let (samples, severities, runs) = replay(&path, begin(), args.records)?;
    let replay_s = begun.elapsed().as_secs_f64();
    ensure!(severities > 0 && runs > 0, "nothing happened: {severities} severities, {runs} runs");
    let rate = args.records as f64 / replay_s;
    if args.json {
        let figures = serde_json::json!({
            "records": args.records, "night_s": night_s, "replay_s": replay_s, "records_per_s": rate,
            "times_as_fast": night_s / replay_s, "severities": severities, "runs": runs, "bytes": bytes,
        });
        println!("{figures}");
    } else {
        println!(
            "replayed in {replay_s:.1} s: {rate:.0} records/s, {:.0} times as fast; {samples} samples, {severities} severities, {runs} runs",
            night_s / replay_s
        );
    }
    Ok(())
}

fn begin() -> f64 {
    1_795_219_237.0
}

fn record(path: &Path, args: &Args) -> anyhow::Result<()> {
    let mix = mix::Mix::new("bench")?;
    let session =
        Session { source: "bench".into(), subname: "bench".into(), began: begin(), ..Session::default() };
    let mut writer = Writer::create(BufWriter::new(File::create(path)?), &session)?;
    let mut parts = Vec::new();
    for (id, part) in (1..).zip(&mix.parts) {
        debug_assert!(part.subject.starts_with(&part.name));
        writer.schema(id, &part.topic.schema_compact);
        let number = writer.topic(&TopicDecl {
            name: part.name.clone(),
            component: part.topic.component.clone(),
            sal_name: part.topic.sal_name.clone(),
            ..TopicDecl::default()
        });
        parts.push((id, number, Encoder::new(part.topic.clone())?));
    }
    ensure!(mix.topics().len() == parts.len(), "every topic has its encoder");
    let mut offsets = vec![0_i64; parts.len()];
    for n in 0..args.records {
        let at = mix.turns[(n % mix.turns.len() as u64) as usize];
        let (id, topic, encoder) = &parts[at];
        let sent = begin() + n as f64 / args.rate;
        let value = encoder.encode(*id, &mix::values(encoder.topic(), n, sent))?;
        let record = RecordRef {
            topic: *topic,
            partition: 0,
            offset: offsets[at],
            timestamp_ms: Some(Tai(sent).utc_ms()),
            received: Tai(sent + 2e-3),
            live: true,
            body: Body::Avro(&value),
        };
        offsets[at] += 1;
        writer.push(&ItemRef::Record(record))?;
    }
    writer.finish()?;
    Ok(())
}

/// Samples, severities and runs.
fn replay(path: &Path, from: f64, records: u64) -> anyhow::Result<(u64, usize, usize)> {
    let library = Library::embedded();
    let rules = rules::compiled()?;
    ensure!(rules.len() == 215, "{} rules", rules.len());
    let span = Span { from: Tai(from), to: Tai(f64::INFINITY) };
    let mut replay = Replay::new(rules, Settings::default(), Answers::default(), &library, span);
    let mut reader = Reader::open(BufReader::with_capacity(1 << 20, File::open(path)?))?;
    while let Some(item) = reader.next_item()? {
        replay.item(&item)?;
    }
    let counts = replay.counts();
    ensure!(counts.records == records && counts.errors == 0, "{counts:?}");
    let count = |is: fn(&What) -> bool| replay.transitions().iter().filter(|t| is(&t.what)).count();
    let severities = count(|what| matches!(what, What::Severity { .. }));
    Ok((counts.samples, severities, count(|what| matches!(what, What::RunStarted { .. }))))
}
