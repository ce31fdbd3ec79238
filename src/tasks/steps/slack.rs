//! The backend `slack`: a message of a step to one of the site's receivers that are Slack channels, in the way in which they
//! are told of alarms ([`crate::outputs::notify`]).
//!
//! Slack knows no key by which it would recognise a repeat. The message is journaled as about to go; whether it went is unknown
//! if the connection breaks or we die before Slack has answered, and it is not said twice, unless the rule says
//! `resend_if_unknown`.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use salobj::Clock;
use serde::Deserialize;
use serde_json::{Value, json};

use super::service::once;
use super::{Backend, StepHandle};
use crate::outputs::notify::{Channel, Notify};
use crate::tasks::call::{StepCall, StepError, StepOutcome};

#[cfg(test)]
mod tests;

/// Messages at a time.
const CONCURRENCY: usize = 2;
/// Longest message, characters: Slack cuts beyond.
const LONGEST: usize = 4000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    to: String,
    text: String,
}

/// Carries out `slack` steps.
pub struct SlackBackend {
    /// By name of the receiver.
    channels: BTreeMap<String, Arc<dyn Channel>>,
    clock: Clock,
}

impl SlackBackend {
    /// To the receivers of `notify` that take a plain text.
    pub fn new(notify: &Notify, clock: Clock) -> SlackBackend {
        let channels = notify.receivers.iter().filter(|r| r.channel().takes_text());
        SlackBackend {
            channels: channels.map(|r| (r.name.clone(), Arc::clone(r.channel()))).collect(),
            clock,
        }
    }

    fn channel(&self, to: &str) -> Result<&Arc<dyn Channel>, String> {
        self.channels.get(to).ok_or_else(|| {
            let known: Vec<&str> = self.channels.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            format!("this site has no receiver \"{to}\" with `slack` (there are: {known})")
        })
    }

    async fn send(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        let params: Params = serde_json::from_value(call.params.clone())
            .map_err(|e| StepError::permanent(format!("the parameters of slack do not fit: {e}")))?;
        let channel = self.channel(&params.to).map_err(StepError::permanent)?;
        if params.text.trim().is_empty() || params.text.chars().count() > LONGEST {
            return Err(StepError::permanent(format!("a message has 1 to {LONGEST} characters")));
        }
        step.record(&json!({"to": params.to})).await?;
        if let Some(stop) = step.stopped() {
            return Err(stop.error("nothing was sent"));
        }
        tokio::select! {
            sent = channel.say(&params.text) => match sent {
                Ok(()) => Ok(StepOutcome { result: json!({}), ..StepOutcome::default() }),
                Err(error) => Err(once(&error, call.resend_if_unknown, "the message was sent")),
            },
            stop = step.stop_requested() => Err(stop.error("it is not known whether the message was sent")),
        }
    }
}

#[async_trait]
impl Backend for SlackBackend {
    fn name(&self) -> &'static str {
        "slack"
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        self.channel(params.get("to").and_then(Value::as_str).unwrap_or_default()).map(|_| ())
    }

    async fn execute(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        self.send(call, step).await
    }

    async fn resume(
        &self,
        call: &StepCall,
        memo: Option<Value>,
        step: &StepHandle,
    ) -> Result<StepOutcome, StepError> {
        if memo.is_some() && !call.resend_if_unknown {
            return Err(StepError::unknown(
                "the restart came while the message was on its way; it is not known whether it was sent, and it is not \
                 sent again",
            ));
        }
        super::in_time(call, self.clock.now())?;
        self.send(call, step).await
    }
}
