//! A schema registry over HTTP, in memory: the part of Confluent's interface that SAL clients use, in Rust and in
//! Python. It is also served below `/apis/ccompat/v7`, as by a registry with a path prefix.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use salobj::registry::store::Version;
use salobj::registry::{SchemaStore, StoreError};
use salobj::transport::TransportError;
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// Requests remembered for tests.
const KEEP_REQUESTS: usize = 1000;
/// Bytes of a request body that are accepted.
const BODY_LIMIT: usize = 16 << 20;
const CONTENT_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// One request as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST` ...
    pub method: String,
    /// Path and query.
    pub target: String,
    /// `Content-Type`, if given.
    pub content_type: Option<String>,
    /// Body.
    pub body: String,
}

#[derive(Default)]
struct Shared {
    store: SchemaStore,
    requests: VecDeque<Request>,
    failing: usize,
}

type Registry = Arc<Mutex<Shared>>;

/// A running registry; it stops when this is dropped.
pub struct RegistryServer {
    url: String,
    shared: Registry,
    task: AbortHandle,
}

impl RegistryServer {
    /// Starts an empty registry on a free port of the loopback interface.
    pub async fn start() -> Result<RegistryServer, TransportError> {
        let failed = |e: std::io::Error| TransportError::unavailable("start the schema registry", e);
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(failed)?;
        let url = format!("http://{}", listener.local_addr().map_err(failed)?);
        let shared = Registry::default();
        let app = router(Arc::clone(&shared));
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "the schema registry ended");
            }
        });
        Ok(RegistryServer { url, shared, task: task.abort_handle() })
    }

    /// `http://host:port`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes the next `count` requests fail with 503.
    pub fn fail_requests(&self, count: usize) {
        lock(&self.shared).failing = count;
    }

    /// The last requests, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared).requests.iter().cloned().collect()
    }

    /// Looks at, or changes, the schemas.
    pub fn with_schemas<R>(&self, f: impl FnOnce(&mut SchemaStore) -> R) -> R {
        f(&mut lock(&self.shared).store)
    }
}

impl Drop for RegistryServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(shared: &Registry) -> MutexGuard<'_, Shared> {
    // Plain data: a panic elsewhere does not make it wrong.
    shared.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn router(shared: Registry) -> Router {
    let routes = Router::new()
        .route("/", get(async || answer(json!({}))))
        .route("/schemas/types", get(async || answer(json!(["AVRO"]))))
        .route("/schemas/ids/{id}", get(by_id))
        .route("/schemas/ids/{id}/versions", get(uses))
        .route("/subjects", get(subjects))
        .route("/subjects/{subject}", post(look_up).delete(delete))
        .route("/subjects/{subject}/versions", get(versions).post(register))
        .route("/subjects/{subject}/versions/{version}", get(version))
        .route("/compatibility/subjects/{subject}/versions/{version}", post(check))
        .route("/config", get(level).put(set_level))
        .route("/config/{subject}", get(subject_level).put(set_subject_level))
        .route("/mode", get(async || answer(json!({"mode": "READWRITE"}))));
    Router::new()
        .nest("/apis/ccompat/v7", routes.clone())
        .merge(routes)
        .fallback(async || error(StatusCode::NOT_FOUND, 404, "HTTP 404 Not Found"))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), record))
        .with_state(shared)
}

/// Remembers the request, and fails it if told to.
async fn record(
    State(shared): State<Registry>,
    method: Method,
    uri: Uri,
    request: axum::extract::Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_LIMIT).await else {
        return error(StatusCode::PAYLOAD_TOO_LARGE, 413, "the body is too long");
    };
    let content_type =
        parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).map(str::to_owned);
    {
        let mut shared = lock(&shared);
        if shared.requests.len() == KEEP_REQUESTS {
            shared.requests.pop_front();
        }
        shared.requests.push_back(Request {
            method: method.to_string(),
            target: uri.to_string(),
            content_type,
            body: String::from_utf8_lossy(&body).into_owned(),
        });
        if shared.failing > 0 {
            shared.failing -= 1;
            return error(StatusCode::SERVICE_UNAVAILABLE, 50003, "made to fail");
        }
    }
    next.run(axum::extract::Request::from_parts(parts, axum::body::Body::from(body))).await
}

fn answer(body: Json) -> Response {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], body.to_string()).into_response()
}

fn error(status: StatusCode, code: u32, message: &str) -> Response {
    let body = json!({"error_code": code, "message": message}).to_string();
    (status, [(header::CONTENT_TYPE, CONTENT_TYPE)], body).into_response()
}

fn no_subject(subject: &str) -> Response {
    error(StatusCode::NOT_FOUND, 40401, &format!("Subject '{subject}' not found."))
}

fn refused(reason: &StoreError) -> Response {
    let message = reason.to_string();
    match reason {
        StoreError::Incompatible { .. } => error(StatusCode::CONFLICT, 409, &message),
        StoreError::Invalid(_) => error(StatusCode::UNPROCESSABLE_ENTITY, 42201, &message),
        StoreError::Level(_) => error(StatusCode::UNPROCESSABLE_ENTITY, 42203, &message),
    }
}

/// The schema text of a request body, or the answer that says what is wrong with the body.
fn schema_of(body: &Bytes) -> Result<String, Box<Response>> {
    let bad = |message: &str| Box::new(error(StatusCode::UNPROCESSABLE_ENTITY, 42201, message));
    let body: Json = serde_json::from_slice(body).map_err(|e| bad(&format!("not JSON: {e}")))?;
    match body["schemaType"].as_str() {
        None | Some("AVRO") => {}
        Some(other) => return Err(bad(&format!("Invalid schema type {other}"))),
    }
    body["schema"].as_str().map(str::to_owned).ok_or_else(|| bad("no schema"))
}

fn described(subject: &str, version: &Version) -> Json {
    json!({"subject": subject, "version": version.version, "id": version.id, "schema": &*version.schema})
}

async fn register(State(shared): State<Registry>, Path(subject): Path<String>, body: Bytes) -> Response {
    let schema = match schema_of(&body) {
        Ok(schema) => schema,
        Err(response) => return *response,
    };
    match lock(&shared).store.register(&subject, &schema) {
        Ok(version) => answer(json!({"id": version.id})),
        Err(reason) => refused(&reason),
    }
}

async fn look_up(State(shared): State<Registry>, Path(subject): Path<String>, body: Bytes) -> Response {
    let schema = match schema_of(&body) {
        Ok(schema) => schema,
        Err(response) => return *response,
    };
    let store = &lock(&shared).store;
    if store.versions(&subject).is_empty() {
        return no_subject(&subject);
    }
    match store.lookup(&subject, &schema) {
        Some(version) => answer(described(&subject, &version)),
        None => error(StatusCode::NOT_FOUND, 40403, "Schema not found"),
    }
}

async fn delete(State(shared): State<Registry>, Path(subject): Path<String>) -> Response {
    let versions = lock(&shared).store.delete(&subject);
    if versions.is_empty() { no_subject(&subject) } else { answer(json!(versions)) }
}

async fn subjects(State(shared): State<Registry>, Query(query): Query<Vec<(String, String)>>) -> Response {
    let prefix = query.iter().find(|q| q.0 == "subjectPrefix").map_or("", |q| q.1.as_str());
    let shared = lock(&shared);
    answer(json!(shared.store.subjects().filter(|s| s.starts_with(prefix)).collect::<Vec<_>>()))
}

async fn versions(State(shared): State<Registry>, Path(subject): Path<String>) -> Response {
    let shared = lock(&shared);
    match shared.store.versions(&subject) {
        [] => no_subject(&subject),
        versions => answer(json!(versions.iter().map(|v| v.version).collect::<Vec<_>>())),
    }
}

async fn version(
    State(shared): State<Registry>,
    Path((subject, wanted)): Path<(String, String)>,
) -> Response {
    let shared = lock(&shared);
    let versions = shared.store.versions(&subject);
    let found = match wanted.as_str() {
        "latest" | "-1" => versions.last(),
        number => versions.iter().find(|v| v.version.to_string() == number),
    };
    match found {
        Some(version) => answer(described(&subject, version)),
        None if versions.is_empty() => no_subject(&subject),
        None => error(StatusCode::NOT_FOUND, 40402, &format!("Version {wanted} not found.")),
    }
}

async fn by_id(State(shared): State<Registry>, Path(id): Path<u32>) -> Response {
    match lock(&shared).store.schema(id) {
        Some(schema) => answer(json!({"schema": &*schema})),
        None => error(StatusCode::NOT_FOUND, 40403, &format!("Schema {id} not found")),
    }
}

async fn uses(State(shared): State<Registry>, Path(id): Path<u32>) -> Response {
    let uses = lock(&shared).store.uses(id);
    let uses: Vec<Json> = uses.iter().map(|(s, v)| json!({"subject": s, "version": v})).collect();
    answer(json!(uses))
}

async fn check(
    State(shared): State<Registry>,
    Path((subject, _)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    let schema = match schema_of(&body) {
        Ok(schema) => schema,
        Err(response) => return *response,
    };
    match lock(&shared).store.check(&subject, &schema) {
        Ok(()) => answer(json!({"is_compatible": true})),
        Err(StoreError::Incompatible { reasons, .. }) => {
            answer(json!({"is_compatible": false, "messages": reasons}))
        }
        Err(reason) => refused(&reason),
    }
}

async fn level(State(shared): State<Registry>) -> Response {
    answer(json!({"compatibilityLevel": lock(&shared).store.level().name()}))
}

async fn subject_level(State(shared): State<Registry>, Path(subject): Path<String>) -> Response {
    answer(json!({"compatibilityLevel": lock(&shared).store.level_of(&subject).name()}))
}

async fn set_level(State(shared): State<Registry>, body: Bytes) -> Response {
    change_level(&shared, None, &body)
}

async fn set_subject_level(
    State(shared): State<Registry>,
    Path(subject): Path<String>,
    body: Bytes,
) -> Response {
    change_level(&shared, Some(&subject), &body)
}

fn change_level(shared: &Registry, subject: Option<&str>, body: &Bytes) -> Response {
    let body: Json = serde_json::from_slice(body).unwrap_or_default();
    let name = body["compatibility"].as_str().unwrap_or_default();
    match name.parse() {
        Ok(level) => {
            lock(shared).store.set_level(subject, level);
            answer(json!({"compatibility": name}))
        }
        Err(reason) => refused(&reason),
    }
}
