//! A simulated OCPS CSC, with a handle that says how it behaves and what it was asked.
//!
//! It answers as the real one does (`dm_OCPS`; its oddities included): acknowledges with the job id, runs for a while,
//! publishes `job_result`, completes; or, as told by the [`OcpsControl`], fails, hangs, vanishes, answers twice, goes to
//! FAULT, or turns the order of event and acknowledgement around. It runs on whatever bus its domain has, and starts only
//! when called by name.
//!
//! ```text
//!  execute ─► prerequisites, first_ack ─► CMD_INPROGRESS {job_id} ─► run_time ─► job_result ─► CMD_COMPLETE Done
//!  abort_job ─► job_result 255, CMD_COMPLETE; the execute it hits fails a little later
//! ```

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sal_idl::Component;
use salobj::csc::{Csc, CscContext, CscOptions, CscSpec, RunningCsc, StartError};
use salobj::{CommandError, CommandRequest, CommandResult, Domain, SummaryState, Tai, Value};
use serde_json::json;
use tokio::sync::{Notify, watch};

use super::cut::CutTransport;

/// How often the real CSC asks the batch service; an aborted job is noticed as late.
const POLL: Duration = Duration::from_millis(500);
/// The estimate that it acknowledges with.
const ESTIMATE: Duration = Duration::from_secs(600);

/// What becomes of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// exit_code 0.
    Succeed,
    /// exit_code 1 (uws), or exit_code 0 with `{"result": false}` (sim), as the real one in either mode.
    Fail,
    /// The command fails with this text before there is a job.
    Refuse(String),
    /// The CSC goes to FAULT, as the simulated `fault.yaml` does.
    Fault,
    /// Acknowledged, then nothing ever.
    Hang,
    /// Not even acknowledged.
    Silence,
    /// Acknowledged, then the process is gone without a word.
    Vanish,
    /// `job_result` comes twice.
    Twice,
    /// The command fails after it was acknowledged, and no result comes: the batch service lost the job.
    Lose,
}

/// The form of the field `result` of `job_result`, and of job ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResultShape {
    /// The reply of the batch service to the request (so its phase is `pending`).
    #[default]
    Uws,
    /// `{"result": bool}`, as in simulation mode 1; only the three pipelines of that mode and those of `outcomes` exist.
    Sim,
}

/// When `job_result` comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EventOrder {
    /// Just before CMD_COMPLETE, as the real one.
    #[default]
    BeforeComplete,
    /// Before CMD_INPROGRESS, the job being over by then.
    BeforeProgress,
    /// So long after CMD_COMPLETE.
    AfterComplete(Duration),
}

/// How the simulator behaves.
#[derive(Debug, Clone)]
pub struct OcpsScript {
    /// From the command to the first acknowledgement (besides the wait for prerequisites).
    pub first_ack: Duration,
    /// From there to the end of the job.
    pub run_time: Duration,
    /// By file name of the pipeline, without folder and subset (`isr.yaml`).
    pub outcomes: BTreeMap<String, Outcome>,
    /// For jobs whose data query ends with one of these texts, whatever the pipeline.
    pub queries: BTreeMap<String, Outcome>,
    /// For all other pipelines.
    pub otherwise: Outcome,
    /// Form of the results.
    pub shape: ResultShape,
    /// Order of event and acknowledgements.
    pub order: EventOrder,
    /// Publish the event `job_id`, which the interface declares and the real one does not send.
    pub emit_job_id: bool,
    /// So many `execute` are refused with this text.
    pub refuse: (usize, String),
}

impl Default for OcpsScript {
    fn default() -> Self {
        Self {
            first_ack: Duration::from_millis(50),
            run_time: Duration::from_secs(5),
            outcomes: BTreeMap::from([
                ("false.yaml".to_owned(), Outcome::Fail),
                ("fault.yaml".to_owned(), Outcome::Fault),
            ]),
            queries: BTreeMap::new(),
            otherwise: Outcome::Succeed,
            shape: ResultShape::Uws,
            order: EventOrder::BeforeComplete,
            emit_job_id: false,
            refuse: (0, String::new()),
        }
    }
}

/// A command `execute` that reached the simulator.
#[derive(Debug, Clone, PartialEq)]
pub struct Executed {
    /// `private_seqNum`.
    pub seq_num: i64,
    /// `private_identity`.
    pub identity: String,
    /// `private_origin`.
    pub origin: i64,
    /// When.
    pub at: Tai,
    /// The fields of the command by name.
    pub fields: BTreeMap<String, String>,
    /// It was refused: no job began.
    pub refused: bool,
}

#[derive(Debug, Default)]
struct State {
    script: OcpsScript,
    executed: Vec<Executed>,
    jobs: HashMap<String, watch::Sender<bool>>,
    next_job: u32,
}

/// The handle of a simulated OCPS. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct OcpsControl {
    state: Arc<Mutex<State>>,
    running: Arc<OnceLock<(RunningCsc, CutTransport)>>,
    asked: Arc<Notify>,
}

impl OcpsControl {
    /// Changes how it behaves from the next command on.
    pub fn set(&self, change: impl FnOnce(&mut OcpsScript)) {
        change(&mut self.state().script);
    }

    /// All `execute` commands that reached it, in order.
    pub fn executed(&self) -> Vec<Executed> {
        self.state().executed.clone()
    }

    /// Waits until so many `execute` commands reached it.
    pub async fn wait_executed(&self, count: usize) {
        loop {
            let asked = self.asked.notified();
            if self.state().executed.len() >= count {
                return;
            }
            asked.await;
        }
    }

    /// Ids of the jobs that run.
    pub fn running_jobs(&self) -> Vec<String> {
        self.state().jobs.keys().cloned().collect()
    }

    /// Ends the process without a word, as `kill -9` does: no event, no acknowledgement.
    pub async fn vanish(&self) {
        if let Some((csc, bus)) = self.running.get() {
            bus.cut();
            csc.close().await;
        }
    }

    /// Ends the process as SIGTERM does: commands under way are acknowledged as aborted.
    pub async fn close(&self) {
        if let Some((csc, _)) = self.running.get() {
            csc.close().await;
        }
    }

    /// The running CSC.
    pub fn csc(&self) -> Option<&RunningCsc> {
        self.running.get().map(|(csc, _)| csc)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a simulated `OCPS:<index>` on the bus of `domain` in this summary state, through a connection of its own.
///
/// # Errors
/// The bus or the registry refuses.
pub async fn start(
    domain: &Domain,
    component: Arc<Component>,
    index: i32,
    state: SummaryState,
    script: OcpsScript,
) -> Result<OcpsControl, StartError> {
    let control = OcpsControl::default();
    control.set(|s| *s = script);
    let spec = CscSpec::new(component, "simulated").simulation_modes(&[0, 1]);
    let options = CscOptions { initial_state: Some(state), simulation_mode: 1, ..CscOptions::new(index) };
    let csc = SimOcps { control: control.clone() };
    let bus = CutTransport::new(domain.transport().clone());
    let (clock, env) = (domain.clock().clone(), domain.env().clone());
    let own = Domain::with_origin(Arc::new(bus.clone()), clock, env, domain.origin());
    let running = salobj::csc::start(&own, spec, options, Arc::new(csc)).await?;
    control.running.set((running, bus)).expect("a new handle has no CSC yet");
    Ok(control)
}

struct SimOcps {
    control: OcpsControl,
}

#[async_trait]
impl Csc for SimOcps {
    fn parallel(&self, command: &str) -> bool {
        command == "execute"
    }

    async fn do_command(&self, ctx: &CscContext, request: CommandRequest) -> CommandResult {
        match request.name.as_str() {
            "execute" => self.execute(ctx, &request).await,
            "abort_job" => self.abort(ctx, request.sample.str("job_id")),
            other => Err(CommandError::expected(format!("the simulated OCPS has no command {other}"))),
        }
    }
}

impl SimOcps {
    async fn execute(&self, ctx: &CscContext, request: &CommandRequest) -> CommandResult {
        self.note(ctx, request);
        let field = |name: &str| request.sample.str(name).to_owned();
        if ctx.index() == 101 {
            let known =
                serde_json::from_str::<serde_json::Value>(&field("config")).is_ok_and(|c| c.is_object());
            return if known { Ok(None) } else { Err(CommandError::expected("config is not a JSON object")) };
        }
        self.wait_prerequisites(ctx, &field("prereq_jobs")).await;
        let script = self.control.state().script.clone();
        ctx.clock().sleep(script.first_ack).await;
        let pipeline = field("pipeline");
        let outcome = match self.refusal() {
            Some(text) => Outcome::Refuse(text),
            None => self.outcome(&script, &pipeline, &field("data_query"))?,
        };
        match &outcome {
            Outcome::Refuse(text) => {
                let (origin, seq_num) = (request.sample.origin(), request.sample.seq_num());
                let mut state = self.control.state();
                let own = |e: &&mut Executed| e.seq_num == seq_num && e.origin == origin;
                if let Some(executed) = state.executed.iter_mut().rev().find(own) {
                    executed.refused = true;
                }
                return Err(CommandError::expected(text.clone()));
            }
            Outcome::Silence => std::future::pending().await,
            _ => {}
        }
        let job = self.begin_job(ctx, &script, &pipeline, request.sample.seq_num());
        if script.emit_job_id {
            let fields = [
                ("event_name", text("job_id")),
                ("seq_num", Value::Int(request.sample.seq_num())),
                ("job_id", text(&job.id)),
            ];
            ctx.event("job_id")?.set_write_if(&fields, true)?;
        }
        if script.order == EventOrder::BeforeProgress {
            self.publish(ctx, &job, &script, &outcome)?;
        }
        request.in_progress(ESTIMATE, &json!({"job_id": job.id}).to_string())?;
        let mut aborted = job.aborted.clone();
        let run = async {
            match outcome {
                Outcome::Hang => std::future::pending().await,
                _ => ctx.clock().sleep(script.run_time).await,
            }
        };
        // The sender is in the table until the job ends or is aborted.
        let was_aborted = tokio::select! {
            () = run => false,
            _ = aborted.wait_for(|aborted| *aborted) => true,
        };
        if was_aborted {
            return self.aborted(ctx, &script, &job).await;
        }
        self.end_job(&job.id);
        match outcome {
            Outcome::Fault => {
                ctx.fault(2, "404 Simulation cannot contact execution service", "").await;
                return Err(CommandError::expected("Failed to connect (simulated)"));
            }
            Outcome::Lose => {
                return Err(CommandError::expected(not_found(&job.id)));
            }
            Outcome::Vanish => {
                let control = self.control.clone();
                ctx.spawn(async move { control.vanish().await });
                std::future::pending().await
            }
            _ => {}
        }
        match script.order {
            EventOrder::BeforeComplete => self.publish(ctx, &job, &script, &outcome)?,
            EventOrder::BeforeProgress => {}
            EventOrder::AfterComplete(delay) => {
                let late = (self.control.clone(), ctx.clone());
                ctx.spawn(async move {
                    late.1.clock().sleep(delay).await;
                    let sim = SimOcps { control: late.0 };
                    if let Err(e) = sim.publish(&late.1, &job, &script, &outcome) {
                        tracing::warn!("the late job_result was not sent: {e}");
                    }
                });
            }
        }
        Ok(None)
    }

    fn note(&self, ctx: &CscContext, request: &CommandRequest) {
        let sample = &request.sample;
        let fields = sample.public_fields().map(|(name, _)| (name.to_owned(), sample.str(name).to_owned()));
        let executed = Executed {
            seq_num: sample.seq_num(),
            identity: sample.identity().to_owned(),
            origin: sample.origin(),
            at: ctx.clock().now(),
            fields: fields.collect(),
            refused: false,
        };
        self.control.state().executed.push(executed);
        self.control.asked.notify_waiters();
    }

    /// Silent, as the real one: jobs that it does not know count as done.
    async fn wait_prerequisites(&self, ctx: &CscContext, jobs: &str) {
        for job in jobs.split(',').map(str::trim).filter(|j| !j.is_empty()) {
            while self.control.state().jobs.contains_key(job) {
                ctx.clock().sleep(POLL).await;
            }
        }
    }

    fn refusal(&self) -> Option<String> {
        let refuse = &mut self.control.state().script.refuse;
        refuse.0 = refuse.0.checked_sub(1)?;
        Some(refuse.1.clone())
    }

    fn outcome(&self, script: &OcpsScript, pipeline: &str, query: &str) -> Result<Outcome, CommandError> {
        if let Some((_, outcome)) = script.queries.iter().find(|(end, _)| query.ends_with(end.as_str())) {
            return Ok(outcome.clone());
        }
        let file = pipeline.split('#').next().unwrap_or_default();
        let file = file.rsplit('/').next().unwrap_or_default();
        let known = script.outcomes.get(file).cloned();
        if script.shape == ResultShape::Sim && known.is_none() && file != "true.yaml" {
            let text = format!("Unknown (simulated) pipeline: {pipeline}");
            return Err(CommandError::expected(text));
        }
        Ok(known.unwrap_or_else(|| script.otherwise.clone()))
    }

    fn begin_job(&self, ctx: &CscContext, script: &OcpsScript, pipeline: &str, seq_num: i64) -> Job {
        let mut state = self.control.state();
        state.next_job += 1;
        let id = match script.shape {
            ResultShape::Uws => format!("{:04x}{:06x}", ctx.domain().origin() & 0xffff, state.next_job),
            ResultShape::Sim => format!("{pipeline}-{}", ctx.clock().now().0),
        };
        let (stop, aborted) = watch::channel(false);
        state.jobs.insert(id.clone(), stop);
        Job { id, seq_num, aborted }
    }

    fn end_job(&self, id: &str) {
        self.control.state().jobs.remove(id);
    }

    fn publish(
        &self,
        ctx: &CscContext,
        job: &Job,
        script: &OcpsScript,
        outcome: &Outcome,
    ) -> Result<(), CommandError> {
        let good = *outcome != Outcome::Fail;
        let (exit_code, result) = match script.shape {
            ResultShape::Uws => (i64::from(!good), uws_reply(job)),
            ResultShape::Sim => (0, json!({"result": good})),
        };
        for _ in 0..if *outcome == Outcome::Twice { 2 } else { 1 } {
            publish_result(ctx, &job.id, exit_code, &result)?;
        }
        Ok(())
    }

    fn abort(&self, ctx: &CscContext, id: &str) -> CommandResult {
        let shape = self.control.state().script.shape;
        let stop = self.control.state().jobs.remove(id);
        let Some(stop) = stop else {
            return Err(CommandError::expected(match shape {
                ResultShape::Uws => not_found(id),
                // To the letter: the real one forgot to fill the text in.
                ResultShape::Sim => "No such job id: {data.job_id}".to_owned(),
            }));
        };
        let result = match shape {
            ResultShape::Uws => json!({"jobId": id, "phase": "aborted"}),
            ResultShape::Sim => json!({"abort_time": ctx.clock().now().0}),
        };
        publish_result(ctx, id, 255, &result)?;
        stop.send_replace(true);
        Ok(None)
    }

    /// The `execute` of an aborted job notices at its next look.
    async fn aborted(&self, ctx: &CscContext, script: &OcpsScript, job: &Job) -> CommandResult {
        self.end_job(&job.id);
        let text = match script.shape {
            ResultShape::Uws => {
                ctx.clock().sleep(POLL).await;
                not_found(&job.id)
            }
            ResultShape::Sim => {
                ctx.clock().sleep(script.run_time).await;
                format!("No such job id: {}", job.id)
            }
        };
        Err(CommandError::expected(text))
    }
}

struct Job {
    id: String,
    seq_num: i64,
    aborted: watch::Receiver<bool>,
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn not_found(id: &str) -> String {
    format!("404 Client Error: Not Found for url: http://uws-server/api/v1/job/{id}")
}

/// What the batch service replied to the request; the event has it although the job is over.
fn uws_reply(job: &Job) -> serde_json::Value {
    json!({"jobId": job.id, "runId": job.seq_num.to_string(), "phase": "pending", "results": []})
}

fn publish_result(
    ctx: &CscContext,
    id: &str,
    exit_code: i64,
    result: &serde_json::Value,
) -> Result<(), CommandError> {
    let fields =
        [("job_id", text(id)), ("exit_code", Value::Int(exit_code)), ("result", text(&result.to_string()))];
    ctx.event("job_result")?.set_write_if(&fields, true)?;
    Ok(())
}
