//! Runs, driver, journal and the simulated OCPS together: the process dies at every single write of the journal, and the
//! next one ends what it began.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use salobj::SummaryState;
use salobj_testbed::Bus;
use serde_json::{Value, json};
use tokio::sync::{Notify, mpsc};

use super::call::StepReport;
use super::driver::{Driver, Order, driver};
use super::peers::Peers;
use super::plan::{Plan, RunContext, StepPlan, When};
use super::run::tests::{header, step};
use super::run::{Run, RunAction, RunHeader};
use super::runs::{Runs, SharedPlan};
use super::state::TaskState;
use super::steps::ocps::OcpsBackend;
use super::steps::{LogError, StepLog, allow};
use crate::sim::ocps::{self as sim, OcpsControl, OcpsScript};

/// Two pipelines one after the other; the second is told what the first gave.
struct TwoJobs;

impl Plan for TwoJobs {
    fn steps(&self) -> Vec<StepPlan> {
        let ocps = |name: &str, needs: &[&str]| StepPlan { backend: "ocps".to_owned(), ..step(name, needs) };
        vec![ocps("isr", &[]), ocps("report", &["isr"])]
    }
    fn run_timeout(&self) -> Duration {
        Duration::from_secs(1800)
    }
    fn when(&self, _: &str, _: &RunContext) -> When {
        When::True
    }
    fn items(&self, _: &str, _: &RunContext) -> Result<Vec<Value>, String> {
        Ok(Vec::new())
    }
    fn render(&self, step: &str, context: &RunContext) -> Result<Value, String> {
        let before =
            context.tasks.get("isr").map_or("", |isr| isr["result"]["job_id"].as_str().unwrap_or(""));
        Ok(json!({"index": 1, "pipeline": format!("{step}.yaml"), "prereq_jobs": before}))
    }
}

/// A journal on which a process dies at one of its writes.
#[derive(Default)]
struct Disk {
    entries: Mutex<BTreeMap<String, Value>>,
    writes: Mutex<usize>,
    dies_at: Option<(usize, bool)>,
    died: Notify,
}

impl Disk {
    /// True if the process lives on.
    fn write(&self, records: &[(String, Option<Value>)]) -> bool {
        let mut writes = self.writes.lock().unwrap();
        let dies = self.dies_at.filter(|(at, _)| at == &*writes);
        *writes += 1;
        if dies.is_none_or(|(_, durable)| durable) {
            let mut entries = self.entries.lock().unwrap();
            for (key, value) in records {
                match value {
                    Some(value) => entries.insert(key.clone(), value.clone()),
                    None => entries.remove(key),
                };
            }
        }
        if dies.is_some() {
            self.died.notify_one();
        }
        dies.is_none()
    }
}

#[async_trait]
impl StepLog for Disk {
    async fn record(&self, key: &str, value: Option<Value>) -> Result<(), LogError> {
        if !self.write(&[(key.to_owned(), value)]) {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

/// One life of a Catcher, as far as its runs go.
struct Life {
    disk: Arc<Disk>,
    bus: Bus,
    runs: Runs,
    driver: Driver,
    reports: mpsc::Receiver<StepReport>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Life {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Life {
    fn new(disk: &Arc<Disk>, bus: &Bus, process: u32) -> Self {
        let domain = bus.domain(process);
        let component = sal_idl::Library::embedded().component("OCPS").unwrap();
        let backend = OcpsBackend::new(Arc::new(Peers::new(domain)), component, allow(|_, _, _| true));
        let (sender, reports) = mpsc::channel(100);
        let (driver, task) =
            driver(vec![Arc::new(backend)], &[], disk.clone(), None, bus.clock.clone(), sender);
        let task = tokio::spawn(task.run());
        Self { disk: disk.clone(), bus: bus.clone(), runs: Runs::new(), driver, reports, task }
    }

    /// Journals, then acts. False if the process died.
    async fn act(&mut self, out: Vec<RunAction>) -> bool {
        let records = self.runs.take_records();
        let before = self.disk.entries.lock().unwrap().clone();
        if !records.is_empty() && !self.disk.write(&records) {
            return false;
        }
        for action in out {
            let order = match action {
                RunAction::Dispatch(call) => Order::Execute(call),
                RunAction::Resume(call) => {
                    let memo = before.get(&call.id.key()).cloned();
                    Order::Resume { call, memo }
                }
                RunAction::Abort { id, stop } => Order::Abort { id, stop },
                _ => continue,
            };
            self.driver.order(order).await.unwrap();
        }
        true
    }

    /// Lives until the run has ended, or the process dies (`None`).
    async fn live(mut self, id: &str) -> Option<Run> {
        let mut out = Vec::new();
        let now = self.bus.clock.now();
        let entries = self.disk.entries.lock().unwrap().clone();
        let plans = |_: &RunHeader| Some(Arc::new(TwoJobs) as SharedPlan);
        assert_eq!(self.runs.import(&entries, &plans, now, &mut out), []);
        if !self.runs.knows(id) {
            let fixed = RunHeader { at: now, start_before: now + Duration::from_secs(600), ..header(id) };
            assert!(self.runs.start(fixed, RunContext::default(), Arc::new(TwoJobs), now, &mut out));
        }
        if !self.act(out).await {
            return None;
        }
        loop {
            if let Some(run) = self.runs.get(id).filter(|r| r.state.is_final()) {
                return Some(run.clone());
            }
            let report = tokio::select! {
                report = self.reports.recv() => report?,
                () = self.disk.died.notified() => return None,
                () = self.bus.clock.sleep(Duration::from_secs(3600)) => panic!("it hangs"),
            };
            let mut out = Vec::new();
            self.runs.report(report, self.bus.clock.now(), &mut out);
            if !self.act(out).await {
                return None;
            }
        }
    }
}

async fn ocps(bus: &Bus) -> OcpsControl {
    let component = sal_idl::Library::embedded().component("OCPS").unwrap();
    sim::start(&bus.domain(1), component, 1, SummaryState::Enabled, OcpsScript::default()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_death_at_any_write_costs_nothing_and_doubles_nothing() {
    let id = "0123456789abcdef";
    let mut deaths = 0;
    for at in 0.. {
        let mut survived = false;
        for durable in [false, true] {
            let (bus, _control) = Bus::memory();
            let ocps = ocps(&bus).await;
            let mut disk = Arc::new(Disk { dies_at: Some((at, durable)), ..Disk::default() });
            let first = Life::new(&disk, &bus, 10).live(id).await;
            survived |= first.is_some();
            let run = match first {
                Some(run) => run,
                None => {
                    deaths += 1;
                    bus.clock.sleep(Duration::from_secs(7)).await;
                    let entries = Mutex::new(disk.entries.lock().unwrap().clone());
                    disk = Arc::new(Disk { entries, ..Disk::default() });
                    Life::new(&disk, &bus, 20).live(id).await.unwrap()
                }
            };
            let what = format!("death at write {at}, durable {durable}: {}", run.error);
            assert_eq!(run.state, TaskState::Succeeded, "{what}");
            let pipelines: Vec<String> =
                ocps.executed().iter().map(|e| e.fields["pipeline"].clone()).collect();
            assert_eq!(pipelines, ["isr.yaml", "report.yaml"], "{what}");
            let left: Vec<String> = disk.entries.lock().unwrap().keys().cloned().collect();
            assert_eq!(left, [format!("run/{id}"), "runs".to_owned()], "{what}");
        }
        if survived {
            break;
        }
    }
    assert!(deaths >= 20, "{deaths} deaths were tried");
}

#[tokio::test(start_paused = true)]
async fn a_cancel_reaches_the_job_also_when_the_process_dies_over_it() {
    let id = "0123456789abcdef";
    for dies in [false, true] {
        let (bus, _control) = Bus::memory();
        let ocps = ocps(&bus).await;
        ocps.set(|script| script.otherwise = sim::Outcome::Hang);
        let disk = Arc::new(Disk::default());
        let mut life = Life::new(&disk, &bus, 10);
        let now = bus.clock.now();
        let mut out = Vec::new();
        let fixed = RunHeader { at: now, start_before: now + Duration::from_secs(600), ..header(id) };
        life.runs.start(fixed, RunContext::default(), Arc::new(TwoJobs), now, &mut out);
        assert!(life.act(out).await);
        ocps.wait_executed(1).await;
        bus.clock.sleep(Duration::from_secs(10)).await;
        let mut out = Vec::new();
        while let Ok(report) = life.reports.try_recv() {
            life.runs.report(report, bus.clock.now(), &mut out);
        }
        life.runs.cancel(id, "wrong image", bus.clock.now(), &mut out).unwrap();
        if dies {
            disk.write(&life.runs.take_records());
            drop(life);
            life = Life::new(&disk, &bus, 20);
        } else {
            assert!(life.act(out).await);
        }
        let run = if dies { life.live(id).await.unwrap() } else { follow(life, id).await };
        assert_eq!((run.state, run.error.as_str()), (TaskState::Aborted, "wrong image"));
        assert_eq!(run.step_named("report").unwrap().state, TaskState::Aborted);
        assert_eq!(ocps.running_jobs(), Vec::<String>::new());
        assert_eq!(ocps.executed().len(), 1);
    }
}

async fn follow(mut life: Life, id: &str) -> Run {
    while life.runs.get(id).is_some_and(|r| !r.state.is_final()) {
        let report = life.reports.recv().await.unwrap();
        let mut out = Vec::new();
        life.runs.report(report, life.bus.clock.now(), &mut out);
        assert!(life.act(out).await);
    }
    life.runs.get(id).unwrap().clone()
}
