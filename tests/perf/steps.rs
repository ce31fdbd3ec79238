//! What a step costs beyond its own work. Design: at most 20 ms.
//!
//! First alone: from the order to the report, with its records in a real journal. Then an image of 189 detectors through a whole
//! Catcher on the embedded bus, with the shipped rule, and an OCPS that answers at once: from the last detector in the OODS to the
//! first command, to all commands, to the end of the run.
//!
//! `cargo bench --bench steps`

#[path = "../images/stage.rs"]
#[expect(dead_code, reason = "the test of images uses more of it")]
mod stage;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use catcher::journal::{FileJournal, Journal, Record};
use catcher::rules::{Rule, RunContext, SourceFile, compile};
use catcher::sim::camera::Shot;
use catcher::sim::ocps::OcpsScript;
use catcher::tasks::call::{StepReport, StepReportKind};
use catcher::tasks::driver::{Order, driver};
use catcher::tasks::run::{RunAction, RunHeader};
use catcher::tasks::runs::Runs;
use catcher::tasks::steps::{Backend, LogError, StepCall, StepError, StepHandle, StepLog, StepOutcome};
use salobj::{Clock, Tai};
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;

/// The limit of the design.
const LIMIT: Duration = Duration::from_millis(20);

const RULES: &str = r#"
rules:
  - name: One
    trigger: {manual: true}
    tasks: {a: {ocps: {index: 1, pipeline: p}}}
  - name: FocalPlane
    trigger: {manual: true}
    tasks: {a: {foreach: 189, max_parallel: 189, ocps: {index: 1, pipeline: p, data_query: "detector={{ item }}"}}}
"#;

/// Does nothing, and journals that it is about to, as all do that act on something outside.
struct Nothing;

#[async_trait]
impl Backend for Nothing {
    fn name(&self) -> &'static str {
        "ocps"
    }
    fn concurrency(&self) -> usize {
        64
    }
    async fn execute(&self, _: &StepCall, step: &StepHandle) -> Result<StepOutcome, StepError> {
        step.record(&json!({"phase": "about_to_send"})).await?;
        Ok(StepOutcome { result: json!({"exit_code": 0}), ..StepOutcome::default() })
    }
}

struct Disk(Mutex<FileJournal>);

impl Disk {
    async fn write(&self, records: Vec<Record>) -> Result<(), LogError> {
        self.0.lock().await.append(&records).map_err(|e| LogError(e.to_string()))
    }
}

#[async_trait]
impl StepLog for Disk {
    async fn record(&self, key: &str, value: Option<Value>) -> Result<(), LogError> {
        self.write(vec![Record { key: key.to_owned(), value }]).await
    }
}

/// Runs a rule `times` times, one after the other; the time of all.
async fn measure(rule: &Arc<Rule>, times: usize) -> anyhow::Result<Duration> {
    let folder = tempfile::tempdir()?;
    let (journal, _) = FileJournal::open(folder.path())?;
    let disk = Arc::new(Disk(Mutex::new(journal)));
    let (reports_in, mut reports) = mpsc::channel(1024);
    let (orders, task) = driver(vec![Arc::new(Nothing)], &[], disk.clone(), None, Clock::System, reports_in);
    let task = tokio::spawn(task.run());
    let mut runs = Runs::new();
    let begin = Instant::now();
    for n in 0..times {
        let header = RunHeader {
            id: format!("{n:016x}"),
            rule: rule.name.clone(),
            revision: rule.revision.clone(),
            definition: rule.definition.clone(),
            key: None,
            occurrence: format!("c:bench:0:{n}"),
            at: Tai(1000.0),
            start_before: Tai(1e12),
            parent: None,
        };
        let mut out = Vec::new();
        runs.start(header, RunContext::default(), rule.clone(), Tai(1000.0), &mut out);
        let mut ended = false;
        loop {
            let records = runs.take_records().into_iter().map(|(key, value)| Record { key, value }).collect();
            disk.write(records).await?;
            for action in out.drain(..) {
                match action {
                    RunAction::Dispatch(call) => orders.order(Order::Execute(call)).await?,
                    RunAction::RunEnded { .. } => ended = true,
                    _ => {}
                }
            }
            if ended {
                break;
            }
            // What has come meanwhile is journaled in one go, as the core loop does it.
            let first: StepReport =
                reports.recv().await.ok_or_else(|| anyhow::anyhow!("the driver is gone"))?;
            let mut all = vec![first];
            while let Ok(next) = reports.try_recv() {
                all.push(next);
            }
            for report in all {
                if let StepReportKind::Ended(Err(error)) = &report.kind {
                    anyhow::bail!("{error}");
                }
                runs.report(report, Tai(1000.0), &mut out);
            }
        }
    }
    let took = begin.elapsed();
    task.abort();
    Ok(took)
}

/// What became of one image: seconds from its last detector in the OODS.
struct Image {
    first_command: f64,
    last_command: f64,
    run_ended: f64,
}

/// Detectors of an image.
const DETECTORS: u32 = 189;

/// Plays so many images, one after the other.
async fn images(times: usize) -> anyhow::Result<Vec<Image>> {
    let at_once = OcpsScript { first_ack: Duration::ZERO, run_time: Duration::ZERO, ..OcpsScript::default() };
    let stage = stage::Stage::set("2m", 64, at_once).await?;
    let mut all = Vec::new();
    for n in 0..times {
        let name = format!("MC_O_20261120_{:06}", n + 1);
        let shot = Shot::whole(&name, Duration::from_millis(100), Duration::from_millis(500));
        let played = stage.camera.play(&shot).await?;
        let ended = stage.seen.run_ended(n).await;
        anyhow::ensure!(ended.state == stage::SUCCEEDED, "the run of {name} failed: {}", ended.error);
        let commands = stage.ocps.executed().split_off(n * DETECTORS as usize);
        anyhow::ensure!(commands.len() == DETECTORS as usize, "{} commands for {name}", commands.len());
        let since = |at: Tai| at.0 - played.last_stored.0;
        let times = commands.iter().map(|command| since(command.at));
        all.push(Image {
            first_command: times.clone().fold(f64::INFINITY, f64::min),
            last_command: times.fold(0.0, f64::max),
            run_ended: since(ended.at),
        });
    }
    stage.close().await;
    Ok(all)
}

/// The middle one and the worst, ms.
fn middle_and_worst(of: impl Iterator<Item = f64>) -> (f64, f64) {
    let mut all: Vec<f64> = of.map(|seconds| seconds * 1000.0).collect();
    all.sort_by(f64::total_cmp);
    (all[all.len() / 2], all[all.len() - 1])
}

#[expect(clippy::print_stdout, reason = "a benchmark tells its figures")]
fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let source = SourceFile { name: "bench".into(), text: RULES.into() };
    let rules = compile(&source, &sal_idl::Library::embedded()).map_err(|all| {
        anyhow::anyhow!("{}", all.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })?;
    let mut good = true;
    for (rule, times, steps) in [(&rules[0], 500, 1), (&rules[1], 10, 189)] {
        let took = runtime.block_on(measure(rule, times))?;
        let each = took / u32::try_from(times * steps)?;
        println!("{}: {times} runs of {steps} step(s): {each:?} a step", rule.name);
        good &= each <= LIMIT;
    }
    let images = runtime.block_on(images(10))?;
    println!(
        "image of {DETECTORS} detectors, {} times, from the last one in the OODS (middle, worst):",
        images.len()
    );
    for (what, (middle, worst)) in [
        ("first command at the OCPS", middle_and_worst(images.iter().map(|i| i.first_command))),
        ("last command at the OCPS", middle_and_worst(images.iter().map(|i| i.last_command))),
        ("run ended, as seen on the bus", middle_and_worst(images.iter().map(|i| i.run_ended))),
    ] {
        println!("  {what}: {middle:.1} ms, {worst:.1} ms");
    }
    let (_, worst) = middle_and_worst(images.iter().map(|i| i.run_ended / f64::from(DETECTORS)));
    println!("  overhead of a step: {worst:.2} ms at worst");
    good &= worst <= LIMIT.as_secs_f64() * 1000.0;
    anyhow::ensure!(good, "a step costs more than {LIMIT:?}");
    Ok(())
}
