//! What simulated web services have in common: a port that can go away, faults by request, requests remembered.
//!
//! ```text
//! backend ── HTTP ──► remember ─► fault? ─► Plays::answer ─► Reply
//! tests   ── fail, pace, release, go_away, come_back, requests, play ──┘
//! ```
//!
//! A service is a [`Plays`]: one function from request to reply, called for one request at a time, so what it counts is right
//! whatever happens to connections.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::influx::listener::Breakable;
use super::influx::server::broken_off;

/// Largest request taken.
const MAX_BODY: usize = 64 << 20;
/// Most requests remembered.
const REMEMBERED: usize = 10_000;

/// What goes wrong with a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Answered with that status and body, not carried out.
    Status(u16, String),
    /// Answered with 200 and that body, not carried out.
    Garbage(String),
    /// Carried out after that time.
    Slow(Duration),
    /// No answer until [`Peer::release`]; then carried out, if somebody still waits for it.
    Hang,
    /// Carried out at once, but no answer until [`Peer::release`].
    HangAfter,
    /// Carried out, but the connection breaks before the answer.
    LostAnswer,
    /// Carried out, then the answer breaks off in the middle.
    HalfBody,
    /// Carried out twice, as a proxy that repeats a request does; the second answer counts.
    Twice,
}

/// How requests go all the time. They are carried out whether or not somebody still waits for the answer.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    /// Longest time before a request is carried out; each takes a random part of it.
    pub before: Duration,
    /// Longest time from there to the answer; each takes a random part of it.
    pub after: Duration,
    /// The part of all that is refused with 429 instead of being carried out.
    pub refused: f64,
    /// The part of all whose answer is lost.
    pub lost: f64,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Asked {
    /// `GET`.
    pub method: String,
    /// Path, unquoted.
    pub path: String,
    /// Parameters of the address, in order.
    pub query: Vec<(String, String)>,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Asked {
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The parts of the path.
    pub fn parts(&self) -> Vec<&str> {
        self.path.trim_start_matches('/').split('/').collect()
    }
}

/// An answer.
#[derive(Debug)]
pub enum Reply {
    /// Status, content type, further headers, body.
    Whole(u16, &'static str, Vec<(&'static str, String)>, Vec<u8>),
    /// Server-sent events: the value now, then each new one, for ever.
    Events(watch::Receiver<String>),
}

impl Reply {
    /// JSON with that status.
    pub fn json(status: u16, body: &serde_json::Value) -> Reply {
        Reply::Whole(status, "application/json", Vec::new(), body.to_string().into_bytes())
    }

    /// Text with that status, called `text/html` as Tornado does.
    pub fn text(status: u16, body: &str) -> Reply {
        Reply::Whole(status, "text/html; charset=UTF-8", Vec::new(), body.as_bytes().to_vec())
    }
}

/// A service.
pub trait Plays: Send + 'static {
    /// Answers a request.
    fn answer(&mut self, asked: &Asked) -> Reply;
}

struct Shared<P> {
    state: Mutex<Inner<P>>,
    released: watch::Sender<u64>,
}

struct Inner<P> {
    play: P,
    faults: VecDeque<(String, Fault)>,
    paces: Vec<(String, Pace)>,
    requests: VecDeque<String>,
}

impl<P> Shared<P> {
    fn lock(&self) -> MutexGuard<'_, Inner<P>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handle; the server ends when it is dropped.
pub struct Peer<P: Plays> {
    address: SocketAddr,
    shared: Arc<Shared<P>>,
    running: Mutex<Option<CancellationToken>>,
}

impl<P: Plays> Peer<P> {
    /// Starts on a free port of the loopback interface.
    ///
    /// # Errors
    /// There is no port.
    pub async fn start(play: P) -> std::io::Result<Peer<P>> {
        let inner = Inner { play, faults: VecDeque::new(), paces: Vec::new(), requests: VecDeque::new() };
        let shared = Arc::new(Shared { state: Mutex::new(inner), released: watch::Sender::new(0) });
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let (address, running) = serve(address, Arc::clone(&shared)).await?;
        Ok(Peer { address, shared, running: Mutex::new(Some(running)) })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Looks at the service, or changes it.
    pub fn play<T>(&self, with: impl FnOnce(&mut P) -> T) -> T {
        with(&mut self.shared.lock().play)
    }

    /// The next `n` requests that begin so (`PUT /job`) go wrong like this, after those of earlier calls.
    pub fn fail(&self, begins: &str, n: usize, fault: Fault) {
        self.shared.lock().faults.extend(std::iter::repeat_n((begins.to_owned(), fault), n));
    }

    /// All requests that begin so go like this from now on, but for those that [`Self::fail`] is for.
    pub fn pace(&self, begins: &str, pace: Pace) {
        self.shared.lock().paces.push((begins.to_owned(), pace));
    }

    /// Faults that have not happened yet.
    pub fn faults_left(&self) -> usize {
        self.shared.lock().faults.len()
    }

    /// Lets all hanging requests go on.
    pub fn release(&self) {
        self.shared.released.send_modify(|n| *n += 1);
    }

    /// What came in, as `METHOD /path?query`; the last 10 000.
    pub fn requests(&self) -> Vec<String> {
        self.shared.lock().requests.iter().cloned().collect()
    }

    /// How many of them begin so.
    pub fn count(&self, begins: &str) -> usize {
        self.requests().iter().filter(|r| r.starts_with(begins)).count()
    }

    /// Closes the port and all connections. What the service knows stays.
    pub fn go_away(&self) {
        if let Some(running) = self.running().take() {
            running.cancel();
        }
    }

    /// Opens the same port again.
    ///
    /// # Errors
    /// Somebody else has it now.
    pub async fn come_back(&self) -> std::io::Result<()> {
        self.go_away();
        let (_, running) = serve(self.address, Arc::clone(&self.shared)).await?;
        *self.running() = Some(running);
        Ok(())
    }

    fn running(&self) -> MutexGuard<'_, Option<CancellationToken>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: Plays> Drop for Peer<P> {
    fn drop(&mut self) {
        self.go_away();
    }
}

async fn serve<P: Plays>(
    address: SocketAddr,
    shared: Arc<Shared<P>>,
) -> std::io::Result<(SocketAddr, CancellationToken)> {
    let listener = bind(address).await?;
    let address = listener.local_addr()?;
    let broken = CancellationToken::new();
    let routes = Router::new().fallback(handle::<P>).with_state(shared);
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

/// The port; a listener of ours that was just closed may still have it for a moment.
async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    for _ in 0..1000 {
        match TcpListener::bind(address).await {
            Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {
                tokio::time::sleep(Duration::from_millis(1)).await
            }
            bound => return bound,
        }
    }
    TcpListener::bind(address).await
}

async fn handle<P: Plays>(State(shared): State<Arc<Shared<P>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    // As reqwest reads it: an address of ours with that path.
    let address = reqwest::Url::parse(&format!("http://x{}", parts.uri));
    let query = address.map(|url| url.query_pairs().into_owned().collect()).unwrap_or_default();
    let path = unquoted(parts.uri.path());
    let asked = Asked { method: parts.method.to_string(), path, query, headers: parts.headers, body };
    let (fault, pace) = {
        let mut inner = shared.lock();
        let line = format!("{} {}", asked.method, parts.uri);
        let fault = inner.faults.iter().position(|(begins, _)| line.starts_with(begins.as_str()));
        let fault = fault.and_then(|at| inner.faults.remove(at)).map(|(_, fault)| fault);
        let pace = inner.paces.iter().find(|(begins, _)| line.starts_with(begins.as_str()));
        let pace = pace.map(|(_, pace)| pace.clone());
        inner.requests.push_back(line);
        if inner.requests.len() > REMEMBERED {
            inner.requests.pop_front();
        }
        (fault, pace)
    };
    if let (None, Some(pace)) = (&fault, pace) {
        // In a task of its own: it is not dropped with the connection.
        let answer = tokio::spawn(paced(Arc::clone(&shared), asked, pace)).await;
        return answer.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response());
    }
    let released = async || {
        let mut released = shared.released.subscribe();
        // An error means that the simulator is gone; so is the connection.
        released.changed().await.ok();
    };
    let carry_out = || response(shared.lock().play.answer(&asked));
    match fault {
        None => carry_out(),
        Some(Fault::Status(status, text)) => {
            (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), text).into_response()
        }
        Some(Fault::Garbage(text)) => text.into_response(),
        Some(Fault::Slow(time)) => {
            tokio::time::sleep(time).await;
            carry_out()
        }
        Some(Fault::Hang) => {
            released().await;
            carry_out()
        }
        Some(Fault::HangAfter) => {
            let response = carry_out();
            released().await;
            response
        }
        Some(Fault::Twice) => {
            drop(carry_out());
            carry_out()
        }
        Some(Fault::LostAnswer) => {
            drop(carry_out());
            broken_off(StatusCode::OK, Bytes::new())
        }
        Some(Fault::HalfBody) => {
            let (parts, body) = carry_out().into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
            broken_off(parts.status, body.slice(..body.len() / 2))
        }
    }
}

async fn paced<P: Plays>(shared: Arc<Shared<P>>, asked: Asked, pace: Pace) -> Response {
    tokio::time::sleep(pace.before.mul_f64(rand::random())).await;
    if rand::random::<f64>() < pace.refused {
        return (StatusCode::TOO_MANY_REQUESTS, "too much at a time").into_response();
    }
    let answer = response(shared.lock().play.answer(&asked));
    tokio::time::sleep(pace.after.mul_f64(rand::random())).await;
    if rand::random::<f64>() < pace.lost { broken_off(StatusCode::OK, Bytes::new()) } else { answer }
}

fn unquoted(path: &str) -> String {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = (*first == b'%').then(|| tail.get(..2)).flatten();
        let code = code.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match code {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn response(reply: Reply) -> Response {
    match reply {
        Reply::Whole(status, kind, headers, body) => {
            let mut response = (
                StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                [(header::CONTENT_TYPE, kind)],
                body,
            )
                .into_response();
            for (name, value) in headers {
                if let Ok(value) = value.parse() {
                    response.headers_mut().insert(name, value);
                }
            }
            response
        }
        Reply::Events(mut events) => {
            events.mark_changed();
            let stream = futures::stream::unfold(events, |mut events| async move {
                events.changed().await.ok()?;
                let text = events.borrow_and_update().clone();
                // A comment first, as keep-alives are.
                Some((Ok::<_, std::io::Error>(format!(": ping\r\n\r\ndata: {text}\r\n\r\n")), events))
            });
            ([(header::CONTENT_TYPE, "text/event-stream; charset=utf-8")], Body::from_stream(stream))
                .into_response()
        }
    }
}
