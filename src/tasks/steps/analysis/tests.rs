use std::sync::Mutex;
use std::time::Duration;

use salobj::Tai;
use tokio::sync::{mpsc, watch};

use super::*;
use crate::tasks::analysis::{Series, Source};
use crate::tasks::call::{ErrorClass, StepId, Stop};
use crate::tasks::series::tests::Schemas;
use crate::tasks::steps::{LogError, StepLog};

/// Gives one answer, and notes what it was asked.
struct Fixed {
    answer: Result<SeriesSet, SeriesError>,
    asked: Mutex<Vec<SeriesRequest>>,
    hangs: bool,
}

#[async_trait]
impl SeriesSource for Fixed {
    async fn read(&self, request: &SeriesRequest) -> Result<SeriesSet, SeriesError> {
        self.asked.lock().unwrap().push(request.clone());
        if self.hangs {
            std::future::pending::<()>().await;
        }
        self.answer.clone()
    }
}

struct NoJournal;

#[async_trait]
impl StepLog for NoJournal {
    async fn record(&self, _: &str, _: Option<Value>) -> Result<(), LogError> {
        panic!("nothing of an analysis leaves, so nothing is journaled")
    }
}

struct Bench {
    source: Arc<Fixed>,
    backend: AnalysisBackend,
    handle: StepHandle,
    stop: watch::Sender<Option<Stop>>,
}

impl Bench {
    fn new(answer: Result<SeriesSet, SeriesError>, hangs: bool) -> Self {
        let source = Arc::new(Fixed { answer, asked: Mutex::default(), hangs });
        let clock = Clock::scaled(Tai(2000.0), 1.0);
        let backend = AnalysisBackend::new(source.clone(), Arc::new(Schemas::embedded()), clock);
        let (stop, stopped) = watch::channel(None);
        let (sender, _) = mpsc::channel(1);
        let handle = StepHandle::new(id(), stopped, Arc::new(NoJournal), sender);
        Self { source, backend, handle, stop }
    }

    async fn run(&self, operation: &str, params: Value) -> Result<StepOutcome, StepError> {
        self.backend.execute(&call(operation, params), &self.handle).await
    }
}

fn id() -> StepId {
    StepId { run_id: "0123456789abcdef".into(), step: "forecast".into(), attempt: 1 }
}

fn call(operation: &str, params: Value) -> StepCall {
    StepCall {
        id: id(),
        rule: "Wind.Forecast".into(),
        backend: "analysis".into(),
        operation: operation.into(),
        resend_if_unknown: false,
        params,
        timeout: Duration::from_secs(300),
        start_before: Tai(2600.0),
        priority: Default::default(),
    }
}

fn rising(complete: bool) -> SeriesSet {
    let times: Vec<f64> = (0..100).map(|n| 200.0 + 18.0 * f64::from(n)).collect();
    let values = times.iter().map(|t| 5.0 + (t - 200.0) / 180.0).collect();
    SeriesSet {
        series: vec![Series::new("speed", "m/s", times, values)],
        from: Tai(200.0),
        to: Tai(2000.0),
        source: Source::Kafka,
        complete,
    }
}

fn wind() -> Value {
    json!({"series": {"topic": "ESS:301.tel_airFlow", "field": "speed", "range": "30m"}, "ahead": "10m"})
}

#[tokio::test(start_paused = true)]
async fn a_trend_with_its_source_its_units_and_a_plot() {
    let b = Bench::new(Ok(rising(true)), false);
    let outcome = b.run("trend", wind()).await.unwrap();
    let predicted = outcome.result["predicted"].as_f64().unwrap();
    assert!((predicted - (5.0 + 2400.0 / 180.0)).abs() < 1e-6, "{predicted}");
    assert_eq!(outcome.result["source"], "kafka");
    assert_eq!(outcome.result["complete"], true);
    assert_eq!(outcome.result["units"]["predicted"], "m/s");
    assert!(!outcome.plot.unwrap().panels.is_empty());
    let asked = b.source.asked.lock().unwrap()[0].clone();
    assert_eq!((asked.from, asked.to, asked.index), (Tai(200.0), Tai(2000.0), Some(301)));
    let again = b.backend.resume(&call("trend", wind()), None, &b.handle).await.unwrap();
    assert_eq!(again.result["predicted"].as_f64(), Some(predicted));
}

#[tokio::test(start_paused = true)]
async fn data_that_do_not_allow_a_result_are_a_permanent_error_that_names_them() {
    let few = SeriesSet { series: vec![Series::new("speed", "m/s", vec![1.0], vec![2.0])], ..rising(false) };
    let error = Bench::new(Ok(few), false).run("trend", wind()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    assert!(error.text.contains("speed: 1 samples"), "{error}");
    assert!(error.text.contains("samples from kafka; not all of the range was there in time"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn sources_that_are_away_are_transient_and_wrong_parameters_are_not() {
    let away =
        SeriesError::Unavailable { topic: "ESS:301 airFlow".into(), reason: "Kafka: no answer".into() };
    let error = Bench::new(Err(away), false).run("trend", wind()).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    for (operation, change, part) in [
        ("trend", json!({"ahead": "soon"}), "ahead \"soon\" is no duration"),
        ("trend", json!({"degree": 2}), "unknown key degree"),
        ("jitter", json!({"ahead": null, "degree": -1}), "unknown key ahead"),
        ("wavelet", json!({}), "there is no analysis \"wavelet\""),
        ("spectrum", json!({"ahead": null, "segment": "long"}), "unknown key ahead"),
        ("trend", json!({"series": {"topic": "ESS:301.tel_airFlow", "field": "spede", "range": 9}}), "spede"),
        ("trend", json!({"series": null}), "is not of the form"),
        ("trend", json!({"series": []}), "needs `series`: 1, not 0"),
        ("compare", json!({"ahead": null}), "needs `series`: 2, not 1"),
    ] {
        let mut params = wind();
        params.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let b = Bench::new(Ok(rising(true)), false);
        let error = b.run(operation, params).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Permanent);
        assert!(error.text.contains(part), "{part}: {error}");
        assert!(b.source.asked.lock().unwrap().is_empty(), "it is noticed before anything is read");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_it_at_once() {
    let b = Bench::new(Ok(rising(true)), true);
    let (outcome, ()) = tokio::join!(b.run("trend", wind()), async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        b.stop.send_replace(Some(Stop::Cancelled("not needed".into())));
    });
    assert_eq!(outcome.unwrap_err().class, ErrorClass::Aborted);
}

/// Gives each topic its own answer.
struct Two;

#[async_trait]
impl SeriesSource for Two {
    async fn read(&self, request: &SeriesRequest) -> Result<SeriesSet, SeriesError> {
        let kelvin = request.index == Some(302);
        let times: Vec<f64> =
            (0..60).map(|n| 200.0 + 30.0 * f64::from(n) + if kelvin { 4.0 } else { 0.0 }).collect();
        let value = |t: &f64| (t / 500.0).sin() + if kelvin { 273.15 + 0.5 } else { 0.0 };
        let values = times.iter().map(value).collect();
        let series = Series::new("temperature", if kelvin { "K" } else { "degC" }, times, values);
        let source = if kelvin { Source::Efd } else { Source::Memory };
        Ok(SeriesSet { series: vec![series], from: request.from, to: request.to, source, complete: !kelvin })
    }
}

#[tokio::test(start_paused = true)]
async fn two_series_are_compared_in_the_unit_of_the_first() {
    let clock = Clock::scaled(Tai(2000.0), 1.0);
    let backend = AnalysisBackend::new(Arc::new(Two), Arc::new(Schemas::embedded()), clock);
    let b = Bench::new(Ok(rising(true)), false);
    let params = json!({"tolerance": "10s", "series": [
        {"topic": "ESS:301.tel_airFlow", "field": "speed", "range": "30m"}, {"topic": "ESS:302.tel_airFlow", "field": "speed"},
    ]});
    let outcome = backend.execute(&call("compare", params), &b.handle).await.unwrap();
    let get = |key: &str| outcome.result[key].as_f64().unwrap();
    assert!(
        (get("mean") - 0.5).abs() < 0.01 && get("slope") > 0.99 && get("correlation") > 0.99,
        "{}",
        outcome.result
    );
    assert_eq!((&outcome.result["n"], &outcome.result["separation"]), (&json!(60), &json!(4.0)));
    assert_eq!(
        (&outcome.result["source"], &outcome.result["complete"]),
        (&json!("memory, efd"), &json!(false))
    );
    assert_eq!(outcome.result["units"]["mean"], "degC");
    let plot = outcome.plot.unwrap();
    assert_eq!(plot.panels[1].label, "ESS:302 airFlow temperature");
    let metres = Series::new("x", "m", vec![1.0], vec![1.0]);
    assert!(convert(&mut metres.clone(), "K").unwrap_err().to_string().contains("cannot be made \"K\""));
    assert!(convert(&mut metres.clone(), "").is_ok(), "an unknown unit is taken as it is");
}
