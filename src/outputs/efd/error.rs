//! What can go wrong with the EFD, and what to do about it.

/// Who has to act; shown in health and used to decide on a repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The server or the way to it: a repeat makes sense.
    Unavailable,
    /// Credentials, organization or database: the site's configuration has to change.
    Refused,
    /// The query or the point: the rule or the Catcher is at fault, a repeat fails again.
    BadRequest,
}

/// An EFD call failed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum EfdError {
    /// No connection, no answer in time, or an answer that says "later" (5xx, 408, 429).
    #[error("EFD {server} is not available: {detail}")]
    Unavailable {
        /// [`super::Efd::describe`].
        server: String,
        /// What happened.
        detail: String,
    },
    /// The answer is cut, or is not what this kind of server answers (a proxy's page).
    #[error("EFD {server} gave an answer that is not one: {detail}")]
    BadReply {
        /// [`super::Efd::describe`].
        server: String,
        /// What is wrong with it.
        detail: String,
    },
    /// Wrong credentials, or no such organization, bucket or database.
    #[error(
        "EFD {server} refused ({status}): {detail}; check its credentials and its database in the configuration"
    )]
    Refused {
        /// [`super::Efd::describe`].
        server: String,
        /// HTTP status.
        status: u16,
        /// The server's words.
        detail: String,
    },
    /// The query is not valid, here or at the server.
    #[error("EFD query: {detail}")]
    BadQuery {
        /// The reason.
        detail: String,
    },
    /// The server does not take one or more of the points (syntax, type of a field); the others may be written.
    #[error("EFD {server} did not take a point ({status}): {detail}")]
    BadPoint {
        /// [`super::Efd::describe`].
        server: String,
        /// HTTP status.
        status: u16,
        /// The server's words.
        detail: String,
    },
}

impl EfdError {
    /// Who has to act.
    pub fn class(&self) -> ErrorClass {
        match self {
            EfdError::Unavailable { .. } | EfdError::BadReply { .. } => ErrorClass::Unavailable,
            EfdError::Refused { .. } => ErrorClass::Refused,
            EfdError::BadQuery { .. } | EfdError::BadPoint { .. } => ErrorClass::BadRequest,
        }
    }
}

/// What was tried, to judge an HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attempt {
    Query,
    Write,
    Health,
}

/// The error that an HTTP status other than success stands for. `body` is the server's answer.
pub(super) fn from_status(server: &str, attempt: Attempt, status: u16, body: &str) -> EfdError {
    let (server, detail) = (server.to_owned(), server_words(body));
    // InfluxDB says "later" by 503 and 429, a gateway by 502 and 504; a database that is not there by 404.
    match (status, attempt) {
        (401 | 403 | 404, _) => EfdError::Refused { server, status, detail },
        (408 | 429 | 500.., _) => {
            EfdError::Unavailable { server, detail: format!("status {status}: {detail}") }
        }
        (400 | 413 | 422, Attempt::Query) => EfdError::BadQuery { detail },
        (400 | 413 | 422, Attempt::Write) => EfdError::BadPoint { server, status, detail },
        _ => EfdError::BadReply { server, detail: format!("status {status}: {detail}") },
    }
}

/// The message inside `{"error": ..}` (1.x) or `{"message": ..}` (2.x), else the text; cut to one short line.
fn server_words(body: &str) -> String {
    let json: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let words = json
        .as_ref()
        .and_then(|json| json.get("message").or_else(|| json.get("error")))
        .and_then(serde_json::Value::as_str)
        .unwrap_or(body);
    let line = words.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() { "no reason given".to_owned() } else { super::cut_text(&line, 400).into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_class() {
        let class = |attempt, status| from_status("x", attempt, status, "{\"error\":\"why\"}").class();
        for attempt in [Attempt::Query, Attempt::Write, Attempt::Health] {
            assert_eq!(class(attempt, 401), ErrorClass::Refused);
            assert_eq!(class(attempt, 404), ErrorClass::Refused);
            assert_eq!(class(attempt, 429), ErrorClass::Unavailable);
            assert_eq!(class(attempt, 500), ErrorClass::Unavailable);
            assert_eq!(class(attempt, 503), ErrorClass::Unavailable);
            assert_eq!(class(attempt, 302), ErrorClass::Unavailable, "a proxy's redirect is no answer");
        }
        assert_eq!(class(Attempt::Query, 400), ErrorClass::BadRequest);
        assert_eq!(class(Attempt::Write, 422), ErrorClass::BadRequest);
    }

    #[test]
    fn the_servers_words_are_found_in_both_kinds_of_answer() {
        assert_eq!(server_words("{\"error\":\"database not found\"}"), "database not found");
        assert_eq!(server_words("{\"code\":\"invalid\",\"message\":\"bad\\nline\"}"), "bad line");
        assert_eq!(server_words("<html>"), "<html>");
        assert_eq!(server_words(" "), "no reason given");
        assert!(server_words(&"x".repeat(10_000)).len() <= 400);
    }
}
