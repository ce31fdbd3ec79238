//! Against the real OCPS CSC (dm_OCPS) on a real bus: in its simulation mode 1, and with the real UWS API server behind it.
//!
//! Needs `CATCHER_TEST_KAFKA_BROKER`, `CATCHER_TEST_REGISTRY_URL`, and the command that runs that CSC (the index is added):
//! `CATCHER_TEST_PYTHON_OCPS` in simulation, `CATCHER_TEST_PYTHON_OCPS_LIVE` with the server at `CATCHER_TEST_UWS_URL`. `TS_XML_DIR`,
//! if set, gives its interface. `tests/interop/run ocps ocps_uws` sets them. Jobs take 10 s on average, all of it some minutes.
//! What is seen goes to the output (`--nocapture`).

use std::process::Stdio;

use salobj::transport::kafka::{KafkaOptions, KafkaTransport};
use salobj::{Clock, Domain, Env};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::*;
use crate::tasks::steps::uws::{OcpsJobs, UwsConfig};

const SERVERS: [&str; 2] = ["CATCHER_TEST_KAFKA_BROKER", "CATCHER_TEST_REGISTRY_URL"];

struct Real {
    env: Env,
    variables: BTreeMap<String, String>,
    component: Arc<Component>,
    journal: Arc<Journal>,
    /// What starts OCPS.
    command: String,
}

impl Real {
    /// `names`: the variable that says how OCPS is started, and others that have to be set.
    fn new(names: &[&str]) -> Option<Self> {
        let all = SERVERS.iter().chain(names);
        let missing: Vec<_> = all.filter(|n| std::env::var_os(n).is_none()).copied().collect();
        if !missing.is_empty() {
            eprintln!("SKIPPED: no real OCPS: {} not set", missing.join(", "));
            return None;
        }
        let get = |name: &str| std::env::var(name).unwrap();
        let own = || format!("test_ocps{}", std::process::id());
        let variables = BTreeMap::from([
            ("LSST_TOPIC_SUBNAME".to_owned(), std::env::var("LSST_TOPIC_SUBNAME").unwrap_or_else(|_| own())),
            ("LSST_KAFKA_BROKER_ADDR".to_owned(), get(SERVERS[0])),
            ("LSST_SCHEMA_REGISTRY_URL".to_owned(), get(SERVERS[1])),
            ("LSST_SITE".to_owned(), "test".to_owned()),
        ]);
        let env = Env::from_vars(variables.clone()).unwrap();
        let library = std::env::var("TS_XML_DIR")
            .map_or_else(|_| sal_idl::Library::embedded(), |dir| sal_idl::Library::from_dir(dir).unwrap());
        let component = library.component("OCPS").unwrap();
        Some(Self { env, variables, component, journal: Arc::default(), command: get(names[0]) })
    }

    fn domain(&self, process: u32) -> Domain {
        let transport = KafkaTransport::new(&self.env, KafkaOptions::default()).unwrap();
        let origin = i64::from(std::process::id()) + i64::from(process);
        let domain = Domain::with_origin(Arc::new(transport), Clock::System, self.env.clone(), origin);
        domain.set_default_identity("Catcher:3");
        domain
    }

    fn backend(&self, process: u32) -> OcpsBackend {
        OcpsBackend::new(
            Arc::new(Peers::new(self.domain(process))),
            self.component.clone(),
            allow(|_, _, _| true),
        )
    }

    /// Starts OCPS:1 and takes it to ENABLED.
    async fn ocps(&self) -> Child {
        let begin = Instant::now();
        let mut words = self.command.split_whitespace();
        let child = Command::new(words.next().unwrap())
            .args(words)
            .arg("1")
            .envs(&self.variables)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let domain = self.domain(90);
        let remote =
            Remote::open(&domain, self.component.clone(), 1, RemoteOptions::default()).await.unwrap();
        let heartbeat = remote.event("heartbeat").unwrap().next(true, Some(Duration::from_secs(90)));
        heartbeat.await.unwrap();
        // The state of a predecessor may still be the last one in the topic.
        let states = remote.event("summaryState").unwrap();
        while states.next(false, Some(Duration::from_secs(30))).await.unwrap().i64("summaryState") != 5 {}
        remote.set_summary_state(SummaryState::Enabled, "").await.unwrap();
        domain.close().await;
        eprintln!("OCPS:1 is enabled after {:.1} s", begin.elapsed().as_secs_f64());
        child
    }

    fn handle(&self) -> (StepHandle, watch::Sender<Option<Stop>>) {
        let (stop, stopped) = watch::channel(None);
        let (sender, mut reports) = mpsc::channel::<StepReport>(100);
        tokio::spawn(async move {
            while let Some(report) = reports.recv().await {
                eprintln!("  reported: {:?}", report.kind);
            }
        });
        (StepHandle::new(id(), stopped, self.journal.clone(), sender), stop)
    }
}

fn told(what: &str, begin: Instant, outcome: &Result<StepOutcome, StepError>) {
    match outcome {
        Ok(o) => eprintln!("{what}: succeeded after {:.1} s: {}", begin.elapsed().as_secs_f64(), o.result),
        Err(e) => eprintln!(
            "{what}: {:?} after {:.1} s: {e}; result {}",
            e.class,
            begin.elapsed().as_secs_f64(),
            e.result
        ),
    }
}

fn run(name: &str, index: i64) -> StepCall {
    let start_before = Clock::System.now() + Duration::from_secs(600);
    StepCall { start_before, ..call(json!({"index": index, "pipeline": name})) }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_real_ocps_in_simulation() {
    let Some(real) = Real::new(&["CATCHER_TEST_PYTHON_OCPS"]) else { return };
    let mut ocps = real.ocps().await;
    let backend = real.backend(10);
    let (handle, _stop) = real.handle();
    let execute = async |name: &str, index: i64| {
        let begin = Instant::now();
        let outcome = backend.execute(&run(name, index), &handle).await;
        told(name, begin, &outcome);
        outcome
    };

    let outcome = execute("true.yaml", 1).await.unwrap();
    assert_eq!(outcome.result["result"], json!({"result": true}));
    let error = execute("false.yaml", 1).await.unwrap_err();
    assert_eq!((error.class, &error.result["exit_code"]), (ErrorClass::Permanent, &json!(0)));
    let error = execute("nope.yaml", 1).await.unwrap_err();
    assert!(error.text.contains("Unknown (simulated) pipeline: nope.yaml"), "{error}");

    eprintln!("-- nobody plays OCPS:2");
    let error = execute("true.yaml", 2).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    assert!(error.text.contains("OCPS:2 is not there"), "{error}");

    eprintln!("-- stopped once it has a job");
    let (stopped_handle, stop) = real.handle();
    let begin = Instant::now();
    let call = run("true.yaml", 1);
    let stops = async {
        while real.journal.memo.lock().unwrap().as_ref().is_none_or(|m| m["known"]["job_id"].is_null()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.send_replace(Some(Stop::Cancelled("not needed".into())));
    };
    *real.journal.memo.lock().unwrap() = None;
    let (outcome, ()) = tokio::join!(backend.execute(&call, &stopped_handle), stops);
    told("stopped", begin, &outcome);
    let error = outcome.unwrap_err();
    assert_eq!((error.class, &error.result["exit_code"]), (ErrorClass::Aborted, &json!(255)));

    eprintln!("-- the Catcher dies as soon as the command is out, and another process goes on");
    for down in [0, 20] {
        let begin = Instant::now();
        let journal = Arc::new(Journal { stop_at: Some((1, false)), ..Journal::default() });
        let (sender, _reports) = mpsc::channel(100);
        let (_stop, stopped) = watch::channel(None);
        let dying = StepHandle::new(id(), stopped, journal.clone(), sender);
        let first = real.backend(11);
        let call = run("true.yaml", 1);
        tokio::select! {
            outcome = first.execute(&call, &dying) => panic!("{outcome:?}"),
            () = journal.stopped.notified() => {}
        }
        first.peers.close().await;
        tokio::time::sleep(Duration::from_secs(down)).await;
        let memo = journal.memo.lock().unwrap().clone();
        assert_eq!(memo.as_ref().unwrap()["phase"], "about_to_send");
        let outcome = real.backend(12).resume(&call, memo, &handle).await;
        told(&format!("resumed after {down} s"), begin, &outcome);
        assert_eq!(outcome.unwrap().result["outcome"], "succeeded");
    }

    eprintln!("-- FAULT");
    let error = execute("fault.yaml", 1).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    assert!(error.text.contains("404 Simulation cannot contact execution service"), "{error}");
    let error = execute("true.yaml", 1).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient, "in FAULT it refuses, and may be enabled again: {error}");

    eprintln!("-- OCPS:1 is killed while a job is under way");
    ocps.kill().await.unwrap();
    let mut ocps = real.ocps().await;
    *real.journal.memo.lock().unwrap() = None;
    let begin = Instant::now();
    let call = run("true.yaml", 1);
    let kills = async {
        while real.journal.memo.lock().unwrap().as_ref().is_none_or(|m| m["known"]["job_id"].is_null()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        ocps.kill().await.unwrap();
    };
    let (outcome, ()) = tokio::join!(backend.execute(&call, &handle), kills);
    told("killed", begin, &outcome);
    let error = outcome.unwrap_err();
    assert_eq!(error.class, ErrorClass::UnknownOutcome);
    assert!(error.text.contains("nothing was heard of OCPS:1"), "{error}");
    backend.peers.close().await;
}

/// OCPS is killed while its job runs: the service that runs the job tells how it ended. It knows the job by the number of the command.
#[tokio::test(flavor = "multi_thread")]
async fn the_real_ocps_with_its_batch_service() {
    const UWS: &str = "CATCHER_TEST_UWS_URL";
    let Some(real) = Real::new(&["CATCHER_TEST_PYTHON_OCPS_LIVE", UWS]) else { return };
    let config: UwsConfig =
        serde_json::from_value(json!({"url": std::env::var(UWS).unwrap(), "ocps": [1]})).unwrap();
    let jobs = Arc::new(OcpsJobs::new(&config, &|_| None).unwrap());
    let mut ocps = real.ocps().await;
    let backend = real.backend(10).asking(Arc::clone(&jobs) as _);
    let (handle, _stop) = real.handle();
    for (name, exit_code) in [("ok.yaml", 0), ("bad.yaml", 1)] {
        let begin = Instant::now();
        let outcome = backend.execute(&run(name, 1), &handle).await;
        told(name, begin, &outcome);
        let result = outcome.map_or_else(|e| *e.result, |o| o.result);
        assert_eq!(result["exit_code"], exit_code);
        // It is of the time of the request.
        assert!(["pending", "executing"].contains(&result["result"]["phase"].as_str().unwrap()), "{result}");
    }
    *real.journal.memo.lock().unwrap() = None;
    let begin = Instant::now();
    let call = run("slow.yaml", 1);
    let memo = || real.journal.memo.lock().unwrap().clone();
    let kills = async {
        while memo().is_none_or(|m| m["known"]["job_id"].is_null()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        ocps.kill().await.unwrap();
        let memo = memo().unwrap();
        let number = memo["command"]["seq_num"].as_i64().unwrap_or_else(|| panic!("{memo}"));
        assert_eq!(jobs.find(number).await.as_deref(), memo["known"]["job_id"].as_str());
    };
    let (outcome, ()) = tokio::join!(backend.execute(&call, &handle), kills);
    told("killed", begin, &outcome);
    assert_eq!(outcome.unwrap().result["result"]["phase"], "completed");
    backend.peers.close().await;
}
