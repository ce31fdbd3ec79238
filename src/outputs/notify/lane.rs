//! The way to one receiver: a queue of its own, so that a slow one holds up nobody else; repeats with growing pauses; a
//! circuit breaker.
//!
//! What waited while a message was on its way goes out as one message: a storm of a thousand alarms is a few messages.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Message, Receiver, SendError};
use crate::alarms::{Bundle, Notice};
use crate::outputs::breaker::Breaker;

/// No further bundle is added to a message that has so many notices.
const AT_ONCE: usize = 1000;

/// Pauses, and when a receiver is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneOptions {
    /// Bundles of notices that may wait.
    pub queue: usize,
    /// Pause after the first failure; it doubles with each further one.
    pub first_pause: Duration,
    /// Longest pause.
    pub longest_pause: Duration,
    /// Failures in a row, of whatever messages, after which the breaker opens.
    pub breaker_after: u32,
    /// How long it stays open.
    pub breaker_pause: Duration,
}

impl Default for LaneOptions {
    fn default() -> LaneOptions {
        LaneOptions {
            queue: 1000,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(60),
            breaker_after: 5,
            breaker_pause: Duration::from_secs(30),
        }
    }
}

/// Notices that could not be delivered.
#[derive(Debug, Clone, PartialEq)]
pub struct NotTold {
    /// The receiver.
    pub receiver: String,
    /// The notices.
    pub notices: Vec<Notice>,
    /// Why, in a sentence without secrets.
    pub reason: String,
}

/// The way to one receiver.
#[derive(Debug)]
pub struct Lane {
    receiver: Arc<Receiver>,
    catcher: String,
    options: LaneOptions,
    queue: mpsc::Receiver<Bundle>,
    breaker: Breaker,
}

impl Lane {
    /// The entrance and the lane. It ends when the entrance is dropped and everything has gone out or was given up.
    pub fn new(receiver: Arc<Receiver>, catcher: &str, options: LaneOptions) -> (mpsc::Sender<Bundle>, Lane) {
        let (entrance, queue) = mpsc::channel(options.queue.max(1));
        let breaker = Breaker::new(options.breaker_after, options.breaker_pause);
        (entrance, Lane { receiver, catcher: catcher.to_owned(), options, queue, breaker })
    }

    /// Delivers what comes, and reports what could not be delivered.
    pub async fn run(mut self, failures: mpsc::Sender<NotTold>) {
        while let Some(first) = self.queue.recv().await {
            let mut notices = first.0;
            while notices.len() < AT_ONCE
                && let Ok(next) = self.queue.try_recv()
            {
                notices.extend(next.0);
            }
            let message = Message { catcher: self.catcher.clone(), notices: Bundle(notices) };
            if let Err(reason) = self.deliver(&message).await {
                let receiver = self.receiver.name.clone();
                let told = failures.send(NotTold { receiver, notices: message.notices.0, reason }).await;
                if told.is_err() {
                    return;
                }
            }
        }
    }

    async fn deliver(&mut self, message: &Message) -> Result<(), String> {
        let begun = Instant::now();
        let mut pauses = ExponentialBuilder::new()
            .with_min_delay(self.options.first_pause)
            .with_max_delay(self.options.longest_pause)
            .with_factor(2.0)
            .with_jitter()
            .without_max_times()
            .build();
        let mut attempts = 0;
        let mut last: Option<SendError> = None;
        loop {
            let alone = self.breaker.wait(Instant::now());
            let asked = last.as_ref().and_then(SendError::retry_after).unwrap_or_default();
            let pause = if last.is_some() { pauses.next().unwrap_or_default() } else { Duration::ZERO };
            let wait = alone.max(asked).max(pause);
            if let Some(error) =
                last.as_ref().filter(|_| begun.elapsed() + wait > self.receiver.give_up_after)
            {
                let seconds = begun.elapsed().as_secs_f64();
                return Err(format!("{attempts} attempts in {seconds:.1} s, the last: {error}"));
            }
            tokio::time::sleep(wait).await;
            attempts += 1;
            let limit = self.receiver.timeout;
            let sent = tokio::time::timeout(limit, self.receiver.channel.send(message)).await;
            match sent.unwrap_or(Err(SendError::Timeout(limit.as_secs_f64()))) {
                Ok(()) => {
                    self.breaker.succeeded();
                    return Ok(());
                }
                Err(error) if !error.transient() => {
                    self.breaker.succeeded();
                    return Err(error.to_string());
                }
                Err(error) => {
                    let name = &self.receiver.name;
                    if self.breaker.failed(Instant::now()) {
                        let pause = self.options.breaker_pause.as_secs_f64();
                        tracing::warn!("receiver {name} is left alone for {pause} s: {error}");
                    }
                    last = Some(error);
                }
            }
        }
    }
}
