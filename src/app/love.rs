//! The part that keeps the connection to LOVE, and the way on which the core's alarms come to it.

use std::sync::Arc;

use async_trait::async_trait;
use sal_idl::Component;
use salobj::{Domain, Value};
use tokio::sync::watch;

use super::core_loop::Publish;
use super::handle::CoreHandle;
use crate::alarms::AlarmSnapshot;
use crate::core::Event;
use crate::csc::Site;
use crate::outputs::love::{AllAlarms, Face, LinkOptions, Manager, Producer, Tap};

/// The part.
pub struct Love {
    manager: watch::Receiver<Option<Arc<Manager>>>,
    producer: Producer,
}

/// Publishes what the core says, and shows the alarms to LOVE.
struct WithLove {
    bus: Arc<dyn Publish>,
    tap: Tap,
}

/// The part, and who is to publish in the place of `bus`.
///
/// # Errors
/// The interface has no event `alarm`.
pub fn love(
    site: &Site,
    core: CoreHandle,
    component: &Component,
    index: i32,
    domain: &Domain,
    bus: Arc<dyn Publish>,
) -> Result<(Arc<dyn Publish>, Love), String> {
    let alarm = component.topic("evt_alarm").ok_or("the interface has no event alarm")?;
    let (tap, queue) = Tap::new();
    let producer = Producer {
        face: Face::new(alarm, index, domain.origin()),
        all: Arc::new(core),
        queue,
        tap: tap.clone(),
        clock: domain.clock().clone(),
        options: LinkOptions::default(),
    };
    Ok((Arc::new(WithLove { bus, tap }), Love { manager: site.love(), producer }))
}

impl Love {
    /// Keeps a connection to the manager that is configured, and changes over when another one is.
    ///
    /// # Errors
    /// Never by itself: what goes wrong is tried again.
    pub async fn run(mut self) -> Result<(), String> {
        loop {
            let manager = self.manager.borrow_and_update().clone();
            let talk = async {
                match &manager {
                    Some(manager) => self.producer.run(manager).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = talk => {}
                changed = self.manager.changed() => if changed.is_err() {
                    // The site is gone: the process is ending.
                    return std::future::pending().await;
                },
            }
            self.producer.tap.rest();
        }
    }
}

impl Publish for WithLove {
    fn event(&self, event: &Event) {
        self.bus.event(event);
        if let Event::Alarm(alarm) = event {
            self.tap.alarm(alarm);
        }
    }

    fn statistics(&self, fields: &[(&'static str, Value)]) {
        self.bus.statistics(fields);
    }

    fn fault(&self, code: i64, report: String) {
        self.bus.fault(code, report);
    }
}

#[async_trait]
impl AllAlarms for CoreHandle {
    async fn all(&self) -> Result<Vec<AlarmSnapshot>, String> {
        self.alarms(".*").await
    }
}
