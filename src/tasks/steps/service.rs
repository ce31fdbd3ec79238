//! A web service of the site as backends use it: address, token, time limit; answers in the words of a step.
//!
//! Addresses and tokens come from the site's configuration, and no redirect is followed, so a token goes to nobody else. A
//! service behind a login page answers with a redirect or a page: that is told as what it is, a token that does not count.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::outputs::notify::{Lookup, SendError, http};
use crate::outputs::secret;
use crate::tasks::call::{StepError, StepId};
use crate::tasks::shelf::plain_name;

mod section;

pub(super) use section::{Section, TokenAt, default_poll_interval_s, default_timeout_s, seconds};

/// Longest answer that is read.
const ANSWER_BYTES: usize = 64 << 20;
/// No pause between two looks is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// What an error of a request that must not be made twice means; `what` is not known after one that leaves it open.
pub(super) fn once(error: &SendError, again: bool, what: &str) -> StepError {
    match error {
        e if e.doubtful() && !again => {
            StepError::unknown(format!("{e}; it is not known whether {what}, and it is not sent again"))
        }
        e if e.transient() => StepError::transient(e.to_string()),
        e => StepError::permanent(e.to_string()),
    }
}

/// A service, ready for use.
#[derive(Debug)]
pub(super) struct Service {
    client: Client,
    base: Url,
    authorization: Option<HeaderValue>,
    timeout: Duration,
}

/// An answer of any status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) bytes: Vec<u8>,
    /// It is a page for people.
    page: bool,
    /// There was more than is read.
    cut: bool,
}

impl Service {
    /// The service at `url`; every request ends within `timeout_s`.
    ///
    /// # Errors
    /// Everything that is wrong with these keys.
    pub(super) fn new(
        url: &str,
        token: TokenAt<'_>,
        timeout_s: f64,
        lookup: Lookup<'_>,
    ) -> Result<Service, Vec<String>> {
        let mut problems = Vec::new();
        let base = match Url::parse(url) {
            Ok(base) if !matches!(base.scheme(), "http" | "https") => {
                problems.push(format!("url: {url:?} is not an http(s) address"));
                None
            }
            Ok(base) if !base.username().is_empty() || base.password().is_some() => {
                problems.push("url: credentials do not belong into it; name a variable or a file".to_owned());
                None
            }
            Ok(base) => Some(base),
            Err(e) => {
                problems.push(format!("url: {url:?} is not an address: {e}"));
                None
            }
        };
        if !(timeout_s > 0.0 && timeout_s <= 600.0) {
            problems.push(format!("timeout_s: {timeout_s} is not between 0 and 600"));
        }
        let authorization =
            match secret::read("token", token.variable, token.file.map(PathBuf::as_path), lookup) {
                Ok(None) => None,
                Ok(Some(secret)) => {
                    let scheme = if token.scheme.is_empty() { "Bearer" } else { token.scheme };
                    match HeaderValue::from_str(&format!("{scheme} {}", secret.expose())) {
                        Ok(mut value) => {
                            value.set_sensitive(true);
                            Some(value)
                        }
                        Err(_) => {
                            problems.push("token: it is no header value".to_owned());
                            None
                        }
                    }
                }
                Err(problem) => {
                    problems.push(format!("{}: {}", problem.key, problem.problem));
                    None
                }
            };
        let client = http::client().map_err(|e| problems.push(format!("the HTTP client: {e}"))).ok();
        match (base, client) {
            (Some(base), Some(client)) if problems.is_empty() => {
                let timeout = Duration::from_secs_f64(timeout_s);
                Ok(Service { client, base, authorization, timeout })
            }
            _ => Err(problems),
        }
    }

    /// The address of what lies at `path` below the service; an empty last part gives a trailing slash.
    pub(super) fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// A request with the token and nothing else.
    pub(super) fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let request = self.client.request(method, self.url(path));
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value.clone()),
            None => request,
        }
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// No whole answer in time. A status that says no is an [`Answer`].
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Answer, SendError> {
        let sent = tokio::time::timeout(self.timeout, http::fetch(request, ANSWER_BYTES)).await;
        let http::Fetched { status, headers, bytes, cut } =
            sent.unwrap_or(Err(SendError::Timeout(self.timeout.as_secs_f64())))?;
        let kind = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        Ok(Answer { status, bytes, page: kind.starts_with("text/html"), cut })
    }

    /// Sends a request whose answer comes bit by bit; the time limit is that of its head.
    ///
    /// # Errors
    /// No head of an answer in time.
    pub(super) async fn open(&self, request: RequestBuilder) -> Result<Response, SendError> {
        let opened = tokio::time::timeout(self.timeout, http::open(request)).await;
        opened.unwrap_or(Err(SendError::Timeout(self.timeout.as_secs_f64())))
    }

    /// GET of a JSON document.
    ///
    /// # Errors
    /// None came: see [`Failure`].
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(String, String)],
    ) -> Result<T, Failure> {
        let request = self.request(Method::GET, path).query(query);
        self.send(request).await.map_err(Failure::Lost)?.json()
    }
}

/// Why there is no document.
#[derive(Debug)]
pub(super) enum Failure {
    /// No whole answer.
    Lost(SendError),
    /// The service does not have it.
    Gone(String),
    /// The service does not let us.
    Forbidden(String),
    /// It refuses, now or for ever.
    Refused {
        /// The status.
        status: u16,
        /// Its words.
        text: String,
    },
    /// The answer is not what it should be.
    Garbled(String),
}

impl Failure {
    /// Whether the same question may get an answer later.
    pub(super) fn passes(&self) -> bool {
        match self {
            Failure::Lost(error) => error.transient(),
            Failure::Gone(_) | Failure::Forbidden(_) => false,
            Failure::Refused { status, .. } => matches!(status, 408 | 425 | 429 | 500..),
            Failure::Garbled(_) => true,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Lost(error) => write!(f, "{error}"),
            Failure::Gone(text) => write!(f, "not there (404): {text}"),
            Failure::Forbidden(text) => write!(f, "{text}; see the token in the site's configuration"),
            Failure::Refused { status, text } => write!(f, "refused ({status}): {text}"),
            Failure::Garbled(text) => write!(f, "an answer that cannot be read: {text}"),
        }
    }
}

impl From<Failure> for StepError {
    /// For a question that changes nothing.
    fn from(failure: Failure) -> StepError {
        let text = failure.to_string();
        if failure.passes() { StepError::transient(text) } else { StepError::permanent(text) }
    }
}

impl Answer {
    /// The failure that this status stands for; nothing for one of success.
    pub(super) fn failure(&self) -> Option<Failure> {
        match self.status {
            200..300 => None,
            300..=399 => Some(Failure::Forbidden("it wants a login (a redirect)".to_owned())),
            401 | 403 => Some(Failure::Forbidden(format!("it refuses the token ({})", self.status))),
            404 => Some(Failure::Gone(self.words())),
            status => Some(Failure::Refused { status, text: self.words() }),
        }
    }

    /// The document in it.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        if let Some(failure) = self.failure() {
            return Err(failure);
        }
        if self.page {
            return Err(Failure::Forbidden(
                "it shows a page (a login?) where data were asked for".to_owned(),
            ));
        }
        if self.cut {
            return Err(Failure::Garbled(format!("it is longer than {} MB", ANSWER_BYTES >> 20)));
        }
        serde_json::from_slice(&self.bytes).map_err(|e| Failure::Garbled(e.to_string()))
    }

    /// The file in it.
    pub(super) fn file(self) -> Result<Vec<u8>, Failure> {
        match self.failure() {
            Some(failure) => Err(failure),
            None if self.cut => Err(Failure::Garbled(format!("longer than {} MB", ANSWER_BYTES >> 20))),
            None => Ok(self.bytes),
        }
    }

    /// What the service says, in one short line; of an error list of FastAPI the messages, of an error of InfluxDB its message.
    pub(super) fn words(&self) -> String {
        let text = String::from_utf8_lossy(&self.bytes);
        let Ok(json) = serde_json::from_str::<Value>(&text) else { return http::words(&text) };
        match &json["detail"] {
            Value::Array(all) => {
                let each = all.iter().map(|one| {
                    let kind = one["type"].as_str().unwrap_or_default();
                    format!("{} ({kind})", one["msg"].as_str().unwrap_or_default())
                });
                http::words(&each.collect::<Vec<_>>().join("; "))
            }
            Value::String(words) => http::words(words),
            _ if json["message"].is_string() => http::words(&self::text(&json["message"])),
            _ if json == "" => "no reason given".to_owned(),
            _ => http::words(&text),
        }
    }
}

/// Pauses between looks at something: they grow while nothing changes, and are spread so that looks of many steps do not
/// come together.
#[derive(Debug)]
pub(super) struct Pauses {
    first: Duration,
    next: Duration,
}

impl Pauses {
    /// Beginning with this one.
    pub(super) fn new(first: Duration) -> Pauses {
        Pauses { first, next: first }
    }

    /// Something happened: short pauses again.
    pub(super) fn reset(&mut self) {
        self.next = self.first;
    }

    /// Waits for the next one; the one after it is longer by half.
    pub(super) async fn wait(&mut self) {
        let spread = 0.8 + 0.4 * rand::random::<f64>();
        let now = self.next.mul_f64(spread);
        self.next = self.next.mul_f64(1.5).min(LONGEST_PAUSE.max(self.first));
        tokio::time::sleep(now).await;
    }
}

/// How often an answer "there is none" is doubted.
const LOOKS: usize = 3;

/// What `find` finds, asked until the other side answers, and again if it knows none: what was just submitted may not be in
/// its list yet. Pauses begin with `first`; `what` names it in the log.
pub(super) async fn certain<F, E>(first: Duration, what: &str, find: impl Fn() -> F) -> Option<String>
where
    F: Future<Output = Result<Option<String>, E>>,
    E: std::fmt::Display,
{
    let mut pauses = Pauses::new(first);
    let mut looks = 0;
    loop {
        match find().await {
            Ok(Some(id)) => return Some(id),
            Ok(None) if looks + 1 >= LOOKS => return None,
            Ok(None) => looks += 1,
            Err(error) => tracing::warn!("{what}: {error}"),
        }
        pauses.wait().await;
    }
}

/// What another system knows the work of a step by, the same for all attempts: at most 63 characters, as Kubernetes wants it.
pub(super) fn run_id(id: &StepId) -> String {
    use sha2::{Digest, Sha256};
    let step = plain_name(&id.step);
    let key = format!("catcher-{}-{step}", id.run_id);
    let plain = step == id.step && step.ends_with(|c: char| c.is_ascii_alphanumeric());
    if plain && key.len() <= 63 {
        return key;
    }
    let hash = Sha256::digest(&id.step);
    let hash: String = hash.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{hash}", key.chars().take(50).collect::<String>().trim_end_matches(['-', '_', '.']))
}

/// A text, or what else is there as one.
pub(super) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The texts of a list, or one text; none of null.
pub(super) fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(all) => all.iter().map(text).collect(),
        one => vec![text(one)],
    }
}

/// Whether a name is one of a pattern with `*` and `?`.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let mut chars = pattern.chars();
    match chars.next() {
        None => name.is_empty(),
        Some('*') => {
            let rest = chars.as_str();
            name.char_indices().map(|(at, _)| at).chain([name.len()]).any(|at| matches(rest, &name[at..]))
        }
        Some(c) => {
            let mut own = name.chars();
            own.next().is_some_and(|o| c == '?' || c == o) && matches(chars.as_str(), own.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        for (pattern, name, yes) in [
            ("*", "a.json", true),
            ("*.json", "metrics.json", true),
            ("*.json", "metrics.jsonl", false),
            ("m?trics*", "metrics_1.json", true),
            ("ocps.log", "ocps.log", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, name), yes, "{pattern} {name}");
        }
    }

    #[test]
    fn paths_are_appended_and_quoted() {
        let none = |_: &str| None;
        let service =
            Service::new("https://rsp.example.org/times-square/api/", TokenAt::default(), 5.0, &none);
        let service = service.unwrap();
        assert_eq!(service.url(&["v1", "pages", "a b/c"]).path(), "/times-square/api/v1/pages/a%20b%2Fc");
        assert_eq!(service.url(&["notebooks", ""]).path(), "/times-square/api/notebooks/");
    }

    #[test]
    fn every_mistake_is_told_and_no_secret() {
        let env = |name: &str| (name == "TOKEN").then(|| "gt-se\ncret".to_owned());
        let token = TokenAt { variable: Some("TOKEN"), ..TokenAt::default() };
        let wrong = Service::new("ftp://x", token, 0.0, &env).unwrap_err().join("\n");
        for part in ["url: \"ftp://x\"", "timeout_s: 0", "token: it is no header value"] {
            assert!(wrong.contains(part), "{wrong}");
        }
        assert!(!wrong.contains("cret"));
        let token = TokenAt { variable: Some("NONE"), ..TokenAt::default() };
        let wrong = Service::new("https://me:pw@x", token, 1.0, &env).unwrap_err().join("\n");
        assert!(wrong.contains("credentials") && wrong.contains("token_env: the variable NONE"), "{wrong}");
    }

    #[test]
    fn words_of_all_kinds_of_servers() {
        let words = |text: &str| {
            Answer { status: 422, bytes: text.as_bytes().to_vec(), page: false, cut: false }.words()
        };
        assert_eq!(words("\"\""), "no reason given");
        assert_eq!(words("Invalid\nrun_id."), "Invalid run_id.");
        let fastapi = r#"{"detail": [{"loc": ["path"], "msg": "Job not found", "type": "unknown_job"}]}"#;
        assert_eq!(words(fastapi), "Job not found (unknown_job)");
        assert_eq!(words("{\"detail\": \"Computing the notebook...\"}"), "Computing the notebook...");
    }

    #[test]
    fn run_ids_fit_the_service_and_differ() {
        let of =
            |step: &str| run_id(&StepId { run_id: "0123456789abcdef".into(), step: step.into(), attempt: 3 });
        assert_eq!(of("isr"), "catcher-0123456789abcdef-isr");
        let steps = ["isr[1]", "isr[2]", "isr_1_", "isr_", &"x".repeat(80), &"x".repeat(81)].map(of);
        let different: std::collections::BTreeSet<&String> = steps.iter().collect();
        assert_eq!(different.len(), steps.len(), "{steps:?}");
        for id in &steps {
            assert!(id.len() <= 63 && id.ends_with(|c: char| c.is_ascii_alphanumeric()), "{id}");
        }
    }
}
