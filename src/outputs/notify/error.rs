//! What can go wrong when something is sent, and whether it makes sense to send it again.

use std::time::Duration;

/// A message did not go out, or it is not known whether it did. No text here holds a secret.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SendError {
    /// There was no connection: nothing was sent.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("no answer within {0} s")]
    Timeout(f64),
    /// The connection broke before the answer was whole.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The other side answered that it does not take it.
    #[error("refused ({status}): {text}")]
    Refused {
        /// HTTP status, or SMTP reply code.
        status: u16,
        /// The other side's words.
        text: String,
        /// It may be taken later.
        later: bool,
        /// When to try again, if the other side says so.
        retry_after: Option<Duration>,
    },
    /// The message cannot be made.
    #[error("the message cannot be made: {0}")]
    Unsendable(String),
}

impl SendError {
    /// Does it make sense to try again?
    pub fn transient(&self) -> bool {
        match self {
            SendError::Unreachable(_) | SendError::Timeout(_) | SendError::Broken(_) => true,
            SendError::Refused { later, .. } => *later,
            SendError::Unsendable(_) => false,
        }
    }

    /// May the other side have taken it all the same?
    pub fn doubtful(&self) -> bool {
        match self {
            SendError::Timeout(_) | SendError::Broken(_) => true,
            SendError::Refused { status, .. } => *status >= 500,
            SendError::Unreachable(_) | SendError::Unsendable(_) => false,
        }
    }

    /// How long the other side wants to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            SendError::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// HTTP statuses that say "later".
pub(super) fn says_later(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..)
}
