//! What a site configures about its EFD.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;

use super::{Efd, Influx1, Influx2};
use crate::outputs::secret;

/// The kind of server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum EfdKind {
    /// InfluxDB 2.x: Flux, organization and bucket, token.
    Influxdb2,
    /// InfluxDB 1.x: InfluxQL, database, user and password. What the summit and USDF run.
    Influxdb1,
}

/// The EFD to read history from and, where nothing else does it, to write results to.
///
/// Secrets are never in the configuration: it names an environment variable or a file that holds them.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EfdConfig {
    /// Kind of server.
    pub kind: EfdKind,
    /// Address, e.g. `https://efd.example.org:8086`. For influxdb1 it may end in a path; for influxdb2 it may not.
    pub url: String,
    /// influxdb2: the organization.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    /// influxdb2: the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    /// influxdb1: the database, usually `efd`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// influxdb1: the retention policy; the database's default one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention_policy: Option<String>,
    /// influxdb2: environment variable that holds the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_env: Option<String>,
    /// influxdb2: file that holds the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// influxdb1: user name; without it no credentials are sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// influxdb1: environment variable that holds the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_env: Option<String>,
    /// influxdb1: file that holds the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Time limit of one call, s. Queries of the production servers are killed at 180 s.
    #[serde(default = "default_timeout_s")]
    pub timeout_s: f64,
    /// Calls at a time; further ones wait.
    #[serde(default = "default_concurrency")]
    pub concurrency: usize,
    /// Whether results are written as points. False where Telegraf carries the Catcher's events into the EFD.
    #[serde(default = "default_write_results")]
    pub write_results: bool,
}

fn default_timeout_s() -> f64 {
    30.0
}

fn default_concurrency() -> usize {
    4
}

fn default_write_results() -> bool {
    true
}

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigProblem {
    /// A key has a value that cannot be.
    #[error("efd.{key}: {problem}")]
    Key {
        /// The key.
        key: String,
        /// What is wrong and what to do.
        problem: String,
    },
    /// The HTTP client could not be made.
    #[error("efd: the HTTP client cannot be made: {0}")]
    Client(String),
}

/// Address and limits, checked.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) url: Url,
    pub(super) timeout: Duration,
    pub(super) concurrency: usize,
}

impl EfdConfig {
    /// InfluxDB 2 at `url` with the token in the environment variable `token_env`.
    pub fn influxdb2(url: &str, org: &str, bucket: &str, token_env: &str) -> EfdConfig {
        EfdConfig {
            org: Some(org.to_owned()),
            bucket: Some(bucket.to_owned()),
            token_env: Some(token_env.to_owned()),
            ..EfdConfig::new(EfdKind::Influxdb2, url)
        }
    }

    /// InfluxDB 1 at `url` without credentials.
    pub fn influxdb1(url: &str, database: &str) -> EfdConfig {
        EfdConfig { database: Some(database.to_owned()), ..EfdConfig::new(EfdKind::Influxdb1, url) }
    }

    fn new(kind: EfdKind, url: &str) -> EfdConfig {
        EfdConfig {
            kind,
            url: url.to_owned(),
            org: None,
            bucket: None,
            database: None,
            retention_policy: None,
            token_env: None,
            token_file: None,
            username: None,
            password_env: None,
            password_file: None,
            timeout_s: default_timeout_s(),
            concurrency: default_concurrency(),
            write_results: default_write_results(),
        }
    }

    /// A client for this configuration; no connection is made yet. `env` looks up environment variables.
    ///
    /// # Errors
    /// Everything that is wrong, at once.
    pub fn client(&self, env: impl Fn(&str) -> Option<String>) -> Result<Arc<dyn Efd>, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let endpoint = self.endpoint(&mut problems);
        self.foreign_keys(&mut problems);
        let secret_of = |name: &str, variable: &Option<String>, file: &Option<PathBuf>| {
            let read = secret::read(name, variable.as_deref(), file.as_deref(), &env);
            read.map(|found| found.map(|secret| secret.expose().to_owned()))
                .map_err(|wrong| ConfigProblem::Key { key: wrong.key, problem: wrong.problem })
        };
        let client: Option<Result<Arc<dyn Efd>, ConfigProblem>> = match self.kind {
            EfdKind::Influxdb2 => {
                let org = required("org", self.org.as_deref(), &mut problems);
                let bucket = required("bucket", self.bucket.as_deref(), &mut problems);
                let token = secret_of("token", &self.token_env, &self.token_file)
                    .and_then(|token| token.ok_or_else(|| key("token_env", "it or token_file is needed")));
                let token = token.map_err(|problem| problems.push(problem)).ok();
                endpoint.zip(token).filter(|_| problems.is_empty()).map(|(endpoint, token)| {
                    Influx2::new(endpoint, org, bucket, token).map(|client| Arc::new(client) as _)
                })
            }
            EfdKind::Influxdb1 => {
                let database = required("database", self.database.as_deref(), &mut problems);
                let credentials = match secret_of("password", &self.password_env, &self.password_file) {
                    Ok(password) => match (&self.username, password) {
                        (Some(user), Some(password)) => Some((user.clone(), password)),
                        (None, None) => None,
                        (Some(_), None) => {
                            problems.push(key("username", "it needs password_env or password_file"));
                            None
                        }
                        (None, Some(_)) => {
                            problems.push(key("username", "it is needed where a password is given"));
                            None
                        }
                    },
                    Err(problem) => {
                        problems.push(problem);
                        None
                    }
                };
                endpoint.filter(|_| problems.is_empty()).map(|endpoint| {
                    Influx1::new(endpoint, database, self.retention_policy.clone(), credentials)
                        .map(|client| Arc::new(client) as _)
                })
            }
        };
        match client {
            Some(Ok(client)) => Ok(client),
            Some(Err(problem)) => Err(vec![problem]),
            None => Err(problems),
        }
    }

    fn endpoint(&self, problems: &mut Vec<ConfigProblem>) -> Option<Endpoint> {
        let before = problems.len();
        if !(self.timeout_s > 0.0 && self.timeout_s <= 600.0) {
            problems.push(key("timeout_s", format!("{} is not between 0 and 600", self.timeout_s)));
        }
        if !(1..=100).contains(&self.concurrency) {
            problems.push(key("concurrency", format!("{} is not between 1 and 100", self.concurrency)));
        }
        let url = match Url::parse(&self.url) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Some(url),
            Ok(url) => {
                problems.push(key("url", format!("scheme {:?}: it must be http or https", url.scheme())));
                None
            }
            Err(e) => {
                problems.push(key("url", format!("{:?} is not a URL: {e}", self.url)));
                None
            }
        };
        if let Some(url) = &url {
            if !url.username().is_empty() || url.password().is_some() {
                problems.push(key("url", "credentials do not belong into it; name a variable or a file"));
            }
            if self.kind == EfdKind::Influxdb2 && url.path() != "/" {
                problems.push(key(
                    "url",
                    format!("path {:?}: influxdb2 must be at the root of a host", url.path()),
                ));
            }
        }
        (problems.len() == before).then_some(())?;
        Some(Endpoint {
            url: url?,
            timeout: Duration::from_secs_f64(self.timeout_s),
            concurrency: self.concurrency,
        })
    }

    /// Keys that only the other kind has.
    fn foreign_keys(&self, problems: &mut Vec<ConfigProblem>) {
        let given: &[(&'static str, bool)] = match self.kind {
            EfdKind::Influxdb2 => &[
                ("database", self.database.is_some()),
                ("retention_policy", self.retention_policy.is_some()),
                ("username", self.username.is_some()),
                ("password_env", self.password_env.is_some()),
                ("password_file", self.password_file.is_some()),
            ],
            EfdKind::Influxdb1 => &[
                ("org", self.org.is_some()),
                ("bucket", self.bucket.is_some()),
                ("token_env", self.token_env.is_some()),
                ("token_file", self.token_file.is_some()),
            ],
        };
        let kind = match self.kind {
            EfdKind::Influxdb2 => "influxdb2",
            EfdKind::Influxdb1 => "influxdb1",
        };
        for (name, _) in given.iter().filter(|(_, given)| *given) {
            problems.push(key(name, format!("kind {kind} does not have it")));
        }
    }
}

fn key(key: &str, problem: impl Into<String>) -> ConfigProblem {
    ConfigProblem::Key { key: key.to_owned(), problem: problem.into() }
}

fn required(name: &'static str, value: Option<&str>, problems: &mut Vec<ConfigProblem>) -> String {
    let value = value.unwrap_or_default();
    if value.is_empty() {
        problems.push(key(name, "it is needed"));
    }
    value.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &str) -> Option<String> {
        None
    }

    fn problems(config: &EfdConfig) -> Vec<String> {
        config.client(none).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn good_ones_make_a_client_that_hides_its_secret() {
        let env = |name: &str| (name == "EFD_TOKEN").then(|| " s3cret\n".to_owned());
        let client =
            EfdConfig::influxdb2("http://127.0.0.1:1", "lsst", "efd", "EFD_TOKEN").client(env).unwrap();
        assert_eq!(client.describe(), "influxdb2 http://127.0.0.1:1/ org lsst bucket efd");
        assert!(!format!("{client:?}").contains("s3cret"));
        let mut config = EfdConfig::influxdb1("https://x/influx", "efd");
        config.username = Some("reader".into());
        config.password_env = Some("EFD_TOKEN".into());
        let client = config.client(env).unwrap();
        assert_eq!(client.describe(), "influxdb1 https://x/influx database efd");
        assert!(!format!("{client:?}").contains("s3cret"));
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let mut config = EfdConfig::influxdb2("https://u:p@x/path", "", "efd", "NOT_SET");
        config.timeout_s = f64::NAN;
        config.concurrency = 0;
        config.database = Some("efd".into());
        assert_eq!(
            problems(&config),
            [
                "efd.timeout_s: NaN is not between 0 and 600",
                "efd.concurrency: 0 is not between 1 and 100",
                "efd.url: credentials do not belong into it; name a variable or a file",
                "efd.url: path \"/path\": influxdb2 must be at the root of a host",
                "efd.database: kind influxdb2 does not have it",
                "efd.org: it is needed",
                "efd.token_env: the variable NOT_SET is not set",
            ]
        );
        let mut config = EfdConfig::influxdb1("ftp://x", "efd");
        config.username = Some("u".into());
        assert_eq!(
            problems(&config),
            [
                "efd.url: scheme \"ftp\": it must be http or https",
                "efd.username: it needs password_env or password_file"
            ]
        );
    }

    #[test]
    fn secrets_come_from_files_too() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "\n").unwrap();
        let mut config = EfdConfig::influxdb2("http://x", "lsst", "efd", "X");
        config.token_file = Some(file.clone());
        assert_eq!(problems(&config), ["efd.token_env: give it or token_file, not both"]);
        config.token_env = None;
        assert_eq!(problems(&config), ["efd.token_file: there is nothing in it"]);
        std::fs::write(&file, "abc\n").unwrap();
        assert!(config.client(none).is_ok());
        config.token_file = Some(dir.path().join("none"));
        assert!(problems(&config)[0].starts_with("efd.token_file: "));
    }

    #[test]
    fn unknown_keys_are_refused() {
        let yaml =
            serde_json::json!({"kind": "influxdb1", "url": "http://x", "database": "efd", "password": "p"});
        let error = serde_json::from_value::<EfdConfig>(yaml).unwrap_err().to_string();
        assert!(error.contains("unknown field `password`"), "{error}");
    }
}
