//! What of the alarms is told beyond the bus: notices to the receivers of the site, incidents at the escalation service. What keeps
//! either back says [`storm`](super::storm).
//!
//! ```text
//!              ESC fired                 opened                       acknowledged, none, removed
//!  (nothing) ────────────► opening ───────────────► escalated_id ─────────────────────────────► closing ──► (nothing)
//!                │  journal,   │ refused: "Failed: ..."   ▲ journal, then resolve      ▲              closed
//!                │  then       └──► (nothing)             │                            │
//!                └─ trigger        no clear answer: "Failed: ...", doubtful ───────────┘
//! ```
//!
//! An incident's id follows from the alarm and the instant of its ESC deadline, and is in the journal before it is sent:
//! after a restart the same id is sent again, which opens nothing twice, and whatever may be open is closed once nobody
//! needs to be called. Severity changes touch none of it (defect 4 of the Watcher); a removed or reset alarm closes its
//! incident (defect 6).
//!
//! A notice is given when an alarm's severity rises above all that was told since it was last at none, unless it is muted
//! or acknowledged, and when it goes back to none after that, muted or not: an end is never suppressed. What was told is
//! part of the alarm's record, so that neither a restart nor a disable tells it again. An incident that is open stays open when a
//! cause comes up later; what should be opened while there is a cause is opened when that has gone, if it still should.

use std::collections::{BTreeMap, BTreeSet};

use salobj::Tai;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::alarm::FAILED;
use super::book::Book;
use super::entry::Entry;
use super::history::Cause;
/// An incident that was or may have been asked for, and is not settled: the journal's entry `incident/<id>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incident {
    /// The alarm.
    pub alarm: String,
    /// Who is called.
    pub responder: String,
    /// The alarm's reason when it was escalated.
    pub description: String,
    /// True if it is to be closed; false if it is to be opened.
    pub closing: bool,
}

/// A request to the escalation service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentCall {
    /// Id of the incident.
    pub id: String,
    /// What it is about, and whether to open or to close it.
    pub incident: Incident,
}

/// What became of an [`IncidentCall`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IncidentAnswer {
    /// It is open.
    Opened,
    /// It could not be opened.
    NotOpened {
        /// "Failed: ..." and why.
        text: String,
        /// It may be open all the same.
        doubtful: bool,
    },
    /// It is closed, or the service will have nothing of it.
    Closed,
    /// Nobody has taken the call up; it has to be made again.
    NotTaken,
}

/// What the book keeps for this; see the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Telling {
    /// Who opens incidents (`Catcher:1`); `None` if no service is configured.
    owner: Option<String>,
    incidents: BTreeMap<String, Incident>,
    unsaved: BTreeSet<String>,
    /// Ids to be opened that another process may have called for.
    resumed: BTreeSet<String>,
    /// Ids whose call is on its way in this process.
    called: BTreeSet<String>,
    calls: Vec<IncidentCall>,
}

impl Telling {
    fn keep(&mut self, id: String, incident: Incident) {
        self.unsaved.insert(id.clone());
        self.incidents.insert(id, incident);
    }

    fn settle(&mut self, id: &str) {
        if self.incidents.remove(id).is_some() {
            self.unsaved.insert(id.to_owned());
        }
    }

    fn call(&mut self, id: &str) {
        let Some(incident) = self.incidents.get(id).filter(|_| self.owner.is_some()) else { return };
        if self.called.insert(id.to_owned()) {
            self.calls.push(IncidentCall { id: id.to_owned(), incident: incident.clone() });
        }
    }

    fn close(&mut self, id: String, alarm: &str, responder: &str) {
        let incident = Incident {
            alarm: alarm.to_owned(),
            responder: responder.to_owned(),
            description: String::new(),
            closing: true,
        };
        self.keep(id.clone(), incident);
        self.call(&id);
    }
}

impl Book {
    /// Who opens incidents, e.g. `Catcher:1`; `None` if no escalation service is configured: then none is opened, and
    /// those that are open stay noted until there is one again.
    pub fn set_incident_owner(&mut self, owner: Option<String>) {
        self.telling.owner = owner;
    }

    /// After every change of an alarm: what has to be told. True if the alarm is to be published for it.
    pub(super) fn follow(&mut self, id: u64, entry: &mut Entry, before: &Entry) -> bool {
        let mut publish = self.look(id, entry, before);
        publish |= self.follow_incident(entry);
        if !self.frozen() {
            let state = entry.alarm.state();
            let to_open = state.do_escalate && entry.opening.is_none() && state.escalated_id.is_empty();
            self.speak(id, entry, to_open && self.telling.owner.is_some());
        }
        publish
    }

    /// Opens or closes the incident of an alarm, if that is due. True if the alarm is to be published for it.
    pub(super) fn follow_incident(&mut self, entry: &mut Entry) -> bool {
        let mut publish = false;
        let wanted = entry.alarm.state().do_escalate;
        let may_open = !self.frozen() && entry.hush.quiet().is_none();
        let telling = &mut self.telling;
        if let Some(id) = entry.alarm.incident_to_close().map(str::to_owned) {
            telling.close(id, &entry.name, entry.alarm.escalate_to());
            publish |= entry.alarm.set_escalated_id("").publish;
        }
        if let Some(id) = entry.doubtful.take_if(|_| !wanted) {
            telling.close(id, &entry.name, entry.alarm.escalate_to());
        }
        let state = entry.alarm.state();
        if let Some(owner) = telling.owner.as_ref().filter(|_| wanted && may_open)
            && entry.opening.is_none()
            && state.escalated_id.is_empty()
        {
            let id = incident_id(owner, &entry.name, state.timestamp_escalate.unwrap_or_default());
            let incident = Incident {
                alarm: entry.name.to_string(),
                responder: entry.alarm.escalate_to().to_owned(),
                description: state.reason.clone(),
                closing: false,
            };
            entry.opening = Some(id.clone());
            telling.keep(id.clone(), incident);
            telling.call(&id);
        }
        publish
    }

    /// What became of a call. A publication may follow.
    pub fn incident_answer(&mut self, id: &str, answer: IncidentAnswer) {
        self.telling.called.remove(id);
        let Some(incident) = self.telling.incidents.get(id).cloned() else { return };
        if answer == IncidentAnswer::NotTaken {
            return;
        }
        self.telling.settle(id);
        let resumed = self.telling.resumed.remove(id);
        let answer = match answer {
            // It may have been opened before the restart.
            IncidentAnswer::NotOpened { text, .. } if resumed => {
                IncidentAnswer::NotOpened { text, doubtful: true }
            }
            answer => answer,
        };
        if incident.closing || answer == IncidentAnswer::Closed {
            return;
        }
        let alarm = self.id(&incident.alarm).ok();
        let owner = alarm.filter(|alarm| self.entry(*alarm).opening.as_deref() == Some(id));
        let maybe_open =
            !matches!(answer, IncidentAnswer::NotOpened { doubtful: false, .. } | IncidentAnswer::NotTaken);
        self.chronicle.because(Cause::Escalation);
        let taken = owner.is_some_and(|alarm| self.change(alarm, |entry| take_up(entry, id, answer)));
        if maybe_open && !taken {
            self.telling.close(id.to_owned(), &incident.alarm, &incident.responder);
        }
    }

    /// Makes the calls that nobody has taken up: after a restart, after `start`, on entering ENABLED, and every now and
    /// then. What is to be opened waits for ENABLED, and is closed instead if nobody needs to be called any more.
    pub fn call_again(&mut self) {
        if self.telling.incidents.is_empty() {
            return;
        }
        let telling = &self.telling;
        let waiting = telling.incidents.iter().filter(|(id, _)| !telling.called.contains(*id));
        let waiting: Vec<(String, Incident)> = waiting.map(|(id, i)| (id.clone(), i.clone())).collect();
        for (id, incident) in waiting {
            if incident.closing {
                self.telling.call(&id);
                continue;
            }
            if self.frozen() {
                continue;
            }
            let alarm = self.id(&incident.alarm).ok();
            let owner = alarm.filter(|alarm| self.entry(*alarm).opening.as_ref() == Some(&id));
            match owner {
                Some(alarm) if self.entry(alarm).alarm.state().do_escalate => self.telling.call(&id),
                other => {
                    if let Some(alarm) = other {
                        self.change(alarm, |entry| (false, entry.opening = None));
                    }
                    self.telling.close(id, &incident.alarm, &incident.responder);
                }
            }
        }
    }

    /// Every alarm is looked at for what has to be told: on entering ENABLED.
    pub(super) fn follow_all(&mut self) {
        self.chronicle.because(Cause::Escalation);
        for id in self.all_ids() {
            self.change(id, |_| (false, ()));
        }
        self.call_again();
    }

    /// Calls to the escalation service since the last call, in order; to be made after [`Book::take_unsaved_incidents`]
    /// was saved.
    #[must_use]
    pub fn take_incident_calls(&mut self) -> Vec<IncidentCall> {
        std::mem::take(&mut self.telling.calls)
    }

    /// Incidents whose record changed, by id; no record means that it is settled.
    #[must_use]
    pub fn take_unsaved_incidents(&mut self) -> Vec<(String, Option<Incident>)> {
        let ids = std::mem::take(&mut self.telling.unsaved);
        ids.into_iter().map(|id| (id.clone(), self.telling.incidents.get(&id).cloned())).collect()
    }

    /// Takes back what was saved; no call is made before [`Book::call_again`].
    pub fn import_incidents(&mut self, records: impl IntoIterator<Item = (String, Incident)>) {
        for (id, incident) in records {
            if !incident.closing {
                self.telling.resumed.insert(id.clone());
            }
            self.telling.incidents.insert(id, incident);
        }
    }
}

/// The alarm takes the answer up, if it still wants one: publish, and taken or not.
fn take_up(entry: &mut Entry, id: &str, answer: IncidentAnswer) -> (bool, bool) {
    entry.opening = None;
    if !entry.alarm.state().do_escalate {
        return (false, false);
    }
    let text = match answer {
        IncidentAnswer::NotOpened { text, doubtful } => {
            entry.doubtful = doubtful.then(|| id.to_owned());
            entry.not_escalated = true;
            if text.starts_with(FAILED) { text } else { format!("{FAILED}: {text}") }
        }
        _ => id.to_owned(),
    };
    (entry.alarm.set_escalated_id(&text).publish, true)
}

/// Always the same for the same escalation, in the form of a UUID (version 8).
fn incident_id(owner: &str, alarm: &str, at: Tai) -> String {
    let micros = (at.0 * 1e6).round();
    let hash = Sha256::digest(format!("{owner}\0{alarm}\0{micros}").as_bytes());
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&hash[..16]);
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
