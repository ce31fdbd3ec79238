use std::collections::BTreeMap;

use salobj::transport::memory::MemoryControl;
use salobj::{Remote, RemoteOptions, SummaryState, Tai};
use salobj_testbed::Bus;
use serde_json::json;

use super::*;
use crate::sim::script_queue::{self as sim, Course, QueueControl, QueueScript};
use crate::tasks::call::ErrorClass;
use crate::tasks::steps::StepReportKind;
use crate::tasks::steps::bench::{Broken, Hand, Journal, id};

mod restart;

const OURS: &str = "catcher/ours.py";

struct Bench {
    bus: Bus,
    control: MemoryControl,
    hand: Hand,
    backend: ScriptQueueBackend,
}

fn component(name: &str) -> Arc<Component> {
    sal_idl::Library::embedded().component(name).unwrap()
}

fn site(more: Value) -> ScriptQueueConfig {
    let mut queue = json!({"index": 3, "scripts": ["catcher/*.py"]});
    for (key, value) in more.as_object().unwrap() {
        queue[key] = value.clone();
    }
    serde_json::from_value(json!({"queues": [queue]})).unwrap()
}

fn script(more: Value) -> StepCall {
    let mut params = json!({"queue": 3, "path": OURS});
    for (key, value) in more.as_object().unwrap() {
        params[key] = value.clone();
    }
    StepCall {
        id: id(),
        rule: "Night.Report".into(),
        backend: "script_queue".into(),
        operation: String::new(),
        resend_if_unknown: false,
        priority: Default::default(),
        params,
        timeout: Duration::from_secs(600),
        start_before: Tai(1_800_000_000.0 + 600.0),
    }
}

impl Bench {
    fn new() -> Self {
        Self::with(json!({}))
    }

    fn with(more: Value) -> Self {
        let (bus, control) = Bus::memory();
        Self::on(bus, control, 10, Journal::default(), site(more))
    }

    /// A Catcher process of its own on that bus.
    fn on(bus: Bus, control: MemoryControl, process: u32, journal: Journal, site: ScriptQueueConfig) -> Self {
        let domain = bus.domain(process);
        domain.set_default_identity("Catcher:3");
        let peers = Arc::new(Peers::new(domain));
        let backend = ScriptQueueBackend::new(peers, component("ScriptQueue"), component("Script"), site);
        Self { bus, control, hand: Hand::new(journal), backend }
    }

    async fn queue(&self, behaviour: QueueScript) -> QueueControl {
        self.queue_of(1, behaviour).await
    }

    /// A queue that is played by that process.
    async fn queue_of(&self, process: u32, behaviour: QueueScript) -> QueueControl {
        let (queue, script) = (component("ScriptQueue"), component("Script"));
        let domain = self.bus.domain(process);
        sim::start(&domain, queue, script, 3, SummaryState::Enabled, behaviour).await.unwrap()
    }

    async fn run(&self, call: &StepCall) -> Result<StepOutcome, StepError> {
        self.backend.execute(call, &self.hand.handle).await
    }

    async fn resume(&self, call: &StepCall, memo: Option<Value>) -> Result<StepOutcome, StepError> {
        self.backend.resume(call, memo, &self.hand.handle).await
    }

    fn adds_sent(&self) -> usize {
        let topic = sal_idl::names::kafka_topic(&self.bus.env.topic_subname, "ScriptQueue", "command_add");
        self.control.records(&topic).len()
    }

    async fn stranger(&self) -> Remote {
        let domain = self.bus.domain(50);
        Remote::open(&domain, component("ScriptQueue"), 3, RemoteOptions::default()).await.unwrap()
    }
}

async fn add(remote: &Remote, path: &str) {
    let fields = [("path", SalValue::Text(path.into())), ("location", SalValue::Int(2))];
    remote.command("add").unwrap().start(&fields, Duration::from_secs(60), true).await.unwrap();
}

async fn ask(remote: &Remote, command: &str) {
    remote.command(command).unwrap().start(&[], Duration::from_secs(60), true).await.unwrap();
}

fn courses(known: &[(&str, Course)]) -> QueueScript {
    let courses: BTreeMap<String, Course> = known.iter().map(|(n, c)| ((*n).to_owned(), c.clone())).collect();
    QueueScript { courses, ..QueueScript::default() }
}

fn ours(course: Course) -> QueueScript {
    courses(&[("ours.py", course)])
}

#[tokio::test(start_paused = true)]
async fn a_script_from_rule_to_its_own_end_with_the_journal_ahead() {
    for twice in [false, true] {
        let b = Bench::new();
        let queue = b.queue(QueueScript { twice, ..QueueScript::default() }).await;
        let call = script(
            json!({"config": {"rule": "X"}, "log_level": 10, "stop_checkpoint": "end", "standard": false}),
        );
        let outcome = b.run(&call).await.unwrap();
        assert_eq!(
            (&outcome.result["outcome"], &outcome.result["script_index"]),
            (&json!("done"), &json!(300_000))
        );
        assert_eq!(
            (&outcome.result["checkpoints"], &outcome.result["last_checkpoint"]),
            (&json!(1), &json!("begin"))
        );
        assert_eq!(outcome.backend_id, "300000");
        let added = queue.added();
        assert_eq!((added.len(), added[0].identity.as_str()), (1, "Catcher:3"));
        let field = |name: &str| added[0].fields[name].clone();
        assert_eq!(field("config"), SalValue::Text(r#"{"rule": "X"}"#.into()));
        assert_eq!(field("location"), SalValue::Int(2));
        assert_eq!(field("isStandard"), SalValue::Bool(false));
        assert_eq!(field("descr"), SalValue::Text("Catcher rule Night.Report, run 0123456789abcdef".into()));
        assert_eq!(field("block"), SalValue::Text("".into()));
        let phases = b.hand.phases();
        assert_eq!((phases[0].as_str(), phases[1].as_str()), ("about_to_send", "sent"));
        let progress = b.hand.reports.lock().unwrap().try_recv().unwrap().kind;
        assert_eq!(progress, StepReportKind::Progress { backend_id: "300000".into() });
        assert!(queue.is_running());
        // The next one finds it idle, although the process of the first may not have ended.
        assert_eq!(b.run(&call).await.unwrap().backend_id, "300001");
    }
}

#[tokio::test(start_paused = true)]
async fn outcomes_of_the_script_itself_are_told_apart_and_the_queue_goes_on() {
    for (course, class, outcome, part) in [
        (
            Course::Fail("no light".into()),
            ErrorClass::Permanent,
            "failed",
            "failed: no light; the queue, which paused itself, was resumed",
        ),
        (Course::Crash, ErrorClass::Permanent, "failed", "its process ended before it did; the queue"),
        (
            Course::BadConfig("x is needed".into()),
            ErrorClass::Permanent,
            "configure_failed",
            "configuration: x is needed",
        ),
        (Course::LoadFail, ErrorClass::Permanent, "load_failed", "could not be loaded"),
    ] {
        let b = Bench::new();
        let queue = b.queue(ours(course.clone())).await;
        let error = b.run(&script(json!({}))).await.unwrap_err();
        assert_eq!((error.class, &error.result["outcome"]), (class, &json!(outcome)), "{course:?}: {error}");
        assert!(error.text.contains(part), "{course:?}: {error}");
        assert_eq!(error.backend_id, "300000");
        assert_eq!((queue.is_running(), queue.line()), (true, (0, vec![])), "{course:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_stays_paused_if_the_site_says_so_or_if_somebody_paused_it() {
    let b = Bench::with(json!({"resume_after_failure": false}));
    let queue = b.queue(ours(Course::Fail("no light".into()))).await;
    let error = b.run(&script(json!({}))).await.unwrap_err();
    assert!(error.text.contains("waits for somebody to resume it"), "{error}");
    assert_eq!((queue.is_running(), queue.line().0), (false, 300_000));

    let b = Bench::new();
    let behaviour =
        QueueScript { run_time: Duration::from_secs(20), ..ours(Course::Fail("no light".into())) };
    let queue = b.queue(behaviour).await;
    let operator = b.stranger().await;
    let call = script(json!({}));
    let (outcome, ()) = tokio::join!(b.run(&call), async {
        queue.wait_state(300_000, 3).await;
        ask(&operator, "pause").await;
    });
    let error = outcome.unwrap_err();
    assert!(error.text.ends_with("failed: no light"), "{error}");
    assert!(!queue.is_running());
}

#[tokio::test(start_paused = true)]
async fn a_lost_acknowledgement_is_no_loss() {
    let b = Bench::new();
    let queue = b.queue(QueueScript { lose_acks: 1, ..QueueScript::default() }).await;
    assert_eq!(b.run(&script(json!({}))).await.unwrap().backend_id, "300000");
    assert_eq!((queue.added().len(), b.adds_sent()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn refusals() {
    let b = Bench::new();
    let queue = b
        .queue(QueueScript { refuse: (1, "Cannot find script /x/ours.py.".into()), ..QueueScript::default() })
        .await;
    let error = b.run(&script(json!({}))).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    assert!(
        error.text.contains("did not add catcher/ours.py: CMD_FAILED Failed: Cannot find script"),
        "{error}"
    );
    assert_eq!(
        b.run(&script(json!({}))).await.unwrap().backend_id,
        "300001",
        "a refused one uses a number up"
    );
    let remote = b.stranger().await;
    remote.set_summary_state(SummaryState::Disabled, "").await.unwrap();
    let error = b.run(&script(json!({}))).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient, "{error}");
    assert_eq!(queue.added().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_site_does_not_allow_is_not_added() {
    let b = Bench::new();
    let queue = b.queue(QueueScript::default()).await;
    for (more, part) in [
        (json!({"queue": 1}), "may not use ScriptQueue:1"),
        (json!({"path": "maintel/slew.py"}), "may not add maintel/slew.py"),
        (json!({"location": "first"}), "at the end of ScriptQueue:3 only"),
    ] {
        let call = script(more);
        assert!(b.backend.check(&call.params).unwrap_err().contains(part), "{part}");
        let error = b.run(&call).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Permanent);
        assert!(error.text.contains(part) && error.text.ends_with("nothing was added"), "{error}");
    }
    assert_eq!(b.backend.check(&script(json!({"path": "{{ parameters.p }}"})).params), Ok(()));
    assert!(b.run(&script(json!({"path": "../ours.py"}))).await.is_err());
    let handle = b.hand.with_log(Arc::new(Broken));
    assert!(b.backend.execute(&script(json!({})), &handle).await.is_err());
    assert_eq!((queue.added().len(), b.adds_sent()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_observing_or_paused_queue_gets_nothing_unless_it_is_waited_for_or_the_site_says_so() {
    let b = Bench::new();
    let behaviour = QueueScript { run_time: Duration::from_secs(60), ..QueueScript::default() };
    let queue = b.queue(behaviour.clone()).await;
    let observer = b.stranger().await;
    add(&observer, "maintel/observe.py").await;
    add(&observer, OURS).await;
    let error = b.run(&script(json!({}))).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    assert!(error.text.contains("is observing: it has 2 scripts that no rule added"), "{error}");
    let error = b.run(&script(json!({"wait_idle": "10s"}))).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    assert_eq!(b.adds_sent(), 2, "{error}");
    assert_eq!(b.run(&script(json!({"wait_idle": "5m"}))).await.unwrap().backend_id, "300002");
    ask(&observer, "pause").await;
    let error = b.run(&script(json!({}))).await.unwrap_err();
    assert!(
        error.class == ErrorClass::Transient && error.text.contains("ScriptQueue:3 is paused"),
        "{error}"
    );
    assert_eq!(queue.added().len(), 3);

    let b = Bench::with(json!({"while_observing": true, "ahead": true}));
    let queue = b.queue(behaviour).await;
    let observer = b.stranger().await;
    add(&observer, "maintel/observe.py").await;
    add(&observer, "maintel/observe.py").await;
    let outcome = b.run(&script(json!({"location": "first"}))).await.unwrap();
    assert_eq!(outcome.backend_id, "300002");
    assert_eq!(queue.line().1.last(), Some(&300_001), "ours came before the second one");
}

#[tokio::test(start_paused = true)]
async fn scripts_of_rules_are_no_observing_and_do_not_take_each_others_ends() {
    let b = Bench::new();
    let queue = b.queue(courses(&[("bad.py", Course::Fail("bad".into()))])).await;
    let (good, bad) = (script(json!({})), script(json!({"path": "catcher/bad.py"})));
    let second = Hand::new(Journal::default());
    let (first, other) = tokio::join!(b.run(&good), async {
        queue.wait_added(1).await;
        b.backend.execute(&bad, &second.handle).await
    });
    assert_eq!(first.unwrap().backend_id, "300000");
    assert!(other.unwrap_err().text.contains("script 300001 (catcher/bad.py) of ScriptQueue:3 failed: bad"));
    assert!(queue.is_running());
}

#[tokio::test(start_paused = true)]
async fn a_stop_takes_the_script_out_wherever_it_is() {
    for (course, state, outcome) in [
        (Course::StuckLoading, 0, "load_failed"),
        (Course::Hang, 3, "stopped"),
        (Course::Deaf, 3, "terminated"),
    ] {
        let b = Bench::new();
        let queue = b.queue(ours(course.clone())).await;
        let call = script(json!({}));
        let (outcome_of, begin) = tokio::join!(b.run(&call), async {
            queue.wait_added(1).await;
            queue.wait_state(300_000, state).await;
            b.bus.clock.sleep(Duration::from_secs(8)).await;
            b.hand.stop("not needed");
            tokio::time::Instant::now()
        });
        let error = outcome_of.unwrap_err();
        assert_eq!(
            (error.class, &error.result["outcome"]),
            (ErrorClass::Aborted, &json!(outcome)),
            "{course:?}: {error}"
        );
        assert!(error.text.starts_with("not needed; script 300000"), "{error}");
        assert!(begin.elapsed() < crate::tasks::driver::ABORT_GRACE, "{:?}", begin.elapsed());
        queue.wait_empty().await;
        assert!(queue.is_running(), "{course:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_takes_a_waiting_script_out_and_is_bounded_without_an_answer() {
    let b = Bench::with(json!({"while_observing": true}));
    let queue = b.queue(courses(&[("observe.py", Course::Hang)])).await;
    add(&b.stranger().await, "maintel/observe.py").await;
    queue.wait_state(300_000, 3).await;
    let call = script(json!({}));
    let (outcome, ()) = tokio::join!(b.run(&call), async {
        queue.wait_state(300_001, 2).await;
        b.hand.stop("not needed");
    });
    let error = outcome.unwrap_err();
    assert_eq!(
        (error.class, &error.result["outcome"]),
        (ErrorClass::Aborted, &json!("terminated")),
        "{error}"
    );
    assert_eq!(queue.line(), (300_000, vec![]));

    let b = Bench::new();
    let queue = b.queue(ours(Course::Hang)).await;
    let (outcome, begin) = tokio::join!(b.run(&call), async {
        queue.wait_state(300_000, 3).await;
        b.bus.clock.sleep(Duration::from_secs(1)).await;
        queue.vanish().await;
        b.hand.stop("not needed");
        tokio::time::Instant::now()
    });
    let error = outcome.unwrap_err();
    assert!(error.text.contains("was running"), "{error}");
    assert!(begin.elapsed() < crate::tasks::driver::ABORT_GRACE, "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_operator_may_stop_it() {
    let b = Bench::new();
    let queue = b.queue(ours(Course::Hang)).await;
    let operator = b.stranger().await;
    let call = script(json!({}));
    let (outcome, ()) = tokio::join!(b.run(&call), async {
        queue.wait_state(300_000, 3).await;
        let mut indices = vec![0; MOST_STOPPED];
        indices[0] = 300_000;
        let fields = [("length", SalValue::Int(1)), ("salIndices", SalValue::Ints(indices.into()))];
        operator.command("stopScripts").unwrap().start(&fields, Duration::from_secs(60), true).await.unwrap();
    });
    let error = outcome.unwrap_err();
    assert_eq!((error.class, &error.result["outcome"]), (ErrorClass::Aborted, &json!("stopped")), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_started_anew_is_told_by_how_far_the_script_was() {
    for (state, class, part) in [
        (0, ErrorClass::Transient, "had not begun when its queue was started anew"),
        (3, ErrorClass::UnknownOutcome, "was lost: its queue was started anew"),
    ] {
        let b = Bench::new();
        let course = if state == 0 { Course::StuckLoading } else { Course::Hang };
        let queue = b.queue(ours(course)).await;
        let call = script(json!({}));
        let (outcome, anew) = tokio::join!(b.run(&call), async {
            queue.wait_added(1).await;
            queue.wait_state(300_000, state).await;
            b.bus.clock.sleep(Duration::from_secs(2)).await;
            queue.vanish().await;
            let anew = b.queue_of(2, QueueScript::default()).await;
            // The same number again, for somebody else.
            add(&b.stranger().await, "maintel/observe.py").await;
            anew
        });
        let error = outcome.unwrap_err();
        assert_eq!(error.class, class, "{error}");
        assert!(error.text.contains(part), "{error}");
        assert_eq!(anew.added()[0].index, 300_000);
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_not_there_or_dies() {
    let b = Bench::new();
    let error = b.run(&script(json!({}))).await.unwrap_err();
    assert_eq!(error.text, "ScriptQueue:3 is not there: no heartbeat within 10 s; nothing was sent");
    assert_eq!((error.class, b.adds_sent()), (ErrorClass::Transient, 0));
    let queue = b.queue(ours(Course::Hang)).await;
    let call = script(json!({}));
    let (outcome, ()) = tokio::join!(b.run(&call), async {
        queue.wait_state(300_000, 3).await;
        queue.vanish().await;
    });
    let error = outcome.unwrap_err();
    assert_eq!(error.class, ErrorClass::UnknownOutcome);
    assert!(error.text.contains("nothing was heard of ScriptQueue:3"), "{error}");
}
