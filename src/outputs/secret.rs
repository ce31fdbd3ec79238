//! A secret that the configuration names but does not hold: a variable of the environment, or a file.

use std::path::Path;

use salobj::env::Secret;

/// The value of an environment variable that holds a secret.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What is wrong with how a secret is named, or with the place that is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretProblem {
    /// The key of the configuration: `{key}_env` or `{key}_file`.
    pub key: String,
    /// What is wrong.
    pub problem: String,
}

/// Reads the secret of the keys `{key}_env` and `{key}_file`; `None` if neither is given. What it holds enters no error.
pub(crate) fn read(
    key: &str,
    variable: Option<&str>,
    file: Option<&Path>,
    lookup: Lookup<'_>,
) -> Result<Option<Secret>, SecretProblem> {
    let wrong = |which, problem| Err(SecretProblem { key: format!("{key}_{which}"), problem });
    let (which, text) = match (variable, file) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return wrong("env", format!("give it or {key}_file, not both")),
        (Some(name), None) => match lookup(name) {
            Some(text) => ("env", text),
            None => return wrong("env", format!("the variable {name} is not set")),
        },
        (None, Some(file)) => match std::fs::read_to_string(file) {
            Ok(text) => ("file", text),
            Err(error) => return wrong("file", format!("{}: {error}", file.display())),
        },
    };
    match text.trim() {
        "" => wrong(which, "there is nothing in it".to_owned()),
        secret => Ok(Some(Secret::new(secret))),
    }
}
