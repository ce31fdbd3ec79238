//! The summary states of a CSC and what leads from one to the other.
//!
//! ```text
//!  ┌ any ──────────────────────────────────────────────── fault ──► FAULT ┐
//!  │                                                                      │
//!  │            enterControl                                              │
//!  │   OFFLINE ─────────────► STANDBY ◄──── standby ────┐                 │
//!  │      ▲                    │   │                    │                 │
//!  │      └──── exitControl ───┘   │ start     ┌ resting┴──────────────┐  │
//!  │                               └──────────►│ DISABLED        FAULT │  │
//!  │                                           └──┬──────▲─────────────┘  │
//!  │                                       enable │      │ disable        │
//!  │                                              ▼      │                │
//!  │                                             ENABLED ┘                │
//!  └──────────────────────────────────────────────────────────────────────┘
//! ```
//! The machine is a `statig` hierarchy: `any` catches the fault of every state, `resting` the `standby` of DISABLED and
//! FAULT. It is the only place that knows which transition is allowed where; the driver asks it ([`Machine::target`]),
//! carries the transition out, and then tells it ([`Machine::apply`]).

use std::fmt;

use statig::prelude::*;

/// Summary state of a CSC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SummaryState {
    /// Configured, idle.
    Disabled,
    /// At work.
    Enabled,
    /// Broken; `errorCode` says why.
    Fault,
    /// Not (or no longer) to be commanded.
    Offline,
    /// Up, not configured.
    Standby,
}

impl SummaryState {
    /// All states.
    pub const ALL: [SummaryState; 5] = [
        SummaryState::Disabled,
        SummaryState::Enabled,
        SummaryState::Fault,
        SummaryState::Offline,
        SummaryState::Standby,
    ];

    /// The number on the wire.
    pub fn value(self) -> i64 {
        match self {
            SummaryState::Disabled => 1,
            SummaryState::Enabled => 2,
            SummaryState::Fault => 3,
            SummaryState::Offline => 4,
            SummaryState::Standby => 5,
        }
    }

    /// The state of a number.
    pub fn from_value(value: i64) -> Option<SummaryState> {
        SummaryState::ALL.into_iter().find(|s| s.value() == value)
    }

    /// `ENABLED`.
    pub fn name(self) -> &'static str {
        match self {
            SummaryState::Disabled => "DISABLED",
            SummaryState::Enabled => "ENABLED",
            SummaryState::Fault => "FAULT",
            SummaryState::Offline => "OFFLINE",
            SummaryState::Standby => "STANDBY",
        }
    }
}

/// As SAL's texts show a state: `<State.STANDBY: 5>`.
impl fmt::Display for SummaryState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<State.{}: {}>", self.name(), self.value())
    }
}

/// A command that changes the summary state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transition {
    /// STANDBY to DISABLED, with configuration.
    Start,
    /// DISABLED to ENABLED.
    Enable,
    /// ENABLED to DISABLED.
    Disable,
    /// DISABLED or FAULT to STANDBY.
    Standby,
    /// STANDBY to OFFLINE; then the process ends.
    ExitControl,
    /// OFFLINE to STANDBY; only externally commandable CSCs have it.
    EnterControl,
}

impl Transition {
    /// All transitions.
    pub const ALL: [Transition; 6] = [
        Transition::Start,
        Transition::Enable,
        Transition::Disable,
        Transition::Standby,
        Transition::ExitControl,
        Transition::EnterControl,
    ];

    /// Name of the command.
    pub fn command(self) -> &'static str {
        match self {
            Transition::Start => "start",
            Transition::Enable => "enable",
            Transition::Disable => "disable",
            Transition::Standby => "standby",
            Transition::ExitControl => "exitControl",
            Transition::EnterControl => "enterControl",
        }
    }

    /// The transition of a command.
    pub fn of_command(command: &str) -> Option<Transition> {
        Transition::ALL.into_iter().find(|t| t.command() == command)
    }

    /// The state it leads to.
    pub fn target(self) -> SummaryState {
        match self {
            Transition::Start | Transition::Disable => SummaryState::Disabled,
            Transition::Enable => SummaryState::Enabled,
            Transition::Standby | Transition::EnterControl => SummaryState::Standby,
            Transition::ExitControl => SummaryState::Offline,
        }
    }
}

/// The commands that lead from a state to another; `None` if FAULT is the target. From FAULT by `standby` first.
pub fn path(from: SummaryState, to: SummaryState) -> Option<Vec<Transition>> {
    const ORDER: [SummaryState; 4] =
        [SummaryState::Offline, SummaryState::Standby, SummaryState::Disabled, SummaryState::Enabled];
    const UP: [Transition; 3] = [Transition::EnterControl, Transition::Start, Transition::Enable];
    const DOWN: [Transition; 3] = [Transition::ExitControl, Transition::Standby, Transition::Disable];
    let place = |state| ORDER.iter().position(|s| *s == state);
    let goal = place(to)?;
    let mut steps = Vec::new();
    let start = place(from).unwrap_or_else(|| {
        steps.push(Transition::Standby);
        1
    });
    if start <= goal {
        steps.extend(&UP[start..goal]);
    } else {
        steps.extend(DOWN[goal..start].iter().rev());
    }
    Some(steps)
}

/// What happens to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Command(Transition),
    Fault,
    /// Back (or at start: on) to a state, e.g. because `end_enable` failed.
    Restore(SummaryState),
}

/// Shared storage of the `statig` machine: which state it was, and is in.
#[derive(Debug, Clone)]
struct Summary {
    state: SummaryState,
    transitions: u64,
}

#[state_machine(
    initial = "State::standby()",
    visibility = "pub(crate)",
    before_transition = "Self::before_transition",
    after_transition = "Self::after_transition",
    state(derive(Debug, Clone)),
    superstate(derive(Debug))
)]
impl Summary {
    #[state(superstate = "any")]
    fn offline(event: &Event) -> Outcome<State> {
        match event {
            Event::Command(Transition::EnterControl) => Transition(State::standby()),
            _ => Super,
        }
    }

    #[state(superstate = "any")]
    fn standby(event: &Event) -> Outcome<State> {
        match event {
            Event::Command(Transition::Start) => Transition(State::disabled()),
            Event::Command(Transition::ExitControl) => Transition(State::offline()),
            _ => Super,
        }
    }

    #[state(superstate = "resting")]
    fn disabled(event: &Event) -> Outcome<State> {
        match event {
            Event::Command(Transition::Enable) => Transition(State::enabled()),
            _ => Super,
        }
    }

    #[state(superstate = "any")]
    fn enabled(event: &Event) -> Outcome<State> {
        match event {
            Event::Command(Transition::Disable) => Transition(State::disabled()),
            _ => Super,
        }
    }

    #[state(superstate = "resting")]
    fn fault(event: &Event) -> Outcome<State> {
        match event {
            // Already there: only the error code may change, and that is the driver's.
            Event::Fault => Handled,
            _ => Super,
        }
    }

    /// Configured or broken, and not at work: `standby` is allowed.
    #[superstate(superstate = "any")]
    fn resting(event: &Event) -> Outcome<State> {
        match event {
            Event::Command(Transition::Standby) => Transition(State::standby()),
            _ => Super,
        }
    }

    /// Every state: any of them can break.
    #[superstate]
    fn any(event: &Event) -> Outcome<State> {
        match event {
            Event::Fault => Transition(State::fault()),
            Event::Restore(SummaryState::Disabled) => Transition(State::disabled()),
            Event::Restore(SummaryState::Enabled) => Transition(State::enabled()),
            Event::Restore(SummaryState::Fault) => Transition(State::fault()),
            Event::Restore(SummaryState::Offline) => Transition(State::offline()),
            Event::Restore(SummaryState::Standby) => Transition(State::standby()),
            Event::Command(_) => Handled,
        }
    }

    fn before_transition(&mut self, source: &State, target: &State, _context: &mut ()) {
        tracing::debug!("summary state: {source:?} -> {target:?}");
    }

    fn after_transition(&mut self, _source: &State, target: &State, _context: &mut ()) {
        self.transitions += 1;
        self.state = match target {
            State::Offline {} => SummaryState::Offline,
            State::Standby {} => SummaryState::Standby,
            State::Disabled {} => SummaryState::Disabled,
            State::Enabled {} => SummaryState::Enabled,
            State::Fault {} => SummaryState::Fault,
        };
    }
}

/// The summary-state machine of one CSC.
pub struct Machine {
    machine: statig::blocking::StateMachine<Summary>,
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("state", &self.state()).finish_non_exhaustive()
    }
}

impl Machine {
    /// A machine in a state.
    pub fn new(initial: SummaryState) -> Machine {
        let summary = Summary { state: SummaryState::Standby, transitions: 0 };
        let mut machine = Machine { machine: summary.state_machine() };
        machine.restore(initial);
        machine
    }

    /// The state it is in.
    pub fn state(&self) -> SummaryState {
        self.machine.inner().state
    }

    /// Where a command would lead from here; `None` if it is not allowed.
    pub fn target(&self, transition: Transition) -> Option<SummaryState> {
        let mut trial = Machine::new(self.state());
        trial.apply(transition)
    }

    /// Carries a command's transition out; `None` (and no change) if it is not allowed.
    pub fn apply(&mut self, transition: Transition) -> Option<SummaryState> {
        self.dispatch(Event::Command(transition))
    }

    /// To FAULT; `None` if it is there already.
    pub fn fault(&mut self) -> Option<SummaryState> {
        self.dispatch(Event::Fault)
    }

    /// Back to a state.
    pub fn restore(&mut self, state: SummaryState) {
        self.dispatch(Event::Restore(state));
    }

    fn dispatch(&mut self, event: Event) -> Option<SummaryState> {
        let before = self.machine.inner().transitions;
        self.machine.handle(&event);
        (self.machine.inner().transitions > before).then(|| self.state())
    }
}

#[cfg(test)]
mod tests {
    use super::{Machine, SummaryState as S, Transition as T, path};

    #[test]
    fn every_edge_legal_and_illegal() {
        let legal = [
            (S::Standby, T::Start, S::Disabled),
            (S::Disabled, T::Enable, S::Enabled),
            (S::Enabled, T::Disable, S::Disabled),
            (S::Disabled, T::Standby, S::Standby),
            (S::Fault, T::Standby, S::Standby),
            (S::Standby, T::ExitControl, S::Offline),
            (S::Offline, T::EnterControl, S::Standby),
        ];
        for from in S::ALL {
            for t in T::ALL {
                let expected = legal.iter().find(|(f, l, _)| *f == from && *l == t).map(|(_, _, to)| *to);
                let mut m = Machine::new(from);
                assert_eq!(m.state(), from);
                assert_eq!(m.target(t), expected, "{from:?} {t:?}");
                assert_eq!(m.state(), from, "asking changes nothing");
                assert_eq!(m.apply(t), expected);
                assert_eq!(m.state(), expected.unwrap_or(from));
                assert!(expected.is_none_or(|to| to == t.target()));
            }
        }
    }

    #[test]
    fn every_state_can_break_and_fault_breaks_once() {
        for from in S::ALL {
            let mut m = Machine::new(from);
            assert_eq!(m.fault(), (from != S::Fault).then_some(S::Fault));
            assert_eq!(m.state(), S::Fault);
        }
    }

    #[test]
    fn paths_go_step_by_step() {
        assert_eq!(path(S::Offline, S::Enabled), Some(vec![T::EnterControl, T::Start, T::Enable]));
        assert_eq!(path(S::Enabled, S::Offline), Some(vec![T::Disable, T::Standby, T::ExitControl]));
        assert_eq!(path(S::Fault, S::Disabled), Some(vec![T::Standby, T::Start]));
        assert_eq!(path(S::Fault, S::Standby), Some(vec![T::Standby]));
        assert_eq!(path(S::Disabled, S::Disabled), Some(vec![]));
        assert_eq!(path(S::Standby, S::Fault), None);
        assert_eq!(S::Standby.to_string(), "<State.STANDBY: 5>");
    }
}
