//! What a receiver gets to read: one notice, or all that waited.

use serde_json::{Value as Json, json};

use crate::alarms::{Bundle, Notice, Severity, Told};

/// Notices that a message lists before it only counts.
const LISTED: usize = 10;

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who speaks, e.g. `Catcher:1`.
    pub catcher: String,
    /// What about.
    pub notices: Bundle,
}

impl Message {
    /// One line.
    pub fn summary(&self) -> String {
        self.notices.summary()
    }

    /// All lines: the worst first, the last one counts those that are not listed.
    pub fn text(&self) -> String {
        self.notices.lines(LISTED, line)
    }

    /// All of it as data: for templates, and the body of a webhook without one.
    pub fn json(&self) -> Json {
        let severity = |s: Severity| s.name().to_lowercase();
        let alarms: Vec<Json> = self
            .notices
            .0
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
                    "inhibits": n.inhibits,
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
            inhibits: 0,
        };
        Message { catcher: "Catcher:1".to_owned(), notices: Bundle(vec![notice]) }
    }
}

fn line(notice: &Notice) -> String {
    let line = notice.line();
    if notice.report_url.is_empty() { line } else { format!("{line} {}", notice.report_url) }
}
