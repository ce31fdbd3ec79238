//! Against the real UWS API server, whose jobs are processes of this machine (`tests/interop/uws_server.py`).
//!
//! Needs `CATCHER_TEST_UWS_URL`; `tests/interop/run uws` sets it.

use super::*;

/// Jobs that say how long they take and how they end.
fn config(url: &str) -> UwsConfig {
    let job = UwsJob {
        command: "echo 0.85 > $JOB_OUTPUT_DIR/metrics.json && echo ran > $JOB_OUTPUT_DIR/ocps.log && sleep $TAKES && exit $ENDS"
            .into(),
        url: String::new(),
        commit_ref: String::new(),
        environment: BTreeMap::from([("TAKES".into(), "0.1".into()), ("ENDS".into(), "0".into())]),
    };
    UwsConfig {
        url: url.to_owned(),
        jobs: BTreeMap::from([("shell".to_owned(), job)]),
        ocps: vec![1],
        poll_interval_s: 0.05,
        timeout_s: 20.0,
    }
}

/// One run of its own on the server.
struct Real {
    url: String,
    bench: Bench,
    shelf: Arc<MemoryShelf>,
    call: StepCall,
}

impl Real {
    fn new(run: &str, environment: Value) -> Option<Real> {
        let Ok(url) = std::env::var("CATCHER_TEST_UWS_URL") else {
            eprintln!("SKIPPED: no real UWS server: CATCHER_TEST_UWS_URL not set");
            return None;
        };
        let mut call = call("uws", json!({"environment": environment, "read": "metrics.json"}));
        call.id.run_id = format!("{run}{:x}", std::process::id());
        Some(Real { url, bench: Bench::new(), shelf: Arc::default(), call })
    }

    fn backend(&self) -> UwsBackend {
        UwsBackend::new(&config(&self.url), Arc::clone(&self.shelf) as _, &|_| None, clock()).unwrap()
    }

    /// Jobs of this run that the server lists.
    async fn jobs(&self) -> usize {
        let text = reqwest::get(format!("{}/job", self.url)).await.unwrap().text().await.unwrap();
        let jobs: Vec<Value> = serde_json::from_str(&text).unwrap();
        jobs.iter().filter(|job| job["runId"] == run_id(&self.call.id).as_str()).count()
    }
}

#[tokio::test]
async fn the_real_uws_runs_a_job_and_gives_its_files() {
    let Some(real) = Real::new("ok", json!({"QUERY": "instrument='LATISS' AND exposure=1: # x"})) else {
        return;
    };
    let outcome = real.bench.run(&real.backend(), &real.call).await.unwrap();
    assert_eq!(outcome.result["values"], 0.85);
    assert_eq!(outcome.result["phase"], "completed");
    assert_eq!(kept(&real.shelf), ["metrics.json", "ocps.log"]);
    assert_eq!((text_of(&real.shelf, "ocps.log").as_str(), real.jobs().await), ("ran\n", 1));
}

#[tokio::test]
async fn the_real_uws_tells_that_a_job_failed() {
    let Some(real) = Real::new("bad", json!({"ENDS": 3})) else { return };
    let error = real.bench.run(&real.backend(), &real.call).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent);
    assert!(error.text.contains("ended from outside"), "a failed job has no end time: {error}");
    assert_eq!(text_of(&real.shelf, "ocps.log"), "ran\n");
}

#[tokio::test]
async fn the_real_uws_deletes_what_is_stopped() {
    let Some(real) = Real::new("stop", json!({"TAKES": 600})) else { return };
    let backend = real.backend();
    let stops = async {
        until("it is followed", || real.bench.memo().is_some_and(|memo| memo["phase"] == "sent")).await;
        real.bench.stop("enough");
    };
    let (error, ()) = tokio::join!(real.bench.run(&backend, &real.call), stops);
    assert!(error.unwrap_err().text.contains("was deleted"));
    assert_eq!(real.jobs().await, 0);
}

#[tokio::test]
async fn the_real_uws_gets_one_job_however_often_we_die() {
    for seed in 0..20 {
        let Some(real) = Real::new(&format!("die{seed}x"), json!({})) else { return };
        let outcome = real.bench.die_often(&real.call, seed, || real.backend()).await.unwrap();
        assert_eq!((&outcome.result["outcome"], real.jobs().await), (&json!("succeeded"), 1), "{seed}");
    }
}

#[tokio::test]
async fn the_real_uws_makes_no_job_of_what_it_does_not_understand() {
    let Some(real) = Real::new("raw", json!({})) else { return };
    // What our client never sends, and why: each of these is another mistake that it avoids.
    let client = reqwest::Client::new();
    let body = json!({"run_id": run_id(&real.call.id), "command": "true"}).to_string();
    let put = client.put(format!("{}/job", real.url)).body(body);
    let with_charset = put.header("Content-Type", "application/json; charset=utf-8").send().await.unwrap();
    assert_eq!(with_charset.status(), 500);
    let get = client.get(format!("{}/job", real.url)).header("Content-Type", "application/json");
    assert_eq!(get.send().await.unwrap().status(), 500);
    let none = client.get(format!("{}/job/nosuch", real.url)).send().await.unwrap();
    assert_eq!((none.status().as_u16(), none.text().await.unwrap().as_str()), (404, "\"\""));
    assert_eq!(real.jobs().await, 0);
}

/// As OCPS asks for its jobs: the run id is the number of its command.
#[tokio::test]
async fn the_real_uws_tells_what_became_of_a_job_of_ocps() {
    let Some(real) = Real::new("ocps", json!({})) else { return };
    let jobs = OcpsJobs::new(&config(&real.url), &|_| None).unwrap();
    let first = i64::from(std::process::id()) * 100;
    for (number, ends, exit_code) in [(first, "0", 0), (first + 1, "3", 1)] {
        let body = json!({
            "run_id": number.to_string(), "command": "sleep 1 && exit $ENDS", "url": "", "commit_ref": "",
            "environment": [{"name": "ENDS", "value": ends}],
        });
        let put = reqwest::Client::new().put(format!("{}/job", real.url));
        let put = put.header("Content-Type", "application/json").body(body.to_string());
        let asked: Value = serde_json::from_str(&put.send().await.unwrap().text().await.unwrap()).unwrap();
        let id = jobs.find(number).await.unwrap();
        assert_eq!(asked["jobId"], id.as_str());
        assert_eq!(jobs.ended(&id, number).await.unwrap().exit_code, exit_code, "{asked}");
    }
    assert_eq!(jobs.find(first + 2).await, None);
}
