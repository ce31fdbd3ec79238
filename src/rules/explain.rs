//! What a rule makes of what it knows at an instant, as data: every condition term by term, why a run would start or
//! not, why the alarm is what it is. `Engine::explain` makes it, the core adds what commands and operators did.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::expr::Term;
use crate::alarms::Tree;

/// Everything about a rule at an instant.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Explanation {
    /// Name of the rule.
    pub rule: String,
    /// Hash of its definition.
    pub revision: String,
    /// The instant, TAI seconds.
    pub at: f64,
    /// The same, UTC.
    pub utc: String,
    /// The outcome in one line.
    pub decision: String,
    /// What keeps the whole rule from acting: `disabled`, `quarantined`, `shadow`, `not_enabled`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
    /// What it reads.
    pub inputs: Vec<InputState>,
    /// The trigger, for a rule with tasks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<TriggerState>,
    /// Conditions of steps, on the newest run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Stated>,
    /// The alarm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alarm: Option<AlarmState>,
    /// True if parts were left out because the text would be too long.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shortened: bool,
}

/// A reason, as a word for programs and as a sentence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Note {
    /// E.g. `cooldown`, `when_false`, `muted`.
    pub why: String,
    /// The sentence.
    pub text: String,
}

impl Note {
    /// A reason.
    pub fn new(why: &str, text: impl Into<String>) -> Note {
        Note { why: why.to_owned(), text: text.into() }
    }
}

/// An input as it stands.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct InputState {
    /// Name.
    pub name: String,
    /// Topic, e.g. `ESS:301.airFlow`.
    pub topic: String,
    /// `known`, `missing`, `stale` or `nan`.
    pub state: String,
    /// Its value, or the fields that the rule reads.
    pub value: Json,
    /// Seconds since its newest message was sent; none if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_s: Option<f64>,
    /// How old it may be, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age_s: Option<f64>,
    /// The filter that messages must pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
}

/// A condition or value, where it stands, and what it gave.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stated {
    /// `when`, `gate`, `value`, `warning`, `severity`, or `when of isr`.
    pub place: String,
    /// Its terms.
    pub term: Term,
}

/// Whether a run would start.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TriggerState {
    /// What starts one: `each message of image`, `every 60 s`.
    pub on: String,
    /// What would come of an occasion now.
    pub decision: String,
    /// The condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Stated>,
    /// Everything that would hold a run back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
    /// Runs going.
    pub running: usize,
    /// Runs waiting.
    pub queued: usize,
    /// What came of the last occasion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<LastOccasion>,
}

/// What came of an occasion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LastOccasion {
    /// When, TAI seconds.
    pub at: f64,
    /// The same, UTC.
    pub utc: String,
    /// `started`, `queued`, `when_false`, `when_unknown`, or why it was skipped.
    pub outcome: Note,
}

/// Why the alarm is what it is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AlarmState {
    /// What the rule says now: `NONE` to `CRITICAL`; empty if it has not said anything yet.
    pub severity: String,
    /// The reason that goes with it.
    pub reason: String,
    /// The same in a sentence.
    pub decision: String,
    /// When the alarm is judged at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Stated>,
    /// Each judgement.
    pub conditions: Vec<Judged>,
    /// What holds it where it is, or changes how it is seen: `gate`, `unknown`, `muted`, `acknowledged`, `inhibited`, `flapping`,
    /// `not_told`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
    /// What it inhibits, for each of the rule's alarms that inhibits any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inhibits: Vec<Tree>,
}

/// One judgement of an alarm.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Judged {
    /// What it says; `NONE` to `CRITICAL`.
    pub severity: String,
    /// Its expressions.
    pub terms: Vec<Stated>,
    /// `hold`, `hysteresis`, `unknown`, `levels`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Note>,
}

impl Explanation {
    /// Sums up: the line that is told first.
    pub fn conclude(&mut self) {
        let mut parts: Vec<String> = self.notes.iter().map(|n| n.text.clone()).collect();
        parts.extend(self.trigger.iter().map(|t| t.decision.clone()));
        parts.extend(self.alarm.iter().map(|a| a.decision.clone()));
        self.decision = parts.join("; ");
    }

    /// JSON of at most so many bytes, always whole: if it is longer, first the terms that did not decide are left out,
    /// then all terms within others, then everything but the decision and the notes.
    pub fn json(&self, most: usize) -> String {
        type Cut = fn(&mut Explanation);
        let cuts: [Cut; 4] = [
            |_| {},
            |e| e.each_term(&mut |t| t.terms.retain(|t| t.decides)),
            |e| e.each_term(&mut |t| t.terms.clear()),
            |e| {
                e.inputs.clear();
                e.steps.clear();
                if let Some(trigger) = &mut e.trigger {
                    trigger.when = None;
                }
                if let Some(alarm) = &mut e.alarm {
                    alarm.inhibits.clear();
                    alarm.gate = None;
                    alarm.conditions.clear();
                }
            },
        ];
        let mut short = self.clone();
        for (i, cut) in cuts.iter().enumerate() {
            cut(&mut short);
            short.shortened = i > 0;
            let text = serde_json::to_string(&short).unwrap_or_default();
            if text.len() <= most {
                return text;
            }
        }
        let decision: String = short.decision.chars().take(most / 16).collect();
        serde_json::json!({"rule": self.rule, "decision": decision, "shortened": true}).to_string()
    }

    /// Every expression of the explanation, from the outside in.
    fn each_term(&mut self, f: &mut dyn FnMut(&mut Term)) {
        fn down(term: &mut Term, f: &mut dyn FnMut(&mut Term)) {
            f(term);
            term.terms.iter_mut().for_each(|t| down(t, f));
        }
        let trigger = self.trigger.iter_mut().filter_map(|t| t.when.as_mut());
        let gate = self.alarm.iter_mut().flat_map(|a| {
            let conditions = a.conditions.iter_mut().flat_map(|c| &mut c.terms);
            a.gate.iter_mut().chain(conditions)
        });
        for stated in trigger.chain(&mut self.steps).chain(gate) {
            down(&mut stated.term, f);
        }
    }
}
