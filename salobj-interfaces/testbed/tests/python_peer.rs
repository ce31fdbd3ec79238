//! The Rust Remote drives the real Python TestCsc on a real bus.
//!
//! Needs `CATCHER_TEST_KAFKA_BROKER`, `CATCHER_TEST_REGISTRY_URL`, `TS_XML_DIR`, and `CATCHER_TEST_PYTHON_CSC`: the
//! command that runs `tests/interop/play_test_csc.py` (the index is added). `tests/interop/run` sets them all.

use std::collections::BTreeMap;
use std::env;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use sal_idl::{Component, Library};
use salobj::transport::kafka::{KafkaOptions, KafkaTransport};
use salobj::{AckCode, AckError, Clock, Domain, Env, Remote, RemoteOptions, Sample, Value};
use tokio::process::{Child, Command};
use tokio::time::Instant;

const LIMIT: Duration = Duration::from_secs(60);
const NAMES: [&str; 4] =
    ["CATCHER_TEST_KAFKA_BROKER", "CATCHER_TEST_REGISTRY_URL", "CATCHER_TEST_PYTHON_CSC", "TS_XML_DIR"];

/// The bus, and the Python programs on it. Topics have a subname of their own.
struct Peers {
    env: Env,
    test: Arc<Component>,
    command: Vec<String>,
    variables: BTreeMap<String, String>,
    running: Vec<Child>,
    /// Configuration of the Python programs; it goes when this goes.
    _config: tempfile::TempDir,
}

static NEXT_INDEX: AtomicI32 = AtomicI32::new(1);

impl Peers {
    /// `None`, and a line that says so, if something is missing.
    #[expect(clippy::print_stderr, reason = "a skipped test must say so")]
    fn new() -> Option<Peers> {
        let missing: Vec<_> = NAMES.iter().filter(|n| env::var_os(n).is_none()).copied().collect();
        if !missing.is_empty() {
            eprintln!("SKIPPED: no Python peer: {} not set", missing.join(", "));
            return None;
        }
        let get = |name: &str| env::var(name).expect("checked above");
        let subname =
            env::var("LSST_TOPIC_SUBNAME").unwrap_or_else(|_| format!("test_rust{}", std::process::id()));
        let config = tempfile::tempdir().expect("a temporary folder");
        let folder = config.path().join("Test/v2");
        std::fs::create_dir_all(&folder).expect("created");
        std::fs::write(folder.join("_init.yaml"), salobj_testbed::test_csc::INIT_YAML).expect("written");
        let variables = BTreeMap::from([
            ("LSST_TOPIC_SUBNAME".to_owned(), subname),
            ("LSST_KAFKA_BROKER_ADDR".to_owned(), get(NAMES[0])),
            ("LSST_SCHEMA_REGISTRY_URL".to_owned(), get(NAMES[1])),
            ("LSST_SITE".to_owned(), "test".to_owned()),
            ("TS_CONFIG_OCS_DIR".to_owned(), config.path().display().to_string()),
        ]);
        let env = Env::from_vars(variables.clone()).expect("a complete environment");
        let test = Library::from_dir(get(NAMES[3])).expect("ts_xml").component("Test").expect("it has Test");
        let command = get(NAMES[2]).split_whitespace().map(str::to_owned).collect();
        Some(Peers { env, test, command, variables, running: Vec::new(), _config: config })
    }

    /// Starts a Python TestCsc and returns its index.
    fn start(&mut self, arguments: &[&str]) -> i32 {
        let index = NEXT_INDEX.fetch_add(1, Ordering::Relaxed);
        let child = Command::new(&self.command[0])
            .args(&self.command[1..])
            .arg(index.to_string())
            .args(arguments)
            .envs(&self.variables)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the Python program starts");
        self.running.push(child);
        index
    }

    fn domain(&self) -> Domain {
        let transport =
            KafkaTransport::new(&self.env, KafkaOptions::default()).expect("the broker's settings");
        Domain::new(Arc::new(transport), Clock::System, self.env.clone())
    }

    async fn remote(&self, domain: &Domain, index: i32) -> Remote {
        let options = RemoteOptions::default();
        Remote::open(domain, self.test.clone(), index, options).await.expect("the remote starts")
    }
}

async fn next(remote: &Remote, attr: &str) -> Sample {
    let reader = if let Some(name) = attr.strip_prefix("evt_") {
        remote.event(name)
    } else {
        remote.telemetry(attr.strip_prefix("tel_").expect("evt_ or tel_"))
    };
    reader.expect("a topic of Test").next(false, Some(LIMIT)).await.unwrap_or_else(|e| panic!("{attr}: {e}"))
}

async fn state(remote: &Remote) -> i64 {
    next(remote, "evt_summaryState").await.i64("summaryState")
}

async fn enabled(remote: &Remote) {
    while state(remote).await != 2 {}
}

async fn send(
    remote: &Remote,
    name: &str,
    fields: &[(&str, Value)],
    limit: Duration,
) -> Result<String, String> {
    let command = remote.command(name).expect("a command of Test");
    match command.start(fields, limit, true).await {
        Ok(ack) if ack.ack == AckCode::Complete => Ok(ack.result),
        Ok(ack) => panic!("{name}: {ack}"),
        Err(AckError::Failed(ack)) => Err(format!("{} {} {}", ack.ack.value(), ack.error, ack.result)),
        Err(AckError::Timeout(ack)) => Err(format!("timeout {} {}", ack.ack.value(), ack.result)),
        Err(other) => panic!("{name}: {other}"),
    }
}

#[tokio::test]
async fn all_transitions_and_the_texts_of_refusals() {
    let Some(mut peers) = Peers::new() else { return };
    let domain = peers.domain();
    let index = peers.start(&[]);
    let remote = peers.remote(&domain, index).await;
    assert_eq!(state(&remote).await, 5);
    for (from, name, to, refused) in [
        ("STANDBY: 5", "start", 1, "enable"),
        ("DISABLED: 1", "enable", 2, "start"),
        ("ENABLED: 2", "disable", 1, "standby"),
        ("DISABLED: 1", "standby", 5, "disable"),
    ] {
        let refusal = send(&remote, refused, &[], LIMIT).await;
        assert_eq!(refusal, Err(format!("-302 1 Failed: {refused} not allowed in state <State.{from}>")));
        if from != "ENABLED: 2" {
            let own = send(&remote, "setScalars", &[], LIMIT).await;
            assert_eq!(own, Err(format!("-302 1 Failed: Not allowed in state=<State.{from}>")));
        }
        assert_eq!(send(&remote, name, &[], LIMIT).await, Ok("Done".to_owned()));
        assert_eq!(state(&remote).await, to, "after {name}");
    }
    let missing = [("configurationOverride", Value::Text("nope.yaml".into()))];
    let error = send(&remote, "start", &missing, LIMIT).await.expect_err("no such file");
    assert!(
        error.starts_with("-302 1 Failed: Config file '") && error.ends_with("nope.yaml' does not exist"),
        "{error}"
    );

    assert_eq!(send(&remote, "fault", &[], LIMIT).await, Ok("Done".to_owned()));
    assert_eq!(state(&remote).await, 3);
    let error = send(&remote, "setScalars", &[], LIMIT).await;
    let text = "Not allowed in Fault state: errorCode=1, errorReport='executing the fault command'";
    assert_eq!(error, Err(format!("-302 1 Failed: {text}")));
    assert_eq!(send(&remote, "standby", &[], LIMIT).await, Ok("Done".to_owned()));
    assert_eq!(state(&remote).await, 5);
    assert_eq!(send(&remote, "exitControl", &[], LIMIT).await, Ok("Done".to_owned()));
    assert_eq!(state(&remote).await, 4);
    let ended =
        tokio::time::timeout(LIMIT, peers.running[0].wait()).await.expect("it ends").expect("a status");
    assert!(ended.success(), "{ended}");
    domain.close().await;
}

#[tokio::test]
async fn acknowledgements_over_time() {
    let Some(mut peers) = Peers::new() else { return };
    let domain = peers.domain();
    let index = peers.start(&["--state", "enabled"]);
    let remote = peers.remote(&domain, index).await;
    enabled(&remote).await;
    let wait =
        |duration: f64, trick: i64| [("duration", Value::Double(duration)), ("ack", Value::Int(trick))];
    let second = Duration::from_secs(1);
    assert_eq!(
        send(&remote, "wait", &wait(2.0, 0), second).await,
        Ok("Done".to_owned()),
        "in progress extends"
    );

    let command = remote.command("wait").expect("there");
    let first = command.start(&wait(1.0, 0), LIMIT, false).await.expect("accepted");
    assert_eq!((first.ack, first.timeout), (AckCode::InProgress, 1.0));
    let last = command.next_ackcmd(&first, LIMIT, true).await.expect("done");
    assert_eq!((last.ack, last.result.as_str()), (AckCode::Complete, "Done"));

    let (start, one) = (Instant::now(), wait(1.0, 0));
    let three = tokio::join!(
        send(&remote, "wait", &one, LIMIT),
        send(&remote, "wait", &one, LIMIT),
        send(&remote, "wait", &one, LIMIT)
    );
    assert!(three.0.is_ok() && three.1.is_ok() && three.2.is_ok(), "{three:?}");
    assert!(start.elapsed() < Duration::from_millis(1900), "{:?}", start.elapsed());

    let none = send(&remote, "wait", &wait(-3.0, 0), second).await;
    assert_eq!(none, Err("timeout -301 No command acknowledgement seen".to_owned()));

    // Acknowledgements that are not ours: the right number, another identity or origin.
    assert_eq!(send(&remote, "wait", &wait(0.0, 1), LIMIT).await, Ok("Done".to_owned()));
    // CMD_ACK, two CMD_INPROGRESS, each with its time, then the end after 1.5 s; one second alone would not do.
    let mut tracked = command.start_tracked(&wait(0.0, 2)).await.expect("sent");
    let mut seen = Vec::new();
    while let Some(ack) = tracked.next().await {
        seen.push((ack.ack.value(), ack.timeout, ack.result));
    }
    let expected = [(300, 0.0, ""), (301, 1.0, "one"), (301, 1.0, "two"), (303, 0.0, "tricked")];
    assert_eq!(seen, expected.map(|(code, timeout, text)| (code, timeout, text.to_owned())));
    assert_eq!(send(&remote, "wait", &wait(0.0, 2), second).await, Ok("tricked".to_owned()));
    assert_eq!(send(&remote, "wait", &wait(0.0, 3), LIMIT).await, Err("302 0 stuck".to_owned()));
    domain.close().await;
}

#[tokio::test]
async fn values_there_and_back() {
    let Some(mut peers) = Peers::new() else { return };
    let domain = peers.domain();
    let index = peers.start(&["--state", "enabled"]);
    let remote = peers.remote(&domain, index).await;
    enabled(&remote).await;
    let scalars = [
        ("boolean0", Value::Bool(true)),
        ("byte0", Value::Int(200)),
        ("short0", Value::Int(-32768)),
        ("int0", Value::Int(i64::from(i32::MAX))),
        ("long0", Value::Int(i64::from(i32::MIN))),
        ("longLong0", Value::Int(i64::MIN)),
        ("unsignedShort0", Value::Int(65535)),
        ("unsignedInt0", Value::Int(i64::from(u32::MAX))),
        ("float0", Value::Double(1.5)),
        ("double0", Value::Double(f64::INFINITY)),
        ("string0", Value::Text("≤ \"quoted\" \\ \u{1f52d}".into())),
    ];
    let arrays = [
        ("boolean0", Value::Bools([true, false, true, false, true].into())),
        ("longLong0", Value::Ints([i64::MIN, -1, 0, 1, i64::MAX].into())),
        ("float0", Value::Doubles([0.0, -1.5, 0.25, f64::NEG_INFINITY, 3.0].into())),
        ("double0", Value::Doubles([0.0, -1e300, 1e-300, f64::MAX, 2.5].into())),
    ];
    for (command, name, fields) in
        [("setScalars", "scalars", &scalars[..]), ("setArrays", "arrays", &arrays[..])]
    {
        assert_eq!(send(&remote, command, fields, LIMIT).await, Ok("Done".to_owned()));
        for kind in ["evt", "tel"] {
            let sample = next(&remote, &format!("{kind}_{name}")).await;
            assert_eq!(sample.sal_index(), i64::from(index));
            assert_eq!(sample.identity(), format!("Test:{index}"));
            for (field, value) in fields {
                assert_eq!(sample.get(field), Some(value), "{kind}_{name}.{field}");
            }
        }
    }
    domain.close().await;
}

#[tokio::test]
async fn indices_history_and_order() {
    let Some(mut peers) = Peers::new() else { return };
    let one = peers.start(&["--state", "enabled"]);
    let two = peers.start(&[]);
    let domain = peers.domain();
    let (first, second) = (peers.remote(&domain, one).await, peers.remote(&domain, two).await);
    enabled(&first).await;
    let seen = next(&second, "evt_summaryState").await;
    assert_eq!((seen.sal_index(), seen.i64("summaryState")), (i64::from(two), 5));

    // History: the last sample of each instance with index 0, only the own one with an index.
    let every = peers.remote(&domain, 0).await;
    let mut states = BTreeMap::new();
    let reader = every.event("summaryState").expect("there");
    while let Some(sample) = reader.get_oldest().expect("open") {
        assert_eq!(
            states.insert(sample.sal_index(), sample.i64("summaryState")),
            None,
            "one sample for each instance"
        );
    }
    assert_eq!((states.get(&i64::from(one)), states.get(&i64::from(two))), (Some(&2), Some(&5)));
    let late = peers.remote(&domain, two).await;
    let reader = late.event("summaryState").expect("there");
    assert_eq!(reader.get().map(|s| s.i64("summaryState")), Some(5));
    let flushed = reader.next(true, Some(Duration::from_secs(1))).await;
    assert!(flushed.is_err(), "flush leaves history out: {flushed:?}");

    // A command from index 0 reaches the instance that it names; salIndex 0 is no broadcast.
    let to = |index: i32| [("salIndex", Value::Int(i64::from(index))), ("int0", Value::Int(7))];
    let sent = every.command("setScalars").expect("there").start(&to(one), LIMIT, true).await.expect("done");
    assert_eq!((sent.ack, sent.sal_index), (AckCode::Complete, i64::from(one)));
    let none = send(&every, "setScalars", &to(0), Duration::from_secs(2)).await;
    assert_eq!(none, Err("timeout -301 No command acknowledgement seen".to_owned()));

    // Telemetry that was sent before what was seen last is dropped; the same time is not.
    let telemetry = first.telemetry("scalars").expect("there");
    telemetry.flush().expect("open");
    let trick = [("ack", Value::Int(4))];
    assert_eq!(send(&first, "wait", &trick, LIMIT).await, Ok("Done".to_owned()));
    let values =
        [next(&first, "tel_scalars").await.i64("int0"), next(&first, "tel_scalars").await.i64("int0")];
    assert_eq!(values, [1, 3]);
    domain.close().await;
}
