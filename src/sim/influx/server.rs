//! The routes of the simulated EFD.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::listener::Breakable;
use super::{DATABASE, Fault, ORG, REMEMBERED, Shared, TOKEN, USER, line, said, shapes};

/// Largest request taken.
const MAX_BODY: usize = 32 << 20;

/// Serves until the token is cancelled.
pub(super) async fn serve(
    address: SocketAddr,
    shared: Arc<Shared>,
) -> std::io::Result<(SocketAddr, CancellationToken)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let broken = CancellationToken::new();
    let routes = Router::new()
        .route("/api/v2/write", post(write2))
        .route("/api/v2/query", post(query2))
        .route("/write", post(write1))
        .route("/query", post(query1))
        .route("/health", get(async || axum::Json(json!({"name": "influxdb", "message": "simulated", "status": "pass", "checks": [], "version": "v2.7-simulated"}))))
        .route("/ping", get(async || (StatusCode::NO_CONTENT, [("X-Influxdb-Version", "1.8-simulated")])))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), gate))
        .with_state(shared);
    let serving = axum::serve(Breakable { listener, broken: broken.clone() }, routes).into_future();
    let ended = broken.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = ended.cancelled() => {}
            result = serving => drop(result),
        }
    });
    Ok((address, broken))
}

/// Remembers the request, checks the credentials, lets the next fault happen.
async fn gate(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return error(&parts.uri, StatusCode::PAYLOAD_TOO_LARGE, "request body too large");
    };
    let fault = {
        let mut state = shared.lock();
        let text = format!("{} {}\n{}", parts.method, parts.uri, String::from_utf8_lossy(&body));
        state.requests.push_back(text);
        if state.requests.len() > REMEMBERED {
            state.requests.pop_front();
        }
        state.faults.pop_front()
    };
    if !may(&parts.uri, &parts.headers) {
        let words = if is_v2(&parts.uri) { "unauthorized access" } else { "authorization failed" };
        return error(&parts.uri, StatusCode::UNAUTHORIZED, words);
    }
    let carry_out = async |shared: Arc<Shared>| {
        drop(shared);
        next.run(Request::from_parts(parts, Body::from(body))).await
    };
    match fault {
        None => carry_out(shared).await,
        Some(Fault::Status(status, text)) => {
            (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), text).into_response()
        }
        Some(Fault::Garbage(text)) => text.into_response(),
        Some(Fault::Slow(time)) => {
            tokio::time::sleep(time).await;
            carry_out(shared).await
        }
        Some(Fault::Hang) => {
            let mut released = shared.released.subscribe();
            // An error means that the simulator is gone; so is the connection.
            drop(released.changed().await);
            carry_out(shared).await
        }
        Some(Fault::HalfBody) => {
            let (parts, body) = carry_out(shared).await.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
            let half = body.slice(..body.len() / 2);
            broken_off(parts.status, half)
        }
        Some(Fault::LostAnswer) => {
            carry_out(shared).await;
            // The head of the answer promises a body and the connection ends.
            broken_off(StatusCode::OK, Bytes::new())
        }
    }
}

/// A body that ends in an error: hyper closes the connection in the middle.
pub(in crate::sim) fn broken_off(status: StatusCode, start: Bytes) -> Response {
    let parts = [Ok(start), Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe))];
    // A body is not allowed with 204.
    let status = if status == StatusCode::NO_CONTENT { StatusCode::OK } else { status };
    (status, Body::from_stream(futures::stream::iter(parts))).into_response()
}

fn is_v2(uri: &axum::http::Uri) -> bool {
    uri.path().starts_with("/api/v2/")
}

fn may(uri: &axum::http::Uri, headers: &HeaderMap) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    match uri.path() {
        "/ping" | "/health" => true,
        _ if is_v2(uri) => given == Some(&format!("Token {TOKEN}")),
        _ => {
            let pair = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{TOKEN}"));
            given == Some(&format!("Basic {pair}"))
        }
    }
}

/// An error in the form of the kind that was asked.
fn error(uri: &axum::http::Uri, status: StatusCode, words: &str) -> Response {
    let body = if is_v2(uri) {
        let code = match status {
            StatusCode::UNAUTHORIZED => "unauthorized",
            StatusCode::NOT_FOUND => "not found",
            StatusCode::UNPROCESSABLE_ENTITY => "unprocessable entity",
            _ => "invalid",
        };
        json!({"code": code, "message": words})
    } else {
        json!({"error": words})
    };
    (status, axum::Json(body)).into_response()
}

#[derive(Debug, Deserialize)]
struct WriteTo {
    #[serde(default)]
    org: String,
    #[serde(default)]
    bucket: String,
    #[serde(default)]
    db: String,
    #[serde(default)]
    precision: String,
}

async fn write2(
    uri: axum::http::Uri,
    State(shared): State<Arc<Shared>>,
    Query(to): Query<WriteTo>,
    body: String,
) -> Response {
    if to.org != ORG || to.bucket != DATABASE {
        return error(&uri, StatusCode::NOT_FOUND, &format!("bucket \"{}\" not found", to.bucket));
    }
    let (points, errors) = line::parse(&body);
    // InfluxDB 2 takes nothing of a body with a bad line, but drops only the points whose types clash.
    if let Some(first) = errors.first() {
        return error(&uri, StatusCode::BAD_REQUEST, first);
    }
    finish_write(&uri, &shared, to.precision, points, StatusCode::UNPROCESSABLE_ENTITY)
}

async fn write1(
    uri: axum::http::Uri,
    State(shared): State<Arc<Shared>>,
    Query(to): Query<WriteTo>,
    body: String,
) -> Response {
    if to.db != DATABASE {
        return error(&uri, StatusCode::NOT_FOUND, &format!("database not found: \"{}\"", to.db));
    }
    let (points, errors) = line::parse(&body);
    let written = finish_write(&uri, &shared, to.precision, points, StatusCode::BAD_REQUEST);
    match errors.first() {
        // InfluxDB 1 writes the good lines.
        Some(first) => error(&uri, StatusCode::BAD_REQUEST, &format!("partial write: {first} dropped=0")),
        None => written,
    }
}

fn finish_write(
    uri: &axum::http::Uri,
    shared: &Shared,
    precision: String,
    points: Vec<crate::outputs::efd::Point>,
    on_conflict: StatusCode,
) -> Response {
    if precision != "ns" {
        return error(uri, StatusCode::BAD_REQUEST, "this simulator takes stamps in ns");
    }
    let mut state = shared.lock();
    let conflicts: Vec<String> =
        points.into_iter().filter_map(|point| state.store.write(point).err()).collect();
    match conflicts.first() {
        None => StatusCode::NO_CONTENT.into_response(),
        Some(first) => {
            let words = format!("partial write: {first} dropped={}", conflicts.len());
            error(uri, on_conflict, &words)
        }
    }
}

#[derive(Debug, Deserialize)]
struct Flux {
    query: String,
}

async fn query2(
    uri: axum::http::Uri,
    State(shared): State<Arc<Shared>>,
    axum::Json(flux): axum::Json<Flux>,
) -> Response {
    match shapes::flux(&flux.query) {
        Err(_) => said2(&uri, &shared, &flux.query),
        Ok(asked) if asked.database != DATABASE => {
            error(&uri, StatusCode::NOT_FOUND, &format!("could not find bucket \"{}\"", asked.database))
        }
        Ok(asked) => {
            let csv = asked.csv(&shared.lock().store);
            ([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], csv).into_response()
        }
    }
}

async fn query1(uri: axum::http::Uri, State(shared): State<Arc<Shared>>, body: String) -> Response {
    let form = reqwest::Url::parse(&format!("http://x/?{body}"));
    let field = |name: &str| {
        let pairs = form.as_ref().ok()?.query_pairs().find(|(key, _)| key == name);
        pairs.map(|(_, value)| value.into_owned())
    };
    let database = field("db").unwrap_or_default();
    if field("epoch").as_deref() != Some("ns") {
        return error(&uri, StatusCode::BAD_REQUEST, "this simulator answers with epoch=ns only");
    }
    let text = field("q").unwrap_or_default();
    match shapes::influxql(&text, &database) {
        Err(_) => said1(&uri, &shared, &text, &database),
        Ok(asked) if asked.database != DATABASE => {
            let words = format!("database not found: {}", asked.database);
            axum::Json(json!({"results": [{"statement_id": 0, "error": words}]})).into_response()
        }
        Ok(asked) => axum::Json(asked.json(&shared.lock().store)).into_response(),
    }
}

/// A Flux query that is not the one our client makes.
fn said2(uri: &axum::http::Uri, shared: &Shared, text: &str) -> Response {
    match said::flux(text) {
        Err(reason) => error(uri, StatusCode::BAD_REQUEST, &reason),
        Ok(said) if said.database != DATABASE => {
            error(uri, StatusCode::NOT_FOUND, &format!("could not find bucket \"{}\"", said.database))
        }
        Ok(said) => {
            let csv = said.csv(&shared.lock().store);
            ([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], csv).into_response()
        }
    }
}

/// The same of InfluxQL.
fn said1(uri: &axum::http::Uri, shared: &Shared, text: &str, database: &str) -> Response {
    match said::influxql(text, database) {
        Err(reason) => error(uri, StatusCode::BAD_REQUEST, &reason),
        Ok(said) if said.database != DATABASE => {
            let words = format!("database not found: {}", said.database);
            axum::Json(json!({"results": [{"statement_id": 0, "error": words}]})).into_response()
        }
        Ok(said) => axum::Json(said.json(&shared.lock().store)).into_response(),
    }
}
