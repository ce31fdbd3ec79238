//! Other components as steps see them: commanded exactly once, and heard. Shared by the backends `ocps`, `sal` and
//! `script_queue`.
//!
//! ```text
//!  Peers ── Whom ──► Peer: a remote, its last events, whether it lives        (opened at its first use and kept)
//!                     │
//!                     └─ prepare ─► journal ABOUT TO SEND ─► send ─► journal SENT ─► follow
//!                                   (Errand: the record itself,   (delivery awaited)
//!                                    its number, identity, origin,
//!                                    read positions)
//!  after a restart: SENT ─► adopt: acknowledgements and events from the noted positions
//!                   ABOUT TO SEND ─► look into the command topic from the noted position:
//!                        there ─► adopt;  expired ─► outcome unknown;  not there ─► send, unless it is too late
//! ```
//!
//! What is sent, how it is followed, and what its end means is the backend's.

mod errand;
mod peer;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sal_idl::Component;
use sal_idl::names::name_index;
use salobj::{Clock, Domain};
use tokio::sync::{Mutex, OnceCell};

use super::call::StepError;

pub(crate) use errand::{Errand, Past, Phase};
pub(crate) use peer::{Cursor, News, Peer, Told, Watch};

/// How long a component that was never heard is waited for before a command. Heartbeats come every second.
const PRESENCE: Duration = Duration::from_secs(10);
/// Without a sign of life for so long it counts as gone. OCPS is silent for up to 9 s during an HTTP request.
const SILENT: Duration = Duration::from_secs(30);
/// No limit is shorter than this in real time, however fast the clock of a demonstration runs.
const REAL_MINIMUM: Duration = Duration::from_secs(3);
/// For connecting to the bus, real time.
const CONNECT: Duration = Duration::from_secs(30);
/// Peers kept open; beyond that those that no step uses are closed. More than the steps that may be under way.
const MOST_OPEN: usize = 256;

/// Whom a step talks to, and which of its events it listens to.
#[derive(Debug, Clone)]
pub(crate) struct Whom {
    /// Its interface.
    pub(crate) component: Arc<Component>,
    /// Instance; 0 for a component without, or (to listen only) for all of them.
    pub(crate) index: i64,
    /// The events.
    pub(crate) watches: Vec<Watch>,
}

impl Whom {
    /// `OCPS:1`, `ATMCS`.
    pub(crate) fn name(&self) -> String {
        match i32::try_from(self.index) {
            Ok(index) => name_index(&self.component.name, self.component.indexed.then_some(index)),
            Err(_) => format!("{}:{}", self.component.name, self.index),
        }
    }

    fn key(&self) -> (String, i64, Vec<Watch>) {
        (self.component.name.clone(), self.index, self.watches.clone())
    }
}

type Open = HashMap<(String, i64, Vec<Watch>), Arc<OnceCell<Arc<Peer>>>>;

/// All components that steps talk to, on one bus and in one name.
#[derive(Debug)]
pub struct Peers {
    domain: Domain,
    open: Mutex<Open>,
}

impl Peers {
    /// Nobody yet. Commands are sent on the bus of `domain`, in its name.
    pub fn new(domain: Domain) -> Self {
        Self { domain, open: Mutex::default() }
    }

    /// The clock of all limits.
    pub(crate) fn clock(&self) -> &Clock {
        self.domain.clock()
    }

    /// Leaves the bus.
    #[cfg(test)]
    pub(crate) async fn close(&self) {
        self.domain.close().await;
    }

    /// A limit in the domain's clock that is not too short for real processes.
    pub(crate) fn limit(&self, limit: Duration) -> Duration {
        limit.max(REAL_MINIMUM.mul_f64(self.clock().speed()))
    }

    /// How long a component may be silent before it counts as gone.
    pub(crate) fn silent(&self) -> Duration {
        self.limit(SILENT)
    }

    /// A component, opened at its first use and kept.
    pub(crate) async fn get(&self, whom: &Whom) -> Result<Arc<Peer>, StepError> {
        let (cell, idle) = {
            let mut open = self.open.lock().await;
            let idle = take_idle(&mut open);
            (Arc::clone(open.entry(whom.key()).or_default()), idle)
        };
        for peer in idle {
            peer.remote.close().await;
        }
        let name = whom.name();
        let opening = cell.get_or_try_init(|| async { Peer::open(&self.domain, whom).await.map(Arc::new) });
        match tokio::time::timeout(CONNECT, opening).await {
            Ok(Ok(peer)) => Ok(Arc::clone(peer)),
            Ok(Err(e)) => {
                Err(StepError::transient(format!("{name} cannot be reached: {e}; nothing was sent")))
            }
            Err(_) => Err(StepError::transient(format!(
                "{name} cannot be reached: the bus did not answer within {} s; nothing was sent",
                CONNECT.as_secs()
            ))),
        }
    }

    /// A component, once it shows that it lives, and its process. One without a heartbeat is taken to live; its process
    /// is 0.
    pub(crate) async fn living(&self, whom: &Whom) -> Result<(Arc<Peer>, i64), StepError> {
        let peer = self.get(whom).await?;
        let limit = self.limit(PRESENCE);
        match peer.wait_alive(self.silent(), limit).await {
            Some(origin) => Ok((peer, origin)),
            None => Err(StepError::transient(format!(
                "{} is not there: no heartbeat within {} s; nothing was sent",
                whom.name(),
                limit.as_secs_f64()
            ))),
        }
    }
}

/// Takes out what no step uses, if there is too much.
fn take_idle(open: &mut Open) -> Vec<Arc<Peer>> {
    if open.len() < MOST_OPEN {
        return Vec::new();
    }
    let mut idle = Vec::new();
    open.retain(|_, cell| {
        let used = Arc::strong_count(cell) > 1 || cell.get().is_some_and(|p| Arc::strong_count(p) > 1);
        if !used {
            idle.extend(cell.get().cloned());
        }
        used
    });
    idle
}
