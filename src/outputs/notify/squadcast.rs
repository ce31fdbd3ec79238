//! SquadCast, used as the Watcher uses it: an incident is opened by a `trigger` with an id of ours, and closed by a
//! `resolve` with the same id.
//!
//! The outcome of a trigger is what operators know: accepted (202), or "Failed: " and the server's words, "Failed: Could
//! not reach SquadCast: ...", "Failed: Timed out waiting for SquadCast". What may go well later is tried again within the
//! time limit, with the same id, which opens nothing twice. A resolve is tried until it is taken or refused.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use reqwest::{Client, Url};
use salobj::env::Secret;
use serde_json::{Value as Json, json};

use super::error::SendError;
use super::http;
use crate::alarms::{IncidentAnswer, IncidentCall};

/// How long a resolve is tried; then the core has it tried anew, at the address configured then.
const RESOLVE_LIMIT: Duration = Duration::from_secs(600);

/// The status of success.
const ACCEPTED: u16 = 202;

/// The service.
#[derive(Debug)]
pub struct SquadCast {
    client: Client,
    /// `{escalation_url}/v2/incidents/api/{key}`: a secret, since the key is part of it.
    endpoint: Secret,
    timeout: Duration,
    /// First and longest pause between attempts to resolve.
    pause: (Duration, Duration),
}

impl SquadCast {
    pub(super) fn new(client: Client, base: &Url, key: &Secret, timeout: Duration) -> SquadCast {
        let base = base.as_str().trim_end_matches('/');
        let endpoint = Secret::new(format!("{base}/v2/incidents/api/{}", key.expose()));
        SquadCast { client, endpoint, timeout, pause: (Duration::from_secs(1), Duration::from_secs(60)) }
    }

    #[cfg(test)]
    pub(super) fn hurried(mut self) -> SquadCast {
        self.pause = (Duration::from_millis(5), Duration::from_millis(20));
        self
    }

    /// Makes the call; ends with the answer for the core. A trigger ends within the time limit.
    pub async fn call(&self, call: &IncidentCall) -> IncidentAnswer {
        if call.incident.closing { self.resolve(&call.id).await } else { self.trigger(call).await }
    }

    async fn trigger(&self, call: &IncidentCall) -> IncidentAnswer {
        let incident = &call.incident;
        let body = json!({
            "status": "trigger",
            "event_id": call.id,
            "message": format!("Catcher alarm {} escalated", incident.alarm),
            "description": incident.description,
            "tags": {"responder": incident.responder, "alarm_name": incident.alarm},
        });
        let mut last = None;
        let mut doubtful = false;
        let attempts = async {
            let mut pauses = delays(self.timeout / 20, self.timeout / 4);
            loop {
                let error = match self.post(&body).await {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                };
                doubtful |= error.doubtful();
                if !error.transient() {
                    return Err(error);
                }
                last = Some(error);
                tokio::time::sleep(pauses.next().unwrap_or(self.timeout)).await;
            }
        };
        let (text, doubtful) = match tokio::time::timeout(self.timeout, attempts).await {
            Ok(Ok(())) => return IncidentAnswer::Opened,
            Ok(Err(error)) => (failed(&error), doubtful),
            // An attempt that hangs may have been taken.
            Err(_) => {
                let error = last.unwrap_or(SendError::Timeout(self.timeout.as_secs_f64()));
                (failed(&error), true)
            }
        };
        IncidentAnswer::NotOpened { text, doubtful }
    }

    async fn resolve(&self, id: &str) -> IncidentAnswer {
        let body = json!({"status": "resolve", "event_id": id});
        let begun = tokio::time::Instant::now();
        for pause in delays(self.pause.0, self.pause.1) {
            if begun.elapsed() > RESOLVE_LIMIT {
                break;
            }
            let limited = tokio::time::timeout(self.timeout, self.post(&body)).await;
            match limited.unwrap_or(Err(SendError::Timeout(self.timeout.as_secs_f64()))) {
                Ok(()) => return IncidentAnswer::Closed,
                Err(error) if !error.transient() => {
                    tracing::warn!("the incident {id} could not be closed at SquadCast: {error}");
                    return IncidentAnswer::Closed;
                }
                Err(error) => {
                    tracing::info!("the incident {id} is not yet closed at SquadCast: {error}");
                    tokio::time::sleep(pause.max(error.retry_after().unwrap_or_default())).await;
                }
            }
        }
        IncidentAnswer::NotTaken
    }

    async fn post(&self, body: &Json) -> Result<(), SendError> {
        let answer = http::send(self.client.post(self.endpoint.expose()).json(body)).await?;
        if answer.status == ACCEPTED { Ok(()) } else { Err(answer.refusal()) }
    }
}

/// Pauses without end.
fn delays(first: Duration, longest: Duration) -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new()
        .with_min_delay(first)
        .with_max_delay(longest)
        .with_factor(2.0)
        .with_jitter()
        .without_max_times()
        .build()
}

/// The Watcher's words.
fn failed(error: &SendError) -> String {
    match error {
        SendError::Refused { text, .. } => format!("Failed: {text}"),
        SendError::Timeout(_) => "Failed: Timed out waiting for SquadCast".to_owned(),
        SendError::Unreachable(text) | SendError::Broken(text) | SendError::Unsendable(text) => {
            format!("Failed: Could not reach SquadCast: {text}")
        }
    }
}
