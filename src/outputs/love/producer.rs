//! The connection to LOVE-manager: made, kept, made again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use futures::{SinkExt, StreamExt};
use salobj::Clock;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Error, Message, protocol::WebSocketConfig};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use super::face::{Asked, Face};
use super::{AllAlarms, Figures, Manager, Tap};
use crate::alarms::{AlarmSnapshot, Severity};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Bytes of a message of LOVE-manager; it has no reason to send us more.
const LONGEST_MESSAGE: usize = 1 << 20;

/// Limits and pauses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkOptions {
    /// Time limit of making a connection.
    pub connect: Duration,
    /// Time limit of sending one message.
    pub send: Duration,
    /// How often LOVE-manager is told what we want to hear, as LOVE-producer does.
    pub subscribe_every: Duration,
    /// How often it is asked for a sign of life.
    pub ping_every: Duration,
    /// Silent for so long it is taken for gone.
    pub silence: Duration,
    /// Least time between two lists, whoever asks.
    pub list_gap: Duration,
    /// So many alarms at a time are sent one by one; more go out as the list.
    pub burst: usize,
    /// Pause after the first failure; it doubles with each further one.
    pub first_pause: Duration,
    /// Longest pause. A connection that has lasted so long counts as good.
    pub longest_pause: Duration,
}

impl Default for LinkOptions {
    fn default() -> LinkOptions {
        LinkOptions {
            connect: Duration::from_secs(10),
            send: Duration::from_secs(10),
            subscribe_every: Duration::from_secs(60),
            ping_every: Duration::from_secs(20),
            silence: Duration::from_secs(60),
            list_gap: Duration::from_secs(2),
            burst: 20,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
        }
    }
}

/// Why there is no connection. Nothing here names the address as it is sent: it holds a secret.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum LinkError {
    /// The manager took too long.
    #[error("no answer within {0} s")]
    Timeout(f64),
    /// It does not let us in.
    #[error("it answers {0} (403: the password or token is wrong)")]
    Refused(u16),
    /// It has closed the connection.
    #[error("it has closed the connection")]
    Closed,
    /// It was silent.
    #[error("not a word for {0} s")]
    Silent(f64),
    /// Something else, in words.
    #[error("{0}")]
    Broken(String),
    /// The core is gone.
    #[error("the Catcher is stopping")]
    Stopping,
}

impl From<Error> for LinkError {
    fn from(error: Error) -> LinkError {
        match error {
            Error::ConnectionClosed | Error::AlreadyClosed => LinkError::Closed,
            Error::Http(answer) => LinkError::Refused(answer.status().as_u16()),
            Error::Io(error) => LinkError::Broken(error.to_string()),
            Error::Tls(error) => LinkError::Broken(format!("TLS: {error}")),
            Error::Capacity(error) => LinkError::Broken(error.to_string()),
            Error::Protocol(error) => LinkError::Broken(error.to_string()),
            Error::Utf8(_) => LinkError::Broken("a message that is not UTF-8".to_owned()),
            // These may quote the address.
            Error::Url(_) | Error::HttpFormat(_) => {
                LinkError::Broken("the address cannot be used".to_owned())
            }
            Error::WriteBufferFull(_) | Error::AttackAttempt => {
                LinkError::Broken("the connection cannot be used".to_owned())
            }
        }
    }
}

/// Sends what the tap gives to LOVE-manager.
pub struct Producer {
    /// What is sent.
    pub face: Face,
    /// Who knows all alarms.
    pub all: Arc<dyn AllAlarms>,
    /// Changes.
    pub queue: mpsc::Receiver<AlarmSnapshot>,
    /// The other end of the queue.
    pub tap: Tap,
    /// The clock of the stamps.
    pub clock: Clock,
    /// Limits and pauses.
    pub options: LinkOptions,
}

/// What is to be sent as soon as may be.
#[derive(Default)]
struct Owed {
    list: bool,
    active: bool,
}

impl Producer {
    /// Keeps a connection to this manager. Never ends by itself; may be dropped at any time.
    pub async fn run(&mut self, manager: &Manager) {
        let mut pauses = self.pauses();
        let mut last: Option<LinkError> = None;
        loop {
            let begun = Instant::now();
            let error = self.connection(manager).await;
            self.tap.rest();
            if begun.elapsed() >= self.options.longest_pause {
                pauses = self.pauses();
                last = None;
            }
            // The same again is no news.
            if last.as_ref() != Some(&error) {
                tracing::warn!(error = %error, "LOVE at {}: {error}; trying again", manager.shown);
            }
            last = Some(error);
            sleep(pauses.next().unwrap_or(self.options.longest_pause)).await;
        }
    }

    fn pauses(&self) -> impl Iterator<Item = Duration> + use<> {
        ExponentialBuilder::new()
            .with_min_delay(self.options.first_pause)
            .with_max_delay(self.options.longest_pause)
            .with_factor(2.0)
            .with_jitter()
            .without_max_times()
            .build()
    }

    /// One connection, from its beginning to why it ended.
    pub(super) async fn connection(&mut self, manager: &Manager) -> LinkError {
        let mut socket = match self.connect(manager).await {
            Ok(socket) => socket,
            Err(error) => return error,
        };
        let figures = Arc::clone(self.tap.figures());
        Figures::count(&figures.connections);
        tracing::info!("LOVE at {}: connected", manager.shown);
        figures.connected.store(true, Ordering::Release);
        // What waited is in the list, with which a connection begins.
        while self.queue.try_recv().is_ok() {}
        let ended = self.talk(&mut socket).await;
        let count = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let (alarms, lists, lost) = (count(&figures.alarms), count(&figures.lists), count(&figures.lost));
        tracing::info!("LOVE so far: {alarms} alarms and {lists} lists sent, {lost} changes found no place");
        match ended {
            Ok(()) => LinkError::Stopping,
            Err(error) => error,
        }
    }

    async fn connect(&self, manager: &Manager) -> Result<Socket, LinkError> {
        let limit = self.options.connect;
        let config = WebSocketConfig::default().max_message_size(Some(LONGEST_MESSAGE));
        let made = connect_async_with_config(manager.address.expose(), Some(config), true);
        let made = timeout(limit, made).await.map_err(|_| LinkError::Timeout(limit.as_secs_f64()))?;
        Ok(made?.0)
    }

    async fn talk(&mut self, socket: &mut Socket) -> Result<(), LinkError> {
        let mut owed = Owed { list: true, active: false };
        let mut list_at = Instant::now();
        let mut subscribe_at = Instant::now();
        let mut ping_at = Instant::now() + self.options.ping_every;
        let mut heard = Instant::now();
        loop {
            tokio::select! {
                frame = socket.next() => {
                    heard = Instant::now();
                    let message = match frame.ok_or(LinkError::Closed)?? {
                        Message::Text(text) => text,
                        Message::Close(_) => return Err(LinkError::Closed),
                        _ => continue,
                    };
                    match self.face.asked(&message) {
                        Some(Asked::List) => owed.list = true,
                        Some(Asked::Alarm) => owed.active = true,
                        None => {}
                    }
                }
                () = sleep_until(subscribe_at) => {
                    for message in self.face.subscriptions(self.clock.now()) {
                        self.send(socket, Message::text(message)).await?;
                    }
                    subscribe_at = Instant::now() + self.options.subscribe_every;
                }
                () = sleep_until(list_at), if owed.list || owed.active => {
                    self.send_all(socket, std::mem::take(&mut owed)).await?;
                    list_at = Instant::now() + self.options.list_gap;
                }
                changed = self.queue.recv() => match changed {
                    // The list is going to have it.
                    Some(_) if owed.list => {}
                    Some(changed) => owed.list = self.send_changes(socket, changed).await?,
                    None => return Ok(()),
                },
                () = sleep_until(ping_at) => {
                    if heard.elapsed() >= self.options.silence {
                        return Err(LinkError::Silent(heard.elapsed().as_secs_f64().round()));
                    }
                    self.send(socket, Message::Ping(Vec::new().into())).await?;
                    ping_at = Instant::now() + self.options.ping_every;
                }
            }
        }
    }

    /// Sends what has changed, the newest of each alarm. True if the list is to be sent instead.
    async fn send_changes(&mut self, socket: &mut Socket, first: AlarmSnapshot) -> Result<bool, LinkError> {
        let mut changed = BTreeMap::from([(first.alarm_name.clone(), first)]);
        while let Ok(next) = self.queue.try_recv() {
            changed.insert(next.alarm_name.clone(), next);
        }
        if self.fell_behind() || changed.len() > self.options.burst {
            return Ok(true);
        }
        for alarm in changed.values() {
            self.send_one(socket, alarm).await?;
        }
        Ok(false)
    }

    /// Has anything found no place in the queue since the last list?
    fn fell_behind(&self) -> bool {
        let behind = self.tap.figures.behind.swap(false, Ordering::AcqRel);
        if behind {
            let lost = self.tap.figures.lost.load(Ordering::Relaxed);
            tracing::warn!(
                "LOVE is behind: {lost} changes were not sent one by one so far; the list follows"
            );
        }
        behind
    }

    /// The list, and the active alarms one by one, as they are now.
    async fn send_all(&mut self, socket: &mut Socket, owed: Owed) -> Result<(), LinkError> {
        if owed.list {
            while self.queue.try_recv().is_ok() {}
            self.fell_behind();
        }
        let alarms = self.all.all().await.map_err(|_| LinkError::Stopping)?;
        let mut active: Vec<AlarmSnapshot> = match owed.active {
            true => alarms.iter().filter(|alarm| alarm.severity != Severity::None).cloned().collect(),
            false => Vec::new(),
        };
        active.sort_by_key(|alarm| std::cmp::Reverse(alarm.severity));
        if owed.list {
            let (message, left_out) = self.face.list(alarms, self.clock.now());
            if left_out > 0 {
                tracing::warn!("LOVE: {left_out} alarms are not in the list: there are too many");
            }
            self.send(socket, Message::text(message)).await?;
            Figures::count(&self.tap.figures.lists);
        }
        for alarm in active.iter().take(self.options.burst) {
            self.send_one(socket, alarm).await?;
        }
        Ok(())
    }

    async fn send_one(&self, socket: &mut Socket, alarm: &AlarmSnapshot) -> Result<(), LinkError> {
        self.send(socket, Message::text(self.face.one(alarm, self.clock.now()))).await?;
        Figures::count(&self.tap.figures.alarms);
        Ok(())
    }

    async fn send(&self, socket: &mut Socket, message: Message) -> Result<(), LinkError> {
        let limit = self.options.send;
        timeout(limit, socket.send(message)).await.map_err(|_| LinkError::Timeout(limit.as_secs_f64()))??;
        Ok(())
    }
}
