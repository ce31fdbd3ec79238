//! A whole Catcher on the embedded bus, with the camera, the OODS and the OCPS in simulation, and somebody who looks on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use catcher::app;
use catcher::sim::camera::CameraSim;
use catcher::sim::ocps::{self, OcpsControl, OcpsScript};
use sal_idl::{Library, names};
use salobj::csc::CscOptions;
use salobj::transport::{ReadEvent, StartAt, Transport as _};
use salobj::wire::Decoder;
use salobj::{Clock, Domain, SummaryState, Tai, Value};
use salobj_testbed::Testbed;
use serde_json::{Value as Json, json};
use tokio::sync::Notify;

/// The shipped rules.
const OODS: &str = include_str!("../../config_schema/examples/images/oods.yaml");

/// How long anything may take that has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// State of a run or step that went well.
pub(crate) const SUCCEEDED: i64 = 4;

/// Everything, wired.
pub(crate) struct Stage {
    /// The camera.
    pub(crate) camera: CameraSim,
    /// `OCPS:3`.
    pub(crate) ocps: OcpsControl,
    /// What the Catcher published.
    pub(crate) seen: Seen,
    clock: Clock,
    running: app::Running,
    watcher: tokio::task::JoinHandle<()>,
    domains: Vec<Domain>,
    _bed: Testbed,
    _folder: tempfile::TempDir,
}

/// An event about a run (the step is empty) or a step.
#[derive(Debug, Clone)]
pub(crate) struct TaskSeen {
    pub(crate) run: String,
    pub(crate) step: String,
    pub(crate) state: i64,
    pub(crate) error: String,
    pub(crate) at: Tai,
}

#[derive(Debug, Default)]
struct All {
    tasks: Vec<TaskSeen>,
    /// Of `tasks`, the first about the end of each run.
    ended: Vec<TaskSeen>,
    results: Vec<Json>,
    alarms: BTreeMap<String, (i64, String)>,
}

/// What the Catcher published; grows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    all: Arc<Mutex<All>>,
    came: Arc<Notify>,
}

impl Seen {
    fn note(&self, change: impl FnOnce(&mut All)) {
        change(&mut self.all.lock().unwrap_or_else(PoisonError::into_inner));
        self.came.notify_waiters();
    }

    fn look<T>(&self, at: impl FnOnce(&All) -> T) -> T {
        at(&self.all.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Events of tasks, in the order in which they came.
    pub(crate) fn tasks(&self) -> Vec<TaskSeen> {
        self.look(|all| all.tasks.clone())
    }

    /// Results of runs.
    pub(crate) fn results(&self) -> Vec<Json> {
        self.look(|all| all.results.clone())
    }

    /// Severity and reason of an alarm, as published last.
    pub(crate) fn alarm(&self, name: &str) -> Option<(i64, String)> {
        self.look(|all| all.alarms.get(name).cloned())
    }

    /// Waits until this is so.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Seen) -> bool) {
        let wait = async {
            loop {
                let came = self.came.notified();
                tokio::pin!(came);
                came.as_mut().enable();
                if holds(self) {
                    return;
                }
                came.await;
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            panic!("{what}: not within {PATIENCE:?}; alarms {:?}", self.look(|all| all.alarms.clone()));
        }
    }

    /// Waits for the end of the `n`th run that ended; the first event about that. (Its report makes another.)
    pub(crate) async fn run_ended(&self, n: usize) -> TaskSeen {
        let ended = |seen: &Seen| seen.look(|all| all.ended.get(n).cloned());
        self.until("a run ends", |seen| ended(seen).is_some()).await;
        ended(self).expect("it was there a moment ago")
    }
}

impl Stage {
    /// Starts everything. The rules are the shipped ones; only the deadline is `deadline` (as in a rule, `3s`) instead of two
    /// minutes, and `max_parallel` is as told.
    pub(crate) async fn set(
        deadline: &str,
        max_parallel: usize,
        script: OcpsScript,
    ) -> anyhow::Result<Stage> {
        let bed = Testbed::start().await?;
        let env = salobj::Env { site: Some("test".to_owned()), ..bed.env().clone() };
        let origin = i64::from(std::process::id()) * 10;
        let domain = |n: i64| Domain::with_origin(bed.transport(), Clock::System, env.clone(), origin + n);
        let (world, of_ocps, catcher) = (domain(1), domain(2), domain(3));
        let library = Library::embedded();
        let ocps =
            ocps::start(&of_ocps, library.component("OCPS")?, 3, SummaryState::Enabled, script).await?;
        let camera = CameraSim::open(&world, &library).await?;

        let folder = tempfile::tempdir()?;
        let config = folder.path().join("config");
        std::fs::create_dir_all(config.join("rules"))?;
        let rules = OODS.replace(", 2m)", &format!(", {deadline})"));
        let rules = rules.replace("max_parallel: 64", &format!("max_parallel: {max_parallel}"));
        anyhow::ensure!(
            rules.contains(&format!(", {deadline})")),
            "the shipped rule has its deadline elsewhere"
        );
        std::fs::write(config.join("rules/oods.yaml"), rules)?;
        let init = json!({
            "auto_acknowledge_delay_s": 0.0, "auto_unacknowledge_delay_s": 0.0,
            "allowed_commands": [{"component": "OCPS", "indices": [2, 3], "commands": ["execute", "abort_job"]}],
            "instances": [{"sal_index": 1, "rules": ["*.yaml"]}],
        });
        std::fs::write(config.join("_init.yaml"), serde_saphyr::to_string(&init)?)?;
        let mut csc = CscOptions::new(1);
        csc.initial_state = Some(SummaryState::Enabled);
        csc.config_dir = Some(config);
        let options = app::Options {
            csc,
            data_dir: folder.path().join("data"),
            http: ([127, 0, 0, 1], 0).into(),
            secrets: Arc::new(|_| None),
            record: None,
        };
        let running = app::start(&catcher, Library::embedded(), options).await?;
        let state = running.csc.context().state();
        anyhow::ensure!(state == SummaryState::Enabled, "the Catcher is {state}; its log says why");
        let seen = Seen::default();
        let watcher = watch(&bed, &library, &seen).await?;
        Ok(Stage {
            camera,
            ocps,
            seen,
            clock: Clock::System,
            running,
            watcher,
            domains: vec![world, of_ocps],
            _bed: bed,
            _folder: folder,
        })
    }

    /// The time.
    pub(crate) fn now(&self) -> Tai {
        self.clock.now()
    }

    /// Ends everything, the Catcher first.
    pub(crate) async fn close(self) {
        self.running.close().await;
        self.ocps.close().await;
        self.camera.close().await;
        self.watcher.abort();
        for domain in &self.domains {
            domain.close().await;
        }
    }
}

/// Reads what the Catcher publishes, from the beginning, record by record: the queues of a remote would lose some of so many.
async fn watch(bed: &Testbed, library: &Library, seen: &Seen) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    type Note = fn(&mut All, &dyn Fn(&str) -> Value);
    let component = library.component("Catcher")?;
    let notes: [(&str, Note); 3] = [("task", task), ("result", result), ("alarm", alarm)];
    let mut readers = BTreeMap::new();
    for (name, note) in notes {
        let topic = component.topic(&format!("evt_{name}")).context("it is in the interface")?.clone();
        let on_bus = names::kafka_topic(&bed.env().topic_subname, "Catcher", &topic.sal_name);
        let decoder = Decoder::new(topic.clone(), &topic.schema_compact)?;
        readers.insert(on_bus, (topic, decoder, note));
    }
    let topics: Vec<(String, StartAt)> =
        readers.keys().map(|topic| (topic.clone(), StartAt::Beginning)).collect();
    let mut reader = bed.transport().reader("images_audit", &topics).await?;
    let seen = seen.clone();
    Ok(tokio::spawn(async move {
        loop {
            let ReadEvent::Record(record) = reader.next().await else { continue };
            let Some((topic, decoder, note)) = readers.get(&*record.topic) else { continue };
            let bytes = record.value.expect("events are no tombstones");
            let values = decoder.decode_framed(&bytes).expect("our own schema");
            let field = |name: &str| {
                let at = topic.fields.iter().position(|field| field.name == name);
                values[at.expect("in the interface")].clone()
            };
            seen.note(|all| note(all, &field));
        }
    }))
}

fn text(value: Value) -> String {
    match value {
        Value::Text(text) => text.to_string(),
        other => panic!("{other:?} is no text"),
    }
}

fn int(value: Value) -> i64 {
    match value {
        Value::Int(n) => n,
        other => panic!("{other:?} is no integer"),
    }
}

fn task(all: &mut All, field: &dyn Fn(&str) -> Value) {
    let Value::Double(at) = field("private_sndStamp") else { panic!("a stamp is a double") };
    let task = TaskSeen {
        run: text(field("taskId")),
        step: text(field("step")),
        state: int(field("state")),
        error: text(field("error")),
        at: Tai(at),
    };
    let over = task.step.is_empty() && (SUCCEEDED..=8).contains(&task.state);
    if over && all.ended.iter().all(|other| other.run != task.run) {
        all.ended.push(task.clone());
    }
    all.tasks.push(task);
}

fn result(all: &mut All, field: &dyn Fn(&str) -> Value) {
    all.results.push(serde_json::from_str(&text(field("result"))).expect("a result is JSON"));
}

fn alarm(all: &mut All, field: &dyn Fn(&str) -> Value) {
    let of = (int(field("severity")), text(field("reason")));
    all.alarms.insert(text(field("alarmName")), of);
}
