//! The part that brings reports and files of steps to the LFA, and says where they are.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use salobj::Clock;

use super::core_loop::Publish as _;
use super::handle::CoreHandle;
use crate::core::{Event, Notification};
use crate::csc::Publisher;
use crate::outputs::lfa::{Announcement, Lfa, LfaError, LfaOptions, Tell};
use crate::outputs::report_folder::{Base, ReportFolder};

/// Logging levels of notifications.
const INFO: i64 = 20;
const ERROR: i64 = 40;

/// Opens what is known of files; no server is configured yet.
///
/// # Errors
/// The folder cannot be used, or what is in it is damaged.
pub fn open(
    dir: &Path,
    folder: ReportFolder,
    base: Base,
    catcher: &str,
    clock: Clock,
) -> Result<Arc<Lfa>, LfaError> {
    Ok(Arc::new(Lfa::open(dir, folder, base, catcher, clock, LfaOptions::default())?))
}

/// Stores and announces what waits, until it is dropped.
///
/// # Errors
/// Never by itself: what goes wrong is tried again.
pub async fn run(lfa: Arc<Lfa>, publisher: Arc<Publisher>, core: CoreHandle) -> Result<(), String> {
    lfa.run(&Told { publisher, core }).await;
    Ok(())
}

struct Told {
    publisher: Arc<Publisher>,
    core: CoreHandle,
}

#[async_trait]
impl Tell for Told {
    fn announce(&self, file: &Announcement) -> Result<(), String> {
        self.publisher.large_file(file)
    }

    async fn report_at(&self, run_id: String, url: String) {
        self.core.report_written(run_id, Ok(url)).await;
    }

    fn news(&self, bad: bool, summary: String, details: String) {
        let level = if bad { ERROR } else { INFO };
        let news = Notification { level, summary, details, ..Notification::default() };
        self.publisher.event(&Event::Notification(news));
    }
}

#[cfg(test)]
mod tests;
