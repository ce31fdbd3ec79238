//! 3. Remember: the alarm state machine and the book of alarms. Pure: time is an argument, nothing here waits or writes.
//!
//! ```text
//!  rules ──Finding──►┌────────────── Book ──────────────┐──take_changed──► `alarm` events (csc)
//!  commands ────────►│ Alarm Alarm Alarm ...            │──take_unsaved──► journal, before the events go out
//!  clock ───tick────►│ each a state and four deadlines  │──next_deadline─► when to call tick again
//!                    └──────────────────────────────────┘
//! ```
//!
//! * [`severity`]: the four levels
//! * [`alarm`]: one alarm, the Watcher's state machine without its accidents
//! * `latch`: alarms of what happened once
//! * [`levels`]: from a number to a severity
//! * [`book`]: all alarms by name, what operators do to them, what has to be published and saved
//! * [`tell`]: what people and the escalation service are told of it; [`notice`]: what people get
//! * [`storm`]: what keeps them from being told too much
//! * [`windows`]: mutes on a calendar
//! * [`snapshot`]: an alarm as the `alarm` event shows it
//! * [`history`]: every transition, with its cause
//! * [`health`]: the figures of ISA-18.2, made of transitions

pub mod alarm;
pub mod book;
pub mod config;
mod entry;
pub mod glob;
pub mod health;
pub mod history;
mod latch;
pub mod levels;
pub mod notice;
mod operators;
pub mod severity;
pub mod snapshot;
pub mod storm;
pub mod tell;
pub mod windows;
#[cfg(test)]
mod tests;

pub use alarm::{Alarm, AlarmState, Outcome, Refusal, Timer};
pub use book::{Book, Counts, Removed, UnknownAlarm};
pub use config::{AlarmConfig, Escalate, EscalateError, Inhibit, Latch};
pub use entry::{AlarmRecord, Finding};
pub use glob::Glob;
pub use health::{Health, Tally};
pub use history::{AlarmTransition, Cause, Move, Standing};
pub use levels::{Direction, Levels, LevelsError};
pub use notice::{Bundle, Notice, Told};
pub use operators::{Matcher, Refused, meant};
pub use severity::{NoSeverity, Severity};
pub use snapshot::AlarmSnapshot;
pub use storm::{Hush, KeptBack, KeptBackCounts, StormConfig, StormRecord, Tree, Why};
pub use tell::{Incident, IncidentAnswer, IncidentCall};
pub use windows::{MuteWindow, Repeat, WindowError, WindowRecord};
