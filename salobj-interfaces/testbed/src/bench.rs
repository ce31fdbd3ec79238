//! A bench for CSC tests, as salobj's `BaseCscTestCase` is for Python: start a CSC, look at it through a remote of another
//! "process", assert what comes next.
//!
//! The same test runs on the in-memory bus (virtual time, when the runtime is paused) and on Kafka: it is given a [`Bus`].
//! Assertions panic with what was expected, what came, and the last few samples.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::Testbed;
use sal_idl::TopicKind;
use salobj::csc::{Csc, CscOptions, CscSpec, RunningCsc};
use salobj::transport::Transport;
use salobj::transport::memory::{MemoryControl, MemoryTransport};
use salobj::{
    AckCmd, AckCode, AckError, Clock, Domain, Env, Remote, RemoteOptions, Sample, SummaryState, Tai,
    Transition, Value,
};

/// How long the bench waits for a sample or an acknowledgement, on the bus's clock.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A bus to test on.
#[derive(Debug, Clone)]
pub struct Bus {
    /// The transport.
    pub transport: Arc<dyn Transport>,
    /// The clock of all domains made here.
    pub clock: Clock,
    /// The settings of all domains made here.
    pub env: Env,
}

impl Bus {
    /// An in-memory bus on a clock that begins at a fixed time and runs with tokio's (virtual, if the runtime's time is
    /// paused); and the handle by which a test interferes.
    pub fn memory() -> (Bus, MemoryControl) {
        let clock = Clock::scaled(Tai(1_800_000_000.0), 1.0);
        let transport = MemoryTransport::new(clock.clone());
        let control = transport.control();
        let env = Env { site: Some("test".to_owned()), ..Env::for_subname("test_bench") };
        (Bus { transport: Arc::new(transport), clock, env }, control)
    }

    /// The servers of a test bed (mock or real), on the system's clock.
    pub fn kafka(testbed: &Testbed) -> Bus {
        let env = Env { site: Some("test".to_owned()), ..testbed.env().clone() };
        Bus { transport: testbed.transport(), clock: testbed.options().clock, env }
    }

    /// A domain of "another process": its origin is the process id plus `n`.
    pub fn domain(&self, n: u32) -> Domain {
        let origin = i64::from(std::process::id()) + i64::from(n);
        Domain::with_origin(self.transport.clone(), self.clock.clone(), self.env.clone(), origin)
    }
}

/// One running CSC and a remote that looks at it.
#[derive(Debug)]
pub struct CscBench {
    /// The bus.
    pub bus: Bus,
    /// The CSC.
    pub csc: RunningCsc,
    /// The remote, of a domain of its own.
    pub remote: Remote,
    spec: CscSpec,
}

impl CscBench {
    /// Starts the remote first (so that it misses nothing), then the CSC. Panics if either does not start.
    pub async fn start(bus: &Bus, spec: CscSpec, options: CscOptions, csc: Arc<dyn Csc>) -> CscBench {
        let domain = bus.domain(1);
        let remote = Remote::open(&domain, spec.component.clone(), options.index, RemoteOptions::default());
        let remote = remote.await.unwrap_or_else(|e| panic!("the remote did not start: {e}"));
        let csc = salobj::csc::start(&bus.domain(0), spec.clone(), options, csc)
            .await
            .unwrap_or_else(|e| panic!("the CSC did not start: {e}"));
        CscBench { bus: bus.clone(), csc, remote, spec }
    }

    /// Closes both.
    pub async fn close(self) {
        self.csc.close().await;
        self.remote.close().await;
    }

    /// The next sample of an event; with `flush` only one that comes from now on. Panics if none comes.
    pub async fn next(&self, event: &str, flush: bool) -> Sample {
        let reader = self.remote.event(event).unwrap_or_else(|e| panic!("{e}"));
        reader.next(flush, Some(PATIENCE)).await.unwrap_or_else(|e| panic!("{e}"))
    }

    /// Takes the next sample of an event from the queue and compares fields. Panics if none comes or one differs.
    pub async fn assert_next_sample(&self, event: &str, expected: &[(&str, Value)]) -> Sample {
        let sample = self.next(event, false).await;
        for (field, value) in expected {
            let got = sample.get(field).unwrap_or_else(|| panic!("{event} has no field {field}"));
            assert_eq!(got, value, "{}.{event}.{field}; sample {sample:?}", self.remote.name_index());
        }
        sample
    }

    /// The next `summaryState` is this one.
    pub async fn assert_next_summary_state(&self, state: SummaryState) {
        self.assert_next_sample("summaryState", &[("summaryState", Value::Int(state.value()))]).await;
    }

    /// Sends a command and waits until it is done.
    pub async fn command(&self, name: &str, fields: &[(&str, Value)]) -> Result<AckCmd, AckError> {
        let command = self.remote.command(name).unwrap_or_else(|e| panic!("{e}"));
        command.start(fields, PATIENCE, true).await
    }

    /// Sends a command that must succeed.
    pub async fn command_ok(&self, name: &str, fields: &[(&str, Value)]) -> AckCmd {
        self.command(name, fields)
            .await
            .unwrap_or_else(|e| panic!("{name} in {}: {e}", self.csc.context().state()))
    }

    /// Sends a command that must fail with CMD_FAILED; its result text.
    pub async fn command_fails(&self, name: &str, fields: &[(&str, Value)]) -> String {
        match self.command(name, fields).await {
            Err(AckError::Failed(ack)) if ack.ack == AckCode::Failed => ack.result,
            other => panic!("{name} in {} should have failed: {other:?}", self.csc.context().state()),
        }
    }

    /// All commands but those named in `good` and `skip` fail with CMD_FAILED, sent with default fields.
    pub async fn check_bad_commands(&self, good: &[&str], skip: &[&str]) {
        let names: BTreeSet<&str> = self.remote.command_names().collect();
        for name in good.iter().chain(skip) {
            assert!(names.contains(name), "{} has no command {name}", self.remote.component().name);
        }
        for name in names.iter().filter(|n| !good.contains(n) && !skip.contains(n)) {
            self.command_fails(name, &[]).await;
        }
    }

    /// The standard test of a CSC: from STANDBY through all states to OFFLINE, `summaryState` published each time, and
    /// every command refused where it does not belong. `enabled_commands` are the CSC's own that work in ENABLED only;
    /// `skip_commands` are those that also work elsewhere.
    pub async fn check_standard_state_transitions(&self, enabled_commands: &[&str], skip_commands: &[&str]) {
        use SummaryState as S;
        let good = |names: &[&'static str]| -> Vec<&'static str> { names.to_vec() };
        assert_eq!(
            self.spec.default_state,
            S::Standby,
            "externally commandable CSCs need a test of their own"
        );
        assert_eq!(self.csc.context().state(), S::Standby);
        self.assert_next_summary_state(S::Standby).await;
        self.check_bad_commands(&good(&["start", "exitControl", "setLogLevel"]), skip_commands).await;

        self.command_ok("start", &[]).await;
        self.assert_next_summary_state(S::Disabled).await;
        self.check_bad_commands(&good(&["enable", "standby", "setLogLevel"]), skip_commands).await;

        self.command_ok("enable", &[]).await;
        self.assert_next_summary_state(S::Enabled).await;
        let mut allowed = vec!["disable", "setLogLevel"];
        allowed.extend_from_slice(enabled_commands);
        self.check_bad_commands(&allowed, skip_commands).await;

        self.command_ok("disable", &[]).await;
        self.assert_next_summary_state(S::Disabled).await;
        self.command_ok("standby", &[]).await;
        self.assert_next_summary_state(S::Standby).await;
        self.command_ok("exitControl", &[]).await;
        self.assert_next_summary_state(S::Offline).await;
        self.csc.wait_done().await;
    }

    /// Takes the CSC to a state by commands.
    pub async fn go_to(&self, state: SummaryState) {
        let passed = self.remote.set_summary_state(state, "").await;
        passed.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(self.csc.context().state(), state);
    }

    /// Names of the component's own commands: not those of every CSC.
    pub fn own_commands(&self) -> Vec<String> {
        let generic = |name: &str| Transition::of_command(name).is_some() || name == "setLogLevel";
        let commands = self.spec.component.topics.iter().filter(|t| t.kind == TopicKind::Command);
        commands.map(|t| t.short_name().to_owned()).filter(|n| !generic(n)).collect()
    }
}
