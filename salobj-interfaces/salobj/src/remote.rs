//! The client's side of a component: commands out; acknowledgements, events and telemetry in.
//!
//! ```no_run
//! # async fn example(domain: salobj::Domain, test: std::sync::Arc<sal_idl::Component>) -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! let remote = salobj::Remote::open(&domain, test, 1, salobj::RemoteOptions::default()).await?;
//! let state = remote.event("summaryState")?.aget(Some(Duration::from_secs(10))).await?;
//! println!("summary state {}", state.i64("summaryState"));
//! remote.command("start")?.start(&[], Duration::from_secs(30), true).await?;
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sal_idl::{Component, Topic, TopicKind};

use crate::csc::state::{SummaryState, path};
use crate::domain::Domain;
use crate::error::SalError;
use crate::sal_info::{ReadPlan, SalInfo, Sink};
use crate::sample::Sample;
use crate::tai::Tai;
use crate::topics::ackcmd::{AckBook, AckCmd, AckError, AckKey};
use crate::topics::command::{Prepared, RemoteCommand, Tracked};
use crate::topics::telemetry;
use crate::topics::{Decoder, SampleQueue, TopicReader, TopicWriter, writer::SeqNums};
use crate::transport::{ReadEvent, StartAt};
use crate::value::Value;

/// Time limit of each step of [`Remote::set_summary_state`].
const STATE_TIMEOUT: Duration = Duration::from_secs(30);

/// What of a component a remote opens. Names of events and telemetry are without prefix; a name selects both an event
/// and a telemetry topic; unknown names are ignored; commands are not affected.
#[derive(Debug, Clone)]
pub struct RemoteOptions {
    /// No commands, no acknowledgements.
    pub readonly: bool,
    /// Only these events and telemetry topics. Not together with `exclude`.
    pub include: Option<Vec<String>>,
    /// All events and telemetry topics but these.
    pub exclude: Option<Vec<String>>,
    /// Historical samples of each event (0 none, 1 the last of each instance). More than 1 gives no more than 1, and is
    /// refused for index 0 of an indexed component.
    pub event_history: u32,
    /// Drop telemetry that was sent before the sample seen last.
    pub discard_out_of_order_telemetry: bool,
    /// Drop events that were sent before the sample seen last.
    pub discard_out_of_order_events: bool,
}

impl Default for RemoteOptions {
    fn default() -> RemoteOptions {
        RemoteOptions {
            readonly: false,
            include: None,
            exclude: None,
            event_history: 1,
            discard_out_of_order_telemetry: true,
            discard_out_of_order_events: true,
        }
    }
}

impl RemoteOptions {
    /// Only these events and telemetry topics, and all commands.
    pub fn include<S: Into<String>>(names: impl IntoIterator<Item = S>) -> RemoteOptions {
        let include = Some(names.into_iter().map(Into::into).collect());
        RemoteOptions { include, ..RemoteOptions::default() }
    }

    /// Without commands.
    pub fn readonly(self) -> RemoteOptions {
        RemoteOptions { readonly: true, ..self }
    }

    fn wants(&self, name: &str) -> bool {
        let has = |names: &Vec<String>| names.iter().any(|n| n == name);
        self.include.as_ref().is_none_or(has) && !self.exclude.as_ref().is_some_and(has)
    }
}

/// Another component as a client sees it. Cheap to clone. Close it by [`Remote::close`] (or close the domain).
#[derive(Debug, Clone)]
pub struct Remote {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    info: Arc<SalInfo>,
    events: BTreeMap<String, TopicReader>,
    telemetry: BTreeMap<String, TopicReader>,
    commands: BTreeMap<String, RemoteCommand>,
    book: Arc<AckBook>,
    ack_topic: Option<Arc<Topic>>,
}

impl Sink for SampleQueue {
    fn deliver(&self, sample: Sample) {
        self.push(sample);
    }

    fn close(&self) {
        SampleQueue::close(self);
    }
}

impl Sink for AckBook {
    fn deliver(&self, sample: Sample) {
        AckBook::deliver(self, AckCmd::from_sample(&sample));
    }

    fn close(&self) {
        AckBook::close(self);
    }
}

impl Remote {
    /// A remote of one instance, or with index 0 of all instances of an indexed component. Not yet started: await
    /// [`Remote::start`], or start a controller of the same domain, which starts its remotes first.
    pub fn new(
        domain: &Domain,
        component: Arc<Component>,
        index: i32,
        options: RemoteOptions,
    ) -> Result<Remote, SalError> {
        if options.include.is_some() && options.exclude.is_some() {
            return Err(SalError::Options("Cannot specify both include and exclude".to_owned()));
        }
        if options.event_history > 1 && component.indexed && index == 0 {
            return Err(SalError::Options(format!(
                "max_history={} must be 0 or 1 for an indexed component read with index=0",
                options.event_history
            )));
        }
        let info = SalInfo::new(domain, component.clone(), index, None)?;
        let mut events = BTreeMap::new();
        let mut telemetry = BTreeMap::new();
        for topic in component.topics.iter().filter(|t| options.wants(t.short_name())) {
            let (to, history, in_order) = match topic.kind {
                TopicKind::Event => {
                    (&mut events, options.event_history > 0, options.discard_out_of_order_events)
                }
                TopicKind::Telemetry => (&mut telemetry, false, options.discard_out_of_order_telemetry),
                TopicKind::Command | TopicKind::AckCmd => continue,
            };
            let queue = Arc::new(SampleQueue::new(format!("{}:{}", info.name_index(), topic.attr_name())));
            let plan = ReadPlan { topic: topic.clone(), history, in_order, sink: queue.clone() };
            info.add_read(plan);
            let reader = TopicReader::new(info.clone(), topic.clone(), queue);
            to.insert(topic.short_name().to_owned(), reader);
        }
        let book = Arc::new(AckBook::default());
        let ack_topic =
            component.topics.iter().find(|t| t.kind == TopicKind::AckCmd && !options.readonly).cloned();
        let commands = match &ack_topic {
            Some(ack_topic) => Remote::commands(&info, ack_topic, &book),
            None => BTreeMap::new(),
        };
        Ok(Remote { inner: Arc::new(Inner { info, events, telemetry, commands, book, ack_topic }) })
    }

    fn commands(
        info: &Arc<SalInfo>,
        ack_topic: &Arc<Topic>,
        book: &Arc<AckBook>,
    ) -> BTreeMap<String, RemoteCommand> {
        let mut topics: Vec<_> =
            info.component().topics.iter().filter(|t| t.kind == TopicKind::Command).collect();
        topics.sort_by(|a, b| a.sal_name.cmp(&b.sal_name));
        if topics.is_empty() {
            return BTreeMap::new();
        }
        let plan = ReadPlan { topic: ack_topic.clone(), history: false, in_order: false, sink: book.clone() };
        info.add_read(plan);
        let count = topics.len();
        let ack_topic = info.kafka_topic(ack_topic);
        topics
            .into_iter()
            .enumerate()
            .map(|(i, topic)| {
                let seq = SeqNums::command(i, count, rand::random());
                let writer = TopicWriter::new(info.clone(), topic.clone(), telemetry::FORCE, seq);
                info.add_write(writer.clone());
                let command = RemoteCommand { writer, book: book.clone(), ack_topic: ack_topic.clone() };
                (topic.short_name().to_owned(), command)
            })
            .collect()
    }

    /// A remote, started: its history has been read.
    pub async fn open(
        domain: &Domain,
        component: Arc<Component>,
        index: i32,
        options: RemoteOptions,
    ) -> Result<Remote, SalError> {
        let remote = Remote::new(domain, component, index, options)?;
        remote.start().await?;
        Ok(remote)
    }

    /// Starts; done when history has been read. May be called again, and at the same time: all get the same outcome.
    pub async fn start(&self) -> Result<(), SalError> {
        self.inner.info.start().await
    }

    /// The component.
    pub fn component(&self) -> &Arc<Component> {
        self.inner.info.component()
    }

    /// `Test:7`, or `Watcher` for a component that is not indexed.
    pub fn name_index(&self) -> &str {
        self.inner.info.name_index()
    }

    /// Identity that commands bear.
    pub fn identity(&self) -> &str {
        self.inner.info.identity()
    }

    /// An event, by its name without prefix.
    pub fn event(&self, name: &str) -> Result<&TopicReader, SalError> {
        self.find(&self.inner.events, "event", name)
    }

    /// A telemetry topic.
    pub fn telemetry(&self, name: &str) -> Result<&TopicReader, SalError> {
        self.find(&self.inner.telemetry, "telemetry topic", name)
    }

    /// A command, by its name without prefix.
    pub fn command(&self, name: &str) -> Result<&RemoteCommand, SalError> {
        self.find(&self.inner.commands, "command", name)
    }

    /// Names of the commands, sorted.
    pub fn command_names(&self) -> impl Iterator<Item = &str> {
        self.inner.commands.keys().map(String::as_str)
    }

    fn find<'a, T>(&self, among: &'a BTreeMap<String, T>, kind: &str, name: &str) -> Result<&'a T, SalError> {
        among.get(name).ok_or_else(|| SalError::NoTopic {
            component: self.component().name.clone(),
            name: format!("{kind} {name}"),
            known: among.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }

    /// Follows a command that an earlier process sent (or this one): acknowledgements are matched by its recorded
    /// identity, origin and number. Those already in the topic since `ack_position` come first.
    pub async fn adopt(&self, journaled: &Prepared) -> Result<Tracked, SalError> {
        let inner = &self.inner;
        inner.info.check_was_started()?;
        let Some(ack_topic) = &inner.ack_topic else {
            return Err(SalError::Options(format!("{} was opened readonly", self.name_index())));
        };
        let key = AckKey {
            seq_num: journaled.seq_num,
            identity: journaled.identity.clone(),
            origin: journaled.origin,
        };
        let entry = inner.book.open(key.clone()).ok_or_else(|| {
            SalError::Options(format!("private_seqNum={} is followed already", journaled.seq_num))
        })?;
        let tracked = Tracked::new(inner.info.clone(), entry.clone());

        let transport = inner.info.domain().transport().clone();
        let kafka_topic = inner.info.kafka_topic(ack_topic);
        let decoder = Decoder::new(ack_topic);
        let start = StartAt::Offset(journaled.ack_position);
        let mut reader = transport.reader(&inner.info.scratch_group(), &[(kafka_topic, start)]).await?;
        inner.info.spawn(async move {
            loop {
                match reader.next().await {
                    ReadEvent::Record(record) => {
                        // A record that cannot be decoded is told by the main reader.
                        if let Ok(sample) = decoder.decode(transport.as_ref(), &record, Tai::default()).await
                        {
                            let ack = AckCmd::from_sample(&sample);
                            if AckKey::of(&ack) == key {
                                entry.push(ack);
                            }
                        }
                    }
                    ReadEvent::CaughtUp { .. } => break,
                    ReadEvent::Assigned { .. } => {}
                    ReadEvent::Trouble(e) => tracing::warn!("reading old acknowledgements: {e}"),
                }
            }
            reader.close().await;
        });
        Ok(tracked)
    }

    /// Takes the CSC to a summary state, step by step; the states it passed, the first one included. `start` carries the
    /// configuration override. FAULT is no target.
    pub async fn set_summary_state(
        &self,
        target: SummaryState,
        configuration_override: &str,
    ) -> Result<Vec<SummaryState>, AckError> {
        let no_state =
            || SalError::Options(format!("Cannot get summaryState from {}", self.component().name));
        let sample = self.event("summaryState")?.aget(Some(STATE_TIMEOUT)).await.map_err(|_| no_state())?;
        let mut state = SummaryState::from_value(sample.i64("summaryState")).ok_or_else(no_state)?;
        let mut passed = vec![state];
        for transition in path(state, target)
            .ok_or_else(|| SalError::Options(format!("Cannot go from {state:?} to {target:?}")))?
        {
            let command = transition.command();
            let text = [("configurationOverride", Value::Text(configuration_override.into()))];
            let fields: &[(&str, Value)] = if command == "start" { &text } else { &[] };
            let done = self.command(command)?.start(fields, STATE_TIMEOUT, true).await;
            done.map_err(|e| AckError::Step { command, state, source: Box::new(e) })?;
            state = transition.target();
            passed.push(state);
        }
        Ok(passed)
    }

    /// Closes: nothing is read or written any more; samples already received can still be read.
    pub async fn close(&self) {
        self.inner.info.close().await;
    }
}
