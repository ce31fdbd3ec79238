//! The backend `http`: one request to a service that the site lists, and what its answer means.
//!
//! What makes the effect happen once: methods that HTTP calls idempotent (GET, HEAD, PUT, DELETE) may be repeated. For the others the
//! service may know a header by which it recognises a repeat (`idempotency_header`): its value is the same for all attempts
//! of a step, so they may be repeated, too. Without it a request is journaled as about to go; if the connection breaks after
//! it went out, or we die before it is answered, its outcome is unknown, and it is not sent again unless the rule says
//! `resend_if_unknown`.
//!
//! Addresses and credentials come from the site's configuration, so that a rule cannot send either to anybody else; no
//! redirect is followed.

use std::collections::BTreeMap;

use async_trait::async_trait;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Url};
use salobj::Clock;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::service::once;
use super::{Backend, StepHandle};
use crate::outputs::notify::http;
use crate::tasks::call::{StepCall, StepError, StepOutcome};

mod config;
#[cfg(test)]
mod tests;

pub use config::{HttpConfig, HttpService};

/// What is not known after a request without an answer.
const ACTED: &str = "the service acted on the request";
/// Requests at a time.
const CONCURRENCY: usize = 8;
/// Longest answer.
const ANSWER_BYTES: usize = 1 << 20;
/// Headers of an answer that are told.
const TOLD: [&str; 4] = ["content-type", "location", "etag", "last-modified"];

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Params {
    service: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    query: Map<String, Value>,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    body: Value,
    #[serde(default)]
    status: Option<Statuses>,
    #[serde(default)]
    expect: Map<String, Value>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Statuses {
    Many(Vec<u16>),
    One(u16),
}

/// A service, ready for use.
#[derive(Debug)]
struct Service {
    url: Url,
    methods: Vec<Method>,
    headers: HeaderMap,
    idempotency_header: Option<HeaderName>,
}

/// Carries out `http` steps.
pub struct HttpBackend {
    services: BTreeMap<String, Service>,
    client: Client,
    clock: Clock,
}

impl HttpBackend {
    /// The services that a site lists.
    ///
    /// # Errors
    /// Everything that is wrong with the section.
    pub fn new(
        config: &HttpConfig,
        lookup: &dyn Fn(&str) -> Option<String>,
        clock: Clock,
    ) -> Result<HttpBackend, Vec<String>> {
        let services = config.services(lookup)?;
        let client = http::client().map_err(|e| vec![format!("the HTTP client cannot be made: {e}")])?;
        Ok(HttpBackend { services, client, clock })
    }

    fn service(&self, name: &str) -> Result<&Service, String> {
        self.services.get(name).ok_or_else(|| {
            let known: Vec<&str> = self.services.keys().map(String::as_str).collect();
            format!(
                "this site has no service \"{name}\" (backends.http.services lists: {})",
                known.join(", ")
            )
        })
    }

    fn prepare(&self, call: &StepCall) -> Result<Prepared, String> {
        let params: Params = serde_json::from_value(call.params.clone())
            .map_err(|e| format!("the parameters of http do not fit: {e}"))?;
        let service = self.service(&params.service)?;
        let method = method(params.method.as_deref(), &params.body)?;
        if !service.methods.contains(&method) {
            return Err(format!("service {} does not list the method {method}", params.service));
        }
        let url = address(&service.url, &params.path, &params.query)?;
        let mut request = self.client.request(method.clone(), url).headers(service.headers.clone());
        for (name, value) in &params.headers {
            let (name, value) = header(name, &text(value))?;
            if name == AUTHORIZATION || service.headers.contains_key(&name) {
                return Err(format!("the header {name} is the site's to set"));
            }
            request = request.header(name, value);
        }
        request = match &params.body {
            Value::Null => request,
            Value::String(body) => request.body(body.clone()),
            body => request.json(body),
        };
        if let Some(name) = &service.idempotency_header {
            request = request.header(name, format!("{}-{}", call.id.run_id, call.id.step));
        }
        let repeatable = method.is_idempotent() || service.idempotency_header.is_some();
        Ok(Prepared { request, repeatable, params })
    }

    async fn send(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        let nothing = |e: String| StepError::permanent(format!("{e}; nothing was sent"));
        let Prepared { request, repeatable, params } = self.prepare(call).map_err(nothing)?;
        step.record(&json!({"service": params.service, "repeatable": repeatable})).await?;
        if let Some(stop) = step.stopped() {
            return Err(stop.error("nothing was sent"));
        }
        let answer = tokio::select! {
            answer = http::send_reading(request, ANSWER_BYTES) => answer,
            stop = step.stop_requested() => {
                return Err(stop.error("there was no answer yet; the service may have acted on the request"));
            }
        };
        let again = repeatable || call.resend_if_unknown;
        match answer {
            Ok(answer) => judge(&params, answer, again),
            Err(error) => Err(once(&error, again, ACTED)),
        }
    }
}

struct Prepared {
    request: RequestBuilder,
    /// A repeat has no further effect.
    repeatable: bool,
    params: Params,
}

fn method(told: Option<&str>, body: &Value) -> Result<Method, String> {
    match told {
        Some(name) => {
            Method::from_bytes(name.trim().as_bytes()).map_err(|_| format!("{name:?} is no method"))
        }
        None if body.is_null() => Ok(Method::GET),
        None => Ok(Method::POST),
    }
}

/// The address of a path below a service, which no `..` leaves.
fn address(base: &Url, path: &str, query: &Map<String, Value>) -> Result<Url, String> {
    let mut url = base.clone();
    if !path.is_empty() {
        let text = format!("{}/{}", base.as_str().trim_end_matches('/'), path.trim_start_matches('/'));
        url = Url::parse(&text).map_err(|e| format!("path {path:?}: {e}"))?;
        let inside =
            url.origin() == base.origin() && url.path().starts_with(base.path().trim_end_matches('/'));
        if !inside {
            return Err(format!("path {path:?} leads out of the service"));
        }
    }
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query.iter().map(|(name, value)| (name, text(value))));
    }
    Ok(url)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let bad = |e: &dyn std::fmt::Display| format!("header {name:?}: {e}");
    let name = HeaderName::try_from(name).map_err(|e| bad(&e))?;
    let value = HeaderValue::try_from(value).map_err(|e| bad(&e))?;
    Ok((name, value))
}

/// What an answer means.
fn judge(params: &Params, answer: http::Answer, again: bool) -> Result<StepOutcome, StepError> {
    if answer.cut {
        return Err(StepError::permanent(format!("the answer has more than {ANSWER_BYTES} bytes")));
    }
    let wanted = match &params.status {
        None => (200..300).contains(&answer.status),
        Some(Statuses::One(status)) => answer.status == *status,
        Some(Statuses::Many(all)) => all.contains(&answer.status),
    };
    if !wanted {
        return Err(once(&answer.refusal(), again, ACTED));
    }
    let body = serde_json::from_str(&answer.body).unwrap_or_else(|_| Value::String(answer.body.clone()));
    let told = TOLD.iter().filter_map(|name| {
        let value = answer.headers.get(*name)?.to_str().ok()?;
        Some(((*name).to_owned(), Value::from(value)))
    });
    let headers: Map<String, Value> = told.collect();
    let mut wrong = Vec::new();
    for (place, want) in &params.expect {
        match body.pointer(place) {
            Some(found) if found == want || text(found) == text(want) => {}
            Some(found) => wrong.push(format!("{place} is {found}, not {want}")),
            None => wrong.push(format!("{place} is not there")),
        }
    }
    let result = json!({"status": answer.status, "body": body, "headers": headers});
    if wrong.is_empty() {
        return Ok(StepOutcome { result, ..StepOutcome::default() });
    }
    Err(StepError::permanent(format!("the answer is not the one expected: {}", wrong.join("; ")))
        .with_result(result))
}

#[async_trait]
impl Backend for HttpBackend {
    fn name(&self) -> &'static str {
        "http"
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    fn check(&self, params: &Value) -> Result<(), String> {
        let service = params.get("service").and_then(Value::as_str).unwrap_or_default();
        self.service(service).map(|_| ())
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
        let repeatable = memo.as_ref().is_none_or(|memo| memo["repeatable"] == true);
        if !repeatable && !call.resend_if_unknown {
            return Err(StepError::unknown(
                "the restart came while the request was on its way; it is not known whether the service acted on it, and \
                 it is not sent again",
            ));
        }
        super::in_time(call, self.clock.now())?;
        self.send(call, step).await
    }
}
