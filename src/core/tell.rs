//! What of the alarms goes beyond the bus; see [`crate::alarms::Notice`].

use super::{Core, Event, Notification, Output};
use crate::alarms::{Bundle, IncidentAnswer, Notice};
use crate::journal::Record;

/// Notices that a `notification` lists before it only counts.
const LISTED: usize = 200;

/// Key of the journal's entry about storms.
pub(super) const STORM: &str = "storm";

impl Core {
    /// After every input: records of incidents and mute windows, then notices and calls.
    pub(super) fn tell(&mut self, out: &mut Vec<Output>) {
        for (id, incident) in self.book.take_unsaved_incidents() {
            let value = incident.map(|i| serde_json::to_value(i).expect("an incident is plain data"));
            out.push(Output::Record(Record { key: format!("incident/{id}"), value }));
        }
        for (id, window) in self.book.take_unsaved_windows() {
            let value = window.map(|w| serde_json::to_value(w).expect("a window is plain data"));
            out.push(Output::Record(Record { key: format!("mute_window/{id}"), value }));
        }
        for notices in self.book.take_notices() {
            out.push(Output::Publish(Event::Notification(notification(&notices))));
            out.push(Output::Notify(notices));
        }
        if let Some(storm) = self.book.take_unsaved_storm() {
            let value = serde_json::to_value(storm).expect("plain data");
            out.push(Output::Record(Record::put(STORM, value)));
        }
        out.extend(self.book.take_log().into_iter().map(Output::Note));
        out.extend(self.book.take_incident_calls().into_iter().map(Output::Incident));
    }

    /// A receiver could not be told: that is said on the bus, and to no receiver.
    pub(super) fn not_told(&mut self, receiver: &str, about: &str, reason: &str, out: &mut Vec<Output>) {
        let summary = format!("{receiver} could not be told: {reason}");
        out.push(Output::Warn(format!("{summary} (about {about})")));
        out.push(Output::Publish(Event::Notification(Notification {
            alarm_name: about.to_owned(),
            level: 40,
            summary,
            details: String::new(),
        })));
    }

    /// A call to the escalation service found no room: it is made again later.
    pub fn incident_not_taken(&mut self, id: &str) {
        self.book.incident_answer(id, IncidentAnswer::NotTaken);
    }
}

fn notification(notices: &Bundle) -> Notification {
    let worst = notices.worst();
    let details = match (&notices.0[..], worst) {
        ([], _) | (_, None) => String::new(),
        ([notice], _) => details(notice),
        _ => notices.lines(LISTED, Notice::line),
    };
    Notification {
        alarm_name: worst.map(|notice| notice.alarm.clone()).unwrap_or_default(),
        level: worst.map_or(20, Notice::level),
        summary: notices.summary(),
        details,
    }
}

fn details(notice: &Notice) -> String {
    let parts = [("reason", &notice.reason), ("report", &notice.report_url), ("run", &notice.task_id)];
    let parts = parts.iter().filter(|(_, text)| !text.is_empty());
    parts.map(|(name, text)| format!("{name}: {text}")).collect::<Vec<_>>().join("\n")
}
