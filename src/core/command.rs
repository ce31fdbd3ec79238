//! What the core can be told to do. The same commands come from SAL, the web page and the command line (invariant 4).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use salobj::Tai;

use crate::rules::Rule;

/// Who gave a command, as it enters run ids and the audit: identity, origin (process id) and sequence number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sender {
    /// `private_identity`.
    pub identity: String,
    /// `private_origin`.
    pub origin: i64,
    /// `private_seqNum`.
    pub seq_num: i64,
}

/// A command of design section 4, arguments read and checked for form, not yet for sense.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Adds or replaces rules (already compiled by the caller, so that nothing slow happens in the core).
    AddRule {
        /// The compiled rules of the definition. A recording of commands has their definitions beside them.
        #[serde(skip)]
        rules: Vec<Arc<Rule>>,
        /// Enable them at once.
        enabled: bool,
    },
    /// Removes a rule that was added at run time; uncovers a configured one of the same name.
    RemoveRule {
        /// Exact name.
        rule: String,
    },
    /// Enables a rule.
    EnableRule {
        /// Exact name.
        rule: String,
    },
    /// Disables a rule.
    DisableRule {
        /// Exact name.
        rule: String,
        /// Why.
        reason: String,
    },
    /// Publishes what a rule makes of what it knows.
    Explain {
        /// Exact name.
        rule: String,
    },
    /// Lets a shadow rule act.
    PromoteRule {
        /// Exact name.
        rule: String,
    },
    /// Runs a rule's tasks by hand.
    Trigger {
        /// Exact name.
        rule: String,
        /// JSON object that overrides the rule's parameters; empty text for none.
        parameters: String,
        /// Who asks; enters the run id.
        sender: Sender,
    },
    /// Cancels a run.
    CancelTask {
        /// Run id.
        task_id: String,
        /// Why.
        reason: String,
    },
    /// Runs the tasks of a run that has ended again, on the same inputs and parameters, as a new run.
    RerunTask {
        /// Run id.
        task_id: String,
        /// Why.
        reason: String,
        /// Who asks; enters the new run's id.
        sender: Sender,
    },
    /// Acknowledges alarms.
    Acknowledge {
        /// Exact name or whole-name regular expression.
        alarm: String,
        /// Severity that is acknowledged.
        severity: i64,
        /// Who.
        user: String,
    },
    /// Takes an acknowledgement back.
    Unacknowledge {
        /// Exact name or whole-name regular expression.
        alarm: String,
    },
    /// Mutes alarms.
    Mute {
        /// Exact name or whole-name regular expression.
        alarm: String,
        /// For how long, seconds.
        duration_s: f64,
        /// Up to which severity.
        severity: i64,
        /// Who.
        user: String,
    },
    /// Mutes alarms in a window of time; without a window (begin and end are equal), takes back the windows that were given
    /// for exactly this text.
    MuteWindow {
        /// Exact name or whole-name regular expression.
        alarm: String,
        /// Begin.
        start: Tai,
        /// End.
        end: Tai,
        /// Up to which severity.
        severity: i64,
        /// Who.
        user: String,
        /// Why.
        reason: String,
    },
    /// Takes a mute back.
    Unmute {
        /// Exact name or whole-name regular expression.
        alarm: String,
    },
    /// A command, and who sent it as the bus says (`private_identity`): for the alarms' history.
    From {
        /// Who.
        identity: String,
        /// What.
        command: Box<Command>,
    },
    /// Publishes every alarm again.
    ShowAlarms,
    /// Publishes every rule again.
    ShowRules,
    /// Publishes every running and the last finished runs again.
    ShowTasks,
}

/// The answer to a command: the text of the final acknowledgement, or why it failed.
pub type Answer = Result<String, String>;
