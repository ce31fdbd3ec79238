//! A synthetic night through `catcher replay`'s engine: 10 h of the traffic that 215 rules read, 150 messages a second.
//! `cargo bench --bench replay`; `-- --records N` for fewer, `--json` for one object.
//!
//! The recording is made first (not measured), with the mix of records of the throughput benchmark; then it is read,
//! unpacked, decoded and played on one thread, as the program does it.
//!
//! The reference reads a part of the same recording, decodes the same fields, and gives the conditions of the same rules to
//! the `cel` crate's interpreter, windows recomputed from their values. It has no alarms, runs, hysteresis or silence.
//! Without `--bench` (as under `cargo test --bench replay`) 5400 records are enough to see that the counts are right.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the real clock")]

#[path = "throughput/mix.rs"]
mod mix;
#[path = "replay/reference.rs"]
mod reference;
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
    /// Records of the night; 5.4 million, without --bench 5400.
    #[arg(long)]
    records: Option<u64>,
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
    let night = Night {
        records: args.records.unwrap_or(if args.bench { 5_400_000 } else { 5_400 }),
        rate: args.rate,
    };
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("night.catcher");
    let begun = Instant::now();
    record(&path, &night)?;
    let made_s = begun.elapsed().as_secs_f64();
    let bytes = std::fs::metadata(&path)?.len();
    let night_s = night.records as f64 / night.rate;
    if !args.json {
        println!(
            "{} records of {:.1} h, {} MB, made in {made_s:.1} s",
            night.records,
            night_s / 3600.0,
            bytes >> 20
        );
    }
    let begun = Instant::now();
    let (samples, severities, runs) = replay(&path, begin(), night.records)?;
    let replay_s = begun.elapsed().as_secs_f64();
    ensure!(
        severities > 0 && (runs > 0 || !args.bench),
        "nothing happened: {severities} severities, {runs} runs"
    );
    let rate = night.records as f64 / replay_s;
    let part = (night.records / 20).max(5_000);
    let interpreted = reference::rate(&path, part)?;
    let aim_s = 36.0 * night.records as f64 / 5_400_000.0;
    if args.json {
        let figures = serde_json::json!({
            "records": args.records, "night_s": night_s, "replay_s": replay_s, "records_per_s": rate,
            "times_as_fast": night_s / replay_s, "severities": severities, "runs": runs, "bytes": bytes, "aim_s": aim_s, "reached": replay_s <= aim_s,
            "reference_records_per_s": interpreted, "ratio": rate / interpreted,
        });
        println!("{figures}");
    } else {
        println!(
            "replayed in {replay_s:.1} s: {rate:.0} records/s, {:.0} times as fast; {samples} samples, {severities} severities, {runs} runs",
            night_s / replay_s
        );
        let word = if replay_s <= aim_s { "reached" } else { "NOT REACHED" };
        println!(
            "aim at most {aim_s:.1} s: {word}; cel on the same records {interpreted:.0} records/s: ratio {:.2}",
            rate / interpreted
        );
    }
    Ok(())
}

/// What is recorded.
struct Night {
    records: u64,
    rate: f64,
}

fn begin() -> f64 {
    1_795_219_237.0
}

fn record(path: &Path, night: &Night) -> anyhow::Result<()> {
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
    for n in 0..night.records {
        let at = mix.turns[(n % mix.turns.len() as u64) as usize];
        let (id, topic, encoder) = &parts[at];
        let sent = begin() + n as f64 / night.rate;
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
