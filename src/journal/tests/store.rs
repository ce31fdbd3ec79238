//! Everyday use.

use std::fs;

use serde_json::json;

use super::{Entries, appends, entries, fold, open};
use crate::journal::file::OpenError;
use crate::journal::{FileJournal, Journal, Record};

#[test]
fn what_was_appended_is_there_again() {
    let dir = tempfile::tempdir().unwrap();
    let nested = dir.path().join("deep/state");
    let (mut journal, recovered) = open(&nested);
    assert_eq!(recovered, Default::default());
    let mut model = Entries::new();
    for records in appends() {
        journal.append(&records).unwrap();
        fold(&mut model, &records);
    }
    journal.append(&[]).unwrap();
    drop(journal);
    for _ in 0..2 {
        let (_, recovered) = open(&nested);
        assert_eq!((recovered.entries, recovered.torn_bytes), (model.clone(), 0));
    }
}

#[test]
fn one_process_has_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, _) = open(dir.path());
    let refused = FileJournal::open(dir.path()).unwrap_err();
    assert!(matches!(refused, OpenError::Locked { .. }));
    assert!(refused.to_string().contains(&format!("process {}", std::process::id())), "{refused}");
    drop(journal);
    FileJournal::open(dir.path()).unwrap();
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let path = dir.path().join("file/state");
    let refused = FileJournal::open(&path).unwrap_err();
    assert!(matches!(refused, OpenError::Io { .. }));
    assert_eq!(refused.to_string(), format!("journal {}: cannot make the folder", path.display()));
}

#[test]
fn garbage_is_compacted_away() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = FileJournal::open_with(dir.path(), 10_000).unwrap();
    let mut model = Entries::new();
    let first = journal.segment();
    let mut largest = 0;
    for i in 0..2_000 {
        let records =
            [Record::put(format!("run/{}", i % 7), json!({"step": i})), Record::put("positions", json!(i))];
        journal.append(&records).unwrap();
        fold(&mut model, &records);
        largest = largest.max(journal.size().0);
    }
    assert!(largest < 11_000, "{largest}");
    assert_ne!(journal.segment(), first);
    let (size, live) = journal.size();
    assert_eq!(fs::metadata(journal.segment()).unwrap().len(), size);
    assert!(live <= size);
    drop(journal);
    assert_eq!(entries(dir.path()), model);
    let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "the lock and one segment: {names:?}");
}

#[test]
fn live_data_alone_is_not_compacted() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = FileJournal::open_with(dir.path(), 1_000).unwrap();
    let first = journal.segment();
    for i in 0..500 {
        journal.append(&[Record::put(format!("run/{i}"), json!({"state": "x".repeat(i % 50)}))]).unwrap();
    }
    assert_eq!(journal.segment(), first);
    let (size, live) = journal.size();
    assert!(size - live < size / 10, "{size} {live}");
    for i in 0..500 {
        journal.append(&[Record::delete(format!("run/{i}"))]).unwrap();
    }
    assert!(journal.size().0 < 1_500 && journal.size().1 < 1_000);
    drop(journal);
    assert_eq!(entries(dir.path()), Entries::new());
}

#[test]
fn numbers_come_back_to_the_last_bit() {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path());
    let numbers: Vec<f64> = (0..2_000).map(|i| 1_900_000_000.0 + f64::from(i) * 0.123_456_789).collect();
    journal.append(&[Record::put("numbers", json!(numbers))]).unwrap();
    drop(journal);
    let read: Vec<f64> = serde_json::from_value(entries(dir.path())["numbers"].clone()).unwrap();
    assert_eq!(read, numbers);
}
