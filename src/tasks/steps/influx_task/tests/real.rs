//! Against a real InfluxDB 2: `CATCHER_TEST_INFLUX2_URL`, `_TOKEN`, `_ORG`, `_BUCKET` (`scripts/stack env`).

use super::*;

/// A rule of its own on the server.
struct Real {
    config: InfluxTaskConfig,
    bench: Bench,
    call: StepCall,
    bucket: String,
    /// Of its own: what others keep there is not its to remove.
    owner: String,
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

impl Real {
    /// Its task writes the number `n` to a measurement of the rule's name and is read again.
    fn new(rule: &str, n: f64, params: Value) -> Option<Real> {
        let Some(url) = env("CATCHER_TEST_INFLUX2_URL") else {
            eprintln!("SKIPPED: no InfluxDB 2 keeps a task, CATCHER_TEST_INFLUX2_URL is not set");
            return None;
        };
        let [org, bucket] =
            ["ORG", "BUCKET"].map(|name| env(&format!("CATCHER_TEST_INFLUX2_{name}")).unwrap());
        let rule = format!("{rule}{:08x}", rand::random::<u32>());
        let mut call = means(params);
        let given = call.params.get("flux").and_then(Value::as_str).filter(|f| f.contains("nobucket"));
        let flux = given.map(str::to_owned).unwrap_or_else(|| {
            format!(
                "import \"array\"\n\narray.from(rows: [{{_time: now(), _measurement: \"{rule}\", _field: \"mean\", _value: {n:?}}}])\n  \
                 |> to(bucket: \"{bucket}\")"
            )
        });
        call.params["flux"] = json!(flux);
        call.params["every"] = json!("1s");
        call.params["read"] = json!(format!(
            "from(bucket: \"{bucket}\") |> range(start: -1h) |> filter(fn: (r) => r._measurement == \"{rule}\") |> last()"
        ));
        call.params["columns"] = json!(["_value"]);
        call.rule = rule;
        let config = InfluxTaskConfig {
            url,
            org,
            token_env: Some("CATCHER_TEST_INFLUX2_TOKEN".into()),
            token_file: None,
            write_buckets: vec![bucket.clone()],
            poll_interval_s: 0.05,
            timeout_s: 20.0,
        };
        Some(Real { owner: format!("Test:{}", call.rule), config, bench: Bench::new(), call, bucket })
    }

    fn backend(&self) -> InfluxTaskBackend {
        InfluxTaskBackend::new(&self.config, self.owner.clone(), &env, clock()).unwrap()
    }

    async fn tasks(&self) -> Vec<Task> {
        self.backend().find(&format!("{}/{}/a", self.owner, self.call.rule)).await.unwrap()
    }

    async fn clean(&self) {
        self.backend().remove(&format!("{}/{}/a", self.owner, self.call.rule)).await.unwrap();
    }
}

#[tokio::test]
async fn the_real_influx_runs_a_task_whose_result_is_read_and_takes_a_change() {
    let Some(mut real) = Real::new("Ok", 8.5, json!({"runs": 2})) else { return };
    let outcome = real.bench.run(&real.backend(), &real.call).await.unwrap();
    let result = &outcome.result;
    assert_eq!((&result["outcome"], &result["failed"]), (&json!("success"), &json!(0)), "{result}");
    assert_eq!((&result["n"], &result["columns"]["_value"][0]), (&json!(1), &json!(8.5)), "{result}");
    assert!(result["finished"].as_f64() >= result["started"].as_f64() && result["runs"].as_u64() >= Some(2));
    let [task] = real.tasks().await.try_into().unwrap();
    assert_eq!(task.id, outcome.backend_id);
    // As it is: nothing is changed. Then with another number.
    Bench::new().run(&real.backend(), &real.call).await.unwrap();
    assert_eq!(real.tasks().await[0].flux, task.flux);
    let flux = real.call.params["flux"].as_str().unwrap().replace("8.5", "9.5");
    real.call.params["flux"] = json!(flux);
    let changed = Bench::new().run(&real.backend(), &real.call).await.unwrap();
    assert_eq!((&changed.result["columns"]["_value"][0], &changed.backend_id), (&json!(9.5), &task.id));
    // The rule is gone.
    real.backend().rules(&[]).await.unwrap();
    assert_eq!(real.tasks().await.len(), 0);
}

#[tokio::test]
async fn the_real_influx_tells_why_a_run_failed_and_what_is_wrong_with_a_text() {
    let missing = json!({"flux": "from(bucket: \"nobucket\") |> range(start: -1m)", "keep": "step"});
    let Some(mut real) = Real::new("Bad", 0.0, missing) else { return };
    let outcome = real.bench.run(&real.backend(), &real.call).await.unwrap();
    assert_eq!(outcome.result["outcome"], "failed");
    assert!(
        outcome.result["error"].as_str().unwrap().contains("could not find bucket"),
        "{}",
        outcome.result
    );
    assert_eq!(real.tasks().await.len(), 0, "it went with the step");
    // Made with a mistake, and changed to one.
    let good = real.call.params["flux"].clone();
    for change in [false, true] {
        if change {
            real.call.params["flux"] = good.clone();
            real.call.params["keep"] = json!("rule");
            Bench::new().run(&real.backend(), &real.call).await.unwrap();
        }
        real.call.params["flux"] = json!(format!("from(bucket: \"{}\"", real.bucket));
        let error = Bench::new().run(&real.backend(), &real.call).await.unwrap_err();
        assert_eq!(error.class, ErrorClass::Permanent, "{error}");
    }
    real.clean().await;
    let wrong = InfluxTaskConfig { org: "nobody".into(), ..real.config.clone() };
    let backend = InfluxTaskBackend::new(&wrong, "Catcher:1".to_owned(), &env, clock()).unwrap();
    real.call.params["flux"] = good;
    let error = Bench::new().run(&backend, &real.call).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Permanent, "{error}");
    assert!(error.text.contains("organization"), "{error}");
}

#[tokio::test]
async fn the_real_influx_gets_one_task_however_often_we_die() {
    for seed in 0..20 {
        let Some(real) = Real::new("Die", 1.0, json!({})) else { return };
        let outcome = real.bench.die_often(&real.call, seed, || real.backend()).await.unwrap();
        assert_eq!((&outcome.result["outcome"], real.tasks().await.len()), (&json!("success"), 1), "{seed}");
        real.clean().await;
    }
}
