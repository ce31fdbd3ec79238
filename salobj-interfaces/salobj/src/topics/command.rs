//! Commands as a remote sends them: prepare, send, follow the acknowledgements, adopt after a restart.
//!
//! [`RemoteCommand::start`] does all at once. For sending exactly once, [`RemoteCommand::prepare`] gives everything a
//! journal needs *before* anything is sent, [`RemoteCommand::send`] sends just that record by a durable writer, and after
//! a restart [`RemoteCommand::find_sent`] says whether it went out, and [`crate::Remote::adopt`] follows it further.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Decoder;
use super::ackcmd::{AckBook, AckCmd, AckCode, AckError, AckKey, Entry};
use super::writer::TopicWriter;
use crate::error::SalError;
use crate::sal_info::SalInfo;
use crate::tai::Tai;
use crate::transport::{ReadEvent, StartAt};
use crate::value::Value;

/// Time limit that salobj uses if none is given.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3600);

/// A command record, complete and not yet sent; what a journal has to keep of it. Serializable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    /// Name without prefix, `execute`.
    pub command: String,
    /// `private_seqNum`.
    pub seq_num: i64,
    /// `private_identity`.
    pub identity: String,
    /// `private_origin`.
    pub origin: i64,
    /// Kafka topic.
    pub topic: String,
    /// Message key.
    pub key: Vec<u8>,
    /// Value bytes: Confluent frame and Avro body.
    pub value: Vec<u8>,
    /// High watermark of the `ackcmd` topic before sending: its acknowledgements have this offset or a later one.
    pub ack_position: i64,
    /// High watermark of the command topic before sending: the record has this offset or a later one.
    pub command_position: i64,
}

/// What the command topic says about a prepared command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentState {
    /// The record is there.
    Sent,
    /// It was never written.
    NotSent,
    /// Records from that time have expired: nobody can know.
    Unknown,
}

/// One command of a remote component. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RemoteCommand {
    pub(crate) writer: TopicWriter,
    pub(crate) book: Arc<AckBook>,
    pub(crate) ack_topic: String,
}

impl RemoteCommand {
    /// Sends the command and waits: with `wait_done` for the first final acknowledgement, each CMD_INPROGRESS adding its
    /// own timeout to the allowance; without, for the first acknowledgement of any kind (go on with
    /// [`Self::next_ackcmd`]). Fields not given have their defaults.
    pub async fn start(
        &self,
        fields: &[(&str, Value)],
        timeout: Duration,
        wait_done: bool,
    ) -> Result<AckCmd, AckError> {
        let mut tracked = self.start_tracked(fields).await?;
        let ack = tracked.wait(timeout, wait_done).await?;
        if !ack.ack.is_final() {
            self.book.keep(tracked.entry.clone());
        }
        Ok(ack)
    }

    /// Sends the command; the acknowledgements come from the handle. Dropping the handle ends the interest in them, not
    /// the command.
    pub async fn start_tracked(&self, fields: &[(&str, Value)]) -> Result<Tracked, SalError> {
        let ready = self.writer.prepare(fields, None)?;
        let tracked = self.track(self.own_key(ready.seq_num))?;
        let bus = self.writer.info().writer()?;
        bus.write(self.writer.kafka_topic(), self.writer.key().to_vec(), ready.value).await?;
        Ok(tracked.starting_now())
    }

    /// Goes on waiting for a command that was started with `wait_done = false`.
    pub async fn next_ackcmd(
        &self,
        previous: &AckCmd,
        timeout: Duration,
        wait_done: bool,
    ) -> Result<AckCmd, AckError> {
        let key = AckKey::of(previous);
        let entry = self.book.unkeep(&key).ok_or(AckError::Unknown(previous.seq_num))?;
        let mut tracked = Tracked::new(self.writer.info().clone(), entry);
        let ack = tracked.wait(timeout, wait_done).await?;
        if !ack.ack.is_final() {
            self.book.keep(tracked.entry.clone());
        }
        Ok(ack)
    }

    /// Makes the record with its number and the positions to be noted; nothing is sent.
    pub async fn prepare(&self, fields: &[(&str, Value)]) -> Result<Prepared, SalError> {
        let info = self.writer.info();
        let transport = info.domain().transport();
        let ready = self.writer.prepare(fields, None)?;
        let (_, ack_position) = transport.watermarks(&self.ack_topic, 0).await?;
        let (_, command_position) = transport.watermarks(self.writer.kafka_topic(), 0).await?;
        Ok(Prepared {
            command: self.writer.topic().short_name().to_owned(),
            seq_num: ready.seq_num,
            identity: info.identity().to_owned(),
            origin: info.domain().origin(),
            topic: self.writer.kafka_topic().to_owned(),
            key: self.writer.key().to_vec(),
            value: ready.value,
            ack_position,
            command_position,
        })
    }

    /// Sends a prepared record by a durable writer (idempotent, all replicas) and waits for the delivery report.
    pub async fn send(&self, prepared: &Prepared) -> Result<Tracked, SalError> {
        let tracked = self.track(AckKey {
            seq_num: prepared.seq_num,
            identity: prepared.identity.clone(),
            origin: prepared.origin,
        })?;
        let bus = self.writer.info().durable_writer()?;
        bus.write(&prepared.topic, prepared.key.clone(), prepared.value.clone()).await?;
        Ok(tracked.starting_now())
    }

    /// Looks in the command topic whether a prepared record was sent (identity, origin and number agree).
    pub async fn find_sent(&self, prepared: &Prepared) -> Result<SentState, SalError> {
        let info = self.writer.info();
        let transport = info.domain().transport();
        let (low, high) = transport.watermarks(&prepared.topic, 0).await?;
        if high == prepared.command_position {
            return Ok(SentState::NotSent);
        }
        // Records from that time are gone, or the topic was made anew.
        let expired = low > prepared.command_position || high < prepared.command_position;
        let group = info.scratch_group();
        let from = StartAt::Offset(prepared.command_position);
        let mut reader = transport.reader(&group, &[(prepared.topic.clone(), from)]).await?;
        let decoder = Decoder::new(self.writer.topic());
        let mut found = false;
        loop {
            match reader.next().await {
                ReadEvent::Record(record) => {
                    // What cannot be decoded is not ours: we wrote ours with this very schema.
                    if let Ok(sample) = decoder.decode(transport.as_ref(), &record, Tai::default()).await {
                        found |= sample.seq_num() == prepared.seq_num
                            && sample.identity() == prepared.identity
                            && sample.origin() == prepared.origin;
                    }
                    if found {
                        break;
                    }
                }
                ReadEvent::CaughtUp { .. } => break,
                ReadEvent::Assigned { .. } => {}
                ReadEvent::Trouble(e) => {
                    tracing::warn!(topic = %prepared.topic, "looking for a sent command: {e}")
                }
            }
        }
        reader.close().await;
        Ok(match (found, expired) {
            (true, _) => SentState::Sent,
            (false, true) => SentState::Unknown,
            (false, false) => SentState::NotSent,
        })
    }

    fn own_key(&self, seq_num: i64) -> AckKey {
        let info = self.writer.info();
        AckKey { seq_num, identity: info.identity().to_owned(), origin: info.domain().origin() }
    }

    fn track(&self, key: AckKey) -> Result<Tracked, SalError> {
        let number = key.seq_num;
        let entry = self.book.open(key).ok_or_else(|| {
            SalError::Options(format!("a command with private_seqNum={number} is waited for already"))
        })?;
        Ok(Tracked::new(self.writer.info().clone(), entry))
    }
}

/// A command that was sent: its acknowledgements as they come.
#[derive(Debug)]
pub struct Tracked {
    info: Arc<SalInfo>,
    pub(crate) entry: Arc<Entry>,
    since: Tai,
    last: Option<AckCmd>,
}

impl Tracked {
    pub(crate) fn new(info: Arc<SalInfo>, entry: Arc<Entry>) -> Tracked {
        let since = info.clock().now();
        Tracked { info, entry, since, last: None }
    }

    /// The clock of the time limit starts after the write.
    fn starting_now(mut self) -> Tracked {
        self.since = self.info.clock().now();
        self
    }

    /// `private_seqNum` of the command.
    pub fn seq_num(&self) -> i64 {
        self.entry.key.seq_num
    }

    /// The next acknowledgement of any kind; `None` once the final one was given or the remote is closed. Safe to use in
    /// `select!`.
    pub async fn next(&mut self) -> Option<AckCmd> {
        if self.last.as_ref().is_some_and(|a| a.ack.is_final()) {
            return None;
        }
        let ack = self.entry.next().await?;
        self.last = Some(ack.clone());
        Some(ack)
    }

    /// Waits as [`RemoteCommand::start`] does; the allowance counts from when the command was written.
    pub async fn wait(&mut self, timeout: Duration, wait_done: bool) -> Result<AckCmd, AckError> {
        let clock = self.info.clock().clone();
        let mut deadline = self.since + timeout;
        loop {
            let left = deadline.since(clock.now());
            let Ok(next) = clock.timeout(left, self.next()).await else {
                let ack = self.last.clone().unwrap_or_else(|| AckCmd::none_seen(&self.entry.key));
                return Err(AckError::Timeout(ack));
            };
            let Some(ack) = next else {
                return match self.last.take() {
                    Some(ack) if ack.ack.is_final() => Err(AckError::Unknown(ack.seq_num)),
                    _ => {
                        let name_index = self.info.name_index().to_owned();
                        Err(SalError::NotOpen { name_index }.into())
                    }
                };
            };
            if ack.ack.is_failure() {
                return Err(AckError::Failed(ack));
            }
            if ack.ack.is_final() || !wait_done {
                return Ok(ack);
            }
            if ack.ack == AckCode::InProgress && ack.timeout.is_finite() && ack.timeout > 0.0 {
                // A CSC may estimate anything; a day at once is enough.
                deadline = deadline + Duration::from_secs_f64(ack.timeout.min(86_400.0));
            }
        }
    }
}
