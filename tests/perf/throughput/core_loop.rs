//! The whole way: the core loop as the Catcher runs it, with its driver, its journal and simulated jobs. Only what it would
//! publish goes nowhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use catcher::app::core_loop::{CoreLoop, Publish};
use catcher::app::handle::CoreHandle;
use catcher::app::store::Store;
use catcher::core::{Core, Event, Input, Settings};
use catcher::intake::{Intake, Positions};
use catcher::sim::backends;
use catcher::tasks::driver::driver;
use catcher::telemetry::Meter;
use salobj::transport::kafka::{KafkaOptions, KafkaTransport};
use salobj::{Clock, Env, Value};
use tokio::sync::mpsc;

/// How often it is looked whether all has been read.
const LOOK: Duration = Duration::from_millis(2);

/// Events that the CSC would have published.
#[derive(Default)]
struct Counted {
    alarms: AtomicU64,
    tasks: AtomicU64,
}

impl Publish for Counted {
    fn event(&self, event: &Event) {
        match event {
            Event::Alarm(_) => self.alarms.fetch_add(1, Ordering::Relaxed),
            Event::Task(_) => self.tasks.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
    }

    fn statistics(&self, _: &[(&'static str, Value)]) {}

    fn fault(&self, code: i64, report: String) {
        tracing::error!(code, "{report}");
    }
}

/// What one round found.
#[derive(Debug, Default, serde::Serialize)]
pub(crate) struct Outcome {
    /// Records read each second, from the subscription to the last record.
    pub(crate) rate: f64,
    /// Events about alarms.
    pub(crate) alarms: u64,
    /// Events about runs and their steps.
    pub(crate) tasks: u64,
}

/// Reads `records` records from the beginning of the topics, enabled, all as live.
pub(crate) async fn run(env: &Env, topics: &[String], records: u64) -> anyhow::Result<Outcome> {
    let rules = crate::rules::compiled()?;
    let clock = Clock::System;
    let folder = tempfile::tempdir()?;
    let (store, _) = Store::open(folder.path()).map_err(anyhow::Error::msg)?;
    let meter = Arc::new(Meter::default());
    let transport = Arc::new(KafkaTransport::new(env, KafkaOptions::default())?);
    let group = format!("{}_core", topics[0]);
    let intake = Intake::new(transport, clock.clone(), env.topic_subname.clone(), group, meter.clone());
    let noted = topics.iter().map(|topic| (topic.clone(), [(0, 0)].into())).collect();
    let (requests_in, requests) = mpsc::channel(16);
    let handle = CoreHandle::new(requests_in);
    let (reports_in, reports) = mpsc::channel(catcher::tasks::driver::ORDER_QUEUE);
    let jobs = backends::all(&clock);
    let (driver, driver_task) = driver(jobs, &[], Arc::new(handle.clone()), None, clock.clone(), reports_in);
    let (reporter, _jobs) = mpsc::channel(1);
    let counted = Arc::new(Counted::default());
    // Enabled with the rules before there is anything to read: all that is read then is live.
    let (mut core, mut told) = (Core::new(clock.now()), Vec::new());
    let configure = Input::Configure { rules: rules.clone(), settings: Settings::default() };
    core.step(configure, clock.now(), &mut told);
    core.step(Input::Enable, clock.now(), &mut told);
    let core_loop = CoreLoop {
        core,
        store: Some(store),
        intake,
        noted: Positions { at: clock.now(), next: noted },
        memos: Default::default(),
        publish: counted.clone(),
        driver,
        reporter,
        results: None,
        teller: None,
        clock,
        meter: meter.clone(),
        requests,
        efd_inputs: tokio::sync::watch::channel(Default::default()).0,
        rules_now: tokio::sync::watch::channel(None).0,
        reports,
        first: Vec::new(),
        record: None,
    };
    let driver_task = tokio::spawn(driver_task.run());
    let core_loop = tokio::spawn(core_loop.run());
    let start = Instant::now();
    handle.configure(rules, Settings::default()).await.map_err(anyhow::Error::msg)?;
    let (mut seen, mut last) = (0, start);
    while seen < records {
        ensure!(!core_loop.is_finished(), "the core loop ended");
        let now = meter.messages.load(Ordering::Relaxed);
        if now > seen {
            (seen, last) = (now, Instant::now());
        }
        ensure!(last.elapsed() < Duration::from_secs(60), "only {seen} of {records} came");
        tokio::time::sleep(LOOK).await;
    }
    let rate = records as f64 / (last - start).as_secs_f64();
    core_loop.abort();
    driver_task.abort();
    let ended = tokio::time::timeout(Duration::from_secs(10), core_loop).await.context("it does not end")?;
    ensure!(ended.is_err_and(|error| error.is_cancelled()), "the core loop ended by itself");
    let samples = meter.samples.load(Ordering::Relaxed);
    ensure!(samples == records, "{samples} samples of {records} records: some were not decoded");
    let count = |n: &AtomicU64| n.load(Ordering::Relaxed);
    let outcome = Outcome { rate, alarms: count(&counted.alarms), tasks: count(&counted.tasks) };
    ensure!(outcome.alarms > 0 && outcome.tasks > 0, "nothing was triggered: {outcome:?}");
    Ok(outcome)
}
