//! The part that tells people: takes notices and calls of the core from bounded queues, hands them to the receivers'
//! lanes and to the escalation service that the site has configured by now.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc;

use super::handle::CoreHandle;
use crate::alarms::{Bundle, IncidentAnswer, IncidentCall, Notice};
use crate::core::Notification;
use crate::csc::Site;
use crate::outputs::notify::{Lane, LaneOptions, NotTold, Notify, Receiver};

/// Bundles of notices, calls to open and calls to close that may wait, each.
const QUEUE: usize = 1000;

/// Calls of each kind that are under way at a time.
const CALLS: usize = 64;

/// Reports of failures that may wait for the core.
const FAILURES: usize = 64;

/// The core's end. Never waits.
#[derive(Debug)]
pub struct Teller {
    notices: mpsc::Sender<Bundle>,
    opens: mpsc::Sender<IncidentCall>,
    closes: mpsc::Sender<IncidentCall>,
    lost: AtomicU64,
    /// How many of them the operators know of.
    told: AtomicU64,
}

/// The part.
pub struct Notifier {
    notices: mpsc::Receiver<Bundle>,
    opens: mpsc::Receiver<IncidentCall>,
    closes: mpsc::Receiver<IncidentCall>,
    site: Arc<Site>,
    core: CoreHandle,
    catcher: String,
    options: LaneOptions,
}

/// Both ends. `catcher` is who speaks, e.g. `Catcher:1`.
pub fn notifier(site: Arc<Site>, core: CoreHandle, catcher: String) -> (Teller, Notifier) {
    let (notices_in, notices) = mpsc::channel(QUEUE);
    let (opens_in, opens) = mpsc::channel(QUEUE);
    let (closes_in, closes) = mpsc::channel(QUEUE);
    let teller = Teller {
        notices: notices_in,
        opens: opens_in,
        closes: closes_in,
        lost: AtomicU64::new(0),
        told: AtomicU64::new(0),
    };
    let options = LaneOptions::default();
    (teller, Notifier { notices, opens, closes, site, core, catcher, options })
}

impl Teller {
    /// Notices for the receivers, as one message. Counted if the queue is full.
    pub fn notify(&self, notices: Bundle) {
        let n = notices.0.len() as u64;
        if self.notices.try_send(notices).is_err() {
            self.lost.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// A call to the escalation service. False if there is no room now: the core makes it again.
    pub fn call(&self, call: IncidentCall) -> bool {
        let queue = if call.incident.closing { &self.closes } else { &self.opens };
        queue.try_send(call).is_ok()
    }

    /// Notices that found no room.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// What operators are to hear of notices that were lost since the last call; `None` if none was.
    pub fn losses(&self) -> Option<Notification> {
        let lost = self.lost();
        let new = lost - self.told.swap(lost, Ordering::Relaxed);
        (new > 0).then(|| Notification {
            alarm_name: String::new(),
            level: 40,
            summary: format!(
                "{new} notices for the receivers were lost, {lost} since the start: too many wait"
            ),
            details: "the alarms and notifications on the bus are complete".to_owned(),
        })
    }
}

type Call = BoxFuture<'static, (String, IncidentAnswer)>;

/// The lanes of the receivers that are configured now; those of before run until they are empty.
struct Lanes {
    notify: Option<Arc<Notify>>,
    entrances: Vec<(Arc<Receiver>, mpsc::Sender<Bundle>)>,
    running: FuturesUnordered<BoxFuture<'static, ()>>,
    failures: mpsc::Sender<NotTold>,
    catcher: String,
    options: LaneOptions,
}

impl Lanes {
    /// Takes the receivers that are configured now.
    fn use_of(&mut self, notify: Option<Arc<Notify>>) {
        let same = match (&self.notify, &notify) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (old, new) => old.is_none() && new.is_none(),
        };
        if same {
            return;
        }
        self.entrances.clear();
        for receiver in notify.iter().flat_map(|n| &n.receivers) {
            let (entrance, lane) = Lane::new(Arc::clone(receiver), &self.catcher, self.options);
            self.entrances.push((Arc::clone(receiver), entrance));
            self.running.push(Box::pin(lane.run(self.failures.clone())));
        }
        self.notify = notify;
    }

    /// Gives notices to those who want them, each those that it wants. Whom there is no room for, and one that it would have got.
    fn route(&self, notices: &Bundle) -> Vec<(String, Notice)> {
        let mut full = Vec::new();
        for (receiver, entrance) in &self.entrances {
            let wanted: Vec<Notice> = notices.0.iter().filter(|n| receiver.wants(n)).cloned().collect();
            let Some(first) = wanted.first().cloned() else { continue };
            if entrance.try_send(Bundle(wanted)).is_err() {
                full.push((receiver.name.clone(), first));
            }
        }
        full
    }
}

impl Notifier {
    /// Tells what comes, until the core is gone.
    ///
    /// # Errors
    /// Never by itself: what cannot be delivered is told to the core.
    pub async fn run(mut self) -> Result<(), String> {
        let (failures_in, mut failures) = mpsc::channel(FAILURES);
        let mut lanes = Lanes {
            notify: None,
            entrances: Vec::new(),
            running: FuturesUnordered::new(),
            failures: failures_in,
            catcher: self.catcher.clone(),
            options: self.options,
        };
        let mut opening: FuturesUnordered<Call> = FuturesUnordered::new();
        let mut closing: FuturesUnordered<Call> = FuturesUnordered::new();
        loop {
            tokio::select! {
                notices = self.notices.recv() => {
                    let Some(notices) = notices else { return Ok(()) };
                    lanes.use_of(self.site.notify());
                    for (receiver, notice) in lanes.route(&notices) {
                        let reason = "too many notices wait for it".to_owned();
                        self.core.not_told(receiver, notice.alarm, reason).await;
                    }
                }
                Some(call) = self.opens.recv(), if opening.len() < CALLS => opening.push(self.call(call)),
                Some(call) = self.closes.recv(), if closing.len() < CALLS => closing.push(self.call(call)),
                Some((id, answer)) = opening.next() => self.core.incident_answer(id, answer).await,
                Some((id, answer)) = closing.next() => self.core.incident_answer(id, answer).await,
                Some(()) = lanes.running.next() => {}
                Some(failed) = failures.recv() => {
                    let about = failed.notices.first().map(|n| n.alarm.clone()).unwrap_or_default();
                    let reason = match failed.notices.len() {
                        0 | 1 => failed.reason,
                        all => format!("{} (and {} more notices)", failed.reason, all - 1),
                    };
                    self.core.not_told(failed.receiver, about, reason).await;
                }
            }
        }
    }

    fn call(&self, call: IncidentCall) -> Call {
        let notify = self.site.notify();
        Box::pin(async move {
            let answer = match notify.as_ref().and_then(|n| n.escalation.as_ref()) {
                Some(service) => service.call(&call).await,
                None => IncidentAnswer::NotTaken,
            };
            (call.id, answer)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alarms::{Incident, Severity, Told};

    #[test]
    fn what_finds_no_room_is_counted_or_given_back_and_nothing_waits() {
        let (requests, _) = mpsc::channel(1);
        let (teller, _notifier) =
            notifier(Arc::new(Site::default()), CoreHandle::new(requests), "Catcher:1".to_owned());
        let notice = Notice {
            alarm: "A".to_owned(),
            what: Told::Raised,
            severity: Severity::Warning,
            reason: String::new(),
            report_url: String::new(),
            task_id: String::new(),
            at: None,
            inhibits: 0,
        };
        for _ in 0..QUEUE + 3 {
            teller.notify(Bundle(vec![notice.clone(), notice.clone()]));
        }
        assert_eq!(teller.lost(), 6);
        let news = teller.losses().unwrap();
        assert_eq!(news.summary, "6 notices for the receivers were lost, 6 since the start: too many wait");
        assert_eq!(teller.losses(), None);
        teller.notify(Bundle(vec![notice.clone()]));
        assert!(teller.losses().unwrap().summary.starts_with("1 notices for the receivers were lost, 7"));
        let call = |closing| IncidentCall {
            id: "1".to_owned(),
            incident: Incident {
                alarm: "A".to_owned(),
                responder: "team".to_owned(),
                description: String::new(),
                closing,
            },
        };
        let taken = (0..QUEUE + 3).filter(|_| teller.call(call(true))).count();
        assert_eq!(taken, QUEUE);
        assert!(teller.call(call(false)), "calls to close do not stand in the way of calls to open");
    }
}
