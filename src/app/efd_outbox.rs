//! Results on their way to the EFD: spooled on disk first, sent when the EFD is there.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sal_idl::Component;
use salobj::{Clock, Value};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::results::ResultSink;
use crate::core::{Event, ResultEvent};
use crate::csc::Site;
use crate::outputs::efd::outbox::OutboxOptions;
use crate::outputs::efd::{Outbox, Point, SpoolError};

/// Results that may wait to be spooled.
const QUEUE: usize = 1000;

/// How often the configuration is looked at for an EFD while there is none.
const LOOK: Duration = Duration::from_secs(1);

/// The core's end.
struct Results {
    points: mpsc::Sender<Point>,
    site: Arc<Site>,
    component: String,
    index: i32,
}

/// The part that spools and sends.
pub struct OutboxPart {
    outbox: Arc<Outbox>,
    points: mpsc::Receiver<Point>,
    site: Arc<Site>,
}

/// Opens the spool.
///
/// # Errors
/// The folder cannot be used, or what is in it is damaged.
pub fn open(
    dir: &Path,
    site: Arc<Site>,
    component: Arc<Component>,
    index: i32,
) -> Result<(Arc<dyn ResultSink>, OutboxPart), SpoolError> {
    let (outbox, recovered) = Outbox::open(dir, OutboxOptions::default())?;
    if recovered.pending > 0 {
        tracing::info!("{} points wait in the spool for the EFD", recovered.pending);
    }
    let (points_in, points) = mpsc::channel(QUEUE);
    let results =
        Results { points: points_in, site: Arc::clone(&site), component: component.name.clone(), index };
    Ok((Arc::new(results), OutboxPart { outbox: Arc::new(outbox), points, site }))
}

impl ResultSink for Results {
    fn result(&self, result: &ResultEvent) {
        let wanted = self.site.config().and_then(|c| c.efd.clone()).is_some_and(|efd| efd.write_results);
        if !wanted {
            return;
        }
        let mut point = Point::sal(&self.component, "logevent_result", result.finished);
        point.push("salIndex", &Value::Int(self.index.into()));
        for (name, value) in Event::Result(result.clone()).fields() {
            point.push(name, &value);
        }
        if self.points.try_send(point).is_err() {
            tracing::error!(
                "the result of run {} is not written to the EFD: {QUEUE} results wait for the disk",
                result.task_id
            );
        }
    }
}

impl OutboxPart {
    /// Spools what comes, and sends while an EFD is configured.
    ///
    /// # Errors
    /// The spool cannot be used any more.
    pub async fn run(mut self, clock: Clock) -> Result<(), String> {
        let outbox = Arc::clone(&self.outbox);
        let spooling = async {
            while let Some(point) = self.points.recv().await {
                match outbox.push(vec![point]).await {
                    Ok(()) => {}
                    // Counted by the outbox: what was spooled before goes out first.
                    Err(full @ SpoolError::Full { .. }) => {
                        tracing::error!("a result is not written to the EFD: {full}")
                    }
                    Err(error) => return Err(format!("spool: {error}")),
                }
            }
            Ok::<(), String>(())
        };
        let site = Arc::clone(&self.site);
        let sender = Arc::clone(&self.outbox);
        let sending = async {
            loop {
                let Some(efd) = site.efd() else {
                    clock.sleep(LOOK).await;
                    continue;
                };
                let stop = CancellationToken::new();
                let changed = async {
                    while site.efd().is_some_and(|now| Arc::ptr_eq(&now, &efd)) {
                        clock.sleep(LOOK).await;
                    }
                    stop.cancel();
                };
                let (sent, ()) = tokio::join!(sender.run(Arc::clone(&efd), stop.clone()), changed);
                sent.map_err(|e| format!("EFD outbox: {e}"))?;
            }
        };
        tokio::select! {
            spooled = spooling => spooled,
            sent = sending => sent,
        }
    }
}
