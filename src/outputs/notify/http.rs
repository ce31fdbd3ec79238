//! One HTTP request: sent, answered, judged. Addresses may hold secrets, so no error names them.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, redirect};

use super::error::{SendError, says_later};
use crate::outputs::efd::error_chain;

/// Bytes of an answer that are looked at.
const ANSWER_BYTES: usize = 16 << 10;

/// Characters of an answer that are told.
const WORDS: usize = 400;

/// Longest `Retry-After` that is heeded.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// A client that follows no redirect: what is sent is for the address configured.
pub(crate) fn client() -> Result<Client, String> {
    Client::builder().redirect(redirect::Policy::none()).build().map_err(|e| error_chain(&e))
}

/// An answer of any status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) headers: HeaderMap,
    /// There was more than was wanted.
    pub(crate) cut: bool,
    retry_after: Option<Duration>,
}

impl Answer {
    /// The error that this answer stands for.
    pub(crate) fn refusal(self) -> SendError {
        let Answer { status, body, retry_after, .. } = self;
        SendError::Refused { status, text: words(&body), later: says_later(status), retry_after }
    }

    /// Nothing, if the status is one of success.
    pub(super) fn success(self) -> Result<(), SendError> {
        if (200..300).contains(&self.status) { Ok(()) } else { Err(self.refusal()) }
    }
}

/// Sends a request and reads the answer.
///
/// # Errors
/// No connection, or one that broke. A status that says no is an [`Answer`].
pub(super) async fn send(request: RequestBuilder) -> Result<Answer, SendError> {
    send_reading(request, ANSWER_BYTES).await
}

/// The same, with at most so many bytes of the answer.
///
/// # Errors
/// As [`send`].
pub(crate) async fn send_reading(request: RequestBuilder, most: usize) -> Result<Answer, SendError> {
    let response = open(request).await?;
    let status = response.status().as_u16();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.trim().parse().ok());
    let retry_after = retry_after.map(|s| Duration::from_secs(s).min(LONGEST_WAIT));
    let headers = response.headers().clone();
    let (body, cut) = bytes(response, most).await?;
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(Answer { status, body, headers, cut, retry_after })
}

/// An answer of any status that need not be text.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
    /// There was more than was wanted.
    pub(crate) cut: bool,
}

/// Sends a request and reads at most so many bytes of the answer.
///
/// # Errors
/// As [`send`].
pub(crate) async fn fetch(request: RequestBuilder, most: usize) -> Result<Fetched, SendError> {
    let response = open(request).await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let (bytes, cut) = bytes(response, most).await?;
    Ok(Fetched { status, headers, bytes, cut })
}

/// Sends a request; its answer is read by the caller.
///
/// # Errors
/// As [`send`].
pub(crate) async fn open(request: RequestBuilder) -> Result<Response, SendError> {
    request.send().await.map_err(lost)
}

async fn bytes(mut response: Response, most: usize) -> Result<(Vec<u8>, bool), SendError> {
    let (mut bytes, mut cut) = (Vec::new(), false);
    while let Some(chunk) = response.chunk().await.map_err(lost)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > most {
            bytes.truncate(most);
            cut = true;
            break;
        }
    }
    Ok((bytes, cut))
}

fn lost(error: reqwest::Error) -> SendError {
    let (connect, builder) = (error.is_connect(), error.is_builder());
    let text = error_chain(&error.without_url());
    match (connect, builder) {
        (true, _) => SendError::Unreachable(text),
        (_, true) => SendError::Unsendable(text),
        _ => SendError::Broken(text),
    }
}

/// A short line of the other side's answer.
pub(crate) fn words(body: &str) -> String {
    let line = body.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(WORDS) {
        Some((end, _)) => format!("{} ...", &line[..end]),
        None if line.is_empty() => "no reason given".to_owned(),
        None => line,
    }
}
