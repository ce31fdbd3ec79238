//! A simulated EFD: an HTTP server in process that stores points and answers the queries that our two clients send.
//!
//! ```text
//! Influx2 ── POST /api/v2/write, /api/v2/query, GET /health ─┐
//! Influx1 ── POST /write, /query, GET /ping ─────────────────┼─ gate: away? fault? password? ─► Store
//! tests, demo ── insert, points, fail, hang, go_away ────────┘
//! ```
//!
//! It speaks no Flux and no InfluxQL: it knows exactly the one shape that each client emits, and of queries in the words of
//! an author a few simple ones (`said`); it answers 400 with a clear text to anything else. What it does with types, stamps and bad lines is held to what real servers do by
//! the tests of [`crate::outputs::efd`], which run against all of them.

mod line;
pub(in crate::sim) mod listener;
mod said;
pub(in crate::sim) mod server;
mod shapes;
mod store;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::outputs::efd::{Efd, EfdConfig, Point};
use store::Store;

/// Organization of the simulated InfluxDB 2.
pub const ORG: &str = "lsst";
/// Its bucket, and the database of the simulated InfluxDB 1.
pub const DATABASE: &str = "efd";
/// The user of the simulated InfluxDB 1.
pub const USER: &str = "catcher";
/// The token, and the password: no secret, it opens nothing but this simulator.
pub const TOKEN: &str = "simulated";

/// Most requests remembered by [`SimInflux::requests`].
const REMEMBERED: usize = 1000;

/// What goes wrong with a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// Answered with that status and body, not carried out.
    Status(u16, String),
    /// Carried out, then the answer breaks off in the middle.
    HalfBody,
    /// No answer until [`SimInflux::release`]; then carried out.
    Hang,
    /// Carried out after that time.
    Slow(Duration),
    /// Carried out, but the connection breaks before the answer: the client cannot know.
    LostAnswer,
    /// Answered with 200 and that body, not carried out.
    Garbage(String),
}

/// What the server shares with its handle.
#[derive(Debug, Default)]
struct State {
    store: Store,
    faults: VecDeque<Fault>,
    requests: VecDeque<String>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    released: tokio::sync::watch::Sender<u64>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handle; the server ends when it is dropped.
#[derive(Debug)]
pub struct SimInflux {
    address: SocketAddr,
    shared: Arc<Shared>,
    running: Mutex<Option<CancellationToken>>,
}

impl SimInflux {
    /// Starts on a free port of the loopback interface.
    pub async fn start() -> std::io::Result<SimInflux> {
        let shared = Arc::new(Shared {
            state: Mutex::new(State::default()),
            released: tokio::sync::watch::Sender::new(0),
        });
        let (address, running) =
            server::serve(SocketAddr::from(([127, 0, 0, 1], 0)), Arc::clone(&shared)).await?;
        Ok(SimInflux { address, shared, running: Mutex::new(Some(running)) })
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Configuration for it as an InfluxDB 2 server; [`SimInflux::env`] has the token.
    pub fn config2(&self) -> EfdConfig {
        EfdConfig::influxdb2(&self.url(), ORG, DATABASE, "SIM_INFLUX_TOKEN")
    }

    /// Configuration for it as an InfluxDB 1 server; [`SimInflux::env`] has the password.
    pub fn config1(&self) -> EfdConfig {
        EfdConfig {
            username: Some(USER.to_owned()),
            password_env: Some("SIM_INFLUX_TOKEN".to_owned()),
            ..EfdConfig::influxdb1(&self.url(), DATABASE)
        }
    }

    /// The environment that the two configurations name.
    pub fn env(name: &str) -> Option<String> {
        (name == "SIM_INFLUX_TOKEN").then(|| TOKEN.to_owned())
    }

    /// A client of it as an InfluxDB 2 server.
    pub fn client2(&self) -> Arc<dyn Efd> {
        self.config2().client(SimInflux::env).expect("the simulator's configuration is right")
    }

    /// A client of it as an InfluxDB 1 server.
    pub fn client1(&self) -> Arc<dyn Efd> {
        self.config1().client(SimInflux::env).expect("the simulator's configuration is right")
    }

    /// Stores points as if another program had written them.
    pub fn insert(&self, points: &[Point]) {
        let mut state = self.shared.lock();
        for point in points {
            // A conflict of types is what a real server drops, too.
            drop(state.store.write(point.clone()));
        }
    }

    /// The points of a measurement in order of time, fields in order of name.
    pub fn points(&self, measurement: &str) -> Vec<Point> {
        self.shared.lock().store.points(measurement)
    }

    /// The measurements there are.
    pub fn measurements(&self) -> Vec<String> {
        self.shared.lock().store.measurements()
    }

    /// The next `n` requests go wrong like this, after those of earlier calls.
    pub fn fail(&self, n: usize, fault: Fault) {
        self.shared.lock().faults.extend(std::iter::repeat_n(fault, n));
    }

    /// Faults that have not happened yet.
    pub fn faults_left(&self) -> usize {
        self.shared.lock().faults.len()
    }

    /// Lets all hanging requests go on.
    pub fn release(&self) {
        self.shared.released.send_modify(|n| *n += 1);
    }

    /// What came in, as `METHOD /path` and the body after a line end; the last 1000.
    pub fn requests(&self) -> Vec<String> {
        self.shared.lock().requests.iter().cloned().collect()
    }

    /// Closes the port and all connections. What is stored stays.
    pub fn go_away(&self) {
        if let Some(running) = self.running().take() {
            running.cancel();
        }
    }

    /// Opens the same port again.
    pub async fn come_back(&self) -> std::io::Result<()> {
        self.go_away();
        let (_, running) = server::serve(self.address, Arc::clone(&self.shared)).await?;
        *self.running() = Some(running);
        Ok(())
    }

    fn running(&self) -> MutexGuard<'_, Option<CancellationToken>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SimInflux {
    fn drop(&mut self) {
        self.go_away();
    }
}

#[cfg(test)]
mod tests;
