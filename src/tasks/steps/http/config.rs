//! What a site says about HTTP services that rules may use.

use std::collections::BTreeMap;
use std::path::PathBuf;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName};
use reqwest::{Method, Url};
#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Service, header};
use crate::outputs::secret;

/// HTTP services that rules may use, each by its name. What is not listed is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// By name.
    pub services: BTreeMap<String, HttpService>,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HttpService {
    /// Its address; rules may use what lies below.
    pub url: String,
    /// The methods that rules may use.
    #[serde(default = "methods")]
    pub methods: Vec<String>,
    /// Headers of every request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Environment variable that holds the value of the header `Authorization`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_env: Option<String>,
    /// File that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_file: Option<PathBuf>,
    /// The header by which the service recognises a repeated request, e.g. `Idempotency-Key`. Without it a POST whose fate is
    /// unknown is not sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_header: Option<String>,
}

fn methods() -> Vec<String> {
    ["GET", "HEAD", "POST"].map(str::to_owned).to_vec()
}

impl HttpConfig {
    pub(super) fn services(
        &self,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<BTreeMap<String, Service>, Vec<String>> {
        let mut problems = Vec::new();
        let mut all = BTreeMap::new();
        for (name, service) in &self.services {
            match service.service(name, lookup) {
                Ok(service) => drop(all.insert(name.clone(), service)),
                Err(wrong) => problems.extend(wrong),
            }
        }
        if problems.is_empty() { Ok(all) } else { Err(problems) }
    }
}

impl HttpService {
    fn service(&self, name: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Service, Vec<String>> {
        let place = format!("services.{name}");
        let mut problems = Vec::new();
        let url = match Url::parse(&self.url) {
            Ok(url) if !matches!(url.scheme(), "http" | "https") => {
                problems.push(format!("{place}.url: {:?} is not an http(s) address", self.url));
                None
            }
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                problems.push(format!(
                    "{place}.url: credentials do not belong into it; name a variable or a file"
                ));
                None
            }
            Ok(url) => Some(url),
            Err(e) => {
                problems.push(format!("{place}.url: {:?} is not an address: {e}", self.url));
                None
            }
        };
        let mut methods = Vec::new();
        for name in &self.methods {
            match Method::from_bytes(name.as_bytes()) {
                Ok(method) if name.chars().all(|c| c.is_ascii_uppercase()) => methods.push(method),
                _ => problems.push(format!("{place}.methods: {name:?} is no method")),
            }
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            match header(name, value) {
                Ok((name, _)) if name == AUTHORIZATION => {
                    problems.push(format!(
                        "{place}.headers: name {name} by authorization_env or authorization_file"
                    ));
                }
                Ok((name, value)) => drop(headers.insert(name, value)),
                Err(problem) => problems.push(format!("{place}.headers: {problem}")),
            }
        }
        let (variable, file) = (self.authorization_env.as_deref(), self.authorization_file.as_deref());
        match secret::read("authorization", variable, file, &lookup) {
            Ok(None) => {}
            Ok(Some(secret)) => match header(AUTHORIZATION.as_str(), secret.expose()) {
                Ok((name, mut value)) => {
                    value.set_sensitive(true);
                    headers.insert(name, value);
                }
                Err(_) => problems.push(format!("{place}.authorization: it is no header value")),
            },
            Err(wrong) => problems.push(format!("{place}.{}: {}", wrong.key, wrong.problem)),
        }
        let idempotency_header = self.idempotency_header.as_deref().and_then(|name| {
            let made = HeaderName::try_from(name);
            made.map_err(|e| problems.push(format!("{place}.idempotency_header: {name:?}: {e}"))).ok()
        });
        match url {
            Some(url) if problems.is_empty() => Ok(Service { url, methods, headers, idempotency_header }),
            _ => Err(problems),
        }
    }
}
