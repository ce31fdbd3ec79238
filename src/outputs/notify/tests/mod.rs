//! Against servers that answer, refuse, hang, say "later" or "no", or close halfway.

mod channels;
mod config;
mod lanes;
mod services;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::alarms::Bundle;

/// What the server does with a connection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Does {
    /// Answers with this status and text.
    Answer(u16, &'static str),
    /// Says that it has too much to do.
    TooMany,
    /// Reads, and never answers.
    Hang,
    /// Sends half of an answer and closes.
    Half,
    /// Closes as soon as the request is there.
    Close,
}

/// A server of our own: it does with each connection what comes next in its list, the last over and over.
pub(crate) struct Server {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(crate) async fn start(script: &[Does]) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (script, seen) = (script.to_vec(), Arc::clone(&requests));
        tokio::spawn(async move {
            for n in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                let does = script[n.min(script.len() - 1)];
                tokio::spawn(serve(stream, does, Arc::clone(&seen)));
            }
        });
        Server { address, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    /// Bodies as JSON.
    pub(crate) fn bodies(&self) -> Vec<serde_json::Value> {
        let body =
            |request: &String| serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
        self.requests().iter().map(body).collect()
    }
}

async fn serve(mut stream: TcpStream, does: Does, seen: Arc<Mutex<Vec<String>>>) {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    while !whole(&text) {
        match stream.read(&mut buffer).await {
            Ok(n) if n > 0 => text.extend_from_slice(&buffer[..n]),
            _ => return,
        }
    }
    seen.lock().unwrap().push(String::from_utf8(text).unwrap());
    let answer = match does {
        Does::Answer(status, body) => {
            format!(
                "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            )
        }
        Does::TooMany => {
            "HTTP/1.1 429 X\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()
        }
        Does::Half => "HTTP/1.1 200 X\r\nContent-Length: 1000\r\n\r\nhalf".to_owned(),
        Does::Close => String::new(),
        Does::Hang => return std::future::pending().await,
    };
    drop(stream.write_all(answer.as_bytes()).await);
    drop(stream.shutdown().await);
}

/// Headers, and as much of a body as they say.
fn whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    body.len() >= length.unwrap_or(0)
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

fn notice(alarm: &str, severity: Severity) -> Notice {
    Notice {
        alarm: alarm.to_owned(),
        what: Told::Raised,
        severity,
        reason: "too <hot> & \"humid\"".to_owned(),
        report_url: String::new(),
        task_id: String::new(),
        at: Some(salobj::Tai(37.0)),
        inhibits: 0,
    }
}

fn message() -> Message {
    Message { catcher: "Catcher:1".to_owned(), notices: Bundle(vec![notice("Wind.High", Severity::Serious)]) }
}

/// Secrets of the tests.
fn env(name: &str) -> Option<String> {
    let value = match name {
        "TOKEN" => "xoxb-s3cret",
        "PASSWORD" => "pass-s3cret",
        "ESCALATION_KEY" => "key-s3cret",
        _ => return None,
    };
    Some(value.to_owned())
}

/// The only receiver of a configuration.
fn receiver(yaml: &str) -> Arc<Receiver> {
    receiver_with(yaml, &env)
}

fn receiver_with(yaml: &str, lookup: Lookup<'_>) -> Arc<Receiver> {
    let receivers: Vec<ReceiverConfig> = serde_saphyr::from_str(yaml).unwrap();
    let config = NotifyConfig {
        escalation_url: "",
        escalation_timeout: 5.0,
        narrative_server_url: "",
        receivers: &receivers,
    };
    let notify = Notify::new(&config, lookup).unwrap_or_else(|problems| panic!("{problems:#?}"));
    Arc::clone(&notify.receivers[0])
}
