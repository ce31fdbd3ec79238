use std::sync::Mutex;
use std::sync::atomic::AtomicU32;

use async_trait::async_trait;
use salobj::Tai;
use serde_json::json;

use super::*;
use crate::tasks::call::ErrorClass;
use crate::tasks::steps::LogError;

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
    reports: mpsc::Receiver<StepReport>,
    task: tokio::task::JoinHandle<()>,
}

impl Bench {
    fn new() -> Self {
        let backend = Arc::new(Scripted::default());
        let journal = Arc::new(Journal::default());
        let (sender, reports) = mpsc::channel(4);
        let clock = Clock::scaled(Tai(1000.0), 1.0);
        let backends: Vec<Arc<dyn Backend>> = vec![backend.clone()];
        let (driver, task) = driver(backends, &["late"], journal.clone(), clock, sender);
        let task = tokio::spawn(task.run());
        Self { driver, backend, journal, reports, task }
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
    assert_eq!(b.driver.load()[0], BackendLoad { name: "sim", running: 0, waiting: 0 });
}

#[tokio::test(start_paused = true)]
async fn the_site_may_set_the_concurrency() {
    let mut b = Bench::new();
    for (limit, most) in [(Some(5), 5), (None, 2)] {
        let limits = limit.map(|n| ("sim".to_owned(), n)).into_iter().collect();
        b.driver.order(Order::Configure { backends: Vec::new(), limits }).await.unwrap();
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
    assert_eq!(b.driver.load()[1], BackendLoad { name: "late", running: 0, waiting: 1 });
    let configure = |made: Option<Arc<dyn Backend>>| Order::Configure {
        backends: made.into_iter().collect(),
        limits: BTreeMap::new(),
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
    async fn resume(
        &self,
        call: &StepCall,
        _: Option<Value>,
        step: &StepHandle,
    ) -> Result<StepOutcome, StepError> {
        self.execute(call, step).await
    }
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
