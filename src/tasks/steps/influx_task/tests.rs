use super::super::lives::{clock, late, until};
use super::super::testing::{Bench, call};
use super::*;
use crate::rules::{SourceFile, compile};
use crate::sim::influx_tasks::{InfluxTasksPlay, ORG, SimInfluxTasks, TOKEN};
use crate::sim::peer::{Fault, Pace};
use crate::tasks::call::ErrorClass;

mod real;

const NAME: &str = "Catcher:1/R/a";
const TABLE: &str = "#datatype,string,long,dateTime:RFC3339,double\r\n#group,false,false,false,false\r\n\
                     #default,_result,,,\r\n,result,table,_time,mean\r\n,,0,2026-11-20T23:40:00Z,8.5\r\n\r\n";

struct Site {
    sim: SimInfluxTasks,
}

impl Site {
    async fn new() -> Site {
        Site { sim: SimInfluxTasks::start(InfluxTasksPlay::answering(TABLE)).await.unwrap() }
    }

    fn config(&self) -> InfluxTaskConfig {
        InfluxTaskConfig {
            url: self.sim.url(),
            org: ORG.to_owned(),
            token_env: Some("INFLUX_TOKEN".into()),
            token_file: None,
            write_buckets: vec!["derived".into()],
            poll_interval_s: 0.01,
            timeout_s: 5.0,
        }
    }

    fn backend_at(&self, clock: Clock) -> InfluxTaskBackend {
        let env = |name: &str| (name == "INFLUX_TOKEN").then(|| TOKEN.to_owned());
        InfluxTaskBackend::new(&self.config(), "Catcher:1".to_owned(), &env, clock).unwrap()
    }

    fn backend(&self) -> InfluxTaskBackend {
        self.backend_at(clock())
    }

    fn made(&self) -> usize {
        self.sim.play(|play| play.made.get(NAME).copied().unwrap_or_default())
    }
}

fn means(params: Value) -> StepCall {
    let mut all = json!({
        "flux": "from(bucket: \"efd\") |> range(start: -1m) |> mean() |> to(bucket: \"derived\")", "every": "10s",
    });
    all.as_object_mut().unwrap().extend(params.as_object().unwrap().clone());
    call("influx_task", all)
}

#[tokio::test]
async fn runs_at_the_same_time_make_one_task_also_if_one_is_stopped() {
    let site = Site::new().await;
    for begins in ["GET /api/v2/tasks?", "POST /api/v2/tasks"] {
        let slow = Duration::from_millis(60);
        site.sim.pace(begins, Pace { before: slow, after: slow, refused: 0.0, lost: 0.0 });
    }
    let (backend, call) = (site.backend(), means(json!({"keep": "rule"})));
    let benches = [Bench::new(), Bench::new(), Bench::new()];
    let [first, second, third] = benches.each_ref().map(|bench| backend.execute(&call, &bench.handle));
    let stop = async {
        until("a request", || site.sim.count("POST /api/v2/tasks") > 0).await;
        benches[0].stop("enough");
    };
    let (first, second, third, ()) = tokio::join!(first, second, third, stop);
    assert!(first.is_err() && second.is_ok() && third.is_ok(), "{first:?} {second:?} {third:?}");
    assert_eq!(site.made(), 1);
}

#[tokio::test]
async fn a_task_is_made_watched_and_read_and_stays() {
    let (site, bench) = (Site::new().await, Bench::new());
    let read =
        json!({"read": "from(bucket: \"derived\") |> range(start: -1m)", "columns": ["mean"], "runs": 2});
    let outcome = bench.run(&site.backend(), &means(read)).await.unwrap();
    let result = &outcome.result;
    assert_eq!(
        (&result["outcome"], &result["runs"], &result["failed"]),
        (&json!("success"), &json!(2), &json!(0))
    );
    assert_eq!(
        (&result["columns"]["mean"][0], &result["n"], &result["error"]),
        (&json!(8.5), &json!(1), &json!(""))
    );
    assert!(result["finished"].as_f64() > result["started"].as_f64(), "{result}");
    assert_eq!(outcome.backend_id, result["task_id"].as_str().unwrap());
    // Again, with the same text: it is left alone. With another: it is changed, and is the same task.
    Bench::new().run(&site.backend(), &means(json!({}))).await.unwrap();
    assert_eq!((site.made(), site.sim.play(|play| play.changed)), (1, 0));
    let other = Bench::new().run(&site.backend(), &means(json!({"every": "20s"}))).await.unwrap();
    assert_eq!((site.made(), site.sim.play(|play| play.changed)), (1, 1));
    assert_eq!(other.backend_id, outcome.backend_id);
    assert_eq!(site.sim.play(|play| play.names()), [NAME]);
    let text = site.sim.play(|play| play.tasks[&other.backend_id].flux.clone());
    assert!(text.contains("option task = {name: \"Catcher:1/R/a\", every: 20s}"), "{text}");
}

#[tokio::test]
async fn what_somebody_changed_by_hand_is_undone_and_copies_go() {
    let site = Site::new().await;
    let first = Bench::new().run(&site.backend(), &means(json!({}))).await.unwrap();
    let own = first.backend_id;
    site.sim.play(|play| {
        let task = play.tasks.get_mut(&own).unwrap();
        (task.flux, task.status) = ("something else".into(), "inactive".into());
        play.put(NAME, "a copy");
        play.put("somebody's own", "x");
    });
    let again = Bench::new().run(&site.backend(), &means(json!({}))).await.unwrap();
    assert_eq!(again.backend_id, own, "the oldest stays");
    assert_eq!(site.sim.play(|play| play.names()), [NAME, "somebody's own"]);
    assert_eq!(site.sim.play(|play| play.tasks[&own].status.clone()), "active");
}

#[tokio::test]
async fn a_run_that_failed_is_a_result_with_its_words() {
    let site = Site::new().await;
    // The run that is scheduled when the step begins does not count.
    site.sim.play(|play| {
        play.ends
            .extend([("success", String::new()), ("failed", "could not find bucket \"efd\"".to_owned())]);
    });
    let read = json!({"read": "from(bucket: \"derived\") |> range(start: -1m)", "columns": ["mean"]});
    let outcome = Bench::new().run(&site.backend(), &means(read)).await.unwrap();
    let result = &outcome.result;
    assert_eq!((&result["outcome"], &result["failed"]), (&json!("failed"), &json!(1)));
    assert_eq!(result["error"], "could not find bucket \"efd\"");
    assert_eq!((&result["n"], site.sim.count("POST /api/v2/query")), (&json!(0), 0), "nothing is read of it");
}

#[tokio::test]
async fn a_task_of_a_step_goes_with_it_also_when_it_is_stopped() {
    let (site, step) = (Site::new().await, json!({"keep": "step"}));
    Bench::new().run(&site.backend(), &means(step.clone())).await.unwrap();
    assert_eq!((site.made(), site.sim.play(|play| play.tasks.len())), (1, 0));
    for (keep, left) in [("step", 0), ("rule", 1)] {
        let (bench, backend) = (Bench::new(), site.backend());
        let call = means(json!({"keep": keep, "runs": 100}));
        let stops = async {
            until("it is watched", || bench.memo().is_some_and(|memo| memo.get("watched").is_some())).await;
            bench.stop("enough");
        };
        let (ended, ()) = tokio::join!(bench.run(&backend, &call), stops);
        assert_eq!(ended.unwrap_err().class, ErrorClass::Aborted);
        assert_eq!(site.sim.play(|play| play.tasks.len()), left, "{keep}");
    }
}

/// Two runs of a rule watch the same task: it goes with the one that ends last.
#[tokio::test]
async fn a_task_of_a_step_stays_while_another_run_watches_it() {
    let site = Site::new().await;
    let backend = site.backend();
    let (short, long) = (means(json!({"keep": "step"})), means(json!({"keep": "step", "runs": 100})));
    let (first, second) = (Bench::new(), Bench::new());
    let other = async {
        let watched = || second.memo().is_some_and(|memo| memo.get("watched").is_some());
        until("the other one watches it", watched).await;
        let ended = first.run(&backend, &short).await;
        let left = site.sim.play(|play| play.tasks.len());
        second.stop("enough");
        (ended, left)
    };
    let (stopped, (ended, left)) = tokio::join!(second.run(&backend, &long), other);
    assert_eq!(stopped.unwrap_err().class, ErrorClass::Aborted);
    assert_eq!((ended.is_ok(), left), (true, 1));
    assert_eq!((site.made(), site.sim.play(|play| play.tasks.len())), (1, 0));
}

#[tokio::test]
async fn an_answer_that_is_lost_makes_no_second_task() {
    for fault in [Fault::LostAnswer, Fault::HalfBody, Fault::Status(503, "later".into())] {
        let site = Site::new().await;
        site.sim.fail("POST /api/v2/tasks", 1, fault.clone());
        Bench::new().run(&site.backend(), &means(json!({}))).await.unwrap();
        assert_eq!((site.made(), site.sim.play(|play| play.tasks.len())), (1, 1), "{fault:?}");
    }
    // A proxy that repeats requests: one of the two is left.
    let site = Site::new().await;
    site.sim.fail("POST /api/v2/tasks", 1, Fault::Twice);
    Bench::new().run(&site.backend(), &means(json!({}))).await.unwrap();
    Bench::new().run(&site.backend(), &means(json!({}))).await.unwrap();
    assert_eq!(site.sim.play(|play| play.tasks.len()), 1);
}

#[tokio::test]
async fn however_often_we_die_there_is_one_task() {
    for seed in 0..40 {
        let (site, bench) = (Site::new().await, Bench::new());
        let outcome = bench.die_often(&means(json!({"runs": 2})), seed, || site.backend()).await.unwrap();
        assert_eq!(outcome.result["outcome"], "success");
        assert_eq!((site.made(), site.sim.play(|play| play.tasks.len())), (1, 1), "{seed}");
    }
}

#[tokio::test]
async fn what_goes_wrong_has_its_class() {
    let site = Site::new().await;
    let run = async |params: Value| Bench::new().run(&site.backend(), &means(params)).await.unwrap_err();
    // A mistake in the text: told at once, when it is made and when it is changed.
    let bad = json!({"flux": "from(bucket: \"efd\""});
    for first in [true, false] {
        if !first {
            site.sim.play(|play| play.put(NAME, "x"));
        }
        let error = run(bad.clone()).await;
        assert_eq!(error.class, ErrorClass::Permanent);
        assert!(error.text.contains("expected RPAREN"), "{error}");
    }
    assert_eq!(site.sim.count("PATCH"), 1, "it is not tried again");
    // What is filled in is looked at before anything is asked.
    let before = site.sim.requests().len();
    for (params, words) in [
        (json!({"flux": "from(bucket: \"a\") |> to(bucket: \"efd\")"}), "not among the write_buckets"),
        (json!({"flux": "import \"http\"\nhttp.post(url: \"x\")"}), "it imports"),
        (json!({"every": "10"}), "no duration"),
        (json!({"read": "a |> to(bucket: \"derived\")", "columns": ["x"]}), "it writes"),
    ] {
        let error = run(params).await;
        assert_eq!(error.class, ErrorClass::Permanent);
        assert!(error.text.contains(words) && error.text.contains("nothing was done"), "{error}");
    }
    assert_eq!(site.sim.requests().len(), before);
    site.sim.fail(
        "GET",
        1,
        Fault::Status(401, r#"{"code":"unauthorized","message":"unauthorized access"}"#.into()),
    );
    let error = run(json!({})).await;
    assert!(error.class == ErrorClass::Permanent && error.text.contains("token"), "{error}");
    site.sim.go_away();
    assert_eq!(run(json!({})).await.class, ErrorClass::Transient);
    site.sim.come_back().await.unwrap();
    let error = Bench::new().resume(&site.backend_at(late()), &means(json!({}))).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Aborted);
}

#[tokio::test]
async fn a_server_that_is_away_for_a_while_is_followed_on_and_a_task_that_goes_is_told() {
    let (site, bench) = (Site::new().await, Bench::new());
    let (backend, call) = (site.backend(), means(json!({"runs": 100})));
    let meanwhile = async {
        until("it is watched", || bench.memo().is_some_and(|memo| memo.get("watched").is_some())).await;
        site.sim.go_away();
        site.sim.come_back().await.unwrap();
        let looks = site.sim.requests().len();
        until("it looks again", || site.sim.requests().len() > looks + 2).await;
        site.sim.play(|play| play.tasks.clear());
    };
    let (ended, ()) = tokio::join!(bench.run(&backend, &call), meanwhile);
    let error = ended.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    assert!(error.text.contains("somebody removed task"), "{error}");
}

#[tokio::test]
async fn tasks_of_rules_that_are_gone_are_removed_and_no_others() {
    let site = Site::new().await;
    let text = "rules:\n  - name: Kept.Rule\n    trigger: {every: 60s}\n    tasks:\n      means: {influx_task: {flux: \"from(bucket: \\\"efd\\\") |> range(start: -1m)\", every: 10s}}\n      \
                other: {slack: {to: us, text: x}}\n";
    let file = SourceFile { name: "rules".into(), text: text.into() };
    let library = sal_idl::Library::embedded();
    let rules = compile(&file, &library).unwrap();
    let (kept, gone): (Vec<String>, Vec<String>) = (
        ["Catcher:1/Kept.Rule/means", "Catcher:1/Kept.Rule/means[3]", "Catcher:10/Gone/x", "somebody's"]
            .map(String::from)
            .into(),
        (0..250)
            .map(|n| format!("Catcher:1/Gone/x{n}"))
            .chain(["Catcher:1/Kept.Rule/other".to_owned()])
            .collect(),
    );
    site.sim.play(|play| {
        for name in kept.iter().chain(&gone) {
            play.put(name, "x");
        }
    });
    site.backend().rules(&rules).await.unwrap();
    let mut wanted = kept;
    wanted.sort();
    assert_eq!(site.sim.play(|play| play.names()), wanted);
    site.sim.go_away();
    let error = site.backend().rules(&rules).await.unwrap_err();
    assert!(error.contains("could not be removed"), "{error}");
}

#[tokio::test]
async fn the_site_is_asked_when_a_rule_is_loaded() {
    let site = Site::new().await;
    let backend = site.backend();
    let of = |flux: &str| backend.check(&json!({"flux": flux, "every": "1m"}));
    assert!(of("a |> to(bucket: \"derived\")").is_ok());
    assert!(of("a |> to(bucket: \"efd\")").unwrap_err().contains("write_buckets of backends.influx_task"));
    assert!(of("a |> to(bucket: \"{{ x }}\")").is_ok(), "looked at when it is filled in");
    let config =
        InfluxTaskConfig { org: " ".into(), token_env: None, url: "ftp://x".into(), ..site.config() };
    let wrong = InfluxTaskBackend::new(&config, String::new(), &|_| None, clock()).err().unwrap().join("\n");
    for words in ["org: it is needed", "token_env: it or token_file is needed", "url: \"ftp://x\""] {
        assert!(wrong.contains(words), "{wrong}");
    }
}
