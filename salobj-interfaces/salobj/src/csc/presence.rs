//! Signs of life: our heartbeat, and that of another instance that must not be there.

use std::time::Duration;

use super::start::StartError;
use crate::controller::Controller;
use crate::error::SalError;
use crate::remote::{Remote, RemoteOptions};
use crate::value::Value;

/// Period of the heartbeat.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long another instance's heartbeat is listened for: three periods.
const DUPLICATE_WAIT: Duration = Duration::from_secs(3);

pub(super) fn start_heartbeat(controller: &Controller) -> Result<(), SalError> {
    let heartbeat = controller.event("heartbeat")?;
    let clock = controller.domain().clock().clone();
    heartbeat.set_write_if(&[("heartbeat", Value::Bool(false))], true)?;
    controller.spawn(async move {
        loop {
            clock.sleep(HEARTBEAT).await;
            if let Err(e) = heartbeat.write() {
                tracing::warn!("heartbeat not published: {e}");
            }
        }
    });
    Ok(())
}

/// Listens for the heartbeat of another process with our name and index.
pub(super) async fn look_for_another(
    controller: &Controller,
    predecessor: Option<i64>,
) -> Result<(), StartError> {
    let domain = controller.domain().sibling();
    let options = RemoteOptions { event_history: 0, ..RemoteOptions::include(["heartbeat"]).readonly() };
    let remote = Remote::open(&domain, controller.component().clone(), controller.index(), options).await?;
    let heartbeat = remote.event("heartbeat")?;
    let clock = domain.clock();
    let deadline = clock.now() + DUPLICATE_WAIT;
    let other = loop {
        let left = deadline.since(clock.now());
        match heartbeat.next(false, Some(left)).await {
            Ok(sample) if Some(sample.origin()) == predecessor => {}
            Ok(sample) => break Some(sample.origin()),
            Err(_) => break None,
        }
    };
    domain.close().await;
    match other {
        None => Ok(()),
        Some(other) => Err(StartError::Duplicate {
            name_index: controller.name_index().to_owned(),
            own: controller.domain().origin(),
            other,
        }),
    }
}
