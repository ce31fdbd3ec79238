//! Acknowledgements: their codes, and the book in which a remote notes the commands it waits for.
//!
//! ```text
//!   command sent ──► [CMD_ACK] ──► CMD_INPROGRESS * ──► CMD_COMPLETE
//!                                                  └──► CMD_FAILED, CMD_ABORTED, CMD_TIMEOUT, CMD_STALLED, CMD_NOPERM
//! ```
//! An acknowledgement belongs to a command if identity, origin and sequence number agree. Its entry stays in the book
//! until the final one was consumed or the handle is dropped, so that no acknowledgement falls between two waits.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Notify;

use crate::error::{SalError, py_repr};
use crate::sample::Sample;

/// Acknowledgement codes (`SalRetCode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AckCode {
    /// Received; never sent by salobj CSCs.
    Ack,
    /// Accepted and being executed.
    InProgress,
    /// Given up halfway.
    Stalled,
    /// Done.
    Complete,
    /// Not permitted.
    NoPerm,
    /// Made up by the sender: no acknowledgement seen.
    NoAck,
    /// Failed.
    Failed,
    /// Cancelled.
    Aborted,
    /// The CSC gave up waiting.
    Timeout,
    /// A code that SAL does not define.
    Other(i64),
}

impl AckCode {
    /// The number on the wire.
    pub fn value(self) -> i64 {
        match self {
            AckCode::Ack => 300,
            AckCode::InProgress => 301,
            AckCode::Stalled => 302,
            AckCode::Complete => 303,
            AckCode::NoPerm => -300,
            AckCode::NoAck => -301,
            AckCode::Failed => -302,
            AckCode::Aborted => -303,
            AckCode::Timeout => -304,
            AckCode::Other(v) => v,
        }
    }

    /// The code of a number.
    pub fn from_value(value: i64) -> AckCode {
        [
            AckCode::Ack,
            AckCode::InProgress,
            AckCode::Stalled,
            AckCode::Complete,
            AckCode::NoPerm,
            AckCode::NoAck,
            AckCode::Failed,
            AckCode::Aborted,
            AckCode::Timeout,
        ]
        .into_iter()
        .find(|c| c.value() == value)
        .unwrap_or(AckCode::Other(value))
    }

    /// SAL's name, `CMD_COMPLETE`.
    pub fn name(self) -> &'static str {
        match self {
            AckCode::Ack => "CMD_ACK",
            AckCode::InProgress => "CMD_INPROGRESS",
            AckCode::Stalled => "CMD_STALLED",
            AckCode::Complete => "CMD_COMPLETE",
            AckCode::NoPerm => "CMD_NOPERM",
            AckCode::NoAck => "CMD_NOACK",
            AckCode::Failed => "CMD_FAILED",
            AckCode::Aborted => "CMD_ABORTED",
            AckCode::Timeout => "CMD_TIMEOUT",
            AckCode::Other(_) => "UNKNOWN",
        }
    }

    /// True if no further acknowledgement follows.
    pub fn is_final(self) -> bool {
        self == AckCode::Complete || self.is_failure()
    }

    /// True for a final code that means failure.
    pub fn is_failure(self) -> bool {
        matches!(
            self,
            AckCode::Stalled
                | AckCode::NoPerm
                | AckCode::NoAck
                | AckCode::Failed
                | AckCode::Aborted
                | AckCode::Timeout
        )
    }
}

/// One acknowledgement.
#[derive(Debug, Clone, PartialEq)]
pub struct AckCmd {
    /// Sequence number of the command.
    pub seq_num: i64,
    /// Identity of the command's sender.
    pub identity: String,
    /// Origin (process id) of the command's sender.
    pub origin: i64,
    /// Instance that answers.
    pub sal_index: i64,
    /// Code.
    pub ack: AckCode,
    /// Error code, 0 if none.
    pub error: i64,
    /// Text: `Done`, `Failed: ...`, or what the CSC has to say.
    pub result: String,
    /// For CMD_INPROGRESS: estimated remaining duration in seconds.
    pub timeout: f64,
    /// Offset of the record in the `ackcmd` topic, -1 if made up here.
    pub offset: i64,
}

impl AckCmd {
    /// Reads an `ackcmd` sample.
    pub fn from_sample(s: &Sample) -> AckCmd {
        AckCmd {
            seq_num: s.seq_num(),
            identity: s.str("identity").to_owned(),
            origin: s.i64("origin"),
            sal_index: s.sal_index(),
            ack: AckCode::from_value(s.i64("ack")),
            error: s.i64("error"),
            result: s.str("result").to_owned(),
            timeout: s.f64("timeout"),
            offset: s.offset,
        }
    }

    /// What a remote makes up when it saw nothing in time.
    pub(crate) fn none_seen(key: &AckKey) -> AckCmd {
        AckCmd {
            seq_num: key.seq_num,
            identity: key.identity.clone(),
            origin: key.origin,
            sal_index: 0,
            ack: AckCode::NoAck,
            error: 0,
            result: "No command acknowledgement seen".to_owned(),
            timeout: 0.0,
            offset: -1,
        }
    }
}

impl fmt::Display for AckCmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "(ackcmd private_seqNum={}, ack=<SalRetCode.{}: {}>, error={}, result={})",
            self.seq_num,
            self.ack.name(),
            self.ack.value(),
            self.error,
            py_repr(&self.result)
        )
    }
}

/// Why a command did not succeed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AckError {
    /// The CSC answered with a failure.
    #[error("msg='Command failed', ackcmd={0}")]
    Failed(AckCmd),
    /// No final acknowledgement in time. The last one seen, or a made-up one with code CMD_NOACK. The command may still
    /// be running.
    #[error("msg='Timed out waiting for command acknowledgement', ackcmd={0}")]
    Timeout(AckCmd),
    /// A step on the way to a summary state failed.
    #[error("Error on cmd=cmd_{command}, initial_state={state}: {source}")]
    Step {
        /// Command that failed.
        command: &'static str,
        /// State it was sent in.
        state: crate::csc::state::SummaryState,
        /// Why it failed.
        source: Box<AckError>,
    },
    /// It was asked about a command that nobody waits for.
    #[error("Command private_seqNum={0} is unknown or finished")]
    Unknown(i64),
    /// The command could not be sent, or the remote was closed.
    #[error(transparent)]
    Sal(#[from] SalError),
}

impl AckError {
    /// The acknowledgement, if one was seen or made up.
    pub fn ack(&self) -> Option<&AckCmd> {
        match self {
            AckError::Failed(ack) | AckError::Timeout(ack) => Some(ack),
            AckError::Step { source, .. } => source.ack(),
            AckError::Unknown(_) | AckError::Sal(_) => None,
        }
    }
}

/// What tells which command an acknowledgement is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct AckKey {
    pub(crate) seq_num: i64,
    pub(crate) identity: String,
    pub(crate) origin: i64,
}

impl AckKey {
    pub(crate) fn of(ack: &AckCmd) -> AckKey {
        AckKey { seq_num: ack.seq_num, identity: ack.identity.clone(), origin: ack.origin }
    }
}

/// Unconsumed acknowledgements kept for one command; more in-progress ones push out the oldest.
const KEPT_ACKS: usize = 64;

#[derive(Debug, Default)]
struct EntryState {
    /// By offset, so that one that is read twice (live and by a catch-up) counts once.
    acks: BTreeMap<i64, AckCmd>,
    consumed: i64,
    closed: bool,
}

/// One command that is waited for.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: AckKey,
    state: Mutex<EntryState>,
    arrived: Notify,
}

impl Entry {
    fn new(key: AckKey) -> Entry {
        let state = EntryState { consumed: -1, ..EntryState::default() };
        Entry { key, state: Mutex::new(state), arrived: Notify::new() }
    }

    pub(crate) fn push(&self, ack: AckCmd) {
        let mut s = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if ack.offset > s.consumed {
            s.acks.insert(ack.offset, ack);
            if s.acks.len() > KEPT_ACKS {
                s.acks.pop_first();
            }
        }
        drop(s);
        self.arrived.notify_one();
    }

    pub(crate) fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.arrived.notify_one();
    }

    fn pop(&self) -> Option<Option<AckCmd>> {
        let mut s = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match s.acks.pop_first() {
            Some((offset, ack)) => {
                s.consumed = offset;
                Some(Some(ack))
            }
            None => s.closed.then_some(None),
        }
    }

    /// The next acknowledgement; `None` once the remote is closed. Safe to cancel.
    pub(crate) async fn next(&self) -> Option<AckCmd> {
        loop {
            if let Some(got) = self.pop() {
                return got;
            }
            self.arrived.notified().await;
        }
    }
}

/// Commands sent by `start(.., wait_done = false)` and not yet asked about again are kept at most so many.
const KEPT_ENTRIES: usize = 1000;

#[derive(Debug, Default)]
struct Book {
    waiting: HashMap<AckKey, Weak<Entry>>,
    /// Entries that nobody holds but the book (`wait_done = false`), oldest first.
    kept: Vec<Arc<Entry>>,
    closed: bool,
}

/// All commands one remote waits for.
#[derive(Debug, Default)]
pub(crate) struct AckBook {
    book: Mutex<Book>,
}

impl AckBook {
    /// Opens an entry; to be done before the command is written. `None` if one with this key is waited for.
    pub(crate) fn open(&self, key: AckKey) -> Option<Arc<Entry>> {
        let mut b = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        b.waiting.retain(|_, entry| entry.strong_count() > 0);
        if b.waiting.contains_key(&key) {
            return None;
        }
        let entry = Arc::new(Entry::new(key.clone()));
        if b.closed {
            entry.close();
        }
        b.waiting.insert(key, Arc::downgrade(&entry));
        Some(entry)
    }

    /// Called by the read loop with each acknowledgement; false if nobody waits for it.
    pub(crate) fn deliver(&self, ack: AckCmd) -> bool {
        let entry = {
            let b = self.book.lock().unwrap_or_else(PoisonError::into_inner);
            b.waiting.get(&AckKey::of(&ack)).and_then(Weak::upgrade)
        };
        match entry {
            Some(entry) => {
                entry.push(ack);
                true
            }
            None => false,
        }
    }

    /// Keeps an entry whose handle is given up, until [`Self::unkeep`].
    pub(crate) fn keep(&self, entry: Arc<Entry>) {
        let mut b = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        if b.kept.len() >= KEPT_ENTRIES {
            b.kept.remove(0);
        }
        b.kept.push(entry);
    }

    /// Takes a kept entry back.
    pub(crate) fn unkeep(&self, key: &AckKey) -> Option<Arc<Entry>> {
        let mut b = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        let at = b.kept.iter().position(|e| e.key == *key)?;
        Some(b.kept.remove(at))
    }

    pub(crate) fn close(&self) {
        let mut b = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        b.closed = true;
        for entry in b.waiting.values().filter_map(Weak::upgrade) {
            entry.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack(seq_num: i64, offset: i64, code: AckCode) -> AckCmd {
        let key = AckKey { seq_num, identity: "me".into(), origin: 1 };
        AckCmd { ack: code, offset, ..AckCmd::none_seen(&key) }
    }

    #[test]
    fn codes_go_both_ways_and_know_what_is_final() {
        for v in [300, 301, 302, 303, -300, -301, -302, -303, -304, 7] {
            assert_eq!(AckCode::from_value(v).value(), v);
        }
        let finals: Vec<i64> = [300, 301, 302, 303, -300, -301, -302, -303, -304]
            .into_iter()
            .filter(|v| AckCode::from_value(*v).is_final())
            .collect();
        assert_eq!(finals, [302, 303, -300, -301, -302, -303, -304]);
        assert!(!AckCode::Complete.is_failure() && AckCode::Stalled.is_failure());
    }

    #[test]
    fn text_is_as_salobj_shows_it() {
        let a = AckCmd { error: 1, result: "Failed: no".into(), ..ack(5, 0, AckCode::Failed) };
        assert_eq!(
            AckError::Failed(a).to_string(),
            "msg='Command failed', ackcmd=(ackcmd private_seqNum=5, ack=<SalRetCode.CMD_FAILED: -302>, error=1, result='Failed: no')"
        );
    }

    #[tokio::test]
    async fn an_ack_read_twice_counts_once_and_others_are_ignored() {
        let book = AckBook::default();
        let key = AckKey { seq_num: 5, identity: "me".into(), origin: 1 };
        let entry = book.open(key.clone()).unwrap();
        assert!(book.open(key).is_none());
        assert!(book.deliver(ack(5, 3, AckCode::InProgress)));
        assert!(book.deliver(ack(5, 3, AckCode::InProgress)));
        assert!(!book.deliver(AckCmd { origin: 2, ..ack(5, 4, AckCode::Complete) }));
        assert!(!book.deliver(AckCmd { identity: "you".into(), ..ack(5, 4, AckCode::Complete) }));
        assert!(book.deliver(ack(5, 9, AckCode::Complete)));
        assert_eq!(entry.next().await.unwrap().offset, 3);
        assert!(book.deliver(ack(5, 3, AckCode::InProgress)));
        assert_eq!(entry.next().await.unwrap().offset, 9);
        drop(entry);
        assert!(!book.deliver(ack(5, 10, AckCode::Complete)));
        book.close();
    }
}
