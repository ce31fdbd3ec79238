//! A process that is killed (kill -9) at random instants, or finds its disk full. The server lives in the process of the test and
//! counts what was written.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::*;
use crate::sim::peer::Fault;

const DIR: &str = "CATCHER_TEST_LFA";
const URL: &str = "CATCHER_TEST_LFA_URL";
/// Files that a child keeps.
const FILES: usize = 200;

/// Writes events to a file.
struct ToFile(std::path::PathBuf);

#[async_trait]
impl Tell for ToFile {
    fn announce(&self, file: &Announcement) -> Result<(), String> {
        let mut out = std::fs::OpenOptions::new().append(true).create(true).open(&self.0).unwrap();
        out.write_all(format!("{}\n", file.url).as_bytes()).map_err(|e| e.to_string())
    }

    async fn report_at(&self, _: String, _: String) {}

    fn news(&self, _: bool, _: String, _: String) {}
}

/// What the child processes of the tests below run. By itself it does nothing.
#[tokio::test]
async fn child_process() {
    let (Ok(dir), Ok(url)) = (std::env::var(DIR), std::env::var(URL)) else { return };
    let dir = Path::new(&dir);
    let lfa = open(dir);
    let place = Place { site: "lab".to_owned(), endpoint: Some(url) };
    lfa.set(Some(config().client(&place, &S3Play::env).unwrap()));
    let tell = ToFile(dir.join("events"));
    let story = async {
        let mut refused = 0;
        for n in 0..FILES {
            let content = format!("content {n} {}", "x".repeat(200));
            refused += usize::from(keep(&lfa, &format!("{n}.txt"), content.as_bytes()).await.is_err());
        }
        until_state(&lfa, "all are stored", |s| s.waiting == 0).await;
        std::fs::write(dir.join("ended"), format!("{refused}")).unwrap();
    };
    tokio::select! {
        () = lfa.run(&tell) => {}
        () = story => {}
    }
}

/// The child; a file that grows beyond `limit_blocks` gives an error.
fn child(dir: &Path, sim: &SimS3, limit_blocks: Option<u32>) -> tokio::process::Child {
    let exe = std::env::current_exe().unwrap();
    let mut command = match limit_blocks {
        Some(blocks) => {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")).arg(exe);
            shell
        }
        None => Command::new(exe),
    };
    command
        .args(["--exact", "outputs::lfa::tests::kill::child_process", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .env(URL, sim.url())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    tokio::process::Command::from(command).spawn().unwrap()
}

/// How often each address was announced.
fn announced(dir: &Path) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let text = std::fs::read_to_string(dir.join("events")).unwrap_or_default();
    for line in text.lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

/// Every object is there, whole, and was written once; each has an event.
fn all_is_there(sim: &SimS3, events: &BTreeMap<String, usize>, files: usize) {
    sim.play(|play| {
        assert_eq!(play.replaced(), Vec::<&String>::new());
        assert_eq!((play.objects.len(), events.len()), (files, files));
        for url in events.keys() {
            let key = key_of(url);
            let n = key.rsplit_once("_1_").and_then(|(_, name)| name.strip_suffix(".txt")).unwrap();
            let text = String::from_utf8(play.objects[&key].bytes.clone()).unwrap();
            assert!(text.starts_with(&format!("content {n} ")), "{key}");
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_instant_every_file_is_stored_once_and_announced() {
    let (dir, sim) = (tempfile::tempdir().unwrap(), server().await);
    let seed = std::env::var("CATCHER_KILL_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(7);
    let mut random = StdRng::seed_from_u64(seed);
    let mut kills = 0;
    while kills < 20 {
        // So slow that the work is never done between two kills.
        sim.fail("PUT", 40, Fault::Slow(Duration::from_millis(15)));
        let mut child = child(dir.path(), &sim, None);
        // It is under way when it has written something since it began.
        let before = sim.count("PUT");
        let begun = async {
            while sim.count("PUT") == before {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            () = begun => {}
            _ = child.wait() => break,
        }
        tokio::time::sleep(Duration::from_micros(random.random_range(0..20_000))).await;
        child.kill().await.unwrap();
        kills += 1;
    }
    let mut last = child(dir.path(), &sim, None);
    tokio::time::timeout(LIMIT, last.wait()).await.expect("it ends in time").unwrap();
    assert!(dir.path().join("ended").exists() && kills >= 10, "{kills} kills");
    let events = announced(dir.path());
    all_is_there(&sim, &events, FILES);
    let twice = events.values().filter(|n| **n > 1).count();
    eprintln!("{kills} kills (CATCHER_KILL_SEED={seed}): {FILES} files, {twice} announced twice");
    // The event that was not noted yet comes again: one for each kill at most.
    let more: usize = events.values().map(|n| n - 1).sum();
    assert!(more <= kills, "{more} events too many after {kills} kills");
}

#[tokio::test]
async fn with_a_full_disk_what_was_taken_is_stored_and_announced_once() {
    let (dir, sim) = (tempfile::tempdir().unwrap(), server().await);
    // The book has room for some of the files only; each file by itself has.
    let mut child = child(dir.path(), &sim, Some(32));
    tokio::time::timeout(LIMIT, child.wait()).await.expect("it ends in time").unwrap();
    let refused: usize = std::fs::read_to_string(dir.path().join("ended")).unwrap().parse().unwrap();
    assert!((50..FILES).contains(&refused), "{refused}");
    let events = announced(dir.path());
    all_is_there(&sim, &events, FILES - refused);
    assert!(events.values().all(|n| *n == 1), "{events:?}");
}
