//! The outbox against a real InfluxDB 1 that is killed and started again in the middle. `CATCHER_TEST_INFLUXD1` names its
//! program (`scripts/stack env`).

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::tests::{RESULT, point};
use super::*;
use crate::outputs::efd::{EfdConfig, SeriesQuery};
use salobj::Tai;

/// A server of its own, killed (SIGKILL) when dropped.
struct Influxd(Child);

impl Influxd {
    fn start(program: &str, dir: &Path, port: u16, rpc_port: u16) -> Influxd {
        let config = dir.join("influxdb.conf");
        let d = dir.display();
        std::fs::write(
            &config,
            format!(
                "reporting-disabled = true\nbind-address = \"127.0.0.1:{rpc_port}\"\n[meta]\ndir = \"{d}/meta\"\n\
                 [data]\ndir = \"{d}/data\"\nwal-dir = \"{d}/wal\"\n[monitor]\nstore-enabled = false\n\
                 [http]\nbind-address = \"127.0.0.1:{port}\"\nlog-enabled = false\n"
            ),
        )
        .unwrap();
        let mut command = Command::new(program);
        command.arg("-config").arg(config).stdout(Stdio::null()).stderr(Stdio::null());
        Influxd(command.spawn().unwrap())
    }
}

impl Drop for Influxd {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn ready(efd: &dyn Efd) {
    let answered = async {
        while efd.health().await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), answered).await.expect("influxd answers in time");
}

#[tokio::test]
async fn nothing_is_lost_when_the_server_is_killed_in_the_middle() {
    let Ok(program) = std::env::var("CATCHER_TEST_INFLUXD1") else {
        eprintln!("SKIPPED: no InfluxDB is killed, CATCHER_TEST_INFLUXD1 is not set");
        return;
    };
    let (data, spool) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (port, rpc_port) = (free_port(), free_port());
    let url = format!("http://127.0.0.1:{port}");
    let efd = EfdConfig::influxdb1(&url, "efd").client(|_| None).unwrap();
    let server = Influxd::start(&program, data.path(), port, rpc_port);
    ready(&*efd).await;
    let create = reqwest::Client::new().post(format!("{url}/query?q=CREATE%20DATABASE%20efd"));
    assert!(create.send().await.unwrap().status().is_success());

    let options = OutboxOptions {
        first_delay: Duration::from_millis(20),
        longest_delay: Duration::from_millis(200),
        ..OutboxOptions::default()
    };
    let (outbox, _) = Outbox::open(spool.path(), options).unwrap();
    let stop = CancellationToken::new();
    let mut state = outbox.state();
    let story = async {
        // Results come all the time; the server dies without a word and is away for a while.
        for i in 0..50 {
            outbox.push(vec![point(i)]).await.unwrap();
        }
        state.wait_for(|s| s.written > 0).await.unwrap();
        drop(server);
        for i in 50..150 {
            outbox.push(vec![point(i)]).await.unwrap();
        }
        state.wait_for(|s| s.failures >= 3).await.unwrap();
        let waiting = state.borrow().clone();
        assert!(waiting.pending >= 100 && waiting.last_error.unwrap().0 == ErrorClass::Unavailable);
        let server = Influxd::start(&program, data.path(), port, rpc_port);
        for i in 150..200 {
            outbox.push(vec![point(i)]).await.unwrap();
        }
        let drained = tokio::time::timeout(Duration::from_secs(60), state.wait_for(|s| s.pending == 0)).await;
        assert_eq!(drained.expect("it drains in time").unwrap().rejected, 0);
        stop.cancel();
        server
    };
    let (ran, _server) = tokio::join!(outbox.run(Arc::clone(&efd), stop.clone()), story);
    ran.unwrap();
    let from = Tai::from_utc_unix(1_795_218_000.0);
    let query = SeriesQuery {
        measurement: RESULT.to_owned(),
        ..SeriesQuery::sal("Catcher", "logevent_result", None, ["value"], (from, Tai(from.0 + 1000.0)))
    };
    let values = efd.query(&query).await.unwrap().series("value", "").unwrap().values;
    assert_eq!(values, (0..200).map(f64::from).collect::<Vec<_>>());
}
