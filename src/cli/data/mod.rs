//! Past data for `catcher replay`, `rules diff`, `rules tune`: a recording, or one that is made of what Kafka or the EFD
//! still have.

mod efd;
mod kafka;
mod sort;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use salobj::{Clock, Tai};
use serde_json::Value as Json;

use super::outside::Outside;
use super::progress::Progress;
use super::schemas::Interfaces;
use crate::intake::SeriesNeed;
use crate::replay::archive::{ItemRef, Reader, Summary, scan};
use crate::replay::{QueryRows, RecordedSchemas, Replay, Span, other_schemas};
use crate::rules::{EfdQuery, Engine, Rule, SchemaSource, Source, SourceFile, TopicNeed};

pub(super) use kafka::{Wanted, record_live};

/// What every command has that plays rules on the past.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Played {
    #[command(flatten)]
    pub(super) data: Data,
    /// Print JSON.
    #[arg(long)]
    pub(super) json: bool,
    /// Also write a page with a plot.
    #[arg(long, value_name = "FILE")]
    pub(super) plot: Option<PathBuf>,
    #[command(flatten)]
    pub(super) interfaces: Interfaces,
}

/// Where the past comes from.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Data {
    /// A recording (`catcher topics record`, `run_catcher --record`).
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// Begin: UTC (`2026-11-21T03:00`), or so long ago (`-8h`). The name of a recording is taken as --data.
    #[arg(long, value_name = "TIME|FILE", allow_hyphen_values = true)]
    from: Option<String>,
    /// End, as --from; the end of the data without it.
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
    /// Read the bus (LSST_KAFKA_BROKER_ADDR, ...) from this time or offset on, to --to or to its end.
    #[arg(long, value_name = "TIME|OFFSET", allow_hyphen_values = true, conflicts_with = "data")]
    from_kafka: Option<String>,
    /// Read the EFD from --from to --to; beside --data or --from-kafka: only what rules ask of the EFD. A YAML file with an
    /// `efd` configuration (see config_schema/Catcher.yaml), or the address of an InfluxDB 2 (then INFLUX_ORG, INFLUX_BUCKET
    /// and INFLUX_TOKEN say the rest).
    #[arg(long, value_name = "FILE|URL")]
    efd: Option<String>,
}

/// Data that can be replayed.
pub(super) struct Opened {
    pub(super) path: PathBuf,
    pub(super) span: Span,
    pub(super) summary: Summary,
    /// What should be known about them, as sentences.
    pub(super) notes: Vec<String>,
    /// What the EFD had of what rules ask.
    queries: Vec<Arc<QueryRows>>,
    _folder: Option<tempfile::TempDir>,
}

/// What rules read.
#[derive(Default)]
pub(super) struct Needs {
    /// On the bus.
    pub(super) topics: Vec<TopicNeed>,
    pub(super) series: Vec<SeriesNeed>,
    /// Of the EFD.
    pub(super) queries: BTreeMap<String, EfdQuery>,
}

impl Needs {
    pub(super) fn of(rules: &[Arc<Rule>]) -> Needs {
        let engine = Engine::new(rules, Tai::default());
        let mut needs =
            Needs { series: SeriesNeed::of_rules(rules.iter().map(Arc::as_ref)), ..Needs::default() };
        for topic in &engine.subscriptions().topics {
            match topic.source() {
                Source::Sal | Source::Kafka(..) => needs.topics.push(topic.clone()),
                Source::Efd(text) => {
                    needs.queries.extend(EfdQuery::parse(text).map(|q| (text.to_owned(), q)))
                }
                // The rules themselves say what they are.
                Source::Task(_) | Source::Alarm(_) => {}
            }
        }
        needs
    }

    /// What any of these sets of rules reads. (Several may have a rule of the same name, which one engine may not.)
    pub(super) fn of_all<'a>(sets: impl IntoIterator<Item = &'a [Arc<Rule>]>) -> Needs {
        let mut all = Needs::default();
        for set in sets {
            let more = Needs::of(set);
            all.topics.extend(more.topics);
            all.series.extend(more.series);
            all.queries.extend(more.queries);
        }
        all
    }
}

impl Data {
    /// True if any data are named.
    pub(super) fn is_named(&self) -> bool {
        self.from_kafka.is_some() || self.efd.is_some() || self.recording().is_some()
    }

    /// The same, ending at this time.
    pub(super) fn until(&self, to: Option<&str>) -> Data {
        Data { to: to.map(str::to_owned).or_else(|| self.to.clone()), ..self.clone() }
    }

    /// The recording that is named, if one is.
    pub(super) fn recording(&self) -> Option<PathBuf> {
        let named = self.from.as_ref().filter(|_| self.from_kafka.is_none() && self.efd.is_none());
        self.data.clone().or_else(|| named.map(PathBuf::from).filter(|path| path.is_file()))
    }

    /// What these rules are checked against: the interfaces that are named, and behind them what the recording brings along,
    /// or what the registry of the bus has.
    pub(super) fn schemas(
        &self,
        interfaces: &Interfaces,
        rules: &[SourceFile],
        outside: &Outside,
    ) -> anyhow::Result<Box<dyn SchemaSource>> {
        if let Some(path) = self.recording() {
            let summary = scanned(&path)?;
            let others: BTreeSet<&str> = summary.others();
            let found = if others.is_empty() {
                BTreeMap::new()
            } else {
                other_schemas(reader(&path)?, &others).with_context(|| path.display().to_string())?
            };
            let first = interfaces.source(rules)?;
            let recorded = RecordedSchemas::new(first, std::slice::from_ref(&summary));
            return Ok(Box::new(recorded.with_others(&found)));
        }
        if self.from_kafka.is_none() {
            return interfaces.source(rules);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let bus = outside.bus()?;
        runtime.block_on(interfaces.source_on(&bus, rules))
    }

    /// The data, ready to be replayed for rules that need this.
    pub(super) fn open(
        &self,
        needs: &Needs,
        schemas: &dyn SchemaSource,
        outside: &Outside,
        quiet: bool,
    ) -> anyhow::Result<Opened> {
        let now = Clock::System.now();
        let to = self.to.as_deref().map(|text| time(text, now)).transpose()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let mut opened = if let Some(path) = self.recording() {
            let from = match &self.from {
                Some(text) if self.data.is_some() => Some(time(text, now)?),
                _ => None,
            };
            opened(path, from, to, None)?
        } else {
            let folder = tempfile::tempdir().context("a folder for the data")?;
            let path = folder.path().join("data.catcher");
            if let Some(start) = &self.from_kafka {
                let wanted = Wanted::of(needs);
                let range = kafka::Range { start: kafka_start(start, now)?, to };
                let bus = outside.bus()?;
                let fetched = runtime.block_on(kafka::fetch(&bus, &wanted, &range, &path, quiet))?;
                let mut opened = opened(path, fetched.from, to, Some(folder))?;
                opened.notes.extend(fetched.notes);
                opened
            } else if let Some(which) = &self.efd {
                let from = self.from.as_deref().context("--efd needs --from")?;
                let span = Span { from: time(from, now)?, to: to.unwrap_or(now) };
                let efd = outside.efd(which)?;
                let notes = runtime.block_on(efd::fetch(efd.as_ref(), needs, schemas, span, &path, quiet))?;
                let mut opened = opened(path, Some(span.from), Some(span.to), Some(folder))?;
                opened.notes.extend(notes);
                opened
            } else {
                bail!(
                    "which data? Name a recording (--data FILE), --from-kafka TIME, or --efd with --from TIME"
                )
            }
        };
        if let (false, Some(which)) = (needs.queries.is_empty(), &self.efd) {
            let (from, to) = opened.range();
            let efd = outside.efd(which)?;
            let rows =
                runtime.block_on(efd::answers(efd.as_ref(), &needs.queries, Span { from, to }, quiet))?;
            opened.queries = rows.into_iter().map(Arc::new).collect();
        } else if !needs.queries.is_empty() && !opened.summary.sessions.iter().any(|s| s.source == "live") {
            let note = "no EFD is named (--efd): inputs that ask it are unknown";
            opened.notes.push(note.to_owned());
        }
        Ok(opened)
    }
}

fn reader(path: &Path) -> anyhow::Result<Reader<BufReader<File>>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    Reader::open(BufReader::with_capacity(1 << 20, file)).with_context(|| path.display().to_string())
}

fn scanned(path: &Path) -> anyhow::Result<Summary> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    scan(BufReader::with_capacity(1 << 20, file)).with_context(|| path.display().to_string())
}

fn opened(
    path: PathBuf,
    from: Option<Tai>,
    to: Option<Tai>,
    folder: Option<tempfile::TempDir>,
) -> anyhow::Result<Opened> {
    let summary = scanned(&path)?;
    let began = summary.sessions.first().map_or(Tai::default(), |session| Tai(session.began));
    let span = Span { from: from.unwrap_or(began), to: to.unwrap_or(Tai(f64::INFINITY)) };
    if span.to.0 < span.from.0 {
        bail!("the range ends before it begins: {} to {}", span.from.utc_iso(), span.to.utc_iso());
    }
    let mut notes = Vec::new();
    if let Some(torn) = summary.torn {
        notes.push(format!(
            "{} ends with {} bytes of a block that was not finished; all before it is replayed",
            path.display(),
            torn.bytes
        ));
    }
    Ok(Opened { path, span, summary, notes, queries: Vec::new(), _folder: folder })
}

impl Opened {
    /// Bytes to be read.
    pub(super) fn bytes(&self) -> u64 {
        self.summary.good
    }

    /// Begin and end of what is replayed.
    pub(super) fn range(&self) -> (Tai, Tai) {
        let last = self.summary.span.map_or(self.span.from, |span| span.1);
        let to = if self.span.to.0.is_finite() { self.span.to } else { Tai(last.0.max(self.span.from.0)) };
        (self.span.from, to)
    }

    /// Gives every item up to the end of the range to `take`, until that says false.
    pub(super) fn each(
        &self,
        progress: &mut Progress,
        mut take: impl FnMut(&ItemRef<'_>) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let mut reader = reader(&self.path)?.within(Tai(f64::NEG_INFINITY), self.span.to);
        let mut at = Tai::default();
        loop {
            let position = reader.position();
            let Some(item) = reader.next_item().with_context(|| self.path.display().to_string())? else {
                return Ok(());
            };
            at = item.at().map_or(at, Tai);
            if !take(&item)? {
                return Ok(());
            }
            progress.step(position, || at.utc_iso());
        }
    }

    /// Plays all of it through these.
    pub(super) fn play(&self, replays: &mut [Replay<'_>], progress: &mut Progress) -> anyhow::Result<()> {
        for replay in &mut *replays {
            replay.answer_queries(&self.queries);
        }
        self.each(progress, |item| {
            let mut on = false;
            for replay in &mut *replays {
                on |= replay.item(item)?;
            }
            Ok(on)
        })?;
        let end = self.range().1;
        for replay in replays {
            replay.finish(end)?;
        }
        Ok(())
    }
}

/// UTC in ISO form, `now`, or so long ago: `-8h`.
pub(super) fn time(text: &str, now: Tai) -> anyhow::Result<Tai> {
    if text == "now" {
        return Ok(now);
    }
    let ago = text.strip_prefix('-').and_then(span);
    ago.map(|ago| now - ago).or_else(|| Tai::from_utc_iso(text)).with_context(|| {
        format!("'{text}' is no time: write UTC as 2026-11-21T03:00:00, or -8h for eight hours ago")
    })
}

/// `90s`, `10m`, `1h30m`.
pub(super) fn span(text: &str) -> Option<Duration> {
    crate::tasks::series::duration(&Json::from(text))
}

fn kafka_start(text: &str, now: Tai) -> anyhow::Result<kafka::Start> {
    match text.parse::<i64>() {
        Ok(offset) if offset >= 0 => Ok(kafka::Start::Offset(offset)),
        _ => Ok(kafka::Start::Time(time(text, now)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_or_so_long_ago() {
        let now = Tai::from_utc_iso("2026-11-21T12:00:00").unwrap();
        assert_eq!(time("-8h", now).unwrap(), Tai::from_utc_iso("2026-11-21T04:00:00").unwrap());
        assert_eq!(time("2026-11-20T01:30", now).unwrap(), Tai::from_utc_iso("2026-11-20T01:30:00").unwrap());
        assert_eq!(time("now", now).unwrap(), now);
        assert!(time("yesterday", now).unwrap_err().to_string().contains("-8h"));
    }
}
