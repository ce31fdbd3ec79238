use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

use async_trait::async_trait;
use salobj::Tai;
use serde_json::json;

use super::*;
use crate::tasks::call::ErrorClass;
use crate::tasks::plan::Priority;
use crate::tasks::steps::LogError;
use crate::tasks::steps::testing::MemoryShelf;

/// What a scripted backend does with a step, by the text of its parameters.
#[derive(Default)]
struct Scripted {
    begun: Mutex<Vec<String>>,
    now: AtomicU32,
    most: AtomicU32,
}

#[async_trait]
impl Backend for Scripted {
    fn name(&self) -> &'static str {
        "sim"
    }
    fn concurrency(&self) -> usize {
        2
    }
    async fn execute(&self, call: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        self.begun.lock().unwrap().push(call.id.step.clone());
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        let outcome = match call.params.as_str().unwrap() {
            "ok" => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(StepOutcome { result: json!(7), ..StepOutcome::default() })
            }
            "fail" => Err(StepError::permanent("no")),
            "transient" => Err(StepError::transient("nobody there")),
            "large" => Ok(long(40_000)),
            "huge" => Ok(long(400_000)),
            "panic" => panic!("on purpose"),
            "progress" => {
                step.progress("job-1").await;
                step.record(&json!({"sent": true})).await.map(|()| StepOutcome::default())
            }
            "polite" => Err(step.stop_requested().await.error("tidied up")),
            "deaf" => std::future::pending().await,
            other => panic!("{other}"),
        };
        self.now.fetch_sub(1, Ordering::SeqCst);
        outcome
    }
    async fn resume(
        &self,
        _: &StepCall,
        memo: Option<Value>,
        _: &StepHandle,
    ) -> Result<StepOutcome, StepError> {
        Ok(StepOutcome { result: json!({"memo": memo}), ..StepOutcome::default() })
    }
}

/// A result of at least so many bytes.
fn long(bytes: usize) -> StepOutcome {
    StepOutcome { result: json!({"n": bytes, "values": "x".repeat(bytes)}), ..StepOutcome::default() }
}

#[derive(Default)]
struct Journal(Mutex<Vec<(String, Option<Value>)>>);

#[async_trait]
impl StepLog for Journal {
    async fn record(&self, key: &str, value: Option<Value>) -> Result<(), LogError> {
        self.0.lock().unwrap().push((key.to_owned(), value));
        Ok(())
    }
}

struct Bench {
    driver: Driver,
    backend: Arc<Scripted>,
    journal: Arc<Journal>,
    shelf: Arc<MemoryShelf>,
    reports: mpsc::Receiver<StepReport>,
    task: tokio::task::JoinHandle<()>,
}

impl Bench {
    fn new() -> Self {
        let backend = Arc::new(Scripted::default());
        let journal = Arc::new(Journal::default());
        let (sender, reports) = mpsc::channel(4);
        let clock = Clock::scaled(Tai(1000.0), 1.0);
        let shelf = Arc::new(MemoryShelf::default());
        let backends: Vec<Arc<dyn Backend>> = vec![backend.clone()];
        let (driver, task) = driver(backends, &["late"], journal.clone(), Some(shelf.clone()), clock, sender);
        let task = tokio::spawn(task.run());
        Self { driver, backend, journal, shelf, reports, task }
    }

    async fn execute(&self, step: &str, what: &str) {
        self.driver.order(Order::Execute(Box::new(call(step, what)))).await.unwrap();
    }

    async fn next(&mut self) -> (String, StepReportKind) {
        let report = self.reports.recv().await.unwrap();
        (report.id.step, report.kind)
    }

    async fn ended(&mut self) -> (String, Result<StepOutcome, StepError>) {
        loop {
            if let (step, StepReportKind::Ended(outcome)) = self.next().await {
                return (step, outcome);
            }
        }
    }
}

fn id(step: &str) -> StepId {
    StepId { run_id: "0123456789abcdef".into(), step: step.into(), attempt: 1 }
}

fn call(step: &str, what: &str) -> StepCall {
    StepCall {
        id: id(step),
        rule: "R".into(),
        backend: "sim".into(),
        operation: String::new(),
        resend_if_unknown: false,
        params: json!(what),
        timeout: Duration::from_secs(60),
        start_before: Tai(2000.0),
        priority: Default::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn reports_a_step_from_its_start_to_its_end() {
    let mut b = Bench::new();
    b.execute("a", "progress").await;
    assert_eq!(b.next().await, ("a".into(), StepReportKind::Started));
    assert_eq!(b.next().await, ("a".into(), StepReportKind::Progress { backend_id: "job-1".into() }));
    assert_eq!(b.next().await, ("a".into(), StepReportKind::Ended(Ok(StepOutcome::default()))));
    assert_eq!(b.journal.0.lock().unwrap()[..], [(id("a").key(), Some(json!({"sent": true})))]);
    b.execute("b", "fail").await;
    assert_eq!(b.ended().await.1, Err(StepError::permanent("no")));
}

#[tokio::test(start_paused = true)]
async fn keeps_to_the_concurrency_and_order_of_a_backend() {
    let mut b = Bench::new();
    for n in 0..10 {
        b.execute(&format!("s{n}"), "ok").await;
    }
    for _ in 0..10 {
        assert!(b.ended().await.1.is_ok());
    }
    assert_eq!(b.backend.most.load(Ordering::SeqCst), 2);
    let begun = b.backend.begun.lock().unwrap().clone();
    assert_eq!(begun, (0..10).map(|n| format!("s{n}")).collect::<Vec<_>>());
    tokio::task::yield_now().await;
    assert_eq!(b.driver.load()[0], BackendLoad { name: "sim", running: 0, waiting: 0, left_alone: false });
}

#[tokio::test(start_paused = true)]
async fn the_site_may_set_the_concurrency() {
    let mut b = Bench::new();
    for (limit, most) in [(Some(5), 5), (None, 2)] {
        let limits = limit.map(|n| ("sim".to_owned(), n)).into_iter().collect();
        b.driver
            .order(Order::Configure { backends: Vec::new(), limits, rates: BTreeMap::new() })
            .await
            .unwrap();
        b.backend.most.store(0, Ordering::SeqCst);
        for n in 0..10 {
            b.execute(&format!("s{n}"), "ok").await;
        }
        for _ in 0..10 {
            assert!(b.ended().await.1.is_ok());
        }
        assert_eq!(b.backend.most.load(Ordering::SeqCst), most);
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_limit_ends_polite_and_deaf_backends() {
    let mut b = Bench::new();
    b.execute("polite", "polite").await;
    b.execute("deaf", "deaf").await;
    let begin = tokio::time::Instant::now();
    let (step, outcome) = b.ended().await;
    let error = outcome.unwrap_err();
    assert_eq!((step.as_str(), error.class), ("polite", ErrorClass::TimedOut));
    assert_eq!(error.text, "no result within 60 s; tidied up");
    assert_eq!(begin.elapsed().as_secs(), 60);
    let error = b.ended().await.1.unwrap_err();
    assert_eq!(error.class, ErrorClass::TimedOut);
    assert!(error.text.contains("did not end the step within 30 s"), "{error}");
    assert_eq!(begin.elapsed().as_secs(), 90);
}

#[tokio::test(start_paused = true)]
async fn an_abort_reaches_what_runs_and_what_waits() {
    let mut b = Bench::new();
    for step in ["one", "two", "waits"] {
        b.execute(step, "polite").await;
    }
    for step in ["waits", "one"] {
        let stop = Stop::Cancelled("not needed".into());
        b.driver.order(Order::Abort { id: id(step), stop }).await.unwrap();
    }
    b.driver.order(Order::Abort { id: id("unknown"), stop: Stop::Cancelled("x".into()) }).await.unwrap();
    let mut ends = [b.ended().await, b.ended().await];
    ends.sort_by(|x, y| x.0.cmp(&y.0));
    assert_eq!(ends[0].1.as_ref().unwrap_err().text, "not needed; tidied up");
    assert_eq!(ends[1].1.as_ref().unwrap_err().text, "not needed; it had not begun");
    assert!(ends.iter().all(|(_, o)| o.as_ref().unwrap_err().class == ErrorClass::Aborted));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_an_error_of_that_step_only() {
    let mut b = Bench::new();
    b.execute("a", "panic").await;
    let error = b.ended().await.1.unwrap_err();
    assert!(error.text.contains("panicked"), "{error}");
    b.execute("b", "ok").await;
    assert!(b.ended().await.1.is_ok());
}

#[tokio::test(start_paused = true)]
async fn resumes_with_the_memo_and_refuses_unknown_backends() {
    let mut b = Bench::new();
    for (step, memo) in [("a", Some(json!("x"))), ("b", None)] {
        let order = Order::Resume { call: Box::new(call(step, "ok")), memo: memo.clone() };
        b.driver.order(order).await.unwrap();
        assert_eq!(b.ended().await.1.unwrap().result, json!({"memo": memo}));
    }
    let mut other = call("c", "ok");
    other.backend = "carrier_pigeon".into();
    b.driver.order(Order::Execute(Box::new(other))).await.unwrap();
    let error = b.ended().await.1.unwrap_err();
    assert_eq!(error, StepError::permanent("this Catcher has no backend \"carrier_pigeon\""));
}

#[tokio::test(start_paused = true)]
async fn steps_of_a_backend_that_is_configured_later_wait_for_it() {
    let mut b = Bench::new();
    let late = |step: &str| {
        let mut call = call(step, "ok");
        call.backend = "late".into();
        Order::Execute(Box::new(call))
    };
    b.driver.order(late("a")).await.unwrap();
    b.execute("other", "ok").await;
    assert_eq!(b.ended().await.0, "other");
    assert_eq!(b.driver.load()[1], BackendLoad { name: "late", running: 0, waiting: 1, left_alone: false });
    let configure = |made: Option<Arc<dyn Backend>>| Order::Configure {
        backends: made.into_iter().collect(),
        limits: BTreeMap::new(),
        rates: BTreeMap::new(),
    };
    b.driver.order(configure(Some(Arc::new(Late)))).await.unwrap();
    assert_eq!(b.ended().await, ("a".into(), Ok(StepOutcome::default())));
    b.driver.order(configure(None)).await.unwrap();
    b.driver.order(late("b")).await.unwrap();
    let error = b.ended().await.1.unwrap_err();
    assert!(error.text.contains("backend late is not configured"), "{error}");
}

/// A backend that the site configures.
struct Late;

#[async_trait]
impl Backend for Late {
    fn name(&self) -> &'static str {
        "late"
    }
    fn concurrency(&self) -> usize {
        1
    }
    async fn execute(&self, _: &StepCall, _: &StepHandle) -> Result<StepOutcome, StepError> {
        Ok(StepOutcome::default())
    }
}

#[tokio::test(start_paused = true)]
async fn urgent_steps_go_before_others_and_those_under_way_before_all() {
    let mut b = Bench::new();
    for step in ["x", "y"] {
        b.execute(step, "ok").await;
    }
    for (step, priority) in [
        ("low", Priority::Low),
        ("a", Priority::Normal),
        ("b", Priority::Normal),
        ("urgent", Priority::Urgent),
        ("high", Priority::High),
    ] {
        let call = StepCall { priority, ..call(step, "ok") };
        b.driver.order(Order::Execute(Box::new(call))).await.unwrap();
    }
    let resumed = Order::Resume { call: Box::new(call("resumed", "ok")), memo: None };
    b.driver.order(resumed).await.unwrap();
    for _ in 0..8 {
        assert!(b.ended().await.1.is_ok());
    }
    let begun = b.backend.begun.lock().unwrap().clone();
    assert_eq!(begun, ["x", "y", "urgent", "high", "a", "b", "low"], "what is resumed is not begun");
}

#[tokio::test(start_paused = true)]
async fn no_more_are_begun_in_a_minute_than_the_site_allows() {
    let mut b = Bench::new();
    let rates = BTreeMap::from([("sim".to_owned(), 3)]);
    let order = Order::Configure { backends: Vec::new(), limits: BTreeMap::new(), rates };
    b.driver.order(order).await.unwrap();
    let begin = tokio::time::Instant::now();
    for n in 0..7 {
        b.execute(&format!("s{n}"), "fail").await;
    }
    let mut at = Vec::new();
    for _ in 0..7 {
        assert!(b.ended().await.1.is_err());
        at.push(begin.elapsed().as_secs());
    }
    assert_eq!(at, [0, 0, 0, 60, 60, 60, 120]);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_fails_again_and_again_is_left_alone_and_tried_with_one() {
    let mut b = Bench::new();
    for n in 0..BREAKER_AFTER {
        b.execute(&format!("s{n}"), "transient").await;
        assert!(b.ended().await.1.is_err());
    }
    for n in 0..4 {
        b.execute(&format!("late{n}"), "ok").await;
    }
    while !b.driver.load()[0].left_alone {
        tokio::task::yield_now().await;
    }
    let begin = tokio::time::Instant::now();
    b.backend.most.store(0, Ordering::SeqCst);
    assert_eq!(b.ended().await.0, "late0");
    assert!(begin.elapsed() >= BREAKER_PAUSE, "{:?}", begin.elapsed());
    // That only one is tried is seen below, at the line: here the others may have begun since.
    for _ in 0..3 {
        assert!(b.ended().await.1.is_ok());
    }
    assert_eq!(b.backend.most.load(Ordering::SeqCst), 2);
    b.execute("more", "ok").await;
    assert!(b.ended().await.1.is_ok());
    assert!(!b.driver.load()[0].left_alone);
}

#[test]
fn one_peer_that_is_left_alone_does_not_hold_up_the_others() {
    let mut line = Line::new("ocps", Place::NotYet);
    line.limit = 4;
    let now = tokio::time::Instant::now();
    let step = |index: u32| {
        let call = StepCall { backend: "ocps".into(), params: json!({"index": index}), ..call("a", "ok") };
        Waiting::new(call, None)
    };
    for n in 1..=BREAKER_AFTER {
        line.push(step(1));
        assert!(line.begin(now).is_ok());
        assert_eq!(line.end("1", Some(false), now), n == BREAKER_AFTER);
    }
    assert!(line.leaves_alone());
    for index in [1, 1, 2] {
        line.push(step(index));
    }
    assert_eq!(line.begin(now).map(|s| s.peer).ok().as_deref(), Some("2"));
    assert_eq!(line.begin(now).err(), Some(Some(now + BREAKER_PAUSE)));
    let later = now + BREAKER_PAUSE;
    assert_eq!(line.begin(later).map(|s| s.peer).ok().as_deref(), Some("1"));
    assert_eq!(line.begin(later).err(), Some(None), "one shows whether it is back");
    assert!(!line.end("1", Some(false), later), "it was left alone before");
    let third = later + BREAKER_PAUSE;
    assert_eq!(line.begin(later).err(), Some(Some(third)));
    assert!(line.begin(third).is_ok());
    line.end("1", Some(true), third);
    assert!(!line.leaves_alone());
}

#[tokio::test(start_paused = true)]
async fn a_result_too_large_for_an_event_is_kept_as_a_file() {
    let mut b = Bench::new();
    for (what, bytes, in_run) in [("large", 40_000, true), ("huge", 400_000, false)] {
        b.execute(what, what).await;
        let outcome = b.ended().await.1.unwrap();
        assert_eq!(outcome.files[0].name, large::FILE);
        assert!(outcome.files[0].bytes > bytes);
        assert_eq!(outcome.result.get("values").is_some(), in_run);
        assert_eq!(outcome.result["n"], json!(bytes));
    }
    assert_eq!(b.shelf.0.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_core_that_does_not_read_does_not_block_the_orders_and_a_full_line_is_told() {
    let mut b = Bench::new();
    let all = MAX_WAITING + 2 + 5;
    for n in 0..all {
        b.execute(&format!("s{n}"), "ok").await;
    }
    let mut refused = 0;
    for _ in 0..all {
        if let Err(error) = b.ended().await.1 {
            assert_eq!(error.class, ErrorClass::Transient);
            refused += 1;
        }
    }
    assert_eq!(refused, 5);
}

#[tokio::test(start_paused = true)]
async fn ends_with_the_core_or_its_last_handle() {
    let Bench { driver, reports, task, .. } = Bench::new();
    drop(reports);
    task.await.unwrap();
    assert_eq!(driver.order(Order::Execute(Box::new(call("a", "ok")))).await, Err(DriverGone));
    let Bench { driver, reports: _reports, task, .. } = Bench::new();
    drop(driver);
    task.await.unwrap();
}

#[tokio::test]
async fn the_overhead_of_a_step_is_small() {
    let mut b = Bench::new();
    let begin = tokio::time::Instant::now();
    for n in 0..200 {
        b.execute(&format!("s{n}"), "fail").await;
        assert!(b.ended().await.1.is_err());
    }
    assert!(begin.elapsed() < Duration::from_secs(4), "200 steps took {:?}", begin.elapsed());
}
