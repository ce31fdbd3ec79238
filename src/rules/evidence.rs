//! What was behind a severity when the rule said it: kept with the alarm's transition, so that it can be explained later.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::explain::Explanation;
use super::flow::{Sample, Subscriptions};

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Evidence {
    /// The message that decided; none if time did, or the step of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Deciding>,
    /// Values and ages of the inputs, and the terms of the conditions, at that moment.
    pub explanation: Explanation,
}

/// A message on the bus.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Deciding {
    /// Component and SAL name, e.g. `ESS.airFlow`.
    pub topic: String,
    /// `salIndex`; 0 for a component without.
    pub sal_index: i64,
    /// Kafka partition.
    pub partition: i32,
    /// Kafka offset.
    pub offset: i64,
    /// `private_sndStamp`, TAI s.
    pub sent: f64,
    /// When it came here, TAI s.
    pub received: f64,
}

impl Deciding {
    pub(super) fn of(sample: &Sample<'_>, subscriptions: &Subscriptions) -> Deciding {
        let topic = subscriptions.topics.get(sample.topic.0 as usize);
        Deciding {
            topic: topic.map(|t| format!("{}.{}", t.component, t.sal_name)).unwrap_or_default(),
            sal_index: sample.sal_index,
            partition: sample.partition,
            offset: sample.offset,
            sent: sample.sent.0,
            received: sample.received.0,
        }
    }
}

impl Evidence {
    /// As JSON; the explanation is shortened to so many bytes if it is longer (see [`Explanation::json`]).
    pub fn json(&self, most: usize) -> Json {
        let text = self.explanation.json(most);
        let explanation = serde_json::from_str(&text).unwrap_or(Json::Null);
        let mut json = serde_json::json!({ "explanation": explanation });
        if let Some(message) = &self.message {
            json["message"] = serde_json::to_value(message).unwrap_or_default();
        }
        json
    }
}
