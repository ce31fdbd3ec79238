//! What can go wrong with the S3 server, and what follows from it.

/// A file could not be stored now, or cannot be at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum S3Error {
    /// The server or the way to it, or it says "later": tried again.
    #[error("the LFA is not available: {0}")]
    Away(String),
    /// Credentials, bucket or region: tried again too, but somebody has to act.
    #[error("the LFA refused: {0}; check its credentials, bucket and region")]
    Denied(String),
    /// This file will never be taken.
    #[error("{0}")]
    Refused(String),
}

/// Codes of S3 that say that this very file cannot be taken.
const OF_THE_FILE: &[&str] = &[
    "EntityTooLarge",
    "EntityTooSmall",
    "BadDigest",
    "InvalidDigest",
    "KeyTooLongError",
    "MetadataTooLarge",
];

impl S3Error {
    /// What the client says, without what it knows of headers and signatures.
    pub(super) fn of(error: &object_store::Error) -> S3Error {
        use object_store::Error as E;
        let text = chain(error);
        let code = between(&text, "<Code>", "</Code>");
        let said = match (code, between(&text, "<Message>", "</Message>")) {
            (Some(code), Some(message)) => format!("{code}: {message}"),
            (Some(code), None) => code.to_owned(),
            (None, _) => plain(&text),
        };
        if code.is_some_and(|code| OF_THE_FILE.contains(&code)) || status(&text) == Some(413) {
            return S3Error::Refused(format!("the server does not take it: {said}"));
        }
        let later = |status: u16| status >= 500 || matches!(status, 408 | 409 | 429);
        match error {
            E::NotFound { .. } | E::PermissionDenied { .. } | E::Unauthenticated { .. } => {
                S3Error::Denied(said)
            }
            _ if status(&text).is_some_and(|status| (300..500).contains(&status) && !later(status)) => {
                S3Error::Denied(said)
            }
            E::NotSupported { .. } | E::NotImplemented { .. } => S3Error::Denied(said),
            _ => S3Error::Away(said),
        }
    }

    /// The file cannot be read: for good if it is gone, else tried again.
    pub(super) fn local(error: &std::io::Error) -> S3Error {
        if error.kind() == std::io::ErrorKind::NotFound {
            return S3Error::Refused("it is gone from the disk".to_owned());
        }
        S3Error::Away(format!("the file cannot be read: {error}"))
    }

    /// The file is not what it was when it was kept.
    pub(super) fn changed() -> S3Error {
        S3Error::Refused("it was changed on disk since it was kept".to_owned())
    }
}

/// The error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = next.source();
    }
    text
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(begin)?;
    rest.split_once(end).map(|(found, _)| found.trim())
}

/// The HTTP status that the client names.
fn status(text: &str) -> Option<u16> {
    let (_, rest) = text.split_once("status code: ")?;
    rest.get(..3)?.parse().ok()
}

/// One line of at most 300 characters.
fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: text.to_owned().into() }
    }

    #[test]
    fn who_has_to_act_is_told_apart() {
        let slow = "Server returned non-2xx status code: 503 Service Unavailable: <Error><Code>SlowDown</Code>\
                    <Message>Please reduce your request rate.</Message></Error>";
        assert_eq!(
            S3Error::of(&generic(slow)),
            S3Error::Away("SlowDown: Please reduce your request rate.".to_owned())
        );
        let region =
            "Server returned non-2xx status code: 400 Bad Request: <Code>AuthorizationHeaderMalformed</Code>";
        assert_eq!(S3Error::of(&generic(region)), S3Error::Denied("AuthorizationHeaderMalformed".to_owned()));
        let large = "Server returned non-2xx status code: 400 Bad Request: <Code>EntityTooLarge</Code>";
        assert!(matches!(S3Error::of(&generic(large)), S3Error::Refused(_)));
        let proxy = "Server returned non-2xx status code: 413 Payload Too Large: <html>nginx</html>";
        assert!(matches!(S3Error::of(&generic(proxy)), S3Error::Refused(_)));
        assert!(matches!(S3Error::of(&generic("error sending request")), S3Error::Away(_)));
        let busy = "Server returned non-2xx status code: 429 Too Many Requests: ";
        assert!(matches!(S3Error::of(&generic(busy)), S3Error::Away(_)));
    }

    #[test]
    fn what_the_server_repeats_of_a_signature_is_not_told() {
        let body = "status code: 403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code><Message>no</Message>\
                    <StringToSign>AWS4 0123</StringToSign></Error>";
        let error =
            object_store::Error::PermissionDenied { path: "k".to_owned(), source: body.to_owned().into() };
        assert_eq!(S3Error::of(&error), S3Error::Denied("SignatureDoesNotMatch: no".to_owned()));
    }
}
