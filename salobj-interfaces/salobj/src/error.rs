//! What can go wrong in the SAL layer, in words that the person at the console can act on.

use crate::transport::TransportError;
use crate::wire::WireError;

/// An error of a domain, a remote, a controller or one of their topics.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SalError {
    /// Used before `start` was awaited.
    #[error("Not started: {name_index}")]
    NotStarted {
        /// Component and index, `Test:7`.
        name_index: String,
    },
    /// Used after `close`.
    #[error("No longer open: {name_index}")]
    NotOpen {
        /// Component and index, `Test:7`.
        name_index: String,
    },
    /// The component has no such topic, or the remote was opened without it.
    #[error("{component} has no topic {name} here; there are: {known}")]
    NoTopic {
        /// Component.
        component: String,
        /// What was asked for.
        name: String,
        /// Names that exist, comma separated.
        known: String,
    },
    /// Field names that the topic does not have (SAL's own text).
    #[error("{attr} has no fields [{fields}]")]
    NoFields {
        /// Attribute name, `cmd_setScalars`.
        attr: String,
        /// The unknown names, quoted, comma separated.
        fields: String,
    },
    /// A value that the field cannot hold.
    #[error("{attr}.{field}: {reason}")]
    BadValue {
        /// Attribute name.
        attr: String,
        /// Field.
        field: String,
        /// Why not.
        reason: String,
    },
    /// An option that makes no sense.
    #[error("{0}")]
    Options(String),
    /// Nothing came in time.
    #[error("timed out after {seconds} s waiting for {what}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long, in seconds.
        seconds: f64,
    },
    /// Reading by hand while a callback takes the samples (SAL's own text).
    #[error("Not allowed because there is a callback function")]
    HasCallback,
    /// A record could not be encoded, or the topic's own schema is none.
    #[error("{topic}: {source}")]
    Wire {
        /// Kafka topic.
        topic: String,
        /// Why not.
        source: WireError,
    },
    /// The bus.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

/// Python's `repr` of a string, as SAL's texts show it: single quotes, double quotes if the text has a single quote
/// and no double quote.
pub fn py_repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::py_repr;

    #[test]
    fn repr_quotes_as_python_does() {
        assert_eq!(py_repr("executing"), "'executing'");
        assert_eq!(py_repr("it's"), "\"it's\"");
        assert_eq!(py_repr("it's \"so\""), "'it\\'s \"so\"'");
        assert_eq!(py_repr("a\nb"), "'a\\nb'");
    }
}
