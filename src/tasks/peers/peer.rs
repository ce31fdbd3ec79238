//! One component as all steps that use it see it: its remote, its last events, whether it lives.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sal_idl::names::kafka_topic;
use salobj::transport::StartAt;
use salobj::wire::Want;
use salobj::{Clock, Domain, Remote, RemoteOptions, SalError, Sample, SummaryState, Tai, Value};
use tokio::sync::watch;

use super::Whom;
use crate::tasks::scan::{Met, Scan};

/// Events kept. A step takes those that came since it looked last, so this many would have to come at once.
const KEEP: usize = 1000;

/// How long reading old events may take without giving anything, real time.
const SCAN_PATIENCE: Duration = Duration::from_secs(30);

/// What of a component is listened to in any case, if it has it.
const ALWAYS: [&str; 3] = ["heartbeat", "summaryState", "errorCode"];

/// An event that is listened to, and the fields of it that are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Watch {
    event: String,
    fields: Vec<String>,
}

impl Watch {
    /// By name without prefix.
    pub(crate) fn new<S: Into<String>>(
        event: impl Into<String>,
        fields: impl IntoIterator<Item = S>,
    ) -> Self {
        Self { event: event.into(), fields: fields.into_iter().map(Into::into).collect() }
    }
}

/// An event that was heard.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct News {
    /// Its name without prefix.
    pub(crate) event: Arc<str>,
    /// Instance that sent it, 0 where there is only one.
    pub(crate) index: i64,
    /// Process that sent it.
    pub(crate) origin: i64,
    /// When it was sent.
    pub(crate) sent: Tai,
    /// The wanted fields, in the order of the watch.
    pub(crate) values: Vec<Value>,
}

impl News {
    /// A text of it; empty if there is none.
    pub(crate) fn text(&self, at: usize) -> &str {
        match self.values.get(at) {
            Some(Value::Text(text)) => text,
            _ => "",
        }
    }

    /// An integer of it; 0 if there is none.
    pub(crate) fn int(&self, at: usize) -> i64 {
        match self.values.get(at) {
            Some(Value::Int(value)) => *value,
            _ => 0,
        }
    }

    /// A number of it; 0 if there is none.
    pub(crate) fn number(&self, at: usize) -> f64 {
        match self.values.get(at) {
            Some(Value::Double(value)) => *value,
            _ => 0.0,
        }
    }

    /// A boolean of it; false if there is none.
    pub(crate) fn flag(&self, at: usize) -> bool {
        matches!(self.values.get(at), Some(Value::Bool(true)))
    }

    fn of(event: &Arc<str>, watch: &Watch, sample: &Sample) -> Self {
        let value = |field: &String| sample.get(field).cloned().unwrap_or_default();
        Self {
            event: Arc::clone(event),
            index: sample.sal_index(),
            origin: sample.origin(),
            sent: sample.sent(),
            values: watch.fields.iter().map(value).collect(),
        }
    }
}

/// What is heard of a component.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    /// An event that is listened to.
    News(News),
    /// It lives: a heartbeat, or anything else that it sent now.
    Alive {
        /// Its process.
        origin: i64,
    },
    /// Its summary state, as it was told now.
    State {
        /// The state.
        state: SummaryState,
        /// What `errorCode` said last, for FAULT.
        report: String,
    },
}

#[derive(Debug, Default)]
struct State {
    news: VecDeque<(u64, News)>,
    news_seen: u64,
    alive: Option<(Tai, i64)>,
    beats: u64,
    summary: Option<SummaryState>,
    summaries: u64,
    report: String,
}

/// What a step has taken from a [`Peer`] so far.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cursor {
    news: u64,
    beats: u64,
    summaries: u64,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: watch::Sender<()>,
    clock: Clock,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, event: &Arc<str>, watch: Option<&Watch>, sample: &Sample) {
        {
            let mut state = self.state();
            state.beats += 1;
            state.alive = Some((self.clock.now(), sample.origin()));
            if let Some(watch) = watch {
                state.news_seen += 1;
                let news = (state.news_seen, News::of(event, watch, sample));
                state.news.push_back(news);
                if state.news.len() > KEEP {
                    state.news.pop_front();
                }
            }
            match &**event {
                "errorCode" => {
                    state.report = match sample.i64("errorCode") {
                        0 => String::new(),
                        code => format!("{code}: {}", sample.str("errorReport")),
                    };
                }
                "summaryState" => {
                    state.summary = SummaryState::from_value(sample.i64("summaryState"));
                    state.summaries += 1;
                }
                _ => {}
            }
        }
        self.changed.send_replace(());
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) remote: Remote,
    index: i64,
    has_heartbeat: bool,
    watches: Vec<(Arc<str>, Watch)>,
    domain: Domain,
    shared: Arc<Shared>,
}

impl Peer {
    /// Opens the remote and begins to listen.
    pub(super) async fn open(domain: &Domain, whom: &Whom) -> Result<Self, SalError> {
        let (component, index) = (Arc::clone(&whom.component), whom.index);
        let number =
            i32::try_from(index).map_err(|_| SalError::Options(format!("there is no {}", whom.name())))?;
        let watches: Vec<(Arc<str>, Watch)> =
            whom.watches.iter().map(|w| (Arc::from(w.event.as_str()), w.clone())).collect();
        let has = |event: &str| component.topic(&format!("logevent_{event}")).is_some();
        let mut events: Vec<Arc<str>> = watches.iter().map(|(event, _)| Arc::clone(event)).collect();
        events.extend(ALWAYS.into_iter().filter(|e| has(e)).map(Arc::from));
        events.sort();
        events.dedup();
        let has_heartbeat = has("heartbeat");
        let options = RemoteOptions {
            discard_out_of_order_events: false,
            ..RemoteOptions::include(events.iter().map(|e| e.to_string()))
        };
        // Of all instances at once nobody is commanded.
        let options = if number == 0 && component.indexed { options.readonly() } else { options };
        let remote = Remote::open(domain, component, number, options).await?;
        let (changed, _) = watch::channel(());
        let shared = Arc::new(Shared { state: Mutex::default(), changed, clock: domain.clock().clone() });
        for event in events {
            let shared = Arc::clone(&shared);
            let watch = watches.iter().find(|(e, _)| *e == event).map(|(_, w)| w.clone());
            remote.event(&event.clone())?.callback(move |sample| {
                shared.note(&event, watch.as_ref(), &sample);
                std::future::ready(())
            })?;
        }
        Ok(Self { remote, index, has_heartbeat, watches, domain: domain.clone(), shared })
    }

    /// Whether its silence means anything.
    pub(crate) fn has_heartbeat(&self) -> bool {
        self.has_heartbeat
    }

    /// A cursor before which nothing counts: what comes from now on is heard.
    pub(crate) fn now(&self) -> Cursor {
        let state = self.shared.state();
        Cursor { news: state.news_seen, beats: state.beats, summaries: state.summaries }
    }

    /// Its process, if it lives: its last sign of life is not older than that.
    pub(crate) fn alive(&self, silent: Duration) -> Option<i64> {
        let (at, origin) = self.shared.state().alive?;
        (self.shared.clock.now().since(at) < silent).then_some(origin)
    }

    /// Its summary state, as it was told last (also before we listened), and the last error report.
    pub(crate) fn summary(&self) -> Option<(SummaryState, String)> {
        let told = self.shared.state();
        let before = || self.remote.event("summaryState").ok()?.get();
        let state = told.summary.or_else(|| SummaryState::from_value(before()?.i64("summaryState")));
        Some((state?, told.report.clone()))
    }

    /// An event that is listened to, as it was told last (also before we listened).
    pub(crate) fn latest(&self, event: &str) -> Option<News> {
        let (name, watch) = self.watches.iter().find(|(e, _)| **e == *event)?;
        let sample = self.remote.event(event).ok()?.get()?;
        Some(News::of(name, watch, &sample))
    }

    /// Waits until it lives, at most so long; its process. 0 at once for a component without a heartbeat.
    pub(crate) async fn wait_alive(&self, silent: Duration, limit: Duration) -> Option<i64> {
        if !self.has_heartbeat {
            return Some(0);
        }
        let mut changed = self.shared.changed.subscribe();
        let wait = async {
            loop {
                if let Some(origin) = self.alive(silent) {
                    return origin;
                }
                if changed.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        self.shared.clock.timeout(limit, wait).await.ok()
    }

    /// Tells of changes; see [`Self::take`].
    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.shared.changed.subscribe()
    }

    /// What was heard since the cursor, which moves on.
    pub(crate) fn take(&self, cursor: &mut Cursor) -> Vec<Told> {
        let state = self.shared.state();
        let mut told = Vec::new();
        let new = |(n, news): &(u64, News)| (*n > cursor.news).then(|| Told::News(news.clone()));
        told.extend(state.news.iter().filter_map(new));
        if state.news_seen - cursor.news > KEEP as u64 {
            tracing::error!("more than {KEEP} events of {} came at once", self.remote.name_index());
        }
        if let Some((_, origin)) = state.alive.filter(|_| state.beats > cursor.beats) {
            told.push(Told::Alive { origin });
        }
        if let Some(summary) = state.summary.filter(|_| state.summaries > cursor.summaries) {
            told.push(Told::State { state: summary, report: state.report.clone() });
        }
        *cursor = Cursor { news: state.news_seen, beats: state.beats, summaries: state.summaries };
        told
    }

    /// High watermarks of the events' topics, by event: what comes from now on is there or later.
    pub(crate) async fn positions(&self) -> Result<BTreeMap<String, i64>, SalError> {
        let mut positions = BTreeMap::new();
        for (event, _) in &self.watches {
            let (_, high) = self.domain.transport().watermarks(&self.topic(event), 0).await?;
            positions.insert(event.to_string(), high);
        }
        Ok(positions)
    }

    /// All events from these positions to now, in the order in which they were sent.
    pub(crate) async fn since(&self, positions: &BTreeMap<String, i64>) -> Result<Vec<News>, SalError> {
        let mut all = Vec::new();
        for (event, watch) in &self.watches {
            if let Some(position) = positions.get(&**event) {
                self.scan(event, watch, *position, &mut all).await?;
            }
        }
        all.sort_by(|a, b| a.sent.0.total_cmp(&b.sent.0));
        Ok(all)
    }

    async fn scan(
        &self,
        event: &Arc<str>,
        watch: &Watch,
        position: i64,
        out: &mut Vec<News>,
    ) -> Result<(), SalError> {
        let private = ["salIndex", "private_origin", "private_sndStamp"];
        let wants = private.into_iter().chain(watch.fields.iter().map(String::as_str)).map(Want::field);
        let start = StartAt::Offset(position);
        let mut scan =
            Scan::open(self.domain.transport(), &self.topic(event), start, wants.collect()).await?;
        let outcome = loop {
            let Ok(met) = tokio::time::timeout(SCAN_PATIENCE, scan.next()).await else {
                let what = format!("old {event} events of {}", self.remote.name_index());
                break Err(SalError::Timeout { what, seconds: SCAN_PATIENCE.as_secs_f64() });
            };
            match met {
                Met::CaughtUp => break Ok(()),
                Met::Begin { .. } => {}
                Met::Trouble(error) => tracing::warn!("reading old {event} events: {error}"),
                Met::Row(row) => {
                    let mut cells = row.cells.into_iter();
                    let (index, origin, sent) = (cells.next(), cells.next(), cells.next());
                    let int = |value| if let Some(Value::Int(i)) = value { i } else { 0 };
                    let sent = if let Some(Value::Double(t)) = sent { t } else { 0.0 };
                    let news = News {
                        event: Arc::clone(event),
                        index: int(index),
                        origin: int(origin),
                        sent: Tai(sent),
                        values: cells.collect(),
                    };
                    if self.index == 0 || news.index == self.index {
                        out.push(news);
                    }
                }
            }
        };
        scan.close().await;
        outcome
    }

    fn topic(&self, event: &str) -> String {
        let component = &self.remote.component().name;
        kafka_topic(&self.domain.env().topic_subname, component, &format!("logevent_{event}"))
    }
}
