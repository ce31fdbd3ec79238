//! Events of the core on the bus.

use std::sync::OnceLock;
use std::time::Duration;

use salobj::Value;
use salobj::csc::CscContext;
use salobj::{EventWriter, SalError, TelemetryWriter};

use crate::app::core_loop::Publish;
use crate::core::Event;
use crate::outputs::lfa::Announcement;

/// The CSC's writers. Attached when the CSC starts; nothing is published before.
#[derive(Default)]
pub struct Publisher {
    writers: OnceLock<Writers>,
}

struct Writers {
    ctx: CscContext,
    alarm: EventWriter,
    notification: EventWriter,
    rule: EventWriter,
    task: EventWriter,
    result: EventWriter,
    explanation: EventWriter,
    summary: EventWriter,
    large_file: EventWriter,
    statistics: TelemetryWriter,
}

impl Publisher {
    /// Takes the writers of a CSC that is starting.
    ///
    /// # Errors
    /// The interface lacks a topic.
    pub fn attach(&self, ctx: &CscContext) -> Result<(), SalError> {
        let writers = Writers {
            ctx: ctx.clone(),
            alarm: ctx.event("alarm")?,
            notification: ctx.event("notification")?,
            rule: ctx.event("rule")?,
            task: ctx.event("task")?,
            result: ctx.event("result")?,
            explanation: ctx.event("explanation")?,
            summary: ctx.event("summary")?,
            large_file: ctx.event("largeFileObjectAvailable")?,
            statistics: ctx.telemetry("statistics")?,
        };
        // Attached already: the CSC is started once in a process.
        drop(self.writers.set(writers));
        Ok(())
    }

    /// Publishes `largeFileObjectAvailable`.
    ///
    /// # Errors
    /// The CSC has not started, or the bus does not take it now.
    pub fn large_file(&self, file: &Announcement) -> Result<(), String> {
        let writers = self.writers.get().ok_or("the CSC has not started")?;
        writers.large_file.set_write_if(&file.fields(), true).map(drop).map_err(|e| e.to_string())
    }
}

impl Publish for Publisher {
    fn event(&self, event: &Event) {
        let Some(writers) = self.writers.get() else { return };
        let writer = match event {
            Event::Alarm(_) => &writers.alarm,
            Event::Notification(_) => &writers.notification,
            Event::Rule(_) => &writers.rule,
            Event::Task(_) => &writers.task,
            Event::Result(_) => &writers.result,
            Event::Explanation(_) => &writers.explanation,
            Event::Summary(_) => &writers.summary,
        };
        // Changed or not: each of these events is about another alarm, rule or run than the last one.
        match writer.set_write_if(&event.fields(), true) {
            // Before the CSC has started nobody listens; the core says it again when it is configured.
            Ok(_) | Err(SalError::NotStarted { .. }) => {}
            Err(error) => {
                tracing::warn!(error = %error, "event {} could not be written: {error}", event.topic());
            }
        }
    }

    fn statistics(&self, fields: &[(&'static str, Value)]) {
        let Some(writers) = self.writers.get() else { return };
        if let Err(error) = writers.statistics.set_write(fields) {
            tracing::debug!(error = %error, "statistics could not be written: {error}");
        }
    }

    fn fault(&self, code: i64, report: String) {
        let Some(writers) = self.writers.get() else {
            tracing::error!("fault {code} before the CSC has started: {report}");
            return;
        };
        let ctx = writers.ctx.clone();
        let within = ctx.clone();
        ctx.spawn(async move {
            let limit = Duration::from_secs(30);
            if within.clock().timeout(limit, within.fault(code, report, "")).await.is_err() {
                tracing::error!("the fault could not be published within {} s", limit.as_secs());
            }
        });
    }
}
