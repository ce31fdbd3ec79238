//! Which command is accepted in which state, and what is said when it is not. Pure.
//!
//! The state is looked at before the arguments: a command in a wrong state fails because of the state, whatever it says.

use super::state::{SummaryState, Transition};
use crate::error::py_repr;

/// The states in which a command of the CSC's own is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandRule {
    /// Accepted in these.
    pub states: &'static [SummaryState],
    /// How the refusal begins: `<action> not allowed in state=...`; empty for `Not allowed in state=...`.
    pub action: &'static str,
}

impl CommandRule {
    /// ENABLED only.
    pub const ENABLED: CommandRule = CommandRule { states: &[SummaryState::Enabled], action: "" };
    /// DISABLED and ENABLED.
    pub const CONFIGURED: CommandRule =
        CommandRule { states: &[SummaryState::Disabled, SummaryState::Enabled], action: "" };
    /// Every state.
    pub const ANY: CommandRule = CommandRule { states: &SummaryState::ALL, action: "" };

    /// The same rule with a name for what is refused.
    pub const fn named(self, action: &'static str) -> CommandRule {
        CommandRule { action, ..self }
    }
}

/// Accepts a command or says why not.
pub fn check(
    rule: CommandRule,
    state: SummaryState,
    error_code: i64,
    error_report: &str,
) -> Result<(), String> {
    if rule.states.contains(&state) {
        return Ok(());
    }
    let start = if rule.action.is_empty() { "Not".to_owned() } else { format!("{} not", rule.action) };
    if state == SummaryState::Fault {
        let report = py_repr(error_report);
        return Err(format!("{start} allowed in Fault state: errorCode={error_code}, errorReport={report}"));
    }
    Err(format!("{start} allowed in state={state}"))
}

/// What is said when a transition is not possible.
pub fn transition_refused(transition: Transition, state: SummaryState) -> String {
    format!("{} not allowed in state {state}", transition.command())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_salobjs_texts() {
        let disabled = SummaryState::Disabled;
        assert_eq!(check(CommandRule::ENABLED, SummaryState::Enabled, 0, ""), Ok(()));
        assert_eq!(
            check(CommandRule::ENABLED, disabled, 0, "").unwrap_err(),
            "Not allowed in state=<State.DISABLED: 1>"
        );
        assert_eq!(
            check(CommandRule::ENABLED.named("move"), disabled, 0, "").unwrap_err(),
            "move not allowed in state=<State.DISABLED: 1>"
        );
        assert_eq!(
            check(CommandRule::ENABLED, SummaryState::Fault, 1, "executing the fault command").unwrap_err(),
            "Not allowed in Fault state: errorCode=1, errorReport='executing the fault command'"
        );
        assert_eq!(
            check(CommandRule::ENABLED.named("move"), SummaryState::Fault, 1, "it's").unwrap_err(),
            "move not allowed in Fault state: errorCode=1, errorReport=\"it's\""
        );
        assert_eq!(
            transition_refused(Transition::Enable, SummaryState::Standby),
            "enable not allowed in state <State.STANDBY: 5>"
        );
        for state in SummaryState::ALL {
            assert_eq!(check(CommandRule::ANY, state, 0, ""), Ok(()));
        }
    }
}
