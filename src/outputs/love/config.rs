//! What a site says about LOVE, and what it means.

use std::path::PathBuf;

use reqwest::Url;
use salobj::env::Secret;
#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::outputs::secret::{self, Lookup};

/// LOVE-manager, to which the Catcher sends its alarms itself: exactly one of password and token, from a variable or a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LoveConfig {
    /// Its websocket, e.g. `ws://love-nginx-service/love/manager/producers/ws/subscription`; `wss://` is encrypted.
    pub url: String,
    /// Environment variable that holds the password for processes (LOVE's `PROCESS_CONNECTION_PASS`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_env: Option<String>,
    /// File that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Environment variable that holds the token of a LOVE user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_env: Option<String>,
    /// File that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

/// Where to connect.
#[derive(Debug)]
pub struct Manager {
    /// The address with password or token in it.
    pub(super) address: Secret,
    /// The address for messages.
    pub shown: String,
}

impl LoveConfig {
    /// Checks everything; no connection is made yet.
    ///
    /// # Errors
    /// Everything that is wrong, one line each: key and what.
    pub fn manager(&self, lookup: Lookup<'_>) -> Result<Manager, Vec<String>> {
        let mut problems = Vec::new();
        let mut read = |key: &str, variable: &Option<String>, file: &Option<PathBuf>| {
            let read = secret::read(key, variable.as_deref(), file.as_deref(), lookup);
            read.unwrap_or_else(|wrong| {
                problems.push(format!("love.{}: {}", wrong.key, wrong.problem));
                None
            })
        };
        let password = read("password", &self.password_env, &self.password_file);
        let token = read("token", &self.token_env, &self.token_file);
        let named = |variable: &Option<String>, file: &Option<PathBuf>| variable.is_some() || file.is_some();
        let named =
            [named(&self.password_env, &self.password_file), named(&self.token_env, &self.token_file)];
        match named {
            [true, true] => problems.push("love: give it a password or a token, not both".to_owned()),
            [false, false] => problems
                .push("love: it needs one of password_env, password_file, token_env, token_file".to_owned()),
            _ => {}
        }
        let url = self.url().map_err(|what| problems.push(format!("love.url: {what}"))).ok();
        let key = password.map(|p| ("password", p)).or(token.map(|t| ("token", t)));
        match (url, key) {
            (Some(url), Some((name, key))) if problems.is_empty() => {
                let mut whole = url.clone();
                // As LOVE-producer has it: the query after a slash.
                whole.set_path(&format!("{}/", url.path().trim_end_matches('/')));
                whole.query_pairs_mut().append_pair(name, key.expose());
                Ok(Manager { address: Secret::new(String::from(whole)), shown: url.into() })
            }
            _ => Err(problems),
        }
    }

    fn url(&self) -> Result<Url, String> {
        let url = Url::parse(&self.url).map_err(|e| format!("{:?} is not an address: {e}", self.url))?;
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
            return Err("credentials do not belong into it; name a variable or a file".to_owned());
        }
        if !matches!(url.scheme(), "ws" | "wss") {
            return Err(format!("{:?} is not a ws(s) address", self.url));
        }
        Ok(url)
    }
}
