//! Files that are not as they were written.

use std::fs;
use std::path::Path;

use super::{Entries, appends, fold, open};
use crate::journal::file::OpenError;
use crate::journal::frame::{self, HEADER};
use crate::journal::{FileJournal, Journal, Record};

/// The bytes of a small journal, and after how many bytes each of its states is whole.
fn small() -> (Vec<u8>, Vec<(usize, Entries)>) {
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = open(dir.path());
    let mut model = Entries::new();
    let mut states = vec![(HEADER.len(), model.clone())];
    for records in appends() {
        journal.append(&records).unwrap();
        fold(&mut model, &records);
        states.push((usize::try_from(journal.size().0).unwrap(), model.clone()));
    }
    (fs::read(journal.segment()).unwrap(), states)
}

fn with_segment(dir: &Path, bytes: &[u8]) -> Result<(FileJournal, crate::journal::Recovered), OpenError> {
    fs::write(dir.join("journal-000001.log"), bytes).unwrap();
    FileJournal::open_with(dir, u64::MAX)
}

#[test]
fn a_journal_cut_at_any_byte_gives_its_longest_whole_beginning() {
    let (bytes, states) = small();
    for cut in 0..=bytes.len() {
        let dir = tempfile::tempdir().unwrap();
        let (mut journal, recovered) = with_segment(dir.path(), &bytes[..cut]).unwrap();
        let whole = states.iter().rev().find(|(end, _)| *end <= cut);
        let (end, expected) = whole.map_or((0, Entries::new()), |(end, model)| (*end, model.clone()));
        assert_eq!(recovered.entries, expected, "cut at {cut}");
        assert_eq!(recovered.torn_bytes, (cut - end) as u64, "cut at {cut}");
        // And it goes on from there (not tried at every byte: each append waits for the disk).
        if cut % 7 != 0 {
            continue;
        }
        let record = [Record::put("after", serde_json::json!(cut))];
        journal.append(&record).unwrap();
        drop(journal);
        let mut expected = expected;
        fold(&mut expected, &record);
        let (_, recovered) = open(dir.path());
        assert_eq!((recovered.entries, recovered.torn_bytes), (expected, 0), "cut at {cut}");
    }
}

#[test]
fn a_tail_of_zeros_or_rubbish_is_torn() {
    let (bytes, states) = small();
    let rubbish =
        [vec![0; 4096], b"0000".to_vec(), b"deadbeef 6 99999999999999999999 [".to_vec(), b"\n\n\n".to_vec()];
    for tail in rubbish {
        let dir = tempfile::tempdir().unwrap();
        let (_, recovered) = with_segment(dir.path(), &[&bytes[..], &tail].concat()).unwrap();
        assert_eq!(recovered.entries, states.last().unwrap().1);
        assert_eq!(recovered.torn_bytes, tail.len() as u64);
    }
}

#[test]
fn a_flipped_bit_is_never_taken_for_data() {
    let (bytes, states) = small();
    let (last, before_last) = &states[states.len() - 2];
    for at in 0..bytes.len() {
        let frame = states.iter().rev().find(|(end, _)| *end <= at).map_or(0, |(end, _)| *end);
        for bit in 0..8 {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1 << bit;
            match frame::scan(&bytes) {
                Err(damage) => {
                    assert!(at < *last, "byte {at}: what may be a torn append is no damage");
                    assert_eq!(damage.offset, frame, "byte {at}: {}", damage.reason);
                }
                Ok(scan) => {
                    assert!(at >= *last, "byte {at} bit {bit}: went unnoticed");
                    let mut entries = Entries::new();
                    scan.frames.iter().for_each(|frame| fold(&mut entries, &frame.records));
                    assert_eq!((&entries, scan.good), (before_last, *last));
                }
            }
        }
    }
}

#[test]
fn damage_is_told_and_the_file_is_left_alone() {
    let (mut bytes, states) = small();
    bytes[states[2].0 + 15] ^= 1;
    let dir = tempfile::tempdir().unwrap();
    match with_segment(dir.path(), &bytes).unwrap_err() {
        OpenError::Damaged { file, offset, reason } => {
            assert_eq!(file, dir.path().join("journal-000001.log"));
            assert_eq!(offset, states[2].0 as u64);
            assert!(
                reason.starts_with("the checksum is wrong, but a whole frame follows at byte"),
                "{reason}"
            );
            assert_eq!(fs::read(file).unwrap(), bytes);
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_missing_or_doubled_frame_is_damage() {
    let (bytes, states) = small();
    let (a, b) = (states[1].0, states[2].0);
    let missing = [&bytes[..a], &bytes[b..]].concat();
    let doubled = [&bytes[..b], &bytes[a..]].concat();
    for (bytes, offset) in [(missing, a), (doubled, b)] {
        let dir = tempfile::tempdir().unwrap();
        let error = with_segment(dir.path(), &bytes).unwrap_err();
        assert!(error.to_string().contains(&format!("damaged at byte {offset}: frame ")), "{error}");
        assert!(error.to_string().contains("Restore the file from a copy"), "{error}");
    }
}

#[test]
fn a_file_of_another_kind_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let error = with_segment(dir.path(), b"catcher journal 2\n").unwrap_err();
    assert!(
        error.to_string().contains("damaged at byte 0: the first line is not \"catcher journal 1\""),
        "{error}"
    );
}

#[test]
fn leftovers_of_a_compaction_do_not_count() {
    let (bytes, states) = small();
    let last = &states.last().unwrap().1;

    // Crashed while the new segment was being written, at several places.
    for cut in [0, 5, HEADER.len(), bytes.len() / 2, bytes.len()] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("journal-000002.tmp"), &bytes[..cut]).unwrap();
        let (mut journal, recovered) = with_segment(dir.path(), &bytes).unwrap();
        assert_eq!(&recovered.entries, last);
        assert_eq!(recovered.leftovers, [dir.path().join("journal-000002.tmp")]);
        journal.compact().unwrap();
        drop(journal);
        assert_eq!(&open(dir.path()).1.entries, last);
    }

    // Crashed after the new segment had its name: the old one is worth nothing, even if it is damaged.
    let dir = tempfile::tempdir().unwrap();
    let (mut journal, _) = with_segment(dir.path(), &bytes).unwrap();
    journal.compact().unwrap();
    drop(journal);
    fs::write(dir.path().join("journal-000001.log"), b"rubbish").unwrap();
    let (journal, recovered) = open(dir.path());
    assert_eq!(&recovered.entries, last);
    assert_eq!(recovered.leftovers, [dir.path().join("journal-000001.log")]);
    assert_eq!(journal.segment(), dir.path().join("journal-000002.log"));

    // Crashed while the very first segment was being made.
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("journal-000001.tmp"), b"catcher").unwrap();
    assert_eq!(open(dir.path()).1.entries, Entries::new());
}

#[test]
fn a_damaged_new_segment_does_not_cost_the_old_one() {
    let (bytes, states) = small();
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("journal-000001.log"), &bytes).unwrap();
    let mut damaged = bytes.clone();
    damaged[HEADER.len() + 12] ^= 1;
    fs::write(dir.path().join("journal-000002.log"), &damaged).unwrap();
    let error = FileJournal::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("journal-000002.log"), "{error}");
    fs::remove_file(dir.path().join("journal-000002.log")).unwrap();
    assert_eq!(open(dir.path()).1.entries, states.last().unwrap().1);
}

#[test]
fn other_files_in_the_folder_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["journal-x.log", "journal-000009.bak", "notes.txt", "x.tmp"] {
        fs::write(dir.path().join(name), "mine").unwrap();
    }
    let (journal, recovered) = open(dir.path());
    assert!(recovered.leftovers.is_empty());
    assert_eq!(journal.segment(), dir.path().join("journal-000001.log"));
    assert_eq!(fs::read_to_string(dir.path().join("x.tmp")).unwrap(), "mine");
}
