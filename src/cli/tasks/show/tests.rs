//! A camera of 189 detectors on the terminal.

use super::*;
use crate::tasks::state::TaskState;

fn told(step: &str, state: TaskState, error: &str) -> Told {
    let over = state.is_final();
    Told {
        task_id: "0123456789abcdef".into(),
        rule: "Camera".into(),
        step: step.into(),
        state: state.value(),
        attempt: 1,
        backend: "command".into(),
        backend_id: String::new(),
        parent: String::new(),
        started: 1.8e9,
        finished: if over { 1.8e9 + 2.5 } else { 0.0 },
        severity: 1,
        result: String::new(),
        report_url: String::new(),
        error: error.into(),
    }
}

/// 189 items, of which 120 have ended, 3 of these badly, and 16 are under way.
fn camera() -> Run {
    let mut run = Run::default();
    run.take(told("", TaskState::Running, ""));
    run.take(told("isr", TaskState::Running, ""));
    run.take(told("sum", TaskState::Pending, ""));
    for i in 0..189 {
        let (state, error) = match i {
            17 | 18 | 100 => (TaskState::Failed, "no flat"),
            0..120 => (TaskState::Succeeded, ""),
            120..136 => (TaskState::Running, ""),
            _ => (TaskState::Pending, ""),
        };
        run.take(told(&format!("isr[{i}]"), state, error));
    }
    run
}

fn shown(run: &Run, items: bool) -> String {
    let mut out = Vec::new();
    one(run, items, false, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_camera_is_shown_in_a_few_lines() {
    let run = camera();
    assert_eq!(run.progress(), "0/2, isr 120/189");
    let text = shown(&run, false);
    assert!(text.contains("120/189 done, 3 failed, 16 running"), "{text}");
    assert!(text.lines().count() < 12 && text.contains("isr[100]") && !text.contains("isr[1] "), "{text}");
    assert_eq!(shown(&run, true).matches("isr[").count(), 189);
    let mut out = Vec::new();
    list([&run].into_iter(), false, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.contains("0/2, isr 120/189") && text.lines().count() == 2, "{text}");
}

#[test]
fn many_that_fail_are_counted() {
    let mut run = camera();
    for i in 0..100 {
        run.take(told(&format!("isr[{i}]"), TaskState::TimedOut, "late"));
    }
    let text = shown(&run, false);
    assert_eq!(text.matches("isr[").count(), ITEMS);
    assert!(text.contains("and 81 more that failed: --items shows all"), "{text}");
}

#[test]
fn whoever_follows_a_camera_reads_a_dozen_lines() {
    let mut run = Run::default();
    run.take(told("isr", TaskState::Running, ""));
    let mut lines = Vec::new();
    for state in [TaskState::Pending, TaskState::Running] {
        for i in 0..189 {
            let told = told(&format!("isr[{i}]"), state, "");
            run.take(told.clone());
            lines.extend(change(&run, &told, false));
        }
    }
    assert_eq!(lines, Vec::<String>::new());
    for i in 0..189 {
        let told = match i {
            42 => told("isr[42]", TaskState::Failed, "no flat\nof that filter"),
            i => told(&format!("isr[{i}]"), TaskState::Succeeded, ""),
        };
        run.take(told.clone());
        lines.extend(change(&run, &told, false));
    }
    assert_eq!(lines.len(), 11, "{lines:#?}");
    assert!(
        lines[2].ends_with("Camera failed isr[42] (43/189 done, 1 failed, 146 running): no flat"),
        "{}",
        lines[2]
    );
    assert!(lines[10].ends_with("Camera isr: 189/189 done, 1 failed"), "{}", lines[10]);
    assert_eq!(
        change(&run, &told("sum", TaskState::Running, ""), false).unwrap().split("  ").last(),
        Some("0123456789abcdef Camera running sum")
    );
}
