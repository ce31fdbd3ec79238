//! The backend `times_square`: a page of Times Square with its parameters, computed if need be; its address and the page itself
//! are kept.
//!
//! What makes a page computed once: Times Square does that itself, for each page with each set of values, *if* it is asked
//! with care. A question about a page of which nothing is known starts an execution, so it is asked once; then its stream of
//! events is read, which starts nothing. Where there is no such stream, it is asked with growing pauses. A failure is kept for
//! about ten minutes, in which nothing is executed again; it is told as what it is. Repeating all that after a restart is
//! harmless.
//!
//! ```text
//!  page? its parameters? ─► html status (starts what is not known) ─► there? failed? ─► events ... ─► page ─► kept
//!                                  ▲                                        │ nothing is going on: the platform did not
//!                                  └────────── after ask_again_s ───────────┘ take it
//! ```

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Method;
use salobj::Clock;
#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::service::{self, Failure, Pauses, Section, Service, TokenAt, seconds, text};
use super::{Backend, StepHandle, in_time};
use crate::tasks::call::{StepCall, StepError, StepOutcome};
use crate::tasks::shelf::{Content, Shelf};
use events::{Event, Events};
use wire::{Page, State, Status};

mod events;
#[cfg(test)]
mod tests;
mod wire;

/// Pages at a time.
const CONCURRENCY: usize = 8;
/// How often a page that was there may be gone when it is fetched.
const ROUNDS: usize = 3;

/// Times Square: notebooks as pages, computed on the science platform. It is not at the summit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TimesSquareConfig {
    /// Its address without the version; on the science platform `https://usdf-rsp.example.org/times-square/api`.
    pub url: String,
    /// Environment variable that holds a token of the science platform with the scope `exec:notebook`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_env: Option<String>,
    /// File that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// First pause between two looks at a page where there is no stream of events, s; later ones are longer, up to 10 s.
    #[serde(default = "default_poll_interval_s")]
    pub poll_interval_s: f64,
    /// Pause before a page that is not being computed, and should be, is asked for again, s.
    #[serde(default = "default_ask_again_s")]
    pub ask_again_s: f64,
    /// Time limit of one request, s.
    #[serde(default = "service::default_timeout_s")]
    pub timeout_s: f64,
}

fn default_poll_interval_s() -> f64 {
    2.0
}

fn default_ask_again_s() -> f64 {
    30.0
}

/// Parameters of a step.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    /// Its name.
    #[serde(default)]
    page: Option<String>,
    /// `owner/repository/path` of its notebook, instead of the name.
    #[serde(default)]
    github: Option<String>,
    /// Values of its parameters.
    #[serde(default)]
    parameters: Map<String, Value>,
    /// Whether the code is left out.
    #[serde(default = "yes")]
    hide_code: bool,
}

fn yes() -> bool {
    true
}

/// Carries out `times_square` steps.
pub struct TimesSquareBackend {
    service: Service,
    poll: Duration,
    ask_again: Duration,
    shelf: Arc<dyn Shelf>,
    clock: Clock,
}

/// A page with its values.
struct Wanted {
    page: Page,
    query: Vec<(String, String)>,
}

impl TimesSquareBackend {
    /// The service of a site.
    ///
    /// # Errors
    /// Everything that is wrong with the section.
    pub fn new(
        config: &TimesSquareConfig,
        shelf: Arc<dyn Shelf>,
        lookup: &dyn Fn(&str) -> Option<String>,
        clock: Clock,
    ) -> Result<TimesSquareBackend, Vec<String>> {
        let mut problems = Vec::new();
        let ask_again = seconds("ask_again_s", config.ask_again_s, 0.01, 600.0, &mut problems);
        let token = TokenAt {
            variable: config.token_env.as_deref(),
            file: config.token_file.as_ref(),
            scheme: "Bearer",
        };
        let section = Section {
            url: &config.url,
            token,
            timeout_s: config.timeout_s,
            poll_interval_s: config.poll_interval_s,
        };
        let (service, poll) = section.service(problems, lookup)?;
        Ok(TimesSquareBackend { service, poll, ask_again, shelf, clock })
    }

    /// The page of a step, with the values of its parameters. Times Square drops values that it does not know without a word.
    async fn wanted(&self, params: &Params) -> Result<Wanted, StepError> {
        let (path, name): (Vec<&str>, &str) = match (&params.page, &params.github) {
            (Some(page), None) => (vec!["v1", "pages", page], page),
            (None, Some(github)) => (["v1", "github"].into_iter().chain(github.split('/')).collect(), github),
            _ => return Err(StepError::permanent("give one of `page` and `github`")),
        };
        let page: Page = self.service.get(&path, &[]).await.map_err(|failure| match failure {
            Failure::Gone(words) => StepError::permanent(format!(
                "Times Square has no page {name:?} ({words}); on the science platform its url ends in /times-square/api"
            )),
            failure => StepError::from(failure),
        })?;
        let unknown: Vec<&str> = params
            .parameters
            .keys()
            .filter(|name| !page.parameters.contains_key(*name))
            .map(String::as_str)
            .collect();
        if !unknown.is_empty() {
            let known: Vec<&str> = page.parameters.keys().map(String::as_str).collect();
            return Err(StepError::permanent(format!(
                "page {name:?} has no parameter {}; it has: {}",
                unknown.join(", "),
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            )));
        }
        let mut query: Vec<(String, String)> =
            params.parameters.iter().map(|(name, value)| (name.clone(), text(value))).collect();
        query.push(("ts_hide_code".to_owned(), u8::from(params.hide_code).to_string()));
        Ok(Wanted { page, query })
    }

    async fn obtain(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        let params: Params = serde_json::from_value(call.params.clone())
            .map_err(|e| StepError::permanent(format!("the parameters of times_square do not fit: {e}")))?;
        let wanted = self.wanted(&params).await?;
        let name = wanted.page.name.clone();
        step.progress(&name).await;
        step.record(&json!({"page": name})).await?;
        if let Some(stop) = step.stopped() {
            return Err(stop.error("nothing was asked for"));
        }
        for _ in 0..ROUNDS {
            let status = self.computed(&wanted).await?;
            match self.page(&wanted).await {
                Ok(html) => return self.conclude(call, &wanted, &status, &html).await,
                // It was there, and its time ran out.
                Err(Failure::Gone(_)) => {}
                Err(failure) => return Err(StepError::from(failure).with_backend_id(name)),
            }
        }
        Err(StepError::transient(format!(
            "page {name} was computed {ROUNDS} times, and never there when it was fetched"
        )))
    }

    /// Waits until the page has been computed.
    async fn computed(&self, wanted: &Wanted) -> Result<Event, StepError> {
        let mut pauses = Pauses::new(self.poll);
        let mut streams = true;
        loop {
            match self.status(wanted).await {
                Ok(status) => match status.state() {
                    State::There => return Ok(status.into()),
                    State::Failed(error) => return Err(error.class(&wanted.page.name)),
                    State::Going | State::Nothing => {}
                },
                Err(failure) if failure.passes() => {
                    tracing::warn!("times_square: page {}: {failure}", wanted.page.name);
                    pauses.wait().await;
                    continue;
                }
                Err(failure) => return Err(StepError::from(failure).with_backend_id(&wanted.page.name)),
            }
            if streams {
                match self.watch(wanted).await? {
                    Watched::There(event) => return Ok(*event),
                    Watched::Nothing => tokio::time::sleep(self.ask_again).await,
                    Watched::NoStream => streams = false,
                }
            } else {
                pauses.wait().await;
            }
        }
    }

    /// Reads the page's events until it is there, or until nothing is going on.
    async fn watch(&self, wanted: &Wanted) -> Result<Watched, StepError> {
        let mut pauses = Pauses::new(self.poll);
        loop {
            let path = ["v1", "pages", &wanted.page.name, "html", "events"];
            let request = self.service.request(Method::GET, &path).query(&wanted.query);
            let mut events = match Events::open(&self.service, request).await {
                Ok(Some(events)) => events,
                Ok(None) => return Ok(Watched::NoStream),
                Err(error) => {
                    tracing::warn!("times_square: events of page {}: {error}", wanted.page.name);
                    pauses.wait().await;
                    continue;
                }
            };
            while let Some(event) = events.next().await {
                match event.state() {
                    State::There => return Ok(Watched::There(Box::new(event))),
                    State::Failed(error) => return Err(error.class(&wanted.page.name)),
                    State::Going => {}
                    State::Nothing => return Ok(Watched::Nothing),
                }
            }
            pauses.wait().await;
        }
    }

    async fn status(&self, wanted: &Wanted) -> Result<Status, Failure> {
        self.service.get(&["v1", "pages", &wanted.page.name, "htmlstatus"], &wanted.query).await
    }

    async fn page(&self, wanted: &Wanted) -> Result<Vec<u8>, Failure> {
        let request = self.service.request(Method::GET, &["v1", "pages", &wanted.page.name, "html"]);
        self.service.send(request.query(&wanted.query)).await.map_err(Failure::Lost)?.file()
    }

    async fn conclude(
        &self,
        call: &StepCall,
        wanted: &Wanted,
        event: &Event,
        html: &[u8],
    ) -> Result<StepOutcome, StepError> {
        let name = &wanted.page.name;
        let mut files = Vec::new();
        // The page is where it is; the result counts without our copy.
        match self.shelf.keep(&call.id, &format!("{name}.html"), Content::Bytes(html)).await {
            Ok(file) => files.push(file),
            Err(e) => tracing::warn!("times_square: {}: {e}", call.id),
        }
        let known: Map<String, Value> = files.iter().map(|f| (f.name.clone(), json!(f.url))).collect();
        let result = json!({
            "page": name, "title": wanted.page.title, "url": event.html_url, "hash": event.html_hash,
            "started": event.date_started, "finished": event.date_finished, "duration_s": event.execution_duration,
            "files": known,
        });
        Ok(StepOutcome { result, backend_id: name.clone(), files, ..StepOutcome::default() })
    }
}

/// What a stream of events told.
enum Watched {
    There(Box<Event>),
    Nothing,
    NoStream,
}

#[async_trait]
impl Backend for TimesSquareBackend {
    fn name(&self) -> &'static str {
        "times_square"
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    async fn execute(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        tokio::select! {
            outcome = self.obtain(call, step) => outcome,
            stop = step.stop_requested() => {
                Err(stop.error("the page was not there yet; if it is being computed, that goes on"))
            }
        }
    }

    async fn resume(
        &self,
        call: &StepCall,
        memo: Option<Value>,
        step: &StepHandle,
    ) -> Result<StepOutcome, StepError> {
        if memo.is_none() {
            in_time(call, self.clock.now())?;
        }
        self.execute(call, step).await
    }
}
