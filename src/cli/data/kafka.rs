//! From the bus into a recording: what is still there from a time or an offset on, or what comes from now on.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufWriter;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use sal_idl::names::kafka_topic;
use salobj::transport::{Batch, BatchItem, ReadEvent, RecordRef, StartAt};
use salobj::wire::unframe;
use salobj::{Clock, Env, Tai};

use super::Needs;
use super::sort::{Owned, OwnedBody, Sorter};
use crate::app::recorder::{declared, session};
use crate::cli::outside::Bus;
use crate::cli::progress::Progress;
use crate::replay::archive::{Body, ItemRef, RecordRef as Kept, Writer};
use crate::rules::{History, Source};

/// How long the bus may be silent before it is given up, real time.
const PATIENCE: Duration = Duration::from_secs(30);

/// After the last assignment so long is waited for more of them.
const SETTLE: Duration = Duration::from_millis(800);

/// Records before the begin that are read for the latched values of topics without windows.
const BACK: i64 = 500;

/// Where to begin.
#[derive(Debug, Clone, Copy)]
pub(super) enum Start {
    Time(Tai),
    Offset(i64),
}

/// What is read.
pub(super) struct Range {
    pub(super) start: Start,
    pub(super) to: Option<Tai>,
}

/// One topic, as needs name it, and how much of the past before the begin is wanted.
#[derive(Debug, Clone)]
pub(in crate::cli) struct Wanted {
    pub(in crate::cli) component: String,
    pub(in crate::cli) sal_name: String,
    pub(in crate::cli) history: History,
}

impl Wanted {
    pub(in crate::cli) fn of(needs: &Needs) -> Vec<Wanted> {
        let mut all: BTreeMap<(String, String), History> = BTreeMap::new();
        let topics = needs.topics.iter().map(|t| (&t.component, &t.sal_name, t.history));
        let series =
            needs.series.iter().map(|s| (&s.component, &s.sal_name, History { span: s.span, count: 0 }));
        for (component, sal_name, history) in topics.chain(series) {
            let known = all.entry((component.clone(), sal_name.clone())).or_default();
            known.span = known.span.max(history.span);
            known.count = known.count.max(history.count);
        }
        let wanted = |((component, sal_name), history)| Wanted { component, sal_name, history };
        all.into_iter().map(wanted).collect()
    }

    /// Name of the topic on a bus.
    fn topic(&self, subname: &str) -> String {
        match Source::of(&self.component, &self.sal_name) {
            Source::Kafka(name, _) => name.to_owned(),
            _ => kafka_topic(subname, &self.component, &self.sal_name),
        }
    }

    /// Records before the begin that are read for latched values and windows that count.
    fn back(&self) -> i64 {
        BACK.max(i64::try_from(self.history.count).unwrap_or(i64::MAX / 4).saturating_mul(4))
    }
}

/// What was read.
pub(super) struct Fetched {
    pub(super) from: Option<Tai>,
    pub(super) notes: Vec<String>,
}

impl Bus {
    /// Names of the topics that there are, with what is wanted of each; what is missing as sentences.
    async fn topics(&self, wanted: &[Wanted]) -> anyhow::Result<(Vec<(String, Wanted)>, Vec<String>)> {
        let known: BTreeSet<String> = self.transport.list_topics().await?.into_iter().collect();
        let (mut there, mut notes) = (Vec::new(), Vec::new());
        for one in wanted {
            let name = one.topic(&self.env.topic_subname);
            if known.contains(&name) {
                there.push((name, one.clone()));
            } else {
                notes.push(format!("the bus has no topic {name}"));
            }
        }
        if there.is_empty() {
            bail!("none of the topics is on this bus: {}", notes.join("; "));
        }
        Ok((there, notes))
    }

    /// Name of a consumer group of our own.
    pub(in crate::cli) fn group(&self, what: &str) -> String {
        format!("catcher-{what}-{}-{}", std::process::id(), Clock::System.now().utc_ms())
    }
}

/// Begin and end of each partition, found by assigning a reader and letting it go.
type Places = BTreeMap<(usize, i32), (i64, i64, i64)>;

async fn places(bus: &Bus, starts: &[(String, StartAt)]) -> anyhow::Result<Places> {
    let mut reader = bus.transport.reader(&bus.group("look"), starts).await?;
    let mut found = Places::new();
    let mut topics = BTreeSet::new();
    loop {
        let patience = if topics.len() == starts.len() { SETTLE } else { PATIENCE };
        match tokio::time::timeout(patience, reader.next()).await {
            Ok(ReadEvent::Assigned { topic, partition, low, high, start }) => {
                let Some(at) = starts.iter().position(|(name, _)| **name == *topic) else { continue };
                topics.insert(at);
                found.insert((at, partition), (low, high, start));
            }
            Ok(ReadEvent::Trouble(error)) => tracing::warn!("reading the bus: {error}"),
            Ok(ReadEvent::Record(_) | ReadEvent::CaughtUp { .. }) if topics.len() == starts.len() => break,
            Ok(ReadEvent::Record(_) | ReadEvent::CaughtUp { .. }) => {}
            Err(_) if topics.len() == starts.len() => break,
            Err(_) => bail!("the bus assigned nothing within {} s", PATIENCE.as_secs()),
        }
    }
    reader.close().await;
    Ok(found)
}

/// Reads the range of these topics into a recording in the order of time.
pub(super) async fn fetch(
    bus: &Bus,
    wanted: &[Wanted],
    range: &Range,
    path: &Path,
    quiet: bool,
) -> anyhow::Result<Fetched> {
    let (topics, notes) = bus.topics(wanted).await?;
    let looks: Vec<(String, StartAt)> = topics
        .iter()
        .map(|(name, wanted)| {
            let start = match range.start {
                Start::Time(from) => StartAt::Time((from - wanted.history.span).utc_ms()),
                Start::Offset(offset) => StartAt::Offset(offset),
            };
            (name.clone(), start)
        })
        .collect();
    let places = places(bus, &looks).await?;
    let timed = matches!(range.start, Start::Time(_));
    let starts: Vec<(String, StartAt)> = topics
        .iter()
        .enumerate()
        .map(|(at, (name, wanted))| {
            let back = if timed { wanted.back() } else { 0 };
            let own = places.iter().filter(|((topic, _), _)| *topic == at);
            let positions = own.map(|((_, p), (low, _, start))| (*p, (start - back).max(*low)));
            (name.clone(), StartAt::Positions(positions.collect()))
        })
        .collect();
    // What is there now ends each partition; an empty one has ended already.
    let mut left: BTreeMap<(usize, i32), i64> = places
        .iter()
        .filter(|(_, (low, high, _))| high > low)
        .map(|(key, (_, high, _))| (*key, *high))
        .collect();
    let total = places.values().map(|(_, high, start)| (high - start).max(0) as u64).sum();
    let mut progress = Progress::new("reading the bus", total, quiet);
    let from = match range.start {
        Start::Time(from) => Some(from),
        Start::Offset(_) => None,
    };
    let began = from.unwrap_or_default();
    let decls = topics.iter().map(|(name, _)| declared(name)).collect();
    let mut sorter = Sorter::new(decls, session("kafka", began, &bus.env))?;
    let mut reader = bus.transport.reader(&bus.group("replay"), &starts).await?;
    let mut batch = Batch::default();
    let (mut read, mut first) = (0_u64, f64::INFINITY);
    while !left.is_empty() {
        let came = tokio::time::timeout(PATIENCE, reader.next_batch(&mut batch)).await;
        came.with_context(|| format!("the bus gave nothing for {} s", PATIENCE.as_secs()))?;
        while let Some(item) = batch.pop() {
            match item {
                BatchItem::Record(record) => {
                    let key = (record.topic, record.partition);
                    let received = time_of(&record);
                    let over = range.to.is_some_and(|to| received.0 > to.0);
                    if over || left.get(&key).is_some_and(|high| record.offset + 1 >= *high) {
                        left.remove(&key);
                    }
                    read += 1;
                    progress.step(read, || received.utc_iso());
                    if over {
                        continue;
                    }
                    learn(bus, &record, &mut sorter).await?;
                    first = first.min(received.0);
                    let live = from.is_none_or(|from| received.0 >= from.0);
                    sorter.push(owned(&record, received, live))?;
                }
                BatchItem::Event(ReadEvent::CaughtUp { topic, partition }) => {
                    if let Some(at) = starts.iter().position(|(name, _)| **name == *topic) {
                        left.remove(&(at, partition));
                    }
                }
                BatchItem::Event(ReadEvent::Trouble(error)) => tracing::warn!("reading the bus: {error}"),
                BatchItem::Event(_) => {}
            }
        }
    }
    reader.close().await;
    sorter.finish(path)?;
    let from = from.or_else(|| first.is_finite().then_some(Tai(first)));
    Ok(Fetched { from, notes })
}

/// When a live Catcher would have seen a record that was there before: when the broker or its producer stamped it.
fn time_of(record: &RecordRef<'_>) -> Tai {
    // Stamps are whole milliseconds; nothing is seen before it was sent.
    Tai::from_utc_ms(record.timestamp_ms.unwrap_or(0) + 1)
}

fn owned(record: &RecordRef<'_>, received: Tai, live: bool) -> Owned {
    Owned {
        topic: record.topic,
        partition: record.partition,
        offset: record.offset,
        timestamp_ms: record.timestamp_ms,
        received,
        live,
        body: record.value.map_or(OwnedBody::None, |value| OwnedBody::Avro(value.to_vec())),
    }
}

async fn learn(bus: &Bus, record: &RecordRef<'_>, sorter: &mut Sorter) -> anyhow::Result<()> {
    let Some((id, _)) = record.value.and_then(|value| unframe(value).ok()) else { return Ok(()) };
    if !sorter.knows(id) {
        let text = bus.transport.schema_by_id(id).await?;
        sorter.schema(id, &text);
    }
    Ok(())
}

/// Records what comes from now on, and what a Catcher that starts now would read of the past, until `limit` is over or
/// `stop` comes; the number of records.
pub(in crate::cli) async fn record_live(
    bus: &Bus,
    wanted: &[Wanted],
    mut writer: impl FnMut(&Env, Tai) -> anyhow::Result<Writer<BufWriter<File>>>,
    limit: Option<Duration>,
    stop: impl Future<Output = ()>,
    quiet: bool,
) -> anyhow::Result<(u64, Vec<String>)> {
    let (topics, notes) = bus.topics(wanted).await?;
    let clock = Clock::System;
    let began = clock.now();
    let mut writer = writer(&bus.env, began)?;
    let starts: Vec<(String, StartAt)> = topics
        .iter()
        .map(|(name, wanted)| {
            let timed = StartAt::Time((began - wanted.history.span).utc_ms());
            let event = wanted.sal_name.starts_with("logevent_");
            let back = StartAt::Back(wanted.back().unsigned_abs());
            (name.clone(), if wanted.history.span.is_zero() || event { back } else { timed })
        })
        .collect();
    let numbers: Vec<u32> = topics.iter().map(|(name, _)| writer.topic(&declared(name))).collect();
    let mut reader = bus.transport.reader(&bus.group("record"), &starts).await?;
    let mut highs: BTreeMap<(usize, i32), i64> = BTreeMap::new();
    let mut schemas = BTreeSet::new();
    let mut batch = Batch::default();
    let mut progress = Progress::new("recording", limit.map_or(0, |l| l.as_secs()), quiet);
    let mut records = 0;
    let until = limit.map_or(Tai(f64::INFINITY), |limit| began + limit);
    let mut stop = std::pin::pin!(stop);
    let mut flush_at = began + Duration::from_secs(2);
    loop {
        tokio::select! {
            () = reader.next_batch(&mut batch) => {}
            () = clock.sleep_until(Tai(until.0.min(flush_at.0))) => {}
            () = &mut stop => break,
        }
        let now = clock.now();
        while let Some(item) = batch.pop() {
            match item {
                BatchItem::Record(record) => {
                    if let Some((id, _)) = record.value.and_then(|value| unframe(value).ok())
                        && schemas.insert(id)
                    {
                        writer.schema(id, &bus.transport.schema_by_id(id).await?);
                    }
                    let high = highs.get(&(record.topic, record.partition)).copied().unwrap_or(0);
                    let live = record.offset >= high;
                    let kept = Kept {
                        topic: numbers[record.topic],
                        partition: record.partition,
                        offset: record.offset,
                        timestamp_ms: record.timestamp_ms,
                        received: if live { now } else { Tai(time_of(&record).0.min(began.0)) },
                        live,
                        body: record.value.map_or(Body::None, Body::Avro),
                    };
                    writer.push(&ItemRef::Record(kept))?;
                    records += 1;
                }
                BatchItem::Event(ReadEvent::Assigned { topic, partition, high, .. }) => {
                    if let Some(at) = starts.iter().position(|(name, _)| **name == *topic) {
                        highs.entry((at, partition)).or_insert(high);
                    }
                }
                BatchItem::Event(ReadEvent::Trouble(error)) => tracing::warn!("reading the bus: {error}"),
                BatchItem::Event(_) => {}
            }
        }
        progress.step((now - began) as u64, || format!("{records} records"));
        if now.0 >= flush_at.0 {
            writer.flush()?;
            flush_at = now + Duration::from_secs(2);
        }
        if now.0 >= until.0 {
            break;
        }
    }
    writer.finish()?;
    reader.close().await;
    Ok((records, notes))
}
