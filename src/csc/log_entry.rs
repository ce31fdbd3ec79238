//! The command `makeLogEntry`: an entry of the narrative log for each alarm that is meant.

use std::time::Duration;

use salobj::CommandRequest;
use salobj::csc::CscContext;

use super::CatcherCsc;
use crate::outputs::notify::LogEntry;

impl CatcherCsc {
    /// As the Watcher does: one entry after the other; the first that fails ends it, and the text says what was done.
    pub(super) async fn make_log_entry(
        &self,
        ctx: &CscContext,
        request: &CommandRequest,
    ) -> Result<String, String> {
        let pattern = request.sample.str("alarmName");
        let alarms = self.core.alarms(pattern).await?;
        if alarms.is_empty() {
            return Ok(format!("no alarm matches \"{pattern}\": nothing to do"));
        }
        let notify = self.site.notify();
        let Some(narrative) = notify.as_ref().and_then(|n| n.narrative.as_ref()) else {
            return Err("narrative_server_url is not configured: there is no log to write to".to_owned());
        };
        let count = u32::try_from(alarms.len()).unwrap_or(u32::MAX);
        let longest = narrative.timeout().saturating_mul(count).min(Duration::from_secs(3600));
        request.in_progress(longest, "writing to the narrative log").map_err(|e| e.to_string())?;
        let user_id = salobj::user_at_host();
        let mut done: Vec<&str> = Vec::new();
        for alarm in &alarms {
            let entry = LogEntry {
                alarm: &alarm.alarm_name,
                severity: alarm.severity,
                reason: &alarm.reason,
                user_id: &user_id,
                at: ctx.clock().now(),
            };
            if let Err(error) = narrative.log(&entry).await {
                let before = if done.is_empty() { "nothing".to_owned() } else { done.join(", ") };
                return Err(format!("no entry for {}: {error}; logged before: {before}", alarm.alarm_name));
            }
            done.push(&alarm.alarm_name);
        }
        Ok(format!("logged: {}", done.join(", ")))
    }
}
