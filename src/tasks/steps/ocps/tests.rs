use std::collections::BTreeMap;
use std::sync::Mutex as StdMutex;

use salobj::transport::memory::MemoryControl;
use salobj::{AckCode, Remote, RemoteOptions, SummaryState, Tai};
use salobj_testbed::Bus;
use serde_json::json;
use tokio::sync::{mpsc, watch};

use super::*;
use crate::sim::ocps::{self as sim, EventOrder, OcpsControl, OcpsScript, Outcome, ResultShape};
use crate::tasks::call::{ErrorClass, StepReport};
use crate::tasks::steps::allow;
use crate::tasks::steps::bench::{Broken, Journal, id};

mod lost;
mod real;
mod restart;

struct Bench {
    bus: Bus,
    control: MemoryControl,
    journal: Arc<Journal>,
    stop: watch::Sender<Option<Stop>>,
    reports: StdMutex<mpsc::Receiver<StepReport>>,
    handle: StepHandle,
    backend: OcpsBackend,
}

fn component() -> Arc<Component> {
    sal_idl::Library::embedded().component("OCPS").unwrap()
}

fn call(params: Value) -> StepCall {
    StepCall {
        id: id(),
        rule: "Jitter.AuxTel".into(),
        backend: "ocps".into(),
        operation: String::new(),
        resend_if_unknown: false,
        params,
        timeout: Duration::from_secs(600),
        start_before: Tai(1_800_000_000.0 + 600.0),
        priority: Default::default(),
    }
}

fn pipeline(name: &str) -> StepCall {
    let query = "instrument='LATISS' AND exposure.obs_id='AT_O_20261121_000042'";
    call(json!({"index": 1, "pipeline": format!("${{CP_PIPE_DIR}}/pipelines/{name}"), "data_query": query}))
}

impl Bench {
    fn new() -> Self {
        let (bus, control) = Bus::memory();
        Self::on(bus, control, 10, Journal::default())
    }

    /// A Catcher process of its own on that bus.
    fn on(bus: Bus, control: MemoryControl, process: u32, journal: Journal) -> Self {
        let journal = Arc::new(journal);
        let (stop, stopped) = watch::channel(None);
        let (sender, reports) = mpsc::channel(100);
        let handle = StepHandle::new(id(), stopped, journal.clone(), sender);
        let domain = bus.domain(process);
        domain.set_default_identity("Catcher:3");
        let backend = OcpsBackend::new(Arc::new(Peers::new(domain)), component(), allow(|_, _, _| true));
        Self { bus, control, journal, stop, reports: StdMutex::new(reports), handle, backend }
    }

    async fn ocps(&self, index: i32, script: OcpsScript) -> OcpsControl {
        let domain = self.bus.domain(1);
        sim::start(&domain, component(), index, SummaryState::Enabled, script).await.unwrap()
    }

    async fn run(&self, call: &StepCall) -> Result<StepOutcome, StepError> {
        self.backend.execute(call, &self.handle).await
    }

    async fn resume(&self, call: &StepCall, memo: Option<Value>) -> Result<StepOutcome, StepError> {
        self.backend.resume(call, memo, &self.handle).await
    }

    fn commands_sent(&self) -> usize {
        let topic = sal_idl::names::kafka_topic(&self.bus.env.topic_subname, "OCPS", "command_execute");
        self.control.records(&topic).len()
    }

    fn stop(&self, reason: &str) {
        self.stop.send_replace(Some(Stop::Cancelled(reason.to_owned())));
    }
}

fn outcomes(known: &[(&str, Outcome)]) -> OcpsScript {
    let outcomes: BTreeMap<String, Outcome> =
        known.iter().map(|(name, outcome)| ((*name).to_owned(), outcome.clone())).collect();
    OcpsScript { outcomes, ..OcpsScript::default() }
}

#[tokio::test(start_paused = true)]
async fn a_job_from_command_to_result_with_the_journal_ahead() {
    let b = Bench::new();
    let ocps = b.ocps(1, OcpsScript::default()).await;
    let outcome = b.run(&pipeline("isr.yaml")).await.unwrap();
    assert_eq!(outcome.result["outcome"], "succeeded");
    assert_eq!(outcome.result["exit_code"], 0);
    assert_eq!(outcome.result["job_id"], outcome.backend_id);
    let executed = ocps.executed();
    assert_eq!(executed.len(), 1);
    assert_eq!(executed[0].identity, "Catcher:3");
    assert_eq!(executed[0].fields["pipeline"], "${CP_PIPE_DIR}/pipelines/isr.yaml");
    assert_eq!(executed[0].fields["version"], "");
    assert_eq!(outcome.result["result"]["runId"], executed[0].seq_num.to_string());
    assert_eq!(*b.journal.phases.lock().unwrap(), ["about_to_send", "sent", "sent"]);
    let progress = b.reports.lock().unwrap().try_recv().unwrap();
    assert_eq!(
        progress.kind,
        crate::tasks::steps::StepReportKind::Progress { backend_id: outcome.backend_id }
    );
}

#[tokio::test(start_paused = true)]
async fn every_order_of_event_and_acknowledgement() {
    for order in [
        EventOrder::BeforeComplete,
        EventOrder::BeforeProgress,
        EventOrder::AfterComplete(Duration::from_millis(1)),
        EventOrder::AfterComplete(Duration::from_secs(120)),
    ] {
        let b = Bench::new();
        b.ocps(1, OcpsScript { order, ..OcpsScript::default() }).await;
        let outcome = b.run(&pipeline("isr.yaml")).await;
        assert_eq!(outcome.unwrap().result["outcome"], "succeeded", "{order:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn outcomes_become_the_right_errors() {
    let text = "500 Server Error: Internal Server Error for url: http://uws-server/api/v1/job";
    for (outcome, class, part) in [
        (Outcome::Fail, ErrorClass::Permanent, "the pipeline failed (exit code 1)"),
        (
            Outcome::Refuse(text.into()),
            ErrorClass::Permanent,
            "did not accept execute: CMD_FAILED Failed: 500",
        ),
        (Outcome::Lose, ErrorClass::Permanent, "lost job"),
        (Outcome::Fault, ErrorClass::Permanent, "FAULT (2: 404 Simulation cannot contact execution service)"),
        (Outcome::Vanish, ErrorClass::UnknownOutcome, "nothing was heard of OCPS:1 for 3"),
    ] {
        let b = Bench::new();
        b.ocps(1, outcomes(&[("isr.yaml", outcome.clone())])).await;
        let error = b.run(&pipeline("isr.yaml")).await.unwrap_err();
        assert_eq!(error.class, class, "{outcome:?}: {error}");
        assert!(error.text.contains(part), "{outcome:?}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_simulation_mode_of_the_real_one() {
    let b = Bench::new();
    let ocps = b.ocps(1, OcpsScript { shape: ResultShape::Sim, ..OcpsScript::default() }).await;
    let run = |name: &str| call(json!({"index": 1, "pipeline": name}));
    let outcome = b.run(&run("true.yaml")).await.unwrap();
    assert_eq!(outcome.result["result"], json!({"result": true}));
    assert!(outcome.backend_id.starts_with("true.yaml-18000000"), "{}", outcome.backend_id);
    let error = b.run(&run("false.yaml")).await.unwrap_err();
    assert_eq!((error.class, &error.result["exit_code"]), (ErrorClass::Permanent, &json!(0)));
    let error = b.run(&run("other.yaml")).await.unwrap_err();
    assert!(error.text.contains("Unknown (simulated) pipeline: other.yaml"), "{error}");
    assert_eq!(ocps.executed().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_result_that_comes_twice_and_a_job_id_event_disturb_nobody() {
    let b = Bench::new();
    let script = OcpsScript { emit_job_id: true, otherwise: Outcome::Twice, ..OcpsScript::default() };
    b.ocps(1, script).await;
    let first = b.run(&pipeline("isr.yaml")).await.unwrap();
    let second = b.run(&pipeline("isr.yaml")).await.unwrap();
    assert_ne!(first.backend_id, second.backend_id);
}

#[tokio::test(start_paused = true)]
async fn strangers_jobs_on_the_same_ocps_are_not_ours() {
    let b = Bench::new();
    let ocps = b.ocps(1, outcomes(&[("theirs.yaml", Outcome::Fail)])).await;
    let other = Remote::open(&b.bus.domain(50), component(), 1, RemoteOptions::default()).await.unwrap();
    let fields = [("pipeline", SalValue::Text("theirs.yaml".into()))];
    let strangers = async {
        for _ in 0..20 {
            let done = other.command("execute").unwrap().start(&fields, Duration::from_secs(60), true);
            assert_eq!(done.await.unwrap().ack, AckCode::Complete);
        }
    };
    let ours = async {
        for _ in 0..10 {
            assert_eq!(b.run(&pipeline("isr.yaml")).await.unwrap().result["outcome"], "succeeded");
        }
    };
    tokio::join!(strangers, ours);
    assert_eq!(ocps.executed().len(), 30);
}

#[tokio::test(start_paused = true)]
async fn an_ocps_that_is_not_there_gets_nothing() {
    let b = Bench::new();
    let begin = tokio::time::Instant::now();
    let error = b.run(&pipeline("isr.yaml")).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    assert_eq!(error.text, "OCPS:1 is not there: no heartbeat within 10 s; nothing was sent");
    assert_eq!(begin.elapsed().as_secs(), 10);
    assert_eq!((b.commands_sent(), b.journal.phases.lock().unwrap().len()), (0, 0));
    // Another instance is no help.
    let ocps = b.ocps(2, OcpsScript::default()).await;
    assert!(b.run(&pipeline("isr.yaml")).await.unwrap_err().text.contains("OCPS:1 is not there"));
    assert_eq!(ocps.executed(), []);
}

#[tokio::test(start_paused = true)]
async fn an_ocps_that_is_not_enabled_refuses_and_may_be_asked_again() {
    let b = Bench::new();
    let domain = b.bus.domain(1);
    sim::start(&domain, component(), 1, SummaryState::Standby, OcpsScript::default()).await.unwrap();
    let error = b.run(&pipeline("isr.yaml")).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    assert!(error.text.contains("ot allowed in state"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn prerequisites_are_a_long_silence() {
    let b = Bench::new();
    let ocps = b.ocps(1, OcpsScript { run_time: Duration::from_secs(300), ..OcpsScript::default() }).await;
    let first = async {
        let remote = Remote::open(&b.bus.domain(50), component(), 1, RemoteOptions::default()).await.unwrap();
        let fields = [("pipeline", SalValue::Text("long.yaml".into()))];
        remote.command("execute").unwrap().start(&fields, Duration::from_secs(900), true).await.unwrap();
    };
    let second = async {
        ocps.wait_executed(1).await;
        while ocps.running_jobs().is_empty() {
            b.bus.clock.sleep(Duration::from_millis(100)).await;
        }
        let params = json!({"index": 1, "pipeline": "isr.yaml", "prereq_jobs": ocps.running_jobs()[0]});
        b.run(&call(params)).await
    };
    let ((), outcome) = tokio::join!(first, second);
    assert_eq!(outcome.unwrap().result["outcome"], "succeeded");
}

#[tokio::test(start_paused = true)]
async fn rapid_analysis_is_handed_over_and_its_json_is_not_refused() {
    let b = Bench::new();
    let ocps = b.ocps(101, OcpsScript::default()).await;
    let config = r#"{"LSSTCam-FROM-OCS_DONUTPAIR": "4042,4043"}"#;
    let outcome = b.run(&call(json!({"index": 101, "config": config}))).await.unwrap();
    assert_eq!(outcome.result["outcome"], "handed_over");
    assert_eq!(ocps.executed()[0].fields["config"], config);
}

#[tokio::test(start_paused = true)]
async fn what_must_not_leave_does_not() {
    let b = Bench::new();
    let ocps = b.ocps(1, OcpsScript::default()).await;
    let params = json!({"index": 1, "pipeline": "a.yaml", "data_query": "instrument=\"LATISS\""});
    assert_eq!(b.run(&call(params)).await.unwrap_err().class, ErrorClass::Permanent);
    let domain = b.bus.domain(11);
    let only = |component: &str, index, command: &str| (component, index, command) == ("OCPS", 2, "execute");
    let backend = OcpsBackend::new(Arc::new(Peers::new(domain)), component(), allow(only));
    let error = backend.execute(&pipeline("isr.yaml"), &b.handle).await.unwrap_err();
    assert!(error.text.contains("allowed_commands"), "{error}");
    assert_eq!((ocps.executed().len(), b.commands_sent()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_stop_aborts_the_job() {
    for shape in [ResultShape::Uws, ResultShape::Sim] {
        let b = Bench::new();
        let script = OcpsScript {
            shape,
            outcomes: BTreeMap::from([("hang.yaml".to_owned(), Outcome::Hang)]),
            ..OcpsScript::default()
        };
        let ocps = b.ocps(1, script).await;
        let call = pipeline("hang.yaml");
        let (outcome, ()) = tokio::join!(b.run(&call), async {
            ocps.wait_executed(1).await;
            b.bus.clock.sleep(Duration::from_secs(20)).await;
            b.stop("the image is gone");
        });
        let error = outcome.unwrap_err();
        assert_eq!((error.class, &error.result["exit_code"]), (ErrorClass::Aborted, &json!(255)), "{error}");
        assert!(error.text.starts_with("the image is gone; job "), "{error}");
        b.bus.clock.sleep(Duration::from_secs(10)).await;
        assert_eq!(ocps.running_jobs(), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_without_an_answer_is_bounded_and_says_what_is_known() {
    let b = Bench::new();
    let ocps = b.ocps(1, outcomes(&[("hang.yaml", Outcome::Hang), ("mute.yaml", Outcome::Silence)])).await;
    let begin = tokio::time::Instant::now();
    let call = pipeline("mute.yaml");
    let (outcome, ()) = tokio::join!(b.run(&call), async {
        ocps.wait_executed(1).await;
        b.stop("not needed");
    });
    let error = outcome.unwrap_err();
    assert_eq!(error.class, ErrorClass::Aborted);
    assert!(error.text.contains("it is not known whether it ran"), "{error}");
    assert!(begin.elapsed() < super::super::super::driver::ABORT_GRACE, "{:?}", begin.elapsed());
    // OCPS dies, then the step is stopped: abort_job is not answered.
    let b = Bench::new();
    let ocps = b.ocps(1, outcomes(&[("hang.yaml", Outcome::Hang)])).await;
    let call = pipeline("hang.yaml");
    let (outcome, begin) = tokio::join!(b.run(&call), async {
        ocps.wait_executed(1).await;
        b.bus.clock.sleep(Duration::from_secs(5)).await;
        ocps.vanish().await;
        b.stop("not needed");
        tokio::time::Instant::now()
    });
    assert!(outcome.unwrap_err().text.contains("abort_job was refused"));
    assert!(begin.elapsed() < super::super::super::driver::ABORT_GRACE, "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_stop_sends_no_command_that_the_site_does_not_allow() {
    let b = Bench::new();
    let ocps = b.ocps(1, outcomes(&[("hang.yaml", Outcome::Hang)])).await;
    let only_execute = |_: &str, _, command: &str| command == "execute";
    let backend = OcpsBackend::new(Arc::new(Peers::new(b.bus.domain(11))), component(), allow(only_execute));
    let call = pipeline("hang.yaml");
    let (outcome, ()) = tokio::join!(backend.execute(&call, &b.handle), async {
        ocps.wait_executed(1).await;
        b.bus.clock.sleep(Duration::from_secs(5)).await;
        b.stop("not needed");
    });
    let error = outcome.unwrap_err();
    assert!(error.text.contains("abort_job of OCPS:1 is not among the allowed_commands"), "{error}");
    assert_eq!(ocps.running_jobs(), [error.backend_id]);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_ends_in_an_error_that_says_so() {
    let b = Bench::new();
    let ocps = b.ocps(1, OcpsScript::default()).await;
    b.run(&pipeline("isr.yaml")).await.unwrap();
    b.control.fail_writes(1);
    let error = b.run(&pipeline("isr.yaml")).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::UnknownOutcome);
    assert!(error.text.contains("it is not sent again"), "{error}");
    assert_eq!(ocps.executed().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_the_journal_nothing_is_sent() {
    let b = Bench::new();
    let ocps = b.ocps(1, OcpsScript::default()).await;
    let (sender, _reports) = mpsc::channel(100);
    let handle = StepHandle::new(id(), b.stop.subscribe(), Arc::new(Broken), sender);
    let error = b.backend.execute(&pipeline("isr.yaml"), &handle).await.unwrap_err();
    assert_eq!(error.text, "the journal could not be written: disk full; nothing was started");
    assert_eq!((ocps.executed().len(), b.commands_sent()), (0, 0));
}
