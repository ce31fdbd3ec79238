//! What Times Square answers about a page.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::events::Event;
use crate::tasks::call::StepError;

/// A page.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Page {
    pub(super) name: String,
    #[serde(default)]
    pub(super) title: String,
    #[serde(default)]
    pub(super) parameters: Map<String, Value>,
}

/// Whether a page with its values is there.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Status {
    available: bool,
    #[serde(default)]
    html_url: Option<String>,
    #[serde(default)]
    html_hash: Option<String>,
    #[serde(default)]
    execution_error: Option<Failed>,
}

/// Why it could not be computed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Failed {
    code: String,
    #[serde(default)]
    title: Option<String>,
    #[serde(default)]
    message: Option<String>,
}

/// What is the matter with a page.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum State {
    There,
    Failed(Failed),
    /// It is being computed.
    Going,
    /// Nothing is known of it.
    Nothing,
}

impl Status {
    /// Whether it is being computed is not told here.
    pub(super) fn state(&self) -> State {
        match &self.execution_error {
            _ if self.available => State::There,
            Some(error) => State::Failed(error.clone()),
            None => State::Going,
        }
    }
}

impl From<Status> for Event {
    fn from(status: Status) -> Event {
        Event::there(status.html_url, status.html_hash)
    }
}

impl Failed {
    pub(super) fn class(self, page: &str) -> StepError {
        let parts = [self.title, self.message].into_iter().flatten().filter(|part| !part.is_empty());
        let words = parts.collect::<Vec<_>>().join(": ");
        let text = format!(
            "page {page} could not be computed: {} ({words}); Times Square keeps this for about 10 min and executes nothing \
             meanwhile",
            self.code
        );
        let error =
            if self.code == "timeout" { StepError::timed_out(text) } else { StepError::permanent(text) };
        error.with_backend_id(page)
    }
}
