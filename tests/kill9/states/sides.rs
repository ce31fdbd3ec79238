//! Everything that rules start work on, in this process: it outlives the Catcher, is slow enough to be caught in every state, refuses
//! now and then, and counts what was really submitted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use catcher::sim::influx::{self, SimInflux};
use catcher::sim::influx_tasks::{self, SimInfluxTasks};
use catcher::sim::noteburst::{self, SimNoteburst};
use catcher::sim::ocps::{self, EventOrder, OcpsControl, OcpsScript};
use catcher::sim::peer::{Asked, Pace, Peer, Plays, Reply};
use catcher::sim::script_queue::{self, QueueControl, QueueScript};
use catcher::sim::times_square::{self, SimTimesSquare};
use catcher::sim::uws::SimUws;
use sal_idl::Library;
use salobj::{Controller, SummaryState, Value};
use serde_json::json;

use super::csc::Csc;
use super::journal::Run;
use crate::bus::Bus;

/// What work is at on the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    Nothing,
    Waiting,
    Running,
    Ended,
}

/// All of them.
pub(crate) struct Sides {
    folder: PathBuf,
    uws: SimUws,
    noteburst: SimNoteburst,
    times_square: SimTimesSquare,
    acts: Peer<Acts>,
    influx: SimInflux,
    tasks: SimInfluxTasks,
    /// How often somebody removed the task of a rule.
    removed: AtomicUsize,
    ocps: OcpsControl,
    queue: QueueControl,
    csc: Csc,
    triggers: Controller,
    weather: Controller,
    slurm: bool,
}

const MS: fn(u64) -> Duration = Duration::from_millis;

impl Sides {
    /// Starts them; files are below `folder`. The batch system is SLURM or HTCondor.
    pub(crate) async fn start(bus: &Bus, folder: &Path, slurm: bool) -> Sides {
        let component = |name: &str| Library::embedded().component(name).expect("embedded");
        let (play_jobs, play_notes) = (Default::default(), Default::default());
        let sides = Sides {
            folder: folder.to_owned(),
            uws: SimUws::start(play_jobs).await.expect("there is a port"),
            noteburst: SimNoteburst::start(play_notes).await.expect("there is a port"),
            times_square: SimTimesSquare::start(Default::default()).await.expect("there is a port"),
            acts: Peer::start(Acts::default()).await.expect("there is a port"),
            influx: SimInflux::start().await.expect("there is a port"),
            tasks: SimInfluxTasks::start(Default::default()).await.expect("there is a port"),
            removed: AtomicUsize::new(0),
            ocps: {
                let script = OcpsScript {
                    first_ack: MS(300),
                    run_time: MS(600),
                    order: EventOrder::AfterComplete(MS(300)),
                    ..OcpsScript::default()
                };
                let own = component("OCPS");
                ocps::start(&bus.domain(11), own, 1, SummaryState::Enabled, script).await.expect("it starts")
            },
            queue: {
                let script = QueueScript {
                    load: MS(300),
                    configure: MS(150),
                    run_time: MS(500),
                    exit: MS(400),
                    ..QueueScript::default()
                };
                let (queue, own) = (component("ScriptQueue"), component("Script"));
                script_queue::start(&bus.domain(12), queue, own, 1, SummaryState::Enabled, script)
                    .await
                    .expect("the queue starts")
            },
            csc: Csc::start(&bus.domain(13)).await,
            triggers: Controller::write_only(&bus.domain(14), component("Test"), 2).expect("a controller"),
            weather: Controller::write_only(&bus.domain(15), component("ESS"), 301).expect("a controller"),
            slurm,
        };
        sides.triggers.start_writing().await.expect("it can publish");
        sides.weather.start_writing().await.expect("it can publish");
        let wind = sides.weather.telemetry("airFlow").expect("in the interface");
        sides.weather.spawn(async move {
            let mut often = tokio::time::interval(MS(100));
            loop {
                often.tick().await;
                wind.set_write(&[("speed", Value::Double(8.0))]).expect("it can be published");
            }
        });
        sides.set_paces();
        sides.make_files();
        sides
    }

    fn set_paces(&self) {
        let pace =
            |before, after, refused, lost| Pace { before: MS(before), after: MS(after), refused, lost };
        self.uws.pace("PUT /job", pace(400, 400, 0.2, 0.1));
        self.uws.pace("GET /job/result/", pace(200, 200, 0.0, 0.0));
        self.uws.pace("DELETE /job/", pace(300, 300, 0.0, 0.0));
        self.noteburst.pace("POST /notebooks/", pace(400, 400, 0.4, 0.05));
        self.noteburst.pace("GET /notebooks/", pace(200, 200, 0.0, 0.0));
        let page = format!("GET /v1/pages/{}", times_square::PAGE);
        self.times_square.pace(&format!("{page}/html/events"), Pace::default());
        self.times_square.pace(&format!("{page}/htmlstatus"), pace(400, 300, 0.1, 0.1));
        self.times_square.pace(&format!("{page}/html?"), pace(300, 400, 0.1, 0.0));
        self.times_square.pace(&page, pace(200, 200, 0.2, 0.0));
        self.times_square.play(|play| play.by_itself = false);
        self.tasks.pace("GET /api/v2/tasks?", pace(300, 300, 0.1, 0.0));
        self.tasks.pace("POST /api/v2/tasks", pace(300, 400, 0.2, 0.2));
        self.tasks.pace("GET /api/v2/tasks/", pace(100, 100, 0.0, 0.05));
        self.acts.pace("POST /keyed/", pace(400, 400, 0.15, 0.15));
        self.acts.pace("POST /plain/", pace(400, 400, 0.3, 0.05));
        self.acts.pace("POST /hook", pace(400, 400, 0.3, 0.05));
    }

    fn make_files(&self) {
        let path = |name: &str| self.folder.join(name);
        for folder in ["notebooks", "state/jobs", "state/ends", "state/control"] {
            std::fs::create_dir_all(path(folder)).expect("a folder can be made");
        }
        let cell = |tag: &str, source: &str| json!({"cell_type": "code", "execution_count": null, "metadata": {"tags": [tag]}, "outputs": [], "source": source});
        let notebook = json!({
            "nbformat": 4, "nbformat_minor": 5, "metadata": {},
            "cells": [cell("parameters", "n = 0"), cell("catcher-result", "print(n)")],
        });
        let write = |name: &str, text: &str| std::fs::write(path(name), text).expect("a file can be written");
        write("notebooks/act.ipynb", &notebook.to_string());
        write("token", noteburst::TOKEN);
        write("act.sh", ACT);
        write("papermill.sh", PAPERMILL);
        for (name, seconds) in [("before", "0.15"), ("after", "0.2"), ("slow_removal", "0.3")] {
            write(&format!("state/control/{name}"), seconds);
        }
    }

    /// The site's configuration.
    pub(crate) fn config(&self) -> String {
        let path = |name: &str| self.folder.join(name);
        let batch = json!({
            "system": if self.slurm { "slurm" } else { "htcondor" },
            "folder": Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/batch"),
            "jobs": {"isr": {"program": "/opt/lsst/isr.sh"}},
            "environment": {"FAKE_BATCH": path("state")}, "poll_interval_s": 0.25,
        });
        let service = |at: &str, header: Option<&str>| json!({"url": format!("{}{at}", self.acts.url()), "idempotency_header": header});
        let program = |name: &str, ledger: &str| json!(["/bin/sh", path(name), path(ledger)]);
        let job = json!({"command": "true", "environment": {"PIPELINE_URL": "true.yaml"}});
        let config = json!({
            "auto_acknowledge_delay_s": 0, "auto_unacknowledge_delay_s": 0,
            "allowed_commands": [
                {"component": "OCPS", "indices": [1], "commands": ["execute", "abort_job"]},
                {"component": "Test", "indices": [1], "commands": ["setScalars"]},
            ],
            "instances": [{"sal_index": 1, "rules": ["kill.yaml"]}],
            "efd": self.influx.config2(),
            "receivers": [{"name": "team", "slack": {"webhook_env": "KILL_SLACK"}}],
            "max_concurrent_steps": {"slack": 4, "noteburst": 8, "command": 8, "notebook": 8},
            "backends": {
                "uws": {"url": self.uws.url(), "jobs": {"act": job}, "poll_interval_s": 0.25},
                "noteburst": {"url": self.noteburst.url(), "token_file": path("token"), "notebooks": path("notebooks"), "poll_interval_s": 0.25},
                "times_square": {"url": self.times_square.url(), "token_file": path("token"), "ask_again_s": 0.5, "poll_interval_s": 0.25},
                "http": {"services": {"keyed": service("/keyed", Some("Idempotency-Key")), "plain": service("/plain", None)}},
                "command": {"programs": {"act": program("act.sh", "commands")}},
                "notebook": {"program": program("papermill.sh", "papers"), "notebooks": path("notebooks")},
                "influx_task": {
                    "url": self.tasks.url(), "org": influx_tasks::ORG, "token_env": "KILL_TASKS", "write_buckets": ["derived"],
                    "poll_interval_s": 0.25,
                },
                "script_queue": {"queues": [{"index": 1, "scripts": ["kill/*.py"]}]},
                "batch": batch,
            },
        });
        // JSON is YAML.
        config.to_string()
    }

    /// What the configuration reads from the environment.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let influx = SimInflux::env("SIM_INFLUX_TOKEN").unwrap_or_default();
        vec![
            ("KILL_SLACK".to_owned(), format!("{}/hook", self.acts.url())),
            ("SIM_INFLUX_TOKEN".to_owned(), influx),
            ("KILL_TASKS".to_owned(), influx_tasks::TOKEN.to_owned()),
        ]
    }

    /// Publishes a number, which starts one run of every rule; some other sides refuse what comes next.
    pub(crate) fn trigger(&self, n: i64) {
        if self.influx.faults_left() < 40 {
            for n in 0..40 {
                let fault = match n % 5 {
                    4 => influx::Fault::Status(503, "busy".to_owned()),
                    _ => influx::Fault::Slow(MS(400)),
                };
                self.influx.fail(1, fault);
            }
        }
        if rand::random::<f64>() < 0.3 {
            std::fs::write(self.folder.join("state/control/fail_submit"), "x\n")
                .expect("a file can be written");
        }
        if rand::random::<f64>() < 0.3 {
            self.queue.set(|script| script.refuse = (1, "add not allowed in DISABLED".to_owned()));
        }
        if rand::random::<f64>() < 0.3 {
            self.ocps.set(|script| script.refuse = (1, "execute not allowed in DISABLED".to_owned()));
        }
        if rand::random::<f64>() < 0.2 {
            let gone = self.tasks.play(|play| std::mem::take(&mut play.tasks).len());
            self.removed.fetch_add(gone, Ordering::Relaxed);
        }
        let scalars = self.triggers.event("scalars").expect("in the interface");
        scalars.set_write(&[("int0", Value::Int(n))]).expect("it can be published");
    }

    /// Nothing refuses any more, and what Times Square computes comes to its end.
    pub(crate) fn finish_pages(&self) {
        self.times_square.play(times_square::TimesSquarePlay::finish);
    }

    /// How often that run's work was submitted, and what it is at.
    pub(crate) fn seen(&self, run: &Run) -> (usize, At) {
        let key = format!("catcher-{}-a", run.id);
        match run.kind.as_str() {
            "uws" => self.uws.play(|play| {
                let count = play.submissions().get(&key).copied().unwrap_or(0);
                let job = play.jobs.iter().find(|job| job.run_id == key);
                let at = match job.and_then(|job| job.phases.first().copied()) {
                    Some("pending" | "queued") => At::Waiting,
                    Some("executing") => At::Running,
                    Some(_) => At::Ended,
                    None if count > 0 => At::Ended,
                    None => At::Nothing,
                };
                (count, at)
            }),
            "noteburst" => self.noteburst.play(|play| {
                let key = format!("{}/a", run.id);
                let at = match play.state(&key) {
                    None => At::Nothing,
                    Some("in_progress") => At::Running,
                    Some("complete") => At::Ended,
                    Some(_) => At::Waiting,
                };
                (play.submissions().get(&key).copied().unwrap_or(0), at)
            }),
            "times_square" => self.times_square.play(|play| {
                let key = format!("day_obs={}&ts_hide_code=1", run.n);
                let at = match play.is_over(&key) {
                    None => At::Nothing,
                    Some(false) => At::Running,
                    Some(true) => At::Ended,
                };
                (play.executions().get(&key).copied().unwrap_or(0), at)
            }),
            "http_keyed" => self.acted("keyed", run.n),
            "http_plain" => self.acted("plain", run.n),
            "slack" => self.acted("hook", run.n),
            "command" => self.of_program("commands", run.n),
            "notebook" => self.of_program("papers", run.n),
            // The task is that of the rule: a run has it once it is recorded.
            "influx_task" if run.step.memo.is_some() || run.is_over() => {
                let made: usize = self.tasks.play(|play| play.made.values().sum());
                let count = made.saturating_sub(self.removed.load(Ordering::Relaxed));
                (count, if count == 0 { At::Nothing } else { At::Running })
            }
            "sal" => self.csc.seen(run.n),
            "script_queue" => self.of_queue(run.n),
            "ocps" => {
                let query = format!("n={}", run.n);
                let executed = self.ocps.executed();
                let own =
                    executed.iter().filter(|e| !e.refused && e.fields.get("data_query") == Some(&query));
                let count = own.count();
                let job = run.step.memo.as_ref().and_then(|memo| memo["known"]["job_id"].as_str());
                let at = match job {
                    _ if count == 0 => At::Nothing,
                    Some(job) if self.ocps.running_jobs().iter().any(|own| own == job) => At::Running,
                    Some(_) => At::Ended,
                    None => At::Waiting,
                };
                (count, at)
            }
            "batch" => self.of_batch(&key),
            _ => (0, At::Nothing),
        }
    }

    fn acted(&self, service: &str, n: i64) -> (usize, At) {
        let count = self.acts.play(|play| play.done.get(&(service.to_owned(), n)).copied().unwrap_or(0));
        (count, if count == 0 { At::Nothing } else { At::Ended })
    }

    /// What the program says of itself in its ledger.
    fn of_program(&self, ledger: &str, n: i64) -> (usize, At) {
        let ledger = std::fs::read_to_string(self.folder.join(ledger)).unwrap_or_default();
        let count = |word: &str| ledger.lines().filter(|line| *line == format!("{word} {n}")).count();
        let at = match (count("begun"), count("ended")) {
            (0, _) => At::Nothing,
            (begun, ended) if begun > ended => At::Running,
            _ => At::Ended,
        };
        (count("begun"), at)
    }

    fn of_queue(&self, n: i64) -> (usize, At) {
        let added = self.queue.added();
        let number =
            |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>().parse() == Ok(n);
        let own = added
            .iter()
            .filter(|a| a.index != 0)
            .filter(|a| matches!(a.fields.get("config"), Some(Value::Text(t)) if number(t)));
        let indices: Vec<i64> = own.map(|a| a.index).collect();
        let (current, waiting) = self.queue.line();
        let at = match indices.last() {
            None => At::Nothing,
            Some(index) if waiting.contains(index) => At::Waiting,
            Some(index) if current == *index => At::Running,
            Some(_) => At::Ended,
        };
        (indices.len(), at)
    }

    fn of_batch(&self, key: &str) -> (usize, At) {
        let state = self.folder.join("state");
        let submissions = std::fs::read_to_string(state.join("submissions")).unwrap_or_default();
        let count = submissions.lines().filter(|line| *line == key).count();
        let clusters = std::fs::read_dir(state.join("jobs")).into_iter().flatten().filter_map(Result::ok);
        let named = |folder: &PathBuf| {
            std::fs::read_to_string(folder.join("name")).is_ok_and(|name| name.trim() == key)
        };
        let Some(cluster) = clusters.map(|entry| entry.path()).find(named) else {
            return (count, At::Nothing);
        };
        let jobs = ["0", "1"].map(|job| std::fs::read_to_string(cluster.join(job)).unwrap_or_default());
        let at = match jobs {
            jobs if jobs.iter().any(|job| job.starts_with("idle")) => At::Waiting,
            jobs if jobs.iter().any(|job| job.starts_with("running")) => At::Running,
            _ => At::Ended,
        };
        (count, at)
    }
}

/// The program of the kind `command`: begins late, now and then not at all, leaves many files, ends late when it is asked to.
const ACT: &str = r#"# act.sh LEDGER N
trap 'sleep 0.4; exit 143' TERM
sleep 0.2
[ $(($(od -An -N1 -tu1 /dev/urandom) % 5)) = 0 ] && exit 75
echo "begun $2" >>"$1"
sleep 0.4
sleep 0.4
for n in $(seq 80); do echo "$2" >"$CATCHER_ARTIFACTS/$n.txt"; done
echo '{"reason": "done"}'
echo "ended $2" >>"$1"
"#;

/// papermill for the kind `notebook`: executes nothing, and is as slow as the other.
const PAPERMILL: &str = r#"# papermill.sh LEDGER IN OUT ...
trap 'sleep 0.4; exit 143' TERM
n=$(tr -d '\\"' <"$2" | grep -o 'n = [0-9]*' | tail -n 1 | tr -dc 0-9)
sleep 0.2
echo "begun $n" >>"$1"
sleep 0.4
sleep 0.4
cp "$2" "$3"
for file in $(seq 80); do echo "$n" >"$CATCHER_ARTIFACTS/$file.txt"; done
echo "ended $n" >>"$1"
"#;

/// A service with two doors and Slack's webhook: one door recognises a repeat by its key.
#[derive(Default)]
struct Acts {
    /// By door and number.
    done: BTreeMap<(String, i64), usize>,
    keys: std::collections::BTreeSet<String>,
}

impl Plays for Acts {
    fn answer(&mut self, asked: &Asked) -> Reply {
        let door = asked.parts()[0].to_owned();
        let text = String::from_utf8_lossy(&asked.body);
        let n = text.chars().filter(char::is_ascii_digit).collect::<String>().parse().expect("a number");
        let known = asked.header("idempotency-key").is_some_and(|key| !self.keys.insert(key.to_owned()));
        if !known {
            *self.done.entry((door, n)).or_default() += 1;
        }
        Reply::json(200, &json!({"n": n}))
    }
}
