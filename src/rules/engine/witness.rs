//! Evidence for the alarms' transitions: taken at the moment at which a rule says another severity, when all that it
//! judged on is still as it was.

use super::state::RuleState;
use crate::rules::evidence::{Deciding, Evidence};
use crate::rules::flow::{Effect, Sample, Subscriptions};

impl RuleState {
    /// What the rule knows now, and what it makes of it.
    pub(super) fn witness(&self, now: f64) -> Box<Evidence> {
        let mut explanation = self.explain(self.fed.as_ref().map(|fed| &fed.1), now);
        // It is about the alarm; when runs start is another matter.
        explanation.trigger = None;
        explanation.conclude();
        Box::new(Evidence { message: None, explanation })
    }
}

/// The message that was behind what a rule has just said.
pub(super) fn attribute(said: &mut [Effect], sample: &Sample<'_>, subscriptions: &Subscriptions) {
    for effect in said {
        if let Effect::SetSeverity { evidence: Some(evidence), .. } = effect {
            evidence.message = Some(Deciding::of(sample, subscriptions));
        }
    }
}
