//! What a site says about telling people; every mistake is told at once.
//!
//! Secrets are never in the configuration: it names an environment variable or a file that holds them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, Tokio1Executor};
use regex::Regex;
use reqwest::{Client, Url};
use salobj::env::Secret;
#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::email::Email;
use super::slack::{Slack, Way};
use super::webhook::{Webhook, render};
use super::{Channel, Lookup, Message, Narrative, Notify, Receiver, SquadCast, http};
use crate::alarms::Severity;
use crate::outputs::secret;

/// The environment variable that holds SquadCast's key, as for the Watcher.
pub const ESCALATION_KEY: &str = "ESCALATION_KEY";

/// Time limit of an entry in the narrative log.
const NARRATIVE_TIMEOUT: Duration = Duration::from_secs(30);

/// What the site's configuration has on this, taken out of it.
#[derive(Debug, Clone, Copy)]
pub struct NotifyConfig<'a> {
    /// Base of SquadCast's address; empty for no escalation.
    pub escalation_url: &'a str,
    /// Time limit of opening an incident, s.
    pub escalation_timeout: f64,
    /// Base of the narrative log's address; empty for none.
    pub narrative_server_url: &'a str,
    /// Receivers.
    pub receivers: &'a [ReceiverConfig],
}

/// Somebody who is told of alarms: exactly one of `slack`, `webhook` and `email`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ReceiverConfig {
    /// Name, for messages about this receiver; unique.
    pub name: String,
    /// Alarms that it is told of: globs (`*`, `?`) for whole names, in any case of letters.
    #[serde(default = "all_alarms")]
    pub alarms: Vec<String>,
    /// Least severity that it is told of.
    #[serde(default = "warning")]
    pub from: Severity,
    /// Whether it is told when an alarm that it was told of is over.
    #[serde(default = "yes")]
    pub cleared: bool,
    /// Time limit of one attempt, s.
    #[serde(default = "default_timeout_s")]
    pub timeout_s: f64,
    /// A message that could not be delivered for so long is given up, s.
    #[serde(default = "default_give_up_after_s")]
    pub give_up_after_s: f64,
    /// A channel of Slack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack: Option<SlackConfig>,
    /// Any HTTP endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<WebhookConfig>,
    /// E-mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<EmailConfig>,
}

/// Slack: the address of an incoming webhook (it is the secret), or a token and a channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SlackConfig {
    /// Environment variable that holds the address of an incoming webhook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_env: Option<String>,
    /// File that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_file: Option<PathBuf>,
    /// Environment variable that holds a bot's token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_env: Option<String>,
    /// File that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// With a token: the channel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// With a token: base of the Web API.
    #[serde(default = "slack_api")]
    pub url: String,
}

/// An HTTP endpoint that takes a POST.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Its address, if that is no secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Environment variable that holds the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_env: Option<String>,
    /// File that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// Template of the body over `catcher`, `summary`, `text`, `count` and `alarms` (each with `name`, `what`, `severity`,
    /// `level`, `reason`, `report_url`, `run`, `at`); quote texts by the filter `tojson`. Without it all of that as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Header `Content-Type`.
    #[serde(default = "json_type")]
    pub content_type: String,
    /// Environment variable that holds the value of the header `Authorization`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_env: Option<String>,
    /// File that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_file: Option<PathBuf>,
}

/// How the connection to a mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Security {
    /// STARTTLS, which the server must offer.
    Starttls,
    /// TLS from the start.
    Tls,
    /// None: for a relay that takes no password.
    Plain,
}

/// A mail server and who gets the mail.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EmailConfig {
    /// The server.
    pub host: String,
    /// Its port; 587, 465 or 25 by `security`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How the connection is protected.
    #[serde(default = "starttls")]
    pub security: Security,
    /// Who writes, e.g. `Catcher <catcher@example.org>`.
    pub sender: String,
    /// Who gets it.
    pub to: Vec<String>,
    /// User name; without it nobody logs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Environment variable that holds the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_env: Option<String>,
    /// File that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
}

fn all_alarms() -> Vec<String> {
    vec!["*".to_owned()]
}

fn warning() -> Severity {
    Severity::Warning
}

fn yes() -> bool {
    true
}

fn default_timeout_s() -> f64 {
    10.0
}

fn default_give_up_after_s() -> f64 {
    600.0
}

fn slack_api() -> String {
    "https://slack.com/api".to_owned()
}

fn json_type() -> String {
    "application/json".to_owned()
}

fn starttls() -> Security {
    Security::Starttls
}

/// Where a mistake is, and all that were found.
struct Work<'a> {
    place: String,
    problems: &'a mut Vec<String>,
    lookup: Lookup<'a>,
}

impl Work<'_> {
    fn wrong(&mut self, key: &str, what: impl std::fmt::Display) {
        let dot = if key.is_empty() { "" } else { "." };
        self.problems.push(format!("{}{dot}{key}: {what}", self.place));
    }

    fn inside(&mut self, key: &str) -> Work<'_> {
        Work { place: format!("{}.{key}", self.place), problems: self.problems, lookup: self.lookup }
    }

    fn secret(&mut self, key: &str, variable: &Option<String>, file: &Option<PathBuf>) -> Option<Secret> {
        match secret::read(key, variable.as_deref(), file.as_deref(), self.lookup) {
            Ok(secret) => secret,
            Err(problem) => {
                self.wrong(&problem.key, problem.problem);
                None
            }
        }
    }

    /// An http(s) address; `hidden` ones are not shown.
    fn url(&mut self, key: &str, text: &str, hidden: bool) -> Option<Url> {
        let shown = if hidden { String::new() } else { format!("{text:?} ") };
        match Url::parse(text) {
            Ok(url) if !matches!(url.scheme(), "http" | "https") => {
                self.wrong(key, format!("{shown}is not an http(s) address"));
                None
            }
            Ok(url) if !hidden && (!url.username().is_empty() || url.password().is_some()) => {
                self.wrong(key, "credentials do not belong into it; name a variable or a file");
                None
            }
            Ok(url) => Some(url),
            Err(e) => {
                self.wrong(key, format!("{shown}is not an address: {e}"));
                None
            }
        }
    }

    fn seconds(&mut self, key: &str, value: f64, most: f64) -> Duration {
        if !(value > 0.0 && value <= most) {
            self.wrong(key, format!("{value} is not between 0 and {most}"));
            return Duration::from_secs(1);
        }
        Duration::from_secs_f64(value)
    }
}

impl Notify {
    /// Checks everything and makes the clients; no connection is made yet.
    ///
    /// # Errors
    /// Everything that is wrong, one line each.
    pub fn new(config: &NotifyConfig<'_>, lookup: Lookup<'_>) -> Result<Notify, Vec<String>> {
        let mut problems = Vec::new();
        let client = http::client().map_err(|e| vec![format!("the HTTP client cannot be made: {e}")])?;
        let mut work = Work { place: String::new(), problems: &mut problems, lookup };
        let notify = Notify {
            escalation: escalation(config, &client, &mut work),
            narrative: narrative(config, &client, &mut work),
            receivers: Vec::new(),
        };
        let mut receivers: Vec<Arc<Receiver>> = Vec::new();
        for (n, receiver) in config.receivers.iter().enumerate() {
            let mut work = Work { place: format!("receivers[{n}]"), problems: &mut problems, lookup };
            if config.receivers[..n].iter().any(|other| other.name == receiver.name) {
                work.wrong("name", format!("{:?} stands twice", receiver.name));
            }
            receivers.extend(receiver.receiver(&client, &mut work).map(Arc::new));
        }
        if problems.is_empty() { Ok(Notify { receivers, ..notify }) } else { Err(problems) }
    }
}

fn escalation(config: &NotifyConfig<'_>, client: &Client, work: &mut Work<'_>) -> Option<SquadCast> {
    if config.escalation_url.is_empty() {
        return None;
    }
    let timeout = work.seconds("escalation_timeout", config.escalation_timeout, 600.0);
    let url = work.url("escalation_url", config.escalation_url, false);
    let key = (work.lookup)(ESCALATION_KEY).map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
    if key.is_none() {
        let what = format!("the environment variable {ESCALATION_KEY} is needed with it");
        work.wrong("escalation_url", what);
    }
    Some(SquadCast::new(client.clone(), &url?, &Secret::new(key?), timeout))
}

fn narrative(config: &NotifyConfig<'_>, client: &Client, work: &mut Work<'_>) -> Option<Narrative> {
    if config.narrative_server_url.is_empty() {
        return None;
    }
    let base = work.url("narrative_server_url", config.narrative_server_url, false)?;
    let text = format!("{}/messages", base.as_str().trim_end_matches('/'));
    let url = work.url("narrative_server_url", &text, false)?;
    Some(Narrative { client: client.clone(), url, timeout: NARRATIVE_TIMEOUT })
}

impl ReceiverConfig {
    fn receiver(&self, client: &Client, work: &mut Work<'_>) -> Option<Receiver> {
        let before = work.problems.len();
        if self.name.trim().is_empty() {
            work.wrong("name", "it is empty");
        }
        if self.alarms.is_empty() {
            work.wrong("alarms", "it is empty: nobody would be told anything");
        }
        if self.from == Severity::None {
            work.wrong("from", "none is no alarm; warning is the least");
        }
        let timeout = work.seconds("timeout_s", self.timeout_s, 600.0);
        let give_up_after = work.seconds("give_up_after_s", self.give_up_after_s, 86_400.0);
        let given = [self.slack.is_some(), self.webhook.is_some(), self.email.is_some()];
        let channel = match given.iter().filter(|given| **given).count() {
            1 => self.channel(client, work),
            0 => {
                work.wrong("", "give it one of slack, webhook, email");
                None
            }
            _ => {
                work.wrong("", "give it only one of slack, webhook, email; make a receiver of each");
                None
            }
        };
        let channel = channel.filter(|_| work.problems.len() == before)?;
        let alarms = self.alarms.iter().map(|glob| glob_pattern(glob)).collect();
        let name = self.name.clone();
        Some(Receiver {
            name,
            alarms,
            from: self.from,
            cleared: self.cleared,
            timeout,
            give_up_after,
            channel,
        })
    }

    fn channel(&self, client: &Client, work: &mut Work<'_>) -> Option<Arc<dyn Channel>> {
        if let Some(slack) = &self.slack {
            let way = slack.way(&mut work.inside("slack"))?;
            return Some(Arc::new(Slack { client: client.clone(), way }));
        }
        if let Some(webhook) = &self.webhook {
            return Some(Arc::new(webhook.webhook(client, &mut work.inside("webhook"))?));
        }
        let email = self.email.as_ref()?;
        Some(Arc::new(email.email(self.timeout_s, &mut work.inside("email"))?))
    }
}

impl SlackConfig {
    fn way(&self, work: &mut Work<'_>) -> Option<Way> {
        let webhook = self.webhook_env.is_some() || self.webhook_file.is_some();
        let token = self.token_env.is_some() || self.token_file.is_some();
        match (webhook, token) {
            (true, false) => {
                if self.channel.is_some() {
                    work.wrong("channel", "it goes with a token; an incoming webhook has its own channel");
                }
                let secret = work.secret("webhook", &self.webhook_env, &self.webhook_file)?;
                work.url("webhook", secret.expose(), true)?;
                Some(Way::Webhook(secret))
            }
            (false, true) => {
                let token = work.secret("token", &self.token_env, &self.token_file);
                if self.channel.is_none() {
                    work.wrong("channel", "it is needed with a token");
                }
                let api = format!("{}/chat.postMessage", self.url.trim_end_matches('/'));
                let url = work.url("url", &api, false);
                Some(Way::Post { url: url?, token: token?, channel: self.channel.clone()? })
            }
            (true, true) => {
                work.wrong("", "give it an incoming webhook or a token, not both");
                None
            }
            (false, false) => {
                work.wrong("", "it needs webhook_env or webhook_file, or token_env or token_file");
                None
            }
        }
    }
}

impl WebhookConfig {
    fn webhook(&self, client: &Client, work: &mut Work<'_>) -> Option<Webhook> {
        let hidden = work.secret("url", &self.url_env, &self.url_file);
        let named = self.url_env.is_some() || self.url_file.is_some();
        let url = match (&self.url, hidden) {
            (Some(_), _) if named => {
                work.wrong("url", "give it or url_env or url_file, not both");
                None
            }
            (Some(url), _) => work.url("url", url, false).map(|_| Secret::new(url.as_str())),
            (None, Some(hidden)) => work.url("url", hidden.expose(), true).map(|_| hidden),
            (None, None) => {
                if !named {
                    work.wrong("url", "it, url_env or url_file is needed");
                }
                None
            }
        };
        if let Some(Err(problem)) = self.body.as_ref().map(|body| render(body, &Message::example())) {
            work.wrong("body", problem);
        }
        if reqwest::header::HeaderValue::from_str(&self.content_type).is_err() {
            work.wrong("content_type", "it is no header value");
        }
        let authorization = work.secret("authorization", &self.authorization_env, &self.authorization_file);
        Some(Webhook {
            client: client.clone(),
            url: url?,
            body: self.body.clone(),
            content_type: self.content_type.clone(),
            authorization,
        })
    }
}

impl EmailConfig {
    fn email(&self, timeout_s: f64, work: &mut Work<'_>) -> Option<Email> {
        let mut mailbox = |key: &str, text: &str| -> Option<Mailbox> {
            text.parse().map_err(|e| work.wrong(key, format!("{text:?} is no address: {e}"))).ok()
        };
        let sender = mailbox("sender", &self.sender);
        let to: Vec<Mailbox> = self.to.iter().filter_map(|to| mailbox("to", to)).collect();
        if self.to.is_empty() {
            work.wrong("to", "it is empty");
        }
        let password = work.secret("password", &self.password_env, &self.password_file);
        let named = self.password_env.is_some() || self.password_file.is_some();
        match &self.username {
            Some(_) if !named => work.wrong("username", "it needs password_env or password_file"),
            None if named => work.wrong("username", "it is needed where a password is given"),
            Some(_) if self.security == Security::Plain => {
                work.wrong("security", "a password is not sent over a connection that is not protected");
            }
            _ => {}
        }
        let parameters = TlsParameters::new(self.host.clone());
        let parameters = parameters.map_err(|e| work.wrong("host", e)).ok()?;
        let (tls, usual) = match self.security {
            Security::Starttls => (Tls::Required(parameters), 587),
            Security::Tls => (Tls::Wrapper(parameters), 465),
            Security::Plain => (Tls::None, 25),
        };
        let port = self.port.unwrap_or(usual);
        let timeout = Duration::try_from_secs_f64(timeout_s).ok();
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(self.host.as_str())
            .port(port)
            .tls(tls)
            .timeout(timeout);
        if let (Some(user), Some(password)) = (&self.username, &password) {
            transport = transport.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
        }
        let server = format!("{}:{port}", self.host);
        Some(Email { transport: transport.build(), sender: sender?, to, server })
    }
}

/// A glob for whole names, in any case of letters.
fn glob_pattern(glob: &str) -> Regex {
    let escaped = regex::escape(glob).replace(r"\*", ".*").replace(r"\?", ".");
    Regex::new(&format!("(?is)\\A{escaped}\\z"))
        .expect("an escaped text with two replacements is a valid expression")
}
