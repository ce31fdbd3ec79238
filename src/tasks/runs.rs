//! All runs: those that wait, those under way, the last that ended. Pure.
//!
//! A run is known by its id, and an id that was ever used is not used again: the same occurrence seen twice (after a
//! restart, say) starts one run. For that the ids of the last [`KNOWN_IDS`] ended runs are remembered, the last
//! [`KEEP_FINISHED`] of them whole.
//!
//! Runs that failed, or whose time was up, and that were not run again stay whole for longer ([`KEEP_FAILED`]), so that somebody
//! can look at them, run them again or dismiss them.
//!
//! Journal keys: `run/<id>` is a whole run, or, once it is not kept whole any more, only how it ended;
//! `item/<run>/<step>` is the step of one item of a `foreach` of a run that is kept whole;
//! `command/<run>/<step>/<attempt>` belongs to the backends and is deleted here when the attempt ended; `runs` has the
//! counts.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use salobj::Tai;
use serde::{Deserialize, Serialize};

use super::call::StepReport;
use super::plan::{Plan, RunContext};
use super::run::{IllegalReport, Run, RunAction, RunEvent, RunHeader};
use super::state::TaskState;

#[cfg(test)]
mod tests;

/// How many ended runs are kept whole, for `showTasks` and the summary's list.
pub const KEEP_FINISHED: usize = 20;

/// How many runs that failed, and were not run again, are kept whole beyond those: the dead-letter list.
pub const KEEP_FAILED: usize = 100;

/// How many ids of ended runs are remembered.
pub const KNOWN_IDS: usize = 5000;

/// The workflow of a rule, shared.
pub type SharedPlan = Arc<dyn Plan + Send + Sync>;

/// Why a run cannot be cancelled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CancelRefused {
    /// No run has this id, or it ended long ago.
    #[error("there is no run {0:?}")]
    Unknown(String),
    /// It has ended.
    #[error("run {id:?} has ended: {state}")]
    Ended {
        /// The id.
        id: String,
        /// Its state.
        state: TaskState,
    },
    /// It is ending already.
    #[error("run {id:?} is being stopped already: {reason}")]
    Stopping {
        /// The id.
        id: String,
        /// Why.
        reason: String,
    },
}

/// The numbers and lists of the `summary` event that are about runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunsSummary {
    /// Runs under way.
    pub executing: usize,
    /// Runs that wait to begin.
    pub queued: usize,
    /// Runs that ended, in whatever state, since the journal began.
    pub finished: u64,
    /// Those of them that FAILED or TIMED_OUT.
    pub failed: u64,
    /// Ids of the runs under way, newest first, comma-separated.
    pub executing_ids: String,
    /// Ids of the last [`KEEP_FINISHED`] that ended, newest first, comma-separated.
    pub finished_ids: String,
}

/// A record of the journal that could not be taken back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("journal entry {key}: {reason}")]
pub struct BadEntry {
    /// Its key.
    pub key: String,
    /// What is wrong.
    pub reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Counts {
    finished: u64,
    failed: u64,
}

/// What the journal keeps of a run that ended a while ago.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Ended {
    ended: TaskState,
    finished: Tai,
}

struct Going {
    run: Run,
    plan: Option<SharedPlan>,
}

/// The set of all runs.
#[derive(Default)]
pub struct Runs {
    going: BTreeMap<String, Going>,
    /// Newest first.
    finished: VecDeque<Run>,
    /// Failed, no longer in `finished`, and not run again; newest first.
    failed: VecDeque<Run>,
    /// Ended and no longer in `finished`, newest first.
    past: VecDeque<String>,
    past_states: HashMap<String, Ended>,
    counts: Counts,
    illegal_reports: u64,
    changed: BTreeSet<String>,
    /// Steps of items that changed: run and step.
    changed_items: BTreeSet<(String, String)>,
    forgotten: BTreeSet<String>,
}

impl Runs {
    /// No runs.
    pub fn new() -> Self {
        Self::default()
    }

    /// True if a run of that id exists or existed.
    pub fn knows(&self, id: &str) -> bool {
        self.get(id).is_some() || self.past_states.contains_key(id)
    }

    /// The run of that id, under way or among the last that ended.
    pub fn get(&self, id: &str) -> Option<&Run> {
        let ended = || self.finished.iter().chain(&self.failed).find(|r| r.id() == id);
        self.going.get(id).map(|g| &g.run).or_else(ended)
    }

    /// The runs that have not ended, in the order of their ids.
    pub fn active(&self) -> impl Iterator<Item = &Run> {
        self.going.values().map(|g| &g.run)
    }

    /// The last runs that ended, newest first.
    pub fn finished(&self) -> impl Iterator<Item = &Run> {
        self.finished.iter()
    }

    /// Runs that failed a while ago and were not run again, newest first.
    pub fn failed(&self) -> impl Iterator<Item = &Run> {
        self.failed.iter()
    }

    /// Notes that `by` was started in place of a run that has ended: it is not among the failed ones any more. Also for one
    /// that somebody has seen and does not want to run again (`by` empty). False if it did not fail, or ended too long ago.
    pub fn settle(&mut self, id: &str, by: &str) -> bool {
        if let Some(at) = self.failed.iter().position(|r| r.id() == id)
            && let Some(run) = self.failed.remove(at)
        {
            self.let_go(run);
            return true;
        }
        let open = |r: &&mut Run| r.id() == id && r.is_open();
        let Some(run) = self.finished.iter_mut().find(open) else { return false };
        run.repeated_by = if by.is_empty() { "dismissed".to_owned() } else { by.to_owned() };
        self.changed.insert(id.to_owned());
        true
    }

    /// Reports that fitted no state, since the start of the process.
    pub fn illegal_reports(&self) -> u64 {
        self.illegal_reports
    }

    /// Records a run that waits (PENDING). False, and nothing happens, if its id is known.
    pub fn queue(
        &mut self,
        header: RunHeader,
        context: RunContext,
        plan: SharedPlan,
        out: &mut Vec<RunAction>,
    ) -> bool {
        if self.knows(&header.id) {
            return false;
        }
        let run = Run::new(header, context, plan.as_ref());
        let id = run.id().to_owned();
        out.push(RunAction::RunChanged { run_id: id.clone() });
        self.changed.insert(id.clone());
        self.going.insert(id, Going { run, plan: Some(plan) });
        true
    }

    /// Begins a run, new or waiting. False, and nothing happens, if it began before.
    pub fn start(
        &mut self,
        header: RunHeader,
        context: RunContext,
        plan: SharedPlan,
        now: Tai,
        out: &mut Vec<RunAction>,
    ) -> bool {
        let id = header.id.clone();
        match self.going.get_mut(&id) {
            Some(waiting) if waiting.run.state == TaskState::Pending => {
                waiting.run.context = context;
                waiting.plan = Some(plan);
            }
            Some(_) => return false,
            None => {
                if !self.queue(header, context, plan, out) {
                    return false;
                }
            }
        }
        self.apply(&id, RunEvent::Start, now, out).is_ok()
    }

    /// Records that an occurrence is not run, or that a waiting run will not begin. False if its id is known and it
    /// does not wait.
    pub fn skip(
        &mut self,
        header: RunHeader,
        context: RunContext,
        plan: SharedPlan,
        reason: String,
        now: Tai,
        out: &mut Vec<RunAction>,
    ) -> bool {
        let id = header.id.clone();
        let waits = self.going.get(&id).is_some_and(|g| g.run.state == TaskState::Pending);
        if !waits && !self.queue(header, context, plan, out) {
            return false;
        }
        self.apply(&id, RunEvent::Skip { reason }, now, out).is_ok()
    }

    /// Ends a run that waits or is under way; one under way is awaited, and ends a little later.
    ///
    /// # Errors
    /// It is unknown, has ended, or is ending.
    pub fn cancel(
        &mut self,
        id: &str,
        reason: &str,
        now: Tai,
        out: &mut Vec<RunAction>,
    ) -> Result<(), CancelRefused> {
        let ended = |state| CancelRefused::Ended { id: id.to_owned(), state };
        if let Some(going) = self.going.get(id) {
            if let Some(stop) = &going.run.stopping {
                return Err(CancelRefused::Stopping { id: id.to_owned(), reason: stop.error("").text });
            }
        } else if let Some(run) = self.get(id) {
            return Err(ended(run.state));
        } else if let Some(past) = self.past_states.get(id) {
            return Err(ended(past.ended));
        }
        self.apply(id, RunEvent::Cancel { reason: reason.to_owned() }, now, out)
            .map_err(|_| CancelRefused::Unknown(id.to_owned()))
    }

    /// Takes a report of the driver. One that fits nothing is counted and otherwise ignored.
    pub fn report(&mut self, report: StepReport, now: Tai, out: &mut Vec<RunAction>) {
        let id = report.id.run_id.clone();
        if let Err(illegal) = self.apply(&id, RunEvent::Report(Box::new(report)), now, out) {
            self.illegal_reports += 1;
            tracing::debug!("{illegal}");
        }
    }

    /// Time went on.
    pub fn tick(&mut self, now: Tai, out: &mut Vec<RunAction>) {
        let due = |g: &&Going| g.run.next_deadline().is_some_and(|at| at.0 <= now.0);
        let ids: Vec<String> = self.going.values().filter(due).map(|g| g.run.id().to_owned()).collect();
        for id in ids {
            // It was found a moment ago, and a tick fits every state.
            drop(self.apply(&id, RunEvent::Tick, now, out));
        }
    }

    /// When the next [`Self::tick`] is wanted.
    pub fn next_deadline(&self) -> Option<Tai> {
        self.going.values().filter_map(|g| g.run.next_deadline()).min_by(|a, b| a.0.total_cmp(&b.0))
    }

    /// Notes the severity that an alarm took from a run's results (value of `AlarmSeverity`).
    pub fn judged(&mut self, id: &str, severity: i64, now: Tai, out: &mut Vec<RunAction>) {
        self.annotate(id, RunEvent::Judged { severity }, now, out);
    }

    /// Notes where a run's report is.
    pub fn reported(&mut self, id: &str, url: &str, now: Tai, out: &mut Vec<RunAction>) {
        self.annotate(id, RunEvent::Reported { url: url.to_owned() }, now, out);
    }

    /// Numbers and lists for the `summary` event.
    pub fn summary(&self) -> RunsSummary {
        let mut executing: Vec<&Run> = self.active().filter(|r| r.state != TaskState::Pending).collect();
        let begun = |r: &Run| r.started.unwrap_or_default().0;
        executing.sort_by(|a, b| begun(b).total_cmp(&begun(a)).then_with(|| a.id().cmp(b.id())));
        let list = |ids: Vec<&str>| ids.join(",");
        RunsSummary {
            executing: executing.len(),
            queued: self.going.len() - executing.len(),
            finished: self.counts.finished,
            failed: self.counts.failed,
            executing_ids: list(executing.iter().map(|r| r.id()).collect()),
            finished_ids: list(self.finished.iter().map(Run::id).collect()),
        }
    }

    fn annotate(&mut self, id: &str, event: RunEvent, now: Tai, out: &mut Vec<RunAction>) {
        if let Some(run) = self.finished.iter_mut().chain(&mut self.failed).find(|r| r.id() == id) {
            // Notes fit every state.
            drop(run.step(event, None, now, out));
            self.changed.insert(id.to_owned());
        } else {
            drop(self.apply(id, event, now, out));
        }
    }

    fn apply(
        &mut self,
        id: &str,
        event: RunEvent,
        now: Tai,
        out: &mut Vec<RunAction>,
    ) -> Result<(), IllegalReport> {
        let Some(going) = self.going.get_mut(id) else {
            let state = self.past_states.get(id).map_or(TaskState::Skipped, |p| p.ended);
            let what = format!("{event:?} for a run that is not under way");
            return Err(IllegalReport { run_id: id.to_owned(), state, what });
        };
        let from = out.len();
        let plan = going.plan.clone();
        let plan = plan.as_ref().map(|p| p.as_ref() as &dyn Plan);
        going.run.step(event, plan, now, out)?;
        self.changed.insert(id.to_owned());
        let items = out[from..].iter().filter_map(|action| match action {
            RunAction::StepChanged { run_id, step } if step.ends_with(']') => {
                Some((run_id.clone(), step.clone()))
            }
            _ => None,
        });
        self.changed_items.extend(items);
        let forget = out[from..].iter().filter_map(|action| match action {
            RunAction::Forget(step) => Some(step.key()),
            _ => None,
        });
        self.forgotten.extend(forget);
        if going.run.state.is_final()
            && let Some(ended) = self.going.remove(id)
        {
            self.end(ended.run);
        }
        Ok(())
    }

    fn end(&mut self, run: Run) {
        self.counts.finished += 1;
        self.counts.failed += u64::from(matches!(run.state, TaskState::Failed | TaskState::TimedOut));
        self.changed.insert(COUNTS.to_owned());
        self.finished.push_front(run);
        while self.finished.len() > KEEP_FINISHED {
            let Some(run) = self.finished.pop_back() else { break };
            if !run.is_open() {
                self.let_go(run);
                continue;
            }
            self.failed.push_front(run);
            if self.failed.len() > KEEP_FAILED
                && let Some(oldest) = self.failed.pop_back()
            {
                self.let_go(oldest);
            }
        }
        while self.past.len() > KNOWN_IDS {
            let Some(id) = self.past.pop_back() else { break };
            self.past_states.remove(&id);
            self.changed.insert(id);
        }
    }
}

impl Runs {
    /// Of this run only how it ended is kept.
    fn let_go(&mut self, run: Run) {
        let ended = Ended { ended: run.state, finished: run.finished.unwrap_or_default() };
        let id = run.id().to_owned();
        let items = run.steps.iter().filter(|s| s.item.is_some());
        self.changed_items.extend(items.map(|s| (id.clone(), s.name().to_owned())));
        self.changed.insert(id.clone());
        self.past_states.insert(id.clone(), ended);
        self.past.push_front(id);
    }
}

/// In `changed`: the counts. No run id looks like this.
const COUNTS: &str = "";

mod store;
