//! Client of a Confluent-compatible schema registry over HTTP.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::env::{Secret, hide_user_info};
use crate::transport::TransportError;

/// Attempts of one request, and the pause before the second one, doubled each time.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// A schema registry. Clones share the cache.
///
/// Schemas by id never change and are kept; what a subject has newest is asked each time. Connection failures, answers
/// 5xx and 409 (several clients registering one new subject) are tried again a few times. Credentials come only from
/// the URL and are never shown.
#[derive(Clone)]
pub struct RegistryClient {
    http: reqwest::Client,
    base: Secret,
    /// The base without credentials.
    shown: Arc<str>,
    cache: Arc<Mutex<Cache>>,
}

#[derive(Default)]
struct Cache {
    by_id: HashMap<u32, Arc<str>>,
    /// Subject and text to id.
    ids: HashMap<(String, String), u32>,
}

/// An answer that is no success.
struct Failure {
    status: Option<StatusCode>,
    /// `error_code` of the body.
    code: Option<i64>,
    message: String,
}

impl std::fmt::Debug for RegistryClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistryClient").field("url", &self.shown).finish_non_exhaustive()
    }
}

impl RegistryClient {
    /// A client for a base URL, which may have a path prefix and user information.
    pub fn new(url: &Secret) -> Result<RegistryClient, TransportError> {
        let shown = hide_user_info(url.expose());
        let http = reqwest::Client::builder()
            .timeout(REQUEST_LIMIT)
            .build()
            .map_err(|e| TransportError::refused(format!("registry client for {shown}"), e.without_url()))?;
        if reqwest::Url::parse(url.expose()).is_err() {
            return Err(TransportError::refused(format!("registry {shown}"), "not a URL"));
        }
        let base = Secret::new(url.expose().trim_end_matches('/'));
        Ok(RegistryClient { http, base, shown: shown.trim_end_matches('/').into(), cache: Arc::default() })
    }

    /// Registers a schema as the newest version of a subject, or finds it there; its id.
    pub async fn register(&self, subject: &str, schema: &str) -> Result<u32, TransportError> {
        let path = format!("/subjects/{}/versions?normalize=False", encode(subject));
        let id = self.id_of(&path, subject, schema).await.map_err(|e| self.error("register", &path, &e))?;
        id.ok_or_else(|| self.odd(&path))
    }

    /// The id of a schema under a subject, without registering it; `None` if the subject does not have it.
    pub async fn lookup(&self, subject: &str, schema: &str) -> Result<Option<u32>, TransportError> {
        let key = (subject.to_owned(), schema.to_owned());
        if let Some(id) = self.cache().ids.get(&key) {
            return Ok(Some(*id));
        }
        let path = format!("/subjects/{}?normalize=False&deleted=False", encode(subject));
        match self.id_of(&path, subject, schema).await {
            Ok(id) => Ok(id),
            Err(failure) if failure.unknown() => Ok(None),
            Err(failure) => Err(self.error("look up", &path, &failure)),
        }
    }

    /// The text of a schema, from the cache or the registry.
    pub async fn schema(&self, id: u32) -> Result<Arc<str>, TransportError> {
        if let Some(text) = self.cache().by_id.get(&id) {
            return Ok(Arc::clone(text));
        }
        let path = format!("/schemas/ids/{id}");
        let answer =
            self.request(Method::GET, &path, None).await.map_err(|e| self.error("get", &path, &e))?;
        let text: Arc<str> = answer["schema"].as_str().ok_or_else(|| self.odd(&path))?.into();
        self.cache().by_id.insert(id, Arc::clone(&text));
        Ok(text)
    }

    /// The newest version of a subject: id and text; `None` if the subject is unknown.
    pub async fn latest(&self, subject: &str) -> Result<Option<(u32, Arc<str>)>, TransportError> {
        let path = format!("/subjects/{}/versions/latest", encode(subject));
        let answer = match self.request(Method::GET, &path, None).await {
            Ok(answer) => answer,
            Err(failure) if failure.unknown() => return Ok(None),
            Err(failure) => return Err(self.error("get", &path, &failure)),
        };
        let id = id(&answer).ok_or_else(|| self.odd(&path))?;
        let text: Arc<str> = answer["schema"].as_str().ok_or_else(|| self.odd(&path))?.into();
        self.cache().by_id.insert(id, Arc::clone(&text));
        Ok(Some((id, text)))
    }

    /// All subjects.
    pub async fn subjects(&self) -> Result<Vec<String>, TransportError> {
        let path = "/subjects";
        let answer = self.request(Method::GET, path, None).await.map_err(|e| self.error("get", path, &e))?;
        let names = answer.as_array().ok_or_else(|| self.odd(path))?;
        Ok(names.iter().filter_map(Json::as_str).map(str::to_owned).collect())
    }

    async fn id_of(&self, path: &str, subject: &str, schema: &str) -> Result<Option<u32>, Failure> {
        let body = json!({"schema": schema, "schemaType": "AVRO", "references": []});
        let answer = self.request(Method::POST, path, Some(&body)).await?;
        let id = id(&answer);
        if let Some(id) = id {
            let mut cache = self.cache();
            cache.ids.insert((subject.to_owned(), schema.to_owned()), id);
            cache.by_id.entry(id).or_insert_with(|| schema.into());
        }
        Ok(id)
    }

    async fn request(&self, method: Method, path: &str, body: Option<&Json>) -> Result<Json, Failure> {
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let failure = match self.once(method.clone(), path, body).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if attempt == ATTEMPTS || !failure.worth_another() {
                return Err(failure);
            }
            tracing::debug!(url = %self.shown, path, attempt, reason = %failure.message, "registry: trying again");
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        unreachable!("the loop returns at its last attempt")
    }

    async fn once(&self, method: Method, path: &str, body: Option<&Json>) -> Result<Json, Failure> {
        // Paths are appended: the base may have a prefix, as Apicurio's `/apis/ccompat/v7`.
        let mut request = self.http.request(method, format!("{}{path}", self.base.expose())).header(
            "Accept",
            "application/vnd.schemaregistry.v1+json, application/vnd.schemaregistry+json, application/json",
        );
        if let Some(body) = body {
            request = request.header("Content-Type", CONTENT_TYPE).body(body.to_string());
        }
        let lost = |e: reqwest::Error| Failure { status: None, code: None, message: chain(&e.without_url()) };
        let response = request.send().await.map_err(lost)?;
        let status = response.status();
        let text = response.text().await.map_err(lost)?;
        let answer: Json = serde_json::from_str(&text).unwrap_or(Json::Null);
        if status.is_success() {
            return Ok(answer);
        }
        let said = answer["message"].as_str().map_or_else(|| text.chars().take(200).collect(), str::to_owned);
        Err(Failure {
            status: Some(status),
            code: answer["error_code"].as_i64(),
            message: format!("HTTP {}: {said}", status.as_u16()),
        })
    }

    fn error(&self, verb: &str, path: &str, failure: &Failure) -> TransportError {
        let attempt = format!("registry: {verb} {}{path}", self.shown);
        match failure.status {
            Some(status) if !status.is_server_error() => TransportError::refused(attempt, &failure.message),
            _ => TransportError::unavailable(attempt, &failure.message),
        }
    }

    fn odd(&self, path: &str) -> TransportError {
        TransportError::refused(format!("registry: {}{path}", self.shown), "the answer has no schema or id")
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        // The cache holds plain data; a panic elsewhere does not make it wrong.
        self.cache.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl Failure {
    /// The subject, version or schema is not there.
    fn unknown(&self) -> bool {
        self.status == Some(StatusCode::NOT_FOUND) && !matches!(self.code, None | Some(404))
    }

    /// A broken connection, a server in trouble, or two clients that register at once. A 409 that is a true
    /// incompatibility stays one and is told after the last attempt.
    fn worth_another(&self) -> bool {
        self.status.is_none_or(|s| s.is_server_error() || s == StatusCode::CONFLICT)
    }
}

fn id(answer: &Json) -> Option<u32> {
    answer["id"].as_u64().and_then(|id| u32::try_from(id).ok())
}

/// Percent-encodes what is not allowed in a path segment; topic names pass unchanged.
fn encode(segment: &str) -> String {
    segment
        .bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'-' | b'~' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect()
}

/// An error with its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
