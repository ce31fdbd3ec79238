//! `foreach`, `on_failure`, `for_failure`.

use super::*;
use crate::tasks::plan::{AllowFailures, ForEach, OnFailure};

/// "all" for each of `n` items, and "after" it.
fn fanned(n: usize, max_parallel: usize, allow_failures: AllowFailures) -> TestPlan {
    let mut p = plan(&[("all", &[]), ("after", &["all"])]);
    p.steps[0].foreach = Some(ForEach { max_parallel, allow_failures });
    p.items.insert("all", (0..n).map(|n| json!(n * 10)).collect());
    p
}

const NONE: AllowFailures = AllowFailures::Number(0);

#[test]
fn each_item_is_a_step_and_their_results_are_a_list() {
    let mut b = Bench::started(fanned(5, 2, NONE));
    assert_eq!(b.dispatched(), ["all[0]/1", "all[1]/1"]);
    assert_eq!((b.step("all").state, b.step("after").state), (TaskState::Running, TaskState::Pending));
    assert_eq!(b.step("all[1]").params, json!({"step": "all", "item": 10, "index": 1}));
    b.ok("all[1]");
    assert_eq!(b.dispatched(), ["all[2]/1"], "one more may begin");
    for name in ["all[0]", "all[3]", "all[2]", "all[4]"] {
        b.ok(name);
    }
    assert_eq!(b.step("all").state, TaskState::Succeeded);
    assert_eq!(b.dispatched(), ["after/1"]);
    let result = &b.run.context.tasks["all"]["result"];
    assert_eq!((&result["n"], &result["succeeded"], &result["failed"]), (&json!(5), &json!(5), &json!(0)));
    assert_eq!(result["results"][3], json!({"of": "all[3]"}));
    assert!(!b.run.context.tasks.contains_key("all[3]"));
    b.ok("after");
    assert_eq!(b.run.state, TaskState::Succeeded);
}

#[test]
fn a_retry_of_an_item_keeps_to_the_limit_and_gives_its_place_up_meanwhile() {
    let mut b = Bench::started(fanned(3, 1, NONE));
    b.err("all[0]", StepError::transient("busy"));
    assert_eq!(b.dispatched(), ["all[1]/1"]);
    b.tick(1010.0);
    assert!(b.dispatched().is_empty(), "the place is taken");
    b.ok("all[1]");
    assert_eq!(b.dispatched(), ["all[0]/2"], "the first that waits");
    b.ok("all[0]");
    b.ok("all[2]");
    assert_eq!(b.step("all").state, TaskState::Succeeded);
}

#[test]
fn so_many_may_fail_and_no_more() {
    let ten = AllowFailures::Part(0.1);
    let table = [
        (9, NONE, 0, TaskState::Succeeded),
        (9, NONE, 1, TaskState::Failed),
        (9, ten, 1, TaskState::Failed),
        (20, ten, 2, TaskState::Succeeded),
        (20, ten, 3, TaskState::Failed),
        (4, AllowFailures::Number(3), 3, TaskState::Succeeded),
        (0, NONE, 0, TaskState::Succeeded),
    ];
    for (n, allow, failures, state) in table {
        let mut b = Bench::started(fanned(n, 100, allow));
        for i in 0..n {
            let name = format!("all[{i}]");
            if i < failures { b.err(&name, StepError::permanent("no data")) } else { b.ok(&name) }
        }
        assert_eq!(b.step("all").state, state, "{failures} of {n}");
        let result = &b.step("all").result;
        assert_eq!(result["failed"], json!(failures));
        if failures > 0 {
            assert_eq!(result["errors"]["0"], "no data");
            assert_eq!(result["results"][0], Value::Null);
        }
        let after = if state == TaskState::Succeeded { TaskState::Pending } else { TaskState::Skipped };
        assert_eq!(b.step("after").state, after);
    }
}

#[test]
fn a_cancel_ends_the_items_that_wait_and_awaits_those_under_way() {
    let mut b = Bench::started(fanned(4, 2, NONE));
    b.take(RunEvent::Cancel { reason: "not needed".into() }).unwrap();
    assert_eq!(b.aborted(), ["all[0]", "all[1]"]);
    assert_eq!(b.step("all[2]").state, TaskState::Aborted);
    assert_eq!(b.step("all").state, TaskState::Running);
    b.err("all[0]", StepError::aborted("not needed"));
    b.ok("all[1]");
    assert_eq!((b.step("all").state, b.run.state), (TaskState::Aborted, TaskState::Aborted));
    assert_eq!(b.step("all").result["succeeded"], 1);
}

#[test]
fn no_list_and_too_long_a_list_fail_the_step() {
    let mut p = fanned(0, 1, NONE);
    p.items.clear();
    let b = Bench::started(p);
    assert_eq!((b.step("all").state, b.step("all").error.as_str()), (TaskState::Failed, "no list"));
    let b = Bench::started(fanned(super::super::fan::MOST_ITEMS + 1, 1, NONE));
    assert!(b.step("all").error.contains("1001 items"), "{}", b.step("all").error);
}

#[test]
fn a_whole_focal_plane_in_one_run() {
    let mut b = Bench::started(fanned(189, 189, AllowFailures::Number(2)));
    assert_eq!(b.dispatched().len(), 189);
    for i in 0..189 {
        b.report(&format!("all[{i}]"), 1, StepReportKind::Started).unwrap();
    }
    for i in (0..189).rev() {
        let name = format!("all[{i}]");
        if i % 100 == 3 { b.err(&name, StepError::permanent("no data")) } else { b.ok(&name) }
    }
    assert_eq!(b.step("all").state, TaskState::Succeeded);
    assert_eq!(b.step("all").result["results"].as_array().unwrap().len(), 189);
    // The journal has the items apart: what is written at each change does not grow with them.
    let written = serde_json::to_value(&b.run).unwrap();
    assert_eq!(written["steps"].as_array().unwrap().len(), 2);
}

#[test]
fn a_step_that_may_fail_does_not_hold_up_others() {
    let mut p = plan(&[("a", &[]), ("b", &["a"])]);
    p.steps[0].on_failure = OnFailure::Continue;
    let mut b = Bench::started(p);
    b.err("a", StepError::permanent("no"));
    assert_eq!(b.dispatched(), ["b/1"]);
    b.ok("b");
    assert_eq!((b.step("a").state, b.run.state), (TaskState::Failed, TaskState::Succeeded));
    assert_eq!(b.run.error, "");
}

#[test]
fn a_step_whose_failure_stops_the_run_leaves_only_what_is_there_for_failures() {
    let mut p = plan(&[("a", &[]), ("b", &[]), ("c", &["b"]), ("mend", &[])]);
    p.steps[0].on_failure = OnFailure::Stop;
    p.steps[3].for_failure = true;
    let mut b = Bench::started(p);
    assert_eq!(b.dispatched(), ["a/1", "b/1"]);
    b.err("a", StepError::permanent("no"));
    assert_eq!((b.aborted(), b.step("c").state), (vec!["b".to_owned()], TaskState::Aborted));
    assert!(b.dispatched().is_empty(), "b is awaited");
    b.err("b", StepError::aborted("step a failed"));
    assert_eq!(b.dispatched(), ["mend/1"]);
    b.ok("mend");
    assert_eq!(
        (b.run.state, b.run.error.as_str()),
        (TaskState::Failed, "a: no; b: step a failed; c: step a failed")
    );
}

#[test]
fn what_is_there_for_failures_is_skipped_without_one() {
    for (fails, lenient, mended) in [(false, false, false), (true, false, true), (true, true, false)] {
        let mut p = plan(&[("mend", &[]), ("a", &[]), ("b", &["a"])]);
        p.steps[0].for_failure = true;
        if lenient {
            p.steps[1].on_failure = OnFailure::Continue;
        }
        let mut b = Bench::started(p);
        if fails {
            b.err("a", StepError::permanent("no"))
        } else {
            b.ok("a")
        }
        if !fails || lenient {
            b.ok("b");
        }
        let state = if mended { TaskState::Pending } else { TaskState::Skipped };
        assert_eq!(b.step("mend").state, state, "{fails} {lenient}");
        assert_eq!(b.dispatched().contains(&"mend/1".to_owned()), mended);
    }
}
