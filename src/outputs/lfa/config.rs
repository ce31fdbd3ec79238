//! What a site says about its LFA, and the client that this gives.

use std::time::Duration;

use reqwest::Url;
#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::s3::{S3, S3Options};
use super::{credentials, key};
use crate::outputs::secret::Lookup;

/// The LFA: S3 storage for reports and files of steps. Without it they stay in the folder that the Catcher itself serves.
///
/// Address and credentials come from the environment, as for the observatory's other components: `S3_ENDPOINT_URL` (AWS if it is
/// not set), `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, or a profile in the shared credentials file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct LfaConfig {
    /// Which LFA, the end of the bucket's name `rubinobs-<category>-<instance>`: `cp`, `ls` or `tuc`, which the sites summit, base
    /// and tucson have if nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// The middle of the bucket's name.
    pub category: String,
    /// Region of the bucket, which is part of a request's signature.
    pub region: String,
    /// Time limit of one request, s.
    #[cfg_attr(test, schemars(range(min = 1.0, max = 3600.0)))]
    pub timeout_s: f64,
    /// Megabytes (of 2^20 bytes) of files that may wait on disk while the LFA is away. Files of further steps are refused then
    /// (the step says so), further reports stay in the folder that the Catcher serves.
    #[cfg_attr(test, schemars(range(min = 1, max = 10_000_000)))]
    pub spool_mb: u64,
}

impl Default for LfaConfig {
    fn default() -> LfaConfig {
        LfaConfig {
            instance: None,
            category: "LFA".to_owned(),
            region: "us-east-1".to_owned(),
            timeout_s: 60.0,
            spool_mb: 2048,
        }
    }
}

/// What the environment says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// `LSST_SITE`.
    pub site: String,
    /// `S3_ENDPOINT_URL`, if it is not AWS.
    pub endpoint: Option<String>,
}

impl LfaConfig {
    /// A client; no connection is made yet. `lookup` finds variables of the environment.
    ///
    /// # Errors
    /// Everything that is wrong, one line each: key and what.
    pub fn client(&self, place: &Place, lookup: Lookup<'_>) -> Result<S3, Vec<String>> {
        let mut problems = Vec::new();
        if !(1.0..=3600.0).contains(&self.timeout_s) {
            problems.push(format!("lfa.timeout_s: {} is not between 1 and 3600", self.timeout_s));
        }
        if !(1..=10_000_000).contains(&self.spool_mb) {
            problems.push(format!("lfa.spool_mb: {} is not between 1 and 10000000", self.spool_mb));
        }
        if self.region.is_empty() || !self.region.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            problems.push(format!("lfa.region: {:?} is not the name of a region", self.region));
        }
        let bucket = self.bucket(place, &mut problems);
        let endpoint = self.endpoint(place, &mut problems);
        let credentials =
            credentials::find(lookup).map_err(|what| problems.push(format!("lfa: {what}"))).ok();
        match (bucket, endpoint, credentials) {
            (Some(bucket), Some(endpoint), Some(credentials)) if problems.is_empty() => {
                let options = S3Options {
                    endpoint,
                    bucket,
                    region: self.region.clone(),
                    timeout: Duration::from_secs_f64(self.timeout_s),
                    spool_bytes: self.spool_mb << 20,
                };
                S3::new(options, credentials).map_err(|what| vec![format!("lfa: {what}")])
            }
            _ => Err(problems),
        }
    }

    fn bucket(&self, place: &Place, problems: &mut Vec<String>) -> Option<String> {
        let instance = self.instance.as_deref().or_else(|| key::instance_of(&place.site));
        let Some(instance) = instance else {
            problems.push(format!(
                "lfa.instance: it is needed at the site '{}' (only summit, base and tucson have an LFA of their own: cp, ls, tuc)",
                place.site
            ));
            return None;
        };
        let bucket = key::bucket(&self.category, instance);
        bucket.map_err(|all| problems.extend(all.iter().map(|(key, what)| format!("lfa.{key}: {what}")))).ok()
    }

    fn endpoint(&self, place: &Place, problems: &mut Vec<String>) -> Option<String> {
        let Some(text) = &place.endpoint else {
            return Some(format!("https://s3.{}.amazonaws.com", self.region));
        };
        let wrong = match Url::parse(text) {
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                "credentials do not belong into it; use AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                    .to_owned()
            }
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.query().is_none() => {
                return Some(text.trim_end_matches('/').to_owned());
            }
            Ok(_) => format!("{text:?} is not an http(s) address"),
            Err(e) => format!("{text:?} is not an address: {e}"),
        };
        problems.push(format!("lfa: S3_ENDPOINT_URL: {wrong}"));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(name: &str) -> Option<String> {
        match name {
            "AWS_ACCESS_KEY_ID" => Some("catcher".to_owned()),
            "AWS_SECRET_ACCESS_KEY" => Some("s3cret".to_owned()),
            _ => None,
        }
    }

    fn place(site: &str, endpoint: &str) -> Place {
        let endpoint = Some(endpoint.to_owned()).filter(|e| !e.is_empty());
        Place { site: site.to_owned(), endpoint }
    }

    #[test]
    fn sites_have_their_buckets_and_secrets_are_not_shown() {
        let config = LfaConfig::default();
        let client = config.client(&place("summit", "https://s3.example.org/"), &keys).unwrap();
        assert_eq!(client.url("Catcher:1/a"), "https://s3.example.org/rubinobs-lfa-cp/Catcher%3A1/a");
        let shown = format!("{client:?}");
        assert!(shown.contains("rubinobs-lfa-cp") && !shown.contains("s3cret"), "{shown}");
        let aws = config.client(&place("base", ""), &keys).unwrap();
        assert_eq!(aws.url("a"), "https://s3.us-east-1.amazonaws.com/rubinobs-lfa-ls/a");
        let own = LfaConfig { instance: Some("Test".into()), category: "Events".into(), ..config };
        let own = own.client(&place("lab", "http://127.0.0.1:1"), &keys).unwrap();
        assert_eq!(own.url("a"), "http://127.0.0.1:1/rubinobs-events-test/a");
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let config = LfaConfig {
            category: "a_b".into(),
            region: String::new(),
            timeout_s: f64::NAN,
            spool_mb: 0,
            ..LfaConfig::default()
        };
        let told = config.client(&place("summit", "ftp://x"), &|_| None).unwrap_err();
        let begins: Vec<&str> = told.iter().map(|line| line.split(": ").next().unwrap()).collect();
        assert_eq!(begins, ["lfa.timeout_s", "lfa.spool_mb", "lfa.region", "lfa.category", "lfa", "lfa"]);
        let told = LfaConfig::default().client(&place("lab", "https://u:pw@x"), &keys).unwrap_err();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("lfa.instance: it is needed at the site 'lab'"), "{told:?}");
        assert!(told[1].contains("credentials do not belong") && !told[1].contains("pw"), "{told:?}");
    }
}
