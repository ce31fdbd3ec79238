//! A simulated InfluxDB 2 as far as its tasks go: it keeps texts and makes up runs, one step further with each look at them.
//!
//! A run is scheduled, started, then not to be seen for a moment, then recorded, as on the real server; there, too, names need
//! not be different, a text with a mistake is 400 when a task is made and 500 when it is changed, and a change of more
//! than the text and the state writes the text anew. Queries get [`InfluxTasksPlay::table`], whatever they ask.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::peer::{Asked, Peer, Plays, Reply};

/// The server with its handle.
pub type SimInfluxTasks = Peer<InfluxTasksPlay>;

/// The token: no secret, it opens nothing but this simulator.
pub const TOKEN: &str = "simulated";
/// The organization.
pub const ORG: &str = "lsst";

/// A task.
#[derive(Debug, Clone)]
pub struct SimTask {
    /// Its name.
    pub name: String,
    /// Its text.
    pub flux: String,
    /// `active` or `inactive`.
    pub status: String,
    made: usize,
    latest: usize,
    looks: usize,
    runs: Vec<SimRun>,
}

#[derive(Debug, Clone)]
struct SimRun {
    at: usize,
    status: &'static str,
    words: String,
    hidden: bool,
}

/// The server.
#[derive(Debug, Default)]
pub struct InfluxTasksPlay {
    /// Tasks by id.
    pub tasks: BTreeMap<String, SimTask>,
    /// How the next runs end: status and what they say. Those after them succeed.
    pub ends: VecDeque<(&'static str, String)>,
    /// The answer to queries, as annotated CSV.
    pub table: String,
    /// How often a task was made, by name.
    pub made: BTreeMap<String, usize>,
    /// How often one was changed.
    pub changed: usize,
    ids: usize,
    /// Seconds since the server began.
    second: usize,
}

impl InfluxTasksPlay {
    /// A server whose queries are answered with this.
    pub fn answering(table: &str) -> InfluxTasksPlay {
        InfluxTasksPlay { table: table.to_owned(), ..InfluxTasksPlay::default() }
    }

    /// A task that somebody made.
    pub fn put(&mut self, name: &str, flux: &str) -> String {
        self.ids += 1;
        let id = format!("{:016x}", self.ids);
        let task = SimTask {
            name: name.to_owned(),
            flux: flux.to_owned(),
            status: "active".to_owned(),
            made: self.ids,
            latest: self.second,
            looks: 0,
            runs: Vec::new(),
        };
        self.tasks.insert(id.clone(), task);
        id
    }

    /// Names of the tasks, in order.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.tasks.values().map(|task| task.name.clone()).collect();
        names.sort();
        names
    }

    fn make(&mut self, body: &Value) -> Reply {
        let flux = body["flux"].as_str().unwrap_or_default();
        if body["org"] != ORG {
            return error(404, "not found", "could not identify organization: organization name not found");
        }
        let Some(name) = name_in(flux) else {
            return error(400, "invalid", "invalid options: loc 2:1-2:7: expected RPAREN, got EOF");
        };
        let id = self.put(&name, flux);
        *self.made.entry(name).or_default() += 1;
        Reply::json(201, &self.described(&id))
    }

    fn change(&mut self, id: &str, body: &Value) -> Reply {
        let Some(task) = self.tasks.get_mut(id) else { return gone("update task") };
        if let Some(flux) = body["flux"].as_str() {
            let Some(name) = name_in(flux) else {
                return error(
                    500,
                    "internal error",
                    "failed to update task: loc 2:1-2:7: expected RPAREN, got EOF",
                );
            };
            task.name = name;
            let only = body.as_object().is_some_and(|o| o.keys().all(|k| k == "flux" || k == "status"));
            task.flux = if only { flux.to_owned() } else { flux.replace('\n', "\n\n") };
        }
        if let Some(status) = body["status"].as_str() {
            task.status = status.to_owned();
        }
        self.changed += 1;
        Reply::json(200, &self.described(id))
    }

    fn described(&self, id: &str) -> Value {
        let task = &self.tasks[id];
        json!({
            "id": id, "name": task.name, "flux": task.flux, "status": task.status, "orgID": "907529efc49b1807",
            "latestCompleted": utc(task.latest), "createdAt": utc(task.made),
        })
    }

    fn list(&self, asked: &Asked) -> Reply {
        let given = |key: &str| asked.query.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str());
        if given("org") != Some(ORG) {
            return error(400, "invalid", "failed to decode request: organization name not found");
        }
        let limit: usize = given("limit").and_then(|n| n.parse().ok()).unwrap_or(100);
        let tasks = self.tasks.iter().filter(|(_, task)| given("name").is_none_or(|name| task.name == name));
        let behind = tasks.filter(|(id, _)| given("after").is_none_or(|after| id.as_str() > after));
        let told: Vec<Value> = behind.take(limit).map(|(id, _)| self.described(id)).collect();
        Reply::json(200, &json!({"links": {}, "tasks": told}))
    }

    fn runs(&mut self, id: &str) -> Reply {
        let Some(task) = self.tasks.get_mut(id) else { return gone("find runs") };
        if task.status == "active" {
            task.looks += 1;
            match task.looks % 4 {
                1 => {
                    self.second = self.second.max(task.latest) + 1;
                    let run =
                        SimRun { at: self.second, status: "scheduled", words: String::new(), hidden: false };
                    task.runs.push(run);
                }
                phase => {
                    if let Some(run) = task.runs.last_mut() {
                        (run.status, run.hidden) = ("started", phase == 3);
                        if phase == 0 {
                            let end = self.ends.pop_front();
                            (run.status, run.words) = end.unwrap_or_else(|| ("success", String::new()));
                            task.latest = run.at;
                        }
                    }
                }
            }
        }
        let of = |run: &SimRun| {
            let mut told = json!({
                "id": format!("{id}-{}", run.at), "taskID": id, "status": run.status, "scheduledFor": utc(run.at),
            });
            if run.status != "scheduled" {
                told["startedAt"] = json!(utc(run.at).replace('Z', ".035614949Z"));
                told["log"] = json!([{"runID": "x", "time": utc(run.at), "message": "Started task from script: \"...\""}]);
            }
            if run.status != "scheduled" && run.status != "started" {
                told["finishedAt"] = json!(utc(run.at).replace('Z', ".5Z"));
                let mut say = |message: &str| {
                    if let Some(log) = told["log"].as_array_mut() {
                        log.push(json!({"runID": "x", "time": utc(run.at), "message": message}));
                    }
                };
                say(&format!("Completed({})", run.status));
                if !run.words.is_empty() {
                    say(&run.words);
                }
            }
            told
        };
        let told: Vec<Value> = task.runs.iter().rev().filter(|run| !run.hidden).map(of).collect();
        Reply::json(200, &json!({"links": {}, "runs": told}))
    }
}

/// The name in `option task`; nothing if the text has a mistake that the server would see.
fn name_in(flux: &str) -> Option<String> {
    let balanced = flux.matches('(').count() == flux.matches(')').count();
    let (_, option) = flux.split_once("option task = {name: \"").filter(|_| balanced)?;
    option.split('"').next().map(str::to_owned)
}

/// A time of the server's.
fn utc(second: usize) -> String {
    format!("2026-11-20T23:{:02}:{:02}Z", second / 60 % 60, second % 60)
}

fn error(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, &json!({"code": code, "message": message}))
}

fn gone(what: &str) -> Reply {
    error(404, "not found", &format!("failed to {what}: task not found"))
}

impl Plays for InfluxTasksPlay {
    fn answer(&mut self, asked: &Asked) -> Reply {
        if asked.header("authorization") != Some(&format!("Token {TOKEN}")) {
            return error(401, "unauthorized", "unauthorized access");
        }
        let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        match (asked.method.as_str(), asked.parts().as_slice()) {
            ("POST", ["api", "v2", "query"]) => {
                Reply::Whole(200, "text/csv; charset=utf-8", Vec::new(), self.table.clone().into_bytes())
            }
            ("GET", ["api", "v2", "tasks"]) => self.list(asked),
            ("POST", ["api", "v2", "tasks"]) => self.make(&body),
            ("PATCH", ["api", "v2", "tasks", id]) => self.change(id, &body),
            ("GET", ["api", "v2", "tasks", id, "runs"]) => self.runs(id),
            ("DELETE", ["api", "v2", "tasks", id]) => match self.tasks.remove(*id) {
                Some(_) => Reply::Whole(204, "application/json", Vec::new(), Vec::new()),
                None => gone("delete task"),
            },
            _ => error(404, "not found", "path not found"),
        }
    }
}
