//! A real process that is killed, or finds its disk full.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::entries;
use crate::journal::{FileJournal, Journal, Record};

const DIR: &str = "CATCHER_TEST_JOURNAL";
const JOB: &str = "CATCHER_TEST_JOURNAL_JOB";

/// What the child processes of the tests below run. By itself it does nothing.
#[test]
fn child_process() {
    let (Ok(dir), Ok(job)) = (std::env::var(DIR), std::env::var(JOB)) else { return };
    let (mut journal, recovered) = FileJournal::open_with(Path::new(&dir), 20_000).unwrap();
    let first = recovered.entries.get("last").map_or(0, |last| last.as_u64().unwrap() + 1);
    match job.as_str() {
        "append" => {
            for n in first.. {
                let records = [
                    Record::put(format!("number/{n}"), json!(n)),
                    Record::put("last", json!(n)),
                    Record::put("other", json!("x".repeat(300))),
                ];
                journal.append(&records).unwrap();
                println!("acknowledged {n}");
            }
        }
        "fill" => fill(&mut journal),
        other => panic!("unknown job {other}"),
    }
}

/// Appends until the disk is full, makes room, and goes on.
fn fill(journal: &mut FileJournal) {
    let before_garbage = journal.segment();
    let mut full = 0;
    let mut appended = 0;
    for n in 0..400 {
        let size = journal.size();
        match journal.append(&[Record::put(format!("number/{n}"), json!("x".repeat(500)))]) {
            Ok(()) => {
                println!("acknowledged {n}");
                appended += 1;
            }
            Err(error) => {
                full += 1;
                assert_eq!(journal.size(), size, "a failed append leaves the journal as it was: {error}");
                let len = std::fs::metadata(journal.segment()).unwrap().len();
                assert_eq!(len, size.0, "and the file too");
            }
        }
    }
    assert!(full > 100 && appended > 50, "{full} {appended}");
    assert_eq!(journal.segment(), before_garbage);
    // A smaller record still fits, and the journal goes on.
    journal.append(&[Record::put("small", json!(1))]).unwrap();
    println!("acknowledged small");
}

fn child(dir: &Path, job: &str, limit_blocks: Option<u32>) -> Child {
    let exe = std::env::current_exe().unwrap();
    let mut command = match limit_blocks {
        // A file that grows beyond the limit gives an error (EFBIG) once the signal is ignored.
        Some(blocks) => {
            let mut shell = Command::new("sh");
            shell.arg("-c").arg(format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"")).arg(exe);
            shell
        }
        None => Command::new(exe),
    };
    command
        .args(["--exact", "journal::tests::crash::child_process", "--nocapture", "--test-threads=1"])
        .env(DIR, dir)
        .env(JOB, job)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The acknowledgement in a line of the child's output, which shares its first line with the test harness.
fn acknowledged(line: &str) -> Option<&str> {
    line.split_once("acknowledged ").map(|(_, what)| what.trim())
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut last = None;
    for round in 0..20u64 {
        let mut child = child(dir.path(), "append", None);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        for line in lines {
            let line = line.unwrap();
            let Some(number) = acknowledged(&line) else { continue };
            last = Some(number.parse::<u64>().unwrap());
            seen += 1;
            if seen == 3 + round * 5 {
                // In the middle of what comes next; what it acknowledges until it is dead is read too.
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(seen >= 3 + round * 5, "round {round}: the child ended after {seen}");
        let recovered = entries(dir.path());
        let last = last.unwrap();
        let stored = recovered["last"].as_u64().unwrap();
        assert!(stored >= last, "round {round}: {last} was acknowledged, {stored} is stored");
        assert!(stored <= last + 1, "round {round}: {stored} is stored, only {last} was acknowledged");
        for n in 0..=stored {
            assert_eq!(recovered[&format!("number/{n}")], n, "round {round}");
        }
        assert_eq!(recovered.len() as u64, stored + 3, "an append is there whole or not at all");
    }
    assert!(last.unwrap() > 900, "the rounds went on from each other");
}

#[test]
fn a_full_disk_is_told_and_survived() {
    let dir = tempfile::tempdir().unwrap();
    let out = child(dir.path(), "fill", Some(100)).wait_with_output().unwrap();
    let (text, errors) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{text}\n{errors}");
    let recovered = entries(dir.path());
    let mut numbers = 0;
    for what in text.lines().filter_map(acknowledged) {
        let key = if what == "small" { "small".to_owned() } else { format!("number/{what}") };
        assert!(recovered.contains_key(&key), "{key} was acknowledged");
        numbers += 1;
    }
    assert_eq!(recovered.len(), numbers, "and nothing else is there");
    assert!(recovered.contains_key("small"));
}

#[test]
fn a_compaction_without_room_costs_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = FileJournal::open_with(dir.path(), u64::MAX).unwrap();
    journal.append(&[Record::put("a", json!(1))]).unwrap();
    // The next segment's temporary name is taken by a folder: it cannot be written.
    let blocked = dir.path().join("journal-000002.tmp");
    std::fs::create_dir(&blocked).unwrap();
    let segment = journal.segment();
    journal.compact().unwrap_err();
    assert_eq!(journal.segment(), segment);
    // Nothing may be appended while something unknown could outrank this segment.
    journal.append(&[Record::put("b", json!(2))]).unwrap_err();
    std::fs::remove_dir(&blocked).unwrap();
    journal.append(&[Record::put("c", json!(3))]).unwrap();
    journal.compact().unwrap();
    assert_ne!(journal.segment(), segment);
    drop(journal);
    assert_eq!(entries(dir.path()).into_keys().collect::<Vec<_>>(), ["a", "c"]);
}
