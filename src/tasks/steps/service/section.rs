//! The part of a site's configuration that all web services have: address, token, times.

use std::path::PathBuf;
use std::time::Duration;

use super::Service;
use crate::outputs::notify::Lookup;

/// Time limit of one request where the site says none, s.
pub(in crate::tasks::steps) fn default_timeout_s() -> f64 {
    30.0
}

/// First pause between two looks where the site says none, s.
pub(in crate::tasks::steps) fn default_poll_interval_s() -> f64 {
    1.0
}

/// Where a token is.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::tasks::steps) struct TokenAt<'a> {
    /// Environment variable.
    pub(in crate::tasks::steps) variable: Option<&'a str>,
    /// File.
    pub(in crate::tasks::steps) file: Option<&'a PathBuf>,
    /// The word before it; `Bearer` if empty.
    pub(in crate::tasks::steps) scheme: &'a str,
}

/// The keys that the sections of all web services have.
#[derive(Debug, Clone, Copy)]
pub(in crate::tasks::steps) struct Section<'a> {
    /// `url`.
    pub(in crate::tasks::steps) url: &'a str,
    /// `token_env`, `token_file`.
    pub(in crate::tasks::steps) token: TokenAt<'a>,
    /// `timeout_s`.
    pub(in crate::tasks::steps) timeout_s: f64,
    /// `poll_interval_s`.
    pub(in crate::tasks::steps) poll_interval_s: f64,
}

impl Section<'_> {
    /// The service, and the first pause between two looks at it. `problems` are those of the section's other keys.
    ///
    /// # Errors
    /// Everything that is wrong with the section.
    pub(in crate::tasks::steps) fn service(
        self,
        mut problems: Vec<String>,
        lookup: Lookup<'_>,
    ) -> Result<(Service, Duration), Vec<String>> {
        let poll = seconds("poll_interval_s", self.poll_interval_s, 0.01, 60.0, &mut problems);
        match Service::new(self.url, self.token, self.timeout_s, lookup) {
            Ok(service) if problems.is_empty() => Ok((service, poll)),
            Ok(_) => Err(problems),
            Err(wrong) => Err(wrong.into_iter().chain(problems).collect()),
        }
    }
}

/// A time of the configuration in seconds, between two limits.
pub(in crate::tasks::steps) fn seconds(
    key: &str,
    value: f64,
    from: f64,
    to: f64,
    problems: &mut Vec<String>,
) -> Duration {
    if value >= from && value <= to {
        return Duration::from_secs_f64(value);
    }
    problems.push(format!("{key}: {value} is not between {from} and {to}"));
    Duration::ZERO
}
