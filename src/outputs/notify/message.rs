//! What a receiver gets to read: one notice, or all that waited.

use serde_json::{Value as Json, json};

use crate::alarms::{Notice, Severity, Told};

/// Notices that a message lists before it only counts.
const LISTED: usize = 10;

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who speaks, e.g. `Catcher:1`.
    pub catcher: String,
    /// What about; never empty.
    pub notices: Vec<Notice>,
}

impl Message {
    /// One line.
    pub fn summary(&self) -> String {
        let worst = self.notices.iter().max_by_key(|n| (n.what != Told::Cleared, n.severity));
        let line = worst.map(Notice::line).unwrap_or_default();
        match self.notices.len() {
            0 | 1 => line,
            all => format!("{line} and {} more", all - 1),
        }
    }

    /// All lines: the worst first, the last one counts those that are not listed.
    pub fn text(&self) -> String {
        let mut sorted: Vec<&Notice> = self.notices.iter().collect();
        sorted.sort_by_key(|n| std::cmp::Reverse((n.what != Told::Cleared, n.severity)));
        let mut lines: Vec<String> = sorted.iter().take(LISTED).map(|n| line(n)).collect();
        let more = sorted.len().saturating_sub(LISTED);
        if more > 0 {
            lines.push(format!("{more} more"));
        }
        lines.join("\n")
    }

    /// All of it as data: for templates, and the body of a webhook without one.
    pub fn json(&self) -> Json {
        let severity = |s: Severity| s.name().to_lowercase();
        let alarms: Vec<Json> = self
            .notices
            .iter()
            .map(|n| {
                json!({
                    "name": n.alarm,
                    "what": n.what,
                    "severity": severity(n.severity),
                    "level": i64::from(n.severity),
                    "reason": n.reason,
                    "report_url": n.report_url,
                    "run": n.task_id,
                    "at": n.at.map(|at| format!("{}Z", at.utc_iso())).unwrap_or_default(),
                })
            })
            .collect();
        json!({
            "catcher": self.catcher,
            "summary": self.summary(),
            "text": self.text(),
            "count": alarms.len(),
            "alarms": alarms,
        })
    }

    /// An example, to try a template on.
    pub(super) fn example() -> Message {
        let notice = Notice {
            alarm: "Example".to_owned(),
            what: Told::Raised,
            severity: Severity::Warning,
            reason: "an example".to_owned(),
            report_url: String::new(),
            task_id: String::new(),
            at: Some(salobj::Tai(0.0)),
        };
        Message { catcher: "Catcher:1".to_owned(), notices: vec![notice] }
    }
}

fn line(notice: &Notice) -> String {
    let line = notice.line();
    if notice.report_url.is_empty() { line } else { format!("{line} {}", notice.report_url) }
}
