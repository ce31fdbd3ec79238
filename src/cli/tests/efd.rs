//! Past data of an EFD: the simulated one always, a real InfluxDB 2 where the environment names it.

use std::sync::Arc;

use salobj::{Tai, Value};
use serde_json::Value as Json;

use super::bed::Bed;
use crate::outputs::efd::Point;
use crate::sim::influx::SimInflux;

/// An EFD, and how a command gets to it.
struct Server {
    bed: Bed,
    /// The argument of `--efd`.
    which: String,
    _sim: Arc<SimInflux>,
}

fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// What a real server has from earlier tests is of other indices.
fn index() -> i64 {
    i64::from(rand::random::<u32>() % 1_000_000_000) + 1000
}

async fn servers() -> Vec<Server> {
    let sim = Arc::new(SimInflux::start().await.unwrap());
    let mut all = Vec::new();
    let mut files = vec![(sim.config2(), SimInflux::env as fn(&str) -> Option<String>)];
    files.push((sim.config1(), SimInflux::env));
    for (config, secrets) in files {
        let bed = Bed::with_variables(secrets).await;
        let which = bed.file("efd.yaml", &serde_saphyr::to_string(&config).unwrap());
        all.push(Server { bed, which, _sim: Arc::clone(&sim) });
    }
    match var("CATCHER_TEST_INFLUX2_URL") {
        Some(which) => {
            let named = |name: &str| {
                let part = name.strip_prefix("INFLUX_")?;
                var(&format!("CATCHER_TEST_INFLUX2_{part}"))
            };
            all.push(Server { bed: Bed::with_variables(named).await, which, _sim: Arc::clone(&sim) });
        }
        None => eprintln!("SKIPPED: InfluxDB 2 is not tested, CATCHER_TEST_INFLUX2_URL is not set"),
    }
    all
}

impl Server {
    /// The wind of an instance, one point every ten seconds.
    async fn fill(&self, index: i64, speeds: &[f64]) {
        let efd = self.bed.outside.efd(&self.which).unwrap();
        let point = |(n, speed): (usize, &f64)| {
            let at = Tai(self.bed.start.0 + 10.0 * n as f64);
            let mut point = Point::sal("ESS", "airFlow", at);
            point.push("salIndex", &Value::Int(index)).push("speed", &Value::Double(*speed));
            point.push("private_sndStamp", &Value::Double(at.0));
            point
        };
        let points: Vec<Point> = speeds.iter().enumerate().map(point).collect();
        efd.write(&points).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_of_the_efd_is_replayed_explained_and_tuned() {
    for server in servers().await {
        let (bed, index) = (&server.bed, index());
        server.fill(index, &[20.0, 5.0, 12.0, 14.0, 5.0, 11.0, 5.0]).await;
        let rule = format!(
            "rules:\n  - name: Wind\n    inputs: {{wind: {{topic: \"ESS:{index}.tel_airFlow\", field: speed}}}}\n    \
             alarm: {{value: wind, levels: {{warning: 10.0}}}}\n  - name: Reader\n    inputs: {{other: {{alarm: Wind}}}}\n    \
             alarm: {{levels: {{serious: \"other.severity > 1\"}}}}\n"
        );
        let rules = bed.file("wind.yaml", &rule);
        let (from, to) = (bed.utc(5.0), bed.utc(55.0));
        let range = ["--efd", &server.which, "--from", &from, "--to", &to];
        let lines = bed.lines(&[&["replay", &rules, "--json"], &range[..]].concat()).await;
        let told = bed.told(&lines);
        let own: Vec<&str> = told.iter().map(String::as_str).filter(|t| !t.contains("serious")).collect();
        assert_eq!(
            own.iter().filter(|t| t.contains("warning")).collect::<Vec<_>>(),
            [&"5.0 warning", &"20.0 warning", &"50.0 warning"],
            "{}: {told:?}",
            server.which
        );
        let explain = ["rules", "explain", &rules, "Wind", "--efd", &server.which, "--from", &from, "--json"];
        let text = bed.good(&[&explain[..], &["--at", &bed.utc(35.0)]].concat()).await;
        let explained: Json = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&explained["alarm"]["severity"], &explained["inputs"][0]["value"]),
            (&Json::from("WARNING"), &Json::from(14.0))
        );
        let tune = ["rules", "tune", &rules, "Wind", "--vary", "alarm.levels.warning=10,13", "--json"];
        let text = bed.good(&[&tune[..], &range[..]].concat()).await;
        let tuned: Json = serde_json::from_str(&text).unwrap();
        let alarms = |n: usize| tuned["settings"][n]["alarms"].as_u64().unwrap();
        assert_eq!((alarms(0), alarms(1)), (3, 2), "{tuned:#}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rules_ask_of_the_efd_is_answered_in_a_replay() {
    for mut server in servers().await {
        let index = index();
        server.fill(index, &[2.0, 2.0, 2.0, 20.0, 20.0, 20.0, 2.0, 2.0, 2.0, 2.0]).await;
        for at in [0.0, 100.0] {
            server.bed.send_metric(Some(at), 0.0, "r").await;
        }
        let bed = &server.bed;
        let rule = format!(
            "rules:\n  - name: Mean\n    inputs:\n      avg: {{efd: {{topic: \"ESS:{index}.tel_airFlow\", field: speed, range: 30s}}, \
             every: 10s, reduce: mean}}\n      m: {{kafka: {}, field: value}}\n    \
             alarm: {{value: avg, levels: {{warning: 10.0}}}}\n",
            bed.metric()
        );
        let rules = bed.file("mean.yaml", &rule);
        let (from, to) = (bed.utc(0.0), bed.utc(100.0));
        // Messages of the bus, and beside them what the EFD says.
        let args = ["replay", &rules, "--json", "--from-kafka", &from, "--to", &to];
        let lines = bed.lines(&[&args[..], &["--efd", &server.which]].concat()).await;
        let told = bed.told(&lines);
        let times: Vec<f64> = told.iter().map(|t| t.split(' ').next().unwrap().parse().unwrap()).collect();
        assert_eq!(told.len(), 2, "{}: {lines:#?}", server.which);
        // The mean of the last 30 s (four points) is above 10 from the second high point on, until the last but one is out.
        assert!((40.0..50.1).contains(&times[0]) && (70.0..80.1).contains(&times[1]), "{told:?}");
        // The same from the EFD alone.
        let alone: Vec<&str> = rule.lines().filter(|line| !line.contains("kafka:")).collect();
        let alone = bed.file("alone.yaml", &alone.join("\n"));
        let args = ["replay", &alone, "--json", "--efd", &server.which, "--from", &from, "--to", &to];
        let lines = bed.lines(&args).await;
        assert_eq!(bed.told(&lines), told);
        // Without it nothing is known of it, and that is said.
        let lines = bed.lines(&["replay", &rules, "--json", "--from-kafka", &from]).await;
        assert!(bed.told(&lines).is_empty());
        assert!(lines.last().unwrap()["notes"].to_string().contains("no EFD is named"), "{lines:#?}");
    }
}
