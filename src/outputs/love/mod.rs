//! LOVE, the operators' display: the Catcher's alarms, sent to LOVE-manager as LOVE-producer sends those of the Watcher.
//!
//! ```text
//!  core ── alarm ──► tap: bounded queue, never waits ──► producer ──► websocket ──► LOVE-manager ──► browsers
//!       ◄── all alarms, please ───────────────────────── producer ◄── initial_state: somebody has subscribed
//! ```
//!
//! Two streams of csc `Catcher`: `alarm` is one alarm that has changed, `stream` the list of all, which replaces what a
//! browser has. The list is asked of the core when it is to be sent, so that there is no second memory of alarms here.
//!
//! * While there is no connection nothing is kept: a connection begins with the list.
//! * What finds no place in the queue is dropped and counted, and the list is sent once the queue is empty. The list is
//!   also sent in the place of more than [`LinkOptions::burst`] alarms at a time: LOVE-manager holds 100 messages for a
//!   browser, and drops what is more without a word.
//! * A manager that refuses, hangs or goes away is tried again with growing pauses. Password and token are in no log.
//!
//! * [`config`]: what a site says
//! * [`face`]: an alarm as LOVE shows it, and the messages
//! * [`producer`]: the connection

pub mod config;
pub mod face;
pub mod producer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use tokio::sync::mpsc;

use crate::alarms::AlarmSnapshot;

pub use config::{LoveConfig, Manager};
pub use face::Face;
pub use producer::{LinkError, LinkOptions, Producer};

/// Changes that may wait for the connection.
pub const QUEUE: usize = 1000;

/// Who knows all alarms.
#[async_trait]
pub trait AllAlarms: Send + Sync {
    /// All alarms as they are now.
    ///
    /// # Errors
    /// The process is ending.
    async fn all(&self) -> Result<Vec<AlarmSnapshot>, String>;
}

/// What has been done, since the process began.
#[derive(Debug, Default)]
pub struct Figures {
    /// Connections that LOVE-manager has taken.
    pub connections: AtomicU64,
    /// Alarms sent one by one.
    pub alarms: AtomicU64,
    /// Lists sent.
    pub lists: AtomicU64,
    /// Changes that found no place in the queue.
    pub lost: AtomicU64,
    connected: AtomicBool,
    behind: AtomicBool,
}

impl Figures {
    /// Is there a connection now?
    pub fn connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The core's end. Never waits.
#[derive(Debug, Clone)]
pub struct Tap {
    queue: mpsc::Sender<AlarmSnapshot>,
    figures: Arc<Figures>,
}

impl Tap {
    /// Both ends of the queue.
    pub fn new() -> (Tap, mpsc::Receiver<AlarmSnapshot>) {
        let (queue, taken) = mpsc::channel(QUEUE);
        (Tap { queue, figures: Arc::default() }, taken)
    }

    /// An alarm has changed. Nothing happens while there is no connection; counted if the queue is full.
    pub fn alarm(&self, alarm: &AlarmSnapshot) {
        if !self.figures.connected() {
            return;
        }
        if self.queue.try_send(alarm.clone()).is_err() {
            Figures::count(&self.figures.lost);
            self.figures.behind.store(true, Ordering::Release);
        }
    }

    /// There is no connection now.
    pub fn rest(&self) {
        self.figures.connected.store(false, Ordering::Release);
    }

    /// What has been done.
    pub fn figures(&self) -> &Arc<Figures> {
        &self.figures
    }
}

#[cfg(test)]
pub(crate) mod tests;
