//! How a run ended, in words.

use super::text::seconds;
use crate::tasks::call::Stop;
use crate::tasks::plan::OnFailure;
use crate::tasks::run::{Run, StepRun};
use crate::tasks::state::TaskState;

/// Why the run ended as it did; empty if all its steps succeeded, and for what is only there for failures.
pub(super) fn ending(run: &Run) -> String {
    let mut text = Vec::new();
    match (&run.stopping, run.state) {
        (Some(Stop::TimeUp(_)), _) => text.push(format!(
            "The time limit of the whole run, {}, was up: what was under way was told to stop, what waited was not begun.",
            seconds(run.run_timeout.as_secs_f64())
        )),
        (Some(Stop::Cancelled(reason)), _) => {
            let why = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
            text.push(format!(
                "It was cancelled{why}: what was under way was told to stop, what waited was not begun."
            ));
        }
        (None, TaskState::Aborted) => text.push("It ended because a step of it was aborted.".to_owned()),
        _ => {}
    }
    if let (Some(_), Some(by), Some(end)) = (&run.stopping, run.stop_by, run.finished)
        && end.0 >= by.0
    {
        text.push(
            "Steps that were told to stop did not say that they had; the run ended without them.".to_owned(),
        );
    }
    let named = |wanted: &dyn Fn(&StepRun) -> bool| -> Vec<&str> {
        let own = run.steps.iter().filter(|s| s.item.is_none() && wanted(s));
        own.map(StepRun::name).collect()
    };
    let mut say = |what: &str, names: Vec<&str>| {
        if !names.is_empty() {
            text.push(format!("{what}: {}.", names.join(", ")));
        }
    };
    let lenient = |s: &StepRun| s.plan.on_failure == OnFailure::Continue;
    say("Failed", named(&|s| s.state == TaskState::Failed && !lenient(s)));
    say("Out of time", named(&|s| s.state == TaskState::TimedOut && !lenient(s)));
    say("Stopped", named(&|s| s.state == TaskState::Aborted));
    let bad = |s: &StepRun| matches!(s.state, TaskState::Failed | TaskState::TimedOut);
    say("Did not succeed, which does not count", named(&|s| bad(s) && lenient(s)));
    say("Not begun", named(&|s| s.state == TaskState::Skipped && !s.plan.for_failure));
    say("Run because of the failure", named(&|s| s.plan.for_failure && s.state != TaskState::Skipped));
    text.join(" ")
}
