//! Texts that must not be shown.

use super::Properties;

/// A text that `Debug` does not show. It has no `Display`: whoever needs it must ask for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// A URL without user name and password, for messages.
pub fn hide_user_info(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://***@{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

/// Shows properties without the values of those that are secret.
pub(super) struct Redacted<'a>(pub(super) &'a Properties);

impl std::fmt::Debug for Redacted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let secret = |key: &str| {
            ["password", "secret", "token", "jaas", "pem", "oauthbearer"].iter().any(|w| key.contains(w))
        };
        f.debug_map()
            .entries(self.0.iter().map(|(k, v)| (k, if secret(k) { "***" } else { v.as_str() })))
            .finish()
    }
}
