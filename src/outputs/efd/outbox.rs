//! The way of results into the EFD: first to the disk, then out, in order, whenever the EFD is there.
//!
//! ```text
//! push ─► spool (synced) ─► [ batch ] ─► EFD
//!             ▲                 │ taken: next batch
//!             │                 │ not available, refused: wait 1 s, 2 s, ... 60 s, again
//!             └─────────────────┤
//!                               └ a point is bad: halve the batch until it is alone, put it aside, go on
//! ```

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::spool::{Batch, Recovered, Spool};
use super::{Efd, EfdError, ErrorClass, Point, SpoolError, SpoolLimits};

/// Points in one request to the EFD, and bytes that they may fill on disk: InfluxDB 1 takes 25 MB, and closes the
/// connection on more without saying why.
const BATCH: usize = 500;
const BATCH_BYTES: u64 = 4 << 20;
/// Bad points are put aside up to so many bytes, then only counted.
const MAX_REJECTED_BYTES: u64 = 16 << 20;

/// Bounds and delays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxOptions {
    /// Bounds of the spool.
    pub limits: SpoolLimits,
    /// Wait after the first failure; it doubles with each further one.
    pub first_delay: Duration,
    /// Longest wait.
    pub longest_delay: Duration,
}

impl Default for OutboxOptions {
    fn default() -> OutboxOptions {
        OutboxOptions {
            limits: SpoolLimits::default(),
            first_delay: Duration::from_secs(1),
            longest_delay: Duration::from_secs(60),
        }
    }
}

/// How it stands; for health, metrics and the dashboard.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OutboxState {
    /// Points on disk that have not gone out.
    pub pending: u64,
    /// Points that went out since the start.
    pub written: u64,
    /// Points that the server does not take, put aside in `rejected.jsonl`.
    pub rejected: u64,
    /// Points that were not kept because the spool was full or the disk failed.
    pub lost: u64,
    /// Lines of the spool that were damaged and skipped.
    pub damaged: u64,
    /// Failures in a row; 0 when the last write went well.
    pub failures: u64,
    /// The last failure and who has to act, until a write goes well.
    pub last_error: Option<(ErrorClass, String)>,
}

/// Accepts points and sends them.
#[derive(Debug)]
pub struct Outbox {
    spool: Arc<Mutex<Spool>>,
    rejected_path: PathBuf,
    options: OutboxOptions,
    more: Notify,
    state: watch::Sender<OutboxState>,
}

impl Outbox {
    /// Opens the spool in `dir`. Blocks on the disk: call it at start.
    pub fn open(dir: &Path, options: OutboxOptions) -> Result<(Outbox, Recovered), SpoolError> {
        let (spool, recovered) = Spool::open(dir, options.limits)?;
        let state = OutboxState { pending: recovered.pending, ..OutboxState::default() };
        let outbox = Outbox {
            spool: Arc::new(Mutex::new(spool)),
            rejected_path: dir.join("rejected.jsonl"),
            options,
            more: Notify::new(),
            state: watch::Sender::new(state),
        };
        Ok((outbox, recovered))
    }

    /// Keeps the points on disk, synced; they go out later. On an error none of them is kept, and they are counted lost.
    pub async fn push(&self, points: Vec<Point>) -> Result<(), SpoolError> {
        let count = points.len() as u64;
        let kept = self.with_spool(move |spool| spool.append(&points).map(|()| spool.pending())).await;
        self.state.send_modify(|state| match &kept {
            Ok(pending) => state.pending = *pending,
            Err(_) => state.lost += count,
        });
        self.more.notify_one();
        kept.map(drop)
    }

    /// How it stands, now and on every change.
    pub fn state(&self) -> watch::Receiver<OutboxState> {
        self.state.subscribe()
    }

    /// Sends until `stop`. Ends with an error only if the spool cannot be read.
    pub async fn run(&self, efd: Arc<dyn Efd>, stop: CancellationToken) -> Result<(), SpoolError> {
        let mut delay = self.options.first_delay;
        loop {
            let batch = self.with_spool(|spool| spool.peek(BATCH, BATCH_BYTES)).await?;
            let wait = if batch.points.is_empty() && batch.damaged == 0 {
                None
            } else {
                match self.send(&*efd, &batch).await {
                    Ok(rejected) => {
                        delay = self.options.first_delay;
                        self.went_out(batch, rejected).await?;
                        if stop.is_cancelled() {
                            return Ok(());
                        }
                        continue;
                    }
                    Err(error) => {
                        self.failed(&error);
                        let wait = delay;
                        delay = (delay * 2).min(self.options.longest_delay);
                        Some(wait)
                    }
                }
            };
            let pause = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => self.more.notified().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = pause => {}
            }
        }
    }

    /// Writes the batch; gives the points that the server does not take.
    async fn send(&self, efd: &dyn Efd, batch: &Batch) -> Result<Vec<(Point, String)>, EfdError> {
        let mut rejected = Vec::new();
        let mut parts = vec![&batch.points[..]];
        while let Some(part) = parts.pop() {
            match efd.write(part).await {
                Ok(()) => {}
                Err(EfdError::BadPoint { detail, .. }) if part.len() == 1 => {
                    rejected.push((part[0].clone(), detail));
                }
                Err(EfdError::BadPoint { .. }) => {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(rejected)
    }

    async fn went_out(&self, batch: Batch, rejected: Vec<(Point, String)>) -> Result<(), SpoolError> {
        let refused = rejected.len() as u64;
        let written = batch.points.len() as u64 - refused;
        let damaged = batch.damaged;
        for (point, reason) in &rejected {
            tracing::warn!(
                efd.measurement = point.measurement,
                "the EFD does not take a point, it is put aside: {reason}"
            );
        }
        let path = self.rejected_path.clone();
        let pending = self
            .with_spool(move |spool| {
                put_aside(&path, &rejected).map_err(|source| SpoolError::Io { path, source })?;
                spool.sent(&batch)?;
                Ok(spool.pending())
            })
            .await?;
        self.state.send_modify(|state| {
            if state.failures > 0 {
                tracing::info!("the EFD takes points again, {pending} wait");
            }
            state.pending = pending;
            state.written += written;
            state.rejected += refused;
            state.damaged += damaged;
            state.failures = 0;
            state.last_error = None;
        });
        Ok(())
    }

    fn failed(&self, error: &EfdError) {
        self.state.send_modify(|state| {
            if state.failures == 0 {
                tracing::warn!("results wait on disk: {error}");
            }
            state.failures += 1;
            state.last_error = Some((error.class(), error.to_string()));
        });
    }

    async fn with_spool<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Spool) -> Result<T, SpoolError> + Send + 'static,
    ) -> Result<T, SpoolError> {
        let spool = Arc::clone(&self.spool);
        tokio::task::spawn_blocking(move || work(&mut spool.lock().unwrap_or_else(PoisonError::into_inner)))
            .await
            .expect("work on the spool does not panic and is never aborted")
    }
}

/// Appends the points with the server's words to a file for a person to look at.
fn put_aside(path: &Path, rejected: &[(Point, String)]) -> std::io::Result<()> {
    if rejected.is_empty() {
        return Ok(());
    }
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
    if file.metadata()?.len() > MAX_REJECTED_BYTES {
        return Ok(());
    }
    for (point, reason) in rejected {
        let line = serde_json::json!({"reason": reason, "point": point});
        file.write_all(format!("{line}\n").as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod real_tests;
