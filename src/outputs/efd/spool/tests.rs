//! The spool on a real folder: order, restart, torn and damaged files, bounds.

use super::*;
use salobj::{Tai, Value};

fn point(i: i64) -> Point {
    let mut point = Point::sal("Catcher", "logevent_result", Tai::from_utc_unix(1_795_218_000.0 + i as f64));
    point.push("value", &Value::Int(i)).push("text", &Value::Text("line\nend \"é\"".into()));
    point
}

fn points(range: std::ops::Range<i64>) -> Vec<Point> {
    range.map(point).collect()
}

fn open(dir: &Path) -> (Spool, Recovered) {
    Spool::open(dir, SpoolLimits { max_bytes: 100_000, segment_bytes: 1_000 }).unwrap()
}

#[test]
fn points_come_back_in_order_over_segments_and_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, recovered) = open(dir.path());
    assert_eq!(recovered, Recovered::default());
    for i in 0..50 {
        spool.append(&[point(i)]).unwrap();
    }
    assert!(list_segments(dir.path()).unwrap().len() > 3);
    let batch = spool.peek(20, u64::MAX).unwrap();
    assert_eq!(batch.points, points(0..20));
    spool.sent(&batch).unwrap();
    drop(spool);
    let (mut spool, recovered) = open(dir.path());
    assert_eq!(recovered.pending, 30);
    let rest = spool.peek(1000, u64::MAX).unwrap();
    assert_eq!(rest.points, points(20..50));
    spool.sent(&rest).unwrap();
    assert_eq!((spool.pending(), spool.peek(10, u64::MAX).unwrap().points.len()), (0, 0));
    assert_eq!(list_segments(dir.path()).unwrap().len(), 1, "segments that went out are gone");
    spool.append(&[point(50)]).unwrap();
    assert_eq!(spool.peek(10, u64::MAX).unwrap().points, points(50..51));
}

#[test]
fn a_torn_tail_is_cut_wherever_it_is_torn() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(dir.path());
    spool.append(&points(0..3)).unwrap();
    drop(spool);
    let path = path_of(dir.path(), 1);
    let whole = fs::read(&path).unwrap();
    let two = whole.len() / 3 * 2;
    for cut in two..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let (mut spool, recovered) = open(dir.path());
        assert_eq!((recovered.pending, recovered.torn_bytes), (2, (cut - two) as u64), "cut at {cut}");
        spool.append(&[point(9)]).unwrap();
        let values: Vec<Point> = vec![point(0), point(1), point(9)];
        assert_eq!(spool.peek(10, u64::MAX).unwrap().points, values);
    }
}

#[test]
fn a_damaged_line_is_skipped_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(dir.path());
    spool.append(&points(0..3)).unwrap();
    drop(spool);
    let path = path_of(dir.path(), 1);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (spool, recovered) = open(dir.path());
    assert_eq!((recovered.pending, recovered.damaged), (2, 1));
    assert_eq!(spool.peek(10, u64::MAX).unwrap().points, [point(0), point(2)]);
}

#[test]
fn a_lost_mark_sends_everything_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(dir.path());
    spool.append(&points(0..3)).unwrap();
    let batch = spool.peek(2, u64::MAX).unwrap();
    spool.sent(&batch).unwrap();
    drop(spool);
    fs::write(dir.path().join("sent"), b"{\"segm").unwrap();
    assert_eq!(open(dir.path()).1.pending, 3);
}

#[test]
fn a_full_spool_refuses_and_takes_again_when_space_is_free() {
    let dir = tempfile::tempdir().unwrap();
    let limits = SpoolLimits { max_bytes: 3_000, segment_bytes: 500 };
    let (mut spool, _) = Spool::open(dir.path(), limits).unwrap();
    let mut kept = 0;
    let error = loop {
        match spool.append(&[point(kept)]) {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, SpoolError::Full { max_bytes: 3_000, .. }), "{error}");
    assert!(kept > 5 && spool.bytes() <= 3_000);
    assert_eq!(
        spool.peek(1000, u64::MAX).unwrap().points,
        points(0..kept),
        "nothing of the refused one is kept"
    );
    let batch = spool.peek(10, u64::MAX).unwrap();
    spool.sent(&batch).unwrap();
    spool.append(&[point(kept)]).unwrap();
    assert_eq!(spool.pending(), kept as u64 - 10 + 1);
}

#[test]
fn two_processes_cannot_have_one_folder() {
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = open(dir.path());
    assert!(matches!(Spool::open(dir.path(), SpoolLimits::default()), Err(SpoolError::Locked { .. })));
    drop(spool);
    assert!(Spool::open(dir.path(), SpoolLimits::default()).is_ok());
}

#[test]
fn a_batch_is_bounded_by_bytes_but_never_empty() {
    let dir = tempfile::tempdir().unwrap();
    let (mut spool, _) = open(dir.path());
    spool.append(&points(0..10)).unwrap();
    assert_eq!(spool.peek(100, 1).unwrap().points, points(0..1));
    let bytes = spool.bytes();
    assert_eq!(spool.peek(100, bytes / 2).unwrap().points, points(0..5));
}
