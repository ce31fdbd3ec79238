//! The history beside the journal: order, crashes at every byte, damage, limits.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use proptest::prelude::*;
use serde_json::json;

use crate::journal::history_read::{list, path_of};
use crate::journal::{Entry, History, HistoryRead, Keep, read_history};

fn entry(id: u64, at: f64, size: usize) -> Entry {
    Entry::of(json!({"id": id, "at": at, "text": "x".repeat(size)})).unwrap()
}

fn entries(ids: std::ops::Range<u64>) -> Vec<Entry> {
    ids.map(|id| entry(id, id as f64, 10)).collect()
}

fn read_from(dir: &Path, from: f64) -> (Vec<u64>, HistoryRead) {
    let mut ids = Vec::new();
    let read = read_history(dir, from, |entry| {
        ids.push(entry.id);
        ControlFlow::Continue(())
    });
    (ids, read.unwrap())
}

fn ids(dir: &Path) -> Vec<u64> {
    read_from(dir, f64::NEG_INFINITY).0
}

#[test]
fn what_was_appended_is_there_in_order_also_after_opening_again() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let mut history = History::open(dir.path(), None).unwrap();
        assert_eq!(history.next(), 1 + 10 * round);
        history.append(&entries(history.next()..history.next() + 4)).unwrap();
        history.append(&[]).unwrap();
        history.append(&entries(history.next()..history.next() + 6)).unwrap();
        assert_eq!(ids(dir.path()).last(), Some(&(10 * round + 10)), "also while it is open");
    }
    assert_eq!(ids(dir.path()), (1..31).collect::<Vec<_>>());
    assert_eq!(read_from(dir.path(), 17.0).0, (17..31).collect::<Vec<_>>());
    let mut first = None;
    let stopped = read_history(dir.path(), 5.0, |entry| {
        first = Some(entry.id);
        ControlFlow::Break(())
    });
    assert_eq!((first, stopped.unwrap().entries), (Some(5), 1));
}

/// Wherever the machine stops within an append: what was there before is there, and the next append goes on.
#[test]
fn a_tail_that_is_cut_anywhere_leaves_a_valid_prefix() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::open(dir.path(), None).unwrap();
    history.append(&entries(1..3)).unwrap();
    let path = path_of(dir.path(), 1);
    let before = fs::metadata(&path).unwrap().len() as usize;
    history.append(&entries(3..5)).unwrap();
    drop(history);
    let whole = fs::read(&path).unwrap();
    for len in 0..whole.len() {
        fs::write(&path, &whole[..len]).unwrap();
        let seen = ids(dir.path());
        let good: &[u64] = if len < before { &[] } else { &[1, 2] };
        assert_eq!(seen, good, "cut to {len} of {} bytes", whole.len());
        let mut history = History::open(dir.path(), Some(3)).unwrap();
        assert_eq!(history.next(), 3);
        history.append(&entries(3..4)).unwrap();
        assert_eq!(ids(dir.path()), [good, &[3]].concat());
    }
}

#[test]
fn what_was_not_confirmed_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::open(dir.path(), None).unwrap();
    for first in [1, 4, 7] {
        history.append(&entries(first..first + 3)).unwrap();
    }
    drop(history);
    let mut history = History::open(dir.path(), Some(7)).unwrap();
    assert_eq!((history.next(), ids(dir.path()).len()), (7, 6));
    // A second try of an append that was there already, and one that goes beyond it.
    history.append(&entries(5..7)).unwrap();
    history.append(&entries(5..9)).unwrap();
    assert_eq!(ids(dir.path()), (1..9).collect::<Vec<_>>());
}

/// The size that all segments have, and the numbers of those that are there.
fn files(dir: &Path) -> (u64, Vec<u64>) {
    let numbers = list(dir).unwrap();
    (numbers.iter().map(|n| fs::metadata(path_of(dir, *n)).unwrap().len()).sum(), numbers)
}

#[test]
fn it_never_grows_beyond_what_is_kept_and_the_newest_stay() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::open(dir.path(), None).unwrap();
    let keep = Keep { days: 1000.0, bytes: 300_000 };
    history.keep(keep);
    let mut most = 0;
    for id in 1..3000 {
        history.append(&[entry(id, id as f64, 200)]).unwrap();
        let (bytes, _) = files(dir.path());
        assert_eq!(bytes, history.bytes());
        most = most.max(bytes);
    }
    assert!((200_000..=keep.bytes).contains(&most), "{most}");
    let left = ids(dir.path());
    assert_eq!(left, (left[0]..3000).collect::<Vec<_>>(), "no gap");
    assert!(left[0] > 1 && files(dir.path()).1.len() > 2);
    // Opened again it knows all of its segments, and less may be kept.
    drop(history);
    let mut history = History::open(dir.path(), Some(3000)).unwrap();
    assert_eq!(history.bytes(), files(dir.path()).0);
    history.keep(Keep { bytes: 100_000, ..keep });
    assert!(history.bytes() <= 100_000, "{}", history.bytes());
    assert_eq!(ids(dir.path()).last(), Some(&2999));
}

#[test]
fn what_is_too_old_is_forgotten_and_nothing_before_its_time() {
    const HOUR: f64 = 3600.0;
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::open(dir.path(), None).unwrap();
    history.keep(Keep { days: 4.0, bytes: 1 << 30 });
    for hour in 1..400u64 {
        history.append(&[entry(hour, hour as f64 * HOUR, 10)]).unwrap();
        let left = ids(dir.path());
        let age = (hour - left[0]) as f64;
        // Four days are 96 hours, and a segment has 3 of them.
        assert!(age <= 96.0 + 4.0, "at hour {hour} there is one of {age} hours");
        assert!(left[0] == 1 || age >= 96.0, "at hour {hour} the oldest is of {age} hours");
    }
}

#[test]
fn without_a_limit_nothing_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::open(dir.path(), None).unwrap();
    history.append(&[entry(1, 0.0, 10)]).unwrap();
    history.append(&[entry(2, 1e9, 10)]).unwrap();
    history.append(&[entry(3, 2e9, 10)]).unwrap();
    assert_eq!(ids(dir.path()), [1, 2, 3]);
    assert_eq!(files(dir.path()).1.len(), 3, "each is in its own stretch of time");
    history.keep(Keep::default());
    assert_eq!(ids(dir.path()), [2, 3], "the last but one is not known to be too old");
}

#[test]
fn a_bad_spot_is_passed_over_told_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::open(dir.path(), None).unwrap();
    for id in 1..5 {
        history.append(&[entry(id, id as f64, 50)]).unwrap();
    }
    drop(history);
    let path = path_of(dir.path(), 1);
    let mut bytes = fs::read(&path).unwrap();
    let line = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').nth(1).unwrap().0;
    bytes[line + 40] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let mut history = History::open(dir.path(), Some(5)).unwrap();
    assert_eq!(history.next(), 5);
    history.append(&[entry(5, 5.0, 50)]).unwrap();
    let (ids, read) = read_from(dir.path(), f64::NEG_INFINITY);
    assert_eq!(ids, [1, 3, 4, 5]);
    assert_eq!(read.segments, 2);
    assert!(read.damaged_bytes > 50, "{read:?}");
    assert_eq!(fs::read(&path).unwrap(), bytes, "nothing of it was changed");
    // A file that is none of ours is left alone, too.
    fs::write(path_of(dir.path(), 7), "something else").unwrap();
    let history = History::open(dir.path(), Some(6)).unwrap();
    assert_eq!((history.next(), files(dir.path()).1), (6, vec![1, 2, 7, 8]));
}

#[test]
fn a_large_append_is_several_frames_and_one_step() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::open(dir.path(), None).unwrap();
    let all: Vec<Entry> = (1..301).map(|id| entry(id, 1.0, 10_000)).collect();
    history.append(&entries(1..2)).unwrap();
    history.append(&all).unwrap();
    drop(history);
    assert_eq!(ids(dir.path()).len(), 300);
    let frames = fs::read(path_of(dir.path(), 1)).unwrap().iter().filter(|b| **b == b'\n').count();
    assert_eq!(frames, 5, "the head, the first append, three megabytes");
    drop(History::open(dir.path(), Some(2)).unwrap());
    assert_eq!(ids(dir.path()), [1], "all of them are taken back");
}

#[test]
fn a_full_disk_leaves_it_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::open(dir.path(), None).unwrap();
    history.append(&entries(1..3)).unwrap();
    // The next segment's temporary name is taken by a folder: it cannot be made.
    fs::create_dir(dir.path().join("history.tmp")).unwrap();
    history.keep(Keep { days: 1.0, bytes: 1 << 20 });
    let much_later = entry(3, 1e9, 10);
    history.append(std::slice::from_ref(&much_later)).unwrap_err();
    assert_eq!((ids(dir.path()), history.next()), (vec![1, 2], 3));
    fs::remove_dir(dir.path().join("history.tmp")).unwrap();
    history.append(&[much_later]).unwrap();
    assert_eq!(ids(dir.path()).last(), Some(&3));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Appends of any size, crashes with and without the journal's confirmation, limits: what is read is always in order,
    /// without gaps from its first number on, and ends with what was confirmed last.
    #[test]
    fn it_is_always_a_chain_that_ends_with_what_was_confirmed(
        steps in proptest::collection::vec((1..40u64, 0..2000usize, 0..4u8, 0.0..40_000.0f64), 1..60)
    ) {
        let dir = tempfile::tempdir().unwrap();
        let keep = Keep { days: 3.0, bytes: 200_000 };
        let mut history = History::open(dir.path(), None).unwrap();
        let (mut confirmed, mut now, mut kept) = (1, 0.0, false);
        for (count, size, what, gap) in steps {
            now += gap;
            let new: Vec<Entry> = (confirmed..confirmed + count).map(|id| entry(id, now, size)).collect();
            history.append(&new).unwrap();
            if kept {
                prop_assert!(history.bytes() <= keep.bytes + 90_000, "{}", history.bytes());
            }
            if what > 0 {
                confirmed += count;
            }
            if what < 2 {
                drop(history);
                kept = false;
                history = History::open(dir.path(), Some(confirmed)).unwrap();
                prop_assert_eq!(history.next(), confirmed);
            }
            if what == 3 {
                history.keep(keep);
                kept = true;
            }
            let seen = ids(dir.path());
            let first = seen.first().copied().unwrap_or(confirmed);
            prop_assert_eq!(&seen, &(first..confirmed).collect::<Vec<_>>());
            if what > 0 {
                prop_assert!(!seen.is_empty(), "the newest is never forgotten");
            }
            prop_assert_eq!(files(dir.path()).0, history.bytes());
        }
    }
}
