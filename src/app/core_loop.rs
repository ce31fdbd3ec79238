//! The loop that owns the core: takes inputs one after the other, makes their records durable, then carries the rest out.
//!
//! ```text
//!  requests (CSC, backends, reporter) ─┐
//!  step reports (driver) ──────────────┤        ┌─ records ─► journal, synced ─┐
//!  samples (intake) ───────────────────┼► Core ─┤                              ▼ only then
//!  deadlines, checkpoint each 5 s ─────┘        └─ events, answers, orders ────► bus, driver, reporter, EFD
//! ```
//!
//! Whatever is appended is appended together with the rules' states and the read positions, so that after a crash the
//! rules go on exactly where the journal's newest record was made.
//!
//! While the journal cannot be written nothing is evaluated: the bus is not read, requests wait in their bounded queues.
//! After [`JOURNAL_PATIENCE`] the CSC is put in FAULT; appending goes on being tried.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use salobj::{Clock, Tai, Value};
use serde_json::Value as Json;
use tokio::sync::{mpsc, oneshot, watch};

use super::fault;
use super::recorder::CoreTap;
use super::reporter::ReportJob;
use super::store::{Batch, Store};
use crate::alarms::AlarmSnapshot;
use crate::core::{Answer, Command, Core, Event, Input, Output, Settings};
use crate::intake::{Intake, Positions, SeriesNeed};
use crate::journal::Record;
use crate::rules::Rule;
use crate::tasks::call::StepReport;
use crate::tasks::driver::{Driver, Order};
use crate::telemetry::{Figures, Meter};

/// How long the journal may refuse before the CSC goes to FAULT.
pub const JOURNAL_PATIENCE: Duration = Duration::from_secs(30);

/// How often the rules' states are written down at least.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(5);

/// How often an append is tried again.
const JOURNAL_RETRY: Duration = Duration::from_secs(1);

/// How long `enable` waits for the past to be read.
pub const CATCH_UP_LIMIT: Duration = Duration::from_secs(60);

/// Who is told that something is done, or why not.
pub type Reply = oneshot::Sender<Result<(), String>>;

/// Requests that may wait for the core.
pub const REQUEST_QUEUE: usize = 1000;

/// What the other parts ask of the core.
#[derive(Debug)]
pub enum Request {
    /// Carry out a command.
    Do {
        /// The command.
        command: Command,
        /// Gets the answer once it is durable.
        reply: oneshot::Sender<Answer>,
    },
    /// `start`: use these rules.
    Configure {
        /// Compiled rules of the configuration.
        rules: Vec<Arc<Rule>>,
        /// What the site says.
        settings: Settings,
        /// Told when they are in place and what they need is being read.
        reply: Reply,
    },
    /// The CSC enters ENABLED. Answered when the past has been read and every alarm, rule and run was published.
    Enable {
        /// Told when that is done.
        reply: Reply,
    },
    /// The CSC leaves ENABLED.
    Disable {
        /// Told when nothing is evaluated any more.
        reply: Reply,
    },
    /// A backend or the CSC notes something in the journal.
    Note {
        /// The record.
        record: Record,
        /// Told when it is durable.
        reply: oneshot::Sender<()>,
    },
    /// The alarms that a command with this pattern would mean.
    Alarms {
        /// Exact name or whole-name regular expression.
        pattern: String,
        /// Gets them, or why there is no such pattern.
        reply: oneshot::Sender<Result<Vec<AlarmSnapshot>, String>>,
    },
    /// The core is told something that nobody waits for: what became of a call, a query, a report.
    Tell(Input<'static>),
}

/// Where events go: the CSC's writers.
pub trait Publish: Send + Sync {
    /// Publishes an event now.
    fn event(&self, event: &Event);
    /// Publishes the telemetry `statistics`.
    fn statistics(&self, fields: &[(&'static str, Value)]);
    /// Puts the CSC in FAULT.
    fn fault(&self, code: i64, report: String);
}

/// What the loop works with.
pub struct CoreLoop {
    /// The core, recovered.
    pub core: Core,
    /// Journal and history.
    pub store: Option<Store>,
    /// The reader of the bus.
    pub intake: Intake,
    /// Positions that the journal had.
    pub noted: Positions,
    /// Step memos that the journal had, by key.
    pub memos: BTreeMap<String, Json>,
    /// Where events go.
    pub publish: Arc<dyn Publish>,
    /// The task driver.
    pub driver: Driver,
    /// The reporter.
    pub reporter: mpsc::Sender<ReportJob>,
    /// Where result events go besides the bus.
    pub results: Option<Arc<dyn super::results::ResultSink>>,
    /// Who tells receivers and the escalation service, if anybody does.
    pub teller: Option<super::notifier::Teller>,
    /// The clock.
    pub clock: Clock,
    /// Counters.
    pub meter: Arc<Meter>,
    /// Requests.
    pub requests: mpsc::Receiver<Request>,
    /// Who asks the EFD what rules want to know.
    pub efd_inputs: watch::Sender<BTreeSet<String>>,
    /// Who tells backends which rules there are.
    pub rules_now: watch::Sender<Option<Vec<Arc<Rule>>>>,
    /// Reports of the driver.
    pub reports: mpsc::Receiver<StepReport>,
    /// What recovery wants done first.
    pub first: Vec<Output>,
    /// Who records what the core is told, if anybody does.
    pub record: Option<CoreTap>,
}

/// State of the loop that is not the core's.
#[derive(Default)]
struct Waiting {
    next_ticket: u64,
    answers: HashMap<u64, oneshot::Sender<Answer>>,
    enable: Option<(Reply, Tai)>,
    /// How long rules that were added wait for their past.
    fill: Option<Tai>,
    configured: bool,
}

impl CoreLoop {
    /// Runs until the requests' senders are gone.
    ///
    /// # Errors
    /// The task driver is gone.
    pub async fn run(mut self) -> Result<(), String> {
        let mut waiting = Waiting::default();
        let mut out = std::mem::take(&mut self.first);
        let mut figures = Figures::default();
        let mut statistics_at = self.clock.now() + Duration::from_secs(1);
        let mut checkpoint_at = self.clock.now() + CHECKPOINT_EVERY;
        loop {
            let wake = [
                self.core.next_deadline(),
                waiting.enable.as_ref().map(|e| e.1),
                waiting.fill,
                Some(statistics_at),
                Some(checkpoint_at),
            ];
            let wake = wake.into_iter().flatten().fold(f64::INFINITY, |a, b| a.min(b.0));
            tokio::select! {
                biased;
                request = self.requests.recv() => match request {
                    Some(request) => self.request(request, &mut waiting, &mut out).await?,
                    None => return Ok(()),
                },
                Some(report) = self.reports.recv() => {
                    let now = self.clock.now();
                    self.feed(Input::Report(report), now, &mut out);
                }
                () = self.intake.wait() => self.samples(&mut out).await,
                () = self.clock.sleep_until(Tai(wake)) => {}
            }
            let now = self.clock.now();
            if self.core.next_deadline().is_some_and(|at| at.0 <= now.0) {
                self.feed(Input::Tick, now, &mut out);
            }
            if now.0 >= checkpoint_at.0 {
                checkpoint_at = now + CHECKPOINT_EVERY;
                self.core.step(Input::Checkpoint, now, &mut out);
                self.feed(Input::CallAgain, now, &mut out);
            }
            if now.0 >= statistics_at.0 {
                self.statistics(&mut figures, Duration::from_secs(1) + (now.since(statistics_at)));
                self.tell_lost();
                statistics_at = now + Duration::from_secs(1);
            }
            let enabled = self.enable_if_ready(&mut waiting, &mut out);
            self.begin_if_filled(&mut waiting, &mut out);
            self.carry_out(&mut out, &mut waiting).await?;
            if let Some(reply) = enabled {
                answer(reply, Ok(()));
            }
        }
    }

    fn feed(&mut self, input: Input<'_>, now: Tai, out: &mut Vec<Output>) {
        feed(&mut self.core, &mut self.record, input, now, out);
    }

    async fn samples(&mut self, out: &mut Vec<Output>) {
        let Self { core, intake, clock, meter, record, .. } = self;
        let begun = clock.now();
        intake
            .drain(|sample, live| {
                let input = if live { Input::Sample(sample) } else { Input::History(sample) };
                feed(core, record, input, sample.received, out);
            })
            .await;
        meter.evaluation.record(clock.now().since(begun));
    }

    async fn request(
        &mut self,
        request: Request,
        waiting: &mut Waiting,
        out: &mut Vec<Output>,
    ) -> Result<(), String> {
        let now = self.clock.now();
        match request {
            Request::Do { command, reply } => {
                waiting.next_ticket += 1;
                waiting.answers.insert(waiting.next_ticket, reply);
                self.feed(Input::Command { ticket: waiting.next_ticket, command }, now, out);
            }
            Request::Configure { rules, settings, reply } => {
                self.store.as_mut().expect("it is put back").keep(settings.keep_history);
                self.feed(Input::Configure { rules, settings }, now, out);
                if !std::mem::replace(&mut waiting.configured, true) {
                    self.feed(Input::Resume, now, out);
                }
                self.carry_out(out, waiting).await?;
                answer(reply, Ok(()));
            }
            Request::Enable { reply } => waiting.enable = Some((reply, now + CATCH_UP_LIMIT)),
            Request::Disable { reply } => {
                if let Some((reply, _)) = waiting.enable.take() {
                    answer(reply, Err("disabled before the past was read".to_owned()));
                }
                self.feed(Input::Disable, now, out);
                self.carry_out(out, waiting).await?;
                answer(reply, Ok(()));
            }
            Request::Note { record, reply } => {
                out.push(Output::Record(record));
                self.carry_out(out, waiting).await?;
                answer(reply, ());
            }
            Request::Alarms { pattern, reply } => {
                answer(reply, self.core.alarms().find(&pattern).map_err(|e| e.to_string()));
            }
            Request::Tell(input) => self.feed(input, now, out),
        }
        Ok(())
    }

    /// Enables once the past has been read; gives who is to be told after all of it was published.
    fn enable_if_ready(&mut self, waiting: &mut Waiting, out: &mut Vec<Output>) -> Option<Reply> {
        let now = self.clock.now();
        let late = now.0 >= waiting.enable.as_ref()?.1.0;
        if !late && !self.intake.caught_up() {
            return None;
        }
        if late {
            let seconds = CATCH_UP_LIMIT.as_secs();
            tracing::warn!("the past of some topics is not read after {seconds} s; enabled all the same");
        }
        self.feed(Input::Enable, now, out);
        self.noted = Positions::default();
        waiting.enable.take().map(|(reply, _)| reply)
    }

    /// Lets rules begin that were added while the others were going, once their past has been read.
    fn begin_if_filled(&mut self, waiting: &mut Waiting, out: &mut Vec<Output>) {
        if !self.core.is_filling() {
            waiting.fill = None;
            return;
        }
        let now = self.clock.now();
        let until = *waiting.fill.get_or_insert(now + CATCH_UP_LIMIT);
        // What has just been asked for is not being read yet.
        let asked = out.iter().any(|o| matches!(o, Output::Resubscribe));
        if asked || !(self.intake.caught_up() || now.0 >= until.0) {
            return;
        }
        waiting.fill = None;
        self.feed(Input::CaughtUp, now, out);
    }

    /// Operators hear of notices that receivers did not get, at most once a second.
    fn tell_lost(&self) {
        if let Some(news) = self.teller.as_ref().and_then(super::notifier::Teller::losses) {
            tracing::error!("{}", news.summary);
            self.publish.event(&Event::Notification(news));
        }
    }

    fn statistics(&self, figures: &mut Figures, elapsed: Duration) {
        let waiting: usize = self.driver.load().iter().map(|load| load.waiting).sum();
        let running: usize = self.driver.load().iter().map(|load| load.running).sum();
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.publish.statistics(&self.meter.statistics(figures, elapsed, count(waiting), count(running)));
    }

    /// Appends the records, then does the rest in its order.
    async fn carry_out(&mut self, out: &mut Vec<Output>, waiting: &mut Waiting) -> Result<(), String> {
        if out.is_empty() && !self.core.checkpoint_due() {
            return Ok(());
        }
        let mut work = std::mem::take(out);
        if self.core.checkpoint_due() || work.iter().any(|o| matches!(o, Output::Record(_))) {
            self.core.step(Input::Checkpoint, self.clock.now(), &mut work);
            let positions = serde_json::to_value(self.positions()).expect("plain data");
            work.push(Output::Record(Record::put("positions", positions)));
        }
        let batch = Batch::take(&mut work);
        Meter::add(&self.meter.effects, work.len() as u64);
        self.append(batch).await;
        for output in work.drain(..) {
            self.do_one(output, waiting).await?;
        }
        *out = work;
        Ok(())
    }

    /// Where a process that comes after this one has to go on: what was read but only held is read again.
    fn positions(&self) -> Positions {
        let mut positions = self.intake.positions();
        if self.core.holds_missed() && !self.noted.next.is_empty() {
            positions.at = self.noted.at;
            positions.next.extend(self.noted.next.clone());
        }
        positions
    }

    async fn append(&mut self, batch: Batch) {
        if batch.records.is_empty() {
            return;
        }
        let batch = Arc::new(batch);
        let begun = self.clock.now();
        let mut faulted = false;
        loop {
            let mut store = self.store.take().expect("it is put back below");
            let batch = Arc::clone(&batch);
            let appended = tokio::task::spawn_blocking(move || {
                let result = store.append(&batch);
                (store, result)
            });
            let (store, result) = appended.await.expect("an append does not panic");
            self.store = Some(store);
            let elapsed = self.clock.now().since(begun);
            match result {
                Ok(()) => {
                    self.meter.journal.record(elapsed);
                    return;
                }
                Err(error) => {
                    tracing::error!(error = %error, "the journal cannot be written: {error}; evaluation pauses");
                    if elapsed >= JOURNAL_PATIENCE && !std::mem::replace(&mut faulted, true) {
                        self.publish.fault(fault::JOURNAL, format!("the journal cannot be written: {error}"));
                    }
                }
            }
            self.clock.sleep(JOURNAL_RETRY).await;
        }
    }

    async fn do_one(&mut self, output: Output, waiting: &mut Waiting) -> Result<(), String> {
        match output {
            Output::Record(_) | Output::History(_) => {}
            Output::Publish(event) => {
                self.publish.event(&event);
                if let (Event::Result(result), Some(sink)) = (&event, &self.results) {
                    sink.result(result);
                }
            }
            Output::Answer { ticket, answer: text } => {
                if let Some(reply) = waiting.answers.remove(&ticket) {
                    answer(reply, text);
                }
            }
            Output::Dispatch(call) => self.order(Order::Execute(call)).await?,
            Output::Resume(call) => {
                let memo = self.memos.remove(&call.id.key());
                self.order(Order::Resume { call, memo }).await?;
            }
            Output::Abort { id, stop } => self.order(Order::Abort { id, stop }).await?,
            Output::WriteReport { run_id } => self.write_report(&run_id),
            Output::Notify(bundle) => {
                if let Some(teller) = &self.teller {
                    teller.notify(bundle);
                }
            }
            Output::Incident(call) => {
                let id = call.id.clone();
                if !self.teller.as_ref().is_some_and(|teller| teller.call(call)) {
                    self.core.incident_not_taken(&id);
                }
            }
            Output::Resubscribe => {
                let rules = self.core.rules().active();
                self.intake.keep(SeriesNeed::of_rules(rules.iter().map(Arc::as_ref)));
                self.intake.fill(self.core.filling_topics());
                // Before the first configuration not all are there.
                if waiting.configured {
                    let all = self.core.rules().iter().filter_map(|(_, entry)| entry.rule().cloned());
                    self.rules_now.send_replace(Some(all.collect()));
                }
                self.efd_inputs.send_replace(self.core.queries().map(str::to_owned).collect());
                let noted = match self.core.holds_missed() {
                    true => self.noted.clone(),
                    false => std::mem::take(&mut self.noted),
                };
                while let Err(error) = self.intake.subscribe(self.core.subscriptions(), &noted).await {
                    tracing::warn!(error = %error, "cannot subscribe: {error}; trying again");
                    self.clock.sleep(JOURNAL_RETRY).await;
                }
            }
            Output::Warn(text) => tracing::warn!("{text}"),
            Output::Note(text) => tracing::info!("{text}"),
        }
        Ok(())
    }

    async fn order(&mut self, order: Order) -> Result<(), String> {
        self.driver.order(order).await.map_err(|gone| gone.to_string())
    }

    fn write_report(&mut self, run_id: &str) {
        let (Some(run), Some(rule)) = (self.core.runs().get(run_id), self.core.rule_of_run(run_id)) else {
            return;
        };
        let alarm = rule.alarm_name(run.header.key.as_deref());
        let alarm = rule.alarm.as_ref().and_then(|_| self.core.alarms().get(&alarm));
        let parent = run.header.parent.as_ref().and_then(|id| self.core.runs().get(id));
        let job = ReportJob {
            run: run.clone(),
            rule: rule.clone(),
            reason: alarm.map(|alarm| alarm.reason).unwrap_or_default(),
            parent_url: parent.map(|run| run.report_url.clone()).unwrap_or_default(),
            created: self.clock.now(),
        };
        if let Err(error) = self.reporter.try_send(job) {
            tracing::warn!("no report of run {run_id}: the reporter is too far behind ({error})");
        }
    }
}

/// Gives the core an input; a recording gets it too, with what the core makes of it.
#[inline]
fn feed(core: &mut Core, record: &mut Option<CoreTap>, input: Input<'_>, now: Tai, out: &mut Vec<Output>) {
    let Some(record) = record else {
        core.step(input, now, out);
        return;
    };
    let before = out.len();
    record.input(&input, now);
    core.step(input, now, out);
    record.outputs(&out[before..], core, now);
}

/// The one who asked may have gone; that is nobody's fault.
fn answer<T>(reply: oneshot::Sender<T>, value: T) {
    drop(reply.send(value));
}
