//! Slack: an incoming webhook, or `chat.postMessage` with a token.

use reqwest::{Client, Url};
use salobj::env::Secret;
use serde_json::{Value as Json, json};

use super::error::SendError;
use super::{Channel, Message, http};

/// Errors of `chat.postMessage` that pass.
const PASSING: [&str; 5] =
    ["ratelimited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"];

/// A Slack channel.
#[derive(Debug)]
pub struct Slack {
    pub(super) client: Client,
    pub(super) way: Way,
}

/// How it is reached.
#[derive(Debug)]
pub(super) enum Way {
    /// The address is the secret.
    Webhook(Secret),
    /// The Web API.
    Post {
        /// `https://slack.com/api/chat.postMessage`.
        url: Url,
        /// Token of a bot.
        token: Secret,
        /// Channel.
        channel: String,
    },
}

#[async_trait::async_trait]
impl Channel for Slack {
    async fn send(&self, message: &Message) -> Result<(), SendError> {
        self.post(format!("*{}*: {}", escaped(&message.catcher), escaped(&message.text()))).await
    }

    fn takes_text(&self) -> bool {
        true
    }

    async fn say(&self, text: &str) -> Result<(), SendError> {
        self.post(escaped(text)).await
    }
}

impl Slack {
    /// Sends a text in Slack's markup.
    async fn post(&self, text: String) -> Result<(), SendError> {
        match &self.way {
            Way::Webhook(url) => {
                http::send(self.client.post(url.expose()).json(&json!({"text": text}))).await?.success()
            }
            Way::Post { url, token, channel } => {
                let request = self.client.post(url.clone()).bearer_auth(token.expose());
                let answer = http::send(request.json(&json!({"channel": channel, "text": text}))).await?;
                if answer.status != 200 {
                    return Err(answer.refusal());
                }
                let body: Json = serde_json::from_str(&answer.body).unwrap_or_default();
                if body["ok"] == true {
                    return Ok(());
                }
                let Some(error) = body["error"].as_str() else {
                    return Err(SendError::Broken(format!(
                        "no answer of Slack: {}",
                        http::words(&answer.body)
                    )));
                };
                let later = PASSING.contains(&error);
                Err(SendError::Refused { status: 200, text: error.to_owned(), later, retry_after: None })
            }
        }
    }
}

/// The three characters that Slack reads as markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
