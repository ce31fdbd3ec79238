//! Files on their way to a simulated LFA, whatever goes wrong; [`real`] has the real server, [`kill`] a process that is killed.

mod kill;
mod real;
mod reports;
mod room;
mod way;

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use salobj::Clock;
use tokio::sync::watch;

use super::*;
use crate::journal::OpenError;
use crate::outputs::report_folder::ReportFolder;
use crate::sim::s3::{S3Play, SimS3};
use crate::tasks::call::StepId;
use crate::tasks::shelf::{Content, NotKept, Shelf as _, StepFile};

/// Time for what must happen.
const LIMIT: Duration = Duration::from_secs(60);
/// The address of the folder.
const OWN: &str = "http://catcher/reports";
/// The id of the run.
const RUN: &str = "0123456789abcdef";

/// Hears what is told.
#[derive(Debug, Default)]
struct Ear {
    heard: Mutex<Heard>,
    changed: watch::Sender<u64>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Heard {
    /// Events.
    events: Vec<Announcement>,
    /// Addresses of reports, by run.
    reports: Vec<(String, String)>,
    /// What the operators are told: whether it is bad, one line, more.
    news: Vec<(bool, String, String)>,
    /// So many events cannot be published.
    deaf: usize,
}

impl Ear {
    fn with<T>(&self, work: impl FnOnce(&mut Heard) -> T) -> T {
        let done = work(&mut self.heard.lock().unwrap());
        self.changed.send_modify(|n| *n += 1);
        done
    }

    fn heard(&self) -> Heard {
        self.heard.lock().unwrap().clone()
    }

    fn events(&self) -> Vec<Announcement> {
        self.heard().events
    }

    /// Waits until what was heard is so.
    async fn until(&self, what: &str, is_so: impl Fn(&Heard) -> bool) {
        let mut changed = self.changed.subscribe();
        let wait = async {
            while !is_so(&self.heard()) {
                changed.changed().await.unwrap();
            }
        };
        let waited = tokio::time::timeout(LIMIT, wait).await;
        waited.unwrap_or_else(|_| panic!("{what}: {:?}", self.heard()));
    }

    async fn until_events(&self, n: usize) {
        self.until(&format!("{n} events"), |heard| heard.events.len() >= n).await;
    }
}

#[async_trait]
impl Tell for Ear {
    fn announce(&self, file: &Announcement) -> Result<(), String> {
        self.with(|heard| {
            if heard.deaf > 0 {
                heard.deaf -= 1;
                return Err("not yet".to_owned());
            }
            heard.events.push(file.clone());
            Ok(())
        })
    }

    async fn report_at(&self, run_id: String, url: String) {
        self.with(|heard| heard.reports.push((run_id, url)));
    }

    fn news(&self, bad: bool, summary: String, details: String) {
        self.with(|heard| heard.news.push((bad, summary, details)));
    }
}

fn options() -> LfaOptions {
    LfaOptions {
        first_delay: Duration::from_millis(10),
        longest_delay: Duration::from_millis(100),
        patience: LIMIT,
    }
}

fn open(dir: &Path) -> Lfa {
    open_with(dir, options())
}

fn open_with(dir: &Path, options: LfaOptions) -> Lfa {
    let begun = tokio::time::Instant::now();
    loop {
        let folder = ReportFolder::new(dir.join("reports"));
        let base = Box::new(|| OWN.to_owned());
        match Lfa::open(&dir.join("lfa"), folder, base, "Catcher:3", Clock::System, options) {
            // What the one before it has just begun to write ends first.
            Err(LfaError::Open(OpenError::Locked { .. })) if begun.elapsed() < LIMIT => {
                std::thread::sleep(Duration::from_millis(1));
            }
            opened => return opened.unwrap(),
        }
    }
}

fn config() -> LfaConfig {
    LfaConfig { instance: Some("test".to_owned()), timeout_s: 5.0, ..LfaConfig::default() }
}

fn client(sim: &SimS3, config: &LfaConfig) -> S3 {
    let place = Place { site: "lab".to_owned(), endpoint: Some(sim.url()) };
    config.client(&place, &S3Play::env).unwrap()
}

async fn server() -> SimS3 {
    SimS3::start(S3Play::default()).await.unwrap()
}

fn step(name: &str) -> StepId {
    StepId { run_id: RUN.to_owned(), step: name.to_owned(), attempt: 1 }
}

async fn keep(lfa: &Lfa, name: &str, content: &[u8]) -> Result<StepFile, NotKept> {
    lfa.keep(&step("isr[7]"), name, Content::Bytes(content)).await
}

/// The key in an address of the simulated bucket.
fn key_of(url: &str) -> String {
    url.split_once("/rubinobs-lfa-test/").unwrap_or_else(|| panic!("{url}")).1.replace("%3A", ":")
}

/// Runs while the story goes on.
async fn while_running<T>(lfa: &Lfa, ear: &Ear, story: impl Future<Output = T>) -> T {
    tokio::select! {
        () = lfa.run(ear) => panic!("it ended"),
        told = story => told,
    }
}

async fn until_state(lfa: &Lfa, what: &str, is_so: impl FnMut(&LfaState) -> bool) {
    let mut state = lfa.state();
    let waited = tokio::time::timeout(LIMIT, state.wait_for(is_so)).await.map(drop);
    waited.unwrap_or_else(|_| panic!("{what}: {:?}", lfa.state().borrow().clone()));
}
