//! `catcher topics tail`: messages as they come, decoded with the schemas that the registry has for them.
//!
//! Units and names of enumerations are those of the interfaces where these have the topic. What was there before (`--since`,
//! `--last`) is shown in the order of its stamps, then what comes, as it comes.

mod show;

use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use salobj::transport::{Batch, BatchItem, ReadEvent, RecordRef, StartAt, Transport};
use salobj::wire::{AnyRecord, unframe};
use salobj::{Clock, Tai};
use serde_json::{Map, Value as Json};

use self::show::Printer;
use super::XmlDir;
use super::record::limit;
use super::which::{Chosen, Named, chosen};
use crate::cli::data::time;
use crate::cli::outside::Outside;

/// Messages of the past that are put in order before they are shown; more are shown as they come.
const SORTED: usize = 20_000;

/// Arguments of `catcher topics tail`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Topics as rules name them (ESS:301.tel_airFlow, ATCamera.evt_endReadout), patterns ('ESS.*', '*.evt_summaryState'),
    /// or names on the bus (lsst.square.metric).
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Only these fields: speed, direction, `temperatureItem[3]`, run.visit.
    #[arg(long, value_name = "FIELD,...", value_delimiter = ',')]
    fields: Vec<String>,
    /// First what was there since then: UTC (`2026-11-21T03:00`), or so long ago (`-10m`).
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// First the last so many of each partition.
    #[arg(long, short = 'n', value_name = "N", conflicts_with = "since")]
    last: Option<u64>,
    /// End after so many messages.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// How long: 10m, 8h. Until Ctrl-C without it.
    #[arg(long = "for", value_name = "TIME", value_parser = limit)]
    limit: Option<Duration>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// Show long lists and texts whole, and the private fields too.
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    xml: XmlDir,
}

/// A message, decoded.
struct Message {
    /// Place among the chosen topics.
    topic: usize,
    /// When it was sent; the record's own timestamp where it does not say.
    stamp: Tai,
    sal_index: i64,
    partition: i32,
    offset: i64,
    /// Why it could not be read, if it could not.
    fields: Result<Map<String, Json>, String>,
}

/// Shows messages until there were enough, the time is over, or `stop` comes.
pub(in crate::cli) async fn run(
    args: &Args,
    outside: &Outside,
    stop: impl Future<Output = ()>,
    colour: bool,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let bus = outside.bus()?;
    let library = args.xml.library()?;
    let named: Vec<Named> = args.topics.iter().map(|t| Named::read(t)).collect::<Result<_, _>>()?;
    let known = bus.transport.list_topics().await?;
    let topics = chosen(&named, &known, &bus.env.topic_subname, &library)?;
    let absent = topics.iter().filter(|t| !t.there);
    crate::cli::tell(
        &absent.map(|t| format!("{} is not on the bus yet: it is waited for", t.kafka)).collect::<Vec<_>>(),
    );
    let clock = Clock::System;
    let now = clock.now();
    let start = match (&args.since, args.last) {
        (Some(since), _) => StartAt::Time(time(since, now)?.utc_ms()),
        (None, Some(last)) => StartAt::Back(last),
        (None, None) => StartAt::End,
    };
    let starts: Vec<(String, StartAt)> = topics.iter().map(|t| (t.kafka.clone(), start.clone())).collect();
    let mut reader = bus.transport.reader(&bus.group("tail"), &starts).await?;
    let mut past = Past::new(&topics);
    let mut desk = Desk {
        schemas: HashMap::new(),
        transport: Arc::clone(&bus.transport),
        printer: Printer::new(&topics, &library, args, colour),
        topics: &topics,
        left: args.count.unwrap_or(u64::MAX),
    };
    let until = args.limit.map_or(Tai(f64::INFINITY), |limit| now + limit);
    let mut stop = std::pin::pin!(stop);
    let mut batch = Batch::default();
    while desk.left > 0 {
        tokio::select! {
            () = reader.next_batch(&mut batch) => {}
            () = clock.sleep_until(until) => break,
            () = &mut stop => break,
        }
        while let Some(item) = batch.pop() {
            match item {
                BatchItem::Record(record) => {
                    if let Some(message) = desk.read(&record).await? {
                        past.take(message, &mut desk, out)?;
                    }
                }
                BatchItem::Event(event) => past.event(&event, &mut desk, out)?,
            }
        }
        out.flush()?;
    }
    past.show(&mut desk, out)?;
    out.flush()?;
    reader.close().await;
    Ok(())
}

/// Decodes and shows.
struct Desk<'a> {
    schemas: HashMap<u32, Result<AnyRecord, String>>,
    transport: Arc<dyn Transport>,
    printer: Printer,
    topics: &'a [Chosen],
    /// Messages that are still to be shown.
    left: u64,
}

impl Desk<'_> {
    /// The message of a record; `None` if it is of an instance that is not wanted, or a tombstone.
    async fn read(&mut self, record: &RecordRef<'_>) -> anyhow::Result<Option<Message>> {
        let Some(value) = record.value else { return Ok(None) };
        let topic = &self.topics[record.topic];
        let fields = match unframe(value) {
            Ok((id, body)) => {
                if !self.schemas.contains_key(&id) {
                    let text = self.transport.schema_by_id(id).await;
                    let reader = text
                        .map_err(|e| e.to_string())
                        .and_then(|text| AnyRecord::new(&text).map_err(|e| e.to_string()));
                    self.schemas.insert(id, reader);
                }
                match &self.schemas[&id] {
                    Ok(reader) => {
                        self.printer.learn(record.topic, reader);
                        reader.decode(body).map_err(|e| e.to_string())
                    }
                    Err(reason) => Err(reason.clone()),
                }
            }
            Err(error) => Err(error.to_string()),
        };
        let number = |name: &str| fields.as_ref().ok().and_then(|f| f.get(name)).and_then(Json::as_f64);
        let sal_index = if topic.sal.is_some() { number("salIndex").unwrap_or(0.0) as i64 } else { 0 };
        if fields.is_ok() && !topic.indices.is_empty() && !topic.indices.contains(&sal_index) {
            return Ok(None);
        }
        let sent = number("private_sndStamp").filter(|stamp| topic.sal.is_some() && *stamp > 0.0);
        let stamp = sent.map_or_else(|| Tai::from_utc_ms(record.timestamp_ms.unwrap_or(0)), Tai);
        let (partition, offset) = (record.partition, record.offset);
        Ok(Some(Message { topic: record.topic, stamp, sal_index, partition, offset, fields }))
    }

    fn show(&mut self, message: &Message, out: &mut impl Write) -> anyhow::Result<()> {
        if self.left > 0 {
            self.left -= 1;
            self.printer.message(message, out)?;
        }
        Ok(())
    }
}

/// What was there when we came: kept until all of it has been read, to be shown in order.
struct Past {
    /// Topics of which no partition is assigned yet, and partitions whose past is being read.
    unassigned: BTreeSet<String>,
    reading: BTreeSet<(String, i32)>,
    kept: Vec<Message>,
    over: bool,
}

impl Past {
    fn new(topics: &[Chosen]) -> Past {
        let there = topics.iter().filter(|t| t.there);
        let unassigned: BTreeSet<String> = there.map(|t| t.kafka.clone()).collect();
        Past { over: unassigned.is_empty(), unassigned, reading: BTreeSet::new(), kept: Vec::new() }
    }

    fn take(&mut self, message: Message, desk: &mut Desk<'_>, out: &mut impl Write) -> anyhow::Result<()> {
        if self.over {
            return desk.show(&message, out);
        }
        self.kept.push(message);
        if self.kept.len() >= SORTED { self.show(desk, out) } else { Ok(()) }
    }

    fn event(&mut self, event: &ReadEvent, desk: &mut Desk<'_>, out: &mut impl Write) -> anyhow::Result<()> {
        match event {
            ReadEvent::Assigned { topic, partition, high, start, .. } if !self.over => {
                self.unassigned.remove(&**topic);
                if high > start {
                    self.reading.insert((topic.to_string(), *partition));
                }
            }
            ReadEvent::CaughtUp { topic, partition } => {
                self.reading.remove(&(topic.to_string(), *partition));
            }
            ReadEvent::Trouble(error) => crate::cli::tell(&[format!("reading the bus: {error}")]),
            ReadEvent::Assigned { .. } | ReadEvent::Record(_) => {}
        }
        if !self.over && self.unassigned.is_empty() && self.reading.is_empty() {
            self.show(desk, out)
        } else {
            Ok(())
        }
    }

    /// The past is over, as far as it is kept.
    fn show(&mut self, desk: &mut Desk<'_>, out: &mut impl Write) -> anyhow::Result<()> {
        self.over = true;
        self.kept.sort_by(|a, b| a.stamp.0.total_cmp(&b.stamp.0));
        self.kept.drain(..).try_for_each(|message| desk.show(&message, out))
    }
}
