//! The usual credentials of S3: from the environment, or of a profile in the shared file.

use std::path::PathBuf;

use salobj::env::Secret;

use crate::outputs::secret::Lookup;

/// Who we are for the S3 server.
pub(super) struct Credentials {
    pub(super) key_id: String,
    pub(super) secret: Secret,
    /// Of temporary credentials.
    pub(super) token: Option<Secret>,
}

/// `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` (with `AWS_SESSION_TOKEN`), else the profile `AWS_PROFILE` of the file
/// `AWS_SHARED_CREDENTIALS_FILE` (`~/.aws/credentials`).
///
/// # Errors
/// What is missing. Nothing that is secret is in it.
pub(super) fn find(lookup: Lookup<'_>) -> Result<Credentials, String> {
    let set = |name: &str| lookup(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
    match (set("AWS_ACCESS_KEY_ID"), set("AWS_SECRET_ACCESS_KEY")) {
        (Some(key_id), Some(secret)) => {
            let token = set("AWS_SESSION_TOKEN").map(Secret::new);
            return Ok(Credentials { key_id, secret: Secret::new(secret), token });
        }
        (Some(_), None) => return Err("AWS_ACCESS_KEY_ID is set, AWS_SECRET_ACCESS_KEY is not".to_owned()),
        (None, Some(_)) => return Err("AWS_SECRET_ACCESS_KEY is set, AWS_ACCESS_KEY_ID is not".to_owned()),
        (None, None) => {}
    }
    let named = set("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
    let Some(path) = named.or_else(|| Some(PathBuf::from(set("HOME")?).join(".aws/credentials"))) else {
        return Err("there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".to_owned());
    };
    let text = std::fs::read_to_string(&path).map_err(|e| {
        let variables = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set";
        format!("there are no credentials: {variables}, and {}: {e}", path.display())
    })?;
    let profile = set("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
    of_profile(&text, &profile).map_err(|what| format!("{}, profile {profile}: {what}", path.display()))
}

/// The lines `name = value` below `[profile]`.
fn of_profile(text: &str, profile: &str) -> Result<Credentials, String> {
    let (mut inside, mut found) = (false, false);
    let (mut key_id, mut secret, mut token) = (None, None, None);
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            inside = name.trim() == profile;
            found |= inside;
        } else if let Some((name, value)) = line.split_once('=').filter(|_| inside) {
            let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
            match name.trim() {
                "aws_access_key_id" => key_id = value,
                "aws_secret_access_key" => secret = value,
                "aws_session_token" => token = value,
                _ => {}
            }
        }
    }
    match (key_id, secret) {
        (Some(key_id), Some(secret)) => {
            Ok(Credentials { key_id, secret: Secret::new(secret), token: token.map(Secret::new) })
        }
        _ if !found => Err("there is no such profile".to_owned()),
        (None, _) => Err("it has no aws_access_key_id".to_owned()),
        (Some(_), None) => Err("it has no aws_secret_access_key".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_comes_first() {
        let env = |name: &str| match name {
            "AWS_ACCESS_KEY_ID" => Some("id ".to_owned()),
            "AWS_SECRET_ACCESS_KEY" => Some("s3cret\n".to_owned()),
            "HOME" => Some("/nowhere".to_owned()),
            _ => None,
        };
        let found = find(&env).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((found.key_id.as_str(), found.secret.expose()), ("id", "s3cret"));
        assert!(found.token.is_none());
        let half = |name: &str| (name == "AWS_SECRET_ACCESS_KEY").then(|| "s3cret".to_owned());
        let told = find(&half).err().unwrap();
        assert_eq!(told, "AWS_SECRET_ACCESS_KEY is set, AWS_ACCESS_KEY_ID is not");
        assert!(find(&|_| None).err().unwrap().contains("set AWS_ACCESS_KEY_ID and"));
    }

    #[test]
    fn a_profile_of_the_shared_file_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("credentials");
        let text = "# mine\n[default]\naws_access_key_id = a\naws_secret_access_key = b\n\n[lfa]\n aws_access_key_id=c\n\
                    aws_secret_access_key=d=e\naws_session_token = t\nregion = x\n[half]\naws_access_key_id = h\n";
        std::fs::write(&file, text).unwrap();
        let env = |profile: Option<&'static str>| {
            let file = file.display().to_string();
            move |name: &str| match name {
                "AWS_SHARED_CREDENTIALS_FILE" => Some(file.clone()),
                "AWS_PROFILE" => profile.map(str::to_owned),
                _ => None,
            }
        };
        let found = find(&env(Some("lfa"))).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((found.key_id.as_str(), found.secret.expose()), ("c", "d=e"));
        assert_eq!(found.token.unwrap().expose(), "t");
        assert_eq!(find(&env(None)).unwrap_or_else(|e| panic!("{e}")).key_id, "a");
        for (profile, said) in [("half", "it has no aws_secret_access_key"), ("none", "no such profile")] {
            assert!(find(&env(Some(profile))).err().unwrap().contains(said));
        }
    }
}
