//! The one owner of rules, alarms and runs: `step(input, now)` gives outputs. Pure: replay, rule tests and live running
//! use the same code.
//!
//! ```text
//!  Input ──► Core ─┬─► rules::Engine ──Effect──┐
//!                  ├─► alarms::Book  ◄─────────┤ SetSeverity
//!                  ├─► tasks::Runs   ◄─────────┘ StartRun     ──RunAction──► Dispatch, events
//!                  └─► outputs: Record first (journal), then Publish, Answer, Dispatch, Report
//! ```
//!
//! The caller appends all [`Output::Record`]s of one step, or of several, to the journal in one go, after an
//! [`Input::Checkpoint`] that adds the states of the rules, and carries the others out, in their order, only after that has
//! succeeded.
//!
//! * [`command`]: what it can be told to do; `commands` does it
//! * [`event`]: what it publishes
//! * [`rule_table`]: which rules there are
//! * `explain`: why a rule did what it did
//! * `history`: the alarms' transitions, numbered
//! * `links`: what rules read of each other and of the EFD
//! * `effects`: what follows from the engine's and the runs' decisions
//! * `rerun`: runs once more, and their end when the CSC leaves ENABLED
//! * `recover`: taking up what the journal kept
//! * [`selftest`]: the tests inside rule files

pub mod command;
mod commands;
mod effects;
pub mod event;
mod explain;
mod history;
mod links;
mod missed;
mod recover;
mod rerun;
pub mod rule_table;
pub mod selftest;
mod show;
mod tell;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use salobj::{Tai, Value};

use crate::alarms::{AlarmTransition, Book, Bundle, IncidentAnswer, IncidentCall, MuteWindow, StormConfig};
use crate::journal::{Keep, Record};
use crate::rules::{Effect, Engine, Input as RuleInput, Rule, Sample, Stopwatch, Subscriptions};
use crate::tasks::call::{StepCall, StepId, StepReport, Stop};
use crate::tasks::run::RunAction;
use crate::tasks::runs::Runs;

pub use command::{Answer, Command, Sender};
pub use event::{Event, Notification, ResultEvent, RuleEvent, Summary, TaskEvent};
pub use history::HISTORY;
pub use recover::{Compile, Recovery};
pub use rule_table::{Entry, Memory, Origin, RuleState, RuleTable};

use crate::alarms::AlarmConfig;

/// What the core is told.
#[derive(Debug)]
pub enum Input<'a> {
    /// A record that has just come.
    Sample(&'a Sample<'a>),
    /// A record of the past: fills, never fires.
    History(&'a Sample<'a>),
    /// Time went on.
    Tick,
    /// A command; the answer carries the same ticket.
    Command {
        /// To find the one who waits for the answer.
        ticket: u64,
        /// The command.
        command: Command,
    },
    /// The driver reports on a step.
    Report(StepReport),
    /// The report of a run was written, or could not be.
    ReportWritten {
        /// The run.
        run_id: String,
        /// Its address, or why there is none.
        url: Result<String, String>,
    },
    /// `start`: these are the configured rules.
    Configure {
        /// Compiled rules of the configuration.
        rules: Vec<Arc<Rule>>,
        /// What the site says about alarms and reports.
        settings: Settings,
    },
    /// The past that the rules need has been read: those that were added while the others were going begin.
    CaughtUp,
    /// The EFD answered one of [`Core::queries`]: its columns by name.
    Table {
        /// The query.
        query: String,
        /// The columns.
        columns: BTreeMap<String, Value>,
    },
    /// The EFD could not answer it.
    TableFailed {
        /// The query.
        query: String,
        /// Why.
        reason: String,
    },
    /// The CSC enters ENABLED.
    Enable,
    /// The CSC leaves ENABLED.
    Disable,
    /// After a restart: go on with the runs that were going.
    Resume,
    /// Write down the state of the rules that changed since the last time (at least every 5 s).
    Checkpoint,
    /// The escalation service has answered a call.
    IncidentAnswer {
        /// Id of the incident.
        id: String,
        /// What became of the call.
        answer: IncidentAnswer,
    },
    /// A receiver could not be told.
    NotTold {
        /// Its name.
        receiver: String,
        /// The alarm.
        about: String,
        /// Why.
        reason: String,
    },
    /// Calls to the escalation service that nobody has taken up are made again (every 5 s).
    CallAgain,
}

/// What the core wants done.
#[derive(Debug, Clone)]
pub enum Output {
    /// Append to the journal, before anything else of this step.
    Record(Record),
    /// Append to the history of the alarms, before the journal is appended to: what the journal does not confirm by its
    /// record [`HISTORY`] is taken back at the next start.
    History(Box<AlarmTransition>),
    /// Publish an event.
    Publish(Event),
    /// Answer a command.
    Answer {
        /// As in the command.
        ticket: u64,
        /// Text of the final acknowledgement, or why it failed.
        answer: Answer,
    },
    /// Carry a step out.
    Dispatch(Box<StepCall>),
    /// Go on with a step after a restart.
    Resume(Box<StepCall>),
    /// Stop a step.
    Abort {
        /// Which.
        id: StepId,
        /// Why.
        stop: Stop,
    },
    /// A run has ended whose rule wants a report.
    WriteReport {
        /// The run.
        run_id: String,
    },
    /// Tell the receivers that want it, as one message.
    Notify(Bundle),
    /// Make a call to the escalation service; its answer is [`Input::IncidentAnswer`].
    Incident(IncidentCall),
    /// The rules read other topics now: see [`Core::subscriptions`].
    Resubscribe,
    /// Something the operators' log should have: a readable sentence.
    Warn(String),
    /// Something the log should have that is nobody's fault.
    Note(String),
}

/// What the site says, for all rules.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct Settings {
    /// Delays for alarms whose rule says nothing.
    pub alarm: AlarmConfig,
    /// Base of the addresses of reports, without a slash at the end.
    pub report_base: String,
    /// Who opens incidents, e.g. `Catcher:1`; `None` if there is no escalation service.
    pub incident_owner: Option<String>,
    /// Mute windows.
    #[serde(default)]
    pub mute_windows: Vec<MuteWindow>,
    /// How people are kept from being told too much.
    #[serde(default)]
    pub storms: StormConfig,
    /// How much of the alarms' history is kept.
    #[serde(default)]
    pub keep_history: Keep,
}

/// See the module's documentation.
pub struct Core {
    engine: Engine,
    book: Book,
    runs: Runs,
    rules: RuleTable,
    /// Rules of runs that are not final, by run: a run goes on with the revision that it began with.
    rule_of_run: BTreeMap<String, Arc<Rule>>,
    settings: Settings,
    enabled: bool,
    summary: Option<Summary>,
    /// Rules whose journal entry is out of date.
    unsaved_rules: BTreeSet<String>,
    /// Rules whose event is to be published at the end of this step.
    changed_rules: BTreeSet<String>,
    /// Runs (step empty) and steps whose event is to be published at the end of this step.
    changed_tasks: Vec<(String, String)>,
    /// What the journal has of each rule's state.
    saved_states: BTreeMap<String, serde_json::Value>,
    checkpoint_due: bool,
    /// True once the rules' states of the journal were taken up.
    restored: bool,
    /// What `recover` found to be gone on with, until [`Input::Resume`].
    resumed: Vec<RunAction>,
    /// What came before the process was back in ENABLED, if it goes there by itself.
    missed: Option<missed::Missed>,
    /// Runs that ended before the restart and have no report yet, until [`Input::Resume`].
    unreported: Vec<String>,
    /// Ends of runs that are told once more, until [`Input::Resume`].
    untold: Vec<Event>,
    /// What rules read that is not on the bus.
    links: links::Links,
    /// Number of the next transition of an alarm.
    next_transition: u64,
    /// Empty between steps; kept for its capacity.
    effects: Vec<Effect>,
}

impl Core {
    /// Nothing known yet, not enabled.
    pub fn new(now: Tai) -> Self {
        let mut book = Book::new();
        book.freeze();
        let mut engine = Engine::new(&[], now);
        engine.sleep();
        Self {
            engine,
            book,
            runs: Runs::default(),
            rules: RuleTable::default(),
            rule_of_run: BTreeMap::new(),
            settings: Settings::default(),
            enabled: false,
            summary: None,
            unsaved_rules: BTreeSet::new(),
            changed_rules: BTreeSet::new(),
            changed_tasks: Vec::new(),
            saved_states: BTreeMap::new(),
            checkpoint_due: false,
            restored: false,
            resumed: Vec::new(),
            missed: None,
            unreported: Vec::new(),
            untold: Vec::new(),
            links: links::Links::default(),
            next_transition: 1,
            effects: Vec::new(),
        }
    }

    /// Takes one input; appends what is to be done to `out`.
    pub fn step(&mut self, input: Input<'_>, now: Tai, out: &mut Vec<Output>) {
        self.book.see(now);
        match input {
            Input::Sample(sample) if self.enabled => {
                if !self.engine_step(RuleInput::Sample(sample), now, out) {
                    return;
                }
            }
            Input::Sample(sample) => {
                self.miss(sample);
                if !self.engine_step(RuleInput::Quiet(sample), now, out) {
                    return;
                }
            }
            Input::History(sample) => {
                if !self.engine_step(RuleInput::History(sample), now, out) {
                    return;
                }
            }
            Input::Tick => {
                if !self.tick(now, out) {
                    return;
                }
            }
            Input::Command { ticket, command } => {
                let answer = self.command(command, now, out);
                self.settle(now, out);
                out.push(Output::Answer { ticket, answer });
                return;
            }
            Input::Report(report) => self.report(report, now, out),
            Input::ReportWritten { run_id, url } => self.report_written(&run_id, url, now, out),
            Input::Configure { rules, settings } => self.configure(&rules, settings, now, out),
            Input::Table { query, columns } => self.table(&query, &columns, now, out),
            Input::TableFailed { query, reason } => self.query_failed(&query, Some(&reason)),
            Input::CaughtUp => self.caught_up(now, out),
            Input::Enable => self.enable(now, out),
            Input::Disable => self.disable(now, out),
            Input::Resume => self.resume(now, out),
            Input::Checkpoint => self.checkpoint(out),
            Input::IncidentAnswer { id, answer } => self.book.incident_answer(&id, answer),
            Input::NotTold { receiver, about, reason } => self.not_told(&receiver, &about, &reason, out),
            Input::CallAgain => self.book.call_again(),
        }
        self.settle(now, out);
    }

    /// False if nothing came of it.
    fn tick(&mut self, now: Tai, out: &mut Vec<Output>) -> bool {
        let mut any = false;
        if self.enabled {
            any = self.engine_step(RuleInput::Tick, now, out);
            any |= self.book.next_deadline().is_some_and(|due| due <= now);
            self.book.tick(now);
        }
        any | self.tick_runs(now, out)
    }

    /// When the next [`Input::Tick`] is wanted.
    pub fn next_deadline(&self) -> Option<Tai> {
        let live = if self.enabled { self.engine.next_deadline() } else { None };
        let all = [live, self.book.next_deadline(), self.runs.next_deadline()];
        all.into_iter().flatten().min_by(|a, b| a.0.total_cmp(&b.0))
    }

    /// What has to be read from the bus.
    pub fn subscriptions(&self) -> &Subscriptions {
        self.engine.subscriptions()
    }

    /// True while some rule waits for its past to be read: [`Input::CaughtUp`] is wanted then.
    pub fn is_filling(&self) -> bool {
        self.engine.is_filling()
    }

    /// The topics of which the past has to be read (again), by [`TopicId`](crate::rules::TopicId).
    pub fn filling_topics(&self) -> BTreeSet<u32> {
        self.engine.filling_topics()
    }

    /// Times some evaluations, to find slow rules.
    pub fn lend_stopwatch(&mut self, stopwatch: Stopwatch) {
        self.engine.lend_stopwatch(stopwatch);
    }

    /// The rules.
    pub fn rules(&self) -> &RuleTable {
        &self.rules
    }

    /// True if something happened whose record needs the states of the rules beside it: [`Input::Checkpoint`] is to be given
    /// before anything is appended to the journal.
    pub fn checkpoint_due(&self) -> bool {
        self.checkpoint_due
    }

    /// How many keys a rule with `by` has.
    pub fn keys(&self, rule: &str) -> usize {
        self.engine.status(rule).map_or(0, |status| status.keys)
    }

    /// Names of the keys of a rule with `by`, in their order.
    pub fn key_names(&self, rule: &str) -> Vec<&str> {
        self.engine.key_names(rule)
    }

    /// The alarms.
    pub fn alarms(&self) -> &Book {
        &self.book
    }

    /// The runs.
    pub fn runs(&self) -> &Runs {
        &self.runs
    }

    /// The rule of a run, in the revision that it began with.
    pub fn rule_of_run(&self, run_id: &str) -> Option<&Arc<Rule>> {
        self.rule_of_run.get(run_id)
    }

    /// Is the CSC enabled, as far as the core knows?
    pub fn enabled(&self) -> bool {
        self.enabled
    }
}
