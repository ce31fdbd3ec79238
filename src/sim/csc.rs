//! A simulated CSC of any component, with a handle that says how it behaves and what it was asked.
//!
//! ```text
//!  command ─► first_ack ─► CMD_INPROGRESS * ─► run_time ─► events ─► CMD_COMPLETE
//! ```
//! As told by the [`CscControl`] it is slow, fails a number of times, hangs, answers nothing, vanishes, or tells everything
//! twice. It runs on whatever bus its domain has, and starts only when called by name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use sal_idl::Component;
use salobj::csc::{Csc, CscContext, CscOptions, CscSpec, RunningCsc, StartError};
use salobj::{CommandError, CommandRequest, CommandResult, Domain, Sample, SummaryState, Value};
use tokio::sync::Notify;

use super::cut::CutTransport;

/// How a command ends.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    /// CMD_COMPLETE.
    Done,
    /// CMD_FAILED with this text.
    Fail(String),
    /// An acknowledgement of its own making: code, error code, text.
    Ack(salobj::AckCode, i64, String),
    /// Carried out, events and all, but never acknowledged.
    Silence,
    /// Acknowledged by CMD_INPROGRESS, then nothing.
    Hang,
    /// The process is gone without a word.
    Vanish,
    /// FAULT with this report, and the command never ends.
    Fault(String),
}

/// An event that a command makes.
#[derive(Debug, Clone, PartialEq)]
pub struct Told {
    /// Name without prefix.
    pub event: String,
    /// Its fields.
    pub fields: Vec<(String, Value)>,
    /// How long after the end of the command; at once if none.
    pub after: Duration,
    /// Before the acknowledgement.
    pub before_ack: bool,
}

/// What a command does.
#[derive(Debug, Clone, PartialEq)]
pub struct Behaviour {
    /// Until the first acknowledgement.
    pub first_ack: Duration,
    /// The estimates of CMD_INPROGRESS, each told at once.
    pub in_progress: Vec<Duration>,
    /// From there to the end.
    pub run_time: Duration,
    /// So many times it fails with `Failed: try again` instead.
    pub fail_first: usize,
    /// How it ends.
    pub end: End,
    /// Events.
    pub events: Vec<Told>,
    /// Everything is told twice.
    pub twice: bool,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            first_ack: Duration::from_millis(20),
            in_progress: Vec::new(),
            run_time: Duration::ZERO,
            fail_first: 0,
            end: End::Done,
            events: Vec::new(),
            twice: false,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    behaviours: BTreeMap<String, Behaviour>,
    asked: Vec<Sample>,
}

/// The handle of a simulated CSC. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct CscControl {
    state: Arc<Mutex<State>>,
    running: Arc<OnceLock<(RunningCsc, CutTransport)>>,
    came: Arc<Notify>,
}

impl CscControl {
    /// Says what a command does from now on; others are done at once.
    pub fn set(&self, command: &str, behaviour: Behaviour) {
        self.state().behaviours.insert(command.to_owned(), behaviour);
    }

    /// All commands of its own that reached it, in order.
    pub fn asked(&self) -> Vec<Sample> {
        self.state().asked.clone()
    }

    /// Waits until so many commands reached it.
    pub async fn wait_asked(&self, count: usize) {
        loop {
            let came = self.came.notified();
            if self.state().asked.len() >= count {
                return;
            }
            came.await;
        }
    }

    /// Ends the process without a word, as `kill -9` does.
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

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a simulated instance of a component on the bus of `domain` in this summary state, through a connection of its own.
///
/// # Errors
/// The bus or the registry refuses.
pub async fn start(
    domain: &Domain,
    component: Arc<Component>,
    index: i32,
    state: SummaryState,
) -> Result<CscControl, StartError> {
    let control = CscControl::default();
    let spec = CscSpec::new(component, "simulated").simulation_modes(&[0, 1]);
    let options = CscOptions { initial_state: Some(state), simulation_mode: 1, ..CscOptions::new(index) };
    let bus = CutTransport::new(domain.transport().clone());
    let (clock, env) = (domain.clock().clone(), domain.env().clone());
    let own = Domain::with_origin(Arc::new(bus.clone()), clock, env, domain.origin());
    let csc = SimCsc { control: control.clone() };
    let running = salobj::csc::start(&own, spec, options, Arc::new(csc)).await?;
    control.running.set((running, bus)).expect("a new handle has no CSC yet");
    Ok(control)
}

struct SimCsc {
    control: CscControl,
}

#[async_trait]
impl Csc for SimCsc {
    fn parallel(&self, _command: &str) -> bool {
        true
    }

    async fn do_command(&self, ctx: &CscContext, request: CommandRequest) -> CommandResult {
        let behaviour = {
            let mut state = self.control.state();
            state.asked.push(request.sample.clone());
            let known = state.behaviours.entry(request.name.clone()).or_default();
            let now = known.clone();
            known.fail_first = known.fail_first.saturating_sub(1);
            now
        };
        self.control.came.notify_waiters();
        let times = if behaviour.twice { 2 } else { 1 };
        ctx.clock().sleep(behaviour.first_ack).await;
        if behaviour.fail_first > 0 {
            return Err(CommandError::expected("try again"));
        }
        for estimate in &behaviour.in_progress {
            for _ in 0..times {
                request.in_progress(*estimate, "under way")?;
            }
        }
        ctx.clock().sleep(behaviour.run_time).await;
        match &behaviour.end {
            End::Hang => std::future::pending().await,
            End::Vanish => {
                let control = self.control.clone();
                ctx.spawn(async move { control.vanish().await });
                std::future::pending().await
            }
            End::Fault(report) => {
                ctx.fault(7, report.clone(), "").await;
                std::future::pending().await
            }
            End::Fail(text) => return Err(CommandError::expected(text.clone())),
            End::Ack(code, error, result) => {
                return Err(CommandError::Ack { code: *code, error: *error, result: result.clone() });
            }
            End::Done | End::Silence => {}
        }
        for told in &behaviour.events {
            for _ in 0..times {
                if told.before_ack {
                    publish(ctx, told)?;
                    continue;
                }
                let (ctx, told) = (ctx.clone(), told.clone());
                ctx.clone().spawn(async move {
                    // After the acknowledgement, at the earliest.
                    ctx.clock().sleep(told.after + Duration::from_millis(1)).await;
                    if let Err(e) = publish(&ctx, &told) {
                        tracing::warn!("a simulated event was not sent: {e}");
                    }
                });
            }
        }
        if behaviour.end == End::Silence {
            std::future::pending().await
        }
        Ok(None)
    }
}

fn publish(ctx: &CscContext, told: &Told) -> Result<(), CommandError> {
    let fields: Vec<(&str, Value)> = told.fields.iter().map(|(n, v)| (n.as_str(), v.clone())).collect();
    ctx.event(&told.event)?.set_write_if(&fields, true)?;
    Ok(())
}
