//! A command as its handler sees it, and what the handler may answer.

use std::time::Duration;

use super::acks::AckWriter;
use crate::error::SalError;
use crate::sample::Sample;
use crate::topics::AckCode;

/// What a handler returns: `Ok(None)` is acknowledged as `Done`, `Ok(Some(text))` with that text.
pub type CommandResult = Result<Option<String>, CommandError>;

/// Why a command did not succeed; it decides the acknowledgement.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CommandError {
    /// The client's mistake, or a state of affairs the client is told about: CMD_FAILED `Failed: <text>`, not logged.
    #[error("{0}")]
    Expected(String),
    /// The handler waited too long for something: CMD_TIMEOUT.
    #[error("Timeout")]
    Timeout,
    /// The command was cancelled: CMD_ABORTED.
    #[error("Aborted")]
    Aborted,
    /// Anything else: CMD_FAILED `Failed: <text>`, logged as an error.
    #[error("{0}")]
    Other(String),
    /// An acknowledgement of the handler's own making (code, error code, text).
    #[error("{result}")]
    Ack {
        /// Code; should be a final one.
        code: AckCode,
        /// Error code.
        error: i64,
        /// Text.
        result: String,
    },
}

impl CommandError {
    /// An expected error with this text.
    pub fn expected(text: impl Into<String>) -> CommandError {
        CommandError::Expected(text.into())
    }
}

impl From<SalError> for CommandError {
    fn from(e: SalError) -> CommandError {
        CommandError::Other(e.to_string())
    }
}

/// One command to be executed.
#[derive(Debug, Clone)]
pub struct CommandRequest {
    /// Name without prefix: `start`, `wait`.
    pub name: String,
    /// The command's fields.
    pub sample: Sample,
    pub(super) acks: AckWriter,
}

impl CommandRequest {
    /// Tells the sender that the command was accepted and about how long it will still take; may be repeated.
    pub fn in_progress(&self, timeout: Duration, text: &str) -> Result<(), SalError> {
        self.acks.send(&self.sample, AckCode::InProgress, 0, text, timeout.as_secs_f64())
    }

    /// `<identity>:<origin>:<private_seqNum>`: one text for one command.
    pub fn id(&self) -> String {
        let s = &self.sample;
        format!("{}:{}:{}", s.identity(), s.origin(), s.seq_num())
    }
}
