//! One command that goes out once: what is journaled of it, sending it, and what became of it after a restart.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use salobj::{Prepared, SalError, SentState, Tracked, Value};
use serde::{Deserialize, Serialize};

use super::{Cursor, News, Peer, Peers, Whom};
use crate::tasks::call::StepError;
use crate::tasks::steps::StepHandle;

/// Between two looks at a bus that does not answer, real time.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// A step that is to stop must know what it left, to end it: so long that is looked for.
const LOOK_BACK: Duration = Duration::from_secs(5);

/// What is journaled of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Errand {
    /// How far it is.
    pub(crate) phase: Phase,
    /// The record itself.
    pub(crate) command: Prepared,
    /// High watermarks of the topics of the events that are listened to, before sending.
    pub(crate) positions: BTreeMap<String, i64>,
}

/// How far a command is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Phase {
    /// It may be on the bus.
    AboutToSend,
    /// It is on the bus.
    Sent,
}

/// What the bus tells about a command of an earlier process.
#[derive(Debug)]
pub(crate) enum Past {
    /// It is on the bus.
    Sent {
        /// Its acknowledgements, those of the past first.
        tracked: Tracked,
        /// The events since it was prepared.
        news: Vec<News>,
    },
    /// It was never sent.
    NotSent,
    /// The command topic does not reach back so far.
    Unknown,
}

impl Peer {
    /// Makes the record of a command and notes the positions; nothing is sent.
    pub(crate) async fn prepare(&self, command: &str, fields: &[(&str, Value)]) -> Result<Errand, SalError> {
        let positions = self.positions().await?;
        let command = self.remote.command(command)?.prepare(fields).await?;
        Ok(Errand { phase: Phase::AboutToSend, command, positions })
    }

    /// Sends a command that is in the journal.
    ///
    /// # Errors
    /// Its outcome is unknown, or (permanent) there is no such command.
    pub(crate) async fn send(&self, errand: &Errand) -> Result<Tracked, StepError> {
        let (name, what) = (self.remote.name_index(), &errand.command.command);
        let command = self.remote.command(what).map_err(|e| StepError::permanent(format!("{name}: {e}")))?;
        let error = match command.send(&errand.command).await {
            Ok(tracked) => return Ok(tracked),
            Err(error) => error,
        };
        tracing::warn!("{name}: {what} was not delivered: {error}");
        match command.find_sent(&errand.command).await {
            Ok(SentState::Sent) => self.adopt(errand).await,
            // What was not there a moment ago may still arrive.
            Ok(SentState::NotSent | SentState::Unknown) | Err(_) => Err(StepError::unknown(format!(
                "{what} may or may not have reached {name}: {error}; it is not sent again"
            ))),
        }
    }

    async fn adopt(&self, errand: &Errand) -> Result<Tracked, StepError> {
        self.remote.adopt(&errand.command).await.map_err(|e| {
            StepError::unknown(format!(
                "{} was sent to {}, but its answers cannot be read: {e}",
                errand.command.command,
                self.remote.name_index()
            ))
        })
    }

    /// Reads from the bus what became of a command of an earlier process.
    async fn look_back(&self, errand: &Errand) -> Result<Past, String> {
        let text = |e: SalError| e.to_string();
        let sent = match errand.phase {
            Phase::Sent => SentState::Sent,
            Phase::AboutToSend => {
                let command = self.remote.command(&errand.command.command).map_err(text)?;
                command.find_sent(&errand.command).await.map_err(text)?
            }
        };
        Ok(match sent {
            SentState::NotSent => Past::NotSent,
            SentState::Unknown => Past::Unknown,
            SentState::Sent => {
                let news = self.since(&errand.positions).await.map_err(text)?;
                let tracked = self.remote.adopt(&errand.command).await.map_err(text)?;
                Past::Sent { tracked, news }
            }
        })
    }
}

impl Errand {
    /// What is said of a command that may or may not have been sent before a restart.
    pub(crate) fn unknown(&self, name: &str) -> StepError {
        StepError::unknown(format!(
            "the restart came while {} was on its way to {name}, and the command topic does not reach back so far: \
             it is not known whether it was sent, and it is not sent again",
            self.command.command
        ))
    }
}

impl Peers {
    /// What became of a command of an earlier process. The bus may come up later than we do: that is waited for, as long as
    /// the step is not to stop. The cursor is older than what was read: what comes meanwhile is not lost.
    ///
    /// # Errors
    /// The step is to stop, and the bus does not say.
    pub(crate) async fn recover(
        &self,
        whom: &Whom,
        errand: &Errand,
        step: &StepHandle,
    ) -> Result<(Arc<Peer>, Cursor, Past), StepError> {
        let given_up = async {
            let stop = step.stop_requested().await;
            self.clock().sleep(self.limit(LOOK_BACK)).await;
            stop
        };
        let mut given_up = std::pin::pin!(given_up);
        let look = async || {
            let peer = self.get(whom).await.map_err(|e| e.text)?;
            let cursor = peer.now();
            let past = peer.look_back(errand).await?;
            Ok::<_, String>((peer, cursor, past))
        };
        loop {
            let error = tokio::select! {
                past = look() => match past {
                    Ok(past) => return Ok(past),
                    Err(error) => error,
                },
                stop = &mut given_up => {
                    let name = whom.name();
                    let detail = format!("what became of the command to {name} could not be read after a restart");
                    return Err(stop.error(&detail));
                }
            };
            tracing::warn!("{}, after a restart: {error}", whom.name());
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}
