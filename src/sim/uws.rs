//! A simulated OCPS backend service: jobs in memory, the status codes and bodies of the real one, oddities included.
//!
//! A job advances one phase with each look at it, so nothing here depends on time. How it ends is decided by the last part
//! of its variable PIPELINE_URL: `false.yaml` fails, `killed.yaml` fails as what Kubernetes ended does, `never.yaml` runs until
//! it is told to end; all others succeed. [`UwsPlay::submissions`] counts what was created, by run id.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::peer::{Asked, Peer, Plays, Reply};

/// The service with its handle.
pub type SimUws = Peer<UwsPlay>;

/// What a job is at, and how it goes on.
#[derive(Debug, Clone)]
pub struct SimJob {
    /// Its id.
    pub id: String,
    /// The client's name for it.
    pub run_id: String,
    /// Phases to come; the last one stays.
    pub phases: Vec<&'static str>,
    /// The request that created it.
    pub body: Value,
    /// Result files: path below the output folder, content.
    pub files: Vec<(String, Vec<u8>)>,
    /// Seen as an object that could not be described, `{}`, so often more.
    pub empty_looks: usize,
}

/// The service.
#[derive(Debug, Default)]
pub struct UwsPlay {
    /// Jobs by order of creation.
    pub jobs: Vec<SimJob>,
    /// Ids of deleted jobs.
    pub deleted: Vec<String>,
    /// The next requests to create a job create it and answer 500, as a slow Kubernetes makes it.
    pub creation_times_out: usize,
    /// The next answers to a creation are about another run.
    pub wrong_run_id: usize,
    created: usize,
    submissions: BTreeMap<String, usize>,
}

impl UwsPlay {
    /// How often a job was created with that run id, deleted ones too.
    pub fn submissions(&self) -> &BTreeMap<String, usize> {
        &self.submissions
    }

    /// Lets all jobs that run come to this end at the next look.
    pub fn end_all(&mut self, phase: &'static str) {
        self.jobs.iter_mut().for_each(|job| job.phases = vec![phase]);
    }

    /// All jobs are gone, as after a day.
    pub fn forget(&mut self) {
        self.jobs.clear();
    }

    fn create(&mut self, asked: &Asked) -> Reply {
        // Exactly this; with a charset the body is not looked at.
        let body: Value = match asked.header("content-type") {
            Some("application/json") => serde_json::from_slice(&asked.body).unwrap_or_default(),
            _ => Value::Null,
        };
        if body["command"].as_str().is_none_or(str::is_empty) {
            return Reply::text(500, "'command''command'");
        }
        let run_id = match &body["run_id"] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            _ => return Reply::text(400, "Invalid run_id. Must be 63 characters or less"),
        };
        let good = run_id.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
            && run_id.chars().next().is_none_or(|c| c.is_ascii_alphanumeric());
        if !good {
            return Reply::text(
                400,
                "Invalid run_id. Must be 63 characters or less and begin with alphanumeric character",
            );
        }
        let environment = body["environment"].as_array().cloned().unwrap_or_default();
        let broken = |v: &Value| v["value"].as_str().is_none_or(|v| v.contains(['"', '\\', '\n']));
        if environment.iter().any(broken) || run_id.len() > 63 {
            return Reply::text(500, "mapping values are not allowed here");
        }
        self.created += 1;
        let id = format!("{:032x}", self.created);
        let run_id = if run_id.is_empty() { id.clone() } else { run_id };
        *self.submissions.entry(run_id.clone()).or_default() += 1;
        let pipeline =
            environment.iter().find(|v| v["name"] == "PIPELINE_URL").and_then(|v| v["value"].as_str());
        let end = match pipeline.and_then(|p| p.rsplit('/').next()) {
            Some("false.yaml") => "error",
            Some("killed.yaml") => "killed",
            Some("never.yaml") => "executing",
            _ => "completed",
        };
        let files = vec![
            ("metrics.json".to_owned(), br#"{"fwhm": 0.85}"#.to_vec()),
            ("plots/psf.png".to_owned(), vec![0x89, b'P', b'N', b'G', 0, 255]),
            ("ocps.log".to_owned(), b"pipetask run\n".to_vec()),
        ];
        let phases = vec!["pending", "queued", "executing", end];
        let job = SimJob { id, run_id, phases, body, files, empty_looks: 0 };
        let mut told = described(&job);
        self.jobs.push(job);
        if self.creation_times_out > 0 {
            self.creation_times_out -= 1;
            return Reply::text(500, "Job creation timed out.");
        }
        if self.wrong_run_id > 0 {
            self.wrong_run_id -= 1;
            told["runId"] = json!("4711");
        }
        Reply::json(200, &told)
    }

    fn look(&mut self, id: &str) -> Reply {
        let Some(job) = self.jobs.iter_mut().find(|job| job.id == id) else {
            return Reply::json(404, &json!(""));
        };
        if job.empty_looks > 0 {
            job.empty_looks -= 1;
            return Reply::json(200, &json!({}));
        }
        let told = described(job);
        if job.phases.len() > 1 {
            job.phases.remove(0);
        }
        Reply::json(200, &told)
    }

    fn file(&self, id: &str, n: &str) -> Reply {
        let file =
            self.jobs.iter().find(|job| job.id == id).and_then(|job| job.files.get(n.parse::<usize>().ok()?));
        match file {
            Some((_, bytes)) => Reply::Whole(200, "application/octet-stream", Vec::new(), bytes.clone()),
            None => Reply::text(404, "Result file not found."),
        }
    }

    fn delete(&mut self, id: &str) -> Reply {
        let before = self.jobs.len();
        self.jobs.retain(|job| job.id != id);
        if self.jobs.len() == before {
            return Reply::text(404, "(404)\nReason: Not Found");
        }
        self.deleted.push(id.to_owned());
        Reply::json(200, &json!({"status": "ok", "message": "", "code": 200}))
    }
}

fn described(job: &SimJob) -> Value {
    let now = job.phases.first().copied().unwrap_or("unknown");
    let phase = if now == "killed" { "error" } else { now };
    // Kubernetes knows no end of what it ended itself.
    let end =
        if ["completed", "error"].contains(&now) { json!("2026-11-20 23:51:54+00:00") } else { Value::Null };
    let duration = if end.is_null() { Value::Null } else { json!(60.0) };
    let results: Vec<Value> = (job.files.iter().enumerate())
        .map(|(n, (name, _))| json!({"id": n, "uri": format!("/uws/jobs/{}/out/{name}", job.id)}))
        .collect();
    json!({
        "jobId": job.id, "runId": job.run_id, "ownerId": "", "phase": phase,
        "creationTime": "2026-11-20 23:50:53+00:00",
        "startTime": if phase == "pending" { Value::Null } else { json!("2026-11-20 23:50:54+00:00") },
        "endTime": end, "executionDuration": duration, "destruction": null,
        "parameters": {"command": ["/bin/bash", "-c", job.body["command"]], "environment": job.body["environment"]},
        "results": results, "errorSummary": {"message": ""}, "jobInfo": {},
    })
}

impl Plays for UwsPlay {
    fn answer(&mut self, asked: &Asked) -> Reply {
        let parts = asked.parts();
        // A GET that says it had a body of JSON fails: there is none.
        if asked.method == "GET" && asked.header("content-type").is_some() {
            return Reply::text(500, "Traceback (most recent call last): json.decoder.JSONDecodeError");
        }
        match (asked.method.as_str(), parts.as_slice()) {
            ("PUT", ["job"]) => self.create(asked),
            ("GET", ["job"] | ["job", ""]) => Reply::json(200, &self.jobs.iter().map(described).collect()),
            ("GET", ["job", "result", id, n]) => self.file(id, n),
            ("GET", ["job", id]) => self.look(id),
            ("DELETE", ["job", id]) => self.delete(id),
            _ => Reply::text(405, "Method Not Allowed"),
        }
    }
}
