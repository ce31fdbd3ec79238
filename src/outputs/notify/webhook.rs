//! Any HTTP endpoint: POST of a text made by a template, or of all there is to say as JSON.

use std::sync::LazyLock;

use minijinja::{Environment, UndefinedBehavior};
use reqwest::Client;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use salobj::env::Secret;

use super::error::SendError;
use super::{Channel, Message, http};

/// An endpoint.
#[derive(Debug)]
pub struct Webhook {
    pub(super) client: Client,
    /// It may hold a token.
    pub(super) url: Secret,
    /// Template of the body; without it the message as JSON.
    pub(super) body: Option<String>,
    pub(super) content_type: String,
    /// Value of the header `Authorization`.
    pub(super) authorization: Option<Secret>,
}

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_fuel(Some(500_000));
    env
});

/// Fills a body in. The template sees the fields of [`Message::json`].
pub(super) fn render(template: &str, message: &Message) -> Result<String, String> {
    ENVIRONMENT.render_str(template, message.json()).map_err(|e| {
        let line = e.line().map(|line| format!(", line {line}")).unwrap_or_default();
        let detail = e.detail().map(|d| format!(": {d}")).unwrap_or_default();
        format!("{}{detail}{line}", e.kind())
    })
}

#[async_trait::async_trait]
impl Channel for Webhook {
    async fn send(&self, message: &Message) -> Result<(), SendError> {
        let body = match &self.body {
            Some(template) => render(template, message).map_err(SendError::Unsendable)?,
            None => message.json().to_string(),
        };
        let mut request = self.client.post(self.url.expose()).header(CONTENT_TYPE, &self.content_type);
        if let Some(secret) = &self.authorization {
            let mut value = HeaderValue::from_str(secret.expose())
                .map_err(|_| SendError::Unsendable("the authorization is no header value".to_owned()))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        http::send(request.body(body)).await?.success()
    }
}
