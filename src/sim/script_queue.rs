//! A simulated ScriptQueue with its scripts, and a handle that says how they behave and what was added.
//!
//! It does what the real one does (`ts_scriptqueue`; its oddities included): `add` is acknowledged when the process runs, long
//! before the script is configured; a script that fails stays in its place and pauses the queue until `resume`; a script leaves
//! the queue when it says that it is done, before its process has ended; indices begin anew with the process.
//!
//! ```text
//!  add ─► LOADING, CMD_COMPLETE "100000" ─ load ─► UNCONFIGURED ─ configure ─► CONFIGURED ─ its turn ─► RUNNING
//!      ─ run_time, checkpoints ─► ENDING ─► DONE ─ exit ─► process DONE
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sal_idl::Component;
use salobj::csc::{Csc, CscContext, CscOptions, CscSpec, RunningCsc, StartError};
use salobj::{CommandError, CommandRequest, CommandResult, Controller, Domain, SummaryState, Value};
use tokio::sync::{Notify, watch};

use super::cut::CutTransport;
use process::{Play, Process};

mod process;

/// What becomes of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Course {
    /// DONE.
    Done,
    /// FAILED with this reason; the queue pauses.
    Fail(String),
    /// It does not take its configuration, for this reason.
    BadConfig(String),
    /// Its process ends before it says anything.
    LoadFail,
    /// It runs until it is stopped.
    Hang,
    /// It runs until its process is ended: `stop` is not heeded.
    Deaf,
    /// Its process dies while it runs; the queue pauses.
    Crash,
    /// It never gets further than loading.
    StuckLoading,
}

/// How the simulator behaves.
#[derive(Debug, Clone)]
pub struct QueueScript {
    /// From `add` to the first word of a script.
    pub load: Duration,
    /// From there to CONFIGURED.
    pub configure: Duration,
    /// From RUNNING to the end.
    pub run_time: Duration,
    /// From a script's last word to the end of its process.
    pub exit: Duration,
    /// By file name, without folder.
    pub courses: BTreeMap<String, Course>,
    /// For all other scripts.
    pub otherwise: Course,
    /// So many acknowledgements of `add` are lost.
    pub lose_acks: usize,
    /// So many `add` are refused with this text.
    pub refuse: (usize, String),
    /// Events of the queue come twice.
    pub twice: bool,
}

impl Default for QueueScript {
    fn default() -> Self {
        Self {
            load: Duration::from_secs(2),
            configure: Duration::from_millis(200),
            run_time: Duration::from_secs(5),
            exit: Duration::from_secs(2),
            courses: BTreeMap::new(),
            otherwise: Course::Done,
            lose_acks: 0,
            refuse: (0, String::new()),
            twice: false,
        }
    }
}

/// A command `add` that reached the simulator.
#[derive(Debug, Clone, PartialEq)]
pub struct Added {
    /// `private_identity`.
    pub identity: String,
    /// The script's index; 0 if it was refused.
    pub index: i64,
    /// The fields of the command by name.
    pub fields: BTreeMap<String, Value>,
}

/// A script in the queue.
#[derive(Debug)]
struct Entry {
    cmd_id: i64,
    standard: bool,
    path: String,
    process_state: i64,
    script_state: i64,
    run_start: f64,
    process_end: f64,
    /// What is asked of it.
    stop: watch::Sender<Stop>,
}

/// What is asked of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    No,
    Gently,
    Kill,
}

#[derive(Debug)]
struct State {
    script: QueueScript,
    added: Vec<Added>,
    scripts: BTreeMap<i64, Entry>,
    waiting: VecDeque<i64>,
    past: VecDeque<i64>,
    current: i64,
    running: bool,
    next: i64,
}

/// The handle of a simulated queue. Cheap to clone.
#[derive(Debug, Clone)]
pub struct QueueControl {
    state: Arc<Mutex<State>>,
    running: Arc<OnceLock<(RunningCsc, CutTransport)>>,
    changed: watch::Sender<()>,
    came: Arc<Notify>,
}

impl QueueControl {
    /// Changes how it behaves from the next command on.
    pub fn set(&self, change: impl FnOnce(&mut QueueScript)) {
        change(&mut self.state().script);
    }

    /// All `add` that reached it, in order.
    pub fn added(&self) -> Vec<Added> {
        self.state().added.clone()
    }

    /// Waits until so many `add` reached it.
    pub async fn wait_added(&self, count: usize) {
        loop {
            let came = self.came.notified();
            if self.state().added.len() >= count {
                return;
            }
            came.await;
        }
    }

    /// Waits until that script is in this state (`ScriptState`) or a later one.
    pub async fn wait_state(&self, index: i64, state: i64) {
        let mut changed = self.changed.subscribe();
        while self.state().scripts.get(&index).is_none_or(|s| s.script_state < state) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits until no script runs or waits.
    pub async fn wait_empty(&self) {
        let mut changed = self.changed.subscribe();
        while self.line() != (0, Vec::new()) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// True if it starts scripts.
    pub fn is_running(&self) -> bool {
        self.state().running
    }

    /// The running script (0 for none) and those in line.
    pub fn line(&self) -> (i64, Vec<i64>) {
        let state = self.state();
        (state.current, state.waiting.iter().copied().collect())
    }

    /// Ends the process and its scripts without a word, as `kill -9` of both does.
    pub async fn vanish(&self) {
        if let Some((csc, bus)) = self.running.get() {
            bus.cut();
            csc.close().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something if it can; tells of it only then.
    fn change_if(&self, change: impl FnOnce(&mut State) -> bool) -> bool {
        let changed = change(&mut self.state());
        if changed {
            self.changed.send_replace(());
        }
        changed
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let out = change(&mut self.state());
        self.changed.send_replace(());
        out
    }
}

/// Starts a simulated `ScriptQueue:<index>` on the bus of `domain` in this summary state, through a connection of its own.
/// `script` is the interface of Script.
///
/// # Errors
/// The bus or the registry refuses.
pub async fn start(
    domain: &Domain,
    queue: Arc<Component>,
    script: Arc<Component>,
    index: i32,
    state: SummaryState,
    behaviour: QueueScript,
) -> Result<QueueControl, StartError> {
    let inner = State {
        script: behaviour,
        added: Vec::new(),
        scripts: BTreeMap::new(),
        waiting: VecDeque::new(),
        past: VecDeque::new(),
        current: 0,
        running: true,
        next: i64::from(index) * 100_000,
    };
    let (changed, _) = watch::channel(());
    let control = QueueControl {
        state: Arc::new(Mutex::new(inner)),
        running: Arc::default(),
        changed,
        came: Arc::default(),
    };
    let spec = CscSpec::new(queue, "simulated").simulation_modes(&[0, 1]);
    let options = CscOptions { initial_state: Some(state), simulation_mode: 1, ..CscOptions::new(index) };
    let bus = CutTransport::new(domain.transport().clone());
    let (clock, env) = (domain.clock().clone(), domain.env().clone());
    let own = Domain::with_origin(Arc::new(bus.clone()), clock, env, domain.origin());
    let csc = SimQueue { control: control.clone(), script };
    let running = salobj::csc::start(&own, spec, options, Arc::new(csc)).await?;
    SimQueue::publish_queue(&control, running.context()).map_err(StartError::Csc)?;
    control.running.set((running, bus)).expect("a new handle has no CSC yet");
    Ok(control)
}

#[derive(Clone)]
struct SimQueue {
    control: QueueControl,
    script: Arc<Component>,
}

#[async_trait]
impl Csc for SimQueue {
    fn parallel(&self, _command: &str) -> bool {
        true
    }

    async fn do_command(&self, ctx: &CscContext, request: CommandRequest) -> CommandResult {
        match request.name.as_str() {
            "add" => self.add(ctx, &request).await,
            "pause" => self.set_running(ctx, false),
            "resume" => self.set_running(ctx, true),
            "showQueue" => {
                Self::publish_queue(&self.control, ctx)?;
                Ok(None)
            }
            "stopScripts" => self.stop(ctx, &request).await,
            other => Err(CommandError::expected(format!("the simulated ScriptQueue has no command {other}"))),
        }
    }
}

impl SimQueue {
    async fn add(&self, ctx: &CscContext, request: &CommandRequest) -> CommandResult {
        let sample = &request.sample;
        let fields: BTreeMap<String, Value> =
            sample.public_fields().map(|(n, v)| (n.to_owned(), v.clone())).collect();
        let (stop, stopped) = watch::channel(Stop::No);
        let path = sample.str("path").to_owned();
        let ready = self.control.change(|state| {
            // Also a refused one uses a number up.
            let index = state.next;
            state.next += 1;
            let identity = sample.identity().to_owned();
            if state.script.refuse.0 > 0 {
                state.script.refuse.0 -= 1;
                state.added.push(Added { identity, index: 0, fields: fields.clone() });
                return Err(state.script.refuse.1.clone());
            }
            state.added.push(Added { identity, index, fields: fields.clone() });
            let entry = Entry {
                cmd_id: sample.seq_num(),
                standard: sample.bool("isStandard"),
                path: path.clone(),
                process_state: 1,
                script_state: 0,
                run_start: 0.0,
                process_end: 0.0,
                stop,
            };
            state.scripts.insert(index, entry);
            if sample.i64("location") == 1 {
                state.waiting.push_front(index);
            } else {
                state.waiting.push_back(index);
            }
            let lost = state.script.lose_acks > 0;
            state.script.lose_acks = state.script.lose_acks.saturating_sub(1);
            let file = path.rsplit('/').next().unwrap_or_default();
            let course = state.script.courses.get(file).unwrap_or(&state.script.otherwise).clone();
            Ok((index, lost, Play { course, script: state.script.clone() }))
        });
        self.control.came.notify_waiters();
        let (index, lost, play) = ready.map_err(CommandError::expected)?;
        Self::publish_queue(&self.control, ctx)?;
        self.publish_script(ctx, index)?;
        self.launch(ctx, index, play, stopped).await?;
        if lost {
            std::future::pending::<()>().await;
        }
        Ok(Some(index.to_string()))
    }

    /// Starts the script's process, which lives as long as the queue's.
    async fn launch(
        &self,
        ctx: &CscContext,
        index: i64,
        play: Play,
        stopped: watch::Receiver<Stop>,
    ) -> Result<(), CommandError> {
        let domain = ctx.domain();
        let origin = domain.origin() * 1000 + index % 1000;
        let (bus, clock, env) = (domain.transport().clone(), domain.clock().clone(), domain.env().clone());
        let own = Domain::with_origin(bus, clock, env, origin);
        let number = i32::try_from(index).map_err(|e| CommandError::Other(e.to_string()))?;
        let controller = Controller::write_only(&own, Arc::clone(&self.script), number)?;
        controller.start_writing().await?;
        let process = Process { queue: self.clone(), ctx: ctx.clone(), index, controller, stopped };
        ctx.spawn(process.live(play));
        Ok(())
    }

    fn set_running(&self, ctx: &CscContext, running: bool) -> CommandResult {
        self.control.change(|state| {
            state.running = running;
            let failed = state.scripts.get(&state.current).is_some_and(|s| s.process_state >= 4);
            if running && failed {
                state.past.push_front(state.current);
                state.current = 0;
            }
        });
        Self::publish_queue(&self.control, ctx)?;
        Ok(None)
    }

    async fn stop(&self, ctx: &CscContext, request: &CommandRequest) -> CommandResult {
        let length = request.sample.i64("length");
        if length <= 0 {
            return Err(CommandError::expected(format!("length={length} must be positive")));
        }
        request.in_progress(Duration::from_secs(11 + length.unsigned_abs()), "Stopping scripts.")?;
        let indices = match request.sample.get("salIndices") {
            Some(Value::Ints(all)) => all.iter().take(length.unsigned_abs() as usize).copied().collect(),
            _ => Vec::new(),
        };
        let terminate = request.sample.bool("terminate");
        let mut changed = self.control.changed.subscribe();
        {
            let state = self.control.state();
            for script in indices.iter().filter_map(|i| state.scripts.get(i)) {
                // A script that has not begun is not asked.
                let gently = !terminate && script.script_state == 3;
                script.stop.send_replace(if gently { Stop::Gently } else { Stop::Kill });
            }
        }
        let over =
            |state: &State| indices.iter().filter_map(|i| state.scripts.get(i)).all(|s| s.process_state >= 4);
        let wait = async {
            while !over(&self.control.state()) {
                if changed.changed().await.is_err() {
                    return;
                }
            }
        };
        let limit = Duration::from_secs(10 + length.unsigned_abs());
        ctx.clock().timeout(limit, wait).await.map_err(|_| CommandError::Timeout)?;
        Ok(None)
    }

    fn publish_queue(control: &QueueControl, ctx: &CscContext) -> Result<(), CommandError> {
        let (fields, times) = {
            let state = control.state();
            let list = |all: &VecDeque<i64>| {
                let mut list: Vec<i64> = all.iter().copied().take(400).collect();
                list.resize(400, 0);
                Value::Ints(list.into())
            };
            let fields = [
                ("enabled", Value::Bool(ctx.state() == SummaryState::Enabled)),
                ("running", Value::Bool(state.running)),
                ("currentSalIndex", Value::Int(state.current)),
                ("length", Value::Int(state.waiting.len() as i64)),
                ("salIndices", list(&state.waiting)),
                ("pastLength", Value::Int(state.past.len() as i64)),
                ("pastSalIndices", list(&state.past)),
            ];
            (fields, if state.script.twice { 2 } else { 1 })
        };
        for _ in 0..times {
            ctx.event("queue")?.set_write_if(&fields, true)?;
        }
        Ok(())
    }

    fn publish_script(&self, ctx: &CscContext, index: i64) -> Result<(), CommandError> {
        let (fields, times) = {
            let state = self.control.state();
            let Some(script) = state.scripts.get(&index) else { return Ok(()) };
            let fields = [
                ("cmdId", Value::Int(script.cmd_id)),
                ("scriptSalIndex", Value::Int(index)),
                ("isStandard", Value::Bool(script.standard)),
                ("path", Value::Text(script.path.as_str().into())),
                ("processState", Value::Int(script.process_state)),
                ("scriptState", Value::Int(script.script_state)),
                ("timestampRunStart", Value::Double(script.run_start)),
                ("timestampProcessEnd", Value::Double(script.process_end)),
            ];
            (fields, if state.script.twice { 2 } else { 1 })
        };
        for _ in 0..times {
            ctx.event("script")?.set_write_if(&fields, true)?;
        }
        Ok(())
    }
}
