//! The stream of events of a page (server-sent events): one event at once, then one for each change, comments in between; the
//! server never ends it.

use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{RequestBuilder, Response};
use serde::Deserialize;

use super::super::service::Service;
use super::wire::{Failed, State};
use crate::outputs::notify::SendError;

/// A comment comes every 15 s: a stream that is silent for longer than this is broken.
const SILENT: Duration = Duration::from_secs(45);
/// Most bytes of one event.
const MOST: usize = 1 << 20;

/// An event.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub(super) struct Event {
    #[serde(default)]
    date_submitted: Option<String>,
    #[serde(default)]
    pub(super) date_started: Option<String>,
    #[serde(default)]
    pub(super) date_finished: Option<String>,
    #[serde(default)]
    execution_status: Option<String>,
    #[serde(default)]
    pub(super) execution_duration: Option<f64>,
    #[serde(default)]
    pub(super) html_hash: Option<String>,
    #[serde(default)]
    pub(super) html_url: Option<String>,
    #[serde(default)]
    execution_error: Option<Failed>,
}

impl Event {
    /// What is known of a page that was there when it was asked for.
    pub(super) fn there(html_url: Option<String>, html_hash: Option<String>) -> Event {
        Event { html_url, html_hash, ..Event::default() }
    }

    pub(super) fn state(&self) -> State {
        match &self.execution_error {
            _ if self.html_hash.is_some() => State::There,
            Some(error) => State::Failed(error.clone()),
            None if self.date_submitted.is_some() || self.execution_status.is_some() => State::Going,
            None => State::Nothing,
        }
    }
}

/// A stream that is open.
#[derive(Debug)]
pub(super) struct Events {
    response: Response,
    lines: Lines,
}

impl Events {
    /// Opens the stream; `None` if there is none at that address.
    ///
    /// # Errors
    /// No answer in time, or one that says "later".
    pub(super) async fn open(
        service: &Service,
        request: RequestBuilder,
    ) -> Result<Option<Events>, SendError> {
        let response = service.open(request).await?;
        let status = response.status().as_u16();
        let kind = response.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if status >= 500 || status == 429 {
            let text = format!("status {status}");
            return Err(SendError::Refused { status, text, later: true, retry_after: None });
        }
        let is_stream = status == 200 && kind.starts_with("text/event-stream");
        Ok(is_stream.then(|| Events { response, lines: Lines::default() }))
    }

    /// The next event; `None` if the stream broke.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(data) = self.lines.event() {
                match serde_json::from_str(&data) {
                    Ok(event) => return Some(event),
                    Err(e) => tracing::warn!("times_square: an event that cannot be read: {e}"),
                }
                continue;
            }
            let chunk = tokio::time::timeout(SILENT, self.response.chunk()).await;
            match chunk {
                Ok(Ok(Some(bytes))) if self.lines.add(&bytes) => {}
                _ => return None,
            }
        }
    }
}

/// Cuts a stream into events.
#[derive(Debug, Default)]
struct Lines {
    bytes: Vec<u8>,
    data: Vec<String>,
}

impl Lines {
    /// False if an event is too long.
    fn add(&mut self, bytes: &[u8]) -> bool {
        self.bytes.extend_from_slice(bytes);
        self.bytes.len() <= MOST
    }

    /// The data of the next whole event that has any.
    fn event(&mut self) -> Option<String> {
        loop {
            let end = self.bytes.iter().position(|b| *b == b'\n')?;
            let line: Vec<u8> = self.bytes.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            if let Some(data) = line.strip_prefix("data:") {
                self.data.push(data.strip_prefix(' ').unwrap_or(data).to_owned());
            } else if line.is_empty() && !self.data.is_empty() {
                return Some(std::mem::take(&mut self.data).join("\n"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_any_pieces() {
        let stream = ": ping\r\n\r\nevent: x\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\n: ping\n\ndata:2\n\n";
        for size in [1, 3, 1000] {
            let mut lines = Lines::default();
            let mut found = Vec::new();
            for piece in stream.as_bytes().chunks(size) {
                assert!(lines.add(piece));
                while let Some(event) = lines.event() {
                    found.push(event);
                }
            }
            assert_eq!(found, ["{\"a\":\n1}", "2"], "{size}");
        }
        assert!(!Lines::default().add(&vec![b'x'; MOST + 1]));
    }

    #[test]
    fn an_event_says_what_is_the_matter() {
        let state = |text: &str| serde_json::from_str::<Event>(text).unwrap().state();
        assert_eq!(
            state(r#"{"date_submitted": null, "execution_status": null, "html_url": "u"}"#),
            State::Nothing
        );
        assert_eq!(state(r#"{"date_submitted": "d", "execution_status": "queued"}"#), State::Going);
        assert_eq!(state(r#"{"execution_status": "complete"}"#), State::Going);
        assert_eq!(state(r#"{"execution_status": "complete", "html_hash": "h"}"#), State::There);
        assert!(matches!(state(r#"{"execution_error": {"code": "timeout"}}"#), State::Failed(_)));
    }
}
