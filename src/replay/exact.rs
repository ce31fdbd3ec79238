//! Exact replay: the inputs that a live core was given, each at the time that it was given, and nothing else. What the
//! core makes of them must be what it made live; the recording has that too, so both can be compared. How long evaluations
//! took is not recorded: a rule that was stopped because it was slow goes on here, and that is told as a difference.

use std::collections::BTreeMap;
use std::sync::Arc;

use salobj::Tai;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::archive::ItemRef;
use super::bound::Bound;
use super::transition::{Collector, Transition};
use crate::alarms::IncidentAnswer;
use crate::core::{Command, Core, Input, Output, Recovery, Settings};
use crate::rules::{Rule, SchemaSource, SourceFile, compile, json_value, value_json};
use crate::tasks::call::{StepReport, StepReportKind};

/// An input of the core that is no record and no tick, as a recording keeps it. Rules are kept as their definitions.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "input", rename_all = "snake_case")]
pub enum Control {
    /// A process began with this in its journal.
    Begin {
        /// The newest value of every key.
        entries: BTreeMap<String, Json>,
    },
    /// `start`.
    Configure {
        /// Definitions of the rules.
        rules: Vec<String>,
        /// What the site says.
        settings: Settings,
    },
    /// ENABLED was entered.
    Enable,
    /// ENABLED was left.
    Disable,
    /// Runs of before a restart go on.
    Resume,
    /// The past of new rules has been read.
    CaughtUp,
    /// The EFD answered a query of a rule's input.
    Table {
        /// The query.
        query: String,
        /// Its columns.
        columns: BTreeMap<String, Json>,
    },
    /// The EFD could not answer it.
    TableFailed {
        /// The query.
        query: String,
        /// Why.
        reason: String,
    },
    /// A command.
    Command {
        /// The command, without rules.
        command: Command,
        /// Definitions of the rules of `addRule`.
        rules: Vec<String>,
    },
    /// A step's report.
    Report {
        /// As the driver gave it, without plots.
        report: StepReport,
    },
    /// A report was written, or could not be.
    ReportWritten {
        /// The run.
        run_id: String,
        /// Its address, or why there is none.
        url: Result<String, String>,
    },
    /// The escalation service has answered.
    IncidentAnswer {
        /// Id of the incident.
        id: String,
        /// What became of the call.
        answer: IncidentAnswer,
    },
}

impl Control {
    /// What a recording keeps of an input; `None` for records, ticks and checkpoints.
    pub fn of(input: &Input<'_>) -> Option<Control> {
        let definitions = |rules: &[Arc<Rule>]| rules.iter().map(|r| r.definition.clone()).collect();
        Some(match input {
            Input::Sample(_) | Input::History(_) | Input::Tick | Input::Checkpoint => return None,
            // They change no alarm.
            Input::NotTold { .. } | Input::CallAgain => return None,
            Input::IncidentAnswer { id, answer } => {
                Control::IncidentAnswer { id: id.clone(), answer: answer.clone() }
            }
            Input::Command { command, .. } => {
                let rules = match command {
                    Command::AddRule { rules, .. } => definitions(rules),
                    _ => Vec::new(),
                };
                Control::Command { command: command.clone(), rules }
            }
            Input::Report(report) => {
                let mut report = report.clone();
                // Its curves may have gaps, which JSON does not know; no rule reads them.
                if let StepReportKind::Ended(Ok(outcome)) = &mut report.kind {
                    outcome.plot = None;
                }
                Control::Report { report }
            }
            Input::ReportWritten { run_id, url } => {
                Control::ReportWritten { run_id: run_id.clone(), url: url.clone() }
            }
            Input::Configure { rules, settings } => {
                Control::Configure { rules: definitions(rules), settings: settings.clone() }
            }
            Input::Enable => Control::Enable,
            Input::Disable => Control::Disable,
            Input::Resume => Control::Resume,
            Input::CaughtUp => Control::CaughtUp,
            Input::Table { query, columns } => Control::Table {
                query: query.clone(),
                columns: columns.iter().map(|(name, value)| (name.clone(), value_json(value))).collect(),
            },
            Input::TableFailed { query, reason } => {
                Control::TableFailed { query: query.clone(), reason: reason.clone() }
            }
        })
    }
}

/// How live and replay differ first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Place in the list, from 0.
    pub at: usize,
    /// What happened live.
    pub live: Option<Transition>,
    /// What the replay made.
    pub replayed: Option<Transition>,
}

/// See the module's documentation.
pub struct Exact<'a> {
    core: Core,
    schemas: &'a dyn SchemaSource,
    bound: Bound,
    collector: Collector,
    live: Vec<Transition>,
    replayed: Vec<Transition>,
    out: Vec<Output>,
    records: u64,
    lost: u64,
}

impl<'a> Exact<'a> {
    /// Nothing known yet: a recording of a live run begins with what the process began with.
    pub fn new(schemas: &'a dyn SchemaSource) -> Exact<'a> {
        Exact {
            core: Core::new(Tai::default()),
            schemas,
            bound: Bound::default(),
            collector: Collector::default(),
            live: Vec::new(),
            replayed: Vec::new(),
            out: Vec::new(),
            records: 0,
            lost: 0,
        }
    }

    /// Takes the next item of the recording.
    ///
    /// # Errors
    /// A rule of the recording does not compile, or an input is of another version.
    pub fn item(&mut self, item: &ItemRef<'_>) -> Result<(), String> {
        match item {
            ItemRef::Session => self.bound.session(),
            ItemRef::Schema { id, text } => self.bound.schema(*id, text),
            ItemRef::Topic(decl) => self.bound.topic(decl.clone()),
            ItemRef::Record(record) => {
                self.records += 1;
                // A record that cannot be read was skipped live as well.
                if let Ok(Some(taken)) = self.bound.take(record, record.received)
                    && let Some(sample) = &taken.sample
                {
                    let input = if record.live { Input::Sample(sample) } else { Input::History(sample) };
                    self.core.step(input, record.received, &mut self.out);
                }
                self.collect(record.received);
            }
            ItemRef::Tick { at } => self.step(Input::Tick, *at),
            ItemRef::Control { at, json } => {
                let control = serde_json::from_str(json)
                    .map_err(|e| format!("{}: an input is not understood: {e}", at.utc_iso()))?;
                self.control(control, *at).map_err(|e| format!("{}: {e}", at.utc_iso()))?;
            }
            ItemRef::Transition { at, json } => {
                let transition = serde_json::from_str(json)
                    .map_err(|e| format!("{}: a transition is not understood: {e}", at.utc_iso()))?;
                self.live.push(transition);
            }
            ItemRef::Gap { lost, .. } => self.lost += lost,
        }
        Ok(())
    }

    fn control(&mut self, control: Control, at: Tai) -> Result<(), String> {
        match control {
            Control::Begin { entries } => {
                self.core = Core::new(at);
                self.collector = Collector::default();
                let schemas = self.schemas;
                let one = |name: &str, definition: &str| {
                    let rules = compiled(std::slice::from_ref(&definition.to_owned()), schemas)?;
                    rules.into_iter().find(|r| r.name == name).ok_or_else(|| format!("no rule {name}"))
                };
                let recovery = Recovery { entries: &entries, compile: &one };
                // What could not be taken up could not be live either.
                drop(self.core.recover(&recovery, at, &mut self.out));
                self.collect(at);
            }
            Control::Configure { rules, settings } => {
                let rules = compiled(&rules, self.schemas)?;
                self.step(Input::Configure { rules, settings }, at);
            }
            Control::Enable => self.step(Input::Enable, at),
            Control::Disable => self.step(Input::Disable, at),
            Control::Resume => self.step(Input::Resume, at),
            Control::CaughtUp => self.step(Input::CaughtUp, at),
            Control::Table { query, columns } => {
                let columns = columns.iter().map(|(name, json)| (name.clone(), json_value(json))).collect();
                self.step(Input::Table { query, columns }, at);
            }
            Control::TableFailed { query, reason } => self.step(Input::TableFailed { query, reason }, at),
            Control::Command { mut command, rules } => {
                if let Command::AddRule { rules: compiled_rules, .. } = &mut command {
                    *compiled_rules = compiled(&rules, self.schemas)?;
                }
                self.step(Input::Command { ticket: 0, command }, at);
            }
            Control::Report { report } => self.step(Input::Report(report), at),
            Control::ReportWritten { run_id, url } => self.step(Input::ReportWritten { run_id, url }, at),
            Control::IncidentAnswer { id, answer } => self.step(Input::IncidentAnswer { id, answer }, at),
        }
        Ok(())
    }

    fn step(&mut self, input: Input<'_>, at: Tai) {
        self.core.step(input, at, &mut self.out);
        self.collect(at);
    }

    fn collect(&mut self, at: Tai) {
        let mut out = std::mem::take(&mut self.out);
        for output in out.drain(..) {
            self.collector.take(&output, &self.core, at, &mut self.replayed);
            if matches!(output, Output::Resubscribe) {
                self.bound.bind(self.core.subscriptions(), &[]);
            }
        }
        self.out = out;
    }

    /// The core, to look at.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// What the replay made.
    pub fn transitions(&self) -> &[Transition] {
        &self.replayed
    }

    /// What happened live, as the recording says.
    pub fn live(&self) -> &[Transition] {
        &self.live
    }

    /// Records that went through.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Items that could not be recorded: with any, live and replay need not agree.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The first place where live and replay differ.
    pub fn difference(&self) -> Option<Difference> {
        let longest = self.live.len().max(self.replayed.len());
        let at = (0..longest).find(|i| self.live.get(*i) != self.replayed.get(*i))?;
        let (live, replayed) = (self.live.get(at).cloned(), self.replayed.get(at).cloned());
        Some(Difference { at, live, replayed })
    }
}

fn compiled(definitions: &[String], schemas: &dyn SchemaSource) -> Result<Vec<Arc<Rule>>, String> {
    let mut rules = Vec::new();
    for definition in definitions {
        let source = SourceFile { name: "recorded".to_owned(), text: definition.clone() };
        match compile(&source, schemas) {
            Ok(all) => rules.extend(all),
            Err(mistakes) => {
                let told: Vec<String> = mistakes.iter().map(|d| d.render(false)).collect();
                return Err(format!("a recorded rule does not compile: {}", told.join("\n")));
            }
        }
    }
    Ok(rules)
}
