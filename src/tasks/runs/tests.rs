use serde_json::Value;

use super::*;
use crate::tasks::call::{StepId, StepOutcome, StepReportKind};
use crate::tasks::run::tests::{header, plan};

fn shared() -> SharedPlan {
    Arc::new(plan(&[("a", &[]), ("b", &["a"])]))
}

/// A journal as the newest value of each key.
#[derive(Default)]
struct Store(BTreeMap<String, Value>);

impl Store {
    fn write(&mut self, runs: &mut Runs) {
        for (key, value) in runs.take_records() {
            match value {
                Some(value) => self.0.insert(key, value),
                None => self.0.remove(&key),
            };
        }
    }

    fn restart(&self, now: f64) -> (Runs, Vec<RunAction>) {
        let mut runs = Runs::new();
        let mut out = Vec::new();
        let bad = runs.import(&self.0, &|_| Some(shared()), Tai(now), &mut out);
        assert_eq!(bad, []);
        (runs, out)
    }
}

fn id(n: usize) -> String {
    format!("{n:016x}")
}

fn start(runs: &mut Runs, n: usize, now: f64, out: &mut Vec<RunAction>) -> bool {
    runs.start(header(&id(n)), RunContext::default(), shared(), Tai(now), out)
}

fn finish(runs: &mut Runs, n: usize, now: f64, out: &mut Vec<RunAction>) {
    for step in ["a", "b"] {
        let id = StepId { run_id: id(n), step: step.to_owned(), attempt: 1 };
        let kind = StepReportKind::Ended(Ok(StepOutcome::default()));
        runs.report(StepReport { id, kind }, Tai(now), out);
    }
}

#[test]
fn an_id_starts_one_run_for_ever_over_restarts() {
    let (mut runs, mut out, mut store) = (Runs::new(), Vec::new(), Store::default());
    assert!(start(&mut runs, 1, 1000.0, &mut out));
    assert!(!start(&mut runs, 1, 1001.0, &mut out));
    finish(&mut runs, 1, 1002.0, &mut out);
    assert!(!start(&mut runs, 1, 1003.0, &mut out));
    for n in 2..40 {
        assert!(start(&mut runs, n, 1000.0 + n as f64, &mut out));
        finish(&mut runs, n, 1000.5 + n as f64, &mut out);
        store.write(&mut runs);
    }
    assert_eq!(runs.finished().count(), KEEP_FINISHED);
    assert!(runs.get(&id(1)).is_none() && runs.knows(&id(1)));
    let (mut again, out2) = store.restart(2000.0);
    assert_eq!(out2, []);
    assert_eq!(again.summary(), runs.summary());
    assert_eq!(again.summary().finished, 39);
    for n in 1..40 {
        assert!(!start(&mut again, n, 2000.0, &mut out), "{n}");
    }
    assert_eq!(
        again.cancel(&id(1), "x", Tai(2000.0), &mut out),
        Err(CancelRefused::Ended { id: id(1), state: TaskState::Succeeded })
    );
}

#[test]
fn the_memory_of_ids_is_bounded_in_the_journal_too() {
    let (mut runs, mut out, mut store) = (Runs::new(), Vec::new(), Store::default());
    for n in 0..KNOWN_IDS + KEEP_FINISHED + 50 {
        out.clear();
        start(&mut runs, n, 1000.0, &mut out);
        finish(&mut runs, n, 1000.0 + n as f64, &mut out);
        store.write(&mut runs);
    }
    let kept = store.0.keys().filter(|k| k.starts_with("run/")).count();
    assert_eq!(kept, KNOWN_IDS + KEEP_FINISHED);
    assert!(!runs.knows(&id(49)) && runs.knows(&id(50)));
}

#[test]
fn waiting_runs_begin_are_skipped_or_cancelled() {
    let (mut runs, mut out) = (Runs::new(), Vec::new());
    for n in 1..=3 {
        assert!(runs.queue(header(&id(n)), RunContext::default(), shared(), &mut out));
    }
    assert!(start(&mut runs, 1, 1001.0, &mut out));
    let reason = "the rule was removed".to_owned();
    assert!(runs.skip(header(&id(2)), RunContext::default(), shared(), reason, Tai(1001.0), &mut out));
    runs.cancel(&id(3), "no", Tai(1001.0), &mut out).unwrap();
    let summary = runs.summary();
    assert_eq!((summary.executing, summary.queued, summary.finished, summary.failed), (1, 0, 2, 0));
    assert_eq!(summary.executing_ids, id(1));
    assert_eq!(summary.finished_ids, format!("{},{}", id(3), id(2)));
    assert_eq!(runs.get(&id(2)).unwrap().state, TaskState::Skipped);
    assert_eq!(runs.cancel("nope", "x", Tai(1.0), &mut out), Err(CancelRefused::Unknown("nope".into())));
}

#[test]
fn a_restart_resumes_what_was_under_way_and_drops_stray_commands() {
    let (mut runs, mut out, mut store) = (Runs::new(), Vec::new(), Store::default());
    start(&mut runs, 1, 1000.0, &mut out);
    runs.queue(header(&id(2)), RunContext::default(), shared(), &mut out);
    store.write(&mut runs);
    let key = |step: &str| format!("command/{}/{step}/1", id(1));
    store.0.insert(key("a"), serde_json::json!({"sent": true}));
    store.0.insert(key("b"), serde_json::json!({"sent": true}));
    let (mut again, out) = store.restart(1100.0);
    assert!(matches!(&out[..], [RunAction::Resume(call)] if call.id.key() == key("a")), "{out:?}");
    assert_eq!(again.get(&id(2)).unwrap().state, TaskState::Pending);
    store.write(&mut again);
    assert!(store.0.contains_key(&key("a")) && !store.0.contains_key(&key("b")));
    // Much later, the trigger of what waited is too old.
    let (mut again, _) = store.restart(1700.0);
    assert_eq!(again.get(&id(2)).unwrap().state, TaskState::Aborted);
    let mut out = Vec::new();
    finish(&mut again, 1, 1701.0, &mut out);
    store.write(&mut again);
    assert!(!store.0.keys().any(|k| k.starts_with("command/")), "{:?}", store.0.keys());
    assert_eq!(store.restart(1800.0).0.summary().finished, 2);
}

#[test]
fn a_record_that_cannot_be_read_is_told_and_harms_no_other() {
    let mut store = Store::default();
    let (mut runs, mut out) = (Runs::new(), Vec::new());
    start(&mut runs, 1, 1000.0, &mut out);
    store.write(&mut runs);
    store.0.insert("run/zz".to_owned(), serde_json::json!({"header": 7}));
    let mut again = Runs::new();
    let bad = again.import(&store.0, &|_| None, Tai(1000.0), &mut out);
    assert_eq!(bad.len(), 1);
    assert_eq!(bad[0].key, "run/zz");
    assert!(again.get(&id(1)).is_some());
}

#[test]
fn deadlines_and_notes_reach_the_runs() {
    let (mut runs, mut out) = (Runs::new(), Vec::new());
    start(&mut runs, 1, 1000.0, &mut out);
    start(&mut runs, 2, 1010.0, &mut out);
    assert_eq!(runs.next_deadline(), Some(Tai(1600.0)));
    runs.tick(Tai(1600.0), &mut out);
    runs.tick(Tai(1720.0), &mut out);
    assert_eq!(runs.get(&id(1)).unwrap().state, TaskState::TimedOut);
    assert_eq!(runs.summary().failed, 1);
    runs.judged(&id(1), 4, Tai(1721.0), &mut out);
    runs.reported(&id(1), "http://r", Tai(1721.0), &mut out);
    let run = runs.get(&id(1)).unwrap();
    assert_eq!((run.severity, run.report_url.as_str()), (4, "http://r"));
    let id = StepId { run_id: id(1), step: "a".into(), attempt: 1 };
    runs.report(StepReport { id, kind: StepReportKind::Started }, Tai(1722.0), &mut out);
    assert_eq!(runs.illegal_reports(), 1);
}
