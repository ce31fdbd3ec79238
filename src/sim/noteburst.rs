//! A simulated noteburst: jobs in memory, answers as the real one gives them, with nulls left out.
//!
//! A job advances one state with each look, and "executes" a notebook by giving the parameters that it was sent back as the JSON
//! output of the cell tagged `catcher-result`. [`NoteburstPlay::ends`] says how the next jobs end otherwise.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Map, Value, json};

use super::peer::{Asked, Peer, Plays, Reply};

/// The service with its handle.
pub type SimNoteburst = Peer<NoteburstPlay>;

/// The token: no secret, it opens nothing but this simulator.
pub const TOKEN: &str = "gt-simulated";

/// How a job ends.
#[derive(Debug, Clone, PartialEq)]
pub enum SimEnd {
    /// It ran.
    Ran,
    /// A cell raised that error.
    CellError(String, String),
    /// The platform failed: code, message, type of the exception.
    Failed(&'static str, String, Option<String>),
    /// Its result is kept no longer.
    Expired,
    /// A success without a notebook, which cannot be.
    Impossible,
    /// It is never done.
    Never,
    /// Nobody knows it any more.
    Lost,
}

/// A job.
#[derive(Debug, Clone)]
pub struct SimNotebook {
    /// What was sent.
    pub body: Value,
    /// Run and step.
    key: String,
    end: SimEnd,
    states: Vec<&'static str>,
}

/// The service.
#[derive(Debug, Default)]
pub struct NoteburstPlay {
    /// How the next jobs end; those after them ran.
    pub ends: VecDeque<SimEnd>,
    /// Jobs by id.
    pub jobs: BTreeMap<String, SimNotebook>,
    /// Looks with the result, which are large.
    pub whole_looks: usize,
    submissions: BTreeMap<String, usize>,
}

impl NoteburstPlay {
    /// How often a notebook came, by run and step.
    pub fn submissions(&self) -> &BTreeMap<String, usize> {
        &self.submissions
    }

    /// What the newest job of a run and step is at.
    pub fn state(&self, key: &str) -> Option<&'static str> {
        let job = self.jobs.values().rev().find(|job| job.key == key)?;
        job.states.first().copied()
    }

    /// Lets all jobs come to this end at the next look.
    pub fn end_all(&mut self, end: &SimEnd) {
        for job in self.jobs.values_mut() {
            job.states = vec!["complete"];
            job.end = end.clone();
        }
    }

    fn submit(&mut self, asked: &Asked) -> Reply {
        let Ok(body) = serde_json::from_slice::<Value>(&asked.body) else {
            return invalid("Input should be valid JSON");
        };
        let notebook: Option<Value> = body["ipynb"].as_str().and_then(|text| serde_json::from_str(text).ok());
        let Some(notebook) = notebook.filter(|n| n["cells"].is_array()) else {
            return invalid("The notebook is not valid");
        };
        if body.get("timeout").is_some_and(Value::is_null) {
            return invalid("Input should not be null");
        }
        let of = |key: &str| notebook["metadata"]["catcher"][key].as_str().unwrap_or("?").to_owned();
        let key = format!("{}/{}", of("run"), of("step"));
        *self.submissions.entry(key.clone()).or_default() += 1;
        let id = format!("{:032x}", self.jobs.len() + 1);
        let end = self.ends.pop_front().unwrap_or(SimEnd::Ran);
        let states = vec!["deferred", "queued", "in_progress", "complete"];
        self.jobs.insert(id.clone(), SimNotebook { body, key, end, states });
        let url = format!("/notebooks/{id}");
        let told = self.described(&id, "queued").to_string();
        Reply::Whole(202, "application/json", vec![("location", url)], told.into_bytes())
    }

    fn described(&self, id: &str, status: &str) -> Value {
        let job = &self.jobs[id];
        json!({
            "job_id": id, "kernel_name": job.body["kernel_name"], "enqueue_time": "2026-11-20T23:40:00.125000Z",
            "status": status, "self_url": format!("https://rsp.example/noteburst/v1/notebooks/{id}"), "timeout": job.body["timeout"],
        })
    }

    fn look(&mut self, id: &str, with_result: bool) -> Reply {
        let unknown = || {
            let detail = json!([{"loc": ["path", "job_id"], "msg": "Job not found", "type": "unknown_job"}]);
            Reply::json(404, &json!({"detail": detail}))
        };
        let Some(job) = self.jobs.get_mut(id) else { return unknown() };
        let status = job.states[0];
        if job.states.len() > 1 && !(job.end == SimEnd::Never && job.states.len() == 2) {
            job.states.remove(0);
        }
        let job = job.clone();
        if status == "complete" && job.end == SimEnd::Lost {
            return unknown();
        }
        let mut told = self.described(id, status);
        if with_result {
            self.whole_looks += 1;
        }
        if status == "complete" && with_result && job.end != SimEnd::Expired {
            told["start_time"] = json!("2026-11-20T23:40:05Z");
            told["finish_time"] = json!("2026-11-20T23:41:00Z");
            match &job.end {
                SimEnd::Failed(code, message, kind) => {
                    let mut error = json!({"code": code, "message": message});
                    if let Some(kind) = kind {
                        error["exception_type"] = json!(kind);
                    }
                    told["success"] = json!(false);
                    told["error"] = error;
                }
                end => {
                    told["success"] = json!(true);
                    if *end != SimEnd::Impossible {
                        told["ipynb"] = json!(executed(&job.body, end).to_string());
                    }
                    if let SimEnd::CellError(name, message) = end {
                        told["ipynb_error"] = json!({"name": name, "message": message});
                    }
                }
            }
        }
        Reply::json(200, &told)
    }
}

/// The notebook as if it had run.
fn executed(body: &Value, end: &SimEnd) -> Value {
    let text = body["ipynb"].as_str().unwrap_or_default();
    let mut notebook: Value = serde_json::from_str(text).unwrap_or_default();
    let parameters = notebook["metadata"]["papermill"]["parameters"].clone();
    for cell in notebook["cells"].as_array_mut().into_iter().flatten() {
        let tagged = cell["metadata"]["tags"]
            .as_array()
            .is_some_and(|tags| tags.iter().any(|t| t == "catcher-result"));
        let output = match end {
            _ if !tagged => continue,
            SimEnd::CellError(name, message) => {
                json!({"output_type": "error", "ename": name, "evalue": message, "traceback": [format!("{name}: {message}")]})
            }
            _ => {
                json!({"output_type": "display_data", "metadata": {}, "data": {"application/json": parameters}})
            }
        };
        cell["outputs"] = json!([output]);
    }
    notebook
}

fn invalid(message: &str) -> Reply {
    Reply::json(422, &json!({"detail": [{"loc": ["body"], "msg": message, "type": "value_error"}]}))
}

impl Plays for NoteburstPlay {
    fn answer(&mut self, asked: &Asked) -> Reply {
        match asked.header("authorization") {
            Some(given) if given == format!("Bearer {TOKEN}") => {}
            Some(_) => return Reply::json(403, &json!({"detail": "Forbidden"})),
            // The ingress sends those without a token to a login page.
            None => {
                let to = vec![("location", "https://rsp.example/login".to_owned())];
                return Reply::Whole(302, "text/html", to, b"<html>login</html>".to_vec());
            }
        }
        let query: Map<String, Value> = asked.query.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
        match (asked.method.as_str(), asked.parts().as_slice()) {
            ("POST", ["notebooks", ""]) => self.submit(asked),
            // Without the slash a redirect, which loses the body.
            ("POST", ["notebooks"]) => {
                Reply::Whole(307, "text/plain", vec![("location", "/notebooks/".to_owned())], Vec::new())
            }
            ("GET", ["notebooks", id]) => self.look(id, query.get("result").is_none_or(|v| v == "true")),
            _ => Reply::json(404, &json!({"detail": "Not Found"})),
        }
    }
}
