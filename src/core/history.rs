//! The history of the alarms: each transition gets its number, its time and, if the rule has given none with its finding,
//! its evidence.

use salobj::Tai;
use serde_json::json;

use super::{Core, Output};
use crate::alarms::{AlarmTransition, Cause};
use crate::journal::Record;
use crate::rules::Evidence;

/// The journal's entry with the number of the next transition.
pub const HISTORY: &str = "history";

/// What is kept of one explanation at most, bytes.
pub(super) const EVIDENCE_BYTES: usize = 8192;

impl Core {
    /// After every input: the transitions, and the number that confirms them.
    pub(super) fn chronicle(&mut self, now: Tai, out: &mut Vec<Output>) {
        let news = self.book.take_transitions();
        if news.is_empty() {
            return;
        }
        for mut transition in news {
            (transition.id, transition.at) = (self.next_transition, now);
            self.next_transition += 1;
            if transition.evidence.is_none() && matches!(transition.cause, Cause::Finding { .. }) {
                transition.evidence = self.late_evidence(&transition, now);
            }
            out.push(Output::History(Box::new(transition)));
        }
        out.push(Output::Record(Record::put(HISTORY, json!({"next": self.next_transition}))));
    }

    /// What the rule knows now: of a finding that waited for ENABLED, or that only repeats what the rule had said before.
    fn late_evidence(&self, transition: &AlarmTransition, now: Tai) -> Option<serde_json::Value> {
        // Of a rule with `by` the alarm is one of its keys.
        let names = [&transition.alarm, &transition.rule];
        let name = names.into_iter().find(|name| self.engine.knows(name))?;
        let mut explanation = self.engine.explain(name, None, now)?;
        explanation.trigger = None;
        explanation.conclude();
        Some(Evidence { message: None, explanation }.json(EVIDENCE_BYTES))
    }

    /// The journal's entry, taken up after a restart.
    pub(super) fn recover_history(&mut self, entry: Option<&serde_json::Value>) {
        if let Some(next) = entry.and_then(|entry| entry.get("next")?.as_u64()) {
            self.next_transition = next;
        }
    }
}
