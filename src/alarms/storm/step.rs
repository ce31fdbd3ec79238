//! What is to be told of an alarm as it is, or why it is not told; and the telling.

use super::{StormConfig, Why};
use crate::alarms::entry::Entry;
use crate::alarms::notice::{Notice, Told};
use crate::alarms::severity::Severity;

/// What is to be told of an alarm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step {
    Tell(Told),
    /// It does not flap any more, and nobody is to hear of that.
    Forget,
}

impl Entry {
    /// What is to be told, or why something is not. `call`: somebody is to be called.
    pub(super) fn step(&self, call: bool) -> (Option<Step>, Option<Why>) {
        let s = self.alarm.state();
        let flapping = self.hush.flapping_since.is_some();
        let muted = self.alarm.muted() && s.severity <= s.muted_severity;
        let quiet = self.hush.quiet();
        let over = s.severity == Severity::None && self.told > Severity::None;
        if s.severity > self.told && !s.acknowledged {
            let begins = flapping && !self.hush.flapping_told;
            return match (muted, quiet) {
                (true, _) => (None, Some(Why::Muted)),
                (false, Some(why)) => (None, Some(why)),
                (false, None) => (Some(Step::Tell(if begins { Told::Flapping } else { Told::Raised })), None),
            };
        }
        let open = quiet.is_none() && !muted;
        if flapping {
            let begins = !self.hush.flapping_told && self.told > Severity::None && open && !s.acknowledged;
            // Over or not is told when it is calm, also if it is over with the change that makes it flap.
            return (begins.then_some(Step::Tell(Told::Flapping)), over.then_some(Why::Flapping));
        }
        if over {
            return (Some(Step::Tell(Told::Cleared)), None);
        }
        if self.hush.flapping_told {
            let tell = open && !s.acknowledged && self.told > Severity::None;
            return (Some(if tell { Step::Tell(Told::Calm) } else { Step::Forget }), None);
        }
        (None, quiet.filter(|_| call))
    }

    /// It is told.
    pub(super) fn tell(&mut self, what: Told, inhibits: usize) -> Notice {
        let s = self.alarm.state();
        let severity = match what {
            Told::Raised | Told::Calm => s.severity,
            Told::Flapping => s.severity.max(self.told),
            Told::Cleared => self.told,
            Told::NotEscalated => s.max_severity,
        };
        let reason = if what == Told::NotEscalated { &s.escalated_id } else { &s.reason };
        let notice = Notice {
            alarm: self.name.to_string(),
            what,
            severity,
            reason: reason.clone(),
            report_url: self.report_url.clone(),
            task_id: self.task_id.clone(),
            at: s.timestamp_severity_oldest,
            inhibits,
        };
        match what {
            Told::Raised | Told::Flapping => self.told = severity,
            Told::Cleared => self.told = Severity::None,
            Told::Calm | Told::NotEscalated => {}
        }
        match what {
            Told::Flapping => self.hush.flapping_told = true,
            Told::Cleared | Told::Calm => self.hush.flapping_told = false,
            Told::Raised | Told::NotEscalated => {}
        }
        notice
    }

    /// Its limit of notices in a minute.
    pub(super) fn limit(&self, config: &StormConfig) -> u32 {
        self.alarm.config().notices_per_minute.unwrap_or(config.notices_per_minute_of_rule)
    }
}
