//! E-mail by SMTP.

use lettre::message::Mailbox;
use lettre::message::header::ContentType;
use lettre::transport::smtp;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

use super::error::SendError;
use super::{Channel, Message};
use crate::outputs::efd::error_chain;

/// Characters of a subject.
const SUBJECT: usize = 200;

/// A mail server, and who gets the mail.
pub struct Email {
    pub(super) transport: AsyncSmtpTransport<Tokio1Executor>,
    pub(super) sender: Mailbox,
    pub(super) to: Vec<Mailbox>,
    /// Host and port, for messages.
    pub(super) server: String,
}

impl std::fmt::Debug for Email {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Email").field("server", &self.server).field("to", &self.to).finish_non_exhaustive()
    }
}

#[async_trait::async_trait]
impl Channel for Email {
    async fn send(&self, message: &Message) -> Result<(), SendError> {
        let subject: String =
            format!("[{}] {}", message.catcher, message.summary()).chars().take(SUBJECT).collect();
        let mut mail = lettre::Message::builder()
            .from(self.sender.clone())
            .subject(subject)
            .header(ContentType::TEXT_PLAIN);
        for to in &self.to {
            mail = mail.to(to.clone());
        }
        let mail = mail.body(message.text() + "\n").map_err(|e| SendError::Unsendable(e.to_string()))?;
        self.transport.send(mail).await.map(drop).map_err(failed)
    }
}

fn failed(error: smtp::Error) -> SendError {
    let text = error_chain(&error);
    if let Some(code) = error.status() {
        let status = u16::from(code);
        return SendError::Refused { status, text, later: error.is_transient(), retry_after: None };
    }
    if error.is_client() {
        return SendError::Unsendable(text);
    }
    SendError::Broken(text)
}
