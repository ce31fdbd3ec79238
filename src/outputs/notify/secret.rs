//! A secret that the configuration names but does not hold: a variable of the environment, or a file.

use std::path::PathBuf;

use salobj::env::Secret;

use super::Lookup;

/// Reads the secret called `what` of the keys `{key}_env` and `{key}_file` at `place`; `None` if neither is given. What it
/// holds enters no error.
pub(super) fn read(
    place: &str,
    key: &str,
    variable: Option<&str>,
    file: Option<&PathBuf>,
    lookup: Lookup<'_>,
) -> Result<Option<Secret>, String> {
    let (which, text) = match (variable, file) {
        (None, None) => return Ok(None),
        (Some(_), Some(_)) => return Err(format!("{place}.{key}_env: give it or {key}_file, not both")),
        (Some(name), None) => {
            let text =
                lookup(name).ok_or_else(|| format!("{place}.{key}_env: the variable {name} is not set"))?;
            ("env", text)
        }
        (None, Some(file)) => {
            let text = std::fs::read_to_string(file)
                .map_err(|e| format!("{place}.{key}_file: {}: {e}", file.display()))?;
            ("file", text)
        }
    };
    match text.trim() {
        "" => Err(format!("{place}.{key}_{which}: there is nothing in it")),
        secret => Ok(Some(Secret::new(secret))),
    }
}
